//! `GET` and `HEAD` of manifests: the bytes as pushed, under the type they were pushed with.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};

use super::{
    Registry, Request,
    respond::{self, Answer, Refusal},
};
use crate::{oci::error_code, store::Target};

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

    /// Which of the two is unknown, the repository or the manifest.
    fn unknown(&self, repository: &str) -> Result<Refusal, Refusal> {
        let known = self.store.tags(repository, None, 0)?.is_some();
        Ok(Refusal::of(if known { error_code::MANIFEST_UNKNOWN } else { error_code::NAME_UNKNOWN }))
    }
}
