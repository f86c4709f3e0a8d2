//! Beacons and overrides.

use super::*;
use crate::{
    base::{clock::Timestamp, digest::Digest},
    trust::{Beacon, Effect, Override, PublicKey, Signer, sequence::Position},
};

fn when() -> Timestamp {
    Timestamp::parse("2026-12-01T00:00:00Z").unwrap()
}

pub(super) fn beacon(channel: &str, sequence: u64) -> Beacon {
    Beacon::new(channel, Position { epoch: 1, sequence, bundle: Digest::of(b"newest") }, 1, when())
}

pub(super) fn order(effect: Effect) -> Override {
    Override::new("plant-7", "prod", Digest::of(b"bundle"), effect, "the press stands still", when()).unwrap()
}

fn signed(document: &impl serde::Serialize, signers: &[usize]) -> Note {
    let mut note = Note::new(document).unwrap();
    for n in signers {
        note.sign(key(*n)).unwrap();
    }
    Note::parse(&note.to_bytes()).unwrap()
}

/// Only a signature that holds is one of a key that was revoked; one that was taken out is another thing.
#[test]
fn what_a_revoked_key_signed_is_known() {
    let mut chain = begun(&team(1));
    let mut second = team(2);
    revoke(&mut second, 3);
    second.keys.retain(|record| record.id != id(4));
    second.add(record(9, Role::Release)).unwrap();
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    let note = |signers: &[usize]| signed(&beacon("prod", 42), signers);
    for (signers, expected) in [(&[3][..], true), (&[3, 4], true), (&[4], false), (&[5], false), (&[], false)]
    {
        assert_eq!(chain.has_revoked_signer(&note(signers)), expected, "{signers:?}");
    }
    let forged = String::from_utf8(note(&[4]).to_bytes()).unwrap().replace(id(4), id(3));
    assert!(!chain.has_revoked_signer(&Note::parse(forged.as_bytes()).unwrap()));
}

/// Whoever releases in a channel says what is newest there, and nobody else.
#[test]
fn beacons_are_signed_by_those_who_release() {
    let chain = begun(&team(1));
    let (read, quorum) = Beacon::open(&signed(&beacon("prod", 42), &[3]), &chain).unwrap();
    assert_eq!((read, quorum.signers.len()), (beacon("prod", 42), 1));
    for (signers, expected) in [
        (&[][..], Reason::SignatureMissing),
        (&[9], Reason::SignatureUntrusted),
        (&[5], Reason::KeyRole),
        (&[0], Reason::KeyRole),
        (&[8], Reason::KeyRole),
    ] {
        assert_eq!(
            reason(Beacon::open(&signed(&beacon("prod", 42), signers), &chain)),
            expected,
            "{signers:?}"
        );
    }
    assert_eq!(reason(Beacon::open(&signed(&beacon("dev", 42), &[3]), &chain)), Reason::ChannelUnknown);
    // As many as the channel takes, with keys that count for the sequence it tells of, and that still count.
    let mut text = team(1);
    text.channels.get_mut("prod").unwrap().release = 2;
    assert_eq!(
        reason(Beacon::open(&signed(&beacon("prod", 42), &[3]), &begun(&text))),
        Reason::SignaturesTooFew
    );
    Beacon::open(&signed(&beacon("prod", 42), &[3, 4]), &begun(&text)).unwrap();
    let mut text = team(1);
    of(&mut text, 3).to_sequence = Some(41);
    assert_eq!(reason(Beacon::open(&signed(&beacon("prod", 42), &[3]), &begun(&text))), Reason::KeySequence);
    Beacon::open(&signed(&beacon("prod", 41), &[3]), &begun(&text)).unwrap();
    let mut chain = chain;
    let mut second = team(2);
    revoke(&mut second, 3);
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    assert_eq!(reason(Beacon::open(&signed(&beacon("prod", 42), &[3]), &chain)), Reason::KeyRevoked);
}

/// Signs with as many bytes as it is told.
#[derive(Debug)]
struct Junk(usize);

impl Signer for Junk {
    fn public(&self) -> &PublicKey {
        key(9).public()
    }

    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>> {
        Ok(vec![0; self.0])
    }
}

/// A beacon of 2 KiB is read, of one byte more it is not.
#[test]
fn beacons_have_a_limit() {
    let chain = begun(&team(1));
    // Junk grows by four letters at a time, the number by one.
    for (digits, fits) in [(0, true), (1, false)] {
        let short = signed(&beacon("prod", 1), &[4]).to_bytes().len();
        let line = "signature ".len() + 32 + 2;
        let (groups, more) = ((2048 - short - line) / 4, (2048 - short - line) % 4);
        let mut note = signed(&beacon("prod", 10_u64.pow(u32::try_from(more + digits).unwrap())), &[4]);
        note.sign(&Junk(groups * 3)).unwrap();
        assert_eq!(note.to_bytes().len(), 2048 + digits);
        assert_eq!(Beacon::open(&note, &chain).is_ok(), fits);
    }
}

/// A beacon fits into one printed code.
#[test]
fn beacons_are_short() {
    let chain = begun(&team(1));
    let mut note = signed(&beacon("prod", u64::MAX), &[3]);
    assert!(note.to_bytes().len() < 700);
    let mut strangers = 0;
    while note.to_bytes().len() <= 2048 {
        Beacon::open(&note, &chain).unwrap();
        note.sign(&PrivateKey::generate(Algorithm::Ed25519).unwrap()).unwrap();
        strangers += 1;
    }
    assert!(strangers > 5);
    assert_eq!(reason(Beacon::open(&note, &chain)), Reason::NoteMalformed);
}

/// Two people who may, for a channel that has overrides.
#[test]
fn overrides_take_two_people() {
    let chain = begun(&team(1));
    for effect in Effect::ALL {
        let (read, quorum) = Override::open(&signed(&order(effect), &[6, 7]), &chain).unwrap();
        assert_eq!((read, quorum.signers.len()), (order(effect), 2));
        assert_eq!(Effect::parse(effect.name()), Some(effect));
        assert_eq!(serde_json::to_string(&effect).unwrap(), format!("\"{}\"", effect.name()));
    }
    assert_eq!(Effect::parse("everything"), None);
    for (signers, expected) in [
        (&[][..], Reason::SignatureMissing),
        (&[6], Reason::SignaturesTooFew),
        (&[9, 10], Reason::SignatureUntrusted),
        // T25: approver without override, release, root
        (&[5, 6], Reason::KeyRole),
        (&[3, 4], Reason::KeyRole),
        (&[0, 1, 2], Reason::KeyRole),
    ] {
        let note = signed(&order(Effect::Rollback), signers);
        assert_eq!(reason(Override::open(&note, &chain)), expected, "{signers:?}");
    }
    // T03: two keys of one person are one.
    let mut text = team(1);
    text.add(held(9, "h6", &[Role::Override])).unwrap();
    let note = signed(&order(Effect::Rollback), &[6, 9]);
    assert_eq!(reason(Override::open(&note, &begun(&text))), Reason::SignaturesTooFew);
    // A key that was revoked since.
    let mut chain = chain;
    let mut second = team(2);
    second.add(record(9, Role::Override)).unwrap();
    revoke(&mut second, 7);
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    assert_eq!(
        reason(Override::open(&signed(&order(Effect::Rollback), &[6, 7]), &chain)),
        Reason::KeyRevoked
    );
    Override::open(&signed(&order(Effect::Rollback), &[6, 9]), &chain).unwrap();
    // A channel without overrides, and one that is not there.
    let mut text = team(1);
    text.channels.get_mut("prod").unwrap().r#override = None;
    let note = signed(&order(Effect::Rollback), &[6, 7]);
    assert_eq!(reason(Override::open(&note, &begun(&text))), Reason::OverrideRefused);
    let mut elsewhere = order(Effect::Rollback);
    elsewhere.channel = "dev".to_owned();
    assert_eq!(
        reason(Override::open(&signed(&elsewhere, &[6, 7]), &begun(&team(1)))),
        Reason::ChannelUnknown
    );
}

/// T05: signed by all who must, and for something else.
#[test]
fn one_kind_is_not_another() {
    let chain = begun(&team(1));
    let everybody = &[0, 1, 3, 6, 7];
    let (a_beacon, an_order) =
        (signed(&beacon("prod", 42), everybody), signed(&order(Effect::Rollback), everybody));
    let document = Note::parse(&sealed(&team(2), everybody)).unwrap();
    assert_eq!(reason(Beacon::open(&an_order, &chain)), Reason::WrongType);
    assert_eq!(reason(Beacon::open(&document, &chain)), Reason::NoteMalformed); // larger than any beacon
    assert_eq!(reason(Override::open(&a_beacon, &chain)), Reason::WrongType);
    assert_eq!(reason(Override::open(&document, &chain)), Reason::WrongType);
    for note in [a_beacon, an_order] {
        assert_eq!(reason(chain.clone().extend(&note.to_bytes())), Reason::WrongType);
        assert_eq!(reason(Chain::begin(&note.to_bytes())), Reason::WrongType);
    }
}

/// Signed by all who must, with words that nobody should print, or for a site that cannot be.
#[test]
fn hostile_words_are_refused_whoever_signed() {
    let long = "x".repeat(401);
    for (site, why) in [
        ("plant-7", ""),
        ("plant-7", " "),
        ("plant-7", "a\nb"),
        ("plant-7", "\u{1b}[2J"),
        ("plant-7", &long),
        ("Plant", "x"),
        ("", "x"),
        ("../x", "x"),
    ] {
        let made = Override::new(site, "prod", Digest::of(b""), Effect::Expired, why, when());
        assert_eq!(reason(made), Reason::BadArgument, "{site:?} {why:?}");
        let mut hostile = order(Effect::Expired);
        (hostile.site, hostile.reason) = (site.to_owned(), why.to_owned());
        let opened = Override::open(&signed(&hostile, &[6, 7]), &begun(&team(1)));
        assert_eq!(reason(opened), Reason::NoteMalformed, "{site:?} {why:?}");
    }
    Override::new("plant-7", "prod", Digest::of(b""), Effect::Expired, &"ü".repeat(400), when()).unwrap();
}
