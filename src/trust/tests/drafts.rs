//! Documents that go from one signer to the next.

use super::{
    orders::{beacon, order},
    *,
};
use crate::trust::{Draft, Effect, Subject};

/// The second version of the team: key 9 comes as a fourth root key, key 10 releases, key 3 is revoked.
fn second() -> Text {
    let mut text = team(2);
    text.add(record(9, Role::Root)).unwrap();
    text.add(record(10, Role::Release)).unwrap();
    revoke(&mut text, 3);
    text
}

fn next() -> Draft {
    Draft::trust(Some(begun(&team(1))), &second()).unwrap()
}

/// The team's chain with its second version.
fn both() -> Chain {
    let mut chain = begun(&team(1));
    chain.extend(&sealed(&second(), &[0, 1])).unwrap();
    chain
}

fn signed(mut draft: Draft, signers: &[usize]) -> Draft {
    for n in signers {
        draft.sign(key(*n)).unwrap();
    }
    draft
}

fn bytes(draft: &Draft) -> Vec<u8> {
    draft.note().to_bytes()
}

fn a_beacon() -> Draft {
    Draft::beacon(both(), &beacon("prod", 42)).unwrap()
}

fn an_override() -> Draft {
    Draft::exception(both(), &order(Effect::Rollback)).unwrap()
}

/// The first line of a document says what it is.
#[test]
fn documents_are_read_as_what_they_are() {
    assert_eq!(*next().subject(), Subject::Trust(Box::new(Document::new(second()).unwrap())));
    assert_eq!(*a_beacon().subject(), Subject::Beacon(beacon("prod", 42)));
    assert_eq!(*an_override().subject(), Subject::Override(order(Effect::Rollback)));
    for (draft, is_trust) in [(next(), true), (a_beacon(), false), (an_override(), false)] {
        assert_eq!(Draft::is_trust(&bytes(&draft)), is_trust);
        assert_eq!(Draft::read(&bytes(&draft), draft.chain().cloned()).unwrap(), draft);
    }
    assert!(!Draft::is_trust(b"garbage"));
    assert_eq!(reason(Draft::read(b"garbage", None)), Reason::NoteMalformed);
    // Nothing is read that nobody could sign.
    assert_eq!(reason(Draft::read(&bytes(&a_beacon()), None)), Reason::TrustMissing);
    assert_eq!(reason(Draft::beacon(both(), &beacon("dev", 42))), Reason::ChannelUnknown);
    let mut text = team(1);
    text.channels.get_mut("prod").unwrap().r#override = None;
    assert_eq!(reason(Draft::exception(begun(&text), &order(Effect::Expired))), Reason::OverrideRefused);
}

/// A trust document is the next after those that are at hand, and takes nothing back.
#[test]
fn a_trust_document_is_the_next() {
    for version in [1, 3, 4] {
        let draft = Draft::trust(Some(begun(&team(1))), &team(version));
        assert_eq!(reason(draft), Reason::TrustGap, "{version}");
    }
    let third = Draft::trust(Some(both()), &team(3));
    assert_eq!(reason(third), Reason::TrustMalformed);
    let mut third = second();
    third.version = 3;
    Draft::trust(Some(both()), &third).unwrap();
}

/// Where the version before is not at hand, the draft says so.
#[test]
fn a_torn_document_is_known() {
    let first = Draft::trust(None, &team(1)).unwrap();
    let torn = Draft::trust(None, &team(2)).unwrap();
    for (draft, is_torn, has_chain) in
        [(&first, false, false), (&torn, true, false), (&next(), false, true), (&a_beacon(), false, true)]
    {
        assert_eq!((draft.is_torn(), draft.chain().is_some()), (is_torn, has_chain));
    }
    assert_eq!(next().chain(), Some(&begun(&team(1))));
    assert_eq!(a_beacon().chain(), Some(&both()));
}

/// How far a draft is: rule by rule, who signed, who could, and whose signature broke.
#[test]
fn standings_say_who_is_missing() {
    let told = |draft: &Draft| -> Vec<_> {
        let standings = draft.standings().unwrap();
        standings
            .iter()
            .map(|one| {
                let others: Vec<&str> = one.others.iter().map(String::as_str).collect();
                (one.role.clone(), one.lacks(), one.is_met(), others.join(" "), one.broken.len())
            })
            .collect()
    };
    let rule = |name: &str, lacks: usize, others: &str, broken: usize| {
        (name.to_owned(), lacks, lacks == 0, others.to_owned(), broken)
    };
    let (one, two) = ("root of version 1", "root of version 2");
    assert!(!next().is_signed());
    assert_eq!(told(&next()), [rule(one, 2, "h0 h1 h2", 0), rule(two, 2, "h0 h1 h2 h9", 0)]);
    let draft = signed(next(), &[9]);
    assert!(draft.is_signed());
    assert_eq!(told(&draft), [rule(one, 2, "h0 h1 h2", 0), rule(two, 1, "h0 h1 h2", 0)]);
    let draft = signed(draft, &[1]);
    assert_eq!(told(&draft), [rule(one, 1, "h0 h2", 0), rule(two, 0, "h0 h2", 0)]);
    let draft = signed(draft, &[0]);
    assert_eq!(told(&draft), [rule(one, 0, "h2", 0), rule(two, 0, "h2", 0)]);
    assert_eq!(draft.standings().unwrap()[1].holders(), ["h0", "h1", "h9"].into());
    assert_eq!(told(&a_beacon()), [rule("release", 1, "h10 h4", 0)]);
    assert_eq!(told(&an_override()), [rule("override", 2, "h6 h7", 0)]);
    // A signature under the text of another draft.
    let of_another = bytes(&signed(Draft::beacon(both(), &beacon("prod", 43)).unwrap(), &[4]));
    let changed = String::from_utf8(of_another).unwrap().replace("\"sequence\": 43", "\"sequence\": 42");
    let draft = Draft::read(changed.as_bytes(), Some(both())).unwrap();
    assert_eq!(told(&draft), [rule("release", 1, "h10 h4", 1)]);
}

/// Only a key that counts signs; every other one is told why not.
#[test]
fn a_key_that_would_not_count_does_not_sign() {
    let first = || Draft::trust(None, &team(1)).unwrap();
    let bounded = || {
        let mut text = team(1);
        of(&mut text, 3).to_sequence = Some(41);
        Draft::beacon(begun(&text), &beacon("prod", 42)).unwrap()
    };
    let cases: [(&dyn Fn() -> Draft, usize, Reason, &str); 11] = [
        (&first, 3, Reason::KeyRole, "a key for release of prod"),
        (&first, 9, Reason::KeyRole, "does not know this key"),
        (&next, 4, Reason::KeyRole, "a key for release of prod"),
        // known to the new version alone
        (&next, 10, Reason::KeyRole, "a key for release of prod"),
        (&next, 11, Reason::KeyRole, "does not know this key"),
        (&a_beacon, 0, Reason::KeyRole, "a key for root"),
        (&a_beacon, 6, Reason::KeyRole, "a key for approver and override of prod"),
        (&a_beacon, 3, Reason::KeyRevoked, "has revoked: laptop stolen"),
        (&bounded, 3, Reason::KeySequence, "from 0 to 41, not for 42"),
        (&an_override, 5, Reason::KeyRole, "a key for approver of prod"),
        (&an_override, 3, Reason::KeyRevoked, "has revoked: laptop stolen"),
    ];
    for (draft, n, expected, why) in cases {
        let (unsigned, mut draft) = (draft(), draft());
        let failure = draft.sign(key(n)).unwrap_err();
        assert_eq!(failure.reason, expected, "{n} {why}");
        assert!(failure.message.ends_with(why), "{}", failure.message);
        assert_eq!(draft, unsigned);
    }
    for (draft, n) in [(first(), 0), (next(), 0), (next(), 9), (a_beacon(), 4), (an_override(), 6)] {
        let draft = signed(draft, &[n]);
        assert_eq!(draft.note().signatures().len(), 1);
        assert_eq!(draft.note().signatures()[0], by(n, draft.note().body()));
    }
}

/// Two people sign copies; both signatures come together, and nothing else does.
#[test]
fn signatures_are_taken_over_from_a_copy() {
    let copy = signed(next(), &[9, 1]);
    let mut draft = signed(next(), &[0, 1]);
    assert_eq!(draft.take_over(&bytes(&copy)).unwrap(), [id(9)]);
    assert_eq!(draft, signed(next(), &[0, 1, 9]));
    assert!(draft.take_over(&bytes(&copy)).unwrap().is_empty());
    assert!(draft.take_over(&bytes(&next())).unwrap().is_empty());
    assert_eq!(draft, signed(next(), &[0, 1, 9]));
    // By somebody who does not count here: a stranger, and a key of another role.
    let mut draft = next();
    let mut taken = draft.take_over(&sealed(&second(), &[2, 4, 9, 15])).unwrap();
    taken.sort_unstable();
    let mut expected = [id(2), id(9)];
    expected.sort_unstable();
    assert_eq!(taken, expected);
    assert_eq!(draft, signed(next(), &[2, 9]));
}

/// A copy of another text, and one whose signature does not hold, leave the draft as it was.
#[test]
fn a_copy_that_differs_is_refused() {
    let mut draft = signed(next(), &[0]);
    let mut other = second();
    other.root_threshold = 3;
    let third = signed(Draft::trust(Some(begun(&team(1))), &other).unwrap(), &[1]);
    assert_eq!(reason(draft.take_over(&bytes(&third))), Reason::TrustFork);
    let changed =
        String::from_utf8(bytes(&third)).unwrap().replace("\"root_threshold\": 3", "\"root_threshold\": 2");
    let failure = draft.take_over(changed.as_bytes()).unwrap_err();
    assert_eq!((failure.reason, failure.object), (Reason::SignatureInvalid, format!("signature {}", id(1))));
    assert_eq!(reason(draft.take_over(b"garbage")), Reason::NoteMalformed);
    assert_eq!(draft, signed(next(), &[0]));
}

/// Whoever signs types the first digits of what was shown: eight or more, and those of this document.
#[test]
fn the_first_digits_say_which_document_is_meant() {
    for (draft, what) in
        [(next(), "a trust document"), (a_beacon(), "a beacon"), (an_override(), "an override")]
    {
        let hex = draft.fingerprint().hex().to_owned();
        let spaced = format!(" {} {}\n", &hex[..4], &hex[4..8]);
        for typed in [&hex[..8], &hex[..9], &hex, &hex.to_uppercase(), &spaced] {
            draft.confirm(typed).unwrap_or_else(|failure| panic!("{typed}: {failure}"));
        }
        let seven = format!("{}  ", &hex[..7]);
        for typed in ["", &hex[..7], &seven, "xyzxyzxyz", &format!("{}g", &hex[..8])] {
            assert_eq!(reason(draft.confirm(typed)), Reason::BadArgument, "{typed}");
        }
        let last = if hex.as_bytes()[7] == b'0' { '1' } else { '0' };
        for typed in [format!("{}{last}", &hex[..7]), hex[1..].to_owned(), format!("{hex}0")] {
            let failure = draft.confirm(&typed).unwrap_err();
            assert_eq!(
                (failure.reason, failure.object.as_str()),
                (Reason::TrustFingerprint, what),
                "{typed}"
            );
        }
    }
}

/// A draft is judged as a site would judge it.
#[test]
fn a_draft_is_checked_as_a_site_would() {
    let first = |signers: &[usize]| signed(Draft::trust(None, &team(1)).unwrap(), signers).check();
    assert_eq!(reason(first(&[])), Reason::SignatureMissing);
    assert_eq!(reason(first(&[0])), Reason::SignaturesTooFew);
    assert_eq!(first(&[0, 1]).unwrap(), begun(&team(1)));
    assert_eq!(reason(signed(next(), &[0, 9]).check()), Reason::SignaturesTooFew);
    assert_eq!(signed(next(), &[0, 1]).check().unwrap(), both());
    assert_eq!(reason(a_beacon().check()), Reason::SignatureMissing);
    assert_eq!(signed(a_beacon(), &[4]).check().unwrap(), both());
    assert_eq!(reason(signed(an_override(), &[6]).check()), Reason::SignaturesTooFew);
    assert_eq!(signed(an_override(), &[6, 7]).check().unwrap(), both());
}
