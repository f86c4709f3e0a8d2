//! `sealift trust sign`: shown first, signed when the fingerprint is given.

use std::path::PathBuf;

use super::{super::key, next_step, report};
use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs,
    },
    cli::{args::TrustSign, settings::Settings, ui::Out},
    trust::{Draft, Signer},
    trust_folder::{self, TrustFolder},
};

pub(super) fn run(args: &TrustSign, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let file = file(args)?;
    let copies = args.add.iter().map(|copy| Ok(fs::read_user_text(copy)?.into_bytes()));
    let copies = copies.collect::<Result<Vec<_>>>()?;
    let signers = key::signers(args.key.as_slice(), &args.passphrase, settings)?;
    let (draft, unconfirmed) = trust_folder::change_document(&file, args.trust.as_deref(), |draft| {
        for (copy, bytes) in args.add.iter().zip(&copies) {
            draft.take_over(bytes).map_err(|failure| failure.of(copy.display()))?;
        }
        sign(draft, &signers, args)
    })?;
    // Shown to people; a program that asks for JSON gets the one document that tells of the refusal.
    if unconfirmed.is_none() || !out.is_json() {
        let next = next_step(&file, &draft).into_iter().collect();
        out.report(&report(&file, &draft, next)?);
    }
    unconfirmed.map_or(Ok(()), |failure| Err(failure.into()))
}

/// Signs what was confirmed. Gives the failure to end with where nothing was.
fn sign(draft: &mut Draft, signers: &[Box<dyn Signer>], args: &TrustSign) -> Result<Option<Failure>> {
    for signer in signers {
        // Who may not sign need not read it first.
        let mut signed = draft.clone();
        signed.sign(signer.as_ref())?;
        let Some(typed) = &args.fingerprint else { return Ok(Some(unconfirmed(draft, args))) };
        draft.confirm(typed)?;
        *draft = signed;
    }
    Ok(None)
}

fn unconfirmed(draft: &Draft, args: &TrustSign) -> Failure {
    let fingerprint = draft.fingerprint();
    let message = format!("nothing was signed yet: the fingerprint is {}", fingerprint.hex());
    Failure::new(Reason::DigestUnconfirmed, args.document.display(), message).hint(format!(
        "if this is what you want to sign, run the command again with --fingerprint {}",
        fingerprint.hex().get(..8).unwrap_or_default()
    ))
}

/// The file that is meant: of a folder its draft.
fn file(args: &TrustSign) -> Result<PathBuf> {
    if !args.document.is_dir() {
        return Ok(args.document.clone());
    }
    let folder = TrustFolder::read(&args.document)?;
    if folder.draft().is_none() {
        let message = "every trust document in it is signed by all who must";
        return Err(Failure::new(Reason::BadArgument, args.document.display(), message)
            .hint("name the file of the document that you want to sign all the same"));
    }
    Ok(folder.newest())
}
