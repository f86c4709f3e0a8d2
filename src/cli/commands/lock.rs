//! `sealift lock`

use super::connected::{self, Project};
use crate::{
    base::failure::{Failure, Failures, Reason},
    cli::{args, settings::Settings, ui::Out},
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
    let lock = super::runtime()?.block_on(work)?;
    let changes = project.changes(&lock);
    if args.check {
        return Failures::check(changes.iter().map(drift).collect());
    }
    project.write(&lock)?;
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
    });
    Ok(())
}

/// Every name given to `--update` must be in the lock: a typing error would update nothing, silently.
fn known(names: &[String], project: &Project) -> Result<(), Failures> {
    let locked = project.lock.iter().flat_map(|lock| {
        let images = lock.images.iter().map(|image| &image.name);
        images
            .chain(lock.charts.iter().map(|chart| &chart.name))
            .chain(lock.files.iter().map(|file| &file.name))
    });
    let locked: Vec<&String> = locked.collect();
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

fn drift(change: &Change) -> Failure {
    let show = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "nothing".to_owned());
    let message = format!("locked {}, upstream now has {}", show(&change.from), show(&change.to));
    Failure::new(Reason::Drift, &change.name, message)
        .hint(format!("review it, then run `sealift lock --update {}`", change.name))
}
