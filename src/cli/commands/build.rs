//! `sealift build`

use std::path::Path;

use super::{
    connected::{self, Project},
    key,
};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Failures, Reason},
        text,
    },
    build::{self, Options, Place, Staging, Ties},
    bundle,
    cli::{
        args::{self, BundleName},
        settings::Settings,
        ui::Out,
    },
    cosign::Evidence,
    fetch,
    lock::Lock,
    oci::Graph,
    report::{Alarm, PlanLine, PlanReport},
    resolve::{self, Update},
    sign,
    source::Source,
    verify,
};

pub(super) fn run(args: &args::Build, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let project = Project::open(&args.manifest.path)?;
    let keys = key::signers(&args.key, &args.passphrase, settings)?;
    if !args.dry_run {
        build::require_keys(&keys)?;
    }
    let head = &project.manifest.head;
    let previous = match &args.previous {
        None => None,
        Some(BundleName::Digest(digest)) => Some(digest.clone()),
        Some(BundleName::Folder(dir)) => Some(build::follows(head, dir)?),
    };
    let ties = Ties::new(head, &keys, previous)?;
    ties.notes.iter().for_each(|note| out.note(note));
    let volume_limit = args.volume_size;
    let source = connected::source(settings, &project.manifest, out)?;
    let runtime = super::runtime()?;
    let (lock, evidence) = runtime.block_on(current_lock(args, settings, &project, &source))?;
    let mut plan = runtime.block_on(fetch::plan(&source, &project.manifest, &lock));
    let contents = build::contents(head, created(settings, &lock)?, ties, &plan, &evidence)?;
    if args.dry_run {
        Failures::check(std::mem::take(&mut plan.failed))?;
        out.report(&dry_run(args, &project, &source, &plan, &contents, volume_limit)?);
        return Ok(());
    }
    if !plan.failed.is_empty() {
        // There will be no bundle; what can be had is brought all the same, for the next run.
        return runtime.block_on(fetch::run(&source, plan, settings.transfers));
    }
    let options = Options { output: &args.out, keys: &keys, volume_limit, workers: settings.workers };
    let progress = source.progress.as_ref();
    let (mut report, staging) = match build::place(&contents, head, &options, progress)? {
        Place::Taken(report) => (report, None),
        Place::Free(staging) => {
            build::preflight(&contents, &plan, &source.store, &options)?;
            runtime.block_on(fetch::run(&source, plan, settings.transfers))?;
            (build::seal(&staging, &contents, &source.store, &options, progress)?, Some(staging))
        }
    };
    if head.trust.is_some() {
        let bundle = staging.as_ref().map_or(Path::new(&report.path), |staging| staging.path());
        // Before it has its name: no bundle leaves that its keys do not remember.
        let mut alarms = sign::remember(bundle, &source.store, &keys)?;
        alarms.extend(verify::lacking(bundle)?.map(|lacking| lacking.of(&report.path)));
        report.alarms = alarms.iter().map(Alarm::from).collect();
    }
    staging.map_or(Ok(()), Staging::publish)?;
    out.report(&report);
    out.alarms(&report.alarms);
    Ok(())
}

/// When the content was fixed: `SOURCE_DATE_EPOCH`, else what the lock says.
fn created(settings: &Settings, lock: &Lock) -> Result<Timestamp, Failure> {
    settings.source_date.or_else(|| Timestamp::parse(&lock.created)).ok_or_else(|| {
        Failure::new(Reason::LockMalformed, "created", "it is no time of the form 2026-11-21T00:00:00Z")
            .hint("run `sealift lock --update`")
    })
}

/// The lock to build from: with `--locked` the one that is there, else brought up to the manifest first. What it
/// names is signed as the manifest asks.
async fn current_lock(
    args: &args::Build,
    settings: &Settings,
    project: &Project,
    source: &Source,
) -> Result<(Lock, Evidence), Failures> {
    let outdated = project.outdated();
    match &project.lock {
        Some(lock) if outdated.is_empty() => {
            let evidence = fetch::signatures(source, &project.manifest, lock).await?;
            return Ok((lock.clone(), evidence));
        }
        None if args.locked => {
            let failure =
                Failure::new(Reason::LockMissing, project.lock_path.display(), "--locked needs a lock");
            return Err(failure.hint("run `sealift lock` and commit the file").into());
        }
        _ if args.locked => Failures::check(outdated)?,
        _ => {}
    }
    let old = project.lock.as_ref();
    let lock = resolve::resolve(source, &project.manifest, old, &Update::Missing, settings.now()).await?;
    let evidence = fetch::signatures(source, &project.manifest, &lock).await?;
    if !args.dry_run {
        project.write(&lock)?;
        let changes = text::count(project.changes(&lock).len(), "change");
        source.progress.note(&format!(
            "{}: brought up to the manifest, {changes}; review and commit it",
            project.lock_path.display()
        ));
    }
    Ok((lock, evidence))
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
