//! Whether the server lives, whether it can serve, and what it counts: for load balancers and for Prometheus.

use std::{collections::BTreeMap, net::SocketAddr, sync::PoisonError, time::Duration};

use axum::{
    Extension,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

use super::{Access, Registry, access::Gate, metrics::Measured, peer::Peer, respond, respond::Refusal};
use crate::{
    base::{
        failure::{Failure, Reason},
        limits,
    },
    oci::error_code,
    store::Store,
};

/// How long the database may take to say anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Headers by which a proxy says that it passes on what somebody else asks.
const PASSED_ON: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The paths, and what they are called where requests are counted.
pub(super) const ROUTES: [(&str, &str); 3] =
    [("/healthz", "health"), ("/readyz", "readiness"), ("/metrics", "metrics")];

/// `/healthz`: the process answers.
pub(super) async fn alive() -> Response {
    respond::finish(respond::json(&json!({ "alive": true })))
}

/// `/readyz`: what requests need is there. The reasons are words of docs/exit-codes.md and no more: everybody may ask.
/// The log has the rest.
pub(super) async fn ready(State(registry): State<Registry>) -> Response {
    let reasons = registry.readiness.reasons(&registry).await;
    let mut response = respond::json(&json!({ "ready": reasons.is_empty(), "reasons": reasons }));
    if !reasons.is_empty() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    respond::finish(response)
}

/// What was found when somebody asked last. Who asks meanwhile, or soon after, hears the same: a look asks the database,
/// and everybody may ask as often as they like.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Reasons)>>);

type Reasons = BTreeMap<&'static str, &'static str>;

impl Readiness {
    /// For so long.
    const HOLDS: Duration = Duration::from_secs(1);

    async fn reasons(&self, registry: &Registry) -> Reasons {
        let mut last = self.0.lock().await;
        if let Some((_, reasons)) = last.as_ref().filter(|(looked, _)| looked.elapsed() < Self::HOLDS) {
            return reasons.clone();
        }
        let mut reasons = Reasons::new();
        for (what, failure) in troubles(registry, PATIENCE).await {
            registry.log.fault(&failure);
            reasons.insert(what, failure.reason.text());
        }
        *last = Some((Instant::now(), reasons.clone()));
        reasons
    }
}

/// `/metrics`, for who asks from this machine and for nobody else.
pub(super) async fn metrics(
    State(registry): State<Registry>,
    peer: Option<Extension<ConnectInfo<Peer>>>,
    headers: HeaderMap,
) -> Response {
    if !may_look(peer.map(|Extension(ConnectInfo(peer))| peer.address), &headers) {
        let rule = "metrics are for who asks from the machine of the registry, not through a proxy";
        return respond::finish(
            Refusal::of(error_code::DENIED).detail(json!({ "rule": rule })).into_response(),
        );
    }
    let store = registry.store.clone();
    let looked_up = tokio::task::spawn_blocking(move || (store.uploads().ok(), store.free().ok())).await;
    let (uploads, free) = looked_up.unwrap_or_default();
    let measured = Measured {
        lost: registry.log.lost(),
        uploads: uploads.map(|count| count as u64),
        blobs: *registry.blobs.lock().unwrap_or_else(PoisonError::into_inner),
        free,
    };
    let page = registry.metrics.page(&measured).into_bytes();
    let mut response = respond::bytes_of("text/plain; version=0.0.4; charset=utf-8", page);
    respond::set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    respond::finish(response)
}

fn may_look(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    // A proxy on this machine asks from here for everybody.
    let passed_on = PASSED_ON.iter().any(|name| headers.contains_key(*name));
    !passed_on && peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

/// What keeps the server from serving, by the part that it is about.
async fn troubles(registry: &Registry, patience: Duration) -> Vec<(&'static str, Failure)> {
    let (store, access) = (registry.store.clone(), registry.access);
    let looked = tokio::task::spawn_blocking(move || look(&store, access));
    match tokio::time::timeout(patience, looked).await {
        Ok(Ok(troubles)) => troubles,
        Ok(Err(panicked)) => vec![("server", Failure::internal(panicked))],
        Err(_elapsed) => {
            let found = format!("no answer within {} seconds", patience.as_secs());
            vec![("database", Failure::new(Reason::LockHeld, "database", found))]
        }
    }
}

fn look(store: &Store, access: Access) -> Vec<(&'static str, Failure)> {
    let database = store.state(|state| state.repository_after("").map(|_any| ()));
    let contents = store.require_readable();
    let mut looks = vec![("database", database), ("contents", contents)];
    let gate = access.now(store);
    let pushes = gate.as_ref().is_ok_and(Gate::takes_pushes);
    looks.push(("rules", gate.map(drop)));
    if pushes {
        looks.push(("staging", store.require_writable()));
        looks.push(("disk", store.require_free(limits::PUSH_MARGIN)));
    }
    looks.into_iter().filter_map(|(what, found)| Some((what, found.err()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Collection, Log};

    #[test]
    fn metrics_are_for_who_is_here() {
        let passed_on =
            |name: &'static str| HeaderMap::from_iter([(name.parse().unwrap(), "x".parse().unwrap())]);
        for (peer, headers, may) in [
            (Some("127.0.0.1:1"), HeaderMap::new(), true),
            (Some("127.9.9.9:1"), HeaderMap::new(), true),
            (Some("[::1]:1"), HeaderMap::new(), true),
            (Some("[::ffff:127.0.0.1]:1"), HeaderMap::new(), true),
            (Some("10.0.0.1:1"), HeaderMap::new(), false),
            (Some("[::ffff:10.0.0.1]:1"), HeaderMap::new(), false),
            (Some("[fe80::1]:1"), HeaderMap::new(), false),
            (None, HeaderMap::new(), false),
            (Some("127.0.0.1:1"), passed_on("x-forwarded-for"), false),
            (Some("127.0.0.1:1"), passed_on("forwarded"), false),
            (Some("127.0.0.1:1"), passed_on("via"), false),
            (Some("127.0.0.1:1"), passed_on("accept"), true),
        ] {
            assert_eq!(
                may_look(peer.map(|peer| peer.parse().unwrap()), &headers),
                may,
                "{peer:?} {headers:?}"
            );
        }
    }

    #[test]
    fn a_database_that_says_nothing_is_told_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let login = crate::registry::login::Login::new(store.clone(), "here".into(), None).unwrap();
        let registry =
            Registry::new(store.clone(), Access::sandbox(), Collection::default(), login, Log::silent());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        // The one thread that could look is busy, as all of them are where a disk does not answer.
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let _busy = runtime.spawn_blocking(move || waits.recv());
        let found = |patience| {
            let troubles = runtime.block_on(troubles(&registry, patience));
            troubles.into_iter().map(|(what, failure)| (what, failure.reason)).collect::<Vec<_>>()
        };
        assert_eq!(found(Duration::from_millis(50)), [("database", Reason::LockHeld)]);
        drop(go_on);
        assert_eq!(found(PATIENCE), []);
    }
}
