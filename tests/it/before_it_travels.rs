//! What people on the connected side hear while a bundle can still be mended: nobody inside can sign it.

use crate::support::sandbox::{Ran, Sandbox};

/// A project of channel prod, which a release key and an approver must sign.
fn project() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    let manifest = sandbox.read("sealift.toml");
    let unpinned: Vec<&str> = manifest.lines().filter(|line| !line.starts_with("sha256 = ")).collect();
    sandbox.write("plain.toml", unpinned.join("\n"));
    for name in ["ruth", "alice", "bob"] {
        let ran = good(&sandbox, &["key", "generate", "-o", &format!("{name}.key"), "--no-passphrase"]);
        sandbox.write(&format!("{name}.pub"), ran.stdout);
    }
    let keys = ["root:ruth=ruth.pub", "release:alice=alice.pub", "approver:bob=bob.pub"];
    let keys = keys.iter().flat_map(|key| ["--key", key]);
    let words: Vec<&str> =
        ["trust", "init", "--out", "trust", "--channel", "prod"].into_iter().chain(keys).collect();
    good(&sandbox, &words);
    let shown = good(&sandbox, &["trust", "show", "trust", "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let print = shown["documents"][0]["fingerprint"].as_str().unwrap();
    good(&sandbox, &["trust", "sign", "trust", "--key", "ruth.key", "--fingerprint", print]);
    write(&sandbox, 1);
    sandbox
}

/// The manifest of one place in the channel.
fn write(sandbox: &Sandbox, sequence: u64) {
    let place =
        format!("version = \"{sequence}\"\nchannel = \"prod\"\nsequence = {sequence}\ntrust = \"trust\"");
    let plain = sandbox.read("plain.toml");
    let version = plain.lines().find(|line| line.starts_with("version = ")).unwrap();
    sandbox.write("sealift.toml", plain.replacen(version, &place, 1));
}

fn good(sandbox: &Sandbox, words: &[&str]) -> Ran {
    let ran = sandbox.run(words);
    assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
    ran
}

fn build(sandbox: &Sandbox, out: &str) -> Ran {
    good(sandbox, &["build", "--key", "alice.key", "-o", out])
}

fn sign(sandbox: &Sandbox, key: &str) -> Ran {
    let sums = std::fs::read(sandbox.path("media/demo-1/SHA256SUMS")).unwrap();
    let digest = sealift::base::digest::Digest::of(&sums);
    sandbox.run(&["sign", "media/demo-1", "--key", key, "--digest", digest.hex()])
}

#[test]
fn who_has_still_to_sign_is_told_until_nobody_has() {
    let sandbox = project();
    let ran = build(&sandbox, "media");
    assert!(ran.stderr.contains("no site takes") && ran.stderr.contains("approver"), "{}", ran.stderr);
    let ran = sign(&sandbox, "bob.key");
    assert!(ran.code == 0 && !ran.stderr.contains("no site takes"), "{}", ran.stderr);
}

/// A signature that would not count is found where it can still be made by another key.
#[test]
fn a_key_that_does_not_count_signs_nothing() {
    let sandbox = project();
    build(&sandbox, "media");
    let ran = sign(&sandbox, "ruth.key");
    assert!(ran.code == 5 && ran.stderr.contains("key-role"), "{}", ran.stderr);
    let signatures = std::fs::read_dir(sandbox.path("media/demo-1/signatures")).unwrap();
    assert_eq!(signatures.count(), 1);
}

/// Two bundles of one sequence freeze a site: whoever builds the second hears it.
#[test]
fn a_second_bundle_of_one_sequence_is_told() {
    let sandbox = project();
    assert!(!build(&sandbox, "media").stderr.contains("raise the sequence"));
    assert!(!build(&sandbox, "again").stderr.contains("raise the sequence"), "the same bytes");
    sandbox.write("motd.txt", "something else\n");
    good(&sandbox, &["lock", "--update"]);
    let ran = build(&sandbox, "other");
    assert!(ran.stderr.contains("raise the sequence"), "{}{}", ran.stdout, ran.stderr);
    write(&sandbox, 2);
    good(&sandbox, &["lock", "--update"]);
    assert!(!build(&sandbox, "next").stderr.contains("raise the sequence"));
}
