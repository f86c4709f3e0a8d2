//! `bundle.json`: what is inside and where it lies.
//!
//! Own format: unknown and duplicate keys are refused (threats J04, J05), lists are sorted, and the text is
//! the canonical one: two-space indented JSON with a line feed at the end.

use serde::{Deserialize, Serialize};

use crate::{base::digest::Digest, oci::Descriptor};

/// The whole of `bundle.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleIndex {
    /// Format version, 1.
    pub schema: u32,
    /// Repeats `SHA256SUMS`; a difference is refused.
    pub name: String,
    /// Repeats `SHA256SUMS`.
    pub version: String,
    /// Repeats `SHA256SUMS`.
    pub channel: String,
    /// Repeats `SHA256SUMS`.
    pub epoch: u64,
    /// Repeats `SHA256SUMS`.
    pub sequence: u64,
    /// Repeats `SHA256SUMS`, RFC 3339.
    pub created: String,
    /// Free text of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `sealift <version>` that wrote it.
    pub tool: String,
    /// What the bundle is for, sorted by kind and name.
    pub artifacts: Vec<Artifact>,
    /// Every blob, sorted by digest.
    pub blobs: Vec<Blob>,
    /// Every file inside the volumes, in order.
    pub members: Vec<Member>,
    /// The volumes, in order.
    pub volumes: Vec<Volume>,
}

impl BundleIndex {
    /// One of nothing, for tests to fill.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            schema: 1,
            name: String::new(),
            version: String::new(),
            channel: String::new(),
            epoch: 1,
            sequence: 1,
            created: String::new(),
            description: None,
            tool: String::new(),
            artifacts: Vec::new(),
            blobs: Vec::new(),
            members: Vec::new(),
            volumes: Vec::new(),
        }
    }
}

/// Kinds of artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// A container image or any other OCI artifact asked for by reference.
    Image,
    /// A Helm chart.
    Chart,
    /// A file.
    File,
}

impl ArtifactKind {
    /// The word in tables and filters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Chart => "chart",
            Self::File => "file",
        }
    }
}

/// One thing that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// Full upstream reference for images and charts; `files/<name>:<version>` for files.
    pub name: String,
    /// Where it came from: a URL or path, without secrets.
    pub source: String,
    /// Its manifest.
    pub root: Descriptor,
    /// Platforms carried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Children of an index that are intentionally not carried, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Digest>,
    /// Signatures, attestations, SBOMs about it, sorted by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<Referrer>,
}

/// An artifact about an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Referrer {
    /// Its manifest.
    pub root: Descriptor,
    /// The manifest that it is about.
    pub subject: Digest,
    /// The tag that it is imported under, if it has one upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// How the bytes in the members become the blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As they are.
    Raw,
    /// One this version does not know; refused when read.
    #[serde(untagged)]
    Unknown(String),
}

/// A blob of the bundle. Its members are those at its layout path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content.
    pub size: u64,
    /// Type of the content.
    pub media_type: String,
    /// How it is stored.
    pub encoding: Encoding,
}

/// A file inside a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>` or `….part-0001`.
    pub path: String,
    /// Bytes of the member.
    pub size: u64,
    /// Number of the volume, from 1.
    pub volume: usize,
    /// Where its first frame begins in the volume.
    pub offset: u64,
    /// Lengths of its frames in the volume. Together they hold the ustar header, the content and the
    /// padding; each but the last holds exactly 16 MiB.
    pub frames: Vec<u64>,
}

/// A payload file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Path in the bundle: `volumes/0001.tar.zst`.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the tar stream inside.
    pub content: u64,
}
