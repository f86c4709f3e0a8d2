//! Patterns of repository names and of tags.

use std::fmt;

use crate::{
    base::{text, written::Wrong},
    oci::reference::SANDBOX,
};

/// Bytes of a pattern: as many as a repository name may have.
const LONGEST: usize = 255;

/// A segment of a pattern that stands for any number of segments.
const ANY: &str = "**";

/// Which names are meant: `*` is any text without a slash, `**` between slashes any number of segments, none too.
///
/// Matching never tries more than the last wildcard anew, so that it takes at most the product of both lengths,
/// whatever the pattern (threats X09).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    segments: Vec<String>,
}

impl Pattern {
    /// A pattern of repository names.
    pub(super) fn repositories(input: &str) -> Result<Self, Wrong> {
        let wrong = |what: &str, hint: &str| {
            Err(Wrong::value(format!("`{}` {what}", text::escaped(input, 300)), hint))
        };
        if input.is_empty() || input.len() > LONGEST {
            return wrong(
                "is no pattern of repositories",
                "write 1 to 255 letters; ** means every repository",
            );
        }
        if input.starts_with('/') || input.ends_with('/') || input.contains("//") {
            return wrong(
                "has an empty segment",
                "write segments between single slashes, such as apps/** or apps/*",
            );
        }
        if input.contains(':') {
            return wrong(
                "has a colon",
                "in the names of a site, a port stands after _: registry.example.com_5000/**",
            );
        }
        if input.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return wrong("has a capital letter", "repositories are written in small letters");
        }
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/*".contains(&byte);
        if !input.bytes().all(known) {
            return wrong(
                "has a character that no repository has",
                "use a-z 0-9 . _ - and /, * for any text in a segment, ** for any number of segments",
            );
        }
        if input.split('/').any(|segment| segment != ANY && segment.contains(ANY)) {
            return wrong("has ** beside other text", "** is a segment of its own: apps/** or **/cache");
        }
        Ok(Self { segments: input.split('/').map(str::to_owned).collect() })
    }

    /// Reads a pattern of repository names that was typed.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(input: &str) -> Result<Self, String> {
        Self::repositories(input).map_err(|wrong| format!("{}; {}", wrong.message, wrong.hint))
    }

    /// The pattern of every name.
    pub(super) fn everything() -> Self {
        Self { segments: vec![ANY.to_owned()] }
    }

    /// A pattern of tags.
    pub(super) fn tags(input: &str) -> Result<Self, Wrong> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte);
        if input.is_empty() || input.len() > LONGEST || !input.bytes().all(known) || input.contains(ANY) {
            let message = format!("`{}` is no pattern of tags", text::escaped(input, 300));
            return Err(Wrong::value(
                message,
                "use letters, digits and . _ - with * for any text, such as v*",
            ));
        }
        Ok(Self { segments: vec![input.to_owned()] })
    }

    /// Whether it means this name.
    pub fn matches(&self, name: &str) -> bool {
        self.matches_split(&name.split('/').collect::<Vec<_>>())
    }

    /// The same for a name that is split at its slashes, once for many patterns.
    pub(super) fn matches_split(&self, name: &[&str]) -> bool {
        let fits = |pattern: &String, segment: &&str| {
            // Only of another pattern, see `covers`.
            *segment != ANY
                && greedy(
                    pattern.as_bytes(),
                    segment.as_bytes(),
                    |byte| *byte == b'*',
                    |one, other| one == other,
                )
        };
        greedy(&self.segments, name, |segment| segment == ANY, fits)
    }

    /// Whether it surely means every name that `other` means: a wildcard there is matched only by one here.
    pub fn covers(&self, other: &Self) -> bool {
        let other: Vec<&str> = other.segments.iter().map(String::as_str).collect();
        self.matches_split(&other)
    }

    /// Whether it means names below `sandbox/` alone.
    pub(super) fn is_sandbox(&self) -> bool {
        self.segments.first().is_some_and(|first| first == SANDBOX.trim_end_matches('/'))
    }

    /// What every name begins with that it means.
    pub(super) fn prefix(&self) -> String {
        let mut prefix = String::new();
        for (at, segment) in self.segments.iter().enumerate() {
            // The slash before ** is not there where it stands for nothing.
            if segment == ANY {
                break;
            }
            if at > 0 {
                prefix.push('/');
            }
            let literal = segment.split('*').next().unwrap_or_default();
            prefix.push_str(literal);
            if literal != segment {
                break;
            }
        }
        prefix
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.segments.join("/"))
    }
}

/// Whether `text` is what `pattern` describes, where some elements of that stand for anything. The first match of what
/// stands between two of those leaves the most for the rest: so only the last of them is ever tried anew.
fn greedy<P, T>(
    pattern: &[P],
    text: &[T],
    is_any: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut again = None;
    while let Some(element) = text.get(read) {
        match pattern.get(at) {
            Some(any) if is_any(any) => {
                at += 1;
                again = Some((at, read));
            }
            Some(one) if fits(one, element) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, from)) = again else { return false };
                at = after;
                read = from + 1;
                again = Some((after, read));
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(is_any)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::repositories(text).unwrap_or_else(|wrong| panic!("{text}: {}", wrong.message))
    }

    #[test]
    fn what_patterns_mean() {
        for (written, yes, no) in [
            ("**", "a b/c d.e/f/g", ""),
            ("*", "a abc", "a/b"),
            ("apps/**", "apps apps/a apps/a/b", "app appsx apps-x/a"),
            ("apps/*", "apps/a", "apps apps/a/b"),
            ("apps/*/prod", "apps/a/prod", "apps/prod apps/a/b/prod"),
            ("**/prod", "prod a/prod a/b/prod", "a/prod/b aprod"),
            ("a/**/b/**/c", "a/b/c a/x/b/y/z/c a/b/b/c/c", "a/c a/b a/c/b"),
            ("team-*/x*y", "team-a/xy team-b/xzzy", "team-a/x team/xy team-a/xy/z"),
            (
                "docker.io/library/nginx",
                "docker.io/library/nginx",
                "docker.io/library/nginx2 dockerxio/library/nginx",
            ),
        ] {
            for name in yes.split_whitespace() {
                assert!(pattern(written).matches(name), "{written} {name}");
                assert!(name.starts_with(&pattern(written).prefix()), "{written} {name}");
            }
            for name in no.split_whitespace() {
                assert!(!pattern(written).matches(name), "{written} {name}");
            }
            assert_eq!(pattern(written).to_string(), written);
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let long = "a".repeat(256);
        for wrong in [
            "", "/a", "a/", "a//b", "A", "a:5000/b", "a?", "[a]", "{a,b}", "a**", "a/**b", "***", "a b",
            "!a", &long,
        ] {
            assert!(Pattern::repositories(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "a/b", "**", "v?", &long] {
            assert!(Pattern::tags(wrong).is_err(), "{wrong}");
        }
        assert!(Pattern::tags("V1.*-rc_*").unwrap().matches("V1.2-rc_3"));
    }

    #[test]
    fn one_pattern_covers_another() {
        for (wide, narrow, covers) in [
            ("**", "a/*/b", true),
            ("apps/**", "apps/*", true),
            ("apps/**", "apps/**", true),
            ("apps/*", "apps/**", false),
            ("apps/*", "apps/a*", true),
            ("apps/a*", "apps/*", false),
            ("**/x", "a/**/x", true),
            ("*/x", "**/x", false),
            ("a*c", "a*b*c", true),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), covers, "{wide} {narrow}");
        }
    }

    /// The meaning, written down without regard for time.
    fn naive_path(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern, name) {
            ([], _) => name.is_empty(),
            ([ANY, rest @ ..], _) => (0..=name.len()).any(|skipped| naive_path(rest, &name[skipped..])),
            ([first, rest @ ..], [segment, others @ ..]) => {
                naive_text(first.as_bytes(), segment.as_bytes()) && naive_path(rest, others)
            }
            (_, []) => false,
        }
    }

    fn naive_text(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| naive_text(rest, &text[skipped..])),
            ([first, rest @ ..], [byte, others @ ..]) => first == byte && naive_text(rest, others),
            (_, []) => false,
        }
    }

    fn patterns() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]{1,2}|[ab*]{1,4}|\\*\\*", 1..5)
            .prop_map(|segments| segments.join("/"))
            .prop_filter("a pattern", |text| Pattern::repositories(text).is_ok())
    }

    fn names() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]{1,3}", 1..6).prop_map(|segments| segments.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn fast_and_naive_agree(written in patterns(), name in names()) {
            let segments = |text: &'_ str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
            let (wanted, split) = (segments(&written), segments(&name));
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let split: Vec<&str> = split.iter().map(String::as_str).collect();
            let found = pattern(&written).matches(&name);
            prop_assert_eq!(found, naive_path(&wanted, &split));
            prop_assert!(!found || name.starts_with(&pattern(&written).prefix()));
        }

        #[test]
        fn what_is_covered_is_matched(wide in patterns(), narrow in patterns(), name in names()) {
            let (wide, narrow) = (pattern(&wide), pattern(&narrow));
            if wide.covers(&narrow) && narrow.matches(&name) {
                prop_assert!(wide.matches(&name), "{wide} {narrow} {name}");
            }
        }
    }
}
