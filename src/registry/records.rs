//! What clients do and are refused, on its way into the ledger of the site.
//!
//! What changes something is told in the transaction that changes it ([`Registry::change`]). Pulls, refusals and logins
//! change nothing and are many: they wait in a queue of bounded length for one thread, which writes what has come within a
//! second under one checkpoint. A request pays a place in the queue. Where what waits cannot be written, nothing is
//! answered any more until it can (threats R22); a process that is killed takes what it did not write with it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use axum::response::Response;

use super::{
    Log, Registry, batch::Batch, caller::Caller, endpoint::Endpoint, log::Account, respond::Answer,
    respond::Refusal,
};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
    },
    ledger::{Deed, RegistryAction, Text, Thing},
    oci::error_code,
    site::Site,
    store::{Change, Store, Target},
};

/// How long records wait for others.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which pulls are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pulls {
    /// All of them.
    #[default]
    All,
    /// Those of manifests: what an image is made of, its manifest tells.
    Manifests,
    /// None of them.
    None,
}

impl Pulls {
    fn cover(self, what: Option<Thing>) -> bool {
        match self {
            Self::All => true,
            Self::Manifests => what == Some(Thing::Manifest),
            Self::None => false,
        }
    }
}

/// The queue, and the thread behind it. It ends with the last clone, and writes before that what waits.
#[derive(Debug, Clone)]
pub(super) struct Records {
    inner: Arc<Inner>,
    /// Which pulls are kept.
    pub(super) pulls: Pulls,
}

#[derive(Debug)]
struct Inner {
    queue: SyncSender<Option<(Timestamp, Deed)>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer lets others know.
#[derive(Debug, Default)]
struct Shared {
    /// Why what waits cannot be written.
    trouble: Mutex<Option<Trouble>>,
    is_stuck: AtomicBool,
    /// Places in the queue that are taken, and what is gathered from it.
    waiting: AtomicU64,
    written: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Clone)]
struct Trouble {
    reason: Reason,
    object: String,
    message: String,
}

/// What is counted of records.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Records that were written by way of the queue.
    pub(super) written: u64,
    /// What happened and is not written yet.
    pub(super) waiting: u64,
    /// Times that it could not be.
    pub(super) failures: u64,
}

impl Records {
    pub(super) fn start(store: Store, log: Log) -> Self {
        let (queue, waiting) = sync_channel(limits::RECORDS_WAITING);
        let shared = Arc::<Shared>::default();
        let writer = Writer { store, log, waiting, shared: Arc::clone(&shared), batch: Batch::default() };
        let thread = Mutex::new(Some(std::thread::spawn(move || writer.run())));
        Self { inner: Arc::new(Inner { queue, shared, thread }), pulls: Pulls::default() }
    }

    /// Puts something into the queue.
    ///
    /// # Errors
    /// Where there is no place in it: what cannot be told is not done.
    pub(super) fn keep(&self, deed: Deed) -> Result<(), Refusal> {
        let shared = &self.inner.shared;
        shared.waiting.fetch_add(1, Relaxed);
        self.inner.queue.try_send(Some((Timestamp::now(), deed))).map_err(|_full_or_ended| {
            shared.waiting.fetch_sub(1, Relaxed);
            refusal()
        })
    }

    /// Fails while what waits cannot be written.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.inner.shared.is_stuck.load(Relaxed) { Err(refusal()) } else { Ok(()) }
    }

    /// Why it cannot be written.
    pub(super) fn trouble(&self) -> Option<Failure> {
        let trouble = self.inner.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        trouble.map(|Trouble { reason, object, message }| Failure::new(reason, object, message))
    }

    pub(super) fn counts(&self) -> Counts {
        let Shared { waiting, written, failures, .. } = &*self.inner.shared;
        Counts {
            waiting: waiting.load(Relaxed),
            written: written.load(Relaxed),
            failures: failures.load(Relaxed),
        }
    }

    /// Writes what waits, and takes nothing more.
    ///
    /// # Errors
    /// Why that could not be written, and is lost.
    pub(super) fn close(&self) -> Result<()> {
        self.inner.end();
        self.trouble().map_or(Ok(()), Err)
    }
}

impl Inner {
    fn end(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ended_already = self.queue.send(None);
            let _panicked = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

/// What clients hear where nothing can be recorded.
fn refusal() -> Refusal {
    Refusal::later(error_code::UNRECORDED, 5)
}

/// The thread that writes. Should it ever end by a panic, what it has is lost and what comes cannot be told: from then on
/// nothing is done.
struct Writer {
    store: Store,
    log: Log,
    waiting: Receiver<Option<(Timestamp, Deed)>>,
    shared: Arc<Shared>,
    batch: Batch,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.fail(Failure::internal(
                "what writes the records of the registry has failed: start it again",
            ));
        }
    }
}

impl Shared {
    /// What waits cannot be written, for this reason.
    fn fail(&self, Failure { reason, object, message, .. }: Failure) {
        self.is_stuck.store(true, Relaxed);
        self.failures.fetch_add(1, Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Trouble { reason, object, message });
    }

    /// All is written again.
    fn recover(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.is_stuck.store(false, Relaxed);
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            let goes_on = self.gather();
            self.write();
            if !goes_on {
                return;
            }
        }
    }

    /// Takes what comes, until it is time to write it. `false` where nothing comes any more.
    fn gather(&mut self) -> bool {
        let is_retry = !self.batch.is_empty();
        if !is_retry {
            match self.waiting.recv() {
                Ok(Some((time, deed))) => self.batch.add(time, deed),
                Ok(None) | Err(_) => return false,
            }
        }
        let begun = Instant::now();
        loop {
            let left = INTERVAL.saturating_sub(begun.elapsed());
            match self.waiting.recv_timeout(left) {
                Ok(Some((time, deed))) => self.batch.add(time, deed),
                Err(RecvTimeoutError::Timeout) => return true,
                Ok(None) | Err(RecvTimeoutError::Disconnected) => return false,
            }
            if left.is_zero() || (self.batch.is_full() && !is_retry) {
                return true;
            }
        }
    }

    fn write(&mut self) {
        let records = self.batch.records();
        if records.is_empty() {
            return;
        }
        let (count, taken) = (records.len() as u64, self.batch.taken());
        let site = Site::new(self.store.clone(), Timestamp::now());
        match site.record(|_change| Ok(((), records))) {
            Ok(()) => {
                self.batch.clear();
                self.shared.waiting.fetch_sub(taken, Relaxed);
                self.shared.written.fetch_add(count, Relaxed);
                self.shared.recover();
            }
            Err(failure) => {
                // The log hears of each trouble once.
                let known = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if known.is_none_or(|known| known.message != failure.message) {
                    self.log.fault(&failure);
                }
                self.shared.fail(failure);
            }
        }
    }
}

/// What a client is about to do, as far as it is known before anything is looked at.
#[derive(Debug)]
pub(super) struct Asked {
    deed: Deed,
    /// It asks whether it has to log in, and says nothing about itself.
    is_greeting: bool,
}

impl Asked {
    pub(super) fn new(method: &str, endpoint: &Endpoint, query: &super::Query, caller: &Caller) -> Self {
        Self {
            deed: deed(method, endpoint, query, caller),
            is_greeting: *endpoint == Endpoint::Base && caller.silent,
        }
    }
}

/// What is done by this method here.
pub(super) fn deed(method: &str, endpoint: &Endpoint, query: &super::Query, caller: &Caller) -> Deed {
    let action = match (endpoint, method) {
        (Endpoint::Uploads { .. } | Endpoint::Upload { .. }, _) | (_, "PUT") => RegistryAction::Push,
        (_, "DELETE") => RegistryAction::Delete,
        (Endpoint::Manifest { .. } | Endpoint::Blob { .. }, "GET") => RegistryAction::Pull,
        _ => RegistryAction::Look,
    };
    let (what, tag, digest) = match endpoint {
        Endpoint::Manifest { target: Target::Tag(tag), .. } => (Some(Thing::Manifest), Some(tag), None),
        Endpoint::Manifest { target: Target::Digest(digest), .. } => {
            (Some(Thing::Manifest), None, Some(digest))
        }
        Endpoint::Blob { digest, .. } => (Some(Thing::Blob), None, Some(digest)),
        Endpoint::Uploads { .. } | Endpoint::Upload { .. } => {
            (Some(Thing::Blob), None, query.digest.as_ref().or(query.mount.as_ref()))
        }
        Endpoint::Referrers { subject, .. } => (None, None, Some(subject)),
        Endpoint::Base | Endpoint::Catalog | Endpoint::Tags { .. } => (None, None, None),
    };
    Deed {
        what,
        repository: endpoint.name().map(|name| Text::new(&query.repository(name))),
        tag: tag.map(|tag| Text::new(tag)),
        digest: digest.cloned(),
        ..by(action, caller)
    }
}

/// Something that this caller does.
pub(super) fn by(action: RegistryAction, caller: &Caller) -> Deed {
    Deed {
        by: caller.proof,
        from: Some(Text::new(&caller.address.to_canonical().to_string())),
        ..Deed::new(action, &caller.author().who)
    }
}

impl Registry {
    /// Changes what is shown, and tells of it: what `work` gives comes into the ledger, or nothing is changed.
    pub(super) fn change<T>(&self, work: impl FnOnce(&Change<'_>) -> Result<(T, Vec<Deed>)>) -> Result<T> {
        let now = Timestamp::now();
        Site::new(self.store.clone(), now).record(|change| {
            let (done, deeds) = work(change)?;
            Ok((done, deeds.into_iter().map(|deed| (now, deed)).collect()))
        })
    }

    /// Tells of what was done and refused, but for what [`change`](Self::change) has told of.
    pub(super) fn told(&self, asked: Option<Asked>, answer: Answer) -> Answer {
        let Some(Asked { deed, is_greeting }) = asked else { return answer };
        let account = Account(deed.who.get().to_owned());
        match answer {
            Ok(mut response) => {
                let pulled = deed.action == RegistryAction::Pull && response.status().is_success();
                if pulled && self.records.pulls.cover(deed.what) {
                    self.records.keep(Deed { digest: digest(&response).or(deed.digest.clone()), ..deed })?;
                }
                response.extensions_mut().insert(account);
                Ok(response)
            }
            Err(refusal) => {
                if refusal.is_decision() && !is_greeting {
                    self.records.keep(Deed { refused: Some(Text::new(refusal.code().code)), ..deed })?;
                }
                Err(refusal.of_account(account))
            }
        }
    }

    /// Tells of a login that was refused. A request that cannot be read is none.
    pub(super) fn told_of_stranger(&self, from: std::net::IpAddr, answer: Answer) -> Answer {
        let Err(refusal) = answer else { return answer };
        if refusal.is_decision() {
            let who = refusal.tried().unwrap_or("unknown");
            self.records.keep(Deed {
                from: Some(Text::new(&from.to_canonical().to_string())),
                refused: Some(Text::new(refusal.code().code)),
                ..Deed::new(RegistryAction::Login, who)
            })?;
        }
        Err(refusal)
    }

    /// Tells of a login by this request, before anything is done by it.
    pub(super) fn told_of_login(&self, caller: &Caller) -> Result<(), Refusal> {
        if caller.is_new { self.records.keep(by(RegistryAction::Login, caller)) } else { Ok(()) }
    }

    /// Tells that somebody was not shown a repository; gives back why, or why that cannot be told.
    pub(super) fn told_of_look(&self, caller: &Caller, repository: &str, refusal: Refusal) -> Refusal {
        if !refusal.is_decision() {
            return refusal;
        }
        let refused = Some(Text::new(refusal.code().code));
        let repository = Some(Text::new(repository));
        let told = self.records.keep(Deed { repository, refused, ..by(RegistryAction::Look, caller) });
        told.err().unwrap_or(refusal)
    }

    /// Tells of a token that somebody with an account was given.
    pub(super) fn told_of_token(&self, caller: &Caller) -> Result<(), Refusal> {
        if caller.is_anonymous() { Ok(()) } else { self.records.keep(by(RegistryAction::Token, caller)) }
    }
}

/// The content that is answered with.
fn digest(response: &Response) -> Option<Digest> {
    let digest = response.headers().get("docker-content-digest")?;
    Digest::parse(digest.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R22: a thread that is gone writes nothing, and nobody is answered as if it did.
    #[test]
    fn a_writer_that_panics_is_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("home")).unwrap();
        let file = rusqlite::Connection::open(store.home().join("sealift.db")).unwrap();
        let full = "CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT raise(ABORT, 'full'); END";
        file.execute_batch(full).unwrap();
        let records = Records::start(store, Log::of_faults(|failure| panic!("a bug: {failure}")));
        records.check().unwrap();
        records.keep(Deed::new(RegistryAction::Pull, "user:kim")).unwrap();
        let begun = Instant::now();
        while records.check().is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody noticed");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(records.trouble().unwrap().reason, Reason::Internal);
        assert_eq!(records.close().unwrap_err().reason, Reason::Internal);
        assert!(records.keep(Deed::new(RegistryAction::Pull, "user:kim")).is_err());
    }
}
