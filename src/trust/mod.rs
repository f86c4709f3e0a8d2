//! Keys and signatures. No file and no socket: callers bring text and bytes.
//!
//! What is signed is the text of `SHA256SUMS`, small enough for every stock tool (T28), with a plain Ed25519
//! signature (RFC 8032, no prehash) that `openssl pkeyutl -verify -rawin` checks, or an ECDSA P-256 signature
//! for `openssl dgst -sha256 -verify`. A key pins its algorithm; nothing that travels with a signature chooses
//! how it is checked (threats T08, T09). Keys may also lie on a token: `token` signs with those.
//!
//! - [`PrivateKey`] makes, reads and writes PKCS#8 PEM and signs,
//! - [`PublicKey`] reads and writes SPKI PEM and refuses weak keys at the door (T10),
//! - [`check_signatures`] decides whether signatures that came with a bundle are by pinned keys.

mod private_key;
mod public_key;
mod raw;
mod signature;

pub use private_key::{PrivateKey, Signer};
pub use public_key::{Algorithm, PublicKey};
pub use raw::ecdsa_der;
pub use signature::{Checked, SignatureFile, check_signatures, is_key_id};
