//! One file per command: arguments, one library call, the report shown.

mod account;
mod audit;
mod build;
mod completions;
mod connected;
mod demo;
mod diff;
mod doctor;
mod import;
mod init;
mod inspect;
mod key;
mod lock;
mod mirror_config;
mod prune;
mod receipt;
mod rules;
mod serve;
mod sign;
mod store;
mod tag;
mod trust;
mod verify;

use super::{
    args::{AuditCommand, Command, ReceiptCommand},
    settings::Settings,
    ui::Out,
};
use crate::base::{
    clock::Timestamp,
    failure::{Failure, Failures, Reason},
};

/// Runs one command; its exit code.
pub(super) fn run(command: Command, settings: &Settings, out: &Out) -> Result<u8, Failures> {
    match command {
        // A look around is no failure, whatever it finds.
        Command::Doctor(args) => return doctor::run(&args, settings, out),
        Command::Store(args) => return store::run(args.command, settings, out),
        Command::Prune(args) => return prune::run(&args, settings, out),
        Command::Init(args) => init::run(&args, out),
        Command::Lock(args) => lock::run(&args, settings, out),
        Command::Build(args) => build::run(&args, settings, out),
        Command::Sign(args) => sign::run(&args, settings, out),
        Command::Verify(args) => verify::run(&args, settings, out),
        Command::Inspect(args) => inspect::run(&args, out),
        Command::Diff(args) => diff::run(&args, out),
        Command::Import(args) => import::run(&args, settings, out),
        Command::Serve(args) => serve::run(&args, settings, out),
        Command::Account(args) => account::run(&args.command, settings, out),
        Command::Tag(args) => tag::run(args.command, settings, out),
        Command::MirrorConfig(args) => mirror_config::run(&args, settings, out),
        Command::Rules(args) => rules::run(args.command, settings, out),
        Command::Key(args) => key::run(&args, settings, out),
        Command::Trust(args) => trust::run(args.command, settings, out),
        Command::Receipt(args) => match args.command {
            ReceiptCommand::Show(args) => receipt::show(&args, settings, out),
            ReceiptCommand::Export(args) => receipt::export(&args, settings, out),
        },
        Command::Audit(args) => match args.command {
            AuditCommand::Ledger(args) => audit::ledger(&args, settings, out),
            AuditCommand::Search(args) => audit::search(args, settings, out),
        },
        Command::Demo(args) => demo::run(&args, settings, out),
        Command::Completions(args) => {
            completions::run(&args, out);
            Ok(())
        }
    }
    .map(|()| 0)
}

/// A day, or a time.
fn date(flag: &str, text: &str) -> Result<Timestamp, Failure> {
    Timestamp::of_day(text).ok_or_else(|| {
        Failure::new(Reason::BadArgument, flag, format!("`{text}` is neither a day nor a time"))
            .hint("write 2027-01-31, which is its first moment in UTC, or 2027-01-31T12:00:00Z")
    })
}

/// The runtime for commands that talk to servers.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("cannot start: {error}")))
}
