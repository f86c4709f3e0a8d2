//! What operators do with the store of a site, and that it is written down.

use std::path::Path;

use super::Site;
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    ledger::{Event, UpkeepAction},
    report::upkeep::{Plan, PruneReport, StoreReport, WrongLine},
    store::{
        check::{Checked, Problem, Wrong},
        prune::Pruned,
        repair::Repaired,
    },
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
