//! The SQLite file: opened, brought to the schema of today, read at one moment, changed as one.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Store;
use crate::base::{
    failure::{Failure, Reason, Result},
    fs,
};

/// The steps from one version of the schema to the next; their number is the version, kept in SQLite's
/// `user_version`. A released step is never changed.
const STEPS: [&[&str]; 2] =
    [&[super::metadata::SCHEMA], &[super::site::SCHEMA, super::ledger::SCHEMA, super::receipts::SCHEMA]];

/// The name of the database in the home.
const FILE: &str = "sealift.db";

/// How long one waits for another process that changes something.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the database of `home`. One process at a time: the change of a new database to its journal mode
/// does not wait for others, it fails.
pub(super) fn open(home: &Path) -> Result<Connection> {
    let cannot_lock = |error: std::io::Error| fs::failure(home, "lock", &error);
    let turn = std::fs::File::open(home).map_err(cannot_lock)?;
    turn.lock().map_err(cannot_lock)?;
    open_alone(&home.join(FILE))
}

fn open_alone(path: &Path) -> Result<Connection> {
    let at = |error: rusqlite::Error| failure(path, &error);
    let mut database = Connection::open(path).map_err(at)?;
    database.busy_timeout(PATIENCE).map_err(at)?;
    database
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(at)?;
    if version(&database).map_err(at)? < STEPS.len() {
        migrate(&mut database).map_err(at)?;
    }
    known(path, version(&database).map_err(at)?)?;
    Ok(database)
}

fn version(database: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// All missing steps in one transaction, counted anew under the write lock: another process may be at it.
fn migrate(database: &mut Connection) -> rusqlite::Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (step, tables) in STEPS.iter().enumerate().skip(version(&transaction)?) {
        tables.iter().try_for_each(|tables| transaction.execute_batch(tables))?;
        transaction.execute_batch(&format!("PRAGMA user_version = {}", step + 1))?;
    }
    transaction.commit()
}

fn known(path: &Path, version: usize) -> Result<()> {
    if version <= STEPS.len() {
        return Ok(());
    }
    let message = format!("the database has schema {version}, this sealift knows {}", STEPS.len());
    Err(Failure::new(Reason::FormatVersion, path.display(), message)
        .hint("use the sealift version that wrote it, or a newer one"))
}

fn failure(path: &Path, error: &rusqlite::Error) -> Failure {
    let reason = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => Reason::DiskFull,
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Reason::LockHeld,
        Some(
            rusqlite::ErrorCode::PermissionDenied
            | rusqlite::ErrorCode::ReadOnly
            | rusqlite::ErrorCode::CannotOpen,
        ) => Reason::PermissionDenied,
        _ => Reason::Database,
    };
    let hint = match reason {
        Reason::LockHeld => "another sealift is at work in this home: wait for it, then run again",
        _ => "check disk space, owner and mode of the home folder",
    };
    Failure::new(reason, path.display(), error).hint(hint)
}

/// What the database says at one moment.
#[derive(Debug)]
pub struct State<'a> {
    database: &'a Connection,
    path: &'a Path,
}

impl State<'_> {
    /// Runs queries; their errors name the file.
    pub(super) fn query<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(self.database).map_err(|error| failure(self.path, &error))
    }
}

/// A change under way: everything that one command changes, seen by others whole or not at all. What it reads
/// stays so until it is done, for nobody else changes anything meanwhile.
#[derive(Debug)]
pub struct Change<'a> {
    state: State<'a>,
    pub(super) store: &'a Store,
}

impl<'a> Deref for Change<'a> {
    type Target = State<'a>;
    fn deref(&self) -> &State<'a> {
        &self.state
    }
}

impl Store {
    /// Runs one query; its errors name the file.
    pub(super) fn query<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let database = self.inner.database.lock().unwrap_or_else(PoisonError::into_inner);
        work(&database).map_err(|error| failure(&self.home().join(FILE), &error))
    }

    /// Reads what the database says at one moment.
    pub fn state<T>(&self, work: impl FnOnce(&State<'_>) -> Result<T>) -> Result<T> {
        let mut database = self.inner.database.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.home().join(FILE);
        let transaction = database.transaction().map_err(|error| failure(&path, &error))?;
        work(&State { database: &transaction, path: &path })
    }

    /// Changes the database: all that `work` does, or nothing where it fails. Other changes wait. Do not use
    /// the store itself inside `work`, only what it is given.
    ///
    /// # Errors
    /// Those of `work`; [`Reason::LockHeld`] after waiting for long; those of the disk.
    pub fn change<T>(&self, work: impl FnOnce(&Change<'_>) -> Result<T>) -> Result<T> {
        let mut database = self.inner.database.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.home().join(FILE);
        let at = |error: rusqlite::Error| failure(&path, &error);
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
        let done = work(&Change { state: State { database: &transaction, path: &path }, store: self })?;
        transaction.commit().map_err(at)?;
        Ok(done)
    }

    /// Reads the state of `home` without changing or making anything, on a read-only disk too. `None` where
    /// there is no home, or one of before there were sites.
    ///
    /// A database that no process has open is one file, and nothing is written beside it to read it. Should a
    /// process begin to change it meanwhile, it is read once more, together with that process.
    ///
    /// # Errors
    /// Those of `work` and of the disk; [`Reason::PermissionDenied`] for a database that has to be repaired
    /// after a crash, where this may not be done.
    pub fn read_only<T>(home: &Path, work: impl Fn(&State<'_>) -> Result<T>) -> Result<Option<T>> {
        let path = home.join(FILE);
        let Some(before) = Fingerprint::of(&path)? else { return Ok(None) };
        if !before.is_open {
            let read = read_once(&path, "immutable=1", &work);
            if Fingerprint::of(&path)?.as_ref() == Some(&before) {
                return read;
            }
        }
        read_once(&path, "mode=ro", &work)
    }
}

fn read_once<T>(path: &Path, how: &str, work: impl Fn(&State<'_>) -> Result<T>) -> Result<Option<T>> {
    let at = |error: rusqlite::Error| failure(path, &error);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(uri(path, how), flags).map_err(at)?;
    database.busy_timeout(PATIENCE).map_err(at)?;
    let transaction = database.transaction().map_err(at)?;
    let version = version(&transaction).map_err(at)?;
    known(path, version)?;
    if version < STEPS.len() {
        return Ok(None);
    }
    work(&State { database: &transaction, path }).map(Some)
}

/// The file as SQLite names it in a URI, where `?`, `#` and `%` mean something.
fn uri(path: &Path, how: &str) -> PathBuf {
    use std::{
        ffi::OsString,
        os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    };
    let mut name = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'?' | b'#' | b'%' => name.extend(format!("%{byte:02x}").bytes()),
            _ => name.push(byte),
        }
    }
    name.extend(format!("?{how}").bytes());
    OsString::from_vec(name).into()
}

/// What changes when somebody writes to a database.
#[derive(PartialEq)]
struct Fingerprint {
    size: u64,
    changed: (i64, i64),
    /// Whether a journal with changes stands beside it.
    is_open: bool,
}

impl Fingerprint {
    fn of(path: &Path) -> Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt as _;
        let inspect = |path: &Path| match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fs::failure(path, "inspect", &error)),
        };
        let Some(file) = inspect(path)? else { return Ok(None) };
        let mut journal = path.as_os_str().to_owned();
        journal.push("-wal");
        let is_open = inspect(Path::new(&journal))?.is_some_and(|journal| journal.len() > 0);
        Ok(Some(Self { size: file.size(), changed: (file.mtime(), file.mtime_nsec()), is_open }))
    }
}
