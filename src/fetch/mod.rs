//! Lock → store: everything that the lock names, and nothing else, brought into the home store.
//!
//! 1. [`signatures()`] judges who signed the images, before anything of the lock is used.
//! 2. [`mod@plan`] brings the manifests (few and small) and says which blobs are still missing, from where.
//! 3. [`run`] brings those, in parallel, after a look at the free space.
//!
//! What fails stops nothing else: all failures are listed at the end. What an earlier run brought stays, whole
//! or in part; a second run goes on from there.

mod plan;
mod signatures;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};

pub use plan::{Missing, Plan, Upstream, plan};
pub use signatures::signatures;

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Result},
    },
    source::Source,
};

/// Brings what the plan found missing. `workers` blobs at once; the client limits each host besides.
///
/// # Errors
/// What failed in the plan and what fails here, all of it; the rest is done all the same.
pub async fn run(source: &Source, plan: Plan, workers: usize) -> Result<(), Failures> {
    let bytes = plan.missing_bytes();
    let mut failures = plan.failed;
    if !plan.missing.is_empty() {
        source.store.require_space(bytes, "fetching")?;
        source.progress.start("fetching", bytes);
        let failed: Vec<Failure> = stream::iter(plan.missing.values())
            .map(|missing| async move { bring(source, missing).await.err() })
            .buffer_unordered(workers.max(1))
            .filter_map(|failure| async move { failure })
            .collect()
            .await;
        source.progress.finish();
        failures.extend(failed);
    }
    failures.sort_by(|a, b| a.object.cmp(&b.object));
    Failures::check(failures)
}

async fn bring(source: &Source, missing: &Missing) -> Result<()> {
    let Missing { artifact, blob, from } = missing;
    if source.store.has(blob)? {
        return Ok(());
    }
    match from {
        Upstream::Registry(repository) => {
            let writer = source.writer(&blob.digest).await?;
            let brought = source.client.blob(repository, blob, writer).await;
            brought.map_err(|failure| failure.of(format!("{artifact} (blob {})", blob.digest)))
        }
        Upstream::File(wanted) => {
            let brought = source.file(wanted, Some(blob)).await;
            brought.map(drop).map_err(|failure| plan::under(artifact, failure))
        }
    }
}

/// Blobs by digest, so that one that several images share is fetched once.
type MissingBlobs = BTreeMap<Digest, Missing>;
