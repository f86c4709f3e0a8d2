//! A site that lost its state, or had it put back.

use sealift::report::Receipt;

use super::*;

/// Receipts of a site, as files that were carried off it.
fn receipts(site: &Site) -> Vec<Vec<u8>> {
    site.store().signed_receipts().unwrap().into_iter().map(|receipt| receipt.text.into_bytes()).collect()
}

/// A new home of the same site: the database is gone, the key is there or not.
fn wiped(site: &Site, keep_key: bool) -> Site {
    let home = site.store().home().to_owned();
    let fresh = PathBuf::from(format!("{}-fresh", home.display()));
    if keep_key {
        fs::create_dir_all(fresh.join("keys")).unwrap();
        fs::copy(home.join("keys/importer.pem"), fresh.join("keys/importer.pem")).unwrap();
    }
    Site::new(Store::open(&fresh).unwrap(), time(NOW))
}

/// C7: the site goes on where its receipts say.
#[test]
fn a_lost_state_comes_back_from_receipts() {
    let mut world = World::new();
    let site = world.site();
    let (one, two, three) = (world.good(1), world.good(2), world.good(3));
    takes(&site, &one);
    takes(&site, &two);
    let old = receipts(&site);
    let fresh = wiped(&site, true);
    let chain = Chain::begin(&world.chain[0]).unwrap();
    let pinned = fresh.pin(&Pin { receipts: old.clone(), ..pin("berlin", chain) }).unwrap();
    assert_eq!(pinned.receipt, Some(Digest::of(&old[1])));
    stands_at(&fresh, 2, &two);
    refuses(&fresh, &one, Reason::Rollback);
    let twin = world.bundle(&Spec { content: "other", ..spec(2) });
    refuses(&fresh, &twin, Reason::Equivocation);
    let order = world.override_for("berlin", &two, Effect::Equivocation, &["carol", "dave"]);
    fresh.accept(&[order]).unwrap();
    assert!(takes(&fresh, &two).report.again);
    takes(&fresh, &three);
    // One chain of receipts, and a ledger that names the one of before.
    let all = fresh.store().signed_receipts().unwrap();
    assert_eq!(all[1].digest, Digest::of(&old[1]));
    let known = events(&fresh);
    let named = known.iter().find_map(|event| match event {
        Event::Reseeded { receipt, ledger } => Some((receipt.clone(), ledger.clone())),
        _ => None,
    });
    let (receipt, ledger) = named.unwrap();
    assert_eq!(receipt, Digest::of(&old[1]));
    let lines = site.store().ledger(ledger.number, 1).unwrap();
    assert_eq!(ledger, sealift::ledger::Head::of(ledger.number, &lines[0]));
    // Once pinned, nothing begins anew.
    let chain = Chain::begin(&world.chain[0]).unwrap();
    assert_eq!(fresh.pin(&pin("berlin", chain)).unwrap_err().reason, Reason::TrustPinned);
}

/// Receipts are believed by who signed them, for this site only, and never below what people remember.
#[test]
fn receipts_must_be_of_this_site_and_signed_by_it() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(5));
    let old = receipts(&site);
    let pem = fs::read_to_string(site.store().home().join("keys/importer.pem")).unwrap();
    let key = PrivateKey::from_pem(&pem, None).unwrap().public().clone();
    let chain = || Chain::begin(&world.chain[0]).unwrap();
    let fresh = wiped(&site, false);
    let with = |pin: Pin<'_>| fresh.pin(&pin).unwrap_err().reason;
    let stranger = world.keys["eve"].public().clone();
    assert_eq!(with(Pin { receipts: old.clone(), ..pin("berlin", chain()) }), Reason::SignatureUntrusted);
    let keys = vec![stranger];
    assert_eq!(
        with(Pin { receipts: old.clone(), receipt_keys: keys, ..pin("berlin", chain()) }),
        Reason::SignatureUntrusted
    );
    let keys = vec![key.clone()];
    assert_eq!(
        with(Pin { receipts: old.clone(), receipt_keys: keys.clone(), ..pin("paris", chain()) }),
        Reason::WrongSite
    );
    let unknown = vec![("test".to_owned(), 1, 1)];
    assert_eq!(with(Pin { at_least: unknown, ..pin("berlin", chain()) }), Reason::ChannelUnknown);
    let epoch = vec![("prod".to_owned(), 2, 1)];
    assert_eq!(with(Pin { at_least: epoch, ..pin("berlin", chain()) }), Reason::BadArgument);
    assert_eq!(with(pin("Not a name", chain())), Reason::BadArgument);
    assert_eq!(fresh.chain().unwrap(), None);
    // Paper knows more than the receipt.
    let at_least = vec![("prod".to_owned(), 1, 9)];
    fresh.pin(&Pin { receipts: old, receipt_keys: keys, at_least, ..pin("berlin", chain()) }).unwrap();
    refuses(&fresh, &world.good(8), Reason::Rollback);
    refuses(&fresh, &world.good(1010), Reason::SequenceJump);
    let nine = world.good(9);
    takes(&fresh, &nine);
    stands_at(&fresh, 9, &nine);
}

/// T17: a receipt remembers how far the trust documents were; an older one is not believed again.
#[test]
fn a_receipt_keeps_trust_from_going_back() {
    let mut world = World::new();
    world.publish_trust(|_| {});
    let site = world.site();
    takes(&site, &world.good(1));
    let fresh = wiped(&site, true);
    let first = Chain::begin(&world.chain[0]).unwrap();
    let refused = fresh.pin(&Pin { receipts: receipts(&site), ..pin("berlin", first) }).unwrap_err();
    assert_eq!(refused.reason, Reason::TrustTooOld);
    let second = Chain::begin(&world.chain[1]).unwrap();
    fresh.pin(&Pin { receipts: receipts(&site), ..pin("berlin", second) }).unwrap();
    takes(&fresh, &world.good(2));
}

/// The home after its database was lost, with the receipts that somebody kept.
fn back(world: &World, site: &Site, receipts: &[&Vec<u8>]) -> (Site, Option<Digest>) {
    let fresh = wiped(site, true);
    let chain = Chain::begin(&world.chain[0]).unwrap();
    let receipts = receipts.iter().map(|&receipt| receipt.clone()).collect();
    let pinned = fresh.pin(&Pin { receipts, ..pin("berlin", chain) }).unwrap();
    (fresh, pinned.receipt)
}

/// The two bundles that froze the channel.
fn frozen(site: &Site) -> Option<(Digest, Digest)> {
    site.store().state(|state| state.memory("prod")).unwrap().frozen
}

/// T14: a channel that was frozen when the state was lost is frozen when it comes back, by the same two bundles,
/// from any receipt since.
#[test]
fn a_frozen_channel_stays_frozen() {
    let mut world = World::new();
    let site = world.site();
    let (three, four, five) = (world.good(3), world.good(4), world.good(5));
    let twin = world.bundle(&Spec { content: "other", ..spec(3) });
    takes(&site, &three);
    takes(&site, &four);
    refuses(&site, &twin, Reason::Equivocation);
    refuses(&site, &five, Reason::ChannelFrozen);
    refuses(&site, &twin, Reason::ChannelFrozen);
    let pair = Some((identity(&three), identity(&twin)));
    assert_eq!(frozen(&site), pair);
    let old = receipts(&site);
    let all: Vec<_> = old.iter().collect();
    for kept in [&all[..], &[&old[2]], &[&old[3]], &[&old[4]], &[&old[4], &old[0], &old[4]]] {
        let (fresh, _) = back(&world, &site, kept);
        assert_eq!(frozen(&fresh), pair);
        refuses(&fresh, &five, Reason::ChannelFrozen);
        fs::remove_dir_all(fresh.store().home()).unwrap();
    }
    // Where the order shows that it was settled, it is.
    let order = world.override_for("berlin", &five, Effect::Equivocation, &["carol", "dave"]);
    site.accept(&[order]).unwrap();
    takes(&site, &five);
    takes(&site, &world.good(6));
    let old = receipts(&site);
    let all: Vec<_> = old.iter().rev().collect();
    let seven = world.good(7);
    for (kept, pair) in [(&all[..], None), (&[&old[6]], None), (&[&old[6], &old[2]], pair)] {
        let (fresh, _) = back(&world, &site, kept);
        assert_eq!(frozen(&fresh), pair);
        assert_eq!(last(&fresh).unwrap().sequence, 6);
        assert_eq!(import(&fresh, &seven).is_ok(), pair.is_none());
        fs::remove_dir_all(fresh.store().home()).unwrap();
    }
}

/// T14: what a beacon froze is on a receipt too, which the ledger names.
#[test]
fn what_a_beacon_froze_stays_frozen() {
    let mut world = World::new();
    let site = world.site();
    let (one, two) = (world.good(1), world.good(2));
    let other = world.bundle(&Spec { content: "other", ..spec(1) });
    takes(&site, &one);
    let lie = world.beacon(1, identity(&other), NOW, 1);
    for _again in 0..2 {
        assert_eq!(site.accept(std::slice::from_ref(&lie)).unwrap_err().why.reason, Reason::Equivocation);
    }
    let old = receipts(&site);
    assert_eq!(old.len(), 2);
    let told = events(&site).into_iter().find_map(|event| match event {
        Event::Refusal { bundle, reason, receipt, .. } => Some((bundle, reason, receipt)),
        _ => None,
    });
    let (bundle, reason, receipt) = told.unwrap();
    assert_eq!(reason.get(), "equivocation");
    assert_eq!((bundle, receipt), (Some(identity(&other)), Some(Digest::of(&old[1]))));
    for kept in [&[&old[0], &old[1]][..], &[&old[1]]] {
        let (fresh, _) = back(&world, &site, kept);
        assert_eq!(frozen(&fresh), Some((identity(&one), identity(&other))));
        refuses(&fresh, &two, Reason::ChannelFrozen);
        fs::remove_dir_all(fresh.store().home()).unwrap();
    }
}

/// C7: a ledger that began anew counts from 1 again; the order of receipts is what they say of one another.
#[test]
fn receipts_of_two_lives_keep_their_order() {
    let mut world = World::new();
    let site = world.site();
    for sequence in 1..6 {
        takes(&site, &world.good(sequence));
    }
    let old = receipts(&site);
    let (fresh, from) = back(&world, &site, &[&old[4]]);
    assert_eq!(from, Some(Digest::of(&old[4])));
    let (five, six) = (world.good(5), world.good(6));
    let twin = world.bundle(&Spec { content: "other", ..spec(5) });
    refuses(&fresh, &twin, Reason::Equivocation);
    let young = receipts(&fresh);
    // However they are given, doubly too.
    let mixed: Vec<_> = young.iter().chain(&old).collect();
    let (again, from) = back(&world, &fresh, &mixed);
    assert_eq!(from, Some(Digest::of(&young[1])));
    assert_eq!(frozen(&again), Some((identity(&five), identity(&twin))));
    refuses(&again, &six, Reason::ChannelFrozen);
    let ordered: Vec<_> = old.iter().chain(&young[1..]).cloned().collect();
    assert_eq!(receipts(&again)[..6], ordered);
    let named = events(&again).into_iter().find_map(|event| match event {
        Event::Reseeded { receipt, ledger } => Some((receipt, ledger.number)),
        _ => None,
    });
    let (receipt, number) = named.unwrap();
    assert_eq!(receipt, Digest::of(&young[1]));
    assert!(number < site.store().ledger_head().unwrap().number);
}

/// C7: the receipt of a bundle that nobody could believe says nothing of any channel. A site does not begin anew
/// on that alone.
#[test]
fn a_receipt_of_no_channel_brings_nothing_back() {
    let mut world = World::new();
    let site = world.site();
    let one = world.good(1);
    takes(&site, &one);
    let junk = world.bundle(&Spec { signers: &["eve"], ..spec(9) });
    refuses(&site, &junk, Reason::SignatureUntrusted);
    let old = receipts(&site);
    let fresh = wiped(&site, true);
    let chain = || Chain::begin(&world.chain[0]).unwrap();
    let refused = fresh.pin(&Pin { receipts: vec![old[1].clone()], ..pin("berlin", chain()) }).unwrap_err();
    assert_eq!(refused.reason, Reason::BadArgument);
    assert_eq!(fresh.chain().unwrap(), None);
    fresh.pin(&Pin { receipts: old, ..pin("berlin", chain()) }).unwrap();
    assert_eq!(last(&fresh).unwrap().sequence, 1);
    // Nor where the first receipt is there, and what comes between them is not.
    let rome = world.site_with("rome", 1);
    refuses(&rome, &junk, Reason::SignatureUntrusted);
    takes(&rome, &one);
    refuses(&rome, &junk, Reason::SignatureUntrusted);
    let old = receipts(&rome);
    let fresh = wiped(&rome, true);
    let around = vec![old[0].clone(), old[2].clone()];
    let refused = fresh.pin(&Pin { receipts: around, ..pin("rome", chain()) }).unwrap_err();
    assert_eq!(refused.reason, Reason::BadArgument);
    assert_eq!(fresh.chain().unwrap(), None);
    fresh.pin(&Pin { receipts: old, ..pin("rome", chain()) }).unwrap();
    assert_eq!(last(&fresh).unwrap().sequence, 1);
    // Nor the first alone, where contents say that more came.
    let oslo = world.site_with("oslo", 1);
    refuses(&oslo, &junk, Reason::SignatureUntrusted);
    takes(&oslo, &one);
    let (old, home) = (receipts(&oslo), oslo.store().home().to_owned());
    drop(oslo);
    remove_database(&home);
    let fresh = Site::new(Store::open(&home).unwrap(), time(NOW));
    let first = vec![old[0].clone()];
    let refused = fresh.pin(&Pin { receipts: first, ..pin("oslo", chain()) }).unwrap_err();
    assert_eq!(refused.reason, Reason::LedgerCut);
    fresh.pin(&Pin { receipts: old, ..pin("oslo", chain()) }).unwrap();
    // Where nothing was before it, nothing is missing.
    let paris = world.site_with("paris", 1);
    refuses(&paris, &junk, Reason::SignatureUntrusted);
    let fresh = wiped(&paris, true);
    fresh.pin(&Pin { receipts: receipts(&paris), ..pin("paris", chain()) }).unwrap();
}

fn remove_database(home: &Path) {
    for name in ["sealift.db", "sealift.db-wal", "sealift.db-shm"] {
        let _may_be_missing = fs::remove_file(home.join(name));
    }
}

/// C19: pinned without a word of what was, a home with a past would take every old bundle again. Whatever begins a
/// new ledger meanwhile, the site keeps that it found a key and contents.
#[test]
fn a_lost_database_is_not_forgotten_in_silence() {
    let mut world = World::new();
    let keys = [world.keys["alice"].public().clone()];
    for name in ["at-once", "imported", "refused", "replaced"] {
        let site = world.site_with(name, 1);
        let (one, two) = (world.good(1), world.good(2));
        takes(&site, &one);
        takes(&site, &two);
        let home = site.store().home().to_owned();
        drop(site);
        remove_database(&home);
        let fresh = Site::new(Store::open(&home).unwrap(), time(NOW));
        let by_key = |bundle: &Path| import::from_media(bundle, &keys, &options(&fresh), &Silent);
        match name {
            "imported" => drop(by_key(&one).unwrap()),
            "refused" => {
                let junk = world.bundle(&Spec { signers: &["eve"], ..spec(9) });
                assert!(by_key(&junk).unwrap_err().receipt.is_some());
            }
            "replaced" => drop(fresh.replace_importer(None).unwrap()),
            _ => {}
        }
        let chain = || Chain::begin(&world.chain[0]).unwrap();
        let refused = fresh.pin(&pin(name, chain())).unwrap_err();
        assert_eq!(refused.reason, Reason::LedgerCut, "{name}");
        assert!(refused.hint.unwrap().contains("--receipt"));
        assert_eq!(fresh.chain().unwrap(), None);
        let at_least = vec![("prod".to_owned(), 1, 2)];
        fresh.pin(&Pin { at_least, ..pin(name, chain()) }).unwrap();
        refuses(&fresh, &one, Reason::Rollback);
    }
}

/// C19: nor does a home without a name, whose first import came to no end, look like one with a past.
#[test]
fn a_first_import_that_failed_is_no_past() {
    let mut world = World::new();
    let site = world.home("berlin");
    let keys = [world.keys["alice"].public().clone()];
    let one = world.good(1);
    let database = rusqlite::Connection::open(site.store().home().join("sealift.db")).unwrap();
    let by_key = || import::from_media(&one, &keys, &options(&site), &Silent);
    for (full, mend) in [
        (
            "CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT raise(ABORT, 'no space'); END",
            "DROP TRIGGER full",
        ),
        // Only the end of the change fails.
        (
            "CREATE TABLE one (id INTEGER PRIMARY KEY);
             CREATE TABLE other (one INTEGER REFERENCES one DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN INSERT INTO other VALUES (1); END",
            "DROP TRIGGER full; DROP TABLE other; DROP TABLE one",
        ),
    ] {
        database.execute_batch(full).unwrap();
        assert_eq!(by_key().unwrap_err().failures.list()[0].reason, Reason::Database);
        assert!(!site.store().home().join("keys/importer.pem").exists());
        database.execute_batch(mend).unwrap();
    }
    by_key().unwrap();
    site.pin(&pin("berlin", Chain::begin(&world.chain[0]).unwrap())).unwrap();
}

/// C19: a database from last month knows less. A receipt or a beacon says so, and a ledger that went on does too.
#[test]
fn a_backup_that_is_put_back_is_found_out() {
    let mut world = World::new();
    let site = world.site();
    let one = world.good(1);
    takes(&site, &one);
    let backup = world.dir().join("backup");
    fs::create_dir_all(backup.join("keys")).unwrap();
    let database = rusqlite::Connection::open(site.store().home().join("sealift.db")).unwrap();
    database.execute_batch(&format!("VACUUM INTO '{}'", backup.join("sealift.db").display())).unwrap();
    fs::copy(site.store().home().join("keys/importer.pem"), backup.join("keys/importer.pem")).unwrap();
    let two = world.good(2);
    let carried = takes(&site, &two).receipt.unwrap();
    let four = world.good(4);
    takes(&site, &four);

    let restored = Site::new(Store::open(&backup).unwrap(), time(NOW));
    stands_at(&restored, 1, &one);
    // Against the receipt that left the house, the ledger was cut.
    let pem = fs::read_to_string(backup.join("keys/importer.pem")).unwrap();
    let key = PrivateKey::from_pem(&pem, None).unwrap();
    let rule =
        sealift::trust::Rule { name: "importer".into(), keys: vec![(key.public(), "berlin")], threshold: 1 };
    let receipt = Receipt::open(carried.text.as_bytes(), &rule).unwrap();
    let known = sealift::ledger::OffHost {
        from: "receipt".into(),
        head: receipt.facts().ledger.clone(),
        receipt: Some(receipt.digest()),
    };
    let lines = restored.store().ledger(1, usize::MAX).unwrap();
    let found = ledger::audit(&lines, &[key.public().clone()], &[known]).unwrap_err();
    assert_eq!(found.list()[0].reason, Reason::LedgerCut);
    // A beacon says what is missing, and the next bundle says that something is.
    let beacon = world.beacon(4, identity(&four), MADE, 1);
    restored.accept(&[beacon]).unwrap();
    let five = world.bundle(&Spec { previous: Some(identity(&four)), ..spec(5) });
    let done = takes(&restored, &five);
    assert_eq!(done.report.warnings, [sealift::trust::sequence::Warning::Gap { from: 1, to: 5 }]);
}
