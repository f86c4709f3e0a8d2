//! Who asks: by password, by token, or by the certificate of the connection. What they may do is not asked here.
//!
//! - [`Login::identify`] is asked once for each request, before anything else;
//! - `passwords.rs` compares passwords and remembers which were right, `throttle.rs` slows down who guesses;
//! - `issue.rs` answers who asks for a token (`/v2/token`), `token.rs` makes and reads tokens, `scope.rs` what is in them;
//! - [`Login::ask`] tells a client that is not known how to become so.
//!
//! Whoever comes with a credential that does not hold is refused, not taken for nobody. Accounts are looked up with
//! each request, so that one that is disabled, removed or taken out of a group is so with the next (threats R19).

mod issue;
mod passwords;
mod scope;
mod throttle;
mod token;

use std::collections::BTreeSet;

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};

pub(super) use self::scope::Action;
use self::{passwords::Passwords, scope::Scope, token::Claims};
use super::{blocking, caller, peer::Peer, respond::Refusal};
use crate::{
    base::{clock::Timestamp, failure::Result, redact::Secret},
    ledger::Proof,
    oci::{error_code, reference},
    rules::{self, Name},
    store::{Account, AccountKind, State, Store},
};

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The account.
    pub(super) name: String,
    /// Whom it is for.
    pub(super) kind: AccountKind,
    /// The groups that it is in now.
    pub(super) groups: BTreeSet<String>,
    /// What the token was given for; none where there is no token, and no such bound.
    pub(super) scope: Option<Vec<caller::Scope>>,
    /// Changes with the password.
    generation: String,
    /// How it is known.
    pub(super) proof: Proof,
    /// It is known by this request, and was not of late.
    pub(super) is_new: bool,
}

impl Known {
    fn new(account: Account, scope: Option<Vec<caller::Scope>>, (proof, is_new): (Proof, bool)) -> Self {
        let Account { name, kind, groups, generation, .. } = account;
        Self { name, kind, groups, scope, generation, proof, is_new }
    }
}

/// The account as rules and records name it.
pub(super) fn name(kind: AccountKind, name: String) -> Name {
    match kind {
        AccountKind::User => Name::User(name),
        AccountKind::Robot => Name::Robot(name),
    }
}

/// How one becomes known to this registry.
#[derive(Debug)]
pub(super) struct Login {
    store: Store,
    passwords: Passwords,
    /// What tokens are for.
    service: String,
    /// Where clients find this registry, if not where they say that they do.
    url: Option<String>,
}

/// What a client comes with.
enum Credentials {
    Password(String, Secret),
    Token(String),
}

impl Login {
    pub(super) fn new(store: Store, service: String, url: Option<String>) -> Result<Self> {
        Ok(Self { store, passwords: Passwords::new()?, service, url })
    }

    /// Who sends a request; `None` for who does not say.
    pub(super) async fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Option<Known>, Refusal> {
        match credentials(headers)? {
            Some(Credentials::Password(name, password)) => {
                self.by_password(name, password, peer).await.map(Some)
            }
            Some(Credentials::Token(token)) => self.by_token(token).await,
            None => self.by_certificate(peer).await,
        }
    }

    async fn by_password(&self, name: String, password: Secret, peer: &Peer) -> Result<Known, Refusal> {
        // No account has such a name: what is not looked up and not remembered may be as long as it likes.
        let name = if rules::is_name(&name) { name } else { String::new() };
        let (store, wanted) = (self.store.clone(), name.clone());
        let (account, tried) = blocking(move || {
            // People type passwords where the name belongs: only of names that there are, anything is told.
            let named = |account: Account| self::name(account.kind, account.name).to_string();
            let look = |state: &State<'_>| Ok((usable(state, &wanted)?, state.account(&wanted)?.map(named)));
            Ok(store.state(look)?)
        })
        .await?;
        let opened = self.passwords.open(&name, account.as_ref(), password, peer.address.ip()).await;
        match (account, opened.map_err(|refusal| refusal.at(tried.clone()))?) {
            (Some(account), Some(new)) => Ok(Known::new(account, None, (Proof::Password, new))),
            _ => Err(unauthorized().at(tried)),
        }
    }

    async fn by_token(&self, token: String) -> Result<Option<Known>, Refusal> {
        let (store, service) = (self.store.clone(), self.service.clone());
        blocking(move || {
            let now = Timestamp::now();
            let keys = store.token_keys(now)?;
            let claims = Claims::verify(&token, &keys, &service, now).ok_or_else(not_by_token)?;
            if claims.sub.is_empty() {
                return Ok(None);
            }
            let (account, tried) = store.state(|state| {
                let tried = state.account(&claims.sub)?;
                Ok((usable(state, &claims.sub)?, tried.map(|tried| name(tried.kind, tried.name).to_string())))
            })?;
            // Since then its password is another one, or it is another account of this name.
            let same = account.filter(|account| account.generation == claims.generation);
            let scope = claims.access.iter().map(Scope::narrowed).collect();
            let account = same.ok_or_else(|| not_by_token().at(tried))?;
            Ok(Some(Known::new(account, Some(scope), (Proof::Token, false))))
        })
        .await
    }

    /// The account that the certificate of the connection belongs to; `None` for one that is nobody's.
    async fn by_certificate(&self, peer: &Peer) -> Result<Option<Known>, Refusal> {
        let identities = peer.identities().to_vec();
        if identities.is_empty() {
            return Ok(None);
        }
        let store = self.store.clone();
        let found = blocking(move || {
            let found = store.state(|state| {
                let names = state.accounts_of_certificate(&identities)?;
                // Two accounts in one certificate are none.
                let only = names.first().filter(|_first| names.len() == 1);
                only.map(|name| usable(state, name)).transpose()
            })?;
            match found {
                Some(None) => Err(unauthorized()),
                Some(account) => Ok(account),
                None => Ok(None),
            }
        });
        let Some(account) = found.await? else { return Ok(None) };
        let new = self.passwords.is_new_certificate(&account.name, peer);
        Ok(Some(Known::new(account, None, (Proof::Certificate, new))))
    }

    /// Tells a client how to become known: where it gets a token, and what for. `wanted` is what it tried,
    /// `url` where it finds the registry.
    ///
    /// Only this one way is named, though passwords are taken everywhere: clients that are told of both either take the
    /// last one (docker), or fail where they have no password (containers/image), instead of asking for the token that
    /// those without a password get.
    /// What is wrong with the token that it came with, it is told too (RFC 6750, 3.1).
    pub(super) fn ask(&self, url: Option<&str>, wanted: &[(Action, String)], refusal: Refusal) -> Refusal {
        let Some(url) = url else { return self.ask_for_password(refusal) };
        let mut challenge = format!(r#"Bearer realm="{url}/v2/token",service="{}""#, self.service);
        if !wanted.is_empty() {
            let scopes: Vec<_> = wanted.iter().map(|(action, name)| Scope::wanted(*action, name)).collect();
            challenge = format!(r#"{challenge},scope="{}""#, scopes.join(" "));
        }
        if let Some(problem) = refusal.token() {
            challenge = format!(r#"{challenge},error="{problem}""#);
        }
        refusal.header(header::WWW_AUTHENTICATE, challenge)
    }

    /// What a client hears that is asked for its password and nothing else.
    pub(super) fn ask_for_password(&self, refusal: Refusal) -> Refusal {
        let challenge = format!(r#"Basic realm="{}", charset="UTF-8""#, self.service);
        refusal.header(header::WWW_AUTHENTICATE, challenge)
    }

    /// Where clients find the registry, as whoever started it said.
    pub(super) fn own_url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Where this client finds the registry: by what it says itself, if that is a host and nothing else, so that
    /// nobody is sent elsewhere.
    pub(super) fn url(&self, headers: &HeaderMap, peer: &Peer) -> Option<String> {
        if let Some(url) = &self.url {
            return Some(url.clone());
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().filter(|_first| hosts.next().is_none())?.to_str().ok()?;
        let scheme = if peer.secure { "https" } else { "http" };
        is_host(host).then(|| format!("{scheme}://{host}"))
    }
}

/// `host[:port]`, or `[IPv6][:port]`.
fn is_host(text: &str) -> bool {
    reference::is_registry(text)
        || text.parse::<std::net::SocketAddrV6>().is_ok_and(|address| address.scope_id() == 0)
        || text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn unauthorized() -> Refusal {
    Refusal::of(error_code::UNAUTHORIZED)
}

/// The token is none of ours, has expired, or its account is not what it was.
fn not_by_token() -> Refusal {
    unauthorized().by_token("invalid_token")
}

/// The account of this name, if it may be used now. What signed documents prove of the time counts too: a clock that is
/// set back revives nobody.
fn usable(state: &State<'_>, name: &str) -> Result<Option<Account>> {
    let now = Timestamp::now().max(state.site()?.floor);
    Ok(state.account(name)?.filter(|account| account.is_usable(now)))
}

/// What a request comes with (RFC 9110, 11.6.2; RFC 7617, RFC 6750).
fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let read = || {
        let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
        let rest = rest.trim_start_matches(' ');
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Credentials::Token(rest.to_owned()));
        }
        let plain = STANDARD.decode(scheme.eq_ignore_ascii_case("basic").then_some(rest)?).ok()?;
        let plain = Secret::new(String::from_utf8(plain).ok()?);
        let (name, password) = plain.reveal().split_once(':')?;
        Some(Credentials::Password(name.to_owned(), Secret::new(password)))
    };
    // Two of them: nobody knows which one another server on the way has looked at.
    let credentials = if all.next().is_some() { None } else { read() };
    credentials.map(Some).ok_or_else(unauthorized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::password;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(axum::http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn credentials_are_one_or_none() {
        let read = |values: &[&str]| {
            let pairs: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            match credentials(&headers(&pairs)) {
                Ok(None) => "nobody".to_owned(),
                Ok(Some(Credentials::Password(name, password))) => format!("{name}={}", password.reveal()),
                Ok(Some(Credentials::Token(token))) => format!("token {token}"),
                Err(refusal) => refusal.code().status.to_string(),
            }
        };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&[]), "nobody");
        assert_eq!(read(&[&basic("alice:x:y")]), "alice=x:y");
        assert_eq!(read(&[&basic("alice:x").replace("Basic", "bASIC ")]), "alice=x");
        assert_eq!(read(&["Bearer a.b.c"]), "token a.b.c");
        for wrong in ["Basic", "Basic !", "Digest x", "", &basic("alice"), "alice:x"] {
            assert_eq!(read(&[wrong]), "401", "{wrong}");
        }
        assert_eq!(read(&[&basic("alice:x"), "Bearer x"]), "401");
    }

    /// Somebody's token, given for pulling a/b.
    async fn token(login: &Login, name: &str, password: &str) -> String {
        let basic = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        let uri = "/v2/token?service=here&scope=repository:a/b:pull".parse().unwrap();
        let headers = headers(&[("authorization", &basic)]);
        let mut body = super::super::body::Incoming::new(
            axum::body::Body::empty(),
            &headers,
            std::time::Duration::from_secs(1),
            std::sync::Arc::new(tokio::sync::Semaphore::new(1)),
        );
        let asked = (&axum::http::Method::GET, &uri, &headers);
        let (_known, answer) =
            login.issue(asked, &mut body, &Peer::nobody(), (&|_, _, _| true, &|_| Ok(()))).await.unwrap();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let given: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&given["token"], &given["expires_in"]), (&given["access_token"], &300.into()));
        format!("Bearer {}", given["token"].as_str().unwrap())
    }

    /// R19: what somebody holds is worth what the account is worth now, with the very next request.
    #[test]
    fn what_is_taken_away_is_gone_with_the_next_request() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let login = Login::new(store.clone(), "here".into(), None).unwrap();
        let now = Timestamp::now();
        let alice = Account {
            name: "alice".into(),
            kind: AccountKind::User,
            groups: ["ops".to_owned()].into(),
            certificates: ["cn:alice".to_owned()].into(),
            hash: Some(password::hash(&Secret::new("correct horse")).unwrap()),
            generation: "1".into(),
            enabled: true,
            expires: None,
            created: now,
        };
        let keep = |account: &Account| store.change(|change| change.put_account(account)).unwrap();
        keep(&alice);
        let basic = format!("Basic {}", STANDARD.encode("alice:correct horse"));
        let shown: std::sync::OnceLock<Vec<String>> = vec!["cn:alice".to_owned()].into();
        let shown = Peer { shown: std::sync::Arc::new(shown), ..Peer::nobody() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bearer = token(&login, "alice", "correct horse").await;
            let who = async |with: Option<&str>, peer: &Peer| {
                let headers = with.map(|with| headers(&[("authorization", with)])).unwrap_or_default();
                login.identify(&headers, peer).await.map_err(|refusal| refusal.code().status)
            };
            let three = async || {
                let nobody = Peer::nobody();
                [who(Some(&basic), &nobody).await, who(Some(&bearer), &nobody).await, who(None, &shown).await]
            };
            let [by_password, by_token, by_certificate] = three().await.map(|known| known.unwrap().unwrap());
            let pulls =
                caller::Scope { repository: "a/b".to_owned(), actions: vec![crate::rules::Right::Pull] };
            assert_eq!(by_token.scope, Some(vec![pulls]));
            // The password was right a moment ago, for the token.
            assert!(by_password.scope.is_none() && !by_password.is_new && !by_token.is_new);
            let proof = Proof::Certificate;
            assert_eq!(by_certificate, Known { proof, is_new: true, ..by_password.clone() });
            // In a group no more: all of them say so at once.
            keep(&Account { groups: BTreeSet::new(), ..alice.clone() });
            for known in three().await {
                assert_eq!(known.unwrap().unwrap().groups, BTreeSet::new());
            }
            keep(&Account { enabled: false, ..alice.clone() });
            assert_eq!(three().await, [Err(401), Err(401), Err(401)]);
            keep(&Account { expires: Some(now), ..alice.clone() });
            assert_eq!(three().await, [Err(401), Err(401), Err(401)]);
            // Another password: the token of before is worth nothing, the certificate is no matter of it.
            let hash = Some(password::hash(&Secret::new("battery staple")).unwrap());
            keep(&Account { hash, generation: "2".into(), ..alice.clone() });
            assert!(matches!(three().await, [Err(401), Err(401), Ok(Some(_))]));
            keep(&alice);
            assert!(three().await.iter().all(Result::is_ok));
            store.change(|change| change.remove_account("alice")).unwrap();
            assert_eq!(three().await, [Err(401), Err(401), Ok(None)]);
            assert_eq!(who(None, &Peer::nobody()).await, Ok(None));
        });
    }

    /// An account without a password has none that could be guessed, and a certificate of two accounts is nobody's.
    #[test]
    fn certificates_open_what_they_were_bound_to() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let login = Login::new(store.clone(), "here".into(), None).unwrap();
        let account = |name: &str, identity: &str| Account {
            name: name.into(),
            kind: AccountKind::Robot,
            groups: BTreeSet::new(),
            certificates: [identity.to_owned()].into(),
            hash: None,
            generation: "1".into(),
            enabled: true,
            expires: None,
            created: Timestamp::now(),
        };
        for account in [account("one", "dns:one"), account("two", "cn:two")] {
            store.change(|change| change.put_account(&account)).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let who = |identities: &[&str], with: &[(&str, &str)]| {
            let shown: Vec<String> = identities.iter().map(|one| (*one).to_owned()).collect();
            let peer = Peer { shown: std::sync::Arc::new(shown.into()), ..Peer::nobody() };
            let known = runtime.block_on(login.identify(&headers(with), &peer));
            known.map(|known| known.map(|known| known.name)).map_err(|refusal| refusal.code().status)
        };
        assert_eq!(who(&["dns:one", "cn:x"], &[]), Ok(Some("one".into())));
        assert_eq!(who(&["dns:one", "cn:two"], &[]), Ok(None));
        assert_eq!(who(&["spiffe://one"], &[]), Ok(None));
        for password in ["", "one", password::NOBODY] {
            let basic = format!("Basic {}", STANDARD.encode(format!("one:{password}")));
            // What is sent counts before what is shown.
            assert_eq!(who(&["dns:one"], &[("authorization", &basic)]), Err(401), "{password}");
        }
    }

    #[test]
    fn only_a_host_is_said_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let login = Login::new(store.clone(), "here".into(), None).unwrap();
        let asked = |login: &Login, hosts: &[&str], secure| {
            let pairs: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let peer = Peer { secure, ..Peer::nobody() };
            let wanted = [(Action::Push, "a/b".to_owned()), (Action::Pull, "c".to_owned())];
            let url = login.url(&headers(&pairs), &peer);
            let response = login.ask(url.as_deref(), &wanted, unauthorized()).into_response();
            response.headers()["www-authenticate"].to_str().unwrap().to_owned()
        };
        let bearer = |url: &str| {
            format!(
                r#"Bearer realm="{url}/v2/token",service="here",scope="repository:a/b:pull,push repository:c:pull""#
            )
        };
        assert_eq!(asked(&login, &["example.com:5000"], true), bearer("https://example.com:5000"));
        assert_eq!(asked(&login, &["localhost"], false), bearer("http://localhost"));
        assert_eq!(asked(&login, &["[::1]:5000"], false), bearer("http://[::1]:5000"));
        for wrong in [
            &[][..],
            &["a", "b"],
            &["evil\",x=\"y"],
            &["a/b"],
            &["a b"],
            &["user@a"],
            &["a:99999"],
            &[""],
            &["[::1"],
        ] {
            assert_eq!(asked(&login, wrong, true), r#"Basic realm="here", charset="UTF-8""#, "{wrong:?}");
        }
        let behind = Login::new(store, "here".into(), Some("https://registry.example".into())).unwrap();
        assert_eq!(asked(&behind, &["inner"], false), bearer("https://registry.example"));
    }
}
