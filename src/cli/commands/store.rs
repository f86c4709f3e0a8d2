//! `sealift store`

use super::{tag::existing_home, trust::open_site};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failures, Reason, Result},
    },
    cli::{args::StoreCommand, settings::Settings, ui::Out},
    report::upkeep::RepairReport,
    site::store_report,
    store::check::{self, Checked, Options},
};

/// Shows what was found; as with `doctor`, that is the result, and the exit code tells of it.
pub(super) fn run(command: StoreCommand, settings: &Settings, out: &Out) -> Result<u8, Failures> {
    existing_home(settings)?;
    match command {
        StoreCommand::Check(args) => {
            let checked = look(args.read_data, settings, out)?;
            let code = code(&checked);
            out.report(&store_report(&settings.home, checked));
            out.delivered()?;
            Ok(code)
        }
        StoreCommand::Repair => {
            let before = look(true, settings, out)?;
            let damaged: Vec<Digest> = before.wrong.into_iter().map(|wrong| wrong.digest).collect();
            let done = open_site(settings)?.repair(&damaged)?;
            let checked = look(false, settings, out)?;
            let code = code(&checked);
            out.report(&RepairReport {
                schema: 1,
                removed: done.removed.iter().map(ToString::to_string).collect(),
                dropped: done.dropped,
                listed: done.listed,
                store: store_report(&settings.home, checked),
            });
            out.delivered()?;
            Ok(code)
        }
    }
}

fn look(read_data: bool, settings: &Settings, out: &Out) -> Result<Checked> {
    let options =
        Options { home: &settings.home, read_data, workers: settings.workers, now: Timestamp::now() };
    check::check(&options, &*out.progress())
}

fn code(checked: &Checked) -> u8 {
    if checked.is_damaged() { Reason::StoreDamaged.class().code() } else { 0 }
}
