//! `sealift trust`: making documents (document.rs), orders to a site (order.rs), signing (sign.rs), looking at
//! them (show.rs); and what a site does with them (site.rs), and with its own key (importer.rs).

mod document;
mod grammar;
mod importer;
mod order;
mod show;
mod sign;
mod site;

use std::path::Path;

pub(super) use site::{nothing_pinned, open_site, read_elsewhere};

use crate::{
    base::{
        failure::{Failure, Failures, Result},
        fs,
    },
    cli::{args::TrustCommand, settings::Settings, ui::Out},
    report::{TrustReport, trust::SignedDocument},
    trust::{Draft, PublicKey},
};

pub(super) fn run(command: TrustCommand, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let report = match command {
        TrustCommand::Init(args) if args.pin.site.is_some() => return site::init(&args.pin, settings, out),
        TrustCommand::Init(args) => document::init(&args)?,
        TrustCommand::Add(args) => document::add(&args)?,
        TrustCommand::Remove(args) => document::remove(&args)?,
        TrustCommand::Rotate(args) => document::rotate(&args)?,
        TrustCommand::Revoke(args) => document::revoke(&args)?,
        TrustCommand::Channel(args) => document::channel(&args)?,
        TrustCommand::Sign(args) => return sign::run(&args, settings, out),
        TrustCommand::Show(args) => return show::run(&args, settings, out),
        TrustCommand::Export(args) => show::export(&args, settings)?,
        TrustCommand::Override(args) => return order::exception(&args, settings, out),
        TrustCommand::Beacon(args) => return order::beacon(&args, settings, out),
        TrustCommand::Accept(args) => return site::accept(&args, settings, out),
        TrustCommand::Status(args) => return site::status(&args, settings, out),
        TrustCommand::Settings(args) => return site::settings(&args, settings, out),
        TrustCommand::Importer(args) => return importer::run(&args, settings, out),
    };
    out.report(&report);
    Ok(())
}

fn public_key(file: &Path) -> Result<PublicKey> {
    let key = fs::read_user_text(file).and_then(|pem| PublicKey::from_pem(&pem));
    key.map_err(|failure: Failure| failure.of(file.display()))
}

/// One document and what to do with it.
fn report(path: &Path, draft: &Draft, notes: Vec<String>) -> Result<TrustReport> {
    Ok(TrustReport {
        schema: 1,
        path: path.display().to_string(),
        versions: Vec::new(),
        documents: vec![SignedDocument::new(draft)?],
        notes,
    })
}
