//! The manifest as meant: checked, complete, with paths resolved against the file that named them.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use crate::{
    base::{clock::Timestamp, digest::Digest},
    cosign::Policy,
    oci::{Platform, Reference},
};

/// A whole manifest, includes merged.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// `[bundle]`.
    pub head: Head,
    /// `[[images]]`, in the order written.
    pub images: Vec<WantedImage>,
    /// `[[charts]]`, in the order written.
    pub charts: Vec<WantedChart>,
    /// `[[files]]`, in the order written.
    pub files: Vec<WantedFile>,
    /// `[registries."host:port"]`.
    pub registries: BTreeMap<String, RegistrySettings>,
}

/// `[bundle]`: what the bundle is called and where it stands in its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Name, safe on every medium ([`crate::base::path::is_media_name`]).
    pub name: String,
    /// Version, in the same grammar.
    pub version: String,
    /// Channel, in the same grammar; `default` unless written.
    pub channel: String,
    /// Epoch of the channel, 1 unless written.
    pub epoch: u64,
    /// Place in the channel, 1 unless written.
    pub sequence: u64,
    /// Free text for people.
    pub description: Option<String>,
    /// The one site that may import the bundle; any unless written.
    pub site: Option<String>,
    /// When the bundle is to be used no more; never unless written.
    pub expires: Option<Timestamp>,
    /// Folder of the trust documents that the bundle carries.
    pub trust: Option<PathBuf>,
}

/// Which referrers of an image are carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrers {
    /// Everything that upstream lists, and cosign's tags.
    All,
    /// Nothing.
    None,
    /// Only these artifact types.
    Types(Vec<String>),
}

/// One entry of `[[images]]`.
#[derive(Debug, Clone)]
pub struct WantedImage {
    /// Where it comes from.
    pub source: ImageSource,
    /// Platforms to carry; empty means all.
    pub platforms: Vec<Platform>,
    /// Referrers to carry.
    pub referrers: Referrers,
    /// Who must have signed it.
    pub verify: Option<Policy>,
}

/// Where an image comes from.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// A reference with a tag, a digest, or both (then both must agree upstream).
    Reference(Reference),
    /// Tags of a repository that a filter selects.
    Tags {
        /// The repository; without tag and digest.
        repository: Reference,
        /// Which tags.
        filter: TagFilter,
    },
    /// A folder or archive on this machine.
    Local(LocalImage),
}

/// Which tags of a repository are wanted: all conditions must hold, then the newest `latest` stay.
#[derive(Debug, Clone, Default)]
pub struct TagFilter {
    /// Tags that are versions (a leading `v` is allowed) in this range.
    pub semver: Option<semver::VersionReq>,
    /// Tags that this regular expression matches whole.
    pub regex: Option<String>,
    /// Keep this many of the highest versions; tags that are no versions order by name below them.
    pub latest: Option<usize>,
    /// Tags left out; `*` stands for any text.
    pub exclude: Vec<String>,
}

/// An image built here.
#[derive(Debug, Clone)]
pub struct LocalImage {
    /// Kind of the folder or archive.
    pub kind: LocalKind,
    /// Where it lies.
    pub path: PathBuf,
    /// Which image in it, when there are several (`org.opencontainers.image.ref.name`, or a repo tag).
    pub selector: Option<String>,
    /// The reference that it travels under; taken from the archive when absent there.
    pub name: Option<Reference>,
    /// As written, for the lock.
    pub written: String,
}

/// Kinds of local images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalKind {
    /// `oci:DIR[:ref]`: an OCI image layout.
    OciLayout,
    /// `oci-archive:FILE[:ref]`: the same in a tar file.
    OciArchive,
    /// `docker-archive:FILE[:ref]`: what `docker save` writes.
    DockerArchive,
}

/// One entry of `[[charts]]`.
#[derive(Debug, Clone)]
pub struct WantedChart {
    /// Where it comes from.
    pub source: ChartSource,
    /// Chart name.
    pub name: String,
    /// Version or range, as written; the highest match is taken.
    pub version: semver::VersionReq,
    /// The version as written: an exact version is matched exactly, build metadata included.
    pub written_version: String,
}

/// Where a chart comes from.
#[derive(Debug, Clone)]
pub enum ChartSource {
    /// A classic repository: the URL above `index.yaml`, without a slash at the end.
    Repository(String),
    /// `oci://host/path`: the repository of the chart itself, name included.
    Oci(Reference),
}

/// One entry of `[[files]]`.
#[derive(Debug, Clone)]
pub struct WantedFile {
    /// Where it comes from.
    pub source: FileSource,
    /// The file name inside the gap ([`crate::base::path::is_file_name`]).
    pub name: String,
    /// Tag of the artifact inside, `latest` unless written.
    pub version: String,
    /// The digest that it must have.
    pub expected: Option<Digest>,
    /// Whether it is made executable when written out.
    pub executable: bool,
    /// Media type of the content.
    pub media_type: String,
}

/// Where a file comes from.
#[derive(Debug, Clone)]
pub enum FileSource {
    /// An http or https URL, without user and password.
    Url(String),
    /// A file of this machine; `written` is what stands in the manifest.
    Path {
        /// Resolved against the manifest's folder.
        path: PathBuf,
        /// As written.
        written: String,
    },
}

/// `[registries."host:port"]`: how a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistrySettings {
    /// `host[:port][/prefix]` asked instead.
    pub mirror: Option<String>,
    /// Speak HTTP without TLS. Unless written, only to loopback addresses without a `ca_file`.
    pub plain_http: Option<bool>,
    /// Certificates in PEM accepted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections at once, 1 to 64; 8 unless written.
    pub max_connections: Option<usize>,
    /// Requests a second, 1 to 1000; unlimited unless written.
    pub requests_per_second: Option<u32>,
}

impl fmt::Display for Referrers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
            Self::Types(types) => f.write_str(&types.join(",")),
        }
    }
}

impl fmt::Display for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.semver.as_ref().map(|range| format!("semver={range}")));
        parts.extend(self.regex.as_ref().map(|regex| format!("regex={regex}")));
        parts.extend(self.latest.map(|count| format!("latest={count}")));
        if !self.exclude.is_empty() {
            parts.push(format!("exclude={}", self.exclude.join(",")));
        }
        f.write_str(&parts.join("; "))
    }
}

/// `wanted` is the canonical text of a request: the lock holds it beside what it was resolved to, so that a
/// change of the manifest is seen without asking upstream.
impl WantedImage {
    /// The request in one line.
    pub fn wanted(&self) -> String {
        let source = match &self.source {
            ImageSource::Reference(reference) => reference.to_string(),
            ImageSource::Tags { repository, filter } => format!("{repository} {{{filter}}}"),
            ImageSource::Local(local) => match &local.name {
                Some(name) => format!("{} as {name}", local.written),
                None => local.written.clone(),
            },
        };
        let platforms: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
        let platforms = if platforms.is_empty() { "all".to_owned() } else { platforms.join(",") };
        let verify =
            self.verify.as_ref().map_or_else(String::new, |policy| format!(" verify {}", policy.wanted()));
        format!("{source} platforms={platforms} referrers={}{verify}", self.referrers)
    }
}

impl WantedChart {
    /// The request in one line.
    pub fn wanted(&self) -> String {
        let source = match &self.source {
            ChartSource::Repository(url) => format!("{url} {}", self.name),
            ChartSource::Oci(reference) => format!("oci://{reference}"),
        };
        format!("{source} version={}", self.written_version)
    }
}

impl WantedFile {
    /// The request in one line.
    pub fn wanted(&self) -> String {
        let source = match &self.source {
            FileSource::Url(url) => url,
            FileSource::Path { written, .. } => written,
        };
        let mut text =
            format!("{source} name={} version={} media_type={}", self.name, self.version, self.media_type);
        let expected =
            self.expected.as_ref().map_or_else(String::new, |digest| format!(" expected={digest}"));
        let executable = if self.executable { " executable" } else { "" };
        text.push_str(&expected);
        text.push_str(executable);
        text
    }
}
