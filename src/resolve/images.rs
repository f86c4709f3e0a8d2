//! One `[[images]]` entry: roots, platforms, referrers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::tags;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
    },
    cosign, layout,
    lock::{LockedImage, LockedReferrer},
    manifest::{ImageSource, Referrers, WantedImage},
    oci::{Descriptor, Document, Graph, ImageIndex, Platform, Reference, media_type, reference},
    source::Source,
};

/// Tags of one repository resolved at once.
const PARALLEL: usize = 8;
/// The tags that cosign keeps beside an image, by the end of their name (cosign "Registry details").
const COSIGN_TAGS: [&str; 3] = ["sig", "att", "sbom"];
/// Resolves an entry to one or more images.
pub(super) async fn resolve(source: &Source, wanted: &WantedImage) -> Result<Vec<LockedImage>> {
    match &wanted.source {
        ImageSource::Reference(at) => Ok(vec![remote(source, wanted, at).await?]),
        ImageSource::Tags { repository, filter } => {
            let tags = source.client.tags(repository).await?;
            let chosen = tags::select(&tags, filter)?;
            if chosen.is_empty() {
                let message = format!("none of its {} tags matches {filter}", tags.len());
                return Err(Failure::new(Reason::NoMatch, repository, message)
                    .hint("loosen the filter, or check the name"));
            }
            stream::iter(chosen)
                .map(|tag| async move { remote(source, wanted, &repository.with_tag(&tag)).await })
                .buffered(PARALLEL)
                .try_collect()
                .await
        }
        ImageSource::Local(local) => {
            let (local, store) = (local.clone(), source.store.clone());
            let brought = tokio::task::spawn_blocking(move || layout::bring(&local, &store)).await;
            let brought = brought.map_err(Failure::internal)??;
            let here = Some(brought.referrers);
            Ok(vec![describe(source, wanted, &brought.name, brought.root, here).await?])
        }
    }
}

async fn remote(source: &Source, wanted: &WantedImage, at: &Reference) -> Result<LockedImage> {
    let root = source.root(at).await?;
    describe(source, wanted, at, root, None).await
}

/// Brings the manifests below `root`, chooses platforms, finds referrers, adds up the bytes. Of an image of this
/// machine, its referrers are `here`.
async fn describe(
    source: &Source,
    wanted: &WantedImage,
    at: &Reference,
    root: Descriptor,
    here: Option<Vec<LockedReferrer>>,
) -> Result<LockedImage> {
    let is_remote = here.is_none();
    let platforms = &wanted.platforms;
    let keep = |child: &Descriptor, index: &ImageIndex| index.keeps(child, platforms);
    let absent = source.tree(at, &root, &keep).await?;
    let mut graph = Graph::default();
    graph.add(&root, &absent, &mut |at| source.store.read_blob(at))?;
    let carried = carried_platforms(source, at, &graph, is_remote).await?;
    if !platforms.is_empty() && !carried.is_empty() {
        for platform in platforms {
            if !carried.iter().any(|have| have.satisfies(platform)) {
                let have: Vec<String> = carried.iter().map(ToString::to_string).collect();
                let message =
                    format!("it has no {platform}; of the wanted platforms it has {}", have.join(", "));
                return Err(
                    Failure::new(Reason::NoMatch, at, message).hint("correct `platforms` for this image")
                );
            }
        }
    } else if !absent.is_empty() {
        let message = "it has none of the wanted platforms";
        return Err(Failure::new(Reason::NoMatch, at, message).hint("correct `platforms` for this image"));
    }
    let referrers = match here {
        Some(here) => {
            let here: Vec<_> = here.into_iter().filter(|one| carries(wanted, &root.digest, one)).collect();
            for one in &here {
                let at = Descriptor::new(&one.media_type, one.digest.clone(), one.size);
                graph.add(&at, &BTreeSet::new(), &mut |at| source.store.read_blob(at))?;
            }
            here
        }
        None if wanted.referrers == Referrers::None && wanted.verify.is_none() => Vec::new(),
        None => find_referrers(source, at, wanted, &root.digest, &mut graph).await?,
    };
    // Upstream's name stays, but a tag and a digest together say one thing twice.
    let name = if at.tag.is_some() { Reference { digest: None, ..at.clone() } } else { at.clone() };
    Ok(LockedImage {
        name: name.to_string(),
        wanted: wanted.wanted(),
        also: Vec::new(),
        root,
        total: graph.total(),
        platforms: carried.iter().map(ToString::to_string).collect(),
        absent: absent.into_iter().collect(),
        referrers,
    })
}

/// Platforms of the images in the graph: from the index that lists them, else from their config.
async fn carried_platforms(
    source: &Source,
    at: &Reference,
    graph: &Graph,
    is_remote: bool,
) -> Result<BTreeSet<Platform>> {
    let mut listed: BTreeMap<&Digest, Platform> = BTreeMap::new();
    for (_, document) in graph.manifests.values() {
        for child in document.descriptors() {
            if let Some(platform) = &child.platform {
                listed.insert(&child.digest, platform.clone());
            }
        }
    }
    let mut carried = BTreeSet::new();
    for (descriptor, document) in graph.manifests.values() {
        let Document::Image(image) = document else { continue };
        if let Some(platform) = listed.get(&descriptor.digest) {
            if !platform.is_unknown() {
                carried.insert(platform.clone());
            }
        } else if matches!(image.config.media_type.as_str(), media_type::CONFIG | media_type::DOCKER_CONFIG) {
            let config = if is_remote {
                source.small_blob(at, &image.config).await?
            } else {
                source.store.read_blob(&image.config)?
            };
            if let Ok(platform) = serde_json::from_slice::<Platform>(&config)
                && !platform.os.is_empty()
                && !platform.is_unknown()
            {
                carried.insert(platform);
            }
        }
    }
    Ok(carried)
}

/// Referrers of everything in the graph, of those referrers in turn, and so on; their trees join `graph`.
async fn find_referrers(
    source: &Source,
    at: &Reference,
    wanted: &WantedImage,
    root: &Digest,
    graph: &mut Graph,
) -> Result<Vec<LockedReferrer>> {
    let mut found = BTreeSet::new();
    let mut subjects: VecDeque<Digest> = graph.manifests.keys().cloned().collect();
    let mut asked: BTreeSet<Digest> = subjects.iter().cloned().collect();
    while !subjects.is_empty() {
        let batch: Vec<Digest> = subjects.drain(..).collect();
        let lists: Vec<Vec<LockedReferrer>> = stream::iter(batch)
            .map(|subject| async move { referrers_of(source, at, &subject).await })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        for referrer in lists.into_iter().flatten() {
            if !carries(wanted, root, &referrer) {
                continue;
            }
            let root = Descriptor::new(&referrer.media_type, referrer.digest.clone(), referrer.size);
            source.tree(at, &root, &|_, _| true).await?;
            graph.add(&root, &BTreeSet::new(), &mut |at| source.store.read_blob(at))?;
            if asked.insert(referrer.digest.clone()) {
                subjects.push_back(referrer.digest.clone());
            }
            found.insert(referrer);
            if found.len() > limits::GRAPH_MANIFESTS {
                return Err(Failure::new(Reason::OciLimit, at, "it has more than 10000 referrers"));
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Whether a referrer is carried. An image that must be signed takes its signatures along whatever else is
/// wanted, so that the other side can check them again.
fn carries(wanted: &WantedImage, root: &Digest, referrer: &LockedReferrer) -> bool {
    let kind = referrer.artifact_type.as_deref();
    let type_fits = match &wanted.referrers {
        Referrers::All => true,
        Referrers::None => false,
        Referrers::Types(types) => kind.is_some_and(|found| types.iter().any(|one| one == found)),
    };
    let signs = referrer.subject == *root && cosign::may_sign(root, kind, referrer.tag.as_deref());
    type_fits || (signs && wanted.verify.is_some())
}

/// What upstream lists about one manifest: the referrers API or its fallback tag, and cosign's tags.
async fn referrers_of(source: &Source, at: &Reference, subject: &Digest) -> Result<Vec<LockedReferrer>> {
    let listed = source.client.referrers(&at.with_digest(subject)).await?;
    let mut referrers: Vec<LockedReferrer> = Vec::new();
    for descriptor in listed {
        // The list is a hint; what the manifest itself says counts.
        let plain = Descriptor::new(&descriptor.media_type, descriptor.digest.clone(), descriptor.size);
        let document = Document::parse(&source.manifest(at, &plain).await?, &plain.media_type)?;
        if document.subject().map(|about| &about.digest) != Some(subject) {
            let message =
                format!("upstream lists it as a referrer of {subject}, but it does not say so itself");
            return Err(Failure::new(Reason::UpstreamMalformed, &plain.digest, message)
                .hint("set `referrers = \"none\"` for this image, or ask its maintainers"));
        }
        referrers.push(locked(subject, &plain, &document, None));
    }
    for end in COSIGN_TAGS {
        let tag = format!("{}.{end}", reference::referrers_tag(subject));
        let Some(fetched) = source.client.manifest(&at.with_tag(&tag)).await? else { continue };
        source.store.put(&fetched.descriptor, &fetched.bytes)?;
        referrers.push(locked(subject, &fetched.descriptor, &fetched.document, Some(tag)));
    }
    Ok(referrers)
}

fn locked(subject: &Digest, root: &Descriptor, document: &Document, tag: Option<String>) -> LockedReferrer {
    LockedReferrer {
        subject: subject.clone(),
        digest: root.digest.clone(),
        media_type: root.media_type.clone(),
        size: root.size,
        artifact_type: document.artifact_type().map(str::to_owned),
        tag,
    }
}
