//! Private keys: made here, kept as PKCS#8 PEM that stock openssl reads and writes.

use std::fmt;

use ed25519_dalek::{
    Signer as _, SigningKey as EdKey,
    pkcs8::{ALGORITHM_OID as ED25519, EncodePrivateKey as _, KeypairBytes},
};
use p256::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey as EcKey},
    elliptic_curve::ALGORITHM_OID as ELLIPTIC_CURVE,
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument,
    der::{
        Decode as _,
        pem::{LineEnding, PemLabel as _},
    },
    pkcs5::{pbes2, scrypt},
};
use zeroize::Zeroizing;

use super::{Algorithm, PublicKey, public_key::cannot_encode};
use crate::base::{
    failure::{Failure, Reason, Result},
    redact::Secret,
};

/// scrypt cost: the largest that openssl accepts within its default of 32 MiB (RFC 7914: N = 2^14, r = 8,
/// p = 1).
const SCRYPT_LOG_N: u8 = 14;

/// Whatever can sign: a key of this process, or one that never leaves its token.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// Signs exactly `message`, in the form that [`PublicKey::verifies`] takes.
    ///
    /// # Errors
    /// A key in memory never fails; a token may.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// A key that signs. Wiped from memory when dropped.
#[derive(Clone)]
pub struct PrivateKey {
    key: Key,
    public: PublicKey,
}

#[derive(Clone)]
enum Key {
    Ed25519(EdKey),
    EcdsaP256(EcKey),
}

impl PrivateKey {
    /// A new key from the system's randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self> {
        loop {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut()).map_err(no_randomness)?;
            match algorithm {
                Algorithm::Ed25519 => return Self::from_ed25519(EdKey::from_bytes(&seed)),
                // One seed in 2^32 is zero or not below the order of the group: draw again.
                Algorithm::EcdsaP256 => {
                    if let Ok(key) = SecretKey::from_slice(seed.as_ref()) {
                        return Self::from_p256(key);
                    }
                }
            }
        }
    }

    fn from_ed25519(key: EdKey) -> Result<Self> {
        let public = PublicKey::from_ed25519(key.verifying_key())?;
        Ok(Self { key: Key::Ed25519(key), public })
    }

    fn from_p256(key: SecretKey) -> Result<Self> {
        let key = EcKey::from(key);
        let public = PublicKey::from_p256(*key.verifying_key())?;
        Ok(Self { key: Key::EcdsaP256(key), public })
    }

    /// Reads a PKCS#8 PEM file: `BEGIN PRIVATE KEY`, or `BEGIN ENCRYPTED PRIVATE KEY` with its passphrase.
    ///
    /// A missing or wrong passphrase is [`Reason::KeyPassphrase`], everything else [`Reason::KeyFormat`].
    pub fn from_pem(pem: &str, passphrase: Option<&Secret>) -> Result<Self> {
        let wrong = |message: String| {
            Failure::new(Reason::KeyFormat, "private key", message)
                .hint("make one with `sealift key generate -o FILE` or `openssl genpkey -algorithm ed25519`")
        };
        let pem = pem.trim();
        if pem.starts_with("-----BEGIN PUBLIC KEY-----") {
            return Err(wrong("expected a private key, found a public one".to_owned())
                .hint("give the private half: the file that `sealift key generate --out` wrote"));
        }
        if pem.starts_with("-----BEGIN EC PRIVATE KEY-----") {
            return Err(wrong("expected PKCS#8, found the older form SEC 1".to_owned())
                .hint("convert it: `openssl pkcs8 -topk8 -scrypt -in OLD -out NEW`"));
        }
        if !pem.starts_with("-----BEGIN ") {
            return Err(wrong("expected a file that begins with -----BEGIN PRIVATE KEY-----".to_owned()));
        }
        let (label, document) = SecretDocument::from_pem(pem)
            .map_err(|error| wrong(format!("expected a private key in PEM: {error}")))?;
        let document = match label {
            PrivateKeyInfoRef::PEM_LABEL => document,
            EncryptedPrivateKeyInfoRef::PEM_LABEL => decrypt(&document, passphrase)?,
            _ => return Err(wrong(format!("expected PRIVATE KEY, found {label}"))),
        };
        let info = PrivateKeyInfoRef::from_der(document.as_bytes())
            .map_err(|error| wrong(format!("the PKCS#8 structure is malformed: {error}")))?;
        match info.algorithm.oid {
            ED25519 => EdKey::try_from(info)
                .map_err(|error| wrong(format!("the Ed25519 key is malformed: {error}")))
                .and_then(Self::from_ed25519),
            ELLIPTIC_CURVE => SecretKey::try_from(info)
                .map_err(|error| wrong(format!("expected the curve P-256: {error}")))
                .and_then(Self::from_p256),
            _ => Err(wrong("the key is neither Ed25519 nor ECDSA P-256".to_owned())),
        }
    }

    /// The key as PKCS#8 version 1 PEM, which openssl 3.0 reads (version 2 it does not), encrypted with
    /// scrypt and AES-256-CBC (PBES2, RFC 8018) where there is a passphrase.
    pub fn to_pem(&self, passphrase: Option<&Secret>) -> Result<Secret> {
        let plain = match &self.key {
            Key::Ed25519(key) => KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_der(),
            Key::EcdsaP256(key) => SecretKey::from(key.as_nonzero_scalar()).to_pkcs8_der(),
        }
        .map_err(cannot_encode)?;
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

    /// Signs `message`. The same key and message always give the same signature (RFC 8032, RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Key::EcdsaP256(key) => {
                let signature: DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
        }
    }
}

impl Signer for PrivateKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(self.sign(message))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, ***)", self.public.key_id())
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
    use pkcs8::spki::EncodePublicKey as _;

    use super::*;

    fn reason<T: fmt::Debug>(result: Result<T>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn keys_go_to_pem_and_back() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
            there_and_back(&PrivateKey::generate(algorithm).unwrap(), algorithm);
        }
    }

    fn there_and_back(key: &PrivateKey, algorithm: Algorithm) {
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
        assert!(!public.verifies(b"message", &[signature.as_slice(), b"\0"].concat()));
        assert_eq!(public.key_id().len(), 32);
        assert_eq!(public.algorithm(), algorithm);
    }

    #[test]
    fn other_things_are_no_keys() {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let private = key.to_pem(None).unwrap();
        assert_eq!(reason(PublicKey::from_pem(private.reveal())), Reason::KeyFormat);
        assert_eq!(reason(PrivateKey::from_pem(&key.public().to_pem().unwrap(), None)), Reason::KeyFormat);
        assert_eq!(reason(PublicKey::from_pem("")), Reason::KeyFormat);
        assert_eq!(reason(PrivateKey::from_pem("garbage", None)), Reason::KeyFormat);
        // P-384, from `openssl ecparam -name secp384r1`.
        let p384 = "-----BEGIN PUBLIC KEY-----\n\
            MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEVjB2UdKlPgCjAPEQLMPbaUEBEGG0QBTD\n\
            -----END PUBLIC KEY-----\n";
        assert_eq!(reason(PublicKey::from_pem(p384)), Reason::KeyFormat);
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
            let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes.try_into().unwrap()).unwrap();
            let pem = key.to_public_key_der().unwrap().to_pem("PUBLIC KEY", LineEnding::LF).unwrap();
            assert_eq!(reason(PublicKey::from_pem(&pem)), Reason::WeakKey);
        }
    }
}
