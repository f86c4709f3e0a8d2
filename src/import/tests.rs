//! The home import against a source in memory: every decision without a signed bundle.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use super::*;
use crate::{
    base::{clock::Timestamp, progress::Silent},
    bundle::{Artifact, ArtifactKind, Blob, Encoding, Referrer, SumsHeader},
    oci::{Document, media_type},
    store::{Store, Target},
    trust::{Algorithm, PrivateKey},
};

/// A bundle in memory.
struct Memory {
    index: BundleIndex,
    blobs: BTreeMap<Digest, Vec<u8>>,
    streamed: AtomicUsize,
}

impl Source for Memory {
    fn index(&self) -> &BundleIndex {
        &self.index
    }
    fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let missing = || Failure::new(Reason::BlobMissing, digest, "not in memory");
        self.blobs.get(digest).cloned().ok_or_else(missing)
    }
    fn stream_blob(&self, digest: &Digest, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.streamed.fetch_add(1, Ordering::Relaxed);
        self.read_blob(digest)?.chunks(3).try_for_each(sink)
    }
}

impl Memory {
    fn new() -> Self {
        let index = BundleIndex {
            schema: 1,
            name: "edge".into(),
            version: "1".into(),
            channel: "c".into(),
            epoch: 1,
            sequence: 1,
            created: "2026-01-01T00:00:00Z".into(),
            description: None,
            tool: "t".into(),
            artifacts: vec![],
            blobs: vec![],
            members: vec![],
            volumes: vec![],
        };
        Self { index, blobs: BTreeMap::new(), streamed: AtomicUsize::new(0) }
    }

    fn put(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::of(media_type, bytes);
        if self.blobs.insert(blob.digest.clone(), bytes.to_vec()).is_none() {
            self.index.blobs.push(Blob {
                digest: blob.digest.clone(),
                size: blob.size,
                media_type: media_type.into(),
                encoding: Encoding::Raw,
            });
        }
        blob
    }

    fn image(&mut self, layer: &[u8], subject: Option<&Descriptor>, platform: Option<&str>) -> Descriptor {
        let config = self.put(media_type::CONFIG, b"{}");
        let layer = self.put(media_type::LAYER_GZIP, layer);
        let mut image = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config,
                                "layers": [layer] });
        if let Some(subject) = subject {
            image["subject"] = json!(subject);
        }
        let mut root = self.put(media_type::MANIFEST, image.to_string().as_bytes());
        root.platform = platform.and_then(Platform::parse);
        root
    }

    fn artifact(&mut self, kind: ArtifactKind, name: &str, root: &Descriptor) -> &mut Artifact {
        self.index.artifacts.push(Artifact {
            kind,
            name: name.into(),
            source: String::new(),
            root: Descriptor { platform: None, ..root.clone() },
            platforms: vec![],
            absent: vec![],
            referrers: vec![],
        });
        self.index.artifacts.last_mut().unwrap()
    }

    /// An index of amd64 and arm64, the second with a signature; a chart; a file.
    fn usual() -> (Self, [Digest; 4]) {
        let mut bundle = Self::new();
        let amd = bundle.image(b"amd layer", None, Some("linux/amd64"));
        let arm = bundle.image(b"arm layer", None, Some("linux/arm64"));
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [amd, arm] });
        let index = bundle.put(media_type::INDEX, index.to_string().as_bytes());
        let signature = bundle.image(b"signature", Some(&arm), None);
        let chart = bundle.image(b"chart", None, None);
        let artifact = bundle.artifact(ArtifactKind::Image, "docker.io/library/nginx:1.27", &index);
        artifact.platforms = vec!["linux/amd64".into(), "linux/arm64".into()];
        artifact.referrers.push(Referrer {
            root: signature.clone(),
            subject: arm.digest.clone(),
            tag: Some("sig".into()),
        });
        bundle.artifact(ArtifactKind::Chart, "charts.example.com/web:1.0", &chart);
        let content = bundle.put(media_type::OCTETS, b"#!/bin/sh\n");
        let empty = bundle.put(media_type::EMPTY, b"{}");
        let mut layer = json!(content);
        layer["annotations"] =
            json!({ "org.opencontainers.image.title": "tool", "dev.sealift.executable": "true" });
        let file = json!({ "schemaVersion": 2, "artifactType": media_type::FILE_ARTIFACT,
                           "config": empty, "layers": [layer] });
        let file = bundle.put(media_type::MANIFEST, file.to_string().as_bytes());
        bundle.artifact(ArtifactKind::File, "files/tool:2.0", &file);
        (bundle, [index.digest, amd.digest, arm.digest, signature.digest])
    }
}

fn options(store: &Store) -> Options {
    Options {
        site: Site::new(store.clone(), Timestamp::from_seconds(0).unwrap()),
        destination: Destination::Home,
        platforms: vec![],
        names: vec![],
        mapping: Mapping::default(),
        files_to: None,
        sign_key: None,
        dry_run: false,
        workers: 3,
    }
}

fn home() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("home")).unwrap();
    (dir, store)
}

fn go(bundle: &Memory, options: &Options) -> Result<ImportReport, Failures> {
    let header = SumsHeader {
        name: "edge".into(),
        version: "1".into(),
        channel: "c".into(),
        epoch: 1,
        sequence: 1,
        created: Timestamp::from_seconds(0).unwrap(),
        previous: None,
        site: None,
        trust: 0,
        expires: None,
    };
    let sums = Digest::of(b"sums");
    let arrival = Arrival { header: &header, sums: &sums, signers: &[], chain: None };
    let verdict = options.site.judge(&arrival)?;
    match import(bundle, &arrival, verdict, options, &Silent) {
        Ok(done) => Ok(done.report),
        Err(Stop::Refused(failures)) => Err(failures),
        Err(Stop::Unfinished(unfinished)) => Err(unfinished.failures),
    }
}

fn reason(result: Result<ImportReport, Failures>) -> Reason {
    result.unwrap_err().list()[0].reason
}

#[test]
fn everything_arrives_and_a_second_run_brings_nothing() {
    let (_dir, store) = home();
    let (bundle, [index, amd, arm, signature]) = Memory::usual();
    let report = go(&bundle, &options(&store)).unwrap();
    let repository = "docker.io/library/nginx";
    for target in [Target::Tag("1.27".into()), Target::Digest(index.clone())] {
        assert_eq!(store.manifest(repository, &target).unwrap().unwrap().digest, index);
    }
    for digest in [&amd, &arm, &signature] {
        assert!(store.manifest(repository, &Target::Digest(digest.clone())).unwrap().is_some());
    }
    assert_eq!(store.tags(repository, None, 9).unwrap().unwrap(), ["1.27", "sig"]);
    let referrers = store.referrers(repository, &arm, None, None, 9).unwrap();
    assert_eq!(referrers[0].descriptor.digest, signature);
    assert_eq!(store.repositories(None, 9, None).unwrap().len(), 3);
    assert!(store.tags("files/tool", None, 9).unwrap().unwrap().contains(&"2.0".to_owned()));
    assert_eq!(report.counts.blobs_skipped, 0);
    assert_eq!(report.counts.blobs_written, bundle.blobs.len());
    assert_eq!(report.artifacts[0].referrers, [signature]);
    assert_eq!(store.reports().unwrap(), [report.to_json().unwrap()]);

    bundle.streamed.store(0, Ordering::Relaxed);
    let again = go(&bundle, &options(&store)).unwrap();
    assert_eq!((again.counts.blobs_written, again.counts.bytes_written), (0, 0));
    assert_eq!(again.counts.bytes_skipped, report.counts.bytes_written);
    assert_eq!(bundle.streamed.load(Ordering::Relaxed), 0);
    assert_eq!(again.artifacts, report.artifacts);
}

#[test]
fn a_dry_run_counts_and_touches_nothing() {
    let (dir, store) = home();
    let (bundle, _) = Memory::usual();
    let files = dir.path().join("out");
    let dry = Options { dry_run: true, files_to: Some(files.clone()), ..options(&store) };
    let report = go(&bundle, &dry).unwrap();
    assert_eq!(report.counts.blobs_written, bundle.blobs.len());
    assert!(report.dry_run && report.files.len() == 1);
    assert!(store.repositories(None, 9, None).unwrap().is_empty() && store.reports().unwrap().is_empty());
    assert!(!files.exists());
}

#[test]
fn platforms_leave_the_index_as_it_is_and_say_what_is_absent() {
    let (_dir, store) = home();
    let (bundle, [index, amd, arm, signature]) = Memory::usual();
    let narrowed = Options { platforms: vec![Platform::parse("linux/amd64").unwrap()], ..options(&store) };
    let report = go(&bundle, &narrowed).unwrap();
    let entry = &report.artifacts[0];
    assert_eq!((entry.digest.clone(), entry.platforms.join(",")), (index.clone(), "linux/amd64".to_owned()));
    assert_eq!((&entry.absent, &entry.dropped_referrers), (&vec![arm.clone()], &vec![signature]));
    let repository = "docker.io/library/nginx";
    let there = |digest: &Digest| store.manifest(repository, &Target::Digest(digest.clone())).unwrap();
    assert!(there(&index).is_some() && there(&amd).is_some() && there(&arm).is_none());
    assert_eq!(store.tags(repository, None, 9).unwrap().unwrap(), ["1.27"]);
    // Bring the rest later.
    let all = go(&bundle, &options(&store)).unwrap();
    assert!(there(&arm).is_some() && all.artifacts[0].absent.is_empty());
}

#[test]
fn filters_that_select_nothing_are_mistakes() {
    let (_dir, store) = home();
    let (bundle, _) = Memory::usual();
    let named = |names: &[&str]| Options {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        ..options(&store)
    };
    let report = go(&bundle, &named(&["*/web:*", "files/*"])).unwrap();
    assert_eq!(report.artifacts.len(), 2);
    assert_eq!(report.not_selected, ["docker.io/library/nginx:1.27"]);
    assert_eq!(reason(go(&bundle, &named(&["files/*", "nginx"]))), Reason::FilterMatchesNothing);
    let platforms = ["linux/amd64", "linux/s390x"].iter().filter_map(|one| Platform::parse(one)).collect();
    let unmet = Options { platforms, ..options(&store) };
    assert_eq!(reason(go(&bundle, &unmet)), Reason::FilterMatchesNothing);
}

#[test]
fn mapped_names_may_not_meet() {
    let (_dir, store) = home();
    let (mut bundle, [index, ..]) = Memory::usual();
    let mapping = |table: &[&str]| Options { mapping: Mapping::parse(table).unwrap(), ..options(&store) };
    let report = go(&bundle, &mapping(&["docker.io/library=base"])).unwrap();
    assert_eq!(report.artifacts[0].target, "base/nginx:1.27");
    assert_eq!(store.manifest("base/nginx", &Target::Tag("1.27".into())).unwrap().unwrap().digest, index);
    let other = bundle.image(b"other", None, None);
    bundle.artifact(ArtifactKind::Image, "quay.io/nginx:1.27", &other);
    let table = ["docker.io/library=base", "quay.io=base"];
    assert_eq!(reason(go(&bundle, &mapping(&table))), Reason::BadArgument);
}

#[test]
fn nothing_verified_stands_where_everybody_may_push() {
    let (_dir, store) = home();
    let (bundle, _) = Memory::usual();
    let mapping = |table: &str| Options { mapping: Mapping::parse(&[table]).unwrap(), ..options(&store) };
    for table in ["docker.io/library=sandbox", "docker.io=sandbox/hub", "docker.io/library/nginx=sandbox"] {
        assert_eq!(reason(go(&bundle, &mapping(table))), Reason::BadArgument, "{table}");
    }
    assert_eq!(store.repositories(None, 9, None).unwrap(), Vec::<String>::new());
    go(&bundle, &mapping("docker.io=sandboxes")).unwrap();
}

#[test]
fn files_are_written_once_and_never_over_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, store) = home();
    let (bundle, _) = Memory::usual();
    let folder = dir.path().join("out");
    let with_files = Options { files_to: Some(folder.clone()), ..options(&store) };
    assert!(!go(&bundle, &with_files).unwrap().files[0].present);
    let tool = folder.join("tool");
    assert_eq!(crate::base::fs::read_limited(&tool, 99, Reason::Internal).unwrap(), b"#!/bin/sh\n");
    assert_eq!(tool.metadata().unwrap().permissions().mode() & 0o111, 0o111);
    assert!(go(&bundle, &with_files).unwrap().files[0].present);
    crate::base::fs::write_atomic(&tool, b"#!/bin/ba\n", 0o600).unwrap();
    assert_eq!(reason(go(&bundle, &with_files)), Reason::OutputExists);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

/// Damage that only the files meet, since the home has everything already: the bundle is refused, not imported again.
#[test]
fn a_damaged_file_stops_the_import_before_it_counts() {
    let (dir, store) = home();
    let (mut bundle, _) = Memory::usual();
    go(&bundle, &options(&store)).unwrap();
    bundle.blobs.insert(Digest::of(b"#!/bin/sh\n"), b"#!/bin/ba\n".to_vec());
    let folder = dir.path().join("out");
    let with_files = Options { files_to: Some(folder.clone()), ..options(&store) };
    assert_eq!(reason(go(&bundle, &with_files)), Reason::DigestMismatch);
    assert_eq!(store.reports().unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn what_is_not_whole_publishes_nothing() {
    let (_dir, store) = home();
    // A layer that the bundle does not list.
    let (mut bundle, _) = Memory::usual();
    let layer = Digest::of(b"arm layer");
    bundle.index.blobs.retain(|blob| blob.digest != layer);
    assert_eq!(reason(go(&bundle, &options(&store))), Reason::BlobMissing);
    // Wrong bytes under the right name.
    let (mut bundle, _) = Memory::usual();
    bundle.blobs.insert(layer.clone(), b"arm layEr".to_vec());
    assert_eq!(reason(go(&bundle, &options(&store))), Reason::DigestMismatch);
    // Another size than the manifest gives.
    let (mut bundle, _) = Memory::usual();
    bundle.index.blobs.iter_mut().find(|blob| blob.digest == layer).unwrap().size += 1;
    assert_eq!(reason(go(&bundle, &options(&store))), Reason::SizeMismatch);
    assert!(store.repositories(None, 9, None).unwrap().is_empty() && store.reports().unwrap().is_empty());
    // The rerun with a good copy finishes.
    let (bundle, _) = Memory::usual();
    go(&bundle, &options(&store)).unwrap();
}

#[test]
fn a_registry_is_a_host_with_an_optional_prefix() {
    let parse = |place: &str| {
        let client = Client::new(crate::remote::ClientSettings::default(), std::sync::Arc::new(Silent));
        Destination::registry(place, client.unwrap()).map(|parsed| parsed.name())
    };
    for good in ["registry.internal", "127.0.0.1:5000", "registry.internal:5000/mirror/a"] {
        assert_eq!(parse(good).unwrap(), good);
    }
    for wrong in ["", "https://x", "x/", "x/A", "x/a:1", "/a", "x y"] {
        assert_eq!(parse(wrong).unwrap_err().reason, Reason::BadArgument, "{wrong}");
    }
}

#[test]
fn images_get_the_signatures_of_the_site_and_keep_upstreams() {
    use crate::cosign::{self, Found, Policy, Subject};
    let (_dir, store) = home();
    let (bundle, [index, amd, arm, _]) = Memory::usual();
    let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    let signing = |key: &PrivateKey| Options { sign_key: Some(Box::new(key.clone())), ..options(&store) };
    let receipt = go(&bundle, &signing(&key)).unwrap();
    assert_eq!(receipt.sign_key.as_deref(), Some(key.public().key_id()));
    let repository = "docker.io/library/nginx";
    let policy = Policy::Keys(vec![key.public().clone()]);
    let signed = |digest: &Digest| {
        let root = store.manifest(repository, &Target::Digest(digest.clone())).unwrap().unwrap();
        let legacy = store.manifest(repository, &Target::Tag(cosign::tag(digest))).unwrap().unwrap();
        let referrers = store.referrers(repository, digest, None, None, 9).unwrap();
        let mut found = Vec::new();
        for list in referrers.into_iter().map(|row| row.descriptor).chain([legacy]) {
            let list = Descriptor::new(&list.media_type, list.digest, list.size);
            let document = Document::parse(&store.read_blob(&list).unwrap(), &list.media_type).unwrap();
            for (form, layer) in cosign::candidates(&document) {
                let bytes = store.read_blob(layer).unwrap();
                found.push(Found { form, manifest: list.digest.clone(), layer: layer.clone(), bytes });
            }
        }
        let manifest = store.read_blob(&root).unwrap();
        cosign::judge(&policy, Subject::new(&root, &manifest).unwrap(), &found).unwrap().len()
    };
    // The index and its children, in both forms; charts and files are not images.
    for digest in [&index, &amd, &arm] {
        assert_eq!(signed(digest), 2);
    }
    assert_eq!(receipt.artifacts.iter().map(|entry| entry.signatures.len()).collect::<Vec<_>>(), [6, 0, 0]);
    // The name in it is the original one, which clients inside still ask for.
    let tag = Target::Tag(cosign::tag(&index));
    let list = store.manifest(repository, &tag).unwrap().unwrap();
    let document = Document::parse(&store.read_blob(&list).unwrap(), &list.media_type).unwrap();
    let payload = store.read_blob(cosign::candidates(&document)[0].1).unwrap();
    assert!(String::from_utf8(payload).unwrap().contains(r#""docker-reference":"docker.io/library/nginx""#));
    // Once more: the same signatures.
    let again = go(&bundle, &signing(&key)).unwrap();
    assert_eq!((again.artifacts, again.counts.blobs_written), (receipt.artifacts, 0));
    assert_eq!(store.manifest(repository, &tag).unwrap().unwrap().digest, list.digest);
    // Where there is no image, nothing is signed, and nothing says so.
    let chart = Options { names: vec!["*/web:*".into(), "files/*".into()], ..signing(&key) };
    assert_eq!(go(&bundle, &chart).unwrap().sign_key, None);
    // A key that other tools cannot check is refused before anything is written.
    let (_other, empty) = home();
    let ed25519 = PrivateKey::generate(Algorithm::Ed25519).unwrap();
    let options = Options { sign_key: Some(Box::new(ed25519)), ..options(&empty) };
    assert_eq!(reason(go(&bundle, &options)), Reason::BadArgument);
    assert!(empty.repositories(None, 9, None).unwrap().is_empty());
}
