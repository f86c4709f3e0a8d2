//! `sealift trust show` and `export`.

use std::path::Path;

use super::{nothing_pinned, report};
use crate::{
    base::failure::{Failure, Failures, Reason, Result},
    bundle::sums::{SUMS, TRUST},
    cli::{
        args::{TrustExport, TrustShow},
        settings::Settings,
        ui::{Out, qr},
    },
    report::{
        TrustReport,
        trust::{SignedDocument, TrustVersion},
    },
    site,
    store::Store,
    trust::{Chain, Draft},
    trust_folder::{self, TrustFolder},
};

pub(super) fn run(args: &TrustShow, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let Some(what) = &args.what else {
        out.report(&documents(Some(&home(settings)?), None, &settings.home)?);
        return Ok(());
    };
    if what.is_dir() {
        if args.qr.is_some() {
            let message = "a QR code holds one beacon";
            return Err(Failure::new(Reason::BadArgument, "--qr", message)
                .hint("name the file of the beacon")
                .into());
        }
        out.report(&folder(what)?);
        return Ok(());
    }
    let draft = trust_folder::document(what, args.trust.as_deref())?;
    let notes = qr::draw(args.qr.as_deref(), draft.note(), out)?;
    out.report(&report(what, &draft, notes)?);
    Ok(())
}

pub(super) fn export(args: &TrustExport, settings: &Settings) -> Result<TrustReport> {
    let Some(bundle) = &args.bundle else {
        TrustFolder::export(&args.out, &home(settings)?)?;
        return shown(&TrustFolder::read(&args.out)?, &args.out);
    };
    let folder = TrustFolder::read(&bundle.join(TRUST))?;
    TrustFolder::export(&args.out, folder.require_chain()?)?;
    let mut report = shown(&TrustFolder::read(&args.out)?, &args.out)?;
    report.notes.push(COMPARE.to_owned());
    Ok(report)
}

/// What the home pins, and has accepted since.
fn home(settings: &Settings) -> Result<Chain> {
    Store::read_only(&settings.home, site::chain)?.flatten().ok_or_else(nothing_pinned)
}

/// Whoever holds only what came with a bundle, knows nothing yet.
const COMPARE: &str = "what came with a bundle proves nothing: compare the fingerprint with what its holders say by another way";

/// A folder of trust documents, or a bundle with one.
fn folder(dir: &Path) -> Result<TrustReport> {
    if !dir.join(SUMS).is_file() {
        return shown(&TrustFolder::read(dir)?, dir);
    }
    let inside = dir.join(TRUST);
    if !inside.is_dir() {
        return Err(Failure::new(Reason::NotFound, dir.display(), "the bundle carries no trust documents")
            .hint("its maker names them in the manifest: `[bundle] trust = \"trust\"`"));
    }
    let mut report = shown(&TrustFolder::read(&inside)?, dir)?;
    report.notes.push(COMPARE.to_owned());
    Ok(report)
}

fn shown(folder: &TrustFolder, path: &Path) -> Result<TrustReport> {
    documents(folder.chain(), folder.draft(), path)
}

/// The documents that hold by version, the newest of them in full, and a draft.
fn documents(chain: Option<&Chain>, draft: Option<&Draft>, path: &Path) -> Result<TrustReport> {
    let versions = chain
        .into_iter()
        .flat_map(Chain::notes)
        .map(|(version, note)| TrustVersion { version, fingerprint: note.fingerprint().hex().to_owned() });
    let newest = chain.and_then(|chain| {
        let (version, note) = chain.notes().last()?;
        Some(Draft::read(&note.to_bytes(), chain.before(version)))
    });
    let newest = newest.transpose()?;
    Ok(TrustReport {
        schema: 1,
        path: path.display().to_string(),
        versions: versions.collect(),
        documents: newest.iter().chain(draft).map(SignedDocument::new).collect::<Result<_>>()?,
        notes: Vec::new(),
    })
}
