//! Where everything goes: the order of members, the OCI layout around the blobs, the cut into volumes.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    frame, header,
    index::{Artifact, Blob},
};
use crate::{
    base::{digest::Digest, limits},
    oci::{descriptor::Annotations, media_type},
};

/// The annotation that names an image in a layout (OCI image-spec, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The content of `oci-layout` (OCI image-spec, "oci-layout file").
pub const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The smallest volume limit, in bytes.
pub const SMALLEST_VOLUME: u64 = 1 << 20;
/// A part of a split blob is at least this long, unless it is the last.
const SMALLEST_PART: u64 = 64 << 10;

/// Blobs in the order of their members: manifests first, so that a reader knows early what all is for, then
/// the rest, each by digest.
pub fn member_order(blobs: &[Blob]) -> Vec<&Blob> {
    let (mut order, rest): (Vec<_>, Vec<_>) =
        blobs.iter().partition(|blob| media_type::is_manifest(&blob.media_type));
    order.extend(rest);
    order
}

/// Path of a blob's only member, or of part `number` (from 1) of it.
pub fn member_path(digest: &Digest, part: Option<usize>) -> String {
    part.map_or_else(|| digest.layout_path(), |number| format!("{}.part-{number:04}", digest.layout_path()))
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct LayoutEntry<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayoutIndex<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<LayoutEntry<'a>>,
}

/// The `index.json` of the OCI layout: every artifact under its name, every referrer under its tag or
/// without a name. A reader makes it again and compares.
pub fn layout_index(artifacts: &[Artifact]) -> Vec<u8> {
    fn entry(root: &crate::oci::Descriptor, name: Option<String>) -> LayoutEntry<'_> {
        LayoutEntry {
            media_type: &root.media_type,
            digest: &root.digest,
            size: root.size,
            annotations: name.map(|name| (REF_NAME.to_owned(), name)).into_iter().collect(),
        }
    }
    let mut manifests: Vec<LayoutEntry<'_>> =
        artifacts.iter().map(|artifact| entry(&artifact.root, Some(artifact.name.clone()))).collect();
    let referrers: BTreeSet<LayoutEntry<'_>> = artifacts
        .iter()
        .flat_map(|artifact| {
            artifact.referrers.iter().map(|referrer| {
                let name =
                    referrer.tag.as_ref().map(|tag| format!("{}:{tag}", repository_of(&artifact.name)));
                entry(&referrer.root, name)
            })
        })
        .collect();
    manifests.extend(referrers);
    let index = LayoutIndex { schema_version: 2, media_type: media_type::INDEX, manifests };
    serde_json::to_vec(&index).unwrap_or_default()
}

/// A name without tag and digest.
fn repository_of(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// What to do next with content that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write this many bytes of it here.
    Take(u64),
    /// Begin a new volume first.
    NextVolume,
}

/// How volumes are filled.
#[derive(Debug, Clone, Copy)]
pub struct Filling {
    /// Most bytes of a volume file.
    pub limit: Option<u64>,
}

impl Filling {
    /// Bytes left for members in a volume that has `offset` bytes already.
    fn room(self, offset: u64) -> u64 {
        let reserved = frame::piece_bound(header::END);
        self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(reserved).saturating_sub(offset))
    }

    /// Whether content of `size` bytes is certain to fit as one member.
    pub fn fits(self, offset: u64, size: u64) -> bool {
        size <= limits::MEMBER_BYTES && frame::bound(header::stream_length(size)) <= self.room(offset)
    }

    /// The next step for content of which `left` bytes are to be written; `begun` when a part of it is
    /// written already. Content that would fit into an empty volume is never split.
    pub fn step(self, offset: u64, left: u64, begun: bool) -> Step {
        if self.fits(offset, left) {
            return Step::Take(left);
        }
        if !begun && self.fits(0, left) {
            return Step::NextVolume;
        }
        let stream = frame::stream_that_fits(self.room(offset)) / header::BLOCK * header::BLOCK;
        let part = stream.saturating_sub(header::BLOCK).min(limits::MEMBER_BYTES).min(left);
        if part < SMALLEST_PART.min(left) { Step::NextVolume } else { Step::Take(part) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_content_moves_on_and_large_content_is_split() {
        let filling = Filling { limit: Some(1 << 20) };
        assert_eq!(filling.step(0, 1000, false), Step::Take(1000));
        assert_eq!(filling.step(1_000_000, 500_000, false), Step::NextVolume);
        let Step::Take(part) = filling.step(500_000, 2_000_000, false) else { panic!() };
        assert!((400_000..548_576).contains(&part) && part % 512 == 0, "{part}");
        assert_eq!(filling.step(1_040_000, 2_000_000, true), Step::NextVolume);
        assert_eq!(filling.step(500_000, 300_000, true), Step::Take(300_000));
        assert_eq!(Filling { limit: None }.step(0, 9 << 30, false), Step::Take(limits::MEMBER_BYTES));
    }

    #[test]
    fn names_lose_their_tag() {
        assert_eq!(repository_of("localhost:5000/a/b:1"), "localhost:5000/a/b");
        assert_eq!(repository_of("localhost:5000/a/b"), "localhost:5000/a/b");
        assert_eq!(repository_of("quay.io/a:1@sha256:00"), "quay.io/a");
    }
}
