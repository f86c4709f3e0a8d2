//! Who signed a bundle, by the newest document.

use std::time::{Duration, Instant};

use super::*;
use crate::{
    base::limits,
    trust::{
        Authority, Quorum,
        quorum::{self, Rule},
    },
};

const TEXT: &[u8] = b"# sealift bundle 1\n";

/// The verdict over bundle `sequence` of `prod` with the signatures of these keys.
fn judged(chain: &Chain, sequence: u64, signers: &[usize]) -> Result<Quorum> {
    let signatures: Vec<Signature> = signers.iter().map(|n| by(*n, TEXT)).collect();
    chain.check_bundle(TEXT, &signatures, "prod", sequence)
}

/// The team's chain with a change to its text.
fn with(bend: impl FnOnce(&mut Text)) -> Chain {
    let mut text = team(1);
    bend(&mut text);
    begun(&text)
}

fn rules(text: &mut Text) -> &mut ChannelRules {
    text.channels.get_mut("prod").unwrap()
}

/// T23, T32: release and approver, by different people; what is missing is named by its role.
#[test]
fn release_and_approver_must_both_sign() {
    let chain = with(|_| ());
    for signers in [&[3, 5][..], &[4, 6], &[3, 4, 5, 6, 7], &[5, 3]] {
        let quorum = judged(&chain, 42, signers).unwrap();
        assert_eq!(quorum.signers.len(), signers.len());
        assert!(quorum.ignored.is_empty());
    }
    for (signers, role) in
        [(&[3][..], "approver"), (&[3, 4], "approver"), (&[5], "release"), (&[5, 6], "release")]
    {
        let failure = judged(&chain, 42, signers).unwrap_err();
        assert_eq!(failure.reason, Reason::SignaturesTooFew, "{signers:?}");
        assert!(failure.message.contains(&format!("1 holder ({role}), found nobody's")), "{failure}");
    }
    let two = with(|text| (rules(text).release, rules(text).approver) = (2, Some(2)));
    let failure = judged(&two, 42, &[3, 5, 6]).unwrap_err();
    assert!(failure.message.contains("2 different holders (release), found only 1"), "{failure}");
    judged(&two, 42, &[3, 4, 5, 6]).unwrap();
    // Where nobody approves, release is enough.
    judged(&with(|text| rules(text).approver = None), 42, &[3]).unwrap();
}

/// T03, T32: one person in both roles counts for one of them.
#[test]
fn one_person_does_not_fill_two_roles() {
    let chain = with(|text| of(text, 5).holder = "h3".to_owned());
    let failure = judged(&chain, 42, &[3, 5]).unwrap_err();
    assert_eq!(failure.reason, Reason::SignaturesTooFew);
    assert!(failure.message.contains("2 different people, found only 1"), "{failure}");
    judged(&chain, 42, &[3, 5, 6]).unwrap();
    judged(&chain, 42, &[4, 5]).unwrap();
}

/// T25: keys of other roles and channels are told from strangers.
#[test]
fn other_roles_and_channels_do_not_count() {
    let chain = with(|text| {
        let rules = ChannelRules { epoch: 1, release: 1, approver: None, r#override: None };
        text.channels.insert("dev".to_owned(), rules);
        let mut dev = record(9, Role::Release);
        dev.channels = ["dev".to_owned()].into();
        text.add(dev).unwrap();
    });
    for (n, why) in [(0, "a key for root"), (8, "a key for importer"), (9, "a key for release of dev")] {
        let failure = judged(&chain, 42, &[n, 5]).unwrap_err();
        assert_eq!(failure.reason, Reason::KeyRole, "{n}");
        assert!(failure.message.contains(why) && failure.message.contains(id(n)), "{failure}");
    }
    assert_eq!(reason(judged(&chain, 42, &[10, 5])), Reason::SignaturesTooFew);
    assert_eq!(reason(judged(&chain, 42, &[10, 11])), Reason::SignatureUntrusted);
    // T26: the other way about, and a channel that nobody knows.
    let signatures = [by(9, TEXT)];
    assert!(chain.check_bundle(TEXT, &signatures, "dev", 1).is_ok());
    for channel in ["Dev", "dev ", "test", ""] {
        assert_eq!(reason(chain.check_bundle(TEXT, &signatures, channel, 1)), Reason::ChannelUnknown);
    }
    assert_eq!(Reason::ChannelUnknown.class().code(), 6);
    // An override key alone is no approver.
    let chain = with(|text| assert!(of(text, 6).roles.remove(&Role::Approver)));
    assert_eq!(reason(judged(&chain, 42, &[3, 6])), Reason::KeyRole);
}

/// A key counts from its first sequence to its last, both included.
#[test]
fn windows_are_inclusive() {
    let chain = with(|text| (of(text, 3).from_sequence, of(text, 3).to_sequence) = (Some(10), Some(20)));
    for sequence in [10, 11, 20] {
        judged(&chain, sequence, &[3, 5]).unwrap();
    }
    for sequence in [0, 9, 21, u64::MAX] {
        let failure = judged(&chain, sequence, &[3, 5]).unwrap_err();
        assert_eq!(failure.reason, Reason::KeySequence, "{sequence}");
        assert!(failure.message.contains(&format!("from 10 to 20, not for {sequence}")), "{failure}");
    }
    let open = with(|text| of(text, 3).from_sequence = Some(10));
    assert!(judged(&open, u64::MAX, &[3, 5]).is_ok());
    assert!(judged(&open, 9, &[3, 5]).unwrap_err().message.contains("from 10 on"));
    let ended = with(|text| of(text, 3).to_sequence = Some(20));
    assert!(judged(&ended, 0, &[3, 5]).is_ok());
    assert_eq!(reason(judged(&ended, 21, &[3, 5])), Reason::KeySequence);
}

/// T19: a revoked key counts no more, also for bundles made while it did.
#[test]
fn revoked_keys_do_not_count() {
    let mut chain = with(|_| ());
    judged(&chain, 42, &[3, 5]).unwrap();
    let mut second = team(2);
    revoke(&mut second, 3);
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    for sequence in [1, 42, 43] {
        let failure = judged(&chain, sequence, &[3, 5]).unwrap_err();
        assert_eq!(failure.reason, Reason::KeyRevoked, "{sequence}");
        assert!(failure.message.contains("laptop stolen"), "{failure}");
    }
    assert_eq!(reason(chain.anybody(TEXT, &[by(3, TEXT)])), Reason::KeyRevoked);
    judged(&chain, 42, &[4, 5]).unwrap();
    assert_eq!(judged(&chain, 42, &[3, 4, 5]).unwrap().ignored, [id(3)]);
    // Who never knew the key does not say that it was revoked.
    assert_eq!(reason(judged(&begun(&second), 42, &[3])), Reason::SignatureUntrusted);
}

/// T24: what else lies there is no reason to refuse, and is told.
#[test]
fn other_signatures_do_no_harm() {
    let chain = with(|_| ());
    let junk = Signature { key_id: "0".repeat(32), bytes: b"junk".to_vec() };
    let broken = Signature { key_id: id(4).to_owned(), bytes: key(3).sign(TEXT) };
    let empty = Signature { key_id: id(7).to_owned(), bytes: Vec::new() };
    let good = [by(3, TEXT), by(5, TEXT)];
    let beside = |more: &[Signature]| chain.check_bundle(TEXT, &[&good, more].concat(), "prod", 42);
    let quorum = beside(&[junk.clone(), broken.clone(), empty, by(9, TEXT)]).unwrap();
    assert_eq!(quorum.signers.len(), 2);
    let mut ignored = ["0".repeat(32), id(4).to_owned(), id(7).to_owned(), id(9).to_owned()];
    ignored.sort();
    assert_eq!(quorum.ignored, ignored);
    // Where it is not enough, a broken one of somebody who counts explains it best, before strangers.
    let alone = chain.check_bundle(TEXT, &[by(5, TEXT), junk, broken], "prod", 42).unwrap_err();
    assert_eq!((alone.reason, alone.object), (Reason::SignatureInvalid, format!("signature {}", id(4))));
    // T07: a signature is over these bytes and no others.
    let other = b"# sealift bundle 1 \n";
    assert_eq!(reason(chain.check_bundle(other, &good, "prod", 42)), Reason::SignatureInvalid);
}

/// T08: the id beside a signature proves nothing.
#[test]
fn a_borrowed_id_does_not_count() {
    let chain = with(|_| ());
    let borrowed =
        |name: usize, signer: usize| Signature { key_id: id(name).to_owned(), bytes: key(signer).sign(TEXT) };
    for (name, signer) in [(5, 9), (5, 3), (5, 6), (9, 5)] {
        let signatures = [by(3, TEXT), borrowed(name, signer)];
        assert!(chain.check_bundle(TEXT, &signatures, "prod", 42).is_err(), "{name} {signer}");
    }
    // One key under the ids of three.
    let same = [by(3, TEXT), borrowed(4, 3), borrowed(5, 3)];
    assert_eq!(reason(chain.check_bundle(TEXT, &same, "prod", 42)), Reason::SignatureInvalid);
}

/// T12: 64 signatures are read, of keys that count and of others.
#[test]
fn sixty_four_signatures_are_counted() {
    let chain = with(|_| ());
    let mut signatures: Vec<Signature> = (0..limits::SIGNATURES - 2)
        .map(|n| Signature { key_id: format!("{n:032x}"), bytes: vec![0; 64] })
        .collect();
    signatures.extend([by(3, TEXT), by(5, TEXT)]);
    let quorum = chain.check_bundle(TEXT, &signatures, "prod", 42).unwrap();
    assert_eq!((quorum.signers.len(), quorum.ignored.len()), (2, 62));
    let mut note = Note::new(&team(2)).unwrap();
    let signers: Vec<PrivateKey> =
        (0..=limits::SIGNATURES).map(|_| PrivateKey::generate(Algorithm::Ed25519).unwrap()).collect();
    for signer in &signers[2..] {
        note.sign(signer).unwrap();
    }
    note.sign(key(0)).unwrap();
    note.sign(key(0)).unwrap();
    assert_eq!(note.signatures().len(), limits::SIGNATURES);
    assert_eq!(reason(note.sign(key(1))), Reason::NoteMalformed);
    assert_eq!(Note::parse(&note.to_bytes()).unwrap(), note);
}

/// X13: as many signatures as are read, by as many keys as there can be, all of the slow kind and all wrong.
#[test]
fn the_worst_signatures_are_counted_in_no_time() {
    let keys: Vec<PrivateKey> =
        (0..limits::TRUST_KEYS).map(|_| PrivateKey::generate(Algorithm::EcdsaP256).unwrap()).collect();
    let rule = |name: &str| Rule {
        name: name.to_owned(),
        keys: keys.iter().map(|key| (key.public(), key.public().key_id())).collect(),
        threshold: 1,
    };
    let other = keys[0].sign(b"another text");
    let signatures: Vec<Signature> = keys[limits::TRUST_KEYS - limits::SIGNATURES..]
        .iter()
        .map(|key| Signature { key_id: key.public().key_id().to_owned(), bytes: other.clone() })
        .collect();
    // The best of a few runs: a machine that is busy with something else proves nothing.
    let best = (0..8).map(|_| {
        let begin = Instant::now();
        let outcome = quorum::met(TEXT, &signatures, &[rule("release"), rule("approver")], &[]);
        assert_eq!(reason(outcome), Reason::SignatureInvalid);
        begin.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
}

/// T01, T27: nobody to believe, nobody who signed, nothing to sign for.
#[test]
fn nothing_is_not_enough() {
    let chain = with(|_| ());
    assert_eq!(reason(chain.check_bundle(TEXT, &[], "prod", 42)), Reason::SignatureMissing);
    assert_eq!(reason(chain.anybody(TEXT, &[])), Reason::SignatureMissing);
    for authority in
        [Authority::Keys(vec![]), Authority::Keys(vec![key(3).public().clone()]), Authority::Chain(chain)]
    {
        assert!(authority.anybody(TEXT, &[]).is_err());
        assert!(authority.check_bundle(TEXT, &[], "prod", 42).is_err());
        assert!(authority.check_bundle(TEXT, &[by(9, TEXT)], "prod", 42).is_err());
    }
    assert_eq!(reason(Authority::Keys(vec![]).anybody(TEXT, &[by(3, TEXT)])), Reason::NoKey);
}

/// Single keys: one of them is enough for any channel and sequence, and a key that is given twice is one.
#[test]
fn single_keys_are_a_threshold_of_one() {
    let given = Authority::Keys([3, 4, 3].map(|n| key(n).public().clone()).to_vec());
    let quorum = given.check_bundle(TEXT, &[by(3, TEXT)], "any", 7).unwrap();
    assert_eq!(quorum.signers.len(), 1);
    assert_eq!(quorum.signers[0].to_string(), id(3));
    assert_eq!(given.check_bundle(TEXT, &[by(3, TEXT), by(4, TEXT)], "any", 7).unwrap().signers.len(), 2);
    let failure = given.check_bundle(TEXT, &[by(9, TEXT)], "any", 7).unwrap_err();
    assert_eq!(failure.reason, Reason::SignatureUntrusted);
    assert!(failure.message.contains(id(3)) && failure.message.contains(id(9)), "{failure}");
    given.anybody(TEXT, &[by(4, TEXT)]).unwrap();
    assert_eq!(reason(given.anybody(TEXT, &[by(9, TEXT)])), Reason::SignatureUntrusted);
}

/// Whoever counts is named with role and key; a list of many ids is cut.
#[test]
fn messages_name_people_and_keys() {
    let quorum = judged(&with(|_| ()), 42, &[3, 5]).unwrap();
    let mut told: Vec<String> = quorum.signers.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(told, [format!("h3 (release, key {})", id(3)), format!("h5 (approver, key {})", id(5))]);
    let listed = |count: usize| {
        let keys = (0..count).map(|n| (key(n).public(), "h")).collect();
        let rule = Rule { name: "release".to_owned(), keys, threshold: 1 };
        quorum::met(TEXT, &[by(15, TEXT)], &[rule], &[]).unwrap_err().message
    };
    assert!(listed(4).contains(&format!("{} or {}, found one by {}", id(2), id(3), id(15))), "{}", listed(4));
    assert!(listed(5).contains(&format!("{} or 2 more, found", id(2))), "{}", listed(5));
    assert!(listed(0).contains("expected a signature by no key"), "{}", listed(0));
}
