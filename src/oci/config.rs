//! Configs of images, as far as people ask for what they say (OCI image-spec, "Image Configuration").

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Platform, image::nesting, media_type};
use crate::base::limits;

/// What runs where, made when, labelled how. What it says is for people, nothing is decided by it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What it runs on.
    pub os: Option<String>,
    /// And on which processor.
    pub architecture: Option<String>,
    /// Of which kind.
    pub variant: Option<String>,
    /// When it was made, in the words of who made it.
    pub created: Option<String>,
    #[serde(rename = "config")]
    execution: Option<Execution>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Execution {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Config {
    /// Reads one; `None` for what is none, or one that nests too deep (threats J07).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if nesting(bytes) > limits::JSON_DEPTH {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }

    /// Whether content of this type is one.
    pub fn is_one(media_type: &str) -> bool {
        matches!(media_type, media_type::CONFIG | media_type::DOCKER_CONFIG)
    }

    /// `os/architecture[/variant]`, in the words that everybody uses; `None` where nobody could ask for it.
    pub fn platform(&self) -> Option<Platform> {
        let (os, architecture) = (self.os.as_deref()?, self.architecture.as_deref()?);
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty());
        let written =
            variant.map_or(format!("{os}/{architecture}"), |one| format!("{os}/{architecture}/{one}"));
        let short = written.len() <= limits::PLATFORM_BYTES;
        Platform::parse(&written).filter(|platform| short && !platform.is_unknown())
    }

    /// What the image is labelled with.
    pub fn labels(self) -> BTreeMap<String, String> {
        self.execution.and_then(|execution| execution.labels).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn what_cannot_be_asked_for_is_not_there() {
        let platform = |os: &str, architecture: &str, variant: &str| {
            let text = serde_json::json!({ "os": os, "architecture": architecture, "variant": variant });
            let config = Config::parse(text.to_string().as_bytes()).unwrap();
            config.platform().map(|platform| platform.to_string()).unwrap_or_default()
        };
        assert_eq!(platform("linux", "arm", "v7"), "linux/arm/v7");
        assert_eq!(platform("linux", "x86_64", ""), "linux/amd64");
        for (os, architecture) in [
            ("unknown", "unknown"),
            ("", "amd64"),
            ("<b>", "x"),
            ("linux", "a/b/c"),
            ("linux", &"x".repeat(99)),
        ] {
            assert_eq!(platform(os, architecture, ""), "", "{os} {architecture}");
        }
        let labels = Config::parse(br#"{"config":{"Labels":{"a":"b"}}}"#).unwrap().labels();
        assert_eq!(labels["a"], "b");
        for nothing in ["{}", r#"{"config":null}"#, r#"{"config":{"Labels":null}}"#] {
            assert!(Config::parse(nothing.as_bytes()).unwrap().labels().is_empty(), "{nothing}");
        }
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(70), "]".repeat(70));
        for wrong in ["1", "", r#"{"os":1}"#, r#"{"config":{"Labels":{"a":1}}}"#, &deep] {
            assert!(Config::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
