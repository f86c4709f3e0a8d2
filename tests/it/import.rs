//! From a signed bundle on disk into the home store and into a registry that takes pushes.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sealift::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failures, Reason},
        progress::{Progress, Silent},
    },
    bundle::{ArtifactKind, Referrer},
    import::{self, Destination, Mapping, Options},
    ledger::Record,
    oci::{Descriptor, Platform, media_type, reference::referrers_tag},
    remote::{Client, ClientSettings, Retries},
    report::ImportReport,
    site::Site,
    store::{Store, Target},
    verify::{self, VerifiedBundle},
};
use serde_json::json;

use crate::{
    bundle::{Workshop, files, key, known, noise},
    support::sink::{Manner, Sink},
};

const NGINX: &str = "docker.io/library/nginx";

/// A bundle with an index of two platforms (one signed, both with an attestation), two tags of one image, a
/// chart and a file; and an empty site.
struct Scene {
    workshop: Workshop,
    bundle: PathBuf,
    index: Descriptor,
    amd: Descriptor,
    arm: Descriptor,
    signature: Descriptor,
    tool: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let mut workshop = Workshop::new();
        let base = noise(1, 300_000);
        let amd = Descriptor {
            platform: Platform::parse("linux/amd64"),
            ..workshop.image(&[&base, b"amd64"], None)
        };
        let arm = Descriptor {
            platform: Platform::parse("linux/arm64"),
            ..workshop.image(&[&base, b"arm64"], None)
        };
        let index = workshop.document(media_type::INDEX, json!({ "manifests": [amd, arm] }));
        let signature = workshop.image(&[b"signature"], Some(&Descriptor { platform: None, ..arm.clone() }));
        let image = workshop.artifact(ArtifactKind::Image, &format!("{NGINX}:1.27"), &index);
        image.platforms = vec!["linux/amd64".into(), "linux/arm64".into()];
        image.referrers.push(Referrer {
            root: signature.clone(),
            subject: arm.digest.clone(),
            tag: Some("sig".into()),
        });
        workshop.artifact(ArtifactKind::Image, &format!("{NGINX}:stable"), &index);
        let team = workshop.image(&[&base], None);
        workshop.artifact(ArtifactKind::Image, "127.0.0.1:5601/team/app:1.0", &team);
        let chart = workshop.image(&[b"chart"], None);
        workshop.artifact(ArtifactKind::Chart, "charts.example.com/web:1.0.0", &chart);
        let tool = noise(2, 70_000);
        let empty = workshop.blob(media_type::EMPTY, b"{}");
        let mut layer = json!(workshop.blob(media_type::OCTETS, &tool));
        layer["annotations"] =
            json!({ "org.opencontainers.image.title": "tool", "dev.sealift.executable": "true" });
        let file = json!({ "artifactType": media_type::FILE_ARTIFACT, "config": empty, "layers": [layer] });
        let file = workshop.document(media_type::MANIFEST, file);
        workshop.artifact(ArtifactKind::File, "files/tool:2.0", &file);
        let bundle = workshop.write("bundle", None, 2);
        Self { workshop, bundle, index, amd, arm, signature, tool }
    }

    fn open(&self) -> VerifiedBundle {
        verify::open(&self.bundle, &known()).unwrap()
    }

    fn site(&self) -> Store {
        Store::open(&self.workshop.dir.path().join("site")).unwrap()
    }

    fn run(&self, options: &Options) -> Result<ImportReport, Failures> {
        import::run(&self.open(), options, &Silent)
            .map(|done| done.report)
            .map_err(|refusal| refusal.failures)
    }
}

fn into(store: &Store, destination: Destination) -> Options {
    Options {
        site: Site::new(store.clone(), Timestamp::from_seconds(0).unwrap()),
        destination,
        platforms: Vec::new(),
        names: Vec::new(),
        mapping: Mapping::default(),
        files_to: None,
        sign_key: None,
        dry_run: false,
        workers: 4,
    }
}

fn home(store: &Store) -> Options {
    into(store, Destination::Home)
}

fn registry(store: &Store, sink: &Sink, prefix: &str) -> Options {
    let retries = Retries { tries: 1, ..Retries::default() };
    let settings = ClientSettings { retries, ..ClientSettings::default() };
    let client = Client::new(settings, Arc::new(Silent)).unwrap();
    into(store, Destination::registry(&format!("{}{prefix}", sink.host()), client).unwrap())
}

fn reason(result: Result<ImportReport, Failures>) -> Reason {
    result.unwrap_err().list()[0].reason
}

#[test]
fn everything_arrives_at_home_byte_for_byte() {
    let scene = Scene::new();
    let site = scene.site();
    let report = scene.run(&home(&site)).unwrap();
    for blob in &scene.workshop.contents.blobs {
        let bytes = scene.workshop.store.read_blob(blob).unwrap();
        assert!(site.read_blob(blob).unwrap() == bytes, "{}", blob.digest);
    }
    for (repository, tag, digest) in [
        (NGINX, "1.27", Some(&scene.index.digest)),
        (NGINX, "stable", Some(&scene.index.digest)),
        (NGINX, "sig", Some(&scene.signature.digest)),
        ("127.0.0.1_5601/team/app", "1.0", None),
        ("charts.example.com/web", "1.0.0", None),
        ("files/tool", "2.0", None),
    ] {
        let found = site.manifest(repository, &Target::Tag(tag.into())).unwrap().unwrap();
        assert!(digest.is_none_or(|digest| *digest == found.digest), "{repository}:{tag}");
    }
    let referrers = site.referrers(NGINX, &scene.arm.digest, None, None, 9).unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!(report.bundle.signers[0].key_id, key().public().key_id());
    assert_eq!((report.bundle.sequence, report.destination.as_str()), (42, "home"));
    assert_eq!(site.reports().unwrap(), [report.to_json().unwrap()]);

    let again = scene.run(&home(&site)).unwrap();
    assert_eq!((again.counts.blobs_written, again.counts.bytes_written), (0, 0));
    assert_eq!(again.counts.bytes_skipped, report.counts.bytes_written);
}

#[test]
fn a_narrowed_import_keeps_the_index_and_names_what_is_absent() {
    let scene = Scene::new();
    let site = scene.site();
    let options = Options {
        platforms: vec![Platform::parse("linux/amd64").unwrap()],
        names: vec!["*/nginx:1.27".into()],
        ..home(&site)
    };
    let report = scene.run(&options).unwrap();
    let entry = &report.artifacts[0];
    assert_eq!((report.artifacts.len(), &entry.digest), (1, &scene.index.digest));
    assert_eq!(entry.absent, std::slice::from_ref(&scene.arm.digest));
    assert_eq!(entry.dropped_referrers, std::slice::from_ref(&scene.signature.digest));
    assert_eq!(report.not_selected.len(), 4);
    let there = |digest: &Digest| site.manifest(NGINX, &Target::Digest(digest.clone())).unwrap().is_some();
    assert!(there(&scene.amd.digest) && !there(&scene.arm.digest));
    assert_eq!(site.tags(NGINX, None, 9).unwrap().unwrap(), ["1.27"]);
    let none = Options { names: vec!["nginx".into()], ..home(&site) };
    assert_eq!(reason(scene.run(&none)), Reason::FilterMatchesNothing);
}

/// Threats C07: what a killed import left goes before the room for the next one is counted.
#[test]
fn leftovers_of_a_killed_import_are_swept() {
    let scene = Scene::new();
    let site = scene.site();
    let left = site.home().join("staging/scratch-1-0.part");
    let held = site.home().join("staging/scratch-1-1.part");
    std::fs::write(&left, noise(9, 1000)).unwrap();
    let file = std::fs::File::create(&held).unwrap();
    file.lock().unwrap();
    scene.site();
    assert!(!left.exists() && held.exists(), "a file that a process holds stays");
    drop(file);
    scene.site();
    assert!(!held.exists());
}

#[test]
fn a_damaged_bundle_publishes_nothing_and_a_good_copy_finishes() {
    let scene = Scene::new();
    let site = scene.site();
    let volume = scene.bundle.join("volumes/0001.tar.zst");
    let good = std::fs::read(&volume).unwrap();
    // Within the manifests, within the layers, and in the last frame.
    for at in [600, good.len() / 2, good.len() - 2] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&volume, &bad).unwrap();
        assert_eq!(reason(scene.run(&home(&site))), Reason::ChunkDamaged, "{at}");
        assert!(site.repositories(None, 9, None).unwrap().is_empty() && site.reports().unwrap().is_empty());
    }
    std::fs::write(&volume, &good).unwrap();
    scene.run(&home(&site)).unwrap();
    assert_eq!(site.repositories(None, 9, None).unwrap().len(), 4);
}

/// Threats R04: several processes, here with a store of their own each, import into one new home.
#[test]
fn imports_at_the_same_time_lose_nothing() {
    let scene = Scene::new();
    let names = ["*/nginx:1.27", "*/nginx:stable", "*/app:*", "charts.*", "files/*", "*"];
    std::thread::scope(|scope| {
        for name in names {
            let scene = &scene;
            scope.spawn(move || {
                let options = Options { names: vec![name.into()], ..home(&scene.site()) };
                scene.run(&options).unwrap();
            });
        }
    });
    let site = scene.site();
    assert_eq!(site.repositories(None, 9, None).unwrap().len(), 4);
    assert_eq!(site.tags(NGINX, None, 9).unwrap().unwrap(), ["1.27", "sig", "stable"]);
    assert_eq!(site.reports().unwrap().len(), names.len());
    for blob in &scene.workshop.contents.blobs {
        site.read_blob(blob).unwrap();
    }
    assert_eq!(std::fs::read_dir(site.home().join("staging")).unwrap().count(), 0);
}

#[test]
fn files_come_out_executable_and_whole() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    let folder = scene.workshop.dir.path().join("out");
    let options = Options { files_to: Some(folder.clone()), ..home(&scene.site()) };
    assert!(!scene.run(&options).unwrap().files[0].present);
    assert!(scene.run(&options).unwrap().files[0].present);
    assert!(files(&folder)["tool"] == scene.tool);
    assert_eq!(folder.join("tool").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    // Threats R04: two at once would take each other's file under way for their own.
    std::fs::remove_file(folder.join("tool")).unwrap();
    let other = std::fs::File::open(&folder).unwrap();
    other.lock().unwrap();
    assert_eq!(reason(scene.run(&options)), Reason::LockHeld);
    assert!(files(&folder).is_empty());
    drop(other);
    scene.run(&options).unwrap();
    std::fs::write(folder.join("tool"), "mine").unwrap();
    assert_eq!(reason(scene.run(&options)), Reason::OutputExists);
    assert_eq!(files(&folder)["tool"], b"mine");
}

/// Names of what the ledger tells, but for checkpoints and keys.
fn told(store: &Store) -> Vec<&'static str> {
    let lines = store.ledger(1, usize::MAX).unwrap();
    let names = lines.iter().map(|line| Record::parse(line).unwrap().event.name());
    names.filter(|name| ["import", "refusal"].contains(name)).collect()
}

/// Something takes the name of a file while the import runs: that is no refusal, and running again finishes.
#[test]
fn a_name_taken_on_the_way_is_no_refusal() {
    /// Comes when the files stand whole in their folder, and nothing is left but to name them.
    struct Intruder(PathBuf, AtomicUsize);
    impl Progress for Intruder {
        fn start(&self, _what: &str, _total: u64) {}
        fn advance(&self, _bytes: u64) {}
        fn finish(&self) {
            if self.1.fetch_add(1, Ordering::Relaxed) == 1 {
                std::fs::create_dir_all(self.0.join("tool/mine")).unwrap();
            }
        }
        fn note(&self, _line: &str) {}
    }
    let scene = Scene::new();
    let (site, folder) = (scene.site(), scene.workshop.dir.path().join("out"));
    let options = Options { files_to: Some(folder.clone()), ..home(&site) };
    let failed =
        import::run(&scene.open(), &options, &Intruder(folder.clone(), AtomicUsize::new(0))).unwrap_err();
    let failure = &failed.failures.list()[0];
    assert_eq!(failure.reason, Reason::OutputExists);
    assert!(failure.to_string().contains("admitted"), "{failure}");
    assert_eq!(told(&site), ["import"]);
    assert!(site.manifest(NGINX, &Target::Tag("1.27".into())).unwrap().is_some());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "a file under way was left");
    std::fs::remove_dir_all(folder.join("tool")).unwrap();
    scene.run(&options).unwrap();
    assert!(files(&folder)["tool"] == scene.tool);
}

#[test]
fn a_registry_gets_children_before_parents_and_tags_last() {
    let scene = Scene::new();
    let sink = Sink::start(Manner { referrers: true, ..Manner::default() });
    let report = scene.run(&registry(&scene.site(), &sink, "/mirror")).unwrap();
    assert_eq!(report.destination, format!("{}/mirror", sink.host()));
    sink.with(|content| {
        let nginx = &content.repositories[&format!("mirror/{NGINX}")];
        assert_eq!(nginx.tags["1.27"], scene.index.digest);
        let (kind, bytes) = &nginx.manifests[&scene.index.digest];
        assert_eq!((kind.as_str(), Digest::of(bytes)), (media_type::INDEX, scene.index.digest.clone()));
        assert!(content.repositories["mirror/127.0.0.1_5601/team/app"].tags.contains_key("1.0"));
        assert!(content.repositories["mirror/files/tool"].tags.contains_key("2.0"));
        // The sink refuses parents before children; tags must come after every manifest of everything.
        let is_tag = |line: &String| line.contains("/manifests/") && !line.contains("/manifests/sha256:");
        let first_tag = content.log.iter().position(is_tag).unwrap();
        assert_eq!(content.log.len() - first_tag, report.counts.tags);
        assert!(content.log[first_tag..].iter().all(is_tag));
        // Each content went over the wire once; other repositories mounted it.
        let uploads = content.log.iter().filter(|line| line.contains("/blobs/")).count();
        let distinct: std::collections::BTreeSet<_> = content
            .log
            .iter()
            .filter(|line| line.contains("/blobs/"))
            .map(|line| &line[line.len() - 64..])
            .collect();
        assert_eq!(uploads, distinct.len());
        assert!(content.log.iter().any(|line| line.contains("/mount/")));
        content.log.clear();
    });
    let again = scene.run(&registry(&scene.site(), &sink, "/mirror")).unwrap();
    assert_eq!((again.counts.blobs_written, again.counts.bytes_written), (0, 0));
    sink.with(|content| assert!(content.log.is_empty(), "{:?}", content.log));
}

#[test]
fn the_tag_of_an_index_waits_for_those_of_its_children() {
    let mut scene = Scene::new();
    for (platform, child) in [("amd64", &scene.amd), ("arm64", &scene.arm)] {
        let root = Descriptor { platform: None, ..child.clone() };
        let image = scene.workshop.artifact(ArtifactKind::Image, &format!("{NGINX}:{platform}"), &root);
        image.platforms = vec![format!("linux/{platform}")];
    }
    scene.bundle = scene.workshop.write("tagged", None, 2);
    let sink = Sink::start(Manner { referrers: true, blinks: true, ..Manner::default() });
    let options = Options { workers: 16, ..registry(&scene.site(), &sink, "") };
    scene.run(&options).unwrap();
}

#[test]
fn without_the_referrers_api_the_fallback_tag_is_kept() {
    let scene = Scene::new();
    let sink = Sink::start(Manner::default());
    scene.run(&registry(&scene.site(), &sink, "")).unwrap();
    let tag = referrers_tag(&scene.arm.digest);
    let list = |content: &mut crate::support::sink::Content| {
        let nginx = &content.repositories[NGINX];
        let (_, bytes) = &nginx.manifests[&nginx.tags[&tag]];
        serde_json::from_slice::<serde_json::Value>(bytes).unwrap()["manifests"].clone()
    };
    let listed = sink.with(list);
    assert_eq!(listed[0]["digest"], scene.signature.digest.to_string());
    assert_eq!(listed[0]["artifactType"], media_type::CONFIG);
    // Cut between the manifest and the list: the next run finds that it is not listed.
    sink.with(|content| content.repositories.get_mut(NGINX).unwrap().tags.remove(&tag));
    scene.run(&registry(&scene.site(), &sink, "")).unwrap();
    assert_eq!(sink.with(list), listed);
}

/// What counts is written before anybody sees it: a registry that fails at the tags makes no refusal of an import, and
/// the same import finishes it.
#[test]
fn tags_move_after_the_import_counts() {
    let scene = Scene::new();
    let (site, sink) = (scene.site(), Sink::start(Manner { referrers: true, ..Manner::default() }));
    sink.with(|content| content.refuses_tags = true);
    let failed = import::run(&scene.open(), &registry(&site, &sink, "/mirror"), &Silent).unwrap_err();
    let failure = &failed.failures.list()[0];
    assert_eq!(failure.reason, Reason::PushRefused);
    assert!(failure.to_string().contains("admitted") && failed.receipt.is_some(), "{failure}");
    assert_eq!(told(&site), ["import"]);
    let tags = || sink.with(|content| content.repositories.values().map(|one| one.tags.len()).sum::<usize>());
    assert_eq!(tags(), 0);
    sink.with(|content| content.refuses_tags = false);
    let report = scene.run(&registry(&site, &sink, "/mirror")).unwrap();
    assert_eq!(tags(), report.counts.tags);
    assert_eq!(told(&site), ["import", "import"]);
}

#[test]
fn a_cut_push_goes_on_where_it_ended() {
    let scene = Scene::new();
    let sink = Sink::start(Manner { referrers: true, breaks_after: Some(3), ..Manner::default() });
    assert_eq!(scene.run(&registry(&scene.site(), &sink, "")).unwrap_err().code(), 9);
    sink.with(|content| {
        // Beside them, another worker may have got a manifest or a mount through.
        assert_eq!(content.log.iter().filter(|line| line.contains("/blobs/")).count(), 3);
        assert!(content.repositories.values().all(|repository| repository.tags.is_empty()));
    });
    sink.mend();
    scene.run(&registry(&scene.site(), &sink, "")).unwrap();
    sink.with(|content| {
        let uploads: Vec<_> = content.log.iter().filter(|line| line.contains("/blobs/")).collect();
        let distinct: std::collections::BTreeSet<_> =
            uploads.iter().map(|line| &line[line.len() - 64..]).collect();
        assert_eq!(uploads.len(), distinct.len(), "a content was sent twice");
        assert_eq!(content.repositories[NGINX].tags.len(), 3);
    });
}

#[test]
fn a_dry_run_asks_and_changes_nothing() {
    let scene = Scene::new();
    let sink = Sink::start(Manner::default());
    let options = Options {
        mapping: Mapping::parse(&["docker.io/library=base", "files=tools"]).unwrap(),
        dry_run: true,
        ..registry(&scene.site(), &sink, "/p")
    };
    let planned = scene.run(&options).unwrap();
    assert!(planned.dry_run && planned.counts.bytes_written > 300_000);
    assert_eq!(planned.artifacts.iter().filter(|entry| entry.target.starts_with("p/base/nginx:")).count(), 2);
    sink.with(|content| assert!(content.log.is_empty() && content.repositories.is_empty()));
    let done = scene.run(&Options { dry_run: false, ..options }).unwrap();
    assert_eq!(done.counts, planned.counts);
}

#[test]
fn a_registry_that_is_not_there_is_upstream_trouble() {
    let scene = Scene::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings =
        ClientSettings { retries: Retries { tries: 1, ..Retries::default() }, ..ClientSettings::default() };
    let client = Client::new(settings, Arc::new(Silent)).unwrap();
    let failures = scene
        .run(&into(&scene.site(), Destination::registry(&nobody.to_string(), client).unwrap()))
        .unwrap_err();
    assert_eq!((failures.code(), failures.list()[0].reason), (9, Reason::Network));
}
