//! The SQLite file: opened, brought to the schema of today, read at one moment. How it is changed: change.rs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use rusqlite::OpenFlags;

use super::{
    Store,
    backend::{Backend, Shared},
    sql::{
        self, Connection, Sqlite,
        Tables::{self, Both},
        Transaction,
    },
};
use crate::base::{
    failure::{Failure, Reason, Result},
    fs,
};

/// The steps from one version of the schema to the next; their number is the version, kept in SQLite's
/// `user_version`. A released step is never changed.
const STEPS: [&[Tables]; 11] = [
    &[Both(super::metadata::SCHEMA)],
    &[
        Both(super::signed::SCHEMA),
        Both(super::site::SCHEMA),
        Both(super::ledger::SCHEMA),
        super::ledger::TRIGGERS,
        Both(super::receipts::SCHEMA),
        super::receipts::TRIGGERS,
    ],
    &[Both(super::site::UNFINISHED)],
    &[Both(super::pushes::SCHEMA)],
    &[Both(super::leases::SCHEMA)],
    &[Both(super::tags::SCHEMA)],
    &[Both(super::rules::SCHEMA), Both(super::quotas::SCHEMA)],
    &[Both(super::accounts::SCHEMA)],
    &[Both(super::contents::SCHEMA)],
    &[Both(super::describe::SCHEMA)],
    &[Both(super::contents::fence::SCHEMA)],
];

/// The version since which there are sites. Whoever only reads a home must need nothing that came later: it stays as
/// it is until something changes it.
const SITES_SINCE: usize = 2;

/// The name of the database in the home.
pub(super) const FILE: &str = "sealift.db";

/// More than the store has.
const STATEMENTS: usize = 256;

/// Connections that only read and are kept open for the next reader.
const READERS: usize = 32;

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
    let at = |error: sql::Error| failure(path, &error);
    let log = has_log(path)?;
    let file = rusqlite::Connection::open(path).map_err(|error| at(error.into()))?;
    let database = ready(file).map_err(at)?;
    let journal = journal_mode(&database).map_err(at)?;
    if journal != "wal" {
        let message = format!("the database cannot be put into WAL mode, it stays in mode {journal}");
        return Err(Failure::new(Reason::Database, path.display(), message)
            .hint("use a disk of this machine, no network file system, and run the command again"));
    }
    if log {
        // Left by a process that ended early, or shared with one at work. If a sync of it failed, the system
        // shows what the disk does not have, and no later sync mends that (C04): bring it over, begin anew.
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", sql::NONE, |_busy| Ok(())).map_err(at)?;
    }
    database.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;").map_err(at)?;
    brought_to_today(&database, path)?;
    Ok(database)
}

/// Opens the database that several machines share.
pub(super) fn open_shared(shared: &Shared, place: &Path) -> Result<Connection> {
    let database = shared.connect()?;
    if let Connection::Postgres(server) = &database {
        server.begin_schema().map_err(|error| failure(place, &error))?;
    }
    brought_to_today(&database, place)?;
    Ok(database)
}

/// Brings the schema to that of today, unless it is a newer one.
fn brought_to_today(database: &Connection, path: &Path) -> Result<()> {
    let at = |error: sql::Error| failure(path, &error);
    if database.version().map_err(at)? < STEPS.len() {
        migrate(database).map_err(at)?;
    }
    known(path, database.version().map_err(at)?)
}

/// A connection that waits for others, and keeps every statement of ours ready.
fn ready(file: rusqlite::Connection) -> sql::Result<Connection> {
    file.busy_timeout(PATIENCE)?;
    file.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(Connection::Sqlite(Sqlite(file)))
}

/// Asks for the write-ahead log, and tells which mode there is then: that the disk refused is no error to
/// SQLite. In any other mode a commit ends with the removal of a file, which a power cut can undo (P8).
fn journal_mode(database: &Connection) -> sql::Result<String> {
    // The mode changes with the end of the statement, not with its first row.
    let modes = database.statement("PRAGMA journal_mode = WAL").query_map(sql::NONE, |row| row.get(0))?;
    Ok(modes.collect::<sql::Result<Vec<String>>>()?.pop().unwrap_or_default())
}

/// Whether a log stands beside the database with what is not yet in it.
fn has_log(path: &Path) -> Result<bool> {
    let log = path.with_extension("db-wal");
    match std::fs::metadata(&log) {
        Ok(log) => Ok(log.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(fs::failure(&log, "inspect", &error)),
    }
}

/// All missing steps in one transaction, counted anew under the write lock: another process may be at it.
fn migrate(database: &Connection) -> sql::Result<()> {
    let transaction = Transaction::to_change(database)?;
    for (step, tables) in STEPS.iter().enumerate().skip(database.version()?) {
        tables.iter().try_for_each(|tables| database.define(tables))?;
        database.set_version(step + 1)?;
    }
    transaction.commit()
}

/// Fails for a schema that a newer sealift made.
pub(super) fn known(path: &Path, version: usize) -> Result<()> {
    if version <= STEPS.len() {
        return Ok(());
    }
    let message = format!("the database has schema {version}, this sealift knows {}", STEPS.len());
    Err(Failure::new(Reason::FormatVersion, path.display(), message)
        .hint("use the sealift version that wrote it, or a newer one"))
}

/// The failure for a database that is none, or no longer.
pub(super) fn damaged(path: &Path, found: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::DatabaseDamaged, path.display(), format!("the database is damaged: {found}"))
        .hint("move the file and those beside it away; the contents are kept. A site with a name begins again from its receipts, before anything else: `sealift trust init --site NAME --receipt FILE`. Then import the bundles again")
}

pub(super) fn failure(path: &Path, error: &sql::Error) -> Failure {
    let code = match error {
        sql::Error::Sqlite(error) => error.sqlite_error_code(),
        sql::Error::Postgres(error) => return postgres_failure(path, error),
        sql::Error::NoRows | sql::Error::Unreadable { .. } => None,
    };
    let reason = match code {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            return damaged(path, error);
        }
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
        _ => "check disk space, owner and mode of the home folder, then run the command again",
    };
    Failure::new(reason, path.display(), error).hint(hint)
}

const REACH: &str = "check that the server runs and is reached, and `url` in store.toml";

/// Whether a server says that it is not there for anybody now: it stops, begins, or has no connection left.
fn is_away(code: &postgres::error::SqlState) -> bool {
    use postgres::error::SqlState;
    let stopping = [&SqlState::ADMIN_SHUTDOWN, &SqlState::CRASH_SHUTDOWN, &SqlState::CANNOT_CONNECT_NOW];
    stopping.contains(&code) || *code == SqlState::TOO_MANY_CONNECTIONS
}

fn is_of_socket(error: &postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        if next.is::<std::io::Error>() {
            return true;
        }
        cause = next.source();
    }
    false
}

fn postgres_failure(place: &Path, error: &postgres::Error) -> Failure {
    use postgres::error::SqlState;
    let message = sql::Error::describe(error);
    let (reason, hint) = match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => {
            (Reason::DiskFull, "make room on the server of the database")
        }
        Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => {
            (Reason::LockHeld, "another sealift is at work in this database: wait for it, then run again")
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::INVALID_PASSWORD => {
            (Reason::PermissionDenied, "check user and password in store.toml, and what the user may do")
        }
        Some(code) if is_away(code) => {
            (Reason::DatabaseAway, "wait until the server is up and takes connections again")
        }
        Some(_) => (Reason::Database, "look into the log of the server, then run the command again"),
        // It said nothing: the way to it ended, or there was none.
        None if error.is_closed() || is_of_socket(error) => (Reason::DatabaseAway, REACH),
        None => (Reason::Database, REACH),
    };
    Failure::new(reason, place.display(), message).hint(hint)
}

/// What the database says at one moment.
#[derive(Debug)]
pub struct State<'a> {
    pub(super) database: &'a Connection,
    pub(super) path: &'a Path,
}

impl State<'_> {
    /// Runs queries; their errors name the file.
    pub(super) fn query<T>(&self, work: impl FnOnce(&Connection) -> sql::Result<T>) -> Result<T> {
        work(self.database).map_err(|error| failure(self.path, &error))
    }
}

impl Store {
    /// Runs one query; its errors name the file. Others read and change the database meanwhile.
    pub(super) fn query<T>(&self, work: impl FnOnce(&Connection) -> sql::Result<T>) -> Result<T> {
        self.read(|database, path| work(database).map_err(|error| failure(path, &error)))
    }

    /// Reads what the database says at one moment. Others read and change it meanwhile.
    pub fn state<T>(&self, work: impl FnOnce(&State<'_>) -> Result<T>) -> Result<T> {
        self.read(|database, path| {
            let _moment = Transaction::to_read(database).map_err(|error| failure(path, &error))?;
            work(&State { database, path })
        })
    }

    /// With a connection of its own; after a failure it is not used again.
    fn read<T>(&self, work: impl FnOnce(&Connection, &Path) -> Result<T>) -> Result<T> {
        let place = &self.inner.place;
        let readers = || self.inner.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = readers().pop();
        let database = match kept.filter(|kept| !kept.is_closed()) {
            Some(database) => database,
            None => self.reader()?,
        };
        let done = work(&database, place)?;
        let mut readers = readers();
        if readers.len() < READERS {
            readers.push(database);
        }
        Ok(done)
    }

    fn reader(&self) -> Result<Connection> {
        let place = &self.inner.place;
        match &self.inner.backend {
            Backend::Sqlite => open_to_read(place, SHARED)
                .map_err(sql::Error::from)
                .and_then(ready)
                .map_err(|error| failure(place, &error)),
            Backend::Postgres(shared) => shared.connect(),
        }
    }

    /// Copies the rows of a home, as they are at one moment, into a new file for its owner alone, which is not synced.
    pub(super) fn copy_rows(&self, to: &Path) -> Result<()> {
        let cannot = |why: &str| Failure::new(Reason::BadArgument, to.display(), why);
        let name = uri(to, "mode=rwc");
        let name = name.to_str().ok_or_else(|| cannot("SQLite takes no path that is not UTF-8"))?;
        // SQLite takes an empty one.
        fs::create_new(to, 0o600)?;
        self.read(|database, path| match database {
            Connection::Sqlite(Sqlite(file)) => {
                let copied = file.execute("VACUUM INTO ?1", [name]);
                copied.map(drop).map_err(|error| failure(path, &error.into()))
            }
            Connection::Postgres(_) => Err(cannot("rows in PostgreSQL are copied by it")),
        })
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
        if let Backend::Postgres(shared) = Backend::of(home)? {
            let place = Backend::Postgres(Arc::clone(&shared)).place(home);
            return read_state(&shared.connect()?, &place, work);
        }
        let path = home.join(FILE);
        let Some(before) = Fingerprint::of(&path)? else { return Ok(None) };
        if !before.is_open {
            let read = read_once(&path, ALONE, &work);
            if Fingerprint::of(&path)?.as_ref() == Some(&before) {
                return read;
            }
        }
        read_once(&path, SHARED, &work)
    }
}

fn read_once<T>(path: &Path, how: &str, work: impl Fn(&State<'_>) -> Result<T>) -> Result<Option<T>> {
    let at = |error: sql::Error| failure(path, &error);
    let database = open_to_read(path, how).map_err(sql::Error::from).and_then(ready).map_err(at)?;
    read_state(&database, path, work)
}

fn read_state<T>(
    database: &Connection,
    path: &Path,
    work: impl Fn(&State<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let at = |error: sql::Error| failure(path, &error);
    let _moment = Transaction::to_read(database).map_err(at)?;
    let version = database.version().map_err(at)?;
    known(path, version)?;
    if version < SITES_SINCE {
        return Ok(None);
    }
    work(&State { database, path }).map(Some)
}

/// A database that nobody else has open: SQLite needs neither locks nor files of its own.
pub(super) const ALONE: &str = "immutable=1";
/// A database with a log beside it, which belongs to it.
pub(super) const SHARED: &str = "mode=ro";

/// Opens a database for reading, [`ALONE`] or [`SHARED`].
pub(super) fn open_to_read(path: &Path, how: &str) -> rusqlite::Result<rusqlite::Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    rusqlite::Connection::open_with_flags(uri(path, how), flags)
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
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    size: u64,
    changed: (i64, i64),
    /// Whether a log with changes stands beside it.
    pub(super) is_open: bool,
}

impl Fingerprint {
    /// `None` where there is no database.
    pub(super) fn of(path: &Path) -> Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt as _;
        match std::fs::metadata(path) {
            Ok(file) => Ok(Some(Self {
                size: file.size(),
                changed: (file.mtime(), file.mtime_nsec()),
                is_open: has_log(path)?,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fs::failure(path, "inspect", &error)),
        }
    }
}
