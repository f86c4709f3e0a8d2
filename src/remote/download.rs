//! Large bodies: streamed into a store writer, gone on with where they broke off.

use reqwest::{
    StatusCode,
    header::{CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE},
};

use super::{
    Inner,
    http::{Answer, Call},
    retry::Trouble,
};
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        text,
    },
    store::BlobWriter,
};

/// Bytes that must have come before the count of tries begins anew: a server that breaks off after every
/// few bytes is given up on.
const STEP: u64 = 1 << 20;

/// How much may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Exactly this, as a descriptor says.
    Exactly(u64),
    /// At most this.
    AtMost(u64),
}

impl Length {
    fn most(self) -> u64 {
        match self {
            Self::Exactly(length) | Self::AtMost(length) => length,
        }
    }
}

/// What is known while a body is on its way.
struct State {
    length: Length,
    /// Whether the rest may be asked for alone. Not after the server once answered wrongly.
    resume: bool,
    /// The server's own mark of this version of the file, and its length.
    version: Option<HeaderValue>,
    total: Option<u64>,
}

impl Inner {
    /// Downloads into `writer`, going on after what it holds. `reported` counts the bytes told to the
    /// progress line, those of earlier runs included, so that what is fetched twice counts once.
    ///
    /// Tells whether all bytes came in one answer: if not, wrong bytes are worth one attempt from the start.
    pub(super) async fn download(
        &self,
        call: &Call,
        writer: &mut BlobWriter,
        length: Length,
        reported: &mut u64,
    ) -> Result<Pieces> {
        if writer.len() > length.most() {
            writer.restart()?;
        }
        // Whoever hands in bytes of an earlier run knows a digest, so a wrong join will be found. Without a
        // digest the parts must carry the server's mark of one version.
        let checked_later = matches!(length, Length::Exactly(_)) || !writer.is_empty();
        let mut pieces = if writer.is_empty() { Pieces::One } else { Pieces::Several };
        let mut state = State { length, resume: true, version: None, total: None };
        let mut pace = self.pace();
        let mut step = STEP;
        self.report(writer, reported);
        loop {
            if length == Length::Exactly(writer.len()) {
                return Ok(pieces);
            }
            match self.stretch(call, writer, &mut state, reported).await {
                Ok(()) => return Ok(pieces),
                Err(trouble) => {
                    if !state.resume || !(checked_later || state.version.is_some()) {
                        writer.restart()?;
                    }
                    pieces = if writer.is_empty() { Pieces::One } else { Pieces::Several };
                    if writer.len() >= step {
                        pace.refresh();
                        step = writer.len() + STEP;
                    }
                    pace.wait(trouble.about(&call.object)).await?;
                }
            }
        }
    }

    fn report(&self, writer: &BlobWriter, reported: &mut u64) {
        if writer.len() > *reported {
            self.progress.advance(writer.len() - *reported);
            *reported = writer.len();
        }
    }

    /// One answer's worth.
    async fn stretch(
        &self,
        call: &Call,
        writer: &mut BlobWriter,
        state: &mut State,
        reported: &mut u64,
    ) -> Result<(), Trouble> {
        let offset = writer.len();
        let mut call = call.clone();
        if offset > 0 {
            call = call.header(RANGE, &format!("bytes={offset}-"))?;
            call.headers.extend(state.version.clone().map(|version| (IF_RANGE, version)));
        }
        let mut answer = self.send(&call).await?;
        match state.judge(&call, &answer, offset)? {
            Body::Whole if offset > 0 => writer.restart()?,
            Body::Rest | Body::Whole => {}
            Body::None(reason) => {
                let object = call.object.clone();
                return Err(answer.refused(reason, object).await.into());
            }
            Body::Wrong(what) => {
                state.resume = false;
                let message = format!("{}: {what}", answer.what);
                return Err(Trouble::passing(Failure::new(Reason::UpstreamMalformed, &call.object, message)));
            }
        }
        if let (Length::AtMost(_), Some(total)) = (state.length, state.total) {
            // Nobody looked at the space before: the length was not known.
            writer.reserve(total.saturating_sub(writer.len()))?;
        }
        while let Some(piece) = answer.piece().await? {
            if writer.len() + piece.len() as u64 > state.length.most() {
                state.resume = false;
                let failure = too_long(&call.object, state.length);
                return Err(if offset > 0 { Trouble::passing(failure) } else { failure.into() });
            }
            writer.write(&piece)?;
            self.report(writer, reported);
        }
        match state.length {
            Length::Exactly(length) if writer.len() != length => {
                let found = writer.len();
                let message = format!("expected {length} bytes, the server ended after {found}");
                Err(Trouble::passing(wrong_bytes(&call.object, message)))
            }
            _ => Ok(()),
        }
    }
}

/// How a body arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    One,
    Several,
}

/// What an answer's body is.
enum Body {
    /// The bytes from the offset asked for.
    Rest,
    /// All bytes.
    Whole,
    /// None: the server has nothing, or refuses.
    None(Reason),
    /// Something that was not asked for.
    Wrong(String),
}

impl State {
    /// Compares an answer with what was asked for.
    fn judge(&mut self, call: &Call, answer: &Answer, offset: u64) -> Result<Body> {
        let declared = answer.response.content_length();
        let total = match answer.status() {
            StatusCode::OK => declared,
            StatusCode::PARTIAL_CONTENT if offset > 0 => {
                let found = answer.header(CONTENT_RANGE).unwrap_or_default();
                match content_range(found) {
                    Some((start, _, total)) if start == offset => total,
                    _ => {
                        let found = text::escaped(found, 80);
                        return Ok(Body::Wrong(format!(
                            "asked for the bytes from {offset} on, got `{found}`"
                        )));
                    }
                }
            }
            StatusCode::PARTIAL_CONTENT => {
                self.resume = false;
                return Ok(Body::Wrong("got a part without having asked for one".to_owned()));
            }
            StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => {
                return Ok(Body::Wrong(format!("the server has no bytes from {offset} on")));
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Body::None(Reason::UpstreamNotFound)),
            _ => return Ok(Body::None(Reason::HttpStatus)),
        };
        match (self.length, total) {
            (Length::Exactly(length), Some(total)) if total < length => {
                let message = format!("expected {length} bytes, the server has {total}");
                return Err(wrong_bytes(&call.object, message));
            }
            (_, Some(total)) if total > self.length.most() => {
                return Err(too_long(&call.object, self.length));
            }
            _ => {}
        }
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            if self.total.is_some() && total.is_some() && self.total != total {
                return Ok(Body::Wrong("the file changed on the server meanwhile".to_owned()));
            }
            self.total = self.total.or(total);
            self.version = self.version.take().or_else(|| version(answer));
            return Ok(Body::Rest);
        }
        self.total = total;
        self.version = version(answer);
        Ok(Body::Whole)
    }
}

/// The strong entity tag, or the time of the last change (RFC 9110 section 13.1.5).
fn version(answer: &Answer) -> Option<HeaderValue> {
    let headers = answer.response.headers();
    let strong = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    strong.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// The failure for more bytes than there may be.
fn too_long(object: &str, length: Length) -> Failure {
    match length {
        Length::Exactly(length) => {
            wrong_bytes(object, format!("expected {length} bytes, the server has more"))
        }
        Length::AtMost(limit) => {
            let message = format!("the server has more than the {} that may be", text::bytes(limit));
            Failure::new(Reason::UpstreamLimit, object, message)
                .hint("check the address: such content is not expected to be that large")
        }
    }
}

/// `bytes FIRST-LAST/TOTAL`, where the total may be `*` (RFC 9110 section 14.4).
fn content_range(header: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, last, total))
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The failure for bytes that are not those that the digest names.
pub(super) fn wrong_bytes(object: &str, message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::UpstreamDigest, object, message).hint(
        "nothing of it was kept. If it happens again, the server's copy is damaged or something between changes it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9, None)));
        for wrong in
            ["", "bytes 5-9", "bytes 9-5/10", "bytes 5-10/10", "bytes +5-9/10", "bytes */10", "5-9/10"]
        {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
