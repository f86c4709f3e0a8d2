//! Blobs: how they are read, compared and found damaged; `writer.rs` is the only way in, `contents/` knows where they lie.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Kept, Store,
    contents::{BlobReader, stands_at},
    locks::Lock,
    sql::Mode,
    writer::{BlobWriter, Leaves},
};
use crate::{
    base::{
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        fs,
    },
    oci::Descriptor,
};

impl Store {
    /// Where the blob lies or will lie, as messages name it.
    pub fn place_of(&self, digest: &Digest) -> PathBuf {
        self.contents().place(digest)
    }

    /// Size of a stored blob; `None` when it is not there.
    pub fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.contents().look(digest)?.map(|stored| stored.size))
    }

    /// The same of several, asked together.
    pub fn sizes_of(&self, digests: &[&Digest]) -> Result<Vec<Option<u64>>> {
        let found = self.contents().look_at_all(digests)?;
        Ok(found.into_iter().map(|stored| Some(stored?.size)).collect())
    }

    /// Whether the blob is stored with exactly this size. One of another size stays where it is: it may be
    /// cut, or it may be the descriptor that lies. A good copy replaces it when it is committed.
    pub fn has(&self, blob: &Descriptor) -> Result<bool> {
        Ok(self.size_of(&blob.digest)? == Some(blob.size))
    }

    /// Opens a stored blob for streaming; whoever reads it hashes it.
    pub fn open_blob(&self, digest: &Digest) -> Result<BlobReader> {
        self.contents().open(digest)
    }

    /// Reads a small blob whole and checks it against its descriptor; see [`damaged`](Self::damaged) for
    /// one that does not match.
    pub fn read_blob(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.contents().read(&blob.digest, blob.size.saturating_add(1))?;
        if blob.check(&bytes).is_err() {
            return Err(self.damaged(&blob.digest));
        }
        Ok(bytes)
    }

    /// Removes the copy of a blob that does not match its digest; hashed once more, for another may stand there by now.
    /// Whether one was removed.
    pub(super) fn discard_damaged(&self, digest: &Digest) -> Result<bool> {
        let mut copy = match self.open_blob(digest) {
            Ok(copy) => copy,
            Err(failure) if failure.reason == Reason::BlobMissing => return Ok(false),
            Err(failure) => return Err(failure),
        };
        Ok(!self.contents().is_whole(&mut copy, digest, |_| ())? && self.discard(&copy, digest)?)
    }

    /// The failure for a stored blob that is not what was expected. What stands there is hashed once more: a
    /// copy that does not match its own digest is removed, so that the next run brings it again; a whole one
    /// stays, for then it was the expectation that was wrong, or another process has just brought it anew.
    pub fn damaged(&self, digest: &Digest) -> Failure {
        let object = self.place_of(digest);
        let mut copy = match self.open_blob(digest) {
            Ok(copy) => copy,
            Err(failure) => return failure,
        };
        match self.contents().is_whole(&mut copy, digest, |_| ()) {
            Ok(true) => {
                let message = "the stored bytes match the digest, but not the size that was expected";
                return Failure::new(Reason::SizeMismatch, object.display(), message)
                    .hint("run the command again; if it stays so, whoever gave the size is wrong");
            }
            Ok(false) => {}
            Err(failure) => return failure,
        }
        let hint = match self.discard(&copy, digest) {
            Ok(true) => {
                "the damaged copy was removed: run the command again to bring it anew, and check the disk"
            }
            Ok(false) => {
                "another process has removed or replaced that copy: run the command again, and check the disk"
            }
            Err(_stays) => "remove the file, run the command again, and check the disk",
        };
        let message = "stored bytes no longer match the digest";
        Failure::new(Reason::StoreDamaged, object.display(), message).hint(hint)
    }

    /// Removes a copy of a blob that is known to be bad. `false` where it stands there no longer: to hash it took its
    /// time, and whoever has brought a whole one meanwhile was told that it is there.
    fn discard(&self, bad: &BlobReader, digest: &Digest) -> Result<bool> {
        // Between the look and the removal nobody gives the name to another copy.
        let _alone = self.lock(Lock::Names(digest), Mode::Exclusive)?;
        if !self.contents().stands(bad, digest)? {
            return Ok(false);
        }
        self.take_away_bad(digest)
    }

    /// Stores small content that is in memory. A copy that is there is compared with it: one that rotted is replaced.
    pub fn put(&self, blob: &Descriptor, bytes: &[u8]) -> Result<()> {
        self.put_kept(blob, bytes, &self.keep(&blob.digest)?)
    }

    /// The same for who keeps it there already.
    pub fn put_kept(&self, blob: &Descriptor, bytes: &[u8], kept: &Kept) -> Result<()> {
        blob.check(bytes)?;
        if self.has(blob)? {
            let mut there = Vec::with_capacity(bytes.len());
            let copy = self.open_blob(&blob.digest);
            // One that cannot be read, or has gone in between, is as good as rotten.
            let read = copy.is_ok_and(|copy| copy.take(blob.size).read_to_end(&mut there).is_ok());
            if read && there == bytes {
                return Ok(());
            }
        }
        let mut writer = self.scratch(blob.digest.algorithm())?;
        writer.write(bytes)?;
        writer.commit_kept(blob, kept)
    }

    /// A writer for the blob with this digest. It continues what an earlier run left, after hashing it
    /// again from its first byte; [`BlobWriter::len`] tells how far that is.
    pub fn writer(&self, digest: &Digest) -> Result<BlobWriter> {
        let name = format!("{}-{}.part", digest.algorithm().name(), digest.hex());
        let path = self.staging().join(name);
        let Some(file) = open_staging(&path)? else {
            return self.scratch(digest.algorithm());
        };
        let mut writer = BlobWriter::new(self.clone(), path, file, digest.algorithm(), Leaves::Bytes);
        writer.rehash()?;
        Ok(writer)
    }

    /// A writer that begins with nothing and leaves nothing: for content whose digest is not known yet, or
    /// that is read from its start anyway. What a killed process leaves goes when the store is next opened.
    pub fn scratch(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("scratch-{}-{number}.part", std::process::id());
            let path = self.staging().join(name);
            // Another process may be sweeping just this name, left by an earlier one of our number.
            if let Some(file) = open_staging(&path)? {
                let mut writer = BlobWriter::new(self.clone(), path, file, algorithm, Leaves::Nothing);
                writer.restart()?;
                return Ok(writer);
            }
        }
    }

    /// Removes scratch files that no process holds. Named partial downloads stay: they are resumed.
    pub(super) fn sweep_staging(&self) {
        let Ok(entries) = std::fs::read_dir(self.staging()) else { return };
        for entry in entries.flatten() {
            if !entry.file_name().to_string_lossy().starts_with("scratch-") {
                continue;
            }
            // The lock is held until the file is gone: nobody begins to write it meanwhile.
            let Ok(file) = File::open(entry.path()) else { continue };
            if file.try_lock().is_ok() {
                let _best_effort = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Opens a staging file for this process alone, making it where it is missing; `None` while another one has it. The
/// system releases the lock when the process ends, however it ends.
fn open_staging(path: &Path) -> Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    take(path, &options)
}

/// Opens `path` and takes its lock; `None` while another one has it.
pub(super) fn take(path: &Path, options: &OpenOptions) -> Result<Option<File>> {
    loop {
        let file = options.open(path).map_err(|error| fs::failure(path, "open", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(fs::failure(path, "lock", &error)),
        }
        // Between the two, whoever had it may have renamed it into the store: then the lock is on a blob.
        if stands_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::MetadataExt as _};

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        (dir, store)
    }

    /// With a blob whose bytes changed on the disk.
    fn rotten() -> (tempfile::TempDir, Store, Descriptor) {
        let (dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        store.put(&blob, b"hello").unwrap();
        fs::write_atomic(&store.place_of(&blob.digest), b"hellO", 0o600).unwrap();
        (dir, store, blob)
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
        assert_eq!(std::fs::read_dir(store.staging()).unwrap().count(), 0);
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

    /// R09: a full disk may take half of a write, of which the writer does not know.
    #[test]
    fn of_a_push_only_what_was_acknowledged_stays() {
        let (_dir, store) = store();
        let (id, mut writer) = store.begin_upload("sandbox/a", "anyone").unwrap();
        writer.write(b"hel").unwrap();
        writer.acknowledge();
        writer.file.write_all(b"l").unwrap();
        let (path, file) = (writer.path.clone(), writer.file.try_clone().unwrap());
        let left = || std::fs::metadata(&path).unwrap();
        drop(writer);
        assert_eq!(left().len(), 3);
        // Somebody who only looks how far it is does not keep it from being swept.
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        drop(file);
        drop(store.upload("sandbox/a", "anyone", &id).unwrap());
        assert_eq!((left().len(), left().mtime()), (3, 0));
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
    fn a_descriptor_that_lies_takes_nothing_away() {
        let (_dir, store) = store();
        let blob = Descriptor::of("x", b"hello");
        store.put(&blob, b"hello").unwrap();
        for size in [0, 4, 6] {
            let liar = Descriptor { size, ..blob.clone() };
            assert!(!store.has(&liar).unwrap());
            assert_eq!(store.read_blob(&liar).unwrap_err().reason, Reason::SizeMismatch);
        }
        assert_eq!(store.read_blob(&blob).unwrap(), b"hello");
    }

    #[test]
    fn a_staging_file_that_became_a_blob_is_not_written_again() {
        let (_dir, store) = store();
        let path = store.home().join("staging/x.part");
        let file = open_staging(&path).unwrap().unwrap();
        assert!(stands_at(&file, &path).unwrap() && open_staging(&path).unwrap().is_none());
        fs::publish(&path, &store.home().join("blobs/x")).unwrap();
        assert!(!stands_at(&file, &path).unwrap());
        let next = open_staging(&path).unwrap().unwrap();
        assert!(stands_at(&next, &path).unwrap() && !stands_at(&file, &path).unwrap());
    }

    #[test]
    fn damage_on_disk_is_found_and_removed() {
        let (_dir, store, blob) = rotten();
        assert_eq!(store.read_blob(&blob).unwrap_err().reason, Reason::StoreDamaged);
        assert!(!store.has(&blob).unwrap());
    }

    /// R27: to hash a large copy takes seconds, in which a push or an import may bring a whole one.
    #[test]
    fn a_whole_copy_that_comes_while_a_bad_one_is_judged_stays() {
        let (_dir, store, blob) = rotten();
        let mut bad = store.open_blob(&blob.digest).unwrap();
        assert!(!store.contents().is_whole(&mut bad, &blob.digest, |_| ()).unwrap());
        store.put(&blob, b"hello").unwrap();
        assert!(!store.discard(&bad, &blob.digest).unwrap());
        assert_eq!(store.read_blob(&blob).unwrap(), b"hello");
    }

    /// R27: nor in between the look at the name and its removal.
    #[test]
    fn no_copy_gets_its_name_while_one_is_removed() {
        let (_dir, store, blob) = rotten();
        let bad = store.open_blob(&blob.digest).unwrap();
        let names = Lock::Names(&blob.digest);
        let alone = store.lock(names, Mode::Exclusive).unwrap();
        std::thread::scope(|scope| {
            let bringing = scope.spawn(|| store.put(&blob, b"hello").unwrap());
            std::thread::sleep(std::time::Duration::from_millis(200));
            assert!(!bringing.is_finished() && store.contents().stands(&bad, &blob.digest).unwrap());
            drop(alone);
            bringing.join().unwrap();
        });
        // And the other way round: who removes waits for those who bring.
        let together = [(); 2].map(|()| store.lock(names, Mode::Shared).unwrap());
        std::thread::scope(|scope| {
            let (store, digest) = (&store, &blob.digest);
            let removing = scope.spawn(move || store.discard(&bad, digest).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(200));
            assert!(!removing.is_finished());
            drop(together);
            assert!(!removing.join().unwrap());
        });
        assert_eq!(store.read_blob(&blob).unwrap(), b"hello");
    }

    #[test]
    fn rotten_content_is_replaced_by_bringing_it_again() {
        let (_dir, store, blob) = rotten();
        store.put(&blob, b"hello").unwrap();
        assert_eq!(store.read_blob(&blob).unwrap(), b"hello");
        let inode = || std::fs::metadata(store.place_of(&blob.digest)).unwrap().ino();
        let before = inode();
        store.put(&blob, b"hello").unwrap();
        assert_eq!(inode(), before, "a whole one stays");
    }
}
