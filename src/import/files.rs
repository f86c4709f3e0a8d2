//! Carried files written out to a folder: whole and verified under their name, or not at all.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{Source, plan::Plan};
use crate::{
    base::{
        digest::Hasher,
        failure::{Failure, Reason, Result},
        fs,
        progress::Progress,
        stream, text,
    },
    oci::artifact::CarriedFile,
    report::import as report,
};

/// Looks what stands in `folder` before anything is written: the same file is left alone, another one under
/// the same name is never replaced.
pub(super) fn check(plan: &Plan, folder: &Path) -> Result<Vec<report::File>> {
    let mut files: Vec<report::File> = Vec::new();
    let mut needed = 0;
    for carried in &plan.files {
        let CarriedFile { name, content: blob, .. } = carried;
        if let Some(other) = files.iter().find(|file| file.name == *name) {
            if other.digest == blob.digest {
                continue;
            }
            return Err(Failure::new(Reason::BadArgument, name, "two files of the bundle have this name")
                .hint("select one of them by name"));
        }
        let present = is_present(&folder.join(name), carried)?;
        needed += if present { 0 } else { blob.size };
        files.push(report::File {
            name: name.clone(),
            digest: blob.digest.clone(),
            size: blob.size,
            present,
        });
    }
    fs::require_space(folder, needed, "writing the files")?;
    Ok(files)
}

fn is_present(path: &Path, carried: &CarriedFile) -> Result<bool> {
    let mut file = match fs::open_plain(path) {
        Ok(file) => file,
        Err(failure) if failure.reason == Reason::NotFound => return Ok(false),
        Err(failure) => return Err(failure),
    };
    let other = |what: String| {
        Failure::new(Reason::OutputExists, path.display(), what)
            .hint("move it away, or choose another folder with --files-to")
    };
    let unreadable = |error: &std::io::Error| fs::failure(path, "read", error);
    let size = file.metadata().map_err(|error| unreadable(&error))?.len();
    if size != carried.content.size {
        let (expected, found) = (text::bytes(carried.content.size), text::bytes(size));
        return Err(other(format!("another file has this name: expected {expected}, found {found}")));
    }
    let mut hasher = Hasher::new(carried.content.digest.algorithm());
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = stream::read_full(&mut file, &mut buffer).map_err(|error| unreadable(&error))?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    let found = hasher.finish();
    if found == carried.content.digest {
        return Ok(true);
    }
    Err(other(format!("another file has this name: expected {}, found {found}", carried.content.digest)))
}

/// Files that stand whole and verified in their folder, under names that nobody looks for. Dropped, they are gone.
#[derive(Debug)]
pub(super) struct Staged {
    folder: PathBuf,
    /// What is under way, and the name it gets.
    files: Vec<(Temporary, PathBuf)>,
    /// One process at a time: a file under way has a name that is known, so that the next run removes what a killed
    /// one left.
    _turn: File,
}

/// Writes the files that are not there yet beside their names: all that can fail for the bundle's sake, or for want
/// of room, fails here.
pub(super) fn stage(
    source: &dyn Source,
    plan: &Plan,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Staged> {
    fs::create_dir(folder, false)?;
    let Some(turn) = fs::lock_dir(folder)? else {
        return Err(Failure::new(Reason::LockHeld, folder.display(), "another sealift writes files here")
            .hint("wait for it, then run again"));
    };
    let missing: Vec<report::File> = check(plan, folder)?.into_iter().filter(|file| !file.present).collect();
    let mut staged = Staged { folder: folder.to_owned(), files: Vec::new(), _turn: turn };
    progress.start("writing files", missing.iter().map(|file| file.size).sum());
    // Several artifacts may carry the same file: once is enough.
    let mut files =
        missing.iter().filter_map(|file| plan.files.iter().find(|carried| carried.name == file.name));
    let written = files.try_for_each(|carried| {
        let temporary = write_one(source, carried, folder, progress)?;
        staged.files.push((temporary, folder.join(&carried.name)));
        Ok(())
    });
    progress.finish();
    written.map(|()| staged)
}

impl Staged {
    /// Gives every file its name. By then the bundle is imported.
    pub(super) fn publish(self) -> Result<()> {
        for (temporary, path) in &self.files {
            fs::publish_new(&temporary.0, path)?;
        }
        // Files that were there may be of a run that was killed before it came to this.
        fs::sync_dir(&self.folder)
    }
}

fn write_one(
    source: &dyn Source,
    carried: &CarriedFile,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Temporary> {
    let temporary = Temporary::new(folder.join(format!(".{}.sealift.partial", carried.name)))?;
    let path = &temporary.0;
    let mut file = fs::create_new(path, if carried.executable { 0o755 } else { 0o644 })?;
    let mut hasher = Hasher::new(carried.content.digest.algorithm());
    source.stream_blob(&carried.content.digest, &mut |bytes| {
        hasher.update(bytes);
        progress.advance(bytes.len() as u64);
        file.write_all(bytes).map_err(|error| fs::failure(path, "write", &error))
    })?;
    let found = hasher.finish();
    if found != carried.content.digest {
        let message = format!("the bytes have the digest {found}");
        return Err(Failure::new(Reason::DigestMismatch, &carried.content.digest, message));
    }
    file.sync_all().map_err(|error| fs::failure(path, "sync", &error))?;
    Ok(temporary)
}

/// A file under way; one that an earlier run left is removed first, and ours when we fail.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Temporary {
    fn new(path: PathBuf) -> Result<Self> {
        fs::remove_file(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _renamed_already = fs::remove_file(&self.0);
    }
}
