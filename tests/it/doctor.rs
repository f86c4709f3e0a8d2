//! `sealift doctor`: every problem made on purpose is named, with what to do; and nothing is changed.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    bundle::files,
    support::sandbox::{Ran, Sandbox},
};

/// A home with the demo imported.
fn site() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    let public = sandbox.run(&["key", "generate", "-o", "release.key", "--no-passphrase"]).ok().stdout;
    sandbox.write("release.pub", public);
    sandbox.run(&["build", "--key", "release.key", "-o", "media", "--home", "warm"]).ok();
    sandbox.run(&["import", "media/demo-1.0", "--key", "release.pub"]).ok();
    sandbox
}

fn doctor(sandbox: &Sandbox) -> Ran {
    sandbox.run(&["doctor", "--output", "json"])
}

/// State, reason and advice of one check.
fn check(ran: &Ran, name: &str) -> (String, Option<String>, Option<String>) {
    let report = ran.json();
    let checks = report["checks"].as_array().unwrap();
    let check =
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"));
    let text = |key: &str| check[key].as_str().map(str::to_owned);
    (text("state").unwrap(), text("reason"), text("advice"))
}

#[track_caller]
fn is_problem(ran: &Ran, code: i32, name: &str, reason: &str) {
    let (state, found, advice) = check(ran, name);
    assert_eq!(
        (ran.code, state.as_str(), found.as_deref()),
        (code, "problem", Some(reason)),
        "{}",
        ran.stdout
    );
    assert!(advice.is_some() && ran.json()["state"] == "problem", "{}", ran.stdout);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// R21: whoever edits the ledger needs to get past its triggers, and is found.
#[test]
fn an_edited_ledger_and_an_old_key_are_told() {
    let sandbox = site();
    let database = rusqlite::Connection::open(sandbox.path("home/sealift.db")).unwrap();
    database
        .execute_batch(
            "DROP TRIGGER ledger_stays_as_it_is;
             UPDATE ledger SET line = replace(line, 'demo', 'dema'), number = number WHERE number = 2;
             UPDATE ledger SET line = replace(line, '2', '3') WHERE number = 2;",
        )
        .unwrap();
    drop(database);
    let key = fs::File::options().write(true).open(sandbox.path("home/keys/importer.pem")).unwrap();
    key.set_modified(std::time::UNIX_EPOCH).unwrap();
    let ran = doctor(&sandbox);
    let (state, reason, advice) = check(&ran, "ledger");
    assert!(reason.unwrap().starts_with("ledger-") && advice.is_some(), "{}", ran.stdout);
    assert_eq!((ran.code, state.as_str()), (4, "problem"), "{}", ran.stdout);
    assert_eq!(check(&ran, "key age").0, "warning", "{}", ran.stdout);
    // A report that does not come out hides no problem, nor its code.
    for form in ["human", "json"] {
        let unheard = sandbox.run_unheard(&["doctor", "--output", form]);
        assert_eq!(unheard.code, 4, "{form}: {}", unheard.stderr);
        for reason in ["error[ledger-", "error[disk-full]"] {
            assert!(unheard.stderr.contains(reason), "{form}: {}", unheard.stderr);
        }
    }
}

#[test]
fn a_good_site_is_told_so_and_left_as_it_is() {
    let sandbox = site();
    let home = sandbox.path("home");
    let before = files(&home);
    let ran = doctor(&sandbox).ok();
    assert_eq!(check(&ran, "trust").0, "warning", "nothing is pinned: {}", ran.stdout);
    for name in ["clock", "permissions", "database", "contents", "staging", "ledger", "key age"] {
        assert_eq!(check(&ran, name).0, "ok", "{}", ran.stdout);
    }
    let text = sandbox.run(&["doctor", "--media", "media"]).ok().stdout;
    assert!(text.contains("media limits") && text.contains("0 problems"), "{text}");
    assert!(files(&home) == before, "a look changes nothing");
    let new = sandbox.run(&["doctor", "--home", "new", "--output", "json"]).ok();
    assert_eq!(check(&new, "home").0, "warning");
    assert!(!sandbox.path("new").exists());
}

/// Threats C22: others get in.
#[test]
fn wide_permissions_are_named_with_the_command_that_narrows_them() {
    let sandbox = site();
    let home = sandbox.path("home");
    mode(&home, 0o755);
    is_problem(&doctor(&sandbox), 3, "permissions", "permissions");
    mode(&home, 0o700);
    let key = sandbox.path("home/keys/importer.pem");
    mode(&key, 0o640);
    is_problem(&doctor(&sandbox), 3, "permissions", "permissions");
    let advice = check(&doctor(&sandbox), "permissions").2.unwrap();
    assert!(advice.contains(&format!("chmod 600 {}", key.display())), "{advice}");
    mode(&key, 0o600);
    mode(&sandbox.write("home/keys/importer.pub", "key"), 0o644);
    doctor(&sandbox).ok();
}

#[test]
fn contents_that_are_gone_or_cut_are_named() {
    let sandbox = site();
    let shards = sandbox.path("home/blobs/sha256");
    let content = files(&shards).into_keys().next().unwrap();
    let (path, kept) = (shards.join(&content), fs::read(shards.join(&content)).unwrap());
    fs::remove_file(&path).unwrap();
    is_problem(&doctor(&sandbox), 4, "contents", "store-damaged");
    assert!(doctor(&sandbox).stdout.contains(content.split('/').next_back().unwrap()));
    fs::write(&path, kept).unwrap();
    doctor(&sandbox).ok();
    let manifest =
        files(&shards).into_iter().find(|(_, bytes)| bytes.starts_with(b"{\"schemaVersion\"")).unwrap().0;
    fs::write(shards.join(&manifest), "{").unwrap();
    is_problem(&doctor(&sandbox), 4, "contents", "store-damaged");
    // What it advises helps.
    fs::remove_file(shards.join(&manifest)).unwrap();
    sandbox.run(&["import", "media/demo-1.0", "--key", "release.pub"]).ok();
    sandbox.write("home/blobs/notes.txt", "mine");
    let ran = doctor(&sandbox).ok();
    assert_eq!(check(&ran, "contents").0, "warning");
}

/// Threats C05: a database that is damaged, none, or of another version is told, and never mended in silence.
#[test]
fn a_damaged_database_is_told() {
    let sandbox = site();
    let database = sandbox.path("home/sealift.db");
    let good = fs::read(&database).unwrap();
    let mut torn = good.clone();
    torn[4096 + 10..8192].fill(0xff);
    let mut other_schema = good.clone();
    other_schema[60..64].copy_from_slice(&99_u32.to_be_bytes());
    for (bytes, code, reason) in [
        (torn, 4, "database-damaged"),
        (good[..good.len() - 4096].to_vec(), 4, "database-damaged"),
        (b"no database at all, but long enough for a header".repeat(100), 4, "database-damaged"),
        (other_schema, 7, "format-version"),
    ] {
        fs::write(&database, &bytes).unwrap();
        is_problem(&doctor(&sandbox), code, "database", reason);
        assert!(fs::read(&database).unwrap() == bytes, "{reason}");
    }
    // What it advises helps.
    fs::rename(&database, sandbox.path("old.db")).unwrap();
    sandbox.run(&["import", "media/demo-1.0", "--key", "release.pub"]).ok();
    assert_eq!(check(&doctor(&sandbox).ok(), "database").0, "ok");
}

#[test]
fn a_log_that_a_killed_process_left_is_read_too() {
    let sandbox = site();
    let database = rusqlite::Connection::open(sandbox.path("home/sealift.db")).unwrap();
    database.execute("INSERT INTO receipts (bundle, receipt) VALUES ('b', '{}')", []).unwrap();
    let copy = sandbox.path("copy");
    fs::create_dir(&copy).unwrap();
    mode(&copy, 0o700);
    for name in ["sealift.db", "sealift.db-wal"] {
        fs::copy(sandbox.path("home").join(name), copy.join(name)).unwrap();
    }
    let ran = sandbox.run(&["doctor", "--home", "copy", "--output", "json"]);
    assert!(ran.stdout.contains("2 imports"), "{}", ran.stdout);
}

#[test]
fn a_medium_is_looked_at() {
    let sandbox = site();
    let media = |folder: &str| sandbox.run(&["doctor", "--media", folder, "--output", "json"]);
    assert_eq!(check(&media("media").ok(), "media").0, "ok");
    is_problem(&media("none"), 3, "media", "not-found");
    is_problem(&media("motd.txt"), 3, "media", "not-found");
}
