//! References: `registry/repository[:tag][@digest]`, and the name that content gets inside the gap.

use std::fmt;

use crate::base::{
    digest::Digest,
    failure::{Failure, Reason, Result},
    text,
};

/// What the names of repositories begin with that a registry of ours opens to pushes: nothing that was verified
/// stands there.
pub const SANDBOX: &str = "sandbox/";

/// Another name of `docker.io`, which people write and references never have.
pub const DOCKER_ALIAS: &str = "index.docker.io";

/// A full reference. The registry is always named; `docker.io` shorthand is expanded when parsing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `host[:port]`.
    pub registry: String,
    /// Path inside the registry, in the grammar of the OCI distribution-spec.
    pub repository: String,
    /// Tag, if named.
    pub tag: Option<String>,
    /// Digest, if named.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference as users write it: `nginx` means `docker.io/library/nginx`. A missing tag stays
    /// missing; callers decide what that means.
    pub fn parse(input: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Failure::new(Reason::NameMalformed, text::escaped(input, 300), what)
                .hint("write it as registry/repository:tag, for instance registry.example.com/team/app:1.0")
        };
        let (rest, digest) = match input.split_once('@') {
            Some((rest, digest)) => {
                let digest = Digest::parse(digest).map_err(|error| wrong(&error.to_string()))?;
                (rest, Some(digest))
            }
            None => (input, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("the tag must match [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"));
        }
        let (registry, repository) = match path.split_once('/') {
            Some((host, repository)) if names_registry(host) => {
                (host.to_ascii_lowercase(), repository.to_owned())
            }
            Some(_) => ("docker.io".to_owned(), path.to_owned()),
            None => ("docker.io".to_owned(), format!("library/{path}")),
        };
        let registry = if registry == DOCKER_ALIAS { "docker.io".to_owned() } else { registry };
        let repository = if registry == "docker.io" && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository
        };
        if !is_registry(&registry) {
            return Err(wrong("the registry must be a host name with an optional port"));
        }
        if !is_repository(&repository) {
            return Err(wrong("the repository must be lower-case letters, digits and . _ - between slashes"));
        }
        Ok(Self { registry, repository, tag: tag.map(str::to_owned), digest })
    }

    /// Registry and repository without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository with this tag and no digest.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() }
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(digest.clone()), ..self.clone() }
    }

    /// What to put after `/manifests/`: the digest if there is one, else the tag, else `latest`.
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The repository under which the content stands inside the gap: the upstream registry becomes the
    /// first path component, with `_` for the `:` of a port.
    pub fn inside_repository(&self) -> String {
        format!("{}/{}", inside_registry(&self.registry), self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// What the content of an upstream registry stands under inside the gap: its name in lower case, with `_` for the `:`
/// of a port.
pub fn inside_registry(registry: &str) -> String {
    registry.to_ascii_lowercase().replace(':', "_")
}

/// The upstream registry whose content stands in `repository` inside the gap, if it is one by its name.
pub fn upstream_registry(repository: &str) -> Option<String> {
    let (first, _rest) = repository.split_once('/')?;
    let registry = first.replacen('_', ":", 1);
    (names_registry(&registry) && is_registry(&registry)).then_some(registry)
}

/// Whether the first part of a reference names a registry, and no folder of `docker.io`.
pub fn names_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// `host[:port][/prefix]` taken apart; the prefix may be empty.
pub fn registry_and_prefix(text: &str) -> Option<(&str, &str)> {
    let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
    (is_registry(host) && (prefix.is_empty() || is_repository(prefix))).then_some((host, prefix))
}

/// `host[:port]` with a port in 1..=65535; IPv6 literals are not part of the reference grammar.
pub fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let host_ok = (1..=253).contains(&host.len())
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    let port_ok = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|number| number > 0)
    });
    host_ok && port_ok
}

/// The `<name>` grammar of the OCI distribution-spec ("Pulling manifests"), at most 255 bytes.
pub fn is_repository(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(is_component)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = String::new();
    let mut last_was_alphanumeric = false;
    for b in text.bytes() {
        if alphanumeric(b) {
            let fine = separator.is_empty()
                || matches!(separator.as_str(), "." | "_" | "__")
                || separator.bytes().all(|c| c == b'-');
            if !fine || (!separator.is_empty() && !last_was_alphanumeric) {
                return false;
            }
            separator.clear();
            last_was_alphanumeric = true;
        } else if matches!(b, b'.' | b'_' | b'-') && last_was_alphanumeric {
            separator.push(char::from(b));
        } else {
            return false;
        }
    }
    last_was_alphanumeric && separator.is_empty()
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.starts_with(['.', '-'])
}

/// The tag of a version: `+` is not allowed in tags and becomes `_`, as Helm does it.
pub fn version_tag(version: &str) -> String {
    version.replace('+', "_")
}

/// The fallback tag of the referrers of `digest` (OCI distribution-spec, "Referrers Tag Schema"), which is
/// also the stem of cosign's `.sig`, `.att` and `.sbom` tags.
pub fn referrers_tag(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}", digest.algorithm().name(), hex.get(..64).unwrap_or(hex))
}

/// Whether referrers of some manifest are found at this tag: the fallback tag itself, or one of cosign's.
pub fn is_referrers_tag(tag: &str) -> bool {
    let stem = [".sig", ".att", ".sbom"].iter().find_map(|end| tag.strip_suffix(end)).unwrap_or(tag);
    let hex = stem.strip_prefix("sha256-").or_else(|| stem.strip_prefix("sha512-"));
    hex.is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthand_is_expanded() {
        for (input, full) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("team/app:1", "docker.io/team/app:1"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("localhost/x:1", "localhost/x:1"),
            ("127.0.0.1:5601/team/go-app:1.0", "127.0.0.1:5601/team/go-app:1.0"),
        ] {
            assert_eq!(Reference::parse(input).unwrap().to_string(), full);
        }
        let both = format!("quay.io/a/b:1@sha256:{}", "0".repeat(64));
        assert_eq!(Reference::parse(&both).unwrap().to_string(), both);
    }

    #[test]
    fn the_grammar_is_exact() {
        let long_tag = format!("quay.io/a:{}", "x".repeat(129));
        let long_name = format!("quay.io/{}", "x".repeat(256));
        for wrong in [
            "",
            ":1",
            "a//b",
            "quay.io/A",
            "quay.io/_x",
            "quay.io/a/..",
            "quay.io/a%2fb",
            "quay.io/a/",
            "quay.io/a\0",
            "quay.io/a..b",
            "quay.io/a___b",
            "quay.io/é",
            "quay.io/a@sha256:00",
            "quay.io:0/a",
            "quay.io:99999/a",
            "-x.io/a",
            &long_tag,
            &long_name,
        ] {
            assert!(Reference::parse(wrong).is_err(), "{wrong} was accepted");
        }
        assert!(is_repository("a__b/c--d/e.f"));
    }

    #[test]
    fn tags_of_referrers_are_known_by_their_form() {
        let (long, short) = ("a0".repeat(32), "a0".repeat(31));
        for (tag, is) in [
            (referrers_tag(&Digest::of(b"x")), true),
            (format!("sha256-{long}.sig"), true),
            (format!("sha512-{long}"), true),
            (format!("sha256-{long}.att"), true),
            (format!("sha256-{long}.sbom"), true),
            (format!("sha256-{long}.exe"), false),
            (format!("sha256-{long}.sig.sig"), false),
            (format!("sha256-{short}"), false),
            (format!("sha256-{}", long.to_uppercase()), false),
            (format!("v1-sha256-{long}"), false),
        ] {
            assert_eq!(is_referrers_tag(&tag), is, "{tag}");
        }
    }

    #[test]
    fn inside_names_have_no_colon() {
        let reference = Reference::parse("127.0.0.1:5601/team/go-app:1.0").unwrap();
        assert_eq!(reference.inside_repository(), "127.0.0.1_5601/team/go-app");
    }

    #[test]
    fn upstream_is_known_by_the_name_inside() {
        for (repository, upstream) in [
            ("docker.io/library/nginx", Some("docker.io")),
            ("127.0.0.1_5601/team/go-app", Some("127.0.0.1:5601")),
            ("localhost/x", Some("localhost")),
            ("files/tool", None),
            ("sandbox/x", None),
            ("my_team/app", None),
            ("a.b_c/app", None),
            ("a_1_2/app", None),
            ("docker.io", None),
        ] {
            assert_eq!(upstream_registry(repository).as_deref(), upstream, "{repository}");
        }
    }

    #[test]
    fn registries_have_prefixes() {
        assert_eq!(registry_and_prefix("reg:5000"), Some(("reg:5000", "")));
        assert_eq!(registry_and_prefix("reg:5000/a/b"), Some(("reg:5000", "a/b")));
        for wrong in ["", "/a", "reg/A", "reg//a", "http://reg", "reg/a/", "-reg", "reg:0/a"] {
            assert_eq!(registry_and_prefix(wrong), None, "{wrong}");
        }
    }
}
