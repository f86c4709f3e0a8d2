//! `sealift verify`

use super::{key, trust};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failures, Result},
    },
    cli::{
        args,
        settings::Settings,
        ui::{self, Out},
    },
    report::{Here, VerifyReport},
    site::{self, Arrival},
    store::Store,
    trust::{Authority, Chain, sequence::Warning},
    verify::{self, VerifiedBundle},
};

pub(super) fn run(args: &args::Verify, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let (authority, is_here) = authority(args, settings)?;
    let bundle = verify::open(&args.bundle, &authority)?;
    // Where it stands in its channel is known at once; told is it with everything else.
    let here = if is_here { here(&bundle, settings, out).map(Some) } else { Ok(None) };
    let progress = out.progress();
    let checked = verify::check(&bundle, settings.workers, progress.as_ref());
    let here = match (checked, here) {
        (Ok(_), here) => here?,
        (Err(damage), Ok(_)) => return Err(damage),
        (Err(damage), Err(stale)) => return Err(damage.and(stale)),
    };
    let index = bundle.index();
    out.report(&VerifyReport {
        schema: 1,
        verdict: "good",
        path: args.bundle.display().to_string(),
        name: index.name.clone(),
        version: index.version.clone(),
        channel: index.channel.clone(),
        epoch: index.epoch,
        sequence: index.sequence,
        created: index.created.clone(),
        expires: bundle.header().expires.map(|time| time.to_string()),
        previous: bundle.header().previous.as_ref().map(ToString::to_string),
        site: bundle.header().site.clone(),
        trust_version: bundle.chain().map(Chain::version),
        here,
        sums_digest: bundle.sums_digest().to_string(),
        signers: bundle.signers().to_vec(),
        ignored_signatures: bundle.ignored_signatures().to_vec(),
        artifacts: index.artifacts.len(),
        blobs: index.blobs.len(),
        volumes: index.volumes.len(),
        bytes: index.blobs.iter().map(|blob| blob.size).sum(),
        upstream_signatures: bundle.upstream_signatures()?.map_or_else(Vec::new, |evidence| evidence.images),
    });
    Ok(())
}

/// Whom to believe, and whether it is this home that says so. Nothing of it comes from the media, and nothing is
/// written.
fn authority(args: &args::Verify, settings: &Settings) -> Result<(Authority, bool), Failures> {
    if let Some(file) = &args.trust {
        let chain = Chain::begin(&trust::read_elsewhere(file)?);
        return Ok((Authority::Chain(chain.map_err(|failure| failure.of(file.display()))?), false));
    }
    if !args.keys.key.is_empty() {
        return Ok((Authority::Keys(key::public_keys(&args.keys.key)?), false));
    }
    let chain = Store::read_only(&settings.home, site::chain)?.flatten();
    let nobody = || (Authority::Keys(Vec::new()), false);
    Ok(chain.map_or_else(nobody, |chain| (Authority::Chain(chain), true)))
}

/// What an import would say of the place in the channel. The result does not depend on a clock: what a clock says
/// is a note.
fn here(bundle: &VerifiedBundle, settings: &Settings, out: &Out) -> Result<Here> {
    let arrival = Arrival {
        header: bundle.header(),
        sums: bundle.sums_digest(),
        signers: bundle.signers(),
        chain: bundle.chain(),
    };
    let judge = |clock: Option<Timestamp>| {
        let judged = Store::read_only(&settings.home, |state| site::judge(state, &arrival, clock))?;
        judged.ok_or_else(trust::nothing_pinned)
    };
    let verdict = judge(None)?;
    match judge(Some(Timestamp::now())) {
        Err(expired) => out.note(&format!("note: an import would refuse it now: {expired}")),
        Ok(now) => {
            let by_clock = |warning: &&Warning| !verdict.judgement.warnings.contains(warning);
            for warning in now.judgement.warnings.iter().filter(by_clock) {
                out.note(&format!("note: {}", ui::warning(warning)));
            }
        }
    }
    Ok(Here {
        site: verdict.site.unwrap_or_default(),
        again: verdict.judgement.again,
        warnings: verdict.judgement.warnings,
        lifted: verdict.overrides.iter().map(|(_, effect)| effect.name()).collect(),
    })
}
