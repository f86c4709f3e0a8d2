//! One `[[charts]]` entry: the version, the archive, the charts that it lacks.

use crate::{
    base::{
        failure::{Failure, Reason, Result},
        limits, redact,
    },
    chart::{self, MissingDependency, Range},
    lock::LockedChart,
    manifest::{ChartSource, WantedChart},
    oci::{Graph, Reference, reference},
    source::{ChartOrigin, DependencyOrigin, Source},
};

/// Resolves a chart. Its artifact is in the store afterwards: only so is its digest known.
pub(super) async fn resolve(source: &Source, wanted: &WantedChart) -> Result<LockedChart> {
    let range = Range::new(&wanted.version, &wanted.written_version);
    let found = match &wanted.source {
        ChartSource::Repository(url) => in_repository(source, url, &wanted.name, &range).await?,
        ChartSource::Oci(repository) => in_registry(source, repository, &range).await?,
    };
    let repository = wanted.repository().ok_or_else(|| {
        Failure::new(Reason::NameMalformed, wanted.wanted(), "its address makes no repository name")
            .hint("serve the chart under an address of lower-case letters, digits and . _ - /")
    })?;
    let (archive, _) = source.chart_archive(&found.origin).await?;
    let archive = chart::Archive::read(&archive)?;
    let mut dependencies = Vec::new();
    for missing in archive.missing_dependencies()? {
        dependencies.push(dependency(source, &missing).await?);
    }
    let brought = source.chart(&found.origin, &dependencies).await?;
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

struct Found {
    version: String,
    origin: ChartOrigin,
    /// The URL for the lock, without secrets.
    shown: String,
}

async fn in_repository(source: &Source, url: &str, name: &str, range: &Range) -> Result<Found> {
    let at = format!("{}/index.yaml", url.trim_end_matches('/'));
    let Some(bytes) = source.client.document(&at, limits::CHART_INDEX_BYTES).await? else {
        return Err(Failure::new(
            Reason::UpstreamNotFound,
            redact::url(&at),
            "there is no chart repository index",
        )
        .hint("give the URL above index.yaml; for charts in a registry write oci://host/path"));
    };
    let index = chart::Index::parse(&bytes).map_err(|failure| failure.of(redact::url(&at)))?;
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
async fn dependency(source: &Source, missing: &MissingDependency) -> Result<DependencyOrigin> {
    let range = missing.range()?;
    let found = match missing.repository.strip_prefix("oci://") {
        Some(path) => {
            let repository = Reference::parse(&format!("{}/{}", path.trim_end_matches('/'), missing.name))?;
            in_registry(source, &repository, &range).await?
        }
        None => in_repository(source, &missing.repository, &missing.name, &range).await?,
    };
    Ok(DependencyOrigin {
        name: missing.name.clone(),
        version: found.version,
        origin: found.origin,
        shown: found.shown,
        locked: None,
    })
}
