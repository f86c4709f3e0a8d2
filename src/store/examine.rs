//! Looks at a home without opening it as a store: nothing is made, mended or swept.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::database;
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
    fs,
};

/// What lies in the folders of a home.
#[derive(Debug, Default)]
pub struct Folders {
    /// Sizes of stored contents by digest.
    pub contents: BTreeMap<String, u64>,
    /// Files under `staging/`, and their bytes.
    pub staged: (usize, u64),
    /// The latest time of any of them, in seconds since 1970.
    pub newest: u64,
    /// Files that have no place there.
    pub strange: Vec<PathBuf>,
}

/// What the database says is published.
#[derive(Debug, Default)]
pub struct Published {
    /// Manifests, each once for a repository.
    pub manifests: usize,
    /// Tags.
    pub tags: usize,
    /// Imports on record.
    pub receipts: usize,
    /// Every content that something published needs, with its size where that is known.
    pub needed: BTreeMap<String, Option<u64>>,
}

/// Lists the folders of `home`.
pub fn folders(home: &Path) -> Result<Folders> {
    let mut found = Folders::default();
    for (below, is_staging) in [("blobs", false), ("staging", true)] {
        let folder = home.join(below);
        for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                // Another process may be at work.
                Err(error) if error.io_error().is_some_and(is_gone) => continue,
                Err(error) => return Err(fs::failure(&folder, "list", &error.into())),
            };
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                continue;
            }
            found.newest = found.newest.max(u64::try_from(metadata.mtime()).unwrap_or_default());
            let relative: Vec<&str> = entry
                .path()
                .strip_prefix(&folder)
                .into_iter()
                .flatten()
                .filter_map(|part| part.to_str())
                .collect();
            match relative.as_slice() {
                _ if !metadata.is_file() => found.strange.push(entry.into_path()),
                [_] if is_staging => {
                    found.staged.0 += 1;
                    found.staged.1 += metadata.len();
                }
                [algorithm, shard, hex] if !is_staging => {
                    let digest = format!("{algorithm}:{hex}");
                    if Digest::parse(&digest).is_ok() && hex.starts_with(shard) {
                        found.contents.insert(digest, metadata.len());
                    } else {
                        found.strange.push(entry.into_path());
                    }
                }
                _ => found.strange.push(entry.into_path()),
            }
        }
    }
    Ok(found)
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

/// Reads the database of `home` whole and checks it; `None` when there is none yet.
pub fn published(home: &Path) -> Result<Option<Published>> {
    let path = home.join(database::FILE);
    for _ in 0..3 {
        let Some(before) = database::Fingerprint::of(&path)? else { return Ok(None) };
        let read = read(&path, if before.is_open { database::SHARED } else { database::ALONE });
        // Without its locks, a change in the middle looks like damage.
        if read.is_ok() || database::Fingerprint::of(&path)?.as_ref() == Some(&before) {
            return read.map(Some);
        }
    }
    Err(Failure::new(Reason::LockHeld, path.display(), "another sealift keeps changing it")
        .hint("run this again when it is done"))
}

fn read(path: &Path, how: &str) -> Result<Published> {
    let at = |error: rusqlite::Error| database::failure(path, &error.into());
    let database = database::open_to_read(path, how).map_err(at)?;
    let integrity: String =
        database.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(at)?;
    if integrity != "ok" {
        return Err(database::damaged(path, integrity));
    }
    let mut orphans = database.prepare("PRAGMA foreign_key_check").map_err(at)?;
    if orphans.exists([]).map_err(at)? {
        return Err(database::damaged(path, "a tag leads to a manifest that is not there"));
    }
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(at)?;
    database::known(path, usize::try_from(version).unwrap_or(usize::MAX))?;
    let count = |sql: &str| {
        let number = database.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(at)?;
        Ok::<_, Failure>(usize::try_from(number).unwrap_or_default())
    };
    let mut found = Published {
        manifests: count("SELECT count(*) FROM manifests")?,
        tags: count("SELECT count(*) FROM tags")?,
        receipts: count("SELECT count(*) FROM receipts")?,
        needed: BTreeMap::new(),
    };
    let sql = "SELECT digest, NULL FROM blobs UNION SELECT digest, size FROM manifests ORDER BY 2";
    let mut needed = database.prepare(sql).map_err(at)?;
    let rows = needed.query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?))).map_err(at)?;
    for row in rows {
        let (digest, size) = row.map_err(at)?;
        found.needed.insert(digest, size.and_then(|size| u64::try_from(size).ok()));
    }
    Ok(found)
}
