//! What a site keeps as evidence: its ledger and its receipts, through the program (P25, R20, R21, H10).

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
