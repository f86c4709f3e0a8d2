//! Into the home store: contents straight from the media, then everything visible in one transaction.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{Options, Source, Work, plan::Plan};
use crate::{
    base::{
        failure::{Class, Failure, Failures, Result},
        fs,
        progress::Progress,
    },
    oci::Descriptor,
    report::ImportReport,
    store::{Publication, Store},
};

/// Room for database pages and folders beside the contents.
const MARGIN: u64 = 8 << 20;

/// Imports the plan; `report` is completed with the counts and kept with what it tells of.
pub(super) fn import(
    source: &dyn Source,
    plan: &Plan,
    store: &Store,
    options: &Options,
    progress: &dyn Progress,
    report: &mut ImportReport,
) -> Result<(), Failures> {
    let work = Work::of(plan, |blob| store.has(blob))?;
    report.counts = work.counts;
    fs::require_space(store.home(), work.counts.bytes_written.saturating_add(MARGIN), "the import")?;
    if options.dry_run {
        return Ok(());
    }
    progress.start("importing", work.counts.bytes_written);
    let brought = bring(source, &work.missing, store, options.workers, progress);
    progress.finish();
    brought?;
    store.publish(&Publication {
        manifests: plan.manifests.clone(),
        tags: plan.tags.clone(),
        bundle: report.bundle.sums.hex().to_owned(),
        receipt: report.to_json()?,
    })?;
    Ok(())
}

/// Streams every blob into the store, several at once, in the order of the media.
fn bring(
    source: &dyn Source,
    missing: &[&Descriptor],
    store: &Store,
    workers: usize,
    progress: &dyn Progress,
) -> Result<(), Failures> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failures: Mutex<Vec<Failure>> = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(blob) = missing.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            if let Err(failure) = bring_one(source, blob, store, progress) {
                // A full disk or pulled media will fail everything else too; damage is listed to its end.
                if failure.reason.class() == Class::Environment {
                    stop.store(true, Ordering::Relaxed);
                }
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.min(missing.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by(|a, b| a.object.cmp(&b.object));
    Failures::check(failures)
}

fn bring_one(source: &dyn Source, blob: &Descriptor, store: &Store, progress: &dyn Progress) -> Result<()> {
    // The media are read from the start anyway, so a blob that was cut leaves nothing that takes up room.
    let mut writer = store.scratch(blob.digest.algorithm())?;
    source.stream_blob(&blob.digest, &mut |bytes| {
        writer.write(bytes)?;
        progress.advance(bytes.len() as u64);
        Ok(())
    })?;
    writer.commit(blob)
}
