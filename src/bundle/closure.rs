//! Whether the content is closed: everything that a manifest names is there or listed as absent, and
//! nothing is there that no artifact needs. Builder and verifier ask the same question here.
//!
//! Phases: 1. read every manifest once and keep its edges, as positions in the list of blobs; 2. measure
//! the nesting of indexes; 3. walk from the root of each artifact and its referrers.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    consistency::position,
    index::{Artifact, ArtifactKind, Blob},
};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
    },
    oci::{Descriptor, Document, artifact::carried_file, media_type, reference},
};

/// What a manifest points to.
enum Edge {
    /// A blob of the bundle, by position.
    Present(usize),
    /// Content that the bundle does not have.
    Missing(Digest),
}

struct Node {
    is_index: bool,
    edges: Vec<Edge>,
    subject: Option<Digest>,
    /// Why it cannot be the root of a file.
    no_file: Option<Failure>,
}

/// What all manifests of a bundle say about each other.
pub struct Graph<'a> {
    blobs: &'a [Blob],
    nodes: BTreeMap<usize, Node>,
    faults: Vec<Failure>,
}

impl std::fmt::Debug for Graph<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Graph({} manifests)", self.nodes.len())
    }
}

/// What belongs to one artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Positions in the list of blobs, referrers included.
    pub blobs: BTreeSet<usize>,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl<'a> Graph<'a> {
    /// Reads every manifest among `blobs` (sorted by digest), in the order of the members. A manifest that
    /// `read` cannot bring is left out and its failure kept.
    pub fn read(blobs: &'a [Blob], read: &mut dyn FnMut(&Blob) -> Result<Vec<u8>>) -> Self {
        let mut graph = Self { blobs, nodes: BTreeMap::new(), faults: Vec::new() };
        for (at, blob) in blobs.iter().enumerate() {
            if !media_type::is_manifest(&blob.media_type) {
                continue;
            }
            match read(blob).and_then(|bytes| graph.node(blob, &bytes)) {
                Ok(node) => {
                    graph.nodes.insert(at, node);
                }
                Err(failure) => graph.faults.push(failure),
            }
        }
        graph
    }

    fn node(&self, blob: &Blob, bytes: &[u8]) -> Result<Node> {
        let document = Document::parse(bytes, &blob.media_type)?;
        let edges = document
            .descriptors()
            .into_iter()
            .map(|descriptor| match position(self.blobs, &descriptor.digest) {
                None => Ok(Edge::Missing(descriptor.digest.clone())),
                Some(at) => self.agree(descriptor, at).map(|()| Edge::Present(at)),
            })
            .collect::<Result<_>>()
            .map_err(|failure| failure.of(format!("manifest {}", blob.digest)))?;
        Ok(Node {
            is_index: media_type::is_index(&blob.media_type),
            edges,
            subject: document.subject().map(|subject| subject.digest.clone()),
            no_file: carried_file(&document).err(),
        })
    }

    /// A descriptor must have the size of its blob, and both must be of the same type where one of them
    /// says manifest. Other content may go by several types: `{}` is the config of many.
    fn agree(&self, descriptor: &Descriptor, at: usize) -> Result<()> {
        let Some(blob) = self.blobs.get(at) else { return Ok(()) };
        if descriptor.size != blob.size {
            let message =
                format!("it gives {} a size of {}, it has {}", blob.digest, descriptor.size, blob.size);
            return Err(Failure::new(Reason::OciMalformed, &blob.digest, message));
        }
        let manifest =
            media_type::is_manifest(&descriptor.media_type) || media_type::is_manifest(&blob.media_type);
        if manifest && descriptor.media_type != blob.media_type {
            let message = format!(
                "it calls {} a {}, elsewhere it is a {}",
                blob.digest, descriptor.media_type, blob.media_type
            );
            return Err(Failure::new(Reason::OciAmbiguous, &blob.digest, message));
        }
        Ok(())
    }

    /// What belongs to an artifact, as far as the manifests could be read.
    pub fn reach(&self, artifact: &Artifact) -> Reach {
        let mut walk = Walk::default();
        self.walk_artifact(artifact, &mut walk);
        let bytes = walk.seen.iter().filter_map(|at| self.blobs.get(*at)).map(|blob| blob.size).sum();
        Reach { blobs: walk.seen, bytes }
    }

    /// Checks everything; gives what belongs to each artifact, in their order.
    pub fn check(mut self, artifacts: &[Artifact]) -> Result<Vec<Reach>, Vec<Failure>> {
        let mut faults = std::mem::take(&mut self.faults);
        faults.extend(self.nesting_fault());
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut used = vec![false; self.blobs.len()];
        let mut reaches = Vec::with_capacity(artifacts.len());
        for artifact in artifacts {
            let mut walk = Walk::default();
            self.walk_artifact(artifact, &mut walk);
            self.check_walk(artifact, &walk, &mut faults);
            for at in &walk.seen {
                if let Some(flag) = used.get_mut(*at) {
                    *flag = true;
                }
            }
            let bytes = walk.seen.iter().filter_map(|at| self.blobs.get(*at)).map(|blob| blob.size).sum();
            reaches.push(Reach { blobs: walk.seen, bytes });
        }
        let unused = self.blobs.iter().zip(used).filter(|(_, used)| !used).map(|(blob, _)| {
            Failure::new(Reason::BlobUnreferenced, &blob.digest, "no artifact of the bundle needs it")
                .hint("do not use the bundle; ask the sender")
        });
        faults.extend(unused);
        if faults.is_empty() { Ok(reaches) } else { Err(faults) }
    }

    /// From the root down; a referrer joins when its subject is met.
    fn walk_artifact(&self, artifact: &Artifact, walk: &mut Walk) {
        let mut referrers: BTreeMap<&Digest, Vec<&Descriptor>> = BTreeMap::new();
        for referrer in &artifact.referrers {
            referrers.entry(&referrer.subject).or_default().push(&referrer.root);
        }
        self.join(&artifact.root, walk);
        while let Some(at) = walk.pending.pop() {
            if !walk.seen.insert(at) {
                continue;
            }
            let Some(blob) = self.blobs.get(at).filter(|blob| media_type::is_manifest(&blob.media_type))
            else {
                continue;
            };
            for root in referrers.remove(&blob.digest).unwrap_or_default() {
                self.join(root, walk);
            }
            let Some(node) = self.nodes.get(&at) else { continue };
            walk.manifests += 1;
            for edge in &node.edges {
                let digest = match edge {
                    Edge::Present(to) => self.blobs.get(*to).map(|blob| &blob.digest),
                    Edge::Missing(digest) => Some(digest),
                };
                let Some(digest) = digest else { continue };
                // An absent child is not this artifact's, even if another artifact brings it along.
                if node.is_index && artifact.absent.binary_search(digest).is_ok() {
                    walk.absent.insert(digest.clone());
                    for root in referrers.remove(digest).unwrap_or_default() {
                        self.join(root, walk);
                    }
                } else if let Edge::Present(to) = edge {
                    walk.pending.push(*to);
                } else {
                    walk.missing.push(digest.clone());
                }
            }
        }
    }

    /// Goes on from the root of an artifact or referrer.
    fn join(&self, root: &Descriptor, walk: &mut Walk) {
        match position(self.blobs, &root.digest) {
            Some(at) => {
                walk.faults.extend(self.agree(root, at).err());
                walk.pending.push(at);
            }
            None => walk.missing.push(root.digest.clone()),
        }
    }

    fn check_walk(&self, artifact: &Artifact, walk: &Walk, faults: &mut Vec<Failure>) {
        let fault = |reason, message: String| Failure::new(reason, &artifact.name, message);
        faults.extend(walk.faults.iter().map(|found| fault(found.reason, found.message.clone())));
        faults.extend(walk.missing.iter().map(|digest| {
            fault(Reason::BlobMissing, format!("{digest} is named, but neither present nor listed as absent"))
                .hint("the bundle is incomplete; ask the sender for a new one")
        }));
        for digest in artifact.absent.iter().filter(|digest| !walk.absent.contains(digest)) {
            let message = format!("{digest} is listed as absent, but no index of the artifact names it");
            faults.push(fault(Reason::BundleIndexMismatch, message));
        }
        if walk.manifests > limits::GRAPH_MANIFESTS {
            let message = format!("more than {} manifests belong to it", limits::GRAPH_MANIFESTS);
            faults.push(fault(Reason::OciLimit, message));
        }
        if artifact.kind == ArtifactKind::File {
            let root = position(self.blobs, &artifact.root.digest).and_then(|at| self.nodes.get(&at));
            let no_file = root.and_then(|node| node.no_file.as_ref());
            faults.extend(no_file.map(|found| fault(found.reason, found.message.clone())));
        }
        for referrer in &artifact.referrers {
            let subject = &referrer.subject;
            let met = position(self.blobs, subject)
                .is_some_and(|at| walk.seen.contains(&at) && self.nodes.contains_key(&at));
            if !met && !walk.absent.contains(subject) {
                let message = format!(
                    "the referrer {} is about {subject}, which is no part of it",
                    referrer.root.digest
                );
                faults.push(fault(Reason::BundleIndexMismatch, message));
            }
            let inside = position(self.blobs, &referrer.root.digest)
                .and_then(|at| self.nodes.get(&at))
                .and_then(|node| node.subject.as_ref());
            let by_tag =
                referrer.tag.as_ref().is_some_and(|tag| tag.starts_with(&reference::referrers_tag(subject)));
            if inside.map_or(!by_tag, |inside| inside != subject) {
                let message =
                    format!("the referrer {} does not say that it is about {subject}", referrer.root.digest);
                faults.push(fault(Reason::BundleIndexMismatch, message));
            }
        }
    }

    /// Indexes may nest only so deep (J07). Each is measured once, so the work is linear (J08).
    fn nesting_fault(&self) -> Option<Failure> {
        let mut heights = BTreeMap::new();
        let deep = self.nodes.keys().find(|at| self.height(**at, 0, &mut heights).is_none())?;
        let digest = self.blobs.get(*deep).map(|blob| blob.digest.to_string()).unwrap_or_default();
        let message = format!("indexes nest deeper than {}", limits::INDEX_DEPTH);
        Some(Failure::new(Reason::OciLimit, format!("manifest {digest}"), message))
    }

    /// Levels of indexes from `at` down; `None` when, with the `above` levels, they are too many.
    fn height(&self, at: usize, above: usize, heights: &mut BTreeMap<usize, usize>) -> Option<usize> {
        let Some(node) = self.nodes.get(&at).filter(|node| node.is_index) else { return Some(0) };
        let height = match heights.get(&at) {
            Some(known) => *known,
            None if above >= limits::INDEX_DEPTH => return None,
            None => {
                let mut below = 0;
                for edge in &node.edges {
                    if let Edge::Present(to) = edge {
                        below = below.max(self.height(*to, above + 1, heights)?);
                    }
                }
                heights.insert(at, below + 1);
                below + 1
            }
        };
        (above + height <= limits::INDEX_DEPTH).then_some(height)
    }
}

/// A walk under way.
#[derive(Default)]
struct Walk {
    pending: Vec<usize>,
    seen: BTreeSet<usize>,
    manifests: usize,
    absent: BTreeSet<Digest>,
    missing: Vec<Digest>,
    faults: Vec<Failure>,
}
