//! Who may do what, changed as people ask for it: first versions, grants, thresholds, epochs.

use std::collections::BTreeSet;

use super::*;
use crate::{
    base::failure::Failure,
    trust::edit::{Grant, Threshold, roles},
};

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Key `n` for `holder`, valid for every sequence.
fn grant(n: usize, holder: &str, for_what: &str, channels: &[&str]) -> Grant {
    Grant {
        key: key(n).public().clone(),
        holder: holder.to_owned(),
        roles: roles(for_what).unwrap(),
        channels: names(channels),
        from_sequence: None,
        to_sequence: None,
    }
}

fn threshold(channel: Option<&str>, role: Role, holders: usize) -> Threshold {
    Threshold { channel: channel.map(str::to_owned), role, holders }
}

/// Why a change to the team's text is refused. What is refused changes nothing.
pub(super) fn refused<T: std::fmt::Debug>(change: impl FnOnce(&mut Text) -> Result<T>) -> Failure {
    let mut text = team(1);
    let failure = change(&mut text).unwrap_err();
    assert_eq!(text, team(1), "{failure}");
    assert_eq!(failure.reason, Reason::BadArgument, "{failure}");
    failure
}

/// The team's text after a change, which is a document.
fn changed(change: impl FnOnce(&mut Text) -> Result<()>) -> Text {
    let mut text = team(1);
    change(&mut text).unwrap();
    Document::new(text.clone()).unwrap();
    text
}

fn rules(text: &Text) -> (usize, Option<usize>, Option<usize>) {
    let rules = &text.channels["prod"];
    (rules.release, rules.approver, rules.r#override)
}

/// The names that commands take.
#[test]
fn roles_are_named_alone_or_together() {
    for role in Role::ALL {
        assert_eq!(roles(role.name()).unwrap(), [role].into());
    }
    for name in ["approver+override", "override+approver"] {
        assert_eq!(roles(name).unwrap(), [Role::Approver, Role::Override].into());
    }
    for name in ["", "boss", "Root", "root+", "+root", "root release"] {
        assert_eq!(reason(roles(name)), Reason::BadArgument, "{name}");
    }
}

/// A first version takes as many root holders as is sensible: all of one or two, else two of them.
#[test]
fn a_first_version_asks_for_two_root_holders_where_it_can() {
    let first = |holders: &[&str]| {
        let mut grants = vec![grant(8, "r", "release", &[]), grant(9, "s", "release", &[])];
        grants.extend(holders.iter().enumerate().map(|(n, holder)| grant(n, holder, "root", &[])));
        Text::first(&names(&["prod"]), &grants, &[])
    };
    for (holders, expected) in [
        (&["a"][..], 1),
        (&["a", "b"], 2),
        (&["a", "b", "c"], 2),
        (&["a", "b", "c", "d"], 2),
        (&["a", "a", "a"], 1),
    ] {
        let text = first(holders).unwrap();
        assert_eq!((text.version, text.root_threshold), (1, expected), "{holders:?}");
        Document::new(text).unwrap();
    }
    assert_eq!(reason(first(&[])), Reason::BadArgument);
}

/// Channels, keys and thresholds come together, thresholds last.
#[test]
fn a_first_version_holds_all_that_was_asked_for() {
    let grants = [
        grant(0, "alice", "root", &[]),
        grant(1, "bob", "root", &[]),
        grant(2, "carol", "root", &[]),
        grant(3, "dave", "release", &[]),
        grant(4, "erin", "release", &["prod"]),
        grant(5, "frank", "approver+override", &[]),
        grant(6, "grace", "override", &[]),
        grant(7, "site", "importer", &[]),
    ];
    let thresholds = [threshold(None, Role::Root, 3), threshold(Some("prod"), Role::Release, 2)];
    let text = Text::first(&names(&["dev", "prod"]), &grants, &thresholds).unwrap();
    assert_eq!((text.root_threshold, rules(&text)), (3, (2, Some(1), Some(2))));
    let dev = ChannelRules { epoch: 1, release: 1, approver: Some(1), r#override: Some(2) };
    assert_eq!(text.channels["dev"], dev);
    let of = |n: usize| text.keys.iter().find(|record| record.id == id(n)).unwrap();
    assert_eq!((of(3).channels.clone(), of(4).channels.clone()), (names(&["dev", "prod"]), names(&["prod"])));
    assert!(of(0).channels.is_empty() && of(7).channels.is_empty());
    Document::new(text).unwrap();
    for name in ["Prod", "", "a/b"] {
        assert_eq!(reason(Text::first(&names(&[name]), &grants, &[])), Reason::BadArgument, "{name}");
    }
    let unknown = [threshold(Some("prod"), Role::Release, 1)];
    assert_eq!(reason(Text::first(&names(&["dev"]), &grants[..3], &unknown)), Reason::BadArgument);
}

/// The next version is the same under the next number.
#[test]
fn the_next_version_counts_on() {
    let mut text = team(7).next();
    assert_eq!(text.version, 8);
    text.version = 7;
    assert_eq!(text, team(7));
}

/// A channel begins with one release holder; one that is there stays as it is.
#[test]
fn a_channel_is_opened_once() {
    let text = changed(|text| {
        text.channels.get_mut("prod").unwrap().epoch = 5;
        text.open_channel("prod")
    });
    assert_eq!((text.channels["prod"].epoch, rules(&text)), (5, (1, Some(1), Some(2))));
    let mut text = team(1);
    text.open_channel("dev").unwrap();
    let expected = ChannelRules { epoch: 1, release: 1, approver: None, r#override: None };
    assert_eq!(text.channels["dev"], expected);
    assert_eq!(text.channels["prod"], team(1).channels["prod"]);
    for name in ["", "Prod", "prod ", "../prod"] {
        assert_eq!(refused(|text| text.open_channel(name)).object, name);
    }
}

/// A key comes with its holder, its roles and its bounds; a channel asks for those whom it has now.
#[test]
fn a_key_is_granted() {
    let mut asked = grant(9, "heidi", "release", &[]);
    (asked.from_sequence, asked.to_sequence) = (Some(10), Some(20));
    let mut text = changed(|text| text.grant(&asked));
    let mut expected = held(9, "heidi", &[Role::Release]);
    (expected.from_sequence, expected.to_sequence) = (Some(10), Some(20));
    assert_eq!(*of(&mut text, 9), expected);
    assert_eq!((text.keys.len(), rules(&text)), (10, (1, Some(1), Some(2))));
    let mut text = changed(|text| text.grant(&grant(9, "heidi", "root", &[])));
    assert_eq!(*of(&mut text, 9), held(9, "heidi", &[Role::Root]));
    assert_eq!(text.root_threshold, 2);
}

/// Approvers and overrides are asked for from the first grant on that makes them possible, and a threshold that
/// stands is left alone.
#[test]
fn a_channel_asks_for_those_whom_it_has() {
    let mut text = roots(1, 2, &[0, 1, 2]);
    text.open_channel("prod").unwrap();
    text.open_channel("dev").unwrap();
    let steps = [
        (grant(3, "r", "release", &[]), (1, None, None)),
        (grant(4, "a", "override", &["prod"]), (1, None, None)),
        // two keys of one person are one
        (grant(5, "a", "override", &["prod"]), (1, None, None)),
        // and two people who may elsewhere are none here
        (grant(6, "x", "override", &["dev"]), (1, None, None)),
        (grant(7, "y", "override", &["dev"]), (1, None, None)),
        (grant(8, "b", "override", &["prod"]), (1, None, Some(2))),
        (grant(9, "c", "approver", &["prod"]), (1, Some(1), Some(2))),
    ];
    for (asked, expected) in steps {
        text.grant(&asked).unwrap();
        assert_eq!(rules(&text), expected, "{asked:?}");
    }
    assert_eq!(text.channels["dev"].r#override, Some(2));
    assert_eq!(text.channels["dev"].approver, None);
    Document::new(text.clone()).unwrap();
    // More that were asked for stay asked for.
    let prod = text.channels.get_mut("prod").unwrap();
    (prod.approver, prod.r#override) = (Some(2), Some(3));
    text.grant(&grant(10, "d", "approver+override", &[])).unwrap();
    assert_eq!(rules(&text), (1, Some(2), Some(3)));
    // A channel that was told to go without is not told otherwise by a key for something else.
    let prod = text.channels.get_mut("prod").unwrap();
    (prod.approver, prod.r#override) = (None, None);
    text.grant(&grant(11, "e", "release", &[])).unwrap();
    assert_eq!(rules(&text), (1, None, None));
}

/// A key that the holder has for the same roles gets channels and bounds besides, and keeps those that it has.
#[test]
fn a_key_gets_channels_besides() {
    let mut text = team(1);
    text.open_channel("dev").unwrap();
    of(&mut text, 3).from_sequence = Some(10);
    let mut more = grant(3, "h3", "release", &["dev"]);
    more.to_sequence = Some(20);
    text.grant(&more).unwrap();
    let record = of(&mut text, 3).clone();
    assert_eq!(record.channels, names(&["dev", "prod"]));
    assert_eq!((record.from_sequence, record.to_sequence), (Some(10), Some(20)));
    more = grant(3, "h3", "release", &["dev"]);
    more.from_sequence = Some(12);
    text.grant(&more).unwrap();
    assert_eq!((of(&mut text, 3).from_sequence, of(&mut text, 3).to_sequence), (Some(12), Some(20)));
    assert_eq!(text.keys.len(), team(1).keys.len());
    Document::new(text).unwrap();
    for (n, holder, for_what, has) in [
        (3, "h4", "release", "h3 has this key already, for release"),
        (3, "h3", "approver", "h3 has this key already, for release"),
        (6, "h6", "approver", "h6 has this key already, for approver and override"),
        (0, "h0", "root", "h0 has this key already, for root"),
        (8, "h8", "importer", "h8 has this key already, for importer"),
    ] {
        let failure = refused(|text| text.grant(&grant(n, holder, for_what, &[])));
        assert_eq!((failure.object.as_str(), failure.message.as_str()), (id(n), has));
    }
}

/// What cannot be granted, and what about it is wrong.
#[test]
fn what_cannot_be_is_not_granted() {
    for (asked, object) in [
        (grant(9, "Heidi", "root", &[]), "Heidi"),
        (grant(9, "", "root", &[]), ""),
        (grant(9, "heidi", "root", &["prod"]), "heidi"),
        (grant(9, "heidi", "importer", &["prod"]), "heidi"),
        (grant(9, "heidi", "release", &["dev"]), "dev"),
        (grant(9, "heidi", "release", &["dev", "prod"]), "dev"),
    ] {
        assert_eq!(refused(|text| text.grant(&asked)).object, object, "{asked:?}");
    }
    // A revoked key stays revoked; another one of the same holder is welcome.
    let mut text = team(1);
    revoke(&mut text, 3);
    let failure = text.grant(&grant(3, "h3", "release", &[])).unwrap_err();
    assert_eq!((failure.reason, failure.object.as_str()), (Reason::BadArgument, id(3)));
    assert!(failure.message.ends_with("laptop stolen"), "{failure}");
    text.grant(&grant(9, "h3", "release", &[])).unwrap();
    Document::new(text).unwrap();
}

/// Thresholds are set for one channel or for all; 0 takes a role away where a channel can be without.
#[test]
fn thresholds_are_set() {
    let two_channels = || {
        let mut text = team(1);
        text.channels.insert("dev".to_owned(), text.channels["prod"].clone());
        text
    };
    for (channel, role, holders, expected) in [
        (None, Role::Release, 2, (2, Some(1), Some(2))),
        (None, Role::Approver, 3, (1, Some(3), Some(2))),
        (None, Role::Approver, 0, (1, None, Some(2))),
        (None, Role::Override, 1, (1, Some(1), Some(1))),
        (None, Role::Override, 0, (1, Some(1), None)),
        (Some("prod"), Role::Release, 2, (2, Some(1), Some(2))),
        (Some("prod"), Role::Release, 0, (0, Some(1), Some(2))),
        (Some("prod"), Role::Approver, 1, (1, Some(1), Some(2))),
        (Some("prod"), Role::Override, 0, (1, Some(1), None)),
    ] {
        let mut text = two_channels();
        text.set_threshold(&threshold(channel, role, holders)).unwrap();
        assert_eq!(rules(&text), expected, "{channel:?} {role} {holders}");
        let other = if channel.is_some() { &team(1).channels["prod"] } else { &text.channels["prod"] };
        assert_eq!(text.channels["dev"], *other, "{channel:?} {role} {holders}");
        assert_eq!(text.root_threshold, 2);
    }
    let text = changed(|text| text.set_threshold(&threshold(None, Role::Root, 3)));
    assert_eq!((text.root_threshold, rules(&text)), (3, (1, Some(1), Some(2))));
    for (channel, role, object) in [
        (Some("dev"), Role::Release, "dev"),
        (Some("dev"), Role::Root, "root"),
        (Some("prod"), Role::Root, "root"),
        (None, Role::Importer, "importer"),
        (Some("prod"), Role::Importer, "importer"),
    ] {
        let failure = refused(|text| text.set_threshold(&threshold(channel, role, 1)));
        assert_eq!(failure.object, object);
    }
}

/// An epoch only rises.
#[test]
fn an_epoch_rises() {
    let raised = |from: u64, to: Option<u64>| {
        let mut text = team(1);
        text.channels.get_mut("prod").unwrap().epoch = from;
        text.raise_epoch("prod", to).map(|()| text.channels["prod"].epoch)
    };
    for (from, to, expected) in [
        (1, None, 2),
        (5, None, 6),
        (5, Some(6), 6),
        (5, Some(u64::MAX), u64::MAX),
        (u64::MAX - 1, None, u64::MAX),
    ] {
        assert_eq!(raised(from, to).unwrap(), expected, "{from} {to:?}");
    }
    for (from, to) in [(5, Some(5)), (5, Some(4)), (5, Some(0)), (u64::MAX, None)] {
        assert_eq!(reason(raised(from, to)), Reason::BadArgument, "{from} {to:?}");
    }
    refused(|text| text.raise_epoch("prod", Some(1)));
    assert_eq!(refused(|text| text.raise_epoch("dev", None)).object, "dev");
}
