//! The referrers of a manifest (distribution-spec, "Listing Referrers"): always an index, empty when there
//! are none, whether or not the subject or the repository is known.

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use super::{
    Registry, Request,
    respond::{self, Answer, Refusal},
};
use crate::{
    base::{digest::Digest, failure::Failure, limits},
    oci::{Descriptor, ImageIndex, error_code, media_type},
    rules::Right,
};

impl Registry {
    pub(super) fn referrers(&self, request: &Request, name: &str, subject: &Digest) -> Answer {
        let query = &request.query;
        let last = query.last.as_deref().map(Digest::parse).transpose();
        let last = last.map_err(|_why| Refusal::of(error_code::PAGINATION_INVALID))?;
        let size = query.n.map_or(limits::REFERRERS_ENTRIES, |n| n.clamp(1, limits::REFERRERS_ENTRIES));
        let (repository, artifact_type) = (query.repository(name), query.artifact_type.as_deref());
        let rows = if request.gate.may(&request.caller, Right::Pull, &repository) {
            self.store.referrers(&repository, subject, artifact_type, last.as_ref(), size + 1)?
        } else {
            Vec::new()
        };
        let found: Vec<Descriptor> = rows.into_iter().map(|row| row.descriptor).collect();
        let count = fitting(&found, size)?;
        let next = found.get(..count).filter(|page| page.len() < found.len()).and_then(<[_]>::last);
        let next = next.map(|last| last.digest.to_string());
        let mut manifests = found;
        manifests.truncate(count);
        let index = ImageIndex {
            schema_version: 2,
            media_type: Some(media_type::INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: crate::oci::descriptor::Annotations::new(),
        };
        let bytes = serde_json::to_vec(&index).map_err(Failure::internal)?;
        let mut response: Response = respond::bytes_of(media_type::INDEX, bytes);
        if query.artifact_type.is_some() {
            response.headers_mut().insert(
                HeaderName::from_static("oci-filters-applied"),
                HeaderValue::from_static("artifactType"),
            );
        }
        if let Some(last) = next {
            let path = format!("/v2/{name}/referrers/{subject}");
            respond::link_next(&mut response, &path, size, &last, query);
        }
        Ok(response)
    }
}

/// How many of the descriptors make one page: annotations are free text of any length, and clients stop
/// reading somewhere. At least one, so that the list goes on.
fn fitting(descriptors: &[Descriptor], size: usize) -> Result<usize, Failure> {
    let mut bytes = 200;
    for (at, descriptor) in descriptors.iter().take(size).enumerate() {
        bytes += serde_json::to_vec(descriptor).map_err(Failure::internal)?.len() as u64 + 1;
        if at > 0 && bytes > limits::PAGE_BYTES {
            return Ok(at);
        }
    }
    Ok(descriptors.len().min(size))
}
