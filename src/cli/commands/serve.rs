//! `sealift serve`

use std::{net::SocketAddr, path::Path};

use serde::Serialize;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use crate::{
    base::{failure::Failures, text},
    cli::{args::Serve, serving::Serving, settings::Settings, ui::Out},
    registry::{self, Tls},
    store::Store,
};

/// What is not to be missed by whoever starts a sandbox.
const SANDBOX: &str = "warning: --sandbox lets everybody who reaches this address push to and delete from the \
    repositories below sandbox/, without a password; for trials and conformance runs only";
/// Nor by whoever has accounts and no TLS.
const PLAIN: &str = "warning: without TLS passwords and tokens can be read by everybody on the way: put a proxy with \
    TLS before this address, or leave --plain-http away";

/// What a program learns that starts the server.
#[derive(Serialize)]
struct Serves<'a> {
    schema: u32,
    address: SocketAddr,
    scheme: &'static str,
    /// The site's own authority, for clients; absent where another's certificate is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<&'a Path>,
    /// SHA-256 of that, or else of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<&'a str>,
}

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
    let serving = Serving::new(args, &settings.host)?;
    let store = Store::open(&settings.home)?;
    let journal = out.journal(args.log);
    let log = registry::Log::new(journal.hear());
    let access = if args.sandbox { registry::Access::sandbox() } else { registry::Access::default() };
    if args.sandbox {
        out.note(SANDBOX);
    }
    let takes = access.takes(&store)?;
    let open = |(certificate, clients)| Tls::open(&settings.home, certificate, clients);
    let tls = serving.tls.map(open).transpose()?;
    if tls.is_none() && !serving.listen.ip().is_loopback() && store.has_accounts()? {
        out.note(PLAIN);
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (fingerprint, authority) =
        (tls.as_ref().map(Tls::fingerprint), tls.as_ref().and_then(Tls::authority));
    let ready = |address: SocketAddr| {
        let (authority, fingerprint) = (authority.as_deref(), fingerprint.as_deref());
        let serves = Serves { schema: 1, address, scheme, authority, fingerprint };
        if out.is_json() {
            out.line(&serves);
        } else {
            out.data(&format!("serving {scheme}://{address} ({takes})\n"));
        }
        if let (Some(file), Some(fingerprint)) = (authority, fingerprint) {
            let file = text::escaped(&file.display().to_string(), 400);
            out.note(&format!("certificate of this site, SHA-256 {fingerprint}"));
            out.note(&format!("clients need {file}, for instance as /etc/containers/certs.d/HOST:PORT/ca.crt; docs/accounts.md"));
        }
        journal.started(address, takes);
    };
    let options = registry::Options {
        listen: serving.listen,
        access,
        collection: registry::Collection::new(serving.collect_every, serving.lease_seconds),
        tls,
        service: serving.service,
        url: serving.url,
        pulls: serving.pulls,
        rates: serving.rates,
        log,
    };
    let served = super::runtime()?.block_on(registry::serve(store, options, ready, interrupted()));
    journal.stopped();
    Ok(served?)
}
