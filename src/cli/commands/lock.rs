//! `sealift lock`

use super::connected::{self, Project};
use crate::{
    base::failure::{Failure, Failures, Reason},
    cli::{args, settings::Settings, ui::Out},
    fetch,
    lock::Lock,
    report::{Change, LockReport},
    resolve::{self, Update},
};

pub(super) fn run(args: &args::Lock, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let project = Project::open(&args.manifest.path)?;
    let source = connected::source(settings, &project.manifest, out)?;
    let update = match &args.update {
        _ if args.check => Update::All,
        None => Update::Missing,
        Some(names) if names.is_empty() => Update::All,
        Some(names) => Update::Names(names.clone()),
    };
    if let Update::Names(names) = &update {
        known(names, &project)?;
    }
    if args.check && project.lock.is_none() {
        let failure =
            Failure::new(Reason::LockMissing, project.lock_path.display(), "there is no lock to check");
        return Err(failure.hint("run `sealift lock`").into());
    }
    let work = resolve::resolve(&source, &project.manifest, project.lock.as_ref(), &update, settings.now());
    let runtime = super::runtime()?;
    let lock = runtime.block_on(work)?;
    // Nothing enters the lock that is not signed as the manifest asks.
    let evidence = runtime.block_on(fetch::signatures(&source, &project.manifest, &lock))?;
    let changes = project.changes(&lock);
    if args.check {
        let mut failures: Vec<Failure> = changes.iter().map(|change| drift(change, &project)).collect();
        if failures.is_empty() {
            // The same content, but asked for in other words: `build --locked` would refuse.
            failures = project.outdated();
        }
        Failures::check(failures)?;
    } else {
        project.write(&lock)?;
    }
    let totals = lock.images.iter().map(|image| image.total);
    let totals = totals
        .chain(lock.charts.iter().map(|chart| chart.total))
        .chain(lock.files.iter().map(|file| file.total));
    out.report(&LockReport {
        schema: 1,
        path: project.lock_path.display().to_string(),
        images: lock.images.len(),
        charts: lock.charts.len(),
        files: lock.files.len(),
        bytes: totals.sum(),
        changes,
        upstream_signatures: evidence.images,
    });
    Ok(())
}

/// Every name given to `--update` must be in the lock: a typing error would update nothing, silently.
fn known(names: &[String], project: &Project) -> Result<(), Failures> {
    let locked: Vec<&String> = project.lock.iter().flat_map(Lock::names).collect();
    let unknown = names.iter().filter(|name| !locked.iter().any(|locked| locked.contains(name.as_str())));
    Failures::check(
        unknown
            .map(|name| {
                Failure::new(Reason::FilterMatchesNothing, name, "the lock has no name that contains this")
                    .hint("see the names in sealift.lock")
            })
            .collect(),
    )
}

fn drift(change: &Change, project: &Project) -> Failure {
    let mut words = match (&change.from, &change.to) {
        (Some(from), Some(to)) if from == to => Vec::new(),
        (Some(from), Some(to)) => vec![format!("locked {from}, upstream now has {to}")],
        (Some(from), None) => vec![format!("locked {from}, no request leads to it any more")],
        (None, to) => vec![format!("not locked, upstream has {}", to.as_deref().unwrap_or("nothing"))],
    };
    words.extend(change.details.iter().cloned());
    let is_locked = project.lock.iter().any(|lock| lock.names().any(|name| *name == change.name));
    let command = if is_locked && change.to.is_some() {
        format!("sealift lock --update {}", change.name)
    } else {
        "sealift lock --update".to_owned()
    };
    Failure::new(Reason::Drift, &change.name, words.join("; "))
        .hint(format!("review it, then run `{command}`"))
}
