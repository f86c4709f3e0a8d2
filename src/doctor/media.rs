//! A medium that a bundle is to be built onto, or was carried on.

use std::path::Path;

use super::{Check, Finding, check, free};
use crate::base::{
    failure::{Failure, Reason},
    fs,
    medium::{Kind, Medium},
};

/// Less holds no bundle worth carrying.
const TOO_LITTLE: u64 = 1 << 20;

pub(super) fn examine(folder: &Path) -> Vec<Check> {
    let is_folder =
        folder.metadata().map_err(|error| fs::failure(folder, "open", &error)).and_then(|found| {
            if found.is_dir() {
                return Ok(());
            }
            Err(Failure::new(Reason::NotFound, folder.display(), "expected a folder, found a file")
                .hint("name the folder where the medium is mounted"))
        });
    if let Err(failure) = is_folder {
        return vec![check("media", folder, failure)];
    }
    match Medium::of(folder) {
        Err(failure) => vec![check("media", folder, failure)],
        Ok(medium) => vec![
            check("media", folder, room(folder, medium, fs::is_writable(folder))),
            check("media limits", folder, limits(medium.kind)),
        ],
    }
}

fn room(folder: &Path, medium: Medium, writable: bool) -> Finding {
    let found = format!("{}, {}", medium.kind.name(), free(medium.free));
    if medium.read_only {
        let advice = "good for verify and import; mount it for writing to build onto it";
        return Finding::warning(format!("{found}, mounted read-only"), advice);
    }
    if !writable {
        return Failure::new(
            Reason::PermissionDenied,
            folder.display(),
            format!("{found}, not for this user"),
        )
        .hint("mount it for this user (option uid=), or check owner and mode")
        .into();
    }
    if medium.free < TOO_LITTLE {
        return Failure::new(Reason::DiskFull, folder.display(), found)
            .hint("remove what is no longer needed, or take another medium")
            .into();
    }
    if medium.kind == Kind::Network {
        return Finding::warning(found, "build onto a disk or medium of this machine, then copy the folder");
    }
    Finding::Good(found)
}

/// What the file system cannot hold (C09).
fn limits(kind: Kind) -> Finding {
    match kind {
        Kind::Fat => Finding::warning(
            "no file of 4 GiB or more",
            "build with `--volume-size fat32`; the names in a bundle are safe here",
        ),
        Kind::Disc => Finding::warning(
            "discs hold files of up to 4 GiB everywhere",
            "build with `--volume-size dvd` into a folder, then write that to the disc",
        ),
        Kind::ExFat | Kind::Ntfs => {
            Finding::Good("names are the same in any case; those in a bundle are safe here".to_owned())
        }
        Kind::Memory => {
            Finding::warning("what is here is gone with the power", "name the folder of the medium")
        }
        Kind::Network | Kind::Disk => Finding::Good("none that a bundle could meet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_judged_before_four_gigabytes_are_written() {
        let stick = Medium { kind: Kind::Fat, free: 1 << 34, free_files: None, read_only: false };
        let at = Path::new("stick");
        let reason = |finding| match finding {
            Finding::Problem(failure) => Some(failure.reason),
            Finding::Good(_) | Finding::Warning { .. } => None,
        };
        assert!(matches!(room(at, stick, true), Finding::Good(_)));
        assert_eq!(reason(room(at, stick, false)), Some(Reason::PermissionDenied));
        assert_eq!(reason(room(at, Medium { free: TOO_LITTLE - 1, ..stick }, true)), Some(Reason::DiskFull));
        let read_only = room(at, Medium { read_only: true, ..stick }, false);
        assert!(matches!(read_only, Finding::Warning { .. }), "enough to import from");
        let Finding::Warning { advice, .. } = limits(Kind::Fat) else { panic!("FAT has a limit") };
        assert!(advice.contains("--volume-size fat32"));
        assert!(matches!(limits(Kind::ExFat), Finding::Good(_)));
    }
}
