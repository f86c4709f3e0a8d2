//! The page for people: repositories, tags, where tags led, what manifests lead to. By the same rules as the API, from the
//! same store, made on the server, without a script.
//!
//! - `view.rs` reads what is looked at, `lists.rs`, `manifest.rs` and `history.rs` look it up, `words.rs` puts it into
//!   words, `templates/` into HTML; `api.rs` shows what the admin API is;
//! - nothing here changes anything that is published: browsers send a password with every request, whoever made them ask;
//! - what was pushed is hostile: templates escape it, no link leads where it says, and the policy that is sent with each
//!   page lets no script run and nothing be loaded from elsewhere (threats J22).

mod api;
mod history;
mod lists;
mod manifest;
mod view;
mod words;

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};

pub(super) use self::view::{View, is_page};
use self::{view::Filter, words::tamed};
use super::{
    PATIENCE, Registry,
    access::Gate,
    blocking,
    body::Incoming,
    caller::{Caller, caller},
    drained,
    log::Account,
    peer::Peer,
    respond::{self, Answer, Refusal, percent_encoded},
};
use crate::{
    base::{clock::Timestamp, digest::Digest, failure::Failure, limits},
    oci::error_code,
    rules::Right,
};

const STYLE: &str = include_str!("templates/style.css");
/// The style under the name of its content, so that browsers may keep it.
static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    format!("/style.css?{}", Digest::of(STYLE.as_bytes()).hex().get(..16).unwrap_or_default())
});

/// What a page may do: show itself.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

/// What stands around every page.
#[derive(Debug, Clone)]
struct Frame {
    style: &'static str,
    /// What clients call this registry; `None` where they do not say.
    host: Option<String>,
    /// Whether the way to it is encrypted.
    secure: bool,
    /// Who looks.
    visitor: Option<String>,
    /// Where to log in, and come back to this page; none where there is nobody to log in as.
    login: Option<String>,
    version: &'static str,
    now: Timestamp,
}

/// A person's request that may be answered.
struct Look<'a> {
    registry: &'a Registry,
    caller: Caller,
    gate: Gate,
    filter: Filter,
    frame: Frame,
}

/// A page that tells why there is none.
#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble {
    frame: Frame,
    title: String,
    words: String,
    detail: Option<String>,
}

/// Answers a request for a page.
pub(super) async fn show(State(registry): State<Registry>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = Incoming::new(body, &parts.headers, PATIENCE, Arc::clone(&registry.large));
    let log = registry.log.clone();
    let frame = Frame::of(&registry, &parts);
    let answer = registry.look(&parts, frame.clone()).await;
    let response = answer.unwrap_or_else(|refusal| {
        if let Some(failure) = refusal.cause() {
            log.fault(failure);
        }
        told(refusal, frame)
    });
    finish(drained(response, body).await)
}

impl Registry {
    async fn look(self, parts: &Parts, frame: Frame) -> Answer {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Refusal::of(error_code::UNSUPPORTED).header(header::ALLOW, "GET, HEAD"));
        }
        let view = View::parse(&parts.uri)?;
        if view == View::Style {
            let mut response = respond::bytes_of("text/css; charset=utf-8", STYLE.into());
            let kept = "public, max-age=31536000, immutable";
            respond::set(response.headers_mut(), header::CACHE_CONTROL, kept);
            return Ok(response);
        }
        if view == View::Api {
            return api::show(Frame { login: None, ..frame });
        }
        let filter = Filter::parse(&parts.uri)?;
        let ask = |refusal: Refusal| match refusal.code() {
            error_code::UNAUTHORIZED if view == View::Login => self.login.ask_for_password(refusal),
            // In one place, at the root: so browsers send the password to every page, not only to those beside this.
            error_code::UNAUTHORIZED => {
                let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                refusal.header(header::LOCATION, login(path))
            }
            _ => refusal,
        };
        self.records.check()?;
        let caller = match caller(&self, parts).await {
            Ok(caller) => caller,
            Err(refusal) => {
                let peer = parts.extensions.get::<ConnectInfo<Peer>>();
                let refused = match peer {
                    Some(ConnectInfo(peer)) => self.told_of_stranger(peer.address.ip(), Err(refusal)),
                    None => Err(refusal),
                };
                return refused.map_err(ask);
            }
        };
        self.told_of_login(&caller)?;
        let account = Account(caller.author().who);
        if view == View::Login {
            if caller.is_anonymous() {
                return Err(self.login.ask_for_password(Refusal::unauthorized()));
            }
            let back = format!("{}{}", frame.origin(), view::back(filter.to.as_deref()));
            return Ok(with_account(see_other(&back), account));
        }
        let gate = self.gate().await.map_err(ask)?;
        if let Some(repository) = view.repository() {
            let checked = gate.check(&caller, Right::Pull, repository);
            let told = checked.map_err(|refusal| self.told_of_look(&caller, repository, refusal));
            told.map_err(|refusal| ask(refusal.of_account(account.clone())))?;
        }
        let shown = blocking(move || {
            let visitor = caller.subject.name.as_ref().map(ToString::to_string);
            let login = frame.login.clone().filter(|_login| visitor.is_none() && gate.has_login());
            let frame = Frame { visitor, login, ..frame };
            let look = Look { registry: &self, caller, gate, filter, frame };
            // What came since somebody looked last. That it cannot be written down now is no reason to show nothing.
            let left = self
                .store
                .describe_within(limits::DESCRIBED_AT_ONCE, limits::DESCRIBING)
                .unwrap_or_else(|failure| {
                    self.log.fault(&failure);
                    0
                });
            match view {
                View::Repository { name } => look.repository(&name, left > 0),
                View::Manifest { name, target } => look.manifest(&name, &target),
                View::History { name, tag } => look.history(&name, &tag),
                View::Start | View::Api | View::Login | View::Style => look.start(left > 0),
            }
        });
        Ok(with_account(shown.await?, account))
    }
}

/// The log names who looked.
fn with_account(mut response: Response, account: Account) -> Response {
    response.extensions_mut().insert(account);
    response
}

impl Frame {
    /// Who did something, for a visitor who has an account too: others do not learn which there are (threats R17).
    fn name_of(&self, who: &str) -> String {
        let is_account = who.starts_with("user:") || who.starts_with("robot:");
        if self.visitor.is_some() || !is_account { tamed(who) } else { String::new() }
    }

    fn of(registry: &Registry, parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let url = peer.and_then(|ConnectInfo(peer)| registry.login.url(&parts.headers, peer));
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Self {
            style: STYLE_PATH.as_str(),
            secure: url.as_ref().is_none_or(|url| url.starts_with("https:")),
            host: url.and_then(|url| url.split_once("://").map(|(_scheme, host)| host.to_owned())),
            visitor: None,
            login: Some(login(path)),
            version: env!("CARGO_PKG_VERSION"),
            now: Timestamp::now(),
        }
    }

    /// Before a path, where this registry is known by a name. A browser that has the password in its address takes it
    /// along to a place without one, and then sends it only where it is asked for: there and back, without end.
    fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        self.host.as_ref().map(|host| format!("{scheme}://{host}")).unwrap_or_default()
    }

    /// As a command names the registry.
    fn registry(&self) -> &str {
        self.host.as_deref().unwrap_or("REGISTRY")
    }
}

/// Where to log in on the way to a page.
fn login(path: &str) -> String {
    format!("/login?to={}", percent_encoded(path))
}

/// A page as a response.
fn page(page: &impl Template) -> Answer {
    let text = page.render().map_err(Failure::internal)?;
    Ok(respond::bytes_of("text/html; charset=utf-8", text.into_bytes()))
}

fn see_other(path: &str) -> Response {
    let mut response = respond::empty(StatusCode::SEE_OTHER);
    respond::set(response.headers_mut(), header::LOCATION, path);
    response
}

/// The page for a refusal, with its status and headers. It is the same for what is not there and what is not shown
/// (threats R17).
fn told(refusal: Refusal, frame: Frame) -> Response {
    let code = refusal.code();
    let (title, words) = match code.status {
        400 => (
            "That cannot be asked for",
            "The address or the form holds something that this page does not understand.",
        ),
        401 => ("Log in", "Your browser asks for the name and password of an account of this registry."),
        404 => ("Not found", "There is nothing under this name, or nothing that you may see."),
        405 => ("Not here", "Pages are only read. What changes a registry speaks to its API."),
        429 if code == error_code::REQUESTS_FULL => (
            "Too many requests",
            "You, or others who share your address, asked for too much. Wait a little, then try again.",
        ),
        429 => ("Too many attempts", "Logins failed too often. Wait a little, then try again."),
        _ => (
            "The registry failed",
            "It could not answer. The log of the server says why; nothing was changed.",
        ),
    };
    let detail = refusal.sentence().map(tamed);
    let trouble = Trouble { frame, title: title.to_owned(), words: words.to_owned(), detail };
    let refused = refusal.into_response();
    let mut response = page(&trouble).unwrap_or_else(Refusal::into_response);
    // Where somebody is sent to log in, that is the answer.
    let sent = refused.headers().contains_key(header::LOCATION);
    *response.status_mut() = if sent { StatusCode::SEE_OTHER } else { refused.status() };
    response.extensions_mut().extend(refused.extensions().clone());
    for name in [header::WWW_AUTHENTICATE, header::ALLOW, header::RETRY_AFTER, header::LOCATION] {
        if let Some(value) = refused.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// Headers of every page.
fn finish(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // What somebody may see is not for whoever sits there next.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests;
