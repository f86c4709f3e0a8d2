//! What a page says of times, sizes, digests and types. Text from outside is tamed here, and escaped by the templates.

use crate::{
    base::{clock::Timestamp, digest::Digest, text},
    cosign,
    oci::media_type,
};

/// Characters of a name, type or value from outside that a page shows.
const SHOWN: usize = 1000;

/// A time: as it is written everywhere, and how long ago that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) exact: String,
    pub(super) age: String,
}

impl Moment {
    pub(super) fn of(time: Timestamp, now: Timestamp) -> Self {
        Self { exact: time.to_string(), age: age(time, now) }
    }
}

fn age(time: Timestamp, now: Timestamp) -> String {
    const UNITS: [(u64, &str); 5] =
        [(31_557_600, "year"), (2_629_800, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")];
    if time.seconds() > now.seconds().saturating_add(60) {
        return "ahead of this clock".to_owned();
    }
    let seconds = now.seconds().saturating_sub(time.seconds());
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or("just now".to_owned(), |(unit, noun)| {
        let number = usize::try_from(seconds / unit).unwrap_or(usize::MAX);
        format!("{} ago", text::count(number, noun))
    })
}

/// A number of bytes: for people, and exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) short: String,
    pub(super) exact: String,
}

impl Size {
    pub(super) fn of(bytes: u64) -> Self {
        Self { short: text::bytes(bytes), exact: format!("{} bytes", grouped(bytes)) }
    }
}

/// Digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A digest: as much as tells it from others, and whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) short: String,
    pub(super) whole: String,
}

impl Name {
    pub(super) fn of(digest: &Digest) -> Self {
        let whole = digest.to_string();
        let short = format!("{}:{}", digest.algorithm().name(), digest.hex().get(..12).unwrap_or_default());
        Self { short, whole }
    }
}

/// Text from outside, with what nobody would see made visible (threats H05).
pub(super) fn tamed(written: &str) -> String {
    text::escaped(written, SHOWN)
}

/// What something is, in a word, by its type and that of the artifact; its type where there is no word.
pub(super) fn kind(media_type: &str, artifact_type: Option<&str>) -> String {
    let word = match artifact_type {
        None if media_type::is_index(media_type) => Some("Index"),
        Some(media_type::CONFIG | media_type::DOCKER_CONFIG) => Some("Image"),
        Some(artifact) => artifact_word(artifact),
        None => None,
    };
    word.map_or_else(|| tamed(artifact_type.unwrap_or(media_type)), str::to_owned)
}

fn artifact_word(artifact: &str) -> Option<&'static str> {
    const WORDS: [(&str, &str); 13] = [
        (media_type::HELM_CONFIG, "Helm chart"),
        (media_type::FILE_ARTIFACT, "File"),
        (cosign::BUNDLE_TYPES, "Signature bundle"),
        (cosign::LEGACY_REFERRER, "Signature"),
        ("application/spdx", "SBOM (SPDX)"),
        ("text/spdx", "SBOM (SPDX)"),
        ("application/vnd.cyclonedx", "SBOM (CycloneDX)"),
        ("application/vnd.syft", "SBOM (Syft)"),
        ("application/vnd.in-toto", "Attestation"),
        ("application/sarif", "Findings (SARIF)"),
        ("application/vnd.openvex", "Statement (VEX)"),
        ("application/openvex", "Statement (VEX)"),
        ("application/vnd.cncf.notary", "Signature (Notary)"),
    ];
    WORDS.iter().find(|(begins, _)| artifact.starts_with(begins)).map(|(_, word)| *word)
}

/// What a layer is, in a word, by its type.
pub(super) fn layer_word(media_type: &str) -> &'static str {
    match media_type {
        media_type::HELM_CHART => "Chart archive",
        media_type::HELM_PROVENANCE => "Provenance file",
        _ if media_type.contains(".layer.") || media_type.contains(".rootfs.") => "Layer",
        _ => "Content",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_read_well() {
        let now = Timestamp::from_seconds(100_000_000).unwrap();
        for (ago, words) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (7200, "2 hours ago"),
            (86_400 * 12, "12 days ago"),
            (86_400 * 65, "2 months ago"),
            (86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(age(Timestamp::from_seconds(100_000_000 - ago).unwrap(), now), words);
        }
        assert_eq!(age(Timestamp::from_seconds(100_000_030).unwrap(), now), "just now");
        assert_eq!(age(Timestamp::from_seconds(100_000_090).unwrap(), now), "ahead of this clock");
        assert_eq!(
            (grouped(7), grouped(1234), grouped(1_000_000)),
            ("7".into(), "1,234".into(), "1,000,000".into())
        );
        assert_eq!(Size::of(2048), Size { short: "2.0 KiB".into(), exact: "2,048 bytes".into() });
    }

    #[test]
    fn kinds_are_words_or_the_type_itself() {
        for (media_type, artifact, word) in [
            (media_type::INDEX, None, "Index"),
            (media_type::MANIFEST, Some(media_type::CONFIG), "Image"),
            (media_type::DOCKER_MANIFEST, Some(media_type::DOCKER_CONFIG), "Image"),
            (media_type::MANIFEST, Some(media_type::HELM_CONFIG), "Helm chart"),
            (media_type::MANIFEST, Some("application/vnd.dev.sigstore.bundle.v0.3+json"), "Signature bundle"),
            (media_type::MANIFEST, Some("application/spdx+json"), "SBOM (SPDX)"),
            (media_type::INDEX, Some("application/x\u{202e}"), "application/x\\u{202e}"),
        ] {
            assert_eq!(kind(media_type, artifact), word);
        }
    }
}
