//! A manifest: what it leads to as a tree, what it says of itself, what is about it, and how to get it.

use std::collections::BTreeMap;

use askama::Template;

use super::{
    Frame, Look, page,
    words::{Moment, Name, Size, grouped, kind, layer_word, tamed},
};
use crate::{
    base::{digest::Digest, failure::Reason, limits},
    oci::{Config, Descriptor, Document, artifact, error_code, media_type, reference},
    registry::respond::{Answer, Refusal},
    store::{Store, Target},
};

/// Manifests of one tree that are opened; others are links.
const OPENED: usize = 64;
/// Lines that one manifest has in a tree.
const LINES: usize = 200;
/// Referrers, tags and parents that are shown.
const SHOWN: usize = 100;
/// `BuildKit`'s annotation: what an attestation beside an image is about.
const ATTESTATION_OF: &str = "vnd.docker.reference.digest";

#[derive(Template)]
#[template(path = "manifest.html")]
struct Page {
    frame: Frame,
    name: String,
    /// The tag by which it was asked for.
    tag: Option<String>,
    digest: Name,
    kind: String,
    media_type: String,
    artifact_type: Option<String>,
    size: Size,
    /// With all that it leads to.
    total: Size,
    platform: Option<String>,
    /// When an image was made, in its own words.
    created: Option<String>,
    moved: Option<Moment>,
    mover: String,
    tags: Vec<String>,
    parents: Vec<Name>,
    subject: Option<Name>,
    commands: Vec<Command>,
    tree: Option<Node>,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    referrers: Vec<Referrer>,
    more_referrers: bool,
}

/// A command to copy.
struct Command {
    what: &'static str,
    text: String,
}

/// Something that is about this manifest.
struct Referrer {
    kind: String,
    artifact_type: String,
    digest: Name,
    size: Size,
    /// The tag by which it is found, where it names no subject.
    tag: Option<String>,
    title: Option<String>,
}

/// A line of the tree, with the lines below it.
#[derive(Template)]
#[template(path = "node.html")]
struct Node {
    repository: String,
    what: String,
    /// A platform, the name of a file.
    note: Option<String>,
    media_type: String,
    digest: Name,
    /// With all below.
    size: Size,
    leads: Leads,
    children: Vec<Node>,
    /// How many more there are.
    more: Option<String>,
    open: bool,
}

/// Where a line of the tree leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// To this very page.
    Here,
    /// To a page of its own.
    Page,
    /// To the content.
    Content,
    /// It is not here.
    Nowhere,
}

impl Look<'_> {
    pub(super) fn manifest(self, name: &str, target: &Target) -> Answer {
        let store = &self.registry.store;
        let unknown = || Refusal::of(error_code::MANIFEST_UNKNOWN);
        let root = store.manifest(name, target)?.ok_or_else(unknown)?;
        let bytes =
            store.read_blob(&root).map_err(|cause| Refusal::lost(error_code::MANIFEST_UNKNOWN, cause))?;
        // What a sandbox took need not be readable: then there is no tree, and all else there is.
        let document = Document::parse(&bytes, &root.media_type).ok();
        let config = self.config(name, document.as_ref())?;
        let tag = match target {
            Target::Tag(tag) => Some(tag.clone()),
            Target::Digest(_) => None,
        };
        let last = match &tag {
            Some(tag) => store.tag_history(name, tag, 1)?.into_iter().next(),
            None => None,
        };
        let tree = document.as_ref().map(|document| self.tree(name, &root, document)).transpose()?;
        let artifact_type = document.as_ref().and_then(Document::artifact_type).map(str::to_owned);
        let mut tags = store.tags_at(name, &root.digest, SHOWN)?;
        tags.retain(|one| Some(one) != tag.as_ref());
        let (referrers, more_referrers) = self.referrers(name, &root.digest)?;
        let pairs = |pairs: &BTreeMap<String, String>| {
            pairs.iter().map(|(name, value)| (tamed(name), tamed(value))).collect::<Vec<_>>()
        };
        page(&Page {
            name: name.to_owned(),
            digest: Name::of(&root.digest),
            kind: kind(&root.media_type, artifact_type.as_deref()),
            media_type: tamed(&root.media_type),
            commands: self.commands(name, tag.as_deref(), &root, artifact_type.as_deref()),
            artifact_type: artifact_type.as_deref().filter(|one| !Config::is_one(one)).map(tamed),
            size: Size::of(root.size),
            total: Size::of(store.bytes_under(name, &root.digest)?),
            platform: config.as_ref().and_then(Config::platform).map(|platform| platform.to_string()),
            created: config.as_ref().and_then(|config| config.created.as_deref()).map(tamed),
            moved: last.as_ref().and_then(|last| last.time).map(|time| Moment::of(time, self.frame.now)),
            mover: last.map(|last| self.frame.name_of(&last.who)).unwrap_or_default(),
            tag,
            tags,
            parents: store.listed_by(name, &root.digest, SHOWN)?.iter().map(Name::of).collect(),
            subject: document.as_ref().and_then(Document::subject).map(|subject| Name::of(&subject.digest)),
            tree,
            labels: config.map(|config| pairs(&config.labels())).unwrap_or_default(),
            annotations: document.as_ref().map(|document| pairs(document.annotations())).unwrap_or_default(),
            referrers,
            more_referrers,
            frame: self.frame,
        })
    }

    fn config(&self, repository: &str, document: Option<&Document>) -> Result<Option<Config>, Refusal> {
        match document {
            Some(Document::Image(image)) => Ok(self.registry.store.read_config(repository, &image.config)?),
            _ => Ok(None),
        }
    }

    /// How to get it: by the tag and by the digest that the tag has now.
    fn commands(
        &self,
        name: &str,
        tag: Option<&str>,
        root: &Descriptor,
        artifact: Option<&str>,
    ) -> Vec<Command> {
        let registry = self.frame.registry();
        let by_digest = format!("{registry}/{name}@{}", root.digest);
        let by_tag = tag.map(|tag| format!("{registry}/{name}:{tag}"));
        let secure = self.frame.secure;
        if artifact == Some(media_type::HELM_CONFIG) {
            let flag = if secure { "" } else { " --plain-http" };
            let version = tag.map(|tag| format!(" --version {}", tag.replace('_', "+"))).unwrap_or_default();
            let text = format!("helm pull{flag} oci://{registry}/{name}{version}");
            return vec![Command { what: "Chart", text }];
        }
        let is_image = artifact.is_none_or(Config::is_one);
        let (pull, flag) =
            if is_image { ("podman pull", " --tls-verify=false") } else { ("oras pull", " --plain-http") };
        let flag = if secure { "" } else { flag };
        let command = |what, name: &str| Command { what, text: format!("{pull}{flag} {name}") };
        by_tag
            .iter()
            .map(|name| command("By tag", name))
            .chain([command("By digest: always this content", &by_digest)])
            .collect()
    }

    fn tree(&self, name: &str, root: &Descriptor, document: &Document) -> Result<Node, Refusal> {
        let mut tree = Tree { store: &self.registry.store, repository: name, left: OPENED };
        Ok(tree.manifest(root, Some(document), 0)?)
    }

    /// What is about a manifest: what names it as its subject, and what cosign keeps at tags.
    fn referrers(&self, name: &str, digest: &Digest) -> Result<(Vec<Referrer>, bool), Refusal> {
        let store = &self.registry.store;
        let mut rows = store.referrers(name, digest, None, None, SHOWN + 1)?;
        let more = rows.len() > SHOWN;
        rows.truncate(SHOWN);
        let title = |descriptor: &Descriptor| {
            let known = [
                artifact::TITLE,
                "org.opencontainers.image.description",
                "dev.sigstore.bundle.predicateType",
            ];
            known.iter().find_map(|key| descriptor.annotations.get(*key)).map(|title| tamed(title))
        };
        let mut found: Vec<Referrer> = rows
            .into_iter()
            .map(|row| Referrer {
                kind: kind(&row.descriptor.media_type, row.descriptor.artifact_type.as_deref()),
                artifact_type: tamed(
                    row.descriptor.artifact_type.as_deref().unwrap_or(&row.descriptor.media_type),
                ),
                digest: Name::of(&row.descriptor.digest),
                size: Size::of(row.descriptor.size),
                title: title(&row.descriptor),
                tag: None,
            })
            .collect();
        for (end, word) in
            [(".sig", "Signature"), (".att", "Attestation"), (".sbom", "SBOM"), ("", "Referrers")]
        {
            let tag = format!("{}{end}", reference::referrers_tag(digest));
            if let Some(descriptor) = store.manifest(name, &Target::Tag(tag.clone()))? {
                found.push(Referrer {
                    kind: word.to_owned(),
                    artifact_type: "found by its tag, as cosign keeps it".to_owned(),
                    digest: Name::of(&descriptor.digest),
                    size: Size::of(descriptor.size),
                    title: None,
                    tag: Some(tag),
                });
            }
        }
        Ok((found, more))
    }
}

/// A tree while it is made.
struct Tree<'a> {
    store: &'a Store,
    repository: &'a str,
    /// Manifests that may still be opened.
    left: usize,
}

impl Tree<'_> {
    fn manifest(
        &mut self,
        root: &Descriptor,
        document: Option<&Document>,
        depth: usize,
    ) -> crate::base::failure::Result<Node> {
        let mut node = self.line(root, "Manifest")?;
        let is_there = node.leads != Leads::Nowhere;
        if is_there {
            node.leads = if depth == 0 { Leads::Here } else { Leads::Page };
        }
        let read = match document {
            Some(document) => Some(document.clone()),
            None => self.read(root, is_there, depth)?,
        };
        let Some(document) = read else { return Ok(node) };
        node.what = kind(&root.media_type, document.artifact_type());
        node.size = Size::of(self.store.bytes_under(self.repository, &root.digest)?);
        let all = document.descriptors();
        if all.len() > LINES {
            node.more = Some(grouped((all.len() - LINES) as u64));
        }
        for listed in all.iter().take(LINES) {
            node.children.push(match &document {
                Document::Index(index) => {
                    let mut child = self.manifest(listed, None, depth + 1)?;
                    child.note = listed.platform.as_ref().map(|platform| tamed(&platform.to_string()));
                    if let Some(about) = listed.annotations.get(ATTESTATION_OF) {
                        "Attestation".clone_into(&mut child.what);
                        let image = index.manifests.iter().find(|image| image.digest.to_string() == *about);
                        let platform = image.and_then(|image| image.platform.as_ref());
                        child.note = platform.map(|platform| tamed(&format!("of {platform}")));
                        child.open = false;
                    }
                    child
                }
                Document::Image(image) if listed.digest == image.config.digest => {
                    self.line(listed, "Config")?
                }
                Document::Image(_) => self.line(listed, layer_word(&listed.media_type))?,
            });
        }
        // Of many platforms, each is one line until somebody wants to see more of it.
        node.open = depth == 0 || all.len() <= 1;
        Ok(node)
    }

    /// Reads a manifest further down; `None` for one that is not here, is none, or is one too many (threats J07, J08).
    fn read(
        &mut self,
        listed: &Descriptor,
        is_there: bool,
        depth: usize,
    ) -> crate::base::failure::Result<Option<Document>> {
        let known = media_type::is_manifest(&listed.media_type) && listed.size <= limits::OCI_MANIFEST_BYTES;
        if !is_there || !known || depth > limits::INDEX_DEPTH || self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.store.read_blob(listed) {
            Ok(bytes) => Ok(Document::parse(&bytes, &listed.media_type).ok()),
            Err(failure) if failure.reason == Reason::BlobMissing => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn line(&self, listed: &Descriptor, what: &str) -> crate::base::failure::Result<Node> {
        let is_there = self.store.blob_in(self.repository, &listed.digest)?;
        Ok(Node {
            repository: self.repository.to_owned(),
            what: what.to_owned(),
            note: listed.annotations.get(artifact::TITLE).map(|title| tamed(title)),
            media_type: tamed(&listed.media_type),
            digest: Name::of(&listed.digest),
            size: Size::of(listed.size),
            leads: if is_there { Leads::Content } else { Leads::Nowhere },
            children: Vec::new(),
            more: None,
            open: false,
        })
    }
}
