//! What operators do with the store of a site, and that it is written down.

use std::path::Path;

use super::Site;
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
        progress::Progress,
    },
    ledger::{Event, Head, UpkeepAction},
    report::{
        backup::BackupIndex,
        upkeep::{Plan, PruneReport, StoreReport, WrongLine},
    },
    store::{
        Change,
        backup::{self, BackedUp},
        check::{Checked, Problem, Wrong},
        prune::Pruned,
        repair::Repaired,
    },
};

/// What became of a restored home.
#[derive(Debug)]
pub struct Restored {
    /// What was in the backup.
    pub index: BackupIndex,
    /// Digest of that.
    pub digest: Digest,
    /// Where the ledger ends now.
    pub head: Head,
}

/// Makes a home of a backup. Before it is in its place, its ledger tells that it was restored, and from what: whatever the
/// site did after the backup stands in no ledger of this home any more, and from here on there are two that begin alike. So
/// nobody can go on with the older one and not say so; whoever knows more of the ledger (a receipt, a head that left the
/// house) is told by `audit` where they part, and why.
///
/// # Errors
/// Those of [`backup::restore`], and of a home whose ledger is not as its site left it.
pub fn restore(
    (home, from): (&Path, &Path),
    workers: usize,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<Restored> {
    let restoring = backup::restore(home, from, workers, progress)?;
    let (index, digest) = (&restoring.index, &restoring.digest);
    let site = Site::new(restoring.store().clone(), now);
    site.change(|change, _importer| site.tell_of_backup(change, UpkeepAction::Restore, index, digest))?;
    let head = site.store().ledger_head()?;
    drop(site);
    let (index, digest) = restoring.finish()?;
    Ok(Restored { index, digest, head })
}

impl Site {
    /// Copies the home into the folder `out`, and keeps that in the ledger.
    ///
    /// # Errors
    /// Those of [`back_up`](crate::store::Store::back_up).
    pub fn back_up(&self, out: &Path, workers: usize, progress: &dyn Progress) -> Result<BackedUp> {
        let done = self.store.back_up(out, workers, self.now, progress)?;
        self.change(|change, _importer| {
            self.tell_of_backup(change, UpkeepAction::Backup, &done.index, &done.digest)
        })?;
        Ok(done)
    }

    fn tell_of_backup(
        &self,
        change: &Change<'_>,
        action: UpkeepAction,
        index: &BackupIndex,
        digest: &Digest,
    ) -> Result<()> {
        let event = Event::Upkeep {
            action,
            who: self.actor.who(),
            plan: Some(digest.clone()),
            manifests: index.manifests,
            contents: index.contents,
            bytes: index.bytes,
        };
        change.append(self.now, &event).map(drop)
    }

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
                who: self.actor.who(),
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
            let author = self.actor.author(self.now);
            change.prune_manifests(plan, &author, &mut done)?;
            let event = Event::Upkeep {
                action: UpkeepAction::Prune,
                who: self.actor.who(),
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

/// What was found in a home.
pub fn store_report(home: &Path, checked: Checked) -> StoreReport {
    let is_damaged = checked.is_damaged();
    StoreReport {
        schema: 1,
        state: if is_damaged { "damaged" } else { "whole" },
        reason: is_damaged.then_some(Reason::StoreDamaged.text()),
        home: home.display().to_string(),
        manifests: checked.manifests,
        tags: checked.tags,
        contents: checked.contents.0,
        bytes: checked.contents.1,
        hashed_bytes: checked.hashed,
        wrong: checked.wrong.into_iter().map(line).collect(),
        strange: checked.strange.iter().map(|path| path.display().to_string()).collect(),
        unneeded: checked.unneeded.0,
        unneeded_bytes: checked.unneeded.1,
        expired_uploads: checked.expired_uploads,
        waiting: checked.waiting,
    }
}

fn line(wrong: Wrong) -> WrongLine {
    let (problem, found) = match wrong.problem {
        Problem::Missing => ("missing", "not there".to_owned()),
        Problem::Size { wanted, found } => ("size", format!("{found} bytes where {wanted} are expected")),
        Problem::Damaged => ("damaged", "does not match its digest".to_owned()),
        Problem::Unrecorded(child) => {
            ("unrecorded", format!("lists {child}, which is neither there nor recorded as absent"))
        }
    };
    WrongLine {
        digest: wrong.digest.to_string(),
        problem,
        found,
        repositories: wrong.repositories,
        tags: wrong.tags,
        bundles: wrong.bundles,
    }
}

/// The text of a plan, as it is written and as its digest names it.
///
/// # Errors
/// None that should be.
pub fn plan_made(plan: &Plan) -> Result<(String, Digest)> {
    let text = serde_json::to_string_pretty(plan).map_err(Failure::internal)? + "\n";
    let digest = Digest::of(text.as_bytes());
    Ok((text, digest))
}

/// So many days before `now`; `None` for none.
pub fn days_before(now: Timestamp, days: u32) -> Option<Timestamp> {
    const DAY: u64 = 86_400;
    let then = now.seconds().saturating_sub(u64::from(days) * DAY);
    (days > 0).then(|| Timestamp::from_seconds(then).unwrap_or(now))
}
