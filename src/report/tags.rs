//! Results of `tag`.

use serde::Serialize;

/// Result of `tag list`.
#[derive(Debug, Clone, Serialize)]
pub struct TagsReport {
    /// 1.
    pub schema: u32,
    /// The repository.
    pub repository: String,
    /// Its tags, in byte order.
    pub tags: Vec<TagLine>,
}

/// One tag.
#[derive(Debug, Clone, Serialize)]
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
#[derive(Debug, Clone, Serialize)]
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
#[derive(Debug, Clone, Serialize)]
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
#[derive(Debug, Clone, Serialize)]
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
