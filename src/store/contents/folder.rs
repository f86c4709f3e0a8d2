//! Contents in a folder of the home: `blobs/sha256/ab/<hex>`, each a file that is complete, synced and never changed.

use std::{
    collections::BTreeSet,
    fs::File,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Listing, Stored};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    fs,
};

/// The folder.
#[derive(Debug, Clone)]
pub(in crate::store) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(in crate::store) fn of(home: &Path) -> Self {
        Self { path: home.join("blobs") }
    }

    pub(super) fn open_up(&self) -> Result<()> {
        fs::create_dir(&self.path, true)
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.shard(digest).join(digest.hex())
    }

    /// The folder in the folder, which stands for the lock on what is in it.
    pub(in crate::store) fn shard(&self, digest: &Digest) -> PathBuf {
        let shard = digest.hex().get(..2).unwrap_or("00");
        self.path.join(digest.algorithm().name()).join(shard)
    }

    pub(super) fn open_group(&self, digest: &Digest) -> Result<()> {
        let shard = self.shard(digest);
        if shard.is_dir() { Ok(()) } else { fs::create_dir(&shard, true) }
    }

    pub(super) fn look(&self, digest: &Digest) -> Result<Option<Stored>> {
        let path = self.path(digest);
        match std::fs::symlink_metadata(&path) {
            Ok(file) if file.is_file() => Ok(Some(Stored::of(&file))),
            Ok(_) => {
                Err(Failure::new(Reason::FileSpecial, path.display(), "expected a plain file in the store"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fs::failure(&path, "inspect", &error)),
        }
    }

    pub(super) fn open(&self, digest: &Digest) -> Result<File> {
        fs::open_plain(&self.path(digest))
    }

    pub(super) fn settle<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        let mut folders = BTreeSet::new();
        for digest in digests {
            folders.extend(self.path(digest).ancestors().skip(1).take(3).map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| fs::sync_dir(folder))
    }

    /// Takes them away, durably. Those that were there.
    pub(in crate::store) fn remove(&self, digests: &[&Digest]) -> Result<Vec<Stored>> {
        let mut removed = Vec::new();
        for digest in digests {
            if let Some(stored) = self.look(digest)? {
                fs::remove_file(&self.path(digest))?;
                removed.push(stored);
            }
        }
        // A folder that is not there, for its disk is not mounted, has no word in what is gone: then this fails.
        let folders: BTreeSet<PathBuf> = digests.iter().map(|digest| self.shard(digest)).collect();
        folders.iter().try_for_each(|folder| fs::sync_dir(folder))?;
        Ok(removed)
    }

    pub(in crate::store) fn list(&self) -> Result<Listing> {
        let mut found = Listing::default();
        for entry in walkdir::WalkDir::new(&self.path).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                // Another process may be at work.
                Err(error) if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) => {
                    continue;
                }
                Err(error) => return Err(fs::failure(&self.path, "list", &error.into())),
            };
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                continue;
            }
            let parts = entry.path().strip_prefix(&self.path).into_iter().flatten();
            let parts: Vec<&str> = parts.filter_map(|part| part.to_str()).collect();
            match super::digest_of(&parts) {
                Some(digest) if metadata.is_file() => {
                    found.contents.insert(digest, Stored::of(&metadata));
                }
                _ => found.strange.push(entry.into_path()),
            }
        }
        Ok(found)
    }

    pub(super) fn count(&self) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for algorithm in fs::list(&self.path)? {
            for folder in fs::list(&algorithm)? {
                for blob in fs::list(&folder)? {
                    // Another process may remove what it found damaged meanwhile.
                    let Ok(metadata) = blob.symlink_metadata() else { continue };
                    count += 1;
                    bytes += metadata.len();
                }
            }
        }
        Ok((count, bytes))
    }

    pub(super) fn require_readable(&self) -> Result<()> {
        fs::names(&self.path).map(drop)
    }

    pub(super) fn require_writable(&self) -> Result<()> {
        fs::require_writable(&self.path)
    }
}

impl Stored {
    fn of(file: &std::fs::Metadata) -> Self {
        let since = u64::try_from(file.mtime()).ok().and_then(Timestamp::from_seconds);
        Self { size: file.len(), since }
    }
}

/// Whether `path` still leads to this very file.
pub(in crate::store) fn stands_at(file: &File, path: &Path) -> Result<bool> {
    let inspect = |error: &std::io::Error| fs::failure(path, "inspect", error);
    let ours = file.metadata().map_err(|error| inspect(&error))?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(inspect(&error)),
    }
}
