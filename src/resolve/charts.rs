//! One `[[charts]]` entry: the version, the archive, the charts that it lacks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::{
    base::{
        failure::{Failure, Reason, Result},
        limits, redact,
    },
    chart::{self, MissingDependency, Range},
    lock::LockedChart,
    manifest::{ChartSource, WantedChart},
    oci::{Graph, Reference, reference},
    source::{ChartOrigin, Dependency, Source},
};

/// The indexes of chart repositories, each read once however many charts come from it.
#[derive(Debug, Default)]
pub(super) struct Indexes(Mutex<HashMap<String, Arc<OnceCell<chart::Index>>>>);

impl Indexes {
    fn slot(&self, url: &str) -> Arc<OnceCell<chart::Index>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(url.to_owned()).or_default())
    }
}

/// Resolves a chart. Its artifact is in the store afterwards: only so is its digest known.
pub(super) async fn resolve(source: &Source, indexes: &Indexes, wanted: &WantedChart) -> Result<LockedChart> {
    let range = Range::new(&wanted.version, &wanted.written_version);
    let found = match &wanted.source {
        ChartSource::Repository(url) => in_repository(source, indexes, url, &wanted.name, &range).await?,
        ChartSource::Oci(repository) => in_registry(source, repository, &range).await?,
    };
    let repository = wanted.repository().ok_or_else(|| {
        Failure::new(Reason::NameMalformed, wanted.wanted(), "its address makes no repository name")
            .hint("serve the chart under an address of lower-case letters, digits and . _ - /")
    })?;
    let fetched = source.chart_archive(&found.origin).await?;
    let archive = chart::Archive::read(&fetched.archive).map_err(|failure| failure.of(&found.shown))?;
    same(&archive.metadata, &wanted.name, &found)?;
    let mut left = Left { charts: limits::CHART_DEPENDENCIES, bytes: limits::CHART_BYTES };
    let dependencies = lacking(source, indexes, &archive, limits::CHART_DEPTH, &mut left).await?;
    let brought = source.chart(&found.origin, fetched, dependencies)?;
    let mut graph = Graph::default();
    graph.add(&brought.root, &std::collections::BTreeSet::new(), &mut |at| source.store.read_blob(at))?;
    Ok(LockedChart {
        name: repository.with_tag(&reference::version_tag(&found.version)).to_string(),
        wanted: wanted.wanted(),
        also: Vec::new(),
        version: found.version,
        url: found.shown,
        root: brought.root,
        total: graph.total(),
        archive: brought.archive,
        provenance: brought.provenance,
        dependencies: brought.dependencies,
    })
}

/// The archive must be the chart and version that the repository calls it (threats J21).
fn same(metadata: &chart::Metadata, name: &str, found: &Found) -> Result<()> {
    let bare = |version: &str| version.strip_prefix('v').unwrap_or(version).to_owned();
    if metadata.name == name && bare(&metadata.version) == bare(&found.version) {
        return Ok(());
    }
    let message = format!(
        "expected {name} {}, the archive holds {} {}",
        found.version, metadata.name, metadata.version
    );
    Err(Failure::new(Reason::ChartMalformed, &found.shown, message)
        .hint("tell the owner of the repository, or choose another version"))
}

/// How much may still be put into a chart.
struct Left {
    charts: usize,
    bytes: u64,
}

/// The charts that an archive lacks, those that they lack in turn put into them.
fn lacking<'a>(
    source: &'a Source,
    indexes: &'a Indexes,
    archive: &'a chart::Archive,
    depth: usize,
    left: &'a mut Left,
) -> BoxFuture<'a, Result<Vec<Dependency>>> {
    Box::pin(async move {
        let missing = archive.missing_dependencies()?;
        let too_much = |what: &str| {
            let chart = format!("chart {} {}", archive.metadata.name, archive.metadata.version);
            Failure::new(Reason::ChartMalformed, chart, what)
                .hint("ask its owner for an archive made with `helm package --dependency-update`")
        };
        if depth == 0 && !missing.is_empty() {
            return Err(too_much("the charts that it lacks need each other more than 8 deep"));
        }
        let mut brought = Vec::new();
        for missing in missing {
            let found = where_is(source, indexes, &missing).await?;
            let bytes = source.chart_archive(&found.origin).await?.archive;
            left.charts =
                left.charts.checked_sub(1).ok_or_else(|| too_much("it lacks more than 256 charts"))?;
            left.bytes = left
                .bytes
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| too_much("the charts that it lacks have more than 64 MiB"))?;
            let inner = chart::Archive::read(&bytes).map_err(|failure| failure.of(&found.shown))?;
            same(&inner.metadata, &missing.name, &found)?;
            let nested = lacking(source, indexes, &inner, depth - 1, left).await?;
            brought.push(Dependency::new(&missing.name, &found.shown, bytes, nested)?);
        }
        Ok(brought)
    })
}

struct Found {
    version: String,
    origin: ChartOrigin,
    /// The URL for the lock, without secrets.
    shown: String,
}

async fn in_repository(
    source: &Source,
    indexes: &Indexes,
    url: &str,
    name: &str,
    range: &Range,
) -> Result<Found> {
    let at = format!("{}/index.yaml", url.trim_end_matches('/'));
    let slot = indexes.slot(&at);
    let index = slot.get_or_try_init(|| index(source, &at)).await?;
    let entry = index.select(name, range)?;
    let link = entry.urls.first().ok_or_else(|| {
        Failure::new(
            Reason::ChartMalformed,
            format!("{name} {}", entry.version),
            "the index gives no URL for it",
        )
    })?;
    let archive = chart::resolve_url(url, link)?;
    if let Some(reference) = archive.strip_prefix("oci://") {
        // An index may lead on to a registry.
        let at = Reference::parse(reference)?;
        let at = if at.tag.is_none() && at.digest.is_none() {
            at.with_tag(&reference::version_tag(&entry.version))
        } else {
            at
        };
        let root = source.root(&at).await?;
        let origin = ChartOrigin::Registry { repository: at, root };
        return Ok(Found { version: entry.version.clone(), shown: archive, origin });
    }
    Ok(Found {
        version: entry.version.clone(),
        shown: redact::url(&archive),
        origin: ChartOrigin::Archive { url: archive, expected: entry.digest.clone() },
    })
}

async fn index(source: &Source, at: &str) -> Result<chart::Index> {
    let Some(bytes) = source.client.document(at, limits::CHART_INDEX_BYTES).await? else {
        return Err(Failure::new(
            Reason::UpstreamNotFound,
            redact::url(at),
            "there is no chart repository index",
        )
        .hint("give the URL above index.yaml; for charts in a registry write oci://host/path"));
    };
    chart::Index::parse(&bytes).map_err(|failure| failure.of(redact::url(at)))
}

async fn in_registry(source: &Source, repository: &Reference, range: &Range) -> Result<Found> {
    let written = range.written();
    let chosen = if semver::Version::parse(written.strip_prefix('v').unwrap_or(written)).is_ok() {
        written.to_owned()
    } else {
        let tags = source.client.tags(repository).await?;
        range.best_tag(&tags).ok_or_else(|| {
            let message = format!("none of its {} tags is a version in {}", tags.len(), range.written());
            Failure::new(Reason::NoMatch, repository, message).hint("loosen the version, or check the name")
        })?
    };
    let name = repository.with_tag(&reference::version_tag(&chosen));
    let root = source.root(&name).await?;
    source.tree(&name, &root, &|_, _| true).await?;
    Ok(Found {
        shown: format!("oci://{name}"),
        version: chosen,
        origin: ChartOrigin::Registry { repository: repository.clone(), root },
    })
}

/// Where a chart that an archive lacks is to be had.
async fn where_is(source: &Source, indexes: &Indexes, missing: &MissingDependency) -> Result<Found> {
    let range = missing.range()?;
    match missing.repository.strip_prefix("oci://") {
        Some(path) => {
            let repository = Reference::parse(&format!("{}/{}", path.trim_end_matches('/'), missing.name))?;
            in_registry(source, &repository, &range).await
        }
        None => in_repository(source, indexes, &missing.repository, &missing.name, &range).await,
    }
}
