//! Paths and queries, read once into types. Repository names hold slashes, so a path is read from the right.

use axum::{
    extract,
    http::{Method, Uri},
};

use super::respond::Refusal;
use crate::{
    base::{digest::Digest, limits},
    oci::{error_code, reference},
    rules::Right,
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
    /// `/v2/<name>/blobs/uploads/`: where a push of a blob begins.
    Uploads {
        /// As the client calls the repository.
        name: String,
    },
    /// `/v2/<name>/blobs/uploads/<id>`: a push under way.
    Upload {
        /// As the client calls the repository.
        name: String,
        /// What `POST` answered.
        id: String,
    },
}

impl Endpoint {
    /// Reads the path as it stands in the request: nothing in the grammar needs percent-encoding, so
    /// `%2f` and its kin are refused with the rest (threats J17).
    pub(super) fn parse(uri: &Uri, method: &Method) -> Result<Self, Refusal> {
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
        // A push stands one level deeper than everything else.
        let (name, kind) = match name.strip_suffix("/blobs") {
            Some(name) if kind == "uploads" && last.is_empty() => (name, "begin"),
            Some(name) if kind == "uploads" => (name, "upload"),
            _ => (name, kind),
        };
        let name = || {
            if reference::is_repository(name) {
                Ok(name.to_owned())
            } else {
                Err(Refusal::of(error_code::NAME_INVALID))
            }
        };
        let digest = || Digest::parse(last).map_err(|_why| Refusal::of(error_code::DIGEST_INVALID));
        match (kind, last) {
            ("begin", _) | ("blobs", "uploads") => Ok(Self::Uploads { name: name()? }),
            ("upload", id) => Ok(Self::Upload { name: name()?, id: id.to_owned() }),
            ("tags", "list") => Ok(Self::Tags { name: name()? }),
            ("referrers", _) => Ok(Self::Referrers { name: name()?, subject: digest()? }),
            ("blobs", _) => Ok(Self::Blob { name: name()?, digest: digest()? }),
            ("manifests", _) if last.contains(':') => {
                Ok(Self::Manifest { name: name()?, target: Target::Digest(digest()?) })
            }
            ("manifests", _) if *method == Method::PUT || reference::is_tag(last) => {
                Ok(Self::Manifest { name: name()?, target: Target::Tag(tag(last.to_owned())?) })
            }
            // No such tag can exist: for a client that reads, that is the same as a tag that does not.
            ("manifests", _) => name().and(Err(Refusal::of(error_code::TAG_INVALID))),
            _ => Err(unknown()),
        }
    }

    /// As the client calls the repository; none where it is about no single one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags { name }
            | Self::Referrers { name, .. }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. } => Some(name),
        }
    }

    /// What it is called where requests are counted.
    pub(super) fn route(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Tags { .. } => "tags",
            Self::Referrers { .. } => "referrers",
            Self::Manifest { .. } => "manifest",
            Self::Blob { .. } => "blob",
            Self::Uploads { .. } => "uploads",
            Self::Upload { .. } => "upload",
        }
    }

    /// The rights of which a client needs one to send `method`; `None` for a method that is not understood here.
    pub(super) fn rights(&self, method: &str) -> Option<&'static [Right]> {
        let rights: &[Right] = match (method, self) {
            // How far a push is, is a matter of who pushes.
            (_, Self::Upload { .. }) => &[Right::Push],
            ("GET" | "HEAD", _) => &[Right::Pull],
            ("DELETE", _) => &[Right::Delete],
            // Which of the two, what is there tells: whether the manifest is new, and whether a tag moves.
            (_, Self::Manifest { .. }) => &[Right::Push, Right::Tag],
            _ => &[Right::Push],
        };
        self.methods().contains(&method).then_some(rights)
    }

    /// The methods that it understands (distribution-spec, "Endpoints").
    pub(super) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Base | Self::Catalog | Self::Tags { .. } | Self::Referrers { .. } => &["GET", "HEAD"],
            Self::Manifest { .. } => &["GET", "HEAD", "PUT", "DELETE"],
            Self::Blob { .. } => &["GET", "HEAD", "DELETE"],
            Self::Uploads { .. } => &["POST"],
            Self::Upload { .. } => &["GET", "PATCH", "PUT", "DELETE"],
        }
    }
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
    /// The digest of the blob that is pushed.
    pub(super) digest: Option<Digest>,
    /// The blob that is to be mounted.
    pub(super) mount: Option<Digest>,
    /// The repository that has it.
    pub(super) from: Option<String>,
    /// Tags that a manifest gets when it is pushed by its digest.
    pub(super) tags: Vec<String>,
}

impl Query {
    /// What has no meaning without a right to push is not even read: a pull does not fail by what is said about pushes.
    pub(super) fn parse(uri: &Uri, rights: Option<&[Right]>) -> Result<Self, Refusal> {
        let extract::Query(written) = extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Refusal::of(error_code::PAGINATION_INVALID).detail(error.body_text()))?;
        let mut query = Self::default();
        let push = rights.is_some_and(|rights| rights.contains(&Right::Push));
        // What is not known is ignored; what is given twice is refused.
        for (name, value) in written {
            let mut wrong = error_code::PAGINATION_INVALID;
            // Nothing that is asked for has one, and not every database takes it.
            if value.contains('\0') {
                return Err(Refusal::of(wrong).detail(format!("{name} holds a character that nothing has")));
            }
            let again = match name.as_str() {
                "n" => query.n.replace(count(&value)?).is_some(),
                "last" => query.last.replace(value).is_some(),
                // No media type holds a space: it is the `+` of `+json` from a client that did not encode it.
                "artifactType" => query.artifact_type.replace(value.replace(' ', "+")).is_some(),
                "ns" => query.namespace.replace(namespace(value)?).is_some(),
                "digest" if push => {
                    wrong = error_code::DIGEST_INVALID;
                    query.digest.replace(digest(&value)?).is_some()
                }
                "mount" if push => {
                    wrong = error_code::DIGEST_INVALID;
                    query.mount.replace(digest(&value)?).is_some()
                }
                "from" if push => {
                    wrong = error_code::NAME_INVALID;
                    query.from.replace(repository(value)?).is_some()
                }
                "tag" if push => {
                    query.tags.push(tag(value)?);
                    if query.tags.len() > limits::TAGS_AT_ONCE {
                        let most = format!("a push sets at most {} tags", limits::TAGS_AT_ONCE);
                        return Err(Refusal::of(error_code::MANIFEST_INVALID).detail(most));
                    }
                    false
                }
                _ => false,
            };
            if again {
                return Err(Refusal::of(wrong).detail(format!("{name} is given twice")));
            }
        }
        Ok(query)
    }

    /// The repository of the store that a client means by `name`. Mirrors of containerd say `ns` always, also where their
    /// settings put the upstream host into the path: then it is said twice.
    pub(super) fn repository(&self, name: &str) -> String {
        let Some(host) = self.namespace.as_deref().map(reference::inside_registry) else {
            return name.to_owned();
        };
        let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
        let said_twice = folders.split('/').any(|folder| folder == host);
        if said_twice { name.to_owned() } else { format!("{host}/{name}") }
    }
}

fn count(text: &str) -> Result<usize, Refusal> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| Refusal::of(error_code::PAGINATION_INVALID))
}

fn namespace(host: String) -> Result<String, Refusal> {
    if reference::is_registry(&host) { Ok(host) } else { Err(Refusal::of(error_code::NAME_INVALID)) }
}

fn repository(name: String) -> Result<String, Refusal> {
    if reference::is_repository(&name) { Ok(name) } else { Err(Refusal::of(error_code::NAME_INVALID)) }
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text).map_err(|_why| Refusal::of(error_code::DIGEST_INVALID))
}

fn tag(tag: String) -> Result<String, Refusal> {
    if reference::is_tag(&tag) {
        return Ok(tag);
    }
    Err(Refusal::of(error_code::MANIFEST_INVALID).detail("the name of a tag is not valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<Endpoint, u16> {
        let uri: Uri = path.parse().unwrap();
        Endpoint::parse(&uri, &Method::GET).map_err(|refusal| refusal.code().status)
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
        for (path, name) in
            [("a/blobs/uploads/", "a"), ("a/blobs/uploads", "a"), ("a/blobs/blobs/uploads/", "a/blobs")]
        {
            assert_eq!(parse(&format!("/v2/{path}")), Ok(Endpoint::Uploads { name: name.into() }), "{path}");
        }
        let upload = Endpoint::Upload { name: "a/uploads".into(), id: "x".into() };
        assert_eq!(parse("/v2/a/uploads/blobs/uploads/x"), Ok(upload));
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
        // Who reads a tag that cannot be is told that there is none; who sets it, that it cannot be.
        let put = Endpoint::parse(&"/v2/a/manifests/.x".parse().unwrap(), &Method::PUT);
        assert_eq!(put.unwrap_err().code(), error_code::MANIFEST_INVALID);
    }

    #[test]
    fn queries_are_checked() {
        let parse = |right, query: &str| {
            let uri: Uri = format!("/v2/_catalog?{query}").parse().unwrap();
            Query::parse(&uri, Some(&[right])).map_err(|refusal| refusal.code().code)
        };
        let query =
            parse(Right::Pull, "n=5&last=docker.io%2Fx&other=1&artifactType=a/b+json&ns=Docker.io:443")
                .unwrap();
        assert_eq!((query.n, query.last.as_deref()), (Some(5), Some("docker.io/x")));
        assert_eq!(query.artifact_type.as_deref(), Some("a/b+json"));
        for (name, meant) in [
            ("library/x", "docker.io_443/library/x"),
            ("docker.io_443/library/x", "docker.io_443/library/x"),
            ("docker.io_4430/x", "docker.io_443/docker.io_4430/x"),
            ("docker.io/library/x", "docker.io_443/docker.io/library/x"),
            ("mirror/docker.io_443/library/x", "mirror/docker.io_443/library/x"),
            ("docker.io_443", "docker.io_443/docker.io_443"),
        ] {
            assert_eq!(query.repository(name), meant);
        }
        let query = parse(Right::Push, "from=a/b&tag=1&tag=2").unwrap();
        assert_eq!((query.from.as_deref(), query.tags.join(" ").as_str()), (Some("a/b"), "1 2"));
        let digest = Digest::of(b"x");
        for (wrong, code) in [
            ("last=a&last=b", "PAGINATION_NUMBER_INVALID"),
            ("n=-1", "PAGINATION_NUMBER_INVALID"),
            ("n=x", "PAGINATION_NUMBER_INVALID"),
            ("n=", "PAGINATION_NUMBER_INVALID"),
            ("n=99999999999", "PAGINATION_NUMBER_INVALID"),
            ("n=1&n=2", "PAGINATION_NUMBER_INVALID"),
            ("ns=a/../b", "NAME_INVALID"),
            ("ns=", "NAME_INVALID"),
        ] {
            assert_eq!(parse(Right::Pull, wrong), Err(code), "{wrong}");
        }
        for (wrong, code) in [
            ("digest=sha256:X", "DIGEST_INVALID"),
            ("mount=x", "DIGEST_INVALID"),
            (&format!("digest={digest}&digest={digest}"), "DIGEST_INVALID"),
            (&format!("mount={digest}&mount={digest}"), "DIGEST_INVALID"),
            ("from=..", "NAME_INVALID"),
            ("from=a&from=b", "NAME_INVALID"),
            ("tag=.x", "MANIFEST_INVALID"),
            (&["tag=1"; 65].join("&"), "MANIFEST_INVALID"),
        ] {
            assert_eq!(parse(Right::Push, wrong), Err(code), "{wrong}");
            assert_eq!(parse(Right::Pull, wrong), Ok(Query::default()), "{wrong}");
        }
    }
}
