//! `sealift verify`

use super::key;
use crate::{
    base::failure::Failures,
    cli::{args, settings::Settings, ui::Out},
    report::VerifyReport,
    trust::Chain,
    verify,
};

pub(super) fn run(args: &args::Verify, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let authority = key::authority(&args.keys)?;
    let bundle = verify::open(&args.bundle, &authority)?;
    let progress = out.progress();
    verify::check(&bundle, settings.workers, progress.as_ref())?;
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
