//! Platforms and how they match (OCI image-spec "platform"; containerd's normalisation).

use std::fmt;

use serde::{Deserialize, Serialize};

/// `os/architecture[/variant]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64`, …
    #[serde(default)]
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Build number of Windows.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Needed features of the system.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl Platform {
    /// Parses `os/architecture[/variant]` as users write it, with the usual aliases.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let clean = |part: &&str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(clean) {
            return None;
        }
        let part = |at: usize| parts.get(at).map(|text| text.to_ascii_lowercase());
        let (os, architecture) = (part(0)?, part(1)?);
        let (architecture, implied) = match architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64".to_owned(), None),
            "aarch64" => ("arm64".to_owned(), None),
            "armhf" => ("arm".to_owned(), Some("v7".to_owned())),
            "armel" => ("arm".to_owned(), Some("v6".to_owned())),
            _ => (architecture, None),
        };
        Some(Self {
            os,
            architecture,
            variant: part(2).or(implied),
            os_version: None,
            os_features: Vec::new(),
        })
    }

    /// Whether an image made for `self` is what a request for `wanted` means. A request without variant
    /// takes every variant; `arm64` and `arm64/v8` are the same.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        let variant = |platform: &Self| match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("arm64", None) => Some("v8".to_owned()),
            (_, variant) => variant.map(str::to_owned),
        };
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || variant(self) == variant(wanted))
    }

    /// BuildKit marks attestation manifests with `unknown/unknown`: they travel with their image and are
    /// never selected as one.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Platform;

    fn matches(image: &str, wanted: &str) -> bool {
        Platform::parse(image).unwrap().satisfies(&Platform::parse(wanted).unwrap())
    }

    #[test]
    fn matching() {
        assert!(matches("linux/amd64", "linux/x86_64"));
        assert!(matches("linux/arm64", "linux/arm64/v8"));
        assert!(matches("linux/arm/v7", "linux/arm"));
        assert!(matches("linux/arm/v7", "linux/armhf"));
        assert!(!matches("linux/arm/v6", "linux/arm/v7"));
        assert!(!matches("windows/amd64", "linux/amd64"));
        assert_eq!(Platform::parse("linux"), None);
        assert_eq!(Platform::parse("linux/../x"), None);
    }
}
