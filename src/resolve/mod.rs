//! Manifest → lock: every request becomes digests, everything in parallel.
//!
//! 1. [`images`], [`charts`] and [`files`] resolve one request each.
//! 2. [`resolve`] runs them side by side, gathers every failure, and keeps what the old lock still covers.
//!
//! Manifests (and charts, whose artifact must be made to know its digest) are in the store afterwards, so
//! that fetching asks for layers only.

mod charts;
mod files;
mod images;
mod tags;

use futures_util::{StreamExt as _, future::BoxFuture, stream};

use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Failures, Reason},
    },
    lock::{Lock, LockedChart, LockedFile, LockedImage},
    manifest::Manifest,
    source::Source,
};

/// Requests resolved at once; the client limits each host besides.
const PARALLEL: usize = 16;

/// Which entries of the old lock are resolved again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// None: only requests that the lock does not answer.
    Missing,
    /// All of them.
    All,
    /// Those whose name contains one of these texts.
    Names(Vec<String>),
}

impl Update {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Missing => false,
            Self::All => true,
            Self::Names(names) => names.iter().any(|wanted| name.contains(wanted.as_str())),
        }
    }
}

/// What one request became.
enum Resolved {
    Images(Vec<LockedImage>),
    Chart(Box<LockedChart>),
    File(Box<LockedFile>),
}

/// Resolves `manifest`, keeping the answers of `old` that [`Update`] leaves alone. `now` becomes
/// `created` when anything changed.
pub async fn resolve(
    source: &Source,
    manifest: &Manifest,
    old: Option<&Lock>,
    update: &Update,
    now: Timestamp,
) -> Result<Lock, Failures> {
    let mut lock =
        Lock { created: now.to_string(), images: Vec::new(), charts: Vec::new(), files: Vec::new() };
    let indexes = charts::Indexes::default();
    let mut work: Vec<BoxFuture<'_, Result<Resolved, Failure>>> = Vec::new();
    for wanted in &manifest.images {
        let request = wanted.wanted();
        let kept: Vec<_> = old
            .iter()
            .flat_map(|old| &old.images)
            .filter(|image| image.requests().any(|answered| answered == request))
            .collect();
        if kept.is_empty() || kept.iter().any(|image| update.takes(&image.name)) {
            work.push(Box::pin(async { images::resolve(source, wanted).await.map(Resolved::Images) }));
        } else {
            let one = |image: &LockedImage| LockedImage {
                wanted: request.clone(),
                also: Vec::new(),
                ..image.clone()
            };
            lock.images.extend(kept.into_iter().map(one));
        }
    }
    for wanted in &manifest.charts {
        let request = wanted.wanted();
        let mut locked = old.iter().flat_map(|old| &old.charts);
        match locked.find(|chart| chart.requests().any(|answered| answered == request)) {
            Some(kept) if !update.takes(&kept.name) => {
                lock.charts.push(LockedChart { wanted: request, also: Vec::new(), ..kept.clone() });
            }
            _ => work.push(Box::pin(async {
                charts::resolve(source, &indexes, wanted).await.map(|chart| Resolved::Chart(Box::new(chart)))
            })),
        }
    }
    for wanted in &manifest.files {
        let request = wanted.wanted();
        match old.iter().flat_map(|old| &old.files).find(|file| file.wanted == request) {
            Some(kept) if !update.takes(&kept.name) => lock.files.push(kept.clone()),
            _ => work.push(Box::pin(async {
                files::resolve(source, wanted).await.map(|file| Resolved::File(Box::new(file)))
            })),
        }
    }
    source.progress.start("resolving", 0);
    let results: Vec<_> = stream::iter(work).buffer_unordered(PARALLEL).collect().await;
    source.progress.finish();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(Resolved::Images(images)) => lock.images.extend(images),
            Ok(Resolved::Chart(chart)) => lock.charts.push(*chart),
            Ok(Resolved::File(file)) => {
                let known = old.iter().flat_map(|old| &old.files).any(|known| known.content == file.content);
                if !file.expected && !known {
                    source.progress.note(&format!(
                        "{}: no digest in the manifest; the lock records what was seen: {}",
                        file.name, file.content
                    ));
                }
                lock.files.push(*file);
            }
            Err(failure) => failures.push(failure),
        }
    }
    failures.sort_by(|a, b| a.object.cmp(&b.object));
    Failures::check(failures)?;
    finish(&mut lock)?;
    if let Some(old) = old {
        let same = Lock { created: old.created.clone(), ..lock.clone() };
        if same == *old {
            return Ok(same);
        }
    }
    Ok(lock)
}

/// Sorts the lists, joins requests that lead to the same, and refuses two different contents under one name.
fn finish(lock: &mut Lock) -> Result<(), Failures> {
    lock.images.sort_by(|a, b| (&a.name, &a.wanted).cmp(&(&b.name, &b.wanted)));
    lock.charts.sort_by(|a, b| (&a.name, &a.wanted).cmp(&(&b.name, &b.wanted)));
    lock.files.sort_by(|a, b| a.name.cmp(&b.name));
    // One image asked for twice, by name and by a filter of tags, is one image.
    lock.images.dedup_by(|b, a| {
        let same = a.name == b.name && a.root == b.root && a.absent == b.absent && a.referrers == b.referrers;
        if same {
            a.also.push(std::mem::take(&mut b.wanted));
        }
        same
    });
    lock.charts.dedup_by(|b, a| {
        let same = a.name == b.name && a.root == b.root && a.dependencies == b.dependencies;
        if same {
            a.also.push(std::mem::take(&mut b.wanted));
        }
        same
    });
    let mut names: Vec<&str> = lock.images.iter().map(|image| image.name.as_str()).collect();
    names.extend(lock.charts.iter().map(|chart| chart.name.as_str()));
    names.extend(lock.files.iter().map(|file| file.name.as_str()));
    names.sort_unstable();
    let twice = names.windows(2).filter_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    });
    Failures::check(
        twice
            .map(|name| {
                Failure::new(
                    Reason::ManifestConflict,
                    name,
                    "two requests lead to this name with different content",
                )
                .hint(
                    "let both ask for the same platforms and referrers; if upstream moved since the lock was \
                     written, run `sealift lock --update`",
                )
            })
            .collect(),
    )
}
