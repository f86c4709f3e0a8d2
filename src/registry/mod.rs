//! An OCI registry over the home store: containerd, podman, skopeo, helm and oras pull from it what was imported, and
//! push into its sandbox, where one is opened.
//!
//! A request runs through six stations:
//!
//! 1. `serve.rs` accepts it through `door.rs` from a `guest.rs`; only there are sockets, and TLS (`tls.rs`, `authority.rs`);
//! 2. `endpoint.rs` reads method, path and query once, into `Endpoint` and `Query`;
//! 3. `caller.rs` finds out who sends it, by what `login/` knows and by its connection (`peer.rs`), and `access.rs`
//!    decides by the rules of the home whether it may be done;
//! 4. `manifests.rs`, `blobs.rs`, `uploads.rs`, `tags.rs` or `referrers.rs` does it, with the store on a blocking thread;
//! 5. `respond.rs` makes the response, or the error in the form of the distribution-spec.
//!
//! What was done and refused on this way goes to the ledger of the site (`records.rs`, `batch.rs`).
//!
//! Around all of it, `sight.rs` watches each request until its answer has left: `metrics.rs` counts it, `log.rs` tells of
//! it. `health.rs` answers who watches the server, `rates.rs` counts how much each caller asks for. `page/` is what a
//! browser shows of all this, and `api/` what those do who administer it: other paths, the same callers and the same rules.
//!
//! What is served was published by an import or pushed into the sandbox: nothing else in the store is visible, and a
//! blob only in the repositories that have it (threats R11). What leaves is verified: small content before the first
//! byte, blobs while they flow (R27, `fingerprints.rs`). The registry reads, never interprets: types are sent as pushed, blobs
//! always as octets (J22).

mod access;
mod api;
mod authority;
mod batch;
mod blobs;
mod body;
mod caller;
mod collection;
mod door;
mod endpoint;
mod fingerprints;
mod foreign;
mod guest;
mod health;
mod log;
mod login;
mod manifests;
mod metrics;
mod page;
mod parked;
mod peer;
mod rates;
mod records;
mod referrers;
mod respond;
mod serve;
mod sight;
mod stay;
mod tags;
mod tls;
mod uploads;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts},
    middleware,
    response::Response,
    routing::{any, get},
};
use tokio::sync::Semaphore;

pub use access::Access;
pub use collection::Collection;
pub use log::{Event, Log, Visit};
pub use rates::Rates;
pub use records::Pulls;
pub use serve::{Options, serve};
pub use tls::{Certificate, Clients, Tls};

use self::{
    access::Gate,
    body::Incoming,
    caller::{ANYONE, Caller, caller},
    endpoint::{Endpoint, Query},
    login::{Action, Known, Login},
    peer::Peer,
    records::{Asked, Records},
    respond::{Answer, Refusal},
};
use crate::{
    base::{failure::Failure, limits},
    ledger::Deed,
    oci::error_code,
    rules::Right,
    store::Store,
};

/// What every answer is made from.
#[derive(Debug, Clone)]
struct Registry {
    store: Store,
    access: Access,
    login: Arc<Login>,
    collection: Collection,
    parked: Arc<parked::Parked>,
    /// How much each caller has asked for.
    buckets: Arc<rates::Buckets>,
    /// Whether there is anybody to log in as, as far as a request that could be answered has shown.
    has_accounts: Arc<AtomicBool>,
    /// Held while a push of a blob is begun: how many there are is counted then.
    beginning: Arc<Mutex<()>>,
    /// What goes to the ledger.
    records: Records,
    /// A seat for each large body that is held in memory.
    large: Arc<Semaphore>,
    readiness: Arc<health::Readiness>,
    /// Of the blobs that left whole.
    fingerprints: fingerprints::Fingerprints,
    log: Log,
    metrics: Arc<metrics::Metrics>,
    /// How many blobs the store had when they were counted last, and their bytes.
    blobs: Arc<Mutex<Option<(u64, u64)>>>,
}

/// How long a client may say nothing, between requests, within one, or when it stops reading.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where tokens are given.
const TOKEN: &str = "/v2/token";

/// The registry as an axum application, without a socket.
fn app(registry: Registry) -> Router {
    Router::new()
        .route("/v2", any(handle))
        .route("/v2/", any(handle))
        .route(TOKEN, any(token))
        .route("/v2/{*rest}", any(handle))
        .route("/", any(page::show))
        .route("/login", any(page::show))
        .route("/style.css", any(page::show))
        .route("/r/{*rest}", any(page::show))
        .route("/history/{*rest}", any(page::show))
        .route(api::ROOT, any(page::show))
        .route("/api/v1/{*rest}", any(api::serve))
        .route("/api/v1/", any(api::serve))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(async || respond::finish(Refusal::of(error_code::ENDPOINT_UNKNOWN).into_response()))
        .layer(middleware::from_fn_with_state(registry.clone(), foreign::refuse))
        .layer(middleware::from_fn_with_state(registry.clone(), sight::watch))
        .with_state(registry)
}

/// What a client asks for, read once.
#[derive(Debug)]
struct Wish {
    method: Method,
    endpoint: Endpoint,
    query: Query,
    headers: HeaderMap,
    caller: Caller,
}

impl Wish {
    /// Whoever it turns out to be, is left in `asked`, whatever comes of it.
    async fn read(registry: &Registry, parts: Parts, asked: &mut Option<Asked>) -> Result<Self, Refusal> {
        registry.records.check()?;
        let endpoint = Endpoint::parse(&parts.uri, &parts.method)?;
        let query = Query::parse(&parts.uri, endpoint.rights(parts.method.as_str()))?;
        let mut caller = caller(registry, &parts).await?;
        registry.told_of_login(&caller)?;
        if let (Some(name), Some(_mirror)) = (endpoint.name(), &query.namespace) {
            caller = caller.through_mirror(name, &query.repository(name));
        }
        *asked = Some(Asked::new(parts.method.as_str(), &endpoint, &query, &caller));
        Ok(Self { method: parts.method, endpoint, query, headers: parts.headers, caller })
    }

    /// Whether an answer waits for what the client sends.
    fn has_body(&self) -> bool {
        match self.endpoint {
            Endpoint::Uploads { .. } | Endpoint::Upload { .. } => true,
            _ => self.method == Method::PUT,
        }
    }
}

/// A wish that may be fulfilled, for all that is known before a look at what is there.
#[derive(Debug)]
struct Request {
    method: Method,
    endpoint: Endpoint,
    query: Query,
    /// HEAD: the same headers, no body.
    head_only: bool,
    headers: HeaderMap,
    caller: Caller,
    /// What else the caller may.
    gate: Gate,
}

impl Request {
    /// What it does, for the ledger.
    fn deed(&self) -> Deed {
        records::deed(self.method.as_str(), &self.endpoint, &self.query, &self.caller)
    }
}

impl Request {
    /// Asks whether it may be done: no endpoint is reached otherwise.
    fn admit(wish: Wish, gate: Gate) -> Result<Self, Refusal> {
        let Wish { method, endpoint, query, headers, caller } = wish;
        let repository = endpoint.name().map(|name| query.repository(name)).unwrap_or_default();
        let may = |rights: Option<&[Right]>| match (&endpoint, rights) {
            (_, None | Some([])) => Err(Refusal::of(error_code::UNSUPPORTED)),
            (Endpoint::Base, _) => gate.check_greeting(&caller),
            // A list of what is shown, of nothing too; but whoever would see nothing is asked to log in.
            (Endpoint::Catalog, _) if gate.shown(&caller).is_empty() => gate.check_greeting(&caller),
            (Endpoint::Catalog, _) => Ok(()),
            (_, Some(rights)) if rights.iter().any(|&right| gate.may(&caller, right, &repository)) => Ok(()),
            // An index whatever is there (distribution-spec, "Listing Referrers"): it is empty where nothing is shown.
            (Endpoint::Referrers { .. }, Some([right, ..])) => match gate.check(&caller, *right, &repository)
            {
                Err(refusal) if refusal.code() == error_code::NAME_UNKNOWN => Ok(()),
                checked => checked,
            },
            (_, Some([right, ..])) => gate.check(&caller, *right, &repository),
        };
        let rights = endpoint.rights(method.as_str());
        may(rights).map_err(|refusal| {
            if refusal.code() != error_code::UNSUPPORTED {
                return refusal;
            }
            // What this server takes there; nothing at all is an answer too (RFC 9110, 10.2.1).
            let methods = endpoint.methods().iter().filter(|method| may(endpoint.rights(method)).is_ok());
            refusal.header(header::ALLOW, methods.copied().collect::<Vec<_>>().join(", "))
        })?;
        if rights != Some(&[Right::Pull]) && query.namespace.is_some() {
            return Err(
                Refusal::of(error_code::NAME_INVALID).detail("ns names what is pulled through a mirror")
            );
        }
        Ok(Self { head_only: method == Method::HEAD, method, endpoint, query, headers, caller, gate })
    }
}

async fn handle(State(registry): State<Registry>, request: axum::extract::Request) -> Response {
    let log = registry.log.clone();
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, &parts.headers, PATIENCE, Arc::clone(&registry.large));
    let asking = Asking::of(&registry, &parts);
    let peer = parts.extensions.get().map(|ConnectInfo(peer): &ConnectInfo<Peer>| peer.address.ip());
    let mut asked = None;
    let answer = registry.clone().answer(parts, &mut body, &mut asked).await;
    let answer = match (asked, peer) {
        (None, Some(peer)) => registry.told_of_stranger(peer, answer),
        (asked, _) => registry.told(asked, answer),
    };
    respond(answer.map_err(|refusal| asking.tell(refusal)), body, &log).await
}

/// Gives those who say who they are a token for what they may do.
async fn token(
    State(registry): State<Registry>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, &parts.headers, PATIENCE, Arc::clone(&registry.large));
    let mut issue = async || {
        registry.records.check()?;
        let gate = registry.gate().await?;
        let holds = |known: Option<&Known>, action: Action, repository: &str| {
            let caller = Caller::new(known.cloned(), peer.address.ip());
            action.rights().iter().any(|&right| gate.may(&caller, right, repository))
        };
        let told =
            |known: &Known| registry.told_of_login(&Caller::new(Some(known.clone()), peer.address.ip()));
        let asked = (&parts.method, &parts.uri, &parts.headers);
        let issued = registry.login.issue(asked, &mut body, &peer, (&holds, &told)).await;
        let (known, mut response) =
            issued.inspect_err(|_refusal| registry.pay_for_failed(peer.address.ip()))?;
        let caller = Caller::new(known, peer.address.ip());
        registry.pay(&caller)?;
        registry.told_of_token(&caller)?;
        response.extensions_mut().insert(log::Account(caller.author().who));
        Ok(response)
    };
    let answer = registry.told_of_stranger(peer.address.ip(), issue().await);
    let answer = answer.map_err(|refusal| match refusal.code() {
        error_code::UNAUTHORIZED => registry.login.ask_for_password(refusal),
        _ => refusal,
    });
    respond(answer, body, &registry.log).await
}

/// What somebody who is nobody, and would have to be somebody, is told.
struct Asking {
    login: Arc<Login>,
    url: Option<String>,
    wanted: Vec<(Action, String)>,
    /// Nothing was said about who it is, and there are accounts to log in to.
    may_log_in: bool,
}

impl Asking {
    fn of(registry: &Registry, parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let url = peer.and_then(|ConnectInfo(peer)| registry.login.url(&parts.headers, peer));
        let silent = !parts.headers.contains_key(header::AUTHORIZATION);
        let may_log_in = silent && registry.has_accounts.load(Relaxed);
        let login = Arc::clone(&registry.login);
        Self { login, url, wanted: wanted(&parts.method, &parts.uri), may_log_in }
    }

    fn tell(&self, refusal: Refusal) -> Refusal {
        match refusal.code() {
            error_code::UNAUTHORIZED => self.login.ask(self.url.as_deref(), &self.wanted, refusal),
            // Clients begin without their password. Those of an account, which has a bucket of its own, are asked for it,
            // however much others ask for without one from the same address; who has none waits where tokens are given.
            error_code::REQUESTS_FULL if self.may_log_in && refusal.account() == Some(ANYONE) => {
                self.login.ask(self.url.as_deref(), &self.wanted, Refusal::unauthorized())
            }
            _ => refusal,
        }
    }
}

/// Sends an answer, once what is left of the request is out of its way.
async fn respond(answer: Answer, body: Incoming, log: &Log) -> Response {
    let response = answer.unwrap_or_else(|refusal| {
        if let Some(failure) = refusal.cause() {
            log.fault(failure);
        }
        refusal.into_response()
    });
    respond::finish(drained(response, body).await)
}

/// A response that may be sent, for nothing of the request is in its way.
async fn drained(mut response: Response, mut body: Incoming) -> Response {
    if !body.drain().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What a token has to be good for, as far as the request can be read; the catalog has no name.
fn wanted(method: &Method, uri: &Uri) -> Vec<(Action, String)> {
    let read = || {
        let endpoint = Endpoint::parse(uri, method).ok()?;
        let rights = endpoint.rights(method.as_str())?;
        let action = Action::of(*rights.first()?);
        if endpoint == Endpoint::Catalog {
            return Some(vec![(action, String::new())]);
        }
        let query = Query::parse(uri, Some(rights)).ok()?;
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
    fn new(store: Store, access: Access, collection: Collection, login: Login, log: Log) -> Self {
        let large = Arc::new(Semaphore::new(limits::LARGE_BODIES));
        let (metrics, blobs, login) = (Arc::default(), Arc::default(), Arc::new(login));
        let (parked, buckets, readiness, fingerprints) = Default::default();
        let (has_accounts, beginning) = Default::default();
        let records = Records::start(store.clone(), log.clone());
        Self {
            store,
            access,
            login,
            collection,
            parked,
            buckets,
            has_accounts,
            beginning,
            records,
            large,
            readiness,
            fingerprints,
            log,
            metrics,
            blobs,
        }
    }

    async fn answer(self, parts: Parts, body: &mut Incoming, asked: &mut Option<Asked>) -> Answer {
        let wish = Wish::read(&self, parts, asked).await?;
        if wish.has_body() {
            let registry = self.clone();
            let request = blocking(move || registry.admit(wish)).await?;
            return self.answer_with_body(request, body).await;
        }
        blocking(move || self.answer_from_store(&self.admit(wish)?)).await
    }

    async fn gate(&self) -> Result<Gate, Refusal> {
        let registry = self.clone();
        blocking(move || registry.gate_now()).await
    }

    /// By the rules of this moment.
    fn gate_now(&self) -> Result<Gate, Refusal> {
        let gate = self.access.now(&self.store)?;
        self.has_accounts.store(gate.has_login(), Relaxed);
        Ok(gate)
    }

    fn admit(&self, wish: Wish) -> Result<Request, Refusal> {
        Request::admit(wish, self.gate_now()?)
    }

    /// What waits for the client.
    async fn answer_with_body(self, request: Request, body: &mut Incoming) -> Answer {
        match (request.endpoint.clone(), &request.method) {
            (Endpoint::Uploads { name }, _) => self.begin_upload(request, &name, body).await,
            (Endpoint::Upload { name, id }, &Method::GET) => self.upload_progress(&request, &name, &id).await,
            (Endpoint::Upload { name, id }, &Method::PATCH) => self.append(request, &name, &id, body).await,
            (Endpoint::Upload { name, id }, &Method::DELETE) => {
                self.cancel_upload(&request, &name, &id).await
            }
            (Endpoint::Upload { name, id }, _) => self.finish_upload(request, &name, &id, body).await,
            (Endpoint::Manifest { name, target }, _) => {
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

#[cfg(test)]
mod tests;
