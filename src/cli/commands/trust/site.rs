//! What a site does with trust documents: pin one, take newer ones, show where it stands.

use std::{
    io::{ErrorKind, Read as _},
    path::Path,
};

use super::super::key;
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
    },
    bundle::sums::SUMS,
    cli::{
        args::{Expiry, Passphrase, TrustAccept, TrustPin, TrustSettings, TrustStatus},
        settings::Settings,
        ui::Out,
    },
    report::site::{AcceptReport, Accepted, ChannelAt, PinReport, SettingsReport},
    site::{
        self, NotTaken, Pin, Site,
        status::{settings_line, trust_line},
    },
    store::Store,
    trust::{Chain, Note, typed_fingerprint},
    verify,
};

/// The site of the home, now.
pub(in crate::cli::commands) fn open_site(settings: &Settings) -> Result<Site> {
    Ok(Site::new(Store::open(&settings.home)?, Timestamp::now()))
}

/// The failure for a home that pins nothing.
pub(in crate::cli::commands) fn nothing_pinned() -> Failure {
    site::nothing_pinned()
}

/// Reads a trust document that is believed as it is: it must not come with a bundle (T33).
pub(in crate::cli::commands) fn read_elsewhere(file: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read_user_text(file)?.into_bytes();
    let real = std::fs::canonicalize(file).map_err(|error| fs::failure(file, "find", &error))?;
    if real.ancestors().skip(1).any(|folder| folder.join(SUMS).is_file()) {
        let message = "it lies in a bundle: whoever changed the bundle may have put it there";
        return Err(Failure::new(Reason::TrustFingerprint, file.display(), message).hint(
            "take it from elsewhere; or pin it by its fingerprint, which you have from the sender: \
             `sealift trust init --site NAME --fingerprint HEX --media BUNDLE`",
        ));
    }
    Ok(bytes)
}

/// `trust init --site`
pub(super) fn init(args: &TrustPin, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let name = args.site.as_deref().unwrap_or_default();
    let receipts = args.receipt.iter().map(|file| Ok(fs::read_user_text(file)?.into_bytes()));
    let from = Passphrase { passphrase_file: args.passphrase_file.clone() };
    let importer = args.importer_key.as_deref().map(|file| key::private_key(file, &from, settings));
    let pin = Pin {
        name,
        chain: chain(args)?,
        receipts: receipts.collect::<Result<_>>()?,
        receipt_keys: key::public_keys(&args.receipt_key)?,
        at_least: args.at_least.iter().map(|text| at_least(text)).collect::<Result<_>>()?,
        importer: importer.transpose()?,
    };
    let trust = trust_line(&pin.chain);
    let pinned = open_site(settings)?.pin(&pin)?;
    let at = |(channel, position)| ChannelAt { channel, position };
    out.report(&PinReport {
        schema: 1,
        site: name.to_owned(),
        trust,
        importer: pinned.importer.key_id().to_owned(),
        importer_public_key: pinned.importer.to_pem()?,
        channels: pinned.positions.into_iter().map(at).collect(),
        receipt: pinned.receipt.map(|receipt| receipt.to_string()),
    });
    Ok(())
}

/// The chain to begin with: a file from elsewhere, or what has the fingerprint that a person typed.
fn chain(args: &TrustPin) -> Result<Chain, Failures> {
    let of = |failure: Failure, file: &Path| failure.of(file.display());
    let fingerprint = args.fingerprint.as_deref().map(typed_fingerprint).transpose()?;
    match (&args.root, &fingerprint, &args.media) {
        (Some(root), None, _) => {
            Ok(Chain::begin(&read_elsewhere(root)?).map_err(|failure| of(failure, root))?)
        }
        (Some(root), Some(typed), _) => {
            let bytes = fs::read_user_text(root)?.into_bytes();
            Ok(Chain::pin(&bytes, typed).map_err(|failure| of(failure, root))?)
        }
        (None, Some(typed), Some(media)) => carried(media, typed),
        _ => {
            Err(Failure::new(Reason::BadArgument, "trust init", "neither --root nor --fingerprint is given")
                .hint("give --root FILE, or --fingerprint HEX with --media BUNDLE")
                .into())
        }
    }
}

/// The document of a bundle with this fingerprint, and those that follow it there.
fn carried(media: &Path, typed: &Digest) -> Result<Chain, Failures> {
    let carried = verify::carried_trust(media)?;
    let mut refused = None;
    for (version, bytes) in &carried {
        match Chain::pin(bytes, typed) {
            Ok(chain) => {
                let later: Vec<_> = carried.iter().filter(|(other, _)| other > version).cloned().collect();
                return Ok(chain.with_carried(&later)?);
            }
            // The one that is meant, and bad, says more than the others, which are only other documents.
            Err(failure) if failure.reason != Reason::TrustFingerprint => return Err(failure.into()),
            Err(failure) => refused = Some(failure),
        }
    }
    let nothing = || {
        Failure::new(Reason::TrustMissing, media.display(), "the bundle carries no trust document")
            .hint("ask the sender for the document, and give it with --root and its fingerprint")
    };
    Err(refused.unwrap_or_else(nothing).into())
}

/// `CHANNEL=EPOCH.SEQUENCE`
fn at_least(text: &str) -> Result<(String, u64, u64)> {
    let parse = || {
        let (channel, place) = text.split_once('=')?;
        let (epoch, sequence) = place.split_once('.')?;
        Some((channel.to_owned(), epoch.parse().ok()?, sequence.parse().ok()?))
    };
    parse().ok_or_else(|| {
        Failure::new(Reason::BadArgument, "--at-least", format!("`{text}` is no place in a channel"))
            .hint("write CHANNEL=EPOCH.SEQUENCE, for instance prod=1.42")
    })
}

/// `trust accept`
pub(super) fn accept(args: &TrustAccept, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let documents = args.documents.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let site = open_site(settings)?;
    let chain = site.chain()?;
    let mut accepted = Vec::new();
    let (mut paths, mut newer) = (Vec::new(), Vec::new());
    for (path, bytes) in args.documents.iter().zip(documents) {
        let older =
            |chain: &Chain| Some((chain.is_before(&Note::parse(&bytes).ok()?)?, chain.pinned().version()));
        if let Some((version, pinned)) = chain.as_ref().and_then(older) {
            accepted.push(Accepted::Older { version, pinned });
        } else {
            paths.push(path.as_path());
            newer.push(bytes);
        }
    }
    let named = |NotTaken { document, why, unkept }| {
        let path = document.and_then(|at: usize| paths.get(at));
        let failures = Failures::from(match path {
            Some(path) => why.of(path.display()),
            None => why,
        });
        unkept.into_iter().fold(failures, |failures, unkept| failures.and(*unkept))
    };
    if !newer.is_empty() {
        accepted.extend(site.accept(&newer).map_err(named)?);
    }
    out.report(&AcceptReport { schema: 1, accepted });
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    if path != Path::new("-") {
        if path.is_dir() {
            return Err(fs::failure(path, "read", &ErrorKind::IsADirectory.into()));
        }
        return fs::read_limited(path, limits::NOTE_BYTES, Reason::NoteMalformed);
    }
    let mut bytes = Vec::new();
    let mut stdin = std::io::stdin().lock().take(limits::NOTE_BYTES + 1);
    stdin
        .read_to_end(&mut bytes)
        .map_err(|error| fs::failure(Path::new("standard input"), "read", &error))?;
    Note::parse(&bytes).map(|_note| bytes)
}

/// `trust status`
pub(super) fn status(args: &TrustStatus, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let home = settings.home.display().to_string();
    let known = Store::read_only(&settings.home, |state| site::status(state, &home, Timestamp::now()))?;
    let (report, alarms) = known.ok_or_else(nothing_pinned)?;
    if args.check {
        if report.site.is_none() {
            return Err(nothing_pinned().into());
        }
        Failures::check(alarms)?;
    }
    out.report(&report);
    Ok(())
}

/// `trust settings`
pub(super) fn settings(args: &TrustSettings, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let new = open_site(settings)?.set(|mut new| {
        new.strict_expiry = args.expiry.map_or(new.strict_expiry, |expiry| expiry == Expiry::Strict);
        new.max_silence = args.max_silence.unwrap_or(new.max_silence);
        new.jump_limit = args.jump_limit.unwrap_or(new.jump_limit);
        new
    })?;
    out.report(&SettingsReport { schema: 1, settings: settings_line(&new) });
    Ok(())
}
