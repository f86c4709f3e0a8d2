//! Trust documents, beacons and overrides, handed to a site.

use std::collections::BTreeSet;

use sealift::{report::site::Accepted, site::status, store::Settings};

use super::*;

/// A document of a kind that no site takes.
#[derive(serde::Serialize)]
struct Other {
    r#type: &'static str,
}

/// T19, and what was imported before.
#[test]
fn a_revoked_key_counts_no_more_and_puts_imports_in_doubt() {
    let mut world = World::new();
    let site = world.site();
    for sequence in [16, 17, 18] {
        takes(&site, &world.good(sequence));
    }
    let by_alice = world.good(19);
    world.revoke("alice", Some(17));
    world.grant("eve", &[Role::Release], &["prod"]);
    let newer = world.publish_trust(|_| {});
    let accepted = site.accept(std::slice::from_ref(&newer)).unwrap();
    let Accepted::Trust { version: 2, in_doubt, .. } = &accepted[0] else { panic!("{accepted:?}") };
    let places: Vec<u64> = in_doubt.iter().map(|doubt| doubt.position.sequence).collect();
    assert_eq!((places, in_doubt[0].holder.as_str()), (vec![17, 18], "alice"));
    refuses(&site, &by_alice, Reason::KeyRevoked);
    takes(&site, &world.bundle(&Spec { signers: &["eve", "bob"], ..spec(19) }));
    // Once more is nothing new.
    assert!(matches!(site.accept(&[newer]).unwrap()[..], [Accepted::Known { .. }]));
    assert_eq!(doubts(&site), [17, 18]);
}

/// Sequences of the bundles that a site has and that are in doubt.
fn doubts(site: &Site) -> Vec<u64> {
    let (report, alarms) = site.store().state(|state| status(state, "home", time(NOW))).unwrap();
    let is_told = alarms.iter().any(|alarm| alarm.reason == Reason::InDoubt);
    assert_eq!(is_told, !report.in_doubt.is_empty());
    report.in_doubt.iter().map(|doubt| doubt.position.sequence).collect()
}

/// T19: the usual way of a trust document is on a bundle. The import tells what it puts in doubt, and from then on
/// the status does.
#[test]
fn what_comes_with_a_bundle_puts_imports_in_doubt() {
    let mut world = World::new();
    let site = world.site();
    assert_eq!(takes(&site, &world.good(1)).report.in_doubt, []);
    takes(&site, &world.good(2));
    assert!(doubts(&site).is_empty());
    world.revoke("bob", Some(2));
    world.publish_trust(|_| {});
    world.publish_trust(|_| {});
    // Version 3 says it too; it is told once.
    let next = world.bundle(&Spec { signers: &["alice", "carol"], trust: &[1, 2, 3], ..spec(7) });
    let done = takes(&site, &next);
    let told: Vec<_> =
        done.report.in_doubt.iter().map(|doubt| (doubt.position.sequence, doubt.key_id.as_str())).collect();
    assert_eq!(told, [(2, world.id("bob").as_str())]);
    assert_eq!(doubts(&site), [2]);
    assert!(matches!(site.accept(&[world.chain[1].clone()]).unwrap()[..], [Accepted::Known { .. }]));
    assert_eq!(alarms(&site, NOW), [Reason::InDoubt]);
    assert_eq!(takes(&site, &next).report.in_doubt, []);
    assert_eq!(doubts(&site), [2]);
}

/// T20: who hears by a beacon that there is a newer trust document takes nothing by the older one.
#[test]
fn a_beacon_stops_what_an_older_document_would_take() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(1));
    let (by_bob, three) = (world.good(2), world.good(3));
    let dev = world.bundle(&Spec { channel: "dev", signers: &["dora"], ..spec(1) });
    let orders = [Effect::Rollback, Effect::Equivocation, Effect::SequenceJump]
        .map(|effect| world.override_for("berlin", &by_bob, effect, &["carol", "dave"]));
    world.revoke("bob", None);
    let second = world.publish_trust(|_| {});
    let beacon = world.beacon(3, identity(&three), MADE, 2);
    let accepted = site.accept(&[beacon]).unwrap();
    assert!(matches!(accepted[..], [Accepted::Beacon { trust_missing: Some(2), .. }]));
    assert_eq!(alarms(&site, NOW), [Reason::ChannelBehind, Reason::TrustBehind]);
    site.accept(&orders).unwrap();
    refuses(&site, &by_bob, Reason::TrustBehind);
    // A later beacon that knows less takes none of it back.
    let older = world.beacon(9, identity(&three), NOW, 1);
    assert_eq!(site.accept(&[older]).unwrap_err().why.reason, Reason::BeaconStale);
    refuses(&site, &by_bob, Reason::TrustBehind);
    // It is a matter of one channel.
    takes(&site, &dev);
    // The document, by the media or by another way, ends it.
    let two = world.bundle(&Spec { signers: &["alice", "carol"], trust: &[1, 2], ..spec(2) });
    takes(&site, &two);
    assert_eq!(alarms(&site, NOW), [Reason::ChannelBehind]);
    refuses(&site, &by_bob, Reason::KeyRevoked);
    let other = world.site_with("other", 1);
    other.accept(&[world.beacon(3, identity(&three), MADE, 2), second]).unwrap();
    takes(&other, &world.bundle(&Spec { signers: &["alice", "carol"], ..spec(2) }));
}

/// A stolen key tells of a document that there will never be. It ends with the key.
#[test]
fn a_beacon_of_a_revoked_key_stops_nothing() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(1));
    let two = world.good(2);
    site.accept(&[world.beacon(2, identity(&two), MADE, u64::MAX)]).unwrap();
    refuses(&site, &two, Reason::TrustBehind);
    world.grant("eve", &[Role::Release], &["prod"]);
    let second = world.publish_trust(|_| {});
    site.accept(&[second]).unwrap();
    refuses(&site, &two, Reason::TrustBehind);
    world.revoke("alice", None);
    world.publish_trust(|_| {});
    let three = world.bundle(&Spec { signers: &["eve", "bob"], trust: &[1, 2, 3], ..spec(3) });
    takes(&site, &three);
    assert_eq!(alarms(&site, NOW), []);
    let newest = Position { epoch: 1, sequence: 4, bundle: identity(&two) };
    let beacon = world.note(&Beacon::new("prod", newest, 3, time(NOW)), &["eve"]);
    assert!(matches!(site.accept(&[beacon]).unwrap()[..], [Accepted::Beacon { .. }]));
}

/// What it told stops nothing either: no bundle of its number, no honest beacon, and nothing seems to be missing.
#[test]
fn what_a_revoked_key_told_of_is_forgotten() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(1));
    site.accept(&[world.beacon(3, Digest::of(b"made up"), MADE, 1)]).unwrap();
    assert_eq!(alarms(&site, NOW), [Reason::ChannelBehind]);
    world.grant("eve", &[Role::Release], &["prod"]);
    world.revoke("alice", None);
    let second = world.publish_trust(|_| {});
    site.accept(&[second]).unwrap();
    assert_eq!(alarms(&site, NOW), []);
    let three = world.bundle(&Spec { signers: &["eve", "bob"], trust: &[1, 2], ..spec(3) });
    let honest = |sequence, bundle| {
        let newest = Position { epoch: 1, sequence, bundle };
        world.note(&Beacon::new("prod", newest, 2, time(MADE)), &["eve"])
    };
    let beacon = honest(2, Digest::of(b"two"));
    assert!(matches!(site.accept(&[beacon]).unwrap()[..], [Accepted::Beacon { behind: true, .. }]));
    let done = takes(&site, &three);
    assert_eq!(done.report.warnings, [sealift::trust::sequence::Warning::Gap { from: 1, to: 3 }]);
    assert!(matches!(site.accept(&[honest(3, identity(&three))]).unwrap()[..], [Accepted::Beacon { .. }]));
    assert_eq!(alarms(&site, NOW), []);
}

/// What a key told of that was replaced in good order is still so: nobody is rid of the alarm by a new key.
#[test]
fn what_a_replaced_key_told_of_is_still_missed() {
    let mut world = World::new();
    let site = world.site();
    takes(&site, &world.good(1));
    let nine = world.good(9);
    site.accept(&[world.beacon(9, identity(&nine), MADE, 1)]).unwrap();
    world.grant("eve", &[Role::Release], &["prod"]);
    let id = world.id("alice");
    world.text.keys.retain(|key| key.id != id);
    let second = world.publish_trust(|_| {});
    site.accept(&[second]).unwrap();
    assert_eq!(alarms(&site, NOW), [Reason::ChannelBehind]);
    let newest = Position { epoch: 1, sequence: 8, bundle: Digest::of(b"eight") };
    let older = world.note(&Beacon::new("prod", newest, 2, time(MADE)), &["eve"]);
    assert_eq!(site.accept(&[older]).unwrap_err().why.reason, Reason::BeaconStale);
    // Stolen it is another thing.
    world.revoke("alice", None);
    let third = world.publish_trust(|_| {});
    site.accept(&[third]).unwrap();
    assert_eq!(alarms(&site, NOW), []);
}

/// Of a channel that the newest document leaves out nothing more is to come.
#[test]
fn a_closed_channel_is_not_missed() {
    let mut world = World::new();
    let site = world.site();
    assert_eq!(alarms(&site, "2031-01-01T00:00:00Z"), [Reason::ChannelSilent; 2]);
    world.text.channels.remove("dev");
    let is_only_of_dev = |channels: &BTreeSet<String>| channels.iter().eq(["dev"]);
    world.text.keys.retain(|key| !is_only_of_dev(&key.channels));
    world.text.keys.iter_mut().for_each(|key| key.channels.retain(|channel| channel != "dev"));
    let second = world.publish_trust(|_| {});
    site.accept(&[second]).unwrap();
    assert_eq!(alarms(&site, "2031-01-01T00:00:00Z"), [Reason::ChannelSilent]);
}

/// Silence counts from the day on which the site learned of the channel, and no clock turns it off.
#[test]
fn silence_is_heard_from_the_first_day_on() {
    let mut world = World::new();
    let site = world.site();
    assert_eq!(alarms(&site, NOW), []);
    assert_eq!(alarms(&site, "2031-01-01T00:00:00Z"), [Reason::ChannelSilent; 2]);
    // A channel that a newer document opens, and a clock that was wrong for a day.
    let rules = world.text.channels["dev"].clone();
    world.text.channels.insert("test".into(), rules);
    world.grant("eve", &[Role::Release], &["test"]);
    let newer = world.publish_trust(|_| {});
    site.clone().with_clock(time("2031-01-01T00:00:00Z")).accept(&[newer]).unwrap();
    assert_eq!(alarms(&site, "2031-01-02T00:00:00Z"), [Reason::ChannelSilent; 2]);
    takes(&site.clone().with_clock(time("2090-01-01T00:00:00Z")), &world.good(1));
    let found = alarms(&site, "2031-01-02T00:00:00Z");
    assert_eq!(found, [Reason::ChannelSilent, Reason::ClockWrong]);
    // What comes by the right clock ends it.
    takes(&site.clone().with_clock(time("2031-01-02T00:00:00Z")), &world.good(2));
    assert_eq!(alarms(&site, "2031-01-02T00:00:00Z"), [Reason::ChannelSilent]);
}

/// T17: one version after the other, signed by those of before; all documents of a call, or none.
#[test]
fn documents_are_taken_in_order_or_not_at_all() {
    let mut world = World::new();
    let site = world.site();
    let second = world.publish_trust(|_| {});
    let third = world.publish_trust(|_| {});
    let forged = world.note(&world.text.clone(), &["alice", "bob"]);
    for (documents, reason) in [
        (vec![third.clone()], Reason::TrustGap),
        (vec![second.clone(), forged], Reason::KeyRole),
        (vec![second.clone(), b"nonsense".to_vec()], Reason::NoteMalformed),
    ] {
        let before = visible(&site);
        assert_eq!(site.accept(&documents).unwrap_err().why.reason, reason);
        assert!(visible(&site) == before);
    }
    site.accept(&[second, third]).unwrap();
    assert_eq!(site.chain().unwrap().unwrap().version(), 3);
    let refused = ["refusal"; 3];
    assert_eq!(names(&site), [&["key", "trust"][..], &refused, &["trust", "trust"]].concat());
    // T05: a document of another kind, signed by whom you like.
    let other = world.note(&Other { r#type: "sealift wish 1" }, &["root1", "root2"]);
    assert_eq!(site.accept(&[other]).unwrap_err().why.reason, Reason::WrongType);
    let nameless = world.home("nameless");
    assert_eq!(nameless.accept(&[world.chain[0].clone()]).unwrap_err().why.reason, Reason::TrustMissing);
}

/// C4: host with old or new trust, bundle signed by old or new keys, chain on the media whole, with a missing
/// link, or forked: twelve outcomes.
#[test]
fn old_and_new_trust_meet_old_and_new_keys() {
    let mut world = World::new();
    world.publish_trust(|_| {});
    let eve = world.keys["eve"].public().clone();
    world.revoke("alice", None);
    world.text.add(KeyRecord::new(&eve, "eve", [Role::Release], ["prod".to_owned()]).unwrap()).unwrap();
    world.publish_trust(|_| {});
    // Another version 3: the holders of the root keys signed twice.
    let mut other = World { shop: Workshop::new(), keys: world.keys.clone(), ..World::new() };
    other.chain = world.chain[..2].to_vec();
    other.text = world.text.clone();
    let forked = other.publish_trust(|text| text.root_threshold = 1);

    let outcome = |host_is_new: bool, by_new: bool, media: &str| {
        let mut world = World {
            shop: Workshop::new(),
            keys: world.keys.clone(),
            chain: world.chain.clone(),
            text: world.text.clone(),
        };
        let site = world.site_with("berlin", if host_is_new { 3 } else { 1 });
        let mut trust: &[u64] = &[1, 2, 3];
        match media {
            "missing" => trust = &[3],
            "forked" => world.chain[2] = forked.clone(),
            _ => {}
        }
        let signers: &[&str] = if by_new { &["eve", "bob"] } else { &["alice", "bob"] };
        let bundle = world.bundle(&Spec { signers, trust, ..spec(1) });
        let found = import(&site, &bundle).map_err(|refusal| refusal.failures.list()[0].reason);
        let version = site.chain().unwrap().unwrap().version();
        found.map(|_| version).inspect_err(|_| assert_eq!(version, if host_is_new { 3 } else { 1 }))
    };
    for (host_is_new, by_new, media, expected) in [
        (false, true, "whole", Ok(3)),
        (false, false, "whole", Err(Reason::KeyRevoked)),
        (true, true, "whole", Ok(3)),
        (true, false, "whole", Err(Reason::KeyRevoked)),
        (false, true, "missing", Err(Reason::TrustGap)),
        (false, false, "missing", Err(Reason::TrustGap)),
        // Who has them all needs none from the media.
        (true, true, "missing", Ok(3)),
        (true, false, "missing", Err(Reason::KeyRevoked)),
        // Who knows neither of the two cannot tell: the chain holds. Who knows one refuses the other.
        (false, true, "forked", Ok(3)),
        (false, false, "forked", Err(Reason::KeyRevoked)),
        (true, true, "forked", Err(Reason::TrustFork)),
        (true, false, "forked", Err(Reason::TrustFork)),
    ] {
        assert_eq!(outcome(host_is_new, by_new, media), expected, "{host_is_new} {by_new} {media}");
    }
}

/// T20: the courier takes a revocation off the media. The bundle asks for it.
#[test]
fn a_withheld_document_is_missed() {
    let mut world = World::new();
    let site = world.site();
    let second = world.publish_trust(|_| {});
    let bundle = world.bundle(&Spec { trust: &[1, 2], ..spec(1) });
    fs::remove_file(bundle.join("trust/0002.trust")).unwrap();
    refuses(&site, &bundle, Reason::TrustTooOld);
    site.accept(&[second]).unwrap();
    // The site knows it now; that the file is gone is damage.
    refuses(&site, &bundle, Reason::FileMissing);
}

/// A beacon tells by another way what the courier does not.
#[test]
fn beacons_tell_of_what_does_not_come() {
    let mut world = World::new();
    let site = world.site();
    let (one, three) = (world.good(1), world.good(3));
    takes(&site, &one);
    assert_eq!(alarms(&site, NOW), []);
    let beacon = world.beacon(3, identity(&three), MADE, 1);
    let accepted = site.accept(std::slice::from_ref(&beacon)).unwrap();
    assert!(matches!(accepted[..], [Accepted::Beacon { behind: true, trust_missing: None, .. }]));
    assert_eq!(alarms(&site, NOW), [Reason::ChannelBehind]);
    let two = world.good(2);
    let done = takes(&site, &two);
    assert_eq!(done.report.warnings, [sealift::trust::sequence::Warning::Behind { newest: 3 }]);
    // The beacon also knows which bundle 3 is.
    let other = world.bundle(&Spec { content: "other", ..spec(3) });
    refuses(&site, &other, Reason::Equivocation);
    let order = world.override_for("berlin", &three, Effect::Equivocation, &["carol", "dave"]);
    site.accept(&[order]).unwrap();
    takes(&site, &three);
    assert_eq!(alarms(&site, NOW), []);

    assert!(matches!(site.accept(&[beacon]).unwrap()[..], [Accepted::Known { .. }]));
    for stale in [
        world.beacon(2, identity(&two), MADE, 1),
        world.beacon(3, identity(&three), "2026-11-24T00:00:00Z", 1),
    ] {
        assert_eq!(site.accept(&[stale]).unwrap_err().why.reason, Reason::BeaconStale);
    }
    let mut epoch =
        Beacon::new("prod", Position { epoch: 2, sequence: 9, bundle: identity(&one) }, 1, time(MADE));
    assert_eq!(site.accept(&[world.note(&epoch, &["alice"])]).unwrap_err().why.reason, Reason::BeaconStale);
    epoch.newest = Position { epoch: 1, sequence: 9, bundle: identity(&one) };
    assert_eq!(site.accept(&[world.note(&epoch, &["bob"])]).unwrap_err().why.reason, Reason::KeyRole);
    // Silence: a replay of what is here is nothing new.
    takes(&site, &three);
    assert_eq!(alarms(&site, "2027-03-01T00:00:00Z"), []);
    // Of `dev` nothing came either.
    assert_eq!(alarms(&site, "2027-03-03T00:00:00Z"), [Reason::ChannelSilent; 2]);
    site.set(|settings| Settings { max_silence: 0, ..settings }).unwrap();
    assert_eq!(alarms(&site, "2037-03-03T00:00:00Z"), []);
    // T14: a beacon that names another bundle than the one that is here.
    let lie = world.beacon(3, identity(&other), NOW, 1);
    let refusals = |site: &Site| names(site).iter().filter(|name| **name == "refusal").count();
    let before = refusals(&site);
    let refused = site.accept(&[lie]).unwrap_err();
    assert_eq!((refused.why.reason, refused.document), (Reason::Equivocation, Some(0)));
    assert_eq!(refusals(&site), before + 1, "one attempt is one record");
}

/// T14: two signed bundles of one sequence, one of them only told of.
#[test]
fn a_contradicting_beacon_freezes_the_channel() {
    let mut world = World::new();
    let site = world.site();
    let one = world.good(1);
    let other = world.bundle(&Spec { content: "other", ..spec(1) });
    takes(&site, &one);
    let lie = world.beacon(1, identity(&other), NOW, 1);
    assert_eq!(site.accept(&[lie]).unwrap_err().why.reason, Reason::Equivocation);
    let frozen = site.store().state(|state| state.memory("prod")).unwrap().frozen;
    assert_eq!(frozen, Some((identity(&one), identity(&other))));
    refuses(&site, &world.good(2), Reason::ChannelFrozen);
}

/// T14: the beacon lied, and an override says that the bundle is right. Then the sender's next beacon is.
#[test]
fn a_beacon_that_lied_is_settled() {
    let mut world = World::new();
    let site = world.site();
    let three = world.good(3);
    site.accept(&[world.beacon(3, Digest::of(b"made up"), MADE, 1)]).unwrap();
    refuses(&site, &three, Reason::Equivocation);
    let order = world.override_for("berlin", &three, Effect::Equivocation, &["carol", "dave"]);
    site.accept(&[order]).unwrap();
    takes(&site, &three);
    site.accept(&[world.beacon(3, identity(&three), NOW, 1)]).unwrap();
    assert_eq!(alarms(&site, NOW), []);
    takes(&site, &world.good(4));
}

/// T14: both are only told of, in one call of which nothing is kept but that.
#[test]
fn two_contradicting_beacons_freeze_the_channel() {
    let mut world = World::new();
    let site = world.site();
    let three = world.good(3);
    let other = world.bundle(&Spec { content: "other", ..spec(3) });
    let beacons = [&three, &other].map(|bundle| world.beacon(3, identity(bundle), MADE, 1));
    let refused = site.accept(&beacons).unwrap_err().why;
    assert_eq!(refused.reason, Reason::Equivocation);
    assert!(refused.hint.unwrap().contains("is frozen"));
    let memory = || site.store().state(|state| state.memory("prod")).unwrap();
    assert_eq!(memory().frozen, Some((identity(&three), identity(&other))));
    assert_eq!(memory().beacon, None);
    assert_eq!(alarms(&site, NOW), [Reason::ChannelFrozen]);
    assert!(names(&site).ends_with(&["frozen", "refusal"]), "a freeze, and a receipt that tells of it");
    for bundle in [&other, &three] {
        refuses(&site, bundle, Reason::ChannelFrozen);
    }
    let order = world.override_for("berlin", &three, Effect::Equivocation, &["carol", "dave"]);
    site.accept(&[order]).unwrap();
    takes(&site, &three);
    // The sender tells of the right one, which is nothing new.
    let right = world.beacon(3, identity(&three), NOW, 1);
    assert!(matches!(site.accept(&[right]).unwrap()[..], [Accepted::Beacon { .. }]));
    // Settled is settled: the wrong one freezes nothing any more, and nobody says that it does.
    let refused = site.accept(&beacons[1..]).unwrap_err().why;
    assert_eq!((refused.reason, memory().frozen), (Reason::Equivocation, None));
    assert!(!refused.hint.unwrap().contains("is frozen"));
    takes(&site, &world.good(4));
}
