//! The socket around the application.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Access, FaultLog, PATIENCE, Registry, app,
    door::{Door, Peer},
};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason, Result},
        limits,
    },
    store::Store,
};

/// How long transfers under way may go on after the shutdown was asked for.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `store` on `listen` (port 0 takes any free one) until `shutdown` is ready. `ready` hears the
/// bound address as soon as connections are accepted.
pub async fn serve(
    store: Store,
    listen: SocketAddr,
    access: Access,
    log: FaultLog,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let at = |error: &io::Error| failure(listen, error);
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| at(&error))?;
    ready(listener.local_addr().map_err(|error| at(&error))?);
    let registry = Registry::new(store, access, log);
    let sweeper = tokio::spawn(sweep(registry.clone()));
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let door = Door::new(listener, limits::CONNECTIONS, PATIENCE);
    let server = axum::serve(door, app(registry).into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(async move {
            shutdown.await;
            let _receiver_may_be_gone = stopping.send(());
        });
    let deadline = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(GRACE).await,
            Err(_server_ended) => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = server => ended.map_err(|error| at(&error)),
        () = deadline => Ok(()),
    };
    sweeper.abort();
    ended
}

/// Forgets pushes that nobody goes on with, now and once an hour.
async fn sweep(registry: Registry) {
    loop {
        let (store, parked) = (registry.store.clone(), Arc::clone(&registry.parked));
        let swept = tokio::task::spawn_blocking(move || parked.sweep(&store, Timestamp::now()));
        if let Ok(Err(failure)) = swept.await {
            registry.log.tell(&failure);
        }
        tokio::time::sleep(Duration::from_hours(1)).await;
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
