//! `sealift store` and `sealift prune`: a home is looked at, mended, and made lighter.

use std::path::PathBuf;

use sealift::{
    base::{clock::Timestamp, digest::Digest, progress::Silent},
    oci::{Descriptor, Document, media_type},
    store::{
        Author, Publication, PublishedManifest, PublishedTag, Store,
        check::{self, Options},
    },
};
use serde_json::{Value, json};

use crate::support::sandbox::{Ran, Sandbox};

const SHOP: &str = "apps/shop";

/// A home under `site`.
struct Scene {
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { sandbox: Sandbox::new() };
        scene.store();
        scene
    }

    fn home(&self) -> PathBuf {
        self.sandbox.path("site")
    }

    fn store(&self) -> Store {
        Store::open(&self.home()).unwrap()
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.sandbox.run(&[words, &["--home", "site", "--output", "json"]].concat())
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::of(media_type, bytes);
        self.store().put(&blob, bytes).unwrap();
        blob
    }

    fn publish(&self, repository: &str, body: &Value, media_type: &str, tag: Option<&str>) -> Descriptor {
        let bytes = serde_json::to_vec(body).unwrap();
        let root = self.put(media_type, &bytes);
        let document = Document::parse(&bytes, media_type).unwrap();
        let listed: Vec<Descriptor> = document.descriptors().into_iter().cloned().collect();
        let (children, blobs): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|one| one.media_type == media_type::MANIFEST);
        let children = children.into_iter().map(|one| one.digest).collect();
        let manifest = PublishedManifest::new(repository, root.clone(), &document, blobs, children);
        let tags = tag.map(|tag| PublishedTag {
            repository: repository.into(),
            tag: tag.into(),
            digest: root.digest.clone(),
        });
        let author = Author { who: "import sha256:b0".into(), time: Timestamp::now() };
        let publication = Publication { manifests: vec![manifest], tags: tags.into_iter().collect() };
        self.store().publish(&publication, &author).unwrap();
        root
    }

    /// An image whose layer says `words`.
    fn image(&self, words: &str, tag: Option<&str>) -> Descriptor {
        let config = self.put(media_type::CONFIG, b"{}");
        let layer = self.put("application/vnd.oci.image.layer.v1.tar", words.as_bytes());
        let body = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        self.publish(SHOP, &body, media_type::MANIFEST, tag)
    }

    fn index(&self, images: &[&Descriptor], tag: Option<&str>) -> Descriptor {
        let body = json!({ "schemaVersion": 2, "manifests": images });
        self.publish(SHOP, &body, media_type::INDEX, tag)
    }

    fn signature(&self, of: &Descriptor, words: &str) -> Descriptor {
        let config = self.put(media_type::CONFIG, b"{}");
        let layer = self.put("application/vnd.dev.cosign.simplesigning.v1+json", words.as_bytes());
        let body = json!({ "schemaVersion": 2, "config": config, "layers": [layer], "subject": of });
        self.publish(SHOP, &body, media_type::MANIFEST, None)
    }

    fn has(&self, one: &Descriptor) -> bool {
        self.store().blob_in(SHOP, &one.digest).unwrap()
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.store().place_of(digest)
    }

    /// Lists, and gives the digests of the manifests in the plan.
    fn listed(&self, words: &[&str]) -> Vec<String> {
        let said = self.run(&[&["prune", "-o", "plan.json"], words].concat()).ok().json();
        let digest = Digest::of(self.sandbox.read("plan.json").as_bytes()).to_string();
        assert_eq!(said["digest"], digest);
        let mut listed: Vec<String> = said["plan"]["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["digest"].as_str().unwrap().to_owned())
            .collect();
        listed.sort();
        listed
    }

    fn wrong(&self, words: &[&str], code: i32) -> Vec<(String, String)> {
        let ran = self.run(&[&["store", "check"], words].concat());
        assert_eq!(ran.code, code, "{}", ran.stderr);
        let report = ran.json();
        assert_eq!(report["state"], if code == 0 { "whole" } else { "damaged" });
        let wrong = report["wrong"].as_array().unwrap();
        wrong
            .iter()
            .map(|one| (one["problem"].as_str().unwrap().into(), one["digest"].as_str().unwrap().into()))
            .collect()
    }
}

fn sorted(of: &[&Descriptor]) -> Vec<String> {
    let mut all: Vec<String> = of.iter().map(|one| one.digest.to_string()).collect();
    all.sort();
    all
}

#[test]
fn a_whole_store_is_whole_and_what_nothing_needs_is_no_fault() {
    let scene = Scene::new();
    scene.image("one", Some("1"));
    assert_eq!(scene.wrong(&["--read-data"], 0), []);
    scene.put("x", b"cached");
    let report = scene.run(&["store", "check", "--read-data"]).ok().json();
    assert_eq!((&report["unneeded"], &report["unneeded_bytes"]), (&json!(1), &json!(6)));
    assert_eq!(
        (&report["manifests"], &report["tags"], &report["contents"]),
        (&json!(1), &json!(1), &json!(4))
    );
    assert_eq!(report["hashed_bytes"], report["bytes"]);
    let nowhere = scene.sandbox.run(&["store", "check", "--home", "nowhere", "--output", "json"]);
    nowhere.refused(3, "not-found");
    assert!(!scene.sandbox.path("nowhere").exists());
}

#[test]
fn what_is_damaged_or_gone_is_named_with_whom_it_concerns() {
    let scene = Scene::new();
    let image = scene.image("layer", Some("1"));
    scene.index(&[&image], Some("all"));
    let layer = Digest::of(b"layer");
    let path = scene.file(&layer);
    let named = |problem: &str, digest: &Digest| vec![(problem.to_owned(), digest.to_string())];

    // Of the same length: only a look at the bytes finds it.
    std::fs::write(&path, b"LAYER").unwrap();
    assert_eq!(scene.wrong(&[], 0), []);
    assert_eq!(scene.wrong(&["--read-data", "-j", "3"], 4), named("damaged", &layer));
    let report = scene.run(&["store", "check", "--read-data"]).json();
    assert_eq!(report["reason"], "store-damaged");
    assert_eq!(report["wrong"][0]["repositories"], json!([SHOP]));
    assert_eq!(report["wrong"][0]["tags"], json!(["apps/shop:1", "apps/shop:all"]));
    assert_eq!(report["wrong"][0]["bundles"], json!(["sha256:b0"]));

    // What the manifest says of its size is enough.
    std::fs::write(&path, b"lay").unwrap();
    assert_eq!(scene.wrong(&[], 4), named("size", &layer));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(scene.wrong(&[], 4), named("missing", &layer));
    std::fs::write(&path, b"layer").unwrap();

    // A manifest is always hashed.
    let manifest = scene.file(&image.digest);
    let bytes = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, vec![b' '; bytes.len()]).unwrap();
    assert_eq!(scene.wrong(&[], 4), named("damaged", &image.digest));
    std::fs::write(&manifest, bytes).unwrap();
    assert_eq!(scene.wrong(&["--read-data"], 0), []);
}

/// What others bring, publish and take away meanwhile is nothing wrong.
#[test]
fn a_store_at_work_raises_no_false_alarm() {
    let scene = Scene::new();
    let home = scene.home();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let author = Author { who: "ci".into(), time: Timestamp::now() };
            let store = scene.store();
            for round in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let image = scene.image(&format!("round {round}"), None);
                store.change(|change| change.delete_manifest(SHOP, &image.digest, &author)).unwrap();
                store.collect(Timestamp::now()).unwrap();
            }
        });
        let end = std::time::Instant::now() + std::time::Duration::from_secs(3);
        let mut looks = 0;
        while std::time::Instant::now() < end || looks < 5 {
            let options = Options { home: &home, read_data: true, workers: 2, now: Timestamp::now() };
            let checked = check::check(&options, &Silent);
            if !checked.as_ref().is_ok_and(|checked| checked.wrong.is_empty()) {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{checked:?}");
            }
            looks += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn what_no_tag_reaches_goes_with_its_signatures_and_nothing_else() {
    let scene = Scene::new();
    let [kept, child, old, lone] = ["kept", "child", "old", "lone"].map(|words| scene.image(words, None));
    let index = scene.index(&[&child], Some("all"));
    scene.publish(SHOP, &json!({ "schemaVersion": 2, "manifests": [kept] }), media_type::INDEX, Some("1"));
    let [of_kept, of_old] = [&kept, &old].map(|one| scene.signature(one, &one.digest.to_string()));
    let about_signature = scene.signature(&of_old, "about");
    let untagged_index = scene.index(&[&lone, &child], None);
    let gone = [&old, &lone, &of_old, &about_signature, &untagged_index];

    assert_eq!(scene.listed(&[]), sorted(&gone));
    assert_eq!(scene.listed(&["--repository", "other/**"]), Vec::<String>::new());
    assert_eq!(scene.listed(&["--older-than", "1"]), Vec::<String>::new());
    assert_eq!(scene.listed(&["--repository", "apps/*"]), sorted(&gone));
    assert!(gone.iter().all(|one| scene.has(one)), "a plan changes nothing");

    let freed = scene.run(&["prune", "-o", "plan.json"]).ok().json()["bytes"].clone();
    let said = scene.run(&["prune", "--apply", "plan.json"]).ok().json();
    assert_eq!((&said["manifests"], &said["left"], &said["state"]), (&json!(5), &json!([]), &json!("done")));
    assert_eq!(said["bytes"], freed, "as much as was foretold");
    assert!(!gone.iter().any(|one| scene.has(one)));
    assert!([&kept, &child, &index, &of_kept].iter().all(|one| scene.has(one)));
    assert!(!scene.file(&Digest::of(b"old")).exists() && scene.file(&Digest::of(b"kept")).exists());
    assert_eq!(scene.wrong(&["--read-data"], 0), []);
    assert_eq!(scene.run(&["audit", "ledger"]).ok().json()["events"]["upkeep"], 1);

    // Once more, it is done already.
    let said = scene.run(&["prune", "--apply", "plan.json"]).ok().json();
    assert_eq!((&said["manifests"], &said["gone"]), (&json!(0), &json!(5)));
}

#[test]
fn what_is_needed_since_the_plan_is_left_out_and_named() {
    let scene = Scene::new();
    let [tagged, listed, signed, free] =
        ["tagged", "listed", "signed", "free"].map(|words| scene.image(words, None));
    let of_listed = scene.signature(&listed, "of listed");
    scene.image("else", Some("1"));
    assert_eq!(scene.listed(&[]).len(), 5);
    scene.image("tagged", Some("again"));
    let index = scene.index(&[&listed], None);
    let signature = scene.signature(&signed, "since");
    let ran = scene.run(&["prune", "--apply", "plan.json"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    let said = ran.json();
    assert_eq!((&said["reason"], &said["state"]), (&json!("plan-outdated"), &json!("partly")));
    let left: Vec<_> = said["left"].as_array().unwrap().iter().map(|one| one["digest"].clone()).collect();
    let mut wanted = vec![];
    for one in sorted(&[&tagged, &listed, &signed, &of_listed]) {
        wanted.push(json!(one));
    }
    assert_eq!(left, wanted);
    for one in [&tagged, &listed, &signed, &of_listed, &index, &signature] {
        assert!(scene.has(one), "{}", one.digest);
    }
    assert!(!scene.has(&free));
}

/// What a tag led to is as old as the day on which it left.
#[test]
fn age_is_counted_from_the_day_on_which_the_tag_left() {
    let scene = Scene::new();
    let one = scene.image("one", Some("latest"));
    let lone = scene.image("lone", None);
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    for image in [&one, &lone] {
        let file = std::fs::File::options().write(true).open(scene.file(&image.digest)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    scene.image("two", Some("latest"));
    assert_eq!(scene.listed(&["--older-than", "7"]), sorted(&[&lone]));
    assert_eq!(scene.listed(&[]), sorted(&[&lone, &one]));
}

#[test]
fn contents_that_nothing_needs_go_while_nobody_relies_on_the_store() {
    let scene = Scene::new();
    scene.image("kept", Some("1"));
    let [cached, taken] = [b"cached", b"taken!"].map(|bytes| scene.put("x", bytes));
    let said = scene.run(&["prune", "--unreferenced", "-o", "plan.json"]).ok().json();
    assert_eq!(said["plan"]["contents"].as_array().unwrap().len(), 2);
    assert_eq!((&said["plan"]["manifests"], &said["bytes"]), (&json!([]), &json!(12)));
    let hold = scene.store().hold().unwrap();
    scene.run(&["prune", "--apply", "plan.json"]).refused(3, "lock-held");
    drop(hold);
    let body = json!({ "schemaVersion": 2, "config": taken, "layers": [] });
    scene.publish(SHOP, &body, media_type::MANIFEST, Some("2"));
    let ran = scene.run(&["prune", "--apply", "plan.json"]);
    let said = ran.json();
    assert_eq!((ran.code, &said["contents"], &said["bytes"]), (10, &json!(1), &json!(6)));
    assert_eq!(said["left"][0]["digest"], taken.digest.to_string());
    assert!(!scene.file(&cached.digest).exists() && scene.file(&taken.digest).exists());
    assert_eq!(scene.wrong(&["--read-data"], 0), []);
}

#[test]
fn a_plan_is_read_strictly() {
    let scene = Scene::new();
    let run = |text: &str| {
        scene.sandbox.write("plan.json", text);
        scene.run(&["prune", "--apply", "plan.json"])
    };
    run("{}").refused(2, "bad-argument");
    run(r#"{"schema":2,"created":0,"manifests":[],"contents":[]}"#).refused(2, "bad-argument");
    run(r#"{"schema":1,"created":0,"manifests":[],"contents":[],"more":1}"#).refused(2, "bad-argument");
    run(r#"{"schema":1,"created":0,"manifests":[],"contents":[]}"#).ok();
    assert_eq!(scene.run(&["prune"]).code, 2);
    assert_eq!(scene.run(&["prune", "--apply", "plan.json", "--untagged"]).code, 2);
    assert_eq!(scene.run(&["prune", "-o", "plan.json", "--repository", "APPS"]).code, 2);
}

#[test]
fn a_repair_mends_what_it_can_and_says_what_an_import_must_bring() {
    let scene = Scene::new();
    let image = scene.image("layer", Some("1"));
    let lone = scene.put("x", b"lone blob");
    let held = scene.put("x", b"held blob");
    let store = scene.store();
    let far = Timestamp::from_seconds(4_000_000_000).unwrap();
    for blob in [&lone, &held] {
        assert!(store.change(|change| change.add_blob(SHOP, &blob.digest, far)).unwrap());
    }
    assert_eq!(scene.run(&["store", "repair"]).ok().json()["removed"], json!([]));

    let layer = scene.file(&Digest::of(b"layer"));
    std::fs::write(&layer, b"LAYER").unwrap();
    std::fs::write(scene.file(&lone.digest), b"LONE").unwrap();
    let ran = scene.run(&["store", "repair"]);
    let said = ran.json();
    assert_eq!(ran.code, 4, "{said}");
    let mut removed = vec![Digest::of(b"layer").to_string(), lone.digest.to_string()];
    removed.sort();
    assert_eq!((&said["removed"], &said["dropped"]), (&json!(removed), &json!(1)));
    assert!(!layer.exists());
    // Only what a manifest lists is still missed, and it is said whose it is.
    assert_eq!(said["store"]["wrong"].as_array().unwrap().len(), 1);
    assert_eq!(said["store"]["wrong"][0]["tags"], json!(["apps/shop:1"]));
    assert!(!scene.has(&lone) && scene.has(&held) && scene.has(&image));
    assert_eq!(scene.run(&["audit", "ledger"]).ok().json()["events"]["upkeep"], 2);

    scene.image("layer", Some("1"));
    assert_eq!(scene.wrong(&["--read-data"], 0), []);
    let said = scene.run(&["store", "repair"]).ok().json();
    assert_eq!((&said["removed"], &said["dropped"]), (&json!([]), &json!(0)));
}

/// Nodes pull by digest what was imported so, and no tag says that it is needed.
#[test]
fn what_an_import_brought_by_digest_stays_unless_it_is_asked_for() {
    let scene = Scene::new();
    let image = scene.image("by digest", None);
    let signature = scene.signature(&image, "of it");
    let moved = scene.image("moved", Some("1"));
    scene.image("newer", Some("1"));
    let entry = |image: &Descriptor, target: String| {
        json!({ "kind": "image", "name": target, "target": target, "digest": image.digest, "platforms": [],
                "absent": [], "referrers": [], "dropped_referrers": [], "signatures": [] })
    };
    let report = json!({
        "schema": 1, "time": "2026-01-01T00:00:00Z", "dry_run": false, "site": null, "trust_version": null,
        "again": false, "warnings": [], "in_doubt": [],
        "bundle": { "name": "edge", "version": "1", "channel": "default", "epoch": 1, "sequence": 1,
                    "sums": image.digest, "signers": [] },
        "destination": "home", "names": [], "platforms": [], "mapping": [], "sign_key": null,
        "artifacts": [entry(&image, format!("{SHOP}@{}", image.digest)), entry(&moved, format!("{SHOP}:1"))],
        "not_selected": [], "files": [],
        "counts": { "artifacts": 2, "manifests": 2, "tags": 1, "blobs_written": 0, "blobs_skipped": 0,
                    "bytes_written": 0, "bytes_skipped": 0 }
    });
    scene.store().change(|change| change.report(&image.digest, &report.to_string())).unwrap();
    assert_eq!(scene.listed(&[]), sorted(&[&moved]));
    assert_eq!(scene.listed(&["--imported"]), sorted(&[&moved, &image, &signature]));
    // One that comes again in between is needed again.
    let mut again = report;
    again["time"] = json!("2100-01-01T00:00:00Z");
    scene.store().change(|change| change.report(&image.digest, &again.to_string())).unwrap();
    assert_eq!(scene.run(&["prune", "--apply", "plan.json"]).code, 10);
    assert!(scene.has(&image) && scene.has(&signature) && !scene.has(&moved));
}
