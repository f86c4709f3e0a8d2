//! `/v2/token`: who says who they are gets a token for what they ask and hold (distribution, "Token Authentication
//! Specification" and "`OAuth2` Token Authentication").

use axum::{
    extract,
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    response::Response,
};
use serde::Serialize;

use super::{
    Action, Claims, Credentials, Known, Login, Scope, blocking, credentials, token::SECONDS, unauthorized,
};
use crate::{
    base::{clock::Timestamp, failure::Failure, limits, redact::Secret},
    oci::error_code,
    registry::{
        body::Incoming,
        peer::Peer,
        respond::{self, Refusal},
    },
};

/// Tells whether somebody holds the right to an action in a repository.
pub(in crate::registry) type Holds<'a> = &'a (dyn Fn(Option<&Known>, Action, &str) -> bool + Sync);

/// Tells the ledger that somebody logged in, or why it cannot.
pub(in crate::registry) type Told<'a> = &'a (dyn Fn(&Known) -> Result<(), Refusal> + Sync);

/// What is asked for; what else clients say (`account`, `client_id`, `offline_token`) makes no difference.
#[derive(Default)]
struct Asked {
    service: Option<String>,
    scopes: Vec<String>,
    grant: Option<String>,
    name: Option<String>,
    password: Option<Secret>,
}

impl Asked {
    fn new(pairs: Vec<(String, String)>) -> Self {
        let mut asked = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "service" => asked.service = Some(value),
                "scope" => asked.scopes.push(value),
                "grant_type" => asked.grant = Some(value),
                "username" => asked.name = Some(value),
                "password" => asked.password = Some(Secret::new(value)),
                _ => {}
            }
        }
        asked
    }
}

#[derive(Serialize)]
struct Given<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: u64,
    issued_at: Timestamp,
}

impl Login {
    /// Answers a request for a token: who it is for, and the answer. `told` hears who it is before anything else is looked
    /// at, for whatever comes of the request, a password was found right.
    pub(in crate::registry) async fn issue(
        &self,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
        body: &mut Incoming,
        peer: &Peer,
        (holds, told): (Holds<'_>, Told<'_>),
    ) -> Result<(Option<Known>, Response), Refusal> {
        match *method {
            Method::GET => {
                let asked = read_query(uri)?;
                let known = self.by_header(headers, peer).await?;
                known.as_ref().map_or(Ok(()), told)?;
                self.give(asked, known, holds).await
            }
            Method::POST => {
                let form = body.whole(limits::TOKEN_FORM_BYTES).await?;
                let asked = read_form(&form)?;
                let known = self.by_form(&asked, peer).await?;
                told(&known)?;
                self.give(asked, Some(known), holds).await
            }
            _ => Err(Refusal::of(error_code::UNSUPPORTED).header(header::ALLOW, "GET, POST")),
        }
    }

    /// A token is no way to another: else it would never end.
    async fn by_header(&self, headers: &HeaderMap, peer: &Peer) -> Result<Option<Known>, Refusal> {
        match credentials(headers)? {
            Some(Credentials::Password(name, password)) => {
                self.by_password(name, password, peer).await.map(Some)
            }
            Some(Credentials::Token(_)) => Err(unauthorized()),
            None => self.by_certificate(peer).await,
        }
    }

    /// No other grant is known: who has no password gets a token without any.
    async fn by_form(&self, asked: &Asked, peer: &Peer) -> Result<Known, Refusal> {
        match (asked.grant.as_deref(), &asked.name, &asked.password) {
            (Some("password"), Some(name), Some(password)) => {
                self.by_password(name.clone(), password.clone(), peer).await
            }
            _ => Err(unauthorized()),
        }
    }

    async fn give(
        &self,
        asked: Asked,
        known: Option<Known>,
        holds: Holds<'_>,
    ) -> Result<(Option<Known>, Response), Refusal> {
        let wrong = |detail: &str| Refusal::of(error_code::TOKEN_REQUEST).detail(detail);
        if asked.service.as_ref().is_some_and(|service| *service != self.service) {
            return Err(wrong("the service is another one"));
        }
        let scopes = Scope::parse_all(asked.scopes.iter().map(String::as_str))
            .ok_or_else(|| wrong("there are too many scopes"))?;
        let generation = known.as_ref().map(|known| known.generation.clone()).unwrap_or_default();
        let held = |action: Action, name: &str| holds(known.as_ref(), action, name);
        let access = scopes.into_iter().filter_map(|scope| scope.held(&held)).collect();
        let now = Timestamp::now();
        let name = known.as_ref().map_or("", |known| &known.name);
        let claims = Claims::new(&self.service, (name, &generation), access, now)?;
        let store = self.store.clone();
        let keys = blocking(move || Ok(store.token_keys(now)?)).await?;
        let key = keys.first().ok_or_else(|| Failure::internal("there is no key for tokens"))?;
        let token = claims.sign(key)?;
        let mut response = respond::json(&Given {
            token: &token,
            access_token: &token,
            expires_in: SECONDS,
            issued_at: now,
        });
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok((known, response))
    }
}

fn read_query(uri: &Uri) -> Result<Asked, Refusal> {
    // Longer than other queries, for they hold the names of repositories.
    let length = uri.query().map_or(0, str::len) as u64;
    let pairs = extract::Query::<Vec<(String, String)>>::try_from_uri(uri).ok();
    let pairs = pairs.filter(|_pairs| length <= limits::TOKEN_FORM_BYTES);
    pairs.map(|extract::Query(pairs)| Asked::new(pairs)).ok_or_else(unreadable)
}

/// `application/x-www-form-urlencoded` is what a query is too.
fn read_form(form: &[u8]) -> Result<Asked, Refusal> {
    let text = std::str::from_utf8(form).map_err(|_utf8| unreadable())?;
    read_query(&Uri::try_from(format!("/?{text}")).map_err(|_why| unreadable())?)
}

fn unreadable() -> Refusal {
    Refusal::of(error_code::TOKEN_REQUEST).detail("the request cannot be read")
}
