//! Who signed the images of a lock.

use futures_util::{StreamExt as _, stream};

use super::plan::under;
use crate::{
    base::failure::{Failure, Failures, Result},
    cosign::{Evidence, ImageEvidence},
    lock::Lock,
    manifest::{Manifest, WantedImage},
    source::Source,
};

/// Images looked at side by side.
const PARALLEL: usize = 16;

/// Judges the signatures of every image of `lock`, as `manifest` asks. Images whose manifest asks nothing
/// cost nothing.
///
/// # Errors
/// `upstream-unsigned`, `upstream-signature`, and what bringing the signatures fails with; all of it.
pub async fn signatures(source: &Source, manifest: &Manifest, lock: &Lock) -> Result<Evidence, Failures> {
    let judged: Vec<Result<ImageEvidence>> = stream::iter(&lock.images)
        .map(|locked| async move {
            // Every request that leads to the image may ask for a signature of its own.
            let answers = |wanted: &&WantedImage| locked.requests().any(|request| request == wanted.wanted());
            let wanted: Vec<&WantedImage> = manifest.images.iter().filter(answers).collect();
            source.signatures(&wanted, locked).await.map_err(|failure| under(&locked.name, failure))
        })
        .buffered(PARALLEL)
        .collect()
        .await;
    let mut images = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for one in judged {
        match one {
            Ok(image) => images.push(image),
            Err(failure) => failures.push(failure),
        }
    }
    Failures::check(failures)?;
    Ok(Evidence::new(images))
}
