//! What is made with trust documents: bundles that carry them, beacons and overrides; and the golden chain.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use sealift::{
    base::digest::Digest,
    trust::{Authority, Beacon, Chain, Note, typed_fingerprint},
    trust_folder::TrustFolder,
    verify,
};

use super::{drafted, fingerprint, founded, json, key_id, missing, people, show, sign};
use crate::support::sandbox::Sandbox;

/// The demo's manifest for channel prod with the folder of trust documents.
fn manifest(sandbox: &Sandbox, version: &str, more: &str) {
    let text = sandbox.read("sealift.toml").replace("version = \"1.0\"", &format!("version = \"{version}\""));
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("sequence")).collect();
    let text = text.join("\n").replacen(
        "[bundle]",
        &format!("[bundle]\nchannel = \"prod\"\ntrust = \"trust\"\n{more}"),
        1,
    );
    sandbox.write(&format!("{version}.toml"), text);
    let lock = sandbox.path(&format!("{version}.lock"));
    if let Ok(text) = fs::read(sandbox.path("sealift.lock")) {
        fs::write(lock, text).unwrap();
    }
}

fn chain(sandbox: &Sandbox) -> Chain {
    TrustFolder::read(&sandbox.path("trust")).unwrap().chain().unwrap().clone()
}

#[test]
fn bundles_carry_the_chain_and_name_their_forerunner() {
    let sandbox = founded();
    let build = |version: &str, rest: &[&str]| {
        let file = format!("{version}.toml");
        json(&sandbox, &[&["build", "-f", &file, "-o", "media"], rest].concat())
    };
    manifest(&sandbox, "1.1", "sequence = 1\nsite = \"plant-7\"\nexpires = \"2030-01-01T00:00:00Z\"\n");
    let keys = ["--key", "dave.key", "--key", "erin.key"];
    let first = build("1.1", &keys).ok().json();
    let pinned = Chain::pin(
        sandbox.read("trust/0001.trust").as_bytes(),
        &typed_fingerprint(&fingerprint(&sandbox, "trust")).unwrap(),
    )
    .unwrap();
    let bundle = verify::open(&sandbox.path("media/demo-1.1"), &Authority::Chain(pinned.clone())).unwrap();
    assert_eq!(bundle.header().trust, 1);
    drop(bundle);
    assert_eq!(build("1.1", &keys).ok().json()["unchanged"], true);

    // A second version, and a draft of a third that stays at home.
    json(&sandbox, &["trust", "remove", "trust", "carol"]).ok();
    for name in ["alice", "bob"] {
        sign(&sandbox, "trust", name).ok();
    }
    json(&sandbox, &["trust", "channel", "trust", "prod", "--epoch", "+1"]).ok();
    // The bundle that is there carries the first version only: it is not the one that is asked for now.
    build("1.1", &keys).refused(2, "output-exists");
    manifest(&sandbox, "1.2", "sequence = 2\n");
    let told = build("1.2", &[&keys[..], &["--previous", "media/demo-1.1"]].concat()).ok();
    assert!(told.stderr.contains("0003.trust: not signed by all who must"), "{}", told.stderr);
    let bundle = verify::open(&sandbox.path("media/demo-1.2"), &Authority::Chain(pinned)).unwrap();
    assert_eq!((bundle.header().trust, bundle.chain().unwrap().version()), (2, 2));
    let shown = json(&sandbox, &["inspect", "media/demo-1.2"]).ok().json();
    assert_eq!(shown["previous"], first["sums_digest"]);
    assert_eq!(shown["trust_version"], 2);
    let shown = json(&sandbox, &["inspect", "media/demo-1.1"]).ok().json();
    assert_eq!((&shown["site"], &shown["expires"]), (&"plant-7".into(), &"2030-01-01T00:00:00Z".into()));
    assert_eq!(shown["previous"], serde_json::Value::Null);

    // Another forerunner is another bundle.
    build("1.2", &keys).refused(2, "output-exists");
    let digest = first["sums_digest"].as_str().unwrap();
    assert_eq!(build("1.2", &[&keys[..], &["--previous", digest]].concat()).ok().json()["unchanged"], true);

    // What came with a bundle can be looked at, and taken out.
    let inside = show(&sandbox, "media/demo-1.2");
    assert_eq!(inside["versions"].as_array().unwrap().len(), 2);
    assert_eq!(inside["documents"][0]["since_version"], 1);
    json(&sandbox, &["trust", "export", "media/demo-1.2", "-o", "copy"]).ok();
    json(&sandbox, &["trust", "export", "media/demo-1.2", "-o", "copy"]).refused(2, "output-exists");
    assert_eq!(sandbox.read("copy/0002.trust"), sandbox.read("trust/0002.trust"));
    json(&sandbox, &["trust", "show", "media/demo-1.2/trust/0002.trust"]).ok();

    // So can what a home pins.
    json(&sandbox, &["trust", "show"]).refused(5, "trust-missing");
    json(&sandbox, &["trust", "export", "-o", "home-copy"]).refused(5, "trust-missing");
    assert!(!sandbox.path("home-copy").exists());
    json(&sandbox, &["trust", "init", "--site", "plant-7", "--root", "trust/0001.trust"]).ok();
    assert_eq!(json(&sandbox, &["trust", "show"]).ok().json()["documents"][0]["complete"], true);
    json(&sandbox, &["trust", "export", "-o", "home-copy"]).ok();
    assert_eq!(sandbox.read("home-copy/0001.trust"), sandbox.read("trust/0001.trust"));
}

/// No bundle is made that no site would take, and nothing is fetched for one.
#[test]
fn bundles_that_no_site_would_take_are_not_begun() {
    let sandbox = founded();
    people(&sandbox, &["dave2"]);
    let build = |version: &str, more: &str, rest: &[&str]| {
        manifest(&sandbox, version, more);
        let file = format!("{version}.toml");
        json(&sandbox, &[&["build", "-f", &file, "-o", "media"], rest].concat())
    };
    build("1.1", "sequence = 1\n", &["--key", "mallory.key"]).refused(5, "key-role");
    build("1.1", "sequence = 1\n", &["--key", "alice.key"]).refused(5, "key-role");
    build("1.1", "sequence = 1\nepoch = 2\n", &["--key", "dave.key"]).refused(6, "wrong-epoch");
    let other = sandbox.read("1.1.toml").replace("channel = \"prod\"", "channel = \"dev\"");
    sandbox.write("dev.toml", other);
    json(&sandbox, &["build", "-f", "dev.toml", "-o", "media", "--key", "dave.key"])
        .refused(6, "channel-unknown");
    sandbox.run(&["trust", "add", "trust", "release", "dave", "dave2.pub", "--from", "10"]).ok();
    let id = key_id(&sandbox, "dave");
    sandbox.run(&["trust", "revoke", "trust", &id, "--reason", "stolen"]).ok();
    for name in ["alice", "bob"] {
        sign(&sandbox, "trust", name).ok();
    }
    build("1.1", "sequence = 9\n", &["--key", "dave.key"]).refused(5, "key-revoked");
    build("1.1", "sequence = 9\n", &["--key", "dave2.key"]).refused(5, "key-sequence");
    assert!(!sandbox.path("media").exists() && !sandbox.path("1.1.lock").exists(), "something was begun");
    // A near miss: the bound itself.
    build("1.1", "sequence = 10\n", &["--key", "dave2.key"]).ok();

    build("1.2", "sequence = 10\n", &["--key", "dave2.key", "--previous", "media/demo-1.1"])
        .refused(6, "previous-mismatch");
    build("1.2", "sequence = 11\n", &["--key", "dave2.key", "--previous", "media"])
        .refused(4, "file-missing");
    build("1.2", "sequence = 11\n", &["--key", "dave2.key", "--previous", "sha256:12"])
        .refused(2, "bad-argument");
    let arguments =
        ["build", "-f", "dev.toml", "-o", "media", "--key", "dave2.key", "--previous", "media/demo-1.1"];
    json(&sandbox, &arguments).refused(6, "previous-mismatch");
    sandbox.write("trust/0003.trust", "junk");
    build("1.2", "sequence = 11\n", &["--key", "dave2.key"]).refused(7, "note-malformed");

    let unsigned = drafted();
    manifest(&unsigned, "1.1", "sequence = 1\n");
    json(&unsigned, &["build", "-f", "1.1.toml", "--key", "dave.key"]).refused(5, "signatures-too-few");
}

#[test]
fn beacons_are_short_and_signed_by_those_who_release() {
    let sandbox = founded();
    manifest(&sandbox, "1.1", "sequence = 1\n");
    json(&sandbox, &["build", "-f", "1.1.toml", "-o", "media", "--key", "dave.key"]).ok();
    let beacon =
        |rest: &[&str]| json(&sandbox, &[&["trust", "beacon", "--bundle", "media/demo-1.1"], rest].concat());
    beacon(&["--key", "erin.key", "-o", "beacon"]).refused(5, "key-role");
    beacon(&["--key", "alice.key", "-o", "beacon"]).refused(5, "key-role");
    beacon(&["--trust", "nowhere", "-o", "beacon"]).refused(3, "not-found");
    assert!(!sandbox.path("beacon").exists());
    let made = beacon(&["--key", "dave.key", "-o", "beacon", "--qr", "beacon.svg"]).ok().json();
    assert_eq!(made["documents"][0]["complete"], true);
    assert!(sandbox.read("beacon.svg").starts_with("<?xml"));
    beacon(&["--key", "dave.key", "-o", "beacon"]).refused(2, "output-exists");
    let printed = beacon(&["--key", "dave.key", "-o", "-"]).ok().stdout;
    assert_eq!(printed, sandbox.read("beacon"));
    let note = Note::parse(printed.as_bytes()).unwrap();
    let (told, _) = Beacon::open(&note, &chain(&sandbox)).unwrap();
    let sums = fs::read(sandbox.path("media/demo-1.1/SHA256SUMS")).unwrap();
    assert_eq!((told.newest.sequence, &told.newest.bundle, told.trust), (1, &Digest::of(&sums), 1));
    assert!(printed.len() <= 2048);

    // Without a key at first, then signed as every document is; a QR code of what is no beacon.
    beacon(&["-o", "later"]).ok();
    assert_eq!(show(&sandbox, "later")["documents"][0]["missing"][0]["holders"], serde_json::json!(["dave"]));
    sign(&sandbox, "later", "erin").refused(5, "key-role");
    sign(&sandbox, "later", "dave").ok();
    json(&sandbox, &["trust", "show", "later", "--qr", "later.svg"]).ok();
    json(&sandbox, &["trust", "show", "trust/0001.trust", "--qr", "x.svg"]).refused(2, "bad-argument");
    let drawn = sandbox.run(&["trust", "show", "later", "--qr", "terminal"]).ok().stderr;
    assert!(drawn.lines().count() > 20 && drawn.contains('▀'), "{drawn}");
}

#[test]
fn overrides_are_signed_by_two() {
    let sandbox = founded();
    let digest = Digest::of(b"some SHA256SUMS").to_string();
    let order = |rest: &[&str]| {
        let fixed =
            ["trust", "override", "--site", "plant-7", "--reason", "the link was down", "-o", "order"];
        json(&sandbox, &[&fixed, rest].concat())
    };
    let good = ["--bundle", &digest, "--channel", "prod", "--effect", "rollback"];
    order(&["--bundle", &digest, "--effect", "rollback"]).refused(2, "bad-argument");
    order(&["--bundle", &digest, "--channel", "prod", "--effect", "signature"]).refused(2, "bad-argument");
    order(&["--bundle", &digest, "--channel", "dev", "--effect", "rollback"]).refused(6, "channel-unknown");
    order(&["--bundle", "nowhere", "--effect", "rollback"]).refused(3, "not-found");
    order(&[&good[..], &["--key", "dave.key"]].concat()).refused(5, "key-role");
    assert!(!sandbox.path("order").exists());
    let one = order(&[&good[..], &["--key", "erin.key"]].concat()).ok().json();
    assert_eq!(missing(&one["documents"][0]), [r#"1 "override": ["frank"]"#]);
    order(&good).refused(2, "output-exists");
    sign(&sandbox, "order", "alice").refused(5, "key-role");
    // The same person once more is no second.
    assert_eq!(sign(&sandbox, "order", "erin").ok().json()["documents"][0]["complete"], false);
    assert_eq!(sign(&sandbox, "order", "frank").ok().json()["documents"][0]["complete"], true);
    json(&sandbox, &["trust", "channel", "trust", "prod", "--threshold", "override=0"]).ok();
    for name in ["alice", "bob"] {
        sign(&sandbox, "trust", name).ok();
    }
    json(&sandbox, &["trust", "show", "order"]).refused(5, "override-refused");
}

/// `testdata/trust` is made again by the program and must be the same, byte for byte: three versions, the second
/// with a lost root key replaced, the third with a revoked release key and a new epoch.
#[test]
fn the_golden_chain_is_made_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let sandbox = Sandbox::new();
    for entry in fs::read_dir(root.join("keys")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let to = sandbox.write(&name, fs::read(entry.path()).unwrap());
        fs::set_permissions(to, Permissions::from_mode(0o600)).unwrap();
    }
    let key = |what: &str, name: &str| format!("{what}=worthless-{name}.pub.pem");
    let sign_by = |name: &str| {
        let (key, digits) = (format!("worthless-{name}.pem"), fingerprint(&sandbox, "trust"));
        sandbox.run(&["trust", "sign", "trust", "--key", &key, "--fingerprint", &digits]).ok();
    };
    let keys = [
        key("root:alice", "root-1"),
        key("root:bob", "root-2"),
        key("root:carol", "root-3"),
        key("release:dave", "1"),
        key("approver+override:erin", "approver-1"),
        key("approver+override:frank", "approver-2"),
    ];
    let mut init = vec!["trust", "init", "--out", "trust", "--channel", "prod"];
    for key in &keys {
        init.extend(["--key", key]);
    }
    sandbox.run(&init).ok();
    sign_by("root-1");
    sign_by("root-2");
    sandbox.run(&["trust", "rotate", "trust", "carol", "worthless-root-4.pub.pem"]).ok();
    sign_by("root-1");
    sign_by("root-2");
    let dave = json(&sandbox, &["key", "public", "worthless-1.pem"]).ok().json()["key_id"].clone();
    sandbox.run(&["trust", "add", "trust", "release", "dave", "worthless-2.pub.pem"]).ok();
    sandbox
        .run(&[
            "trust",
            "revoke",
            "trust",
            dave.as_str().unwrap(),
            "--reason",
            "laptop stolen",
            "--since",
            "17",
        ])
        .ok();
    sandbox.run(&["trust", "channel", "trust", "prod", "--epoch", "+1"]).ok();
    sign_by("root-2");
    sign_by("root-4");
    for version in 1..=3 {
        let name = format!("trust/{version:04}.trust");
        let golden = root.join(&name);
        if std::env::var_os("UPDATE_TESTDATA").is_some() {
            fs::create_dir_all(golden.parent().unwrap()).unwrap();
            fs::write(&golden, sandbox.read(&name)).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&golden).unwrap_or_default(),
            sandbox.read(&name),
            "{name}: see testdata/README.md"
        );
    }
    let golden = TrustFolder::read(&root.join("trust")).unwrap();
    assert!(golden.draft().is_none());
    assert_eq!(golden.chain().unwrap().version(), 3);
}
