//! What is done in the registry of a site, with the records of it.

use super::Site;
use crate::{
    base::failure::{Failure, Reason, Result},
    ledger::Event,
    store::{Change, Deeds},
};

impl Site {
    /// Does some `work` and tells of it, all or nothing: whatever it gives goes to the ledger, under one checkpoint, with
    /// what others do at the same time. What tells of nothing leaves none.
    ///
    /// # Errors
    /// Those of `work`; [`Reason::LedgerUnwritten`] where that could be done and not be told; those of the disk.
    pub fn record<T>(&self, work: impl FnOnce(&Change<'_>) -> Result<(T, Deeds)>) -> Result<T> {
        let site = self.clone();
        let done = self
            .store
            .change_together(work, move |change, deeds| site.tell(change, deeds).map_err(unwritten))?;
        self.place_importer();
        Ok(done)
    }

    /// Fails where nothing of what a server is about to do could be told. Where machines share the home, the first one makes
    /// the key for it now, and the others have to have it: one that began without would stop at the first pull.
    ///
    /// # Errors
    /// [`Reason::NotFound`] where another machine has the key, and those of the ledger and the disk.
    pub fn require_signer(&self) -> Result<()> {
        let is_new = self.store.is_shared() && self.known_importer()?.is_none();
        self.store.change(|change| {
            self.require_own_ledger(change)?;
            if is_new { self.tell(change, vec![]) } else { Ok(()) }
        })?;
        if is_new {
            self.place_importer();
        }
        Ok(())
    }

    fn tell(&self, change: &Change<'_>, deeds: Deeds) -> Result<()> {
        self.require_own_ledger(change)?;
        let importer = self.importer(change)?;
        change.append_all(deeds.into_iter().map(|(time, deed)| (time, Event::Registry(deed))))?;
        change.checkpoint(self.now, &importer)?;
        self.keep_importer(&importer, None)
    }
}

/// Whatever it was: what was to be told did not happen. A full disk is known by its own name.
fn unwritten(failure: Failure) -> Failure {
    match failure.reason {
        Reason::DiskFull => failure,
        _ => failure.as_reason(Reason::LedgerUnwritten),
    }
}
