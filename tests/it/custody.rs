//! What a site keeps as evidence: its ledger and its receipts, through the program (P25, R20, R21, H10).

use std::path::Path;

use sealift::{
    base::clock::Timestamp,
    ledger::{Deed, RegistryAction},
    rules::Rules,
    site::{self, Site},
    store::Store,
};

use crate::support::sandbox::{Ran, Sandbox};

/// A site that imported the demo's bundle once and refused one by a stranger.
fn site() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    for name in ["release", "other"] {
        let file = format!("{name}.key");
        let public = sandbox.run(&["key", "generate", "-o", &file, "--no-passphrase"]).ok().stdout;
        sandbox.write(&format!("{name}.pub"), public);
    }
    sandbox.run(&["build", "--key", "release.key", "-o", "media"]).ok();
    let import = ["import", "media/demo-1.0", "--home", "inside", "--key", "release.pub"];
    sandbox.run(&[&import[..], &["--receipt", "first.jsonl"]].concat()).ok();
    sandbox
        .run(&["--output", "json", "import", "media/demo-1.0", "--home", "inside", "--key", "other.pub"])
        .refused(5, "signature-untrusted");
    sandbox.run(&import).ok();
    let public = sandbox.run(&["key", "public", "inside/keys/importer.pem"]).ok().stdout;
    sandbox.write("site.pub", public);
    sandbox
}

fn audit(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.run(&[&["--output", "json", "audit", "ledger", "--home", "inside"], more].concat())
}

#[test]
fn a_ledger_is_proven_whole_or_the_record_is_named() {
    let sandbox = site();
    let report = audit(&sandbox, &["--head", "first.jsonl"]).ok().json();
    assert_eq!((&report["verdict"], &report["heads"]), (&"whole".into(), &1.into()));
    assert_eq!((&report["events"]["import"], &report["events"]["refusal"]), (&2.into(), &1.into()));
    let records = report["head"]["number"].as_u64().unwrap();
    assert_eq!(report["sealed"], records - 1);
    sandbox.write("head", format!("{}\n", report["head_line"].as_str().unwrap()));

    // Exported, it says the same elsewhere, to whoever has the key; a stranger's key signs nothing of it.
    sandbox.run(&["audit", "ledger", "--home", "inside", "--export", "ledger.jsonl"]).ok();
    let piped = sandbox.run(&["audit", "ledger", "--home", "inside", "--export", "-"]).ok().stdout;
    assert_eq!(piped, sandbox.read("ledger.jsonl"));
    let elsewhere = ["--output", "json", "audit", "ledger", "ledger.jsonl", "--key"];
    assert_eq!(sandbox.run(&[&elsewhere[..], &["site.pub"]].concat()).ok().json()["head"], report["head"]);
    sandbox.run(&[&elsewhere[..], &["other.pub"]].concat()).refused(4, "ledger-checkpoint");

    // The whole database is in the hands of somebody else.
    let whole = std::fs::read(sandbox.path("ledger.jsonl")).unwrap();
    let whole: Vec<&str> = std::str::from_utf8(&whole).unwrap().lines().collect();
    let head = ["--head", "head"];
    for (sql, head, reason) in [
        (
            "UPDATE ledger SET line = replace(line, 'home', 'elsewhere') WHERE number = 2",
            &[][..],
            "ledger-edited",
        ),
        ("UPDATE ledger SET line = line || ' ' WHERE number = 3", &[], "ledger-malformed"),
        ("UPDATE ledger SET line = line || char(10) || line WHERE number = 3", &[], "ledger-inserted"),
        ("DELETE FROM ledger WHERE number = 3", &[], "ledger-deleted"),
        ("UPDATE ledger SET number = 99 WHERE number = 2", &[], "ledger-reordered"),
        ("DELETE FROM ledger WHERE number > 4", &head, "ledger-cut"),
        ("DELETE FROM ledger WHERE number > 4", &[], "ledger-checkpoint"),
        ("DELETE FROM ledger WHERE number > 5", &head, "ledger-cut"),
        ("DELETE FROM ledger", &[], "ledger-cut"),
    ] {
        let database = rusqlite::Connection::open(sandbox.path("inside/sealift.db")).unwrap();
        let triggers: Vec<String> = database
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'ledger'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for trigger in triggers {
            database.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
        }
        assert!(database.execute(sql, []).unwrap() > 0, "{sql}");
        audit(&sandbox, head).refused(4, reason);
        database.execute("DELETE FROM ledger", []).unwrap();
        for (at, line) in whole.iter().enumerate() {
            let values = rusqlite::params![i64::try_from(at + 1).unwrap(), line];
            database.execute("INSERT INTO ledger (number, line) VALUES (?1, ?2)", values).unwrap();
        }
        drop(database);
        audit(&sandbox, head).ok();
    }
    // Cut, a ledger is whole to whoever knows nothing of the tail, and only to them.
    sandbox.write("short.jsonl", whole[..3].join("\n") + "\n");
    let short = ["--output", "json", "audit", "ledger", "short.jsonl", "--key", "site.pub"];
    sandbox.run(&short).ok();
    sandbox.run(&[&short[..], &["--head", "head"]].concat()).refused(4, "ledger-cut");
}

#[test]
fn receipts_are_shown_checked_and_handed_out() {
    let sandbox = site();
    let show = |more: &[&str]| {
        sandbox.run(&[&["--output", "json", "receipt", "show", "--home", "inside"], more].concat())
    };
    let latest = show(&[]).ok().json();
    assert_eq!((&latest["imported"], &latest["facts"]["result"]), (&true.into(), &"imported".into()));
    let before = latest["facts"]["previous"].as_str().unwrap().to_owned();
    let refusal = show(&[&before]).ok().json();
    assert_eq!(refusal["facts"]["reason"], "signature-untrusted");
    // Nothing of a bundle that nobody known signed is believed, not even its channel.
    assert!(refusal["facts"].get("channel").is_none());
    assert_eq!(refusal["sums"], latest["sums"]);
    let first = show(&["first.jsonl", "--key", "site.pub"]).ok().json();
    assert_eq!(first["receipt"], refusal["facts"]["previous"]);

    show(&["first.jsonl"]).refused(5, "no-key");
    show(&["first.jsonl", "--key", "other.pub"]).refused(5, "signature-untrusted");
    sandbox.write("cut.jsonl", sandbox.read("first.jsonl").trim_end());
    show(&["cut.jsonl", "--key", "site.pub"]).refused(7, "receipt-malformed");
    show(&[&format!("sha256:{}", "0".repeat(64))]).refused(3, "not-found");

    sandbox.run(&["receipt", "export", "--home", "inside", "--all", "-o", "all"]).ok();
    let mut names: Vec<String> = std::fs::read_dir(sandbox.path("all"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3);
    assert_eq!(sandbox.read(&format!("all/{}", names[0])), sandbox.read("first.jsonl"));
    for name in &names {
        assert!(sandbox.read(&format!("all/{name}")).len() <= 4096);
        audit(&sandbox, &["--head", &format!("all/{name}")]).ok();
    }
    sandbox.run(&["receipt", "export", "--home", "inside", "-o", "last.jsonl"]).ok();
    assert_eq!(sandbox.read("last.jsonl"), sandbox.read(&format!("all/{}", names[2])));
}

/// What cannot be there is not proven: no home, a home without its database, a database without its ledger. And
/// nothing is made by looking.
#[test]
fn a_ledger_that_is_not_there_is_not_whole() {
    let sandbox = site();
    let json = |arguments: &[&str]| sandbox.run(&[&["--output", "json"], arguments].concat());
    let looks = |home: &str| {
        [
            json(&["audit", "ledger", "--home", home]),
            json(&["audit", "ledger", "--home", home, "--key", "site.pub"]),
            json(&["audit", "ledger", "--home", home, "--export", "-"]),
            json(&["receipt", "show", "--home", home]),
            json(&["receipt", "export", "--home", home, "-o", "out"]),
            json(&["receipt", "export", "--home", home, "--all", "-o", "out"]),
            json(&["trust", "importer", "--home", home]),
            json(&["trust", "importer", "--replace", "--home", home]),
        ]
    };
    for look in looks("nowhere/typo") {
        look.refused(3, "not-found");
    }
    assert!(!sandbox.path("nowhere").exists() && !sandbox.path("out").exists());
    // Nor is anything mended.
    std::fs::remove_dir_all(sandbox.path("inside/staging")).unwrap();
    let before = crate::bundle::files(&sandbox.path("inside"));
    audit(&sandbox, &[]).ok();
    json(&["receipt", "show", "--home", "inside"]).ok();
    json(&["trust", "importer", "--home", "inside"]).ok();
    assert!(crate::bundle::files(&sandbox.path("inside")) == before);
    assert!(!sandbox.path("inside/staging").exists());
    // A home that has built and never imported has an empty one.
    let cache = json(&["audit", "ledger", "--home", "home"]).ok().json();
    assert_eq!((&cache["verdict"], &cache["head"]["number"]), (&"whole".into(), &0.into()));

    for file in ["sealift.db", "sealift.db-wal", "sealift.db-shm"] {
        let _not_always_there = std::fs::remove_file(sandbox.path("inside").join(file));
    }
    for look in looks("inside") {
        look.refused(4, "ledger-cut");
    }
    let doctor = json(&["doctor", "--home", "inside"]);
    assert_eq!(doctor.code, 4, "{}", doctor.stdout);
    let checks = doctor.json()["checks"].as_array().unwrap().clone();
    assert!(checks.iter().any(|check| check["name"] == "ledger" && check["reason"] == "ledger-cut"));
    std::fs::remove_dir_all(sandbox.path("inside/keys")).unwrap();
    audit(&sandbox, &[]).refused(4, "ledger-cut");
}

/// R20: a row of the database that no key stands behind is found, and no later import puts its key behind it.
#[test]
fn a_record_that_was_put_in_is_found_and_never_signed() {
    let sandbox = site();
    let database = rusqlite::Connection::open(sandbox.path("inside/sealift.db")).unwrap();
    let row = |database: &rusqlite::Connection| -> (i64, String) {
        let last = "SELECT number, line FROM ledger ORDER BY number DESC LIMIT 1";
        database.query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let (number, line) = row(&database);
    let head = sealift::ledger::Head::of(number.cast_unsigned(), &line);
    let bundle = sealift::base::digest::Digest::of(b"x");
    let event = sealift::ledger::Event::Beacon { channel: "demo".into(), epoch: 1, sequence: 9, bundle };
    let time = sealift::base::clock::Timestamp::from_seconds(1_795_219_200).unwrap();
    let (line, head) = sealift::ledger::append(&head, time, &event).unwrap();
    let insert = "INSERT INTO ledger (number, line) VALUES (?1, ?2)";
    database.execute(insert, rusqlite::params![head.number.cast_signed(), line]).unwrap();
    let is_told = |ran: Ran| {
        let found = ran.json()["failures"].clone();
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(found[0]["object"], format!("record {}", head.number));
        ran.refused(4, "ledger-checkpoint");
    };
    is_told(audit(&sandbox, &[]));
    is_told(audit(&sandbox, &["--key", "site.pub"]));
    let import = ["--output", "json", "import", "media/demo-1.0", "--home", "inside", "--key", "release.pub"];
    is_told(sandbox.run(&import));
    is_told(sandbox.run(&["--output", "json", "trust", "importer", "--replace", "--home", "inside"]));
    assert_eq!(row(&database), (head.number.cast_signed(), line));
    database.execute_batch("DROP TRIGGER ledger_keeps_all; DELETE FROM ledger WHERE number = (SELECT max(number) FROM ledger)").unwrap();
    sandbox.run(&import).ok();
    audit(&sandbox, &[]).ok();
}

/// C01: the key is the old one or the new one, whenever the power goes; and both auditors can follow.
#[test]
fn a_replaced_key_is_followed_and_survives_a_kill() {
    let sandbox = site();
    let json = |arguments: &[&str]| sandbox.run(&[&["--output", "json"], arguments].concat());
    let first = json(&["trust", "importer", "--home", "inside"]).ok().json();
    assert_eq!(first["public_key"], sandbox.read("site.pub"));
    assert!(first["since"].is_string() && first.get("replaces").is_none());
    json(&["trust", "importer", "--home", "inside", "--importer-key", "other.key"])
        .refused(2, "bad-argument");
    let replace = ["trust", "importer", "--replace", "--home", "inside"];
    let own = json(&[&replace[..], &["--importer-key", "other.key"]].concat()).ok().json();
    assert_eq!((&own["public_key"], &own["replaces"]), (&sandbox.read("other.pub").into(), &first["key_id"]));
    let text = sandbox.run(&["trust", "importer", "--home", "inside"]).ok().stdout;
    assert!(text.contains(sandbox.read("other.pub").trim_end()), "{text}");
    audit(&sandbox, &["--key", "site.pub"]).ok();
    // What the old key signed, it signed.
    let shown = |key: &str| json(&["receipt", "show", "--home", "inside", "--key", key]);
    shown("site.pub").ok();
    shown("other.pub").refused(5, "signature-untrusted");

    let mut ended = [0, 0];
    for round in 0..24_u64 {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sealift"));
        sandbox.prepare(&mut command);
        command.args(replace).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 3));
        child.kill().unwrap();
        ended[usize::from(child.wait().unwrap().success())] += 1;
        audit(&sandbox, &["--key", "site.pub"]).ok();
        audit(&sandbox, &[]).ok();
        let now = json(&["trust", "importer", "--home", "inside"]).ok().json();
        sandbox.write("now.pub", now["public_key"].as_str().unwrap());
        audit(&sandbox, &["--key", "now.pub"]).ok();
    }
    assert!(ended[0] > 0, "nothing was killed");
    json(&["import", "media/demo-1.0", "--home", "inside", "--key", "release.pub"]).ok();
    audit(&sandbox, &["--key", "site.pub"]).ok();
    shown("now.pub").ok();
    assert!(!sandbox.path("inside/keys/importer.next.pem").exists());
}

/// The importer key signs when nobody is there: it is kept as a file that needs no passphrase.
#[test]
fn an_importer_key_is_unlocked_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = site();
    let json = |arguments: &[&str]| sandbox.run(&[&["--output", "json"], arguments].concat());
    let replace = ["trust", "importer", "--replace", "--home", "inside", "--importer-key"];
    json(&[&replace[..], &["pkcs11:token=site;object=importer"]].concat()).refused(2, "bad-argument");
    sandbox.write("passphrase", "correct horse battery staple\n");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(sandbox.path("passphrase"), mode).unwrap();
    json(&["key", "generate", "-o", "sealed.key", "--passphrase-file", "passphrase"]).ok();
    json(&[&replace[..], &["sealed.key"]].concat()).refused(2, "key-passphrase");
    json(&[&replace[..], &["sealed.key", "--passphrase-file", "passphrase"]].concat()).ok();
    json(&["import", "media/demo-1.0", "--home", "inside", "--key", "release.pub"]).ok();
    audit(&sandbox, &[]).ok();
}

/// R22: an import whose record cannot be kept has not happened; nor has a refusal been kept in silence.
#[test]
fn where_the_ledger_cannot_be_written_nothing_happens() {
    let sandbox = site();
    let database = rusqlite::Connection::open(sandbox.path("inside/sealift.db")).unwrap();
    let count = |table: &str| -> i64 {
        database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let all = || ["ledger", "signed_receipts", "receipts", "history", "tags"].map(count);
    let before = all();
    let full = "BEGIN SELECT raise(ABORT, 'no room'); END";
    database.execute_batch(&format!("CREATE TRIGGER full BEFORE INSERT ON ledger {full}")).unwrap();
    let import = |key: &str| {
        sandbox.run(&["--output", "json", "import", "media/demo-1.0", "--home", "inside", "--key", key])
    };
    import("release.pub").refused(3, "database");
    assert_eq!(import("other.pub").code, 5);
    assert_eq!(all(), before);
    database.execute_batch("DROP TRIGGER full").unwrap();
    import("release.pub").ok();
    assert_eq!(count("ledger"), before[0] + 2);
}

/// Who reads the ledger slowly, as a pager does that waits for somebody, keeps nothing from the site: neither changes nor
/// the tidying up of its database, whose log would grow as long.
#[test]
fn who_reads_the_ledger_slowly_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let store = Store::open(&home).unwrap();
    let site = Site::new(store.clone(), Timestamp::now());
    let time = Timestamp::now();
    let deeds = |count: usize| {
        (0..count).map(|_| (time, Deed::new(RegistryAction::Pull, "user:kim"))).collect::<Vec<_>>()
    };
    site.record(|_change| Ok(((), deeds(2500)))).unwrap();
    let other = rusqlite::Connection::open(home.join("sealift.db")).unwrap();
    let head = store.ledger_head().unwrap().number;
    let (mut seen, mut hashes) = (0, std::collections::HashSet::new());
    site::each_line(&home, |line| {
        assert!(hashes.insert(line.to_owned()), "twice: {line}");
        seen += 1;
        if seen % 1000 == 1 && seen < 3000 {
            let grant = format!("to=['user:u{seen}']\nrepositories=['a/*']\nmay=['pull']");
            let rules = format!("schema = 1\n[[grant]]\n{grant}");
            let rules = Rules::parse(&rules, Path::new("r")).unwrap();
            site.set_rules(&rules, &format!("user:{seen}")).unwrap();
            let busy: i64 = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
            assert_eq!(busy, 0, "somebody holds the log at record {seen}");
        }
        Ok(())
    })
    .unwrap();
    // What is added meanwhile is left to whoever reads next: a site that writes all the time is not read without end.
    assert_eq!(seen, head);
    assert!(store.ledger_head().unwrap().number > head);
}
