//! Which image of an OCI layout is meant (OCI image-spec, "index.json file").

use std::collections::BTreeMap;

use serde::Deserialize;

use super::malformed;
use crate::{
    base::{digest::Digest, failure::Result, text},
    cosign,
    manifest::LocalImage,
    oci::{Descriptor, Document, Reference, media_type},
};

/// A tag or full reference (OCI image-spec, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What `cosign save` calls the parts of its layout, which holds one image.
const KIND: &str = "kind";
/// A full reference, as containerd, BuildKit and Docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The image that is meant, and what the layout calls it.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) root: Descriptor,
    pub(super) names: Vec<Reference>,
    pub(super) tag: Option<String>,
    /// The other manifests that the layout lists.
    pub(super) others: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutFile {
    image_layout_version: String,
}

/// Checks `oci-layout` (OCI image-spec, "oci-layout file").
pub(super) fn check_version(local: &LocalImage, bytes: &[u8]) -> Result<()> {
    let layout: LayoutFile = serde_json::from_slice(bytes)
        .map_err(|error| malformed(local, format!("its oci-layout file cannot be read: {error}")))?;
    if layout.image_layout_version == "1.0.0" {
        return Ok(());
    }
    let version = text::escaped(&layout.image_layout_version, 40);
    Err(malformed(local, format!("its layout has version {version}, only 1.0.0 is known")))
}

/// Picks from `index.json`: what the selector names, else the only image there is.
pub(super) fn choose(local: &LocalImage, index: &[u8]) -> Result<Choice> {
    let document = Document::parse(index, media_type::INDEX).map_err(|failure| {
        let failure = failure.of(format!("{}: index.json", local.written));
        failure.hint("write the layout again with the program that made it")
    })?;
    let all = document.descriptors();
    let mut images: BTreeMap<_, Vec<&Descriptor>> = BTreeMap::new();
    for image in all.iter().copied().filter(|image| is_selected(local, image)) {
        images.entry(&image.digest).or_default().push(image);
    }
    if images.len() > 1 && local.selector.is_none() {
        // Signatures and the like that lie beside the image are not meant.
        images.retain(|_, entries| !entries.iter().all(|entry| is_about_another(entry)));
    }
    let mut images = images.into_values();
    match (images.next(), images.next(), &local.selector) {
        (Some(found), None, _) => Ok(choice(&found, &all)),
        (None, _, None) => Err(malformed(local, "it holds no image")),
        (None, _, Some(selector)) => {
            let message = format!("it holds no image called `{}`", text::escaped(selector, 200));
            Err(malformed(local, message).hint(listed(&all)))
        }
        (Some(_), Some(_), _) => Err(malformed(local, "it holds several images")
            .hint(format!("name one behind a colon; {}", listed(&all)))),
    }
}

/// All entries of one digest, so all the names of one image. A selector leaves only its own.
fn choice(found: &[&Descriptor], all: &[&Descriptor]) -> Choice {
    let mut names: Vec<Reference> = Vec::new();
    let mut tag = None;
    for image in found {
        let containerd = image.annotations.get(CONTAINERD_NAME);
        let written = image.annotations.get(REF_NAME);
        // Where both stand, they say the same, and containerd's name says it wholly.
        let name = containerd.or(written).and_then(|text| full_reference(text));
        names.extend(name.filter(|name| !names.contains(name)));
        tag = tag.or_else(|| written.cloned());
    }
    let root = found
        .first()
        .map(|image| Descriptor::new(image.media_type.clone(), image.digest.clone(), image.size));
    let root = root.unwrap_or_else(|| Descriptor::of(media_type::MANIFEST, b""));
    let is_other = |one: &&&Descriptor| one.digest != root.digest && media_type::is_manifest(&one.media_type);
    let others = all.iter().filter(is_other).map(|other| (*other).clone()).collect();
    Choice { root, names, tag, others }
}

/// Whether an entry belongs to another one, as far as it tells: cosign's tags, `cosign save`, referrers.
fn is_about_another(entry: &Descriptor) -> bool {
    let about = |tag: &String| {
        let stem = ["sig", "att", "sbom"].iter().find_map(|end| tag.strip_suffix(end)?.strip_suffix('.'));
        stem.is_some_and(|stem| Digest::parse(&stem.replacen('-', ":", 1)).is_ok())
    };
    entry.annotations.get(REF_NAME).is_some_and(about)
        || entry.annotations.get(KIND).is_some_and(|kind| kind != "dev.cosignproject.cosign/image")
        || entry.artifact_type.is_some()
}

/// Whether an entry holds legacy signatures of `subject`, as far as it tells.
pub(super) fn is_legacy_signature(entry: &Descriptor, subject: &Digest) -> bool {
    entry.annotations.get(REF_NAME).is_some_and(|tag| *tag == cosign::tag(subject))
        || entry.annotations.get(KIND).is_some_and(|kind| kind == "dev.cosignproject.cosign/sigs")
}

fn is_selected(local: &LocalImage, image: &Descriptor) -> bool {
    let Some(selector) = &local.selector else { return true };
    let named = |key: &str| {
        image.annotations.get(key).is_some_and(|name| {
            name == selector || full_reference(name).is_some_and(|name| same_reference(&name, selector))
        })
    };
    image.digest.to_string() == *selector || named(REF_NAME) || named(CONTAINERD_NAME)
}

/// Whether a selector means this reference: shorthand like `nginx:1.27` is allowed.
pub(super) fn same_reference(name: &Reference, selector: &str) -> bool {
    Reference::parse(selector).is_ok_and(|selector| selector == *name)
}

/// A reference that names its registry and a tag or digest: `1.27` or `team/app` could mean anything.
fn full_reference(text: &str) -> Option<Reference> {
    let (registry, _) = text.split_once('/')?;
    let named = registry.contains(['.', ':']) || registry == "localhost";
    let reference = Reference::parse(text).ok().filter(|_| named)?;
    (reference.tag.is_some() || reference.digest.is_some()).then_some(reference)
}

/// The names that a user can choose from.
fn listed(images: &[&Descriptor]) -> String {
    const SHOWN: usize = 12;
    let name = |image: &&Descriptor| {
        let written = image.annotations.get(REF_NAME).or_else(|| image.annotations.get(CONTAINERD_NAME));
        written.map_or_else(|| image.digest.to_string(), |name| text::escaped(name, 200))
    };
    let shown: Vec<String> = images.iter().take(SHOWN).map(name).collect();
    let more = images.len().saturating_sub(SHOWN);
    match (shown.is_empty(), more) {
        (true, _) => "it holds no image at all".to_owned(),
        (false, 0) => format!("it holds {}", shown.join(", ")),
        (false, more) => format!("it holds {} and {more} more", shown.join(", ")),
    }
}
