//! Whether the signatures that came with a text are by pinned keys.

use super::PublicKey;
use crate::base::failure::{Failure, Reason, Result};

/// One `signatures/<key-id>.sig`, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFile {
    /// The id in the file name: a hint from the media, used only to find the file of a pinned key (T08).
    pub key_id: String,
    /// The content, whatever it is.
    pub bytes: Vec<u8>,
}

/// Whether `text` has the form of a key id, 32 lower-case hex digits.
pub fn is_key_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Signatures that hold and those that were not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Ids of the pinned keys whose signature holds, sorted. Never empty; each key counts once (T03).
    pub signers: Vec<String>,
    /// Ids of the other signature files, by unknown keys or broken, sorted. They prove nothing and are
    /// only worth a note (T24).
    pub ignored: Vec<String>,
}

/// Checks `message` against the pinned `keys`; at least one must have signed.
///
/// # Errors
/// [`Reason::NoKey`] without a key, [`Reason::SignatureMissing`] without a file,
/// [`Reason::SignatureInvalid`] when the file of a pinned key does not hold and no other one does,
/// [`Reason::SignatureUntrusted`] when all files are by others.
pub fn check_signatures(message: &[u8], files: &[SignatureFile], keys: &[PublicKey]) -> Result<Checked> {
    if keys.is_empty() {
        return Err(no_key());
    }
    let ask = "ask the sender which key signed, and get the public key another way than with the bundle";
    if files.is_empty() {
        return Err(Failure::new(Reason::SignatureMissing, "signatures", "the bundle carries no signature")
            .hint("an unsigned bundle is never accepted; ask the sender for the signature files"));
    }
    let mut checked = Checked { signers: Vec::new(), ignored: Vec::new() };
    let mut broken = None;
    for file in files {
        match keys.iter().find(|key| key.key_id() == file.key_id) {
            Some(key) if key.verifies(message, &file.bytes) => checked.signers.push(file.key_id.clone()),
            Some(key) => {
                broken = Some(key);
                checked.ignored.push(file.key_id.clone());
            }
            None => checked.ignored.push(file.key_id.clone()),
        }
    }
    checked.signers.sort();
    checked.signers.dedup();
    checked.ignored.sort();
    if !checked.signers.is_empty() {
        return Ok(checked);
    }
    if let Some(key) = broken {
        let message = "the signature does not hold for SHA256SUMS: one of the two was changed or damaged";
        let hint = "copy SHA256SUMS and signatures/ again; if it stays so, do not use the bundle and tell the sender";
        return Err(Failure::new(Reason::SignatureInvalid, path_of(key), message).hint(hint));
    }
    let pinned: Vec<&str> = keys.iter().map(PublicKey::key_id).collect();
    let found = checked.ignored.join(", ");
    let message = format!("expected a signature by {}, found {found}", pinned.join(" or "));
    Err(Failure::new(Reason::SignatureUntrusted, "signatures", message).hint(ask))
}

fn path_of(key: &PublicKey) -> String {
    format!("signatures/{}.sig", key.key_id())
}

fn no_key() -> Failure {
    Failure::new(Reason::NoKey, "bundle", "there is no public key to check the signature with")
        .hint("give the sender's public key with --key; it must not come from the same media")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{Algorithm, PrivateKey};

    fn file(name: &PublicKey, bytes: &[u8]) -> SignatureFile {
        SignatureFile { key_id: name.key_id().to_owned(), bytes: bytes.to_vec() }
    }

    #[test]
    fn only_pinned_keys_count() {
        let (a, b) = (
            PrivateKey::generate(Algorithm::Ed25519).unwrap(),
            PrivateKey::generate(Algorithm::EcdsaP256).unwrap(),
        );
        let message = b"# sealift bundle 1\n";
        let by_a = file(a.public(), &a.sign(message));
        let by_b = file(b.public(), &b.sign(message));
        let b_as_a = file(a.public(), &b.sign(message));
        let reason = |files: &[SignatureFile], keys: &[&PublicKey]| {
            let keys: Vec<PublicKey> = keys.iter().map(|key| (*key).clone()).collect();
            check_signatures(message, files, &keys).map_err(|failure| failure.reason)
        };
        assert_eq!(reason(std::slice::from_ref(&by_a), &[]), Err(Reason::NoKey));
        assert_eq!(reason(&[], &[a.public()]), Err(Reason::SignatureMissing));
        assert_eq!(reason(std::slice::from_ref(&by_b), &[a.public()]), Err(Reason::SignatureUntrusted));
        assert_eq!(reason(std::slice::from_ref(&b_as_a), &[a.public()]), Err(Reason::SignatureInvalid));
        assert_eq!(reason(std::slice::from_ref(&b_as_a), &[b.public()]), Err(Reason::SignatureUntrusted));
        let both = reason(&[by_a.clone(), by_b.clone(), by_a.clone()], &[a.public(), a.public()]).unwrap();
        assert_eq!(both.signers, [a.public().key_id()]);
        assert_eq!(both.ignored, [b.public().key_id()]);
        let one_broken = reason(&[by_b, b_as_a], &[a.public(), b.public()]).unwrap();
        assert_eq!(one_broken.signers, [b.public().key_id()]);
    }
}
