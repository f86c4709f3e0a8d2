//! When what nobody needs is taken away: soon after it was deleted, and from time to time.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{Registry, respond::Refusal};
use crate::{
    base::{clock::Timestamp, digest::Digest, limits},
    store::{Collected, Store},
};

/// How often the store is looked through, and how long clients have from a blob to its manifest.
#[derive(Debug, Clone)]
pub struct Collection {
    every: Duration,
    lease_seconds: u64,
    /// Something was deleted.
    wanted: Arc<Notify>,
}

impl Default for Collection {
    fn default() -> Self {
        Self::new(Duration::from_secs(limits::COLLECTION_SECONDS), limits::LEASE_SECONDS)
    }
}

impl Collection {
    /// A round at least `every` so often. A repository keeps a blob that no manifest lists for `lease_seconds`.
    pub fn new(every: Duration, lease_seconds: u64) -> Self {
        Self { every, lease_seconds, wanted: Arc::default() }
    }

    /// Until when a blob stays that a client is told now that it is there.
    pub(super) fn lease(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_seconds(now.seconds().saturating_add(self.lease_seconds)).unwrap_or(now)
    }

    /// A round is due: something was deleted.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }
}

impl Registry {
    /// The repository keeps this blob for a while. `false` where it has it no longer.
    pub(super) fn lease(&self, repository: &str, digest: &Digest) -> Result<bool, Refusal> {
        Ok(self.store.lease(repository, digest, Timestamp::now(), self.collection.lease_seconds)?)
    }

    /// Rounds without end. A round that fails ends there, and the next begins after the same time.
    pub(super) async fn collect(self) {
        loop {
            let store: Store = self.store.clone();
            let round = tokio::task::spawn_blocking(move || store.collect(Timestamp::now()));
            match round.await {
                Ok(Ok(Collected { .. })) | Err(_) => {}
                Ok(Err(failure)) => self.log.tell(&failure),
            }
            let _wanted_or_due =
                tokio::time::timeout(self.collection.every, self.collection.wanted.notified()).await;
        }
    }
}
