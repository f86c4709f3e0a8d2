//! `sealift serve`

use crate::{
    base::failure::Failures,
    cli::{args::Serve, settings::Settings, ui::Out},
    registry,
    store::Store,
};

pub(super) fn run(args: &Serve, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let store = Store::open(&settings.home)?;
    let interrupted = async {
        let _either = tokio::signal::ctrl_c().await;
    };
    let progress = out.progress();
    let log = registry::FaultLog::new(move |failure| {
        progress.note(&format!("error[{}]: {failure}", failure.reason.text()));
    });
    let ready = |address: std::net::SocketAddr| {
        if out.is_json() {
            out.data(&format!("{{\"schema\":1,\"address\":\"{address}\"}}\n"));
        } else {
            out.data(&format!("serving http://{address} (read-only)\n"));
        }
    };
    super::runtime()?.block_on(registry::serve(store, args.listen, log, ready, interrupted))?;
    Ok(())
}
