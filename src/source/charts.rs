//! Charts: archives of classic repositories and of registries, as Helm OCI artifacts.

use super::Source;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits, redact,
    },
    chart,
    lock::LockedDependency,
    oci::{Descriptor, Document, Reference, media_type},
};

/// Where a chart's archive is.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one per chart, never many")]
pub enum ChartOrigin {
    /// An archive of a classic repository.
    Archive {
        /// Its URL.
        url: String,
        /// The digest that the index or the lock names.
        expected: Option<Digest>,
    },
    /// A chart in a registry.
    Registry {
        /// Its repository.
        repository: Reference,
        /// Its manifest.
        root: Descriptor,
    },
}

/// A chart in the store.
#[derive(Debug, Clone)]
pub struct BroughtChart {
    /// The Helm OCI artifact: upstream's own, or the one made here.
    pub root: Descriptor,
    /// The archive as upstream serves it.
    pub archive: Digest,
    /// The provenance file, when there is one and it still fits the archive.
    pub provenance: Option<Digest>,
    /// The charts put into the archive, with their digests.
    pub dependencies: Vec<LockedDependency>,
}

/// A chart as upstream serves it.
#[derive(Debug, Clone)]
pub struct FetchedChart {
    /// The archive.
    pub archive: Vec<u8>,
    /// The provenance file, if there is one.
    pub provenance: Option<Vec<u8>>,
}

/// A dependency that is put into an archive, itself complete.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// What the lock says about it.
    pub locked: LockedDependency,
    /// `NAME-VERSION.tgz`.
    file: String,
    bytes: Vec<u8>,
}

impl Dependency {
    /// Completes the archive of the chart `name`, as it came from `url`, with those that it lacks in turn.
    pub fn new(name: &str, url: &str, archive: Vec<u8>, nested: Vec<Self>) -> Result<Self> {
        let metadata = chart::Archive::read(&archive).map_err(|failure| failure.of(url))?.metadata;
        if metadata.name != name {
            let message = format!("expected the chart {name}, found {}", metadata.name);
            return Err(Failure::new(Reason::ChartMalformed, url, message)
                .hint("tell the owner of the repository: its index leads to another chart"));
        }
        let digest = Digest::of(&archive);
        let (dependencies, files) = apart(nested);
        let bytes = if files.is_empty() { archive } else { chart::complete(&archive, &files)? };
        let file = format!("{name}-{}.tgz", metadata.version);
        let locked = LockedDependency {
            name: metadata.name,
            version: metadata.version,
            url: url.to_owned(),
            archive: digest,
            dependencies,
        };
        Ok(Self { locked, file, bytes })
    }
}

/// What the lock says, and what goes into the archive.
fn apart(dependencies: Vec<Dependency>) -> (Vec<LockedDependency>, Vec<(String, Vec<u8>)>) {
    dependencies.into_iter().map(|one| (one.locked, (one.file, one.bytes))).unzip()
}

impl Source {
    /// The archive of a chart, and its provenance file if it has one.
    pub async fn chart_archive(&self, origin: &ChartOrigin) -> Result<FetchedChart> {
        match origin {
            ChartOrigin::Archive { url, expected } => {
                let archive = self.archive(url, expected.as_ref()).await?;
                let provenance =
                    self.client.companion(&beside(url, ".prov"), limits::SMALL_ANSWER_BYTES).await?;
                Ok(FetchedChart { archive, provenance: provenance.map(|bytes| bytes.to_vec()) })
            }
            ChartOrigin::Registry { repository, root } => {
                let Document::Image(manifest) =
                    Document::parse(&self.manifest(repository, root).await?, &root.media_type)?
                else {
                    return Err(Failure::new(
                        Reason::ChartMalformed,
                        repository,
                        "expected a chart, found an index",
                    ));
                };
                let mut archive = None;
                let mut provenance = None;
                for layer in &manifest.layers {
                    match layer.media_type.as_str() {
                        media_type::HELM_CHART => archive = Some(self.chart_layer(repository, layer).await?),
                        media_type::HELM_PROVENANCE => {
                            provenance = Some(self.chart_layer(repository, layer).await?);
                        }
                        _ => {}
                    }
                }
                let archive = archive.ok_or_else(|| {
                    Failure::new(Reason::ChartMalformed, repository, "it has no chart layer")
                        .hint("is it an image? Then list it under [[images]]")
                })?;
                Ok(FetchedChart { archive, provenance })
            }
        }
    }

    /// Stores a chart with everything it needs: an archive that lacks dependencies is completed, and
    /// anything that is not upstream's own artifact becomes one here, the same every time.
    pub fn chart(
        &self,
        origin: &ChartOrigin,
        fetched: FetchedChart,
        dependencies: Vec<Dependency>,
    ) -> Result<BroughtChart> {
        let FetchedChart { archive, mut provenance } = fetched;
        let digest = Digest::of(&archive);
        let (dependencies, files) = apart(dependencies);
        let root = match origin {
            ChartOrigin::Registry { root, .. } if files.is_empty() => root.clone(),
            _ => {
                let archive = if files.is_empty() { archive } else { chart::complete(&archive, &files)? };
                if !files.is_empty() && provenance.take().is_some() {
                    // The provenance file signs the archive without them: `helm pull --verify` would refuse it.
                    self.progress.note("a chart was completed with its dependencies: its provenance file no longer fits and is left out");
                }
                self.put_chart(&archive, provenance.as_deref())?
            }
        };
        let provenance = provenance.map(|bytes| Digest::of(&bytes));
        Ok(BroughtChart { root, archive: digest, provenance, dependencies })
    }

    fn put_chart(&self, archive: &[u8], provenance: Option<&[u8]>) -> Result<Descriptor> {
        let artifact = chart::artifact(archive, provenance)?;
        self.store.put(&Descriptor::of(media_type::HELM_CONFIG, &artifact.config), &artifact.config)?;
        for content in std::iter::once(archive).chain(provenance) {
            self.store.put(&Descriptor::of(media_type::OCTETS, content), content)?;
        }
        self.store.put(&artifact.root, &artifact.manifest)?;
        Ok(artifact.root)
    }

    /// An archive by URL: from the store when its digest is known and there, else from upstream.
    async fn archive(&self, url: &str, expected: Option<&Digest>) -> Result<Vec<u8>> {
        if let Some(digest) = expected
            && let Some(size) = self.store.size_of(digest)?
        {
            return self.store.read_blob(&Descriptor::new(media_type::OCTETS, digest.clone(), size));
        }
        let object = redact::url(url);
        let Some(bytes) = self.client.document(url, limits::CHART_BYTES).await? else {
            return Err(Failure::new(
                Reason::UpstreamNotFound,
                object,
                "the repository lists it but does not have it",
            )
            .hint("the chart repository is incomplete; choose another version"));
        };
        let found = Digest::of(&bytes);
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            let message = format!("expected {expected}, found {found}");
            return Err(Failure::new(Reason::UpstreamDigest, object, message)
                .hint("the archive changed after it was published or locked; find out why before going on"));
        }
        self.store.put(&Descriptor::of(media_type::OCTETS, &bytes), &bytes)?;
        Ok(bytes.to_vec())
    }

    async fn chart_layer(&self, repository: &Reference, layer: &Descriptor) -> Result<Vec<u8>> {
        if layer.size > limits::CHART_BYTES {
            return Err(Failure::new(Reason::ChartMalformed, repository, "the chart is larger than 64 MiB"));
        }
        if !self.store.has(layer)? {
            self.client.blob(repository, layer, self.writer(&layer.digest).await?).await?;
        }
        self.store.read_blob(layer)
    }
}

/// The URL of a file whose name is that of another with `end` behind it; a query stays where it is.
fn beside(url: &str, end: &str) -> String {
    let (path, query) = url.find(['?', '#']).map_or((url, ""), |at| url.split_at(at));
    format!("{path}{end}{query}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_query_stays_behind_the_name() {
        assert_eq!(super::beside("https://x.org/a.tgz", ".prov"), "https://x.org/a.tgz.prov");
        assert_eq!(super::beside("https://x.org/a.tgz?v=1", ".prov"), "https://x.org/a.tgz.prov?v=1");
    }
}
