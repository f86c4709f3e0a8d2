//! Who may sign: asked before anything is signed, so that nobody carries away a bundle that no site takes.

use std::collections::BTreeSet;

use super::*;
use crate::base::failure::Failure;

/// Version 2 of the team: key 3 counts from 10 to 20, key 6 is revoked, key 7 is left out.
fn chain() -> Chain {
    let mut chain = begun(&team(1));
    let mut second = team(2);
    (of(&mut second, 3).from_sequence, of(&mut second, 3).to_sequence) = (Some(10), Some(20));
    revoke(&mut second, 6);
    second.keys.retain(|record| record.id != id(7));
    second.channels.get_mut("prod").unwrap().r#override = None;
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    chain
}

fn asked(n: usize, sequence: u64) -> Result<()> {
    chain().may_sign_bundle(key(n).public(), "prod", sequence)
}

/// Keys that release and keys that approve may; each other one is told why not.
#[test]
fn whoever_counts_may_sign_a_bundle() {
    for (n, sequence) in [(3, 10), (3, 20), (4, 0), (4, u64::MAX), (5, 42)] {
        asked(n, sequence).unwrap_or_else(|failure| panic!("{n}: {failure}"));
    }
    for (n, sequence, expected, why) in [
        (3, 9, Reason::KeySequence, "from 10 to 20, not for 9"),
        (3, 21, Reason::KeySequence, "from 10 to 20, not for 21"),
        (0, 42, Reason::KeyRole, "a key for root"),
        (8, 42, Reason::KeyRole, "a key for importer"),
        (6, 42, Reason::KeyRevoked, "has revoked: laptop stolen"),
        (7, 42, Reason::KeyRevoked, "no longer lists"),
        (9, 42, Reason::KeyRole, "does not know this key"),
    ] {
        let failure = asked(n, sequence).unwrap_err();
        assert_eq!((failure.reason, failure.object), (expected, format!("key {}", id(n))), "{n}");
        let whole = format!("bundle {sequence} of prod is signed by keys for release and approver; ");
        assert!(failure.message.starts_with(&whole), "{}", failure.message);
        assert!(failure.message.ends_with(why), "{}", failure.message);
    }
    assert_eq!(reason(chain().may_sign_bundle(key(3).public(), "dev", 10)), Reason::ChannelUnknown);
}

/// Each refusal leads on to something else: other bounds, a key of today, another key.
#[test]
fn each_refusal_says_what_to_do_next() {
    let hint = |failure: Failure| failure.hint.unwrap();
    let hints: BTreeSet<String> =
        [(3, 9), (6, 42), (0, 42)].map(|(n, sequence)| hint(asked(n, sequence).unwrap_err())).into();
    assert_eq!(hints.len(), 3, "{hints:?}");
    assert_eq!(hint(asked(7, 42).unwrap_err()), hint(asked(6, 42).unwrap_err()));
    assert_eq!(hint(asked(9, 42).unwrap_err()), hint(asked(0, 42).unwrap_err()));
}

/// What `may_sign_bundle` says is what a reader will say.
#[test]
fn the_answer_is_that_of_a_reader() {
    let (chain, text) = (chain(), b"# sealift bundle 1\n");
    // With the signature of the other role beside it, which alone is not enough.
    for (n, beside) in [(3, 5), (4, 5), (5, 4), (0, 5), (6, 4), (7, 4), (8, 5), (9, 5)] {
        for sequence in [9, 10, 20, 21] {
            let read = chain.check_bundle(text, &[by(n, text), by(beside, text)], "prod", sequence);
            let may = chain.may_sign_bundle(key(n).public(), "prod", sequence);
            assert_eq!(may.is_ok(), read.is_ok(), "{n} {sequence}");
        }
    }
}
