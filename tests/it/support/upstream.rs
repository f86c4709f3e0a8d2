//! The connected side's world on loopback: a registry to pull from, and plain documents beside it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use sealift::{
    base::digest::Digest,
    oci::{Descriptor, Document, Platform, media_type},
};
use serde_json::json;

use super::origin::{Answer, Origin, Seen};

/// What upstream has. Repositories share it; only tags belong to one.
#[derive(Default)]
pub(crate) struct Content {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    tags: BTreeMap<(String, String), Digest>,
    /// Documents by path, for instance `/charts/index.yaml`.
    pub(crate) documents: BTreeMap<String, Vec<u8>>,
    /// Whether there is no referrers API, so that clients ask for the fallback tag.
    pub(crate) without_referrers: bool,
    /// The `Authorization` that every request to the registry must carry.
    pub(crate) authorization: Option<String>,
}

/// A running upstream; gone when dropped.
pub(crate) struct Upstream {
    origin: Origin,
    content: Arc<Mutex<Content>>,
    forgotten: Mutex<usize>,
    _runtime: tokio::runtime::Runtime,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let content: Arc<Mutex<Content>> = Arc::default();
        let served = Arc::clone(&content);
        let origin = runtime.block_on(Origin::start(move |seen| served.lock().unwrap().answer(seen)));
        Self { origin, content, forgotten: Mutex::new(0), _runtime: runtime }
    }

    pub(crate) fn host(&self) -> String {
        self.origin.name()
    }

    pub(crate) fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// `GET /path` of every request since the last [`Self::forget`].
    pub(crate) fn requests(&self) -> Vec<String> {
        let seen = self.origin.seen();
        let after = *self.forgotten.lock().unwrap();
        seen[after..].iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
    }

    /// The requests for blobs, by digest.
    pub(crate) fn blob_requests(&self) -> Vec<String> {
        let requests = self.requests();
        requests.iter().filter_map(|line| Some(line.split_once("/blobs/")?.1.to_owned())).collect()
    }

    pub(crate) fn forget(&self) {
        *self.forgotten.lock().unwrap() = self.origin.seen().len();
    }
}

impl Content {
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.blobs.insert(descriptor.digest.to_string(), bytes.to_vec());
        descriptor
    }

    pub(crate) fn manifest(&mut self, media_type: &str, json: &serde_json::Value) -> Descriptor {
        let bytes = serde_json::to_vec(json).unwrap();
        let descriptor = Descriptor::of(media_type, &bytes);
        self.manifests.insert(descriptor.digest.to_string(), (media_type.to_owned(), bytes));
        descriptor
    }

    /// A manifest as it stands.
    pub(crate) fn document(&mut self, media_type: &str, bytes: &[u8]) {
        let kept = (media_type.to_owned(), bytes.to_vec());
        self.manifests.insert(Digest::of(bytes).to_string(), kept);
    }

    /// An image for `platform` with these layers.
    pub(crate) fn image(&mut self, platform: &str, layers: &[&str]) -> Descriptor {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = json!({ "os": os, "architecture": architecture, "layers": layers });
        let config = self.blob(media_type::CONFIG, config.to_string().as_bytes());
        let layers: Vec<Descriptor> =
            layers.iter().map(|layer| self.blob(media_type::LAYER_TAR, layer.as_bytes())).collect();
        let image = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config,
                            "layers": layers });
        let mut image = self.manifest(media_type::MANIFEST, &image);
        image.platform = Platform::parse(platform);
        image
    }

    pub(crate) fn index(&mut self, images: &[Descriptor]) -> Descriptor {
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": images });
        self.manifest(media_type::INDEX, &index)
    }

    /// An artifact, about `subject` if there is one.
    pub(crate) fn artifact(
        &mut self,
        artifact_type: &str,
        subject: Option<&Descriptor>,
        text: &str,
    ) -> Descriptor {
        let config = self.blob(media_type::EMPTY, b"{}");
        let layer = self.blob(artifact_type, text.as_bytes());
        let mut json = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "artifactType": artifact_type, "config": config, "layers": [layer] });
        if let Some(subject) = subject {
            json["subject"] =
                json!({ "mediaType": subject.media_type, "digest": subject.digest, "size": subject.size });
        }
        self.manifest(media_type::MANIFEST, &json)
    }

    pub(crate) fn bytes_of(&self, manifest: &Descriptor) -> String {
        String::from_utf8(self.manifests[&manifest.digest.to_string()].1.clone()).unwrap()
    }

    pub(crate) fn tag(&mut self, repository: &str, tag: &str, at: &Descriptor) {
        self.tags.insert((repository.to_owned(), tag.to_owned()), at.digest.clone());
    }

    /// Takes a blob away; the bytes, to put them back.
    pub(crate) fn lose(&mut self, bytes: &str) -> Digest {
        let digest = Digest::of(bytes.as_bytes());
        assert!(self.blobs.remove(&digest.to_string()).is_some());
        digest
    }

    fn answer(&self, seen: &Seen) -> Answer {
        let nothing = || Answer::new(404, "");
        if let Some(document) = self.documents.get(seen.path()) {
            return Answer::new(200, document.clone());
        }
        let Some(path) = seen.path().strip_prefix("/v2/") else { return nothing() };
        if self.authorization.is_some() && self.authorization.as_deref() != seen.header("authorization") {
            return Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"upstream\"");
        }
        let Some((rest, target)) = path.rsplit_once('/') else { return Answer::new(200, "{}") };
        let Some((repository, kind)) = rest.rsplit_once('/') else { return nothing() };
        match kind {
            "tags" => {
                let tags = self.tags.keys().filter(|(name, _)| name == repository).map(|(_, tag)| tag);
                let tags: Vec<&String> = tags.collect();
                Answer::new(200, json!({ "name": repository, "tags": tags }).to_string())
            }
            "blobs" => self.blobs.get(target).map_or_else(nothing, |bytes| Answer::new(200, bytes.clone())),
            "manifests" => {
                let tag = self.tags.get(&(repository.to_owned(), target.to_owned()));
                let digest = tag.map_or_else(|| target.to_owned(), ToString::to_string);
                self.manifests.get(&digest).map_or_else(nothing, |(kind, bytes)| {
                    Answer::new(200, bytes.clone()).header("Content-Type", kind)
                })
            }
            "referrers" if !self.without_referrers => {
                let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX,
                                    "manifests": self.referrers(target) });
                Answer::new(200, index.to_string()).header("Content-Type", media_type::INDEX)
            }
            _ => nothing(),
        }
    }

    fn referrers(&self, subject: &str) -> Vec<Descriptor> {
        let about = |(kind, bytes): &&(String, Vec<u8>)| {
            let document = Document::parse(bytes, kind).unwrap();
            document.subject().is_some_and(|about| about.digest.to_string() == subject)
        };
        self.manifests.values().filter(about).map(|(kind, bytes)| Descriptor::of(kind, bytes)).collect()
    }
}
