//! Images that lie on this machine: `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`.
//!
//! 1. A [`folder`] is opened without following anything in it; an [`archive`] is read in one pass, its
//!    blobs going straight into the store.
//! 2. [`choice`] picks the image in `index.json` (or [`docker`] in `manifest.json`) and its name.
//! 3. The whole tree below it is walked, every digest and size checked, and stands in the store; so do the
//!    signatures of the image that lie beside it.
//!
//! An archive that `docker save` wrote and that carries no OCI layout becomes an OCI image: its config and
//! layers stay byte for byte what they are, only the manifest is made, always the same.

mod archive;
mod choice;
mod docker;
mod folder;

use crate::{
    base::{
        failure::{Failure, Reason, Result},
        limits,
    },
    cosign,
    lock::LockedReferrer,
    manifest::{LocalImage, LocalKind},
    oci::{Descriptor, Graph, Reference, reference},
    store::Store,
};

/// A local image, complete in the store.
#[derive(Debug, Clone)]
pub struct Brought {
    /// Its manifest or index.
    pub root: Descriptor,
    /// The reference that it travels under, with a tag or digest.
    pub name: Reference,
    /// Everything below `root`, `root` included.
    pub graph: Graph,
    /// Signatures of it that lie beside it, complete in the store too.
    pub referrers: Vec<LockedReferrer>,
}

/// Brings a local image into the store. Running it again brings only what is new.
pub fn bring(local: &LocalImage, store: &Store) -> Result<Brought> {
    let found = match local.kind {
        LocalKind::OciLayout => folder::bring(local, store)?,
        LocalKind::OciArchive | LocalKind::DockerArchive => archive::bring(local, store)?,
    };
    let name = name_of(local, &found)?;
    Ok(Brought { root: found.root, name, graph: found.graph, referrers: found.referrers })
}

/// What lies in a folder or archive, before it has a name to travel under.
struct Found {
    root: Descriptor,
    graph: Graph,
    /// Full references that the source gives it, the best first.
    names: Vec<Reference>,
    /// A bare tag that the source gives it.
    tag: Option<String>,
    referrers: Vec<LockedReferrer>,
}

/// Brings a manifest with everything below it into the store.
type Bring<'a> = &'a mut dyn FnMut(&Descriptor) -> Result<Graph>;

/// What a layout says is there, once all of it is in the store: the image, and the signatures beside it.
fn found(choice: choice::Choice, bring: Bring<'_>) -> Result<Found> {
    let choice::Choice { root, names, tag, others } = choice;
    let graph = bring(&root)?;
    let mut referrers = Vec::new();
    for other in others.iter().take(limits::UPSTREAM_SIGNATURES) {
        let is_legacy = choice::is_legacy_signature(other, &root.digest);
        if !is_legacy && other.artifact_type.is_none() {
            continue; // another image, perhaps a large one
        }
        let below = bring(other)?;
        let Some((_, document)) = below.manifests.get(&other.digest) else { continue };
        let is_about = document.subject().is_some_and(|subject| subject.digest == root.digest);
        let artifact_type = document.artifact_type().map(str::to_owned);
        let tag = is_legacy.then(|| cosign::tag(&root.digest));
        if (is_legacy || is_about) && cosign::may_sign(&root.digest, artifact_type.as_deref(), tag.as_deref())
        {
            referrers.push(LockedReferrer {
                subject: root.digest.clone(),
                digest: other.digest.clone(),
                media_type: other.media_type.clone(),
                size: other.size,
                artifact_type,
                tag,
            });
        }
    }
    referrers.sort();
    referrers.dedup();
    Ok(Found { root, graph, names, tag, referrers })
}

/// The name in the manifest, else the one name that the source knows.
fn name_of(local: &LocalImage, found: &Found) -> Result<Reference> {
    let nameless = |message: String| {
        Failure::new(Reason::NameMalformed, &local.written, message)
            .hint("set `name` to the full reference that it shall have, for instance registry.example.com/team/app:1.0")
    };
    let name = match (&local.name, found.names.as_slice()) {
        (Some(name), _) | (None, [name]) => name.clone(),
        (None, []) => return Err(nameless("it does not say what it is called".to_owned())),
        (None, several) => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            return Err(nameless(format!("it has several names: {}", several.join(", "))));
        }
    };
    if let Some(digest) = name.digest.as_ref().filter(|digest| **digest != found.root.digest) {
        let message = format!("it shall be {digest}, but is {}", found.root.digest);
        return Err(Failure::new(Reason::DigestMismatch, &local.written, message));
    }
    if name.tag.is_some() || name.digest.is_some() {
        return Ok(name);
    }
    let tag = found.tag.as_deref().filter(|tag| reference::is_tag(tag)).unwrap_or("latest");
    Ok(name.with_tag(tag))
}

/// The failure for a folder or archive that is not what it should be.
fn malformed(local: &LocalImage, message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::LayoutMalformed, &local.written, message)
        .hint("write it again with the program that made it, for instance skopeo copy")
}

/// The failure for content that the source names and does not hold.
fn missing(local: &LocalImage, blob: &Descriptor) -> Failure {
    Failure::new(
        Reason::BlobMissing,
        &local.written,
        format!("it names {} but does not hold it", blob.digest),
    )
    .hint("write the image again, with all its platforms (skopeo copy --all), or name one of them")
}
