//! A chart as an OCI artifact, as `helm push` makes it, but always the same: without the time of making.
//!
//! ```json
//! {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
//!  "config":{"mediaType":"application/vnd.cncf.helm.config.v1+json",…},
//!  "layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip",…}],
//!  "annotations":{"org.opencontainers.image.title":"web","org.opencontainers.image.version":"1.0.0"}}
//! ```

use super::{archive::Archive, metadata::Metadata};
use crate::{
    base::failure::{Failure, Result},
    oci::{Descriptor, ImageManifest, descriptor::Annotations, media_type},
};

/// A chart's artifact: what must be stored besides the archive, and how it hangs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartArtifact {
    /// Bytes of the manifest.
    pub manifest: Vec<u8>,
    /// Bytes of the config.
    pub config: Vec<u8>,
    /// Descriptor of `manifest`.
    pub root: Descriptor,
    /// Descriptor of `config`.
    pub config_descriptor: Descriptor,
    /// The archive, and the provenance if there is one; their bytes stay as they are.
    pub layers: Vec<Descriptor>,
}

/// Wraps a chart archive, and its provenance file if there is one.
///
/// The archive comes first; Helm finds layers by type, other programs take the first.
pub fn artifact(archive: &[u8], provenance: Option<&[u8]>) -> Result<ChartArtifact> {
    let metadata = Archive::read(archive)?.metadata;
    let config = metadata.config()?;
    let config_descriptor = Descriptor::of(media_type::HELM_CONFIG, &config);
    let mut layers = vec![Descriptor::of(media_type::HELM_CHART, archive)];
    layers.extend(provenance.map(|bytes| Descriptor::of(media_type::HELM_PROVENANCE, bytes)));
    let manifest = serde_json::to_vec(&ImageManifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: None,
        config: config_descriptor.clone(),
        layers: layers.clone(),
        subject: None,
        annotations: annotations(&metadata),
    })
    .map_err(Failure::internal)?;
    let root = Descriptor::of(media_type::MANIFEST, &manifest);
    Ok(ChartArtifact { manifest, config, root, config_descriptor, layers })
}

/// Annotations as `helm push` sets them: a chart's own ones win, but for title and version.
fn annotations(metadata: &Metadata) -> Annotations {
    const TITLE: &str = "org.opencontainers.image.title";
    const VERSION: &str = "org.opencontainers.image.version";
    let authors: Vec<String> = metadata
        .maintainers
        .iter()
        .map(|somebody| match somebody.email.as_str() {
            "" => somebody.name.clone(),
            email => format!("{} ({email})", somebody.name),
        })
        .collect();
    let source = metadata.sources.first().cloned().unwrap_or_default();
    let mut annotations: Annotations = [
        ("org.opencontainers.image.description", metadata.description.clone()),
        ("org.opencontainers.image.url", metadata.home.clone()),
        ("org.opencontainers.image.source", source),
        ("org.opencontainers.image.authors", authors.join(", ")),
    ]
    .into_iter()
    .filter(|(_, value)| !value.trim().is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    annotations.extend(metadata.annotations.clone());
    annotations.insert(TITLE.to_owned(), metadata.name.clone());
    annotations.insert(VERSION.to_owned(), metadata.version.clone());
    annotations
}

impl ChartArtifact {
    /// Bytes of everything, manifest included.
    pub fn total(&self) -> u64 {
        let parts = self.layers.iter().chain([&self.root, &self.config_descriptor]);
        parts.map(|part| part.size).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::archive::tests::chart, *};
    use crate::oci::Document;

    #[test]
    fn the_artifact_is_what_helm_expects() {
        let archive = chart(
            "web",
            "1.0.0+b",
            "description: A web\nhome: https://example.com\nsources: [https://a, https://b]\n\
             maintainers: [{name: A, email: a@x.org}, {name: B}]\n\
             annotations: {org.opencontainers.image.title: spoof, org.opencontainers.image.url: https://own, k: v}\n",
        );
        let made = artifact(&archive, Some(b"signed")).unwrap();
        let document = Document::parse(&made.manifest, media_type::MANIFEST).unwrap();
        let expected = [
            ("k", "v"),
            ("org.opencontainers.image.authors", "A (a@x.org), B"),
            ("org.opencontainers.image.description", "A web"),
            ("org.opencontainers.image.source", "https://a"),
            ("org.opencontainers.image.title", "web"),
            ("org.opencontainers.image.url", "https://own"),
            ("org.opencontainers.image.version", "1.0.0+b"),
        ];
        let found: Vec<_> = document.annotations().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
        let types: Vec<&str> = document.descriptors().iter().map(|d| d.media_type.as_str()).collect();
        assert_eq!(types, [media_type::HELM_CONFIG, media_type::HELM_CHART, media_type::HELM_PROVENANCE]);
        made.layers[0].check(&archive).unwrap();
        made.root.check(&made.manifest).unwrap();
        made.config_descriptor.check(&made.config).unwrap();
        assert_eq!(made, artifact(&archive, Some(b"signed")).unwrap());
    }
}
