//! Responses: headers that all share, and errors in the form of the distribution-spec ("Error Codes").

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use serde_json::Value;

use super::{endpoint::Query, log::Account};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason},
    },
    oci::error_code::{self, ErrorCode},
    store::Deletion,
};

/// Every answer: a response, or why there is none.
pub(super) type Answer = Result<Response, Refusal>;

/// When to ask again for what could not be asked for.
pub(super) const RETRY_SECONDS: &str = "5";

/// An error as the client sees it. The inner cause goes to the log only.
#[derive(Debug)]
pub(super) struct Refusal(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: ErrorCode,
    detail: Option<Value>,
    cause: Option<Failure>,
    headers: Vec<(HeaderName, String)>,
    /// The endpoint would have answered: it is a matter of who asks.
    decided: bool,
    /// What is wrong with the token that the client came with (RFC 6750, 3.1).
    token: Option<&'static str>,
    /// The account that it tried to log in to.
    tried: Option<String>,
    /// The account that it is refused as.
    account: Option<Account>,
}

impl Inner {
    fn new(code: ErrorCode, cause: Option<Failure>) -> Self {
        Self {
            code,
            detail: None,
            cause,
            headers: Vec::new(),
            decided: false,
            token: None,
            tried: None,
            account: None,
        }
    }
}

impl Refusal {
    pub(super) fn of(code: ErrorCode) -> Self {
        Self(Box::new(Inner::new(code, None)))
    }

    /// Not without a login, or not with this one.
    pub(super) fn unauthorized() -> Self {
        Self::of(error_code::UNAUTHORIZED)
    }

    /// Something on our side.
    pub(super) fn fault(cause: Failure) -> Self {
        match cause.reason {
            // What cannot be asked for is not known to be missing: who comes again may find it (threats R31).
            Reason::Bucket | Reason::DatabaseAway | Reason::LockHeld => {
                Self::because(error_code::UNAVAILABLE, cause).header(header::RETRY_AFTER, RETRY_SECONDS)
            }
            _ => Self::because(error_code::INTERNAL, cause),
        }
    }

    /// What was asked for is published, but its bytes are gone or bad: the disk has the last word (threats
    /// R07), so the client hears that there is none, and the log hears why.
    pub(super) fn lost(code: ErrorCode, cause: Failure) -> Self {
        match cause.reason {
            Reason::BlobMissing => Self::because(code, cause),
            _ => Self::fault(cause),
        }
    }

    fn because(code: ErrorCode, cause: Failure) -> Self {
        Self(Box::new(Inner::new(code, Some(cause))))
    }

    /// What may be done later: after so many seconds.
    pub(super) fn later(code: ErrorCode, seconds: u32) -> Self {
        Self::of(code).header(header::RETRY_AFTER, seconds.to_string())
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// Adds what may help the client.
    pub(super) fn detail(mut self, detail: impl Into<Value>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// It is refused for who asks, though the answer does not say so.
    pub(super) fn decided(mut self) -> Self {
        self.0.decided = true;
        self
    }

    /// Whether somebody was not let, rather than something not possible.
    pub(super) fn is_decision(&self) -> bool {
        self.0.decided
            || [error_code::UNAUTHORIZED, error_code::DENIED, error_code::LOGINS_FULL].contains(&self.0.code)
    }

    /// The token is not good for this.
    pub(super) fn by_token(mut self, problem: &'static str) -> Self {
        self.0.token = Some(problem);
        self
    }

    /// What is wrong with the token.
    pub(super) fn token(&self) -> Option<&'static str> {
        self.0.token
    }

    /// It was tried to log in to this account, which there is.
    pub(super) fn tried(&self) -> Option<&str> {
        self.0.tried.as_deref()
    }

    /// Names the account that it was tried to log in to.
    pub(super) fn at(mut self, account: Option<String>) -> Self {
        self.0.tried = account;
        self
    }

    /// Names the account that is refused.
    pub(super) fn of_account(mut self, account: Account) -> Self {
        self.0.account = Some(account);
        self
    }

    /// The account that is refused, or [`ANYONE`](super::caller::ANYONE).
    pub(super) fn account(&self) -> Option<&str> {
        self.0.account.as_ref().map(|Account(name)| name.as_str())
    }

    /// What the log should hear.
    pub(super) fn cause(&self) -> Option<&Failure> {
        self.0.cause.as_ref()
    }

    pub(super) fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What may help a person, where it is a sentence.
    pub(super) fn sentence(&self) -> Option<&str> {
        self.0.detail.as_ref().and_then(Value::as_str)
    }

    pub(super) fn into_response(self) -> Response {
        let ErrorCode { code, status, message } = self.0.code;
        let mut response = json(&Errors { errors: [Entry { code, message, detail: self.0.detail }] });
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // For who watches.
        response.extensions_mut().insert(self.0.code);
        if let Some(account) = self.0.account {
            response.extensions_mut().insert(account);
        }
        for (name, value) in self.0.headers {
            set(response.headers_mut(), name, &value);
        }
        response
    }
}

impl From<Failure> for Refusal {
    fn from(cause: Failure) -> Self {
        match cause.reason {
            // Which rule, and what it keeps.
            Reason::TagImmutable | Reason::QuotaExceeded => {
                Self::of(error_code::DENIED).detail(serde_json::json!({
                    "reason": cause.reason.text(),
                    "object": cause.object,
                    "rule": cause.message,
                }))
            }
            // The client hears it as often as it tries; whoever runs the registry hears of it from `doctor`.
            Reason::DiskFull => Self::of(error_code::NO_SPACE),
            // What cannot be told is not done (threats R22).
            Reason::LedgerUnwritten => Self::because(error_code::UNRECORDED, cause),
            _ => Self::fault(cause),
        }
    }
}

#[derive(Serialize)]
struct Errors {
    errors: [Entry; 1],
}

#[derive(Serialize)]
struct Entry {
    code: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Value>,
}

/// A JSON document.
pub(super) fn json(document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(bytes) => bytes_of("application/json", bytes),
        Err(error) => Refusal::fault(Failure::internal(error)).into_response(),
    }
}

/// Bytes that are in memory.
pub(super) fn bytes_of(media_type: &str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    set(response.headers_mut(), header::CONTENT_TYPE, media_type);
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 201 for content that is here now, and where it is.
pub(super) fn created(location: &str, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    set(response.headers_mut(), header::LOCATION, location);
    set(response.headers_mut(), HeaderName::from_static("docker-content-digest"), &digest.to_string());
    response
}

/// What became of a wish to delete; `unknown` for what is not here.
pub(super) fn deleted(deletion: Deletion, unknown: ErrorCode) -> Answer {
    match deletion {
        Deletion::Done => Ok(empty(StatusCode::ACCEPTED)),
        Deletion::Unknown => Err(Refusal::of(unknown)),
        Deletion::InUse(parent) => Err(Refusal::of(error_code::DENIED).detail(serde_json::json!({
            "listed-by": parent,
            "rule": "what a manifest of the repository lists stays as long as the manifest: delete that first",
        }))),
    }
}

/// Sets a header whose value comes from checked data; one that no header can hold is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The headers that name content: digest and entity tag.
pub(super) fn name_content(headers: &mut HeaderMap, digest: &Digest) {
    set(headers, HeaderName::from_static("docker-content-digest"), &digest.to_string());
    set(headers, header::ETAG, &entity_tag(digest));
}

fn entity_tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has the content already (RFC 9110, 13.1.2).
pub(super) fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let ours = entity_tag(digest);
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == ours)
}

/// Whether a range may be served: without `If-Range`, or when it names this very content (RFC 9110, 13.1.5).
pub(super) fn range_applies(headers: &HeaderMap, digest: &Digest) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == entity_tag(digest).as_bytes())
}

/// 304 for content that the client has.
pub(super) fn not_modified(digest: &Digest) -> Response {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    name_content(response.headers_mut(), digest);
    response
}

/// Adds `Link` to the next page (RFC 8288), relative so that it holds behind any proxy.
pub(super) fn link_next(response: &mut Response, path: &str, n: usize, last: &str, query: &Query) {
    let mut url = format!("{path}?n={n}&last={last}");
    for (name, value) in [("artifactType", &query.artifact_type), ("ns", &query.namespace)] {
        if let Some(value) = value {
            url = format!("{url}&{name}={}", percent_encoded(value));
        }
    }
    set(response.headers_mut(), header::LINK, &format!("<{url}>; rel=\"next\""));
}

/// Text as part of a query.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(b));
        } else {
            let _infallible = write!(out, "%{b:02X}");
        }
        out
    })
}

/// Tells a client of a mirror whose content it got.
pub(super) fn echo_namespace(query: &Query, response: &mut Response) {
    if let Some(namespace) = &query.namespace {
        set(response.headers_mut(), HeaderName::from_static("oci-namespace"), namespace);
    }
}

/// Headers of every response. None of them lets a browser take our content for a page (threats J22).
pub(super) fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("docker-distribution-api-version", "registry/2.0"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R31: who comes again may find it, so a client is told to; what is broken stays so.
    #[test]
    fn what_is_away_is_asked_for_again() {
        for (reason, status, again) in [
            (Reason::Bucket, 503, true),
            (Reason::DatabaseAway, 503, true),
            (Reason::LockHeld, 503, true),
            (Reason::Database, 500, false),
            (Reason::DatabaseDamaged, 500, false),
        ] {
            let response = Refusal::from(Failure::new(reason, "x", "y")).into_response();
            let told = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!((response.status().as_u16(), told), (status, again), "{}", reason.text());
        }
    }

    #[test]
    fn links_keep_the_filter() {
        let mut response = Response::new(Body::empty());
        let query = Query { artifact_type: Some("a/b+json".into()), ..Query::default() };
        link_next(&mut response, "/v2/x/referrers/y", 2, "z", &query);
        assert_eq!(
            response.headers()["link"],
            "</v2/x/referrers/y?n=2&last=z&artifactType=a/b%2Bjson>; rel=\"next\""
        );
    }
}
