//! The report of an import: what came from which bundle, signed by whom, and where it went.
//!
//! One JSON document, schema 1, lists sorted; but for `time` and the counts of what was already there it is
//! the same whenever the same bundle is imported the same way.
//!
//! ```json
//! { "schema": 1, "time": "2026-11-21T00:00:00Z", "dry_run": false,
//!   "site": "berlin", "trust_version": 3, "again": false,
//!   "warnings": [{ "warning": "gap", "from": 40, "to": 42 }],
//!   "in_doubt": [{ "channel": "prod", "position": { "epoch": 1, "sequence": 40, "bundle": "sha256:…" },
//!                  "key_id": "fedcba9876543210fedcba9876543210", "holder": "bob" }],
//!   "bundle": { "name": "edge", "version": "1.0", "channel": "prod", "epoch": 1, "sequence": 42,
//!               "sums": "sha256:…", "signers": [{ "role": "release", "holder": "alice",
//!               "key_id": "0123456789abcdef0123456789abcdef" }] },
//!   "destination": "registry.internal:5000/mirror",
//!   "names": [], "platforms": ["linux/amd64"], "mapping": [{ "from": "docker.io", "to": "hub" }],
//!   "sign_key": null,
//!   "artifacts": [{ "kind": "image", "name": "docker.io/library/nginx:1.27",
//!                   "target": "mirror/hub/library/nginx:1.27", "digest": "sha256:…",
//!                   "platforms": ["linux/amd64"], "absent": ["sha256:…"], "referrers": ["sha256:…"],
//!                   "dropped_referrers": [], "signatures": [] }],
//!   "not_selected": [], "files": [],
//!   "counts": { "artifacts": 1, "manifests": 2, "tags": 1, "blobs_written": 5, "blobs_skipped": 0,
//!               "bytes_written": 70000000, "bytes_skipped": 0 } }
//! ```

use serde::{Deserialize, Serialize};

use super::site::InDoubt;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Result},
    },
    trust::{SignedBy, sequence::Warning},
};

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Format version, 1.
    pub schema: u32,
    /// When the import ran, RFC 3339.
    pub time: String,
    /// Whether nothing was done, only listed.
    pub dry_run: bool,
    /// Name of the site; null where no trust document is pinned, and nothing protects against replay.
    pub site: Option<String>,
    /// Version of the trust document that decided; null where single keys were given.
    pub trust_version: Option<u64>,
    /// Whether it is the very bundle that was imported last.
    pub again: bool,
    /// What was no reason to refuse.
    pub warnings: Vec<Warning>,
    /// Imports of before that a trust document puts in doubt which came with this bundle.
    pub in_doubt: Vec<InDoubt>,
    /// Where everything came from.
    pub bundle: Origin,
    /// `home`, or `HOST[/PREFIX]`.
    pub destination: String,
    /// Name patterns that were asked for; empty means all.
    pub names: Vec<String>,
    /// Platforms that were asked for; empty means all.
    pub platforms: Vec<String>,
    /// Changes of names that were asked for.
    pub mapping: Vec<Renaming>,
    /// Id of the key that images were signed with, if any.
    pub sign_key: Option<String>,
    /// What was imported, in the order of the bundle.
    pub artifacts: Vec<Entry>,
    /// Names of artifacts that the filters left out.
    pub not_selected: Vec<String>,
    /// Files written out.
    pub files: Vec<File>,
    /// Sums.
    pub counts: Counts,
}

/// The bundle, as its signed root names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Channel.
    pub channel: String,
    /// Epoch of the channel.
    pub epoch: u64,
    /// Place in the channel.
    pub sequence: u64,
    /// Digest of `SHA256SUMS`.
    pub sums: Digest,
    /// Whose signatures counted.
    pub signers: Vec<SignedBy>,
}

/// A change of names: repositories below `from` stand below `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renaming {
    /// Prefix of the original repository.
    pub from: String,
    /// What stands in its place.
    pub to: String,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `image`, `chart` or `file`.
    pub kind: String,
    /// As the bundle names it.
    pub name: String,
    /// `repository:tag`, or `repository@digest` without a tag.
    pub target: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Platforms imported.
    pub platforms: Vec<String>,
    /// Children of the index that are not there: never carried, or left out by `platforms`.
    pub absent: Vec<Digest>,
    /// Signatures, attestations, SBOMs imported with it.
    pub referrers: Vec<Digest>,
    /// Those not imported, because what they are about was left out.
    pub dropped_referrers: Vec<Digest>,
    /// Manifests of the site's signatures of it.
    pub signatures: Vec<Digest>,
}

/// A file written out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// File name in the folder.
    pub name: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Whether it was there already, with the same content.
    pub present: bool,
}

/// Sums; bytes are counted once for each distinct content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Artifacts imported.
    pub artifacts: usize,
    /// Manifests published, one in two repositories counted twice.
    pub manifests: usize,
    /// Tags published.
    pub tags: usize,
    /// Contents written; with `dry_run`, those that would be.
    pub blobs_written: usize,
    /// Contents that were there.
    pub blobs_skipped: usize,
    /// Bytes of the contents written.
    pub bytes_written: u64,
    /// Bytes of the contents that were there.
    pub bytes_skipped: u64,
}

impl ImportReport {
    /// The document, indented, with a line feed at the end.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(Failure::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example at the top of this file, with whole digests in place of the shortened ones.
    #[test]
    fn the_example_is_a_report() {
        let text: String = include_str!("import.rs")
            .lines()
            .skip_while(|line| !line.ends_with("```json"))
            .skip(1)
            .take_while(|line| !line.ends_with("```"))
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        let text = text.replace('…', &"a".repeat(64));
        let report: ImportReport = serde_json::from_str(&text).unwrap();
        assert_eq!(report.schema, 1);
        // No field of ours is missing from the example, and none of the example unknown to us.
        let ours: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        let example: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ours, example);
    }
}
