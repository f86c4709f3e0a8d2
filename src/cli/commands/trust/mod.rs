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
    base::failure::{Failures, Result},
    cli::{args::TrustCommand, settings::Settings, ui::Out},
    report::{TrustReport, trust::SignedDocument},
    trust::{Draft, PublicKey, Subject},
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
    super::key::public_key(file)
}

/// What comes after an order was signed by all who must.
fn next_step(path: &Path, draft: &Draft) -> Option<String> {
    let is_order = !matches!(draft.subject(), Subject::Trust(_));
    let is_whole = is_order && draft.check().is_ok();
    is_whole
        .then(|| format!("hand it to the site, which takes it with: sealift trust accept {}", path.display()))
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
