//! What a bundle records about the signatures of its images: `evidence/signatures.json`.
//!
//! ```json
//! { "schema": 1,
//!   "images": [
//!     { "name": "registry.example.com/team/app:1.0", "digest": "sha256:…", "outcome": "verified",
//!       "signatures": 2,
//!       "by": [{ "form": "bundle", "manifest": "sha256:…", "key": "0123456789abcdef0123456789abcdef" }] },
//!     { "name": "registry.example.com/team/tool:2.1", "digest": "sha256:…", "outcome": "unsigned",
//!       "signatures": 0, "by": [] }
//!   ] }
//! ```

use serde::{Deserialize, Serialize};

use super::Form;
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
};

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Format version, 1.
    pub schema: u32,
    /// Every image of the bundle, sorted by name.
    pub images: Vec<ImageEvidence>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEvidence {
    /// As the bundle names it.
    pub name: String,
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// What came out.
    pub outcome: Outcome,
    /// Manifests with signatures of it that are carried.
    pub signatures: usize,
    /// The signatures that hold, sorted.
    pub by: Vec<Signed>,
}

/// What came out for one image. An image whose check failed is in no bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The manifest asked for a signature, and one holds.
    Verified,
    /// Nothing was asked; there are signatures, and nobody checked them.
    NotChecked,
    /// Nothing was asked, and no signature is carried.
    Unsigned,
}

impl Outcome {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NotChecked => "not checked",
            Self::Unsigned => "unsigned",
        }
    }
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// How it is kept.
    pub form: Form,
    /// The manifest that lists it.
    pub manifest: Digest,
    /// Id of the key that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The identity that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Who vouched for that identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl Signed {
    /// Who signed, for people.
    pub fn who(&self) -> String {
        match (&self.key, &self.identity, &self.issuer) {
            (Some(key), _, _) => format!("key {key}"),
            (None, Some(identity), Some(issuer)) => format!("{identity} ({issuer})"),
            _ => "nobody".to_owned(),
        }
    }
}

impl ImageEvidence {
    /// The outcome in one line.
    pub fn words(&self) -> String {
        let mut who: Vec<String> = self.by.iter().map(Signed::who).collect();
        who.sort();
        who.dedup();
        match self.outcome {
            Outcome::Verified => format!("verified: {}", who.join(", ")),
            other => other.words().to_owned(),
        }
    }
}

impl Evidence {
    /// The name of the document in a bundle, below `evidence/`.
    pub const NAME: &'static str = "signatures.json";

    /// The document of these images.
    pub fn new(mut images: Vec<ImageEvidence>) -> Self {
        images.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
        Self { schema: 1, images }
    }

    /// The document, indented, with a line feed at the end.
    ///
    /// # Errors
    /// None but a bug.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(Failure::internal)
    }

    /// Reads the document of a bundle whose signature was checked.
    ///
    /// # Errors
    /// [`Reason::EvidenceMalformed`], [`Reason::FormatVersion`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed = |why: &dyn std::fmt::Display| {
            Failure::new(Reason::EvidenceMalformed, "evidence/signatures.json", why)
        };
        let evidence: Self = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        if evidence.schema != 1 {
            let message = format!("schema {} is not known, only 1", evidence.schema);
            return Err(malformed(&message).as_reason(Reason::FormatVersion).hint("use a newer sealift"));
        }
        if evidence.to_json()?.as_bytes() != bytes || Self::new(evidence.images.clone()) != evidence {
            return Err(malformed(&"it is not in the canonical form"));
        }
        Ok(evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example at the top of this file, with whole digests in place of the shortened ones.
    #[test]
    fn the_example_is_evidence() {
        let text: String = include_str!("evidence.rs")
            .lines()
            .skip_while(|line| !line.ends_with("```json"))
            .skip(1)
            .take_while(|line| !line.ends_with("```"))
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        let text = text.replace('…', &"a".repeat(64));
        let evidence: Evidence = serde_json::from_str(&text).unwrap();
        let written = evidence.to_json().unwrap();
        assert_eq!(Evidence::parse(written.as_bytes()).unwrap(), evidence);
        let ours: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(ours, serde_json::from_str::<serde_json::Value>(&text).unwrap());
        let reason = |text: &str| Evidence::parse(text.as_bytes()).unwrap_err().reason;
        assert_eq!(reason(&written.replace("\"schema\": 1", "\"schema\": 2")), Reason::FormatVersion);
        assert_eq!(reason(&text), Reason::EvidenceMalformed);
        assert_eq!(
            reason(&written.replace("\"signatures\": 0", "\"signatures\": 0, \"x\": 0")),
            Reason::EvidenceMalformed
        );
    }
}
