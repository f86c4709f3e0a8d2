//! Contents in a folder of the home: `blobs/sha256/ab/<hex>`, each a file that is complete, synced and never changed.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Listing, Stored};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    fs,
};

/// How many files are remembered as settled. A push brings its manifest right after its blobs.
const REMEMBERED: usize = 4096;

/// The folder. Clones share what is remembered.
#[derive(Debug, Clone)]
pub(in crate::store) struct Folder {
    path: PathBuf,
    settled: Arc<Mutex<Settled>>,
}

/// The names that this process has synced: what it brought itself need not be synced again.
#[derive(Debug, Default)]
struct Settled {
    /// Shards that are there for good.
    shards: BTreeSet<PathBuf>,
    /// Files that are there for good, as long as it is these.
    files: HashMap<Digest, Identity>,
}

/// A file, told from another one that came to stand in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    file: (u64, u64),
    written: (i64, i64),
}

impl Identity {
    fn of(file: &std::fs::Metadata) -> Self {
        Self { file: (file.dev(), file.ino()), written: (file.mtime(), file.mtime_nsec()) }
    }
}

impl Folder {
    pub(in crate::store) fn of(home: &Path) -> Self {
        Self { path: home.join("blobs"), settled: Arc::default() }
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

    /// Gives a synced file its name, for good.
    pub(super) fn publish(&self, staged: &Path, file: &File, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        fs::publish(staged, &path)?;
        self.settle_shard(&self.shard(digest))?;
        let file = file.metadata().map_err(|error| fs::failure(&path, "inspect", &error))?;
        self.remember([(digest.clone(), Identity::of(&file))]);
        Ok(())
    }

    pub(super) fn settle<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        let mut open = Vec::new();
        for digest in digests {
            let path = self.path(digest);
            let file = match std::fs::symlink_metadata(&path) {
                Ok(file) => Identity::of(&file),
                // Found damaged a moment ago, and removed.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(Failure::new(Reason::BlobMissing, digest, "the store has it no more"));
                }
                Err(error) => return Err(fs::failure(&path, "inspect", &error)),
            };
            if self.remembered(|settled| settled.files.get(digest) != Some(&file)) {
                open.push((digest.clone(), file));
            }
        }
        let shards: BTreeSet<PathBuf> = open.iter().map(|(digest, _)| self.shard(digest)).collect();
        for shard in &shards {
            fs::sync_dir(shard)?;
            self.settle_shard(shard)?;
        }
        self.remember(open);
        Ok(())
    }

    /// A folder may have been made by a process that was killed before it synced the one around it.
    fn settle_shard(&self, shard: &Path) -> Result<()> {
        if self.remembered(|settled| settled.shards.contains(shard)) {
            return Ok(());
        }
        shard.ancestors().skip(1).take(2).try_for_each(fs::sync_dir)?;
        self.remembered(|settled| settled.shards.insert(shard.to_owned()));
        Ok(())
    }

    fn remembered<T>(&self, look: impl FnOnce(&mut Settled) -> T) -> T {
        look(&mut self.settled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remember(&self, files: impl IntoIterator<Item = (Digest, Identity)>) {
        self.remembered(|settled| {
            for (digest, file) in files {
                if settled.files.len() >= REMEMBERED {
                    settled.files.clear();
                }
                settled.files.insert(digest, file);
            }
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_once_is_known_until_another_file_stands_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path());
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let put = |digest: &Digest| {
            let staged = dir.path().join("staged");
            fs::write_atomic(&staged, b"x", 0o600).unwrap();
            let file = File::open(&staged).unwrap();
            folder.open_group(digest).unwrap();
            folder.publish(&staged, &file, digest).unwrap();
        };
        let known = |digest: &Digest| folder.remembered(|settled| settled.files.get(digest).copied());
        put(&one);
        let first = known(&one).unwrap();
        folder.settle([&one]).unwrap();
        assert_eq!(known(&one), Some(first));
        // Another process takes it away, and brings it again. As long as this is open, its number is taken.
        let _open = File::open(folder.path(&one)).unwrap();
        let elsewhere = Folder::of(dir.path());
        elsewhere.remove(&[&one]).unwrap();
        fs::write_atomic(&folder.path(&one), b"y", 0o600).unwrap();
        folder.settle([&one]).unwrap();
        assert_ne!(known(&one).unwrap(), first);
        // What is gone cannot be relied on.
        elsewhere.remove(&[&one]).unwrap();
        assert_eq!(folder.settle([&one]).unwrap_err().reason, Reason::BlobMissing);
        // What another process brought is settled when it is first relied on.
        elsewhere.open_group(&other).unwrap();
        fs::write_atomic(&folder.path(&other), b"z", 0o600).unwrap();
        assert_eq!(known(&other), None);
        folder.settle([&other]).unwrap();
        assert!(known(&other).is_some());
    }
}
