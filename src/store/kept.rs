//! Contents that arrive: kept from collections until a row says who needs them, and found again where none came to say
//! it, for the process was killed in between.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Store, blobs,
    locks::{Held, Lock},
    sql::Mode,
};
use crate::base::{
    digest::Digest,
    failure::{Reason, Result},
    fs,
};

/// What the names of marks begin with; the digest follows, and what makes the name unique.
const PREFIX: &str = "arriving-";

/// As long as this is there, one blob stays; see [`Store::keep`].
#[derive(Debug)]
pub struct Kept {
    _held: Held,
    mark: Mark,
}

/// A file of the staging folder that says which content may be on the disk without a row; locked by who brings it.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    is_left: bool,
    _locked: File,
}

impl Mark {
    /// It stays: the next round looks at what it names.
    pub(super) fn leave(&mut self) {
        self.is_left = true;
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        // Where it stays, the next round looks at what it names, and finds it needed.
        let _best_effort = std::fs::remove_file(&self.path);
    }
}

impl Store {
    /// Keeps the bytes of a blob in the store, if they are there or come there, until the value is dropped: between
    /// their arrival and the row that says who needs them, no collection takes them away. For moments only.
    ///
    /// # Errors
    /// [`Reason::Bucket`] where an earlier deletion of it may still be carried out (contents/fence.rs).
    pub fn keep(&self, digest: &Digest) -> Result<Kept> {
        self.contents().open_group(digest)?;
        let mark = self.mark(digest)?;
        let held = self.lock(Lock::Names(digest), Mode::Shared)?;
        self.require_unfenced(digest)?;
        Ok(Kept { _held: held, mark })
    }

    /// What is kept got no row in this repository: a collection takes it away, unless somebody else has it. Where that
    /// cannot be written now, the mark of it stays, and says so later.
    pub fn give_up(&self, repository: &str, digest: &Digest, mut kept: Kept) -> Result<()> {
        let looked = self.change(|change| change.look_at(repository, digest));
        looked.inspect_err(|_failure| kept.mark.leave()).map(drop)
    }

    /// Marks what is about to be brought to where contents lie.
    pub(super) fn mark(&self, digest: &Digest) -> Result<Mark> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let (algorithm, hex, process) = (digest.algorithm().name(), digest.hex(), std::process::id());
            let path = self.staging().join(format!("{PREFIX}{algorithm}-{hex}-{process}-{number}"));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            // Another process may be looking at just this one, left by an earlier one of our number.
            if let Some(locked) = blobs::take(&path, &options)? {
                return Ok(Mark { path, is_left: false, _locked: locked });
            }
        }
    }

    /// Puts what arrived and has no row, for whoever brought it was killed, on the list of what is to be looked at.
    pub(super) fn look_at_arrived(&self) -> Result<()> {
        let names = match fs::names(&self.staging()) {
            // Who only pulls needs no such folder.
            Err(failure) if failure.reason == Reason::NotFound => return Ok(()),
            names => names?,
        };
        for name in names {
            let Some(digest) = name.strip_prefix(PREFIX).and_then(read) else { continue };
            let path = self.staging().join(&name);
            let mark = match blobs::take(&path, OpenOptions::new().read(true)) {
                Ok(Some(locked)) => Mark { path, is_left: false, _locked: locked },
                Ok(None) => continue,
                Err(failure) if failure.reason == Reason::NotFound => continue,
                Err(failure) => return Err(failure),
            };
            // Of no repository: only whether any has it is asked.
            self.change(|change| change.look_at("", &digest))?;
            drop(mark);
        }
        Ok(())
    }
}

/// The digest in the name of a mark.
fn read(name: &str) -> Option<Digest> {
    let mut parts = name.split('-');
    Digest::parse(&format!("{}:{}", parts.next()?, parts.next()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::clock::Timestamp, oci::Descriptor};

    /// R05: what a killed process brought, and nobody knows of, does not lie there for ever.
    #[test]
    fn what_arrived_and_has_no_row_is_collected() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (blob, bytes) = (Descriptor::of("x", b"hello"), b"hello");
        let collected = |store: &Store| store.collect(Timestamp::now()).unwrap().removed;
        let kept = store.keep(&blob.digest).unwrap();
        store.put_kept(&blob, bytes, &kept).unwrap();
        // Killed: the lock goes, the file stays.
        let mark = std::fs::read_dir(store.staging()).unwrap().next().unwrap().unwrap().path();
        let name = format!("{PREFIX}sha256-{}-1-1", blob.digest.hex());
        fs::publish(&mark, &store.staging().join(name)).unwrap();
        assert_eq!((collected(&store), store.has(&blob).unwrap()), (0, true), "who brings it is still there");
        drop(kept);
        assert_eq!((collected(&store), store.has(&blob).unwrap()), (1, false));
        assert!(std::fs::read_dir(store.staging()).unwrap().next().is_none());
        // What was brought and ended well leaves no mark.
        store.put(&blob, bytes).unwrap();
        assert!(std::fs::read_dir(store.staging()).unwrap().next().is_none());
        assert_eq!((collected(&store), store.has(&blob).unwrap()), (0, true));
    }
}
