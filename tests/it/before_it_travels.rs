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

/// Builds, and gives the reasons of what is to be mended: those that people read are those in JSON.
fn build(sandbox: &Sandbox, out: &str) -> Vec<String> {
    let words = ["build", "--key", "alice.key", "-o", out];
    let told = good(sandbox, &[&words[..], &["-q"]].concat()).stderr;
    let reasons = alarms(&good(sandbox, &[&words[..], &["-q", "--output", "json"]].concat()).json());
    assert!(reasons.iter().all(|reason| told.contains(&format!("warning[{reason}]: "))), "{told}");
    reasons
}

fn alarms(report: &serde_json::Value) -> Vec<String> {
    let alarms = report["alarms"].as_array().unwrap().iter();
    alarms.map(|alarm| alarm["reason"].as_str().unwrap().to_owned()).collect()
}

fn sign(sandbox: &Sandbox, key: &str) -> Ran {
    let sums = std::fs::read(sandbox.path("media/demo-1/SHA256SUMS")).unwrap();
    let digest = sealift::base::digest::Digest::of(&sums);
    sandbox.run(&["sign", "media/demo-1", "--key", key, "--digest", digest.hex(), "--output", "json"])
}

#[test]
fn who_has_still_to_sign_is_told_until_nobody_has() {
    let sandbox = project();
    assert_eq!(build(&sandbox, "media"), ["signatures-too-few"]);
    assert!(alarms(&sign(&sandbox, "bob.key").ok().json()).is_empty());
}

/// A signature that would not count is found where it can still be made by another key.
#[test]
fn a_key_that_does_not_count_signs_nothing() {
    let sandbox = project();
    build(&sandbox, "media");
    sign(&sandbox, "ruth.key").refused(5, "key-role");
    let signatures = std::fs::read_dir(sandbox.path("media/demo-1/signatures")).unwrap();
    assert_eq!(signatures.count(), 1);
}

/// Two bundles of one sequence freeze a site, and an older one is refused: whoever builds the second hears it.
#[test]
fn a_second_bundle_of_one_sequence_is_told() {
    let sandbox = project();
    let lacking = "signatures-too-few";
    assert_eq!(build(&sandbox, "media"), [lacking]);
    assert_eq!(build(&sandbox, "again"), [lacking], "the same bytes");
    sandbox.write("motd.txt", "something else\n");
    good(&sandbox, &["lock", "--update"]);
    assert_eq!(build(&sandbox, "other"), ["equivocation", lacking]);
    write(&sandbox, 2);
    good(&sandbox, &["lock", "--update"]);
    assert_eq!(build(&sandbox, "next"), [lacking]);
    write(&sandbox, 1);
    good(&sandbox, &["lock", "--update"]);
    assert_eq!(build(&sandbox, "back"), ["rollback", lacking]);
}

/// No bundle has its name that its key does not remember: another of its sequence would be built in silence.
#[test]
fn a_bundle_that_is_not_remembered_is_not_there() {
    let sandbox = project();
    good(&sandbox, &["lock"]);
    good(&sandbox, &["build", "--key", "alice.key", "-o", "media", "--dry-run"]);
    let database = rusqlite::Connection::open(sandbox.path("home/sealift.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON signed BEGIN SELECT raise(ABORT, 'no space'); END";
    database.execute_batch(full).unwrap();
    let words = ["build", "--key", "alice.key", "-o", "media", "--output", "json"];
    sandbox.run(&words).refused(3, "database");
    assert!(!sandbox.path("media/demo-1").exists());
    database.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(build(&sandbox, "media"), ["signatures-too-few"]);
}

/// What cannot be read is found before a signature is put beside it.
#[test]
fn nothing_is_added_to_a_bundle_that_is_damaged() {
    let sandbox = project();
    build(&sandbox, "media");
    good(&sandbox, &["sign", "media/demo-1", "--export", "sums"]);
    let digest = sealift::base::digest::Digest::of(&std::fs::read(sandbox.path("sums")).unwrap());
    let words = ["sign", "sums", "--key", "bob.key", "--digest", digest.hex(), "--output", "json"];
    let made = good(&sandbox, &words).json();
    let made = made["keys"][0]["path"].as_str().unwrap();
    sandbox.write("media/demo-1/trust/0001.trust", "nonsense\n");
    let add = ["sign", "media/demo-1", "--add", made, "--public", "bob.pub", "--output", "json"];
    sandbox.run(&add).refused(7, "note-malformed");
    assert_eq!(std::fs::read_dir(sandbox.path("media/demo-1/signatures")).unwrap().count(), 1);
}
