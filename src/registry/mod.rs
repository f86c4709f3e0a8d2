//! A pull-only OCI registry over the home store, enough for containerd, podman, skopeo, helm and oras.
//!
//! A request runs through four stations:
//!
//! 1. `serve.rs` accepts it through `door.rs`; only there are sockets;
//! 2. `endpoint.rs` reads method, path and query once, into `Endpoint` and `Query`;
//! 3. `manifests.rs`, `blobs.rs`, `tags.rs` or `referrers.rs` answers from the store, on a blocking thread;
//! 4. `respond.rs` makes the response, or the error in the form of the distribution-spec.
//!
//! What is served was published by an import: nothing else in the store is visible, and a blob only in the
//! repositories that publish it (threats R11). What leaves is verified: small content before the first
//! byte, blobs while they flow (R27). The registry reads, never interprets: types are sent as pushed, blobs
//! always as octets (J22).

mod blobs;
mod door;
mod endpoint;
mod manifests;
mod referrers;
mod respond;
mod serve;
mod tags;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, Uri},
    response::Response,
    routing::any,
};

pub use serve::serve;

use self::{
    endpoint::{Endpoint, Query},
    respond::{Answer, Refusal},
};
use crate::{base::failure::Failure, oci::error_code, store::Store};

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
    log: FaultLog,
}

/// The registry as an axum application, without a socket.
pub fn app(store: Store, log: FaultLog) -> Router {
    Router::new()
        .route("/v2", any(handle))
        .route("/v2/", any(handle))
        .route("/v2/{*rest}", any(handle))
        .fallback(async || respond::finish(Refusal::of(error_code::ENDPOINT_UNKNOWN).into_response()))
        .with_state(Registry { store, log })
}

/// What a client asks for, read once.
#[derive(Debug)]
struct Request {
    endpoint: Endpoint,
    query: Query,
    /// HEAD: the same headers, no body.
    head_only: bool,
    headers: HeaderMap,
}

impl Request {
    fn parse(method: &Method, uri: &Uri, headers: HeaderMap) -> Result<Self, Refusal> {
        if *method != Method::GET && *method != Method::HEAD {
            return Err(Refusal::of(error_code::UNSUPPORTED));
        }
        let endpoint = Endpoint::parse(uri)?;
        let query = Query::parse(uri)?;
        Ok(Self { endpoint, query, head_only: *method == Method::HEAD, headers })
    }
}

/// Disk and database are read on blocking threads, so that they never hold up the sockets.
async fn handle(State(registry): State<Registry>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let log = registry.log.clone();
    let work = tokio::task::spawn_blocking(move || {
        let request = Request::parse(&method, &uri, headers)?;
        let mut response = registry.answer(&request)?;
        respond::echo_namespace(&request.query, &mut response);
        Ok(response)
    });
    let answer: Answer = work.await.unwrap_or_else(|panicked| {
        Err(Refusal::fault(Failure::internal(format!("a request could not be answered: {panicked}"))))
    });
    let response = answer.unwrap_or_else(|refusal| {
        if let Some(failure) = refusal.cause() {
            log.tell(failure);
        }
        refusal.into_response()
    });
    respond::finish(response)
}

impl Registry {
    fn answer(&self, request: &Request) -> Answer {
        match &request.endpoint {
            Endpoint::Base => Ok(respond::json(&serde_json::json!({}))),
            Endpoint::Catalog => self.catalog(request),
            Endpoint::Tags { name } => self.tags(request, name),
            Endpoint::Referrers { name, subject } => self.referrers(request, name, subject),
            Endpoint::Manifest { name, target } => self.manifest(request, name, target),
            Endpoint::Blob { name, digest } => self.blob(request, name, digest),
        }
    }
}
