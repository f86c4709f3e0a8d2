//! A blob under way: written under a staging name, hashed on the way, compared, synced, renamed. The only way in.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::PathBuf,
};

use super::{
    Kept, Store,
    contents::{Brought, Contents},
    kept::Mark,
};
use crate::{
    base::{
        digest::{Algorithm, Digest, Hasher},
        failure::{Failure, Reason, Result},
        fs, stream,
    },
    oci::Descriptor,
};

/// What a writer leaves in the staging folder when it is dropped before its blob is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// Nothing: it is scratch, or known to be bad.
    Nothing,
    /// The bytes, if there are any, for the next run.
    Bytes,
    /// What was acknowledged, and be it nothing: its name is known to a client that goes on from there.
    Acknowledged,
}

/// A blob under way. Dropping it keeps the bytes for the next run (or removes them, if it is scratch);
/// only [`commit`](Self::commit) makes a blob of it.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    pub(super) path: PathBuf,
    pub(super) file: File,
    algorithm: Algorithm,
    hasher: Hasher,
    len: u64,
    acknowledged: u64,
    leaves: Leaves,
    brought: Option<(Brought, Option<Mark>)>,
    done: bool,
}

impl BlobWriter {
    pub(super) fn new(store: Store, path: PathBuf, file: File, algorithm: Algorithm, leaves: Leaves) -> Self {
        let hasher = Hasher::new(algorithm);
        Self {
            store,
            path,
            file,
            algorithm,
            hasher,
            len: 0,
            acknowledged: 0,
            leaves,
            brought: None,
            done: false,
        }
    }

    /// Bytes written so far, earlier runs included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Hashes what is there, from its first byte.
    pub(super) fn rehash(&mut self) -> Result<()> {
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
        fs::require_space(self.store.home(), bytes, "content on its way")
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

    /// Hashes by another algorithm from now on; what is there is read once more.
    pub fn hash_by(&mut self, algorithm: Algorithm) -> Result<()> {
        if algorithm == self.algorithm {
            return Ok(());
        }
        self.file.rewind().map_err(|error| fs::failure(&self.path, "read", &error))?;
        (self.algorithm, self.hasher, self.len) = (algorithm, Hasher::new(algorithm), 0);
        self.rehash()
    }

    /// What is written so far was confirmed to whoever brings it. The rest of a push is cut off when it breaks.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.len;
    }

    /// Gives it up: nothing is left of it.
    pub fn abandon(mut self) {
        self.leaves = Leaves::Nothing;
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

    /// Makes the blob: compares size and digest, brings it to where contents lie, durably, and gives it its name. On a
    /// mismatch nothing is kept.
    pub fn commit(mut self, blob: &Descriptor) -> Result<()> {
        self.bring(blob)?;
        let kept = self.store.keep(&blob.digest)?;
        self.commit_kept(blob, &kept)
    }

    /// The same for who keeps it there already. To take that lock twice would wait for whoever waits for it in between.
    pub fn commit_kept(mut self, blob: &Descriptor, _kept: &Kept) -> Result<()> {
        self.bring(blob)?;
        if let Some((brought, _mark)) = &self.brought {
            self.store.contents().publish(brought, &self.path, &self.file, &blob.digest)?;
        }
        self.done = true;
        Ok(())
    }

    /// What takes long of it: compares size and digest and syncs the file, or sends it to the bucket. For who is about to
    /// keep the blob, for which others wait.
    pub fn bring(&mut self, blob: &Descriptor) -> Result<()> {
        if self.brought.is_some() {
            return Ok(());
        }
        let found = self.digest();
        if self.len != blob.size || found != blob.digest {
            self.leaves = Leaves::Nothing;
            let message = format!(
                "expected {} bytes of {}, found {} bytes of {found}",
                blob.size, blob.digest, self.len
            );
            let reason = if self.len == blob.size { Reason::DigestMismatch } else { Reason::SizeMismatch };
            return Err(Failure::new(reason, &blob.digest, message));
        }
        // An object of a bucket has its name as soon as it was sent.
        let is_named = matches!(self.store.contents(), Contents::Bucket(_));
        let mut mark = is_named.then(|| self.store.mark(&blob.digest)).transpose()?;
        let brought = self.store.contents().bring(&self.path, &self.file, &blob.digest);
        let brought = brought.inspect_err(|failure| {
            mark.iter_mut().for_each(Mark::leave);
            // After a failed sync the kernel may have dropped the pages: never resume from them (C04).
            if failure.reason != Reason::Bucket {
                self.leaves = Leaves::Nothing;
            }
        })?;
        self.brought = Some((brought, mark));
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Some((_brought, Some(mark))) = &mut self.brought {
            mark.leave();
        }
        match self.leaves {
            Leaves::Bytes if self.len > 0 => {}
            Leaves::Nothing | Leaves::Bytes => {
                let _best_effort = std::fs::remove_file(&self.path);
            }
            Leaves::Acknowledged => {
                // The file tells, for `len` does not count what a failed write brought. Nothing is cut in vain: that
                // would touch the file, and a push whose client only looks at it would never be old.
                if self.file.metadata().is_ok_and(|file| file.len() > self.acknowledged) {
                    // Where this fails, the digest of the whole will not hold.
                    let _best_effort = self.file.set_len(self.acknowledged);
                }
            }
        }
    }
}
