//! Versions and ranges as Helm means them, and their way through OCI tags.
//!
//! Two range languages meet here: Cargo's, in which manifests are written, and Helm's (Masterminds/semver),
//! in which charts name their dependencies. Both become the same comparisons. Helm's rule for prereleases
//! holds in both: they match only where the range itself names one.

use std::cmp::Ordering;

use semver::{Comparator, Op, Prerelease, Version, VersionReq};

use crate::base::{
    failure::{Failure, Reason, Result},
    text,
};

/// A range of versions.
#[derive(Debug, Clone)]
pub struct Range {
    written: String,
    /// Set when the text is one whole version that must be met exactly, build metadata included.
    exact: Option<Version>,
    /// One of these must hold.
    alternatives: Vec<Group>,
}

/// Comparisons that must all hold.
#[derive(Debug, Clone, Default)]
struct Group {
    comparisons: Vec<Comparison>,
    names_prerelease: bool,
}

#[derive(Debug, Clone)]
enum Comparison {
    AtLeast(Version),
    Above(Version),
    Below(Version),
    AtMost(Version),
    /// Not from the first up to, without, the second.
    Outside(Version, Version),
}

/// A version with its tail left open: `1`, `1.2`, `1.2.x`.
#[derive(Debug, Clone)]
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: Prerelease,
}

impl Range {
    /// The range of a manifest: `written` as it stands there, `wanted` as it was parsed. A whole version is
    /// met exactly.
    pub fn new(wanted: &VersionReq, written: &str) -> Self {
        let exact = exact(written);
        let mut group = Group::default();
        for comparator in &wanted.comparators {
            group.add(comparator.op, &Partial::from(comparator));
        }
        Self { written: written.to_owned(), exact, alternatives: vec![group] }
    }

    /// The range of a chart's dependency, in Helm's language: `^1.2`, `>= 1.0, < 2 || 3.x`, `1.2 - 1.4`.
    /// Without text every release matches.
    pub fn helm(written: &str) -> Result<Self> {
        let malformed = || {
            Failure::new(
                Reason::ChartMalformed,
                format!("version range `{}`", text::escaped(written, 100)),
                "is not a range of versions",
            )
            .hint("write it as Helm does, for instance ^1.2 or >=1.2, <2")
        };
        let alternatives =
            written.split("||").map(Group::helm).collect::<Option<Vec<_>>>().ok_or_else(malformed)?;
        Ok(Self { written: written.trim().to_owned(), exact: None, alternatives })
    }

    /// As written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether `version` is in the range.
    pub fn admits(&self, version: &Version) -> bool {
        match &self.exact {
            Some(exact) => exact == version,
            None => self.alternatives.iter().any(|group| group.admits(version)),
        }
    }

    /// The best of `candidates`: the one written exactly like the range, else the highest in the range.
    /// Among equals the first one wins.
    pub fn best<'a, T>(
        &self,
        candidates: impl Iterator<Item = &'a T>,
        text_of: impl Fn(&T) -> &str,
    ) -> Option<&'a T> {
        let mut best: Option<(&T, Version)> = None;
        for candidate in candidates {
            let text = text_of(candidate);
            if text == self.written {
                return Some(candidate);
            }
            let Some(version) = parse(text).filter(|version| self.admits(version)) else { continue };
            if best.as_ref().is_none_or(|(_, highest)| version > *highest) {
                best = Some((candidate, version));
            }
        }
        best.map(|(candidate, _)| candidate)
    }
}

impl Group {
    /// Parses comparisons between commas or spaces; `a - b` is a range with both ends.
    fn helm(text: &str) -> Option<Self> {
        let mut group = Self::default();
        let words: Vec<&str> =
            text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            if words.peek() == Some(&"-") {
                words.next();
                group.add(Op::GreaterEq, &Partial::parse(word)?);
                group.add(Op::LessEq, &Partial::parse(words.next()?)?);
                continue;
            }
            let at = word.find(|c: char| !"=!<>~^".contains(c)).unwrap_or(word.len());
            let (operator, version) = word.split_at(at);
            let version = if version.is_empty() { words.next()? } else { version };
            let partial = Partial::parse(version)?;
            match operator {
                "" | "=" | "==" => group.add(Op::Exact, &partial),
                "!=" => group.exclude(&partial),
                ">" => group.add(Op::Greater, &partial),
                ">=" | "=>" => group.add(Op::GreaterEq, &partial),
                "<" => group.add(Op::Less, &partial),
                "<=" | "=<" => group.add(Op::LessEq, &partial),
                "~" | "~>" => group.add(Op::Tilde, &partial),
                "^" => group.add(Op::Caret, &partial),
                _ => return None,
            }
        }
        Some(group)
    }

    fn add(&mut self, op: Op, partial: &Partial) {
        use Comparison::{Above, AtLeast, AtMost, Below};
        self.names_prerelease |= !partial.pre.is_empty();
        let Some(major) = partial.major else { return };
        let first = partial.first();
        let next = partial.next();
        let whole = partial.patch.is_some();
        match op {
            Op::Greater if whole => self.comparisons.push(Above(first)),
            Op::Greater => self.comparisons.push(AtLeast(next)),
            Op::GreaterEq => self.comparisons.push(AtLeast(first)),
            Op::Less => self.comparisons.push(Below(first)),
            Op::LessEq if whole => self.comparisons.push(AtMost(first)),
            Op::LessEq => self.comparisons.push(Below(next)),
            Op::Exact if whole => self.comparisons.extend([AtLeast(first.clone()), AtMost(first)]),
            Op::Tilde => {
                let end = partial.minor.map_or_else(
                    || release_line(major.saturating_add(1), 0, 0),
                    |minor| release_line(major, minor.saturating_add(1), 0),
                );
                self.comparisons.extend([AtLeast(first), Below(end)]);
            }
            Op::Caret => {
                let end = match (major, partial.minor, partial.patch) {
                    (0, Some(0), Some(patch)) => release_line(0, 0, patch.saturating_add(1)),
                    (0, Some(minor), _) => release_line(0, minor.saturating_add(1), 0),
                    _ => release_line(major.saturating_add(1), 0, 0),
                };
                self.comparisons.extend([AtLeast(first), Below(end)]);
            }
            // `1.2`, `=1.2` and `1.2.*` mean every 1.2.
            _ => self.comparisons.extend([AtLeast(first), Below(next)]),
        }
    }

    fn exclude(&mut self, partial: &Partial) {
        self.names_prerelease |= !partial.pre.is_empty();
        let (first, mut end) = (partial.first(), partial.next());
        if partial.patch.is_some() && !partial.pre.is_empty() {
            end = Version { pre: Prerelease::EMPTY, ..first.clone() };
        }
        if partial.major.is_some() {
            self.comparisons.push(Comparison::Outside(first, end));
        }
    }

    fn admits(&self, version: &Version) -> bool {
        if !version.pre.is_empty() && !self.names_prerelease {
            return false;
        }
        let compare = |other: &Version| version.cmp_precedence(other);
        self.comparisons.iter().all(|comparison| match comparison {
            Comparison::AtLeast(bound) => compare(bound) != Ordering::Less,
            Comparison::Above(bound) => compare(bound) == Ordering::Greater,
            Comparison::Below(bound) => compare(bound) == Ordering::Less,
            Comparison::AtMost(bound) => compare(bound) != Ordering::Greater,
            Comparison::Outside(first, end) => {
                compare(first) == Ordering::Less || compare(end) != Ordering::Less
            }
        })
    }
}

impl Partial {
    /// Parses `1`, `v1.2`, `1.2.x`, `1.2.3-pre+build`, `*`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _build)| version);
        let (numbers, pre) = text.split_once('-').map_or((text, ""), |(numbers, pre)| (numbers, pre));
        let parts: Vec<&str> = numbers.split('.').collect();
        let mut values = [None; 3];
        if parts.len() > values.len() {
            return None;
        }
        let mut open = false;
        for (value, part) in values.iter_mut().zip(parts) {
            open |= matches!(part, "x" | "X" | "*");
            if !open {
                *value = Some(number(part)?);
            }
        }
        let [major, minor, patch] = values;
        Some(Self { major, minor, patch, pre: Prerelease::new(pre).ok()? })
    }

    /// The lowest version meant.
    fn first(&self) -> Version {
        let mut version =
            Version::new(self.major.unwrap_or(0), self.minor.unwrap_or(0), self.patch.unwrap_or(0));
        version.pre = self.pre.clone();
        version
    }

    /// The lowest version above all that are meant.
    fn next(&self) -> Version {
        let major = self.major.unwrap_or(0);
        match (self.minor, self.patch) {
            (Some(minor), Some(patch)) => release_line(major, minor, patch.saturating_add(1)),
            (Some(minor), None) => release_line(major, minor.saturating_add(1), 0),
            _ => release_line(major.saturating_add(1), 0, 0),
        }
    }
}

impl From<&Comparator> for Partial {
    fn from(comparator: &Comparator) -> Self {
        Self {
            major: Some(comparator.major),
            minor: comparator.minor,
            patch: comparator.patch,
            pre: comparator.pre.clone(),
        }
    }
}

/// The lowest version of a release line, its first prerelease: `<2` must not let `2.0.0-rc.1` in.
fn release_line(major: u64, minor: u64, patch: u64) -> Version {
    let mut version = Version::new(major, minor, patch);
    version.pre = Prerelease::new("0").unwrap_or_default();
    version
}

fn number(digits: &str) -> Option<u64> {
    let clean = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    clean.then(|| digits.parse().ok())?
}

/// A version as charts write them: an optional `v`, and missing parts are zero.
pub fn parse(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let core = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(core);
    let missing = 2_usize.checked_sub(numbers.matches('.').count())?;
    Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(missing))).ok()
}

/// `written` as one whole version: all three numbers are there.
fn exact(written: &str) -> Option<Version> {
    let bare = written.trim();
    Version::parse(bare.strip_prefix('v').unwrap_or(bare)).ok()
}

/// The chart version that a tag stands for.
pub fn version_of(tag: &str) -> String {
    tag.replace('_', "+")
}

/// Picks from the tags of an `oci://` chart: the version (with `+`; [`crate::oci::reference::version_tag`] gives the tag) that is
/// written exactly so, else the highest in the range. Tags that are no versions are passed over.
pub fn versions_from_tags(tags: &[String], wanted: &VersionReq, written: &str) -> Option<String> {
    Range::new(wanted, written).best_tag(tags)
}

impl Range {
    /// Like [`versions_from_tags`], for a range that is at hand.
    pub fn best_tag(&self, tags: &[String]) -> Option<String> {
        let versions: Vec<String> = tags.iter().map(|tag| version_of(tag)).collect();
        self.best(versions.iter(), |version| version.as_str()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helm(range: &str, version: &str) -> bool {
        Range::helm(range).unwrap().admits(&parse(version).unwrap())
    }

    #[test]
    fn helms_ranges() {
        for (range, yes, no) in [
            ("1.2.3", "1.2.3+b", "1.2.4"),
            ("=1.2", "1.2.9", "1.3.0"),
            ("1.x.x", "1.9.0", "2.0.0"),
            ("*", "0.0.1", "1.0.0-rc.1"),
            ("", "3.0.0", "3.0.0-alpha"),
            ("^1.2", "1.9.9", "2.0.0"),
            ("^0.2.3", "0.2.9", "0.3.0"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("~1.2.3", "1.2.9", "1.3.0"),
            ("~1", "1.9.0", "2.0.0"),
            (">= 1.0.0 < 2.0.0 || 3.x", "3.4.0", "2.1.0"),
            (">=1.0, <2", "1.5.0", "2.0.0"),
            ("1.2 - 1.4", "1.4.7", "1.5.0"),
            ("> 1.2", "1.3.0", "1.2.5"),
            ("<=1.2", "1.2.5", "1.3.0"),
            ("!=1.2", "1.3.0", "1.2.5"),
            ("v1.2.3", "v1.2.3", "1.2.2"),
            (">=1.0.0-0", "2.0.0-beta", "0.9.0"),
            ("^1.0.0-0", "1.1.0-beta", "2.0.0-beta"),
        ] {
            assert!(helm(range, yes), "{range} should admit {yes}");
            assert!(!helm(range, no), "{range} should not admit {no}");
        }
        for wrong in ["a", ">>1", "1.2.3.4", "1 -", ">= "] {
            assert_eq!(Range::helm(wrong).unwrap_err().reason, Reason::ChartMalformed, "{wrong}");
        }
    }

    #[test]
    fn a_manifests_range_and_its_exact_versions() {
        let range = |written: &str| Range::new(&VersionReq::parse(written).unwrap(), written);
        assert!(range(">=1.2, <2").admits(&parse("1.9.0").unwrap()));
        assert!(!range(">=1.2, <2").admits(&parse("1.9.0-rc.1").unwrap()));
        assert!(range(">=1.2.0-0").admits(&parse("2.0.0-rc.1").unwrap()));
        assert!(range("1.2.3").admits(&parse("v1.2.3").unwrap()));
        assert!(!range("1.2.3").admits(&parse("1.2.4").unwrap()));
        assert!(!range("1.2.3").admits(&parse("1.2.3+build").unwrap()));
        assert!(range("*").admits(&parse("1.2.3").unwrap()));
    }

    #[test]
    fn tags_carry_build_metadata() {
        let tags: Vec<String> =
            ["latest", "1.0.0", "1.2.0_build.5", "1.3.0-rc.1", "sha256-aa.sig"].map(str::to_owned).into();
        let pick = |written: &str| {
            let wanted = VersionReq::parse(written).unwrap_or(VersionReq::STAR);
            versions_from_tags(&tags, &wanted, written)
        };
        assert_eq!(pick(">=1").as_deref(), Some("1.2.0+build.5"));
        assert_eq!(crate::oci::reference::version_tag("1.2.0+build.5"), tags[2]);
        assert_eq!(pick("1.3.0-rc.1").as_deref(), Some("1.3.0-rc.1"));
        assert_eq!(pick("2.0.0"), None);
    }
}
