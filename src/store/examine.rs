//! Looks at a home without opening it as a store: nothing is made, mended or swept.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    backend::Backend,
    contents::Contents,
    database,
    sql::{self, Connection, Sqlite, Transaction},
};
use crate::base::{
    clock::Timestamp,
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
    /// Last times of the pushes under way, in seconds since 1970.
    pub uploads: Vec<u64>,
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

/// Content that is published and not there, or not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Which.
    pub digest: Digest,
    /// Its size, where the database knows it.
    pub wanted: Option<u64>,
    /// Size of the file; `None` where there is none.
    pub found: Option<u64>,
}

/// Lists the folders of `home`.
pub fn folders(home: &Path) -> Result<Folders> {
    let listed = Contents::of(home).list()?;
    let mut found = Folders { strange: listed.strange, ..Folders::default() };
    for (digest, stored) in listed.contents {
        found.newest = found.newest.max(stored.since.map_or(0, Timestamp::seconds));
        found.contents.insert(digest, stored.size);
    }
    let staging = home.join("staging");
    for path in fs::list(&staging)? {
        // Another process may be at work.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let touched = u64::try_from(metadata.mtime()).unwrap_or_default();
        if !metadata.is_file() {
            found.strange.push(path);
            continue;
        }
        found.newest = found.newest.max(touched);
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(super::uploads::PREFIX)) {
            found.uploads.push(touched);
        }
        found.staged.0 += 1;
        found.staged.1 += metadata.len();
    }
    Ok(found)
}

/// Reads the database of `home` whole and checks it; `None` when there is none yet.
pub fn published(home: &Path) -> Result<Option<Published>> {
    let backend = Backend::of(home)?;
    let path = backend.place(home);
    if let Backend::Postgres(shared) = backend {
        return read(&shared.connect()?, &path).map(Some);
    }
    for _ in 0..3 {
        let Some(before) = database::Fingerprint::of(&path)? else { return Ok(None) };
        let read = read_file(&path, if before.is_open { database::SHARED } else { database::ALONE });
        // Without its locks, a change in the middle looks like damage.
        if read.is_ok() || database::Fingerprint::of(&path)?.as_ref() == Some(&before) {
            return read.map(Some);
        }
    }
    Err(Failure::new(Reason::LockHeld, path.display(), "another sealift keeps changing it")
        .hint("run this again when it is done"))
}

fn read_file(path: &Path, how: &str) -> Result<Published> {
    let at = |error: rusqlite::Error| database::failure(path, &error.into());
    let file = database::open_to_read(path, how).map_err(at)?;
    let integrity: String = file.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(at)?;
    if integrity != "ok" {
        return Err(database::damaged(path, integrity));
    }
    let has_orphans = file.prepare("PRAGMA foreign_key_check").and_then(|mut found| found.exists([]));
    if has_orphans.map_err(at)? {
        return Err(database::damaged(path, "a tag leads to a manifest that is not there"));
    }
    read(&Connection::Sqlite(Sqlite(file)), path)
}

fn read(database: &Connection, path: &Path) -> Result<Published> {
    let at = |error: sql::Error| database::failure(path, &error);
    let _moment = Transaction::to_read(database).map_err(at)?;
    database::known(path, database.version().map_err(at)?)?;
    let count = |sql: &str| {
        let number = database.query_row(sql, sql::NONE, |row| row.get::<i64>(0)).map_err(at)?;
        Ok::<_, Failure>(usize::try_from(number).unwrap_or_default())
    };
    let mut found = Published {
        manifests: count("SELECT count(*) FROM manifests")?,
        tags: count("SELECT count(*) FROM tags")?,
        receipts: count("SELECT count(*) FROM receipts")?,
        needed: BTreeMap::new(),
    };
    // A manifest may be a blob of another repository: then its size is known all the same.
    for sql in ["SELECT digest, NULL FROM blobs", "SELECT digest, size FROM manifests"] {
        let rows = database
            .statement(sql)
            .query_map(sql::NONE, |row| Ok((row.get::<String>(0)?, row.get::<Option<i64>>(1)?)));
        for row in rows.map_err(at)? {
            let (digest, size) = row.map_err(at)?;
            found.needed.insert(digest, size.and_then(|size| u64::try_from(size).ok()));
        }
    }
    Ok(found)
}

/// Whether something is published that is not there, or has another size: each with the size that is wanted, where that
/// is known, and the one that is found. What another process brings or takes away meanwhile is none of these: each
/// is looked at once more where it should lie, and then once more in the database.
pub fn lacking(home: &Path, folders: &Folders, published: &Published) -> Result<Vec<Lacking>> {
    let (mut lacking, contents) = (Vec::new(), Contents::of(home));
    for (digest, &wanted) in &published.needed {
        let is_good =
            |found: Option<u64>| found.is_some_and(|found| wanted.is_none_or(|wanted| wanted == found));
        if is_good(folders.contents.get(digest).copied()) {
            continue;
        }
        let digest = Digest::parse(digest).map_err(Failure::internal)?;
        let found = contents.look(&digest)?.map(|stored| stored.size);
        if !is_good(found) {
            lacking.push(Lacking { digest, wanted, found });
        }
    }
    if !lacking.is_empty() {
        let still = self::published(home)?.unwrap_or_default().needed;
        lacking.retain(|one| still.contains_key(&one.digest.to_string()));
    }
    Ok(lacking)
}
