//! Keys that are taken out of a trust document, replaced, or revoked.

use std::collections::BTreeSet;

use super::{edit::refused, *};

/// A key goes by its id, all keys of somebody by the name.
#[test]
fn keys_are_taken_out() {
    let mut doubled = team(1);
    of(&mut doubled, 4).holder = "h3".to_owned();
    for (who, gone) in [(id(3), &[3][..]), (id(4), &[4]), ("h3", &[3, 4]), ("h8", &[8])] {
        let mut text = doubled.clone();
        let removed: BTreeSet<String> = text.remove(who).unwrap().into_iter().map(|one| one.id).collect();
        assert_eq!(removed, gone.iter().map(|n| id(*n).to_owned()).collect(), "{who}");
        let mut expected = doubled.clone();
        expected.keys.retain(|record| !removed.contains(&record.id));
        assert_eq!(text, expected);
        assert_eq!(text.keys.len(), doubled.keys.len() - gone.len());
    }
    for who in ["", "h9", id(9), "H3", "prod"] {
        let failure = refused(|text| text.remove(who));
        assert_eq!(failure.object, who);
        assert!(failure.hint.unwrap().ends_with("h0, h1, h2, h3, h4, h5, h6, h7, h8"));
    }
}

/// A new key stands in the place of the old one, with all that the old one had.
#[test]
fn a_key_is_rotated() {
    let (mut text, mut expected) = (team(1), team(1));
    of(&mut text, 3).from_sequence = Some(10);
    of(&mut text, 3).to_sequence = Some(99);
    assert_eq!(text.rotate("h3", key(9).public().clone()).unwrap(), id(3));
    let mut record = held(9, "h3", &[Role::Release]);
    (record.from_sequence, record.to_sequence) = (Some(10), Some(99));
    expected.keys.retain(|record| record.id != id(3));
    expected.add(record).unwrap();
    assert_eq!(text, expected);
    assert_eq!(text.rotate(id(6), key(11).public().clone()).unwrap(), id(6));
    assert_eq!(*of(&mut text, 11), held(11, "h6", &[Role::Approver, Role::Override]));
    Document::new(text).unwrap();
    refused(|text| text.rotate("h9", key(9).public().clone()));
    let mut doubled = team(1);
    of(&mut doubled, 4).holder = "h3".to_owned();
    let failure = doubled.clone().rotate("h3", key(9).public().clone()).unwrap_err();
    assert_eq!((failure.reason, failure.object.as_str()), (Reason::BadArgument, "h3"));
    assert!(failure.message.contains(id(3)) && failure.message.contains(id(4)), "{failure}");
    assert_eq!(doubled.rotate(id(3), key(9).public().clone()).unwrap(), id(3));
}

/// Revoked keys are out and on the list, sorted, with why and since when.
#[test]
fn keys_are_revoked() {
    for (who, since, gone) in [(id(3), Some(17), &[3][..]), ("h3", None, &[3, 4])] {
        let mut text = team(1);
        of(&mut text, 4).holder = "h3".to_owned();
        text.revoke(who, "laptop stolen", since, None).unwrap();
        let mut expected = team(1);
        of(&mut expected, 4).holder = "h3".to_owned();
        for n in gone {
            revoke(&mut expected, *n);
        }
        for revoked in &mut expected.revoked {
            (revoked.holder, revoked.since_sequence) = ("h3".to_owned(), since);
        }
        assert_eq!(text, expected, "{who}");
    }
    let mut text = team(1);
    for n in [8, 3, 4, 0] {
        text.revoke(id(n), "lost", None, None).unwrap();
    }
    let mut sorted = [0, 3, 4, 8].map(id);
    sorted.sort_unstable();
    assert_eq!(text.revoked.iter().map(|revoked| revoked.id.as_str()).collect::<Vec<_>>(), sorted);
    for why in ["", " ", "two\nlines"] {
        assert_eq!(refused(|text| text.revoke("h3", why, None, None)).object, "--reason");
    }
    for who in ["", "h9", id(9)] {
        assert!(refused(|text| text.revoke(who, "lost", None, None)).hint.is_some(), "{who}");
    }
}

/// A key that an earlier version had, and the newest no longer lists, can still be revoked.
#[test]
fn keys_that_are_gone_are_revoked() {
    let mut second = team(2);
    second.keys.retain(|record| record.id != id(8));
    let mut chain = begun(&team(1));
    chain.extend(&sealed(&second, &[0, 1])).unwrap();
    for who in [id(8), "h8"] {
        let mut text = second.next();
        assert_eq!(reason(text.revoke(who, "lost", None, None)), Reason::BadArgument);
        text.revoke(who, "lost", None, Some(&chain)).unwrap();
        let [revoked] = &text.revoked[..] else { panic!("{who}") };
        assert_eq!((revoked.id.as_str(), revoked.holder.as_str()), (id(8), "h8"));
        assert_eq!(text.keys, second.keys);
        Document::new(text).unwrap();
    }
}

/// What is revoked already is told from what was never known, and revoking the rest of somebody's keys leaves
/// it alone.
#[test]
fn nothing_is_revoked_twice() {
    let mut text = team(1);
    of(&mut text, 4).holder = "h3".to_owned();
    let chain = begun(&text);
    text.revoke(id(3), "laptop stolen", Some(17), None).unwrap();
    let known = text.clone();
    let again = |who: &str| {
        let mut text = known.clone();
        text.revoke(who, "lost", None, Some(&chain)).map(|()| text)
    };
    let done = again(id(3)).unwrap_err();
    assert!(done.reason == Reason::BadArgument && done.message.contains("revoked already"), "{done}");
    let rest = again("h3").unwrap();
    assert_eq!(rest.revoked.len(), 2);
    assert!(rest.revoked.contains(&known.revoked[0]));
    let other = rest.revoked.iter().find(|revoked| revoked.id == id(4)).unwrap();
    assert_eq!((other.reason.as_str(), other.since_sequence), ("lost", None));
    let all = rest.clone().revoke("h3", "lost", None, Some(&chain)).unwrap_err();
    assert!(all.message.contains("revoked already"), "{all}");
    for who in ["h9", id(9)] {
        let unknown = again(who).unwrap_err();
        assert!(unknown.message.starts_with("no key has"), "{unknown}");
    }
}
