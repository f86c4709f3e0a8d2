//! Manifests: the bytes as pushed, under the type they were pushed with.

use std::collections::HashMap;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

use serde_json::json;

use super::{
    Registry, Request, blocking,
    body::Incoming,
    respond::{self, Answer, Refusal},
};
use crate::{
    base::{
        digest::{Algorithm, Digest, Hasher},
        failure::{Failure, Reason, Result},
        limits,
    },
    ledger::{Deed, Text, Thing},
    oci::{Descriptor, Document, error_code, image::sniff_media_type, media_type, reference::SANDBOX},
    rules::Right,
    store::{Change, Deletion, Publication, PublishedManifest, PublishedTag, Target},
};

impl Registry {
    pub(super) fn manifest(&self, request: &Request, name: &str, target: &Target) -> Answer {
        let repository = request.query.repository(name);
        let Some(manifest) = self.store.manifest(&repository, target)? else {
            return Err(self.unknown(&repository)?);
        };
        if respond::is_known(&request.headers, &manifest.digest) {
            return Ok(respond::not_modified(&manifest.digest));
        }
        // Read and checked for HEAD too: it promises what GET then delivers.
        let bytes = self
            .store
            .read_blob(&manifest)
            .map_err(|cause| Refusal::lost(error_code::MANIFEST_UNKNOWN, cause))?;
        let length = HeaderValue::from(bytes.len());
        let mut response = respond::bytes_of(&manifest.media_type, bytes);
        if request.head_only {
            *response.body_mut() = Body::empty();
        }
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        respond::name_content(response.headers_mut(), &manifest.digest);
        Ok::<Response, _>(response)
    }

    /// `PUT`: one more manifest, and tags that lead to it. What it lists must be in the repository, and is held by it from
    /// the same moment on; only in a sandbox, on which nobody relies, it may list what is not there.
    pub(super) async fn push_manifest(
        &self,
        request: Request,
        name: &str,
        target: &Target,
        body: &mut Incoming,
    ) -> Answer {
        let bytes = body.whole(limits::OCI_MANIFEST_BYTES).await?;
        let (registry, name, target) = (self.clone(), name.to_owned(), target.clone());
        let author = request.caller.author();
        blocking(move || {
            let pushed = Pushed::read(&request, &bytes, &target)?;
            let repository = request.query.repository(&name);
            let store = &registry.store;
            let kept = store.keep(&pushed.root.digest)?;
            store.put_kept(&pushed.root, &bytes, &kept)?;
            let tags = pushed.tags(&repository, &request, &target);
            let published = registry.change(|change| {
                if let Some(right) = pushed.lacks(change, &repository, &tags, &request)? {
                    return Ok((request.gate.check(&request.caller, right, &repository), vec![]));
                }
                let mut manifests = Vec::new();
                // Who may only move tags brings nothing, not even another type.
                if request.gate.may(&request.caller, Right::Push, &repository) {
                    let (manifest, missing) = pushed.manifest(change, &repository)?;
                    if !missing.is_empty() && !repository.starts_with(SANDBOX) {
                        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                        let detail = json!({ "missing": missing });
                        let refusal = Refusal::of(error_code::MANIFEST_BLOB_UNKNOWN).detail(detail);
                        return Ok((Err(refusal), vec![]));
                    }
                    manifests.push(manifest);
                }
                let deeds = pushed.deeds(change, &tags, &request)?;
                change.publish(&Publication { manifests, tags: tags.clone() }, &author)?;
                Ok((Ok(()), deeds))
            });
            if !matches!(published, Ok(Ok(()))) {
                store.give_up(&repository, &pushed.root.digest, kept)?;
            }
            published.map_err(|failure| match failure.reason {
                Reason::SizeMismatch => Refusal::of(error_code::MANIFEST_INVALID).detail(failure.message),
                Reason::BlobMissing => Refusal::of(error_code::MANIFEST_BLOB_UNKNOWN).detail(failure.object),
                _ => failure.into(),
            })??;
            let digest = &pushed.root.digest;
            let mut response = respond::created(&format!("/v2/{name}/manifests/{digest}"), digest);
            let headers = response.headers_mut();
            // Tells the client that it need not keep the list of referrers itself.
            if let Some(subject) = pushed.document.subject() {
                respond::set(headers, HeaderName::from_static("oci-subject"), &subject.digest.to_string());
            }
            if !request.query.tags.is_empty() {
                let names: Vec<&str> = tags.iter().map(|tag| tag.tag.as_str()).collect();
                respond::set(headers, HeaderName::from_static("oci-tag"), &names.join(", "));
            }
            Ok(response)
        })
        .await
    }

    /// `DELETE` of a tag, or of a manifest with all its tags.
    pub(super) fn delete_manifest(&self, request: &Request, name: &str, target: &Target) -> Answer {
        let repository = request.query.repository(name);
        let author = request.caller.author();
        let deed = request.deed();
        let tag = |tag: &str, before| Deed {
            what: Some(Thing::Tag),
            tag: Some(Text::new(tag)),
            digest: None,
            before,
            ..deed.clone()
        };
        let deleted = self.change(|change| {
            let (deleted, deeds) = match target {
                Target::Tag(name) => {
                    let before = change.tag(&repository, name)?;
                    (change.delete_tag(&repository, name, &author)?, vec![tag(name, before)])
                }
                Target::Digest(digest) => {
                    let tags = change.tags_of(&repository, digest)?;
                    let tags = tags.iter().map(|name| tag(name, Some(digest.clone())));
                    let deeds = tags.chain([deed.clone()]).collect();
                    (change.delete_manifest(&repository, digest, &author)?, deeds)
                }
            };
            let done = deleted == Deletion::Done;
            Ok((deleted, if done { deeds } else { vec![] }))
        })?;
        self.collection.want();
        respond::deleted(deleted, error_code::MANIFEST_UNKNOWN)
    }

    /// Which of the two is unknown, the repository or the manifest.
    fn unknown(&self, repository: &str) -> Result<Refusal, Refusal> {
        let known = self.store.tags(repository, None, 0)?.is_some();
        Ok(Refusal::of(if known { error_code::MANIFEST_UNKNOWN } else { error_code::NAME_UNKNOWN }))
    }
}

/// A manifest that a client sends, read and checked.
struct Pushed {
    root: Descriptor,
    document: Document,
}

impl Pushed {
    fn read(request: &Request, bytes: &[u8], target: &Target) -> Result<Self, Refusal> {
        let invalid = |what: String| Refusal::of(error_code::MANIFEST_INVALID).detail(what);
        let announced = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = announced.map(media_type::essence).or_else(|| sniff_media_type(bytes));
        let Some(media_type) = media_type else {
            return Err(invalid("it says nowhere what type it has".to_owned()));
        };
        let algorithm = match target {
            Target::Digest(digest) => digest.algorithm(),
            Target::Tag(_) => Algorithm::Sha256,
        };
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        let root = Descriptor::new(media_type.clone(), hasher.finish(), bytes.len() as u64);
        if matches!(target, Target::Digest(digest) if *digest != root.digest) {
            return Err(
                Refusal::of(error_code::DIGEST_INVALID).detail(format!("the bytes have {}", root.digest))
            );
        }
        let document = Document::parse(bytes, &media_type).map_err(|failure| invalid(failure.message))?;
        Ok(Self { root, document })
    }

    /// With what it lists and the repository has, and what it lists and the repository lacks. What is there is there in
    /// the size that is listed: where it is not, no client could pull the one by the other.
    fn manifest(&self, change: &Change<'_>, repository: &str) -> Result<(PublishedManifest, Vec<Digest>)> {
        let listed = self.document.descriptors();
        let mut asked: Vec<&Digest> = self.document.subject().into_iter().map(|one| &one.digest).collect();
        asked.extend(listed.iter().map(|listed| &listed.digest));
        let sizes: HashMap<&Digest, Option<u64>> =
            asked.iter().copied().zip(change.sizes_of(&asked)?).collect();
        let is_here = |listed: &Descriptor| {
            let known = change.has_in(repository, &listed.digest)?;
            let found = sizes.get(&listed.digest).copied().flatten().filter(|_size| known);
            match found {
                Some(size) if size != listed.size => {
                    let message = format!("it gives {} {} bytes, of {size}", listed.digest, listed.size);
                    Err(Failure::new(Reason::SizeMismatch, &self.root.digest, message))
                }
                found => Ok(found.is_some()),
            }
        };
        if let Some(subject) = self.document.subject() {
            is_here(subject)?;
        }
        let (mut blobs, mut children, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for listed in listed {
            let is_here = is_here(listed)?;
            match &self.document {
                Document::Image(_) if is_here => blobs.push(listed.clone()),
                // A layer that its licence keeps where it is (image-spec, "Non-Distributable Layers").
                Document::Image(image) if !listed.urls.is_empty() && image.config != *listed => {}
                Document::Index(_) if is_here && change.has_manifest(repository, &listed.digest)? => {
                    children.push(listed.digest.clone());
                }
                _ => missing.push(listed.digest.clone()),
            }
        }
        let root = self.root.clone();
        Ok((PublishedManifest::new(repository, root, &self.document, blobs, children), missing))
    }

    /// The right that it takes to push this with these tags, and that the client does not have: only what is there tells
    /// what is new and what moves (threats R12).
    fn lacks(
        &self,
        change: &Change<'_>,
        repository: &str,
        tags: &[PublishedTag],
        request: &Request,
    ) -> Result<Option<Right>> {
        let lacks = |right: Right| !request.gate.may(&request.caller, right, repository);
        let digest = &self.root.digest;
        if lacks(Right::Push) && !change.has_manifest(repository, digest)? {
            return Ok(Some(Right::Push));
        }
        for tag in tags {
            let right = match change.tag(repository, &tag.tag)? {
                None => Right::Push,
                Some(found) if found == *digest => continue,
                Some(_) => Right::Tag,
            };
            if lacks(right) {
                return Ok(Some(right));
            }
        }
        Ok(None)
    }

    /// What is told of it: for each tag that comes to lead to it, where that led; of the manifest alone where none does.
    fn deeds(&self, change: &Change<'_>, tags: &[PublishedTag], request: &Request) -> Result<Vec<Deed>> {
        let deed = Deed { digest: Some(self.root.digest.clone()), tag: None, ..request.deed() };
        if tags.is_empty() {
            return Ok(vec![deed]);
        }
        let deeds = tags.iter().map(|PublishedTag { repository, tag, .. }| {
            let before = change.tag(repository, tag)?;
            let before = before.filter(|before| *before != self.root.digest);
            Ok(Deed { tag: Some(Text::new(tag)), before, ..deed.clone() })
        });
        deeds.collect()
    }

    fn tags(&self, repository: &str, request: &Request, target: &Target) -> Vec<PublishedTag> {
        let tag = |tag: &String| PublishedTag {
            repository: repository.to_owned(),
            tag: tag.clone(),
            digest: self.root.digest.clone(),
        };
        match target {
            Target::Tag(name) => vec![tag(name)],
            Target::Digest(_) => request.query.tags.iter().map(tag).collect(),
        }
    }
}
