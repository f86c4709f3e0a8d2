//! Ed25519 keys as PEM files that stock openssl reads and writes.

use std::fmt;

use ed25519_dalek::{
    Signature, Signer as _, SigningKey, VerifyingKey,
    pkcs8::{ALGORITHM_OID, EncodePrivateKey as _, KeypairBytes, spki::der::pem::LineEnding},
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument,
    der::{Decode as _, Document, pem::PemLabel as _},
    pkcs5::{pbes2, scrypt},
    spki::{DecodePublicKey as _, EncodePublicKey as _},
};
use zeroize::Zeroizing;

use super::SIGNATURE_LENGTH;
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
    redact::Secret,
};

/// Hex digits of a key id: half a SHA-256, which no file system finds too long.
const KEY_ID_DIGITS: usize = 32;

/// scrypt cost: the largest that openssl accepts within its default of 32 MiB (RFC 7914: N = 2^14, r = 8,
/// p = 1).
const SCRYPT_LOG_N: u8 = 14;

/// A public key that is pinned: signatures count only if they are by one of these.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: String,
}

impl PublicKey {
    /// Reads an SPKI PEM file (`BEGIN PUBLIC KEY`, RFC 8410), as `openssl pkey -pubout` writes it.
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
        if !pem.trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
            return Err(wrong("expected a file that begins with -----BEGIN PUBLIC KEY-----".to_owned()));
        }
        let key = VerifyingKey::from_public_key_pem(pem.trim())
            .map_err(|error| wrong(format!("expected an Ed25519 key: {error}")))?;
        Self::from_key(key)
    }

    fn from_key(key: VerifyingKey) -> Result<Self> {
        if key.is_weak() {
            let message = "the key is of small order: it accepts a signature over anything";
            return Err(Failure::new(Reason::WeakKey, "public key", message)
                .hint("do not trust this key nor who gave it; ask the sender for the real one"));
        }
        let document = spki(&key)?;
        let id = Digest::of(document.as_bytes()).hex().chars().take(KEY_ID_DIGITS).collect();
        Ok(Self { key, id })
    }

    /// The key as SPKI PEM.
    pub fn to_pem(&self) -> Result<String> {
        spki(&self.key)?.to_pem("PUBLIC KEY", LineEnding::LF).map_err(cannot_encode)
    }

    /// The first 32 hex digits of the SHA-256 over the SPKI DER. A name to find a signature by, never a
    /// proof of anything.
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// Whether `signature` is by this key over exactly `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        // Only `verify_strict` refuses small-order components and non-canonical encodings (T10).
        <&[u8; SIGNATURE_LENGTH]>::try_from(signature)
            .is_ok_and(|bytes| self.key.verify_strict(message, &Signature::from_bytes(bytes)).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

fn spki(key: &VerifyingKey) -> Result<Document> {
    key.to_public_key_der().map_err(cannot_encode)
}

fn cannot_encode(error: impl fmt::Display) -> Failure {
    Failure::internal(format!("a key cannot be encoded: {error}"))
}

/// A key that signs. Wiped from memory when dropped.
#[derive(Clone)]
pub struct PrivateKey {
    key: SigningKey,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(no_randomness)?;
        Self::from_key(SigningKey::from_bytes(&seed))
    }

    fn from_key(key: SigningKey) -> Result<Self> {
        let public = PublicKey::from_key(key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// Reads a PKCS#8 PEM file: `BEGIN PRIVATE KEY`, or `BEGIN ENCRYPTED PRIVATE KEY` with its passphrase.
    ///
    /// A missing or wrong passphrase is [`Reason::KeyPassphrase`], everything else [`Reason::KeyFormat`].
    pub fn from_pem(pem: &str, passphrase: Option<&Secret>) -> Result<Self> {
        let wrong = |message: String| {
            Failure::new(Reason::KeyFormat, "private key", message)
                .hint("make one with `sealift key generate -o FILE` or `openssl genpkey -algorithm ed25519`")
        };
        if pem.trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
            return Err(wrong("expected a private key, found a public one".to_owned()));
        }
        if !pem.trim_start().starts_with("-----BEGIN ") {
            return Err(wrong("expected a file that begins with -----BEGIN PRIVATE KEY-----".to_owned()));
        }
        let (label, document) = SecretDocument::from_pem(pem.trim())
            .map_err(|error| wrong(format!("expected a private key in PEM: {error}")))?;
        let document = match label {
            PrivateKeyInfoRef::PEM_LABEL => document,
            EncryptedPrivateKeyInfoRef::PEM_LABEL => decrypt(&document, passphrase)?,
            _ => return Err(wrong(format!("expected PRIVATE KEY, found {label}"))),
        };
        let info = PrivateKeyInfoRef::from_der(document.as_bytes())
            .map_err(|error| wrong(format!("the PKCS#8 structure is malformed: {error}")))?;
        if info.algorithm.oid != ALGORITHM_OID {
            return Err(wrong("the key is not of the algorithm Ed25519".to_owned()));
        }
        let key = SigningKey::try_from(info)
            .map_err(|error| wrong(format!("the Ed25519 key is malformed: {error}")))?;
        Self::from_key(key)
    }

    /// The key as PKCS#8 version 1 PEM, which openssl 3.0 reads (version 2 it does not), encrypted with
    /// scrypt and AES-256-CBC (PBES2, RFC 8018) where there is a passphrase.
    pub fn to_pem(&self, passphrase: Option<&Secret>) -> Result<Secret> {
        let bytes = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        let plain = bytes.to_pkcs8_der().map_err(cannot_encode)?;
        let (label, document) = match passphrase {
            None => (PrivateKeyInfoRef::PEM_LABEL, plain),
            Some(passphrase) => {
                (EncryptedPrivateKeyInfoRef::PEM_LABEL, encrypt(plain.as_bytes(), passphrase)?)
            }
        };
        let pem = document.to_pem(label, LineEnding::LF).map_err(cannot_encode)?;
        Ok(Secret::new(pem.as_str()))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`. The same key and message always give the same signature (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, ***)", self.public.id)
    }
}

fn no_randomness(error: getrandom::Error) -> Failure {
    Failure::new(Reason::InputOutput, "system", format!("the system gives no randomness: {error}"))
}

fn decrypt(document: &SecretDocument, passphrase: Option<&Secret>) -> Result<SecretDocument> {
    let wrong = |message: &str| Failure::new(Reason::KeyPassphrase, "private key", message);
    let passphrase = passphrase.ok_or_else(|| {
        wrong("the key is encrypted and no passphrase was given")
            .hint("give the passphrase by prompt, file or variable")
    })?;
    let info = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|error| {
        Failure::new(Reason::KeyFormat, "private key", format!("the encrypted key is malformed: {error}"))
    })?;
    info.decrypt(passphrase.reveal())
        .map_err(|_wrong_padding| wrong("the passphrase is wrong").hint("try again"))
}

fn encrypt(plain: &[u8], passphrase: &Secret) -> Result<SecretDocument> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut iv)).map_err(no_randomness)?;
    let cost = scrypt::Params::new(SCRYPT_LOG_N, 8, 1).map_err(cannot_encode)?;
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(cannot_encode)?;
    PrivateKeyInfoRef::from_der(plain)
        .map_err(cannot_encode)?
        .encrypt_with_params(parameters, passphrase.reveal())
        .map_err(cannot_encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason<T: fmt::Debug>(result: Result<T>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn keys_go_to_pem_and_back() {
        let key = PrivateKey::generate().unwrap();
        let signature = key.sign(b"message");
        let plain = key.to_pem(None).unwrap();
        assert!(plain.reveal().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(PrivateKey::from_pem(plain.reveal(), None).unwrap().sign(b"message"), signature);

        let passphrase = Secret::new("correct horse");
        let sealed = key.to_pem(Some(&passphrase)).unwrap();
        assert!(sealed.reveal().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let opened = PrivateKey::from_pem(sealed.reveal(), Some(&passphrase)).unwrap();
        assert_eq!(opened.public(), key.public());
        assert_eq!(reason(PrivateKey::from_pem(sealed.reveal(), None)), Reason::KeyPassphrase);
        let other = Secret::new("wrong");
        assert_eq!(reason(PrivateKey::from_pem(sealed.reveal(), Some(&other))), Reason::KeyPassphrase);

        let public = PublicKey::from_pem(&key.public().to_pem().unwrap()).unwrap();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"messagE", &signature));
        assert!(!public.verifies(b"message", &signature[1..]));
        assert_eq!(public.key_id().len(), 32);
    }

    #[test]
    fn other_things_are_no_keys() {
        let key = PrivateKey::generate().unwrap();
        let private = key.to_pem(None).unwrap();
        assert_eq!(reason(PublicKey::from_pem(private.reveal())), Reason::KeyFormat);
        assert_eq!(reason(PrivateKey::from_pem(&key.public().to_pem().unwrap(), None)), Reason::KeyFormat);
        assert_eq!(reason(PublicKey::from_pem("")), Reason::KeyFormat);
        assert_eq!(reason(PrivateKey::from_pem("garbage", None)), Reason::KeyFormat);
        // An RSA-less look-alike: a P-256 public key from `openssl ecparam -name prime256v1`.
        let p256 = "-----BEGIN PUBLIC KEY-----\n\
            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEIlSPiPt4L/teyjdERSxyoeVY+9b3\n\
            O+XmjpMjLMRcWxbEzRDEy41bihcTnpSILImSVymTQl9BQZq36QpCpJQnKw==\n\
            -----END PUBLIC KEY-----\n";
        assert_eq!(reason(PublicKey::from_pem(p256)), Reason::KeyFormat);
    }

    #[test]
    fn weak_keys_are_refused_at_the_door() {
        // The identity point and a point of order eight (RFC 8032 encodings).
        for hex in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ] {
            let bytes: Vec<u8> =
                (0..32).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect();
            let key = VerifyingKey::from_bytes(&bytes.try_into().unwrap()).unwrap();
            let pem = spki(&key).unwrap().to_pem("PUBLIC KEY", LineEnding::LF).unwrap();
            assert_eq!(reason(PublicKey::from_pem(&pem)), Reason::WeakKey);
        }
    }
}
