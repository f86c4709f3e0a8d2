//! `--volume-size`: a size, or the name of a medium.

use crate::base::text::parse_bytes;

/// Names of media and the largest volume that each takes, in bytes.
const PROFILES: [(&str, u64); 3] = [
    // One byte less than 4 GiB: FAT32 keeps sizes in 32 bits.
    ("fat32", (1 << 32) - 1),
    // Many scanning stations stop at 2 GB a file.
    ("kiosk", 1_999_999_999),
    // Room for the small files beside one volume on a single-layer disc, and below ISO 9660's 4 GiB a file.
    ("dvd", 4_200_000_000),
];

/// Bytes of `700MB`, `700MiB`, `4294967295`, `fat32`.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    if let Some((_, bytes)) = PROFILES.iter().find(|(name, _)| *name == text) {
        return Ok(*bytes);
    }
    let bytes = parse_bytes(text);
    let bytes = bytes.ok_or_else(|| "write a size such as 4GB or 700MiB, or fat32, kiosk, dvd".to_owned())?;
    if bytes < MINIMUM {
        return Err("a volume holds at least 1 MiB".to_owned());
    }
    Ok(bytes)
}

/// Smaller volumes would be more name than content.
const MINIMUM: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_and_media() {
        assert_eq!(parse("4GB"), Ok(4_000_000_000));
        assert_eq!(parse("700MiB"), Ok(700 << 20));
        assert_eq!(parse("fat32"), Ok(4_294_967_295));
        for wrong in ["", "GB", "4XB", "-1", "1.5GB", "99999999999999999999", "10kb", "cd"] {
            assert!(parse(wrong).is_err(), "{wrong} was accepted");
        }
    }
}
