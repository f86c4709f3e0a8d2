//! What is said of the rules of a registry.

use schemars::JsonSchema;
use serde::Serialize;

/// Result of `rules show`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RulesShown {
    /// 1.
    pub schema: u32,
    /// Raised whenever others come into force; 0 where none were ever set.
    pub version: u64,
    /// Digest of the text.
    pub digest: String,
    /// As written.
    pub text: String,
}

/// Result of `rules check` and `rules set`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RulesReport {
    /// 1.
    pub schema: u32,
    /// The version that is in force now; absent where nothing was set.
    pub version: Option<u64>,
    /// Digest of the text.
    pub digest: String,
    /// How many grants there are.
    pub grants: usize,
    /// How many rules keep tags.
    pub immutable: usize,
    /// How many quotas.
    pub quotas: usize,
    /// What holds that does not hold by the rules of before.
    pub added: Vec<String>,
    /// What holds by those, and no longer.
    pub removed: Vec<String>,
}
