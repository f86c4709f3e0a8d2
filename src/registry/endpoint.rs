//! Paths and queries, read once into types. Repository names hold slashes, so a path is read from the right.

use axum::{extract, http::Uri};
use serde::Deserialize;

use super::respond::Refusal;
use crate::{
    base::{digest::Digest, limits},
    oci::{error_code, reference},
    store::Target,
};

/// What can be asked for (OCI distribution-spec, "Endpoints"), names and digests checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/v2/`: whether this is a registry.
    Base,
    /// `/v2/_catalog`: every repository; no part of the specification, but widely used.
    Catalog,
    /// `/v2/<name>/tags/list`.
    Tags {
        /// As the client calls the repository.
        name: String,
    },
    /// `/v2/<name>/referrers/<digest>`.
    Referrers {
        /// As the client calls the repository.
        name: String,
        /// What they are about.
        subject: Digest,
    },
    /// `/v2/<name>/manifests/<tag or digest>`.
    Manifest {
        /// As the client calls the repository.
        name: String,
        /// Tag or digest.
        target: Target,
    },
    /// `/v2/<name>/blobs/<digest>`.
    Blob {
        /// As the client calls the repository.
        name: String,
        /// Which one.
        digest: Digest,
    },
}

impl Endpoint {
    /// Reads the path as it stands in the request: nothing in the grammar needs percent-encoding, so
    /// `%2f` and its kin are refused with the rest (threats J17).
    pub(super) fn parse(uri: &Uri) -> Result<Self, Refusal> {
        if uri.path().len() + uri.query().map_or(0, str::len) > limits::REQUEST_TARGET_BYTES {
            return Err(Refusal::of(error_code::NAME_INVALID));
        }
        let unknown = || Refusal::of(error_code::ENDPOINT_UNKNOWN);
        let rest = match uri.path() {
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            path => path.strip_prefix("/v2/").ok_or_else(unknown)?,
        };
        let (rest, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
        let (name, kind) = rest.rsplit_once('/').ok_or_else(unknown)?;
        let name = || {
            if reference::is_repository(name) {
                Ok(name.to_owned())
            } else {
                Err(Refusal::of(error_code::NAME_INVALID))
            }
        };
        let digest = || Digest::parse(last).map_err(|_why| Refusal::of(error_code::DIGEST_INVALID));
        match (kind, last) {
            ("tags", "list") => Ok(Self::Tags { name: name()? }),
            ("referrers", _) => Ok(Self::Referrers { name: name()?, subject: digest()? }),
            ("blobs", _) => Ok(Self::Blob { name: name()?, digest: digest()? }),
            ("manifests", _) if last.contains(':') => {
                Ok(Self::Manifest { name: name()?, target: Target::Digest(digest()?) })
            }
            // No such tag can exist: for a client that is the same as a tag that does not.
            ("manifests", _) if !reference::is_tag(last) => {
                name().and(Err(Refusal::of(error_code::TAG_INVALID)))
            }
            ("manifests", _) => Ok(Self::Manifest { name: name()?, target: Target::Tag(last.to_owned()) }),
            _ => Err(unknown()),
        }
    }
}

/// The parameters that are understood; others are ignored, a doubled one is refused.
#[derive(Debug, Default, Deserialize)]
struct Written {
    n: Option<String>,
    last: Option<String>,
    #[serde(rename = "artifactType")]
    artifact_type: Option<String>,
    ns: Option<String>,
}

/// The query, checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Entries wanted on a page.
    pub(super) n: Option<usize>,
    /// The entry after which the page begins.
    pub(super) last: Option<String>,
    /// The type of referrers wanted.
    pub(super) artifact_type: Option<String>,
    /// The upstream registry that a mirror is asked for (containerd, distribution-spec "Registry Proxying").
    pub(super) namespace: Option<String>,
}

impl Query {
    pub(super) fn parse(uri: &Uri) -> Result<Self, Refusal> {
        let extract::Query(written) = extract::Query::<Written>::try_from_uri(uri)
            .map_err(|error| Refusal::of(error_code::PAGINATION_INVALID).detail(error.body_text()))?;
        let n = written.n.map(|text| {
            let digits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten().ok_or(Refusal::of(error_code::PAGINATION_INVALID))
        });
        if written.ns.as_deref().is_some_and(|host| !reference::is_registry(host)) {
            return Err(Refusal::of(error_code::NAME_INVALID));
        }
        Ok(Self {
            n: n.transpose()?,
            last: written.last,
            // No media type holds a space: it is the `+` of `+json` from a client that did not encode it.
            artifact_type: written.artifact_type.map(|text| text.replace(' ', "+")),
            namespace: written.ns,
        })
    }

    /// The repository of the store that a client means by `name`.
    pub(super) fn repository(&self, name: &str) -> String {
        match &self.namespace {
            Some(host) => format!("{}/{name}", host.to_ascii_lowercase().replace(':', "_")),
            None => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<Endpoint, u16> {
        let uri: Uri = path.parse().unwrap();
        Endpoint::parse(&uri).map_err(|refusal| refusal.code().status)
    }

    #[test]
    fn paths_are_read_from_the_right() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let name = "docker.io/library/manifests/tags".to_owned();
        assert_eq!(parse("/v2/"), Ok(Endpoint::Base));
        assert_eq!(parse(&format!("/v2/{name}/tags/list")), Ok(Endpoint::Tags { name: name.clone() }));
        assert_eq!(
            parse(&format!("/v2/{name}/manifests/list")),
            Ok(Endpoint::Manifest { name: name.clone(), target: Target::Tag("list".into()) })
        );
        assert_eq!(
            parse(&format!("/v2/{name}/blobs/{digest}")),
            Ok(Endpoint::Blob { name, digest: Digest::parse(&digest).unwrap() })
        );
    }

    #[test]
    fn the_grammar_is_strict() {
        let (long_tag, long_name) = ("t".repeat(129), "n".repeat(256));
        for (path, status) in [
            ("/v2/a/../b/manifests/1", 400),
            ("/v2/a//b/manifests/1", 400),
            ("/v2/A/manifests/1", 400),
            ("/v2/_x/manifests/1", 400),
            ("/v2/a%2fb/manifests/1", 400),
            ("/v2/a%00/manifests/1", 400),
            ("/v2/a%2500/manifests/1", 400),
            ("/v2//manifests/1", 400),
            (&format!("/v2/{long_name}/manifests/1"), 400),
            (&format!("/v2/{}/tags/list", "a/".repeat(2000)), 400),
            ("/v2/a/manifests/sha256:beef", 400),
            ("/v2/a/manifests/sha256:../../../../etc/passwd", 404),
            ("/v2/a/blobs/latest", 400),
            ("/v2/a/referrers/latest", 400),
            ("/v2/a/manifests/.x", 404),
            ("/v2/a/manifests/", 404),
            ("/v2/a/manifests/1/", 404),
            (&format!("/v2/a/manifests/{long_tag}"), 404),
            ("/v2/a", 404),
            ("/v2/a/tags/other", 404),
            ("/v1/a/tags/list", 404),
        ] {
            assert_eq!(parse(path), Err(status), "{path}");
        }
    }

    #[test]
    fn queries_are_checked() {
        let parse = |query: &str| {
            let uri: Uri = format!("/v2/_catalog?{query}").parse().unwrap();
            Query::parse(&uri).map_err(|refusal| refusal.code().status)
        };
        let query = parse("n=5&last=docker.io%2Fx&other=1&artifactType=a/b+json&ns=Docker.io:443").unwrap();
        assert_eq!((query.n, query.last.as_deref()), (Some(5), Some("docker.io/x")));
        assert_eq!(query.artifact_type.as_deref(), Some("a/b+json"));
        assert_eq!(query.repository("library/x"), "docker.io_443/library/x");
        for wrong in ["n=-1", "n=x", "n=", "n=99999999999", "n=1&n=2", "ns=a/../b", "ns="] {
            assert_eq!(parse(wrong), Err(400), "{wrong}");
        }
    }
}
