//! Where complete contents lie, each under its digest. The one place that knows: the rest of the store asks here, and
//! nothing that was not hashed is ever given a name here (writer.rs).

mod address;
mod bucket;
pub(super) mod fence;
mod folder;
mod own;
mod reader;
mod sending;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(super) use self::folder::{Folder, stands_at};
pub use self::{
    address::{Credentials, use_credentials},
    reader::BlobReader,
};
use self::{
    bucket::{Bucket, Seen},
    reader::{How, Object},
};
use super::settings::Settings;
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    fs, stream,
};

/// What a home calls itself in the mark of the bucket that holds its contents; nothing where they lie in a folder.
pub(super) const SCHEMA: &str = "
    CREATE TABLE bucket (
        one   INTEGER PRIMARY KEY CHECK (one = 1),
        id    TEXT NOT NULL,
        place TEXT NOT NULL
    ) STRICT;
";

/// Where contents lie.
#[derive(Debug, Clone)]
pub(super) enum Contents {
    /// In a folder of the home.
    Folder(Folder),
    /// In a bucket that several machines share.
    Bucket(Arc<Bucket>),
}

/// What was brought to where contents lie, and has no name there yet, or not for good.
#[derive(Debug)]
pub(super) enum Brought {
    /// A file that is synced.
    Staged,
    /// An object that was sent. It counts once it was seen there in the turn of its group.
    Sent(Box<Seen>),
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
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for a `store.toml` that cannot be used, [`Reason::KeyPermissions`] for credentials that
    /// others can read.
    pub(super) fn of(home: &Path) -> Result<Self> {
        let settings = Settings::of(home)?.and_then(|settings| settings.contents);
        Ok(match settings {
            Some(settings) => Self::Bucket(Arc::new(Bucket::of(home, &settings)?)),
            None => Self::Folder(Folder::of(home)),
        })
    }

    /// Makes what the first content needs.
    pub(super) fn open_up(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.open_up(),
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Where one lies or will lie, as messages name it.
    pub(super) fn place(&self, digest: &Digest) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path(digest),
            Self::Bucket(bucket) => bucket.path(digest),
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
            Self::Bucket(_) => Ok(()),
        }
    }

    /// What is there of one.
    pub(super) fn look(&self, digest: &Digest) -> Result<Option<Stored>> {
        match self {
            Self::Folder(folder) => folder.look(digest),
            Self::Bucket(bucket) => bucket.look(digest),
        }
    }

    /// What is there of each of these.
    pub(super) fn look_at_all(&self, digests: &[&Digest]) -> Result<Vec<Option<Stored>>> {
        match self {
            Self::Folder(folder) => digests.iter().map(|digest| folder.look(digest)).collect(),
            Self::Bucket(bucket) => bucket.look_at_all(digests),
        }
    }

    /// Opens one for streaming; whoever reads it hashes it.
    ///
    /// # Errors
    /// [`Reason::BlobMissing`] where it is not there.
    pub(super) fn open(&self, digest: &Digest) -> Result<BlobReader> {
        let missing = || {
            Failure::new(Reason::BlobMissing, digest, "the store does not have it")
                .hint("run the command that brings it (build or import) again")
        };
        let how = match self {
            Self::Folder(folder) => {
                How::File(folder.open(digest).map_err(|failure| match failure.reason {
                    Reason::NotFound => missing(),
                    _ => failure,
                })?)
            }
            Self::Bucket(bucket) => {
                let (seen, flow) = bucket.open(digest, None)?.ok_or_else(missing)?;
                How::Object(Box::new(Object::new(Arc::clone(bucket), digest.clone(), seen, flow)))
            }
        };
        Ok(BlobReader { how })
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
            (Self::Bucket(bucket), How::Object(object)) => bucket.stands(&object.seen, digest),
            _ => Ok(false),
        }
    }

    /// All that takes long of bringing what lies whole and hashed in a file: [`publish`](Self::publish) then waits for
    /// nobody's disk or network, while others wait for it.
    pub(super) fn bring(&self, staged: &Path, file: &File, digest: &Digest) -> Result<Brought> {
        match self {
            Self::Folder(_) => {
                file.sync_all().map_err(|error| fs::failure(staged, "sync", &error))?;
                Ok(Brought::Staged)
            }
            Self::Bucket(bucket) => {
                bucket.send(file, staged, digest).map(|sent| Brought::Sent(Box::new(sent)))
            }
        }
    }

    /// Gives the name to what was brought of a file, in a turn that it shares with others who do; afterwards it is there
    /// for good, and the file is gone.
    pub(super) fn publish(
        &self,
        brought: &Brought,
        staged: &Path,
        file: &File,
        digest: &Digest,
    ) -> Result<()> {
        match (self, brought) {
            (Self::Bucket(bucket), Brought::Sent(sent)) => {
                // Since it was sent, a collection may have taken it away, or whoever found its forerunner damaged.
                if !bucket.stands(sent, digest)? {
                    bucket.send(file, staged, digest)?;
                }
                fs::remove_file(staged)
            }
            (Self::Folder(folder), _) => folder.publish(staged, file, digest),
            (Self::Bucket(_), Brought::Staged) => {
                Err(Failure::internal(format!("{digest} was brought to no bucket")))
            }
        }
    }

    /// Makes it durable that these are there: whoever brought them may have been killed just before that.
    pub(super) fn settle<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.settle(digests),
            Self::Bucket(_) => Ok(()),
        }
    }

    /// How many are taken away together: while that is decided nobody else changes the database. Those of a bucket are all on
    /// their way at once, so that none is sent long after it was written down (fence.rs).
    pub(super) fn together(&self) -> usize {
        match self {
            Self::Folder(_) => 256,
            Self::Bucket(_) => bucket::AT_ONCE,
        }
    }

    /// Everything that lies there. Others may bring and take away meanwhile.
    pub(super) fn list(&self) -> Result<Listing> {
        match self {
            Self::Folder(folder) => folder.list(),
            Self::Bucket(bucket) => bucket.list(),
        }
    }

    /// How many there are, and their bytes.
    pub(super) fn count(&self) -> Result<(u64, u64)> {
        match self {
            Self::Folder(folder) => folder.count(),
            Self::Bucket(bucket) => bucket.count(),
        }
    }

    /// Fails unless they can be looked up.
    pub(super) fn require_readable(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.require_readable(),
            Self::Bucket(bucket) => bucket.require_ready(),
        }
    }

    /// Fails unless some can be brought.
    pub(super) fn require_writable(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.require_writable(),
            Self::Bucket(_) => Ok(()),
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

/// The digest that a path below the contents stands for.
fn digest_of(path: &[&str]) -> Option<String> {
    let [algorithm, shard, hex] = path else { return None };
    let digest = format!("{algorithm}:{hex}");
    (Digest::parse(&digest).is_ok() && hex.starts_with(shard)).then_some(digest)
}
