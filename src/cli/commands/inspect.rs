//! `sealift inspect`

use crate::{
    base::failure::Failures,
    cli::{args, ui::Out},
    report::{ArtifactLine, InspectReport, VolumeLine},
    verify,
};

pub(super) fn run(args: &args::Inspect, out: &Out) -> Result<(), Failures> {
    let glance = verify::glance(&args.bundle)?;
    let (index, header) = (&glance.index, &glance.header);
    let artifacts = index.artifacts.iter().map(|artifact| ArtifactLine {
        kind: artifact.kind.name(),
        name: artifact.name.clone(),
        digest: artifact.root.digest.to_string(),
        platforms: artifact.platforms.clone(),
        absent: artifact.absent.len(),
        referrers: artifact.referrers.len(),
    });
    let volumes =
        index.volumes.iter().map(|volume| VolumeLine { path: volume.path.clone(), size: volume.size });
    out.report(&InspectReport {
        schema: 1,
        verified: false,
        path: args.bundle.display().to_string(),
        name: index.name.clone(),
        version: index.version.clone(),
        channel: index.channel.clone(),
        epoch: index.epoch,
        sequence: index.sequence,
        created: index.created.clone(),
        previous: header.previous.as_ref().map(ToString::to_string),
        site: header.site.clone(),
        trust_version: (header.trust > 0).then_some(header.trust),
        expires: header.expires.map(|time| time.to_string()),
        description: index.description.clone(),
        tool: index.tool.clone(),
        sums_digest: glance.sums_digest.to_string(),
        signatures: glance.signatures.clone(),
        artifacts: artifacts.collect(),
        volumes: volumes.collect(),
        blobs: index.blobs.len(),
        bytes: index.blobs.iter().map(|blob| blob.size).sum(),
        upstream_signatures: glance.upstream_signatures.map_or_else(Vec::new, |evidence| evidence.images),
    });
    Ok(())
}
