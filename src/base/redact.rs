//! Nothing secret leaks through `Debug` or `Display`.

use std::fmt;

use zeroize::Zeroizing;

/// A password, token or passphrase: shown as `***`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself; the only way to it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A URL fit for messages and locks: without user, password, query and fragment, all of which may hold
/// secrets.
pub fn url(text: &str) -> String {
    let cut = text.split(['?', '#']).next().unwrap_or("");
    match cut.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').map_or((rest, None), |(a, p)| (a, Some(p)));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
        }
        None => cut.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn urls_lose_their_secrets() {
        assert_eq!(super::url("https://u:p@host:1/a@b?token=x#y"), "https://host:1/a@b");
        assert_eq!(super::url("http://host"), "http://host");
        assert_eq!(format!("{:?}", super::Secret::new("x")), "***");
    }
}
