//! How the folder of a home stands: for who watches it.

use super::Store;
use crate::base::{
    failure::{Failure, Reason, Result},
    fs,
    medium::Medium,
};

impl Store {
    /// How many blobs there are, and their bytes, as the disk has them. It takes a look at each.
    pub fn blobs(&self) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for algorithm in fs::list(&self.home().join("blobs"))? {
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

    /// Bytes that are free on the disk of the home.
    pub fn free(&self) -> Result<u64> {
        Ok(Medium::of(self.home())?.free)
    }

    /// Fails unless content can be looked up.
    pub fn require_readable(&self) -> Result<()> {
        fs::names(&self.home().join("blobs")).map(|_names| ())
    }

    /// Fails unless content can be brought.
    pub fn require_writable(&self) -> Result<()> {
        for folder in ["staging", "blobs"].map(|name| self.home().join(name)) {
            fs::names(&folder)?;
            if !fs::is_writable(&folder) {
                let found = "this user may not make files in it, or its disk is read-only";
                return Err(Failure::new(Reason::PermissionDenied, folder.display(), found)
                    .hint("check owner, mode and mount of the home folder"));
            }
        }
        Ok(())
    }

    /// Fails unless so many bytes are free.
    pub fn require_free(&self, bytes: u64) -> Result<()> {
        fs::require_space(self.home(), bytes, "the store")
    }
}
