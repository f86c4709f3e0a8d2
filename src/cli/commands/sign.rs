//! `sealift sign`

use super::key;
use crate::{
    base::failure::{Failure, Failures, Reason},
    cli::{args, settings::Settings, ui::Out},
    sign,
    store::Store,
    verify,
};

pub(super) fn run(args: &args::Sign, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let is_bundle = !args.what.is_file();
    if is_bundle && args.out.is_some() {
        let message = "the signatures of a bundle go into the bundle";
        return Err(Failure::new(Reason::BadArgument, "--out", message)
            .hint("leave it out; it is for the file that --export wrote")
            .into());
    }
    if let Some(file) = &args.export {
        let progress = out.progress();
        out.report(&sign::export(&args.what, file, settings.workers, progress.as_ref())?);
        return Ok(());
    }
    if let Some(file) = &args.add {
        for public in key::public_keys(args.public.as_slice())? {
            let report = sign::add(&args.what, file, &public)?;
            out.report(&report);
            out.alarms(&report.alarms);
        }
        return Ok(());
    }
    if let (true, Some(digits)) = (is_bundle, &args.digest) {
        // Before every byte of it is read, and then once more.
        sign::confirm(&args.what, &verify::identity(&args.what)?, digits)?;
    }
    let keys = key::signers(&args.key, &args.passphrase, settings)?;
    let statement = if is_bundle {
        sign::of_bundle(&args.what, settings.workers, out.progress().as_ref())?
    } else {
        sign::of_export(&args.what)?
    };
    let store = Store::open(&settings.home)?;
    let compared = statement.against(&store, &keys)?;
    let is_done = compared.iter().all(sign::Compared::is_signed);
    match &args.digest {
        None if is_done => {
            out.report(&statement.report(&keys, &compared));
            Ok(())
        }
        Some(digits) => {
            sign::confirm(&args.what, statement.digest(), digits)?;
            let folder = args.out.clone().unwrap_or_else(|| ".".into());
            let report = statement.sign(&keys, &compared, &store, &folder)?;
            out.report(&report);
            out.alarms(&report.alarms);
            Ok(())
        }
        // Shown to people; a program that asks for JSON gets the one document that tells of the refusal.
        None => {
            if !out.is_json() {
                out.report(&statement.report(&keys, &compared));
            }
            Err(unconfirmed(args, &statement).into())
        }
    }
}

/// Nothing was signed; the hint says how it is.
fn unconfirmed(args: &args::Sign, statement: &sign::Statement) -> Failure {
    let digest = statement.digest();
    let message = format!("nothing was signed yet: its digest is {digest}");
    Failure::new(Reason::DigestUnconfirmed, args.what.display(), message).hint(format!(
        "if this is what you want to sign, give the same command with `--digest {}`",
        digest.hex().get(..8).unwrap_or_default()
    ))
}
