//! Public keys as PEM files that stock openssl reads and writes. A key pins its algorithm (T09).

use std::fmt;

use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use p256::ecdsa::{DerSignature, VerifyingKey as EcKey, signature::Verifier as _};
use pkcs8::{
    der::{Document, pem::LineEnding},
    spki::{DecodePublicKey as _, EncodePublicKey as _},
};

use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
};

/// Hex digits of a key id: half a SHA-256, which no file system finds too long.
const KEY_ID_DIGITS: usize = 32;
/// Bytes of a raw Ed25519 signature (RFC 8032).
const ED25519_LENGTH: usize = 64;

/// How a key signs. Chosen when the key is made, pinned with it, never read from a signature (T09).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 without prehash (RFC 8032); signatures are 64 raw bytes.
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5); signatures are DER, as openssl and cosign write them.
    EcdsaP256,
}

impl Algorithm {
    /// As documents and commands name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
        }
    }

    /// The algorithm of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ed25519, Self::EcdsaP256].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Whether `text` has the form of a key id.
pub fn is_key_id(text: &str) -> bool {
    text.len() == KEY_ID_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A public key that is pinned: signatures count only if they are by one of these.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Key,
    id: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Ed25519(EdKey),
    EcdsaP256(EcKey),
}

impl PublicKey {
    /// Reads an SPKI PEM file (`BEGIN PUBLIC KEY`, RFC 8410 and RFC 5480), as `openssl pkey -pubout` writes it.
    ///
    /// Keys of small order, which accept signatures over anything, are [`Reason::WeakKey`].
    pub fn from_pem(pem: &str) -> Result<Self> {
        if pem.contains("PRIVATE KEY-----") {
            let message = "expected a public key, found a private one";
            return Err(Failure::new(Reason::KeyFormat, "public key", message).hint(
                "give the file that `sealift key public` prints, and keep the private key where it is",
            ));
        }
        let wrong = |message: String| {
            Failure::new(Reason::KeyFormat, "public key", message)
                .hint("print it with `sealift key public FILE` or `openssl pkey -in FILE -pubout`")
        };
        let pem = pem.trim();
        if !pem.starts_with("-----BEGIN PUBLIC KEY-----") {
            return Err(wrong("expected a file that begins with -----BEGIN PUBLIC KEY-----".to_owned()));
        }
        if let Ok(key) = EcKey::from_public_key_pem(pem) {
            return Self::from_key(Key::EcdsaP256(key));
        }
        let key = EdKey::from_public_key_pem(pem)
            .map_err(|error| wrong(format!("expected an Ed25519 or ECDSA P-256 key: {error}")))?;
        Self::from_ed25519(key)
    }

    /// From 32 bytes of an Ed25519 key.
    pub(super) fn from_ed25519(key: EdKey) -> Result<Self> {
        if key.is_weak() {
            let message = "the key is of small order: it accepts a signature over anything";
            return Err(Failure::new(Reason::WeakKey, "public key", message)
                .hint("do not trust this key nor who gave it; ask the sender for the real one"));
        }
        // A second spelling of a point would be a second id of one key (T03).
        if key.to_edwards().compress().to_bytes() != key.to_bytes() {
            let message = "the point is not in its one form (RFC 8032, section 5.1.3)";
            return Err(Failure::new(Reason::KeyFormat, "public key", message)
                .hint("no tool makes such a key by accident; ask the sender"));
        }
        Self::from_key(Key::Ed25519(key))
    }

    /// From a point of P-256.
    pub(super) fn from_p256(key: EcKey) -> Result<Self> {
        Self::from_key(Key::EcdsaP256(key))
    }

    fn from_key(key: Key) -> Result<Self> {
        let id = Digest::of(spki(&key)?.as_bytes()).hex().chars().take(KEY_ID_DIGITS).collect();
        Ok(Self { key, id })
    }

    /// The key as SPKI PEM.
    pub fn to_pem(&self) -> Result<String> {
        spki(&self.key)?.to_pem("PUBLIC KEY", LineEnding::LF).map_err(cannot_encode)
    }

    /// The key as SPKI DER.
    pub fn to_der(&self) -> Result<Vec<u8>> {
        Ok(spki(&self.key)?.as_bytes().to_vec())
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.key {
            Key::Ed25519(_) => Algorithm::Ed25519,
            Key::EcdsaP256(_) => Algorithm::EcdsaP256,
        }
    }

    /// The first 32 hex digits of the SHA-256 over the SPKI DER. A name to find a signature by, never a
    /// proof of anything.
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// Whether `signature` is by this key over exactly `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            // Only `verify_strict` refuses small-order components and non-canonical encodings (T10).
            Key::Ed25519(key) => <&[u8; ED25519_LENGTH]>::try_from(signature)
                .is_ok_and(|bytes| key.verify_strict(message, &EdSignature::from_bytes(bytes)).is_ok()),
            // Strict DER, r and s in 1..n (T11). High s is valid ECDSA: signatures identify nobody here, so
            // that a second form of one exists does no harm.
            Key::EcdsaP256(key) => DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.id, self.algorithm().name())
    }
}

fn spki(key: &Key) -> Result<Document> {
    match key {
        Key::Ed25519(key) => key.to_public_key_der(),
        Key::EcdsaP256(key) => key.to_public_key_der(),
    }
    .map_err(cannot_encode)
}

pub(super) fn cannot_encode(error: impl fmt::Display) -> Failure {
    Failure::internal(format!("a key cannot be encoded: {error}"))
}

#[cfg(test)]
mod tests {
    use p256::{
        NistP256, Scalar,
        ecdsa::Signature,
        elliptic_curve::{Curve, PrimeField as _},
    };

    use super::*;
    use crate::trust::PrivateKey;

    const MESSAGE: &[u8] = b"message";

    /// A DER integer of these bytes, as they are.
    fn integer(bytes: &[u8]) -> Vec<u8> {
        [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
        let content = parts.concat();
        [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    }

    /// A number of 32 bytes as the shortest DER integer.
    fn shortest(bytes: &[u8]) -> Vec<u8> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len() - 1);
        let bytes = &bytes[zeros..];
        integer(&if bytes[0] & 0x80 == 0 { bytes.to_vec() } else { [&[0], bytes].concat() })
    }

    /// T11: only r and s in 1..n, only in the one DER form.
    #[test]
    fn ecdsa_signatures_have_one_form_and_numbers_in_range() {
        let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
        let good = key.sign(MESSAGE);
        let raw = Signature::from_der(&good).unwrap().to_bytes();
        let (r, s) = raw.split_at(32);
        let whole = |r: Vec<u8>, s: Vec<u8>| sequence(&[r, s]);
        assert_eq!(whole(shortest(r), shortest(s)), good);
        assert!(key.public().verifies(MESSAGE, &good));

        let (zero, above) = ([0; 32], [0xff; 32]);
        let order: [u8; 32] = NistP256::ORDER.to_be_bytes().as_ref().try_into().unwrap();
        // r + n is the same number modulo n where it fits into 33 bytes.
        let mut r_and_order = vec![0; 33];
        let mut carry = 0;
        for at in (0..32).rev() {
            let sum = u16::from(r[at]) + u16::from(order[at]) + carry;
            r_and_order[at + 1] = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        r_and_order[0] = u8::try_from(carry).unwrap();
        let minus = |bytes: &[u8]| integer(&[&[0x80], &bytes[1..]].concat());
        let long_length = [&[0x30, 0x81], &good[1..]].concat();
        let endless = [&[0x30, 0x80], &good[2..], &[0, 0]].concat();
        for (name, wrong) in [
            ("r = 0", whole(integer(&[0]), shortest(s))),
            ("s = 0", whole(shortest(r), integer(&[0]))),
            ("r = 0 in 32 bytes", whole(integer(&zero), shortest(s))),
            ("r = n", whole(shortest(&order), shortest(s))),
            ("s = n", whole(shortest(r), shortest(&order))),
            ("r > n", whole(shortest(&above), shortest(s))),
            ("s > n", whole(shortest(r), shortest(&above))),
            ("r + n", whole(shortest(&r_and_order), shortest(s))),
            ("negative r", whole(minus(r), shortest(s))),
            ("no s", sequence(&[shortest(r)])),
            ("three numbers", sequence(&[shortest(r), shortest(s), integer(&[1])])),
            ("trailing byte", [good.as_slice(), &[0]].concat()),
            ("cut", good[..good.len() - 1].to_vec()),
            ("BER: a zero too many", whole(integer(&[&[0, 0], r].concat()), shortest(s))),
            ("BER: long form of a length", long_length),
            ("BER: no length", endless),
            ("raw, without DER", raw.to_vec()),
            ("empty", Vec::new()),
        ] {
            assert!(!key.public().verifies(MESSAGE, &wrong), "{name}");
        }
    }

    /// T11: s and n - s are both true; nothing here takes a signature for an identity.
    #[test]
    fn low_and_high_s_are_both_accepted() {
        let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
        let raw = Signature::from_der(&key.sign(MESSAGE)).unwrap().to_bytes();
        let (r, s) = raw.split_at(32);
        let s = Scalar::from_repr(s.try_into().unwrap()).unwrap();
        let other = (-s).to_repr();
        assert_ne!(other.as_slice(), &raw[32..]);
        for s in [s.to_repr(), other] {
            assert!(key.public().verifies(MESSAGE, &sequence(&[shortest(r), shortest(&s)])));
        }
        assert!(!key.public().verifies(b"messagE", &sequence(&[shortest(r), shortest(&other)])));
    }

    /// T09: the key says how a signature is checked.
    #[test]
    fn a_signature_of_the_other_algorithm_never_holds() {
        let edwards = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let p256 = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
        assert!(!edwards.public().verifies(MESSAGE, &p256.sign(MESSAGE)));
        assert!(!p256.public().verifies(MESSAGE, &edwards.sign(MESSAGE)));
    }
}
