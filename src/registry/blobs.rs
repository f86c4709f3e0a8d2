//! `GET` and `HEAD` of blobs: whole and verified as they flow, or one range.

use std::io;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    Log, Registry, Request,
    fingerprints::Check,
    respond::{self, Answer, Refusal},
};
use crate::{
    base::{
        digest::{Digest, Hasher},
        fs,
    },
    oci::{error_code, media_type},
    rules::Right,
    store::{BlobReader, Store},
};

/// Bytes read, hashed and sent at a time; with the socket's buffer, the memory of one download.
const PIECE: usize = 256 << 10;

impl Registry {
    pub(super) fn blob(&self, request: &Request, name: &str, digest: &Digest) -> Answer {
        let unknown = || Refusal::of(error_code::BLOB_UNKNOWN);
        let repository = request.query.repository(name);
        if !self.store.blob_in(&repository, digest)? {
            return Err(unknown());
        }
        if respond::is_known(&request.headers, digest) {
            return Ok(respond::not_modified(digest));
        }
        // What is only looked at need not be opened: of a bucket, that would be a download.
        let looked_at = if request.head_only { self.store.size_of(digest)? } else { None };
        let (file, size) = if let Some(size) = looked_at {
            (None, size)
        } else {
            let lost = |cause| Refusal::lost(error_code::BLOB_UNKNOWN, cause);
            let file = self.store.open_blob(digest).map_err(lost)?;
            let path = self.store.place_of(digest);
            let size = file.size().map_err(|error| fs::failure(&path, "inspect", &error))?;
            (Some(file), size)
        };

        // Nothing flows that could be hashed on its way.
        if size == 0 && *digest != Hasher::new(digest.algorithm()).finish() {
            return Err(Refusal::fault(self.store.damaged(digest)));
        }

        let wanted = request.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        let wanted =
            wanted.filter(|_range| !request.head_only && respond::range_applies(&request.headers, digest));
        let (status, span) = match wanted.map_or(Range::None, |text| Range::parse(text, size)) {
            Range::None => (StatusCode::OK, Span { start: 0, len: size }),
            Range::Part(span) => (StatusCode::PARTIAL_CONTENT, span),
            Range::Outside => {
                let mut response = Refusal::of(error_code::RANGE_INVALID).into_response();
                respond::set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
                return Ok(response);
            }
        };
        let body = if let Some(file) = file.filter(|_file| !request.head_only) {
            Download::open(self, digest, file, span, size)?.into_body()
        } else {
            // Who asks and may push will not send it again: it has to be there when the manifest comes.
            let pushes = request.gate.may(&request.caller, Right::Push, &repository);
            if pushes && !self.lease(&repository, digest)? {
                return Err(unknown());
            }
            Body::empty()
        };
        let mut response: Response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        respond::name_content(headers, digest);
        respond::set(headers, header::CONTENT_TYPE, media_type::OCTETS);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(span.len));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if status == StatusCode::PARTIAL_CONTENT {
            let last = (span.start + span.len).saturating_sub(1);
            let range = format!("bytes {}-{last}/{size}", span.start);
            respond::set(headers, header::CONTENT_RANGE, &range);
        }
        Ok(response)
    }
}

/// A part of a blob, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    len: u64,
}

/// What a `Range` header asks for (RFC 9110, 14.2).
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// Nothing that is understood: several ranges or another unit. The whole is sent, as the RFC allows.
    None,
    /// One range, cut to what is there.
    Part(Span),
    /// No byte of the blob.
    Outside,
}

impl Range {
    fn parse(text: &str, size: u64) -> Self {
        let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
        else {
            return Self::None;
        };
        let number = |text: &str| -> Option<u64> {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // More digits than fit mean "past every end".
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let (start, end) = match (first.trim(), last.trim()) {
            ("", last) => match number(last) {
                Some(count) => (size.saturating_sub(count), size),
                None => return Self::None,
            },
            (first, "") => match number(first) {
                Some(first) => (first, size),
                None => return Self::None,
            },
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) => (first, last.saturating_add(1).min(size)),
                _ => return Self::None,
            },
        };
        if start < end { Self::Part(Span { start, len: end - start }) } else { Self::Outside }
    }
}

/// A blob on its way out. When it is sent whole, its last piece leaves only if the digest holds: the client
/// then sees a broken connection, never a complete answer with wrong bytes (threats R27).
struct Download {
    store: Store,
    log: Log,
    digest: Digest,
    file: BlobReader,
    left: u64,
    /// Looks at what passes; `None` for a part of a blob, which its receiver verifies.
    check: Option<Check>,
}

impl Download {
    fn open(
        registry: &Registry,
        digest: &Digest,
        mut file: BlobReader,
        span: Span,
        size: u64,
    ) -> Result<Self, Refusal> {
        let path = registry.store.place_of(digest);
        file.go_to(span.start, span.len).map_err(|error| fs::failure(&path, "read", &error))?;
        Ok(Self {
            store: registry.store.clone(),
            log: registry.log.clone(),
            digest: digest.clone(),
            file,
            left: span.len,
            check: (span.len == size).then(|| registry.fingerprints.check(digest, size)),
        })
    }

    /// Reads piece by piece, each on a blocking thread: a slow client holds none in between.
    fn into_body(self) -> Body {
        Body::from_stream(futures_util::stream::try_unfold(self, |mut download| async move {
            if download.left == 0 {
                return Ok::<_, io::Error>(None);
            }
            tokio::task::spawn_blocking(move || {
                let piece = download.next_piece()?;
                Ok(Some((piece, download)))
            })
            .await
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
        }))
    }

    fn next_piece(&mut self) -> io::Result<Bytes> {
        let most = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        let piece = self.file.next_piece(most).inspect_err(|error| {
            self.log.fault(&fs::failure(&self.store.place_of(&self.digest), "read", error));
        })?;
        self.left = self.left.saturating_sub(piece.len() as u64);
        if let Some(check) = &mut self.check {
            check.update(&piece);
        }
        let ended = piece.is_empty() || self.left == 0;
        let wrong = ended && self.check.take().is_some_and(|check| !check.holds());
        if wrong {
            self.log.fault(&self.store.damaged(&self.digest));
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "stored bytes no longer match the digest",
            ));
        }
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_clamped_or_refused() {
        let part = |start, len| Range::Part(Span { start, len });
        for (text, range) in [
            ("bytes=500-1499", part(500, 1000)),
            ("bytes=500-", part(500, 1500)),
            ("bytes=-500", part(1500, 500)),
            ("bytes=-5000", part(0, 2000)),
            ("bytes=1000-5000", part(1000, 1000)),
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99999999999999999999999", part(0, 2000)),
            ("bytes=500-0", Range::Outside),
            ("bytes=2000-", Range::Outside),
            ("bytes=5000-10000", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=0-1,5-6", Range::None),
            ("bytes=a-b", Range::None),
            ("bytes=-", Range::None),
            ("lines=0-1", Range::None),
        ] {
            assert_eq!(Range::parse(text, 2000), range, "{text}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Outside);
    }
}
