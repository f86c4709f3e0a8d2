//! What stands in the folder. Names from the media are compared with names that we made, never used.

use std::{collections::BTreeSet, fs::FileType, io::ErrorKind, path::Path};

use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
    },
    bundle::sums::{self, EVIDENCE, SIGNATURES, SUMS, Sums, TRUST, VOLUMES},
    trust::{Signature, is_key_id},
};

/// Failures of one kind that are listed before the rest is only counted.
const LISTED: usize = 64;

/// Reads `SHA256SUMS`, the only file that is read before a signature holds.
pub(super) fn read_sums(dir: &Path) -> Result<Vec<u8>> {
    // `metadata` follows a link: the user may name the bundle by one. Inside, none is followed.
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let message = "expected the folder of a bundle, found something else";
            return Err(
                Failure::new(Reason::NotFound, dir.display(), message).hint("give the path of the folder")
            );
        }
        Err(error) => return Err(fs::failure(dir, "open", &error)),
    }
    fs::read_limited(&dir.join(SUMS), limits::SUMS_BYTES, Reason::SumsTooLarge).map_err(|failure| {
        if failure.reason == Reason::NotFound {
            let message = format!("the folder holds no {SUMS}, which every bundle has");
            Failure::new(Reason::FileMissing, dir.display(), message).hint(
                "name the folder of the bundle itself, NAME-VERSION; if this is it, copy the file again",
            )
        } else {
            failure.of(SUMS)
        }
    })
}

/// Reads the signature files: at most 64 of at most 16 KiB, called `<32 hex>.sig` (T12).
pub(super) fn read_signatures(dir: &Path) -> Result<Vec<Signature>> {
    let folder = dir.join(SIGNATURES);
    let mut files = Vec::new();
    for (name, kind) in entries(&folder, SIGNATURES)? {
        let path = format!("{SIGNATURES}/{name}");
        let Some(key_id) = name.strip_suffix(".sig").filter(|id| is_key_id(id)) else {
            return Err(extra(&path));
        };
        if !kind.is_file() {
            return Err(special(&path));
        }
        if files.len() == limits::SIGNATURES {
            let message = format!("expected at most {} files", limits::SIGNATURES);
            return Err(Failure::new(Reason::SignatureLimit, SIGNATURES, message));
        }
        let bytes = fs::read_limited(&folder.join(&name), limits::SIGNATURE_BYTES, Reason::SignatureLimit)
            .map_err(|failure| failure.of(&path))?;
        files.push(Signature { key_id: key_id.to_owned(), bytes });
    }
    files.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    Ok(files)
}

/// Reads the trust documents that lie in the folder, by version: what they say of themselves in their names.
/// They prove themselves by their signatures; nothing else is known of them yet.
pub(super) fn read_trust(dir: &Path) -> Result<Vec<(u64, Vec<u8>)>> {
    let folder = dir.join(TRUST);
    let mut files = Vec::new();
    for (name, kind) in entries(&folder, TRUST)? {
        let path = format!("{TRUST}/{name}");
        let version = sums::trust_version(&path).ok_or_else(|| extra(&path))?;
        if !kind.is_file() {
            return Err(special(&path));
        }
        if files.len() == limits::TRUST_VERSIONS {
            let message = format!("expected at most {} versions", limits::TRUST_VERSIONS);
            return Err(Failure::new(Reason::TrustMalformed, TRUST, message)
                .hint("pin a newer trust document, and have bundles carry the versions from there on"));
        }
        let bytes = fs::read_limited(&folder.join(&name), limits::NOTE_BYTES, Reason::NoteMalformed);
        files.push((version, bytes.map_err(|failure| failure.of(&path))?));
    }
    files.sort();
    Ok(files)
}

/// Name and kind of the entries of a folder, which must be a real one. A missing one is empty.
fn entries(folder: &Path, name: &str) -> Result<Vec<(String, FileType)>> {
    match std::fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(special(name)),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fs::failure(folder, "inspect", &error)),
    }
    let list = std::fs::read_dir(folder).map_err(|error| fs::failure(folder, "list", &error))?;
    let mut found = Vec::new();
    for entry in list.take(limits::FOLDER_ENTRIES) {
        let entry = entry.map_err(|error| fs::failure(folder, "list", &error))?;
        let kind = entry.file_type().map_err(|error| fs::failure(&entry.path(), "inspect", &error))?;
        // A name that is no UTF-8 is no name of ours: it stays visible and matches nothing.
        found.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    Ok(found)
}

/// The folder must hold exactly the listed files, and nothing that is not plain.
pub(super) fn check_list(dir: &Path, sums: &Sums) -> Result<(), Failures> {
    let wanted: BTreeSet<&str> = sums.files.iter().map(|(path, _)| path.as_str()).chain([SUMS]).collect();
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    for folder in ["", EVIDENCE, TRUST, VOLUMES] {
        for (name, kind) in entries(&dir.join(folder), if folder.is_empty() { "." } else { folder })? {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let is_folder = matches!(path.as_str(), EVIDENCE | SIGNATURES | TRUST | VOLUMES);
            if is_folder && kind.is_dir() {
                continue;
            }
            let listed = wanted.contains(path.as_str());
            if (listed && kind.is_file()) && found.insert(path.clone()) {
                continue;
            }
            wrong.push(if listed || is_folder || !(kind.is_file() || kind.is_dir()) {
                special(&path)
            } else {
                extra(&path)
            });
        }
    }
    let gone = wanted.iter().filter(|path| !found.contains(**path)).map(|path| {
        let volume = path.starts_with(VOLUMES);
        missing(if volume { Reason::VolumeMissing } else { Reason::FileMissing }, path)
    });
    // A link in the place of a file is one fault, not two.
    let gone: Vec<Failure> =
        gone.filter(|failure| wrong.iter().all(|other| other.object != failure.object)).collect();
    Failures::check(shortened(wrong).into_iter().chain(shortened(gone)).collect())
}

/// The first failures, the last of which tells how many more there are.
fn shortened(mut list: Vec<Failure>) -> Vec<Failure> {
    let more = list.len().saturating_sub(LISTED);
    list.truncate(LISTED);
    if let Some(last) = list.last_mut().filter(|_| more > 0) {
        last.message = format!("{}, and so do {more} more", last.message);
    }
    list
}

fn extra(path: &str) -> Failure {
    Failure::new(Reason::FileExtra, path, "the bundle holds a file that is not listed in SHA256SUMS")
        .hint("remove it if it is yours; else ask the sender")
}

fn special(path: &str) -> Failure {
    Failure::new(Reason::FileSpecial, path, "expected a plain file, found a link, folder or special file")
        .hint("copy the bundle again, content instead of links")
}

fn missing(reason: Reason, path: &str) -> Failure {
    Failure::new(reason, path, "the file is missing").hint("copy this file again")
}
