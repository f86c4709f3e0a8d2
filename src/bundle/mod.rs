//! The container that travels: format 1, described byte by byte in `docs/format.md`.
//!
//! ```text
//! SHA256SUMS                  what is signed                                (sums.rs)
//! signatures/<key-id>.sig     who signed it                                 (trust)
//! trust/NNNN.trust            who may sign it                               (trust)
//! evidence/NAME               what was found out about the content          (evidence)
//! bundle.json                 what is inside and where it lies              (index.rs, consistency)
//! chunks.bin                  SHA-256 of every 4 MiB of the volumes         (volume.rs)
//! volumes/0001.tar.zst        tar headers (header.rs) and content in zstd frames (frame.rs)
//! inventory.csv, VERIFY.txt   for people                                    (report)
//! ```
//!
//! Writing: [`plan()`] estimates, [`write()`] fills an empty folder from the store (writer.rs, pipeline.rs);
//! layout.rs decides what goes where, closure.rs that nothing is missing or too much. Reading: `volume.rs`
//! hands out content of which every byte was compared with the signed chunk hashes before it was parsed.
//! Whether the hashes themselves may be trusted is decided one floor up, in `verify`.

pub mod closure;
mod consistency;
mod diff;
pub mod frame;
pub mod header;
pub mod index;
pub mod layout;
mod pipeline;
mod place;
pub mod sums;
pub mod volume;
mod writer;

pub use consistency::position;
pub use diff::diff;
pub use index::{Artifact, ArtifactKind, Blob, BundleIndex, Encoding, Member, Referrer, Volume};
pub use place::Place;
pub use sums::{Sums, SumsHeader};
pub use volume::Reader;
pub use writer::{Plan, Written, plan, write};

use std::collections::BTreeMap;

use crate::{
    base::{clock::Timestamp, digest::Digest},
    oci::Descriptor,
    report::inventory,
};

/// What goes into a bundle. Order does not matter.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Name, in the grammar of [`crate::base::path::is_media_name`].
    pub name: String,
    /// Version, same grammar.
    pub version: String,
    /// Channel, same grammar.
    pub channel: String,
    /// Counts restarts of the sequence.
    pub epoch: u64,
    /// Place in the channel.
    pub sequence: u64,
    /// When the content was fixed.
    pub created: Timestamp,
    /// Free text.
    pub description: Option<String>,
    /// What the bundle is for.
    pub artifacts: Vec<Artifact>,
    /// Every blob that the artifacts need, manifests included. The store must have them all.
    pub blobs: Vec<Descriptor>,
    /// Digest of the `SHA256SUMS` before this one in the channel.
    pub previous: Option<Digest>,
    /// The one site that it is for; any when absent.
    pub site: Option<String>,
    /// When it is to be used no more.
    pub expires: Option<Timestamp>,
    /// Trust documents to carry, by version, without a gap. A reader must know the last of them.
    pub trust: BTreeMap<u64, Vec<u8>>,
    /// What was found out about the content, by file name in the grammar of
    /// [`crate::base::path::is_media_name`].
    pub evidence: BTreeMap<String, Vec<u8>>,
}

fn inventory_row(artifact: &Artifact, reach: &closure::Reach) -> inventory::Row {
    let (name, digest) = artifact.name.split_once('@').unwrap_or((&artifact.name, ""));
    let tag = name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    inventory::Row {
        kind: artifact.kind.name().to_owned(),
        name: artifact.name.clone(),
        version: tag.unwrap_or(digest).to_owned(),
        platform: artifact.platforms.join(" "),
        digest: artifact.root.digest.to_string(),
        size: reach.bytes,
        licence: String::new(),
        source: artifact.source.clone(),
    }
}
