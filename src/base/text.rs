//! Untrusted text on its way to a terminal or a log.

use std::fmt::Write as _;

/// `text` with control characters, bidirectional overrides and other invisible characters escaped, cut
/// after `limit` characters. Nothing from the network or the media reaches a terminal another way
/// (threats H05: terminal injection).
pub fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        if is_plain(c) {
            out.push(c);
        } else {
            let _infallible = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    out
}

/// Whether a character is shown as itself: neither a control character nor an invisible one.
pub fn is_plain(c: char) -> bool {
    let invisible = matches!(u32::from(c),
        0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfe00..=0xfe0f
        | 0xfeff | 0xfff0..=0xfffb | 0xe0000..=0xe0fff);
    !c.is_control() && !invisible
}

/// A byte count for people, in binary units: `17 B`, `4.0 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).copied().unwrap_or("EiB"))
}

/// Bytes of `700MB`, `50 GiB`, `4294967295`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
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
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `1 image`, `2 images`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_made_visible() {
        assert_eq!(escaped("a\u{1b}[31m\r\u{202e}b", 80), "a\\u{1b}[31m\\u{d}\\u{202e}b");
        assert_eq!(escaped("ünï", 80), "ünï");
        assert_eq!(escaped("abcdef", 3), "abc…");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(4 << 20), "4.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!((parse_bytes("50 GiB"), parse_bytes("1kb")), (Some(50 << 30), Some(1000)));
        assert_eq!(
            (parse_bytes("GB"), parse_bytes("9999999999TiB"), parse_bytes("1.5GB")),
            (None, None, None)
        );
    }
}
