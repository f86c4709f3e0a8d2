//! Everything that an import changes, it changes at once, by the state as it is then.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use sealift::{
    base::progress::Progress,
    import::Options,
    oci::Descriptor,
    remote::{Client, ClientSettings},
    site::evidence,
    store::State,
};

use super::*;
use crate::support::sink::{Manner, Sink};

/// Does something the moment the contents begin to flow: the bundle has been judged, nothing is published.
struct Meanwhile<F: FnOnce() + Send>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> Progress for Meanwhile<F> {
    fn start(&self, _what: &str, _total: u64) {
        if let Some(work) = self.0.lock().unwrap().take() {
            work();
        }
    }
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
    fn note(&self, _line: &str) {}
}

fn import_while(site: &Site, bundle: &Path, work: impl FnOnce() + Send) -> Result<Done, Reason> {
    let meanwhile = Meanwhile(Mutex::new(Some(work)));
    import::from_media(bundle, &[], &options(site), &meanwhile)
        .map_err(|refusal| refusal.failures.list()[0].reason)
}

/// R04, P23: what was true when the bundle was looked at may be over when it is published.
#[test]
fn a_bundle_is_judged_again_when_it_is_published() {
    let mut world = World::new();
    let site = world.site();
    let other = Site::new(Store::open(site.store().home()).unwrap(), time(NOW));
    let (one, two, three) = (world.good(1), world.good(2), world.good(3));
    let rolled = import_while(&site, &one, || drop(takes(&other, &two)));
    assert_eq!(rolled.unwrap_err(), Reason::Rollback);
    stands_at(&site, 2, &two);
    assert!(site.store().tags("docker.io/library/app", None, 9).unwrap().unwrap() == ["2"]);
    // The same one twice is one import, and one that was there.
    let done = import_while(&site, &three, || drop(takes(&other, &three)));
    assert!(done.unwrap().report.again);
    stands_at(&site, 3, &three);
    let twin = world.bundle(&Spec { content: "other", ..spec(4) });
    let four = world.good(4);
    let twice = import_while(&site, &twin, || drop(takes(&other, &four)));
    assert_eq!(twice.unwrap_err(), Reason::Equivocation);
    assert!(site.store().state(|state| state.memory("prod")).unwrap().frozen.is_some());
    events(&site);
}

/// R04: in a registry too, where tags cannot move in the same transaction: they wait for it.
#[test]
fn no_tag_moves_in_a_registry_for_a_bundle_that_came_too_late() {
    let mut world = World::new();
    let site = world.site();
    let other = Site::new(Store::open(site.store().home()).unwrap(), time(NOW));
    let (one, two) = (world.good(1), world.good(2));
    let sink = Sink::start(Manner { referrers: true, ..Manner::default() });
    let push = |site: &Site| {
        let client = Client::new(ClientSettings::default(), Arc::new(Silent)).unwrap();
        let destination = Destination::registry(&sink.host(), client).unwrap();
        Options { destination, ..options(site) }
    };
    let newer = push(&other);
    let overtake = || {
        let import = || drop(import::from_media(&two, &[], &newer, &Silent).unwrap());
        std::thread::scope(|scope| scope.spawn(import).join().unwrap());
    };
    let meanwhile = Meanwhile(Mutex::new(Some(overtake)));
    let late = import::from_media(&one, &[], &push(&site), &meanwhile).unwrap_err();
    assert_eq!(late.failures.list()[0].reason, Reason::Rollback);
    stands_at(&site, 2, &two);
    sink.with(|content| {
        let tags: Vec<&String> = content.repositories["docker.io/library/app"].tags.keys().collect();
        assert_eq!(tags, ["2"]);
    });
}

/// P23: a revocation that comes while the contents flow counts.
#[test]
fn trust_that_changes_meanwhile_stops_the_import() {
    let mut world = World::new();
    let site = world.site();
    let bundle = world.good(1);
    world.revoke("alice", None);
    world.grant("eve", &[Role::Release], &["prod"]);
    let newer = world.publish_trust(|_| {});
    let stopped = import_while(&site, &bundle, || drop(site.accept(&[newer]).unwrap()));
    assert_eq!(stopped.unwrap_err(), Reason::LockHeld);
    assert_eq!(last(&site), None);
    refuses(&site, &bundle, Reason::KeyRevoked);
}

/// R04: many at once, each with the database open for itself.
#[test]
fn many_imports_at_once_end_with_the_newest() {
    let mut world = World::new();
    let site = world.site();
    let bundles: Vec<PathBuf> = (1..=6).map(|sequence| world.good(sequence)).collect();
    std::thread::scope(|scope| {
        for bundle in &bundles {
            let site = &site;
            scope.spawn(move || {
                let own = Site::new(Store::open(site.store().home()).unwrap(), time(NOW));
                if let Err(refusal) = import(&own, bundle) {
                    assert_eq!(refusal.failures.list()[0].reason, Reason::Rollback);
                }
            });
        }
    });
    stands_at(&site, 6, &bundles[5]);
    let places: Vec<u64> = site
        .store()
        .state(|state| state.imported())
        .unwrap()
        .iter()
        .map(|one| one.position.sequence)
        .collect();
    assert!(places.is_sorted() && places.last() == Some(&6), "{places:?}");
    let records = names(&site);
    let count = |wanted: &str| records.iter().filter(|name| **name == wanted).count();
    assert_eq!((count("import"), count("import") + count("refusal")), (places.len(), 6));
    assert_eq!(site.store().signed_receipts().unwrap().len(), 6);
}

/// R22: what cannot be told of is not done.
#[test]
fn without_ledger_or_receipt_there_is_no_import() {
    let mut world = World::new();
    for table in ["ledger", "signed_receipts", "receipts", "history"] {
        let site = world.site_with(table, 1);
        let good = world.good(1);
        let database = Connection::open(site.store().home().join("sealift.db")).unwrap();
        let full = format!(
            "CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'no space'); END"
        );
        database.execute_batch(&full).unwrap();
        let before = visible(&site);
        let refusal = import(&site, &good).unwrap_err();
        assert_eq!(refusal.failures.code(), 3, "{table}");
        assert!(visible(&site) == before, "{table}");
        database.execute_batch("DROP TRIGGER full").unwrap();
        takes(&site, &good);
        events(&site);
    }
    // A refusal that cannot be kept is a refusal all the same, and both are told.
    let site = world.site();
    takes(&site, &world.good(2));
    let database = Connection::open(site.store().home().join("sealift.db")).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT raise(ABORT, 'no space'); END",
        )
        .unwrap();
    let refusal = import(&site, &world.good(1)).unwrap_err();
    let reasons: Vec<Reason> = refusal.failures.list().iter().map(|failure| failure.reason).collect();
    assert_eq!((reasons, refusal.failures.code()), (vec![Reason::Rollback, Reason::Database], 6));
}

/// R21: lines stay as they are.
#[test]
fn the_ledger_is_only_added_to() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(1));
    let database = Connection::open(site.store().home().join("sealift.db")).unwrap();
    for change in [
        "UPDATE ledger SET line = 'x' WHERE number = 1",
        "DELETE FROM ledger WHERE number > 2",
        "UPDATE signed_receipts SET text = 'x'",
        "DELETE FROM signed_receipts",
    ] {
        assert!(database.execute_batch(change).is_err(), "{change}");
    }
    events(&site);
}

/// An import into a registry that never answers twice to what it refused.
fn push(site: &Site, sink: &Sink, bundle: &Path) -> Result<Done, Refusal> {
    let retries = sealift::remote::Retries { tries: 1, ..Default::default() };
    let client = Client::new(ClientSettings { retries, ..Default::default() }, Arc::new(Silent)).unwrap();
    let destination = Destination::registry(&sink.host(), client).unwrap();
    import::from_media(bundle, &[], &Options { destination, ..options(site) }, &Silent)
}

/// An import that was cut after it counted is told of until the rest has come too.
#[test]
fn what_is_admitted_and_not_all_there_is_told() {
    let mut world = World::new();
    let site = world.site();
    let one = world.good(1);
    let sink = Sink::start(Manner { referrers: true, ..Manner::default() });
    sink.with(|content| content.refuses_tags = true);
    for _ in 0..2 {
        push(&site, &sink, &one).unwrap_err();
        assert_eq!(alarms(&site, NOW), [Reason::ImportUnfinished]);
        stands_at(&site, 1, &one);
    }
    sink.with(|content| content.refuses_tags = false);
    assert!(push(&site, &sink, &one).unwrap().report.again);
    assert_eq!(alarms(&site, NOW), []);
    // Nobody waits for what a newer bundle left behind.
    let other = Sink::start(Manner { referrers: true, ..Manner::default() });
    other.with(|content| content.refuses_tags = true);
    push(&site, &other, &one).unwrap_err();
    assert_eq!(alarms(&site, NOW), [Reason::ImportUnfinished]);
    takes(&site, &world.good(2));
    assert_eq!(alarms(&site, NOW), []);
}

/// Into a registry: the channel moves once everything is there, and not before.
#[test]
fn a_registry_gets_everything_before_the_channel_moves() {
    let mut world = World::new();
    let site = world.site();
    let (one, two) = (world.good(1), world.good(2));
    let sink = Sink::start(Manner { referrers: true, breaks_after: Some(2), ..Manner::default() });
    let head = site.store().ledger_head().unwrap();
    assert_eq!(push(&site, &sink, &two).unwrap_err().failures.code(), 9);
    assert_eq!((last(&site), site.store().ledger_head().unwrap()), (None, head));
    sink.mend();
    let done = push(&site, &sink, &two).unwrap();
    stands_at(&site, 2, &two);
    assert_eq!(done.report.destination, sink.host());
    assert!(site.store().repositories(None, 9, None).unwrap().is_empty());
    assert_eq!(push(&site, &sink, &one).unwrap_err().failures.list()[0].reason, Reason::Rollback);
}

/// What schema 1 kept, byte for byte as it was made then.
const SCHEMA_1: &str = "
    CREATE TABLE manifests (
        repository TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
        subject TEXT, artifact_type TEXT, annotations TEXT NOT NULL, PRIMARY KEY (repository, digest)
    ) STRICT;
    CREATE INDEX manifests_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
    CREATE TABLE tags (
        repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, tag),
        FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest)
    ) STRICT;
    CREATE TABLE blobs (
        repository TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, digest)
    ) STRICT;
    CREATE TABLE receipts (
        number INTEGER PRIMARY KEY AUTOINCREMENT, bundle TEXT NOT NULL, receipt TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
";

/// P29: a home of before keeps everything, and becomes a site.
#[test]
fn a_home_of_schema_1_keeps_everything() {
    let mut world = World::new();
    let home = world.dir().join("old");
    fs::create_dir(&home).unwrap();
    let root = Descriptor::of(sealift::oci::media_type::MANIFEST, b"manifest");
    let database = Connection::open(home.join("sealift.db")).unwrap();
    database.execute_batch(SCHEMA_1).unwrap();
    let rows = format!(
        "INSERT INTO manifests VALUES ('a/b', '{0}', '{1}', 8, NULL, NULL, '{{}}');
         INSERT INTO tags VALUES ('a/b', 'old', '{0}');
         INSERT INTO receipts (bundle, receipt) VALUES ('b', 'a report of before');",
        root.digest, root.media_type
    );
    database.execute_batch(&rows).unwrap();
    drop(database);
    assert!(Store::read_only(&home, |_| Ok(())).unwrap().is_none(), "there is no site yet");
    let site = Site::new(Store::open(&home).unwrap(), time(NOW));
    assert_eq!(site.store().tags("a/b", None, 9).unwrap().unwrap(), ["old"]);
    assert_eq!(site.store().reports().unwrap(), ["a report of before"]);
    site.pin(&pin("berlin", Chain::begin(&world.chain[0]).unwrap())).unwrap();
    let good = world.good(1);
    takes(&site, &good);
    stands_at(&site, 1, &good);
    assert_eq!(site.store().reports().unwrap().len(), 2);
    // A newer one is left alone.
    let database = Connection::open(home.join("sealift.db")).unwrap();
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    database.execute_batch(&format!("PRAGMA user_version = {}", version + 1)).unwrap();
    assert_eq!(Store::open(&home).unwrap_err().reason, Reason::FormatVersion);
    assert_eq!(Store::read_only(&home, |_| Ok(())).unwrap_err().reason, Reason::FormatVersion);
}

/// P29: until something changes it, a site of before is read as it is, and believes what it believed.
#[test]
fn a_site_of_schema_2_is_one_before_it_is_brought_to_today() {
    let mut world = World::new();
    let site = world.site();
    let (one, two) = (world.good(1), world.good(2));
    takes(&site, &one);
    let home = site.store().home().to_owned();
    let before = visible(&site);
    drop(site);
    undo_later_steps(&home);
    let kept = |state: &State<'_>| {
        let (report, _) = sealift::site::status(state, "home", time(NOW))?;
        assert_eq!((report.site.as_deref(), state.rules()?.version), (Some("berlin"), 0));
        Ok((state.imported()?.len(), report.trust.is_some(), report.alarms.len()))
    };
    assert_eq!(evidence(&home, kept).unwrap(), (1, true, 0));
    let version = || -> i64 {
        let database = Connection::open(home.join("sealift.db")).unwrap();
        database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(version(), 2);
    let site = Site::new(Store::open(&home).unwrap(), time(NOW));
    assert!(visible(&site) == before && version() > 2);
    takes(&site, &two);
    stands_at(&site, 2, &two);
}

/// What the steps after schema 2 made goes again.
fn undo_later_steps(home: &Path) {
    const TABLES: [&str; 14] = [
        "manifests",
        "tags",
        "blobs",
        "receipts",
        "signed",
        "site",
        "trust",
        "channels",
        "history",
        "beacons",
        "overrides",
        "ledger",
        "signed_receipts",
        "sqlite_sequence",
    ];
    const INDEXES: [&str; 2] = ["manifests_subject", "history_channel"];
    let database = Connection::open(home.join("sealift.db")).unwrap();
    let listed: Vec<(String, String, String)> = database
        .prepare(
            "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (kind, name, table) in listed {
        let is_old = TABLES.contains(&table.as_str());
        if (kind == "index" && is_old && !INDEXES.contains(&name.as_str())) || (kind == "table" && !is_old) {
            database.execute_batch(&format!("DROP {kind} {name}")).unwrap();
        }
    }
    for (table, column) in [("blobs", "size"), ("tags", "moved"), ("tags", "mover")] {
        database.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}")).unwrap();
    }
    database.execute_batch("PRAGMA user_version = 2").unwrap();
}
