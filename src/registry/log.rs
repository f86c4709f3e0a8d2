//! What the registry tells of itself while it serves.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::base::failure::Failure;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request, when its answer has left or was given up.
    Request(&'a Visit),
    /// What a client sees only as an error of the server.
    Fault(&'a Failure),
}

/// As whom a request was answered, for who watches: an account, or `anyone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account(pub(super) String);

/// A request and what became of it. Everything that the client chose is as it wrote it: whoever shows it, escapes it.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// Who asked; a proxy, where one stands before the registry.
    pub remote: Option<SocketAddr>,
    /// As whom: an account, `anyone` who did not log in; none where it was not found out.
    pub account: Option<String>,
    /// The method.
    pub method: String,
    /// What was asked for: one of few words.
    pub route: &'static str,
    /// The repository, as the store calls it.
    pub repository: Option<String>,
    /// Tag, digest or push in that repository.
    pub reference: Option<String>,
    /// The path, where it is none that the registry has.
    pub path: Option<String>,
    /// The status of the answer; none where the client was gone before there was one.
    pub status: Option<u16>,
    /// The code of an error.
    pub code: Option<&'static str>,
    /// Bytes of the request's body that came.
    pub received: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub sent: u64,
    /// From the head of the request to the end of the answer.
    pub took: Duration,
    /// `User-Agent`.
    pub agent: Option<String>,
}

impl Visit {
    /// Whether the client did not get what it asked for.
    pub fn is_refused(&self) -> bool {
        self.status.is_none_or(|status| status >= 400)
    }
}

/// Hears of every event, from any thread, and must not hold it up.
#[derive(Clone)]
pub struct Log {
    hear: Arc<Hear>,
    lost: Arc<AtomicU64>,
}

type Hear = dyn Fn(&Event<'_>) -> bool + Send + Sync;

impl Log {
    /// Calls `hear`, which says whether it could take the event; what it could not is counted.
    pub fn new(hear: impl Fn(&Event<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { hear: Arc::new(hear), lost: Arc::default() }
    }

    /// Tells of faults only.
    pub fn of_faults(tell: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        Self::new(move |event| {
            if let Event::Fault(failure) = event {
                tell(failure);
            }
            true
        })
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_event| true)
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        if !(self.hear)(event) {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn fault(&self, failure: &Failure) {
        self.tell(&Event::Fault(failure));
    }

    /// How many events were not taken.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}
