//! Into the home store: contents straight from the media. The site makes them visible.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{Options, Source, Work, plan::Plan};
use crate::{
    base::{
        failure::{Class, Failure, Failures, Result},
        progress::Progress,
    },
    oci::Descriptor,
    report::import::Counts,
    store::Store,
};

/// Room for database pages and folders beside the contents.
const MARGIN: u64 = 8 << 20;

/// Brings every content of the plan; nobody sees any of it yet.
pub(super) fn import(
    source: &dyn Source,
    plan: &Plan,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Counts, Failures> {
    let store = options.site.store();
    let work = Work::of(plan, |blob| store.has(blob))?;
    store.require_space(work.counts.bytes_written.saturating_add(MARGIN), "the import")?;
    if !options.dry_run {
        progress.start("importing", work.counts.bytes_written);
        let brought = bring(source, &work.missing, store, options.workers, progress);
        progress.finish();
        brought?;
    }
    Ok(work.counts)
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
