//! ustar headers (POSIX.1-1988): one path and one size give exactly one header.
//!
//! The reader never interprets what stands in a volume. It makes the header that must stand there and
//! compares; only when they differ does it look what else was meant, to name the fault.

use crate::base::failure::{Failure, Reason};

/// Bytes of a header and of every padding unit.
pub const BLOCK: u64 = 512;
/// The end of an archive: two zero blocks.
pub const END: u64 = 2 * BLOCK;

/// Bytes from the end of a content of `size` bytes to the next block.
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

/// Bytes that a member of `size` bytes takes in the tar stream.
pub fn stream_length(size: u64) -> u64 {
    BLOCK.saturating_add(size).saturating_add(padding(size))
}

/// The header of a member: plain file, mode 0644, owner 0:0, time 0, no names. `path` has at most 100 bytes
/// and `size` is below 8 GiB; both are checked by the index.
pub fn ustar(path: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    put(&mut header, 0, path.as_bytes());
    put(&mut header, 100, b"0000644\0");
    put(&mut header, 108, b"0000000\0");
    put(&mut header, 116, b"0000000\0");
    put(&mut header, 124, format!("{size:011o}\0").as_bytes());
    put(&mut header, 136, b"00000000000\0");
    put(&mut header, 156, b"0");
    put(&mut header, 257, b"ustar\x0000");
    put(&mut header, 329, b"0000000\0");
    put(&mut header, 337, b"0000000\0");
    let sum = format!("{:06o}\0 ", checksum(&header));
    put(&mut header, 148, sum.as_bytes());
    header
}

fn put(header: &mut [u8; 512], at: usize, bytes: &[u8]) {
    if let Some(field) = header.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

/// Sum of all bytes, those of the checksum field counted as spaces.
fn checksum(header: &[u8; 512]) -> u32 {
    let all: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = header.iter().skip(148).take(8).map(|byte| u32::from(*byte)).sum();
    all - field + 8 * u32::from(b' ')
}

/// Where a path stands in the list of members, seen from the place being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before this place.
    Earlier,
    /// At this place.
    Here,
    /// After this place.
    Later,
    /// Nowhere.
    Unlisted,
}

/// Names the fault of `found`, which is not the header `expected` (or the end, where that is `None`).
pub fn fault(
    found: &[u8; 512],
    expected: Option<(&str, u64)>,
    place: impl Fn(&str) -> Place,
) -> (Reason, String) {
    if found.iter().all(|byte| *byte == 0) {
        return (Reason::TarEnd, "found the end of the archive where a member must stand".to_owned());
    }
    if octal(field(found, 148, 8)) != Some(u64::from(checksum(found))) {
        return (Reason::TarMalformed, "found bytes that are no tar header".to_owned());
    }
    let kind = found.get(156).copied().unwrap_or_default();
    if let Some(reason) = kind_fault(kind) {
        return (reason, format!("found a member of type {:?}", char::from(kind)));
    }
    if field(found, 257, 8) != b"ustar\x0000" || kind != b'0' {
        return (Reason::TarMalformed, "found a member that is not plain ustar".to_owned());
    }
    let path = match (text(field(found, 0, 100)), field(found, 345, 155)) {
        (Some(path), prefix) if prefix.iter().all(|byte| *byte == 0) && is_member_path(path) => path,
        _ => {
            let path = String::from_utf8_lossy(field(found, 0, 100));
            let path = path.trim_end_matches('\0').to_owned();
            return (Reason::TarPath, format!("found a member called `{path}`"));
        }
    };
    match (place(path), expected) {
        (Place::Unlisted, _) => (Reason::TarExtra, format!("found the unlisted member {path}")),
        (Place::Earlier, _) => (Reason::TarDuplicate, format!("found {path} once more")),
        // At the end of a volume, here is where the next one begins.
        (Place::Later, _) | (Place::Here, None) => {
            (Reason::TarOrder, format!("found {path} before its place"))
        }
        (Place::Here, Some((_, size))) if octal(field(found, 124, 12)) != Some(size) => {
            (Reason::TarSize, format!("found another size than {size} bytes"))
        }
        (Place::Here, Some(_)) => {
            (Reason::TarMetadata, "found another mode, owner, time or name than the format allows".to_owned())
        }
    }
}

fn kind_fault(kind: u8) -> Option<Reason> {
    match kind {
        b'1' | b'2' => Some(Reason::TarLink),
        b'3' | b'4' | b'5' | b'6' | b'7' => Some(Reason::TarDevice),
        b'x' | b'g' | b'X' | b'L' | b'K' | b'S' | b'D' | b'M' | b'N' | b'V' => Some(Reason::TarExtension),
        _ => None,
    }
}

/// The failure for a member.
pub fn failure(volume: &str, member: &str, (reason, found): (Reason, String)) -> Failure {
    Failure::new(reason, format!("{volume}: {member}"), found)
        .hint("the bundle was not made by sealift as it should; do not use it, ask the sender")
}

/// Whether a path is in the grammar: `oci-layout`, `index.json`, `blobs/sha256/<64 hex>`, and the last with
/// `.part-0001` and so on.
pub fn is_member_path(path: &str) -> bool {
    if matches!(path, "oci-layout" | "index.json") {
        return true;
    }
    let Some(name) = path.strip_prefix("blobs/sha256/") else { return false };
    let (hex, part) = name.split_once(".part-").map_or((name, None), |(hex, part)| (hex, Some(part)));
    let hex_fine = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    hex_fine && part.is_none_or(|part| part.len() == 4 && part.bytes().all(|b| b.is_ascii_digit()))
}

fn field(header: &[u8; 512], at: usize, length: usize) -> &[u8] {
    header.get(at..at + length).unwrap_or_default()
}

/// A field of text: up to the first NUL, and only NULs after it (F27: `a\0b` is not `a`).
fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let (text, rest) = field.split_at_checked(end)?;
    rest.iter().all(|byte| *byte == 0).then(|| std::str::from_utf8(text).ok())?
}

/// A field of octal digits, ended by NUL or space. Signs and base-256 are no number here (F28).
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_end_matches([' ', '\0']);
    let digits = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    digits.then(|| u64::from_str_radix(text, 8).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tar_crate_reads_our_headers() {
        let header = ustar("blobs/sha256/x", 8_589_934_591);
        let read = tar::Header::from_byte_slice(&header);
        assert_eq!(read.path().unwrap().to_str(), Some("blobs/sha256/x"));
        assert_eq!(read.size().unwrap(), 8_589_934_591);
        assert_eq!(read.mode().unwrap(), 0o644);
        assert_eq!(read.mtime().unwrap(), 0);
        let mut theirs = read.clone();
        theirs.set_cksum();
        assert_eq!(theirs.cksum().unwrap(), checksum(&header));
        assert_eq!(read.cksum().unwrap(), checksum(&header));
        assert!(read.as_ustar().is_some());
        assert_eq!(read.entry_type(), tar::EntryType::Regular);
    }

    #[test]
    fn sizes_fill_blocks() {
        assert_eq!([padding(0), padding(1), padding(511), padding(512)], [0, 511, 1, 0]);
        assert_eq!((BLOCK, END), (512, 1024));
        assert_eq!([stream_length(0), stream_length(1), stream_length(512)], [512, 1024, 1024]);
    }

    #[test]
    fn paths_have_one_form() {
        let hex = "a".repeat(64);
        assert!(is_member_path(&format!("blobs/sha256/{hex}")));
        assert!(is_member_path(&format!("blobs/sha256/{hex}.part-0001")));
        for wrong in [
            "",
            "oci-layout/",
            "./index.json",
            "blobs/sha256/../../x",
            &format!("blobs/sha256/{}", "A".repeat(64)),
            &format!("blobs/sha256/{}", "g".repeat(64)),
            &format!("blobs/sha256/{hex}a"),
            &format!("blobs/sha256/{hex}.part-1"),
            &format!("blobs/sha256/{hex}.part-00001"),
            &format!("blobs/sha256/{hex}.part-000x"),
            &format!("blobs/sha256/a{hex}.part-0001"),
            &format!("blobs/sha512/{hex}"),
            &format!("/blobs/sha256/{hex}"),
        ] {
            assert!(!is_member_path(wrong), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_octal_digits_and_nothing_else() {
        for (field, number) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"000644 \0", Some(0o644)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"+000644\0", None),
            (b"-000644\0", None),
            (b" 000644\0", None),
            (b"0000648\0", None),
            (b"0x00644\0", None),
            (b"\x80\0\0\0\0\0\0\x01", None),
            (b"\0\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(octal(field), number, "{field:?}");
        }
    }

    /// Every fault has its name: what stands there, seen from a place that expects `index.json` of ten bytes.
    #[test]
    fn faults_are_named() {
        let place = |path: &str| match path {
            "oci-layout" => Place::Earlier,
            "index.json" => Place::Here,
            _ if path.ends_with('f') => Place::Later,
            _ => Place::Unlisted,
        };
        let (later, unlisted) = (["f"; 64].concat(), ["a"; 64].concat());
        let (later, unlisted) = (format!("blobs/sha256/{later}"), format!("blobs/sha256/{unlisted}"));
        let named = |path: &str, size: u64, bend: &dyn Fn(&mut [u8; 512])| {
            let mut header = ustar(path, size);
            bend(&mut header);
            let sum = format!("{:06o}\0 ", checksum(&header));
            put(&mut header, 148, sum.as_bytes());
            fault(&header, Some(("index.json", 10)), place)
        };
        let no_change = |_: &mut [u8; 512]| ();
        let cases: [(Reason, String, (Reason, String)); 6] = [
            (Reason::TarDuplicate, "found oci-layout once more".into(), named("oci-layout", 10, &no_change)),
            (Reason::TarOrder, format!("found {later} before its place"), named(&later, 10, &no_change)),
            (
                Reason::TarExtra,
                format!("found the unlisted member {unlisted}"),
                named(&unlisted, 10, &no_change),
            ),
            (Reason::TarSize, "found another size than 10 bytes".into(), named("index.json", 11, &no_change)),
            (
                Reason::TarMetadata,
                "found another mode, owner, time or name than the format allows".into(),
                named("index.json", 10, &|header| put(header, 100, b"0000755")),
            ),
            (
                Reason::TarPath,
                "found a member called `index.json`".into(),
                named("index.json", 10, &|header| put(header, 345, b"blobs")),
            ),
        ];
        for (reason, message, found) in cases {
            assert_eq!(found, (reason, message));
        }
        // Old tar writes no magic or another one.
        for magic in [&b"\0\0\0\0\0\0\0\0"[..], b"ustar  \0"] {
            let (reason, _) = named("index.json", 10, &|header| put(header, 257, magic));
            assert_eq!(reason, Reason::TarMalformed);
        }
        let kinds = [
            (&b"12"[..], Reason::TarLink),
            (b"34567", Reason::TarDevice),
            (b"xgXLKSDMNV", Reason::TarExtension),
            (b"\089Aza", Reason::TarMalformed),
        ];
        for (kinds, reason) in kinds {
            for kind in kinds {
                let found = named("index.json", 10, &|header| put(header, 156, &[*kind]));
                assert_eq!(found.0, reason, "{kind}");
            }
        }
        let mut broken = ustar("index.json", 10);
        broken[150] ^= 1;
        let (reason, found) = fault(&broken, Some(("index.json", 10)), place);
        assert_eq!((reason, found.as_str()), (Reason::TarMalformed, "found bytes that are no tar header"));
        assert_eq!(fault(&[0; 512], None, place).0, Reason::TarEnd);
    }
}
