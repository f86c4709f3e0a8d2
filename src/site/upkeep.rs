//! What operators do with the store of a site, and that it is written down.

use super::{Site, tags::LOCAL};
use crate::{
    base::{
        digest::Digest,
        failure::{Reason, Result},
    },
    ledger::{Event, Text, UpkeepAction},
    report::upkeep::{Plan, PruneReport},
    store::{Author, prune::Pruned, repair::Repaired},
};

impl Site {
    /// Removes damaged copies of contents, brings the database into line with the disk, and keeps that in the ledger.
    /// Copies go first, one after another; the rest is one change: whatever ends this, the next repair goes on.
    ///
    /// # Errors
    /// Those of disk and database.
    pub fn repair(&self, damaged: &[Digest]) -> Result<Repaired> {
        let (removed, bytes) = self.store.discard_all(damaged)?;
        self.change(|change, _importer| {
            let mut done = change.repair()?;
            done.removed = removed;
            let event = Event::Upkeep {
                action: UpkeepAction::Repair,
                who: Text::new(LOCAL),
                plan: None,
                manifests: 0,
                contents: done.removed.len() as u64 + done.dropped,
                bytes,
            };
            change.append(self.now, &event)?;
            Ok(done)
        })
    }

    /// Takes away what `plan`, whose text has this digest, lists: each only if nothing needs it by now. Contents go
    /// before manifests, and the record comes with the latter: whatever ends this in between, the same plan goes on.
    ///
    /// # Errors
    /// [`Reason::LockHeld`] where contents are listed and something relies on the store; those of disk and database.
    pub fn prune(&self, plan: &Plan, digest: &Digest) -> Result<PruneReport> {
        let mut done = Pruned::default();
        self.store.prune_contents(&plan.contents, &mut done)?;
        self.change(|change, _importer| {
            let author = Author { who: LOCAL.to_owned(), time: self.now };
            change.prune_manifests(plan, &author, &mut done)?;
            let event = Event::Upkeep {
                action: UpkeepAction::Prune,
                who: Text::new(LOCAL),
                plan: Some(digest.clone()),
                manifests: done.manifests,
                contents: done.contents,
                bytes: done.bytes,
            };
            change.append(self.now, &event).map(drop)
        })?;
        let collected = self.store.collect(self.now)?;
        let is_partly = !done.left.is_empty();
        Ok(PruneReport {
            schema: 1,
            state: if is_partly { "partly" } else { "done" },
            reason: is_partly.then_some(Reason::PlanOutdated.text()),
            plan: digest.to_string(),
            manifests: done.manifests,
            contents: done.contents + collected.removed,
            bytes: done.bytes + collected.bytes,
            held: collected.held,
            gone: done.gone,
            left: done.left,
        })
    }
}
