//! `oci-archive:FILE` and `docker-archive:FILE`: a tar file, read once from front to back.
//!
//! What is meant stands in `index.json` or `manifest.json`, which may come last; so content goes into the
//! store as it passes by, under the digest in its path, or under the one that it turns out to have.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::{Found, choice, docker, malformed, missing};
use crate::{
    base::{
        archive::{self as foreign, Kind, Member},
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        fs, limits, stream,
        stream::Capped,
    },
    manifest::{LocalImage, LocalKind},
    oci::{Descriptor, Graph, media_type},
    store::{BlobWriter, Store},
};

/// What an archive turned out to hold.
#[derive(Default)]
pub(super) struct Contents {
    /// The small documents at the top: `index.json`, `oci-layout`, `manifest.json`.
    pub(super) documents: BTreeMap<String, Vec<u8>>,
    /// Files that are in the store now, by path.
    pub(super) files: BTreeMap<String, Descriptor>,
    /// Links between members: path and target, both inside the archive.
    pub(super) links: BTreeMap<String, String>,
}

pub(super) fn bring(local: &LocalImage, store: &Store) -> Result<Found> {
    let contents = Contents::read(local, store)?;
    let documents = &contents.documents;
    match (documents.get("oci-layout"), documents.get("index.json"), documents.get("manifest.json")) {
        (Some(layout), Some(index), _) => {
            choice::check_version(local, layout)?;
            from_layout(local, index, store)
        }
        (_, _, Some(manifest)) if local.kind == LocalKind::DockerArchive => {
            docker::bring(local, manifest, &contents, store)
        }
        (_, _, Some(_)) => {
            Err(malformed(local, "it is no OCI archive")
                .hint("write it as docker-archive:FILE in the manifest"))
        }
        _ => Err(malformed(local, "it holds neither an OCI layout nor Docker's manifest.json")),
    }
}

/// The tree below the image that is meant; its content has passed into the store already.
fn from_layout(local: &LocalImage, index: &[u8], store: &Store) -> Result<Found> {
    super::found(choice::choose(local, index)?, &mut |root| tree(local, root, store))
}

/// A manifest and everything below it, all of which passed by.
fn tree(local: &LocalImage, root: &Descriptor, store: &Store) -> Result<Graph> {
    let mut graph = Graph::default();
    graph.add(root, &std::collections::BTreeSet::new(), &mut |manifest| {
        require(local, manifest, store)?;
        if manifest.size > limits::OCI_MANIFEST_BYTES {
            return Err(Failure::new(Reason::OciLimit, &manifest.digest, "a manifest is larger than 4 MiB"));
        }
        store.read_blob(manifest)
    })?;
    graph.blobs.values().try_for_each(|blob| require(local, blob, store))?;
    Ok(graph)
}

/// Checks that the store has the blob, in the size that its descriptor gives.
fn require(local: &LocalImage, blob: &Descriptor, store: &Store) -> Result<()> {
    match store.size_of(&blob.digest)? {
        Some(size) if size == blob.size => Ok(()),
        Some(size) => {
            let message = format!("{} has {size} bytes, its descriptor says {}", blob.digest, blob.size);
            Err(Failure::new(Reason::SizeMismatch, &local.written, message))
        }
        None => Err(missing(local, blob)),
    }
}

impl Contents {
    fn read(local: &LocalImage, store: &Store) -> Result<Self> {
        let failed = |error: &io::Error| {
            foreign::failure(error, &local.written, Reason::LayoutMalformed, |error| {
                fs::failure(&local.path, "read", error)
            })
        };
        let mut members = foreign::Archive::new(open(&local.path)?);
        let mut contents = Self::default();
        while let Some(member) = members.next_member().map_err(|error| failed(&error))? {
            let mut reader = Content { members: &mut members, failed: &failed };
            contents.member(local, member, &mut reader, store)?;
        }
        Ok(contents)
    }

    fn member(
        &mut self,
        local: &LocalImage,
        member: Member,
        content: &mut Content<'_>,
        store: &Store,
    ) -> Result<()> {
        let Member { path, kind, size } = member;
        let blob = layout_digest(&path);
        let is_docker = local.kind == LocalKind::DockerArchive;
        match kind {
            Kind::Folder => {}
            Kind::Link(target) if is_docker && blob.is_none() => {
                let target = inside(&path, &target)
                    .ok_or_else(|| malformed(local, format!("the link `{path}` leads out of the archive")))?;
                self.links.insert(path, target);
            }
            Kind::HardLink(target) if is_docker && blob.is_none() => {
                self.links.insert(path, target);
            }
            Kind::Link(_) | Kind::HardLink(_) => {
                return Err(malformed(local, format!("`{path}` is a link, expected a plain file"))
                    .as_reason(Reason::FileSpecial));
            }
            Kind::File if matches!(path.as_str(), "oci-layout" | "index.json" | "manifest.json") => {
                let bytes = content.small()?;
                self.documents.insert(path, bytes);
            }
            Kind::File => match blob {
                Some(digest) => {
                    let blob = Descriptor::new(media_type::OCTETS, digest, size);
                    content.store_as(&blob, store)?;
                    self.files.insert(path, blob);
                }
                None if is_docker && !is_legacy(&path) => {
                    let blob = match named_digest(&path) {
                        Some(digest) if store.size_of(&digest)? == Some(size) => {
                            Descriptor::new(media_type::OCTETS, digest, size)
                        }
                        _ => content.store_any(store)?,
                    };
                    self.files.insert(path, blob);
                }
                None => {}
            },
        }
        Ok(())
    }
}

/// The content of the member under way.
struct Content<'a> {
    members: &'a mut foreign::Archive<Box<dyn Read>>,
    failed: &'a dyn Fn(&io::Error) -> Failure,
}

impl Content<'_> {
    fn small(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Capped::new(&mut *self.members, limits::CONFIG_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| (self.failed)(&error))?;
        Ok(bytes)
    }

    /// Stores what must have a digest that is known; what is stored already need not be read.
    fn store_as(&mut self, blob: &Descriptor, store: &Store) -> Result<()> {
        if store.size_of(&blob.digest)? == Some(blob.size) {
            return Ok(());
        }
        let mut writer = store.writer(&blob.digest)?;
        writer.restart()?;
        self.copy(&mut writer)?;
        writer.commit(blob)
    }

    /// Stores content under the digest that it has.
    fn store_any(&mut self, store: &Store) -> Result<Descriptor> {
        let mut writer = store.scratch(Algorithm::Sha256)?;
        self.copy(&mut writer)?;
        let blob = Descriptor::new(media_type::OCTETS, writer.digest(), writer.len());
        if store.size_of(&blob.digest)? != Some(blob.size) {
            writer.commit(&blob)?;
        }
        Ok(blob)
    }

    fn copy(&mut self, writer: &mut BlobWriter) -> Result<()> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count =
                stream::read_full(self.members, &mut buffer).map_err(|error| (self.failed)(&error))?;
            if count == 0 {
                return Ok(());
            }
            writer.write(buffer.get(..count).unwrap_or_default())?;
        }
    }
}

/// Opens the archive that the user named, compressed with gzip or not. Links to it are the user's own.
fn open(path: &Path) -> Result<Box<dyn Read>> {
    let real = path.canonicalize().map_err(|error| fs::failure(path, "open", &error))?;
    let mut file: File = fs::open_plain(&real)?;
    let mut magic = [0; 2];
    let at = |error: io::Error| fs::failure(path, "read", &error);
    stream::read_full(&mut file, &mut magic).map_err(at)?;
    file.rewind().map_err(at)?;
    let file = BufReader::with_capacity(1 << 18, file);
    Ok(if magic == docker::GZIP_MAGIC { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// The digest that a path in an OCI layout stands for.
fn layout_digest(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// The digest that a file of `docker save` is named after: `<hex>.json`, `<hex>.tar`. Only good for not
/// reading again what the store has; what is stored is hashed.
fn named_digest(path: &str) -> Option<Digest> {
    let (hex, _extension) = path.split_once('.')?;
    Digest::from_hex(Algorithm::Sha256, hex).ok()
}

/// What `docker save` writes for versions of Docker before 1.10; nothing refers to it.
fn is_legacy(path: &str) -> bool {
    path == "repositories" || path.ends_with("/json") || path.ends_with("/VERSION")
}

/// Where a symbolic link leads, when that is inside the archive.
fn inside(link: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        return None;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
