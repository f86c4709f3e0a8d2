//! A new importer key, the first or one in the place of another, which signs that it hands over.
//!
//! Two things change, a file and the database, and the process may die between them. The new key is kept beside the
//! old one before the database names it, and takes its place after that: whichever of the two the database names,
//! it is there.

use std::{ops::ControlFlow, path::Path};

use super::{
    Site, chain, custody,
    importer::{current_importer, importer_path, known_importer, next_path, still_counts, write_next},
};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason, Result},
        fs,
    },
    ledger::{Event, Record},
    store::{Change, State},
    trust::{Algorithm, PrivateKey, PublicKey},
};

/// The key that signs receipts and the ledger.
#[derive(Debug, Clone)]
pub struct Importer {
    /// Its public half.
    pub key: PublicKey,
    /// When the ledger began to name it; `None` for one that has not signed yet.
    pub since: Option<Timestamp>,
    /// Id of the key that it replaced.
    pub replaces: Option<String>,
}

/// The importer key of `home`, and what the ledger says of it.
///
/// # Errors
/// [`Reason::NotFound`] where there is none; those of the key file and the database.
pub fn importer(home: &Path, state: &State<'_>) -> Result<Importer> {
    let key = current_importer(home, state)?.ok_or_else(|| missing(home))?.public().clone();
    let mut found = Importer { key, since: None, replaces: None };
    // The last record of it counts.
    state.each_record(1, |_number, line| {
        if custody::tells_of_key(line) {
            let record = Record::parse(line)?;
            if record.named_key()?.as_ref() == Some(&found.key)
                && let Event::Key { replaces, .. } = record.event
            {
                found.replaces = replaces.map(|old| old.get().to_owned());
                found.since = Some(record.time);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn missing(home: &Path) -> Failure {
    Failure::new(Reason::NotFound, importer_path(home).display(), "there is no importer key")
        .hint("the next command that changes something makes one; one that is lost cannot hand over, so tell those who check receipts and the ledger which one is new")
}

impl Site {
    /// Puts a new importer key in the place of the old one: `new`, or one that is made. The ledger tells of it, the
    /// old key signs that, and then the new one: whoever knows the old one can follow.
    ///
    /// # Errors
    /// [`Reason::NotFound`] where there is no old key, [`Reason::KeyExists`] where it is the same: then that one stays.
    /// Those of the database and the disk: then [`importer()`] tells which of the two goes on.
    pub fn replace_importer(&self, new: Option<PrivateKey>) -> Result<Importer> {
        let new = new.map_or_else(|| PrivateKey::generate(Algorithm::Ed25519), Ok)?;
        let home = self.store.home();
        let replaced = self.store.change(|change| {
            self.require_own_ledger(change)?;
            let old = self.known_importer()?.ok_or_else(|| missing(home))?;
            if old.public() == new.public() {
                let message = "it is the importer key already";
                return Err(Failure::new(Reason::KeyExists, new.public().key_id(), message)
                    .hint("give another key, or none: then a new one is made"));
            }
            // A revoked key signs no more than this, and then only that it goes.
            chain(change)?.map_or(Ok(()), |chain| still_counts(&chain, new.public()))?;
            self.name_importer(change, &old)?;
            write_next(home, &new)?;
            self.name_importer(change, &new)?;
            change.checkpoint(self.now, &old)?;
            change.checkpoint(self.now, &new)?;
            let replaces = Some(old.public().key_id().to_owned());
            Ok(Importer { key: new.public().clone(), since: Some(self.now), replaces })
        })?;
        self.place_importer();
        Ok(replaced)
    }

    /// Gives a new key its place. It signs from here on, wherever its file lies: if that cannot be done now, the next
    /// change does it; nobody must think that the old one stayed, and go without the new public half.
    pub(super) fn place_importer(&self) {
        if next_path(self.store.home()).exists() {
            let _later = self.store.change(|change| self.settle_importer(change));
        }
    }

    /// What every change begins with: a replacement that was killed is ended, and the ledger is as this site left it.
    pub(super) fn require_own_ledger(&self, change: &Change<'_>) -> Result<()> {
        self.settle_importer(change)?;
        self.require_sealed(change)
    }

    /// Gives the key that the database names its place, and takes away one that it does not. In a change nobody else
    /// is at it. The key that was replaced goes; another that lies there was left by a home whose database is lost:
    /// it gets another name, for it may have signed receipts that are somewhere.
    fn settle_importer(&self, change: &Change<'_>) -> Result<()> {
        let home = self.store.home();
        let (path, next) = (importer_path(home), next_path(home));
        let Some(key) = known_importer(&next)? else { return Ok(()) };
        if change.site()?.importer.as_deref() != Some(key.public().key_id()) {
            // It signed nothing.
            return fs::remove_file(&next);
        }
        if let Some(old) = known_importer(&path)?.filter(|old| old.public() != key.public()) {
            let id = old.public().key_id();
            if importer(home, change)?.replaces.as_deref() != Some(id) {
                fs::publish(&path, &path.with_file_name(format!("importer-{id}.pem")))?;
            }
        }
        fs::publish(&next, &path)
    }
}
