//! The only judge of names that come from outside.

/// Whether `name` is safe as one file name on FAT32, exFAT and ISO 9660 and on every host:
/// `[a-z0-9._-]`, 1 to 64 characters, not starting with a dot or dash, not ending with a dot.
pub fn is_media_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.')
        && !is_reserved(name)
}

/// Names that Windows keeps for devices, with or without an extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    matches!(stem, "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(|c: char| c.is_ascii_digit()))
}

/// Whether `name` is safe as the name of a carried file on the receiving host: no separator, no control
/// character, not `.` or `..`, not hidden, at most 128 bytes. Upper case is allowed here.
pub fn is_file_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'))
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.')
        && !is_reserved(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_names() {
        for good in ["edge-platform-2026.11", "a", "0001.tar.zst", "com", "context"] {
            assert!(is_media_name(good), "{good}");
        }
        for bad in
            ["", ".", "..", "a/b", "A", "a:b", "a\0", "con", "com1.txt", "-a", "a.", "ü", &"a".repeat(65)]
        {
            assert!(!is_media_name(bad), "{bad}");
        }
    }
}
