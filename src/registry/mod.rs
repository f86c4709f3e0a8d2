//! An OCI registry over the home store: containerd, podman, skopeo, helm and oras pull from it what was imported, and
//! push into its sandbox, where one is opened.
//!
//! A request runs through six stations:
//!
//! 1. `serve.rs` accepts it through `door.rs`; only there are sockets, and TLS (`tls.rs`, `authority.rs`);
//! 2. `login/` says who sends it, by what it holds and by its connection (`peer.rs`);
//! 3. `endpoint.rs` reads method, path and query once, into `Endpoint` and `Query`;
//! 4. `access.rs` decides whether it may be done;
//! 5. `manifests.rs`, `blobs.rs`, `uploads.rs`, `tags.rs` or `referrers.rs` does it, with the store on a blocking thread;
//! 6. `respond.rs` makes the response, or the error in the form of the distribution-spec.
//!
//! What is served was published by an import or pushed into the sandbox: nothing else in the store is visible, and a
//! blob only in the repositories that have it (threats R11). What leaves is verified: small content before the first
//! byte, blobs while they flow (R27). The registry reads, never interprets: types are sent as pushed, blobs
//! always as octets (J22).

mod access;
mod authority;
mod blobs;
mod body;
mod collection;
mod door;
mod endpoint;
mod login;
mod manifests;
mod parked;
mod peer;
mod referrers;
mod respond;
mod serve;
mod tags;
mod tls;
mod uploads;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    response::Response,
    routing::any,
};
use tokio::sync::Semaphore;

pub use access::Access;
pub use collection::Collection;
pub use serve::{Options, serve};
pub use tls::{Certificate, Clients, Tls};

use self::{
    access::Action,
    body::Incoming,
    endpoint::{Endpoint, Query},
    login::{Known, Login},
    peer::Peer,
    respond::{Answer, Refusal},
};
use crate::{
    base::{failure::Failure, limits},
    oci::error_code,
    store::Store,
};

/// Is told of every fault that a client sees only as an error of the server.
#[derive(Clone)]
pub struct FaultLog(Arc<dyn Fn(&Failure) + Send + Sync>);

impl FaultLog {
    /// Calls `tell` from any thread.
    pub fn new(tell: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_failure| {})
    }

    fn tell(&self, failure: &Failure) {
        (self.0)(failure);
    }
}

impl fmt::Debug for FaultLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultLog")
    }
}

/// What every answer is made from.
#[derive(Debug, Clone)]
struct Registry {
    store: Store,
    access: Access,
    login: Arc<Login>,
    collection: Collection,
    parked: Arc<parked::Parked>,
    /// A seat for each manifest that is read.
    manifests: Arc<Semaphore>,
    log: FaultLog,
}

/// How long a client may say nothing, between requests, within one, or when it stops reading.
const PATIENCE: Duration = Duration::from_mins(1);

/// The registry as an axum application, without a socket.
fn app(registry: Registry) -> Router {
    Router::new()
        .route("/v2", any(handle))
        .route("/v2/", any(handle))
        .route("/v2/token", any(token))
        .route("/v2/{*rest}", any(handle))
        .fallback(async || respond::finish(Refusal::of(error_code::ENDPOINT_UNKNOWN).into_response()))
        .with_state(registry)
}

/// What a client asks for, read once.
#[derive(Debug)]
struct Request {
    method: Method,
    endpoint: Endpoint,
    query: Query,
    /// HEAD: the same headers, no body.
    head_only: bool,
    headers: HeaderMap,
}

impl Request {
    /// Reads it, and asks whether it may be done: no endpoint is reached otherwise.
    fn admit(method: Method, uri: &Uri, headers: HeaderMap, access: Access) -> Result<Self, Refusal> {
        let endpoint = Endpoint::parse(uri, &method)?;
        let action = endpoint.action(method.as_str());
        let query = Query::parse(uri, action)?;
        let repository = endpoint.name().map(|name| query.repository(name)).unwrap_or_default();
        let may = |action: Option<Action>| match action {
            // An index whatever is there (distribution-spec, "Listing Referrers"): it is empty where nothing is shown.
            Some(Action::Pull) if matches!(endpoint, Endpoint::Referrers { .. }) => Ok(()),
            Some(action) => access.check(action, &repository),
            None => Err(Refusal::of(error_code::UNSUPPORTED)),
        };
        may(action).map_err(|refusal| {
            if refusal.code() != error_code::UNSUPPORTED {
                return refusal;
            }
            // What this server takes there; nothing at all is an answer too (RFC 9110, 10.2.1).
            let methods = endpoint.methods().iter().filter(|method| may(endpoint.action(method)).is_ok());
            refusal.header(header::ALLOW, methods.copied().collect::<Vec<_>>().join(", "))
        })?;
        if action != Some(Action::Pull) && query.namespace.is_some() {
            return Err(
                Refusal::of(error_code::NAME_INVALID).detail("ns names what is pulled through a mirror")
            );
        }
        Ok(Self { head_only: method == Method::HEAD, method, endpoint, query, headers })
    }
}

async fn handle(
    State(registry): State<Registry>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: axum::extract::Request,
) -> Response {
    let log = registry.log.clone();
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, &parts.headers, PATIENCE);
    let answer = match registry.admit(parts.method, &parts.uri, parts.headers, &peer).await {
        Ok(request) => registry.answer(request, &mut body).await,
        Err(refusal) => Err(refusal),
    };
    respond(answer, body, &log).await
}

/// Gives those who say who they are a token for what they may do.
async fn token(
    State(registry): State<Registry>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, &parts.headers, PATIENCE);
    let holds = |known: Option<&Known>, action, repository: &str| registry.holds(known, action, repository);
    let asked = (&parts.method, &parts.uri, &parts.headers);
    let answer = registry.login.issue(asked, &mut body, &peer, &holds).await;
    let answer = answer.map_err(|refusal| match refusal.code() {
        error_code::UNAUTHORIZED => registry.login.ask_for_password(),
        _ => refusal,
    });
    respond(answer, body, &registry.log).await
}

/// Sends an answer, once what is left of the request is out of its way.
async fn respond(answer: Answer, mut body: Incoming, log: &FaultLog) -> Response {
    let mut response = answer.unwrap_or_else(|refusal| {
        if let Some(failure) = refusal.cause() {
            log.tell(failure);
        }
        refusal.into_response()
    });
    if !body.drain().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    respond::finish(response)
}

/// What a request needs a right to, as far as it can be read.
fn wanted(method: &Method, uri: &Uri) -> Vec<(Action, String)> {
    let read = || {
        let endpoint = Endpoint::parse(uri, method).ok()?;
        let action = endpoint.action(method.as_str())?;
        let query = Query::parse(uri, Some(action)).ok()?;
        let from = query.from.clone().filter(|_from| query.mount.is_some());
        let first = (action, query.repository(endpoint.name()?));
        Some(std::iter::once(first).chain(from.map(|from| (Action::Pull, from))).collect())
    };
    read().unwrap_or_default()
}

/// Runs what reads or changes disk and database on a blocking thread, so that it never holds up the sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| {
        Err(Refusal::fault(Failure::internal(format!("a request could not be answered: {panicked}"))))
    })
}

impl Registry {
    fn new(store: Store, access: Access, collection: Collection, login: Login, log: FaultLog) -> Self {
        let (manifests, login) = (Arc::new(Semaphore::new(limits::MANIFESTS_AT_ONCE)), Arc::new(login));
        Self { store, access, login, collection, parked: Arc::default(), manifests, log }
    }

    /// The one place where it is decided whether a request is answered. Who is nobody, and would have to be somebody, is
    /// told how.
    async fn admit(
        &self,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        peer: &Peer,
    ) -> Result<Request, Refusal> {
        let url = self.login.url(&headers, peer);
        let ask = |wanted: &[_]| self.login.ask(url.as_deref(), wanted);
        let known = self.login.identify(&headers, peer).await.map_err(|refusal| match refusal.code() {
            error_code::UNAUTHORIZED => ask(&wanted(&method, uri)),
            _ => refusal,
        })?;
        let says_nothing = known.is_none() && !headers.contains_key(header::AUTHORIZATION);
        let request = match Request::admit(method.clone(), uri, headers, self.access) {
            Err(refusal) if refusal.code() == error_code::DENIED && known.is_none() => {
                let is_asked = self.login.has_accounts().await?;
                return Err(if is_asked { ask(&wanted(&method, uri)) } else { refusal });
            }
            admitted => admitted?,
        };
        // Clients ask here whether they have to log in, and come back as nobody if they need not.
        if request.endpoint == Endpoint::Base && says_nothing && self.login.has_accounts().await? {
            return Err(ask(&[]));
        }
        if let Some(known) = known.filter(|known| known.scope.is_some()) {
            let wanted = wanted(&method, uri);
            if !wanted.iter().all(|(action, name)| known.reaches(*action, name)) {
                return Err(ask(&wanted));
            }
        }
        Ok(request)
    }

    /// Whether somebody has the right to an action in a repository.
    fn holds(&self, _known: Option<&Known>, action: Action, repository: &str) -> bool {
        self.access.check(action, repository).is_ok()
    }

    async fn answer(self, request: Request, body: &mut Incoming) -> Answer {
        match (request.endpoint.clone(), &request.method) {
            (Endpoint::Uploads { name }, _) => self.begin_upload(request, &name, body).await,
            (Endpoint::Upload { name, id }, &Method::GET) => self.upload_progress(&request, &name, &id).await,
            (Endpoint::Upload { name, id }, &Method::PATCH) => self.append(request, &name, &id, body).await,
            (Endpoint::Upload { name, id }, &Method::DELETE) => {
                self.cancel_upload(&request, &name, &id).await
            }
            (Endpoint::Upload { name, id }, _) => self.finish_upload(request, &name, &id, body).await,
            (Endpoint::Manifest { name, target }, &Method::PUT) => {
                self.push_manifest(request, &name, &target, body).await
            }
            _ => blocking(move || self.answer_from_store(&request)).await,
        }
    }

    /// What needs nothing but the request.
    fn answer_from_store(&self, request: &Request) -> Answer {
        let delete = request.method == Method::DELETE;
        let mut response = match &request.endpoint {
            Endpoint::Catalog => self.catalog(request)?,
            Endpoint::Tags { name } => self.tags(request, name)?,
            Endpoint::Referrers { name, subject } => self.referrers(request, name, subject)?,
            Endpoint::Manifest { name, target } if delete => self.delete_manifest(request, name, target)?,
            Endpoint::Manifest { name, target } => self.manifest(request, name, target)?,
            Endpoint::Blob { name, digest } if delete => self.delete_blob(request, name, digest)?,
            Endpoint::Blob { name, digest } => self.blob(request, name, digest)?,
            Endpoint::Base | Endpoint::Uploads { .. } | Endpoint::Upload { .. } => {
                respond::json(&serde_json::json!({}))
            }
        };
        respond::echo_namespace(&request.query, &mut response);
        Ok(response)
    }
}
