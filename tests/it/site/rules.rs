//! The rules of a channel, each alone.

use sealift::{
    base::failure::Reason,
    import::{self, Options},
    ledger::Event,
    oci::Descriptor,
    report::{Receipt, receipt::Outcome},
    trust::{Effect, PrivateKey, Rule, sequence::Warning},
};

use super::*;

/// T23, T32: one signature is not two people.
#[test]
fn it_takes_those_who_must_sign() {
    let mut world = World::new();
    let site = world.site();
    for (signers, reason) in [
        (&["alice"][..], Reason::SignaturesTooFew),
        (&["bob"], Reason::SignaturesTooFew),
        (&["bob", "carol"], Reason::SignaturesTooFew),
        (&["eve"], Reason::SignatureUntrusted),
        // T25: keys of other roles and channels.
        (&["root1", "root2"], Reason::KeyRole),
        (&["dora", "bob"], Reason::KeyRole),
        (&[], Reason::SignatureMissing),
    ] {
        let bundle = world.bundle(&Spec { signers, ..spec(1) });
        refuses(&site, &bundle, reason);
    }
    let good = world.good(1);
    let done = takes(&site, &good);
    assert_eq!((done.report.site.as_deref(), done.report.trust_version), (Some("berlin"), Some(1)));
    let holders: Vec<&str> = done.report.bundle.signers.iter().map(|by| by.holder.as_str()).collect();
    assert_eq!(holders, ["alice", "bob"].map(|name| name).into_iter().rev().collect::<Vec<_>>());
    stands_at(&site, 1, &good);
}

/// T13.
#[test]
fn an_older_bundle_is_refused() {
    let mut world = World::new();
    let site = world.site();
    let (older, newer) = (world.good(41), world.good(42));
    takes(&site, &newer);
    refuses(&site, &older, Reason::Rollback);
    stands_at(&site, 42, &newer);
}

/// P9: the same import twice is one. What was lost on the disk comes back.
#[test]
fn the_same_bundle_again_moves_nothing() {
    let mut world = World::new();
    let site = world.site();
    let bundle = world.good(42);
    let first = takes(&site, &bundle);
    assert!(!first.report.again);
    let lost: Descriptor = world.shop.contents.blobs[0].clone();
    fs::remove_file(site.store().place_of(&lost.digest)).unwrap();
    let (before, heard) = (last(&site), site.store().state(|state| state.channels()).unwrap());
    let again = takes(&site.clone(), &bundle);
    assert!(again.report.again && again.report.counts.blobs_written == 1);
    assert!(site.store().has(&lost).unwrap());
    assert_eq!(last(&site), before);
    assert_eq!(site.store().state(|state| state.channels()).unwrap(), heard);
    assert_eq!(site.store().state(|state| state.imported()).unwrap().len(), 1);
    assert_eq!(site.store().signed_receipts().unwrap().len(), 2);
    assert_eq!(names(&site), ["key", "trust", "import", "import"]);
}

/// T14: the channel freezes with both digests, and an override for the right one lets it go on.
#[test]
fn two_bundles_of_one_sequence_freeze_the_channel() {
    let mut world = World::new();
    let site = world.site();
    let (one, next) = (world.good(42), world.good(43));
    let other = world.bundle(&Spec { content: "other", ..spec(42) });
    takes(&site, &one);
    refuses(&site, &other, Reason::Equivocation);
    let frozen = site.store().state(|state| state.memory("prod")).unwrap().frozen;
    assert_eq!(frozen, Some((identity(&one), identity(&other))));
    assert!(events(&site).iter().any(|event| matches!(event, Event::Frozen { sequence: 42, .. })));
    for bundle in [&next, &other, &one] {
        refuses(&site, bundle, Reason::ChannelFrozen);
    }
    // The other one was right after all.
    let order = world.override_for("berlin", &other, Effect::Equivocation, &["carol", "dave"]);
    site.accept(&[order]).unwrap();
    refuses(&site, &one, Reason::ChannelFrozen);
    let done = takes(&site, &other);
    assert_eq!(done.verdict.judgement.lifted, [Effect::Equivocation]);
    stands_at(&site, 42, &other);
    takes(&site, &next);
    stands_at(&site, 43, &next);
}

/// T14: the one that is here is the right one. It stays, and the channel goes on.
#[test]
fn an_override_for_what_is_here_thaws_a_channel() {
    let mut world = World::new();
    let site = world.site();
    let (one, next) = (world.good(42), world.good(43));
    let other = world.bundle(&Spec { content: "other", ..spec(42) });
    takes(&site, &one);
    refuses(&site, &other, Reason::Equivocation);
    let order = world.override_for("berlin", &one, Effect::Equivocation, &["carol", "dave"]);
    site.accept(&[order]).unwrap();
    assert!(takes(&site, &one).report.again);
    stands_at(&site, 42, &one);
    takes(&site, &next);
    // Settled is settled: the wrong one is refused and freezes nothing any more.
    refuses(&site, &other, Reason::Equivocation);
    takes(&site, &world.good(44));
}

/// T15: at the limit is fine, one more is not, and neither is the last number that there is.
#[test]
fn jumps_have_a_limit() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(10));
    let (over, far) = (world.good(1011), world.good(u64::MAX));
    refuses(&site, &over, Reason::SequenceJump);
    refuses(&site, &far, Reason::SequenceJump);
    let at = world.good(1010);
    let done = takes(&site, &at);
    assert_eq!(done.report.warnings, [Warning::Gap { from: 10, to: 1010 }]);
    takes(&site, &over);
    site.set(|settings| sealift::store::Settings { jump_limit: 1, ..settings }).unwrap();
    refuses(&site, &world.good(1013), Reason::SequenceJump);
    takes(&site, &world.good(1012));
    // The first of all may be any: whoever pins says so with a least one.
    let other = world.site_with("paris", 1);
    takes(&other, &far);
    assert_eq!(last(&other).unwrap().sequence, u64::MAX);
    refuses(&other, &world.good(1), Reason::Rollback);
}

#[test]
fn a_bundle_follows_the_one_that_it_names() {
    let mut world = World::new();
    let site = world.site();
    let one = world.good(1);
    takes(&site, &one);
    let stranger = Some(sealift::base::digest::Digest::of(b"another"));
    let forked = world.bundle(&Spec { previous: stranger.clone(), ..spec(2) });
    refuses(&site, &forked, Reason::PreviousMismatch);
    let next = world.bundle(&Spec { previous: Some(identity(&one)), ..spec(2) });
    assert_eq!(takes(&site, &next).report.warnings, []);
    // After a gap nobody knows: a warning. Back to one that is known to have another successor: a fork.
    let after_gap = world.bundle(&Spec { previous: stranger, ..spec(4) });
    assert_eq!(takes(&site, &after_gap).report.warnings, [Warning::Gap { from: 2, to: 4 }]);
    let forked = world.bundle(&Spec { previous: Some(identity(&one)), ..spec(7) });
    refuses(&site, &forked, Reason::PreviousMismatch);
}

/// T26.
#[test]
fn other_sites_and_channels_are_other() {
    let mut world = World::new();
    let site = world.site();
    let ours = world.bundle(&Spec { site: Some("berlin"), ..spec(1) });
    refuses(&site, &world.bundle(&Spec { site: Some("paris"), ..spec(1) }), Reason::WrongSite);
    refuses(&world.site_with("paris", 1), &ours, Reason::WrongSite);
    refuses(&site, &world.bundle(&Spec { channel: "test", ..spec(1) }), Reason::ChannelUnknown);
    takes(&site, &ours);
    // The channels count on their own.
    let dev = world.bundle(&Spec { channel: "dev", signers: &["dora"], ..spec(7) });
    takes(&site, &dev);
    stands_at(&site, 1, &ours);
    let home = world.home("nameless");
    let keys = [world.keys["alice"].public().clone()];
    let refusal = import::from_media(&ours, &keys, &options(&home), &Silent).unwrap_err();
    assert_eq!(refusal.failures.list()[0].reason, Reason::WrongSite);
}

/// T15: the way back after a jump or a theft is a new epoch, by a trust document.
#[test]
fn epochs_rise_by_trust_documents_only() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(u64::MAX));
    let second = Spec { epoch: 2, ..spec(1) };
    refuses(&site, &world.bundle(&second), Reason::WrongEpoch);
    world.publish_trust(|text| text.channels.get_mut("prod").unwrap().epoch = 2);
    let second = world.bundle(&Spec { trust: &[1, 2], ..second });
    let late = world.bundle(&Spec { content: "late", ..spec(u64::MAX) });
    takes(&site, &second);
    assert_eq!(last(&site).map(|last| (last.epoch, last.sequence)), Some((2, 1)));
    refuses(&site, &late, Reason::WrongEpoch);
}

/// H01, C17: advisory by default; strict by whichever clock is later, and nothing else hangs on one.
#[test]
fn expiry_is_what_the_site_makes_of_it() {
    let mut world = World::new();
    let site = world.site();
    let at = |text: &str| site.clone().with_clock(time(text));
    let first = world.bundle(&Spec { expires: Some("2026-11-30T00:00:00Z"), ..spec(1) });
    let warning =
        |clock: &str, expires: &str| Warning::Expired { expires: expires.into(), clock: clock.into() };
    let done = takes(&at("2026-12-01T00:00:00Z"), &first);
    assert_eq!(done.report.warnings, [warning("system clock", "2026-11-30T00:00:00Z")]);
    site.set(|settings| sealift::store::Settings { strict_expiry: true, ..settings }).unwrap();
    let second = world.bundle(&Spec { expires: Some("2026-11-30T00:00:00Z"), ..spec(2) });
    refuses(&at("2026-12-01T00:00:00Z"), &second, Reason::Expired);
    takes(&at("2026-11-30T00:00:00Z"), &second);
    // A clock in 1970 helps nobody once signed documents prove a later time.
    let third = world.bundle(&Spec { created: "2026-12-24T00:00:00Z", ..spec(3) });
    let done = takes(&at("1970-01-01T00:00:00Z"), &third);
    assert!(matches!(done.report.warnings[..], [Warning::ClockWrong { .. }]));
    let fourth = world.bundle(&Spec { expires: Some("2026-12-23T00:00:00Z"), ..spec(4) });
    let refusal = refuses(&at("1970-01-01T00:00:00Z"), &fourth, Reason::Expired);
    assert!(refusal.failures.list()[0].message.contains("signed documents"));
    let order = world.override_for("berlin", &fourth, Effect::Expired, &["carol", "dave"]);
    site.accept(&[order]).unwrap();
    takes(&at("1970-01-01T00:00:00Z"), &fourth);
}

/// The use of a key is in the ledger, before the import that it was for.
#[test]
fn signing_images_is_written_down() {
    let mut world = World::new();
    let site = world.site();
    let bundle = world.good(1);
    let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
    let id = key.public().key_id().to_owned();
    let options = import::Options { sign_key: Some(Box::new(key)), ..options(&site) };
    import::from_media(&bundle, &[], &options, &Silent).unwrap();
    let records = site.store().ledger(1, 99).unwrap();
    let at = |needle: &str| records.iter().position(|line| line.contains(needle)).unwrap();
    assert!(records[at("image-signing")].contains(&id) && records[at("image-signing")].contains("used"));
    assert!(at("image-signing") < at("\"event\":\"import\""), "{records:?}");
}

/// R24: one digest, one rule, one site, once; and two people.
#[test]
fn an_override_admits_one_bundle_once() {
    let mut world = World::new();
    let site = world.site();
    let (one, two, three) = (world.good(1), world.good(2), world.good(3));
    takes(&site, &three);
    for (signers, reason) in [
        (&["carol"][..], Reason::SignaturesTooFew),
        (&["alice", "carol"], Reason::KeyRole),
        (&["root1", "root2"], Reason::KeyRole),
        (&["eve"], Reason::SignatureUntrusted),
    ] {
        let order = world.override_for("berlin", &two, Effect::Rollback, signers);
        assert_eq!(site.accept(&[order]).unwrap_err().why.reason, reason, "{signers:?}");
    }
    let elsewhere = world.override_for("paris", &two, Effect::Rollback, &["carol", "dave"]);
    assert_eq!(site.accept(&[elsewhere]).unwrap_err().why.reason, Reason::OverrideRefused);
    let other_rule = world.override_for("berlin", &two, Effect::SequenceJump, &["carol", "dave"]);
    let order = world.override_for("berlin", &two, Effect::Rollback, &["carol", "dave"]);
    site.accept(&[other_rule]).unwrap();
    refuses(&site, &two, Reason::Rollback);
    site.accept(std::slice::from_ref(&order)).unwrap();
    refuses(&site, &one, Reason::Rollback);
    let done = takes(&site, &two);
    assert_eq!(done.verdict.judgement.lifted, [Effect::Rollback]);
    stands_at(&site, 2, &two);
    assert_eq!(site.accept(&[order]).unwrap_err().why.reason, Reason::OverrideRefused);
    takes(&site, &three);
    refuses(&site, &two, Reason::Rollback);
    let used = events(&site);
    let used = used.iter().filter(|event| {
        matches!(event, Event::Override { action: sealift::ledger::OverrideAction::Used, .. })
    });
    assert_eq!(used.count(), 1);
}

/// An override that waits dies with the keys that signed it.
#[test]
fn an_override_of_revoked_keys_lifts_nothing() {
    let mut world = World::new();
    let site = world.site();
    let (one, two) = (world.good(1), world.good(2));
    takes(&site, &two);
    site.accept(&[world.override_for("berlin", &one, Effect::Rollback, &["carol", "dave"])]).unwrap();
    world.revoke("dave", None);
    let newer = world.publish_trust(|_| {});
    site.accept(&[newer]).unwrap();
    refuses(&site, &one, Reason::Rollback);
}

/// T16: what is refused is not remembered.
#[test]
fn a_refused_bundle_leaves_no_state() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(1));
    // Damaged behind a good signature, with a higher number and newer trust.
    world.publish_trust(|_| {});
    let bad = world.bundle(&Spec { trust: &[1, 2], ..spec(500) });
    let volume = bad.join("volumes/0001.tar.zst");
    let mut bytes = fs::read(&volume).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&volume, bytes).unwrap();
    let before = paths(&site);
    let refusal = refuses(&site, &bad, Reason::ChunkDamaged);
    assert_eq!(paths(&site), before);
    assert_eq!(refusal.failures.code(), 4);
    takes(&site, &world.good(2));
}

/// A refusal has its receipt too, in one chain with the others.
#[test]
fn refusals_are_signed_and_chained() {
    let mut world = World::new();
    let site = world.site();
    let (older, newer) = (world.good(1), world.good(2));
    let passed = takes(&site, &newer).receipt.unwrap();
    let failed = refuses(&site, &older, Reason::Rollback).receipt.unwrap();
    let pem = fs::read_to_string(site.store().home().join("keys/importer.pem")).unwrap();
    let key = PrivateKey::from_pem(&pem, None).unwrap();
    let rule = Rule { name: "importer".into(), keys: vec![(key.public(), "berlin")], threshold: 1 };
    let [passed, failed] =
        [passed, failed].map(|receipt| Receipt::open(receipt.text.as_bytes(), &rule).unwrap());
    assert_eq!((passed.facts().result, failed.facts().result), (Outcome::Imported, Outcome::Refused));
    assert_eq!(failed.facts().reason.as_deref(), Some("rollback"));
    assert_eq!(failed.facts().previous, Some(passed.digest()));
    assert_eq!((failed.bundle(), passed.bundle()), (&identity(&older), &identity(&newer)));
    assert_eq!(failed.position().map(|at| at.sequence), Some(2));
    // What cannot even be read has no receipt, but a record. What is missing on this machine leaves nothing.
    fs::remove_file(older.join("SHA256SUMS")).unwrap();
    assert!(refuses(&site, &older, Reason::FileMissing).receipt.is_none());
    let head = site.store().ledger_head().unwrap();
    let nowhere = import(&site, &world.dir().join("nowhere")).unwrap_err();
    assert_eq!((nowhere.failures.code(), site.store().ledger_head().unwrap()), (3, head));
}

#[test]
fn a_dry_run_judges_and_writes_nothing() {
    let mut world = World::new();
    let site = world.site();
    let (older, newer) = (world.good(1), world.good(2));
    let dry = |bundle: &Path| {
        let options = Options { dry_run: true, ..options(&site) };
        import::from_media(bundle, &[], &options, &Silent)
    };
    let before = (visible(&site), paths(&site), site.store().ledger_head().unwrap());
    assert!(dry(&newer).unwrap().receipt.is_none());
    assert_eq!((visible(&site), paths(&site), site.store().ledger_head().unwrap()), before);
    takes(&site, &newer);
    let before = (visible(&site), paths(&site), site.store().ledger_head().unwrap());
    assert_eq!(dry(&older).unwrap_err().failures.list()[0].reason, Reason::Rollback);
    assert_eq!((visible(&site), paths(&site), site.store().ledger_head().unwrap()), before);
}

/// A home that pins nothing checks the signature and no more, and keeps ledger and receipts all the same.
#[test]
fn without_a_root_there_is_a_signature_and_a_record() {
    let mut world = World::new();
    let home = world.home("home");
    let (older, newer) = (world.good(1), world.good(2));
    let keys = [world.keys["alice"].public().clone()];
    let go = |bundle: &Path, keys: &[_]| import::from_media(bundle, keys, &options(&home), &Silent);
    let nobody = go(&newer, &[]).unwrap_err();
    assert_eq!(nobody.failures.list()[0].reason, Reason::NoKey);
    assert_eq!(home.store().ledger_head().unwrap().number, 0);
    for bundle in [&newer, &older] {
        let done = go(bundle, &keys).unwrap();
        assert!(done.verdict.site.is_none() && done.receipt.is_some());
    }
    assert_eq!(names(&home), ["key", "import", "import"]);
    // With a root, a single key is an insult.
    let site = world.site();
    let refusal = import::from_media(&newer, &keys, &options(&site), &Silent).unwrap_err();
    assert_eq!(refusal.failures.list()[0].reason, Reason::TrustPinned);
    let opened = sealift::verify::open(&newer, &sealift::trust::Authority::Keys(keys.to_vec())).unwrap();
    let refusal = import::run(&opened, &options(&site), &Silent).unwrap_err();
    assert_eq!(refusal.failures.list()[0].reason, Reason::TrustPinned);
}
