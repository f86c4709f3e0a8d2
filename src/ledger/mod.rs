//! The ledger: what a site did and refused, in an order that nobody can change unseen.
//!
//! One record is one line of JSON in the one form that we print:
//!
//! ```text
//! {"number":1,"previous":"000…","time":"2026-11-21T00:00:00Z","event":"trust","version":1,…}
//! {"number":2,"previous":"<SHA-256 of the line above>","time":"…","event":"import","bundle":"sha256:…",…}
//! {"number":3,"previous":"…","time":"…","event":"checkpoint","site":"berlin","signed":2,…}
//! ```
//!
//! Each record holds the hash of the line before (without its line feed), so that a change of any breaks the
//! chain. Whoever can write the whole file could make a new chain: signed checkpoints and heads that were carried
//! off the host ([`OffHost`], in every receipt) show that too. It is written by processes of the site alone and
//! never read from the media (threats R20); text from outside is bounded and escaped in it (R21).
//!
//! Pure: the store keeps the lines, and adds one in the transaction of what it tells of.

mod audit;
mod checkpoint;
mod deed;
mod place;
mod record;
mod search;

pub use audit::{Audit, Auditor, Broken, OffHost, audit};
pub use checkpoint::{checkpoint, signed_text};
pub use deed::{Deed, Proof, RegistryAction, Thing};
pub use record::{
    AccountAction, Event, Head, KeyAction, OverrideAction, Record, Text, TrustAction, UpkeepAction, append,
};
pub use search::{Network, Search};

#[cfg(test)]
mod tests;
