//! The results of commands, one type each. Fields are only ever added; `schema` rises when one changes.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    base::failure::Failure,
    cosign::ImageEvidence,
    trust::{SignedBy, sequence::Warning},
};

/// Result of `lock`.
#[derive(Debug, Clone, Serialize)]
pub struct LockReport {
    /// 1.
    pub schema: u32,
    /// The lock file.
    pub path: String,
    /// Images, charts, files in it.
    pub images: usize,
    /// Charts.
    pub charts: usize,
    /// Files.
    pub files: usize,
    /// Bytes of everything; content that artifacts share counts for each.
    pub bytes: u64,
    /// What changed against the lock before.
    pub changes: Vec<Change>,
    /// What became of the upstream signatures of each image.
    pub upstream_signatures: Vec<ImageEvidence>,
}

/// Something that is new, gone or different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `added`, `removed`, `changed`.
    pub change: &'static str,
    /// `image`, `chart`, `file`.
    pub kind: &'static str,
    /// Full name.
    pub name: String,
    /// Digest before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Digest after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What else differs: platforms, referrers and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// Result of `build --dry-run`.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// 1.
    pub schema: u32,
    /// The folder that the bundle would get.
    pub path: String,
    /// The artifacts.
    pub items: Vec<PlanLine>,
    /// Bytes that are not in the store yet.
    pub fetch_bytes: u64,
    /// Bytes of content, each blob once.
    pub content_bytes: u64,
    /// Most bytes that the bundle may take.
    pub bundle_bytes: u64,
    /// Most volumes.
    pub volumes: usize,
}

/// One artifact of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct PlanLine {
    /// `image`, `chart`, `file`.
    pub kind: &'static str,
    /// Full name.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of everything it needs.
    pub bytes: u64,
}

/// Something that somebody should look at.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Alarm {
    /// Stable reason.
    pub reason: &'static str,
    /// What it is about.
    pub object: String,
    /// In words.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&Failure> for Alarm {
    fn from(failure: &Failure) -> Self {
        Self {
            reason: failure.reason.text(),
            object: failure.object.clone(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        }
    }
}

/// Result of `build`.
#[derive(Debug, Clone, Serialize)]
pub struct BuildReport {
    /// 1.
    pub schema: u32,
    /// The bundle folder.
    pub path: String,
    /// Bundle name.
    pub name: String,
    /// Bundle version.
    pub version: String,
    /// SHA-256 of `SHA256SUMS`: the identity of the bundle.
    pub sums_digest: String,
    /// Number of artifacts.
    pub artifacts: usize,
    /// Number of blobs.
    pub blobs: usize,
    /// Volumes.
    pub volumes: Vec<VolumeLine>,
    /// Bytes of the volumes.
    pub bytes: u64,
    /// Ids of the keys that signed.
    pub signers: Vec<String>,
    /// The bundle stood there already, whole and with the same content.
    pub unchanged: bool,
    /// What to mend before it travels.
    pub alarms: Vec<Alarm>,
    /// What became of the upstream signatures of each image; empty where the bundle does not tell.
    pub upstream_signatures: Vec<ImageEvidence>,
}

/// A volume.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeLine {
    /// Path inside the bundle.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// Result of `verify`: only good bundles get one, bad ones end in failures.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// 1.
    pub schema: u32,
    /// `good`.
    pub verdict: &'static str,
    /// The bundle folder.
    pub path: String,
    /// Bundle name.
    pub name: String,
    /// Bundle version.
    pub version: String,
    /// Channel.
    pub channel: String,
    /// Epoch.
    pub epoch: u64,
    /// Sequence.
    pub sequence: u64,
    /// When it was made, by its builder's clock.
    pub created: String,
    /// When it is to be used no more. Whether that time has come, no verdict says: it would need a clock.
    pub expires: Option<String>,
    /// The bundle before it in the channel.
    pub previous: Option<String>,
    /// The one site that may import it.
    pub site: Option<String>,
    /// Version of the trust document that it was judged by; absent where single keys were given.
    pub trust_version: Option<u64>,
    /// What an import here would make of its place in the channel; absent where the home does not decide.
    pub here: Option<Here>,
    /// SHA-256 of `SHA256SUMS`.
    pub sums_digest: String,
    /// Whose signatures count.
    pub signers: Vec<SignedBy>,
    /// Ids of signature files that proved nothing: by other keys, or broken.
    pub ignored_signatures: Vec<String>,
    /// Number of artifacts.
    pub artifacts: usize,
    /// Number of blobs, all checked.
    pub blobs: usize,
    /// Number of volumes.
    pub volumes: usize,
    /// Bytes of content checked.
    pub bytes: u64,
    /// What became of the upstream signatures of each image; empty where the bundle does not tell.
    pub upstream_signatures: Vec<ImageEvidence>,
}

/// What an import at this site would make of a bundle that may be imported.
#[derive(Debug, Clone, Serialize)]
pub struct Here {
    /// Name of the site.
    pub site: String,
    /// Whether it is the very bundle that was imported last.
    pub again: bool,
    /// What would be no reason to refuse.
    pub warnings: Vec<Warning>,
    /// Rules that overrides would lift.
    pub lifted: Vec<&'static str>,
}

/// Result of `inspect`. Nothing in it is authenticated.
#[derive(Debug, Clone, Serialize)]
pub struct InspectReport {
    /// 1.
    pub schema: u32,
    /// Always false: `inspect` reads, `verify` checks.
    pub verified: bool,
    /// The bundle folder.
    pub path: String,
    /// Bundle name.
    pub name: String,
    /// Bundle version.
    pub version: String,
    /// Channel.
    pub channel: String,
    /// Epoch.
    pub epoch: u64,
    /// Sequence.
    pub sequence: u64,
    /// When it was made.
    pub created: String,
    /// The bundle before it in the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The one site that may import it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The trust document that a reader must know at least; absent where none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_version: Option<u64>,
    /// When it is to be used no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The sealift that made it.
    pub tool: String,
    /// SHA-256 of `SHA256SUMS`.
    pub sums_digest: String,
    /// Ids of the keys of the signature files.
    pub signatures: Vec<String>,
    /// The artifacts.
    pub artifacts: Vec<ArtifactLine>,
    /// The volumes.
    pub volumes: Vec<VolumeLine>,
    /// Number of blobs.
    pub blobs: usize,
    /// Bytes of content.
    pub bytes: u64,
    /// What became of the upstream signatures of each image; empty where the bundle does not tell.
    pub upstream_signatures: Vec<ImageEvidence>,
}

/// One artifact of a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct ArtifactLine {
    /// `image`, `chart`, `file`.
    pub kind: &'static str,
    /// Full name.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Platforms carried.
    pub platforms: Vec<String>,
    /// Children of its index that are not carried.
    pub absent: usize,
    /// Signatures, attestations, SBOMs.
    pub referrers: usize,
}

/// Result of `diff`.
#[derive(Debug, Clone, Serialize)]
pub struct DiffReport {
    /// 1.
    pub schema: u32,
    /// `NAME VERSION` of the first bundle.
    pub from: String,
    /// `NAME VERSION` of the second bundle.
    pub to: String,
    /// What changed, sorted by kind and name.
    pub changes: Vec<Change>,
    /// Artifacts that are the same.
    pub same: usize,
    /// Bytes of blobs that only the second has.
    pub bytes_added: u64,
    /// Bytes of blobs that only the first has.
    pub bytes_removed: u64,
}

/// Result of `init`.
#[derive(Debug, Clone, Serialize)]
pub struct InitReport {
    /// 1.
    pub schema: u32,
    /// The manifest.
    pub path: String,
}

/// Result of `key generate` and `key public`.
#[derive(Debug, Clone, Serialize)]
pub struct KeyReport {
    /// 1.
    pub schema: u32,
    /// The key id: the name of its signature files.
    pub key_id: String,
    /// The public key in PEM.
    pub public_key: String,
}

/// Result of `sign`, in each of its forms.
#[derive(Debug, Clone, Serialize)]
pub struct SignReport {
    /// 1.
    pub schema: u32,
    /// The bundle folder, or the exported file.
    pub path: String,
    /// Every byte of the bundle was compared with `SHA256SUMS`.
    pub checked: bool,
    /// Bundle name.
    pub name: String,
    /// Bundle version.
    pub version: String,
    /// Channel.
    pub channel: String,
    /// Epoch.
    pub epoch: u64,
    /// Sequence.
    pub sequence: u64,
    /// When it was made, by its builder's clock.
    pub created: String,
    /// Digest of the `SHA256SUMS` before this one in the channel.
    pub previous: Option<String>,
    /// The one site that may import it.
    pub site: Option<String>,
    /// Version of the trust document that a reader must know at least; 0 for none.
    pub trust: u64,
    /// When it is to be used no more.
    pub expires: Option<String>,
    /// SHA-256 of `SHA256SUMS`: what is signed.
    pub sums_digest: String,
    /// Number of artifacts; absent where the bundle was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<usize>,
    /// Number of blobs; absent where the bundle was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<usize>,
    /// Bytes of content; absent where the bundle was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Number of volumes.
    pub volumes: usize,
    /// Paths that `SHA256SUMS` lists.
    pub files: Vec<String>,
    /// Ids of the signature files that were there before. None of them was checked.
    pub signatures: Vec<String>,
    /// The keys that signed.
    pub keys: Vec<SignKeyLine>,
    /// What to mend before it travels.
    pub alarms: Vec<Alarm>,
    /// Where `--export` wrote `SHA256SUMS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
}

/// One key of `sign`.
#[derive(Debug, Clone, Serialize)]
pub struct SignKeyLine {
    /// Its id.
    pub key_id: String,
    /// `signed`, `already-signed`, `added`, `not-signed`.
    pub state: &'static str,
    /// What it signed last in this channel.
    pub last: Option<LastSigned>,
    /// What is new against that; absent where the contents of one of the two are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<DiffReport>,
    /// The signature file.
    pub path: Option<String>,
}

/// A bundle that a key signed.
#[derive(Debug, Clone, Serialize)]
pub struct LastSigned {
    /// Epoch.
    pub epoch: u64,
    /// Sequence.
    pub sequence: u64,
    /// SHA-256 of its `SHA256SUMS`.
    pub sums_digest: String,
}

/// Result of `doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorReport {
    /// 1.
    pub schema: u32,
    /// The worst of all checks: `ok`, `warning`, `problem`.
    pub state: &'static str,
    /// Every check, in the order made.
    pub checks: Vec<CheckLine>,
}

/// One check of `doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct CheckLine {
    /// `disk`, `clock` and so on.
    pub name: &'static str,
    /// `ok`, `warning`, `problem`.
    pub state: &'static str,
    /// What was looked at.
    pub object: String,
    /// What was found.
    pub found: String,
    /// What to do next; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The stable reason of a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}
