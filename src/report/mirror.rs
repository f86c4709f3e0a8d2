//! What `mirror-config` says.

use serde::Serialize;

/// Result of `mirror-config`.
#[derive(Debug, Clone, Serialize)]
pub struct MirrorReport {
    /// 1.
    pub schema: u32,
    /// The registry that stands for the others, `host[:port]`.
    pub registry: String,
    /// The upstream registries.
    pub upstreams: Vec<String>,
    /// The folder that got the files; absent where they are only shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The files, by path.
    pub files: Vec<MirrorFile>,
    /// What to do with them.
    pub steps: Vec<String>,
}

/// A file for nodes or for the cluster.
#[derive(Debug, Clone, Serialize)]
pub struct MirrorFile {
    /// Where it lies on a node, without the first slash, and below the folder.
    pub path: String,
    /// What it says.
    pub text: String,
}
