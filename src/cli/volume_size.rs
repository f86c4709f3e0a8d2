//! `--volume-size`: a size, or the name of a medium.

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
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err("write a size such as 4GB or 700MiB, or fat32, kiosk, dvd".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let bytes = bytes.ok_or_else(|| "write a whole number before the unit".to_owned())?;
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
