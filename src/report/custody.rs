//! What `audit` and `receipt` say.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Receipt,
    receipt::{Facts, Outcome},
};
use crate::{
    base::clock::Timestamp, base::digest::Digest, ledger::Audit, ledger::Record, trust::SignedBy,
    trust::sequence::Position,
};

/// Result of `audit ledger`: only whole ledgers get one.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// 1.
    pub schema: u32,
    /// `whole`.
    pub verdict: &'static str,
    /// The file, or the home.
    pub path: String,
    /// Where the ledger ends, as one line to keep elsewhere.
    pub head_line: String,
    /// Keys that could be believed.
    pub trusted_keys: usize,
    /// What was found.
    #[serde(flatten)]
    pub audit: Audit,
}

impl AuditReport {
    /// The report of a whole ledger.
    pub fn new(path: String, audit: Audit, trusted_keys: usize) -> Self {
        let head_line = audit.head.to_string();
        Self { schema: 1, verdict: "whole", path, head_line, trusted_keys, audit }
    }
}

/// One of the results of `audit search`.
#[derive(Debug, Clone, Serialize)]
pub struct FoundReport {
    /// 1.
    pub schema: u32,
    /// A record that fits what was asked, as it stands in the ledger.
    pub record: Record,
}

/// A page of the ledger: records that fit what was asked, oldest first.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RecordsReport {
    /// 1.
    pub schema: u32,
    /// The records, as they stand in the ledger.
    #[schemars(with = "Vec<AnyRecord>")]
    pub records: Vec<Record>,
    /// The number of the last record that was looked at, where there are more after it: the next page begins there. It
    /// may be without records, for a page ends also where many were looked at.
    pub next: Option<u64>,
}

/// The members that every record has; the others are those of its event.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema and nothing else")]
struct AnyRecord {
    /// Counts from 1.
    number: u64,
    /// SHA-256 of the line before, in hex.
    previous: String,
    /// When, by the system clock.
    time: Timestamp,
    /// What kind of record it is.
    event: String,
}

/// Result of `trust importer`.
#[derive(Debug, Clone, Serialize)]
pub struct ImporterReport {
    /// 1.
    pub schema: u32,
    /// Id of the key that signs receipts and the ledger.
    pub key_id: String,
    /// When the ledger began to name it; absent for a key that has not signed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Id of the key that it replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The public key in PEM.
    pub public_key: String,
}

/// Result of `receipt show`.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptReport {
    /// 1.
    pub schema: u32,
    /// Digest of the receipt.
    pub receipt: Digest,
    /// Who signed it.
    pub signer: SignedBy,
    /// Digest of the `SHA256SUMS` of the bundle that it is about.
    pub sums: Digest,
    /// Whether the bundle was taken.
    pub imported: bool,
    /// Where the channel stands after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Everything that it says.
    pub facts: Facts,
}

impl ReceiptReport {
    /// What a receipt says.
    pub fn new(receipt: &Receipt) -> Self {
        Self {
            schema: 1,
            receipt: receipt.digest(),
            signer: receipt.signer().clone(),
            sums: receipt.bundle().clone(),
            imported: receipt.facts().result == Outcome::Imported,
            position: receipt.position(),
            facts: receipt.facts().clone(),
        }
    }
}
