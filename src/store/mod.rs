//! A site's home: content by digest, and what is published of it.
//!
//! ```text
//! HOME/
//!   sealift.db                 SQLite                                              (database.rs)
//!                                changed alone, or together with others            (change.rs)
//!                                what is published: tags, manifests, blobs         (metadata.rs)
//!                                what clients change of it: edges, deletions       (pushes.rs)
//!                                platforms, labels and sizes, for the page         (describe.rs)
//!                                and what people look through there                (browse.rs)
//!                                where tags lead and led                           (tags.rs)
//!                                who relies on what, and what to look at           (leases.rs)
//!                                who may change what: the rules of the registry    (rules.rs)
//!                                how much of their quotas is used                  (quotas.rs)
//!                                what the site knows: trust, channels, overrides   (site.rs)
//!                                what happened: the ledger, signed receipts        (ledger.rs, receipts.rs)
//!                                how it compares with the disk, and is mended      (check.rs, repair.rs)
//!                                what nobody needs any more, for people to review  (prune.rs)
//!                                copied with all it names, and restored            (backup.rs)
//!                                locks that processes share                        (locks.rs)
//!                                what each key signed last                         (signed.rs)
//!                                who may log in to the registry                    (accounts.rs)
//!   store.toml                 another place for rows, and for contents            (settings.rs, backend.rs, contents/)
//!   keys/importer.pem          the key that signs receipts; `crate::site` makes it
//!   blobs/sha256/ab/<hex>      content, complete and synced, never changed         (contents/, blobs.rs)
//!                                until nothing needs it any more                   (collect.rs)
//!   staging/<alg>-<hex>.part   content under way; kept for the next run            (writer.rs)
//!   staging/arriving-<digest>… what may be there without a row yet                 (kept.rs)
//!   staging/upload-<id>-….part a push under way; kept for its client               (uploads.rs)
//! ```
//!
//! Invariants: a file under `blobs/` is whole and matched its digest when it was put there, and is removed only when
//! it no longer does, or when it left the last repository and nobody relies on it; a manifest is published only in a transaction that found it, and whatever its repository is said
//! to have of what it lists. The rest is recorded as absent: of an import what was left out on purpose, of a push into
//! a sandbox all that was not there. What one command changes, one [`Change`] makes true together, with the lines of
//! the ledger that tell of it. The connected side uses the same folder as its cache and publishes nothing.

mod accounts;
mod backend;
pub mod backup;
mod blobs;
mod browse;
mod change;
pub mod check;
mod collect;
mod contents;
mod database;
mod describe;
pub mod examine;
mod inventory;
mod kept;
mod leases;
mod ledger;
mod locks;
mod measure;
mod metadata;
pub mod prune;
mod pushes;
mod quotas;
mod receipts;
pub mod repair;
mod rules;
mod settings;
mod signed;
mod site;
mod sql;
mod tags;
mod uploads;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
};

pub use accounts::{Account, AccountKind, TokenKey};
pub use browse::{After, Summary, TagRow, Wanted};
pub use change::{Change, Deeds};
pub use collect::Collected;
pub use contents::{BlobReader, Credentials, use_credentials};
pub use database::State;
pub use kept::Kept;
pub use leases::Hold;
pub use ledger::LedgerPage;
pub use metadata::{Publication, PublishedManifest, PublishedTag, ReferrerRow, Target};
pub use pushes::Deletion;
pub use receipts::SignedReceipt;
pub use rules::InForce;
pub use signed::Signed;
pub use site::{Channel, HeldBeacon, HeldOverride, Imported, Settings, SiteRow, Unfinished};
pub use tags::{Author, TagMove};
pub use uploads::Upload;
pub use writer::BlobWriter;

use self::{
    backend::Backend,
    contents::Contents,
    locks::{Held, Lock},
    sql::Mode,
};
use crate::base::{failure::Result, fs};

/// An open home. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// As long as this is there, no other process makes an import visible in a registry.
#[derive(Debug)]
pub struct RegistryTurn {
    _held: Held,
}

#[derive(Debug)]
struct Inner {
    home: PathBuf,
    contents: Contents,
    backend: Backend,
    /// Where the rows lie, as messages name it.
    place: PathBuf,
    /// For readers, each of which has one for itself.
    readers: Mutex<Vec<sql::Connection>>,
    /// For changes: one at a time. Closed after the readers, for only who may write can clear away what the database
    /// needs while it is open.
    desk: change::Desk,
    /// Whether what every manifest lists is known to be written down.
    edges_known: AtomicBool,
    /// The rules that were read last.
    rules: Mutex<Option<InForce>>,
    /// Held by who looks at what manifests say.
    describing: Mutex<()>,
}

impl Store {
    /// Opens `home`, making it (mode 0700) when it is not there. Several processes may have it open.
    pub fn open(home: &Path) -> Result<Self> {
        for folder in [home, &home.join("staging")] {
            fs::create_dir(folder, true)?;
        }
        let contents = Contents::of(home)?;
        contents.open_up()?;
        let backend = Backend::of(home)?;
        let place = backend.place(home);
        let database = match &backend {
            Backend::Sqlite => database::open(home)?,
            Backend::Postgres(shared) => database::open_shared(shared, &place)?,
        };
        let store = Self {
            inner: Arc::new(Inner {
                home: home.to_owned(),
                contents,
                backend,
                place,
                desk: change::Desk::new(database),
                readers: Mutex::default(),
                rules: Mutex::default(),
                describing: Mutex::default(),
                edges_known: AtomicBool::new(false),
            }),
        };
        store.sweep_staging();
        store.require_own_contents()?;
        Ok(store)
    }

    /// Waits until no other process makes an import visible in a registry, and keeps others from it until the value
    /// is dropped. At home one transaction does that. Calls `waiting` where it has to wait, however long that takes.
    pub fn registry_turn(&self, waiting: impl FnOnce()) -> Result<RegistryTurn> {
        if let Some(held) = self.try_lock(Lock::Registry)? {
            return Ok(RegistryTurn { _held: held });
        }
        waiting();
        Ok(RegistryTurn { _held: self.lock(Lock::Registry, Mode::Exclusive)? })
    }

    /// Whether the rows lie in a database that several machines share.
    pub fn is_shared(&self) -> bool {
        matches!(self.inner.backend, Backend::Postgres(_))
    }

    /// Where contents lie.
    fn contents(&self) -> &Contents {
        &self.inner.contents
    }

    /// Whether `home` has a database.
    pub fn is_at(home: &Path) -> bool {
        home.join(database::FILE).exists() || home.join(settings::FILE).exists()
    }

    /// Where content lies while it comes.
    fn staging(&self) -> PathBuf {
        self.inner.home.join("staging")
    }

    /// The folder.
    pub fn home(&self) -> &Path {
        &self.inner.home
    }
}

#[cfg(test)]
mod tests {
    use super::Store;

    #[test]
    fn whoever_waits_for_a_turn_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let first = store.registry_turn(|| panic!("nobody else is at it")).unwrap();
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let store = &store;
            let second = scope.spawn(move || store.registry_turn(|| tell.send(()).unwrap()).unwrap());
            told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap();
        });
    }

    #[test]
    fn many_may_open_a_new_home_at_once() {
        for _ in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let home = dir.path().join("home");
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| Store::open(&home).unwrap());
                }
            });
        }
    }
}
