//! Store → bundle: sealed under a staging name beside its final one, read back, then renamed.
//!
//! 1. [`contents`] says what goes in.
//! 2. [`place`] finds the bundle there already, or takes a staging folder, before anything is fetched.
//! 3. [`seal`] writes, reads back and verifies what the medium now holds, and publishes the folder.
//!
//! Killed at any moment, there is no bundle under the final name, or the whole one.

mod ties;

pub use ties::{Ties, follows};

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Failures, Reason},
        fs,
        progress::Progress,
    },
    bundle::{self, Contents, sums},
    cosign::Evidence,
    fetch,
    manifest::Head,
    oci::Descriptor,
    report::{BuildReport, VolumeLine},
    store::Store,
    trust::{Authority, Signer},
    verify::{self, VerifiedBundle},
};

/// What a bundle is sealed with.
#[derive(Debug)]
pub struct Options<'a> {
    /// The folder that gets the folder `NAME-VERSION`.
    pub output: &'a Path,
    /// Who signs; at least one.
    pub keys: &'a [Box<dyn Signer>],
    /// Most bytes of one volume; no limit when absent.
    pub volume_limit: Option<u64>,
    /// Threads.
    pub workers: usize,
}

/// What goes into the bundle of `head`, once everything in `plan` is in the store. `evidence` is what was found
/// out about its images.
pub fn contents(
    head: &Head,
    created: Timestamp,
    ties: Ties,
    plan: &fetch::Plan,
    evidence: &Evidence,
) -> Result<Contents, Failure> {
    // A descriptor of an index may carry platform and annotations; a blob list has no use for them.
    let bare = |descriptor: &Descriptor| {
        Descriptor::new(&descriptor.media_type, descriptor.digest.clone(), descriptor.size)
    };
    let mut blobs: Vec<Descriptor> = plan.graph.descriptors().map(bare).collect();
    blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
    let mut about = BTreeMap::new();
    if !evidence.images.is_empty() {
        about.insert(Evidence::NAME.to_owned(), evidence.to_json()?.into_bytes());
    }
    Ok(Contents {
        name: head.name.clone(),
        version: head.version.clone(),
        channel: head.channel.clone(),
        epoch: head.epoch,
        sequence: head.sequence,
        created,
        description: head.description.clone(),
        artifacts: plan.artifacts.clone(),
        blobs,
        previous: ties.previous,
        site: head.site.clone(),
        expires: head.expires,
        trust: ties.trust,
        evidence: about,
    })
}

/// The folder that a bundle gets.
pub fn target(output: &Path, head: &Head) -> PathBuf {
    output.join(format!("{}-{}", head.name, head.version))
}

/// Where a bundle is to stand.
#[derive(Debug)]
pub enum Place {
    /// It stands there already, whole.
    Taken(BuildReport),
    /// Nothing does.
    Free(Staging),
}

/// An empty folder beside the final name, which no other process uses. Dropped before the bundle is
/// published, it goes away with all that is in it.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    target: PathBuf,
    published: bool,
    /// The system releases the lock when the process ends, however it ends.
    _lock: File,
}

impl Staging {
    /// Where the bundle is made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the sealed bundle its name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn publish(mut self) -> Result<(), Failure> {
        fs::publish(&self.path, &self.target)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            let _best_effort = fs::remove_dir_all(&self.path);
        }
    }
}

/// Finds the place of the bundle of `head`. One of the same content that stands there already is verified and
/// left as it is; one of other content is never overwritten.
pub fn place(
    contents: &Contents,
    head: &Head,
    options: &Options<'_>,
    progress: &dyn Progress,
) -> Result<Place, Failures> {
    let target = target(options.output, head);
    if target.exists() {
        return existing(contents, &target, options, progress).map(Place::Taken);
    }
    fs::create_dir(options.output, false)?;
    let path = options.output.join(format!(".{}-{}.partial", head.name, head.version));
    let lock = hold(&path)?;
    Ok(Place::Free(Staging { path, target, published: false, _lock: lock }))
}

/// Fails unless what is still to be fetched and the bundle both fit, before the first byte of either is
/// written.
pub fn preflight(
    contents: &Contents,
    plan: &fetch::Plan,
    store: &Store,
    options: &Options<'_>,
) -> Result<(), Failure> {
    let bundle = bundle::plan(contents, options.volume_limit)?.bytes;
    let fetched = plan.missing_bytes();
    if fs::same_file_system(store.home(), options.output) {
        return fs::require_space(
            options.output,
            bundle.saturating_add(fetched),
            "what is fetched and the bundle",
        );
    }
    store.require_space(fetched, "what is fetched")?;
    fs::require_space(options.output, bundle, "the bundle")
}

/// Fails with [`Reason::NoKey`] when nobody signs. [`seal`] asks too; asking first saves the work before it.
pub fn require_keys(keys: &[Box<dyn Signer>]) -> Result<(), Failure> {
    if !keys.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Reason::NoKey, "build", "there is no key to sign with")
        .hint("make one with `sealift key generate -o release.key` and give it with --key release.key"))
}

/// Seals `contents`, all of which is in the store. [`Staging::publish`] is left to do.
pub fn seal(
    staging: &Staging,
    contents: &Contents,
    store: &Store,
    options: &Options<'_>,
    progress: &dyn Progress,
) -> Result<BuildReport, Failures> {
    require_keys(options.keys)?;
    let needed = bundle::plan(contents, options.volume_limit)?.bytes;
    fs::require_space(options.output, needed, "the bundle")?;
    let Staging { path, target, .. } = staging;
    bundle::write(path, contents, store, options.volume_limit, options.workers, options.keys, progress)?;
    // What counts is what the medium gives back, not what was meant to be written (threats F32, C11).
    let public = Authority::Keys(options.keys.iter().map(|key| key.public().clone()).collect());
    let sealed = verify::open(path, &public)?;
    verify::check(&sealed, options.workers, progress)?;
    Ok(report(target, &sealed, false)?)
}

/// An empty folder that no other process uses. Leftovers of a killed run are removed.
fn hold(staging: &Path) -> Result<File, Failure> {
    fs::create_dir(staging, false)?;
    let Some(folder) = fs::lock_dir(staging)? else {
        return Err(Failure::new(
            Reason::LockHeld,
            staging.display(),
            "another sealift builds this bundle here",
        )
        .hint("wait for it, or choose another folder"));
    };
    fs::empty_dir(staging)?;
    Ok(folder)
}

/// The same content under the final name is what was asked for; anything else stays untouched.
fn existing(
    contents: &Contents,
    target: &Path,
    options: &Options<'_>,
    progress: &dyn Progress,
) -> Result<BuildReport, Failures> {
    let public: Vec<_> = options.keys.iter().map(|key| key.public().clone()).collect();
    let other = |found: &str| {
        Failure::new(Reason::OutputExists, target.display(), found)
            .hint("a bundle is never overwritten: raise the version in the manifest, or move the folder away")
    };
    let bundle = verify::open(target, &Authority::Keys(public.clone())).map_err(|failures| {
        let why = failures.list().first().map_or_else(String::new, ToString::to_string);
        other(&format!("there is a folder of this name that is not this bundle ({why})"))
    })?;
    if !holds(&bundle, contents) || bundle.signers().len() < public.len() {
        return Err(other("there is a bundle of this name and version with other content or signers").into());
    }
    verify::check(&bundle, options.workers, progress)?;
    fs::settle(target)?;
    Ok(report(target, &bundle, true)?)
}

/// Whether a bundle is what `contents` would become, but for where things lie in its volumes.
fn holds(bundle: &VerifiedBundle, contents: &Contents) -> bool {
    let (index, header) = (bundle.index(), bundle.header());
    let head = index.name == contents.name
        && index.version == contents.version
        && index.channel == contents.channel
        && (index.epoch, index.sequence) == (contents.epoch, contents.sequence)
        && index.created == contents.created.to_string()
        && index.description == contents.description
        && (&header.previous, &header.site) == (&contents.previous, &contents.site)
        && header.expires == contents.expires;
    let blobs = index.blobs.iter().map(|blob| (&blob.digest, blob.size));
    let trust = contents.trust.iter().map(|(version, bytes)| (sums::trust_path(*version), Digest::of(bytes)));
    let evidence =
        contents.evidence.iter().map(|(name, bytes)| (sums::evidence_path(name), Digest::of(bytes)));
    let beside: BTreeMap<String, Digest> = trust.chain(evidence).collect();
    head && index.artifacts == contents.artifacts
        && blobs.eq(contents.blobs.iter().map(|blob| (&blob.digest, blob.size)))
        && beside.iter().eq(bundle.beside())
}

fn report(target: &Path, bundle: &VerifiedBundle, unchanged: bool) -> Result<BuildReport, Failure> {
    let index = bundle.index();
    Ok(BuildReport {
        schema: 1,
        path: target.display().to_string(),
        name: index.name.clone(),
        version: index.version.clone(),
        sums_digest: bundle.sums_digest().to_string(),
        artifacts: index.artifacts.len(),
        blobs: index.blobs.len(),
        volumes: index
            .volumes
            .iter()
            .map(|volume| VolumeLine { path: volume.path.clone(), size: volume.size })
            .collect(),
        bytes: index.volumes.iter().map(|volume| volume.size).sum(),
        signers: bundle.signers().iter().map(|by| by.key_id.clone()).collect(),
        unchanged,
        alarms: Vec::new(),
        upstream_signatures: bundle.upstream_signatures()?.map_or_else(Vec::new, |evidence| evidence.images),
    })
}
