//! What is there, what is missing.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};

use super::MissingBlobs;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        redact,
    },
    bundle::{Artifact, ArtifactKind, Referrer},
    lock::{Lock, LockedChart, LockedDependency, LockedFile, LockedImage, LockedReferrer},
    manifest::{ChartSource, FileSource, ImageSource, Manifest, WantedChart, WantedFile, WantedImage},
    oci::{Descriptor, Graph, Reference},
    source::{ChartOrigin, Dependency, Source},
};

/// Items looked at side by side.
const PARALLEL: usize = 16;

/// Everything that the lock names.
#[derive(Debug, Default)]
pub struct Plan {
    /// The artifacts as the bundle lists them, sorted by kind and name.
    pub artifacts: Vec<Artifact>,
    /// Every blob, manifests included.
    pub graph: Graph,
    /// Blobs that are not in the store yet.
    pub missing: MissingBlobs,
    /// Why artifacts are not in the plan. [`super::run`] ends with these, after it brought the rest.
    pub failed: Vec<Failure>,
}

/// A blob to fetch.
#[derive(Debug, Clone)]
pub struct Missing {
    /// One of the artifacts that need it, for messages.
    pub artifact: String,
    /// Where it is to be had.
    pub from: Upstream,
    /// What it is.
    pub blob: Descriptor,
}

/// Where a blob is to be had.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// In this repository.
    Registry(Reference),
    /// It is the content of a file.
    File(WantedFile),
}

/// One artifact with what it needs.
struct Item {
    artifact: Artifact,
    graph: Graph,
    /// `None` when everything is in the store already.
    from: Option<Upstream>,
}

/// Brings the manifests of everything in `lock` (charts whole) and plans the rest. `lock` must cover
/// `manifest`.
pub async fn plan(source: &Source, manifest: &Manifest, lock: &Lock) -> Plan {
    let images = stream::iter(&lock.images).map(|locked| async move {
        image(source, wanted_image(manifest, locked)?, locked)
            .await
            .map_err(|failure| under(&locked.name, failure))
    });
    let charts = stream::iter(&lock.charts).map(|locked| async move {
        chart(source, wanted_chart(manifest, locked)?, locked)
            .await
            .map_err(|failure| under(&locked.name, failure))
    });
    source.progress.start("reading manifests", 0);
    let mut items: Vec<Result<Item>> = images.buffer_unordered(PARALLEL).collect().await;
    items.extend(charts.buffer_unordered(PARALLEL).collect::<Vec<_>>().await);
    source.progress.finish();
    items.extend(lock.files.iter().map(|locked| {
        let item = wanted_file(manifest, locked).and_then(|wanted| file(source, wanted, locked));
        item.map_err(|failure| under(&locked.name, failure))
    }));

    let mut plan = Plan::default();
    for item in items {
        if let Err(failure) = item.and_then(|item| plan.add(source, item)) {
            plan.failed.push(failure);
        }
    }
    plan.artifacts.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    plan
}

/// Keeps the object of a failure and says which artifact it hit.
pub(super) fn under(name: &str, failure: Failure) -> Failure {
    if failure.object.contains(name) {
        return failure;
    }
    let object = format!("{name} ({})", failure.object);
    failure.of(object)
}

impl Plan {
    /// Bytes still to be fetched.
    pub fn missing_bytes(&self) -> u64 {
        self.missing.values().map(|missing| missing.blob.size).sum()
    }

    fn add(&mut self, source: &Source, item: Item) -> Result<()> {
        let Item { artifact, graph, from } = item;
        let mut missing = MissingBlobs::new();
        for blob in graph.blobs.values() {
            if !source.store.has(blob)? {
                let Some(from) = &from else {
                    return Err(Failure::new(
                        Reason::BlobMissing,
                        &blob.digest,
                        "the local source no longer has it",
                    ));
                };
                let artifact = artifact.name.clone();
                let one = Missing { artifact, from: from.clone(), blob: blob.clone() };
                missing.insert(blob.digest.clone(), one);
            }
        }
        self.graph.absorb(graph).map_err(|failure| under(&artifact.name, failure))?;
        for (digest, one) in missing {
            self.missing.entry(digest).or_insert(one);
        }
        self.artifacts.push(artifact);
        Ok(())
    }
}

async fn image(source: &Source, wanted: &WantedImage, locked: &LockedImage) -> Result<Item> {
    let name = Reference::parse(&locked.name)?;
    let absent: BTreeSet<Digest> = locked.absent.iter().cloned().collect();
    let (origin, repository) = if let ImageSource::Local(local) = &wanted.source {
        let mut whole = is_whole(source, &locked.root, &absent)?;
        for referrer in &locked.referrers {
            whole = whole && is_whole(source, &root_of(referrer), &BTreeSet::new())?;
        }
        if !whole {
            source.local_image(local, &locked.root).await?;
        }
        (local.written.clone(), None)
    } else {
        source.tree(&name, &locked.root, &|child, _| !absent.contains(&child.digest)).await?;
        (name.to_string(), Some(name.clone()))
    };
    let read = &mut |at: &Descriptor| source.store.read_blob(at);
    let mut graph = Graph::default();
    graph.add(&locked.root, &absent, read)?;
    let mut referrers = Vec::new();
    for referrer in &locked.referrers {
        let mut root = root_of(referrer);
        if repository.is_some() {
            source.tree(&name, &root, &|_, _| true).await?;
        }
        graph.add(&root, &BTreeSet::new(), &mut |at| source.store.read_blob(at))?;
        root.artifact_type.clone_from(&referrer.artifact_type);
        referrers.push(Referrer { root, subject: referrer.subject.clone(), tag: referrer.tag.clone() });
    }
    referrers.sort_by(|a, b| (&a.root.digest, &a.subject, &a.tag).cmp(&(&b.root.digest, &b.subject, &b.tag)));
    let artifact = Artifact {
        kind: ArtifactKind::Image,
        name: locked.name.clone(),
        source: origin,
        root: locked.root.clone(),
        platforms: locked.platforms.clone(),
        absent: locked.absent.clone(),
        referrers,
    };
    Ok(Item { artifact, graph, from: repository.map(Upstream::Registry) })
}

fn root_of(referrer: &LockedReferrer) -> Descriptor {
    Descriptor::new(&referrer.media_type, referrer.digest.clone(), referrer.size)
}

async fn chart(source: &Source, wanted: &WantedChart, locked: &LockedChart) -> Result<Item> {
    let name = Reference::parse(&locked.name)?;
    if !is_whole(source, &locked.root, &BTreeSet::new())? {
        let origin = match &wanted.source {
            ChartSource::Repository(_) => origin(source, &locked.url, &locked.archive).await?,
            // Upstream's own artifact is the lock's root, unless its archive was completed here.
            ChartSource::Oci(repository) => {
                let root = if locked.dependencies.is_empty() {
                    locked.root.clone()
                } else {
                    source.root(&name).await?
                };
                ChartOrigin::Registry { repository: repository.clone(), root }
            }
        };
        let fetched = source.chart_archive(&origin).await?;
        let mut dependencies = Vec::new();
        for locked in &locked.dependencies {
            dependencies.push(dependency(source, locked).await?);
        }
        let brought = source.chart(&origin, fetched, dependencies)?;
        if brought.root.digest != locked.root.digest {
            let message =
                format!("the lock names {}, upstream now gives {}", locked.root.digest, brought.root.digest);
            return Err(Failure::new(Reason::UpstreamMoved, &locked.name, message)
                .hint("find out why it changed; then run `sealift lock --update` for it"));
        }
    }
    let mut graph = Graph::default();
    graph.add(&locked.root, &BTreeSet::new(), &mut |at| source.store.read_blob(at))?;
    let artifact = Artifact {
        kind: ArtifactKind::Chart,
        name: locked.name.clone(),
        source: locked.url.clone(),
        root: locked.root.clone(),
        platforms: Vec::new(),
        absent: Vec::new(),
        referrers: Vec::new(),
    };
    let from = matches!(wanted.source, ChartSource::Oci(_)).then_some(Upstream::Registry(name));
    Ok(Item { artifact, graph, from })
}

/// An archive that the lock names by URL or `oci://` reference.
async fn origin(source: &Source, url: &str, archive: &Digest) -> Result<ChartOrigin> {
    match url.strip_prefix("oci://") {
        Some(reference) => {
            let repository = Reference::parse(reference)?;
            Ok(ChartOrigin::Registry { root: source.root(&repository).await?, repository })
        }
        None => Ok(ChartOrigin::Archive { url: url.to_owned(), expected: Some(archive.clone()) }),
    }
}

/// Brings a locked dependency, and those that it lacks in turn.
fn dependency<'a>(
    source: &'a Source,
    locked: &'a LockedDependency,
) -> futures_util::future::BoxFuture<'a, Result<Dependency>> {
    Box::pin(async move {
        let origin = origin(source, &locked.url, &locked.archive).await?;
        let archive = source.chart_archive(&origin).await?.archive;
        let found = Digest::of(&archive);
        if found != locked.archive {
            let message = format!("the lock names {}, upstream now gives {found}", locked.archive);
            return Err(Failure::new(Reason::UpstreamMoved, &locked.url, message)
                .hint("find out why it changed; then run `sealift lock --update` for the chart"));
        }
        let mut nested = Vec::new();
        for locked in &locked.dependencies {
            nested.push(dependency(source, locked).await?);
        }
        Dependency::new(&locked.name, &locked.url, archive, nested)
    })
}

/// The lock says enough about a file to make its artifact without its content.
fn file(source: &Source, wanted: &WantedFile, locked: &LockedFile) -> Result<Item> {
    let content = locked.content();
    if source.store.has(&content)? {
        source.check_expected(wanted, &content)?;
    }
    let root = source.file_artifact(wanted, &content)?;
    if root.digest != locked.root.digest {
        let message = format!("the lock names {}, its other lines make {}", locked.root.digest, root.digest);
        return Err(Failure::new(Reason::LockMalformed, &locked.name, message)
            .hint("another version of sealift wrote it, or a hand did: run `sealift lock --update` for it"));
    }
    let mut graph = Graph::default();
    graph.add(&locked.root, &BTreeSet::new(), &mut |at| source.store.read_blob(at))?;
    let origin = match &wanted.source {
        FileSource::Url(url) => redact::url(url),
        FileSource::Path { written, .. } => written.clone(),
    };
    let artifact = Artifact {
        kind: ArtifactKind::File,
        name: locked.name.clone(),
        source: origin,
        root: locked.root.clone(),
        platforms: Vec::new(),
        absent: Vec::new(),
        referrers: Vec::new(),
    };
    Ok(Item { artifact, graph, from: Some(Upstream::File(wanted.clone())) })
}

/// Whether the store has a manifest and everything below it, but for what is absent.
fn is_whole(source: &Source, root: &Descriptor, absent: &BTreeSet<Digest>) -> Result<bool> {
    let mut graph = Graph::default();
    match graph.add(root, absent, &mut |at| source.store.read_blob(at)) {
        // A run that was cut short, or damage: to be brought again.
        Err(failure) if matches!(failure.reason, Reason::BlobMissing | Reason::StoreDamaged) => {
            return Ok(false);
        }
        read => read?,
    }
    for blob in graph.blobs.values() {
        if !source.store.has(blob)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn outdated(name: &str) -> Failure {
    Failure::new(Reason::LockOutdated, name, "the manifest no longer asks for it").hint("run `sealift lock`")
}

fn wanted_image<'a>(manifest: &'a Manifest, locked: &LockedImage) -> Result<&'a WantedImage> {
    manifest
        .images
        .iter()
        .find(|wanted| locked.requests().any(|request| request == wanted.wanted()))
        .ok_or_else(|| outdated(&locked.name))
}

fn wanted_chart<'a>(manifest: &'a Manifest, locked: &LockedChart) -> Result<&'a WantedChart> {
    manifest
        .charts
        .iter()
        .find(|wanted| locked.requests().any(|request| request == wanted.wanted()))
        .ok_or_else(|| outdated(&locked.name))
}

fn wanted_file<'a>(manifest: &'a Manifest, locked: &LockedFile) -> Result<&'a WantedFile> {
    manifest
        .files
        .iter()
        .find(|wanted| wanted.wanted() == locked.wanted)
        .ok_or_else(|| outdated(&locked.name))
}
