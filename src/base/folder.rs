//! A folder whose content is not trusted: whoever filled it may have put links, fifos and devices there.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use super::{
    failure::{Failure, Reason, Result},
    fs, text,
};

/// An open folder. Files below it are reached component by component, never through a link (threats J02).
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder that the user named; links on the way to it are the user's own and are followed.
    pub fn open(path: &Path) -> Result<Self> {
        let handle = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| fs::failure(path, "open the folder", &error.into()))?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Where a file below the folder is, for messages.
    pub fn path_of(&self, below: &str) -> PathBuf {
        self.path.join(below)
    }

    /// Opens a plain file below the folder, without blocking on what is none. `below` is of our own
    /// making: plain names between slashes.
    pub fn open_file(&self, below: &str) -> Result<File> {
        let path = self.path_of(below);
        let refused = |error: Errno| match error {
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO => special(&path),
            _ => fs::failure(&path, "open", &error.into()),
        };
        let common = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut at: Option<OwnedFd> = None;
        let mut parts = below.split('/').peekable();
        while let Some(part) = parts.next() {
            if matches!(part, "" | "." | "..") {
                return Err(Failure::internal(format!("`{below}` is no path below a folder")));
            }
            let folder = at.as_ref().unwrap_or(&self.handle);
            let flags = if parts.peek().is_some() { common | OFlags::DIRECTORY } else { common };
            at = Some(openat(folder, part, flags, Mode::empty()).map_err(refused)?);
        }
        let file = File::from(at.ok_or_else(|| Failure::internal("an empty path"))?);
        let metadata = file.metadata().map_err(|error| fs::failure(&path, "inspect", &error))?;
        if metadata.is_file() { Ok(file) } else { Err(special(&path)) }
    }

    /// Reads a plain file below the folder, of at most `limit` bytes; more is `over`.
    pub fn read(&self, below: &str, limit: u64, over: Reason) -> Result<Vec<u8>> {
        let path = self.path_of(below);
        let mut bytes = Vec::new();
        self.open_file(below)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| fs::failure(&path, "read", &error))?;
        if bytes.len() as u64 > limit {
            let found = format!("larger than {}", text::bytes(limit));
            return Err(Failure::new(over, path.display(), found));
        }
        Ok(bytes)
    }
}

fn special(path: &Path) -> Failure {
    Failure::new(Reason::FileSpecial, path.display(), "expected a plain file, found a link or special file")
        .hint("copy the content itself, without links")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_below_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("blobs/sha256")).unwrap();
        fs::write_atomic(&at("blobs/sha256/good"), b"good", 0o644).unwrap();
        fs::write_atomic(&at("secret"), b"secret", 0o644).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("blobs/sha256/link")).unwrap();
        std::os::unix::fs::symlink(at("blobs"), at("blobs-link")).unwrap();
        rustix::fs::mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.read("blobs/sha256/good", 4, Reason::LayoutMalformed).unwrap(), b"good");
        for (name, reason) in [
            ("blobs/sha256/link", Reason::FileSpecial),
            ("blobs-link/sha256/good", Reason::FileSpecial),
            ("secret/x", Reason::FileSpecial),
            ("fifo", Reason::FileSpecial),
            ("socket", Reason::FileSpecial),
            ("blobs", Reason::FileSpecial),
            ("blobs/sha256/none", Reason::NotFound),
            ("blobs/../secret", Reason::Internal),
            ("/etc/passwd", Reason::Internal),
        ] {
            let failure = folder.read(name, 9, Reason::LayoutMalformed).unwrap_err();
            assert_eq!(failure.reason, reason, "{name}");
        }
        let failure = folder.read("blobs/sha256/good", 3, Reason::LayoutMalformed).unwrap_err();
        assert_eq!(failure.reason, Reason::LayoutMalformed);
    }
}
