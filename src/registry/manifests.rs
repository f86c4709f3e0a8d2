//! Manifests: the bytes as pushed, under the type they were pushed with.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use futures_util::StreamExt as _;

use super::{
    Registry, Request, blocking,
    respond::{self, Answer, Refusal},
};
use crate::{
    base::{
        digest::{Algorithm, Hasher},
        failure::Failure,
        limits,
    },
    oci::{Descriptor, Document, error_code, image::sniff_media_type, media_type},
    store::{Change, Publication, PublishedManifest, PublishedTag, Target},
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

    /// `PUT`: one more manifest, and tags that lead to it. Only sandboxes take pushes, and there a manifest may list
    /// what is not in the repository; what is, it holds from the same moment on.
    pub(super) async fn push_manifest(
        &self,
        request: Request,
        name: &str,
        target: &Target,
        body: Body,
    ) -> Answer {
        let bytes = gather(body).await?;
        let (store, name, target) = (self.store.clone(), name.to_owned(), target.clone());
        blocking(move || {
            let pushed = Pushed::read(&request, &bytes, &target)?;
            let repository = request.query.repository(&name);
            store.put(&pushed.root, &bytes)?;
            let tags = pushed.tags(&repository, &request, &target);
            store.change(|change| {
                let manifest = pushed.manifest(change, &repository)?;
                change.publish(&Publication { manifests: vec![manifest], tags: tags.clone() })
            })?;
            let digest = &pushed.root.digest;
            let mut response = respond::created(&format!("/v2/{name}/manifests/{digest}"), digest);
            let headers = response.headers_mut();
            // Tells the client that it need not keep the list of referrers itself.
            if let Some(subject) = pushed.document.subject() {
                respond::set(headers, HeaderName::from_static("oci-subject"), &subject.digest.to_string());
            }
            if !request.query.tags.is_empty() {
                respond::set(headers, HeaderName::from_static("oci-tag"), &request.query.tags.join(", "));
            }
            Ok(response)
        })
        .await
    }

    /// `DELETE` of a tag, or of a manifest with all its tags.
    pub(super) fn delete_manifest(&self, request: &Request, name: &str, target: &Target) -> Answer {
        let repository = request.query.repository(name);
        let deleted = self.store.change(|change| match target {
            Target::Tag(tag) => change.delete_tag(&repository, tag),
            Target::Digest(digest) => change.delete_manifest(&repository, digest),
        })?;
        respond::deleted(deleted, error_code::MANIFEST_UNKNOWN)
    }

    /// Which of the two is unknown, the repository or the manifest.
    fn unknown(&self, repository: &str) -> Result<Refusal, Refusal> {
        let known = self.store.tags(repository, None, 0)?.is_some();
        Ok(Refusal::of(if known { error_code::MANIFEST_UNKNOWN } else { error_code::NAME_UNKNOWN }))
    }
}

/// The whole of a manifest, as long as it is no longer than one may be.
async fn gather(body: Body) -> Result<Vec<u8>, Refusal> {
    let (mut bytes, mut stream) = (Vec::new(), body.into_data_stream());
    while let Some(piece) = stream.next().await {
        let cut = |error: axum::Error| Refusal::of(error_code::SIZE_INVALID).detail(error.to_string());
        bytes.extend_from_slice(&piece.map_err(cut)?);
        if bytes.len() as u64 > limits::OCI_MANIFEST_BYTES {
            return Err(Refusal::of(error_code::TOO_LARGE));
        }
    }
    Ok(bytes)
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

    /// With what it lists and the repository has.
    fn manifest(&self, change: &Change<'_>, repository: &str) -> Result<PublishedManifest, Failure> {
        let (mut blobs, mut children) = (Vec::new(), Vec::new());
        for listed in self.document.descriptors() {
            if matches!(self.document, Document::Index(_)) {
                if change.has_manifest(repository, &listed.digest)? {
                    children.push(listed.digest.clone());
                }
            } else if change.has_in(repository, &listed.digest)? && change.has_bytes(listed)? {
                blobs.push(listed.clone());
            }
        }
        let root = self.root.clone();
        Ok(PublishedManifest::new(repository, root, &self.document, blobs, children))
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
