//! An OCI registry over the home store: containerd, podman, skopeo, helm and oras pull from it what was imported, and
//! push into its sandbox, where one is opened.
//!
//! A request runs through five stations:
//!
//! 1. `serve.rs` accepts it through `door.rs`; only there are sockets;
//! 2. `endpoint.rs` reads method, path and query once, into `Endpoint` and `Query`;
//! 3. `caller.rs` finds out who sends it, and `access.rs` decides by the rules of the home whether it may be done;
//! 4. `manifests.rs`, `blobs.rs`, `uploads.rs`, `tags.rs` or `referrers.rs` does it, with the store on a blocking thread;
//! 5. `respond.rs` makes the response, or the error in the form of the distribution-spec.
//!
//! Around all of it, `sight.rs` watches each request until its answer has left: `metrics.rs` counts it, `log.rs` tells of
//! it. `health.rs` answers who watches the server.
//!
//! What is served was published by an import or pushed into the sandbox: nothing else in the store is visible, and a
//! blob only in the repositories that have it (threats R11). What leaves is verified: small content before the first
//! byte, blobs while they flow (R27). The registry reads, never interprets: types are sent as pushed, blobs
//! always as octets (J22).

mod access;
mod blobs;
mod body;
mod caller;
mod collection;
mod door;
mod endpoint;
mod health;
mod log;
mod manifests;
mod metrics;
mod parked;
mod referrers;
mod respond;
mod serve;
mod sight;
mod tags;
mod uploads;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware,
    response::Response,
    routing::{any, get},
};
use tokio::sync::Semaphore;

pub use access::Access;
pub use collection::Collection;
pub use log::{Event, Log, Visit};
pub use serve::{Options, serve};

use self::{
    access::Gate,
    body::Incoming,
    caller::{Caller, caller},
    endpoint::{Endpoint, Query},
    respond::{Answer, Refusal},
};
use crate::{
    base::{failure::Failure, limits},
    oci::error_code,
    rules::Right,
    store::Store,
};

/// What every answer is made from.
#[derive(Debug, Clone)]
struct Registry {
    store: Store,
    access: Access,
    collection: Collection,
    parked: Arc<parked::Parked>,
    /// A seat for each manifest that is read.
    manifests: Arc<Semaphore>,
    log: Log,
    metrics: Arc<metrics::Metrics>,
    /// How many blobs the store had when they were counted last, and their bytes.
    blobs: Arc<Mutex<Option<(u64, u64)>>>,
}

/// How long a client may say nothing, between requests, within one, or when it stops reading.
const PATIENCE: Duration = Duration::from_mins(1);

/// The registry as an axum application, without a socket.
fn app(registry: Registry) -> Router {
    Router::new()
        .route("/v2", any(handle))
        .route("/v2/", any(handle))
        .route("/v2/{*rest}", any(handle))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(async || respond::finish(Refusal::of(error_code::ENDPOINT_UNKNOWN).into_response()))
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
    async fn read(registry: &Registry, parts: Parts) -> Result<Self, Refusal> {
        let endpoint = Endpoint::parse(&parts.uri, &parts.method)?;
        let query = Query::parse(&parts.uri, endpoint.rights(parts.method.as_str()))?;
        let mut caller = caller(registry, &parts).await?;
        if let (Some(name), Some(_mirror)) = (endpoint.name(), &query.namespace) {
            caller = caller.through_mirror(name, &query.repository(name));
        }
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
    let mut body = Incoming::new(body, &parts.headers, PATIENCE);
    let mut response = registry.answer(parts, &mut body).await.unwrap_or_else(|refusal| {
        if let Some(failure) = refusal.cause() {
            log.fault(failure);
        }
        refusal.into_response()
    });
    if !body.drain().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    respond::finish(response)
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
    fn new(store: Store, access: Access, collection: Collection, log: Log) -> Self {
        let manifests = Arc::new(Semaphore::new(limits::MANIFESTS_AT_ONCE));
        let (metrics, blobs) = (Arc::default(), Arc::default());
        Self { store, access, collection, parked: Arc::default(), manifests, log, metrics, blobs }
    }

    async fn answer(self, parts: Parts, body: &mut Incoming) -> Answer {
        let wish = Wish::read(&self, parts).await?;
        if wish.has_body() {
            let registry = self.clone();
            let request = blocking(move || registry.admit(wish)).await?;
            return self.answer_with_body(request, body).await;
        }
        blocking(move || self.answer_from_store(&self.admit(wish)?)).await
    }

    /// By the rules of this moment.
    fn admit(&self, wish: Wish) -> Result<Request, Refusal> {
        Request::admit(wish, self.access.now(&self.store)?)
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
