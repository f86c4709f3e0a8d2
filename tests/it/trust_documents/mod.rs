//! Making trust documents, and signing them one holder at a time: init, add, remove, rotate, revoke, channel, sign,
//! show, export.

mod used;

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use sealift::{trust::Note, trust_folder::TrustFolder};

use crate::support::sandbox::{Ran, Sandbox};

/// People with a key each, `NAME.key` and `NAME.pub`.
fn people(sandbox: &Sandbox, names: &[&str]) {
    for (number, name) in names.iter().enumerate() {
        let algorithm = if number % 2 == 0 { "ed25519" } else { "ecdsa-p256" };
        let file = format!("{name}.key");
        let made = ["key", "generate", "-o", &file, "--no-passphrase", "--algorithm", algorithm];
        let public = sandbox.run(&made).ok().stdout;
        sandbox.write(&format!("{name}.pub"), public);
    }
}

const EVERYBODY: [&str; 7] = ["alice", "bob", "carol", "dave", "erin", "frank", "mallory"];

/// The folder `trust` with a first document that nobody has signed: three root holders, `dave` releases, `erin`
/// approves, `erin` and `frank` override.
fn drafted() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    people(&sandbox, &EVERYBODY);
    sandbox.run(&INIT).ok();
    sandbox
}

const INIT: [&str; 18] = [
    "trust",
    "init",
    "--out",
    "trust",
    "--channel",
    "prod",
    "--key",
    "root:alice=alice.pub",
    "--key",
    "root:bob=bob.pub",
    "--key",
    "root:carol=carol.pub",
    "--key",
    "release:dave=dave.pub",
    "--key",
    "approver+override:erin=erin.pub",
    "--key",
    "override:frank=frank.pub",
];

/// The same, signed by two of the three.
fn founded() -> Sandbox {
    let sandbox = drafted();
    for name in ["alice", "bob"] {
        sign(&sandbox, "trust", name).ok();
    }
    sandbox
}

fn json(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    sandbox.run(&[&["--output", "json"], arguments].concat())
}

fn show(sandbox: &Sandbox, what: &str) -> serde_json::Value {
    json(sandbox, &["trust", "show", what]).ok().json()
}

/// The fingerprint of the last document of what is shown.
fn fingerprint(sandbox: &Sandbox, what: &str) -> String {
    let shown = show(sandbox, what);
    shown["documents"].as_array().unwrap().last().unwrap()["fingerprint"].as_str().unwrap().to_owned()
}

fn sign(sandbox: &Sandbox, what: &str, name: &str) -> Ran {
    let digits = fingerprint(sandbox, what);
    json(sandbox, &["trust", "sign", what, "--key", &format!("{name}.key"), "--fingerprint", &digits[..8]])
}

/// The texts of `missing` of a document: who could still sign, a rule a line.
fn missing(document: &serde_json::Value) -> Vec<String> {
    let rules = document["missing"].as_array().unwrap().iter();
    rules.map(|rule| format!("{} {}: {}", rule["holders_needed"], rule["role"], rule["holders"])).collect()
}

fn changes(ran: &Ran) -> Vec<String> {
    let changes = ran.json()["documents"][0]["changes"].clone();
    changes.as_array().unwrap_or(&Vec::new()).iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_of_three_sign_one_after_the_other_on_different_machines() {
    let sandbox = drafted();
    let draft = &show(&sandbox, "trust")["documents"][0];
    assert_eq!(draft["complete"], false);
    assert_eq!(draft["says"]["root_threshold"], 2);
    assert_eq!(draft["says"]["channels"]["prod"]["override"], 2);
    assert_eq!(missing(draft), [r#"2 "root of version 1": ["alice","bob","carol"]"#]);

    // A single file travels.
    fs::create_dir(sandbox.path("stick")).unwrap();
    for name in ["alice", "bob"] {
        fs::copy(sandbox.path("trust/0001.trust"), sandbox.path(&format!("stick/{name}.note"))).unwrap();
        sign(&sandbox, &format!("stick/{name}.note"), name).ok();
    }
    let one = json(&sandbox, &["trust", "sign", "trust", "--add", "stick/alice.note"]).ok().json();
    assert_eq!(missing(&one["documents"][0]), [r#"1 "root of version 1": ["bob","carol"]"#]);
    let both = json(&sandbox, &["trust", "sign", "trust", "--add", "stick/bob.note"]).ok().json();
    assert_eq!(
        (&both["documents"][0]["complete"], &both["documents"][0]["missing"]),
        (&true.into(), &serde_json::json!([]))
    );
    let shown = show(&sandbox, "trust");
    assert_eq!(shown["versions"][0]["fingerprint"], both["documents"][0]["fingerprint"]);
    assert_eq!(shown["documents"].as_array().unwrap().len(), 1);

    // The third may sign all the same, the file named; of the folder there is nothing left to sign.
    json(&sandbox, &["trust", "sign", "trust", "--key", "carol.key"]).refused(2, "bad-argument");
    let third = sign(&sandbox, "trust/0001.trust", "carol").ok().json();
    assert_eq!(third["documents"][0]["signed"].as_array().unwrap().len(), 3);
}

/// H08: one of three root keys is lost.
#[test]
fn the_others_replace_a_lost_root_key() {
    let sandbox = founded();
    people(&sandbox, &["carol2"]);
    let rotated = json(&sandbox, &["trust", "rotate", "trust", "carol", "carol2.pub"]).ok();
    let told = changes(&rotated);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("key removed: ") && told[0].contains(" of carol, root"), "{told:?}");
    assert!(told[1].starts_with("key added: ") && told[1].contains(" of carol, root"), "{told:?}");
    let rules = [
        r#"2 "root of version 1": ["alice","bob","carol"]"#,
        r#"2 "root of version 2": ["alice","bob","carol"]"#,
    ];
    assert_eq!(missing(&rotated.json()["documents"][0]), rules);

    // The new key counts for the new version only, the old one for the old one only.
    let one = sign(&sandbox, "trust", "carol2").ok().json();
    assert_eq!(missing(&one["documents"][0])[0], rules[0]);
    sign(&sandbox, "trust", "alice").ok();
    let done = sign(&sandbox, "trust", "bob").ok().json();
    assert_eq!(done["documents"][0]["complete"], true);

    json(&sandbox, &["trust", "channel", "trust", "prod", "--epoch", "+1"]).ok();
    sign(&sandbox, "trust", "carol").refused(5, "key-revoked");
    sign(&sandbox, "trust", "carol2").ok();
}

#[test]
fn a_stolen_key_is_revoked_and_stays_so() {
    let sandbox = founded();
    people(&sandbox, &["dave2"]);
    let alone = ["trust", "revoke", "trust", "dave", "--reason", "laptop stolen", "--since", "17"];
    // Nobody could release then: the new key first.
    json(&sandbox, &alone).refused(2, "bad-argument");
    assert!(!sandbox.path("trust/0002.trust").exists(), "a draft was written");
    let id = key_id(&sandbox, "dave");
    json(&sandbox, &["trust", "add", "trust", "release", "dave", "dave2.pub"]).ok();
    let mut by_id = alone;
    by_id[3] = &id;
    let told = changes(&json(&sandbox, &by_id).ok());
    let wanted = format!("key revoked: {id} of dave: laptop stolen; in doubt since sequence 17");
    assert!(told.contains(&wanted), "{told:?}");
    for name in ["alice", "carol"] {
        sign(&sandbox, "trust", name).ok();
    }
    // It does not come back, under whatever name.
    json(&sandbox, &["trust", "add", "trust", "release", "dave", "dave.pub"]).refused(2, "bad-argument");
    json(&sandbox, &["trust", "rotate", "trust", "frank", "dave.pub"]).refused(2, "bad-argument");
    json(&sandbox, &by_id).refused(2, "bad-argument");
    // A key that merely went can be declared stolen later.
    json(&sandbox, &["trust", "channel", "trust", "prod", "--threshold", "override=0"]).ok();
    json(&sandbox, &["trust", "remove", "trust", "frank"]).ok();
    for name in ["alice", "carol"] {
        sign(&sandbox, "trust", name).ok();
    }
    let told = changes(&json(&sandbox, &["trust", "revoke", "trust", "frank", "--reason", "lost"]).ok());
    assert_eq!(told, [format!("key revoked: {} of frank: lost", key_id(&sandbox, "frank"))]);
}

fn key_id(sandbox: &Sandbox, name: &str) -> String {
    json(sandbox, &["key", "public", &format!("{name}.key")]).ok().json()["key_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_draft_is_changed_until_somebody_signs_it() {
    let sandbox = founded();
    json(
        &sandbox,
        &["trust", "add", "trust", "approver", "frank", "mallory.pub", "--from", "5", "--to", "9"],
    )
    .ok();
    let told = changes(&json(&sandbox, &["trust", "channel", "trust", "prod", "--epoch", "+1"]).ok());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("epoch 1 -> 2"), "{told:?}");
    assert!(told[1].contains(" of frank, approver of prod, sequences 5 to 9, "), "{told:?}");
    sign(&sandbox, "trust", "alice").ok();
    let before = sandbox.read("trust/0002.trust");
    for change in [
        &["trust", "add", "trust", "root", "mallory", "mallory.pub"][..],
        &["trust", "remove", "trust", "frank"],
        &["trust", "rotate", "trust", "alice", "mallory.pub"],
        &["trust", "revoke", "trust", "frank", "--reason", "x"],
        &["trust", "channel", "trust", "prod", "--epoch", "7"],
    ] {
        json(&sandbox, change).refused(2, "draft-signed");
    }
    assert_eq!(sandbox.read("trust/0002.trust"), before);
    fs::remove_file(sandbox.path("trust/0002.trust")).unwrap();
    let told = changes(&json(&sandbox, &["trust", "channel", "trust", "prod", "--epoch", "7"]).ok());
    assert_eq!(told, ["channel prod begins anew: epoch 1 -> 7, bundles of others are refused"]);
}

#[test]
fn a_new_channel_gets_keys_and_thresholds() {
    let sandbox = founded();
    json(&sandbox, &["trust", "channel", "trust", "dev"]).refused(2, "bad-argument");
    let arguments = [
        "trust",
        "channel",
        "trust",
        "dev",
        "--key",
        "release:dave=dave.pub",
        "--key",
        "release:mallory=mallory.pub",
        "--threshold",
        "release=2",
    ];
    let text = json(&sandbox, &arguments).ok().json()["documents"][0]["says"].clone();
    assert_eq!(text["channels"]["dev"], serde_json::json!({ "epoch": 1, "release": 2 }));
    let of = |holder: &str| {
        let key = text["keys"].as_array().unwrap().iter().find(|key| key["holder"] == holder).unwrap();
        key["channels"].clone()
    };
    assert_eq!(of("dave"), serde_json::json!(["dev", "prod"]));
    assert_eq!(of("mallory"), serde_json::json!(["dev"]));
}

/// T04 and everything else that people can type and cannot mean: nothing is written.
#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let sandbox = founded();
    let before = sandbox.read("trust/0001.trust");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["init"], 2, "bad-argument"),
        (&["init", "--out", "new", "--site", "plant-7"], 2, "bad-argument"),
        (&["init", "--site", "plant-7"], 2, "bad-argument"),
        (&["init", "--site", "plant-7", "--fingerprint", "ab"], 2, "bad-argument"),
        (&["init", "--out", "new", "--root", "trust/0001.trust"], 2, "bad-argument"),
        (&["init", "--out", "new"], 2, "bad-argument"),
        (&["init", "--out", "new", "--key", "root:alice=alice.pub"], 2, "bad-argument"),
        (&["init", "--out", "new", "--key", "root:Alice=alice.pub"], 2, "bad-argument"),
        (&["init", "--out", "new", "--key", "root:alice=missing.pub"], 3, "not-found"),
        (&["init", "--out", "new", "--key", "root:alice=alice.key"], 2, "key-format"),
        (&["init", "--out", "new", "--key", "prod:root:alice=alice.pub"], 2, "bad-argument"),
        (&["init", "--out", "new", "--key", "king:alice=alice.pub"], 2, "bad-argument"),
        (&["init", "--out", "new", "--channel", "Prod", "--key", "root:alice=alice.pub"], 2, "bad-argument"),
        (&["add", "trust", "root", "mallory", "alice.pub"], 2, "bad-argument"),
        (&["add", "trust", "root+release", "mallory", "mallory.pub"], 2, "bad-argument"),
        (&["add", "trust", "release", "mallory", "mallory.pub", "--channel", "dev"], 2, "bad-argument"),
        (&["add", "trust", "root", "mallory", "mallory.pub", "--channel", "prod"], 2, "bad-argument"),
        (&["add", "trust", "root", "mallory", "mallory.pub", "--from", "1"], 2, "bad-argument"),
        (
            &["add", "trust", "release", "mallory", "mallory.pub", "--from", "9", "--to", "5"],
            2,
            "bad-argument",
        ),
        (&["add", "nowhere", "root", "mallory", "mallory.pub"], 3, "not-found"),
        (&["remove", "trust", "nobody"], 2, "bad-argument"),
        (&["remove", "trust", "dave"], 2, "bad-argument"),
        (&["remove", "trust", "erin"], 2, "bad-argument"),
        (&["rotate", "trust", "nobody", "mallory.pub"], 2, "bad-argument"),
        (&["revoke", "trust", "nobody", "--reason", "x"], 2, "bad-argument"),
        (&["revoke", "trust", "alice", "--reason", ""], 2, "bad-argument"),
        (&["revoke", "trust", "alice", "--reason", "two\nlines"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--epoch", "1"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--epoch", "-1"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--threshold", "root=0"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--threshold", "root=4"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--threshold", "release=0"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--threshold", "release=2"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--threshold", "override=1"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--threshold", "dev:release=1"], 2, "bad-argument"),
        (&["channel", "trust", "prod", "--threshold", "importer=1"], 2, "bad-argument"),
        (&["show", "nowhere"], 3, "not-found"),
        (&["show", "motd.txt"], 7, "note-malformed"),
        (&["show", "trust", "--qr", "x.svg"], 2, "bad-argument"),
        (&["sign", "trust/0001.trust"], 2, "bad-argument"),
        (&["export", "trust", "-o", "new"], 3, "not-found"),
    ];
    json(&sandbox, &INIT).refused(2, "output-exists");
    for (arguments, code, reason) in cases {
        let ran = json(&sandbox, &[&["trust"], *arguments].concat());
        let found = ran.json()["failures"][0].clone();
        assert_eq!((ran.code, found["reason"].as_str()), (*code, Some(*reason)), "{arguments:?}: {found}");
        assert!(found["hint"].is_string(), "{arguments:?}: {found}");
    }
    assert!(!sandbox.path("new/0001.trust").exists());
    assert_eq!(sandbox.read("trust/0001.trust"), before);
    assert!(!sandbox.path("trust/0002.trust").exists());
}

#[test]
fn nothing_is_signed_that_was_not_meant() {
    let sandbox = drafted();
    let before = sandbox.read("trust/0001.trust");
    let sign = |rest: &[&str]| json(&sandbox, &[&["trust", "sign", "trust"], rest].concat());
    sign(&["--key", "alice.key"]).refused(2, "digest-unconfirmed");
    sign(&["--key", "alice.key", "--fingerprint", "00000000"]).refused(5, "trust-fingerprint");
    sign(&["--key", "alice.key", "--fingerprint", &fingerprint(&sandbox, "trust")[..7]])
        .refused(2, "bad-argument");
    sign(&["--key", "alice.key", "--fingerprint", "not hex!"]).refused(2, "bad-argument");
    // T25: a key has one role.
    sign(&["--key", "dave.key"]).refused(5, "key-role");
    sign(&["--key", "mallory.key"]).refused(5, "key-role");
    assert_eq!(sandbox.read("trust/0001.trust"), before);
    // As read aloud, in groups and capitals.
    let aloud: String = fingerprint(&sandbox, "trust").to_uppercase();
    let aloud = format!("{} {} {}", &aloud[..4], &aloud[4..8], &aloud[8..]);
    sign(&["--key", "alice.key", "--fingerprint", &aloud]).ok();
}

#[test]
fn signatures_of_copies_are_checked_before_they_are_taken_over() {
    let sandbox = drafted();
    let text = sandbox.read("trust/0001.trust");
    fs::create_dir(sandbox.path("stick")).unwrap();
    let copy = |name: &str, text: &str| {
        sandbox.write(name, text);
        json(&sandbox, &["trust", "sign", "trust", "--add", name])
    };
    sandbox.write("stick/good.note", &text);
    sign(&sandbox, "stick/good.note", "bob").ok();
    let signed = sandbox.read("stick/good.note");
    // The signature of another text, broken, and by somebody who does not count.
    copy("stick/other.note", &signed.replace("\"epoch\": 1", "\"epoch\": 2")).refused(5, "trust-fork");
    let line = signed.lines().last().unwrap();
    let (start, end) = line.split_at(line.len() - 10);
    let broken = format!("{start}{}", end.replace(|c: char| c.is_ascii_alphanumeric(), "A"));
    copy("stick/broken.note", &signed.replace(line, &broken)).refused(5, "signature-invalid");
    let bob = key_id(&sandbox, "bob");
    let mallory = key_id(&sandbox, "mallory");
    let unknown = signed.replace(&format!("signature {bob}"), &format!("signature {mallory}"));
    let taken = copy("stick/unknown.note", &unknown).ok().json();
    assert_eq!(taken["documents"][0]["signed"], serde_json::json!([]));
    assert_eq!(sandbox.read("trust/0001.trust"), text);
    copy("stick/good.note", &signed).ok();
    assert_eq!(sandbox.read("trust/0001.trust"), signed);
    copy("stick/junk.note", "junk").refused(7, "note-malformed");
}

/// A chain does not hold because it lies in a folder.
#[test]
fn a_folder_is_read_strictly() {
    let sandbox = founded();
    json(&sandbox, &["trust", "channel", "trust", "prod", "--epoch", "+1"]).ok();
    for name in ["alice", "bob"] {
        sign(&sandbox, "trust", name).ok();
    }
    let at = |name: &str| sandbox.path(&format!("trust/{name}"));
    let shown = |code, reason: &str| json(&sandbox, &["trust", "show", "trust"]).refused(code, reason);
    // T17: a version is missing, or stands under another's name.
    fs::copy(at("0002.trust"), at("0004.trust")).unwrap();
    shown(5, "trust-gap");
    fs::rename(at("0004.trust"), at("0003.trust")).unwrap();
    shown(5, "trust-gap");
    fs::remove_file(at("0003.trust")).unwrap();
    fs::rename(at("0002.trust"), sandbox.path("0002.trust")).unwrap();
    fs::copy(at("0001.trust"), at("0001 (copy).trust")).unwrap();
    shown(2, "bad-argument");
    fs::remove_file(at("0001 (copy).trust")).unwrap();
    sandbox.write("trust/README.md", "ours");
    sandbox.write("trust/.0002.trust.123-0.tmp", "left by a killed run");
    show(&sandbox, "trust");
    // A version in the middle lacks a signature: no draft stands there.
    let whole = sandbox.read("trust/0001.trust");
    let less: Vec<&str> = whole.lines().collect();
    sandbox.write("trust/0001.trust", less[..less.len() - 1].join("\n") + "\n");
    fs::rename(sandbox.path("0002.trust"), at("0002.trust")).unwrap();
    shown(5, "signatures-too-few");
    // Alone it can still be looked at, and says what is not known.
    fs::rename(at("0002.trust"), sandbox.path("0002.trust")).unwrap();
    let alone = show(&sandbox, "0002.trust");
    assert_eq!(
        (&alone["documents"][0]["torn"], &alone["documents"][0]["complete"]),
        (&true.into(), &false.into())
    );
    sandbox.write("trust/0001.trust", &whole);
    let told = json(&sandbox, &["trust", "show", "0002.trust", "--trust", "trust"]).ok();
    assert_eq!(changes(&told).len(), 1);
}

/// C01: killed at any moment, a document is the old one or the new one.
#[test]
fn kills_leave_old_or_new() {
    let sandbox = drafted();
    let draft = sandbox.read("trust/0001.trust");
    let digits = fingerprint(&sandbox, "trust");
    for wait in (0..40).map(|step| Duration::from_micros(500 * step)) {
        sandbox.write("trust/0001.trust", &draft);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
        sandbox.prepare(&mut command);
        command.args(["trust", "sign", "trust", "--key", "alice.key", "--fingerprint", &digits]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        let left = sandbox.read("trust/0001.trust");
        let note = Note::parse(left.as_bytes()).unwrap();
        assert!(left == draft || note.signatures().len() == 1, "after {wait:?}:\n{left}");
        show(&sandbox, "trust");
    }
    sign(&sandbox, "trust", "alice").ok();
}

#[test]
fn one_changes_a_folder_at_a_time() {
    let sandbox = founded();
    let folder = TrustFolder::change(&sandbox.path("trust")).unwrap();
    json(&sandbox, &["trust", "remove", "trust", "carol"]).refused(3, "lock-held");
    json(&sandbox, &["trust", "sign", "trust/0001.trust", "--key", "carol.key"]).refused(3, "lock-held");
    show(&sandbox, "trust");
    drop(folder);
    json(&sandbox, &["trust", "remove", "trust", "carol"]).ok();
}
