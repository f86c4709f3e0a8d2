//! Into any OCI registry: contents, then manifests from the leaves to the roots; and once the import counts, tags,
//! those of signatures first.
//!
//! What is there stays: a manifest that the registry has is not pushed again, and its contents are not asked
//! for. A content that another repository of the registry has is mounted. So a run that was cut goes on
//! where it ended, and nobody sees a tag before everything below it is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread::Scope,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::mpsc;

use super::{Options, Source, plan::Plan};
use crate::{
    base::{
        digest::Digest,
        failure::{Class, Failure, Failures, Reason, Result},
        progress::Progress,
    },
    cosign,
    oci::{Descriptor, Reference, media_type},
    remote::Client,
    report::import::Counts,
    store::{PublishedManifest, PublishedTag},
};

/// Pieces between the media and the network; with [`PIECE`], the memory of one upload.
const PIECES: usize = 8;
/// Bytes of one piece.
const PIECE: usize = 256 << 10;
/// How often a content is sent when the connection breaks; the client itself cannot send it again.
const TRIES: u32 = 3;

/// A plan on its way to a registry. Everything here is shared by its tasks.
pub(super) struct Push<'a> {
    runtime: tokio::runtime::Runtime,
    source: &'a dyn Source,
    plan: &'a Plan,
    client: &'a Client,
    host: &'a str,
    options: &'a Options,
    progress: &'a dyn Progress,
}

/// What the registry does not have yet.
struct Missing<'a> {
    manifests: Vec<&'a PublishedManifest>,
    /// Contents in the order of the media, each with the repositories that need it.
    blobs: Vec<(&'a Descriptor, Vec<&'a str>)>,
    /// A repository that has the content, by what its manifests tell.
    homes: BTreeMap<&'a Digest, &'a str>,
}

/// Where one content is still to be brought.
struct Gap<'a> {
    blob: &'a Descriptor,
    repositories: Vec<&'a str>,
    home: Option<&'a str>,
}

impl<'a> Push<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        plan: &'a Plan,
        (client, host): (&'a Client, &'a str),
        options: &'a Options,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Failure::internal(format!("no executor: {error}")))?;
        Ok(Self { runtime, source, plan, client, host, options, progress })
    }

    /// Brings contents and manifests. Returns the referrers that the registry does not list by itself.
    pub(super) fn bring(&self) -> Result<(Counts, Vec<&'a PublishedManifest>), Failures> {
        std::thread::scope(|scope| self.runtime.block_on(self.bring_all(scope)))
    }

    /// Makes all of it visible by name: the referrers that are not listed, signatures, and the rest.
    pub(super) fn tag(&self, unattached: &[&'a PublishedManifest]) -> Result<(), Failures> {
        self.runtime.block_on(async {
            self.all(unattached, |manifest| self.attach(manifest)).await?;
            let heights = heights(self.plan);
            let height = |tag: &PublishedTag| heights.get(&(tag.repository.as_str(), &tag.digest)).copied();
            // Asked now: another import may have moved them while the contents came.
            let asked = self.all(&self.plan.tags, async |tag| Ok((tag, self.has_tag(tag).await?))).await?;
            let moved = asked.into_iter().filter(|(_, present)| !present).map(|(tag, _)| tag);
            // Who sees an image must see its signatures too.
            let (signatures, others): (Vec<_>, Vec<_>) = moved.partition(|tag| cosign::is_tag(&tag.tag));
            for tags in [signatures, others] {
                // A tag writes its manifest again. On a disk, CNCF distribution loses sight of it meanwhile and refuses
                // the tag of an index above it, so these too go from the leaves to the roots.
                for level in levels(&tags, height) {
                    self.all(&level, |tag| self.tag_one(tag)).await?;
                }
            }
            Ok(())
        })
    }

    async fn bring_all<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<(Counts, Vec<&'a PublishedManifest>), Failures>
    where
        'a: 'scope,
    {
        let missing = self.missing().await?;
        let gaps =
            self.all(&missing.blobs, |(blob, repositories)| self.gap(blob, repositories, &missing)).await?;
        let manifests: BTreeSet<&Digest> = missing.manifests.iter().map(|one| &one.root.digest).collect();
        let blobs: BTreeSet<&Digest> = gaps
            .iter()
            .filter(|gap| gap.home.is_none() && !gap.repositories.is_empty())
            .map(|gap| &gap.blob.digest)
            .collect();
        let mut counts = Counts {
            artifacts: self.plan.entries.len(),
            manifests: self.plan.manifests.len(),
            tags: self.plan.tags.len(),
            ..Counts::default()
        };
        for content in &self.plan.contents {
            if manifests.contains(&content.digest) || blobs.contains(&content.digest) {
                counts.blobs_written += 1;
                counts.bytes_written += content.size;
            } else {
                counts.blobs_skipped += 1;
                counts.bytes_skipped += content.size;
            }
        }
        if self.options.dry_run {
            return Ok((counts, Vec::new()));
        }
        self.progress.start("pushing", counts.bytes_written);
        let unattached = self.bring_missing(scope, &missing, &gaps).await;
        self.progress.finish();
        Ok((counts, unattached?))
    }

    /// Returns the referrers that the registry does not list by itself.
    async fn bring_missing<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        missing: &Missing<'a>,
        gaps: &[Gap<'a>],
    ) -> Result<Vec<&'a PublishedManifest>, Failures>
    where
        'a: 'scope,
    {
        self.all(gaps, |gap| self.close(scope, gap)).await?;
        let unattached = Mutex::new(Vec::new());
        let heights = heights(self.plan);
        let height =
            |one: &PublishedManifest| heights.get(&(one.repository.as_str(), &one.root.digest)).copied();
        for level in levels(&missing.manifests, height) {
            self.all(&level, |manifest| self.manifest(manifest, &unattached)).await?;
        }
        Ok(unattached.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Runs `work` over `items`, so many at once as the options allow. Every failure is kept; a broken
    /// connection or refused credentials end the run, for they will fail everything else too.
    async fn all<'i, I, T, F>(&self, items: &'i [I], work: impl Fn(&'i I) -> F) -> Result<Vec<T>, Failures>
    where
        F: Future<Output = Result<T>>,
    {
        let mut results = stream::iter(items).map(work).buffer_unordered(self.options.workers.max(1));
        let (mut done, mut failures) = (Vec::with_capacity(items.len()), Vec::new());
        while let Some(result) = results.next().await {
            match result {
                Ok(one) => done.push(one),
                Err(failure) => {
                    let hopeless = concerns_all(failure.reason);
                    failures.push(failure);
                    if hopeless {
                        break;
                    }
                }
            }
        }
        failures.sort_by(|a, b| a.object.cmp(&b.object));
        Failures::check(failures).map(|()| done)
    }

    fn at(&self, repository: &str) -> Reference {
        let (registry, repository) = (self.host.to_owned(), repository.to_owned());
        Reference { registry, repository, tag: None, digest: None }
    }

    /// Asks the registry for every manifest of the plan.
    async fn missing(&self) -> Result<Missing<'a>, Failures> {
        let plan = self.plan;
        let asked = self
            .all(&plan.manifests, async |manifest| Ok((manifest, self.has_manifest(manifest).await?)))
            .await?;
        let present: BTreeSet<(&str, &Digest)> = asked
            .iter()
            .filter(|(_, present)| *present)
            .map(|(manifest, _)| (manifest.repository.as_str(), &manifest.root.digest))
            .collect();
        let mut missing = Missing { manifests: Vec::new(), blobs: Vec::new(), homes: BTreeMap::new() };
        let mut wanted: BTreeMap<&Digest, BTreeSet<&str>> = BTreeMap::new();
        for manifest in &plan.manifests {
            let repository = manifest.repository.as_str();
            let is_present = present.contains(&(repository, &manifest.root.digest));
            if !is_present {
                missing.manifests.push(manifest);
            }
            for blob in &manifest.blobs {
                if is_present {
                    missing.homes.insert(&blob.digest, repository);
                } else {
                    wanted.entry(&blob.digest).or_default().insert(repository);
                }
            }
        }
        for blob in &plan.contents {
            if let Some(repositories) = wanted.remove(&blob.digest) {
                missing.blobs.push((blob, repositories.into_iter().collect()));
            }
        }
        Ok(missing)
    }

    /// Whether the manifest is there; for a referrer also whether it is listed under its subject: a run may
    /// have been cut between the two.
    async fn has_manifest(&self, manifest: &PublishedManifest) -> Result<bool> {
        let at = self.at(&manifest.repository);
        let found = self.client.manifest_head(&at.with_digest(&manifest.root.digest)).await?;
        let present = found.is_some_and(|found| found.digest == manifest.root.digest);
        match &manifest.subject {
            Some(subject) if present => {
                let listed = self.client.referrers(&at.with_digest(subject)).await?;
                Ok(listed.iter().any(|one| one.digest == manifest.root.digest))
            }
            _ => Ok(present),
        }
    }

    async fn has_tag(&self, tag: &PublishedTag) -> Result<bool> {
        let found = self.client.manifest_head(&self.at(&tag.repository).with_tag(&tag.tag)).await?;
        Ok(found.is_some_and(|found| found.digest == tag.digest))
    }

    /// Asks in which repositories a content is missing, and where it could be mounted from.
    async fn gap(
        &self,
        blob: &'a Descriptor,
        repositories: &[&'a str],
        missing: &Missing<'a>,
    ) -> Result<Gap<'a>> {
        let mut gap = Gap { blob, repositories: Vec::new(), home: missing.homes.get(&blob.digest).copied() };
        for &repository in repositories {
            if self.client.blob_exists(&self.at(repository), blob).await? {
                gap.home = Some(repository);
            } else {
                gap.repositories.push(repository);
            }
        }
        Ok(gap)
    }

    /// Brings one content to every repository that needs it: once from the media, then by mounting.
    async fn close<'scope>(&self, scope: &'scope Scope<'scope, '_>, gap: &Gap<'a>) -> Result<()>
    where
        'a: 'scope,
    {
        let mut home = gap.home;
        for &repository in &gap.repositories {
            let at = self.at(repository);
            let mounted = match home {
                Some(from) => self.client.mount(&at, gap.blob, from).await?,
                None => false,
            };
            if !mounted {
                self.send(scope, &at, gap.blob).await?;
            }
            home.get_or_insert(repository);
        }
        Ok(())
    }

    async fn send<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        at: &Reference,
        blob: &Descriptor,
    ) -> Result<()>
    where
        'a: 'scope,
    {
        let mut tried = 1;
        loop {
            match self.client.push_blob(at, blob, self.feed(scope, blob)).await {
                Err(failure) if tried < TRIES && may_pass(failure.reason) => {
                    self.progress.note(&format!("{failure}; sending it again"));
                    tokio::time::sleep(Duration::from_millis(500) * tried).await;
                    tried += 1;
                }
                result => return result,
            }
        }
    }

    /// The bytes of a content, read from the media on a thread of their own.
    fn feed<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        blob: &Descriptor,
    ) -> mpsc::Receiver<Result<Bytes>>
    where
        'a: 'scope,
    {
        let (sender, receiver) = mpsc::channel(PIECES);
        let (source, progress, digest) = (self.source, self.progress, blob.digest.clone());
        scope.spawn(move || {
            let fed = source.stream_blob(&digest, &mut |bytes| {
                for piece in bytes.chunks(PIECE) {
                    let sent = sender.blocking_send(Ok(Bytes::copy_from_slice(piece)));
                    sent.map_err(|_closed| Failure::internal("nobody takes the bytes any more"))?;
                    progress.advance(piece.len() as u64);
                }
                Ok(())
            });
            if let Err(failure) = fed {
                let _nobody_may_listen = sender.blocking_send(Err(failure));
            }
        });
        receiver
    }

    /// A small content, whole and checked. Other tasks go on meanwhile.
    fn read(&self, blob: &Descriptor) -> Result<Bytes> {
        let bytes = tokio::task::block_in_place(|| self.source.read_blob(&blob.digest))?;
        blob.check(&bytes)?;
        self.progress.advance(bytes.len() as u64);
        Ok(bytes.into())
    }

    async fn manifest(
        &self,
        manifest: &'a PublishedManifest,
        unattached: &Mutex<Vec<&'a PublishedManifest>>,
    ) -> Result<()> {
        let at = self.at(&manifest.repository).with_digest(&manifest.root.digest);
        let bytes = self.read(&manifest.root)?;
        let pushed = self
            .client
            .push_manifest(&at, &manifest.root.media_type, bytes)
            .await
            .map_err(|failure| self.explained(failure, manifest))?;
        if manifest.subject.is_some() && !pushed.subject_accepted {
            unattached.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(manifest);
        }
        Ok(())
    }

    /// Some registries take an index only with all its children.
    fn explained(&self, failure: Failure, manifest: &PublishedManifest) -> Failure {
        let narrowed = media_type::is_index(&manifest.root.media_type)
            && self.plan.entries.iter().any(|entry| !entry.absent.is_empty());
        if failure.reason == Reason::PushRefused && narrowed {
            return failure.hint(
                "it may refuse an index whose other platforms are absent: import all platforms, or allow \
                 such indexes there (distribution: validation.manifests.indexes.platforms)",
            );
        }
        failure
    }

    /// Lists a referrer at the fallback tag of its subject, for a registry that does not do it itself.
    async fn attach(&self, manifest: &PublishedManifest) -> Result<()> {
        let Some(subject) = &manifest.subject else { return Ok(()) };
        let mut referrer = manifest.root.clone();
        referrer.artifact_type.clone_from(&manifest.artifact_type);
        referrer.annotations.clone_from(&manifest.annotations);
        self.client.attach_referrer(&self.at(&manifest.repository).with_digest(subject), &referrer).await
    }

    async fn tag_one(&self, tag: &PublishedTag) -> Result<()> {
        let root = self.plan.contents.iter().find(|content| content.digest == tag.digest);
        let root = root.ok_or_else(|| Failure::internal(format!("tag {} of nothing", tag.tag)))?;
        let bytes = self.read(root)?;
        let at = self.at(&tag.repository).with_tag(&tag.tag);
        self.client.push_manifest(&at, &root.media_type, bytes).await.map(|_pushed| ())
    }
}

/// Whether a failure will meet every other request too.
fn concerns_all(reason: Reason) -> bool {
    reason.class() == Class::Environment
        || matches!(
            reason,
            Reason::Network
                | Reason::TlsFailure
                | Reason::AuthFailed
                | Reason::AuthRealm
                | Reason::CredentialHelper
                | Reason::RateLimited
                | Reason::UpstreamTimeout
        )
}

/// Whether the same upload may succeed a moment later.
fn may_pass(reason: Reason) -> bool {
    matches!(reason, Reason::Network | Reason::UpstreamTimeout | Reason::HttpStatus | Reason::RateLimited)
}

/// How many manifests stand below each, by repository and digest. A referrer stands above its subject.
fn heights(plan: &Plan) -> BTreeMap<(&str, &Digest), usize> {
    let mut heights: BTreeMap<(&str, &Digest), usize> = BTreeMap::new();
    for manifest in &plan.manifests {
        let below = manifest.children.iter().chain(&manifest.subject);
        let below = below.filter_map(|digest| heights.get(&(manifest.repository.as_str(), digest)));
        let height = below.max().map_or(0, |height| height + 1);
        heights.insert((&manifest.repository, &manifest.root.digest), height);
    }
    heights
}

/// The items in groups: each needs only those of earlier groups.
fn levels<'a, T>(items: &[&'a T], height: impl Fn(&T) -> Option<usize>) -> Vec<Vec<&'a T>> {
    let mut levels: BTreeMap<usize, Vec<&T>> = BTreeMap::new();
    for &item in items {
        levels.entry(height(item).unwrap_or_default()).or_default().push(item);
    }
    levels.into_values().collect()
}
