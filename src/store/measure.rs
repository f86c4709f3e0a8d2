//! How a home stands: for who watches it, and for who is about to bring much.

use super::{Store, contents::Contents};
use crate::base::{failure::Result, fs, medium::Medium};

impl Store {
    /// How many blobs there are, and their bytes, as the disk has them. It takes a look at each.
    pub fn blobs(&self) -> Result<(u64, u64)> {
        self.contents().count()
    }

    /// Bytes that are free on the disk of the home.
    pub fn free(&self) -> Result<u64> {
        Ok(Medium::of(self.home())?.free)
    }

    /// Fails unless so many bytes of new contents fit where they are to lie. Of a bucket nobody knows; what is staged on
    /// the way to it, each [`BlobWriter`](super::BlobWriter) asks for.
    pub fn require_space(&self, bytes: u64, what: &str) -> Result<()> {
        match self.contents() {
            Contents::Folder(_) => fs::require_space(self.home(), bytes, what),
            Contents::Bucket(_) => Ok(()),
        }
    }

    /// Fails unless content can be looked up.
    pub fn require_readable(&self) -> Result<()> {
        self.contents().require_readable()
    }

    /// Fails unless content can be brought.
    pub fn require_writable(&self) -> Result<()> {
        fs::require_writable(&self.staging())?;
        self.contents().require_writable()
    }

    /// Fails unless so many bytes are free.
    pub fn require_free(&self, bytes: u64) -> Result<()> {
        fs::require_space(self.home(), bytes, "the store")
    }
}
