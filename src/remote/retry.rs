//! Whether to try again, and when.

use std::time::Duration;

use super::{Inner, settings::Retries};
use crate::base::{
    clock::Timestamp,
    failure::{Failure, Reason, Result},
    progress::Progress,
};

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) failure: Failure,
    pub(super) again: Again,
}

/// Whether another attempt may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The answer will be the same.
    Never,
    /// After a pause of our own choice.
    Soon,
    /// After the time that the server named.
    After(Duration),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { failure, again: Again::Never }
    }
}

impl Trouble {
    /// Something that may pass.
    pub(super) fn passing(failure: Failure) -> Self {
        Self { failure, again: Again::Soon }
    }

    /// Names what was wanted as the object; the request that failed moves into the message.
    pub(super) fn about(self, object: &str) -> Self {
        let Self { failure, again } = self;
        if failure.object == object {
            return Self { failure, again };
        }
        let message = format!("{}: {}", failure.object, failure.message);
        Self { failure: Failure { message, ..failure }.of(object), again }
    }
}

/// Counts the attempts at one piece of work.
pub(super) struct Pace<'a> {
    retries: &'a Retries,
    progress: &'a dyn Progress,
    failed: u32,
}

impl Inner {
    pub(super) fn pace(&self) -> Pace<'_> {
        Pace { retries: &self.settings.retries, progress: &*self.progress, failed: 0 }
    }

    /// Repeats `attempt` until it succeeds, fails for good, or the tries are used up.
    pub(super) async fn persist<T, F>(&self, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut pace = self.pace();
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(trouble) => pace.wait(trouble).await?,
            }
        }
    }
}

impl Pace<'_> {
    /// Work went forward since the last failure: the count begins anew.
    pub(super) fn refresh(&mut self) {
        self.failed = 0;
    }

    /// Sleeps before the next attempt, or gives the failure back when there is none.
    pub(super) async fn wait(&mut self, trouble: Trouble) -> Result<()> {
        let Trouble { failure, again } = trouble;
        let pause = match again {
            Again::Never => return Err(failure),
            Again::Soon => self.own_pause(),
            Again::After(asked) if asked > self.retries.longest_wait => {
                let limit = self.retries.longest_wait.as_secs();
                let message = format!("{}; it asks to come back later than in {limit} s", failure.message);
                return Err(Failure { message, ..failure }
                    .as_reason(Reason::RateLimited)
                    .hint("run the command again later; what is done is kept"));
            }
            Again::After(asked) => asked.max(self.own_pause()),
        };
        self.failed += 1;
        if self.failed >= self.retries.tries {
            let message = format!("{} ({} tries)", failure.message, self.failed);
            return Err(Failure { message, ..failure });
        }
        self.progress.note(&format!(
            "{failure}; trying again in {:.1} s ({} of {})",
            pause.as_secs_f32(),
            self.failed + 1,
            self.retries.tries
        ));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn own_pause(&self) -> Duration {
        let doubled = self.retries.first_pause.saturating_mul(1 << self.failed.min(16));
        doubled.min(self.retries.longest_pause)
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110 section 10.2.3). A number beyond all bounds is a long time.
pub(super) fn retry_after(header: &str) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let at = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(at.saturating_sub(Timestamp::now().seconds())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(retry_after("Fri, 31 Dec 9999 23:59:59 GMT").unwrap() > Duration::from_hours(1));
        for wrong in ["", "-1", "1.5", "soon"] {
            assert_eq!(retry_after(wrong), None, "{wrong}");
        }
    }
}
