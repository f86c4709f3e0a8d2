//! Results of `tag`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::clock::Timestamp;

/// Result of `tag list`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TagsReport {
    /// 1.
    pub schema: u32,
    /// The repository.
    pub repository: String,
    /// Its tags, in byte order.
    pub tags: Vec<TagLine>,
}

/// One tag.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TagLine {
    /// The tag.
    pub tag: String,
    /// Where it leads.
    pub digest: String,
    /// Since when, as far as that was written down.
    pub since: Option<String>,
    /// Who led it there.
    pub who: Option<String>,
}

/// Result of `tag history`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TagHistoryReport {
    /// 1.
    pub schema: u32,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// Its moves, the last one first.
    pub moves: Vec<MoveLine>,
}

/// One move of a tag.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MoveLine {
    /// When, as far as that was written down.
    pub time: Option<String>,
    /// Who did it: an account, `anyone`, `local`, or `import` with the bundle.
    pub who: Option<String>,
    /// Where to; absent where the tag was taken away.
    pub digest: Option<String>,
    /// Whether the tag can be led back there: the repository still has the manifest.
    pub present: bool,
}

/// Result of `tag restore`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RestoreReport {
    /// 1.
    pub schema: u32,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// Where it led; absent where it had been taken away.
    pub before: Option<String>,
    /// Where it leads now.
    pub digest: String,
}

/// A page of the repositories of a home.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RepositoriesReport {
    /// 1.
    pub schema: u32,
    /// Repositories, in byte order of their names.
    pub repositories: Vec<RepositoryLine>,
}

/// One repository.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RepositoryLine {
    /// Its name.
    pub repository: String,
    /// How many tags it has.
    pub tags: u64,
    /// How many manifests.
    pub manifests: u64,
    /// Bytes of all that it has, each content once.
    pub bytes: u64,
    /// When a tag was moved last, as far as that was written down.
    pub moved: Option<Timestamp>,
}
