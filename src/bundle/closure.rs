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
        let deep =
            self.nodes.keys().find(|at| self.height(**at, limits::INDEX_DEPTH, &mut heights).is_none())?;
        let digest = self.blobs.get(*deep).map(|blob| blob.digest.to_string()).unwrap_or_default();
        let message = format!("indexes nest deeper than {}", limits::INDEX_DEPTH);
        Some(Failure::new(Reason::OciLimit, format!("manifest {digest}"), message))
    }

    /// Levels of indexes from `at` down; `None` when they are more than the `left` ones.
    fn height(&self, at: usize, left: usize, heights: &mut BTreeMap<usize, usize>) -> Option<usize> {
        let Some(node) = self.nodes.get(&at).filter(|node| node.is_index) else { return Some(0) };
        let below = left.checked_sub(1)?;
        let height = if let Some(known) = heights.get(&at) {
            *known
        } else {
            let mut height = 1;
            for edge in &node.edges {
                if let Edge::Present(to) = edge {
                    height = height.max(1 + self.height(*to, below, heights)?);
                }
            }
            heights.insert(at, height);
            height
        };
        (height <= left).then_some(height)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bundle::{Encoding, Referrer};

    /// Content under way to a bundle.
    #[derive(Default)]
    struct Scene {
        content: BTreeMap<Digest, Vec<u8>>,
        blobs: Vec<Blob>,
    }

    impl Scene {
        fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
            let descriptor = Descriptor::of(media_type, bytes);
            self.content.insert(descriptor.digest.clone(), bytes.to_vec());
            self.blobs.push(Blob {
                digest: descriptor.digest.clone(),
                size: descriptor.size,
                media_type: media_type.to_owned(),
                encoding: Encoding::Raw,
            });
            descriptor
        }

        fn document(&mut self, media_type: &str, mut json: serde_json::Value) -> Descriptor {
            json["schemaVersion"] = json!(2);
            json["mediaType"] = json!(media_type);
            self.blob(media_type, json.to_string().as_bytes())
        }

        fn index(&mut self, children: &[&Descriptor]) -> Descriptor {
            self.document(media_type::INDEX, json!({"manifests": children}))
        }

        fn image(&mut self, config: &Descriptor, layers: &[&Descriptor]) -> Descriptor {
            self.document(media_type::MANIFEST, json!({"config": config, "layers": layers}))
        }

        /// What the check gives, or what it says of each fault.
        fn told(mut self, artifacts: &[Artifact]) -> Result<Vec<Reach>, Vec<String>> {
            self.blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
            let mut read = |blob: &Blob| Ok(self.content[&blob.digest].clone());
            let graph = Graph::read(&self.blobs, &mut read);
            let each: Vec<Reach> = artifacts.iter().map(|artifact| graph.reach(artifact)).collect();
            let checked = graph.check(artifacts);
            assert!(checked.as_ref().is_ok_and(|reaches| *reaches == each) || checked.is_err());
            checked.map_err(|faults| {
                faults.iter().map(|fault| format!("{:?}: {}", fault.reason, fault.message)).collect()
            })
        }
    }

    fn artifact(root: &Descriptor) -> Artifact {
        Artifact {
            kind: ArtifactKind::Image,
            name: "registry.example.com/app:1".to_owned(),
            source: String::new(),
            root: root.clone(),
            platforms: Vec::new(),
            absent: Vec::new(),
            referrers: Vec::new(),
        }
    }

    /// Other content may go by several types, a manifest by one, wherever it is named.
    #[test]
    fn a_manifest_is_one_everywhere() {
        let mut scene = Scene::default();
        let empty = scene.blob(media_type::EMPTY, b"{}");
        let other = Descriptor::of(media_type::CONFIG, b"{}");
        let root = scene.image(&other, &[&empty]);
        assert_eq!(scene.told(&[artifact(&root)]).unwrap()[0].blobs.len(), 2);
        // A layer that is a manifest elsewhere.
        let mut scene = Scene::default();
        let empty = scene.blob(media_type::EMPTY, b"{}");
        let child = scene.image(&empty, &[]);
        let layer = Descriptor { media_type: media_type::LAYER_TAR.to_owned(), ..child.clone() };
        let root = scene.image(&empty, &[&layer]);
        let faults = scene.told(&[artifact(&root)]).unwrap_err();
        assert!(faults[0].starts_with("OciAmbiguous: it calls sha256:"), "{faults:?}");
        // A root that gives its manifest another size.
        let mut scene = Scene::default();
        let empty = scene.blob(media_type::EMPTY, b"{}");
        let mut root = scene.image(&empty, &[]);
        root.size += 1;
        let faults = scene.told(&[artifact(&root)]).unwrap_err();
        assert!(faults[0].starts_with("OciMalformed: it gives sha256:") && faults.len() == 1, "{faults:?}");
    }

    /// J07: however long the chain and wherever the look at it begins, it is as deep as it is.
    #[test]
    fn indexes_nest_four_deep_and_no_deeper() {
        let chain = |levels: usize| {
            let mut scene = Scene::default();
            let empty = scene.blob(media_type::EMPTY, b"{}");
            let mut root = scene.image(&empty, &[]);
            for _ in 0..levels {
                root = scene.index(&[&root]);
            }
            scene.told(&[artifact(&root)])
        };
        assert_eq!(chain(4).unwrap()[0].blobs.len(), 6);
        for levels in [5, 6, 9, 300] {
            let faults = chain(levels).unwrap_err();
            assert!(faults[0].starts_with("OciLimit: indexes nest deeper than 4"), "{levels}: {faults:?}");
        }
    }

    #[test]
    fn an_artifact_has_ten_thousand_manifests_at_most() {
        let mut scene = Scene::default();
        let empty = scene.blob(media_type::EMPTY, b"{}");
        let mut images = Vec::new();
        for number in 0..limits::GRAPH_MANIFESTS - 3 {
            let json = json!({"config": empty, "layers": [], "annotations": {"number": number.to_string()}});
            images.push(scene.document(media_type::MANIFEST, json));
        }
        let halves: Vec<Descriptor> =
            images.chunks(5000).map(|half| scene.index(&half.iter().collect::<Vec<_>>())).collect();
        let full = scene.index(&halves.iter().collect::<Vec<_>>());
        let over = scene.index(&[&full]);
        let further = scene.index(&[&over]);
        let faults = scene.told(&[artifact(&full), artifact(&over), artifact(&further)]).unwrap_err();
        assert_eq!(faults, ["OciLimit: more than 10000 manifests belong to it"; 2]);
    }

    /// A referrer says by its `subject` what it is about, or by the tag it has where subjects are not known.
    #[test]
    fn referrers_are_about_their_subject() {
        let told = |subject: bool, tag: Option<&str>, listed_for: usize| {
            let mut scene = Scene::default();
            let empty = scene.blob(media_type::EMPTY, b"{}");
            let gone = Descriptor::of(media_type::MANIFEST, b"gone");
            let child = scene.image(&empty, &[]);
            let root = scene.index(&[&child, &gone]);
            let subjects = [child.digest, gone.digest.clone(), empty.digest.clone()];
            let mut json = json!({"config": empty, "layers": [], "annotations": {"a": "note"}});
            if subject {
                json["subject"] =
                    json!(Descriptor::new(media_type::MANIFEST.to_owned(), subjects[0].clone(), 5));
            }
            let note = scene.document(media_type::MANIFEST, json);
            let mut artifact = artifact(&root);
            artifact.absent = vec![gone.digest];
            let subject = subjects[listed_for].clone();
            let tag = tag.map(|end| format!("{}{end}", reference::referrers_tag(&subject)));
            artifact.referrers = vec![Referrer { root: note, subject, tag }];
            scene.told(&[artifact]).map(|reaches| reaches[0].blobs.len())
        };
        assert_eq!(told(true, None, 0), Ok(4));
        assert_eq!(told(false, Some(".sig"), 0), Ok(4));
        assert_eq!(told(false, Some(".sig"), 1), Ok(4));
        let says = |found: Result<usize, Vec<String>>, word: &str| {
            let faults = found.unwrap_err();
            assert!(faults.iter().any(|fault| fault.contains(word)), "{faults:?}");
        };
        says(told(false, None, 0), "does not say that it is about");
        says(told(true, Some(".sig"), 1), "does not say that it is about");
        says(told(true, None, 2), "which is no part of it");
    }
}
