//! Locks that processes share: of this machine, or of all replicas, as the home says. They end with the value, or with
//! the process, however it ends.

use std::{
    fs::{File, TryLockError},
    path::PathBuf,
};

use super::{
    Store,
    backend::{Backend, Turn},
    contents::Folder,
    sql::Mode,
};
use crate::base::{digest::Digest, failure::Result, fs};

/// What is locked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock<'a> {
    /// That contents stay in the store: held together by who relies on that, alone by who removes some.
    Contents,
    /// What a registry shows: held alone by who changes that.
    Registry,
    /// The names of contents in the folder of this one: held together by who gives them, alone by who takes them away.
    Names(&'a Digest),
}

impl Lock<'_> {
    /// As replicas call it. What changes the database has 0.
    fn number(self) -> i32 {
        match self {
            Self::Contents => 1,
            Self::Registry => 2,
            Self::Names(digest) => {
                let shard = digest.hex().get(..2).and_then(|shard| i32::from_str_radix(shard, 16).ok());
                256 + shard.unwrap_or_default()
            }
        }
    }
}

/// A lock while it is held.
#[derive(Debug)]
pub(super) struct Held {
    _how: How,
}

#[derive(Debug)]
enum How {
    Here { _lock: File },
    Shared { _turn: Turn },
}

impl Store {
    /// Takes a lock, and waits for it.
    pub(super) fn lock(&self, lock: Lock<'_>, mode: Mode) -> Result<Held> {
        if let Backend::Postgres(shared) = &self.inner.backend {
            let turn = shared.lock(lock.number(), mode)?;
            return Ok(Held { _how: How::Shared { _turn: turn } });
        }
        let (path, file) = self.lock_file(lock)?;
        let locked = if mode == Mode::Shared { file.lock_shared() } else { file.lock() };
        locked.map_err(|error| fs::failure(&path, "lock", &error))?;
        Ok(Held { _how: How::Here { _lock: file } })
    }

    /// Takes a lock for itself alone; `None` while others have it.
    pub(super) fn try_lock(&self, lock: Lock<'_>) -> Result<Option<Held>> {
        if let Backend::Postgres(shared) = &self.inner.backend {
            let turn = shared.try_lock(lock.number())?;
            return Ok(turn.map(|turn| Held { _how: How::Shared { _turn: turn } }));
        }
        let (path, file) = self.lock_file(lock)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held { _how: How::Here { _lock: file } })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fs::failure(&path, "lock", &error)),
        }
    }

    /// The folder that stands for a lock on this machine.
    fn lock_file(&self, lock: Lock<'_>) -> Result<(PathBuf, File)> {
        let path = match lock {
            Lock::Contents => self.home().join("blobs"),
            Lock::Registry => self.staging(),
            Lock::Names(digest) => Folder::of(self.home()).shard(digest),
        };
        let file = File::open(&path).map_err(|error| fs::failure(&path, "open", &error))?;
        Ok((path, file))
    }
}
