//! Signatures of images as cosign makes and checks them. No file and no socket: callers bring bytes.
//!
//! Two forms, both read and both made (cosign "Signature Specification", Sigstore "Bundle Format"):
//!
//! - *legacy*: [`simple`] signing, a manifest at the tag `sha256-<hex>.sig` with one layer for each signature.
//!   Every admission tool reads it.
//! - *bundle*: a Sigstore [`bundle`] as a referrer of the image, around a [`dsse`] envelope. What cosign 3 makes.
//!
//! A [`Policy`] says who must have signed: one of some keys, or an identity ([`keyless`]). A signature counts
//! for exactly one digest, is checked before what it covers is parsed, and what is parsed are the bytes that
//! were checked (threats T05 to T09, T11, N15). [`judge`] decides; [`Evidence`] is what a bundle records of it.
//! [`Signatures`] makes a site's own.

pub mod bundle;
pub mod dsse;
mod evidence;
pub mod keyless;
mod policy;
pub mod simple;
mod site;
#[cfg(test)]
mod tests;

pub use evidence::{Evidence, ImageEvidence, Outcome, Signed};
pub use keyless::Keyless;
pub use policy::{Found, Policy, Refusal, Subject, judge};
pub use site::{Made, Signatures};

use serde::{Deserialize, Serialize};

use crate::{
    base::digest::Digest,
    oci::{Descriptor, Document, reference},
};

/// Artifact and media type of a Sigstore bundle, without the version that follows.
pub const BUNDLE_TYPES: &str = "application/vnd.dev.sigstore.bundle";
/// Artifact type of legacy signatures that are kept as a referrer (cosign's experimental OCI 1.1 mode).
pub const LEGACY_REFERRER: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// How a signature is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Simple signing.
    Legacy,
    /// A Sigstore bundle.
    Bundle,
}

impl Form {
    /// As documents and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Bundle => "bundle",
        }
    }
}

/// The tag at which cosign keeps the legacy signatures of `subject`.
pub fn tag(subject: &Digest) -> String {
    format!("{}.sig", reference::referrers_tag(subject))
}

/// Whether cosign keeps signatures, attestations or SBOMs of a manifest at this tag.
pub fn is_tag(tag: &str) -> bool {
    let subject = tag.split_once('-').zip(tag.rsplit_once('.'));
    subject.is_some_and(|((algorithm, _), (before, kind))| {
        let hex = before.strip_prefix(algorithm).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
        ["sig", "att", "sbom"].contains(&kind) && Digest::parse(&format!("{algorithm}:{hex}")).is_ok()
    })
}

/// Whether a referrer of `subject` with this artifact type, or under this tag, may hold signatures.
pub fn may_sign(subject: &Digest, artifact_type: Option<&str>, at: Option<&str>) -> bool {
    at.is_some_and(|at| at == tag(subject))
        || artifact_type.is_some_and(|name| name == LEGACY_REFERRER || name.starts_with(BUNDLE_TYPES))
}

/// The layers of a referrer that may hold signatures.
pub fn candidates(document: &Document) -> Vec<(Form, &Descriptor)> {
    let Document::Image(image) = document else { return Vec::new() };
    let form = |layer: &Descriptor| match layer.media_type.as_str() {
        simple::LAYER => Some(Form::Legacy),
        name if name.starts_with(BUNDLE_TYPES) => Some(Form::Bundle),
        _ => None,
    };
    image.layers.iter().filter_map(|layer| form(layer).map(|form| (form, layer))).collect()
}
