//! Descriptors: media type, digest, size.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Platform;
use crate::base::{
    digest::{Digest, Hasher},
    failure::{Failure, Reason, Result},
};

/// Annotations; a key that stands twice is refused (threats J04).
pub type Annotations = BTreeMap<String, String>;

/// A descriptor (OCI image-spec, "Content Descriptors"). Unknown fields are ignored and never acted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Where else the content may be had. Never fetched from (J12).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_keys")]
    pub annotations: Annotations,
    /// The content itself, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Type of the artifact that the content is the manifest of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Platform of the image, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A plain descriptor.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            artifact_type: None,
            platform: None,
        }
    }

    /// The descriptor of `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Checks that `bytes` are this content: size first, then digest.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != self.size {
            let message = format!("expected {} bytes, found {}", self.size, bytes.len());
            return Err(Failure::new(Reason::SizeMismatch, &self.digest, message));
        }
        let mut hasher = Hasher::new(self.digest.algorithm());
        hasher.update(bytes);
        let found = hasher.finish();
        if found == self.digest {
            Ok(())
        } else {
            Err(Failure::new(
                Reason::DigestMismatch,
                &self.digest,
                format!("the bytes have the digest {found}"),
            ))
        }
    }

    /// Checks embedded `data` against digest and size (J16).
    pub fn check_data(&self) -> Result<()> {
        let Some(data) = &self.data else { return Ok(()) };
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).map_err(|error| {
            Failure::new(
                Reason::DescriptorData,
                &self.digest,
                format!("embedded data are no base64: {error}"),
            )
        })?;
        self.check(&bytes).map_err(|failure| failure.as_reason(Reason::DescriptorData))
    }
}

/// Reads a map of strings, refusing a key that stands twice.
pub(crate) fn unique_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Annotations, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Annotations;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of strings")
        }
        fn visit_unit<E>(self) -> Result<Annotations, E> {
            Ok(Annotations::new())
        }
        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
            let mut annotations = Annotations::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if annotations.contains_key(&key) {
                    return Err(de::Error::custom(format!("duplicate field `{key}`")));
                }
                annotations.insert(key, value);
            }
            Ok(annotations)
        }
    }
    deserializer.deserialize_any(Visitor)
}
