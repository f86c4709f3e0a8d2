//! The site's signatures of the images that it imports, in both of cosign's forms.
//!
//! They are made when everything is planned, and published with the images: at home in one transaction, in a registry
//! before the tags of the images move. Upstream's signatures stay in front of the site's in the manifest that
//! the tag leads to, so that nothing is lost and both can be asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Destination, Source, plan::Planner};
use crate::{
    base::{digest::Digest, failure::Result},
    bundle::{Artifact, BundleIndex},
    cosign::{self, Made},
    oci::{Descriptor, Document, Graph, Reference},
    store::PublishedManifest,
};

/// A manifest that the site signs.
#[derive(Debug)]
pub(super) struct Unsigned {
    subject: Descriptor,
    /// The repository that the signature names.
    name: String,
    /// The entries of the receipt that it belongs to.
    entries: BTreeSet<usize>,
}

impl Planner<'_> {
    /// Notes the manifests `own` of the artifact that was planned last.
    pub(super) fn note_unsigned(
        &mut self,
        artifact: &Artifact,
        repository: &str,
        own: &[Digest],
        graph: &Graph,
    ) -> Result<()> {
        let entry = self.plan.entries.len().saturating_sub(1);
        let name = match &self.options.destination {
            // Inside, clients still ask for the original name; where they are sent is the mirror's matter.
            Destination::Home => Reference::parse(&artifact.name)?.name(),
            Destination::Registry { host, .. } => format!("{host}/{repository}"),
        };
        for (subject, _) in own.iter().filter_map(|digest| graph.manifests.get(digest)) {
            let key = (repository.to_owned(), subject.digest.clone());
            let unsigned = self.unsigned.entry(key).or_insert_with(|| Unsigned {
                subject: subject.clone(),
                name: name.clone(),
                entries: BTreeSet::new(),
            });
            unsigned.entries.insert(entry);
        }
        for referrer in artifact.referrers.iter().filter(|referrer| referrer.tag.is_some()) {
            if let Some((root, Document::Image(manifest))) = graph.manifests.get(&referrer.root.digest) {
                self.upstream_signatures.insert(root.digest.clone(), manifest.as_ref().clone());
            }
        }
        Ok(())
    }

    /// Signs everything that was noted.
    pub(super) fn sign(&mut self) -> Result<()> {
        let Some(signatures) = self.signatures else { return Ok(()) };
        for ((repository, digest), Unsigned { subject, name, entries }) in std::mem::take(&mut self.unsigned)
        {
            let tag = cosign::tag(&digest);
            let before = self.tagged(&repository, &tag).and_then(|at| self.upstream_signatures.get(at));
            let legacy = signatures.legacy(&digest, &name, before)?;
            self.move_tag(&repository, &tag, &legacy.root.digest);
            for made in [legacy, signatures.referrer(&subject)?] {
                for at in &entries {
                    let Some(entry) = self.plan.entries.get_mut(*at) else { continue };
                    entry.signatures.push(made.root.digest.clone());
                    entry.signatures.sort();
                }
                self.publish(&repository, made);
            }
        }
        Ok(())
    }

    fn publish(&mut self, repository: &str, made: Made) {
        let Made { root, document, contents } = made;
        let blobs = document.descriptors().into_iter().cloned().collect();
        let is_planned =
            |known: &PublishedManifest| known.repository == repository && known.root.digest == root.digest;
        if !self.plan.manifests.iter().any(is_planned) {
            self.plan.manifests.push(PublishedManifest::new(repository, root, &document, blobs, Vec::new()));
        }
        for (descriptor, bytes) in contents {
            self.plan.made.insert(descriptor.digest.clone(), bytes);
            self.contents.entry(descriptor.digest.clone()).or_insert(descriptor);
        }
    }
}

/// What is imported: the media, and what was made here.
pub(super) struct WithMade<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) made: &'a BTreeMap<Digest, Vec<u8>>,
}

impl Source for WithMade<'_> {
    fn index(&self) -> &BundleIndex {
        self.source.index()
    }
    fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.made.get(digest).map_or_else(|| self.source.read_blob(digest), |bytes| Ok(bytes.clone()))
    }
    fn stream_blob(&self, digest: &Digest, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self.made.get(digest) {
            Some(bytes) => sink(bytes),
            None => self.source.stream_blob(digest, sink),
        }
    }
}
