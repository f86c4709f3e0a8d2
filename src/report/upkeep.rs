//! Results of `store` and `prune`, and the plan of the latter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;

/// Result of `store check`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StoreReport {
    /// 1.
    pub schema: u32,
    /// `whole` or `damaged`.
    pub state: &'static str,
    /// The stable reason, where it is damaged.
    pub reason: Option<&'static str>,
    /// The home.
    pub home: String,
    /// Published manifests.
    pub manifests: usize,
    /// Tags.
    pub tags: usize,
    /// Contents on the disk.
    pub contents: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were hashed; 0 where only manifests were.
    pub hashed_bytes: u64,
    /// What is wrong.
    pub wrong: Vec<WrongLine>,
    /// Files that sealift did not make.
    pub strange: Vec<String>,
    /// Contents that nothing published needs.
    pub unneeded: usize,
    /// Their bytes.
    pub unneeded_bytes: u64,
    /// Pushes that nobody goes on with.
    pub expired_uploads: usize,
    /// Contents that the next collection looks at.
    pub waiting: u64,
}

/// Content that is not as it should be.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WrongLine {
    /// Which.
    pub digest: String,
    /// `missing`, `size`, `damaged` or `unrecorded`.
    pub problem: &'static str,
    /// The problem in words.
    pub found: String,
    /// Repositories that have it; none for what nothing published needs.
    pub repositories: Vec<String>,
    /// Tags that lead to it.
    pub tags: Vec<String>,
    /// Bundles that brought those.
    pub bundles: Vec<String>,
}

/// Result of `store repair`.
#[derive(Debug, Clone, Serialize)]
pub struct RepairReport {
    /// 1.
    pub schema: u32,
    /// Damaged copies that were removed.
    pub removed: Vec<String>,
    /// Blobs that left a repository, for their bytes are gone and no manifest lists them.
    pub dropped: u64,
    /// Blobs that the next collection looks at, and would not have before.
    pub listed: u64,
    /// How the home is now.
    pub store: StoreReport,
}

/// What `prune` would take away, for people to review and to apply: a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// 1.
    pub schema: u32,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Manifests that no tag reaches.
    pub manifests: Vec<PlannedManifest>,
    /// Contents that nothing published needs.
    pub contents: Vec<PlannedContent>,
}

impl Plan {
    /// Bytes that all of it frees.
    pub fn bytes(&self) -> u64 {
        let manifests: u64 = self.manifests.iter().map(|one| one.bytes).sum();
        manifests + self.contents.iter().map(|one| one.bytes).sum::<u64>()
    }
}

/// A manifest of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedManifest {
    /// Where.
    pub repository: String,
    /// Which.
    pub digest: Digest,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Since when no tag leads to it, or since when it is there, where none ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Bytes that it frees, together with those before it.
    pub bytes: u64,
}

/// A content of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedContent {
    /// Which.
    pub digest: Digest,
    /// Since when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Its bytes.
    pub bytes: u64,
}

/// Result of `prune` without `--apply`.
#[derive(Debug, Clone, Serialize)]
pub struct PlanWritten {
    /// 1.
    pub schema: u32,
    /// Where the plan was written.
    pub path: String,
    /// Its digest, which the ledger names when it was applied.
    pub digest: String,
    /// Bytes that it frees.
    pub bytes: u64,
    /// The plan.
    pub plan: Plan,
}

/// Result of `prune --apply`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PruneReport {
    /// 1.
    pub schema: u32,
    /// `done`, or `partly` where something was left out.
    pub state: &'static str,
    /// The stable reason, where something was left out.
    pub reason: Option<&'static str>,
    /// Digest of the plan.
    pub plan: String,
    /// Manifests that were taken away.
    pub manifests: u64,
    /// Contents that left the disk.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Contents that leave the disk later: a command of this machine holds the store.
    pub held: u64,
    /// What was gone before.
    pub gone: u64,
    /// What was left out.
    pub left: Vec<LeftLine>,
}

/// What a plan lists and was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftLine {
    /// Where; none for contents.
    pub repository: Option<String>,
    /// Which.
    pub digest: String,
    /// Why.
    pub why: String,
}

/// A plan that nobody wrote to a file yet.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PlanMade {
    /// 1.
    pub schema: u32,
    /// Its digest, which the ledger names when it was applied as it is.
    pub digest: String,
    /// Bytes that it frees.
    pub bytes: u64,
    /// The plan.
    pub plan: Plan,
}

/// What one round of the collection did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CollectionReport {
    /// 1.
    pub schema: u32,
    /// Blobs that left a repository.
    pub released: u64,
    /// Contents that left the disk.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Contents that leave the disk later: a command of this machine holds the store.
    pub held: u64,
}
