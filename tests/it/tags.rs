//! `sealift tag`: where tags lead and led, and back.

use sealift::{
    base::clock::Timestamp,
    oci::{Descriptor, Document, media_type},
    store::{Author, Publication, PublishedManifest, PublishedTag, Store},
};
use serde_json::json;

use crate::support::sandbox::Sandbox;

const REPOSITORY: &str = "docker.io/library/shop";

/// Publishes an index that says `words` as `latest`.
fn publish(home: &std::path::Path, words: &str) -> String {
    let store = Store::open(home).unwrap();
    let index = json!({ "schemaVersion": 2, "manifests": [], "annotations": { "is": words } });
    let bytes = serde_json::to_vec(&index).unwrap();
    let root = Descriptor::of(media_type::INDEX, &bytes);
    store.put(&root, &bytes).unwrap();
    let document = Document::parse(&bytes, media_type::INDEX).unwrap();
    let digest = root.digest.clone();
    let tag = PublishedTag { repository: REPOSITORY.into(), tag: "latest".into(), digest: digest.clone() };
    let manifest = PublishedManifest::new(REPOSITORY, root, &document, vec![], vec![]);
    let author = Author { who: format!("import {words}"), time: Timestamp::now() };
    store.publish(&Publication { manifests: vec![manifest], tags: vec![tag] }, &author).unwrap();
    digest.to_string()
}

#[test]
fn a_tag_is_led_back_and_the_ledger_tells_of_it() {
    let sandbox = Sandbox::new();
    let home = sandbox.path("site");
    let (one, two) = (publish(&home, "one"), publish(&home, "two"));
    let run = |words: &[&str]| sandbox.run(&[words, &["--home", "site", "--output", "json"]].concat());
    let name = format!("{REPOSITORY}:latest");
    let listed = run(&["tag", "list", REPOSITORY]).ok().json();
    assert_eq!(listed["tags"][0]["digest"], two);
    assert_eq!(listed["tags"][0]["who"], "import two");
    let restored = run(&["tag", "restore", &name]).ok().json();
    assert_eq!((&restored["before"], &restored["digest"]), (&json!(two), &json!(one)));
    let history = run(&["tag", "history", &name]).ok().json();
    let moves = history["moves"].as_array().unwrap();
    let who: Vec<_> = moves.iter().map(|one| one["who"].as_str().unwrap()).collect();
    assert_eq!(who, ["local", "import two", "import one"]);
    assert_eq!(run(&["tag", "restore", &name, "--to", &two]).ok().json()["digest"], two);
    assert_eq!(run(&["audit", "ledger"]).ok().json()["events"]["registry"], 2);
    // For people.
    let text = sandbox.run(&["tag", "history", &name, "--home", "site"]).ok().stdout;
    assert!(text.starts_with(&format!("{name}\n")) && text.contains("local"), "{text}");
}

#[test]
fn what_nobody_knows_is_said_to_be_unknown() {
    let sandbox = Sandbox::new();
    let one = publish(&sandbox.path("site"), "one");
    let run = |words: &[&str]| sandbox.run(&[words, &["--home", "site", "--output", "json"]].concat());
    let name = format!("{REPOSITORY}:latest");
    run(&["tag", "list", "docker.io/library/other"]).refused(2, "tag-unknown");
    run(&["tag", "history", &format!("{REPOSITORY}:other")]).refused(2, "tag-unknown");
    run(&["tag", "restore", &format!("{REPOSITORY}:other")]).refused(2, "tag-unknown");
    run(&["tag", "restore", &name]).refused(2, "tag-unknown");
    let nowhere = format!("sha256:{}", "0".repeat(64));
    run(&["tag", "restore", &name, "--to", &nowhere]).refused(4, "blob-missing");
    assert_eq!(run(&["tag", "restore", "127.0.0.1:5000/x"]).code, 2);
    sandbox
        .run(&["tag", "list", REPOSITORY, "--home", "nowhere", "--output", "json"])
        .refused(3, "not-found");
    assert!(!sandbox.path("nowhere").exists());
    assert_eq!(run(&["tag", "restore", &name, "--to", &one]).ok().code, 0, "where it leads already");
}
