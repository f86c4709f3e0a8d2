//! `sealift receipt`

use std::path::Path;

use super::audit::site_keys;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        fs,
    },
    cli::{
        args::{ReceiptExport, ReceiptShow},
        settings::Settings,
        ui::Out,
    },
    report::{Receipt, custody::ReceiptReport},
    site,
    store::SignedReceipt,
    trust::{PublicKey, Rule},
};

pub(super) fn show(args: &ReceiptShow, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let is_of_home = args.receipt == LATEST || Digest::parse(&args.receipt).is_ok();
    let text = if is_of_home {
        kept(&args.receipt, settings)?.text
    } else {
        fs::read_user_text(Path::new(&args.receipt))?
    };
    let keys = site_keys(&args.keys, is_of_home, settings)?;
    let receipt = open(text.as_bytes(), &keys)
        .map_err(|failure| if is_of_home { failure } else { failure.of(&args.receipt) })?;
    out.report(&ReceiptReport::new(&receipt));
    Ok(())
}

#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
pub(super) fn export(args: &ReceiptExport, settings: &Settings, out: &Out) -> Result<(), Failures> {
    if !args.all {
        let receipt = kept(&args.receipt, settings)?;
        fs::write_output(&args.out, receipt.text.as_bytes())?;
        out.note(&format!("wrote {}", args.out.display()));
        return Ok(());
    }
    let receipts = site::evidence(&settings.home, |state| state.signed_receipts())?;
    fs::create_dir(&args.out, false)?;
    for (at, receipt) in receipts.iter().enumerate() {
        let name = format!("{:06}-{}.intoto.jsonl", at + 1, receipt.digest.short());
        fs::write_atomic(&args.out.join(name), receipt.text.as_bytes(), 0o644)?;
    }
    out.note(&format!(
        "wrote {} into {}",
        crate::base::text::count(receipts.len(), "receipt"),
        args.out.display()
    ));
    Ok(())
}

/// The word for the last receipt.
const LATEST: &str = "latest";

/// A receipt that the home keeps.
fn kept(which: &str, settings: &Settings) -> Result<SignedReceipt> {
    let found = site::evidence(&settings.home, |state| {
        let digest = if which == LATEST { state.last_receipt()? } else { Some(digest(which)?) };
        digest.map_or(Ok(None), |digest| state.signed_receipt(&digest))
    })?;
    found.ok_or_else(|| {
        Failure::new(Reason::NotFound, "receipt", format!("the home keeps no such receipt: {which}")).hint(
            "every `sealift import` that is signed leaves one; `sealift receipt export --all` writes all",
        )
    })
}

fn digest(text: &str) -> Result<Digest> {
    Digest::parse(text).map_err(|error| {
        Failure::new(Reason::BadArgument, "receipt", error).hint("give the digest of a receipt, or `latest`")
    })
}

/// A receipt that one of `keys` signed.
pub(super) fn open(bytes: &[u8], keys: &[PublicKey]) -> Result<Receipt> {
    if keys.is_empty() {
        return Err(Failure::new(Reason::NoKey, "receipt", "there is no key of the site to check it with")
            .hint("give the public key of the site with --key, from elsewhere than the receipt"));
    }
    let keys = keys.iter().map(|key| (key, key.key_id())).collect();
    Receipt::open(bytes, &Rule { name: "importer".to_owned(), keys, threshold: 1 })
}
