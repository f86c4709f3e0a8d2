//! The push side of a registry (OCI distribution-spec "Push").
//!
//! A blob: `POST …/blobs/uploads/` opens a session, one `PUT` to the location it names carries all bytes.
//! The last piece is held back until whoever reads the bytes has ended well: a body that fails, or falls
//! short, breaks the request off, and the registry never completes it.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
    },
};
use tokio::sync::mpsc;

use super::{
    Client, FetchedManifest, Inner,
    body::Clock,
    hosts::Origin,
    http::{Answer, Call, silent, trouble},
    retry::Trouble,
};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits, redact,
    },
    oci::{Descriptor, Document, ImageIndex, Reference, media_type, reference::referrers_tag},
};

/// What the registry said about a manifest that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// It has the referrers API and noted the subject (`OCI-Subject`). If not, and the manifest has a
    /// subject, [`Client::attach_referrer`] must be called.
    pub subject_accepted: bool,
}

impl Client {
    /// Whether the registry has the blob, in its right size.
    pub async fn blob_exists(&self, repository: &Reference, blob: &Descriptor) -> Result<bool> {
        let rest = format!("blobs/{}", blob.digest);
        let mut call = self.inner.call(Method::HEAD, repository, &rest, &["pull", "push"])?;
        call.object = repository.with_digest(&blob.digest).to_string();
        let answer = self.inner.persist(|| self.inner.send(&call)).await?;
        match answer.status() {
            StatusCode::OK => {
                let size: Option<u64> = answer.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
                Ok(size.is_none_or(|size| size == blob.size))
            }
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(answer.refused(Reason::HttpStatus, &call.object).await),
        }
    }

    /// Makes a blob of another repository of the same registry visible in this one. `false` when the
    /// registry does not: the blob must then be pushed.
    pub async fn mount(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        from_repository: &str,
    ) -> Result<bool> {
        let mut call = self.inner.call(Method::POST, repository, "blobs/uploads/", &["pull", "push"])?;
        let from = self.inner.hosts.endpoint(&repository.registry)?.repository(from_repository);
        call.access.scopes.push(format!("repository:{from}:pull"));
        call.url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", &from);
        call.object = repository.with_digest(&blob.digest).to_string();
        let call = call.header(CONTENT_LENGTH, "0")?;
        let answer = match self.inner.persist(|| self.inner.send(&call)).await {
            // The account may not read the other repository: pushing may still work.
            Err(failure) if failure.reason == Reason::AuthFailed => return Ok(false),
            other => other?,
        };
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                if let Ok(session) = session(&call, &answer) {
                    drop(answer);
                    self.inner.cancel(&call, session).await;
                }
                Ok(false)
            }
            status if status.is_client_error() => Ok(false),
            _ => Err(answer.refused(Reason::HttpStatus, &call.object).await),
        }
    }

    /// Pushes a blob whose bytes arrive through `body`; the end of the channel is the end of the bytes. An
    /// error in it, or a length other than the descriptor's, breaks the upload off.
    ///
    /// The bytes can be sent only once: a failure is not tried again here.
    pub async fn push_blob(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        body: mpsc::Receiver<Result<Bytes>>,
    ) -> Result<()> {
        let mut call = self.inner.call(Method::POST, repository, "blobs/uploads/", &["pull", "push"])?;
        call.object = repository.with_digest(&blob.digest).to_string();
        let call = call.header(CONTENT_LENGTH, "0")?;
        let answer = self.inner.persist(|| self.inner.send(&call)).await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(answer.refused(Reason::PushRefused, &call.object).await);
        }
        let session = session(&call, &answer)?;
        drop(answer);
        let mut target = session.clone();
        target.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let pushed = self.inner.upload(&call, &target, blob.size, body).await;
        if pushed.is_err() {
            self.inner.cancel(&call, session).await;
        }
        pushed
    }

    /// Pushes a manifest to a tag, or to a digest when `at` has one.
    pub async fn push_manifest(&self, at: &Reference, media_type: &str, bytes: Bytes) -> Result<Pushed> {
        let rest = format!("manifests/{}", at.target());
        let mut call = self.inner.call(Method::PUT, at, &rest, &["pull", "push"])?;
        call.body = Some(bytes.clone());
        let call = call.header(CONTENT_TYPE, media_type)?;
        let answer = self.inner.persist(|| self.inner.send(&call)).await?;
        if !answer.status().is_success() {
            return Err(answer.refused(Reason::PushRefused, at).await);
        }
        let stored = answer.header("docker-content-digest").and_then(|digest| Digest::parse(digest).ok());
        let ours = Digest::of(&bytes);
        if let Some(stored) =
            stored.filter(|stored| stored.algorithm() == ours.algorithm() && *stored != ours)
        {
            let message = format!("pushed {ours}, the registry says that it stored {stored}");
            return Err(Failure::new(Reason::PushRefused, at, message)
                .hint("the registry changes manifests: signatures and digests would not hold there"));
        }
        Ok(Pushed { subject_accepted: answer.header("oci-subject").is_some() })
    }

    /// Notes a referrer at the fallback tag of its subject, for registries without the referrers API
    /// (distribution-spec "Pushing Manifests with Subject"). `subject` must have a digest. Within this
    /// process one such change follows the other; the specification has no way to keep other clients out.
    pub async fn attach_referrer(&self, subject: &Reference, referrer: &Descriptor) -> Result<()> {
        let digest = subject.digest.as_ref().ok_or_else(|| Failure::internal("a referrer of no digest"))?;
        let at = subject.with_tag(&referrers_tag(digest));
        let _alone = self.inner.attaching.lock().await;
        let bytes = match self.manifest(&at).await? {
            None => {
                let index = ImageIndex {
                    schema_version: 2,
                    media_type: Some(media_type::INDEX.to_owned()),
                    artifact_type: None,
                    manifests: vec![referrer.clone()],
                    subject: None,
                    annotations: std::collections::BTreeMap::new(),
                };
                serde_json::to_vec(&index).map_err(Failure::internal)?
            }
            Some(FetchedManifest { document: Document::Index(index), bytes, .. }) => {
                if index.manifests.iter().any(|known| known.digest == referrer.digest) {
                    return Ok(());
                }
                with_entry(&bytes, referrer)?
            }
            Some(_) => {
                let message = "expected the index of referrers at this tag, found an image manifest";
                return Err(Failure::new(Reason::PushRefused, at, message).hint("remove or rename that tag"));
            }
        };
        if bytes.len() as u64 > limits::OCI_MANIFEST_BYTES {
            return Err(Failure::new(
                Reason::OciLimit,
                at,
                "the list of referrers would be larger than 4 MiB",
            ));
        }
        self.push_manifest(&at, media_type::INDEX, bytes.into()).await.map(|_pushed| ())
    }
}

/// The index with one more entry; members that we do not know stay.
fn with_entry(index: &[u8], entry: &Descriptor) -> Result<Vec<u8>> {
    let mut index: serde_json::Value = serde_json::from_slice(index).map_err(Failure::internal)?;
    let entry = serde_json::to_value(entry).map_err(Failure::internal)?;
    match index.get_mut("manifests").and_then(serde_json::Value::as_array_mut) {
        Some(list) => list.push(entry),
        None => {
            if let Some(index) = index.as_object_mut() {
                index.insert("manifests".to_owned(), serde_json::Value::Array(vec![entry]));
            }
        }
    }
    serde_json::to_vec(&index).map_err(Failure::internal)
}

/// The location of an upload session: on the same server only, for it is sent credentials and content
/// (threats N02).
fn session(call: &Call, answer: &Answer) -> Result<Url> {
    let wrong = |reason, what: String| {
        Failure::new(reason, &call.object, what)
            .hint("set the registry's own external address (for instance http.host or externalURL) right")
    };
    let location = answer.header(LOCATION).ok_or_else(|| {
        wrong(Reason::UpstreamMalformed, "an upload was opened without a location".to_owned())
    })?;
    let url = answer.url().join(location).map_err(|error| {
        wrong(Reason::UpstreamMalformed, format!("an upload was opened at no usable location: {error}"))
    })?;
    if Origin::of(&url) != call.access.origin || !url.username().is_empty() || url.password().is_some() {
        let (found, expected) = (redact::url(url.as_str()), &call.access.origin);
        return Err(wrong(
            Reason::UpstreamRedirect,
            format!("the upload should go to {found}, which is not {expected}; nothing was sent there"),
        ));
    }
    Ok(url)
}

impl Inner {
    /// Closes an upload session that will not be used. A registry that does not follow forgets it in time.
    async fn cancel(&self, call: &Call, session: Url) {
        let call = Call { method: Method::DELETE, url: session, ..call.clone() };
        let _best_effort = self.send(&call).await;
    }

    /// `PUT` of a streamed body.
    async fn upload(
        &self,
        call: &Call,
        target: &Url,
        size: u64,
        body: mpsc::Receiver<Result<Bytes>>,
    ) -> Result<()> {
        let flow = Arc::new(Flow::default());
        let sent = self.put(call, target, size, body, &flow).await;
        // A body that failed is the cause of whatever the connection says.
        if let Some(failure) = flow.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failure);
        }
        let answer = sent.map_err(|trouble| trouble.about(&call.object).failure)?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => {
                let found = answer.refused(Reason::AuthFailed, &call.object).await;
                Err(self.refused_login(&call.access, &found.message).await)
            }
            status if status.is_success() => Ok(()),
            status => {
                let reason = match status.as_u16() {
                    429 => Reason::RateLimited,
                    500.. => Reason::HttpStatus,
                    _ => Reason::PushRefused,
                };
                Err(answer.refused(reason, &call.object).await)
            }
        }
    }

    async fn put(
        &self,
        call: &Call,
        target: &Url,
        size: u64,
        body: mpsc::Receiver<Result<Bytes>>,
        flow: &Arc<Flow>,
    ) -> Result<Answer, Trouble> {
        let what = format!("PUT {}", redact::url(target.as_str()));
        let mut headers = HeaderMap::new();
        headers.extend(self.authorization(&call.access).await?.map(|value| (AUTHORIZATION, value)));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type::OCTETS));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let host = self.hosts.host(&Origin::of(target))?;
        let permit = host.enter().await?;
        let body = reqwest::Body::wrap_stream(stream(body, size, Arc::clone(flow)));
        let request = host.http.put(target.clone()).headers(headers).body(body);
        let timeouts = self.settings.timeouts;
        let mut sending = std::pin::pin!(request.send());
        let response = loop {
            let before = flow.look();
            let limit = if before.complete { timeouts.finish } else { timeouts.idle };
            match tokio::time::timeout(limit, &mut sending).await {
                Ok(response) => break response.map_err(|error| trouble(&what, &error))?,
                Err(_elapsed) if flow.look() == before && !before.waiting => {
                    return Err(Trouble::passing(silent(&what, limit)));
                }
                Err(_elapsed) => {}
            }
        };
        Ok(Answer::checked(response, what, Clock::new(timeouts.idle), permit)?)
    }
}

/// What a body under way is doing, seen from outside.
#[derive(Default)]
struct Flow {
    /// It waits for whoever makes the bytes, not for the network.
    waiting: AtomicBool,
    /// All bytes are handed over.
    complete: AtomicBool,
    pieces: AtomicU64,
    failure: Mutex<Option<Failure>>,
}

#[derive(PartialEq, Eq)]
struct Look {
    waiting: bool,
    complete: bool,
    pieces: u64,
}

impl Flow {
    fn look(&self) -> Look {
        Look {
            waiting: self.waiting.load(Ordering::Relaxed),
            complete: self.complete.load(Ordering::Relaxed),
            pieces: self.pieces.load(Ordering::Relaxed),
        }
    }

    fn fail(&self, failure: Failure) -> io::Error {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        io::Error::other("the body ends here")
    }

    async fn receive(&self, body: &mut mpsc::Receiver<Result<Bytes>>) -> Result<Option<Bytes>> {
        self.waiting.store(true, Ordering::Relaxed);
        let received = body.recv().await;
        self.waiting.store(false, Ordering::Relaxed);
        self.pieces.fetch_add(1, Ordering::Relaxed);
        received.transpose()
    }

    /// The next piece while `left` bytes are still due.
    async fn next(&self, body: &mut mpsc::Receiver<Result<Bytes>>, left: u64) -> Result<Option<Bytes>> {
        while let Some(piece) = self.receive(body).await? {
            let length = piece.len() as u64;
            if length > left {
                return Err(wrong_length("more"));
            }
            // The last piece: what follows it decides whether it may leave.
            if length == left && self.receive(body).await?.is_some() {
                return Err(wrong_length("more"));
            }
            if length == left {
                self.complete.store(true, Ordering::Relaxed);
            }
            if length > 0 {
                return Ok(Some(piece));
            }
        }
        self.complete.store(true, Ordering::Relaxed);
        if left == 0 { Ok(None) } else { Err(wrong_length("fewer")) }
    }
}

/// The body as a stream of exactly `left` bytes. Its last piece leaves only after the channel has ended.
fn stream(
    body: mpsc::Receiver<Result<Bytes>>,
    left: u64,
    flow: Arc<Flow>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    futures_util::stream::unfold(Some((body, left, flow)), |state| async move {
        let (mut body, left, flow) = state?;
        match flow.next(&mut body, left).await {
            Ok(None) => None,
            Ok(Some(piece)) => {
                let left = left - piece.len() as u64;
                Some((Ok(piece), (left > 0).then_some((body, left, flow))))
            }
            Err(failure) => Some((Err(flow.fail(failure)), None)),
        }
    })
}

fn wrong_length(how: &str) -> Failure {
    Failure::new(Reason::SizeMismatch, "upload", format!("{how} bytes came than the descriptor says"))
}
