//! The container that travels: format 1, described byte by byte in `docs/format.md`.

pub mod index;

pub use index::{Artifact, ArtifactKind, Blob, BundleIndex, Encoding, Member, Referrer, Volume};
