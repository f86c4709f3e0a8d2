//! Signing what is there already: what is shown, what is refused, what another machine does (H07).

use std::{fs, path::Path};

use sealift::{base::progress::Silent, verify};

use crate::{
    bundle::files,
    forge::{Scene, lay_out, with_sums},
    support::sandbox::{Ran, Sandbox},
};

const BUNDLE: &str = "media/demo-1.0";

/// A bundle signed by `release.key`; `approver.key` waits.
fn built() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    for name in ["release", "approver"] {
        let file = format!("{name}.key");
        let public = sandbox.run(&["key", "generate", "-o", &file, "--no-passphrase"]).ok().stdout;
        sandbox.write(&format!("{name}.pub"), public);
    }
    build(&sandbox, "1.0", 1);
    sandbox
}

/// Builds `media/demo-VERSION` at a place in the channel.
fn build(sandbox: &Sandbox, version: &str, sequence: u64) {
    let manifest = sandbox.read("sealift.toml");
    let is_place = |line: &str| line.starts_with("sequence = ");
    let place = format!("[bundle]\nsequence = {sequence}");
    let lines = manifest.lines().filter(|line| !is_place(line)).map(|line| match line {
        "[bundle]" => place.clone(),
        line if line.starts_with("version = \"") && line.len() < 16 => format!("version = \"{version}\""),
        line => line.to_owned(),
    });
    sandbox.write("sealift.toml", lines.collect::<Vec<_>>().join("\n") + "\n");
    sandbox.run(&["build", "--key", "release.key", "-o", "media"]).ok();
}

fn digest(sandbox: &Sandbox, path: &str) -> String {
    sealift::base::digest::Digest::of(sandbox.read(path).as_bytes()).hex().to_owned()
}

fn sign(sandbox: &Sandbox, bundle: &str) -> Ran {
    let digest = digest(sandbox, &format!("{bundle}/SHA256SUMS"));
    sandbox.run(&["--output", "json", "sign", bundle, "--key", "approver.key", "--digest", &digest[..8]])
}

fn signatures(sandbox: &Sandbox, bundle: &str) -> Vec<String> {
    files(&sandbox.path(bundle).join("signatures")).into_keys().collect()
}

#[test]
fn a_second_person_signs_after_looking() {
    let sandbox = built();
    let before = files(&sandbox.path(BUNDLE));
    let shown = sandbox.run(&["sign", BUNDLE, "--key", "approver.key"]);
    let digest = digest(&sandbox, "media/demo-1.0/SHA256SUMS");
    assert_eq!(shown.code, 2);
    for word in ["channel default, sequence 1.1", "hello:1.0", "motd.txt", digest.as_str()] {
        assert!(shown.stdout.contains(word), "{word}: {}", shown.stdout);
    }
    assert!(shown.stderr.contains(&format!("--digest {}`", &digest[..8])), "{}", shown.stderr);
    assert!(files(&sandbox.path(BUNDLE)) == before, "showing wrote something");

    let report = sign(&sandbox, BUNDLE).ok().json();
    assert_eq!(report["checked"], true);
    assert_eq!(report["keys"][0]["state"], "signed");
    assert_eq!(report["keys"][0]["difference"]["changes"].as_array().unwrap().len(), 2);
    let both = ["--output", "json", "verify", BUNDLE, "--key", "release.pub", "--key", "approver.pub"];
    assert_eq!(sandbox.run(&both).ok().json()["signers"].as_array().unwrap().len(), 2);
    let after = files(&sandbox.path(BUNDLE));
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes), "what was there changed");
    assert_eq!(after.len(), before.len() + 1);

    // Again, with and without the digest: nothing is written twice.
    assert_eq!(sign(&sandbox, BUNDLE).ok().json()["keys"][0]["state"], "already-signed");
    sandbox.run(&["sign", BUNDLE, "--key", "approver.key"]).ok();
    assert!(files(&sandbox.path(BUNDLE)) == after);
}

#[test]
fn json_without_the_digest_is_the_refusal() {
    let sandbox = built();
    let ran = sandbox.run(&["--output", "json", "sign", BUNDLE, "--key", "approver.key"]);
    ran.refused(2, "digest-unconfirmed");
    assert_eq!(signatures(&sandbox, BUNDLE).len(), 1);
}

#[test]
fn the_digest_of_another_bundle_signs_nothing() {
    let sandbox = built();
    let with = |digest: &str| {
        sandbox.run(&["--output", "json", "sign", BUNDLE, "--key", "approver.key", "--digest", digest])
    };
    with("00000000").refused(4, "digest-mismatch");
    let true_digest = digest(&sandbox, "media/demo-1.0/SHA256SUMS");
    for short in ["", "x", &true_digest[..7], &format!("{}x", &true_digest[..8])] {
        with(short).refused(2, "bad-argument");
    }
    assert_eq!(signatures(&sandbox, BUNDLE).len(), 1);
    with(&format!("sha256:{}", true_digest.to_uppercase())).ok();
}

#[test]
fn what_is_shown_is_the_difference_to_what_this_key_signed_last() {
    let sandbox = built();
    sign(&sandbox, BUNDLE).ok();
    let manifest = sandbox.read("sealift.toml");
    let digest_before = manifest.lines().find(|line| line.starts_with("sha256 = ")).unwrap();
    sandbox.write("sealift.toml", manifest.replace(digest_before, ""));
    sandbox.write("motd.txt", "another message\n");
    sandbox.run(&["lock", "--update"]).ok();
    build(&sandbox, "2.0", 2);
    let report = sign(&sandbox, "media/demo-2.0").ok().json();
    let key = &report["keys"][0];
    assert_eq!(key["last"]["sequence"], 1);
    assert_eq!(key["difference"]["from"], "demo 1.0");
    let changes = key["difference"]["changes"].as_array().unwrap();
    assert_eq!((changes.len(), changes[0]["name"].as_str()), (1, Some("files/motd.txt:latest")));
    // The holder of the other key has another memory.
    let other = sandbox.run(&["sign", "media/demo-2.0", "--key", "release.key"]).ok();
    assert!(other.stdout.contains("signed nothing in this channel"), "{}", other.stdout);
}

#[test]
fn no_key_signs_twice_for_one_place_nor_goes_back() {
    let sandbox = built();
    build(&sandbox, "2.0", 2);
    sign(&sandbox, "media/demo-2.0").ok();
    sign(&sandbox, BUNDLE).refused(6, "rollback");
    build(&sandbox, "2.1", 2);
    sign(&sandbox, "media/demo-2.1").refused(6, "equivocation");
    assert_eq!(signatures(&sandbox, "media/demo-2.1").len(), 1);
    // The same digest is no other content, wherever the folder stands.
    fs::remove_dir_all(sandbox.path("media/demo-2.0/signatures")).unwrap();
    let bundle = sign(&sandbox, "media/demo-2.0").ok().json();
    assert_eq!(bundle["keys"][0]["state"], "signed");
    // Another machine has another memory, and shows so.
    let elsewhere = ["sign", BUNDLE, "--key", "approver.key", "--home", "elsewhere"];
    assert_eq!(sandbox.run(&elsewhere).code, 2);
}

#[test]
fn another_machine_signs_the_exported_text() {
    let sandbox = built();
    let exported = sandbox.run(&["--output", "json", "sign", BUNDLE, "--export", "demo.sums"]).ok().json();
    assert_eq!(
        (exported["checked"].as_bool(), exported["exported"].as_str()),
        (Some(true), Some("demo.sums"))
    );
    assert_eq!(sandbox.read("demo.sums"), sandbox.read("media/demo-1.0/SHA256SUMS"));
    sandbox.run(&["sign", BUNDLE, "--export", "demo.sums"]).ok();
    sandbox.run(&["--output", "json", "sign", BUNDLE, "--export", "motd.txt"]).refused(2, "output-exists");

    let shown = sandbox.run(&["sign", "demo.sums", "--key", "approver.key"]);
    assert_eq!(shown.code, 2);
    assert!(shown.stdout.contains("volumes/0001.tar.zst"), "{}", shown.stdout);
    let digest = digest(&sandbox, "demo.sums");
    let signed =
        ["--output", "json", "sign", "demo.sums", "--key", "approver.key", "--digest", &digest, "-o", "out"];
    let report = sandbox.run(&signed).ok().json();
    assert_eq!(report["checked"], false);
    let file = report["keys"][0]["path"].as_str().unwrap().to_owned();

    let add = |file: &str, public: &str| {
        sandbox.run(&["--output", "json", "sign", BUNDLE, "--add", file, "--public", public])
    };
    add(&file, "release.pub").refused(5, "signature-invalid");
    add("motd.txt", "approver.pub").refused(5, "signature-invalid");
    assert_eq!(signatures(&sandbox, BUNDLE).len(), 1);
    assert_eq!(add(&file, "approver.pub").ok().json()["keys"][0]["state"], "added");
    assert_eq!(add(&file, "approver.pub").ok().json()["keys"][0]["state"], "already-signed");
    sandbox.run(&["verify", BUNDLE, "--key", "approver.pub"]).ok();

    // What stands in the place of a signature and does not hold is no signature.
    let place = sandbox.path(BUNDLE).join("signatures").join(Path::new(&file).file_name().unwrap());
    fs::write(&place, b"junk").unwrap();
    assert_eq!(add(&file, "approver.pub").ok().json()["keys"][0]["state"], "added");
    sandbox.run(&["verify", BUNDLE, "--key", "approver.pub"]).ok();

    for (name, text) in [("motd.txt", None), ("other.sums", Some(sandbox.read("demo.sums") + "\n"))] {
        if let Some(text) = text {
            sandbox.write(name, text);
        }
        sandbox
            .run(&["--output", "json", "sign", name, "--key", "approver.key"])
            .refused(7, "sums-malformed");
    }
}

#[test]
fn a_damaged_bundle_is_neither_signed_nor_exported() {
    let sandbox = built();
    let volume = sandbox.path("media/demo-1.0/volumes/0001.tar.zst");
    let mut bytes = fs::read(&volume).unwrap();
    bytes[700] ^= 1;
    fs::write(&volume, bytes).unwrap();
    sign(&sandbox, BUNDLE).refused(4, "chunk-damaged");
    sandbox.run(&["--output", "json", "sign", BUNDLE, "--export", "x"]).refused(4, "chunk-damaged");
    assert!(!sandbox.path("x").exists());
    assert_eq!(signatures(&sandbox, BUNDLE).len(), 1);
}

/// T29: `sha256sum` and sealift must be told of the same volumes before anybody signs.
#[test]
fn two_contents_in_one_text_are_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let mut forge = Scene::good().forge();
    with_sums(&mut forge, |text| {
        let at = text.find("  volumes/0001").unwrap() - 64;
        text.replace_range(at..at + 64, &"0".repeat(64));
    });
    lay_out(dir.path(), &forge.seal());
    let failures = verify::examine(dir.path(), 2, &Silent).unwrap_err();
    let reasons: Vec<&str> = failures.list().iter().map(|failure| failure.reason.text()).collect();
    assert_eq!(reasons, ["chunk-list-malformed"]);
}

#[test]
fn a_killed_signature_leaves_nothing_in_the_way() {
    let sandbox = built();
    let left = format!("media/demo-1.0/signatures/.{}.sig.123-0.tmp", "a".repeat(32));
    sandbox.write(&left, "half");
    let verify = ["--output", "json", "verify", BUNDLE, "--key", "release.pub"];
    sandbox.run(&verify).refused(7, "file-extra");
    sign(&sandbox, BUNDLE).ok();
    sandbox.run(&verify).ok();
    // What is not ours stays, and is told.
    sandbox.write("media/demo-1.0/signatures/.notes.tmp", "mine");
    sign(&sandbox, BUNDLE).refused(7, "file-extra");
}

/// T12: the sixty-fifth signature would make the bundle unreadable.
#[test]
fn a_bundle_never_gets_too_many_signatures() {
    let sandbox = built();
    for at in 0..63 {
        sandbox.write(&format!("media/demo-1.0/signatures/{at:032x}.sig"), "junk");
    }
    sandbox.run(&["verify", BUNDLE, "--key", "release.pub"]).ok();
    sign(&sandbox, BUNDLE).refused(7, "signature-limit");
    assert_eq!(signatures(&sandbox, BUNDLE).len(), 64);
    fs::remove_file(sandbox.path(&format!("media/demo-1.0/signatures/{:032x}.sig", 0))).unwrap();
    sign(&sandbox, BUNDLE).ok();
}

/// T03: one key, however often it is given, is one signature.
#[test]
fn a_key_given_twice_signs_once() {
    let sandbox = built();
    let digest = digest(&sandbox, "media/demo-1.0/SHA256SUMS");
    sandbox
        .run(&["sign", BUNDLE, "--key", "approver.key", "--key", "approver.key", "--digest", &digest])
        .ok();
    assert_eq!(signatures(&sandbox, BUNDLE).len(), 2);
}

#[test]
fn slips_of_the_hand_are_named() {
    let sandbox = built();
    let run = |words: &[&str]| sandbox.run(&[&["--output", "json", "sign"], words].concat());
    run(&[BUNDLE]).refused(2, "bad-argument");
    run(&["media", "--key", "approver.key"]).refused(4, "file-missing");
    run(&["none", "--key", "approver.key"]).refused(3, "not-found");
    run(&[BUNDLE, "--key", "approver.key", "-o", "x"]).refused(2, "bad-argument");
    run(&[BUNDLE, "--add", "x.sig"]).refused(2, "bad-argument");
    run(&[BUNDLE, "--export", "x", "--key", "approver.key"]).refused(2, "bad-argument");
    run(&[BUNDLE, "--key", "approver.pub"]).refused(2, "key-format");
    run(&[BUNDLE, "--key", "pkcs11:token=x"]).refused(2, "token-uri");
    let module = sandbox.path("none.so").display().to_string();
    run(&[BUNDLE, "--key", &format!("pkcs11:token=x;object=y?module-path={module}")])
        .refused(3, "token-module");
}

/// T31: a PIN in the URI is refused, and never repeated in what is printed.
#[test]
fn a_pin_on_the_command_line_is_refused_and_not_repeated() {
    let sandbox = built();
    let uri = "pkcs11:token=x;object=y?module-path=/none.so&pin-value=canary-4711";
    for form in ["human", "json"] {
        let ran = sandbox.run(&["--output", form, "build", "--key", uri]);
        assert_eq!(ran.code, 2);
        assert!(
            !ran.stdout.contains("canary") && !ran.stderr.contains("canary"),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
    }
}
