//! When what nobody needs is taken away: soon after it was deleted, and from time to time. What came new is looked at
//! then, too.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{Registry, respond::Refusal};
use crate::{
    base::{clock::Timestamp, digest::Digest, failure::Failure, limits},
    store::Store,
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
            self.round(|store| {
                while_some(|| store.describe_within(limits::DESCRIBED_AT_ONCE, limits::DESCRIBING))
            })
            .await;
            self.round(|store| store.collect(Timestamp::now()).map(drop)).await;
            let _wanted_or_due =
                tokio::time::timeout(self.collection.every, self.collection.wanted.notified()).await;
        }
    }

    /// One piece of upkeep, on a thread that may wait for disk and database.
    async fn round(&self, work: impl FnOnce(&Store) -> Result<(), Failure> + Send + 'static) {
        let store = self.store.clone();
        if let Ok(Err(failure)) = tokio::task::spawn_blocking(move || work(&store)).await {
            self.log.fault(&failure);
        }
    }
}

/// Goes on until nothing is left.
fn while_some(mut left: impl FnMut() -> Result<usize, Failure>) -> Result<(), Failure> {
    while left()? > 0 {}
    Ok(())
}
