//! Pushes of blobs (distribution-spec, "Pushing Blobs"): in one request, in a stream, or in chunks that may be
//! interrupted and go on, after a restart of the server too.
//!
//! No thread waits for a client: what comes is gathered piece by piece, and each piece written and hashed at once on
//! a blocking thread. What a broken request brought is forgotten, so that a client that sends it again does not find
//! it twice (threats R09).

use std::sync::{Arc, PoisonError};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    Registry, Request, blocking,
    body::Incoming,
    parked::ParkedUpload,
    respond::{self, Answer, Refusal},
};
use crate::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, limits},
    ledger::Deed,
    oci::{Descriptor, error_code, media_type},
    rules::Right,
    store::{BlobWriter, Deletion, Upload},
};

/// Bytes gathered before they are written; with what the socket holds, the memory of one push.
const PIECE: u64 = 256 << 10;

/// A push that this request has for itself.
struct Session {
    repository: String,
    owner: String,
    name: String,
    id: String,
    writer: BlobWriter,
}

impl Session {
    fn location(&self) -> String {
        format!("/v2/{}/blobs/uploads/{}", self.name, self.id)
    }

    /// The bytes that are here; of none at all the customary `0-0`, for there is no right answer.
    fn range(&self) -> String {
        format!("0-{}", self.writer.len().saturating_sub(1))
    }

    /// How far it is, for the client to go on from there.
    fn progress(&self, status: StatusCode) -> Response {
        let mut response = respond::empty(status);
        let headers = response.headers_mut();
        respond::set(headers, header::LOCATION, &self.location());
        respond::set(headers, header::RANGE, &self.range());
        respond::set(headers, HeaderName::from_static("docker-upload-uuid"), &self.id);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        response
    }
}

impl Registry {
    /// `POST`: begins a push, or does all of it: with the blob in the body, or from another repository.
    pub(super) async fn begin_upload(&self, request: Request, name: &str, body: &mut Incoming) -> Answer {
        let repository = request.query.repository(name);
        if let Some(digest) = &request.query.mount {
            if let Some(response) = self.mount(&request, name, &repository, digest).await? {
                return Ok(response);
            }
        } else if let Some(digest) = &request.query.digest {
            let (store, algorithm) = (self.store.clone(), digest.algorithm());
            let writer = blocking(move || Ok(store.scratch(algorithm)?)).await?;
            let writer = receive(writer, body).await?;
            return self.finish(writer, name, &repository, (digest, request.deed())).await;
        }
        let owner = request.caller.author().who;
        let (store, into, by) = (self.store.clone(), repository.clone(), owner.clone());
        let beginning = Arc::clone(&self.beginning);
        let begun = blocking(move || {
            // Else as many as ask at once each find room for one.
            let _turn = beginning.lock().unwrap_or_else(PoisonError::into_inner);
            let (all, own) = store.uploads_and_those_by(&by)?;
            if all >= limits::UPLOADS || own >= limits::UPLOADS_OF_ONE {
                return Err(Refusal::later(error_code::UPLOADS_FULL, 60));
            }
            Ok(store.begin_upload(&into, &by)?)
        });
        let (id, writer) = begun.await?;
        let session = Session { repository, owner, name: name.to_owned(), id, writer };
        let response = session.progress(StatusCode::ACCEPTED);
        self.park(session).await;
        Ok(response)
    }

    /// `GET`: how far a push is.
    pub(super) async fn upload_progress(&self, request: &Request, name: &str, id: &str) -> Answer {
        let session = self.session(request, name, id).await?;
        let response = session.progress(StatusCode::NO_CONTENT);
        self.park(session).await;
        Ok(response)
    }

    /// `DELETE`: gives a push up.
    pub(super) async fn cancel_upload(&self, request: &Request, name: &str, id: &str) -> Answer {
        let writer = self.session(request, name, id).await?.writer;
        blocking(move || {
            writer.abandon();
            Ok(respond::empty(StatusCode::NO_CONTENT))
        })
        .await
    }

    /// `PATCH`: the next chunk, or all of it in one stream.
    pub(super) async fn append(&self, request: Request, name: &str, id: &str, body: &mut Incoming) -> Answer {
        let session = self.session(&request, name, id).await?;
        let session = self.take_chunk(session, &request.headers, body).await?;
        let response = session.progress(StatusCode::ACCEPTED);
        self.park(session).await;
        Ok(response)
    }

    /// `PUT`: perhaps a last chunk, and the digest of the whole.
    pub(super) async fn finish_upload(
        &self,
        request: Request,
        name: &str,
        id: &str,
        body: &mut Incoming,
    ) -> Answer {
        let Some(digest) = &request.query.digest else {
            return Err(Refusal::of(error_code::DIGEST_INVALID).detail("the parameter digest is missing"));
        };
        let session = self.session(&request, name, id).await?;
        let session = self.take_chunk(session, &request.headers, body).await?;
        let (mut writer, algorithm) = (session.writer, digest.algorithm());
        let writer = blocking(move || {
            writer.hash_by(algorithm)?;
            Ok(writer)
        });
        self.finish(writer.await?, name, &session.repository, (digest, request.deed())).await
    }

    /// `DELETE` of a blob.
    pub(super) fn delete_blob(&self, request: &Request, name: &str, digest: &Digest) -> Answer {
        let repository = request.query.repository(name);
        let deleted = self.change(|change| {
            let deleted = change.delete_blob(&repository, digest)?;
            let done = deleted == Deletion::Done;
            Ok((deleted, if done { vec![request.deed()] } else { vec![] }))
        })?;
        self.collection.want();
        respond::deleted(deleted, error_code::BLOB_UNKNOWN)
    }

    async fn session(&self, request: &Request, name: &str, id: &str) -> Result<Session, Refusal> {
        let repository = request.query.repository(name);
        let owner = request.caller.author().who;
        let writer = if let Some(writer) = self.parked.take(&repository, &owner, id) {
            writer
        } else {
            let (store, into, by, id) =
                (self.store.clone(), repository.clone(), owner.clone(), id.to_owned());
            match blocking(move || Ok(store.upload(&into, &by, &id)?)).await? {
                Upload::Open(writer) => *writer,
                Upload::Busy => return Err(Refusal::later(error_code::UPLOAD_BUSY, 1)),
                Upload::Unknown => return Err(Refusal::of(error_code::BLOB_UPLOAD_UNKNOWN)),
            }
        };
        Ok(Session { repository, owner, name: name.to_owned(), id: id.to_owned(), writer })
    }

    async fn park(&self, session: Session) {
        let Session { repository, owner, id, writer, .. } = session;
        let upload = ParkedUpload { repository, owner, id, since: Timestamp::now(), writer };
        if let Some(oldest) = self.parked.park(upload) {
            close(oldest).await;
        }
    }

    /// Writes what the request brings. A chunk must begin where the push is; what is cut short never came.
    async fn take_chunk(
        &self,
        session: Session,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<Session, Refusal> {
        let (start, location, range) = (session.writer.len(), session.location(), session.range());
        let refuse = |code| Refusal::of(code).header(header::LOCATION, location).header(header::RANGE, range);
        let chunk = headers.get(header::CONTENT_RANGE).map(|text| text.to_str().ok().and_then(Chunk::parse));
        let wrong = match &chunk {
            Some(None) => Some(error_code::BLOB_UPLOAD_INVALID),
            Some(Some(chunk)) if chunk.start != start => Some(error_code::CHUNK_OUT_OF_ORDER),
            Some(Some(chunk)) if body.announced().is_some_and(|length| length != chunk.len()) => {
                Some(error_code::CHUNK_LENGTH)
            }
            _ => None,
        };
        if let Some(code) = wrong {
            self.park(session).await;
            return Err(refuse(code).detail("Content-Range reads FIRST-LAST: no unit, both within the chunk"));
        }
        let mut writer = receive(session.writer, body).await?;
        // Of a stream, the length is known only now.
        if chunk.flatten().is_some_and(|chunk| chunk.len() != writer.len().saturating_sub(start)) {
            close(writer).await;
            return Err(refuse(error_code::CHUNK_LENGTH));
        }
        writer.acknowledge();
        Ok(Session { writer, ..session })
    }

    /// Makes the blob and gives it to the repository.
    async fn finish(
        &self,
        mut writer: BlobWriter,
        name: &str,
        repository: &str,
        (digest, deed): (&Digest, Deed),
    ) -> Answer {
        let (registry, repository, digest) = (self.clone(), repository.to_owned(), digest.clone());
        let location = format!("/v2/{name}/blobs/{digest}");
        blocking(move || {
            let blob = Descriptor::new(media_type::OCTETS, digest, writer.len());
            let store = &registry.store;
            writer.bring(&blob).map_err(|failure| match failure.reason {
                Reason::DigestMismatch => Refusal::of(error_code::DIGEST_INVALID).detail(failure.message),
                _ => Refusal::fault(failure),
            })?;
            let kept = store.keep(&blob.digest)?;
            writer.commit_kept(&blob, &kept)?;
            // From now on: to bring it may have taken long.
            let lease = registry.collection.lease();
            let added = registry.change(|change| {
                let added = change.add_blob(&repository, &blob.digest, lease)?;
                Ok((added, if added { vec![deed] } else { vec![] }))
            });
            if added.is_err() {
                store.give_up(&repository, &blob.digest, kept)?;
            }
            if !added? {
                // It was found damaged and removed in between: it never counted, so it is sent again.
                return Err(Refusal::of(error_code::BLOB_UPLOAD_UNKNOWN));
            }
            Ok(respond::created(&location, &blob.digest))
        })
        .await
    }

    /// Gives the repository a blob of another one, if the client may pull it there; `None` where it must be sent.
    async fn mount(
        &self,
        request: &Request,
        name: &str,
        into: &str,
        digest: &Digest,
    ) -> Result<Option<Response>, Refusal> {
        let (registry, into, digest) = (self.clone(), into.to_owned(), digest.clone());
        let deed = request.deed();
        let from = request.query.from.clone();
        let (gate, caller) = (request.gate.clone(), request.caller.clone());
        let (location, lease) = (format!("/v2/{name}/blobs/{digest}"), self.collection.lease());
        if let Some(from) = &from
            && caller.scope.is_some()
            && let Err(refusal) = gate.check(&caller, Right::Pull, from)
            && refusal.code() == error_code::UNAUTHORIZED
        {
            // With another token it could be mounted: the client asks for one, and need not send the blob.
            return Err(refusal);
        }
        blocking(move || {
            let sources = match from {
                Some(from) => vec![from],
                // An anonymous mount (distribution-spec, "Mounting a blob from another repository").
                None => registry.store.repositories_with(&digest, limits::MOUNT_SOURCES)?,
            };
            let mounted = registry.change(|change| {
                for source in sources.iter().filter(|source| gate.may(&caller, Right::Pull, source)) {
                    if change.has_in(source, &digest)? {
                        let mounted = change.add_blob(&into, &digest, lease)?;
                        return Ok((mounted, if mounted { vec![deed] } else { vec![] }));
                    }
                }
                Ok((false, vec![]))
            })?;
            Ok(mounted.then(|| respond::created(&location, &digest)))
        })
        .await
    }
}

/// What `Content-Range` says of a chunk: first and last byte, without a unit (distribution-spec, "Pushing a blob in
/// chunks").
struct Chunk {
    start: u64,
    last: u64,
}

impl Chunk {
    fn parse(text: &str) -> Option<Self> {
        let (start, last) = text.split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        let chunk = Self { start: number(start)?, last: number(last)? };
        (chunk.start <= chunk.last).then_some(chunk)
    }

    fn len(&self) -> u64 {
        (self.last - self.start).saturating_add(1)
    }
}

/// Closes what may have to be cut back or removed, which waits for the disk.
async fn close<T: Send + 'static>(open: T) {
    let _closed = blocking(move || {
        drop(open);
        Ok(())
    })
    .await;
}

/// Appends a body to a blob. Where it fails, or the client is gone, the writer goes too, and with it what it brought.
async fn receive(mut writer: BlobWriter, body: &mut Incoming) -> Result<BlobWriter, Refusal> {
    let mut left = body.announced().unwrap_or_default();
    let mut piece = Vec::new();
    loop {
        let ended = match body.fill(&mut piece, PIECE).await {
            Ok(ended) => ended,
            Err(refusal) => {
                close(writer).await;
                return Err(refusal);
            }
        };
        if !piece.is_empty() {
            let written = blocking(move || {
                // Others write too: asked once for the whole, it would hold for no piece but the first.
                writer.reserve(left.max(piece.len() as u64).saturating_add(limits::PUSH_MARGIN))?;
                writer.write(&piece)?;
                left = left.saturating_sub(piece.len() as u64);
                piece.clear();
                Ok((writer, piece, left))
            });
            (writer, piece, left) = written.await?;
        }
        if ended {
            return Ok(writer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_no_unit_and_no_total() {
        let parse = |text| Chunk::parse(text).map(|chunk| (chunk.start, chunk.last));
        assert_eq!(parse("0-9"), Some((0, 9)));
        assert_eq!(parse("10-10"), Some((10, 10)));
        for wrong in ["bytes 0-9", "0-9/10", "9-0", "-9", "0-", "", "+0-9", "0-99999999999999999999999"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
