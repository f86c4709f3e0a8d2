//! Bodies of requests: whoever sends one keeps a least pace, and none is left half read without a word.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody as _},
    http::{HeaderMap, header},
};
use futures_util::StreamExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::respond::Refusal;
use crate::{base::limits, oci::error_code};

/// What a client sends. It may be slow, but [`limits::SLOWEST_BYTES`] must come while it is waited for so long as for
/// a client that says nothing (threats X07).
pub(super) struct Incoming {
    stream: BodyDataStream,
    announced: Option<u64>,
    /// The client sends nothing until it is asked to (RFC 9110, 10.1.1).
    waits: bool,
    patience: Duration,
    /// Seats for bodies that are held whole in memory and are large.
    large: Arc<Semaphore>,
    /// The one that it has: until the request is answered, for so long its bytes are in memory.
    seat: Option<OwnedSemaphorePermit>,
    until: Option<Instant>,
    /// Bytes since `until` was set.
    arrived: u64,
    received: u64,
}

impl Incoming {
    pub(super) fn new(body: Body, headers: &HeaderMap, patience: Duration, large: Arc<Semaphore>) -> Self {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Self {
            stream: body.into_data_stream(),
            announced: length.and_then(|length| length.parse().ok()),
            waits: headers.contains_key(header::EXPECT),
            patience,
            large,
            seat: None,
            until: None,
            arrived: 0,
            received: 0,
        }
    }

    /// How long it is, where the client says so.
    pub(super) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Gathers bytes until there are `size` of them or a few more; fewer only at the end. Whether that is reached.
    pub(super) async fn fill(&mut self, gathered: &mut Vec<u8>, size: u64) -> Result<bool, Refusal> {
        while (gathered.len() as u64) < size {
            match self.next().await? {
                Some(bytes) => gathered.extend_from_slice(&bytes),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// All of it, at most `limit` bytes; it may take as long as a client may say nothing. One that is larger than
    /// [`limits::SMALL_BODY_BYTES`] takes a seat of large ones until it is answered, and the time to find one counts: whoever
    /// sends a large one slowly keeps nobody from sending a small one.
    pub(super) async fn whole(&mut self, limit: u64) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        if self.announced.is_some_and(|length| length > limit) {
            return Err(Refusal::of(error_code::TOO_LARGE));
        }
        let (patience, large) = (self.patience, Arc::clone(&self.large));
        let all = async {
            if self.fill(&mut bytes, limits::SMALL_BODY_BYTES.min(limit + 1)).await? {
                return Ok(true);
            }
            // Never closed, so there is always a permit in the end.
            self.seat = large.acquire_owned().await.ok();
            self.fill(&mut bytes, limit + 1).await
        };
        let ended = tokio::time::timeout(patience, all).await;
        if ended.unwrap_or_else(|_elapsed| Err(Refusal::of(error_code::TOO_SLOW)))? {
            return Ok(bytes);
        }
        Err(Refusal::of(error_code::TOO_LARGE))
    }

    /// Reads what an answer left of it, so that the client reads the answer, and its next request finds the
    /// connection open. `false` where too much is left: then the connection has to be closed.
    pub(super) async fn drain(&mut self) -> bool {
        if self.waits {
            return self.stream.is_end_stream();
        }
        let end = self.received.saturating_add(limits::DRAINED_BYTES);
        if self.announced.is_some_and(|length| length > end) {
            return false;
        }
        let patience = self.patience;
        let rest = async {
            while self.received <= end {
                match self.next().await {
                    Ok(Some(_dropped)) => {}
                    Ok(None) => return true,
                    Err(_cut) => return false,
                }
            }
            false
        };
        tokio::time::timeout(patience, rest).await.unwrap_or_default()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        self.waits = false;
        let until = *self.until.get_or_insert_with(|| Instant::now() + self.patience);
        let piece = tokio::time::timeout_at(until, self.stream.next()).await;
        let piece = piece.map_err(|_elapsed| Refusal::of(error_code::TOO_SLOW))?.transpose();
        let piece = piece.map_err(|error| Refusal::of(error_code::SIZE_INVALID).detail(error.to_string()))?;
        let count = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        (self.arrived, self.received) = (self.arrived + count, self.received + count);
        if self.arrived >= limits::SLOWEST_BYTES {
            (self.arrived, self.until) = (0, None);
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn incoming(body: Body, headers: &HeaderMap) -> Incoming {
        Incoming::new(body, headers, PATIENCE, Arc::new(Semaphore::new(1)))
    }

    /// So many pieces of one byte, one every 20 milliseconds.
    fn trickle(count: u32) -> Incoming {
        let pieces = stream::unfold(count, |left| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            (left > 0).then(|| (Ok::<_, io::Error>(Bytes::from_static(b"x")), left - 1))
        });
        incoming(Body::from_stream(pieces), &HeaderMap::new())
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_trickle_is_put_out_and_a_short_one_is_taken() {
        run(async {
            let mut gathered = Vec::new();
            assert!(trickle(3).fill(&mut gathered, 100).await.unwrap());
            assert_eq!(gathered, b"xxx");
            let refusal = trickle(u32::MAX).fill(&mut gathered, 100).await.unwrap_err();
            assert_eq!(refusal.code(), error_code::TOO_SLOW);
            assert_eq!(trickle(u32::MAX).whole(100).await.unwrap_err().code(), error_code::TOO_SLOW);
            assert!(trickle(3).drain().await && !trickle(u32::MAX).drain().await);
        });
    }

    /// X07: those who send large ones slowly take the seats, and nothing else.
    #[test]
    fn a_small_body_waits_for_no_seat() {
        run(async {
            let small = vec![0; usize::try_from(limits::SMALL_BODY_BYTES).unwrap() - 1];
            let whole = |bytes: Vec<u8>| {
                let pieces = stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
                async move {
                    let no_seats = Arc::new(Semaphore::new(0));
                    let pieces = Body::from_stream(pieces);
                    let mut body = Incoming::new(pieces, &HeaderMap::new(), PATIENCE, no_seats);
                    body.whole(1 << 20).await
                }
            };
            assert_eq!(whole(small.clone()).await.unwrap(), small);
            assert_eq!(whole([small, vec![0]].concat()).await.unwrap_err().code(), error_code::TOO_SLOW);
        });
    }

    #[test]
    fn what_is_announced_too_large_is_not_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 101.into());
        let mut body = incoming(Body::from_stream(stream::pending::<io::Result<Bytes>>()), &headers);
        assert_eq!(run(body.whole(100)).unwrap_err().code(), error_code::TOO_LARGE);
        let mut body = incoming(Body::from(vec![0; 101]), &HeaderMap::new());
        assert_eq!(run(body.whole(100)).unwrap_err().code(), error_code::TOO_LARGE);
        let mut body = incoming(Body::from(vec![0; 100]), &HeaderMap::new());
        assert_eq!(run(body.whole(100)).unwrap().len(), 100);
    }
}
