//! The home folder: disk, permissions, database, contents, what is under way; and the clock.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use super::{Check, Finding, check, clock, free};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason},
        fs,
        medium::{Kind, Medium},
        text::{self, count},
    },
    store::examine::{self, Folders, Published},
};

/// Less is too little for any import, and little for the next one.
const TOO_LITTLE: u64 = 8 << 20;
const LITTLE: u64 = 1 << 30;
/// Files that one import may well make.
const FEW_FILES: u64 = 10_000;
/// Room that partial downloads may take without a word.
const MUCH_STAGED: u64 = 1 << 30;
/// Digests named in one message.
const NAMED: usize = 5;

pub(super) fn examine(home: &Path, now: Timestamp) -> Vec<Check> {
    let mut checks =
        vec![check("disk", home, Medium::of(home).map_or_else(Finding::from, |medium| disk(home, medium)))];
    if !home.exists() {
        checks.push(check("clock", Path::new("this machine"), clock(now, 0)));
        let advice = "nothing to do before the first build or import; if there was one, check --home";
        checks.push(check("home", home, Finding::warning("there is no home here yet", advice)));
        return checks;
    }
    let folders = examine::folders(home);
    let newest = folders.as_ref().map_or(0, |folders| folders.newest);
    checks.push(check("clock", Path::new("this machine"), clock(now, newest)));
    checks.push(check("permissions", home, permissions(home).unwrap_or_else(Finding::from)));
    let published = examine::published(home);
    let (finding, published) = match published {
        Ok(found) => (database(found.as_ref()), Some(found.unwrap_or_default())),
        Err(failure) => (failure.into(), None),
    };
    checks.push(check("database", home, finding));
    match folders {
        Err(failure) => checks.push(check("contents", home, failure)),
        Ok(folders) => {
            checks.push(check("contents", home, contents(home, &folders, published.as_ref())));
            checks.push(check("staging", &home.join("staging"), staging(&folders)));
        }
    }
    checks
}

fn disk(home: &Path, medium: Medium) -> Finding {
    let problem = |reason, found: String, hint: &str| {
        Finding::Problem(Failure::new(reason, home.display(), found).hint(hint))
    };
    let room = format!("{}, {}", medium.kind.name(), free(medium.free));
    if medium.read_only {
        return problem(
            Reason::PermissionDenied,
            format!("{room}, mounted read-only"),
            "mount it for writing, or choose another --home",
        );
    }
    match medium.kind {
        Kind::Network => {
            return problem(
                Reason::Database,
                format!("{room}: the database needs locks and memory that processes share"),
                "choose a --home on a disk of this machine",
            );
        }
        Kind::Memory => {
            return Finding::warning(room, "what is here is gone with the power: choose a --home on a disk");
        }
        _ => {}
    }
    let files = medium.free_files;
    if medium.free < TOO_LITTLE || files == Some(0) {
        let files = files.map_or_else(String::new, |files| format!(", room for {files} files"));
        return problem(
            Reason::DiskFull,
            format!("{room}{files}"),
            "free some space, or choose another --home",
        );
    }
    if medium.free < LITTLE || files.is_some_and(|files| files < FEW_FILES) {
        let files =
            files.map_or_else(String::new, |files| format!(", room for {}", count(clamp(files), "file")));
        return Finding::warning(format!("{room}{files}"), "make room before the next large import");
    }
    Finding::Good(room)
}

fn clamp(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The home is for its owner alone, and so are keys in it (C22).
fn permissions(home: &Path) -> Result<Finding, Failure> {
    let wide = |path: &Path, mode: u32, narrow: &str| {
        let found = format!("mode {mode:04o} lets others in");
        Failure::new(Reason::Permissions, path.display(), found)
            .hint(format!("run `chmod {narrow} {}`, and find out who was there", path.display()))
    };
    let mode = fs::mode(home)?;
    if mode & 0o077 != 0 {
        return Err(wide(home, mode, "700"));
    }
    for key in fs::list(&home.join("keys"))? {
        let mode = fs::mode(&key)?;
        if mode & 0o077 != 0 && key.extension().is_none_or(|extension| extension != "pub") {
            return Err(wide(&key, mode, "600"));
        }
    }
    let owner = home.metadata().map_err(|error| fs::failure(home, "inspect", &error))?.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner != user {
        let found = format!("it belongs to user {owner}, this is user {user}");
        return Ok(Finding::warning(
            found,
            "run sealift as the owner: what another leaves here, the owner cannot change",
        ));
    }
    Ok(Finding::Good(format!("mode {mode:04o}, only its owner gets in")))
}

fn database(published: Option<&Published>) -> Finding {
    Finding::Good(published.map_or("there is none yet".to_owned(), |found| {
        let (manifests, tags) = (count(found.manifests, "manifest"), count(found.tags, "tag"));
        format!("whole: {manifests}, {tags}, {}", count(found.receipts, "import"))
    }))
}

/// Everything that is published must be there, in its size (P6). Whether the bytes are right is found when they
/// are read: every read is hashed.
fn contents(home: &Path, folders: &Folders, published: Option<&Published>) -> Finding {
    let lacking = match published.map(|published| examine::lacking(home, folders, published)).transpose() {
        Ok(lacking) => lacking.unwrap_or_default(),
        Err(failure) => return failure.into(),
    };
    if !lacking.is_empty() {
        let named =
            lacking.iter().take(NAMED).map(|one| one.digest.to_string()).collect::<Vec<_>>().join(", ");
        let found = format!("{} published and not there, or cut: {named}", count(lacking.len(), "content"));
        return Failure::new(Reason::StoreDamaged, home.display(), found)
            .hint("import the bundles again that brought them: what is whole is skipped; and check the disk")
            .into();
    }
    if let Some(strange) = folders.strange.first() {
        let found = format!(
            "{} that sealift did not make: {}",
            count(folders.strange.len(), "file"),
            strange.display()
        );
        return Finding::warning(found, "find out who put it there, and move it away");
    }
    let bytes = folders.contents.values().sum();
    let compared = if published.is_some() { "all that is published is there" } else { "not compared" };
    Finding::Good(format!("{}, {}; {compared}", count(folders.contents.len(), "content"), text::bytes(bytes)))
}

/// What killed runs leave is used or swept by the next one; much of it is worth a look (C07).
fn staging(folders: &Folders) -> Finding {
    let (files, bytes) = folders.staged;
    let found = format!("{}, {}", count(files, "file"), text::bytes(bytes));
    if bytes < MUCH_STAGED {
        return Finding::Good(found);
    }
    Finding::warning(
        found,
        "run the interrupted build again, or, when no sealift is at work, remove the files",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(finding: &Finding) -> Option<Reason> {
        match finding {
            Finding::Good(_) | Finding::Warning { .. } => None,
            Finding::Problem(failure) => Some(failure.reason),
        }
    }

    #[test]
    fn a_disk_is_judged_by_kind_and_room() {
        let good = Medium { kind: Kind::Disk, free: 1 << 40, free_files: Some(1 << 20), read_only: false };
        for (medium, wanted, is_good) in [
            (good, None, true),
            (Medium { free_files: None, ..good }, None, true),
            (Medium { free: LITTLE - 1, ..good }, None, false),
            (Medium { free_files: Some(FEW_FILES - 1), ..good }, None, false),
            (Medium { free: TOO_LITTLE - 1, ..good }, Some(Reason::DiskFull), false),
            (Medium { free_files: Some(0), ..good }, Some(Reason::DiskFull), false),
            (Medium { read_only: true, ..good }, Some(Reason::PermissionDenied), false),
            (Medium { kind: Kind::Network, ..good }, Some(Reason::Database), false),
            (Medium { kind: Kind::Memory, ..good }, None, false),
        ] {
            let found = disk(Path::new("home"), medium);
            assert_eq!(reason(&found), wanted, "{medium:?}");
            assert_eq!(matches!(found, Finding::Good(_)), is_good, "{medium:?}");
        }
    }

    #[test]
    fn much_that_is_under_way_is_told() {
        let staged = |bytes| staging(&Folders { staged: (1, bytes), ..Folders::default() });
        assert!(matches!(staged(MUCH_STAGED - 1), Finding::Good(_)));
        assert!(matches!(staged(MUCH_STAGED), Finding::Warning { .. }));
    }
}
