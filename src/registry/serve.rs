//! The socket around the application.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};

use super::{
    Access, Collection, Log, PATIENCE, Pulls, Rates, Registry, app,
    door::{self, Door},
    login::Login,
    rates::{self, Buckets},
    tls::Tls,
};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason, Result},
        limits,
    },
    site::Site,
    store::Store,
};

/// How long transfers under way may go on after the shutdown was asked for.
const GRACE: Duration = Duration::from_secs(10);

/// How often certificates are looked at for changes.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// How a registry is served.
#[derive(Debug)]
pub struct Options {
    /// Where; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What its clients may do.
    pub access: Access,
    /// When what nobody needs is taken away.
    pub collection: Collection,
    /// What makes connections secure; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// What tokens are for: the same for all who serve one store.
    pub service: String,
    /// Where clients find it, `https://host`, if not where they say that they do: behind a proxy.
    pub url: Option<String>,
    /// Which pulls go to the ledger.
    pub pulls: Pulls,
    /// How much one caller may ask for.
    pub rates: Rates,
    /// Who hears of faults.
    pub log: Log,
}

impl Options {
    /// What tokens are for, unless something else is said.
    pub const SERVICE: &str = "sealift";

    /// Plain HTTP.
    pub fn plain(listen: SocketAddr, access: Access, log: Log) -> Self {
        let (collection, service) = (Collection::default(), Self::SERVICE.to_owned());
        let (pulls, rates) = (Pulls::default(), Rates::default());
        Self { listen, access, collection, tls: None, service, url: None, pulls, rates, log }
    }
}

/// Serves `store` until `shutdown` is ready. `ready` hears the
/// bound address as soon as connections are accepted.
pub async fn serve(
    store: Store,
    options: Options,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let Options { listen, access, collection, tls, service, url, pulls, rates, log } = options;
    let at = |error: &io::Error| failure(listen, error);
    let site = Site::new(store.clone(), Timestamp::now());
    tokio::task::spawn_blocking(move || site.require_signer()).await.map_err(Failure::internal)??;
    let listener = door::listen(listen).map_err(|error| at(&error))?;
    ready(listener.local_addr().map_err(|error| at(&error))?);
    let login = Login::new(store.clone(), service, url)?;
    let tls = tls.map(Arc::new);
    let mut registry = Registry::new(store, access, collection, login, log);
    registry.records.pulls = pulls;
    registry.buckets = Arc::new(Buckets::new(rates));
    let (records, last) = (registry.records.clone(), registry.clone());
    let keeper = tokio::spawn(keep(registry.clone(), tls.clone()));
    let collector = tokio::spawn(registry.clone().collect());
    let measurer = tokio::spawn(measure(registry.clone()));
    let door = Door::new(listener, limits::CONNECTIONS, PATIENCE, tls, Arc::clone(&registry.metrics));
    attend(door, app(registry), shutdown).await;
    keeper.abort();
    collector.abort();
    measurer.abort();
    last.tell_of_refused();
    // Answers that are still under way were told of when they began.
    tokio::task::spawn_blocking(move || records.close()).await.map_err(Failure::internal)?
}

/// Bytes that are read from a connection at a time; also the longest head of a request.
const BUFFER: usize = 64 << 10;

/// Answers whoever comes in, until `shutdown` is ready and those who are there have been served, or [`GRACE`] is over.
pub(super) async fn attend(mut door: Door, app: Router, shutdown: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    // From the moment that a request could begin: who says nothing leaves too, and so does who does not get through
    // the handshake.
    http.timer(TokioTimer::new()).header_read_timeout(door.patience).max_buf_size(BUFFER);
    let guests = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let guest = tokio::select! {
            guest = door.next() => guest,
            () = &mut shutdown => break,
        };
        let app = TowerToHyperService::new(
            app.clone().layer(Extension(ConnectInfo(guest.peer()))).layer(Extension(guest.stay())),
        );
        let served = guests.watch(http.serve_connection(TokioIo::new(guest), app));
        tokio::spawn(async move {
            // Whatever ends it is the client's affair: what its requests came to was told by then.
            let _ended = served.await;
        });
    }
    // Who comes now finds nobody.
    drop(door);
    let _grace_is_over = tokio::time::timeout(GRACE, guests.shutdown()).await;
}

/// What is done beside serving.
async fn keep(registry: Registry, tls: Option<Arc<Tls>>) {
    let log = registry.log.clone();
    let renew = async {
        match tls {
            Some(tls) => renew(tls, log).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(sweep(registry.clone()), tell(registry), renew);
}

/// Takes up new certificates. Bad ones are told of once, and those of before stay.
async fn renew(tls: Arc<Tls>, log: Log) {
    let mut told = None;
    loop {
        tokio::time::sleep(CERTIFICATES).await;
        let tls = Arc::clone(&tls);
        let Ok(read) = tokio::task::spawn_blocking(move || tls.refresh()).await else { continue };
        let message = read.as_ref().err().map(ToString::to_string);
        if let Err(failure) = read.as_ref()
            && told != message
        {
            log.fault(failure);
        }
        told = message;
    }
}

/// Tells now and then of those who were refused for asking too much.
async fn tell(registry: Registry) {
    loop {
        tokio::time::sleep(rates::TOLD).await;
        registry.tell_of_refused();
    }
}

/// Forgets pushes that nobody goes on with, now and once an hour.
async fn sweep(registry: Registry) {
    loop {
        let (store, parked) = (registry.store.clone(), Arc::clone(&registry.parked));
        let swept = tokio::task::spawn_blocking(move || parked.sweep(&store, Timestamp::now()));
        if let Ok(Err(failure)) = swept.await {
            registry.log.fault(&failure);
        }
        tokio::time::sleep(Duration::from_hours(1)).await;
    }
}

/// Looks at the blobs on the disk, now and every five minutes: too much work for each time that somebody asks.
async fn measure(registry: Registry) {
    loop {
        let store = registry.store.clone();
        let measured = tokio::task::spawn_blocking(move || store.blobs()).await;
        match measured {
            Ok(Err(failure)) => registry.log.fault(&failure),
            Ok(Ok(measured)) => {
                *registry.blobs.lock().unwrap_or_else(PoisonError::into_inner) = Some(measured);
            }
            Err(_stopping) => {}
        }
        tokio::time::sleep(Duration::from_mins(5)).await;
    }
}

fn failure(listen: SocketAddr, error: &io::Error) -> Failure {
    let (reason, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => (Reason::AddressInUse, "choose another port, or stop what listens there"),
        io::ErrorKind::AddrNotAvailable => (Reason::BadArgument, "give an address of this machine"),
        io::ErrorKind::PermissionDenied => (Reason::PermissionDenied, "choose a port above 1023"),
        _ => (Reason::InputOutput, "check the network of this machine"),
    };
    Failure::new(reason, listen, format!("cannot listen: {error}")).hint(hint)
}
