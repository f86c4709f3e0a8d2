//! Pushes under way: blobs whose digest nobody tells before the end. Their bytes lie in the staging folder, so that a
//! push goes on after a restart of the registry, or after whatever ended the connection.
//!
//! What a request brought counts when it is acknowledged, and the rest is cut off when the request breaks. Only where
//! the process is killed, or the power fails, nobody cuts: then what lies in the file counts as received. A client
//! learns from `Range` how far that is, and the digest at the end tells whether it is what was sent.

use std::{
    fs::OpenOptions,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    Store, blobs,
    writer::{BlobWriter, Leaves},
};
use crate::base::{
    clock::Timestamp,
    digest::{self, Algorithm, Digest},
    failure::{Failure, Reason, Result},
    fs,
};

/// What the name of every push under way begins with.
pub(super) const PREFIX: &str = "upload-";

/// A push that goes on.
#[derive(Debug)]
pub enum Upload {
    /// Nobody began it in this repository, or it was ended since.
    Unknown,
    /// Another request is at it.
    Busy,
    /// What came so far, hashed again from its first byte.
    Open(Box<BlobWriter>),
}

impl Store {
    /// Begins a push by `owner` into `repository`. The id is 32 random hexadecimal digits.
    pub fn begin_upload(&self, repository: &str, owner: &str) -> Result<(String, BlobWriter)> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::new(Reason::InputOutput, "the system's randomness", error))?;
        let id = digest::hex(&random);
        let path = self.upload_path(repository, owner, &id);
        let file = fs::create_new(&path, 0o600)?;
        let locked = file.try_lock();
        locked.map_err(|error| Failure::new(Reason::InputOutput, path.display(), error))?;
        Ok((id, BlobWriter::new(self.clone(), path, file, Algorithm::Sha256, Leaves::Acknowledged)))
    }

    /// The push `id` by `owner` into `repository`; an id that was given out to somebody else, or for another repository, is
    /// unknown (threats R10).
    pub fn upload(&self, repository: &str, owner: &str, id: &str) -> Result<Upload> {
        if id.len() != 32 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Upload::Unknown);
        }
        let path = self.upload_path(repository, owner, id);
        let file = match blobs::take(&path, OpenOptions::new().read(true).write(true)) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Upload::Busy),
            Err(failure) if failure.reason == Reason::NotFound => return Ok(Upload::Unknown),
            Err(failure) => return Err(failure),
        };
        let mut writer = BlobWriter::new(self.clone(), path, file, Algorithm::Sha256, Leaves::Acknowledged);
        writer.rehash()?;
        writer.acknowledge();
        Ok(Upload::Open(Box::new(writer)))
    }

    /// How many pushes are under way.
    pub fn uploads(&self) -> Result<usize> {
        Ok(self.uploads_and_those_by("")?.0)
    }

    /// How many pushes are under way, and how many of them `owner` began.
    pub fn uploads_and_those_by(&self, owner: &str) -> Result<(usize, usize)> {
        let names = fs::names(&self.staging())?;
        let uploads: Vec<_> = names.iter().filter(|name| name.starts_with(PREFIX)).collect();
        let own = format!("-{}.part", short(owner));
        Ok((uploads.len(), uploads.iter().filter(|name| name.ends_with(&own)).count()))
    }

    /// Removes pushes that nobody touched since `before` and that nobody has open (threats X07). How many.
    ///
    /// # Errors
    /// The first of those that one or the other push met; the rest are swept all the same.
    pub fn sweep_uploads(&self, before: Timestamp) -> Result<usize> {
        let staging = self.staging();
        let (mut swept, mut failed) = (0, None);
        for name in fs::names(&staging)?.iter().filter(|name| name.starts_with(PREFIX)) {
            match sweep(&staging.join(name), before) {
                Ok(gone) => swept += usize::from(gone),
                // Its push has just ended.
                Err(failure) if failure.reason == Reason::NotFound => {}
                Err(failure) => drop(failed.get_or_insert(failure)),
            }
        }
        failed.map_or(Ok(swept), Err)
    }

    /// Repository and owner are part of the name, so that an id is worth nothing elsewhere or to anybody else, and those
    /// of one owner can be counted.
    fn upload_path(&self, repository: &str, owner: &str, id: &str) -> PathBuf {
        self.staging().join(format!("{PREFIX}{id}-{}-{}.part", short(repository), short(owner)))
    }
}

/// A name of any length in few letters.
fn short(name: &str) -> String {
    Digest::of(name.as_bytes()).hex().get(..16).unwrap_or_default().to_owned()
}

/// Removes one, if it is old and nobody has it open.
fn sweep(path: &Path, before: Timestamp) -> Result<bool> {
    // The lock is held until the file is gone: nobody goes on with it meanwhile.
    let Some(file) = blobs::take(path, OpenOptions::new().read(true).write(true))? else {
        return Ok(false);
    };
    let touched = file.metadata().map_err(|error| fs::failure(path, "inspect", &error))?.mtime();
    let old = u64::try_from(touched).is_ok_and(|touched| touched < before.seconds());
    if old {
        fs::remove_file(path)?;
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Descriptor;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        (dir, store)
    }

    fn open(store: &Store, repository: &str, id: &str) -> BlobWriter {
        match store.upload(repository, "anyone", id).unwrap() {
            Upload::Open(writer) => *writer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_push_goes_on_after_a_restart_and_only_in_its_repository() {
        let (_dir, store) = store();
        let (id, mut writer) = store.begin_upload("sandbox/a", "anyone").unwrap();
        assert!(matches!(store.upload("sandbox/a", "anyone", &id).unwrap(), Upload::Busy));
        writer.write(b"hel").unwrap();
        writer.acknowledge();
        // What a broken connection brought is forgotten.
        writer.write(b"l??").unwrap();
        drop(writer);
        for (repository, id) in
            [("sandbox/b", id.as_str()), ("sandbox/a", &"0".repeat(32)), ("sandbox/a", "../x")]
        {
            assert!(matches!(store.upload(repository, "anyone", id).unwrap(), Upload::Unknown));
        }
        // Nor for anybody else.
        assert!(matches!(store.upload("sandbox/a", "user:kim", &id).unwrap(), Upload::Unknown));
        let mut writer = open(&store, "sandbox/a", &id);
        assert_eq!(writer.len(), 3);
        writer.write(b"lo").unwrap();
        let blob = Descriptor::of("x", b"hello");
        writer.commit(&blob).unwrap();
        assert_eq!(store.read_blob(&blob).unwrap(), b"hello");
        assert!(matches!(store.upload("sandbox/a", "anyone", &id).unwrap(), Upload::Unknown));
    }

    #[test]
    fn those_of_one_owner_are_counted() {
        let (_dir, store) = store();
        let begin = |repository: &str, owner: &str| store.begin_upload(repository, owner).unwrap();
        let _open = [begin("a", "user:kim"), begin("b", "user:kim"), begin("a", "user:lee")];
        let (id, writer) = begin("a", "anyone");
        for (owner, own) in [("user:kim", 2), ("user:lee", 1), ("anyone", 1), ("user:k", 0)] {
            assert_eq!(store.uploads_and_those_by(owner).unwrap(), (4, own), "{owner}");
        }
        drop(writer);
        open(&store, "a", &id).abandon();
        assert_eq!((store.uploads().unwrap(), store.uploads_and_those_by("anyone").unwrap()), (3, (3, 0)));
    }

    #[test]
    fn another_algorithm_is_found_out_at_the_end() {
        let (_dir, store) = store();
        let (_id, mut writer) = store.begin_upload("sandbox/a", "anyone").unwrap();
        writer.write(b"hel").unwrap();
        writer.hash_by(Algorithm::Sha512).unwrap();
        writer.write(b"lo").unwrap();
        let mut hasher = crate::base::digest::Hasher::new(Algorithm::Sha512);
        hasher.update(b"hello");
        writer.commit(&Descriptor::new("x", hasher.finish(), 5)).unwrap();
    }

    #[test]
    fn an_empty_push_is_kept_and_an_abandoned_one_swept() {
        let (_dir, store) = store();
        let now = Timestamp::now().seconds();
        let [before, after] = [now - 60, now + 60].map(|time| Timestamp::from_seconds(time).unwrap());
        let (id, writer) = store.begin_upload("sandbox/a", "anyone").unwrap();
        assert_eq!(store.sweep_uploads(after).unwrap(), 0, "somebody is at it");
        drop(writer);
        assert!(open(&store, "sandbox/a", &id).is_empty());
        assert_eq!((store.sweep_uploads(before).unwrap(), store.sweep_uploads(after).unwrap()), (0, 1));
        assert!(matches!(store.upload("sandbox/a", "anyone", &id).unwrap(), Upload::Unknown));
    }

    #[test]
    fn one_that_cannot_be_swept_is_told_and_keeps_no_other() {
        let (_dir, store) = store();
        let soon = Timestamp::from_seconds(Timestamp::now().seconds() + 60).unwrap();
        let ids: Vec<String> = (0..9).map(|_| store.begin_upload("sandbox/a", "anyone").unwrap().0).collect();
        let strange = store.home().join("staging/upload-strange");
        fs::create_dir(&strange, true).unwrap();
        store.sweep_uploads(soon).unwrap_err();
        for id in ids {
            assert!(matches!(store.upload("sandbox/a", "anyone", &id).unwrap(), Upload::Unknown));
        }
        assert!(strange.exists());
    }
}
