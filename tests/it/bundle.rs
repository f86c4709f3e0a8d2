//! Writing a bundle and reading it back: same bytes, same content, bounded volumes.
use std::{collections::BTreeMap, fs, path::Path};

use sealift::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, progress::Silent},
    bundle::{self, Artifact, ArtifactKind, Contents, Referrer},
    oci::{Descriptor, media_type},
    store::Store,
    trust::PrivateKey,
    verify,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Bytes that zstd cannot shrink, the same for the same `seed`.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

/// A store under a temporary home, and the contents of a bundle made from what was put there.
pub(crate) struct Workshop {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) contents: Contents,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let contents = Contents {
            name: "edge-platform".into(),
            version: "2026.11".into(),
            channel: "prod".into(),
            epoch: 1,
            sequence: 42,
            created: Timestamp::parse("2026-11-21T00:00:00Z").unwrap(),
            description: Some("what the edge needs".into()),
            artifacts: Vec::new(),
            blobs: Vec::new(),
        };
        Self { dir, store, contents }
    }

    /// Puts content into the store and the bundle.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.store.put(&descriptor, bytes).unwrap();
        self.contents.blobs.push(descriptor.clone());
        descriptor
    }

    /// Puts a JSON document with its `mediaType`.
    pub(crate) fn document(&mut self, media_type: &str, mut json: Value) -> Descriptor {
        json["schemaVersion"] = json!(2);
        json["mediaType"] = json!(media_type);
        self.blob(media_type, json.to_string().as_bytes())
    }

    /// An image of these layers.
    pub(crate) fn image(&mut self, layers: &[&[u8]], subject: Option<&Descriptor>) -> Descriptor {
        let config = self.blob(media_type::CONFIG, b"{\"architecture\":\"amd64\",\"os\":\"linux\"}");
        let layers: Vec<Descriptor> =
            layers.iter().map(|layer| self.blob(media_type::LAYER_TAR, layer)).collect();
        let mut json = json!({"config": config, "layers": layers});
        if let Some(subject) = subject {
            json["subject"] = json!(subject);
        }
        self.document(media_type::MANIFEST, json)
    }

    /// An artifact of the bundle.
    pub(crate) fn artifact(&mut self, kind: ArtifactKind, name: &str, root: &Descriptor) -> &mut Artifact {
        self.contents.artifacts.push(Artifact {
            kind,
            name: name.to_owned(),
            source: format!("https://{name}"),
            root: root.clone(),
            platforms: Vec::new(),
            absent: Vec::new(),
            referrers: Vec::new(),
        });
        self.contents.artifacts.last_mut().unwrap()
    }

    /// Writes the bundle into a new folder of this name.
    pub(crate) fn write(&self, name: &str, limit: Option<u64>, workers: usize) -> std::path::PathBuf {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        bundle::write(&dir, &self.contents, &self.store, limit, workers, &[key()], &Silent).unwrap();
        dir
    }
}

/// The worthless key of `testdata/keys`.
pub(crate) fn key() -> PrivateKey {
    let pem = fs::read_to_string(root().join("testdata/keys/worthless-1.pem")).unwrap();
    PrivateKey::from_pem(&pem, None).unwrap()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with its content.
pub(crate) fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            found.insert(path, fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Two images that share a layer, an index with an absent child, a referrer, a file.
pub(crate) fn workshop(large: usize) -> Workshop {
    let mut shop = Workshop::new();
    let shared = noise(1, 3000);
    let text = "a line that compresses well\n".repeat(large / 28 + 1);
    let app = shop.image(&[&shared, text.as_bytes()], None);
    shop.artifact(ArtifactKind::Image, "registry.example.com/team/app:1.0", &app);
    let child = shop.image(&[&shared, &noise(2, large)], None);
    let absent = Descriptor::of(media_type::MANIFEST, b"not carried");
    let index = shop.document(media_type::INDEX, json!({"manifests": [child, absent]}));
    let signature = shop.image(&[b"signature"], Some(&child));
    let artifact = shop.artifact(ArtifactKind::Image, "docker.io/library/tool:2", &index);
    artifact.platforms = vec!["linux/amd64".into()];
    artifact.absent = vec![absent.digest];
    artifact.referrers = vec![Referrer { root: signature, subject: child.digest, tag: None }];
    let file = shop.image(&[b"#!/bin/sh\n"], None);
    shop.artifact(ArtifactKind::File, "files/run:1", &file);
    shop
}

fn open(dir: &Path) -> verify::VerifiedBundle {
    verify::open(dir, &[key().public().clone()]).unwrap()
}

#[test]
fn what_was_written_is_read_back() {
    let shop = workshop(200_000);
    let dir = shop.write("bundle", None, 2);
    let bundle = open(&dir);
    let report = verify::check(&bundle, 2, &Silent).unwrap();
    assert_eq!(report.artifacts.len(), 3);
    assert_eq!(report.volumes, 1);
    assert_eq!(bundle.signers(), [key().public().key_id()]);
    for blob in &shop.contents.blobs {
        assert_eq!(bundle.read_blob(&blob.digest).unwrap(), shop.store.read_blob(blob).unwrap());
    }
    let missing = bundle.read_blob(&Digest::of(b"nothing")).unwrap_err();
    assert_eq!(missing.reason, Reason::BlobMissing);
    assert_eq!(verify::glance(&dir).unwrap().index, *bundle.index());
}

#[test]
fn any_number_of_workers_and_any_order_give_the_same_bytes() {
    let mut shop = workshop(40 << 20);
    let one = files(&shop.write("one", Some(9 << 20), 1));
    shop.contents.artifacts.reverse();
    shop.contents.blobs.reverse();
    let eight = files(&shop.write("eight", Some(9 << 20), 8));
    assert!(one == eight);
    assert!(one.len() > 9, "{:?}", one.keys());
}
