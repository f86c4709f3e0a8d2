//! Whether an image is signed by who must have signed it, before it may enter a lock or a bundle (threats N15).

use super::Source;
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        limits,
    },
    cosign::{self, Found, ImageEvidence, Outcome, Subject},
    lock::LockedImage,
    manifest::{ImageSource, Referrers, WantedImage},
    oci::{Descriptor, Document, Reference},
};

impl Source {
    /// Judges the signatures of `locked`, all of which are among its referrers, as each of `wanted` asks.
    ///
    /// # Errors
    /// [`Reason::UpstreamUnsigned`], [`Reason::UpstreamSignature`], and what bringing them fails with.
    pub async fn signatures(&self, wanted: &[&WantedImage], locked: &LockedImage) -> Result<ImageEvidence> {
        let carried = locked.signatures().count();
        let mut evidence = ImageEvidence {
            name: locked.name.clone(),
            digest: locked.root.digest.clone(),
            outcome: match carried {
                0 if wanted.iter().any(|one| one.referrers == Referrers::All) => Outcome::Unsigned,
                _ => Outcome::NotChecked,
            },
            signatures: carried,
            by: Vec::new(),
        };
        for (policy, one) in wanted.iter().filter_map(|one| Some((one.verify.as_ref()?, one))) {
            let name = Reference::parse(&locked.name)?;
            let is_remote = match &one.source {
                ImageSource::Local(local) => {
                    if !self.has_signatures(locked)? {
                        self.local_image(local, &locked.root).await?;
                    }
                    false
                }
                _ => true,
            };
            let found = self.found(&name, locked, is_remote).await?;
            let manifest = self.listed(&name, &locked.root, is_remote).await?;
            let judged = cosign::judge(policy, Subject::new(&locked.root, &manifest)?, &found);
            evidence
                .by
                .extend(judged.map_err(|failure| failure.of(format!("{name} ({})", locked.root.digest)))?);
            evidence.outcome = Outcome::Verified;
        }
        evidence.by.sort();
        evidence.by.dedup();
        Ok(evidence)
    }

    /// Whether the store has the image's manifest and those that list its signatures.
    fn has_signatures(&self, locked: &LockedImage) -> Result<bool> {
        let lists = locked.signatures().map(|one| (&one.digest, one.size));
        for (digest, size) in lists.chain([(&locked.root.digest, locked.root.size)]) {
            if self.store.size_of(digest)? != Some(size) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A manifest; that of an image of this machine is in the store or nowhere.
    async fn listed(&self, name: &Reference, at: &Descriptor, is_remote: bool) -> Result<Vec<u8>> {
        if is_remote { self.manifest(name, at).await } else { self.store.read_blob(at) }
    }

    /// Everything among the referrers that may be a signature, with its bytes.
    async fn found(&self, name: &Reference, locked: &LockedImage, is_remote: bool) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for referrer in locked.signatures() {
            let root = Descriptor::new(&referrer.media_type, referrer.digest.clone(), referrer.size);
            let document = Document::parse(&self.listed(name, &root, is_remote).await?, &root.media_type)?;
            // What the manifest itself says counts; a tag is believed, for nothing else leads to the image.
            let is_about = referrer.tag.is_some()
                || document.subject().is_some_and(|subject| subject.digest == locked.root.digest);
            if !is_about {
                continue;
            }
            for (form, layer) in cosign::candidates(&document) {
                if layer.size > limits::UPSTREAM_SIGNATURE_BYTES {
                    continue;
                }
                if found.len() >= limits::UPSTREAM_SIGNATURES {
                    let message =
                        format!("more than {} signatures stand upstream", limits::UPSTREAM_SIGNATURES);
                    return Err(Failure::new(Reason::UpstreamLimit, &locked.name, message)
                        .hint("ask its maintainers to remove old ones, or remove `verify` for this image"));
                }
                let bytes = if is_remote {
                    self.small_blob(name, layer).await?
                } else {
                    self.store.read_blob(layer)?
                };
                found.push(Found { form, manifest: root.digest.clone(), layer: layer.clone(), bytes });
            }
        }
        Ok(found)
    }
}
