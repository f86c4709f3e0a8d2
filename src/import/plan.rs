//! What an import will do, worked out before the first byte is written.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Destination, Options, Source,
    filter::{self, Narrowed},
    mapping::Target,
    sign::Unsigned,
};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        text,
    },
    bundle::{Artifact, ArtifactKind, BundleIndex},
    cosign::Signatures,
    oci::{
        Descriptor, ImageManifest, Platform,
        artifact::{CarriedFile, carried_file},
        graph::Graph,
        media_type, reference,
    },
    report::import::Entry,
    store::{PublishedManifest, PublishedTag},
};

/// The whole plan.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// For the report.
    pub(super) entries: Vec<Entry>,
    /// Names of artifacts that the filters left out.
    pub(super) not_selected: Vec<String>,
    /// Every manifest in every repository it goes to, children before their parents.
    pub(super) manifests: Vec<PublishedManifest>,
    /// Every tag.
    pub(super) tags: Vec<PublishedTag>,
    /// Every distinct content, manifests included, in the order of the media.
    pub(super) contents: Vec<Descriptor>,
    /// The files that artifacts of kind file carry.
    pub(super) files: Vec<CarriedFile>,
    /// Contents that are not on the media: the site's signatures.
    pub(super) made: BTreeMap<Digest, Vec<u8>>,
}

impl Plan {
    /// Plans the import of what `options` select from `source`.
    pub(super) fn make(source: &dyn Source, options: &Options) -> Result<Self> {
        let index = source.index();
        let (chosen, not_selected) = filter::by_name(&index.artifacts, &options.names)?;
        let mut planner = Planner {
            source,
            options,
            prefix: options.destination.prefix(),
            carried: index.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect(),
            plan: Self { not_selected, ..Self::default() },
            places: BTreeSet::new(),
            tagged: BTreeMap::new(),
            contents: BTreeMap::new(),
            platforms_met: BTreeSet::new(),
            signatures: options.sign_key.as_deref().map(Signatures::new).transpose()?,
            unsigned: BTreeMap::new(),
            upstream_signatures: BTreeMap::new(),
        };
        for artifact in chosen {
            planner.add(artifact).map_err(|failure| named(failure, artifact))?;
        }
        planner.finish(index)
    }
}

/// Says which artifact is concerned, where the failure only knows a digest.
fn named(mut failure: Failure, artifact: &Artifact) -> Failure {
    if failure.object != artifact.name {
        failure.message = format!("{} (in {})", failure.message, text::escaped(&artifact.name, 300));
    }
    failure
}

pub(super) struct Planner<'a> {
    source: &'a dyn Source,
    pub(super) options: &'a Options,
    prefix: &'a str,
    carried: BTreeMap<&'a Digest, u64>,
    pub(super) plan: Plan,
    /// Repository and digest of the manifests planned.
    places: BTreeSet<(String, Digest)>,
    /// Digest and owner of each repository and tag planned.
    tagged: BTreeMap<(String, String), (Digest, String)>,
    pub(super) contents: BTreeMap<Digest, Descriptor>,
    platforms_met: BTreeSet<Platform>,
    /// The site's key, where images are signed with it.
    pub(super) signatures: Option<Signatures<'a>>,
    /// What is to be signed, by repository and digest.
    pub(super) unsigned: BTreeMap<(String, Digest), Unsigned>,
    /// The manifests under tags of signatures that come with the images, by digest.
    pub(super) upstream_signatures: BTreeMap<Digest, ImageManifest>,
}

impl Planner<'_> {
    fn add(&mut self, artifact: &Artifact) -> Result<()> {
        let mut read = |at: &Descriptor| {
            let bytes = self.source.read_blob(&at.digest)?;
            at.check(&bytes).map(|()| bytes)
        };
        let mut absent: BTreeSet<Digest> = artifact.absent.iter().cloned().collect();
        let wanted = &self.options.platforms;
        if !wanted.is_empty() {
            match filter::by_platform(artifact, wanted, &mut self.platforms_met, &mut read)? {
                Narrowed::Unwanted => {
                    self.plan.not_selected.push(artifact.name.clone());
                    return Ok(());
                }
                Narrowed::Without(children) => absent.extend(children),
            }
        }
        let mut graph = Graph::default();
        graph.add(&artifact.root, &absent, &mut read)?;
        let own = graph.order.clone();
        let (referrers, dropped) = travelling(artifact, &mut graph, &absent, &mut read)?;

        let target = Target::of(artifact, self.prefix, &self.options.mapping)?;
        self.keep_out_of_the_sandbox(&target, artifact)?;
        if let Some(tag) = &target.tag {
            self.tag(&target.repository, tag, &artifact.root.digest, artifact)?;
        }
        for referrer in artifact.referrers.iter().filter(|one| referrers.contains(&one.root.digest)) {
            if let Some(tag) = &referrer.tag {
                self.tag(&target.repository, tag, &referrer.root.digest, artifact)?;
            }
        }
        if let Some((_, document)) =
            graph.manifests.get(&artifact.root.digest).filter(|_root| artifact.kind == ArtifactKind::File)
        {
            self.plan.files.push(carried_file(document)?);
        }
        let shown = target.tag.as_ref().map_or_else(
            || format!("{}@{}", target.repository, artifact.root.digest),
            |_tag| target.to_string(),
        );
        let left_out = graph.manifests.values().flat_map(|(_, document)| document.descriptors());
        let left_out: BTreeSet<Digest> = left_out
            .filter(|child| absent.contains(&child.digest))
            .map(|child| child.digest.clone())
            .collect();
        self.plan.entries.push(Entry {
            kind: artifact.kind.name().to_owned(),
            name: artifact.name.clone(),
            target: shown,
            digest: artifact.root.digest.clone(),
            platforms: self.platforms_of(artifact),
            absent: left_out.into_iter().collect(),
            referrers: referrers.into_iter().collect(),
            dropped_referrers: dropped,
            signatures: Vec::new(),
        });
        if self.signatures.is_some() && artifact.kind == ArtifactKind::Image {
            self.note_unsigned(artifact, &target.repository, &own, &graph)?;
        }
        self.place(graph, &target.repository, &absent)
    }

    /// Whoever reaches a registry with a sandbox replaces what stands there, so nothing verified may.
    fn keep_out_of_the_sandbox(&self, target: &Target, artifact: &Artifact) -> Result<()> {
        let home = matches!(self.options.destination, Destination::Home);
        if !home || !format!("{}/", target.repository).starts_with(reference::SANDBOX) {
            return Ok(());
        }
        let found = format!("it would stand in {}, below {}", target.repository, reference::SANDBOX);
        Err(Failure::new(Reason::BadArgument, &artifact.name, format!("{found}, where everybody may push"))
            .hint("map it to another name: --map FROM=TO"))
    }

    /// The artifact's platforms that are imported.
    fn platforms_of(&self, artifact: &Artifact) -> Vec<String> {
        let wanted = &self.options.platforms;
        let kept = |text: &&String| {
            wanted.is_empty()
                || Platform::parse(text).is_some_and(|one| wanted.iter().any(|want| one.satisfies(want)))
        };
        artifact.platforms.iter().filter(kept).cloned().collect()
    }

    fn tag(&mut self, repository: &str, tag: &str, digest: &Digest, artifact: &Artifact) -> Result<()> {
        if !reference::is_tag(tag) {
            let message = format!("`{}` is no tag", text::escaped(tag, 200));
            return Err(Failure::new(Reason::NameMalformed, &artifact.name, message));
        }
        let key = (repository.to_owned(), tag.to_owned());
        if let Some((known, owner)) = self.tagged.get(&key) {
            if known == digest {
                return Ok(());
            }
            let message = format!("it and {owner} would both become {repository}:{tag}");
            return Err(Failure::new(Reason::BadArgument, &artifact.name, message)
                .hint("give them different names in the mapping, or select one of them by name"));
        }
        self.tagged.insert(key, (digest.clone(), artifact.name.clone()));
        let (repository, tag) = (repository.to_owned(), tag.to_owned());
        self.plan.tags.push(PublishedTag { repository, tag, digest: digest.clone() });
        Ok(())
    }

    /// Puts a tree into a repository.
    fn place(&mut self, mut graph: Graph, repository: &str, absent: &BTreeSet<Digest>) -> Result<()> {
        for digest in std::mem::take(&mut graph.order) {
            let Some((root, document)) = graph.manifests.remove(&digest) else { continue };
            self.need(&root)?;
            let (children, blobs): (Vec<&Descriptor>, Vec<&Descriptor>) =
                document.needs(absent).into_iter().partition(|one| media_type::is_manifest(&one.media_type));
            blobs.iter().try_for_each(|blob| self.need(blob))?;
            if !self.places.insert((repository.to_owned(), digest)) {
                continue;
            }
            let children = children.into_iter().map(|child| child.digest.clone()).collect();
            let blobs = blobs.into_iter().cloned().collect();
            self.plan.manifests.push(PublishedManifest::new(repository, root, &document, blobs, children));
        }
        Ok(())
    }

    /// Moves a tag that is planned, or plans it.
    pub(super) fn move_tag(&mut self, repository: &str, tag: &str, digest: &Digest) {
        let tag =
            PublishedTag { repository: repository.to_owned(), tag: tag.to_owned(), digest: digest.clone() };
        self.plan.tags.retain(|known| (&known.repository, &known.tag) != (&tag.repository, &tag.tag));
        self.plan.tags.push(tag);
    }

    /// The digest that is planned for a tag.
    pub(super) fn tagged(&self, repository: &str, tag: &str) -> Option<&Digest> {
        self.tagged.get(&(repository.to_owned(), tag.to_owned())).map(|(digest, _)| digest)
    }

    /// Counts a content in; the bundle must carry it with the size that the manifest gives.
    fn need(&mut self, blob: &Descriptor) -> Result<()> {
        match self.carried.get(&blob.digest) {
            Some(size) if *size == blob.size => {
                self.contents.entry(blob.digest.clone()).or_insert_with(|| blob.clone());
                Ok(())
            }
            Some(size) => {
                let message = format!("a manifest gives it {} bytes, the bundle {size}", blob.size);
                Err(Failure::new(Reason::SizeMismatch, &blob.digest, message))
            }
            None => Err(Failure::new(Reason::BlobMissing, &blob.digest, "the bundle does not carry it")
                .hint("ask the sender for a complete bundle")),
        }
    }

    fn finish(mut self, index: &BundleIndex) -> Result<Plan> {
        self.sign()?;
        let mut plan = self.plan;
        if let Some(unmet) = self.options.platforms.iter().find(|one| !self.platforms_met.contains(one)) {
            let object = format!("platform `{unmet}`");
            return Err(Failure::new(
                Reason::FilterMatchesNothing,
                object,
                "no selected artifact is made for it",
            )
            .hint("`sealift inspect` lists the platforms"));
        }
        if plan.entries.is_empty() {
            return Err(Failure::new(Reason::FilterMatchesNothing, &index.name, "nothing is selected")
                .hint("`sealift inspect` lists names and platforms"));
        }
        plan.not_selected.sort();
        let places = media_order(index);
        plan.contents = self.contents.into_values().collect();
        plan.contents.sort_by_key(|blob| places.get(blob.digest.layout_path().as_str()).copied());
        Ok(plan)
    }
}

/// Adds the referrers that travel with what is kept of `artifact` to the graph; a referrer may be about
/// another one. Returns those that travel, and those whose subject was left out.
fn travelling(
    artifact: &Artifact,
    graph: &mut Graph,
    absent: &BTreeSet<Digest>,
    read: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>,
) -> Result<(BTreeSet<Digest>, Vec<Digest>)> {
    let mut waiting: BTreeMap<&Digest, Vec<&Descriptor>> = BTreeMap::new();
    for referrer in &artifact.referrers {
        waiting.entry(&referrer.subject).or_default().push(&referrer.root);
    }
    let mut travelling = BTreeSet::new();
    // The order grows at its end while it is gone through.
    let mut at = 0;
    while let Some(subject) = graph.order.get(at) {
        at += 1;
        for root in waiting.remove(subject).unwrap_or_default() {
            graph.add(root, absent, read)?;
            travelling.insert(root.digest.clone());
        }
    }
    let dropped = artifact.referrers.iter().map(|referrer| &referrer.root.digest);
    let dropped: BTreeSet<&Digest> = dropped.filter(|digest| !travelling.contains(digest)).collect();
    Ok((travelling, dropped.into_iter().cloned().collect()))
}

/// Where each blob begins on the media, by its path in the layout.
fn media_order(index: &BundleIndex) -> BTreeMap<&str, usize> {
    let mut places = BTreeMap::new();
    for (at, member) in index.members.iter().enumerate() {
        let path = member.path.split(".part-").next().unwrap_or(&member.path);
        places.entry(path).or_insert(at);
    }
    places
}
