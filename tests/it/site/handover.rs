//! A new importer key in the place of the old one: whoever knows the old one can follow.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use sealift::{
    ledger::{KeyAction, OffHost},
    site::{evidence, handover},
    trust::PublicKey,
};

fn file(site: &Site, name: &str) -> PathBuf {
    site.store().home().join("keys").join(name)
}

fn key_at(path: &Path) -> PrivateKey {
    PrivateKey::from_pem(&fs::read_to_string(path).unwrap(), None).unwrap()
}

fn own(site: &Site) -> PublicKey {
    key_at(&file(site, "importer.pem")).public().clone()
}

/// What an auditor says who has this key.
fn audit(site: &Site, key: &PublicKey) -> Result<u64, Reason> {
    let lines = site.store().ledger(1, usize::MAX).unwrap();
    let audit = ledger::audit(&lines, std::slice::from_ref(key), &[]);
    audit.map(|audit| audit.sealed).map_err(|failures| failures.list()[0].reason)
}

/// The same to a look from outside and to the next change.
fn shown(site: &Site) -> String {
    let home = site.store().home();
    evidence(home, |state| handover::importer(home, state)).unwrap().key.key_id().to_owned()
}

#[test]
fn the_old_key_hands_over_to_the_new_one() {
    let mut world = World::new();
    let site = world.site();
    let old = own(&site);
    takes(&site, &world.good(1));
    let before = site.store().signed_receipts().unwrap();
    let done = site.replace_importer(None).unwrap();
    let new = own(&site);
    assert_eq!((&done.key, done.replaces.as_deref()), (&new, Some(old.key_id())));
    assert_eq!((done.since, shown(&site).as_str()), (Some(time(NOW)), new.key_id()));
    assert_ne!(old, new);
    let modes = fs::metadata(file(&site, "importer.pem")).unwrap().permissions().mode() & 0o777;
    assert_eq!(modes, 0o600);
    assert!(!file(&site, "importer.next.pem").exists());
    // Told, signed by the old key, then by the new one.
    let all = events(&site);
    let [
        Event::Key { action: KeyAction::Replaced, key_id, replaces: Some(replaces), .. },
        Event::Checkpoint { key_id: first, .. },
        Event::Checkpoint { key_id: second, .. },
    ] = &all[all.len() - 3..]
    else {
        panic!("{all:?}")
    };
    assert_eq!((key_id.get(), replaces.get()), (new.key_id(), old.key_id()));
    assert_eq!((first.get(), second.get()), (old.key_id(), new.key_id()));
    // What was kept elsewhere still says so.
    let rule =
        |key| sealift::trust::Rule { name: "importer".into(), keys: vec![(key, "site")], threshold: 1 };
    let receipt =
        sealift::report::Receipt::open(before.last().unwrap().text.as_bytes(), &rule(&old)).unwrap();
    let head = receipt.facts().ledger.clone();
    let known = OffHost { from: "receipt".into(), head, receipt: Some(receipt.digest()) };
    let lines = site.store().ledger(1, usize::MAX).unwrap();
    ledger::audit(&lines, std::slice::from_ref(&old), &[known]).unwrap();
    // And on: with receipts by the new key, and once more with one of the user's own.
    takes(&site, &world.good(2));
    let after = site.store().signed_receipts().unwrap();
    sealift::report::Receipt::open(after.last().unwrap().text.as_bytes(), &rule(&new)).unwrap();
    let third = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    assert_eq!(&site.replace_importer(Some(third.clone())).unwrap().key, third.public());
    takes(&site, &world.good(3));
    let records = site.store().ledger_head().unwrap().number;
    for key in [&old, &new, third.public()] {
        assert_eq!(audit(&site, key), Ok(records - 1));
    }
}

#[test]
fn a_key_is_replaced_by_another_one_and_nothing_by_any() {
    let mut world = World::new();
    let site = world.site();
    let old = own(&site);
    let same = key_at(&file(&site, "importer.pem"));
    let head = site.store().ledger_head().unwrap();
    assert_eq!(site.replace_importer(Some(same)).unwrap_err().reason, Reason::KeyExists);
    // Where the ledger cannot be written, the old key stays, also for the next command.
    let database = rusqlite::Connection::open(site.store().home().join("sealift.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT raise(ABORT, 'no space'); END";
    database.execute_batch(full).unwrap();
    assert_eq!(site.replace_importer(None).unwrap_err().reason, Reason::Database);
    database.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!((site.store().ledger_head().unwrap(), own(&site)), (head.clone(), old.clone()));
    takes(&site, &world.good(1));
    assert!(audit(&site, &old).is_ok() && own(&site) == old);
    // A key that is lost cannot hand over. The next one is told of, and who knows the lost one sees a stranger.
    fs::remove_file(file(&site, "importer.pem")).unwrap();
    assert_eq!(site.replace_importer(None).unwrap_err().reason, Reason::NotFound);
    takes(&site, &world.good(2));
    assert_eq!(audit(&site, &old), Err(Reason::LedgerCheckpoint));
    assert!(audit(&site, &own(&site)).is_ok());
    let new = world.home("new");
    assert_eq!(new.replace_importer(None).unwrap_err().reason, Reason::NotFound);
    assert_eq!(new.store().ledger_head().unwrap().number, 0);
}

/// A replacement that was killed: before the change is true, or after it and before the file has its place. Gives the
/// key that goes on.
pub(super) fn killed_replacement(site: &Site, is_true: bool) -> PublicKey {
    let (now, next) = (file(site, "importer.pem"), file(site, "importer.next.pem"));
    let (old, pem) = (own(site), fs::read(&now).unwrap());
    if is_true {
        site.replace_importer(None).unwrap();
        fs::rename(&now, &next).unwrap();
        fs::write(&now, pem).unwrap();
    } else {
        let new = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        fs::write(&next, new.to_pem(None).unwrap().reveal()).unwrap();
    }
    for path in [&now, &next] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    if is_true { key_at(&next).public().clone() } else { old }
}

/// A home without a name that imported its first bundle by a single key.
fn nameless(world: &mut World, name: &str) -> Site {
    let site = world.home(name);
    let keys = [world.keys["alice"].public().clone()];
    import::from_media(&world.good(1), &keys, &options(&site), &Silent).unwrap();
    site
}

/// Whatever comes next ends it: an import, or the day on which the home gets its name.
#[test]
fn a_replacement_that_was_killed_is_done_or_never_was() {
    let mut world = World::new();
    for (name, is_true, is_named) in [
        ("untrue", false, true),
        ("true", true, true),
        ("untrue-nameless", false, false),
        ("true-nameless", true, false),
    ] {
        let site = if is_named { world.site_with(name, 1) } else { nameless(&mut world, name) };
        let old = own(&site);
        let goes_on = killed_replacement(&site, is_true);
        assert_eq!(shown(&site), goes_on.key_id());
        assert!(audit(&site, &old).is_ok() && audit(&site, &goes_on).is_ok());
        let home = site.store().home();
        let keys = evidence(home, |state| sealift::site::importer_keys(home, state)).unwrap();
        assert!(keys.contains(&goes_on), "{name}");
        let lines = site.store().ledger(1, usize::MAX).unwrap();
        ledger::audit(&lines, &keys, &[]).unwrap();
        if is_named {
            takes(&site, &world.good(1));
        } else {
            let chain = Chain::begin(&world.chain[0]).unwrap();
            assert_eq!(site.pin(&pin(name, chain)).unwrap().importer, goes_on);
            takes(&site, &world.good(2));
        }
        assert_eq!((own(&site), file(&site, "importer.next.pem").exists()), (goes_on.clone(), false));
        let newest = site.replace_importer(None).unwrap().key;
        for key in [&old, &goes_on, &newest] {
            assert!(audit(&site, key).is_ok());
        }
    }
}

/// R20: what stands in the ledger and was not written by the site never comes under its next checkpoint.
#[test]
fn nothing_is_added_to_what_others_added() {
    let mut world = World::new();
    let stranger = PrivateKey::generate(Algorithm::Ed25519).unwrap();
    let beacon = || Event::Beacon { channel: "prod".into(), epoch: 1, sequence: 9, bundle: Digest::of(b"x") };
    let told = |replaces: &PublicKey| Event::Key {
        key_id: stranger.public().key_id().into(),
        purpose: "importer".into(),
        action: KeyAction::Replaced,
        public_key: Some(stranger.public().to_pem().unwrap()),
        replaces: Some(replaces.key_id().into()),
    };
    let whats = ["record", "checkpoint", "key", "unsealed", "copy", "garbage", "all", "renamed"];
    for (what, is_named) in whats.into_iter().flat_map(|what| [(what, true), (what, false)]) {
        let alice = world.keys["alice"].public().clone();
        let (site, keys) = if is_named {
            (world.site_with(what, 1), vec![])
        } else {
            (nameless(&mut world, &format!("{what}-nameless")), vec![alice])
        };
        let database = rusqlite::Connection::open(site.store().home().join("sealift.db")).unwrap();
        let add = |event: &Event| {
            let head = site.store().ledger_head().unwrap();
            let (line, head) = ledger::append(&head, time(NOW), event).unwrap();
            let row = rusqlite::params![head.number.cast_signed(), line];
            database.execute("INSERT INTO ledger (number, line) VALUES (?1, ?2)", row).unwrap();
        };
        let seal = |key: &PrivateKey| {
            add(&ledger::checkpoint(&site.store().ledger_head().unwrap(), what, key).unwrap());
        };
        let change = |sql: &str| {
            database.execute_batch("DROP TRIGGER IF EXISTS ledger_keeps_all").unwrap();
            database.execute_batch(sql).unwrap();
        };
        let name_stranger = format!("UPDATE site SET importer = '{}'", stranger.public().key_id());
        let mut expected = Reason::LedgerCheckpoint;
        match what {
            "record" => add(&beacon()),
            "checkpoint" => seal(&stranger),
            "key" => {
                add(&told(&own(&site)));
                seal(&stranger);
                change(&name_stranger);
            }
            "unsealed" => change("DELETE FROM ledger WHERE number = (SELECT max(number) FROM ledger)"),
            "copy" => {
                change("INSERT INTO ledger SELECT number + 1, line FROM ledger ORDER BY number DESC LIMIT 1");
            }
            "garbage" => change("INSERT INTO ledger VALUES (9223372036854775807, '')"),
            "all" => {
                change("DELETE FROM ledger");
                expected = Reason::LedgerCut;
            }
            _ => change("UPDATE site SET importer = NULL"),
        }
        let (before, head) = (visible(&site), site.store().ledger_head().unwrap());
        let refusal = import::from_media(&world.good(1), &keys, &options(&site), &Silent).unwrap_err();
        let reasons: Vec<Reason> = refusal.failures.list().iter().map(|failure| failure.reason).collect();
        assert_eq!(reasons, [expected], "{what}");
        assert_eq!(site.replace_importer(None).unwrap_err().reason, expected, "{what}");
        let pinned = site.pin(&pin(what, Chain::begin(&world.chain[0]).unwrap()));
        let expected = if is_named { Reason::TrustPinned } else { expected };
        assert_eq!(pinned.unwrap_err().reason, expected, "{what}");
        assert!(visible(&site) == before, "{what}");
        assert_eq!(site.store().ledger_head().unwrap(), head, "{what}");
    }
    // An old key that is put back says so.
    for site in [nameless(&mut world, "nameless"), world.site_with("named", 1)] {
        let old = fs::read(file(&site, "importer.pem")).unwrap();
        site.replace_importer(None).unwrap();
        let new = fs::read(file(&site, "importer.pem")).unwrap();
        fs::write(file(&site, "importer.pem"), old).unwrap();
        assert_eq!(site.replace_importer(None).unwrap_err().reason, Reason::LedgerCheckpoint);
        fs::write(file(&site, "importer.pem"), new).unwrap();
        site.replace_importer(None).unwrap();
    }
}
