//! Compares what the database says with what lies on the disk, while others use the store: nothing is made, mended or
//! swept. Whatever looks wrong is looked at once more, for it may have come or gone meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    State, Store,
    contents::Contents,
    examine::{self, Folders, Lacking},
    inventory::Repository,
    leases::as_sql,
    sql::{self, Connection, params},
};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
        progress::Progress,
    },
    oci::{Descriptor, Document},
};

/// The version of the schema since which there is a list of what to look at.
const LEASES_SINCE: usize = 5;

/// What to look at, and how.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The home.
    pub home: &'a Path,
    /// Whether every content is hashed, and not manifests alone.
    pub read_data: bool,
    /// Contents hashed at once.
    pub workers: usize,
    /// By the clock of this machine.
    pub now: Timestamp,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Published manifests, each once for a repository.
    pub manifests: usize,
    /// Tags.
    pub tags: usize,
    /// Contents on the disk, and their bytes.
    pub contents: (usize, u64),
    /// Bytes that were hashed.
    pub hashed: u64,
    /// What is not as it should be, by digest.
    pub wrong: Vec<Wrong>,
    /// Files that have no place in the home.
    pub strange: Vec<PathBuf>,
    /// Contents that nothing published needs and no collection will look at, and their bytes.
    pub unneeded: (usize, u64),
    /// Pushes that nobody touched for longer than they are kept.
    pub expired_uploads: usize,
    /// Contents that the next collection looks at.
    pub waiting: u64,
}

/// Content that is not as it should be.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// Which.
    pub digest: Digest,
    /// In which way.
    pub problem: Problem,
    /// Repositories that have it; empty for what nothing published needs.
    pub repositories: Vec<String>,
    /// Tags that lead to it, with their repositories.
    pub tags: Vec<String>,
    /// Bundles whose import led those tags there.
    pub bundles: Vec<String>,
}

/// What is wrong with a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is published and not there.
    Missing,
    /// It is published and has another size.
    Size {
        /// What is wanted.
        wanted: u64,
        /// What is found.
        found: u64,
    },
    /// It does not match its digest.
    Damaged,
    /// A manifest that lists this, which is neither there nor recorded as absent.
    Unrecorded(Digest),
}

impl Checked {
    /// Whether something that is published is damaged or missing.
    pub fn is_damaged(&self) -> bool {
        self.wrong.iter().any(|wrong| !wrong.repositories.is_empty())
    }
}

/// Problems of each content.
type Found = BTreeMap<Digest, Problem>;

/// Looks at a home.
///
/// # Errors
/// Those of disk and database; what is wrong with contents is no error.
pub fn check(options: &Options<'_>, progress: &dyn Progress) -> Result<Checked> {
    let (home, contents) = (options.home, Contents::of(options.home)?);
    let published = examine::published(home)?.unwrap_or_default();
    let state = read(home, |state| state.inventory(None))?;
    let folders = examine::folders(home)?;
    let mut found: Found = examine::lacking(home, &folders, &published)?.into_iter().map(problem).collect();
    manifests(&contents, &state, &folders, &mut found)?;
    let mut hashed = 0;
    if options.read_data {
        hashed = data(&contents, options.workers, &folders, &mut found, progress)?;
    }
    let wrong = confirmed(home, &contents, found)?;
    let listed = read(home, |state| waiting(state, options.now))?;
    let unneeded = || {
        let all = folders.contents.iter();
        all.filter(|(digest, _)| !published.needed.contains_key(*digest) && !listed.1.contains(*digest))
    };
    let before = options.now.seconds().saturating_sub(limits::UPLOAD_SECONDS);
    Ok(Checked {
        manifests: published.manifests,
        tags: published.tags,
        contents: (folders.contents.len(), folders.contents.values().sum()),
        hashed,
        wrong,
        unneeded: (unneeded().count(), unneeded().map(|(_, size)| size).sum()),
        expired_uploads: folders.uploads.iter().filter(|touched| **touched < before).count(),
        waiting: listed.0,
        strange: folders.strange,
    })
}

/// What the database says, or nothing where there is none.
fn read<T: Default>(home: &Path, work: impl Fn(&State<'_>) -> Result<T>) -> Result<T> {
    Ok(Store::read_only(home, work)?.unwrap_or_default())
}

fn problem(lacking: Lacking) -> (Digest, Problem) {
    let problem = match (lacking.wanted, lacking.found) {
        (Some(wanted), Some(found)) => Problem::Size { wanted, found },
        _ => Problem::Missing,
    };
    (lacking.digest, problem)
}

/// Reads every manifest: what it lists must be written down, and what is there of that must have the size that it says.
fn manifests(
    contents: &Contents,
    state: &BTreeMap<String, Repository>,
    folders: &Folders,
    found: &mut Found,
) -> Result<()> {
    let mut read: BTreeMap<&Digest, Option<Document>> = BTreeMap::new();
    for repository in state.values() {
        for (digest, manifest) in &repository.manifests {
            if found.contains_key(digest) {
                continue;
            }
            let document = match read.entry(digest) {
                std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    let root = Descriptor::new(manifest.media_type.clone(), digest.clone(), manifest.size);
                    match bytes(contents, &root)? {
                        Ok(document) => free.insert(document),
                        Err(problem) => {
                            found.insert(digest.clone(), problem);
                            continue;
                        }
                    }
                }
            };
            let Some(document) = document else { continue };
            let edges = repository.edges.get(digest);
            for listed in document.descriptors() {
                // What was published before it was written down has no word of it at all.
                if edges.is_some_and(|edges| !edges.contains(&listed.digest)) {
                    found.insert(digest.clone(), Problem::Unrecorded(listed.digest.clone()));
                }
                if repository.blobs.contains(&listed.digest)
                    && let Some(&size) = folders.contents.get(&listed.digest.to_string())
                    && size != listed.size
                {
                    found.insert(listed.digest.clone(), Problem::Size { wanted: listed.size, found: size });
                }
            }
        }
    }
    Ok(())
}

/// The document of a manifest; none where the bytes are gone meanwhile, or are no document, which is for whoever
/// reads it to say.
fn bytes(contents: &Contents, root: &Descriptor) -> Result<Result<Option<Document>, Problem>> {
    // What is longer is no manifest, and does not match in any case.
    match contents.read(&root.digest, root.size.saturating_add(1).min(limits::OCI_MANIFEST_BYTES)) {
        Ok(bytes) if root.check(&bytes).is_ok() => Ok(Ok(Document::parse(&bytes, &root.media_type).ok())),
        Ok(_) => Ok(Err(Problem::Damaged)),
        Err(failure) if failure.reason == Reason::BlobMissing => Ok(Ok(None)),
        Err(failure) => Err(failure),
    }
}

/// Hashes everything, several at once. How many bytes that were.
fn data(
    contents: &Contents,
    workers: usize,
    folders: &Folders,
    found: &mut Found,
    progress: &dyn Progress,
) -> Result<u64> {
    let all: Vec<(Digest, u64)> = folders
        .contents
        .iter()
        .map(|(digest, size)| Ok((Digest::parse(digest).map_err(Failure::internal)?, *size)))
        .collect::<Result<_>>()?;
    let total = all.iter().map(|(_, size)| size).sum();
    progress.start("hashing", total);
    let hashed = at_once(&all, workers, |(digest, _)| {
        let whole = whole(contents, digest, |bytes| progress.advance(bytes))?;
        Ok((whole == Some(false)).then(|| digest.clone()))
    });
    progress.finish();
    for digest in hashed?.into_iter().flatten() {
        found.entry(digest).or_insert(Problem::Damaged);
    }
    Ok(total)
}

/// Does the same with each of many, several at once, in no order; until one fails, and then that is told.
pub(super) fn at_once<T: Sync, R: Send>(
    all: &[T],
    workers: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, all.len().max(1)) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = work(one);
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    match (outcome.as_mut(), done) {
                        (Ok(all), Ok(done)) => all.push(done),
                        (Ok(_), Err(failure)) => *outcome = Err(failure),
                        (Err(_), _) => {}
                    }
                    if outcome.is_err() {
                        return;
                    }
                }
            });
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the copy of a content matches its digest; `None` where there is none.
pub(super) fn whole(contents: &Contents, digest: &Digest, advance: impl FnMut(u64)) -> Result<Option<bool>> {
    match contents.open(digest) {
        Ok(mut copy) => contents.is_whole(&mut copy, digest, advance).map(Some),
        Err(failure) if failure.reason == Reason::BlobMissing => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// What is still wrong, and whom it concerns.
fn confirmed(home: &Path, contents: &Contents, found: Found) -> Result<Vec<Wrong>> {
    let mut still = Found::new();
    for (digest, problem) in found {
        let problem = match (whole(contents, &digest, |_| ())?, problem) {
            (None, Problem::Unrecorded(_)) => continue,
            (_, problem @ Problem::Unrecorded(_))
            // Then it is the manifest that says a wrong size; as it is published, that is for whoever reads it to say.
            | (Some(true), problem @ Problem::Size { .. }) => problem,
            (None, _) => Problem::Missing,
            (Some(false), Problem::Missing) => Problem::Damaged,
            (Some(false), problem) => problem,
            (Some(true), _) => continue,
        };
        still.insert(digest, problem);
    }
    if still.is_empty() {
        return Ok(Vec::new());
    }
    read(home, |state| {
        let all = state.inventory(None)?;
        let mut wrong = Vec::new();
        for (digest, problem) in &still {
            let mut one = Wrong {
                digest: digest.clone(),
                problem: problem.clone(),
                repositories: vec![],
                tags: vec![],
                bundles: vec![],
            };
            let mut bundles = BTreeSet::new();
            for (name, repository) in &all {
                if !repository.blobs.contains(digest) && !repository.manifests.contains_key(digest) {
                    continue;
                }
                one.repositories.push(name.clone());
                for tag in repository.tags_over(digest) {
                    let who = state.author(name, &tag)?.unwrap_or_default();
                    bundles.extend(who.strip_prefix("import ").map(str::to_owned));
                    one.tags.push(format!("{name}:{tag}"));
                }
            }
            one.bundles = bundles.into_iter().collect();
            // Taken away on purpose meanwhile, or never published: then only bytes that are there can be wrong.
            if !one.repositories.is_empty() || *problem == Problem::Damaged {
                wrong.push(one);
            }
        }
        Ok(wrong)
    })
}

/// How many contents the next collection looks at, and all that any later one will.
fn waiting(state: &State<'_>, now: Timestamp) -> Result<(u64, BTreeSet<String>)> {
    if state.query(Connection::version)? < LEASES_SINCE {
        return Ok(Default::default());
    }
    let due = state.query(|database| {
        database
            .statement("SELECT count(*) FROM leases WHERE until <= ?1")
            .query_row(params![as_sql(now.seconds())], |row| row.get::<i64>(0))
    })?;
    let all = state.query(|database| {
        database.statement("SELECT digest FROM leases").query_map(sql::NONE, |row| row.get(0))?.collect()
    })?;
    Ok((u64::try_from(due).unwrap_or_default(), all))
}
