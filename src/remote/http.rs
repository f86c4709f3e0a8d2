//! One call: sent, authorised, redirected, its status judged.

use reqwest::{
    Method, StatusCode, Url,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION,
    },
};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Inner,
    auth::Access,
    body::Clock,
    hosts::{Origin, parse_url},
    retry::{Again, Trouble, retry_after},
};
use crate::base::{
    failure::{Failure, Reason, Result},
    limits, redact, text,
};

/// A request as meant. It may be sent several times.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What failures are about: a reference, or the redacted URL.
    pub(super) object: String,
    pub(super) access: Access,
    pub(super) headers: HeaderMap,
    /// A small body; large ones are streamed by `push.rs`.
    pub(super) body: Option<bytes::Bytes>,
}

impl Call {
    pub(super) fn new(method: Method, url: Url, object: impl std::fmt::Display, access: Access) -> Self {
        Self { method, url, object: object.to_string(), access, headers: HeaderMap::new(), body: None }
    }

    /// Adds a header whose value is ours.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        self.headers.insert(name, HeaderValue::from_str(value).map_err(Failure::internal)?);
        Ok(self)
    }
}

/// An answer whose body is still to be read. It holds its connection's permit.
pub(super) struct Answer {
    pub(super) response: reqwest::Response,
    /// Method and redacted URL, for messages.
    pub(super) what: String,
    pub(super) clock: Clock,
    _permit: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header as text; `None` when absent or not ASCII.
    pub(super) fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The URL that answered, after redirects.
    pub(super) fn url(&self) -> &Url {
        self.response.url()
    }

    /// The failure for a status that was not wanted, with the server's own words.
    pub(super) async fn refused(self, reason: Reason, object: impl std::fmt::Display) -> Failure {
        let status = self.status();
        let what = self.what.clone();
        let plain = self.url().scheme() == "http";
        let words = self.error_words().await;
        Failure::new(reason, object, format!("{what}: {status}{words}")).hint(match status.as_u16() {
            404 => "check the name; some servers also hide what an account may not see",
            403 => "check that the account may do this, and the server's own rules",
            400 if plain && words.is_empty() => {
                "if the server speaks TLS, set plain_http = false for it, or ca_file for a certificate of your own"
            }
            413 => "the server has a limit on sizes: raise it there",
            500.. => "the server is at fault: run the command again later; what is done is kept",
            _ => "read the server's words and its log",
        })
    }

    /// The first error of an OCI error answer, as `: CODE: message`; empty when there is none.
    async fn error_words(self) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Error>,
        }
        #[derive(Deserialize)]
        struct Error {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let Ok(body) = self.read(limits::SMALL_ANSWER_BYTES, "").await else { return String::new() };
        let first =
            serde_json::from_slice::<Errors>(&body).ok().and_then(|list| list.errors.into_iter().next());
        first.map_or_else(String::new, |error| {
            format!(": {}: {}", text::escaped(&error.code, 60), text::escaped(&error.message, 300))
        })
    }
}

impl Inner {
    /// Sends a call: answers a challenge once, follows redirects, and turns what may pass into a passing
    /// trouble. Every other status is the caller's.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, Trouble> {
        let body = || call.body.clone().map(reqwest::Body::from);
        let mut url = call.url.clone();
        let mut redirects = 0;
        let mut challenged = false;
        // Once a redirect led elsewhere, nothing is sent along any more, wherever it leads next.
        let mut at_home = Origin::of(&url) == call.access.origin;
        loop {
            let about = |trouble: Trouble| trouble.about(&call.object);
            let authorization =
                if at_home { self.authorization(&call.access).await.map_err(about)? } else { None };
            let mut headers = call.headers.clone();
            headers.extend(authorization.clone().map(|value| (AUTHORIZATION, value)));
            let answer = self.once(&call.method, &url, headers, body()).await;
            let answer = answer.map_err(about)?;
            let status = answer.status();
            if status == StatusCode::UNAUTHORIZED {
                if challenged || !at_home {
                    let found = answer.refused(Reason::AuthFailed, &call.object).await;
                    return Err(about(self.refused_login(&call.access, &found.message).await.into()));
                }
                challenged = true;
                let headers = answer.response.headers().clone();
                drop(answer); // the token server may be the same host: give the connection back first
                let learned = self.challenged(&call.access, &headers, authorization.as_ref()).await;
                learned.map_err(|failure| about(failure.into()))?;
            } else if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                redirects += 1;
                url = redirect(call, &answer, redirects)?;
                at_home &= Origin::of(&url) == call.access.origin;
            } else {
                return self.passing(answer, &call.object).await;
            }
        }
    }

    /// One exchange of messages: no challenge answered, no redirect followed.
    pub(super) async fn once(
        &self,
        method: &Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Option<reqwest::Body>,
    ) -> Result<Answer, Trouble> {
        let what = format!("{method} {}", redact::url(url.as_str()));
        let host = self.hosts.host(&Origin::of(url))?;
        let permit = host.enter().await?;
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut request = host.http.request(method.clone(), url.clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let timeouts = self.settings.timeouts;
        let response = tokio::time::timeout(timeouts.header, request.send())
            .await
            .map_err(|_elapsed| Trouble::passing(silent(&what, timeouts.header)))?
            .map_err(|error| trouble(&what, &error))?;
        Answer::checked(response, what, Clock::new(timeouts.idle), permit).map_err(Into::into)
    }

    /// Turns an answer that may be another one later into a passing trouble.
    pub(super) async fn passing(&self, answer: Answer, object: &str) -> Result<Answer, Trouble> {
        let status = answer.status().as_u16();
        let reason = match status {
            429 => Reason::RateLimited,
            408 | 500 | 502 | 503 | 504 => Reason::HttpStatus,
            _ => return Ok(answer),
        };
        let asked =
            answer.header("retry-after").and_then(retry_after).filter(|_| matches!(status, 429 | 503));
        if let Some(pause) = asked.filter(|pause| *pause <= self.settings.retries.longest_wait) {
            self.hosts.host(&Origin::of(answer.url()))?.pause(pause);
        }
        let failure = answer.refused(reason, object).await;
        Err(Trouble { failure, again: asked.map_or(Again::Soon, Again::After) })
    }
}

impl Answer {
    /// Refuses a compressed body: what would come out of it has no ceiling (threats N12).
    pub(super) fn checked(
        response: reqwest::Response,
        what: String,
        clock: Clock,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self> {
        let encoding = response.headers().get(CONTENT_ENCODING).filter(|_| response.status().is_success());
        if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
            let found = text::escaped(&String::from_utf8_lossy(encoding.as_bytes()), 60);
            let message =
                format!("asked for the plain bytes, the server sends them with the encoding {found}");
            return Err(Failure::new(Reason::UpstreamMalformed, what, message)
                .hint("turn compression off for these files at the server or the proxy before it"));
        }
        Ok(Self { response, what, clock, _permit: permit })
    }
}

/// Where a redirect leads, if it may be followed.
fn redirect(call: &Call, answer: &Answer, count: usize) -> Result<Url> {
    let refused = |why: &str| {
        let message = format!("{}: {} {why}", answer.what, answer.status());
        Failure::new(Reason::UpstreamRedirect, &call.object, message)
            .hint("check the address in the manifest and the server's settings")
    };
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(refused("redirects an upload, which is not followed"));
    }
    if count > limits::REDIRECTS {
        return Err(refused("is one redirect too many"));
    }
    let location = answer.header(LOCATION).ok_or_else(|| refused("names no location"))?;
    let next = answer.url().join(location).map_err(|_error| refused("names no usable location"))?;
    let shown = redact::url(next.as_str());
    parse_url(next.as_str(), &shown).map_err(|_failure| refused("names no http or https location"))?;
    let (from, to) = (Origin::of(answer.url()), Origin::of(&next));
    if from.scheme == "https" && to.scheme != "https" {
        return Err(refused(&format!("leads from https to {shown}")));
    }
    let inside = super::hosts::address(&to.host).is_some_and(|address| match address {
        std::net::IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified(),
        std::net::IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified(),
    });
    if inside || (to.is_loopback() && !from.is_loopback()) {
        return Err(refused(&format!("leads into this machine: {shown}")));
    }
    Ok(next)
}

/// The failure of a server that says nothing.
pub(super) fn silent(what: &str, limit: std::time::Duration) -> Failure {
    let message = format!("no answer within {:.1} s", limit.as_secs_f32());
    Failure::new(Reason::UpstreamTimeout, what, message)
        .hint("run the command again; what is done is kept. Check the network and any proxy")
}

/// What a failed exchange means.
pub(super) fn trouble(what: &str, error: &reqwest::Error) -> Trouble {
    let words = text::escaped(&cause(error), 300);
    if is_tls(error) {
        let failure = Failure::new(Reason::TlsFailure, what, words).hint(
            "if the server has a certificate of your own authority, set ca_file for it in [registries]; if it \
             speaks no TLS, set plain_http = true",
        );
        return failure.into();
    }
    if error.is_timeout() {
        return Trouble::passing(
            Failure::new(Reason::UpstreamTimeout, what, words)
                .hint("run the command again; what is done is kept. Check the network and any proxy"),
        );
    }
    if error.is_builder() {
        return Failure::internal(format!("{what}: {words}")).into();
    }
    Trouble::passing(
        Failure::new(Reason::Network, what, words).hint(
            "run the command again; what is done is kept. Check the address, the network and any proxy",
        ),
    )
}

/// The words of the innermost cause, which say most; without the URL and its secrets.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut words = String::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(inner) = next {
        words = inner.to_string();
        next = inner.source();
    }
    if words.is_empty() { "the exchange failed".to_owned() } else { words }
}

/// Whether TLS is what failed. The library hides the type, so its words must do: they only choose between
/// two reasons of the same class.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(inner) = next {
        let debug = format!("{inner:?}");
        if ["InvalidCertificate", "InvalidMessage", "AlertReceived", "PeerIncompatible", "PeerMisbehaved"]
            .iter()
            .any(|word| debug.contains(word))
        {
            return true;
        }
        next = inner.source();
    }
    false
}
