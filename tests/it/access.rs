//! The rules of a home through the program itself: shown, checked, set, and what an import makes of them.

use sealift::{
    base::digest::Digest,
    oci::{Descriptor, media_type},
    registry::{Access, Log},
    store::{Publication, PublishedManifest, PublishedTag, Store, Target},
};

use crate::support::{
    sandbox::Sandbox,
    served::{Answer, Served, head},
};

const RULES: &str = "schema = 1
[[grant]]
to = [\"group:platform\"]
repositories = [\"apps/**\"]
may = [\"pull\", \"push\"]
[[immutable]]
repositories = [\"**\"]
tags = [\"*\"]
";

fn get(served: &Served, path: &str) -> Answer {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect(served.address).unwrap();
    socket.write_all(head("GET", path, &[]).as_bytes()).unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes).unwrap()
}

/// Gives `repository` a manifest of these bytes under `tag`.
fn publish(store: &Store, repository: &str, tag: &str, bytes: &[u8]) {
    let root = Descriptor::of(media_type::MANIFEST, bytes);
    store.put(&root, bytes).unwrap();
    let digest = root.digest.clone();
    let repository = repository.to_owned();
    let manifest = PublishedManifest {
        repository: repository.clone(),
        root,
        subject: None,
        artifact_type: None,
        annotations: std::collections::BTreeMap::new(),
        blobs: vec![],
        children: vec![],
        absent: vec![],
    };
    let tags = vec![PublishedTag { repository, tag: tag.to_owned(), digest }];
    store
        .publish(&Publication { manifests: vec![manifest], tags }, &crate::support::served::author())
        .unwrap();
}

#[test]
fn rules_are_shown_checked_and_set() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run(&["rules", "show"]).ok();
    assert!(shown.stdout.contains("to = [\"anyone\"]") && !sandbox.path("home").exists());
    sandbox.write("rules.toml", RULES);
    let json = |arguments: &[&str]| {
        let ran = sandbox.run(&[&["--output", "json"], arguments].concat()).ok();
        ran.json()
    };
    let checked = json(&["rules", "check", "rules.toml"]);
    assert_eq!(
        (&checked["version"], &checked["grants"], &checked["immutable"]),
        (&None::<u64>.into(), &1.into(), &1.into())
    );
    assert_eq!(checked["removed"], serde_json::json!(["anyone may pull **"]));
    assert_eq!(json(&["rules", "show"])["version"], 0);

    let set = json(&["rules", "set", "rules.toml"]);
    assert_eq!((&set["version"], &set["added"]), (&1.into(), &checked["added"]));
    let again = json(&["rules", "set", "rules.toml"]);
    assert_eq!((&again["version"], &again["added"]), (&1.into(), &serde_json::json!([])));
    assert_eq!(json(&["rules", "show"])["text"], RULES);
    assert_eq!(sandbox.run(&["rules", "show"]).ok().stdout, RULES);

    // What is set is written down once, and what is bad is not set.
    sandbox.run(&["audit", "ledger", "--export", "ledger.jsonl"]).ok();
    let records: Vec<serde_json::Value> =
        sandbox.read("ledger.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let records: Vec<_> = records.iter().filter(|record| record["event"] == "rules").collect();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["digest"], Digest::of(RULES.as_bytes()).to_string());
    assert!(records[0]["by"].as_str().unwrap().starts_with("uid:"));
    sandbox.write("bad.toml", RULES.replace("push", "pusch"));
    for command in ["check", "set"] {
        let refused =
            sandbox.run(&["--output", "json", "rules", command, "bad.toml"]).refused(2, "rules-malformed");
        assert_eq!(refused.json()["failures"][0]["object"], "bad.toml:5:16");
        assert_eq!(refused.json()["failures"][0]["hint"], "did you mean `push`?");
    }
    assert_eq!(json(&["rules", "show"])["version"], 1);
    sandbox.run(&["audit", "ledger"]).ok();
}

/// Threats R19
#[test]
fn rules_hold_for_a_registry_that_is_serving() {
    let sandbox = Sandbox::new();
    let store = Store::open(&sandbox.path("home")).unwrap();
    publish(&store, "apps/a", "1", b"one");
    let served = Served::start(store, Access::default(), Log::of_faults(|failure| panic!("{failure}")));
    let status = |path: &str| get(&served, path).status;
    assert_eq!((status("/v2/apps/a/manifests/1"), status("/v2/apps/a/tags/list")), (200, 200));
    sandbox.write("rules.toml", RULES);
    sandbox.run(&["rules", "set", "rules.toml"]).ok();
    assert_eq!((status("/v2/apps/a/manifests/1"), status("/v2/apps/a/tags/list")), (404, 404));
    assert_eq!(get(&served, "/v2/_catalog").json()["repositories"], serde_json::json!([]));
}

/// Threats R16
#[test]
fn an_import_names_every_tag_that_stays_and_changes_none() {
    let sandbox = Sandbox::with_demo();
    let public = sandbox.run(&["key", "generate", "-o", "release.key", "--no-passphrase"]).ok().stdout;
    sandbox.write("release.pub", public);
    sandbox.run(&["build", "--key", "release.key", "-o", "media", "--home", "outside"]).ok();
    let store = Store::open(&sandbox.path("home")).unwrap();
    let tags = [("files/motd.txt", "latest"), ("registry.example.com/demo/hello", "1.0")];
    for (repository, tag) in tags {
        publish(&store, repository, tag, b"another");
    }
    sandbox.write("rules.toml", RULES);
    sandbox.run(&["rules", "set", "rules.toml"]).ok();
    let import = ["--output", "json", "import", "media/demo-1.0", "--key", "release.pub"];
    let blobs = || crate::bundle::files(&sandbox.path("home/blobs")).len();
    let before = blobs();
    for more in [&["--dry-run"][..], &[]] {
        let refused = sandbox.run(&[&import, more].concat()).refused(8, "tag-immutable").json();
        let failures = refused["failures"].as_array().unwrap();
        let mut objects: Vec<&str> =
            failures.iter().map(|failure| failure["object"].as_str().unwrap()).collect();
        objects.sort_unstable();
        assert_eq!(objects, ["files/motd.txt:latest", "registry.example.com/demo/hello:1.0"]);
    }
    assert_eq!(blobs(), before, "nothing was brought");
    let at = |repository: &str, tag: &str| {
        store.manifest(repository, &Target::Tag(tag.to_owned())).unwrap().unwrap().digest
    };
    assert!(tags.iter().all(|(repository, tag)| at(repository, tag) == Digest::of(b"another")));

    sandbox.write("rules.toml", "schema = 1");
    sandbox.run(&["rules", "set", "rules.toml"]).ok();
    sandbox.run(&import).ok();
    assert!(tags.iter().all(|(repository, tag)| at(repository, tag) != Digest::of(b"another")));
    // The same once more moves nothing.
    sandbox.write("rules.toml", RULES);
    sandbox.run(&["rules", "set", "rules.toml"]).ok();
    sandbox.run(&import).ok();
}
