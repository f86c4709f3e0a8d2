//! What lies in a backup of a home, and what is said of making and restoring one.

use serde::{Deserialize, Serialize};

use crate::{
    base::{clock::Timestamp, digest::Digest},
    ledger::Head,
};

/// What a backup holds: `backup.json` in it, written when all else is there. Contents are named by the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupIndex {
    /// 1.
    pub schema: u32,
    /// Version that made it.
    pub tool: String,
    /// When the rows were copied.
    pub created: Timestamp,
    /// Name of the site, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Where the ledger stood.
    pub ledger: Head,
    /// The folder with rows and files, `state-NUMBER`.
    pub state: String,
    /// Rows, keys and certificates, by path below that folder.
    pub files: Vec<BackupFile>,
    /// Manifests that the rows name.
    pub manifests: u64,
    /// Contents that the rows name and that are there.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Contents that the rows name and that the home itself had lost, or had damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<Digest>,
}

/// A file of a backup that is no content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Below the folder of the state, and below the home.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Result of `store backup`.
#[derive(Debug, Clone, Serialize)]
pub struct BackupReport {
    /// 1.
    pub schema: u32,
    /// `whole`, or `lacking` where the home itself had lost contents.
    pub state: &'static str,
    /// The stable reason, where something is lacking.
    pub reason: Option<&'static str>,
    /// The folder.
    pub path: String,
    /// Digest of its `backup.json`, which the ledger names.
    pub digest: String,
    /// Contents that came now; the others were there from the backup before.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Contents that went, for the rows name them no more.
    pub dropped: u64,
    /// Keys in it that must stay secret.
    pub secrets: Vec<String>,
    /// What is in it.
    pub index: BackupIndex,
}

/// Result of `store restore`.
#[derive(Debug, Clone, Serialize)]
pub struct RestoreReport {
    /// 1.
    pub schema: u32,
    /// `whole`, or `lacking` where the backup says that the home had lost contents.
    pub state: &'static str,
    /// The stable reason, where something is lacking.
    pub reason: Option<&'static str>,
    /// The home.
    pub home: String,
    /// Digest of the `backup.json` that was restored, which the ledger names.
    pub digest: String,
    /// Where the ledger ends now.
    pub ledger: String,
    /// What was in the backup.
    pub index: BackupIndex,
}
