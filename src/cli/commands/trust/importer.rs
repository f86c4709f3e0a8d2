//! `sealift trust importer`

use super::super::key;
use crate::{
    base::failure::{Failure, Failures},
    cli::{
        args::{Passphrase, TrustImporter},
        commands::trust::open_site,
        settings::Settings,
        ui::Out,
    },
    report::custody::ImporterReport,
    site::{self, Importer, handover},
};

pub(super) fn run(args: &TrustImporter, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let home = &settings.home;
    // Also for a new key: a home where nothing signs yet is not made by the way.
    let mut importer = site::evidence(home, |state| handover::importer(home, state))?;
    if args.replace {
        let from = Passphrase { passphrase_file: args.passphrase_file.clone() };
        let new = args.importer_key.as_deref().map(|file| key::private_key(file, &from, settings));
        importer = open_site(settings)?.replace_importer(new.transpose()?)?;
    }
    out.report(&report(&importer)?);
    if args.replace {
        out.note("save the public key above for those who check receipts and the ledger, and keep the old one: what it signed needs it");
    }
    Ok(())
}

fn report(importer: &Importer) -> Result<ImporterReport, Failure> {
    Ok(ImporterReport {
        schema: 1,
        key_id: importer.key.key_id().to_owned(),
        since: importer.since,
        replaces: importer.replaces.clone(),
        public_key: importer.key.to_pem()?,
    })
}
