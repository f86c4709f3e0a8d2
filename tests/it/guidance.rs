//! What people are told when they typed something else than they meant: the reason, the file that is meant, and a next
//! step that works.

use std::{fs, os::unix::fs::PermissionsExt as _};

use sealift::trust::Note;

use crate::support::sandbox::{Ran, Sandbox};

fn json(sandbox: &Sandbox, words: &[&str]) -> Ran {
    sandbox.run(&[&["--output", "json"], words].concat())
}

fn failure<'a>(said: &'a serde_json::Value, field: &str) -> &'a str {
    said["failures"][0][field].as_str().unwrap_or_default()
}

/// Keys for these people, `NAME.key` and `NAME.pub`.
fn people(sandbox: &Sandbox, names: &[&str]) {
    for name in names {
        let made = sandbox.run(&["key", "generate", "-o", &format!("{name}.key"), "--no-passphrase"]).ok();
        sandbox.write(&format!("{name}.pub"), made.stdout);
    }
}

/// A folder `trust` whose one document holds: alice is root, dave releases, erin and frank override.
fn trusted() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    people(&sandbox, &["alice", "dave", "dave2", "erin", "frank"]);
    let keys = [
        "root:alice=alice.pub",
        "release:dave=dave.pub",
        "override:erin=erin.pub",
        "override:frank=frank.pub",
    ];
    let init = ["trust", "init", "--out", "trust", "--channel", "prod"];
    let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", key]).collect();
    json(&sandbox, &[&init[..], &keys].concat()).ok();
    sign(&sandbox, "trust", "alice");
    sandbox
}

/// The next version: everybody signs it who must.
fn next_version(sandbox: &Sandbox) {
    json(sandbox, &["trust", "channel", "trust", "prod", "--epoch", "+1"]).ok();
    sign(sandbox, "trust", "alice");
}

fn sign(sandbox: &Sandbox, what: &str, name: &str) -> Ran {
    let shown = json(sandbox, &["trust", "show", what]).ok().json();
    let digits =
        shown["documents"].as_array().unwrap().last().unwrap()["fingerprint"].as_str().unwrap().to_owned();
    let key = format!("{name}.key");
    json(sandbox, &["trust", "sign", what, "--key", &key, "--fingerprint", &digits[..8]]).ok()
}

/// A site that pinned the newest document of `trust`.
fn pinned(sandbox: &Sandbox, file: &str) {
    sandbox.run(&["trust", "init", "--site", "berlin", "--root", file]).ok();
}

/// An override for `site`, signed by erin and frank.
fn order(sandbox: &Sandbox, site: &str, file: &str) -> Ran {
    let digest = format!("sha256:{}", "a".repeat(64));
    let words = ["trust", "override", "--site", site, "--bundle", &digest, "--channel", "prod"];
    let how = ["--effect", "rollback", "--reason", "it must", "-o", file, "--key", "erin.key"];
    json(sandbox, &[&words[..], &how].concat()).ok();
    sign(sandbox, file, "frank")
}

/// Runs the first command that a hint names.
fn follow(sandbox: &Sandbox, hint: &str) -> Ran {
    let command = hint.split('`').nth(1).unwrap_or_else(|| panic!("no command in `{hint}`"));
    let words: Vec<&str> = command.strip_prefix("sealift ").unwrap().split(' ').collect();
    json(sandbox, &words)
}

#[test]
fn a_key_that_a_threshold_needs_goes_once_the_threshold_is_lower() {
    let sandbox = trusted();
    for command in [
        &["trust", "revoke", "trust", "frank", "--reason", "left"][..],
        &["trust", "remove", "trust", "erin"],
    ] {
        let said = json(&sandbox, command).refused(2, "bad-argument").json();
        follow(&sandbox, failure(&said, "hint")).ok();
        json(&sandbox, command).ok();
        fs::remove_file(sandbox.path("trust/0002.trust")).unwrap();
    }
    // Nobody would be left to release, and less than one is not enough: the way is another key.
    let revoke = ["trust", "revoke", "trust", "dave", "--reason", "stolen"];
    let said = json(&sandbox, &revoke).refused(2, "bad-argument").json();
    assert!(failure(&said, "hint").contains("sealift trust rotate trust "), "{said}");
    json(&sandbox, &["trust", "rotate", "trust", "dave", "dave2.pub", "--revoke", "stolen"]).ok();
}

#[test]
fn a_first_document_without_release_keys_gets_them_at_once() {
    let sandbox = Sandbox::new();
    people(&sandbox, &["alice", "dave"]);
    let init = ["trust", "init", "--out", "new", "--key", "root:alice=alice.pub"];
    let said = json(&sandbox, &init).refused(2, "bad-argument").json();
    assert!(failure(&said, "hint").contains("--key release:NAME=FILE"), "{said}");
    assert!(!sandbox.path("new").exists());
    json(&sandbox, &[&init[..], &["--key", "release:dave=dave.pub"]].concat()).ok();
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    let sandbox = Sandbox::new();
    sandbox.write("parent/demo-1.0/file", "");
    fs::create_dir(sandbox.path("empty")).unwrap();
    let digits = "0".repeat(64);
    for (path, code, reason) in
        [("media/demo-1.x", 3, "not-found"), ("parent", 4, "file-missing"), ("empty", 4, "file-missing")]
    {
        let init = ["trust", "init", "--site", "berlin", "--fingerprint", &digits, "--media", path];
        for words in [&init[..], &["verify", path]] {
            let said = json(&sandbox, words).refused(code, reason).json();
            assert_eq!(failure(&said, "object"), path, "{words:?}");
        }
    }
}

#[test]
fn a_fingerprint_is_64_digits_and_is_not_told_to_who_has_fewer() {
    let sandbox = trusted();
    let right =
        Note::parse(sandbox.read("trust/0001.trust").as_bytes()).unwrap().fingerprint().hex().to_owned();
    // As much of a bundle as is read for it.
    sandbox.write("media/SHA256SUMS", "");
    sandbox.write("media/trust/0001.trust", sandbox.read("trust/0001.trust"));
    let init = |typed: &str| {
        json(&sandbox, &["trust", "init", "--site", "berlin", "--fingerprint", typed, "--media", "media"])
    };
    for typed in [&right[..8], &right[..63], "", "not hex"] {
        let said = init(typed).refused(2, "bad-argument");
        assert!(!said.stdout.contains(&right) && !said.stderr.contains(&right), "{}", said.stdout);
    }
    init(&right).ok();
}

#[test]
fn what_a_site_has_left_behind_is_nothing_to_do() {
    let sandbox = trusted();
    next_version(&sandbox);
    next_version(&sandbox);
    pinned(&sandbox, "trust/0002.trust");
    let files = ["trust/0001.trust", "trust/0002.trust", "trust/0003.trust"];
    let accept = |files: &[&str]| {
        json(&sandbox, &[&["trust", "accept"], files].concat()).ok().json()["accepted"].clone()
    };
    let older = serde_json::json!({ "kind": "older", "version": 1, "pinned": 2 });
    assert_eq!(accept(&files[..1]), serde_json::json!([older]));
    let all = accept(&files);
    let kinds: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["older", "known", "trust"]);
    assert!(sandbox.run(&["trust", "accept", files[0]]).ok().stdout.contains("nothing to do"));
}

#[test]
fn of_several_documents_the_bad_one_is_named() {
    let sandbox = trusted();
    pinned(&sandbox, "trust/0001.trust");
    next_version(&sandbox);
    order(&sandbox, "paris", "paris.note");
    fs::create_dir(sandbox.path("folder")).unwrap();
    let good = sandbox.read("trust/0002.trust");
    let body = good.split_once("\n\n").unwrap().0;
    sandbox.write("unsigned.trust", format!("{body}\n\n"));
    sandbox.write("changed.trust", good.replace("\"epoch\": 2", "\"epoch\": 3"));
    sandbox.write("mailed.trust", good.replace('\n', "\r\n"));
    sandbox.write("nonsense", "nonsense");
    for (file, code, reason) in [
        ("folder", 2, "bad-argument"),
        ("missing", 3, "not-found"),
        ("unsigned.trust", 5, "signature-missing"),
        ("changed.trust", 5, "signature-invalid"),
        ("nonsense", 7, "note-malformed"),
        ("mailed.trust", 7, "note-malformed"),
    ] {
        for files in [&[file][..], &["trust/0001.trust", file]] {
            let said = json(&sandbox, &[&["trust", "accept"], files].concat()).refused(code, reason).json();
            assert_eq!(failure(&said, "object"), file, "{files:?}");
        }
    }
    let said = json(&sandbox, &["trust", "accept", "paris.note"]).refused(5, "override-refused").json();
    assert_eq!(failure(&said, "object"), "paris.note");
    // What the mail did is undone as the hint says.
    let said = json(&sandbox, &["trust", "accept", "mailed.trust"]).json();
    let hint = failure(&said, "hint");
    assert!(hint.contains("tr -d '\\r'"), "{hint}");
}

#[test]
fn signers_that_nobody_knows_are_named_and_so_is_the_site() {
    let sandbox = trusted();
    pinned(&sandbox, "trust/0001.trust");
    people(&sandbox, &["frank2"]);
    json(&sandbox, &["trust", "rotate", "trust", "frank", "frank2.pub"]).ok();
    sign(&sandbox, "trust", "alice");
    fs::copy(sandbox.path("frank2.key"), sandbox.path("frank.key")).unwrap();
    order(&sandbox, "paris", "order.note");
    let said = json(&sandbox, &["trust", "accept", "order.note"]).refused(5, "signatures-too-few").json();
    let stranger = json(&sandbox, &["key", "public", "frank2.pub"]).ok().json()["key_id"].clone();
    for wanted in ["site paris", stranger.as_str().unwrap()] {
        assert!(failure(&said, "message").contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn the_last_signature_of_an_order_tells_what_comes_then() {
    let sandbox = trusted();
    let notes = |ran: &Ran| ran.json()["notes"].to_string();
    let last = order(&sandbox, "berlin", "order.note");
    assert!(notes(&last).contains("sealift trust accept order.note"), "{}", last.stdout);
    // Not before, and not where there is no site to give it to.
    let show = json(&sandbox, &["trust", "show", "trust"]).ok();
    assert!(!notes(&show).contains("accept"), "{}", show.stdout);
}

#[test]
fn the_halves_of_a_key_are_told_apart() {
    let sandbox = trusted();
    let said = json(&sandbox, &["trust", "sign", "trust/0001.trust", "--key", "alice.pub"]);
    let said = said.refused(2, "key-format").json();
    assert!(failure(&said, "hint").contains("private half"), "{said}");
    // The public half shows its id, and so does the file that has it alone.
    let whole = sandbox.run(&["key", "public", "alice.key"]).ok();
    let public = sandbox.run(&["key", "public", "alice.pub"]).ok();
    assert_eq!((&whole.stdout, &whole.stderr), (&public.stdout, &public.stderr));
    let id = json(&sandbox, &["key", "public", "alice.pub"]).ok().json()["key_id"].clone();
    assert!(public.stderr.contains(id.as_str().unwrap()), "{}", public.stderr);
    assert_eq!(public.stdout, sandbox.read("alice.pub"));
}

#[test]
fn keys_that_are_no_text_come_with_a_way_out() {
    let sandbox = trusted();
    sandbox.write("der", [0x30, 0x2a, 0xff, 0xfe]);
    for words in [
        &["key", "public", "der"][..],
        &["verify", "trust", "--key", "der"],
        &["trust", "add", "trust", "release", "dave", "der"],
        &["trust", "sign", "der", "--key", "alice.key"],
        &["trust", "show", "der"],
    ] {
        let said = json(&sandbox, words).refused(2, "bad-argument").json();
        assert_eq!(failure(&said, "object"), "der", "{words:?}");
        assert!(!failure(&said, "hint").is_empty(), "{words:?}");
    }
}

#[test]
fn a_passphrase_that_others_can_read_is_none() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("passphrase", "correct horse\n");
    let generate = ["key", "generate", "-o", "alice.key", "--passphrase-file", "passphrase"];
    for (mode, fits) in [(0o644, false), (0o640, false), (0o604, false), (0o600, true)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let ran = json(&sandbox, &generate);
        if fits {
            ran.ok();
        } else {
            let said = ran.refused(2, "key-permissions").json();
            assert_eq!(failure(&said, "object"), "passphrase");
        }
    }
}
