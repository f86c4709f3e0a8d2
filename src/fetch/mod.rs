//! Lock → store: everything that the lock names, and nothing else, brought into the home store.
//!
//! 1. [`mod@plan`] brings the manifests (few and small) and says which blobs are still missing, from where.
//! 2. [`run`] brings those, in parallel, after a look at the free space.
//!
//! What an earlier run brought stays, whole or in part; a second run goes on from there.

mod plan;

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};

pub use plan::{Missing, Plan, plan};

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Result},
        fs,
    },
    oci::{Descriptor, Reference},
    source::Source,
};

/// Brings what the plan found missing. `workers` blobs at once; the client limits each host besides.
/// Every failed item is listed; the others are done all the same.
pub async fn run(source: &Source, plan: &Plan, workers: usize) -> Result<(), Failures> {
    if plan.missing.is_empty() {
        return Ok(());
    }
    let bytes = plan.missing_bytes();
    fs::require_space(source.store.home(), bytes, "fetching")?;
    source.progress.start("fetching", bytes);
    let failures: Vec<Failure> = stream::iter(plan.missing.values())
        .map(|missing| async move { blob(source, missing).await.err() })
        .buffer_unordered(workers.max(1))
        .filter_map(|failure| async move { failure })
        .collect()
        .await;
    source.progress.finish();
    let mut failures = failures;
    failures.sort_by(|a, b| a.object.cmp(&b.object));
    Failures::check(failures)
}

async fn blob(source: &Source, missing: &Missing) -> Result<()> {
    let Missing { repository, blob, .. } = missing;
    if source.store.has(blob)? {
        return Ok(());
    }
    let writer = source.store.writer(&blob.digest)?;
    source.client.blob(repository, blob, writer).await.map_err(|failure| {
        let object = format!("{} (blob {})", missing.artifact, blob.digest);
        failure.of(object)
    })
}

/// Blobs by digest, so that one that several images share is fetched once.
type MissingBlobs = BTreeMap<Digest, Missing>;

impl Missing {
    fn new(artifact: &str, repository: &Reference, blob: &Descriptor) -> Self {
        Self { artifact: artifact.to_owned(), repository: repository.clone(), blob: blob.clone() }
    }
}
