//! Which tags of a repository a filter selects. Pure: names in, names out.

use regex::Regex;
use semver::Version;

use crate::{
    base::failure::{Failure, Reason, Result},
    manifest::TagFilter,
};

/// Applies `filter` to `tags`; the result is ordered, newest first. Cosign's and fallback tags are never
/// selected.
pub(super) fn select(tags: &[String], filter: &TagFilter) -> Result<Vec<String>> {
    let regex = match &filter.regex {
        Some(regex) => Some(Regex::new(&format!("^(?:{regex})$")).map_err(|error| {
            Failure::new(Reason::ManifestValue, regex, format!("no regular expression: {error}"))
        })?),
        None => None,
    };
    let mut chosen: Vec<(Option<Version>, &String)> = tags
        .iter()
        .filter(|tag| !is_digest_tag(tag))
        .filter(|tag| !filter.exclude.iter().any(|pattern| glob(pattern, tag)))
        .filter(|tag| regex.as_ref().is_none_or(|regex| regex.is_match(tag)))
        .map(|tag| (version(tag), tag))
        .filter(|(version, _)| {
            filter
                .semver
                .as_ref()
                .is_none_or(|range| version.as_ref().is_some_and(|version| range.matches(version)))
        })
        .collect();
    chosen.sort_by(|a, b| b.cmp(a));
    chosen.truncate(filter.latest.unwrap_or(usize::MAX));
    Ok(chosen.into_iter().map(|(_, tag)| tag.clone()).collect())
}

/// The version that a tag states: `v` in front and missing parts are usual (`v1.27`, `3`).
fn version(tag: &str) -> Option<Version> {
    let bare = tag.strip_prefix('v').unwrap_or(tag);
    let (numbers, rest) = bare.find(['-', '+', '_']).map_or((bare, ""), |at| bare.split_at(at));
    let missing = 3_usize.checked_sub(numbers.split('.').count())?;
    Version::parse(&format!("{numbers}{}{}", ".0".repeat(missing), rest.replacen('_', "+", 1))).ok()
}

/// Tags that stand for something about a digest: `sha256-<hex>`, with or without `.sig`, `.att`, `.sbom`.
fn is_digest_tag(tag: &str) -> bool {
    tag.strip_prefix("sha256-")
        .is_some_and(|rest| rest.get(..64).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())))
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(filter: &TagFilter) -> Vec<String> {
        let tags =
            ["1.0", "1.9.1", "v1.10.0", "2.0.0-rc.1", "2.0.0", "latest", "1.10.0-debug"].map(str::to_owned);
        let mut tags = tags.to_vec();
        tags.push(format!("sha256-{}.sig", "0".repeat(64)));
        select(&tags, filter).unwrap()
    }

    #[test]
    fn versions_order_by_number() {
        let filter = TagFilter { semver: Some(">=1.0, <2".parse().unwrap()), ..TagFilter::default() };
        assert_eq!(chosen(&filter), ["v1.10.0", "1.9.1", "1.0"]);
        let filter = TagFilter { latest: Some(2), ..filter };
        assert_eq!(chosen(&filter), ["v1.10.0", "1.9.1"]);
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = TagFilter {
            regex: Some(r"v?1\..*".into()),
            exclude: vec!["*-debug".into()],
            ..TagFilter::default()
        };
        assert_eq!(chosen(&filter), ["v1.10.0", "1.9.1", "1.0"]);
        assert_eq!(chosen(&TagFilter::default()).len(), 7);
        let wrong = TagFilter { regex: Some("(".into()), ..TagFilter::default() };
        assert_eq!(select(&[], &wrong).unwrap_err().reason, Reason::ManifestValue);
    }

    #[test]
    fn globs() {
        assert!(glob("*-debug", "1-debug"));
        assert!(glob("1.*.0", "1.10.0"));
        assert!(glob("*", ""));
        assert!(!glob("1.*", "2.0"));
        assert!(!glob("a*a", "a"));
        assert!(glob("exact", "exact"));
        assert!(!glob("exact", "exactly"));
    }
}
