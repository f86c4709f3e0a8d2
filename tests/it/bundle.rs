//! Writing a bundle and reading it back: same bytes, same content, bounded volumes.
use std::{collections::BTreeMap, fs, path::Path};

use sealift::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, progress::Silent},
    bundle::{self, Artifact, ArtifactKind, Contents, Referrer},
    oci::{Descriptor, artifact, file_artifact, media_type},
    store::Store,
    trust::{Authority, PrivateKey},
    verify,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Bytes that zstd cannot shrink, the same for the same `seed`.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; length];
    for eight in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        eight.copy_from_slice(&state.to_le_bytes()[..eight.len()]);
    }
    bytes
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
            previous: None,
            site: None,
            expires: None,
            trust: BTreeMap::new(),
            evidence: BTreeMap::new(),
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
        bundle::write(&dir, &self.contents, &self.store, limit, workers, &[Box::new(key())], &Silent)
            .unwrap();
        dir
    }
}

/// The worthless key of `testdata/keys`.
/// Whoever believes [`key`].
pub(crate) fn known() -> Authority {
    Authority::Keys(vec![key().public().clone()])
}

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
    let content = shop.blob(media_type::OCTETS, b"#!/bin/sh\n");
    shop.blob(media_type::EMPTY, artifact::EMPTY_CONFIG);
    let (manifest, _) = file_artifact("run", media_type::OCTETS, &content, true).unwrap();
    let file = shop.blob(media_type::MANIFEST, &manifest);
    shop.artifact(ArtifactKind::File, "files/run:1", &file);
    shop
}

fn open(dir: &Path) -> verify::VerifiedBundle {
    verify::open(dir, &known()).unwrap()
}

#[test]
fn what_was_written_is_read_back() {
    let shop = workshop(200_000);
    let dir = shop.write("bundle", None, 2);
    let bundle = open(&dir);
    let report = verify::check(&bundle, 2, &Silent).unwrap();
    assert_eq!(report.artifacts.len(), 3);
    assert_eq!(report.volumes, 1);
    assert_eq!(bundle.signers()[0].key_id, key().public().key_id());
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

/// A shop with one artifact of some layers.
fn layered(layers: &[&[u8]]) -> Workshop {
    let mut shop = Workshop::new();
    let image = shop.image(layers, None);
    shop.artifact(ArtifactKind::Image, "registry.example.com/app:1", &image);
    shop
}

#[test]
fn no_volume_is_ever_over_its_limit() {
    let text = "compressible ".repeat(300_000);
    let shop = layered(&[
        &noise(1, 2_500_000),
        &noise(2, 900_000),
        &noise(3, 900_000),
        text.as_bytes(),
        &noise(4, 1_048_576),
        b"",
    ]);
    for limit in [1 << 20, (1 << 20) + 1, 1_500_000, 2 << 20, 3_000_000, 20 << 20] {
        let dir = shop.write(&format!("limit-{limit}"), Some(limit), 2);
        let bundle = open(&dir);
        let report = verify::check(&bundle, 2, &Silent).unwrap();
        let plan = bundle::plan(&shop.contents, Some(limit)).unwrap();
        assert!(report.volumes <= plan.volumes, "{report:?} {plan:?}");
        assert!(report.stored <= plan.bytes, "{report:?} {plan:?}");
        for volume in &bundle.index().volumes {
            assert!(volume.size <= limit, "{} in {limit}", volume.size);
        }
        for blob in &shop.contents.blobs {
            let mut got = Vec::new();
            bundle
                .stream_blob(&blob.digest, &mut |bytes| {
                    got.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
            blob.check(&got).unwrap();
        }
    }
    let small = bundle::plan(&shop.contents, Some((1 << 20) - 1)).unwrap_err();
    assert_eq!(small.reason, Reason::BadArgument);
}

#[test]
fn only_what_cannot_fit_a_volume_is_split() {
    let shop = layered(&[&noise(1, 900_000), &noise(2, 900_000), &noise(3, 2_500_000)]);
    let bundle = open(&shop.write("bundle", Some(1 << 20), 2));
    let mut parts = BTreeMap::new();
    for member in &bundle.index().members {
        let name = member.path.split(".part-").next().unwrap().to_owned();
        *parts.entry(name).or_insert(0) += 1;
    }
    let mut counts: Vec<i32> = parts.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts[..6], [1; 6]);
    assert!(counts.len() == 7 && counts[6] >= 3, "{counts:?}");
}

/// Content larger than a frame, larger than a volume, and such that little input gives much output.
#[test]
fn content_of_many_frames_and_parts_is_read_back() {
    let shop = layered(&[&vec![7; 17 << 20], &noise(1, 1_500_000)]);
    for (name, limit) in [("whole", None), ("split", Some(1 << 20))] {
        let bundle = open(&shop.write(name, limit, 2));
        verify::check(&bundle, 2, &Silent).unwrap();
        let members = &bundle.index().members;
        assert_eq!(members.iter().any(|member| member.frames.len() == 2), limit.is_none());
        assert_eq!(members.iter().any(|member| member.path.ends_with(".part-0002")), limit.is_some());
    }
}

#[test]
fn damage_is_told_with_the_artifacts_that_suffer() {
    let shop = workshop(12 << 20);
    let dir = shop.write("bundle", Some(9 << 20), 2);
    let bundle = open(&dir);
    let digest = Digest::of(&noise(2, 12 << 20));
    let index = bundle.index();
    let hit: Vec<_> = index.members.iter().filter(|member| member.path.contains(digest.hex())).collect();
    assert_eq!(hit.len(), 2);
    for member in &hit {
        let path = dir.join(&index.volumes[member.volume - 1].path);
        let mut bytes = fs::read(&path).unwrap();
        bytes[usize::try_from(member.offset + member.frames[0] / 2).unwrap()] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let failures = verify::check(&bundle, 2, &Silent).unwrap_err();
    assert_eq!(failures.code(), 4);
    assert_eq!(failures.list().len(), 2);
    for (failure, member) in failures.list().iter().zip(&hit) {
        assert_eq!(failure.reason, Reason::ChunkDamaged);
        assert_eq!(failure.object, index.volumes[member.volume - 1].path);
        assert!(failure.message.contains("docker.io/library/tool:2"), "{failure}");
    }
    // The chunk in the first volume holds nothing else.
    assert!(!failures.list()[0].message.contains("files/run"), "{}", failures.list()[0]);
}

#[test]
fn a_store_that_rots_stops_the_writer() {
    for rot in [&b"other bytes of"[..], b"short", b"longer than the blob was"] {
        let shop = layered(&[b"some content ok"]);
        let layer = Descriptor::of(media_type::LAYER_TAR, b"some content ok");
        fs::write(shop.store.place_of(&layer.digest), rot).unwrap();
        let dir = shop.dir.path().join("bundle");
        fs::create_dir(&dir).unwrap();
        let failures = bundle::write(&dir, &shop.contents, &shop.store, None, 2, &[Box::new(key())], &Silent)
            .unwrap_err();
        assert_eq!(failures.list()[0].reason, Reason::StoreDamaged);
        assert!(!shop.store.has(&layer).unwrap(), "the damaged copy stays");
        assert!(!dir.join("SHA256SUMS").exists());
    }
}

#[test]
fn contents_that_are_not_closed_are_not_written() {
    let reasons = |shop: &Workshop| {
        let dir = shop.dir.path().join("bundle");
        fs::create_dir(&dir).unwrap();
        let failures = bundle::write(&dir, &shop.contents, &shop.store, None, 2, &[], &Silent).unwrap_err();
        assert!(fs::read_dir(&dir).unwrap().next().is_none());
        failures.list().iter().map(|failure| failure.reason).collect::<Vec<_>>()
    };
    let mut shop = layered(&[b"one"]);
    shop.contents.blobs.retain(|blob| blob.media_type != media_type::LAYER_TAR);
    assert_eq!(reasons(&shop), [Reason::BlobMissing]);
    let mut shop = layered(&[b"one"]);
    shop.blob(media_type::LAYER_TAR, b"unneeded");
    assert_eq!(reasons(&shop), [Reason::BlobUnreferenced]);
    let mut shop = layered(&[b"one"]);
    shop.contents.name = "Edge Platform".into();
    assert_eq!(reasons(&shop), [Reason::NameMalformed]);
}

#[test]
fn the_recipe_depends_on_the_name_only() {
    let shop = layered(&[b"one"]);
    let written = fs::read_to_string(shop.write("bundle", None, 1).join("VERIFY.txt")).unwrap();
    assert_eq!(written, sealift::report::recipe::text("edge-platform", "2026.11"));
    assert!(written.contains("openssl pkeyutl -verify -pubin -inkey \"$KEY\" -rawin -in SHA256SUMS"));
    assert!(written.contains("openssl dgst -sha256 -verify \"$KEY\" -signature"));
}

/// The golden bundle: made by the forge, a writer of its own that knows only `docs/format.md`. Our writer
/// and the forge agree on every byte of a volume.
#[test]
fn a_second_writer_gives_the_same_volume() {
    let scene = crate::forge::Scene::good();
    let mut shop = Workshop::new();
    for (media_type, bytes) in &scene.blobs {
        shop.blob(media_type, bytes);
    }
    shop.contents.artifacts.clone_from(&scene.artifacts);
    let mut forge = scene.forge();
    forge.entries.iter_mut().for_each(|entry| entry.volume = 1);
    forge.ends.truncate(1);
    let ours = files(&shop.write("bundle", None, 2));
    assert!(ours["volumes/0001.tar.zst"] == forge.seal()["volumes/0001.tar.zst"]);
}

#[test]
fn keys_of_openssl_are_read() {
    let pem = fs::read_to_string(root().join("testdata/keys/worthless-1.encrypted.pem")).unwrap();
    let passphrase = sealift::base::redact::Secret::new("worthless");
    let opened = PrivateKey::from_pem(&pem, Some(&passphrase)).unwrap();
    assert_eq!(opened.public(), key().public());
    let public = fs::read_to_string(root().join("testdata/keys/worthless-1.pub.pem")).unwrap();
    assert_eq!(opened.public().to_pem().unwrap(), public);
}

#[test]
fn a_disk_that_refuses_stops_the_writer_at_once() {
    let shop = layered(&[&noise(1, 40 << 20)]);
    let dir = shop.dir.path().join("bundle");
    // The second volume cannot be made: a folder stands in its place.
    fs::create_dir_all(dir.join("volumes/0002.tar.zst")).unwrap();
    let limit = Some(18 << 20);
    let failures = bundle::write(&dir, &shop.contents, &shop.store, limit, 2, &[], &Silent).unwrap_err();
    assert_eq!(failures.code(), 3, "{:?}", failures.list());
}
