//! `SHA256SUMS`: the one text that is signed, and the only thing parsed before a signature holds.
//!
//! ```text
//! # sealift bundle 1
//! # name=edge-platform version=2026.11 channel=prod epoch=1 sequence=42 created=2026-11-21T00:00:00Z
//! # previous=none
//! # site=any trust=0 expires=never
//! <64 hex>  VERIFY.txt
//! <64 hex>  bundle.json
//! ```
//!
//! `sha256sum --strict -c` skips the comments and checks the rest. One text has one reading: parsing and
//! printing again gives the same bytes, or the text is refused.

use std::fmt::Write as _;

use crate::{
    base::{
        clock::Timestamp,
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        limits,
        path::is_media_name,
    },
    trust::document,
};

/// Name of the file.
pub const SUMS: &str = "SHA256SUMS";
/// Folder of the signatures.
pub const SIGNATURES: &str = "signatures";
/// Folder of the volumes.
pub const VOLUMES: &str = "volumes";
/// The index.
pub const INDEX: &str = "bundle.json";
/// The chunk hashes.
pub const CHUNKS: &str = "chunks.bin";
/// The table for people.
pub const INVENTORY: &str = "inventory.csv";
/// The recipe for stock tools.
pub const RECIPE: &str = "VERIFY.txt";
/// Folder of what was found out about the content.
pub const EVIDENCE: &str = "evidence";
/// Folder of the trust documents.
pub const TRUST: &str = "trust";

const FIRST_LINE: &str = "# sealift bundle 1";

/// What the comment lines say: what the bundle is and where it stands in its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumsHeader {
    /// Name, in the grammar of [`is_media_name`].
    pub name: String,
    /// Version, same grammar.
    pub version: String,
    /// Channel, same grammar.
    pub channel: String,
    /// Counts restarts of the sequence.
    pub epoch: u64,
    /// Place in the channel.
    pub sequence: u64,
    /// When the content was fixed.
    pub created: Timestamp,
    /// Digest of the `SHA256SUMS` before this one in the channel.
    pub previous: Option<Digest>,
    /// The one site that may import it; any when absent.
    pub site: Option<String>,
    /// The trust document that a reader must know at least; 0 where none is asked for. So a courier who holds
    /// back a revocation cannot have a bundle accepted that was made after it (T20).
    pub trust: u64,
    /// When it is to be used no more; a site decides what that means to it.
    pub expires: Option<Timestamp>,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// The comment lines.
    pub header: SumsHeader,
    /// Paths and digests of every other file except the signatures, sorted by path.
    pub files: Vec<(String, Digest)>,
}

/// Path of volume `number` (from 1).
pub fn volume_path(number: usize) -> String {
    format!("{VOLUMES}/{number:04}.tar.zst")
}

/// Path of the trust document of a version (from 1).
pub fn trust_path(version: u64) -> String {
    format!("{TRUST}/{}", document::file_name(version))
}

/// Path of evidence by its name.
pub fn evidence_path(name: &str) -> String {
    format!("{EVIDENCE}/{name}")
}

/// The version in the path of a trust document, which must be the one that we write.
pub fn trust_version(path: &str) -> Option<u64> {
    document::version_of(path.strip_prefix(TRUST)?.strip_prefix('/')?)
}

fn is_evidence(path: &str) -> bool {
    path.strip_prefix(EVIDENCE).and_then(|rest| rest.strip_prefix('/')).is_some_and(is_media_name)
}

impl Sums {
    /// The text.
    pub fn to_text(&self) -> String {
        let header = &self.header;
        let mut text = format!(
            "{FIRST_LINE}\n# name={} version={} channel={} epoch={} sequence={} created={}\n# previous={}\n# site={} trust={} expires={}\n",
            header.name,
            header.version,
            header.channel,
            header.epoch,
            header.sequence,
            header.created,
            header.previous.as_ref().map_or("none", Digest::hex),
            header.site.as_deref().unwrap_or(ANY),
            header.trust,
            header.expires.map_or_else(|| NEVER.to_owned(), |time| time.to_string()),
        );
        for (path, digest) in &self.files {
            let _infallible = writeln!(text, "{}  {path}", digest.hex());
        }
        text
    }

    /// Reads the text strictly.
    ///
    /// # Errors
    /// [`Reason::FormatVersion`] for another version of the format, [`Reason::SumsMalformed`] for every
    /// other deviation from the one form.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_utf8| malformed("it is not UTF-8 text"))?;
        let mut lines = text.lines();
        first_line(lines.next().unwrap_or_default())?;
        let header = header(
            lines.next().ok_or_else(|| malformed("the second line is missing"))?,
            lines.next().ok_or_else(|| malformed("the third line is missing"))?,
            lines.next().ok_or_else(|| malformed("the fourth line is missing"))?,
        )?;
        let files = lines
            .map(|line| {
                file_line(line).ok_or_else(|| {
                    malformed(format!("`{line}` is not 64 lower-case hex digits, two spaces and a path"))
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let sums = Self { header, files };
        sums.check_paths()?;
        if sums.to_text().as_bytes() != bytes {
            return Err(malformed(
                "words, line ends, spaces or numbers are not in the one form that is written",
            ));
        }
        Ok(sums)
    }

    /// The digest listed for `path`.
    pub fn digest_of(&self, path: &str) -> Option<&Digest> {
        let at = self.files.binary_search_by(|(listed, _)| listed.as_str().cmp(path)).ok()?;
        self.files.get(at).map(|(_, digest)| digest)
    }

    /// Number of volumes listed.
    pub fn volumes(&self) -> usize {
        self.below(VOLUMES).count()
    }

    /// Paths of the evidence, sorted.
    pub fn evidence(&self) -> impl Iterator<Item = &str> {
        self.below(EVIDENCE)
    }

    /// Versions of the trust documents, ascending without a gap.
    pub fn trust(&self) -> impl Iterator<Item = u64> {
        self.below(TRUST).filter_map(trust_version)
    }

    /// Evidence and trust documents with their digests, sorted by path.
    pub fn beside(&self) -> impl Iterator<Item = (&String, &Digest)> {
        let inside =
            |path: &str| path.split_once('/').is_some_and(|(folder, _)| [EVIDENCE, TRUST].contains(&folder));
        self.files.iter().filter(move |(path, _)| inside(path)).map(|(path, digest)| (path, digest))
    }

    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let inside = move |path: &&str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.files.iter().map(|(path, _)| path.as_str()).filter(inside)
    }

    /// Exactly the fixed files, evidence by name, trust documents without a gap and the volumes 1 to n, in the
    /// order of their bytes: no path is ever used that we could not have made ourselves.
    fn check_paths(&self) -> Result<()> {
        let volumes = self.volumes();
        let trust: Vec<u64> = self.trust().collect();
        let evidence: Vec<&str> = self.evidence().collect();
        let mut wanted: Vec<String> = FIXED_FILES.iter().map(|path| (*path).to_owned()).collect();
        wanted.extend(evidence.iter().filter(|path| is_evidence(path)).map(|path| (*path).to_owned()));
        wanted.extend((trust.first().copied().unwrap_or(1)..).take(trust.len()).map(trust_path));
        wanted.extend((1..=volumes).map(volume_path));
        wanted.sort();
        let counts = (1..=limits::VOLUMES).contains(&volumes)
            && trust.len() <= limits::TRUST_VERSIONS
            && evidence.len() <= limits::EVIDENCE_FILES;
        if counts && wanted.iter().eq(self.files.iter().map(|(path, _)| path)) && is_rising(&wanted) {
            return Ok(());
        }
        Err(malformed(
            "it must list VERIFY.txt, bundle.json, chunks.bin, inventory.csv, files of evidence/, the documents of trust/ one after the other, and the volumes 0001 to the last, each once and sorted, and nothing else",
        ))
    }
}

/// The files of every bundle beside evidence, trust documents and volumes.
const FIXED_FILES: [&str; 4] = [RECIPE, INDEX, CHUNKS, INVENTORY];
/// The site of a bundle that any site may import.
const ANY: &str = "any";
/// The end of a bundle that has none.
const NEVER: &str = "never";

fn is_rising(paths: &[String]) -> bool {
    paths.windows(2).all(|two| matches!(two, [a, b] if a < b))
}

fn malformed(message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::SumsMalformed, SUMS, message).hint("do not use the bundle; ask the sender")
}

fn first_line(line: &str) -> Result<()> {
    if line == FIRST_LINE {
        return Ok(());
    }
    let version = line.strip_prefix("# sealift bundle ").filter(|rest| !rest.is_empty());
    version.map_or_else(
        || Err(malformed(format!("expected the first line `{FIRST_LINE}`, found `{line}`"))),
        |version| {
            Err(Failure::new(
                Reason::FormatVersion,
                SUMS,
                format!("expected format version 1, found `{version}`"),
            )
            .hint("use the sealift that made the bundle, or a newer one"))
        },
    )
}

/// The words that must be there. That nothing stands beside them is seen when the text is made again.
fn header(second: &str, third: &str, fourth: &str) -> Result<SumsHeader> {
    let [mut second, mut fourth] =
        [second, fourth].map(|line| line.strip_prefix("# ").unwrap_or_default().split(' '));
    let word = |words: &mut std::str::Split<'_, char>, key: &str, line: &str| {
        words
            .next()
            .and_then(|word| word.strip_prefix(key)?.strip_prefix('='))
            .map(str::to_owned)
            .ok_or_else(|| malformed(format!("expected `{key}=` in the {line} line")))
    };
    let mut next = |key: &str| word(&mut second, key, "second");
    let mut last = |key: &str| word(&mut fourth, key, "fourth");
    let name = |key: &str, text: String| {
        let error = || malformed(format!("{key} must be 1 to 64 of a-z 0-9 . _ -"));
        is_media_name(&text).then_some(text).ok_or_else(error)
    };
    let number = |key: &str, text: String| {
        text.parse::<u64>().map_err(|_not_a_number| malformed(format!("{key} must be a whole number")))
    };
    let time = |key: &str, text: &str| {
        let error = || malformed(format!("{key} must be a time like 2026-11-21T00:00:00Z"));
        Timestamp::parse(text).ok_or_else(error)
    };
    Ok(SumsHeader {
        name: name("name", next("name")?)?,
        version: name("version", next("version")?)?,
        channel: name("channel", next("channel")?)?,
        epoch: number("epoch", next("epoch")?)?,
        sequence: number("sequence", next("sequence")?)?,
        created: time("created", &next("created")?)?,
        previous: match third.strip_prefix("# previous=") {
            Some("none") => None,
            Some(hex) => Some(
                Digest::from_hex(Algorithm::Sha256, hex)
                    .map_err(|_hex| malformed("previous must be `none` or 64 lower-case hex digits"))?,
            ),
            None => return Err(malformed("expected `# previous=` in the third line")),
        },
        site: match last("site")? {
            any if any == ANY => None,
            site => Some(name("site", site)?),
        },
        trust: number("trust", last("trust")?)?,
        expires: match last("expires")?.as_str() {
            NEVER => None,
            text => Some(time("expires", text)?),
        },
    })
}

fn file_line(line: &str) -> Option<(String, Digest)> {
    let (hex, path) = line.split_once("  ")?;
    Some((path.to_owned(), Digest::from_hex(Algorithm::Sha256, hex).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Sums {
        let digest = Digest::of(b"");
        let files = FIXED_FILES.iter().map(|path| (*path).to_owned()).chain((1..=2).map(volume_path));
        Sums {
            header: SumsHeader {
                name: "edge-platform".into(),
                version: "2026.11".into(),
                channel: "prod".into(),
                epoch: 1,
                sequence: 42,
                created: Timestamp::parse("2026-11-21T00:00:00Z").unwrap(),
                previous: None,
                site: None,
                trust: 0,
                expires: None,
            },
            files: files.map(|path| (path, digest.clone())).collect(),
        }
    }

    #[test]
    fn there_and_back() {
        let mut sums = example();
        assert_eq!(Sums::parse(sums.to_text().as_bytes()).unwrap(), sums);
        sums.header.previous = Some(Digest::of(b"x"));
        sums.header.site = Some("plant-7".into());
        sums.header.trust = 3;
        sums.header.expires = Timestamp::parse("2027-11-21T00:00:00Z");
        let digest = Digest::of(b"");
        let more = ["evidence/a.json", "evidence/b.json", "trust/0002.trust", "trust/0003.trust"];
        sums.files.extend(more.map(|path| (path.to_owned(), digest.clone())));
        sums.files.sort();
        assert_eq!(Sums::parse(sums.to_text().as_bytes()).unwrap(), sums);
        assert_eq!(sums.volumes(), 2);
        assert_eq!(sums.digest_of("chunks.bin"), Some(&Digest::of(b"")));
        assert_eq!(sums.digest_of("chunks"), None);
        assert_eq!(sums.trust().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(sums.evidence().count(), 2);
        assert_eq!(sums.beside().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), more);
        assert!(sums.beside().all(|(_, of)| *of == digest));
        let good = sums.to_text();
        for (from, to) in [
            ("trust/0003", "trust/0004"),
            ("trust/0003", "trust/0002"),
            ("trust/0003.trust", "trust/3.trust"),
            ("trust/0003.trust", "trust/0003.json"),
            ("evidence/b.json", "evidence/a.json"),
            ("evidence/b.json", "evidence/0.json"),
            ("evidence/b.json", "evidence/B.json"),
            ("evidence/b.json", "evidence/b/c"),
            ("evidence/b.json", "evidence/"),
        ] {
            let wrong = good.replacen(from, to, 1);
            assert_ne!(wrong, good, "{from}");
            assert_eq!(Sums::parse(wrong.as_bytes()).unwrap_err().reason, Reason::SumsMalformed, "{to}");
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        let good = example().to_text();
        let changes: [(&str, &str); 23] = [
            ("site=any", "site=Plant"),
            ("site=any", "site="),
            ("trust=0", "trust=00"),
            ("trust=0 ", ""),
            ("expires=never", "expires=soon"),
            ("expires=never", "expires=never x=1"),
            ("\n", "\r\n"),
            ("sequence=42", "sequence=042"),
            ("sequence=42", "sequence=-1"),
            ("sequence=42", "sequence=18446744073709551616"),
            ("name=edge-platform", "name=Edge"),
            ("name=edge-platform", "name=../x"),
            ("name=edge-platform ", ""),
            ("epoch=1 sequence=42", "sequence=42 epoch=1"),
            ("Z\n", "Z extra=1\n"),
            ("2026-11-21T", "2026-11-21 "),
            ("previous=none", "previous=abc"),
            ("  bundle.json", " *bundle.json"),
            ("  bundle.json", "  bundle.json "),
            ("  bundle.json", "  Bundle.json"),
            ("volumes/0001", "volumes/0003"),
            ("  VERIFY.txt", "  ../VERIFY.txt"),
            ("e3b0", "E3B0"),
        ];
        for (from, to) in changes {
            let wrong = good.replacen(from, to, 1);
            assert_ne!(wrong, good, "{from}");
            assert_eq!(Sums::parse(wrong.as_bytes()).unwrap_err().reason, Reason::SumsMalformed, "{to}");
        }
        for version in ["0", "2", "1.0", "x"] {
            let wrong = good.replacen("bundle 1", &format!("bundle {version}"), 1);
            assert_eq!(Sums::parse(wrong.as_bytes()).unwrap_err().reason, Reason::FormatVersion, "{version}");
        }
        for wrong in [good.trim_end(), &format!("{good}\n"), &format!("{good}x\n"), "", "\u{feff}"] {
            assert_eq!(Sums::parse(wrong.as_bytes()).unwrap_err().reason, Reason::SumsMalformed);
        }
    }

    /// So many volumes, trust documents and files of evidence, and not one more.
    #[test]
    fn lists_have_an_end() {
        let digest = Digest::of(b"");
        let accepts = |volumes: usize, trust: usize, evidence: usize| {
            let mut sums = example();
            let paths = FIXED_FILES.iter().map(|path| (*path).to_owned());
            let paths = paths.chain((1..=volumes).map(volume_path));
            let paths = paths.chain((0..evidence).map(|number| evidence_path(&number.to_string())));
            let paths = paths.chain((1..).take(trust).map(trust_path));
            sums.files = paths.map(|path| (path, digest.clone())).collect();
            sums.files.sort();
            let parsed = Sums::parse(sums.to_text().as_bytes());
            if let Err(failure) = &parsed {
                assert_eq!(failure.reason, Reason::SumsMalformed);
            }
            parsed.is_ok()
        };
        assert!(accepts(1, 0, 0) && !accepts(0, 0, 0));
        assert!(accepts(limits::VOLUMES, 0, 0) && !accepts(limits::VOLUMES + 1, 0, 0));
        assert!(accepts(1, limits::TRUST_VERSIONS, 0) && !accepts(1, limits::TRUST_VERSIONS + 1, 0));
        assert!(accepts(1, 0, limits::EVIDENCE_FILES) && !accepts(1, 0, limits::EVIDENCE_FILES + 1));
    }
}
