//! Files that the user named for what a command gives. They may be there, and need not be plain.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{
    Failure, Reason, Result, create_new, failure, holder, publish, remove_file, temporary_name, write_atomic,
    write_to,
};

/// What is written to.
enum Place {
    /// A plain file, or none yet, by a name that is no link.
    File(PathBuf),
    /// A device or a pipe.
    Device,
}

/// Writes `bytes` to `path`: a link is followed, also to what is not there yet. A file is there complete and synced,
/// or as it was; a device or a pipe is written to as it is.
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<()> {
    match place(path)? {
        Place::File(path) => write_atomic(&path, bytes, 0o644),
        Place::Device => {
            let opened = OpenOptions::new().write(true).open(path);
            let mut device = opened.map_err(|error| failure(path, "open", &error))?;
            device.write_all(bytes).map_err(|error| failure(path, "write", &error))
        }
    }
}

/// [`write_output`] of what does not have to fit into memory.
///
/// # Errors
/// Those of `fill`; then there is no new file.
pub fn write_output_by(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let filled = |file: File| {
        let mut buffered = BufWriter::new(file);
        fill(&mut buffered)?;
        buffered.into_inner().map_err(|error| failure(path, "write", error.error()))
    };
    match place(path)? {
        Place::File(whole) => {
            let temporary = whole.with_file_name(temporary_name(&whole));
            let written = create_new(&temporary, 0o644)
                .map_err(|failure| failure.of(path.display()))
                .and_then(filled)
                .and_then(|file| file.sync_all().map_err(|error| failure(path, "sync", &error)))
                .and_then(|()| publish(&temporary, &whole));
            written.inspect_err(|_failure| {
                let _already_failing = fs::remove_file(&temporary);
            })
        }
        Place::Device => {
            let opened = OpenOptions::new().write(true).open(path);
            filled(opened.map_err(|error| failure(path, "open", &error))?).map(drop)
        }
    }
}

/// Fails where [`write_output`] would, as far as that is known before there are bytes.
pub fn require_output(path: &Path) -> Result<()> {
    match place(path)? {
        // What writing begins with. Modes and mounts alone do not tell what a file system takes.
        Place::File(path) => {
            let temporary = path.with_file_name(temporary_name(&path));
            write_to(&temporary, &path, &[], 0o644).and_then(|()| remove_file(&temporary))
        }
        // Opening it would do something to some.
        Place::Device => rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
            .map_err(|error| failure(path, "write", &error.into())),
    }
}

fn place(path: &Path) -> Result<Place> {
    if !is_name_of_file(path) || path.is_dir() {
        return Err(Failure::new(
            Reason::BadArgument,
            path.display(),
            "expected the name of a file, found that of a folder",
        )
        .hint("name a file in it"));
    }
    match fs::metadata(path) {
        Ok(there) if there.is_file() => {
            fs::canonicalize(path).map(Place::File).map_err(|error| failure(path, "open", &error))
        }
        Ok(_device) => Ok(Place::Device),
        // Links in a circle are another error, so this comes to an end.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => place(&holder(path).join(target)),
            Err(_no_link) => Ok(Place::File(path.to_owned())),
        },
        Err(error) => Err(failure(path, "open", &error)),
    }
}

/// `x/` and `x/.` are folders, whether they are there or not; [`Path`] does not tell them from `x`.
fn is_name_of_file(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    path.file_name().is_some_and(|name| text.ends_with(name.as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{
        super::{read_limited, read_user_text},
        *,
    };

    #[test]
    fn output_goes_through_links_and_leaves_devices_alone() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link, fifo] = ["file", "link", "fifo"].map(|name| dir.path().join(name));
        write_output(&file, b"1").unwrap();
        symlink(&file, &link).unwrap();
        write_output(&link, b"2").unwrap();
        assert_eq!(read_limited(&file, 9, Reason::Internal).unwrap(), b"2");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let read = std::thread::spawn({
            let fifo = fifo.clone();
            move || read_user_text(&fifo).unwrap()
        });
        require_output(&fifo).unwrap();
        write_output(&fifo, b"3").unwrap();
        assert_eq!(read.join().unwrap(), "3");
    }

    #[test]
    fn what_comes_in_pieces_is_written_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        symlink(&file, &link).unwrap();
        let write = |text: &'static str| {
            move |to: &mut dyn Write| {
                text.split(' ').for_each(|piece| to.write_all(piece.as_bytes()).unwrap());
                if text.ends_with('!') { Err(Failure::internal("broken off")) } else { Ok(()) }
            }
        };
        write_output_by(&link, write("a b")).unwrap();
        assert_eq!(write_output_by(&link, write("c !")).unwrap_err().reason, Reason::Internal);
        assert_eq!(read_limited(&file, 9, Reason::Internal).unwrap(), b"ab");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left there");
        write_output_by(Path::new("/dev/null"), write("a b")).unwrap();
    }

    #[test]
    fn a_link_to_nothing_yet_is_followed_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second, file] = ["first", "second", "below/file"].map(|name| dir.path().join(name));
        symlink("second", &first).unwrap();
        symlink("below/file", &second).unwrap();
        assert_eq!(require_output(&first).unwrap_err().reason, Reason::NotFound);
        assert_eq!(write_output(&first, b"1").unwrap_err().reason, Reason::NotFound);
        fs::create_dir(dir.path().join("below")).unwrap();
        require_output(&first).unwrap();
        assert!(!file.exists());
        write_output(&first, b"1").unwrap();
        assert_eq!(read_limited(&file, 9, Reason::Internal).unwrap(), b"1");
        let circle = dir.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert_eq!(write_output(&circle, b"2").unwrap_err().reason, Reason::InputOutput);
        for link in [first, second, circle] {
            assert!(link.symlink_metadata().unwrap().is_symlink(), "{}", link.display());
        }
    }

    /// The first place that takes no file from anybody is not even mounted read-only.
    #[test]
    fn what_takes_no_output_is_found_before_there_is_any() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write_output(&at("file"), b"1").unwrap();
        for (path, reason) in [
            (PathBuf::from("/proc/x"), Some(Reason::NotFound)),
            (at(""), Some(Reason::BadArgument)),
            (at("."), Some(Reason::BadArgument)),
            (at("file/x"), Some(Reason::BadArgument)),
            (at("file/"), Some(Reason::BadArgument)),
            (at("new/"), Some(Reason::BadArgument)),
            (at("new/."), Some(Reason::BadArgument)),
            (at("no/x"), Some(Reason::NotFound)),
            (PathBuf::new(), Some(Reason::BadArgument)),
            (PathBuf::from("/dev/null"), None),
            (at("file"), None),
            (at("new"), None),
        ] {
            let found = |made: Result<()>| made.err().map(|failure| failure.reason);
            assert_eq!(found(require_output(&path)), reason, "before: {}", path.display());
            assert_eq!(found(write_output(&path, b"2")), reason, "then: {}", path.display());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the file, the new one, and nothing else");
    }
}
