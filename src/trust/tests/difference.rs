//! What people read before they sign a trust document.

use super::*;
use crate::trust::difference;

fn rules(text: &mut Text) -> &mut ChannelRules {
    text.channels.get_mut("prod").unwrap()
}

/// Key `n` of the team in words; `for_what` is its role and what else is said of it.
fn told(n: usize, for_what: &str) -> String {
    format!("{} of h{n}, {for_what}, {}", id(n), key(n).public().algorithm().name())
}

type Bend = fn(&mut Text);

/// Whatever a version changes is told, in both directions, and nothing else is.
#[test]
fn every_change_is_told() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>();
    let release = told(3, "release of prod");
    let changes: Vec<(Bend, Vec<String>, Vec<String>)> = vec![
        (|_| (), vec![], vec![]),
        (|text| text.version = 2, vec![], vec![]),
        (
            |text| text.root_threshold = 3,
            lines(&["root holders needed: 2 -> 3"]),
            lines(&["root holders needed: 3 -> 2"]),
        ),
        (
            |text| rules(text).epoch = 2,
            lines(&["channel prod begins anew: epoch 1 -> 2, bundles of others are refused"]),
            lines(&["channel prod begins anew: epoch 2 -> 1, bundles of others are refused"]),
        ),
        (
            |text| {
                (rules(text).release, rules(text).approver, rules(text).r#override) = (2, None, Some(3));
            },
            lines(&[
                "release holders needed in prod: 1 -> 2",
                "approver holders needed in prod: 1 -> 0",
                "override holders needed in prod: 2 -> 3",
            ]),
            lines(&[
                "release holders needed in prod: 2 -> 1",
                "approver holders needed in prod: 0 -> 1",
                "override holders needed in prod: 3 -> 2",
            ]),
        ),
        (
            |text| rules(text).approver = Some(3),
            lines(&["approver holders needed in prod: 1 -> 3"]),
            lines(&["approver holders needed in prod: 3 -> 1"]),
        ),
        (
            |text| {
                let rules = ChannelRules { epoch: 4, release: 2, approver: None, r#override: None };
                text.channels.insert("dev".to_owned(), rules);
            },
            lines(&["channel dev added: epoch 4, 2 release, no approver, no override"]),
            lines(&["channel dev removed"]),
        ),
        (
            |text| text.channels.clear(),
            lines(&["channel prod removed"]),
            lines(&["channel prod added: epoch 1, 1 release, 1 approver, 2 override"]),
        ),
        (
            |text| text.keys.retain(|record| record.id != id(3)),
            vec![format!("key removed: {release}")],
            vec![format!("key added: {release}")],
        ),
        (
            |text| text.add(held(9, "h9", &[Role::Approver, Role::Override])).unwrap(),
            vec![format!("key added: {}", told(9, "approver and override of prod"))],
            vec![format!("key removed: {}", told(9, "approver and override of prod"))],
        ),
        (
            |text| (of(text, 3).from_sequence, of(text, 3).to_sequence) = (Some(10), Some(20)),
            vec![format!("key changed: {}, was {release}", told(3, "release of prod, sequences 10 to 20"))],
            vec![format!("key changed: {release}, was {}", told(3, "release of prod, sequences 10 to 20"))],
        ),
        (
            |text| assert!(of(text, 3).channels.insert("dev".to_owned())),
            vec![format!("key changed: {}, was {release}", told(3, "release of dev, prod"))],
            vec![format!("key changed: {release}, was {}", told(3, "release of dev, prod"))],
        ),
        // A key that is revoked is told once. Backwards it is a version that no chain takes, and is told all the
        // same.
        (
            |text| revoke(text, 3),
            vec![format!("key revoked: {} of h3: laptop stolen", id(3))],
            vec![format!("key added: {release}"), format!("revocation taken back: {} of h3", id(3))],
        ),
        (
            |text| {
                revoke(text, 12);
                text.revoked[0].since_sequence = Some(17);
            },
            vec![format!("key revoked: {} of h12: laptop stolen; in doubt since sequence 17", id(12))],
            vec![format!("revocation taken back: {} of h12", id(12))],
        ),
    ];
    for (bend, forth, back) in changes {
        let (old, mut new) = (team(1), team(1));
        bend(&mut new);
        assert_eq!(difference(&old, &new), forth);
        assert_eq!(difference(&new, &old), back);
        assert!(difference(&new, &new).is_empty(), "{forth:?}");
    }
}

/// One revocation more, beside one that stays, and one with other words.
#[test]
fn revocations_are_told_one_by_one() {
    let mut old = team(1);
    revoke(&mut old, 3);
    let mut new = old.clone();
    revoke(&mut new, 12);
    revoke(&mut new, 11);
    new.keys.retain(|record| record.id != id(8));
    let expected = [
        format!("key removed: {}", told(8, "importer")),
        format!("key revoked: {} of h11: laptop stolen", id(11)),
        format!("key revoked: {} of h12: laptop stolen", id(12)),
    ];
    assert_eq!(difference(&old, &new), expected);
    let mut other = old.clone();
    other.revoked[0].reason = "left the company".to_owned();
    assert_eq!(difference(&old, &other), [format!("key revoked: {} of h3: left the company", id(3))]);
}

/// Lists are in the order in which people look: roles, then holders, whatever the ids are.
#[test]
fn keys_are_listed_by_role_and_holder() {
    let text = team(1);
    let holders: Vec<&str> = text.by_role().iter().map(|record| record.holder.as_str()).collect();
    assert_eq!(holders, ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"]);
    let added: Vec<String> =
        text.by_role().iter().map(|record| format!("key added: {}", record.told())).collect();
    let mut empty = team(1);
    empty.keys.clear();
    assert_eq!(difference(&empty, &text), added);
    let mut text = team(1);
    for n in [8, 3, 5] {
        revoke(&mut text, n);
    }
    let ids: Vec<&str> = text.revoked_by_holder().iter().map(|revoked| revoked.id.as_str()).collect();
    assert_eq!(ids, [id(3), id(5), id(8)]);
}

/// The bounds of a key in words.
#[test]
fn bounds_are_told() {
    for (from, to, expected) in [
        (None, None, None),
        (Some(10), None, Some("from 10")),
        (None, Some(20), Some("to 20")),
        (Some(10), Some(20), Some("10 to 20")),
    ] {
        let mut record = record(3, Role::Release);
        (record.from_sequence, record.to_sequence) = (from, to);
        assert_eq!(record.sequences().as_deref(), expected);
    }
}
