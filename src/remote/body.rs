//! Reading bodies: never without a ceiling, never without a clock.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{
    http::{Answer, silent, trouble},
    retry::Trouble,
};
use crate::base::{
    failure::{Failure, Reason},
    limits, text,
};

/// Watches that a body keeps coming: some bytes within the idle time, and not only a trickle. Only the time
/// spent waiting for the network counts, not that spent writing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    idle: Duration,
    waited: Duration,
    arrived: u64,
}

impl Clock {
    pub(super) fn new(idle: Duration) -> Self {
        Self { idle, waited: Duration::ZERO, arrived: 0 }
    }

    /// Whether the body still comes fast enough after `waited` for `count` bytes.
    fn keeps_pace(&mut self, waited: Duration, count: u64) -> bool {
        self.waited += waited;
        self.arrived += count;
        if self.waited < self.idle {
            return true;
        }
        let enough = self.arrived >= limits::SLOWEST_BYTES;
        *self = Self::new(self.idle);
        enough
    }
}

impl Answer {
    /// The next piece of the body; `None` at its end. A body that is cut or stalls is a passing trouble.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Trouble> {
        let begun = Instant::now();
        let idle = self.clock.idle;
        let piece = tokio::time::timeout(idle, self.response.chunk())
            .await
            .map_err(|_elapsed| Trouble::passing(silent(&self.what, idle)))?
            .map_err(|error| trouble(&self.what, &error))?;
        let count = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if piece.is_some() && !self.clock.keeps_pace(begun.elapsed(), count) {
            let message =
                format!("fewer than {} in {:.1} s", text::bytes(limits::SLOWEST_BYTES), idle.as_secs_f32());
            return Err(Trouble::passing(
                Failure::new(Reason::UpstreamTimeout, &self.what, message)
                    .hint("run the command again; what is done is kept. Check the network and any proxy"),
            ));
        }
        Ok(piece)
    }

    /// The whole body, at most `limit` bytes.
    pub(super) async fn read(mut self, limit: u64, object: &str) -> Result<Bytes, Trouble> {
        let over = || {
            Failure::new(
                Reason::UpstreamLimit,
                object,
                format!("the answer is larger than {}", text::bytes(limit)),
            )
            .hint("check the address: this is not what such a file looks like")
        };
        let declared = self.response.content_length().unwrap_or(0);
        if declared > limit {
            return Err(over().into());
        }
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await.map_err(|trouble| trouble.about(object))? {
            if body.len() as u64 + piece.len() as u64 > limit {
                return Err(over().into());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_too_slow() {
        let mut clock = Clock::new(Duration::from_secs(30));
        assert!(clock.keeps_pace(Duration::from_secs(29), 1));
        assert!(!clock.keeps_pace(Duration::from_secs(29), 1));
        assert!(clock.keeps_pace(Duration::from_secs(29), 1));
        assert!(clock.keeps_pace(Duration::from_secs(29), limits::SLOWEST_BYTES));
    }
}
