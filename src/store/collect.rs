//! Collection: takes away what no manifest needs any more, while pushes, pulls and imports go on.
//!
//! Nothing is searched for. Each deletion, and each push of a blob, leaves a row that says what to look at and when
//! (`leases.rs`); so the work is as much as what changed, and not as much as the store holds. In a round each of them that is due
//! goes through two phases:
//!
//! 1. *release*: a blob that no manifest of its repository lists leaves that repository. One transaction; from then on
//!    no client finds it there;
//! 2. *removal*: content that no repository has any more leaves the disk. In the turn of its folder, so that nobody
//!    gives the name to another copy meanwhile, and in a transaction, so that no repository gets it meanwhile; from a bucket,
//!    between two, with a row that keeps repositories from it until the bucket has answered (contents/fence.rs).
//!
//! What is alive is told by rows alone, written in the transactions that published it: no manifest is read here, so
//! none that cannot be read makes the living fewer (threats R06). Only what was published before there were such rows
//! is read, once, to write them; where that fails, nothing is collected at all.
//!
//! On any doubt a round ends: where the disk or the database reports an error, where a folder is not there. What it did
//! until then holds, for each step is whole in itself: killed at any moment, the next round finds the same rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::atomic::Ordering,
};

use super::{
    Change, Store,
    leases::as_sql,
    locks::Lock,
    sql::{self, Connection, Mode, params},
};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    oci::{Descriptor, Document},
};

/// Rows looked at before the first of them is acted upon: enough that those of one folder come together.
const BATCH: i64 = 4096;
/// Rows changed in one transaction: others wait for no longer than these take.
const STEP: usize = 256;

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs that left a repository.
    pub released: u64,
    /// Contents that left the disk.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Contents that nobody needs and that stay until the next round, for a command of this machine holds the store.
    pub held: u64,
}

/// What is to be looked at, of one folder of blobs.
type Due = Vec<(String, Digest)>;

impl Store {
    /// One round: everything that is due at `now`. Others may use the store meanwhile, and other rounds run.
    ///
    /// # Errors
    /// [`Reason::BlobMissing`], [`Reason::StoreDamaged`] and those of [`Document::parse`] for a manifest that was
    /// published before what it lists was written down, and cannot be read now; those of disk and database.
    pub fn collect(&self, now: Timestamp) -> Result<Collected> {
        self.write_edges()?;
        self.look_at_arrived()?;
        let mut done = Collected::default();
        let mut after = (0, String::new(), String::new());
        loop {
            let due = self.due(now, &mut after)?;
            if due.is_empty() {
                return Ok(done);
            }
            for step in due.chunks(STEP) {
                done.released += self.release(step, now)?;
            }
            self.remove(due, &mut done)?;
        }
    }

    /// How many contents wait for a round, due or not.
    pub fn leases(&self) -> Result<u64> {
        let count = self.query(|database| {
            database.query_row("SELECT count(*) FROM leases", sql::NONE, |row| row.get::<i64>(0))
        })?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The next leases that are over, after the one at which the last batch ended.
    fn due(&self, now: Timestamp, after: &mut (i64, String, String)) -> Result<Due> {
        let rows: Vec<(i64, String, String)> = self.query(|database| {
            database
                .statement(
                    "SELECT until, repository, digest FROM leases
                     WHERE until <= ?1 AND (until, repository, digest) > (?2, ?3, ?4)
                     ORDER BY until, repository, digest LIMIT ?5",
                )
                .query_map(params![as_sql(now.seconds()), after.0, after.1, after.2, BATCH], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect()
        })?;
        if let Some(last) = rows.last() {
            *after = last.clone();
        }
        rows.into_iter().map(|(_until, repository, digest)| Ok((repository, parse(&digest)?))).collect()
    }

    /// Phase one. What is needed leaves the list; what is not leaves its repository, and stays on the list.
    fn release(&self, due: &[(String, Digest)], now: Timestamp) -> Result<u64> {
        self.change(|change| {
            let mut released = 0;
            for (repository, digest) in due {
                if change.needs(repository, digest)? {
                    change.settle_lease(repository, digest)?;
                } else if change.is_due(repository, digest, now)? {
                    let gone = change.query(|database| {
                        database
                            .statement("DELETE FROM blobs WHERE repository = ?1 AND digest = ?2")
                            .execute(params![repository, digest.to_string()])
                    })?;
                    if gone > 0 {
                        change.let_go(repository, digest)?;
                        released += 1;
                    }
                }
            }
            Ok(released)
        })
    }

    /// Phase two, group by group.
    fn remove(&self, due: Due, done: &mut Collected) -> Result<()> {
        let mut groups: BTreeMap<PathBuf, Due> = BTreeMap::new();
        for (repository, digest) in due {
            groups.entry(self.contents().group(&digest)).or_default().push((repository, digest));
        }
        for due in groups.into_values() {
            // A disk that is not mounted has no contents, and no word in what is needed.
            let alone = self.try_lock(Lock::Contents)?;
            let Some((_repository, first)) = due.first() else { continue };
            let _turn =
                self.lock(Lock::Names(first), Mode::Exclusive).map_err(|failure| match failure.reason {
                    // What is to be looked at was stored once, and no folder is ever removed.
                    Reason::NotFound => {
                        failure.hint("is the disk of the home mounted? nothing is removed until it is")
                    }
                    _ => failure,
                })?;
            for due in due.chunks(self.contents().together()) {
                let mut free = BTreeSet::new();
                let choose = |change: &Change<'_>| {
                    for (repository, digest) in due {
                        if change.is_unneeded(repository, digest, alone.is_some(), done)? {
                            free.insert(digest.clone());
                        }
                    }
                    Ok(free.into_iter().collect())
                };
                let settle = |change: &Change<'_>, gone: &[Digest]| {
                    let gone = due.iter().filter(|(_, digest)| gone.contains(digest));
                    gone.into_iter()
                        .try_for_each(|(repository, digest)| change.settle_lease(repository, digest))
                };
                let removed = self.take_away(choose, settle)?;
                done.removed += removed.len() as u64;
                done.bytes += removed.iter().map(|one| one.size).sum::<u64>();
            }
        }
        Ok(())
    }

    /// Writes down what the manifests list that were published before that was written with them.
    pub(super) fn write_edges(&self) -> Result<()> {
        if self.inner.edges_known.load(Ordering::Acquire) {
            return Ok(());
        }
        let bare: Vec<(String, Descriptor)> = self.query(|database| {
            database
                .statement(
                    "SELECT m.media_type, m.digest, m.size, m.repository FROM manifests m WHERE NOT EXISTS
                     (SELECT 1 FROM edges e WHERE e.repository = m.repository AND e.parent = m.digest)",
                )
                .query_map(sql::NONE, |row| Ok((row.get(3)?, super::metadata::descriptor_row(row)?)))?
                .collect()
        })?;
        for (repository, manifest) in bare {
            let bytes = self.read_blob(&manifest)?;
            let document = Document::parse(&bytes, &manifest.media_type)?;
            let listed: Vec<String> =
                document.descriptors().iter().map(|listed| listed.digest.to_string()).collect();
            self.change(|change| {
                // Deleted meanwhile, it needs nothing.
                if !change.has_manifest(&repository, &manifest.digest)? {
                    return Ok(());
                }
                change.query(|database| {
                    listed.iter().try_for_each(|child| {
                        super::metadata::insert_edge(database, &repository, &manifest.digest, child)
                    })
                })
            })?;
        }
        self.inner.edges_known.store(true, Ordering::Release);
        Ok(())
    }
}

impl Change<'_> {
    /// Whether something published in the repository needs it: a manifest lists it, or it is one.
    fn needs(&self, repository: &str, digest: &Digest) -> Result<bool> {
        self.query(|database| {
            database
                .statement(
                    "SELECT 1 FROM edges WHERE repository = ?1 AND child = ?2
                     UNION ALL SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2",
                )
                .exists(params![repository, digest.to_string()])
        })
    }

    /// Whether its lease is still over: since the list was read, a client may have got another.
    fn is_due(&self, repository: &str, digest: &Digest, now: Timestamp) -> Result<bool> {
        self.query(|database| {
            database
                .statement("SELECT 1 FROM leases WHERE repository = ?1 AND digest = ?2 AND until <= ?3")
                .exists(params![repository, digest.to_string(), as_sql(now.seconds())])
        })
    }

    fn settle_lease(&self, repository: &str, digest: &Digest) -> Result<()> {
        self.query(|database| {
            database
                .statement("DELETE FROM leases WHERE repository = ?1 AND digest = ?2")
                .execute(params![repository, digest.to_string()])
        })
        .map(drop)
    }

    /// Whether one content can be removed: no repository has it, and nobody holds the store.
    fn is_unneeded(
        &self,
        repository: &str,
        digest: &Digest,
        alone: bool,
        done: &mut Collected,
    ) -> Result<bool> {
        if self.has_in(repository, digest)? {
            // It came back since phase one, with a lease of its own.
            return Ok(false);
        }
        if self.query(|database| anywhere(database, digest))? {
            self.settle_lease(repository, digest)?;
            return Ok(false);
        }
        done.held += u64::from(!alone);
        Ok(alone)
    }
}

/// Whether any repository has it.
fn anywhere(database: &Connection, digest: &Digest) -> sql::Result<bool> {
    database
        .statement(
            "SELECT 1 FROM blobs WHERE digest = ?1 UNION ALL SELECT 1 FROM manifests WHERE digest = ?1",
        )
        .exists([digest.to_string()])
}

fn parse(digest: &str) -> Result<Digest> {
    Digest::parse(digest).map_err(Failure::internal)
}
