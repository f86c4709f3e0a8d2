//! The pull side of a registry (OCI distribution-spec "Pull" and "Content Discovery").

use std::collections::BTreeSet;

use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, LINK},
};
use serde::Deserialize;

use super::{
    Client, Inner,
    auth::Access,
    download::{Length, Pieces, wrong_bytes},
    hosts::Origin,
    http::{Answer, Call},
    retry::Trouble,
};
use crate::{
    base::{
        digest::{Algorithm, Digest, Hasher},
        failure::{Failure, Reason, Result},
        limits, text,
    },
    oci::{
        Descriptor, Document, Reference,
        image::sniff_media_type,
        media_type,
        reference::{is_tag, referrers_tag},
    },
    store::BlobWriter,
};

/// A manifest as received: type, bytes and meaning agree.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// Media type, digest of the bytes, size.
    pub descriptor: Descriptor,
    /// Exactly what the registry sent.
    pub bytes: Bytes,
    /// The bytes as understood.
    pub document: Document,
}

impl Client {
    /// The manifest at a tag or digest; `None` when the registry has none. The digest is that of the bytes
    /// received; if `at` has a digest, they must match it.
    pub async fn manifest(&self, at: &Reference) -> Result<Option<FetchedManifest>> {
        let call = self.inner.call(Method::GET, at, &format!("manifests/{}", at.target()), &["pull"])?;
        let call = call.header(ACCEPT, media_type::ACCEPT)?;
        self.inner.persist(|| self.inner.manifest(&call, at)).await
    }

    /// What the registry says about a manifest, without its bytes; `None` when it has none. Good for asking
    /// whether something is there: the digest is only the registry's word and never stands for content.
    pub async fn manifest_head(&self, at: &Reference) -> Result<Option<Descriptor>> {
        let call = self.inner.call(Method::HEAD, at, &format!("manifests/{}", at.target()), &["pull"])?;
        let call = call.header(ACCEPT, media_type::ACCEPT)?;
        let answer = self.inner.persist(|| self.inner.send(&call)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let digest = answer.header("docker-content-digest").and_then(|digest| Digest::parse(digest).ok());
        let size = answer.header("content-length").and_then(|length| length.parse().ok());
        let kind = answer.header(CONTENT_TYPE).map(media_type::essence);
        let told = match (digest, size, kind) {
            (Some(digest), Some(size), Some(kind))
                if answer.status().is_success() && media_type::is_manifest(&kind) =>
            {
                Some(Descriptor::new(kind, digest, size))
            }
            _ => None,
        };
        drop(answer);
        match told {
            Some(told) if at.digest.as_ref().is_none_or(|digest| *digest == told.digest) => Ok(Some(told)),
            // The registry says too little, or does not know HEAD: the bytes say it all.
            _ => Ok(self.manifest(at).await?.map(|manifest| manifest.descriptor)),
        }
    }

    /// All tags of a repository, in the registry's order.
    pub async fn tags(&self, repository: &Reference) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let object = repository.name();
        let mut call = self.inner.call(Method::GET, repository, "tags/list?n=1000", &["pull"])?;
        call.object.clone_from(&object);
        let mut tags = Vec::new();
        let mut pages = Pages::new(&call);
        while let Some(url) = pages.next() {
            let call = Call { url, ..call.clone() };
            let (body, next) = self.inner.persist(|| self.inner.page(&call)).await?;
            pages.turn(body.len(), next)?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| {
                Failure::new(Reason::UpstreamMalformed, &object, format!("its list of tags: {error}"))
            })?;
            for tag in page.tags.unwrap_or_default() {
                if is_tag(&tag) {
                    tags.push(tag);
                } else {
                    let tag = text::escaped(&tag, 140);
                    self.inner.progress.note(&format!("{object}: the impossible tag `{tag}` is passed over"));
                }
            }
        }
        Ok(tags)
    }

    /// The referrers of a manifest: from the referrers API, or from the fallback tag where the registry has
    /// no such API (distribution-spec "Listing Referrers"). `subject` must have a digest.
    pub async fn referrers(&self, subject: &Reference) -> Result<Vec<Descriptor>> {
        let digest = subject.digest.as_ref().ok_or_else(|| Failure::internal("referrers of no digest"))?;
        let call = self.inner.call(Method::GET, subject, &format!("referrers/{digest}"), &["pull"])?;
        let call = call.header(ACCEPT, media_type::INDEX)?;
        let mut found = Vec::new();
        let mut pages = Pages::new(&call);
        let mut first = true;
        while let Some(url) = pages.next() {
            let call = Call { url, ..call.clone() };
            let page = self.inner.persist(|| self.inner.referrers_page(&call, first)).await?;
            let Some((body, next)) = page else {
                return self.fallback_referrers(subject, digest).await;
            };
            pages.turn(body.len(), next)?;
            first = false;
            found.extend(index_entries(&body, &call.object)?);
            if found.len() > limits::GRAPH_MANIFESTS {
                return Err(too_many(&call.object));
            }
        }
        Ok(found)
    }

    async fn fallback_referrers(&self, subject: &Reference, digest: &Digest) -> Result<Vec<Descriptor>> {
        let tagged = subject.with_tag(&referrers_tag(digest));
        match self.manifest(&tagged).await? {
            None => Ok(Vec::new()),
            Some(FetchedManifest { document: Document::Index(index), .. }) => Ok(index.manifests),
            Some(_) => Err(Failure::new(
                Reason::UpstreamMalformed,
                tagged,
                "expected the index of referrers at this tag, found an image manifest",
            )),
        }
    }

    /// Brings a blob into the store: goes on after what `writer` holds, tries again where that helps, checks
    /// size and digest, commits. Bytes of an earlier run count as done for the progress line.
    pub async fn blob(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        mut writer: BlobWriter,
    ) -> Result<()> {
        let rest = format!("blobs/{}", blob.digest);
        let mut call = self.inner.call(Method::GET, repository, &rest, &["pull"])?;
        call.object = repository.with_digest(&blob.digest).to_string();
        let length = Length::Exactly(blob.size);
        let mut reported = 0;
        let mut restarted = false;
        loop {
            let pieces = match self.inner.download(&call, &mut writer, length, &mut reported).await {
                Ok(pieces) => pieces,
                Err(failure) => {
                    if failure.reason == Reason::UpstreamDigest {
                        writer.restart()?;
                    }
                    return Err(failure);
                }
            };
            let found = writer.digest();
            if found == blob.digest {
                break;
            }
            writer.restart()?;
            if pieces == Pieces::One || restarted {
                let message = format!("the {} bytes received have the digest {found}", blob.size);
                return Err(wrong_bytes(&call.object, message));
            }
            restarted = true;
            self.inner
                .progress
                .note(&format!("{}: the parts do not fit together; starting anew", call.object));
        }
        let blob = blob.clone();
        // Syncing may take long: not on a thread that sockets wait for.
        tokio::task::spawn_blocking(move || writer.commit(&blob)).await.map_err(Failure::internal)?
    }
}

impl Inner {
    /// A call to a repository: `/v2/<name>/<rest>`, with these rights.
    pub(super) fn call(&self, method: Method, at: &Reference, rest: &str, rights: &[&str]) -> Result<Call> {
        let endpoint = self.hosts.endpoint(&at.registry)?;
        let repository = endpoint.repository(&at.repository);
        let url = endpoint.url(&at.repository, rest)?;
        let scopes = vec![format!("repository:{repository}:{}", rights.join(","))];
        let access = Access { origin: endpoint.origin, account: endpoint.account, repository, scopes };
        Ok(Call::new(method, url, at, access))
    }

    async fn manifest(&self, call: &Call, at: &Reference) -> Result<Option<FetchedManifest>, Trouble> {
        let answer = self.send(call).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(answer.refused(Reason::HttpStatus, at).await.into()),
        }
        let announced = answer.header(CONTENT_TYPE).map(media_type::essence).unwrap_or_default();
        let claimed = answer.header("docker-content-digest").and_then(|digest| Digest::parse(digest).ok());
        let bytes = answer.read(limits::OCI_MANIFEST_BYTES, &call.object).await?;
        // Bytes first: what differs from its digest is not even parsed.
        let claim = at.digest.as_ref().or(claimed.as_ref());
        let digest = digest_of(&bytes, claim.map_or(Algorithm::Sha256, Digest::algorithm));
        if claim.is_some_and(|claim| *claim != digest) {
            let what = if at.digest.is_some() { "" } else { " that it announced" };
            let message = format!("the bytes received have the digest {digest}, not the one{what}");
            return Err(wrong_bytes(&call.object, message).into());
        }
        let digest = if at.digest.is_some() { digest } else { Digest::of(&bytes) };
        let kind = if media_type::is_manifest(&announced) || announced.contains("manifest") {
            announced
        } else {
            sniff_media_type(&bytes).ok_or_else(|| {
                let found = text::escaped(&announced, 80);
                let message =
                    format!("expected an image manifest or index, found something of type `{found}`");
                Failure::new(Reason::UpstreamMalformed, &call.object, message)
                    .hint("check the address: a proxy or login page may stand between")
            })?
        };
        let document = Document::parse(&bytes, &kind).map_err(|failure| failure.of(at))?;
        let descriptor = Descriptor::new(kind, digest, bytes.len() as u64);
        Ok(Some(FetchedManifest { descriptor, bytes, document }))
    }

    /// One page of a list, and where the next one is.
    async fn page(&self, call: &Call) -> Result<(Bytes, Option<Url>), Trouble> {
        let answer = self.send(call).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(answer.refused(Reason::UpstreamNotFound, &call.object).await.into());
            }
            _ => return Err(answer.refused(Reason::HttpStatus, &call.object).await.into()),
        }
        self.body_and_next(call, answer).await
    }

    /// One page of referrers; `None` when the registry has no such API. Registries without it answer in many
    /// ways.
    async fn referrers_page(
        &self,
        call: &Call,
        first: bool,
    ) -> Result<Option<(Bytes, Option<Url>)>, Trouble> {
        let answer = self.send(call).await?;
        let kind = answer.header(CONTENT_TYPE).map(media_type::essence);
        let absent = match answer.status().as_u16() {
            200 => kind.as_deref() != Some(media_type::INDEX),
            400 | 404 | 405 | 406 | 501 => true,
            _ => false,
        };
        if first && absent {
            return Ok(None);
        }
        if answer.status() != StatusCode::OK {
            return Err(answer.refused(Reason::HttpStatus, &call.object).await.into());
        }
        self.body_and_next(call, answer).await.map(Some)
    }

    async fn body_and_next(&self, call: &Call, answer: Answer) -> Result<(Bytes, Option<Url>), Trouble> {
        let next = next_page(call, &answer)?;
        Ok((answer.read(limits::PAGE_BYTES, &call.object).await?, next))
    }
}

/// The pages of a list: no page twice, not too many, not too much (threats N09).
struct Pages {
    object: String,
    seen: BTreeSet<String>,
    bytes: u64,
    next: Option<Url>,
}

impl Pages {
    fn new(first: &Call) -> Self {
        let seen = BTreeSet::from([first.url.to_string()]);
        Self { object: first.object.clone(), seen, bytes: 0, next: Some(first.url.clone()) }
    }

    fn next(&mut self) -> Option<Url> {
        self.next.take()
    }

    fn turn(&mut self, bytes: usize, next: Option<Url>) -> Result<()> {
        self.bytes += bytes as u64;
        if let Some(next) = &next
            && !self.seen.insert(next.to_string())
        {
            let message = "the pages of its list lead back to one that was read";
            return Err(Failure::new(Reason::UpstreamMalformed, &self.object, message));
        }
        if self.bytes > limits::LIST_BYTES || self.seen.len() > limits::PAGES {
            return Err(too_many(&self.object));
        }
        self.next = next;
        Ok(())
    }
}

fn too_many(object: &str) -> Failure {
    Failure::new(Reason::UpstreamLimit, object, "its list has more pages or entries than allowed")
        .hint("name what is wanted by tag or digest")
}

/// Where `Link: <…>; rel="next"` leads (RFC 8288): on the same server only.
fn next_page(call: &Call, answer: &Answer) -> Result<Option<Url>> {
    let Some(target) = answer.header(LINK).and_then(next_link) else { return Ok(None) };
    let wrong = |reason, what: &str| Failure::new(reason, &call.object, what);
    let next = answer
        .url()
        .join(target)
        .map_err(|_error| wrong(Reason::UpstreamMalformed, "its list names no usable next page"))?;
    if Origin::of(&next) != call.access.origin || !next.username().is_empty() || next.password().is_some() {
        return Err(wrong(Reason::UpstreamRedirect, "the next page of its list is on another server"));
    }
    Ok(Some(next))
}

fn next_link(header: &str) -> Option<&str> {
    header.split(", <").find_map(|link| {
        let (target, parameters) = link.trim_start().trim_start_matches('<').split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            parameter.trim().split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_end_matches(',').trim_matches('"').eq_ignore_ascii_case("next")
            })
        });
        next.then_some(target)
    })
}

/// The entries of an index that lists referrers.
fn index_entries(body: &[u8], object: &str) -> Result<Vec<Descriptor>> {
    match Document::parse(body, media_type::INDEX) {
        Ok(Document::Index(index)) => Ok(index.manifests),
        Ok(Document::Image(_)) => Err(Failure::internal("an index was parsed as an image")),
        Err(failure) => Err(failure.as_reason(Reason::UpstreamMalformed).of(object)),
    }
}

fn digest_of(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page() {
        for (header, expected) in [
            (r#"</v2/a/tags/list?n=1&last=x>; rel="next""#, Some("/v2/a/tags/list?n=1&last=x")),
            ("<u>; rel=next", Some("u")),
            (r#"<p>; rel="prev", <u>; rel="next""#, Some("u")),
            (r#"<p>; rel="prev""#, None),
            ("u; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }
}
