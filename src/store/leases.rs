//! Who relies on content that nothing published needs yet, and until when.
//!
//! Two kinds of work do. A client of the registry that was told that a blob is there, because it brought it, had it
//! mounted or asked for it, and pushes the manifest later: its repository has a *lease* on the blob. And a command of
//! this machine that brings or reads contents for a while before it publishes them, or without ever doing so (`lock`,
//! `build`, `import`): it *holds* the store, until it ends, however it ends.
//!
//! A lease has an end, at which [`collect`](super::collect) looks whether the repository needs the blob. So what is
//! taken out of a repository gets a lease that is over at once: the same rows are the list of what there is to look at.

use super::{
    Change, Store,
    locks::{Held, Lock},
    sql::{Mode, params},
};
use crate::base::{clock::Timestamp, digest::Digest, failure::Result};

/// What is not collected before `until` (seconds since 1970), and looked at then. Manifests by digest, for the question
/// whether any repository has one.
pub(super) const SCHEMA: &str = "
    CREATE TABLE leases (
        repository TEXT NOT NULL,
        digest     TEXT NOT NULL,
        until      INTEGER NOT NULL,
        PRIMARY KEY (repository, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX leases_until ON leases (until, repository, digest);
    CREATE INDEX manifests_digest ON manifests (digest, repository);
    INSERT INTO leases SELECT repository, digest, 0 FROM blobs WHERE true ON CONFLICT (repository, digest) DO NOTHING;
";

/// As long as this is kept, no bytes leave the store.
#[derive(Debug)]
pub struct Hold {
    _held: Held,
}

impl Store {
    /// Keeps every content that is in the store or comes into it, published or not, until the value is dropped or the
    /// process ends. Waits while contents are being removed, which takes moments.
    pub fn hold(&self) -> Result<Hold> {
        Ok(Hold { _held: self.lock(Lock::Contents, Mode::Shared)? })
    }

    /// A client was told that the repository has this blob: it stays there until then, whatever else is deleted.
    /// `false` where it has it no longer. A lease that has still more than half of `seconds` to go is left as it is, so that to
    /// ask costs no write each time.
    pub fn lease(&self, repository: &str, digest: &Digest, now: Timestamp, seconds: u64) -> Result<bool> {
        let enough = as_sql(now.seconds().saturating_add(seconds / 2));
        let fresh = self.query(|database| {
            database
                .statement("SELECT 1 FROM leases WHERE repository = ?1 AND digest = ?2 AND until > ?3")
                .exists(params![repository, digest.to_string(), enough])
        })?;
        if fresh {
            return Ok(true);
        }
        self.change(|change| {
            let known = change.has_in(repository, digest)?;
            if known {
                change.lease(repository, digest, later(now, seconds))?;
            }
            Ok(known)
        })
    }
}

impl Change<'_> {
    /// The repository keeps this blob until then, or longer where it has a longer lease.
    pub(super) fn lease(&self, repository: &str, digest: &Digest, until: Timestamp) -> Result<()> {
        let longer = "INSERT INTO leases (repository, digest, until) VALUES (?1, ?2, ?3)
            ON CONFLICT (repository, digest) DO UPDATE SET until = excluded.until WHERE leases.until < excluded.until";
        self.write_lease(longer, repository, digest, until.seconds()).map(drop)
    }

    /// What was taken out of a repository is to be looked at as soon as nobody there has a lease on it. Whether that
    /// was not known before.
    pub fn look_at(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let unless = "INSERT INTO leases (repository, digest, until) VALUES (?1, ?2, ?3)
            ON CONFLICT (repository, digest) DO NOTHING";
        self.write_lease(unless, repository, digest, 0)
    }

    /// A blob was deleted, and with it every lease of the repository on it.
    pub(super) fn end_lease(&self, repository: &str, digest: &Digest) -> Result<()> {
        let now = "INSERT INTO leases (repository, digest, until) VALUES (?1, ?2, ?3)
            ON CONFLICT (repository, digest) DO UPDATE SET until = excluded.until";
        self.write_lease(now, repository, digest, 0).map(drop)
    }

    fn write_lease(&self, sql: &str, repository: &str, digest: &Digest, until: u64) -> Result<bool> {
        self.query(|database| {
            database.statement(sql).execute(params![repository, digest.to_string(), as_sql(until)])
        })
        .map(|written| written > 0)
    }
}

/// So many seconds after `now`; the last second that can be written where that is past it.
pub(super) fn later(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp::from_seconds(now.seconds().saturating_add(seconds)).unwrap_or(now)
}

pub(super) fn as_sql(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
