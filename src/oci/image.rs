//! Image manifests and indexes: raw bytes stay what they are, this is only how they are read.
//!
//! Strict where two readers could differ (threats J03, J04, J06, J16), lenient where the specification is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    Descriptor, Platform,
    descriptor::{Annotations, unique_keys},
    media_type,
};
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
    limits, text,
};

/// An image manifest (OCI image-spec "Image Manifest"; Docker's schema 2 has the same shape).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Type of this document; older tools leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of an artifact that is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, base first.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// What this artifact is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "Annotations::is_empty", deserialize_with = "unique_keys")]
    pub annotations: Annotations,
}

/// An image index (OCI image-spec "Image Index"; Docker's manifest list has the same shape).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Type of this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of an artifact that is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The images, usually one a platform.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// What this artifact is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "Annotations::is_empty", deserialize_with = "unique_keys")]
    pub annotations: Annotations,
}

/// `BuildKit`'s annotation on an attestation manifest: the digest of the image that it is about.
const ATTESTATION_OF: &str = "vnd.docker.reference.digest";

impl ImageIndex {
    /// Whether `child` stays when the index is narrowed to the platforms `wanted` (empty: all), on both sides
    /// of the gap. An attestation goes with the image that it is about; a child of which nothing tells what
    /// it is made for (nested indexes, artifacts) always stays.
    pub fn keeps(&self, child: &Descriptor, wanted: &[Platform]) -> bool {
        let fits = |child: &Descriptor| {
            child.platform.as_ref().is_none_or(|platform| {
                platform.is_unknown() || wanted.iter().any(|want| platform.satisfies(want))
            })
        };
        let is_unknown = child.platform.as_ref().is_some_and(Platform::is_unknown);
        match child.annotations.get(ATTESTATION_OF) {
            _ if wanted.is_empty() => true,
            Some(about) if is_unknown => {
                self.manifests.iter().any(|image| image.digest.to_string() == *about && fits(image))
            }
            _ => fits(child),
        }
    }
}

/// Either of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image manifest.
    Image(Box<ImageManifest>),
    /// An image index.
    Index(Box<ImageIndex>),
}

/// The members whose presence tells what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

impl Document {
    /// Reads `bytes` as the document that a descriptor or header called `media_type`.
    ///
    /// The type named outside, the `mediaType` inside and the shape must agree (CVE-2021-41190).
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self> {
        let object = || format!("manifest {}", Digest::of(bytes));
        if bytes.len() as u64 > limits::OCI_MANIFEST_BYTES {
            return Err(Failure::new(Reason::OciLimit, object(), "a manifest is larger than 4 MiB"));
        }
        let malformed = |error: &serde_json::Error| Failure::new(Reason::OciMalformed, object(), error);
        let ambiguous = |message: String| Failure::new(Reason::OciAmbiguous, object(), message);
        if nesting(bytes) > limits::JSON_DEPTH {
            return Err(Failure::new(Reason::OciMalformed, object(), "it nests deeper than 64 levels"));
        }
        let shape: Shape = serde_json::from_slice(bytes).map_err(|error| {
            if error.to_string().starts_with("duplicate field") {
                ambiguous(error.to_string())
            } else {
                malformed(&error)
            }
        })?;
        if shape.schema_version != 2 {
            let message = format!("schemaVersion is {}, only 2 is carried", shape.schema_version);
            return Err(Failure::new(Reason::OciUnsupported, object(), message));
        }
        if !media_type::is_manifest(media_type) {
            let message =
                format!("the type {} is no image manifest or index", text::escaped(media_type, 100));
            return Err(Failure::new(Reason::OciUnsupported, object(), message));
        }
        if let Some(inside) = shape.media_type.as_deref().filter(|inside| *inside != media_type) {
            let inside = text::escaped(inside, 100);
            return Err(ambiguous(format!("it calls itself {inside}, but was announced as {media_type}")));
        }
        let is_index = media_type::is_index(media_type);
        let other_shape = if is_index {
            shape.layers.is_some() || shape.config.is_some()
        } else {
            shape.manifests.is_some()
        };
        if other_shape {
            return Err(ambiguous("it has the members of both an image manifest and an index".to_owned()));
        }
        let parsed = if is_index {
            serde_json::from_slice(bytes).map(|index| Self::Index(Box::new(index)))
        } else {
            serde_json::from_slice(bytes).map(|image| Self::Image(Box::new(image)))
        };
        let document = parsed.map_err(|error| {
            let words = error.to_string();
            if words.starts_with("duplicate field") { ambiguous(words) } else { malformed(&error) }
        })?;
        let descriptors = document.descriptors();
        if descriptors.len() > limits::DESCRIPTORS {
            return Err(Failure::new(Reason::OciLimit, object(), "it lists more than 10000 descriptors"));
        }
        descriptors.into_iter().chain(document.subject()).try_for_each(Descriptor::check_data)?;
        Ok(document)
    }

    /// Everything that must be present before this document is published: children of an index, or
    /// config and layers of an image. The `subject` is not among them (distribution-spec: it MAY be absent).
    pub fn descriptors(&self) -> Vec<&Descriptor> {
        match self {
            Self::Image(image) => std::iter::once(&image.config).chain(&image.layers).collect(),
            Self::Index(index) => index.manifests.iter().collect(),
        }
    }

    /// [`descriptors`](Self::descriptors) without the children of an index that are in `absent`. Config and
    /// layers are always needed.
    pub fn needs(&self, absent: &BTreeSet<Digest>) -> Vec<&Descriptor> {
        let mut needed = self.descriptors();
        if matches!(self, Self::Index(_)) {
            needed.retain(|child| !absent.contains(&child.digest));
        }
        needed
    }

    /// What this document is about.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// Annotations of the document.
    pub fn annotations(&self) -> &Annotations {
        match self {
            Self::Image(image) => &image.annotations,
            Self::Index(index) => &index.annotations,
        }
    }

    /// The type that a referrers list shows: `artifactType`, else an image's config type
    /// (distribution-spec "Listing Referrers").
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Image(image) => Some(image.artifact_type.as_deref().unwrap_or(&image.config.media_type)),
            Self::Index(index) => index.artifact_type.as_deref(),
        }
    }
}

/// How deep lists and objects nest, without recursion: unknown members are skipped by the parser, whatever
/// they hold, but other readers may not survive them (J07).
pub(crate) fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The type of a document whose sender did not say: its own `mediaType`, else by its shape.
pub fn sniff_media_type(bytes: &[u8]) -> Option<String> {
    let shape: Shape = serde_json::from_slice(bytes).ok()?;
    shape.media_type.or_else(|| {
        Some(if shape.manifests.is_some() { media_type::INDEX } else { media_type::MANIFEST }.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex() -> String {
        "a".repeat(64)
    }

    fn reason(json: &str, media_type: &str) -> Reason {
        Document::parse(json.as_bytes(), media_type).unwrap_err().reason
    }

    #[test]
    fn an_image_without_media_type_is_legal() {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:{0}","size":1,"Digest":"ignored"}},"layers":[]}}"#,
            hex()
        );
        let document = Document::parse(json.as_bytes(), media_type::MANIFEST).unwrap();
        assert_eq!(document.descriptors().len(), 1);
        assert_eq!(document.artifact_type(), Some("x"));
    }

    #[test]
    fn attestations_go_with_their_image() {
        let child = |bytes: &[u8], at: &str| Descriptor {
            platform: Platform::parse(at),
            ..Descriptor::of(media_type::MANIFEST, bytes)
        };
        let attest = |image: &Descriptor, bytes: &[u8]| Descriptor {
            annotations: [(ATTESTATION_OF.to_owned(), image.digest.to_string())].into(),
            ..child(bytes, "unknown/unknown")
        };
        let (amd, arm) = (child(b"amd", "linux/amd64"), child(b"arm", "linux/arm64"));
        let (about_amd, about_arm) = (attest(&amd, b"1"), attest(&arm, b"2"));
        let (unknown, artifact) =
            (child(b"3", "unknown/unknown"), Descriptor::of(media_type::MANIFEST, b"4"));
        let index = ImageIndex {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: vec![amd, arm, about_amd, about_arm, unknown, artifact],
            subject: None,
            annotations: Annotations::new(),
        };
        let kept = |wanted: &[Platform]| -> Vec<bool> {
            index.manifests.iter().map(|child| index.keeps(child, wanted)).collect()
        };
        let wanted = [Platform::parse("linux/amd64").unwrap()];
        assert_eq!(kept(&wanted), [true, false, true, false, true, true]);
        assert_eq!(kept(&[]), [true; 6]);
    }

    #[test]
    fn ambiguity_is_refused() {
        let descriptor = format!(r#"{{"mediaType":"x","digest":"sha256:{}","size":1}}"#, hex());
        let both = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"manifests":[]}}"#);
        assert_eq!(reason(&both, media_type::MANIFEST), Reason::OciAmbiguous);
        assert_eq!(reason(&both, media_type::INDEX), Reason::OciAmbiguous);
        let other =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::DOCKER_LIST);
        assert_eq!(reason(&other, media_type::INDEX), Reason::OciAmbiguous);
        let twice = format!(r#"{{"schemaVersion":2,"config":{descriptor},"config":{descriptor}}}"#);
        assert_eq!(reason(&twice, media_type::MANIFEST), Reason::OciAmbiguous);
        let inner = descriptor.replace("\"size\":1", "\"size\":1,\"size\":1");
        let deep = format!(r#"{{"schemaVersion":2,"config":{inner}}}"#);
        assert_eq!(reason(&deep, media_type::MANIFEST), Reason::OciAmbiguous);
    }

    #[test]
    fn numbers_digests_and_data_are_exact() {
        for size in ["-1", "1.0", "1e3", "18446744073709551616", "\"12\""] {
            let json = format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:{}","size":{size}}}}}"#,
                hex()
            );
            assert_eq!(reason(&json, media_type::MANIFEST), Reason::OciMalformed, "{size}");
        }
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:{}","size":2,"data":"e30="}}}}"#,
            hex()
        );
        assert_eq!(reason(&json, media_type::MANIFEST), Reason::DescriptorData);
        assert_eq!(reason(r#"{"schemaVersion":1}"#, media_type::MANIFEST), Reason::OciUnsupported);
        assert_eq!(reason(&"[".repeat(200), media_type::MANIFEST), Reason::OciMalformed);
    }
}
