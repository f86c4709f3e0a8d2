//! `manifest.json` of `docker save`, and the OCI image made of it.
//!
//! ```json
//! [{"Config":"<hex>.json","RepoTags":["team/app:1.0"],"Layers":["<hex>.tar","<id>/layer.tar"]}]
//! ```

use std::collections::BTreeSet;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::{Found, archive::Contents, choice, malformed};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
        stream::{self, Hashing},
        text,
    },
    manifest::LocalImage,
    oci::{Descriptor, Graph, ImageManifest, Reference, descriptor::Annotations, media_type},
    store::Store,
};

/// The first bytes of a gzip stream.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Links followed from one to the next.
const LINKS: usize = 8;

/// One image of the archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The part of an image config that says what the layers must be.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

pub(super) fn bring(
    local: &LocalImage,
    manifest: &[u8],
    contents: &Contents,
    store: &Store,
) -> Result<Found> {
    let images: Vec<Image> = serde_json::from_slice(manifest)
        .map_err(|error| malformed(local, format!("its manifest.json cannot be read: {error}")))?;
    let (image, names) = choose(local, &images)?;
    let config = named(stored(local, contents, &image.config)?, media_type::CONFIG);
    if config.size > limits::CONFIG_BYTES {
        return Err(malformed(local, "its config is larger than 8 MiB"));
    }
    let parsed: Config = serde_json::from_slice(&store.read_blob(&config)?)
        .map_err(|error| malformed(local, format!("its config cannot be read: {error}")))?;
    let layers = image.layers.as_deref().unwrap_or_default();
    if layers.len() != parsed.rootfs.diff_ids.len() || layers.len() > limits::DESCRIPTORS {
        let message = format!(
            "it lists {}, its config {}",
            text::count(layers.len(), "layer"),
            parsed.rootfs.diff_ids.len()
        );
        return Err(malformed(local, message));
    }
    let layers = layers
        .iter()
        .zip(&parsed.rootfs.diff_ids)
        .map(|(path, content)| layer(local, stored(local, contents, path)?, content, store))
        .collect::<Result<Vec<_>>>()?;
    let bytes = serde_json::to_vec(&ImageManifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: Annotations::new(),
    })
    .map_err(Failure::internal)?;
    let root = Descriptor::of(media_type::MANIFEST, &bytes);
    store.put(&root, &bytes)?;
    let mut graph = Graph::default();
    graph.add(&root, &BTreeSet::new(), &mut |_root| Ok(bytes.clone()))?;
    Ok(Found { root, graph, names, tag: None, referrers: Vec::new() })
}

/// The image that the selector names, else the only one; with the names to travel under.
fn choose<'a>(local: &LocalImage, images: &'a [Image]) -> Result<(&'a Image, Vec<Reference>)> {
    // Tags are in Docker's shorthand, where `app:1` means docker.io/library/app:1.
    let names = |image: &Image| -> Vec<Reference> {
        let tags = image.repo_tags.iter().flatten();
        tags.filter_map(|tag| Reference::parse(tag).ok()).collect()
    };
    let Some(selector) = &local.selector else {
        return match images {
            [image] => Ok((image, names(image))),
            [] => Err(malformed(local, "it holds no image")),
            _ => Err(malformed(local, "it holds several images")
                .hint(format!("name one behind a colon; {}", listed(images)))),
        };
    };
    for image in images {
        let found: Vec<Reference> =
            names(image).into_iter().filter(|name| choice::same_reference(name, selector)).collect();
        if !found.is_empty() {
            return Ok((image, found));
        }
    }
    let message = format!("it holds no image called `{}`", text::escaped(selector, 200));
    Err(malformed(local, message).hint(listed(images)))
}

fn listed(images: &[Image]) -> String {
    const SHOWN: usize = 12;
    let tags = images.iter().flat_map(|image| image.repo_tags.iter().flatten());
    let shown: Vec<String> = tags.take(SHOWN).map(|tag| text::escaped(tag, 200)).collect();
    if shown.is_empty() {
        "its images have no names".to_owned()
    } else {
        format!("it holds {}", shown.join(", "))
    }
}

/// What lies in the store under a path of the archive, links between its members followed.
fn stored(local: &LocalImage, contents: &Contents, path: &str) -> Result<Descriptor> {
    let mut at = path.strip_prefix("./").unwrap_or(path);
    for _ in 0..LINKS {
        if let Some(blob) = contents.files.get(at) {
            return Ok(blob.clone());
        }
        let Some(target) = contents.links.get(at) else { break };
        at = target;
    }
    let path = text::escaped(path, 200);
    Err(malformed(local, format!("its manifest.json names `{path}`, which it does not hold")))
}

/// The descriptor of a layer, whose content must be what the config says (threats J15).
fn layer(local: &LocalImage, blob: Descriptor, content: &Digest, store: &Store) -> Result<Descriptor> {
    if blob.digest == *content {
        return Ok(named(blob, media_type::LAYER_TAR));
    }
    let other = |found: &Digest| {
        let message = format!("a layer is {found}, its config says {content}");
        Failure::new(Reason::DigestMismatch, &local.written, message)
    };
    let unreadable = |error: &std::io::Error| malformed(local, format!("a layer cannot be read: {error}"));
    let mut file = store.open_blob(&blob.digest)?;
    let mut magic = [0; 2];
    stream::read_full(&mut file, &mut magic).map_err(|error| unreadable(&error))?;
    if magic != GZIP_MAGIC {
        return Err(other(&blob.digest));
    }
    let file = std::io::BufReader::with_capacity(1 << 18, store.open_blob(&blob.digest)?);
    let mut unpacked = Hashing::new(MultiGzDecoder::new(file), content.algorithm());
    std::io::copy(&mut unpacked, &mut std::io::sink()).map_err(|error| unreadable(&error))?;
    let (found, _) = unpacked.finish();
    if found == *content { Ok(named(blob, media_type::LAYER_GZIP)) } else { Err(other(&found)) }
}

/// The same content under another type.
fn named(blob: Descriptor, media_type: &str) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), ..blob }
}
