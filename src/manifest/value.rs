//! Single values: text as written becomes a type, or is [`Wrong`] with a hint. Nothing secret is repeated.

use std::path::{Path, PathBuf};

use super::{
    model::{LocalImage, LocalKind},
    secret,
};
use crate::{
    base::{
        clock::Timestamp,
        digest::{Algorithm, Digest},
        path::{is_file_name, is_media_name},
        redact, text,
        written::Wrong,
    },
    oci::{
        Platform, Reference,
        reference::{is_registry, is_repository, is_tag},
    },
};

/// The type, or what is wrong.
pub(super) type Checked<T> = Result<T, Wrong>;

/// Bytes of a compiled tag filter: enough for any sane pattern, and it bounds the work on hostile tag lists.
const REGEX_BYTES: usize = 1 << 20;

/// Parameters of a URL that carry a secret: presigned links and tokens.
const SECRET_PARAMETERS: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "password",
    "private_token",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
    "x-goog-signature",
];

fn shown(input: &str) -> String {
    format!("`{}`", text::escaped(input, 200))
}

/// Name, version or channel of a bundle.
pub(super) fn media_name(input: &str) -> Checked<String> {
    if is_media_name(input) {
        return Ok(input.to_owned());
    }
    Err(Wrong::value(
        format!("{} cannot be a file name on every medium", shown(input)),
        "use 1 to 64 of a-z 0-9 . _ - with a letter or digit first, for instance edge-platform or 2026.11",
    ))
}

/// Name of a site; `any` is no name, it is what the signed text says where there is none.
pub(super) fn site(input: &str) -> Checked<String> {
    if input == "any" {
        return Err(Wrong::value(
            "`any` is no name of a site",
            "leave the key out: then any site may import",
        ));
    }
    media_name(input)
}

/// A time in UTC.
pub(super) fn time(input: &str) -> Checked<Timestamp> {
    Timestamp::parse(input).ok_or_else(|| {
        Wrong::value(format!("{} is no time", shown(input)), "write it like 2027-11-21T00:00:00Z")
    })
}

/// `os/architecture[/variant]`.
pub(super) fn platform(input: &str) -> Checked<Platform> {
    Platform::parse(input).ok_or_else(|| {
        Wrong::value(
            format!("{} is no platform", shown(input)),
            "write os/architecture or os/architecture/variant, for instance linux/amd64 or linux/arm/v7",
        )
    })
}

/// A media type or artifact type (RFC 6838 section 4.2, without parameters).
pub(super) fn media_type(input: &str) -> Checked<String> {
    let restricted = |part: &str| {
        (1..=127).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    if input.split_once('/').is_some_and(|(kind, subtype)| restricted(kind) && restricted(subtype)) {
        return Ok(input.to_owned());
    }
    Err(Wrong::value(
        format!("{} is no media type", shown(input)),
        "write type/subtype, for instance application/gzip",
    ))
}

/// The tag that a file's artifact gets.
pub(super) fn tag(input: &str) -> Checked<String> {
    if is_tag(input) {
        return Ok(input.to_owned());
    }
    Err(Wrong::value(
        format!("{} cannot be a tag", shown(input)),
        "use 1 to 128 letters, digits and . _ - with a letter, digit or _ first",
    ))
}

/// The name of a carried file.
pub(super) fn file_name(input: &str) -> Checked<String> {
    if is_file_name(input) {
        return Ok(input.to_owned());
    }
    Err(Wrong::value(
        format!("{} is no safe file name", shown(input)),
        "write `name = \"…\"` with 1 to 128 letters, digits and . _ - + with a letter or digit first",
    ))
}

/// Hex of a digest.
pub(super) fn hash(algorithm: Algorithm, input: &str) -> Checked<Digest> {
    Digest::from_hex(algorithm, input).map_err(|_error| {
        let digits = if algorithm == Algorithm::Sha256 { 64 } else { 128 };
        Wrong::value(
            format!("{} is no {}", shown(input), algorithm.name()),
            format!(
                "write {digits} lower-case hex digits without a prefix, as `{}sum` prints",
                algorithm.name()
            ),
        )
    })
}

/// A regular expression for tags.
pub(super) fn regex(input: &str) -> Checked<String> {
    match regex::RegexBuilder::new(input).size_limit(REGEX_BYTES).build() {
        Ok(_compiled) => Ok(input.to_owned()),
        Err(error) => {
            let words = error.to_string();
            let what = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err(Wrong::value(
                format!("{} is no regular expression: {what}", shown(input)),
                "see https://docs.rs/regex for the syntax; single quotes keep backslashes as they are",
            ))
        }
    }
}

/// A pattern of tags to leave out.
pub(super) fn exclusion(input: &str) -> Checked<String> {
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"._-*".contains(&b);
    if !input.is_empty() && input.bytes().all(clean) {
        return Ok(input.to_owned());
    }
    Err(Wrong::value(
        format!("{} matches no tag", shown(input)),
        "use letters, digits and . _ - with * for any text; use `regex` for more",
    ))
}

/// A semver range, or one exact version. What tools read differently is refused: `1.2` alone.
pub(super) fn range(input: &str) -> Checked<semver::VersionReq> {
    if let Some(version) = exact_version(input) {
        // Build metadata has no part in the order of versions, so none in a range either.
        let exact = semver::Version { build: semver::BuildMetadata::EMPTY, ..version };
        return semver::VersionReq::parse(&format!("={exact}"))
            .map_err(|error| Wrong::value(error.to_string(), "write a version, for instance 1.2.3"));
    }
    let wrong = |message: String, hint: &str| Err(Wrong::value(message, hint));
    if input.contains("||") {
        let message = format!("{} joins ranges with ||", shown(input));
        return wrong(message, "write one entry for each range");
    }
    let bare = |part: &str| {
        let part = part.trim();
        part.starts_with(|c: char| c.is_ascii_digit()) && !part.contains(['*', 'x', 'X'])
    };
    match semver::VersionReq::parse(input) {
        Ok(_) if input.split(',').any(bare) => wrong(
            format!("{} can be read in two ways", shown(input)),
            "write ~1.2 for 1.2.x, ^1.2 for 1.2 and everything below 2, or a full version for exactly that one",
        ),
        Ok(range) => Ok(range),
        Err(error) => wrong(
            format!("{} is no version range: {error}", shown(input)),
            "put commas between conditions and no v before versions, for instance >=1.2, <2",
        ),
    }
}

/// The version that `input` is, if it is a whole one; charts and tags may have a `v` before it.
pub(super) fn exact_version(input: &str) -> Option<semver::Version> {
    semver::Version::parse(input.strip_prefix('v').unwrap_or(input)).ok()
}

/// Parts of an http or https URL.
#[derive(Debug)]
pub(super) struct Url<'a> {
    /// `host[:port]`.
    pub(super) host: &'a str,
    /// From the first slash on, without query.
    pub(super) path: &'a str,
    /// After the `?`.
    pub(super) query: Option<&'a str>,
}

/// Takes an http or https URL apart, refusing whatever holds a secret.
pub(super) fn http_url(input: &str) -> Checked<Url<'_>> {
    refuse_url_credentials(input)?;
    let form = "write an address such as https://example.com/files/tool";
    let Some((scheme, rest)) = input.split_once("://") else {
        return Err(Wrong::value(format!("{} is no URL", shown(input)), form));
    };
    if !matches!(scheme, "http" | "https") {
        let message = format!("{} is no http or https URL", shown(&redact::url(input)));
        return Err(Wrong::value(message, "only http:// and https:// are fetched"));
    }
    if !input.bytes().all(|b| b.is_ascii_graphic()) || input.contains(['"', '<', '>', '\\', '#']) {
        let message = format!("{} has characters that no URL has", shown(&redact::url(input)));
        return Err(Wrong::value(message, "write other characters as %XX, and leave out #…"));
    }
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let at = before.find('/').unwrap_or(before.len());
    let (host, path) = before.split_at(at);
    if !is_registry(host) && !is_ipv6(host) {
        // A slash in a password moves the end of the host: repeat nothing.
        if input.contains('@') {
            return Err(secret::wrong("the URL holds a user or password"));
        }
        return Err(Wrong::value("the URL does not name a host, with an optional port", form));
    }
    let secret = query.is_some_and(|query| {
        query.split(['&', ';']).any(|pair| {
            let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
            SECRET_PARAMETERS.contains(&name.as_str())
        })
    });
    if secret {
        return Err(secret::wrong("the URL carries a token or signature"));
    }
    Ok(Url { host, path, query })
}

fn is_ipv6(host: &str) -> bool {
    let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return false;
    };
    let port_ok = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    address.parse::<std::net::Ipv6Addr>().is_ok() && port_ok
}

fn refuse_url_credentials(input: &str) -> Checked<()> {
    let authority =
        input.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err(secret::wrong("the URL holds a user or password"));
    }
    Ok(())
}

/// A reference in a registry, without judging whether it has a tag.
pub(super) fn reference(input: &str) -> Checked<Reference> {
    refuse_url_credentials(input)?;
    if let Some((_, after)) = input.split_once('@')
        && after.contains('/')
    {
        return Err(secret::wrong("the reference holds a user or password"));
    }
    if let Some((scheme, rest)) = input.split_once("://") {
        let message = format!("{} is an address, not a reference", shown(input));
        return Err(Wrong::value(
            message,
            format!("leave out {}://: write {}", text::escaped(scheme, 20), text::escaped(rest, 200)),
        ));
    }
    Reference::parse(input).map_err(|failure| {
        let hint = failure.hint.unwrap_or_default();
        Wrong::value(format!("{} is no reference: {}", shown(input), failure.message), hint)
    })
}

/// A reference that names one thing: with a tag, a digest or both.
pub(super) fn pinned_reference(input: &str) -> Checked<Reference> {
    let reference = reference(input)?;
    if reference.tag.is_some() || reference.digest.is_some() {
        return Ok(reference);
    }
    Err(Wrong::value(
        format!("{} has neither tag nor digest", shown(input)),
        format!("write {reference}:TAG or {reference}@sha256:…, or use `repository` with `tags`"),
    ))
}

/// The name of an image built here: with a tag, without a digest.
pub(super) fn tagged_name(input: &str) -> Checked<Reference> {
    let reference = pinned_reference(input)?;
    if reference.tag.is_some() && reference.digest.is_none() {
        return Ok(reference);
    }
    Err(Wrong::value(
        format!("{} is no name with a tag alone", shown(input)),
        "write registry/repository:tag; the digest is that of the image",
    ))
}

/// A repository: a reference without tag and digest.
pub(super) fn repository(input: &str) -> Checked<Reference> {
    let reference = reference(input)?;
    if reference.tag.is_none() && reference.digest.is_none() {
        return Ok(reference);
    }
    Err(Wrong::value(
        format!("{} names one image of a repository", shown(input)),
        format!("write {} here, or use `image` for one image", reference.name()),
    ))
}

/// `oci:DIR[:ref]`, `oci-archive:FILE[:ref]`, `docker-archive:FILE[:ref]`; `None` for anything else.
pub(super) fn local_image(input: &str, folder: &Path) -> Option<Checked<LocalImage>> {
    let (kind, rest) = input.split_once(':')?;
    let kind = match kind {
        "oci" => LocalKind::OciLayout,
        "oci-archive" => LocalKind::OciArchive,
        "docker-archive" => LocalKind::DockerArchive,
        _ => return None,
    };
    if rest.starts_with("//") {
        return None;
    }
    let (at, selector) = rest.split_once(':').map_or((rest, None), |(at, selector)| (at, Some(selector)));
    if selector == Some("") {
        let message = format!("{} ends with a colon", shown(input));
        return Some(Err(Wrong::value(message, "name the image after the colon, or leave the colon out")));
    }
    Some(path(at, folder).map(|path| LocalImage {
        kind,
        path,
        selector: selector.map(str::to_owned),
        name: None,
        written: input.to_owned(),
    }))
}

/// A path of this machine, resolved against `folder`.
pub(super) fn path(input: &str, folder: &Path) -> Checked<PathBuf> {
    if input.contains("://") {
        return Err(Wrong::value("expected a path, found an address", "use `url` for what a server has"));
    }
    if input.is_empty() || input.chars().any(char::is_control) {
        return Err(Wrong::value(
            format!("{} is no path", shown(input)),
            "write a path relative to this file",
        ));
    }
    if input.starts_with('~') {
        let message = format!("{} begins with ~, which only shells understand", shown(input));
        return Err(Wrong::value(message, "write the path in full, or relative to this file"));
    }
    Ok(folder.join(input))
}

/// A key of `[registries]`: `host[:port]`.
pub(super) fn host(input: &str) -> Checked<String> {
    refuse_credentials_before_host(input)?;
    let host = input.to_ascii_lowercase();
    if !is_registry(&host) {
        return Err(Wrong::value(
            format!("{} is no host with an optional port", shown(input)),
            "write only host:port between quotes, for instance [registries.\"registry.example.com:5000\"]",
        ));
    }
    Ok(if host == "index.docker.io" { "docker.io".to_owned() } else { host })
}

/// `host[:port][/prefix]`.
pub(super) fn mirror(input: &str) -> Checked<String> {
    refuse_credentials_before_host(input)?;
    let (host, prefix) = input.split_once('/').map_or((input, None), |(host, prefix)| (host, Some(prefix)));
    if is_registry(host) && prefix.is_none_or(is_repository) {
        return Ok(input.to_owned());
    }
    Err(Wrong::value(
        format!("{} is no mirror", shown(input)),
        "write host[:port][/prefix] without https://, for instance mirror.example.com/docker-hub",
    ))
}

fn refuse_credentials_before_host(input: &str) -> Checked<()> {
    if input.contains('@') { Err(secret::wrong("the address holds a user or password")) } else { Ok(()) }
}
