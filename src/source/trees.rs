//! Manifests and the trees below them.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Source;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
    },
    oci::{Descriptor, Document, ImageIndex, Reference, media_type},
};

/// Manifests asked for at once below one root; the client limits each host besides.
const PARALLEL: usize = 8;

impl Source {
    /// What a tag or digest leads to upstream, now; its bytes are in the store afterwards. With both tag
    /// and digest, both must agree.
    pub async fn root(&self, at: &Reference) -> Result<Descriptor> {
        let by_tag = match (&at.tag, &at.digest) {
            (Some(tag), Some(_)) => at.with_tag(tag),
            _ => at.clone(),
        };
        let Some(fetched) = self.client.manifest(&by_tag).await? else {
            return Err(Failure::new(Reason::UpstreamNotFound, at, "the registry does not have it")
                .hint("check the name and tag; a private repository may answer so without credentials"));
        };
        let root = fetched.descriptor;
        if let Some(digest) =
            at.digest.as_ref().filter(|digest| digest.algorithm() == root.digest.algorithm())
            && *digest != root.digest
        {
            let message = format!("the tag now leads to {}, the manifest names {digest}", root.digest);
            return Err(Failure::new(Reason::UpstreamMoved, at, message)
                .hint("find out why the tag moved; then write the new digest, or drop the tag"));
        }
        self.store.put(&root, &fetched.bytes)?;
        Ok(root)
    }

    /// The bytes of a manifest known by digest: from the store, else from upstream into the store.
    pub async fn manifest(&self, repository: &Reference, at: &Descriptor) -> Result<Vec<u8>> {
        if self.store.has(at)? {
            return self.store.read_blob(at);
        }
        let reference = repository.with_digest(&at.digest);
        let Some(fetched) = self.client.manifest(&reference).await? else {
            return Err(Failure::new(
                Reason::UpstreamNotFound,
                reference,
                "the registry lists it but does not have it",
            )
            .hint("upstream is incomplete; try again later or choose another tag"));
        };
        at.check(&fetched.bytes)
            .map_err(|failure| failure.as_reason(Reason::UpstreamDigest).of(&reference))?;
        self.store.put(at, &fetched.bytes)?;
        Ok(fetched.bytes.to_vec())
    }

    /// Brings every manifest below `root`, asking `keep` for each child of an index. Returns the children
    /// left out.
    pub async fn tree(
        &self,
        repository: &Reference,
        root: &Descriptor,
        keep: &(dyn Fn(&Descriptor, &ImageIndex) -> bool + Send + Sync),
    ) -> Result<BTreeSet<Digest>> {
        let mut absent = BTreeSet::new();
        let mut seen = BTreeSet::from([root.digest.clone()]);
        let mut level = vec![root.clone()];
        for depth in 0.. {
            if level.is_empty() {
                break;
            }
            if depth > limits::INDEX_DEPTH {
                return Err(Failure::new(
                    Reason::OciLimit,
                    &root.digest,
                    "indexes are nested more than 4 deep",
                ));
            }
            let documents: Vec<Document> =
                stream::iter(level)
                    .map(|at| async move {
                        Document::parse(&self.manifest(repository, &at).await?, &at.media_type)
                    })
                    .buffered(PARALLEL)
                    .try_collect()
                    .await?;
            level = Vec::new();
            for document in &documents {
                let Document::Index(index) = document else { continue };
                for child in index.manifests.iter().filter(|child| media_type::is_manifest(&child.media_type))
                {
                    if !keep(child, index) {
                        absent.insert(child.digest.clone());
                    } else if seen.insert(child.digest.clone()) {
                        level.push(child.clone());
                    }
                }
            }
            if seen.len() > limits::GRAPH_MANIFESTS {
                return Err(Failure::new(
                    Reason::OciLimit,
                    &root.digest,
                    "more than 10000 manifests hang together",
                ));
            }
        }
        absent.retain(|digest| !seen.contains(digest));
        Ok(absent)
    }

    /// Brings a small blob (a config) whole: from the store, else from upstream into the store.
    pub async fn small_blob(&self, repository: &Reference, blob: &Descriptor) -> Result<Vec<u8>> {
        if blob.size > limits::CONFIG_BYTES {
            return Err(Failure::new(Reason::OciLimit, &blob.digest, "a config is larger than 8 MiB"));
        }
        if !self.store.has(blob)? {
            self.client.blob(repository, blob, self.writer(&blob.digest).await?).await?;
        }
        self.store.read_blob(blob)
    }
}
