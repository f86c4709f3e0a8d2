//! The door to the disk: no error without its path, no link followed where media are read, old or new but
//! never between.

mod output;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    failure::{Failure, Reason, Result},
    medium::Medium,
    text,
};

pub use output::{require_output, write_output, write_output_by};

const IN_THE_WAY: &str = "a file stands where a folder is needed: choose another path, or move it away";

/// Turns an operating system error on `path` into a failure that says what to do.
pub fn failure(path: &Path, doing: &str, error: &io::Error) -> Failure {
    // What is read like a file and is none says itself what failed.
    if let Some(failure) = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>()) {
        return failure.clone();
    }
    let (reason, hint) = match error.kind() {
        io::ErrorKind::NotFound => (Reason::NotFound, "check the path"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            Reason::PermissionDenied,
            "check owner and mode of the path, and that it is not mounted read-only",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (Reason::DiskFull, "free some space and run the command again; what is done is kept")
        }
        io::ErrorKind::FileTooLarge => {
            (Reason::FileTooLarge, "the file system cannot hold it: use --volume-size, for instance fat32")
        }
        io::ErrorKind::DirectoryNotEmpty => (
            Reason::OutputExists,
            "another command put something there meanwhile: look at it, then run again",
        ),
        io::ErrorKind::IsADirectory => (Reason::BadArgument, "name a file, not a folder"),
        io::ErrorKind::NotADirectory => (Reason::BadArgument, IN_THE_WAY),
        _ => (Reason::InputOutput, "check the disk or the media, then run the command again"),
    };
    Failure::new(reason, path.display(), format!("cannot {doing}: {}", plain(error))).hint(hint)
}

/// The error's words without the number that the standard library appends.
fn plain(error: &io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or(&words).to_lowercase()
}

/// Opens a plain file for reading. Links, fifos and devices are refused without blocking on them
/// (threats C15, J02): whoever fills the media decides what stands there.
pub fn open_plain(path: &Path) -> Result<File> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(nofollow.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        // A link, or a socket.
        match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => special(path),
            _ => failure(path, "open", &error),
        }
    })?;
    let metadata = file.metadata().map_err(|error| failure(path, "inspect", &error))?;
    if metadata.is_file() { Ok(file) } else { Err(special(path)) }
}

fn special(path: &Path) -> Failure {
    Failure::new(Reason::FileSpecial, path.display(), "expected a plain file, found a link or special file")
        .hint("copy the content itself, without links")
}

/// Reads a plain file whole, up to `limit` bytes; one more is [`Reason::UpstreamLimit`]-free trouble and
/// becomes `over`.
pub fn read_limited(path: &Path, limit: u64, over: Reason) -> Result<Vec<u8>> {
    let file = open_plain(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failure(path, "read", &error))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(over, path.display(), format!("larger than {}", text::bytes(limit)))
            .hint("this cannot be a file that sealift wrote"));
    }
    Ok(bytes)
}

/// Reads a file that the user named: links are followed, the size is bounded, the text is UTF-8.
pub fn read_user_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failure(path, "open", &error))?;
    file.take(super::limits::USER_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failure(path, "read", &error))?;
    if bytes.len() as u64 > super::limits::USER_FILE_BYTES {
        return Err(Failure::new(Reason::BadArgument, path.display(), "larger than 16 MiB"));
    }
    String::from_utf8(bytes)
        .map_err(|_utf8| Failure::new(Reason::BadArgument, path.display(), "is not UTF-8 text"))
}

/// Opens a file that the user named: links are followed, anything that is no plain file is refused.
pub fn open_user(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| failure(path, "open", &error))?;
    let metadata = file.metadata().map_err(|error| failure(path, "inspect", &error))?;
    if metadata.is_file() {
        return Ok(file);
    }
    Err(Failure::new(Reason::FileSpecial, path.display(), "expected a plain file").hint("name a file"))
}

/// Permission bits of what stands at `path`, links followed.
pub fn mode(path: &Path) -> Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(|error| failure(path, "open", &error))?;
    Ok(metadata.permissions().mode() & 0o777)
}

/// Takes a folder for this process alone, until the value is dropped or the process ends, however it ends.
/// `None` when another process has it.
pub fn lock_dir(path: &Path) -> Result<Option<File>> {
    let folder = File::open(path).map_err(|error| failure(path, "open", &error))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(failure(path, "lock", &error)),
    }
}

/// Makes one folder; `false` when something of this name is there already.
pub fn create_fresh_dir(path: &Path) -> Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failure(path, "create", &error)),
    }
}

/// Whether a folder holds nothing.
pub fn is_empty_dir(path: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(path).map_err(|error| failure(path, "list", &error))?;
    Ok(entries.next().is_none())
}

/// The names of what a folder holds; a name that is no UTF-8 is none of ours and left out.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).map_err(|error| failure(path, "list", &error))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failure(path, "list", &error))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

/// Removes a file; a missing one is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(path, "remove", &error)),
        _ => Ok(()),
    }
}

/// Makes `path` and its parents, private to the user where `private`: durable, so that what is synced below
/// them does not hang on a folder that was not.
pub fn create_dir(path: &Path, private: bool) -> Result<()> {
    let mut missing: Vec<&Path> = path
        .ancestors()
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .take_while(|ancestor| !ancestor.is_dir())
        .collect();
    // Each is synced before the next is made. So of a run that was killed, only the last may be open.
    if let Some(standing) = path.ancestors().nth(missing.len()) {
        settle(standing)?;
    }
    while let Some(next) = missing.pop() {
        let made = fs::DirBuilder::new().mode(if private { 0o700 } else { 0o755 }).create(next);
        made.or_else(|error| if next.is_dir() { Ok(()) } else { Err(error) }).map_err(|error| match error
            .kind()
        {
            io::ErrorKind::AlreadyExists => {
                Failure::new(Reason::BadArgument, path.display(), "expected a folder, found a file")
                    .hint(IN_THE_WAY)
            }
            _ => failure(path, "create", &error),
        })?;
        settle(next)?;
    }
    Ok(())
}

/// Makes the name durable under which a file or folder was found: whoever put it there may have been killed
/// before they came to it.
pub fn settle(path: &Path) -> Result<()> {
    // `x/..` is what holds a folder even where `x` is a link.
    let holder = if path.is_dir() { path.join("..") } else { holder(path).to_owned() };
    match sync_dir(&holder) {
        // Where this user may not look, somebody else made the name.
        Err(failure) if failure.reason == Reason::PermissionDenied => Ok(()),
        done => done,
    }
}

/// The folder in which `path` stands.
fn holder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a file that must not exist, with exactly `mode` (the umask can only narrow it).
pub fn create_new(path: &Path, mode: u32) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| failure(path, "create", &error))
}

/// Writes `bytes` to `path`: complete and synced under the final name, or not at all.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_by(&path.with_file_name(temporary_name(path)), path, bytes, mode)
}

/// The same for a name that nobody may have yet: of several at once, one gets it.
///
/// # Errors
/// [`Reason::OutputExists`] where the name is taken.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = path.with_file_name(temporary_name(path));
    // Where the file system has no locks, there is a moment between the look and the name.
    let _turn = File::open(holder(path)).and_then(|folder| folder.lock().map(|()| folder));
    write_to(&temporary, path, bytes, mode).and_then(|()| publish_new(&temporary, path)).inspect_err(
        |_failure| {
            let _already_failing = fs::remove_file(&temporary);
        },
    )
}

/// [`write_atomic`] for a file of a folder in which nothing else may stand, not even for a moment: what is under way
/// stands beside that folder, as long as that is the same file system and this user may write there.
pub fn write_atomic_into(folder: &Path, below: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let (path, beside) = (folder.join(below), folder.join(".."));
    if same_file_system(folder, &beside) && is_writable(&beside) {
        return write_by(&beside.join(temporary_name(&path)), &path, bytes, mode);
    }
    write_atomic(&path, bytes, mode)
}

/// Writes and syncs what becomes `path`.
fn write_to(temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = create_new(temporary, mode).and_then(|mut file| {
        file.write_all(bytes).map_err(|error| failure(temporary, "write", &error))?;
        file.sync_all().map_err(|error| failure(temporary, "sync", &error))
    });
    // The other name is nothing that the user knows.
    written.map_err(|failure| failure.of(path.display()))
}

fn write_by(temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_to(temporary, path, bytes, mode).and_then(|()| publish(temporary, path)).inspect_err(|_failure| {
        let _already_failing = fs::remove_file(temporary);
    })
}

/// A name for what becomes `path` that no other process uses.
fn temporary_name(path: &Path) -> std::ffi::OsString {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    name
}

/// Removes what killed runs of [`write_atomic`] left in a folder for the names that `is_ours` accepts. A missing
/// folder is fine, and so is a medium that cannot be written.
pub fn remove_temporaries(folder: &Path, is_ours: impl Fn(&str) -> bool) -> Result<()> {
    if !fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(|error| failure(folder, "list", &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failure(folder, "list", &error))?;
        let name = entry.file_name();
        let meant = name.to_str().and_then(|name| {
            let (meant, number) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
            let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            number.split_once('-').filter(|(process, count)| is_number(process) && is_number(count))?;
            Some(meant)
        });
        if meant.is_some_and(&is_ours) {
            let _stays_visible = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Renames a synced file or folder to its final name and syncs the folder that holds it (C01).
pub fn publish(from: &Path, to: &Path) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the one door to rename")]
    fs::rename(from, to).map_err(|error| failure(to, "rename to", &error))?;
    sync_dir(holder(to))
}

/// The same for a name that nobody may have yet. The caller keeps other processes of ours away meanwhile.
///
/// # Errors
/// [`Reason::OutputExists`] where the name is taken; then `from` is still there.
pub fn publish_new(from: &Path, to: &Path) -> Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(Failure::new(
            Reason::OutputExists,
            to.display(),
            "there is something of this name already",
        )
        .hint("choose another name, or move it away"));
    }
    publish(from, to)
}

/// Makes the entries of a folder durable.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| failure(path, "sync", &error))
}

/// The files and folders in a folder, in byte order; none where there is no folder.
pub fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failure(path, "list", &error))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> =
        paths.collect::<io::Result<_>>().map_err(|error| failure(path, "list", &error))?;
    paths.sort();
    Ok(paths)
}

/// Whether this user may make files in a folder.
pub fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// Fails unless this user may make files in a folder of the home.
pub fn require_writable(path: &Path) -> Result<()> {
    names(path)?;
    if is_writable(path) {
        return Ok(());
    }
    let found = "this user may not make files in it, or its disk is read-only";
    Err(Failure::new(Reason::PermissionDenied, path.display(), found)
        .hint("check owner, mode and mount of the home folder"))
}

/// Removes everything in a folder, and keeps the folder.
pub fn empty_dir(path: &Path) -> Result<()> {
    let entries = fs::read_dir(path).map_err(|error| failure(path, "list", &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failure(path, "list", &error))?;
        let is_dir = entry.file_type().map_err(|error| failure(&entry.path(), "inspect", &error))?.is_dir();
        let removed = if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        removed.map_err(|error| failure(&entry.path(), "remove", &error))?;
    }
    Ok(())
}

/// Removes a folder and everything in it; a missing one is fine.
pub fn remove_dir_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(path, "remove", &error)),
        _ => Ok(()),
    }
}

/// Whether two paths, or their nearest existing parents, lie on the same file system.
pub fn same_file_system(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| {
        path.ancestors()
            .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
            .find_map(|path| path.metadata().ok())
            .map(|metadata| metadata.dev())
    };
    device(a) == device(b)
}

/// Fails with [`Reason::DiskFull`] unless `needed` bytes fit at `path`.
pub fn require_space(path: &Path, needed: u64, what: &str) -> Result<()> {
    let free = Medium::of(path)?.free;
    if free >= needed {
        return Ok(());
    }
    let found = format!("{what} needs {}, {} are free", text::bytes(needed), text::bytes(free));
    Err(Failure::new(Reason::DiskFull, path.display(), found)
        .hint("free some space or choose another folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_fifos_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        assert_eq!(open_plain(&link).unwrap_err().reason, Reason::FileSpecial);
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(open_plain(&fifo).unwrap_err().reason, Reason::FileSpecial);
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        assert_eq!(open_plain(&dir.path().join("socket")).unwrap_err().reason, Reason::FileSpecial);
        assert_eq!(open_plain(dir.path()).unwrap_err().reason, Reason::FileSpecial);
    }

    #[test]
    fn a_new_name_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8_u8)
                .map(|n| {
                    scope.spawn({
                        let path = &path;
                        move || write_new(path, &[n], 0o600)
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
        let winner = made.iter().position(Result::is_ok).unwrap();
        assert_eq!(read_limited(&path, 9, Reason::Internal).unwrap(), [u8::try_from(winner).unwrap()]);
        assert!(
            made.into_iter().filter_map(Result::err).all(|failure| failure.reason == Reason::OutputExists)
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_the_way_is_named_as_the_user_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        write_atomic(&file, b"x", 0o600).unwrap();
        let missing = dir.path().join("missing").join("x");
        let failure = write_atomic(&missing, b"x", 0o600).unwrap_err();
        assert_eq!((failure.reason, failure.object), (Reason::NotFound, missing.display().to_string()));
        for failure in [
            create_dir(&file, false).unwrap_err(),
            create_dir(&file.join("below"), false).unwrap_err(),
            read_user_text(dir.path()).unwrap_err(),
            write_atomic(dir.path(), b"x", 0o600).unwrap_err(),
        ] {
            assert_eq!(failure.reason, Reason::BadArgument, "{failure}");
        }
    }

    #[test]
    fn folders_are_made_to_their_depth() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_dir(&deep, true).unwrap();
        create_dir(&deep, true).unwrap();
        assert_eq!(mode(&dir.path().join("a")).unwrap(), 0o700);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&deep, &link).unwrap();
        create_dir(&link.join("d"), false).unwrap();
        assert!(deep.join("d").is_dir());
        // What stands in a folder that nobody may list was made by somebody else.
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o300)).unwrap();
        create_dir(&deep.join("d/e"), false).unwrap();
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn only_leftovers_of_ours_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        remove_temporaries(&dir.path().join("missing"), |_| true).unwrap();
        let left = dir.path().join(temporary_name(Path::new("a.sig")));
        let others = ["a.sig", ".a.sig.tmp", ".a.sig.1-x.tmp", ".b.sig.1-2.tmp", "a.sig.1-2.tmp"];
        for path in others.map(|name| dir.path().join(name)).iter().chain([&left]) {
            write_atomic(path, b"x", 0o600).unwrap();
        }
        remove_temporaries(dir.path(), |name| name == "a.sig").unwrap();
        assert!(!left.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), others.len());
    }

    #[test]
    fn write_atomic_replaces_whole_files_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_atomic(&path, b"old", 0o600).unwrap();
        write_atomic(&path, b"new", 0o600).unwrap();
        assert_eq!(read_limited(&path, 3, Reason::Internal).unwrap(), b"new");
        assert_eq!(read_limited(&path, 2, Reason::SumsTooLarge).unwrap_err().reason, Reason::SumsTooLarge);
        write_atomic_into(dir.path(), Path::new("x"), b"newer", 0o600).unwrap();
        assert_eq!(read_limited(&path, 5, Reason::Internal).unwrap(), b"newer");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
