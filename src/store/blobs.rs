//! Blobs: written under a staging name, hashed on the way, compared, synced, renamed. The only way in.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::Store;
use crate::{
    base::{
        digest::{Algorithm, Digest, Hasher},
        failure::{Failure, Reason, Result},
        fs, stream,
    },
    oci::Descriptor,
};

impl Store {
    /// Where the blob lies or will lie.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let shard = digest.hex().get(..2).unwrap_or("00");
        self.home().join("blobs").join(digest.algorithm().name()).join(shard).join(digest.hex())
    }

    /// Size of a stored blob; `None` when it is not there.
    pub fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => {
                Err(Failure::new(Reason::FileSpecial, path.display(), "expected a plain file in the store"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fs::failure(&path, "inspect", &error)),
        }
    }

    /// Whether the blob is stored with exactly this size. One of another size is damaged and removed, so that
    /// it is fetched again; unless its bytes are good, and the descriptor lies.
    pub fn has(&self, blob: &Descriptor) -> Result<bool> {
        match self.size_of(&blob.digest)? {
            Some(size) if size == blob.size => Ok(true),
            Some(size) if self.is_good(&blob.digest)? => {
                let message = format!("its descriptor says {} bytes, it has {size}", blob.size);
                Err(Failure::new(Reason::SizeMismatch, &blob.digest, message)
                    .hint("whoever wrote the manifest or lock that names it made a mistake"))
            }
            Some(_) => self.discard(&blob.digest).map(|()| false),
            None => Ok(false),
        }
    }

    /// Whether the stored bytes still match their digest.
    fn is_good(&self, digest: &Digest) -> Result<bool> {
        let mut reader = stream::Hashing::new(self.open_blob(digest)?, digest.algorithm());
        std::io::copy(&mut reader, &mut std::io::sink())
            .map_err(|error| fs::failure(&self.blob_path(digest), "read", &error))?;
        Ok(reader.finish().0 == *digest)
    }

    /// Opens a stored blob for streaming; whoever reads it hashes it.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        fs::open_plain(&self.blob_path(digest)).map_err(|failure| match failure.reason {
            Reason::NotFound => missing(digest),
            _ => failure,
        })
    }

    /// Reads a small blob whole and checks it against its descriptor. A damaged one is removed from the
    /// store and named, so that the next run brings it again.
    pub fn read_blob(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_blob(&blob.digest)?
            .take(blob.size.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| fs::failure(&self.blob_path(&blob.digest), "read", &error))?;
        if blob.check(&bytes).is_err() {
            return Err(self.damaged(&blob.digest));
        }
        Ok(bytes)
    }

    /// The failure for a stored blob whose bytes no longer match; the bad copy is removed.
    pub fn damaged(&self, digest: &Digest) -> Failure {
        let removed = self.discard(digest).is_ok();
        let hint = if removed {
            "the damaged copy was removed: run the command again to bring it anew, and check the disk"
        } else {
            "remove the file, run the command again, and check the disk"
        };
        Failure::new(
            Reason::StoreDamaged,
            self.blob_path(digest).display(),
            "stored bytes no longer match the digest",
        )
        .hint(hint)
    }

    /// Removes a blob. Only for content known to be bad.
    pub fn discard(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        std::fs::remove_file(&path).map_err(|error| fs::failure(&path, "remove", &error))
    }

    /// Stores small content that is in memory.
    pub fn put(&self, blob: &Descriptor, bytes: &[u8]) -> Result<()> {
        blob.check(bytes)?;
        if self.has(blob)? {
            return Ok(());
        }
        let mut writer = self.writer(&blob.digest)?;
        writer.restart()?;
        writer.write(bytes)?;
        writer.commit(blob)
    }

    /// A writer for the blob with this digest. It continues what an earlier run left, after hashing it
    /// again from its first byte; [`BlobWriter::len`] tells how far that is.
    pub fn writer(&self, digest: &Digest) -> Result<BlobWriter> {
        let name = format!("{}-{}.part", digest.algorithm().name(), digest.hex());
        let path = self.home().join("staging").join(name);
        let file = open_staging(&path)?;
        if !try_lock(&file, &path)? {
            return self.scratch(digest.algorithm());
        }
        let mut writer = BlobWriter::new(self.clone(), path, file, digest.algorithm(), true);
        writer.rehash()?;
        Ok(writer)
    }

    /// A writer for content whose digest is not known yet.
    pub fn scratch(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("scratch-{}-{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.home().join("staging").join(name);
        let file = open_staging(&path)?;
        try_lock(&file, &path)?;
        let mut writer = BlobWriter::new(self.clone(), path, file, algorithm, false);
        writer.restart()?;
        Ok(writer)
    }

    /// Removes scratch files that no process holds. Named partial downloads stay: they are resumed.
    pub(super) fn sweep_staging(&self) {
        let Ok(entries) = std::fs::read_dir(self.home().join("staging")) else { return };
        for entry in entries.flatten() {
            if !entry.file_name().to_string_lossy().starts_with("scratch-") {
                continue;
            }
            let unlocked = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if unlocked {
                let _best_effort = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The failure for content that is not in the store.
fn missing(digest: &Digest) -> Failure {
    Failure::new(Reason::BlobMissing, digest, "the store does not have it")
        .hint("run the command that brings it (build or import) again")
}

fn open_staging(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| fs::failure(path, "open", &error))
}

/// Whether this process now holds the file alone. The system releases the lock when the process ends,
/// however it ends.
fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(fs::failure(path, "lock", &error)),
    }
}

/// A blob under way. Dropping it keeps the bytes for the next run (or removes them, if it is scratch);
/// only [`commit`](Self::commit) makes a blob of it.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    path: PathBuf,
    file: File,
    algorithm: Algorithm,
    hasher: Hasher,
    len: u64,
    resumable: bool,
    done: bool,
}

impl BlobWriter {
    fn new(store: Store, path: PathBuf, file: File, algorithm: Algorithm, resumable: bool) -> Self {
        let hasher = Hasher::new(algorithm);
        Self { store, path, file, algorithm, hasher, len: 0, resumable, done: false }
    }

    /// Bytes written so far, earlier runs included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn rehash(&mut self) -> Result<()> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = stream::read_full(&mut self.file, &mut buffer)
                .map_err(|error| fs::failure(&self.path, "read", &error))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(buffer.get(..count).unwrap_or_default());
            self.len += count as u64;
        }
    }

    /// Fails unless so many further bytes fit where the store is.
    pub fn reserve(&self, bytes: u64) -> Result<()> {
        fs::require_space(self.store.home(), bytes, "the download")
    }

    /// Throws away what was written and begins anew.
    pub fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|error| fs::failure(&self.path, "truncate", &error))?;
        self.hasher = Hasher::new(self.algorithm);
        self.len = 0;
        Ok(())
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| fs::failure(&self.path, "write", &error))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Digest of what was written so far.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Makes the blob: compares size and digest, syncs the file, renames it, syncs the folder. On a
    /// mismatch nothing is kept.
    pub fn commit(mut self, blob: &Descriptor) -> Result<()> {
        let found = self.digest();
        if self.len != blob.size || found != blob.digest {
            self.resumable = false;
            let message = format!(
                "expected {} bytes of {}, found {} bytes of {found}",
                blob.size, blob.digest, self.len
            );
            let reason = if self.len == blob.size { Reason::DigestMismatch } else { Reason::SizeMismatch };
            return Err(Failure::new(reason, &blob.digest, message));
        }
        self.file.sync_all().map_err(|error| {
            // After a failed sync the kernel may have dropped the pages: never resume from them (C04).
            self.resumable = false;
            fs::failure(&self.path, "sync", &error)
        })?;
        let target = self.store.blob_path(&blob.digest);
        let shard = target.parent().unwrap_or(Path::new("."));
        if !shard.is_dir() {
            fs::create_dir(shard, true)?;
            shard.ancestors().skip(1).take(2).try_for_each(fs::sync_dir)?;
        }
        fs::publish(&self.path, &target)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.done && (!self.resumable || self.len == 0) {
            let _best_effort = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        (dir, store)
    }

    #[test]
    fn a_blob_is_there_only_after_commit() {
        let (_dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        let mut writer = store.writer(&blob.digest).unwrap();
        writer.write(b"hello").unwrap();
        assert!(!store.has(&blob).unwrap());
        writer.commit(&blob).unwrap();
        assert_eq!(store.read_blob(&blob).unwrap(), b"hello");
        assert_eq!(std::fs::read_dir(store.home().join("staging")).unwrap().count(), 0);
    }

    #[test]
    fn an_interrupted_blob_goes_on_and_is_hashed_from_the_start() {
        let (_dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        let mut writer = store.writer(&blob.digest).unwrap();
        writer.write(b"hel").unwrap();
        drop(writer);
        let mut writer = store.writer(&blob.digest).unwrap();
        assert_eq!(writer.len(), 3);
        writer.write(b"lo").unwrap();
        writer.commit(&blob).unwrap();
        assert!(store.has(&blob).unwrap());
    }

    #[test]
    fn wrong_bytes_are_refused_and_forgotten() {
        let (_dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        let mut writer = store.writer(&blob.digest).unwrap();
        writer.write(b"hellO").unwrap();
        assert_eq!(writer.commit(&blob).unwrap_err().reason, Reason::DigestMismatch);
        assert_eq!(store.writer(&blob.digest).unwrap().len(), 0);
        assert!(!store.has(&blob).unwrap());
    }

    #[test]
    fn two_writers_of_one_blob_do_not_meet() {
        let (_dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        let mut first = store.writer(&blob.digest).unwrap();
        first.write(b"hel").unwrap();
        let mut second = store.writer(&blob.digest).unwrap();
        assert_eq!(second.len(), 0);
        second.write(b"hello").unwrap();
        second.commit(&blob).unwrap();
        first.write(b"lo").unwrap();
        first.commit(&blob).unwrap();
        assert!(store.has(&blob).unwrap());
    }

    #[test]
    fn a_lie_about_the_size_removes_nothing() {
        let (_dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        store.put(&blob, b"hello").unwrap();
        let lie = Descriptor { size: 7, ..blob.clone() };
        assert_eq!(store.has(&lie).unwrap_err().reason, Reason::SizeMismatch);
        assert!(store.has(&blob).unwrap());
        fs::write_atomic(&store.blob_path(&blob.digest), b"hell", 0o600).unwrap();
        assert!(!store.has(&blob).unwrap());
        assert_eq!(store.size_of(&blob.digest).unwrap(), None);
    }

    #[test]
    fn damage_on_disk_is_found_and_removed() {
        let (_dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        store.put(&blob, b"hello").unwrap();
        fs::write_atomic(&store.blob_path(&blob.digest), b"hellO", 0o600).unwrap();
        assert_eq!(store.read_blob(&blob).unwrap_err().reason, Reason::StoreDamaged);
        assert!(!store.has(&blob).unwrap());
    }
}
