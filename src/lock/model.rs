//! A manifest resolved to digests. Every entry ends in one OCI manifest: `digest`, `media_type`, `size`.

use crate::{
    base::digest::Digest,
    cosign,
    oci::{Descriptor, media_type},
};

/// A whole lock. Lists are sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Time of the last change, RFC 3339; the bundle's `created`. Kept when nothing changes.
    pub created: String,
    /// Images; several entries may come from one request.
    pub images: Vec<LockedImage>,
    /// Charts.
    pub charts: Vec<LockedChart>,
    /// Files.
    pub files: Vec<LockedFile>,
}

/// An image, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedImage {
    /// Full reference that it travels under: with a tag, or with a digest only.
    pub name: String,
    /// The request ([`crate::manifest::WantedImage::wanted`]).
    pub wanted: String,
    /// Further requests that lead to it, as a tag does that is asked for by name and by a filter; sorted.
    pub also: Vec<String>,
    /// The image manifest or index.
    pub root: Descriptor,
    /// Bytes of everything carried for it, manifests included.
    pub total: u64,
    /// Platforms carried, as `os/architecture[/variant]`; empty for artifacts.
    pub platforms: Vec<String>,
    /// Children of the index that are not carried.
    pub absent: Vec<Digest>,
    /// Referrers carried, of the image itself, its children and other referrers.
    pub referrers: Vec<LockedReferrer>,
}

impl Lock {
    /// The names of all entries.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        let images = self.images.iter().map(|image| &image.name);
        images
            .chain(self.charts.iter().map(|chart| &chart.name))
            .chain(self.files.iter().map(|file| &file.name))
    }
}

impl LockedImage {
    /// Its referrers that may hold signatures of it.
    pub fn signatures(&self) -> impl Iterator<Item = &LockedReferrer> {
        self.referrers.iter().filter(|referrer| {
            referrer.subject == self.root.digest
                && cosign::may_sign(
                    &referrer.subject,
                    referrer.artifact_type.as_deref(),
                    referrer.tag.as_deref(),
                )
        })
    }

    /// Every request that it answers.
    pub fn requests(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.wanted).chain(&self.also).map(String::as_str)
    }
}

impl LockedChart {
    /// Every request that it answers.
    pub fn requests(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.wanted).chain(&self.also).map(String::as_str)
    }
}

impl LockedFile {
    /// The content: what `total` counts beside the manifest and its config of two bytes.
    pub fn content(&self) -> Descriptor {
        let size = self.total.saturating_sub(self.root.size).saturating_sub(2);
        Descriptor::new(media_type::OCTETS, self.content.clone(), size)
    }
}

/// A signature, attestation, SBOM or other artifact about an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedReferrer {
    /// The manifest that it is about.
    pub subject: Digest,
    /// Its own manifest.
    pub digest: Digest,
    /// Type of its manifest.
    pub media_type: String,
    /// Bytes of its manifest.
    pub size: u64,
    /// What it is, for instance `application/vnd.dev.sigstore.bundle.v0.3+json`.
    pub artifact_type: Option<String>,
    /// The tag that leads to it upstream (cosign's `sha256-….sig`); it is imported under this tag too.
    pub tag: Option<String>,
}

/// A chart, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedChart {
    /// Full reference inside the gap's naming, for instance `charts.example.com/stable/web:1.0.0`.
    pub name: String,
    /// The request.
    pub wanted: String,
    /// Further requests that lead to it, as two ranges may; sorted.
    pub also: Vec<String>,
    /// Exact version.
    pub version: String,
    /// URL of the archive, or the `oci://` reference.
    pub url: String,
    /// The Helm OCI artifact: upstream's own, or the one made from the archive.
    pub root: Descriptor,
    /// Bytes of everything carried for it.
    pub total: u64,
    /// Digest of the archive as upstream serves it.
    pub archive: Digest,
    /// Digest of the provenance file, if there is one.
    pub provenance: Option<Digest>,
    /// Charts added to the archive because it did not carry them.
    pub dependencies: Vec<LockedDependency>,
}

/// A dependency that was put into a chart's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedDependency {
    /// Chart name.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// URL of its archive.
    pub url: String,
    /// Digest of its archive.
    pub archive: Digest,
    /// Charts that it lacked in turn.
    pub dependencies: Vec<LockedDependency>,
}

/// A file, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedFile {
    /// Reference of the artifact inside: `files/<name>:<version>` below the site's prefix.
    pub name: String,
    /// The request.
    pub wanted: String,
    /// URL, or the path as written.
    pub url: String,
    /// The OCI artifact that carries it.
    pub root: Descriptor,
    /// Bytes of everything carried for it.
    pub total: u64,
    /// Digest of the content.
    pub content: Digest,
    /// Whether the manifest named the digest (`true`), or `lock` recorded what it saw.
    pub expected: bool,
}
