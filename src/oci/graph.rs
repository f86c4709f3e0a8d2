//! The tree below a manifest: the same walk for what is fetched, sealed, verified and imported.

use std::collections::{BTreeMap, BTreeSet};

use super::{Descriptor, Document, media_type};
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
    limits,
};

/// Everything that a manifest needs. Collected by [`Graph::add`]; several trees may share one graph.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Manifests and indexes by digest, with their parsed form.
    pub manifests: BTreeMap<Digest, (Descriptor, Document)>,
    /// Digests of `manifests`, every child before its parents: the order to publish in.
    pub order: Vec<Digest>,
    /// Configs and layers by digest.
    pub blobs: BTreeMap<Digest, Descriptor>,
}

impl Graph {
    /// Adds the tree below `root`. Children in `absent` are left out; everything else is read through
    /// `read`, which returns bytes already checked against the descriptor.
    ///
    /// Bounded in depth (threats J07) and in distinct manifests, each of which is read once (J08).
    pub fn add(
        &mut self,
        root: &Descriptor,
        absent: &BTreeSet<Digest>,
        read: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>,
    ) -> Result<()> {
        self.visit(root, absent, read, 0)
    }

    fn visit(
        &mut self,
        at: &Descriptor,
        absent: &BTreeSet<Digest>,
        read: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>,
        depth: usize,
    ) -> Result<()> {
        if let Some((known, _)) = self.manifests.get(&at.digest) {
            return agree(known, at);
        }
        if depth > limits::INDEX_DEPTH {
            return Err(Failure::new(Reason::OciLimit, &at.digest, "indexes are nested more than 4 deep"));
        }
        if self.manifests.len() >= limits::GRAPH_MANIFESTS {
            return Err(Failure::new(
                Reason::OciLimit,
                &at.digest,
                "more than 10000 manifests hang together",
            ));
        }
        let document = Document::parse(&read(at)?, &at.media_type)?;
        self.manifests.insert(at.digest.clone(), (at.clone(), document.clone()));
        for child in document.needs(absent) {
            if media_type::is_manifest(&child.media_type) {
                self.visit(child, absent, read, depth + 1)?;
            } else if let Some(known) = self.blobs.get(&child.digest) {
                agree_on_size(known, child)?;
            } else {
                self.blobs.insert(child.digest.clone(), child.clone());
            }
        }
        self.order.push(at.digest.clone());
        Ok(())
    }

    /// Takes over everything that `other` holds, if both say the same of what they share: nothing is a manifest
    /// to one and something else to the other.
    pub fn absorb(&mut self, other: Self) -> Result<()> {
        let is_blob = |digest| self.blobs.contains_key(digest) || other.blobs.contains_key(digest);
        for (digest, (descriptor, _)) in self.manifests.iter().chain(&other.manifests) {
            if is_blob(digest) {
                let message = "one manifest names it as a manifest, another one as a layer or config";
                return Err(Failure::new(Reason::OciAmbiguous, digest, message)
                    .hint("leave one of the two out: content that can be read in two ways is not carried"));
            }
            if let Some((known, _)) = self.manifests.get(digest) {
                agree(known, descriptor)?;
            }
        }
        for (digest, blob) in &other.blobs {
            if let Some(known) = self.blobs.get(digest) {
                agree_on_size(known, blob)?;
            }
        }
        self.order.extend(other.order.into_iter().filter(|digest| !self.manifests.contains_key(digest)));
        self.manifests.extend(other.manifests);
        self.blobs.extend(other.blobs);
        Ok(())
    }

    /// Descriptors of everything in the graph: manifests first, each kind sorted by digest.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.values().map(|(descriptor, _)| descriptor).chain(self.blobs.values())
    }

    /// Bytes of everything in the graph, each blob once.
    pub fn total(&self) -> u64 {
        self.descriptors().map(|descriptor| descriptor.size).fold(0, u64::saturating_add)
    }
}

/// Two descriptors of one digest must say the same: otherwise one of them lies.
fn agree(known: &Descriptor, other: &Descriptor) -> Result<()> {
    if known.media_type != other.media_type {
        let message = format!("it is called both {} and {}", known.media_type, other.media_type);
        return Err(Failure::new(Reason::OciAmbiguous, &known.digest, message));
    }
    agree_on_size(known, other)
}

fn agree_on_size(known: &Descriptor, other: &Descriptor) -> Result<()> {
    if known.size == other.size {
        return Ok(());
    }
    let message = format!("two descriptors give it {} and {} bytes", known.size, other.size);
    Err(Failure::new(Reason::SizeMismatch, &known.digest, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds documents bottom-up and remembers their bytes.
    #[derive(Default)]
    struct World(BTreeMap<Digest, Vec<u8>>);

    impl World {
        fn put(&mut self, media_type: &str, json: String) -> Descriptor {
            let descriptor = Descriptor::of(media_type, json.as_bytes());
            self.0.insert(descriptor.digest.clone(), json.into_bytes());
            descriptor
        }
        fn image(&mut self, config: &str) -> Descriptor {
            let config = serde_json::to_string(&Descriptor::of("c", config.as_bytes())).unwrap();
            self.put(media_type::MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#))
        }
        fn index(&mut self, children: &[Descriptor]) -> Descriptor {
            let children = serde_json::to_string(children).unwrap();
            self.put(media_type::INDEX, format!(r#"{{"schemaVersion":2,"manifests":{children}}}"#))
        }
        fn walk(&self, root: &Descriptor, absent: &[Digest]) -> Result<Graph> {
            let mut graph = Graph::default();
            let absent = absent.iter().cloned().collect();
            graph.add(root, &absent, &mut |at| Ok(self.0[&at.digest].clone()))?;
            Ok(graph)
        }
    }

    #[test]
    fn children_come_first_and_absent_ones_are_left_out() {
        let mut world = World::default();
        let (a, b) = (world.image("a"), world.image("b"));
        let root = world.index(&[a.clone(), b.clone(), a.clone()]);
        let graph = world.walk(&root, &[]).unwrap();
        assert_eq!(graph.order, [a.digest.clone(), b.digest.clone(), root.digest.clone()]);
        assert_eq!(graph.blobs.len(), 2);
        let graph = world.walk(&root, std::slice::from_ref(&b.digest)).unwrap();
        assert_eq!(graph.order, [a.digest, root.digest]);
        // Whatever an index lists may be absent; what an image needs may not.
        let b_again = world.image("a");
        let (plain, config) = (Descriptor::of("text/plain", b"x"), Descriptor::of("c", b"a"));
        let root = world.index(&[b_again, plain.clone()]);
        let graph = world.walk(&root, &[plain.digest, config.digest.clone()]).unwrap();
        assert_eq!(graph.blobs.into_keys().collect::<Vec<_>>(), [config.digest]);
    }

    #[test]
    fn a_graph_of_two_to_the_forty_paths_is_walked_in_no_time() {
        let mut world = World::default();
        let mut at = world.image("a");
        for _ in 0..limits::INDEX_DEPTH {
            at = world.index(&[at.clone(), at.clone()]);
        }
        assert_eq!(world.walk(&at, &[]).unwrap().order.len(), limits::INDEX_DEPTH + 1);
        let deeper = world.index(&[at]);
        assert_eq!(world.walk(&deeper, &[]).unwrap_err().reason, Reason::OciLimit);
    }

    #[test]
    fn descriptors_that_disagree_are_refused() {
        let mut world = World::default();
        let a = world.image("a");
        let liar = Descriptor { size: a.size + 1, ..a.clone() };
        let root = world.index(&[a.clone(), liar]);
        assert_eq!(world.walk(&root, &[]).unwrap_err().reason, Reason::SizeMismatch);
        let spoof = Descriptor { media_type: media_type::DOCKER_MANIFEST.into(), ..a.clone() };
        let root = world.index(&[a, spoof]);
        assert_eq!(world.walk(&root, &[]).unwrap_err().reason, Reason::OciAmbiguous);
    }
}
