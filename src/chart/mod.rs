//! Helm charts: bytes in, bytes out. Nothing is unpacked, nothing is run.
//!
//! 1. [`index`] reads a classic repository's `index.yaml` and picks a version.
//! 2. [`archive`] reads a chart's `.tgz`: its [`metadata`], and which dependencies it lacks.
//! 3. [`mod@complete`] puts the missing ones in.
//! 4. [`mod@artifact`] wraps the archive as the OCI artifact that `helm pull oci://…` expects.
//!
//! [`version`] knows Helm's ranges and how versions and tags translate.

pub mod archive;
pub mod artifact;
pub mod complete;
pub mod index;
pub mod metadata;
pub mod version;
mod yaml;

pub use archive::{Archive, MissingDependency};
pub use artifact::{ChartArtifact, artifact};
pub use complete::complete;
pub use index::{Entry, Index, resolve_url};
pub use metadata::Metadata;
pub use version::{Range, version_of, versions_from_tags};
