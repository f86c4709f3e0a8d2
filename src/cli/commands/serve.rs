//! `sealift serve`

use crate::{
    base::failure::Failures,
    cli::{args::Serve, settings::Settings, ui::Out},
    registry,
    store::Store,
};

/// What is not to be missed by whoever starts a sandbox.
const SANDBOX: &str = "warning: --sandbox lets everybody who reaches this address push to and delete from the \
    repositories below sandbox/, without a password; for trials and conformance runs only";

pub(super) fn run(args: &Serve, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let store = Store::open(&settings.home)?;
    let interrupted = async {
        let _either = tokio::signal::ctrl_c().await;
    };
    let progress = out.progress();
    let log = registry::FaultLog::new(move |failure| {
        progress.note(&format!("error[{}]: {failure}", failure.reason.text()));
    });
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
    };
    super::runtime()?.block_on(registry::serve(store, args.listen, access, log, ready, interrupted))?;
    Ok(())
}
