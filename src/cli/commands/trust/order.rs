//! `sealift trust beacon` and `override`: short orders to a site.

use std::path::Path;

use super::{super::key, next_step, report};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
    },
    cli::{
        args::{BundleName, OrderArgs, TrustBeacon, TrustOverride},
        settings::Settings,
        ui::{Out, qr},
    },
    trust::{Beacon, Chain, Draft, Effect, Override, sequence::Position},
    trust_folder::TrustFolder,
    verify,
};

pub(super) fn beacon(args: &TrustBeacon, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let chain = chain(&args.order)?;
    let glance = verify::glance(&args.bundle)?;
    let header = glance.header;
    let newest = Position { epoch: header.epoch, sequence: header.sequence, bundle: glance.sums_digest };
    let epoch = chain.latest().channel(&header.channel)?.epoch;
    if epoch != newest.epoch {
        let message = format!("expected epoch {epoch} of {}, found {}", header.channel, newest.epoch);
        return Err(Failure::new(Reason::WrongEpoch, args.bundle.display(), message)
            .hint("name the newest bundle of the channel")
            .into());
    }
    let beacon = Beacon::new(&header.channel, newest, chain.version(), settings.now());
    let draft = signed(Draft::beacon(chain, &beacon)?, &args.order, settings)?;
    let size = draft.note().to_bytes().len() as u64;
    if size > limits::BEACON_BYTES {
        return Err(Failure::internal(format!("a beacon of {size} bytes")).into());
    }
    finish(&draft, &args.order, args.qr.as_deref(), out)
}

pub(super) fn exception(args: &TrustOverride, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let chain = chain(&args.order)?;
    let effect = Effect::parse(&args.effect).ok_or_else(|| {
        let names: Vec<&str> = Effect::ALL.into_iter().map(Effect::name).collect();
        Failure::new(Reason::BadArgument, "--effect", format!("there is no rule `{}`", args.effect))
            .hint(format!("rules that can be lifted are {}", names.join(", ")))
    })?;
    let (digest, channel) = bundle(args)?;
    let exception = Override::new(&args.site, &channel, digest, effect, &args.reason, settings.now())?;
    let draft = signed(Draft::exception(chain, &exception)?, &args.order, settings)?;
    finish(&draft, &args.order, None, out)
}

/// The bundle that is meant, and its channel.
fn bundle(args: &TrustOverride) -> Result<(Digest, String)> {
    let wrong =
        |message: String, hint: &str| Err(Failure::new(Reason::BadArgument, "--channel", message).hint(hint));
    let (digest, told) = match &args.bundle {
        BundleName::Digest(digest) => (digest.clone(), None),
        BundleName::Folder(folder) => {
            let glance = verify::glance(folder)?;
            (glance.sums_digest, Some(glance.header.channel))
        }
    };
    match (told, args.channel.clone()) {
        (None, None) => {
            wrong("a digest does not tell of which channel it is".to_owned(), "give --channel NAME")
        }
        (Some(told), Some(typed)) if told != typed => {
            wrong(format!("the bundle is of {told}, --channel says {typed}"), "leave it out")
        }
        (Some(channel), _) | (None, Some(channel)) => Ok((digest, channel)),
    }
}

fn chain(order: &OrderArgs) -> Result<Chain> {
    TrustFolder::read(&order.trust)?.require_chain().cloned()
}

fn signed(mut draft: Draft, order: &OrderArgs, settings: &Settings) -> Result<Draft> {
    for signer in key::signers(order.key.as_slice(), &order.passphrase, settings)? {
        draft.sign(signer.as_ref())?;
    }
    Ok(draft)
}

fn finish(draft: &Draft, order: &OrderArgs, code: Option<&Path>, out: &Out) -> Result<(), Failures> {
    let bytes = draft.note().to_bytes();
    if order.out == Path::new("-") {
        out.data(&String::from_utf8_lossy(&bytes));
        qr::draw(code, draft.note(), out)?;
        return Ok(());
    }
    if order.out.exists() {
        let message = "there is a file of this name";
        return Err(Failure::new(Reason::OutputExists, order.out.display(), message)
            .hint("choose another name, or move it away")
            .into());
    }
    fs::write_atomic(&order.out, &bytes, 0o644)?;
    let mut notes = qr::draw(code, draft.note(), out)?;
    notes.extend(next_step(&order.out, draft));
    out.report(&report(&order.out, draft, notes)?);
    Ok(())
}
