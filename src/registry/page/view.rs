//! What a person looks at, read once from path and query. Repository names hold slashes and may hold any word, so what
//! follows one begins with a character that none holds: `NAME:TAG`, `NAME@DIGEST`, as everywhere else.

use axum::{extract, http::Uri};

use super::super::{api::ROOT, respond::Refusal, respond::percent_encoded};
use crate::{
    base::{clock::Timestamp, digest::Digest, limits},
    oci::{error_code, reference},
    store::{After, Target, Wanted},
};

/// A page, or what a page needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum View {
    /// `/`: the repositories.
    Start,
    /// `/r/NAME`: a repository and its tags.
    Repository {
        /// Its name.
        name: String,
    },
    /// `/r/NAME:TAG` or `/r/NAME@DIGEST`: a manifest and what it leads to.
    Manifest {
        /// The repository.
        name: String,
        /// Which one.
        target: Target,
    },
    /// `/history/NAME:TAG`: where a tag led.
    History {
        /// The repository.
        name: String,
        /// The tag.
        tag: String,
    },
    /// `/api/v1`: what can be asked of the admin API.
    Api,
    /// `/login`: where browsers ask for a password.
    Login,
    /// `/style.css`.
    Style,
}

impl View {
    /// Reads the path as it stands in the request, as the endpoints do (threats J17).
    pub(in crate::registry) fn parse(uri: &Uri) -> Result<Self, Refusal> {
        if uri.path().len() + uri.query().map_or(0, str::len) > limits::REQUEST_TARGET_BYTES {
            return Err(Refusal::of(error_code::NAME_INVALID));
        }
        let unknown = || Refusal::of(error_code::ENDPOINT_UNKNOWN);
        match uri.path() {
            "/" => return Ok(Self::Start),
            "/login" => return Ok(Self::Login),
            "/style.css" => return Ok(Self::Style),
            ROOT => return Ok(Self::Api),
            _ => {}
        }
        if let Some(rest) = uri.path().strip_prefix("/history/") {
            let (name, tag) = rest.split_once(':').ok_or_else(unknown)?;
            return Ok(Self::History { name: repository(name)?, tag: self::tag(tag)? });
        }
        let rest = uri.path().strip_prefix("/r/").ok_or_else(unknown)?;
        if let Some((name, digest)) = rest.split_once('@') {
            let digest = Digest::parse(digest).map_err(|_why| Refusal::of(error_code::DIGEST_INVALID))?;
            return Ok(Self::Manifest { name: repository(name)?, target: Target::Digest(digest) });
        }
        if let Some((name, tag)) = rest.split_once(':') {
            return Ok(Self::Manifest { name: repository(name)?, target: Target::Tag(self::tag(tag)?) });
        }
        Ok(Self::Repository { name: repository(rest)? })
    }

    /// The repository that it shows; none where it shows no single one.
    pub(in crate::registry) fn repository(&self) -> Option<&str> {
        match self {
            Self::Start | Self::Api | Self::Login | Self::Style => None,
            Self::Repository { name } | Self::Manifest { name, .. } | Self::History { name, .. } => {
                Some(name)
            }
        }
    }

    /// The tag or digest that it shows.
    pub(in crate::registry) fn reference(&self) -> Option<String> {
        match self {
            Self::Manifest { target: Target::Digest(digest), .. } => Some(digest.to_string()),
            Self::Manifest { target: Target::Tag(tag), .. } | Self::History { tag, .. } => Some(tag.clone()),
            _ => None,
        }
    }

    /// What it is called where requests are counted.
    pub(in crate::registry) fn route(&self) -> &'static str {
        match self {
            Self::Start => "page-start",
            Self::Repository { .. } => "page-repository",
            Self::Manifest { .. } => "page-manifest",
            Self::History { .. } => "page-history",
            Self::Api => "page-api",
            Self::Login => "page-login",
            Self::Style => "page-style",
        }
    }
}

/// Whether a request is for a page: for those the answer is one too, also where there is nothing.
pub(in crate::registry) fn is_page(uri: &Uri) -> bool {
    let path = uri.path();
    matches!(path, "/" | "/login" | "/style.css" | ROOT)
        || path.starts_with("/r/")
        || path.starts_with("/history/")
}

fn repository(name: &str) -> Result<String, Refusal> {
    let valid = reference::is_repository(name);
    valid.then(|| name.to_owned()).ok_or_else(|| Refusal::of(error_code::NAME_INVALID))
}

fn tag(tag: &str) -> Result<String, Refusal> {
    let valid = reference::is_tag(tag);
    valid.then(|| tag.to_owned()).ok_or_else(|| Refusal::of(error_code::TAG_INVALID))
}

/// What the form of a list asks for, as it was filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) platform: String,
    pub(super) label: String,
    pub(super) moved: Moved,
    pub(super) days: u64,
    /// The last entry of the page before.
    pub(super) after: Option<String>,
    /// Where to after a login.
    pub(super) to: Option<String>,
}

/// Whether it matters when a tag was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Moved {
    #[default]
    AnyTime,
    Within,
    Before,
}

/// Days that are proposed.
const DAYS: u64 = 30;
/// A hundred years.
const MOST_DAYS: u64 = 36_525;

impl Filter {
    pub(super) fn parse(uri: &Uri) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::of(error_code::PAGINATION_INVALID).detail(what);
        let extract::Query(written) = extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| wrong(&error.body_text()))?;
        let mut filter = Self { days: DAYS, ..Self::default() };
        let mut seen = Vec::new();
        for (name, value) in written {
            if value.contains('\0') {
                return Err(wrong("a field holds a character that nothing has"));
            }
            let value = value.trim();
            match name.as_str() {
                "name" => value.clone_into(&mut filter.name),
                "platform" => value.clone_into(&mut filter.platform),
                "label" => value.clone_into(&mut filter.label),
                "after" => filter.after = Some(value.to_owned()),
                "to" => filter.to = Some(value.to_owned()),
                "moved" => {
                    filter.moved = match value {
                        "" => Moved::AnyTime,
                        "within" => Moved::Within,
                        "before" => Moved::Before,
                        _ => return Err(wrong("“Tag moved” is one of its three choices")),
                    }
                }
                "days" if value.is_empty() => {}
                "days" => {
                    let days = value.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days));
                    filter.days =
                        days.ok_or_else(|| wrong("the days are a whole number, of a hundred years at most"))?;
                }
                _ => continue,
            }
            if seen.contains(&name) {
                return Err(wrong("a field is given twice"));
            }
            seen.push(name);
        }
        Ok(filter)
    }

    /// As the store is asked.
    pub(super) fn wanted(&self, now: Timestamp) -> Wanted {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let then = Timestamp::from_seconds(now.seconds().saturating_sub(self.days.saturating_mul(86_400)));
        let label = given(&self.label).map(|label| match label.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (label, None),
        });
        Wanted {
            name: given(&self.name),
            platform: given(self.platform.trim_matches('/')),
            label,
            since: then.filter(|_then| self.moved == Moved::Within),
            until: then.filter(|_then| self.moved == Moved::Before),
        }
    }

    /// The tag after which a page of tags begins.
    pub(super) fn after_tag(&self) -> Result<Option<After>, Refusal> {
        let Some(after) = &self.after else { return Ok(None) };
        let read = || {
            let (moved, tag) = after.split_once(':')?;
            let moved = moved.parse().ok()?;
            reference::is_tag(tag).then(|| After { moved, tag: tag.to_owned() })
        };
        read()
            .map(Some)
            .ok_or_else(|| Refusal::of(error_code::PAGINATION_INVALID).detail("there is no such page"))
    }

    /// The query that asks for the same, from this entry on; with its question mark.
    pub(super) fn query(&self, after: Option<&str>) -> String {
        let (moved, days) = match self.moved {
            Moved::AnyTime => ("", String::new()),
            Moved::Within => ("within", self.days.to_string()),
            Moved::Before => ("before", self.days.to_string()),
        };
        let all = [
            ("name", self.name.as_str()),
            ("platform", &self.platform),
            ("label", &self.label),
            ("moved", moved),
            ("days", &days),
            ("after", after.unwrap_or_default()),
        ];
        let given = all.iter().filter(|(_, value)| !value.is_empty());
        let given: Vec<String> =
            given.map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
    }

    /// Whether something is asked for.
    pub(super) fn is_set(&self) -> bool {
        !self.query(None).is_empty()
    }
}

/// The page that somebody comes from who logs in: one of ours, or the start.
pub(super) fn back(to: Option<&str>) -> String {
    let ours = |to: &&str| {
        let uri = to.parse::<Uri>();
        to.starts_with('/')
            && !to.starts_with("//")
            && uri.is_ok_and(|uri| {
                uri.authority().is_none() && View::parse(&uri).is_ok_and(|view| view != View::Login)
            })
    };
    to.filter(ours).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<View, u16> {
        View::parse(&path.parse().unwrap()).map_err(|refusal| refusal.code().status)
    }

    #[test]
    fn a_name_may_hold_any_word() {
        let digest = Digest::of(b"x");
        for name in ["tags", "a/tags", "history/a", "a/r", "login", "docker.io_443/library/x"] {
            let name = name.to_owned();
            assert_eq!(parse(&format!("/r/{name}")), Ok(View::Repository { name: name.clone() }));
            let target = Target::Tag("1.0".into());
            assert_eq!(parse(&format!("/r/{name}:1.0")), Ok(View::Manifest { name: name.clone(), target }));
            let target = Target::Digest(digest.clone());
            assert_eq!(
                parse(&format!("/r/{name}@{digest}")),
                Ok(View::Manifest { name: name.clone(), target })
            );
            assert_eq!(parse(&format!("/history/{name}:x")), Ok(View::History { name, tag: "x".into() }));
        }
        for (path, status) in [
            ("/r/A", 400),
            ("/r/a/", 400),
            ("/r/a/../b", 400),
            ("/r/a%2fb", 400),
            ("/r/a:", 404),
            ("/r/a:.x", 404),
            ("/r/a@sha256:beef", 400),
            ("/r/a:1@x", 400),
            ("/history/a", 404),
            ("/history/A:1", 400),
            ("/elsewhere", 404),
            (&format!("/r/{}", "a/".repeat(5000)), 400),
        ] {
            assert_eq!(parse(path), Err(status), "{path}");
        }
    }

    #[test]
    fn filters_are_read_and_written_alike() {
        let read = |query: &str| Filter::parse(&format!("/?{query}").parse().unwrap());
        let query = "?name=a%20b&platform=linux/arm64&label=k%3Dv%26w&moved=before&days=7";
        let filter = read(&query[1..]).unwrap();
        assert_eq!(filter.query(None), query);
        assert_eq!(filter.query(Some("1:x")), format!("{query}&after=1%3Ax"));
        let now = Timestamp::from_seconds(100 * 86_400).unwrap();
        let wanted = filter.wanted(now);
        assert_eq!(wanted.label, Some(("k".into(), Some("v&w".into()))));
        assert_eq!((wanted.since, wanted.until), (None, Timestamp::from_seconds(93 * 86_400)));
        // As a browser sends the form that nobody filled in.
        let empty = read("name=&platform=&label=&moved=&days=30").unwrap();
        assert!(empty.wanted(now).is_all() && !empty.is_set());
        assert_eq!(read("label=k&moved=within&days=").unwrap().wanted(now).label, Some(("k".into(), None)));
        assert!(read("moved=within&days=999").unwrap().wanted(now).since.is_some());
        for wrong in ["days=0", "days=x", "days=99999", "moved=x", "name=a&name=b", "name=%00"] {
            assert_eq!(read(wrong).unwrap_err().code().status, 400, "{wrong}");
        }
        let after = |query: &str| read(query).unwrap().after_tag().map_err(|refusal| refusal.code().status);
        assert_eq!(after("after=5:v1"), Ok(Some(After { moved: 5, tag: "v1".into() })));
        assert_eq!(
            (after("after=x"), after("after=x:v"), after("after=1:.")),
            (Err(400), Err(400), Err(400))
        );
    }

    /// Nobody is sent elsewhere by a link that logs in.
    #[test]
    fn a_login_leads_back_to_a_page_of_ours() {
        for ours in ["/", "/r/a/b:1", "/history/a:1", "/?name=x"] {
            assert_eq!(back(Some(ours)), ours);
        }
        for other in [
            "//evil.example/r/a",
            "https://evil.example/",
            "/\\evil.example",
            "\\/evil",
            "evil",
            "/login",
            "/v2/x",
            "/r/a%0d%0a",
            "",
        ] {
            assert_eq!(back(Some(other)), "/", "{other}");
        }
        assert_eq!(back(None), "/");
    }
}
