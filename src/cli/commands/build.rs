//! `sealift build`

use super::{
    connected::{self, Project},
    key,
};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Failures, Reason},
    },
    build::{self, Options},
    bundle,
    cli::{args, settings::Settings, ui::Out},
    fetch,
    lock::{self, Lock},
    oci::Graph,
    report::{PlanLine, PlanReport},
    resolve::{self, Update},
    source::Source,
};

pub(super) fn run(args: &args::Build, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let project = Project::open(&args.manifest.path)?;
    let keys = key::private_keys(&args.key, &args.passphrase, settings)?;
    if keys.is_empty() && !args.dry_run {
        let failure = Failure::new(Reason::NoKey, "build", "there is no key to sign with");
        let hint = "make one with `sealift key generate -o release.key` and give it with --key release.key";
        return Err(failure.hint(hint).into());
    }
    let volume_limit = args.volume_size;
    let source = connected::source(settings, &project.manifest, out)?;
    let runtime = super::runtime()?;
    let lock = runtime.block_on(current_lock(args, settings, &project, &source))?;
    let plan = runtime.block_on(fetch::plan(&source, &project.manifest, &lock))?;
    let contents = build::contents(&project.manifest.head, created(settings, &lock)?, &plan);
    if args.dry_run {
        out.report(&dry_run(args, &project, &source, &plan, &contents, volume_limit)?);
        return Ok(());
    }
    let options = Options { output: &args.out, keys: &keys, volume_limit, workers: settings.workers };
    let head = &project.manifest.head;
    build::preflight(&contents, &plan, head, &source.store, &options)?;
    runtime.block_on(fetch::run(&source, &plan, settings.transfers))?;
    let report = build::seal(&contents, head, &source.store, &options, source.progress.as_ref())?;
    out.report(&report);
    Ok(())
}

/// When the content was fixed: `SOURCE_DATE_EPOCH`, else what the lock says.
fn created(settings: &Settings, lock: &Lock) -> Result<Timestamp, Failure> {
    settings.source_date.or_else(|| Timestamp::parse(&lock.created)).ok_or_else(|| {
        Failure::new(Reason::LockMalformed, "created", "it is no time of the form 2026-11-21T00:00:00Z")
            .hint("run `sealift lock --update`")
    })
}

/// The lock to build from: with `--locked` the one that is there, else brought up to the manifest first.
async fn current_lock(
    args: &args::Build,
    settings: &Settings,
    project: &Project,
    source: &Source,
) -> Result<Lock, Failures> {
    let differences = project.lock.as_ref().map(|lock| lock::covers(lock, &project.manifest));
    match (&project.lock, differences) {
        (Some(lock), Some(differences)) if differences.is_empty() => return Ok(lock.clone()),
        (None, _) if args.locked => {
            let failure =
                Failure::new(Reason::LockMissing, project.lock_path.display(), "--locked needs a lock");
            return Err(failure.hint("run `sealift lock` and commit the file").into());
        }
        (_, Some(differences)) if args.locked => {
            let outdated = |difference: String| {
                Failure::new(Reason::LockOutdated, difference, "the lock and the manifest differ")
                    .hint("run `sealift lock` and review the change")
            };
            Failures::check(differences.into_iter().map(outdated).collect())?;
        }
        _ => {}
    }
    let old = project.lock.as_ref();
    let lock = resolve::resolve(source, &project.manifest, old, &Update::Missing, settings.now()).await?;
    project.write(&lock)?;
    Ok(lock)
}

fn dry_run(
    args: &args::Build,
    project: &Project,
    source: &Source,
    plan: &fetch::Plan,
    contents: &bundle::Contents,
    volume_limit: Option<u64>,
) -> Result<PlanReport, Failures> {
    let sealed = bundle::plan(contents, volume_limit)?;
    let mut items = Vec::new();
    for artifact in &plan.artifacts {
        let mut graph = Graph::default();
        let absent = artifact.absent.iter().cloned().collect();
        graph.add(&artifact.root, &absent, &mut |at| source.store.read_blob(at))?;
        for referrer in &artifact.referrers {
            graph.add(&referrer.root, &absent, &mut |at| source.store.read_blob(at))?;
        }
        items.push(PlanLine {
            kind: artifact.kind.name(),
            name: artifact.name.clone(),
            digest: artifact.root.digest.to_string(),
            bytes: graph.total(),
        });
    }
    Ok(PlanReport {
        schema: 1,
        path: build::target(&args.out, &project.manifest.head).display().to_string(),
        items,
        fetch_bytes: plan.missing_bytes(),
        content_bytes: plan.graph.total(),
        bundle_bytes: sealed.bytes,
        volumes: sealed.volumes,
    })
}
