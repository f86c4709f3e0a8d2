//! Where complete contents lie, each under its digest. The one place that knows: the rest of the store asks here, and
//! nothing that was not hashed is ever given a name here (writer.rs).

mod folder;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

pub(super) use self::folder::{Folder, stands_at};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    fs, stream,
};

/// Where contents lie.
#[derive(Debug, Clone)]
pub(super) enum Contents {
    /// In a folder of the home.
    Folder(Folder),
}

/// A content that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    /// Its bytes.
    pub(super) size: u64,
    /// When it was put there.
    pub(super) since: Option<Timestamp>,
}

/// All that lies there.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Contents by digest.
    pub(super) contents: BTreeMap<String, Stored>,
    /// What has no place there.
    pub(super) strange: Vec<PathBuf>,
}

impl Contents {
    /// What the home says.
    pub(super) fn of(home: &Path) -> Self {
        Self::Folder(Folder::of(home))
    }

    /// Makes what the first content needs.
    pub(super) fn open_up(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.open_up(),
        }
    }

    /// Where one lies or will lie, as messages name it.
    pub(super) fn place(&self, digest: &Digest) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path(digest),
        }
    }

    /// Those of one group are given their names, and lose them, in the turns of one lock.
    pub(super) fn group(&self, digest: &Digest) -> PathBuf {
        let mut place = self.place(digest);
        place.pop();
        place
    }

    /// Makes what the first content of a group needs.
    pub(super) fn open_group(&self, digest: &Digest) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.open_group(digest),
        }
    }

    /// What is there of one.
    pub(super) fn look(&self, digest: &Digest) -> Result<Option<Stored>> {
        match self {
            Self::Folder(folder) => folder.look(digest),
        }
    }

    /// Opens one for streaming; whoever reads it hashes it.
    ///
    /// # Errors
    /// [`Reason::BlobMissing`] where it is not there.
    pub(super) fn open(&self, digest: &Digest) -> Result<BlobReader> {
        let opened = match self {
            Self::Folder(folder) => folder.open(digest).map(How::File),
        };
        opened.map(|how| BlobReader { how }).map_err(|failure| match failure.reason {
            Reason::NotFound => Failure::new(Reason::BlobMissing, digest, "the store does not have it")
                .hint("run the command that brings it (build or import) again"),
            _ => failure,
        })
    }

    /// The first bytes of one, at most `limit`.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub(super) fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.open(digest)?.take(limit).read_to_end(&mut bytes);
        read.map_err(|error| fs::failure(&self.place(digest), "read", &error))?;
        Ok(bytes)
    }

    /// Whether the copy that was opened is still the one that stands there.
    pub(super) fn stands(&self, copy: &BlobReader, digest: &Digest) -> Result<bool> {
        match (self, &copy.how) {
            (Self::Folder(folder), How::File(file)) => stands_at(file, &folder.path(digest)),
        }
    }

    /// Gives the name to what lies whole and hashed in a file; afterwards it is there for good, and the file is gone.
    pub(super) fn publish(&self, staged: &Path, digest: &Digest) -> Result<()> {
        match self {
            Self::Folder(folder) => fs::publish(staged, &folder.path(digest)),
        }
    }

    /// Makes it durable that these are there: whoever brought them may have been killed just before that.
    pub(super) fn settle<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.settle(digests),
        }
    }

    /// Takes contents of one group away, durably, in the turn of its lock. Those that were there.
    pub(super) fn remove(&self, digests: &[&Digest]) -> Result<Vec<Stored>> {
        match self {
            Self::Folder(folder) => folder.remove(digests),
        }
    }

    /// Everything that lies there. Others may bring and take away meanwhile.
    pub(super) fn list(&self) -> Result<Listing> {
        match self {
            Self::Folder(folder) => folder.list(),
        }
    }

    /// How many there are, and their bytes.
    pub(super) fn count(&self) -> Result<(u64, u64)> {
        match self {
            Self::Folder(folder) => folder.count(),
        }
    }

    /// Fails unless they can be looked up.
    pub(super) fn require_readable(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.require_readable(),
        }
    }

    /// Fails unless some can be brought.
    pub(super) fn require_writable(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.require_writable(),
        }
    }

    /// Whether the bytes of an open copy match the digest. Tells how far it is.
    pub(super) fn is_whole(
        &self,
        copy: &mut BlobReader,
        digest: &Digest,
        mut advance: impl FnMut(u64),
    ) -> Result<bool> {
        let mut content = stream::Hashing::new(copy, digest.algorithm());
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = stream::read_full(&mut content, &mut buffer);
            match read.map_err(|error| fs::failure(&self.place(digest), "read", &error))? {
                0 => return Ok(content.finish().0 == *digest),
                count => advance(count as u64),
            }
        }
    }
}

/// A stored blob that is being read.
#[derive(Debug)]
pub struct BlobReader {
    how: How,
}

#[derive(Debug)]
enum How {
    File(File),
}

impl BlobReader {
    /// Its size.
    pub fn size(&self) -> io::Result<u64> {
        match &self.how {
            How::File(file) => Ok(file.metadata()?.len()),
        }
    }

    /// Reads on at `start`, for which the whole need not pass; the reader wants no more than `len` bytes from there.
    pub fn go_to(&mut self, start: u64, _len: u64) -> io::Result<()> {
        match &mut self.how {
            How::File(file) => io::Seek::seek(file, io::SeekFrom::Start(start)).map(drop),
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.how {
            How::File(file) => file.read(buffer),
        }
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.how {
            How::File(file) => file.read_to_end(buffer),
        }
    }
}
