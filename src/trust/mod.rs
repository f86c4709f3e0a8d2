//! Whom to believe: keys, signatures, roles, and documents that say who has which. No file and no socket:
//! callers bring text and bytes.
//!
//! - [`PrivateKey`] and [`PublicKey`] are PEM that stock openssl reads; a key pins its algorithm (T08, T09).
//!   [`Signer`] is whatever signs: such a key, or one on a token (`token`).
//! - [`Note`] is a text with its signatures below: the form of every signed document but `SHA256SUMS`.
//! - [`dsse`] is the form of statements that other tools read too: receipts.
//! - [`quorum::met`] is the one place where signatures are counted, by distinct holders.
//! - [`Document`] says who may do what; a [`Chain`] of them is what a site pinned and what was signed since.
//! - [`sequence`] judges where a bundle stands in its channel; [`Beacon`] and [`Override`] are short orders
//!   to a site.
//! - A [`Draft`] is a document that not all have signed yet; [`mod@edit`] makes the text of the next trust document,
//!   [`difference()`] says in words what it changes.
//! - [`Authority`] decides whether those signed a bundle who must.

mod authority;
mod chain;
mod difference;
pub mod document;
mod draft;
pub mod dsse;
pub mod edit;
pub mod note;
pub mod order;
mod private_key;
mod public_key;
pub mod quorum;
mod raw;
pub mod sequence;

pub use authority::Authority;
pub use chain::{Chain, typed_fingerprint};
pub use difference::difference;
pub use document::{Document, Role};
pub use draft::{Draft, Subject};
pub use note::Note;
pub use order::{Beacon, Effect, Override};
pub use private_key::{PrivateKey, Signer};
pub use public_key::{Algorithm, PublicKey, is_key_id};
pub use quorum::{Quorum, Rule, Signature, SignedBy, Standing};
pub use raw::ecdsa_der;

#[cfg(test)]
mod tests;
