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
    /// before manifests, and the record comes with the latter: whatever ends this in between, the same plan goes on. Where
    /// that is a fault, the record tells of what went before it.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for a plan of a time to come; [`Reason::LockHeld`] where contents are listed and something
    /// relies on the store; those of ledger, disk and database.
    pub fn prune(&self, plan: &Plan, digest: &Digest) -> Result<PruneReport> {
        // What was used since then stays: since a time to come, nothing was.
        if plan.created > self.system.seconds() {
            let message = "the plan says that it was made later than it is now";
            return Err(Failure::new(Reason::BadArgument, "created", message)
                .hint("send the plan as it was made; compare the clocks, where another machine made it"));
        }
        // What goes before its record must not go where none can be written and signed.
        if !plan.contents.is_empty() {
            self.change(|_change, _importer| Ok(()))?;
        }
        let mut done = Pruned::default();
        let ended = self.store.prune_contents(&plan.contents, &mut done);
        if done.contents == 0 {
            ended.clone()?;
        }
        self.change(|change, _importer| {
            let author = self.actor.author(self.now);
            if ended.is_ok() {
                change.prune_manifests(plan, &author, &mut done)?;
            }
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
        ended?;
        // It is done and told: what cannot leave the disk now, the next collection takes.
        let collected = self.store.collect(self.now).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{digest::Digest, fs},
        ledger::Record,
        oci::Descriptor,
        report::upkeep::PlannedContent,
        site::importer_path,
        store::Store,
    };

    fn plan(now: Timestamp, contents: &[&Descriptor]) -> Plan {
        let contents = contents
            .iter()
            .map(|one| PlannedContent { digest: one.digest.clone(), since: None, bytes: one.size })
            .collect();
        Plan { schema: 1, created: now.seconds(), manifests: vec![], contents }
    }

    /// R22: contents go before their record, and only where that can be signed.
    #[test]
    fn nothing_is_pruned_that_could_not_be_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let (now, content) = (Timestamp::now(), Descriptor::of("x", b"content"));
        store.put(&content, b"content").unwrap();
        let site = Site::new(store.clone(), now);
        site.change(|_, _| Ok(())).unwrap();
        let (plan, digest) = (plan(now, &[&content]), Digest::of(b"plan"));
        let key = importer_path(store.home());
        let pem = fs::read_limited(&key, 1 << 16, Reason::KeyFormat).unwrap();
        fs::write_atomic(&key, b"no key", 0o600).unwrap();
        site.prune(&plan, &digest).unwrap_err();
        assert_eq!(store.size_of(&content.digest).unwrap(), Some(7), "it stays");
        fs::write_atomic(&key, &pem, 0o600).unwrap();
        // Made in a time to come, it would take away what was used since.
        let later = Timestamp::from_seconds(now.seconds() + 60).unwrap();
        let refused = site.prune(&Plan { created: later.seconds(), ..plan.clone() }, &digest).unwrap_err();
        assert_eq!((refused.reason, refused.object.as_str()), (Reason::BadArgument, "created"));
        assert_eq!(store.size_of(&content.digest).unwrap(), Some(7));
        assert_eq!(site.prune(&plan, &digest).unwrap().contents, 1);
        assert_eq!(store.size_of(&content.digest).unwrap(), None);
        let told = store.ledger(1, usize::MAX).unwrap();
        let prunes =
            told.iter().map(|line| Record::parse(line).unwrap().event).filter_map(|event| match event {
                Event::Upkeep { action: UpkeepAction::Prune, contents, .. } => Some(contents),
                _ => None,
            });
        assert_eq!(prunes.collect::<Vec<_>>(), [1]);
    }
}
