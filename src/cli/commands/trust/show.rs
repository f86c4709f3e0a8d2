//! `sealift trust show` and `export`.

use std::path::Path;

use super::report;
use crate::{
    base::failure::{Failure, Failures, Reason, Result},
    bundle::sums::{SUMS, TRUST},
    cli::{
        args::{TrustExport, TrustShow},
        ui::{Out, qr},
    },
    report::{
        TrustReport,
        trust::{SignedDocument, TrustVersion},
    },
    trust::{Chain, Draft},
    trust_folder::{self, TrustFolder},
};

pub(super) fn run(args: &TrustShow, out: &Out) -> Result<(), Failures> {
    if args.what.is_dir() {
        if args.qr.is_some() {
            let message = "a QR code holds one beacon";
            return Err(Failure::new(Reason::BadArgument, "--qr", message)
                .hint("name the file of the beacon")
                .into());
        }
        out.report(&folder(&args.what)?);
        return Ok(());
    }
    let draft = trust_folder::document(&args.what, args.trust.as_deref())?;
    let notes = qr::draw(args.qr.as_deref(), draft.note(), out)?;
    out.report(&report(&args.what, &draft, notes)?);
    Ok(())
}

pub(super) fn export(args: &TrustExport) -> Result<TrustReport> {
    let folder = TrustFolder::read(&args.bundle.join(TRUST))?;
    let chain = folder.require_chain()?;
    let copied = TrustFolder::export(&args.out, chain)?;
    let mut report = shown(&copied, &args.out)?;
    report.notes.push(COMPARE.to_owned());
    Ok(report)
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
    let notes = folder.chain().into_iter().flat_map(Chain::notes);
    let versions = notes
        .map(|(version, note)| TrustVersion { version, fingerprint: note.fingerprint().hex().to_owned() });
    let current = folder.chain().and_then(|chain| {
        let (version, note) = chain.notes().last()?;
        Some(Draft::read(&note.to_bytes(), chain.before(version)))
    });
    let current = current.transpose()?;
    let mut documents = Vec::new();
    for draft in current.iter().chain(folder.draft()) {
        documents.push(SignedDocument::new(draft)?);
    }
    Ok(TrustReport {
        schema: 1,
        path: path.display().to_string(),
        versions: versions.collect(),
        documents,
        notes: Vec::new(),
    })
}
