//! From a verified bundle into a home store or a registry, in one pass.
//!
//! 1. `filter.rs` selects artifacts by name and children by platform;
//! 2. `plan.rs` works out every manifest, tag and content and where it goes (`mapping.rs`), and checks the
//!    closure of everything: nothing is written for a bundle that cannot be imported whole; `sign.rs` adds the
//!    site's signatures of images;
//! 3. `home.rs` streams what is missing from the media into the store and publishes all of it in one
//!    transaction; or `push.rs` sends it to a registry, children before parents and tags last;
//! 4. `files.rs` writes carried files out, if asked;
//! 5. the result is a [`Receipt`].
//!
//! Killed anywhere, the destination is what it was or what it was asked to become, and running again
//! finishes: contents that are there are skipped, and what is visible changes last.

mod files;
mod filter;
mod home;
mod mapping;
mod plan;
mod push;
mod sign;

use std::path::PathBuf;

pub use mapping::Mapping;

use self::plan::Plan;
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        progress::Progress,
    },
    bundle::BundleIndex,
    oci::{Descriptor, Platform, reference},
    remote::Client,
    report::receipt::{Counts, Origin, Receipt},
    store::Store,
    trust::Signer,
    verify::{self, VerifiedBundle},
};

/// Where a bundle is imported to.
#[derive(Debug)]
pub enum Destination {
    /// The store of this site.
    Home(Store),
    /// Any OCI registry.
    Registry {
        /// Speaks to it.
        client: Client,
        /// `host[:port]`.
        host: String,
        /// Repositories stand below this; may be empty.
        prefix: String,
    },
}

impl Destination {
    /// The registry at `place`, written `HOST[:PORT][/PREFIX]`, reached through `client`.
    pub fn registry(place: &str, client: Client) -> Result<Self> {
        let (host, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix_fits = prefix.is_empty() || reference::is_repository(prefix);
        if !reference::is_registry(host) || !prefix_fits || (prefix.is_empty() && place.ends_with('/')) {
            return Err(Failure::new(Reason::BadArgument, place, "expected HOST[:PORT][/PREFIX]")
                .hint("for instance registry.internal:5000/mirror, without https:// and without a tag"));
        }
        Ok(Self::Registry { client, host: host.to_ascii_lowercase(), prefix: prefix.to_owned() })
    }

    fn prefix(&self) -> &str {
        match self {
            Self::Home(_) => "",
            Self::Registry { prefix, .. } => prefix,
        }
    }

    /// As the receipt names it.
    fn name(&self) -> String {
        match self {
            Self::Home(_) => "home".to_owned(),
            Self::Registry { host, prefix, .. } if prefix.is_empty() => host.clone(),
            Self::Registry { host, prefix, .. } => format!("{host}/{prefix}"),
        }
    }
}

/// What to import, and how.
#[derive(Debug)]
pub struct Options {
    /// Where to.
    pub destination: Destination,
    /// Platforms wanted; empty means all.
    pub platforms: Vec<Platform>,
    /// Patterns of artifact names (`*` any text, `?` one character); empty means all.
    pub names: Vec<String>,
    /// Changed names.
    pub mapping: Mapping,
    /// Folder to write carried files to.
    pub files_to: Option<PathBuf>,
    /// The site's key: every image gets its signatures, for cosign and the like.
    pub sign_key: Option<Box<dyn Signer>>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Contents under way at once, at least 1.
    pub workers: usize,
    /// Time for the receipt.
    pub now: Timestamp,
}

/// What an import reads from: a verified bundle, and in tests of this module something simpler.
trait Source: Sync {
    fn index(&self) -> &BundleIndex;
    fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>>;
    fn stream_blob(&self, digest: &Digest, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
}

impl Source for VerifiedBundle {
    fn index(&self) -> &BundleIndex {
        self.index()
    }
    fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.read_blob(digest)
    }
    fn stream_blob(&self, digest: &Digest, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.stream_blob(digest, sink)
    }
}

/// Imports `bundle`: everything that the options select, or nothing that anybody could see.
///
/// The bundle need not have been through [`verify::check`]: its documents and the edges of its volumes are
/// checked first, and its contents while they flow, so that the media are read once. Blocks; for a registry it runs its own executor, so it must not be called
/// from one.
pub fn run(bundle: &VerifiedBundle, options: &Options, progress: &dyn Progress) -> Result<Receipt, Failures> {
    verify::check_documents(bundle)?;
    verify::check_edges(bundle)?;
    let origin = Origin {
        name: bundle.index().name.clone(),
        version: bundle.index().version.clone(),
        channel: bundle.index().channel.clone(),
        epoch: bundle.index().epoch,
        sequence: bundle.index().sequence,
        sums: bundle.sums_digest().clone(),
        signers: bundle.signers().to_vec(),
    };
    import(bundle, origin, options, progress)
}

fn import(
    source: &dyn Source,
    origin: Origin,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Receipt, Failures> {
    let plan = Plan::make(source, options)?;
    let source = &sign::WithMade { source, made: &plan.made };
    let files = options.files_to.as_deref().map(|folder| files::check(&plan, folder)).transpose()?;
    let mut receipt = Receipt {
        schema: 1,
        time: options.now.to_string(),
        dry_run: options.dry_run,
        bundle: origin,
        destination: options.destination.name(),
        names: options.names.clone(),
        platforms: options.platforms.iter().map(ToString::to_string).collect(),
        mapping: options.mapping.entries().to_vec(),
        sign_key: options.sign_key.as_ref().map(|key| key.public().key_id().to_owned()),
        artifacts: plan.entries.clone(),
        not_selected: plan.not_selected.clone(),
        files: files.unwrap_or_default(),
        counts: Counts::default(),
    };
    match &options.destination {
        Destination::Home(store) => home::import(source, &plan, store, options, progress, &mut receipt)?,
        Destination::Registry { client, host, .. } => {
            receipt.counts = push::import(source, &plan, client, host, options, progress)?;
        }
    }
    if let (Some(folder), false) = (&options.files_to, options.dry_run) {
        files::write(source, &plan, folder)?;
    }
    Ok(receipt)
}

/// What is there already and what is not.
#[derive(Debug, Default)]
struct Work<'a> {
    missing: Vec<&'a Descriptor>,
    counts: Counts,
}

impl<'a> Work<'a> {
    /// Counts what the plan needs, asking `present` for each content.
    fn of(plan: &'a Plan, mut present: impl FnMut(&Descriptor) -> Result<bool>) -> Result<Self> {
        let mut work = Self {
            missing: Vec::new(),
            counts: Counts {
                artifacts: plan.entries.len(),
                manifests: plan.manifests.len(),
                tags: plan.tags.len(),
                ..Counts::default()
            },
        };
        for blob in &plan.contents {
            if present(blob)? {
                work.counts.blobs_skipped += 1;
                work.counts.bytes_skipped += blob.size;
            } else {
                work.counts.blobs_written += 1;
                work.counts.bytes_written += blob.size;
                work.missing.push(blob);
            }
        }
        Ok(work)
    }
}

#[cfg(test)]
mod tests;
