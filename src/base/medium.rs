//! What kind of file system a folder lies on, and how much room there is.

use std::path::Path;

use super::{failure::Result, fs};

/// Kinds that make a difference to what can be kept there, or how safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FAT: no file of 4 GiB, names in any case are the same.
    Fat,
    /// exFAT: names in any case are the same.
    ExFat,
    /// NTFS: names in any case are the same.
    Ntfs,
    /// ISO 9660 or UDF: discs.
    Disc,
    /// In memory: gone with the power.
    Memory,
    /// On another machine: locks and syncs are only as good as that one.
    Network,
    /// Anything else: a disk of this machine, as far as can be told.
    Disk,
}

impl Kind {
    /// By the magic number that Linux gives each (`statfs(2)`).
    fn of(magic: u64) -> Self {
        match magic {
            0x4d44 => Self::Fat,
            0x2011_bab0 => Self::ExFat,
            0x5346_544e | 0x7366_746e => Self::Ntfs,
            0x9660 | 0x1501_3346 => Self::Disc,
            0x0102_1994 | 0x8584_58f6 => Self::Memory,
            // NFS, SMB in three versions, 9P, Ceph, AFS, Lustre, GFS2.
            0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x0102_1997 | 0x00c3_6400 | 0x5346_414f
            | 0x0bd0_0bd0 | 0x0116_1970 => Self::Network,
            _ => Self::Disk,
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fat => "a FAT file system",
            Self::ExFat => "an exFAT file system",
            Self::Ntfs => "an NTFS file system",
            Self::Disc => "a disc",
            Self::Memory => "a file system in memory",
            Self::Network => "a network file system",
            Self::Disk => "a disk",
        }
    }
}

/// The file system below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Medium {
    /// What it is.
    pub kind: Kind,
    /// Bytes that an ordinary user may still write.
    pub free: u64,
    /// Files that may still be made; `None` where there is no such limit.
    pub free_files: Option<u64>,
    /// Mounted so that nothing can be written.
    pub read_only: bool,
}

impl Medium {
    /// That of `path`, or of its nearest existing parent.
    pub fn of(path: &Path) -> Result<Self> {
        let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let inspect = |error: rustix::io::Errno| fs::failure(existing, "inspect", &error.into());
        let stat = rustix::fs::statvfs(existing).map_err(inspect)?;
        #[cfg(target_os = "linux")]
        #[expect(clippy::cast_sign_loss, reason = "a magic number has no sign, only its type has")]
        let magic = rustix::fs::statfs(existing).map_err(inspect)?.f_type as u64 & 0xffff_ffff;
        #[cfg(not(target_os = "linux"))]
        let magic = 0;
        Ok(Self {
            kind: Kind::of(magic),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            free_files: (stat.f_files > 0).then_some(stat.f_favail),
            read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_that_matter_are_known() {
        for (magic, kind) in [
            (0x4d44, Kind::Fat),
            (0x2011_bab0, Kind::ExFat),
            (0x9660, Kind::Disc),
            (0x6969, Kind::Network),
            (0x0102_1994, Kind::Memory),
            (0xef53, Kind::Disk),
            (0x5846_5342, Kind::Disk),
        ] {
            assert_eq!(Kind::of(magic), kind, "{magic:x}");
        }
        let medium = Medium::of(Path::new("/dev/null/none")).unwrap();
        assert!(medium.free == 0 || !medium.read_only);
    }
}
