//! What people see of trust documents, beacons and overrides.

use serde::Serialize;

use crate::{
    base::failure::Result,
    trust::{Draft, SignedBy, Subject, difference, document::Text},
};

/// Result of `trust init --out`, `add`, `remove`, `rotate`, `revoke`, `channel`, `sign`, `show`, `export`, `beacon`
/// and `override`.
#[derive(Debug, Clone, Serialize)]
pub struct TrustReport {
    /// 1.
    pub schema: u32,
    /// The folder or file.
    pub path: String,
    /// Every trust document that holds, oldest first, where a folder is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<TrustVersion>,
    /// What is shown in full.
    pub documents: Vec<SignedDocument>,
    /// What was done and what to do, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A trust document that holds.
#[derive(Debug, Clone, Serialize)]
pub struct TrustVersion {
    /// Its version.
    pub version: u64,
    /// Its fingerprint.
    pub fingerprint: String,
}

/// A document and who signed it.
#[derive(Debug, Clone, Serialize)]
pub struct SignedDocument {
    /// `trust`, `beacon` or `override`.
    pub kind: &'static str,
    /// SHA-256 of the text that is signed.
    pub fingerprint: String,
    /// Whether all signed who must.
    pub complete: bool,
    /// What it says.
    pub says: Says,
    /// The version that `changes` are told against; absent for a first document and for one that came alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_version: Option<u64>,
    /// What a trust document changes, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Whose signatures hold and count.
    pub signed: Vec<SignedBy>,
    /// Who is missing.
    pub missing: Vec<Missing>,
    /// Key ids of other signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_signatures: Vec<String>,
    /// The version before is not at hand, so that its holders are not looked for.
    pub torn: bool,
}

/// What a document says.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Says {
    /// A trust document.
    Trust(Box<Text>),
    /// A beacon.
    Beacon(crate::trust::Beacon),
    /// An override.
    Override(crate::trust::Override),
}

/// A rule that is not met yet.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// The rule.
    pub role: String,
    /// How many more must sign.
    pub holders_needed: usize,
    /// Who could.
    pub holders: Vec<String>,
}

impl SignedDocument {
    /// Everything that is to be told about a document.
    pub fn new(draft: &Draft) -> Result<Self> {
        let standings = draft.standings()?;
        let mut signed: Vec<SignedBy> = standings.iter().flat_map(|one| one.signed.clone()).collect();
        signed.sort();
        let missing = standings.iter().filter(|standing| !standing.is_met()).map(|standing| Missing {
            role: standing.role.clone(),
            holders_needed: standing.lacks(),
            holders: standing.others.iter().cloned().collect(),
        });
        let all = draft.note().signatures().into_iter().map(|signature| signature.key_id);
        let ignored = all.filter(|key_id| signed.iter().all(|by| by.key_id != *key_id)).collect();
        let (kind, says) = match draft.subject() {
            Subject::Trust(document) => ("trust", Says::Trust(Box::new(document.text().clone()))),
            Subject::Beacon(beacon) => ("beacon", Says::Beacon(beacon.clone())),
            Subject::Override(exception) => ("override", Says::Override(exception.clone())),
        };
        let before = match draft.subject() {
            Subject::Trust(_) => draft.chain().map(crate::trust::Chain::latest),
            _ => None,
        };
        let changes = match (&says, before) {
            (Says::Trust(text), Some(before)) => difference(before.text(), text),
            _ => Vec::new(),
        };
        Ok(Self {
            kind,
            fingerprint: draft.fingerprint().hex().to_owned(),
            complete: !draft.is_torn() && draft.check().is_ok(),
            says,
            since_version: before.map(crate::trust::Document::version),
            changes,
            missing: missing.collect(),
            signed,
            ignored_signatures: ignored,
            torn: draft.is_torn(),
        })
    }
}
