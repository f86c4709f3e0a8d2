//! The manifest as written: each table and its keys, described once.
//!
//! [`super::check`] reads it; the JSON Schema for editors is `docs/sealift.schema.json`, and the comments here are what
//! an editor shows.

use schemars::JsonSchema;
use toml::{Spanned, de::DeValue};

use crate::base::written::{At, Faults, Named, Read, table};

table! {
    /// sealift manifest: the images, charts and files of one bundle. Reference: docs/manifest.md
    #[schemars(title = "sealift manifest")]
    Document = "the manifest" {
        /// Version of this format.
        #[schemars(extend("const" = 1, "default" = 1))]
        optional schema: At<u64>,
        /// Other manifests whose entries are added to this one, relative to this file. Only the first file
        /// may hold `[bundle]`.
        #[schemars(extend("examples" = [["monitoring.toml"]]))]
        optional include: Vec<At<String>>,
        /// What the bundle is called, and where it stands in its channel.
        optional bundle: BundleTable,
        /// Container images and other OCI artifacts.
        optional images: Vec<ImageTable>,
        /// Helm charts.
        optional charts: Vec<ChartTable>,
        /// Binaries and any other files.
        optional files: Vec<FileTable>,
        /// How servers are reached, by host:port. Credentials are never written here.
        optional registries: Named<RegistryTable>,
    }
}

table! {
    /// What the bundle is called, and where it stands in its channel.
    BundleTable = "[bundle]" {
        /// Name of the bundle: lower-case letters, digits and . _ - (at most 64).
        #[schemars(extend("pattern" = MEDIA_NAME, "maxLength" = 64, "examples" = ["edge-platform"]))]
        required name: At<String>,
        /// Version of the bundle, in the letters that the name may have.
        #[schemars(extend("pattern" = MEDIA_NAME, "maxLength" = 64, "examples" = ["2026.11"]))]
        required version: At<String>,
        /// The sequence of bundles that this one continues.
        #[schemars(extend("pattern" = MEDIA_NAME, "maxLength" = 64, "default" = "default"))]
        optional channel: At<String>,
        /// Epoch of the channel: raised when a sequence has to begin anew.
        #[schemars(extend("minimum" = 1, "default" = 1))]
        optional epoch: At<u64>,
        /// Place in the channel: raised with every bundle that is sent.
        #[schemars(extend("minimum" = 1, "default" = 1))]
        optional sequence: At<u64>,
        /// Platforms of images that name none themselves; an empty list means all.
        #[schemars(extend("default" = [], "examples" = [["linux/amd64", "linux/arm64"]]))]
        optional platforms: Vec<At<String>>,
        /// Free text for the people who receive the bundle.
        #[schemars(extend("maxLength" = DESCRIPTION_LETTERS))]
        optional description: At<String>,
        /// The one site that may import the bundle, by the name that it was given there; any site when absent.
        #[schemars(extend("pattern" = MEDIA_NAME, "maxLength" = 64, "examples" = ["plant-7"]))]
        optional site: At<String>,
        /// When the bundle is to be used no more, in UTC. A site warns, or refuses if it is set to.
        #[schemars(extend("examples" = ["2027-11-21T00:00:00Z"]))]
        optional expires: At<String>,
        /// Folder of the trust documents, relative to this file. The bundle carries them.
        #[schemars(extend("examples" = ["trust"]))]
        optional trust: At<String>,
    }
}

table! {
    /// An image by reference, tags of a repository, or an image built on this machine.
    #[schemars(extend("oneOf" = [
        { "required": ["image"], "not": { "anyOf": [{ "required": ["repository"] }, { "required": ["tags"] }] } },
        { "required": ["repository", "tags"], "not": { "anyOf": [{ "required": ["image"] }, { "required": ["name"] }] } },
    ]))]
    ImageTable = "[[images]]" {
        /// Full reference with a tag, a digest or both; or `oci:DIR[:ref]`, `oci-archive:FILE[:ref]`,
        /// `docker-archive:FILE[:ref]`.
        #[schemars(extend("examples" = ["docker.io/library/nginx:1.27", "oci-archive:build/app.tar"]))]
        optional image: At<String>,
        /// Repository whose tags are selected by `tags`.
        #[schemars(extend("examples" = ["registry.k8s.io/coredns/coredns"]))]
        optional repository: At<String>,
        /// Which tags of `repository`.
        optional tags: TagsTable,
        /// The reference that an image built on this machine travels under.
        #[schemars(extend("examples" = ["registry.example.com/team/app:1.0"]))]
        optional name: At<String>,
        /// Platforms to carry; an empty list means all. Taken from `[bundle]` if not written.
        #[schemars(extend("examples" = [["linux/amd64"]]))]
        optional platforms: Vec<At<String>>,
        /// Signatures, attestations, SBOMs to carry along: "all", "none", or a list of artifact types.
        #[schemars(extend("default" = "all"))]
        optional referrers: ReferrersValue,
        /// Who must have signed the image upstream. Checked before it enters a lock or a bundle; the signatures
        /// are carried along.
        optional verify: VerifyTable,
    }
}

table! {
    /// Who must have signed an image: one of some keys, or an identity that a certificate names.
    #[schemars(extend("oneOf" = [
        {
            "required": ["keys"],
            "not": { "anyOf": [{ "required": ["identity"] }, { "required": ["issuer"] }, { "required": ["trusted_root"] }] },
        },
        { "required": ["identity", "issuer", "trusted_root"], "not": { "required": ["keys"] } },
    ]))]
    VerifyTable = "verify" {
        /// Public keys in PEM (ECDSA P-256 or Ed25519), relative to this file; a signature by one of them is enough.
        #[schemars(extend("minItems" = 1, "maxItems" = MOST_KEYS, "examples" = [["keys/vendor.pub"]]))]
        optional keys: Vec<At<String>>,
        /// The identity of a keyless signature: an email address or a URI, compared as it stands.
        #[schemars(extend("examples" = ["https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1.0"]))]
        optional identity: At<String>,
        /// The issuer of tokens that vouched for the identity.
        #[schemars(extend("examples" = ["https://token.actions.githubusercontent.com"]))]
        optional issuer: At<String>,
        /// Sigstore's trusted root in JSON, relative to this file.
        #[schemars(extend("examples" = ["keys/trusted_root.json"]))]
        optional trusted_root: At<String>,
    }
}

table! {
    /// Which tags: all conditions must hold, then the newest `latest` stay.
    #[schemars(extend("anyOf" = [{ "required": ["semver"] }, { "required": ["regex"] }, { "required": ["latest"] }]))]
    TagsTable = "tags" {
        /// Tags that are versions in this range; a leading v is allowed.
        #[schemars(extend("examples" = [">=1.2, <2"]))]
        optional semver: At<String>,
        /// Tags that this regular expression matches from beginning to end.
        #[schemars(extend("examples" = ["1\\.\\d+-alpine"]))]
        optional regex: At<String>,
        /// Keep this many of the highest versions.
        #[schemars(extend("minimum" = 1, "maximum" = MOST_TAGS))]
        optional latest: At<u64>,
        /// Tags left out; * stands for any text.
        #[schemars(extend("default" = [], "examples" = [["*-rc*", "1.2.3"]]))]
        optional exclude: Vec<At<String>>,
    }
}

table! {
    /// A Helm chart from a classic repository or from an OCI registry.
    ChartTable = "[[charts]]" {
        /// URL above index.yaml, or `oci://host/path` without the name of the chart.
        #[schemars(extend("pattern" = "^(https?|oci)://", "examples" = ["https://charts.jetstack.io"]))]
        required repository: At<String>,
        /// Name of the chart.
        #[schemars(extend("examples" = ["cert-manager"]))]
        required name: At<String>,
        /// One exact version, or a range of which the highest match is taken.
        #[schemars(extend("examples" = ["v1.16.2", ">=1.16, <2"]))]
        required version: At<String>,
    }
}

table! {
    /// A file from a server or from this machine.
    #[schemars(extend(
        "oneOf" = [{ "required": ["url"] }, { "required": ["path"] }],
        "not" = { "required": ["sha256", "sha512"] },
    ))]
    FileTable = "[[files]]" {
        /// http or https URL.
        #[schemars(extend("pattern" = "^https?://", "examples" = ["https://dl.k8s.io/v1.31.0/bin/linux/amd64/kubectl"]))]
        optional url: At<String>,
        /// Path on this machine, relative to this file.
        #[schemars(extend("examples" = ["scripts/install.sh"]))]
        optional path: At<String>,
        /// The SHA-256 that the content must have, in hex.
        #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
        optional sha256: At<String>,
        /// The SHA-512 that the content must have, in hex.
        #[schemars(extend("pattern" = "^[0-9a-f]{128}$"))]
        optional sha512: At<String>,
        /// File name inside the gap; the last part of the URL or path if not written.
        #[schemars(extend("examples" = ["kubectl"]))]
        optional name: At<String>,
        /// Version inside the gap: the tag of the artifact that carries the file.
        #[schemars(extend("pattern" = "^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$", "default" = "latest"))]
        optional version: At<String>,
        /// Whether the file is made executable when it is written out.
        #[schemars(extend("default" = false))]
        optional executable: At<bool>,
        /// Media type of the content.
        #[schemars(extend("default" = "application/octet-stream"))]
        optional media_type: At<String>,
    }
}

table! {
    /// How one server is reached. Credentials are never written here.
    RegistryTable = "[registries.\"host:port\"]" {
        /// `host[:port][/prefix]` asked instead; names in the bundle stay those of the original.
        #[schemars(extend("examples" = ["mirror.example.com/docker-hub"]))]
        optional mirror: At<String>,
        /// Speak HTTP without TLS. Content is still checked against its digests. Unless written, HTTP is spoken
        /// to this machine only (localhost, 127.0.0.1), and not where `ca_file` stands.
        optional plain_http: At<bool>,
        /// PEM file with certificates that are accepted besides those of the system.
        #[schemars(extend("examples" = ["certs/company-ca.pem"]))]
        optional ca_file: At<String>,
        /// Most connections at once.
        #[schemars(extend("minimum" = 1, "maximum" = MOST_CONNECTIONS, "default" = 8))]
        optional max_connections: At<u64>,
        /// Most requests a second; without limit if not written.
        #[schemars(extend("minimum" = 1, "maximum" = MOST_REQUESTS))]
        optional requests_per_second: At<u64>,
    }
}

/// The grammar of [`crate::base::path::is_media_name`], but for the names that Windows reserves.
const MEDIA_NAME: &str = "^[a-z0-9_][a-z0-9._-]*$";
/// Most letters of `description`.
pub(super) const DESCRIPTION_LETTERS: usize = 4096;
/// Largest `latest`.
pub(super) const MOST_TAGS: u64 = 1000;
/// Most keys of one `verify`.
pub(super) const MOST_KEYS: usize = 64;
/// Largest `max_connections`.
pub(super) const MOST_CONNECTIONS: u64 = 64;
/// Largest `requests_per_second`.
pub(super) const MOST_REQUESTS: u64 = 1000;

/// `referrers`: a word or a list.
#[derive(Debug)]
pub(super) enum ReferrersValue {
    Word(At<String>),
    Types(Vec<At<String>>),
}

impl Read for ReferrersValue {
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => Read::read(value, faults).map(Self::Types),
            _ => Read::read(value, faults).map(Self::Word),
        }
    }
}

impl JsonSchema for ReferrersValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Referrers".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "enum": ["all", "none"] },
                { "type": "array", "items": { "type": "string" } },
            ]
        })
    }
}

/// The JSON Schema of a manifest, for editors: `docs/sealift.schema.json`.
pub fn json_schema() -> String {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<Document>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
