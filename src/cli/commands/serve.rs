//! `sealift serve`

use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use crate::{
    base::failure::Failures,
    cli::{args::Serve, settings::Settings, ui::Out},
    registry,
    store::Store,
};

/// What is not to be missed by whoever starts a sandbox.
const SANDBOX: &str = "warning: --sandbox lets everybody who reaches this address push to and delete from the \
    repositories below sandbox/, without a password; for trials and conformance runs only";

/// Ctrl-C, or the signal by which service managers and container runtimes end what they started.
async fn interrupted() {
    let mut terminated = match signal(SignalKind::terminate()) {
        Ok(terminated) => terminated,
        Err(_unheard) => return ctrl_c().await.unwrap_or_default(),
    };
    tokio::select! {
        _ = ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

pub(super) fn run(args: &Serve, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let store = Store::open(&settings.home)?;
    let journal = out.journal(args.log);
    let log = registry::Log::new(journal.hear());
    let (access, takes) = if args.sandbox {
        out.note(SANDBOX);
        (registry::Access::sandbox(), "sandbox/ is open to everybody")
    } else {
        (registry::Access::default(), "read-only")
    };
    let ready = |address: std::net::SocketAddr| {
        if out.is_json() {
            out.data(&format!("{{\"schema\":1,\"address\":\"{address}\"}}\n"));
        } else {
            out.data(&format!("serving http://{address} ({takes})\n"));
        }
        journal.started(address, takes);
    };
    let collection = registry::Collection::default();
    let options = registry::Options { listen: args.listen, access, collection, log };
    let served = super::runtime()?.block_on(registry::serve(store, options, ready, interrupted()));
    journal.stopped();
    Ok(served?)
}
