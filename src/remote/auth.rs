//! Answers to challenges: Basic, or a Bearer token from the registry's token server (distribution-spec's
//! companion "Token Authentication"; `docs/spec/auth` of CNCF distribution).
//!
//! What a server asked for is remembered, so that later requests carry the answer at once; tokens are kept
//! for their time and fetched once for all who need the same.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::Engine as _;
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Credentials, Inner,
    challenge::{self, Realm},
    credentials::Login,
    hosts::{Origin, parse_url},
    http::Answer,
    retry::Trouble,
};
use crate::base::{
    failure::{Failure, Reason, Result},
    limits, redact,
    redact::Secret,
    text,
};

/// For whom a request asks, and for what.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// The only server that may see the answer to a challenge.
    pub(super) origin: Origin,
    /// The name that credentials are configured under.
    pub(super) account: String,
    /// Repository on the server, empty for plain files.
    pub(super) repository: String,
    /// Scopes to ask a token server for.
    pub(super) scopes: Vec<String>,
}

/// What servers asked for, and the tokens got.
pub(super) struct Auth {
    credentials: Credentials,
    asked: Mutex<HashMap<Origin, Asked>>,
    tokens: Mutex<HashMap<(Origin, Vec<String>), Shared>>,
}

/// One token for all who ask for the same scopes of the same server; locked while it is fetched.
type Shared = Arc<tokio::sync::Mutex<Slot>>;

/// A challenge as understood.
#[derive(Debug, Clone)]
enum Asked {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// The token for one set of scopes.
#[derive(Default)]
struct Slot {
    token: Option<(Secret, Instant)>,
    /// Scopes that the server named beyond those we knew of.
    extra: BTreeSet<String>,
}

/// A token server's answer. No `Debug`.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, asked: Mutex::default(), tokens: Mutex::default() }
    }

    fn slot(&self, access: &Access) -> Shared {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tokens.entry((access.origin.clone(), access.scopes.clone())).or_default())
    }

    fn asked(&self, origin: &Origin) -> Option<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(origin).cloned()
    }
}

impl Inner {
    /// The `Authorization` for a request, by what its server asked for before.
    pub(super) async fn authorization(&self, access: &Access) -> Result<Option<HeaderValue>, Trouble> {
        match self.auth.asked(&access.origin) {
            None => Ok(None),
            Some(Asked::Basic) => match self.login(access).await? {
                Some(Login::Password(user, password)) => Ok(Some(basic(&user, &password)?)),
                Some(Login::IdentityToken(_)) | None => Ok(None),
            },
            Some(Asked::Bearer { realm, service }) => {
                let slot = self.auth.slot(access);
                let mut slot = slot.lock().await;
                if let Some((token, until)) = &slot.token
                    && *until > Instant::now()
                {
                    return Ok(Some(sensitive("Bearer ", token.reveal())?));
                }
                let scopes: BTreeSet<&str> =
                    access.scopes.iter().chain(&slot.extra).map(String::as_str).collect();
                let (token, lasts) = self.fetch_token(access, &realm, service.as_deref(), &scopes).await?;
                let header = sensitive("Bearer ", token.reveal())?;
                slot.token = Some((token, Instant::now() + lasts));
                Ok(Some(header))
            }
        }
    }

    /// Learns from a 401. `rejected` is the authorisation that the request carried.
    pub(super) async fn challenged(
        &self,
        access: &Access,
        headers: &HeaderMap,
        rejected: Option<&HeaderValue>,
    ) -> Result<()> {
        let challenges: Vec<_> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .take(8)
            .filter_map(|value| value.to_str().ok())
            .flat_map(challenge::parse)
            .collect();
        let find = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let asked = if let Some(bearer) = find("bearer") {
            let realm = bearer.parameters.get("realm").map_or("", String::as_str);
            let realm = parse_url(realm, realm)
                .map_err(|failure| failure.as_reason(Reason::AuthRealm).of(&access.origin))?;
            let slot = self.auth.slot(access);
            let mut slot = slot.lock().await;
            let carried =
                slot.token.as_ref().and_then(|(token, _)| sensitive("Bearer ", token.reveal()).ok());
            if rejected.is_some() && carried.as_ref() == rejected {
                slot.token = None;
            }
            let scope = bearer.parameters.get("scope").map_or("", String::as_str);
            slot.extra.extend(scope.split(' ').filter(|scope| !scope.is_empty()).take(8).map(str::to_owned));
            Asked::Bearer { realm, service: bearer.parameters.get("service").cloned() }
        } else if find("basic").is_some() {
            Asked::Basic
        } else {
            return Err(self.refused_login(access, "it names no way to log in that we know").await);
        };
        if matches!(asked, Asked::Basic) {
            let known = matches!(self.login(access).await?, Some(Login::Password(..)));
            if rejected.is_some() || !known {
                return Err(self.refused_login(access, "401 Unauthorized").await);
            }
        }
        self.auth.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(access.origin.clone(), asked);
        Ok(())
    }

    /// The failure when a server does not let us in.
    pub(super) async fn refused_login(&self, access: &Access, found: &str) -> Failure {
        let had_login = matches!(self.login(access).await, Ok(Some(_)));
        let message = if had_login {
            format!("it refuses the credentials configured for {}: {found}", access.account)
        } else {
            format!("it asks for credentials, and none are configured for {}: {found}", access.account)
        };
        Failure::new(Reason::AuthFailed, &access.origin, message).hint(format!(
            "run `docker login {}` (or podman login), or set SEALIFT_REGISTRY_AUTH; check that the account may \
             use the repository",
            access.account
        ))
    }

    async fn login(&self, access: &Access) -> Result<Option<Login>> {
        self.auth.credentials.lookup(&access.account, &access.repository).await
    }

    async fn fetch_token(
        &self,
        access: &Access,
        realm: &Url,
        service: Option<&str>,
        scopes: &BTreeSet<&str>,
    ) -> Result<(Secret, Duration), Trouble> {
        let login = self.login(access).await?;
        let target = Origin::of(realm);
        let refused = |why: &str| {
            Failure::new(
                Reason::AuthRealm,
                &access.origin,
                format!("it names the token server {}, but {why}", redact::url(realm.as_str())),
            )
            .hint(
                "nothing was sent there; check the registry's settings, or whether something stands between",
            )
        };
        match challenge::judge(&access.origin, &target) {
            Realm::Trusted => {}
            Realm::Anonymous if login.is_none() => {}
            Realm::Anonymous => {
                return Err(refused("it is another site, and would receive credentials").into());
            }
            Realm::Refused(why) => return Err(refused(why).into()),
        }
        let mut headers = HeaderMap::new();
        let answer = if let Some(Login::IdentityToken(token)) = &login {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
            let body = refresh_form(realm, service, scopes, token);
            self.once(&Method::POST, realm, headers, Some(body.into())).await?
        } else {
            let mut url = realm.clone();
            url.query_pairs_mut()
                .extend_pairs(service.map(|service| ("service", service)))
                .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
            if let Some(Login::Password(user, password)) = &login {
                url.query_pairs_mut().append_pair("account", user);
                headers.insert(AUTHORIZATION, basic(user, password)?);
            }
            self.once(&Method::GET, &url, headers, None).await?
        };
        self.read_token(access, &target, answer).await
    }

    async fn read_token(
        &self,
        access: &Access,
        target: &Origin,
        answer: Answer,
    ) -> Result<(Secret, Duration), Trouble> {
        let status = answer.status();
        if matches!(status.as_u16(), 401 | 403) {
            let found = format!("the token server {target} answers {status}");
            return Err(self.refused_login(access, &found).await.into());
        }
        if status.is_redirection() {
            let message = "the token server redirects, which is not followed with credentials";
            return Err(Failure::new(Reason::UpstreamRedirect, target, message).into());
        }
        let answer = self.passing(answer, &target.to_string()).await?;
        if !status.is_success() {
            return Err(answer.refused(Reason::HttpStatus, target).await.into());
        }
        let malformed =
            |what: &str| Failure::new(Reason::UpstreamMalformed, target, format!("token answer: {what}"));
        let body = answer.read(limits::SMALL_ANSWER_BYTES, &target.to_string()).await?;
        let parsed: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_secret| malformed("expected JSON with `token` or `access_token`"))?;
        let token = parsed.token.filter(|token| !token.is_empty()).or(parsed.access_token);
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| malformed("it holds no token"))?;
        // No token lasts less than a minute by the specification; ours is renewed a little early.
        let lasts = parsed.expires_in.unwrap_or(60).clamp(60, 86_400) - 10;
        Ok((Secret::new(token), Duration::from_secs(lasts)))
    }
}

/// The form that turns an identity token into an access token (OAuth 2, RFC 6749 section 6).
fn refresh_form(realm: &Url, service: Option<&str>, scopes: &BTreeSet<&str>, token: &Secret) -> String {
    let mut scratch = realm.clone();
    let scope = scopes.iter().copied().collect::<Vec<_>>().join(" ");
    scratch
        .query_pairs_mut()
        .clear()
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", "sealift")
        .extend_pairs(service.map(|service| ("service", service)))
        .append_pair("scope", &scope)
        .append_pair("refresh_token", token.reveal());
    scratch.query().unwrap_or_default().to_owned()
}

fn basic(user: &str, password: &Secret) -> Result<HeaderValue> {
    let pair = zeroize::Zeroizing::new(format!("{user}:{}", password.reveal()));
    sensitive("Basic ", &base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()))
}

/// A header that no log shows.
fn sensitive(scheme: &str, value: &str) -> Result<HeaderValue> {
    let text = zeroize::Zeroizing::new(format!("{scheme}{value}"));
    let mut header = HeaderValue::from_str(&text).map_err(|_secret| {
        let scheme = text::escaped(scheme.trim(), 16);
        Failure::new(Reason::UpstreamMalformed, scheme, "a token holds characters that no header may hold")
    })?;
    header.set_sensitive(true);
    Ok(header)
}
