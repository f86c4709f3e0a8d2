//! The same through the program: what people type, what they read, which code it ends with.

use super::*;
use crate::support::sandbox::Sandbox;

/// A sandbox with a world in it.
fn stage() -> (Sandbox, World) {
    let (sandbox, world) = (Sandbox::new(), World::new());
    sandbox.write("root.trust", &world.chain[0]);
    (sandbox, world)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn json(words: &[&str]) -> Vec<String> {
    words.iter().chain(&["--output", "json"]).map(|&word| word.to_owned()).collect()
}

fn run(sandbox: &Sandbox, words: &[&str]) -> crate::support::sandbox::Ran {
    let words = json(words);
    sandbox.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_site_from_its_first_day_on() {
    let (sandbox, mut world) = stage();
    let one = text(&world.good(1));
    run(&sandbox, &["trust", "status"]).refused(5, "trust-missing");
    run(&sandbox, &["import", &one]).refused(5, "no-key");
    let pinned = run(&sandbox, &["trust", "init", "--site", "berlin", "--root", "root.trust"]).ok().json();
    let fingerprint = Note::parse(&world.chain[0]).unwrap().fingerprint();
    assert_eq!(pinned["trust"]["fingerprint"], fingerprint.hex());
    run(&sandbox, &["trust", "init", "--site", "paris", "--root", "root.trust"]).refused(5, "trust-pinned");
    let verified = run(&sandbox, &["verify", &one]).ok().json();
    assert_eq!((&verified["here"]["site"], &verified["here"]["again"]), (&"berlin".into(), &false.into()));
    run(&sandbox, &["import", &one, "--receipt", "receipt"]).ok();
    assert_eq!(sandbox.read("receipt").lines().count(), 2);
    assert_eq!(run(&sandbox, &["verify", &one]).ok().json()["here"]["again"], true);
    let three = text(&world.good(3));
    run(&sandbox, &["import", &three]).ok();
    run(&sandbox, &["verify", &one]).refused(6, "rollback");
    run(&sandbox, &["import", &one, "--receipt", "refusal"]).refused(6, "rollback");
    assert_eq!(sandbox.read("refusal").lines().count(), 2);
    // By a key or a document from elsewhere, the home has no say.
    sandbox.write("alice.pub", world.keys["alice"].public().to_pem().unwrap());
    assert!(run(&sandbox, &["verify", &one, "--key", "alice.pub"]).ok().json()["here"].is_null());
    assert_eq!(run(&sandbox, &["verify", &one, "--trust", "root.trust"]).ok().json()["trust_version"], 1);
    run(&sandbox, &["import", &one, "--key", "alice.pub"]).refused(5, "trust-pinned");

    run(&sandbox, &["trust", "status", "--check"]).ok();
    let four = world.good(4);
    sandbox.write("beacon", world.beacon(4, identity(&four), MADE, 1));
    run(&sandbox, &["trust", "accept", "beacon"]).ok();
    run(&sandbox, &["trust", "status", "--check"]).refused(6, "channel-behind");
    let status = run(&sandbox, &["trust", "status"]).ok().json();
    assert_eq!(status["alarms"][0]["reason"], "channel-behind");
    let [dev, prod] = [&status["channels"][0], &status["channels"][1]];
    assert_eq!((&dev["last"], &prod["last"]["sequence"]), (&serde_json::Value::Null, &3.into()));
    let settings =
        run(&sandbox, &["trust", "settings", "--jump-limit", "7", "--expiry", "strict"]).ok().json();
    assert_eq!(
        (&settings["settings"]["jump_limit"], &settings["settings"]["expiry"]),
        (&7.into(), &"strict".into())
    );
    run(&sandbox, &["trust", "settings", "--jump-limit", "0"]).refused(2, "bad-argument");
    sandbox.write("nonsense", "nonsense");
    run(&sandbox, &["trust", "accept", "nonsense"]).refused(7, "note-malformed");
    for words in [&["trust", "status"][..], &["trust", "settings", "--max-silence", "1"], &["verify", &three]]
    {
        let shown = sandbox.run(words).ok().stdout;
        assert!(!shown.is_empty());
    }
}

/// T19: what a trust document puts in doubt is told by the import that brings it, and by the status from then on.
#[test]
fn a_revocation_on_a_bundle_is_told() {
    let (sandbox, mut world) = stage();
    run(&sandbox, &["trust", "init", "--site", "berlin", "--root", "root.trust"]).ok();
    run(&sandbox, &["import", &text(&world.good(1))]).ok();
    world.revoke("bob", Some(1));
    world.publish_trust(|_| {});
    let two = world.bundle(&Spec { signers: &["alice", "carol"], trust: &[1, 2], ..spec(2) });
    let words = ["import", &text(&two)];
    let imported = run(&sandbox, &words).ok().json();
    assert_eq!(imported["in_doubt"][0]["position"]["sequence"], 1);
    assert_eq!(imported["in_doubt"][0]["holder"], "bob");
    run(&sandbox, &["trust", "status", "--check"]).refused(6, "in-doubt");
    assert_eq!(run(&sandbox, &["trust", "status"]).ok().json()["in_doubt"], imported["in_doubt"]);
    let shown = sandbox.run(&["trust", "status"]).ok().stdout;
    assert!(shown.contains(&world.id("bob")), "{shown}");
}

/// A time that is fixed for reproducible builds is not what a site writes down.
#[test]
fn a_site_goes_by_the_clock() {
    let (sandbox, mut world) = stage();
    let far = [("SOURCE_DATE_EPOCH", "4000000000")];
    let one = text(&world.good(1));
    for words in [
        &["trust", "init", "--site", "berlin", "--root", "root.trust"][..],
        &["import", &one, "--receipt", "receipt"],
        &["trust", "settings", "--max-silence", "7"],
    ] {
        sandbox.run_with(words, &far).ok();
    }
    let store = Store::open(&sandbox.path("home")).unwrap();
    let (lines, reports) = (store.ledger(1, usize::MAX).unwrap(), store.reports().unwrap());
    let channels = store.state(|state| state.channels()).unwrap();
    let receipt = run(&sandbox, &["receipt", "show"]).ok();
    assert!(receipt.json()["facts"]["time"].is_string(), "{}", receipt.stdout);
    let written: Vec<String> = lines.into_iter().chain(reports).chain([receipt.stdout]).collect();
    assert!(written.len() > 5 && written.iter().all(|text| !text.contains("2096-")), "{written:?}");
    assert!(channels.iter().all(|channel| channel.heard <= Timestamp::now()), "{channels:?}");
}

/// Whoever scripts an import must not take it for undone, nor miss what it warned of.
#[test]
fn an_import_whose_receipt_cannot_be_written_is_told_as_done() {
    let (sandbox, mut world) = stage();
    run(&sandbox, &["trust", "init", "--site", "berlin", "--root", "root.trust"]).ok();
    run(&sandbox, &["import", &text(&world.good(1))]).ok();
    let after_gap = ["import", &text(&world.good(3)), "--receipt", "/dev/full"];
    let ran = run(&sandbox, &after_gap).refused(3, "input-output");
    assert_eq!(ran.json()["failures"].as_array().unwrap().len(), 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("the last bundle here is sequence 1"), "{}", ran.stderr);
    sandbox.write("alice.pub", world.keys["alice"].public().to_pem().unwrap());
    let unpinned = [&after_gap[..], &["--key", "alice.pub", "--home", "unpinned"]].concat();
    let ran = run(&sandbox, &unpinned).refused(3, "input-output");
    assert!(ran.stderr.contains("no trust document is pinned"), "{}", ran.stderr);
    let status = run(&sandbox, &["trust", "status"]).ok().json();
    let imported = &status["channels"][1]["last"];
    assert_eq!(imported["sequence"], 3, "{status}");
    let receipt = run(&sandbox, &["receipt", "show"]).ok().json();
    assert_eq!((&receipt["imported"], &receipt["position"]), (&true.into(), imported));
}

/// T33: nothing on the media vouches for itself.
#[test]
fn a_root_from_the_media_takes_a_fingerprint() {
    let (sandbox, mut world) = stage();
    world.publish_trust(|_| {});
    let bundle = world.bundle(&Spec { trust: &[1, 2], ..spec(1) });
    let carried = text(&bundle.join("trust/0001.trust"));
    let init = ["trust", "init", "--site", "berlin"];
    let with = |more: &[&str]| run(&sandbox, &[&init[..], more].concat());
    with(&["--root", &carried]).refused(5, "trust-fingerprint");
    std::os::unix::fs::symlink(&carried, sandbox.path("link")).unwrap();
    with(&["--root", "link"]).refused(5, "trust-fingerprint");
    run(&sandbox, &["verify", &text(&bundle), "--trust", &carried]).refused(5, "trust-fingerprint");
    let media = text(&bundle);
    let wrong = "0".repeat(64);
    with(&["--fingerprint", &wrong, "--media", &media]).refused(5, "trust-fingerprint");
    let plain = text(&world.good(9));
    with(&["--fingerprint", &wrong, "--media", &plain]).refused(5, "trust-missing");
    assert_eq!(with(&["--fingerprint", &wrong]).code, 2);
    assert!(!sandbox.path("home/sealift.db").exists());
    let right = Note::parse(&world.chain[0]).unwrap().fingerprint().hex().to_owned();
    let pinned = with(&["--fingerprint", &right, "--media", &media]).ok().json();
    assert_eq!((&pinned["trust"]["version"], &pinned["trust"]["pinned"]), (&2.into(), &right.into()));
}

/// P5: `verify` writes nothing, makes nothing, and its result is the same at any time: what the clock says is a
/// note.
#[test]
fn verify_only_looks() {
    let (sandbox, mut world) = stage();
    // The floor of time stands where sealift was made, and every clock that is right after that.
    let released = sealift::base::clock::RELEASED.to_string();
    let expires = |expires| Spec { created: &released, expires: Some(expires), ..spec(1) };
    let bundle = world.bundle(&expires("2026-11-22T00:00:00Z"));
    let next = world.bundle(&Spec { sequence: 2, ..expires(&released) });
    let (bundle, next) = (text(&bundle), text(&next));
    run(&sandbox, &["verify", &bundle]).refused(5, "no-key");
    run(&sandbox, &["verify", &bundle, "--trust", "root.trust"]).ok();
    assert!(!sandbox.path("home").exists());
    run(&sandbox, &["trust", "init", "--site", "berlin", "--root", "root.trust"]).ok();
    run(&sandbox, &["import", &bundle]).ok();
    run(&sandbox, &["trust", "settings", "--expiry", "strict"]).ok();
    let before = crate::bundle::files(&sandbox.path("home"));
    let seen = run(&sandbox, &["verify", &next]).ok();
    assert_eq!(seen.json()["here"]["warnings"], serde_json::json!([]));
    assert!(seen.stderr.contains("an import would refuse it now"), "{}", seen.stderr);
    run(&sandbox, &["trust", "status"]).ok();
    assert!(crate::bundle::files(&sandbox.path("home")) == before, "something was written");
    run(&sandbox, &["import", &next]).refused(6, "expired");
}

/// C7: the database is gone, the receipt is not.
#[test]
fn a_receipt_brings_a_site_back() {
    let (sandbox, mut world) = stage();
    let (one, two) = (text(&world.good(1)), text(&world.good(2)));
    let init = ["trust", "init", "--site", "berlin", "--root", "root.trust"];
    let pinned = run(&sandbox, &init).ok().json();
    sandbox.write("berlin.pub", pinned["importer_public_key"].as_str().unwrap());
    run(&sandbox, &["import", &two, "--receipt", "receipt"]).ok();
    fs::remove_dir_all(sandbox.path("home")).unwrap();
    let with = |more: &[&str]| run(&sandbox, &[&init[..], more].concat());
    with(&["--receipt", "receipt"]).refused(5, "signature-untrusted");
    with(&["--at-least", "prod=1"]).refused(2, "bad-argument");
    let back =
        with(&["--receipt", "receipt", "--receipt-key", "berlin.pub", "--at-least", "prod=1.2"]).ok().json();
    assert_eq!(back["channels"][0]["position"]["sequence"], 2);
    run(&sandbox, &["import", &one]).refused(6, "rollback");
    run(&sandbox, &["import", &two]).ok();
}
