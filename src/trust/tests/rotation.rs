//! From one version of a trust document to the next.

use super::*;
use crate::{
    base::{digest::Digest, limits},
    trust::{Authority, typed_fingerprint},
};

/// Root keys of a version, how many of their holders it takes, and whose signatures stand below it.
type Version<'a> = (&'a [usize], usize, &'a [usize]);

/// What happens to the last of the versions; those before it are in order.
fn last_of(versions: &[Version<'_>]) -> Result<()> {
    let files: Vec<Vec<u8>> = (1..)
        .zip(versions)
        .map(|(number, (keys, threshold, signed))| sealed(&roots(number, *threshold, keys), signed))
        .collect();
    let (last, before) = files[1..].split_last().unwrap();
    let mut chain = Chain::begin(&files[0]).unwrap();
    for file in before {
        chain.extend(file).unwrap();
    }
    let known = chain.clone();
    let outcome = chain.extend(last);
    // T16: what was refused leaves no trace.
    assert_eq!(chain == known, outcome.is_err());
    outcome
}

const FIVE: &[usize] = &[0, 1, 2, 3, 4];

/// T17: the threshold of the version before and that of the version itself, each by its own keys.
#[test]
fn both_thresholds_sign_every_step() {
    let good: [&[Version<'_>]; 10] = [
        // one key gives way to another, then stands alone
        &[(&[1], 1, &[1]), (&[2], 1, &[1, 2]), (&[2], 1, &[2])],
        // strangers sign along
        &[(&[1], 1, &[3, 1, 4]), (&[2], 1, &[3, 2, 1, 4]), (&[2], 1, &[3, 2, 4])],
        // any three of five
        &[(FIVE, 3, &[0, 2, 4]), (FIVE, 3, &[0, 4, 1]), (FIVE, 3, &[1, 2, 3]), (FIVE, 3, FIVE)],
        // one of five is replaced: the three that sign are in both
        &[(FIVE, 3, &[0, 2, 4]), (&[0, 1, 3, 4, 5], 3, &[0, 4, 1])],
        // and with the old one still signing
        &[(FIVE, 3, &[0, 2, 4]), (&[0, 1, 3, 4, 5], 3, &[0, 2, 4, 5]), (&[0, 1, 3, 4, 5], 3, &[0, 4, 5])],
        // H08: one of three is lost; the other two take it out and put another in
        &[(&[0, 1, 2], 2, &[0, 1, 2]), (&[0, 1, 5], 2, &[0, 1]), (&[0, 1, 5], 2, &[1, 5])],
        // everybody changes, in one step that both sides sign
        &[(&[0, 1, 2], 2, &[0, 1]), (&[5, 6, 7], 2, &[0, 1, 5, 6]), (&[5, 6, 7], 2, &[6, 7])],
        // or in two, half of them each
        &[(&[0, 1], 2, &[0, 1]), (&[1, 2], 2, &[0, 1, 2]), (&[2, 3], 2, &[1, 2, 3]), (&[2, 3], 2, &[2, 3])],
        // a threshold rises
        &[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[1, 2])],
        // and falls, with the signatures of the higher one
        &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1, 2]), (&[1, 2, 3], 1, &[3])],
    ];
    for versions in good {
        last_of(versions).unwrap_or_else(|failure| panic!("{versions:?}: {failure}"));
    }
    let bad: [(&[Version<'_>], Reason); 10] = [
        // by the new key alone, by the old key alone
        (&[(&[1], 1, &[1]), (&[2], 1, &[2, 3, 4])], Reason::SignatureUntrusted),
        (&[(&[1], 1, &[1]), (&[2], 1, &[1, 3, 4])], Reason::SignatureUntrusted),
        // three old ones signed, of whom one is no more; three new ones, of whom one is too new
        (&[(FIVE, 3, &[0, 2, 4]), (&[0, 1, 3, 4, 5], 3, &[0, 2, 4])], Reason::SignaturesTooFew),
        (&[(FIVE, 3, &[0, 2, 4]), (&[0, 1, 3, 4, 5], 3, &[0, 4, 5])], Reason::SignaturesTooFew),
        // the higher threshold is not met, whether it is the new one or the old one
        (&[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[2])], Reason::SignaturesTooFew),
        (&[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1])], Reason::SignaturesTooFew),
        // one of three was stolen and rules alone; so do strangers, and nobody
        (&[(&[0, 1, 2], 2, &[0, 1]), (&[2], 1, &[2])], Reason::SignaturesTooFew),
        (&[(&[0, 1, 2], 2, &[0, 1]), (&[5, 6, 7], 2, &[5, 6, 7])], Reason::SignatureUntrusted),
        (&[(&[0, 1, 2], 2, &[0, 1]), (&[0, 1, 2], 2, &[])], Reason::SignatureMissing),
        // whoever was rotated out does not come back by an old signature
        (&[(&[1], 1, &[1]), (&[2], 1, &[1, 2]), (&[1], 1, &[1])], Reason::KeyRevoked),
    ];
    for (versions, expected) in bad {
        assert_eq!(reason(last_of(versions)), expected, "{versions:?}");
    }
}

/// T03: the holder counts, for documents too.
#[test]
fn two_root_keys_of_one_holder_are_one() {
    let mut text = roots(1, 2, &[2]);
    text.add(held(0, "alice", &[Role::Root])).unwrap();
    text.add(held(1, "alice", &[Role::Root])).unwrap();
    assert_eq!(reason(Chain::begin(&sealed(&text, &[0, 1]))), Reason::SignaturesTooFew);
    assert!(Chain::begin(&sealed(&text, &[0, 2])).is_ok());
}

/// T25: a document is signed with root keys, and a root key signs nothing else.
#[test]
fn only_root_keys_sign_documents() {
    let mut chain = begun(&team(1));
    for role in [[3, 4], [5, 6], [6, 7]] {
        assert_eq!(reason(chain.extend(&sealed(&team(2), &role))), Reason::KeyRole, "{role:?}");
    }
    assert_eq!(reason(chain.extend(&sealed(&team(2), &[0, 3, 5, 8]))), Reason::KeyRole);
    assert_eq!(reason(Chain::begin(&sealed(&team(1), &[3, 4]))), Reason::SignatureUntrusted);
    let text = b"# sealift bundle 1\n";
    let outcome = chain.check_bundle(text, &[by(0, text), by(1, text)], "prod", 42);
    assert_eq!(reason(outcome), Reason::KeyRole);
}

/// T17: versions count up by one, whoever signed them.
#[test]
fn versions_come_one_after_the_other() {
    for (version, expected) in [(1, Reason::TrustGap), (3, Reason::TrustGap), (9999, Reason::TrustGap)] {
        let mut chain = begun(&team(1));
        assert_eq!(reason(chain.extend(&sealed(&team(version), &[0, 1]))), expected, "{version}");
        assert_eq!(chain.version(), 1);
    }
    for version in [0, 10_000, u64::MAX] {
        assert_eq!(reason(Chain::begin(&sealed(&team(version), &[0, 1]))), Reason::TrustMalformed);
    }
    // The same content under the next number is a version like any other, signed anew.
    let mut chain = begun(&team(1));
    let renumbered =
        String::from_utf8(sealed(&team(1), &[0, 1])).unwrap().replace("\"version\": 1", "\"version\": 2");
    assert_eq!(reason(chain.extend(renumbered.as_bytes())), Reason::SignatureInvalid);
    chain.extend(&sealed(&team(2), &[1, 2])).unwrap();
    assert_eq!((chain.version(), chain.pinned().version()), (2, 1));
    assert_eq!(chain.notes().map(|(version, _)| version).collect::<Vec<_>>(), [1, 2]);
    // There is no last version after which the count begins anew.
    let mut last = begun(&team(9999));
    assert_eq!(reason(last.extend(&sealed(&team(10_000), &[0, 1]))), Reason::TrustMalformed);
}

/// The list of revoked keys only grows, and nothing on it comes back.
#[test]
fn a_revocation_is_for_ever() {
    let mut second = team(2);
    revoke(&mut second, 3);
    let mut chain = begun(&team(1));
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    // taken back, with the key and without it
    let mut third = second.clone();
    third.version = 3;
    third.revoked.clear();
    assert_eq!(reason(chain.extend(&sealed(&third, &[0, 1]))), Reason::TrustMalformed);
    assert_eq!(reason(chain.extend(&sealed(&team(3), &[0, 1]))), Reason::TrustMalformed);
    // in use and revoked at once
    let mut both = second.clone();
    both.version = 3;
    both.add(record(3, Role::Release)).unwrap();
    assert_eq!(reason(chain.extend(&sealed(&both, &[0, 1]))), Reason::TrustMalformed);
    // one more is fine; and so is a revocation of a key that no version ever had
    let mut more = second.clone();
    more.version = 3;
    revoke(&mut more, 8);
    revoke(&mut more, 12);
    chain.extend(&sealed(&more, &[0, 1])).unwrap();
    // who is only left out may come back
    let mut without = more.clone();
    without.version = 4;
    without.keys.retain(|record| record.id != id(5));
    chain.extend(&sealed(&without, &[0, 1])).unwrap();
    let mut again = more;
    again.version = 5;
    chain.extend(&sealed(&again, &[0, 1])).unwrap();
    assert_eq!(chain.version(), 5);
}

/// T15: the way back after a fast-forward must not lead further back.
#[test]
fn an_epoch_never_falls() {
    let with_epoch = |version: u64, epoch: Option<u64>| {
        let mut text = team(version);
        if let Some(epoch) = epoch {
            text.channels.get_mut("prod").unwrap().epoch = epoch;
        } else {
            text.channels.clear();
            text.keys.retain(|record| record.channels.is_empty());
        }
        sealed(&text, &[0, 1])
    };
    let mut chain = Chain::begin(&with_epoch(1, Some(5))).unwrap();
    assert_eq!(reason(chain.extend(&with_epoch(2, Some(4)))), Reason::TrustMalformed);
    assert_eq!(reason(chain.extend(&with_epoch(2, Some(0)))), Reason::TrustMalformed);
    chain.extend(&with_epoch(2, Some(5))).unwrap();
    // not even by way of a version without the channel
    chain.extend(&with_epoch(3, None)).unwrap();
    assert_eq!(reason(chain.extend(&with_epoch(4, Some(4)))), Reason::TrustMalformed);
    chain.extend(&with_epoch(4, Some(u64::MAX))).unwrap();
    assert_eq!(chain.latest().channel("prod").unwrap().epoch, u64::MAX);
}

/// T33: the pinned document is the one that a person typed, digit by digit.
#[test]
fn the_first_document_is_pinned_by_its_fingerprint() {
    let file = sealed(&team(1), &[0, 1]);
    let hex = Note::parse(&file).unwrap().fingerprint().hex().to_owned();
    let fours: Vec<_> = hex.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    let spaced = fours.join(" ");
    for typed in [hex.clone(), hex.to_uppercase(), spaced, format!("sha256:{hex}"), format!(" {hex}\n")] {
        let typed = typed_fingerprint(&typed).unwrap();
        assert_eq!(Chain::pin(&file, &typed).unwrap().fingerprint().hex(), hex);
    }
    for typed in ["", &hex[..63], &hex[1..], &format!("{hex}0"), &hex.replace(&hex[..1], "g"), "sha256:"] {
        let failure = typed_fingerprint(typed).unwrap_err();
        assert_eq!(
            (failure.reason, failure.to_string().contains(&hex)),
            (Reason::BadArgument, false),
            "{typed}"
        );
    }
    for other in [Digest::of(b"other"), Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()] {
        assert_eq!(reason(Chain::pin(&file, &other)), Reason::TrustFingerprint, "{other}");
    }
    let hex = typed_fingerprint(&hex).unwrap();
    // The right digits do not help a document that its own holders did not sign.
    assert_eq!(reason(Chain::pin(&sealed(&team(1), &[0]), &hex)), Reason::SignaturesTooFew);
    // Signatures are no part of the identity: who signs later changes nothing.
    assert!(Chain::pin(&sealed(&team(1), &[0, 1, 2]), &hex).is_ok());
}

/// What media carry beside what a site knows: C4 of the design, {old, new site} × {old, new media}.
#[test]
fn carried_documents_continue_what_is_known() {
    let files: Vec<(u64, Vec<u8>)> = (1..=5).map(|n| (n, sealed(&team(n), &[0, 1]))).collect();
    let mut known = Chain::begin(&files[1].1).unwrap();
    known.extend(&files[2].1).unwrap();
    let version = |carried: &[(u64, Vec<u8>)]| known.with_carried(carried).map(|chain| chain.version());
    // none, older than the pinned one, the same, one more, two more, the newer ones alone
    assert_eq!(version(&[]).unwrap(), 3);
    assert_eq!(version(&files[..1]).unwrap(), 3);
    assert_eq!(version(&files[..3]).unwrap(), 3);
    assert_eq!(version(&files[2..4]).unwrap(), 4);
    assert_eq!(version(&files).unwrap(), 5);
    assert_eq!(version(&files[3..]).unwrap(), 5);
    // a gap
    assert_eq!(reason(version(&files[4..])), Reason::TrustGap);
    assert_eq!(reason(version(&[files[2].clone(), files[4].clone()])), Reason::TrustGap);
    // a fork: another text of a known version, truly signed; and of a version that the media brought themselves
    let mut other = team(3);
    other.keys.retain(|record| record.id != id(8));
    let forked = (3, sealed(&other, &[0, 1]));
    assert_eq!(reason(version(&[forked])), Reason::TrustFork);
    other.version = 4;
    let twice = [files[3].clone(), (4, sealed(&other, &[0, 1]))];
    assert_eq!(reason(version(&twice)), Reason::TrustFork);
    // other signatures below the same text are no fork
    assert_eq!(version(&[(3, sealed(&team(3), &[1, 2]))]).unwrap(), 3);
    // a forged next one, one under another number, and garbage in the place of a known one
    assert_eq!(reason(version(&[(4, sealed(&team(4), &[9, 10]))])), Reason::SignatureUntrusted);
    assert_eq!(reason(version(&[(4, files[4].1.clone())])), Reason::TrustGap);
    assert_eq!(reason(version(&[(3, b"garbage".to_vec())])), Reason::NoteMalformed);
    // A gap stays a gap where nobody here knows those who signed beyond it: nothing is forged.
    let beyond = sealed(&roots(5, 2, &[9, 10]), &[9, 10]);
    assert_eq!(reason(version(&[(5, beyond)])), Reason::TrustGap);
    // The site's own chain is never changed by looking.
    assert_eq!(known.version(), 3);
    // Single keys know nothing of documents; a chain brought up to date does.
    let keys = Authority::Keys(vec![key(0).public().clone()]);
    assert!(matches!(keys.updated(&files).unwrap(), Authority::Keys(list) if list.len() == 1));
    let chain = Authority::Chain(known).updated(&files).unwrap();
    assert!(matches!(chain, Authority::Chain(chain) if chain.version() == 5));
}

/// What a bundle carries holds together by itself, whoever reads it.
#[test]
fn carried_documents_hold_together() {
    let files: Vec<(u64, Vec<u8>)> = (1..=3).map(|n| (n, sealed(&team(n), &[0, 1]))).collect();
    for carried in [&[][..], &files[..1], &files[..], &files[1..]] {
        Chain::of_media(carried).unwrap();
    }
    let third = files[2].1.clone();
    for (carried, expected) in [
        (vec![(1, b"garbage".to_vec())], Reason::NoteMalformed),
        (vec![(1, third.clone())], Reason::TrustMalformed),
        (vec![files[0].clone(), (2, third)], Reason::TrustGap),
        (vec![(1, sealed(&team(1), &[0]))], Reason::SignaturesTooFew),
        (vec![files[0].clone(), (2, sealed(&team(2), &[9]))], Reason::SignatureUntrusted),
    ] {
        assert_eq!(reason(Chain::of_media(&carried)), expected);
    }
}

/// A site follows as many versions as one bundle carries, and not one more.
#[test]
fn the_number_of_versions_is_bounded() {
    let text = |version: u64| sealed(&roots(version, 1, &[0]), &[0]);
    let mut chain = Chain::begin(&text(1)).unwrap();
    for version in 2..=limits::TRUST_VERSIONS as u64 {
        chain.extend(&text(version)).unwrap();
    }
    assert_eq!(chain.notes().count(), limits::TRUST_VERSIONS);
    assert_eq!(reason(chain.extend(&text(257))), Reason::TrustMalformed);
}

/// T19: what an earlier version trusted and the newest does not, each key once, with the reason.
#[test]
fn keys_that_are_gone_are_remembered() {
    let mut chain = begun(&team(1));
    assert!(chain.gone().is_empty());
    let mut second = team(2);
    revoke(&mut second, 3);
    second.keys.retain(|record| record.id != id(5));
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    let mut third = second.clone();
    third.version = 3;
    chain.extend(&sealed(&third, &[0, 1])).unwrap();
    let gone = chain.gone();
    assert_eq!(gone.len(), 2);
    for excluded in gone {
        assert_eq!(excluded.reason, Reason::KeyRevoked);
        let why =
            if excluded.key.key_id() == id(3) { "has revoked: laptop stolen" } else { "no longer lists" };
        assert!(excluded.why.contains(why), "{}", excluded.why);
    }
}

/// The chain as it was before one of its versions: whoever signed that one was judged by it.
#[test]
fn a_chain_is_cut_before_a_version() {
    let mut chain = begun(&team(3));
    let mut known = vec![chain.clone()];
    for version in 4..=6 {
        chain.extend(&sealed(&team(version), &[0, 1])).unwrap();
        known.push(chain.clone());
    }
    for version in [0, 1, 3] {
        assert_eq!(chain.before(version), None, "{version}");
    }
    for (version, before) in (4..).zip(&known) {
        assert_eq!(chain.before(version).as_ref(), Some(before), "{version}");
    }
    assert_eq!(chain.before(8), Some(chain));
}
