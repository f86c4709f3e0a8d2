//! `sealift store`

use super::{tag::existing_home, trust::open_site};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failures, Reason, Result},
    },
    cli::{args::StoreCommand, settings::Settings, ui::Out},
    report::{
        backup::{BackupIndex, BackupReport, RestoreReport},
        upkeep::RepairReport,
    },
    site::{self, store_report},
    store::{
        backup,
        check::{self, Checked, Options},
    },
};

/// Shows what was found; as with `doctor`, that is the result, and the exit code tells of it.
pub(super) fn run(command: StoreCommand, settings: &Settings, out: &Out) -> Result<u8, Failures> {
    if !matches!(command, StoreCommand::Restore(_)) {
        existing_home(settings)?;
    }
    match command {
        StoreCommand::Backup(args) => {
            backup::require_local(&settings.home)?;
            let done = open_site(settings)?.back_up(&args.out, settings.workers, &*out.progress())?;
            let (state, reason, code) = outcome(&done.index);
            let is_open = |mode: u32| mode & 0o077 != 0;
            let secrets = done.index.files.iter().filter(|file| !is_open(file.mode));
            out.report(&BackupReport {
                schema: 1,
                state,
                reason,
                path: args.out.display().to_string(),
                digest: done.digest.to_string(),
                copied: done.copied.0,
                copied_bytes: done.copied.1,
                dropped: done.dropped,
                secrets: secrets.map(|file| file.path.clone()).filter(|path| path.contains('/')).collect(),
                index: done.index,
            });
            out.delivered()?;
            Ok(code)
        }
        StoreCommand::Restore(args) => {
            let places = (settings.home.as_path(), args.backup.as_path());
            let done = site::restore(places, settings.workers, Timestamp::now(), &*out.progress())?;
            let (state, reason, code) = outcome(&done.index);
            out.report(&RestoreReport {
                schema: 1,
                state,
                reason,
                home: settings.home.display().to_string(),
                digest: done.digest.to_string(),
                ledger: done.head.to_string(),
                index: done.index,
            });
            out.delivered()?;
            Ok(code)
        }
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

/// How a backup is, in words and as exit code.
fn outcome(index: &BackupIndex) -> (&'static str, Option<&'static str>, u8) {
    if index.lacking.is_empty() {
        return ("whole", None, 0);
    }
    let reason = Reason::StoreDamaged;
    ("lacking", Some(reason.text()), reason.class().code())
}

fn look(read_data: bool, settings: &Settings, out: &Out) -> Result<Checked> {
    let options =
        Options { home: &settings.home, read_data, workers: settings.workers, now: Timestamp::now() };
    check::check(&options, &*out.progress())
}

fn code(checked: &Checked) -> u8 {
    if checked.is_damaged() { Reason::StoreDamaged.class().code() } else { 0 }
}
