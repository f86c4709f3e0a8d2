//! `WWW-Authenticate`: what a server asks for, and to whom an answer may go.

use std::collections::BTreeMap;

use super::hosts::{Origin, address};
use crate::base::limits;

/// One challenge (RFC 9110 section 11.6.1): scheme in lower case, parameters by name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: BTreeMap<String, String>,
}

/// Parses a header with one or more challenges. What does not follow the grammar ends the list.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut list: Vec<Challenge> = Vec::new();
    if header.len() > limits::CHALLENGE_BYTES {
        return list;
    }
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return list;
        }
        let after = after.trim_start_matches([' ', '\t']);
        match (after.strip_prefix('='), list.last_mut()) {
            (Some(value), Some(challenge)) => {
                let Some((value, after)) = parameter(value.trim_start_matches([' ', '\t'])) else {
                    return list;
                };
                challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                rest = after;
            }
            (Some(_), None) => return list,
            (None, _) => {
                list.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// A token or quoted string, and what follows.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = token(text);
        return Some((word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, quoted.get(at + 1..)?)),
            _ => value.push(c),
        }
    }
    None
}

/// Domains below which anyone can get a name: two hosts there have nothing in common.
const SHARED: [&str; 12] = [
    "amazonaws.com",
    "azurecr.io",
    "azurewebsites.net",
    "cloudapp.net",
    "cloudfront.net",
    "github.io",
    "gitlab.io",
    "googleapis.com",
    "herokuapp.com",
    "jfrog.io",
    "pkg.dev",
    "run.app",
];

/// Token servers that belong to a registry though their names do not tell.
const KNOWN: [(&str, &str); 1] = [("registry-1.docker.io", "auth.docker.io")];

/// What the token server named by a registry may receive (threats N01).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Realm {
    /// Credentials: it belongs to the registry.
    Trusted,
    /// A request without credentials.
    Anonymous,
    /// Nothing at all.
    Refused(&'static str),
}

/// Judges the token server `realm` that `registry` names.
pub(super) fn judge(registry: &Origin, realm: &Origin) -> Realm {
    if realm.scheme != "https" && registry.scheme == "https" {
        return Realm::Refused("it is not https");
    }
    if realm.host == registry.host {
        return Realm::Trusted;
    }
    if let Some(address) = address(&realm.host) {
        // A number that is not the registry's own can only be meant for something inside our network.
        let inside = match address {
            std::net::IpAddr::V4(v4) => {
                v4.is_private() || v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast()
            }
            std::net::IpAddr::V6(v6) => {
                v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified()
            }
        };
        if inside {
            return Realm::Refused("it is an address inside our own network");
        }
    }
    if realm.is_loopback() && !registry.is_loopback() {
        return Realm::Refused("it is this machine");
    }
    let known = KNOWN.contains(&(registry.host.as_str(), realm.host.as_str()));
    let related = known || site(&registry.host).is_some_and(|name| site(&realm.host) == Some(name));
    if related { Realm::Trusted } else { Realm::Anonymous }
}

/// The registrable domain of a host: its last two labels, or three below a country's `co`, `com` and the
/// like; `None` for numbers and for domains that strangers share.
fn site(host: &str) -> Option<&str> {
    if address(host).is_some() || host.ends_with('.') {
        return None;
    }
    let mut labels = host.rsplit('.');
    let (top, second) = (labels.next()?, labels.next()?);
    let mut length = top.len() + 1 + second.len();
    if top.len() == 2 && second.len() <= 3 {
        length += labels.next()?.len() + 1;
    }
    let name = host.get(host.len().checked_sub(length)?..)?;
    (!SHARED.contains(&name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_parsed() {
        let list = parse(
            r#"Basic realm="a, \"b\"", Bearer realm="https://auth.x/token",service=reg , scope="repository:a:pull,push""#,
        );
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].parameters["realm"], "a, \"b\"");
        assert_eq!(list[1].scheme, "bearer");
        assert_eq!(list[1].parameters["service"], "reg");
        assert_eq!(list[1].parameters["scope"], "repository:a:pull,push");
        for (header, count) in [
            ("", 0),
            ("=", 0),
            ("realm=x", 0),
            ("Basic", 1),
            (r#"Bearer realm="open"#, 1),
            (r#"Bearer realm="x" é"#, 1),
            (&format!("Bearer realm={}", "x".repeat(9000)), 0),
        ] {
            assert_eq!(parse(header).len(), count, "{header}");
        }
    }

    #[test]
    fn realms_are_judged() {
        let origin = |url: &str| Origin::of(&reqwest::Url::parse(url).unwrap());
        for (registry, realm, expected) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token", "trusted"),
            ("https://quay.io", "https://quay.io/v2/auth", "trusted"),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", "trusted"),
            ("https://reg.corp.co.uk", "https://auth.corp.co.uk/", "trusted"),
            ("https://reg.corp.co.uk", "https://evil.co.uk/", "anonymous"),
            ("https://mine.azurecr.io", "https://evil.azurecr.io/", "anonymous"),
            ("https://mine.azurecr.io", "https://mine.azurecr.io/oauth2/token", "trusted"),
            ("https://quay.io", "https://quay.io.evil.org/", "anonymous"),
            ("https://quay.io", "https://quay.io./", "anonymous"),
            ("https://quay.io", "https://evil.org/", "anonymous"),
            ("https://quay.io", "http://quay.io/v2/auth", "refused"),
            ("https://quay.io", "http://evil.org/", "refused"),
            ("https://quay.io", "https://127.0.0.1/", "refused"),
            ("https://quay.io", "https://localhost/", "refused"),
            ("https://quay.io", "https://169.254.169.254/latest", "refused"),
            ("https://quay.io", "https://[::ffff:10.0.0.1]/", "refused"),
            ("https://quay.io", "https://[fe80::1]/", "refused"),
            ("https://quay.io", "https://0.0.0.0/", "refused"),
            ("https://10.0.0.1", "https://10.0.0.2/", "refused"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", "trusted"),
            ("http://127.0.0.1:5000", "http://127.0.0.2:5001/token", "anonymous"),
            ("http://127.0.0.1:5000", "http://169.254.169.254/", "refused"),
        ] {
            let found = match judge(&origin(registry), &origin(realm)) {
                Realm::Trusted => "trusted",
                Realm::Anonymous => "anonymous",
                Realm::Refused(_) => "refused",
            };
            assert_eq!(found, expected, "{registry} -> {realm}");
        }
    }
}
