//! `index.yaml` of a classic chart repository (Helm, "The Chart Repository Guide").
//!
//! ```yaml
//! apiVersion: v1
//! entries:
//!   web:
//!   - version: 1.2.0
//!     urls: [web-1.2.0.tgz]
//!     digest: 512d84379eff7c922488c7b83cd962e49cd5354f4187f376831d6c0893c4caf2
//! ```

use std::collections::BTreeMap;

use semver::VersionReq;
use serde::Deserialize;

use super::{
    version::{self, Range},
    yaml,
};
use crate::base::{
    digest::{Algorithm, Digest},
    failure::{Failure, Reason, Result},
    limits, redact, text,
};

/// A repository's charts and versions.
#[derive(Debug, Clone)]
pub struct Index {
    charts: BTreeMap<String, Vec<Entry>>,
}

/// One version of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The version, as written.
    pub version: String,
    /// Where the archive is, perhaps relative to the index ([`resolve_url`]). Never empty when
    /// [`Index::find`] gave the entry.
    pub urls: Vec<String>,
    /// SHA-256 of the archive, if the repository tells.
    pub digest: Option<Digest>,
    /// What keeps this entry from being used.
    fault: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawIndex {
    #[serde(default, deserialize_with = "yaml::text")]
    api_version: String,
    #[serde(default, deserialize_with = "yaml::or_default")]
    entries: BTreeMap<String, Option<Vec<Option<RawEntry>>>>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(default, deserialize_with = "yaml::text")]
    version: String,
    #[serde(default, deserialize_with = "yaml::texts")]
    urls: Vec<String>,
    #[serde(default, deserialize_with = "yaml::text")]
    digest: String,
    #[serde(default, deserialize_with = "yaml::or_default")]
    removed: bool,
}

impl Index {
    /// Reads `index.yaml`. A faulty entry spoils only itself; a faulty document everything.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed = |message: String| {
            Failure::new(Reason::ChartMalformed, "index.yaml", message)
                .hint("check that the URL is that of a chart repository")
        };
        if bytes.len() as u64 > limits::CHART_INDEX_BYTES {
            let most = text::bytes(limits::CHART_INDEX_BYTES);
            return Err(malformed(format!("it is larger than {most}")));
        }
        let raw: RawIndex = yaml::parse(bytes, "the chart index").map_err(malformed)?;
        if raw.api_version.is_empty() {
            return Err(malformed("it names no apiVersion, so it is no chart index".to_owned()));
        }
        let charts = raw
            .entries
            .into_iter()
            .map(|(name, entries)| {
                let entries = entries.unwrap_or_default().into_iter().flatten();
                (name, entries.filter(|entry| !entry.removed).map(Entry::from).collect())
            })
            .collect();
        Ok(Self { charts })
    }

    /// The version that a manifest asks for: the one `written` exactly so, else the highest that matches.
    pub fn find(&self, name: &str, wanted: &VersionReq, written: &str) -> Result<&Entry> {
        self.select(name, &Range::new(wanted, written))
    }

    /// The same for a range at hand, as a chart's dependencies have it.
    pub fn select(&self, name: &str, range: &Range) -> Result<&Entry> {
        let shown = text::escaped(name, 100);
        let no_match = |message: String| Failure::new(Reason::NoMatch, &shown, message);
        let Some(entries) = self.charts.get(name) else {
            let failure = no_match("the repository has no such chart".to_owned());
            return Err(match self.closest(name) {
                Some(other) => failure.hint(format!("did you mean `{}`?", text::escaped(other, 100))),
                None => failure.hint("check the name and the repository"),
            });
        };
        let Some(entry) = range.best(entries.iter(), |entry| &entry.version) else {
            let message = format!("no version matches `{}`", text::escaped(range.written(), 100));
            return Err(no_match(message).hint(known_versions(entries)));
        };
        match entry.fault {
            None => Ok(entry),
            Some(fault) => Err(Failure::new(
                Reason::ChartMalformed,
                format!("{shown} {}", text::escaped(&entry.version, 100)),
                fault,
            )
            .hint("tell the owner of the repository, or choose another version")),
        }
    }

    fn closest(&self, name: &str) -> Option<&str> {
        self.charts
            .keys()
            .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known.as_str()))
            .filter(|(likeness, _)| *likeness >= 0.6)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, known)| known)
    }
}

impl From<RawEntry> for Entry {
    fn from(raw: RawEntry) -> Self {
        let hex = raw.digest.strip_prefix("sha256:").unwrap_or(&raw.digest);
        let digest = Digest::from_hex(Algorithm::Sha256, &hex.to_ascii_lowercase()).ok();
        let fault = if digest.is_none() && !hex.is_empty() {
            Some("the index gives a digest that is no SHA-256")
        } else if raw.urls.is_empty() {
            Some("the index gives no URL for it")
        } else {
            None
        };
        Self { version: raw.version, urls: raw.urls, digest, fault }
    }
}

/// The highest versions there are, for a hint.
fn known_versions(entries: &[Entry]) -> String {
    const SHOWN: usize = 8;
    let mut versions: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((version::parse(&entry.version)?, entry.version.as_str())))
        .collect();
    versions.sort_by(|(a, _), (b, _)| b.cmp(a));
    let more = versions.len().saturating_sub(SHOWN);
    let shown: Vec<String> =
        versions.iter().take(SHOWN).map(|(_, written)| text::escaped(written, 60)).collect();
    match (shown.is_empty(), more) {
        (true, _) => "the repository has no version of it".to_owned(),
        (false, 0) => format!("it has {}", shown.join(", ")),
        (false, more) => format!("it has {} and {more} older ones", shown.join(", ")),
    }
}

/// The full URL of an archive that the index below `base` names: `http`, `https` and `oci` stand as they
/// are, everything else is relative to the index, and cannot leave its server or folder by `..`.
pub fn resolve_url(base: &str, url: &str) -> Result<String> {
    let malformed = |what: &str| {
        let shown = text::escaped(&redact::url(url), 200);
        Failure::new(Reason::ChartMalformed, format!("chart URL `{shown}`"), what)
            .hint("tell the owner of the repository: its index.yaml names this URL")
    };
    let clean = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !clean(url) {
        return Err(malformed("is empty or holds a blank, backslash or other unusual character"));
    }
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    if decoded.split('/').any(|part| part == "..") {
        return Err(malformed("has `..` in its path"));
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let known = ["http", "https", "oci"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let host = rest.split(['/', '?', '#']).next().unwrap_or("");
        return if !known {
            Err(malformed("is of a scheme other than http, https and oci"))
        } else if host.is_empty() || host.contains('@') {
            Err(malformed("names no host, or names a user"))
        } else {
            Ok(format!("{}://{rest}", scheme.to_ascii_lowercase()))
        };
    }
    let first = path.split('/').next().unwrap_or("");
    if first.contains(':') {
        return Err(malformed("is of a scheme other than http, https and oci"));
    }
    let base = base.split(['?', '#']).next().unwrap_or(base).trim_end_matches('/');
    let (scheme, rest) = base.split_once("://").ok_or_else(|| malformed("has no base to be relative to"))?;
    let host = rest.split('/').next().unwrap_or(rest);
    match url.strip_prefix('/') {
        Some(inner) if inner.starts_with('/') => Err(malformed("names a host without a scheme")),
        Some(inner) => Ok(format!("{scheme}://{host}/{inner}")),
        None => Ok(format!("{base}/{}", url.strip_prefix("./").unwrap_or(url))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
apiVersion: v1
generated: "2026-01-01T00:00:00Z"
entries:
  web:
  - {version: 2.0.0-rc.1, urls: [web-2.0.0-rc.1.tgz]}
  - {version: v1.10.0, urls: [web-1.10.0.tgz], digest: sha256:512d84379eff7c922488c7b83cd962e49cd5354f4187f376831d6c0893c4caf2}
  - {version: 1.11.0, urls: [gone.tgz], removed: true}
  - version: 1.9.0+build
    urls: [web-1.9.0.tgz]
    appVersion: 1.10
    deprecated: yes
  - {version: 1.8.0, urls: [], digest: ""}
  - {version: 1.7.0, urls: [x.tgz], digest: abc}
  - {version: not-a-version, urls: [x.tgz]}
  -
  empty:
"#;

    fn find<'a>(index: &'a Index, name: &str, written: &str) -> Result<&'a Entry> {
        let wanted = VersionReq::parse(written.trim_start_matches('v')).unwrap_or(VersionReq::STAR);
        index.find(name, &wanted, written)
    }

    #[test]
    fn versions_are_chosen_as_helm_does() {
        let index = Index::parse(SMALL.as_bytes()).unwrap();
        let version = |written: &str| find(&index, "web", written).map(|entry| entry.version.clone());
        assert_eq!(version("*").unwrap(), "v1.10.0");
        assert_eq!(version("1.10.0").unwrap(), "v1.10.0");
        assert_eq!(version(">=1, <1.10").unwrap(), "1.9.0+build");
        assert_eq!(version("1.9.0+build").unwrap(), "1.9.0+build");
        assert_eq!(version(">=2.0.0-0").unwrap(), "2.0.0-rc.1");
        assert_eq!(version("not-a-version").unwrap(), "not-a-version");
        assert!(find(&index, "web", "v1.10.0").unwrap().digest.is_some());
        for (written, reason) in [
            ("1.9.0", Reason::NoMatch),
            ("1.11.0", Reason::NoMatch),
            (">=3", Reason::NoMatch),
            ("1.8.0", Reason::ChartMalformed),
            ("1.7.0", Reason::ChartMalformed),
        ] {
            assert_eq!(version(written).unwrap_err().reason, reason, "{written}");
        }
    }

    #[test]
    fn what_is_missing_comes_with_a_hint() {
        let index = Index::parse(SMALL.as_bytes()).unwrap();
        let failure = find(&index, "wbe", "*").unwrap_err();
        assert_eq!(failure.reason, Reason::NoMatch);
        assert!(failure.hint.unwrap().contains("`web`"));
        let failure = find(&index, "web", ">=3").unwrap_err();
        assert!(failure.hint.unwrap().starts_with("it has 2.0.0-rc.1, v1.10.0, 1.9.0+build"));
        assert_eq!(find(&index, "empty", "*").unwrap_err().reason, Reason::NoMatch);
    }

    #[test]
    fn documents_that_are_no_index_are_refused() {
        let bomb = format!(
            "apiVersion: v1\na: &a [{0}]\nb: &b [{1}]\nc: &c [{2}]\nd: &d [{3}]\nentries: {{}}\ne: [{4}]\n",
            vec!["x"; 100].join(","),
            vec!["*a"; 100].join(","),
            vec!["*b"; 100].join(","),
            vec!["*c"; 100].join(","),
            vec!["*d"; 100].join(","),
        );
        let deep = format!("apiVersion: v1\nentries: {}", "[".repeat(100_000));
        for wrong in [
            "",
            "<html>not found</html>",
            "entries: {}",
            "apiVersion: v1\nentries: {a: [], a: []}",
            "apiVersion: v1\nentries: {a: [{version: 1.0.0, version: 1.0.1}]}",
            &bomb,
            &deep,
        ] {
            assert_eq!(Index::parse(wrong.as_bytes()).unwrap_err().reason, Reason::ChartMalformed);
        }
    }

    #[test]
    fn a_real_size_index_passes() {
        use std::fmt::Write as _;
        let mut text = String::from("apiVersion: v1\nentries:\n");
        for chart in 0..200 {
            let _infallible = writeln!(text, "  chart-{chart}:");
            for version in 0..100 {
                let _infallible = write!(
                    text,
                    "  - apiVersion: v2\n    appVersion: \"{version}\"\n    created: \"2026-01-01T00:00:00Z\"\n    \
                     description: {}\n    digest: {}\n    home: https://example.com\n    keywords: [a, b, c]\n    \
                     maintainers:\n    - {{name: somebody, email: somebody@example.com}}\n    name: chart-{chart}\n    \
                     sources: [https://example.com]\n    urls:\n    - chart-{chart}-1.{version}.0.tgz\n    version: 1.{version}.0\n",
                    "words ".repeat(12),
                    "a".repeat(64),
                );
            }
        }
        assert!(text.len() > 8_000_000);
        let index = Index::parse(text.as_bytes()).unwrap();
        assert_eq!(find(&index, "chart-7", "<1.50").unwrap().version, "1.49.0");
    }

    #[test]
    fn urls_stay_where_they_belong() {
        let base = "https://example.com:8443/stable/";
        for (url, full) in [
            ("web-1.tgz", "https://example.com:8443/stable/web-1.tgz"),
            ("./a/web-1.tgz?x=1", "https://example.com:8443/stable/a/web-1.tgz?x=1"),
            ("/other/web-1.tgz", "https://example.com:8443/other/web-1.tgz"),
            ("HTTP://other.example.com/w.tgz", "http://other.example.com/w.tgz"),
            ("oci://registry.example.com/charts/web:1.0.0", "oci://registry.example.com/charts/web:1.0.0"),
        ] {
            assert_eq!(resolve_url(base, url).unwrap(), full);
        }
        for wrong in [
            "",
            "../web.tgz",
            "a/../../web.tgz",
            "%2e%2E/web.tgz",
            "a%2f..%2fweb.tgz",
            "//evil.example.com/web.tgz",
            "file:///etc/passwd",
            "ftp://x/y",
            "javascript:x",
            "http://u:p@host/x",
            "http:///x",
            "a b",
            "a\\b",
            "a\nb",
        ] {
            assert_eq!(resolve_url(base, wrong).unwrap_err().reason, Reason::ChartMalformed, "{wrong}");
        }
    }
}
