//! How long a guest has been there without a request under way: the first to leave where others find no seat (threats X06).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Context,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;

/// One connection, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Stay {
    state: Mutex<State>,
    is_ousted: AtomicBool,
    /// Of who reads from it.
    reader: AtomicWaker,
}

#[derive(Debug)]
struct State {
    /// Requests under way, answers included.
    requests: usize,
    /// When the last of them was over, or it came.
    idle_since: Instant,
}

/// A request is under way while this lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<Stay>);

impl Stay {
    pub(super) fn begin() -> Arc<Self> {
        let state = State { requests: 0, idle_since: Instant::now() };
        Arc::new(Self {
            state: Mutex::new(state),
            is_ousted: AtomicBool::default(),
            reader: AtomicWaker::new(),
        })
    }

    /// A request begins.
    pub(super) fn busy(stay: &Arc<Self>) -> Busy {
        stay.change(|state| state.requests += 1);
        Busy(Arc::clone(stay))
    }

    /// For how long it does nothing; `None` while it does, or is leaving.
    pub(super) fn idle(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = state.requests == 0 && !self.is_ousted.load(Relaxed);
        is_idle.then(|| now.saturating_duration_since(state.idle_since))
    }

    /// Asks it to leave: nothing more is read from it.
    pub(super) fn oust(&self) {
        self.is_ousted.store(true, Relaxed);
        self.reader.wake();
    }

    /// Whether it was asked to, and no request was faster; who reads is woken when it is.
    pub(super) fn is_over(&self, context: &Context<'_>) -> bool {
        self.reader.register(context.waker());
        let requests = self.state.lock().unwrap_or_else(PoisonError::into_inner).requests;
        requests == 0 && self.is_ousted.load(Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.requests = state.requests.saturating_sub(1);
            state.idle_since = Instant::now();
        });
    }
}
