//! `sealift trust`: the documents themselves (document.rs), and what a site does with them (site.rs).

mod document;
mod site;

pub(super) use site::{nothing_pinned, open_site, read_elsewhere};

use crate::{
    base::failure::Failures,
    cli::{args::TrustCommand, settings::Settings, ui::Out},
};

pub(super) fn run(command: TrustCommand, settings: &Settings, out: &Out) -> Result<(), Failures> {
    match command {
        TrustCommand::Init(args) if args.pin.site.is_some() => site::init(&args.pin, settings, out),
        TrustCommand::Accept(args) => site::accept(&args, settings, out),
        TrustCommand::Status(args) => site::status(&args, settings, out),
        TrustCommand::Settings(args) => site::settings(&args, settings, out),
        command => document::run(command, settings, out),
    }
}
