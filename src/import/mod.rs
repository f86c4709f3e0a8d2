//! From a verified bundle into a home store or a registry, in one pass.
//!
//! 1. the site judges the bundle: whether it may come after what came before ([`crate::site`]);
//! 2. `filter.rs` selects artifacts by name and children by platform, and `plan.rs` works out every manifest, tag
//!    and content and where it goes (`mapping.rs`), and checks the closure of everything: nothing is written for a
//!    bundle that cannot be imported whole; `sign.rs` adds the site's signatures of images;
//! 3. `home.rs` streams what is missing from the media into the store; or `push.rs` sends it to a registry,
//!    children before parents and no tag yet; `files.rs` writes carried files out, if asked, under names of its own;
//! 4. one transaction makes it true: judged again, published, the channel moved, ledger and receipt written;
//! 5. then tags move in the registry, and the files get their names. Killed here, the same import finishes it.
//!
//! Killed anywhere, the destination is what it was or what it was asked to become, and running again
//! finishes: contents that are there are skipped, and what is visible changes last. What is refused leaves nothing
//! but a record and a signed receipt of the refusal.

mod files;
mod filter;
mod home;
mod mapping;
mod plan;
mod push;
mod sign;

use std::path::{Path, PathBuf};

pub use mapping::Mapping;

use self::{files::Staged, plan::Plan};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        fs,
        progress::Progress,
    },
    bundle::BundleIndex,
    oci::{Descriptor, Platform, reference},
    remote::Client,
    report::import::{Counts, ImportReport, Origin},
    site::{self, Admission, Admitted, Arrival, Refused, Site, Verdict},
    store::{Publication, SignedReceipt},
    trust::{Authority, Chain, PublicKey, Signer},
    verify::{self, VerifiedBundle},
};

/// Where a bundle is imported to.
#[derive(Debug)]
pub enum Destination {
    /// The store of this site.
    Home,
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
            Self::Home => "",
            Self::Registry { prefix, .. } => prefix,
        }
    }

    /// As the report names it.
    fn name(&self) -> String {
        match self {
            Self::Home => "home".to_owned(),
            Self::Registry { host, prefix, .. } if prefix.is_empty() => host.clone(),
            Self::Registry { host, prefix, .. } => format!("{host}/{prefix}"),
        }
    }
}

/// What to import, and how.
#[derive(Debug)]
pub struct Options {
    /// Who imports: what it believes and remembers decides, and it keeps what happened.
    pub site: Site,
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

/// An import that is done, or would be.
#[derive(Debug)]
pub struct Done {
    /// What is reported.
    pub report: ImportReport,
    /// What the site decided.
    pub verdict: Verdict,
    /// The signed receipt; none of a dry run.
    pub receipt: Option<SignedReceipt>,
}

/// A refusal, and the signed receipt of it where one could be made. Or a bundle that was admitted, but whose tags
/// could not be moved in the registry, or whose files could not be given their names: then the receipt is that of the
/// import.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub failures: Failures,
    /// The signed receipt.
    pub receipt: Option<SignedReceipt>,
}

impl From<Failures> for Refusal {
    fn from(failures: Failures) -> Self {
        Self { failures, receipt: None }
    }
}

/// Opens the bundle in `dir` and imports it. The site's pinned trust document decides who must have signed it; only
/// where there is none, single `keys` do.
///
/// # Errors
/// Those of [`verify::open`] and [`run`]; [`Reason::TrustPinned`] for keys where a document is pinned.
pub fn from_media(
    dir: &Path,
    keys: &[PublicKey],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Done, Refusal> {
    let authority = match options.site.chain().map_err(Failures::from)? {
        Some(_) if !keys.is_empty() => return Err(Failures::from(site::judge::only_the_chain()).into()),
        Some(chain) => Authority::Chain(chain),
        None => Authority::Keys(keys.to_vec()),
    };
    match verify::open(dir, &authority) {
        Ok(bundle) => run(&bundle, options, progress),
        // Nobody to believe: that is not the bundle's fault.
        Err(failures) if failures.list().iter().any(|failure| failure.reason == Reason::NoKey) => {
            Err(failures.into())
        }
        Err(failures) => Err(refused(options, verify::identity(dir).ok().as_ref(), None, failures)),
    }
}

/// Imports `bundle`: everything that the options select, or nothing that anybody could see.
///
/// The bundle need not have been through [`verify::check`]: its documents and the edges of its volumes are
/// checked first, and its contents while they flow, so that the media are read once. Blocks; for a registry it runs its own executor, so it must not be called
/// from one.
///
/// # Errors
/// Those of [`Site::judge`], [`verify::check`], and of the destination.
pub fn run(bundle: &VerifiedBundle, options: &Options, progress: &dyn Progress) -> Result<Done, Refusal> {
    let arrival = Arrival {
        header: bundle.header(),
        sums: bundle.sums_digest(),
        signers: bundle.signers(),
        chain: bundle.chain(),
    };
    let checked = || {
        let verdict = options.site.judge(&arrival)?;
        verify::check_documents(bundle)?;
        verify::check_edges(bundle)?;
        import(bundle, &arrival, verdict, options, progress)
    };
    checked().map_err(|stop| match stop {
        Stop::Refused(failures) => refused(options, Some(arrival.sums), Some(arrival), failures),
        Stop::Unfinished(unfinished) => *unfinished,
    })
}

/// Why an import did not come to its end.
enum Stop {
    /// Before it counted.
    Refused(Failures),
    /// After it: what is left to do is said, and done by the same import again.
    Unfinished(Box<Refusal>),
}

impl<F: Into<Failures>> From<F> for Stop {
    fn from(failures: F) -> Self {
        Self::Refused(failures.into())
    }
}

/// Keeps a refusal. Where that fails, both are told.
fn refused(
    options: &Options,
    sums: Option<&Digest>,
    arrival: Option<Arrival<'_>>,
    failures: Failures,
) -> Refusal {
    if options.dry_run {
        return failures.into();
    }
    match options.site.refuse(&Refused { action: "import", sums, arrival, failures: &failures }) {
        Ok(receipt) => Refusal { failures, receipt },
        Err(failure) => failures.and(failure).into(),
    }
}

fn import(
    source: &dyn Source,
    arrival: &Arrival<'_>,
    verdict: Verdict,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Done, Stop> {
    let plan = Plan::make(source, options)?;
    // What is found in the store now must be there when it is published.
    let _held = options.site.store().hold()?;
    let source = &sign::WithMade { source, made: &plan.made };
    let files = options.files_to.as_deref().map(|folder| files::check(&plan, folder)).transpose()?;
    // Where no image is selected, the key signed nothing.
    let signed_by = options.sign_key.as_ref().filter(|_key| !plan.made.is_empty());
    let mut report = ImportReport {
        schema: 1,
        time: options.site.now().to_string(),
        dry_run: options.dry_run,
        site: verdict.site.clone(),
        trust_version: arrival.chain.map(Chain::version),
        again: verdict.judgement.again,
        warnings: verdict.judgement.warnings.clone(),
        in_doubt: Vec::new(),
        bundle: origin(arrival),
        destination: options.destination.name(),
        names: options.names.clone(),
        platforms: options.platforms.iter().map(ToString::to_string).collect(),
        mapping: options.mapping.entries().to_vec(),
        sign_key: signed_by.map(|key| key.public().key_id().to_owned()),
        artifacts: plan.entries.clone(),
        not_selected: plan.not_selected.clone(),
        files: files.unwrap_or_default(),
        counts: Counts::default(),
    };
    let push = match &options.destination {
        Destination::Home => None,
        Destination::Registry { client, host, .. } => {
            Some(push::Push::new(source, &plan, (client, host), options, progress)?)
        }
    };
    let unattached;
    (report.counts, unattached) = match &push {
        None => (home::import(source, &plan, options, progress)?, Vec::new()),
        Some(push) => push.bring()?,
    };
    if options.dry_run {
        return Ok(Done { report, verdict, receipt: None });
    }
    let files = options.files_to.as_deref();
    let files = files.map(|folder| files::stage(source, &plan, folder, progress)).transpose()?;
    let publication = Publication { manifests: plan.manifests.clone(), tags: plan.tags.clone() };
    let publication = push.is_none().then_some(&publication);
    // From the judgement to the last tag no other import may come between: an older one could end later.
    let waiting = || progress.note("waiting for another import into a registry to end");
    let _turn = push.as_ref().map(|_push| options.site.store().registry_turn(waiting)).transpose()?;
    let rest = if push.is_some() || files.is_some() { Some(rest(options)?) } else { None };
    let rest = rest.as_deref();
    let Admitted { report, receipt, verdict } =
        options.site.admit(&Admission { arrival: *arrival, publication, rest, report })?;
    let finish = || -> Result<(), Failures> {
        push.map_or(Ok(()), |push| push.tag(&unattached))?;
        files.map_or(Ok(()), Staged::publish)?;
        Ok(rest.map_or(Ok(()), |rest| options.site.finished(arrival, rest))?)
    };
    match finish() {
        Ok(()) => Ok(Done { report, verdict, receipt: Some(receipt) }),
        Err(failures) => Err(Stop::Unfinished(Box::new(Refusal {
            failures: failures.map(after_the_fact),
            receipt: Some(receipt),
        }))),
    }
}

/// What is brought after a bundle is admitted, as the options that ask for it: the same again is the same work.
fn rest(options: &Options) -> Result<String> {
    let mut words = Vec::new();
    if let Destination::Registry { .. } = options.destination {
        words.push(format!("--to {}", options.destination.name()));
    }
    if let Some(folder) = &options.files_to {
        let real = folder.canonicalize().map_err(|error| fs::failure(folder, "find", &error))?;
        words.push(format!("--files-to {}", real.display()));
    }
    words.extend(options.names.iter().map(|name| format!("--name {name}")));
    words.extend(options.platforms.iter().map(|platform| format!("--platform {platform}")));
    let renamed = options.mapping.entries().iter();
    words.extend(renamed.map(|entry| format!("--map {}={}", entry.from, entry.to)));
    Ok(words.join(" "))
}

/// Tells that the site has the bundle all the same.
fn after_the_fact(failure: Failure) -> Failure {
    let message =
        format!("{}; the bundle is admitted, but not all of it is where it was to go", failure.message);
    let next = "run the same command again: it goes on from here";
    let hint = failure.hint.as_ref().map_or_else(|| next.to_owned(), |hint| format!("{hint}; then {next}"));
    Failure { message, ..failure }.hint(hint)
}

fn origin(arrival: &Arrival<'_>) -> Origin {
    let header = arrival.header;
    Origin {
        name: header.name.clone(),
        version: header.version.clone(),
        channel: header.channel.clone(),
        epoch: header.epoch,
        sequence: header.sequence,
        sums: arrival.sums.clone(),
        signers: arrival.signers.to_vec(),
    }
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
