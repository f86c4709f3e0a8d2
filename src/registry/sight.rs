//! Watches every request from its head to the end of its answer, and counts and tells of it when it is over.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request, State},
    http::{Method, Uri, header},
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};

use super::{
    Registry, TOKEN, api,
    endpoint::{Endpoint, Query},
    health,
    log::{Account, Event, Log, Visit},
    metrics::Metrics,
    page::{View, is_page},
    peer::Peer,
    stay::{Busy, Stay},
};
use crate::{oci::error_code::ErrorCode, store::Target};

/// The layer around all that answers.
pub(super) async fn watch(State(registry): State<Registry>, request: Request, next: Next) -> Response {
    let received = Arc::new(AtomicU64::new(0));
    let mut watched = Watched {
        visit: asked(request.method(), request.uri()),
        begun: Instant::now(),
        received: Arc::clone(&received),
        metrics: Arc::clone(&registry.metrics),
        log: registry.log,
        _busy: request.extensions().get().map(Stay::busy),
    };
    watched.visit.remote =
        request.extensions().get().map(|ConnectInfo(peer): &ConnectInfo<Peer>| peer.address);
    watched.visit.agent = request
        .headers()
        .get(header::USER_AGENT)
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    let metrics = registry.metrics;
    let coming = move |bytes| {
        received.fetch_add(bytes, Relaxed);
        metrics.received(bytes);
    };
    let request = request.map(|body| Body::new(Counted { body, count: coming }));
    let response = next.run(request).await;
    watched.visit.status = Some(response.status().as_u16());
    watched.visit.code = response.extensions().get().map(|code: &ErrorCode| code.code);
    watched.visit.account = response.extensions().get().map(|Account(name)| name.clone());
    // The answer takes the watch with it: it is over when that is, sent or given up.
    let going = move |bytes| {
        watched.visit.sent += bytes;
        watched.metrics.sent(bytes);
    };
    response.map(|body| Body::new(Counted { body, count: going }))
}

/// What a request is about, read as the endpoints read it.
fn asked(method: &Method, uri: &Uri) -> Visit {
    let mut visit = Visit { method: method.as_str().to_owned(), route: "other", ..Visit::default() };
    if let Some((_, route)) = health::ROUTES.into_iter().find(|(path, _)| *path == uri.path()) {
        visit.route = route;
        return visit;
    }
    if uri.path() == TOKEN {
        visit.route = "token";
        return visit;
    }
    if api::is_api(uri) {
        return Visit { route: api::route(uri), path: Some(uri.path().to_owned()), ..visit };
    }
    if is_page(uri) {
        let Ok(view) = View::parse(uri) else {
            return Visit { route: "page", path: Some(uri.path().to_owned()), ..visit };
        };
        let (repository, reference) = (view.repository().map(str::to_owned), view.reference());
        return Visit { route: view.route(), repository, reference, ..visit };
    }
    let Ok(endpoint) = Endpoint::parse(uri, method) else {
        visit.path = Some(uri.path().to_owned());
        return visit;
    };
    visit.route = endpoint.route();
    let query = Query::parse(uri, endpoint.rights(method.as_str()));
    visit.repository =
        endpoint.name().map(|name| query.map_or(name.to_owned(), |query| query.repository(name)));
    visit.reference = match endpoint {
        Endpoint::Manifest { target: Target::Tag(tag), .. } => Some(tag),
        Endpoint::Manifest { target: Target::Digest(digest), .. }
        | Endpoint::Blob { digest, .. }
        | Endpoint::Referrers { subject: digest, .. } => Some(digest.to_string()),
        Endpoint::Upload { id, .. } => Some(id),
        Endpoint::Base | Endpoint::Catalog | Endpoint::Tags { .. } | Endpoint::Uploads { .. } => None,
    };
    visit
}

/// A request until it is over, however it ends: also where the client went away, and nobody answered.
struct Watched {
    visit: Visit,
    begun: Instant,
    received: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
    log: Log,
    /// Its connection does something.
    _busy: Option<Busy>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.visit.took = self.begun.elapsed();
        self.visit.received = self.received.load(Relaxed);
        self.metrics.visited(&self.visit);
        self.log.tell(&Event::Request(&self.visit));
    }
}

/// A body whose bytes are counted while they pass.
struct Counted<F> {
    body: Body,
    count: F,
}

impl<F: FnMut(u64) + Unpin> HttpBody for Counted<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            (self.count)(bytes.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
