//! What a trust document may say.

use super::*;
use crate::{
    base::limits,
    trust::{
        document::{KIND, file_name, version_of},
        is_key_id,
    },
};

/// What happens to the team's document with a change to its text.
fn bent(bend: impl FnOnce(&mut Text)) -> Result<Document> {
    let mut text = team(1);
    bend(&mut text);
    Document::new(text)
}

fn rules(text: &mut Text) -> &mut ChannelRules {
    text.channels.get_mut("prod").unwrap()
}

type Bend = fn(&mut Text);

/// T04: nothing that nobody, or everybody, could meet.
#[test]
fn thresholds_are_at_least_one_and_can_be_met() {
    let wrong: [(&str, Bend); 16] = [
        ("root 0", |text| text.root_threshold = 0),
        ("root 4 of 3", |text| text.root_threshold = 4),
        ("root huge", |text| text.root_threshold = usize::MAX),
        ("release 0", |text| rules(text).release = 0),
        ("release 3 of 2", |text| rules(text).release = 3),
        ("release huge", |text| rules(text).release = usize::MAX),
        ("approver 0", |text| rules(text).approver = Some(0)),
        ("approver 4 of 3", |text| rules(text).approver = Some(4)),
        ("approver huge", |text| rules(text).approver = Some(usize::MAX)),
        ("override 0", |text| rules(text).r#override = Some(0)),
        ("override by one", |text| rules(text).r#override = Some(1)),
        ("override 3 of 2", |text| rules(text).r#override = Some(3)),
        ("no root key", |text| text.keys.retain(|key| !key.roles.contains(&Role::Root))),
        ("no release key", |text| text.keys.retain(|key| !key.roles.contains(&Role::Release))),
        ("two root keys, one holder", |text| {
            text.keys.retain(|key| key.id != id(2));
            of(text, 1).holder = "h0".to_owned();
        }),
        // Each rule alone could be met, both together not: one person would have to count twice.
        ("release and approver by the same two", |text| {
            (rules(text).release, rules(text).approver) = (2, Some(2));
            for (n, holder) in [(3, "alice"), (4, "bob"), (5, "alice"), (6, "bob"), (7, "bob")] {
                of(text, n).holder = holder.to_owned();
            }
            rules(text).r#override = None;
            for n in [6, 7] {
                assert!(of(text, n).roles.remove(&Role::Override));
            }
        }),
    ];
    for (name, bend) in wrong {
        let failure = bent(bend).unwrap_err();
        assert_eq!(failure.reason, Reason::TrustMalformed, "{name}");
        assert_eq!(failure.reason.class().code(), 7, "{name}");
    }
    let good: [(&str, Bend); 6] = [
        ("root 3 of 3", |text| text.root_threshold = 3),
        ("release 2 of 2", |text| rules(text).release = 2),
        ("approver 3 of 3", |text| rules(text).approver = Some(3)),
        ("nobody approves", |text| rules(text).approver = None),
        ("nothing is overridden", |text| rules(text).r#override = None),
        // Alice releases and approves: with bob there are two people for two places.
        ("holders in both roles", |text| {
            for (n, holder) in [(3, "alice"), (4, "bob"), (5, "alice"), (6, "bob")] {
                of(text, n).holder = holder.to_owned();
            }
        }),
    ];
    for (name, bend) in good {
        bent(bend).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

/// T04 where numbers are text: what is no whole number, or too large for one, is no document.
#[test]
fn numbers_are_whole_and_not_negative() {
    let good = String::from_utf8(sealed(&team(1), &[])).unwrap();
    for (from, to) in [
        ("\"root_threshold\": 2", "\"root_threshold\": -2"),
        ("\"root_threshold\": 2", "\"root_threshold\": 2.0"),
        ("\"root_threshold\": 2", "\"root_threshold\": 2e0"),
        ("\"root_threshold\": 2", "\"root_threshold\": \"2\""),
        ("\"root_threshold\": 2", "\"root_threshold\": 18446744073709551616"),
        ("\"root_threshold\": 2", "\"root_threshold\": null"),
        ("\"release\": 1", "\"release\": -1"),
        ("\"approver\": 1", "\"approver\": null"),
        ("\"epoch\": 1", "\"epoch\": -1"),
        ("\"version\": 1", "\"version\": 01"),
        ("  \"version\": 1,\n", ""),
        ("\"version\": 1", "\"version\": 1,\n  \"expires\": \"never\""),
        ("\"version\": 1", "\"version\": 1,\n  \"version\": 1"),
        ("\"roles\": [\n        \"root\"", "\"roles\": [\n        \"root\",\n        \"root\""),
        ("\"root\"", "\"Root\""),
        ("\"root\"", "\"targets\""),
        ("\"root\"", "\"../root\""),
        ("\"root\"", "\"\""),
    ] {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good, "{from}");
        let read = Document::read(&Note::parse(wrong.as_bytes()).unwrap());
        assert_eq!(reason(read), Reason::NoteMalformed, "{to}");
    }
    assert!(Document::read(&Note::parse(good.as_bytes()).unwrap()).is_ok());
}

/// T08, T09, T10: a key is what its record says, in the one form.
#[test]
fn keys_are_what_their_records_say() {
    let malformed: [(&str, Bend); 9] = [
        ("the id of another", |text| of(text, 3).id = id(9).to_owned()),
        ("an id in capitals", |text| of(text, 3).id = id(3).to_uppercase()),
        ("half an id", |text| of(text, 3).id.truncate(16)),
        ("the key of another", |text| of(text, 3).public_key = key(9).public().to_pem().unwrap()),
        ("another algorithm", |text| of(text, 3).algorithm = "ed25519".to_owned()),
        ("another algorithm", |text| of(text, 4).algorithm = "ecdsa-p256".to_owned()),
        ("no algorithm", |text| of(text, 3).algorithm = "none".to_owned()),
        ("prehashed", |text| of(text, 4).algorithm = "ed25519ph".to_owned()),
        ("a line feed more", |text| of(text, 3).public_key.push('\n')),
    ];
    let sorted = |text: &mut Text| text.keys.sort_by(|a, b| a.id.cmp(&b.id));
    for (name, bend) in malformed {
        let outcome = bent(|text| {
            bend(text);
            sorted(text);
        });
        assert_eq!(reason(outcome), Reason::TrustMalformed, "{name}");
    }
    let bad_key: [(&str, Bend, Reason); 3] = [
        ("garbage", |text| of(text, 3).public_key = "garbage".to_owned(), Reason::KeyFormat),
        (
            "a private key",
            |text| of(text, 3).public_key = key(3).to_pem(None).unwrap().reveal().to_owned(),
            Reason::KeyFormat,
        ),
        (
            "the identity, for which any signature holds",
            |text| {
                of(text, 4).public_key = "-----BEGIN PUBLIC KEY-----\n\
                    MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
                    -----END PUBLIC KEY-----\n"
                    .to_owned();
            },
            Reason::WeakKey,
        ),
    ];
    for (name, bend, expected) in bad_key {
        let failure = bent(bend).unwrap_err();
        assert_eq!(failure.reason, expected, "{name}");
        assert!(failure.object.starts_with("key "), "{failure}");
    }
}

/// T03: a key stands once, under one id.
#[test]
fn keys_stand_once_and_sorted() {
    let twice = bent(|text| {
        let copy = of(text, 3).clone();
        text.keys.push(copy);
        text.keys.sort_by(|a, b| a.id.cmp(&b.id));
    });
    assert_eq!(reason(twice), Reason::TrustMalformed);
    assert_eq!(reason(bent(|text| text.keys.reverse())), Reason::TrustMalformed);
    assert_eq!(reason(team(1).add(record(3, Role::Release))), Reason::TrustMalformed);
    for doubled in [true, false] {
        let outcome = bent(|text| {
            revoke(text, 8);
            revoke(text, 9);
            let copy = text.revoked[1].clone();
            if doubled { text.revoked.push(copy) } else { text.revoked.reverse() }
        });
        assert_eq!(reason(outcome), Reason::TrustMalformed);
    }
}

/// T25, and the rules of roles: one that is stolen opens one door.
#[test]
fn a_key_has_one_role() {
    for roles in [
        &[][..],
        &[Role::Root, Role::Release],
        &[Role::Root, Role::Approver],
        &[Role::Root, Role::Importer],
        &[Role::Release, Role::Approver],
        &[Role::Release, Role::Override],
        &[Role::Release, Role::Importer],
        &[Role::Approver, Role::Importer],
        &[Role::Release, Role::Approver, Role::Override],
        &Role::ALL,
    ] {
        let outcome = bent(|text| of(text, 5).roles = roles.iter().copied().collect());
        assert_eq!(reason(outcome), Reason::TrustMalformed, "{roles:?}");
    }
    for roles in [&[Role::Approver, Role::Override][..], &[Role::Override], &[Role::Release]] {
        bent(|text| of(text, 5).roles = roles.iter().copied().collect()).unwrap();
    }
    let wrong: [(&str, Bend); 5] = [
        ("a root key of a channel", |text| assert!(of(text, 0).channels.insert("prod".to_owned()))),
        ("an importer key of a channel", |text| assert!(of(text, 8).channels.insert("prod".to_owned()))),
        ("a release key of no channel", |text| of(text, 4).channels.clear()),
        ("a channel that is not there", |text| assert!(of(text, 4).channels.insert("dev".to_owned()))),
        ("a channel in capitals", |text| assert!(of(text, 4).channels.insert("Prod".to_owned()))),
    ];
    for (name, bend) in wrong {
        assert_eq!(reason(bent(bend)), Reason::TrustMalformed, "{name}");
    }
}

/// Names that people type, in one spelling each.
#[test]
fn holders_and_channels_have_one_spelling() {
    let long = "a".repeat(64);
    for holder in ["a", "alice", "alice@example.com", "team-1_b.c+d", &long] {
        bent(|text| of(text, 8).holder = holder.to_owned()).unwrap();
    }
    let too_long = "a".repeat(65);
    for holder in ["", "Alice", "alice ", "al ice", "älice", "alice\n", "alice\u{0}", "a/b", &too_long] {
        let outcome = bent(|text| of(text, 8).holder = holder.to_owned());
        assert_eq!(reason(outcome), Reason::TrustMalformed, "{holder:?}");
    }
    let rename = |text: &mut Text, name: &str| {
        let rules = text.channels.remove("prod").unwrap();
        text.channels.insert(name.to_owned(), rules);
        for record in text.keys.iter_mut().filter(|record| !record.channels.is_empty()) {
            record.channels = [name.to_owned()].into();
        }
    };
    for name in ["prod", "prod-2.eu_west", &long] {
        bent(|text| rename(text, name)).unwrap();
    }
    for name in ["", "Prod", "prod/eu", "..", ".prod", "-prod", "prod ", "pröd", "con", &too_long] {
        assert_eq!(reason(bent(|text| rename(text, name))), Reason::TrustMalformed, "{name:?}");
    }
}

/// Both ends of a window count, and only what bundles are signed with has one.
#[test]
fn windows_of_sequences() {
    for (from, to) in [(None, Some(0)), (Some(7), Some(7)), (Some(0), Some(u64::MAX)), (Some(u64::MAX), None)]
    {
        bent(|text| (of(text, 3).from_sequence, of(text, 3).to_sequence) = (from, to)).unwrap();
        bent(|text| (of(text, 5).from_sequence, of(text, 5).to_sequence) = (from, to)).unwrap();
    }
    let backwards = bent(|text| (of(text, 3).from_sequence, of(text, 3).to_sequence) = (Some(8), Some(7)));
    assert_eq!(reason(backwards), Reason::TrustMalformed);
    // root, importer, and overrides: they name no sequence
    for n in [0, 8, 6] {
        assert_eq!(reason(bent(|text| of(text, n).from_sequence = Some(1))), Reason::TrustMalformed, "{n}");
        assert_eq!(reason(bent(|text| of(text, n).to_sequence = Some(9))), Reason::TrustMalformed, "{n}");
    }
}

/// Text of people in a signed document is one line, so that a reader's terminal stays a terminal.
#[test]
fn revocations_tell_who_and_why() {
    let long = "ü".repeat(400);
    for why in ["left the company", "ü", &long] {
        bent(|text| {
            revoke(text, 8);
            text.revoked[0].reason = why.to_owned();
        })
        .unwrap();
    }
    let too_long = "ü".repeat(401);
    for why in ["", " ", "two\nlines", "\u{1b}[2J", &too_long] {
        let outcome = bent(|text| {
            revoke(text, 8);
            text.revoked[0].reason = why.to_owned();
        });
        assert_eq!(reason(outcome), Reason::TrustMalformed, "{why:?}");
    }
    for (wrong_id, holder) in [("x", "h8"), (id(8), "H 8"), (&id(8).to_uppercase(), "h8"), ("", "h8")] {
        let outcome = bent(|text| {
            revoke(text, 8);
            (text.revoked[0].id, text.revoked[0].holder) = (wrong_id.to_owned(), holder.to_owned());
        });
        assert_eq!(reason(outcome), Reason::TrustMalformed, "{wrong_id:?} {holder}");
    }
    for (text, is) in [(id(3), true), ("", false), (&id(3)[1..], false), (&"g".repeat(32), false)] {
        assert_eq!(is_key_id(text), is, "{text}");
    }
}

/// T12, X13: 256 keys are a document, 257 are none; the same for those that are revoked.
#[test]
fn the_number_of_keys_is_bounded() {
    let most = limits::TRUST_KEYS;
    let many: Vec<PrivateKey> =
        (0..=most).map(|_| PrivateKey::generate(Algorithm::Ed25519).unwrap()).collect();
    let with = |count: usize| {
        let mut text = Text::new(1);
        for (n, key) in many[..count].iter().enumerate() {
            text.add(KeyRecord::new(key.public(), &format!("h{n}"), [Role::Root], None).unwrap()).unwrap();
        }
        text
    };
    let text = with(most);
    let mut note = Note::new(&text).unwrap();
    note.sign(&many[most - 1]).unwrap();
    assert_eq!(Chain::begin(&note.to_bytes()).unwrap().latest().keys().count(), most);
    assert_eq!(reason(Document::new(with(most + 1))), Reason::TrustMalformed);
    let revoked = |count: usize| {
        let one = |n: usize| Revocation {
            id: format!("{n:032x}"),
            holder: "somebody".to_owned(),
            reason: "lost".to_owned(),
            since_sequence: Some(1),
        };
        bent(|text| text.revoked = (0..count).map(one).collect())
    };
    revoked(most).unwrap();
    assert_eq!(reason(revoked(most + 1)), Reason::TrustMalformed);
}

/// T05: what is signed as one thing is never another.
#[test]
fn other_documents_are_no_trust_documents() {
    for kind in
        ["sealift beacon 1", "sealift override 1", "sealift trust 2", "sealift trust", "Sealift trust 1", ""]
    {
        let other = String::from_utf8(sealed(&team(1), &[])).unwrap().replacen(KIND, kind, 1);
        let mut note = Note::parse(other.as_bytes()).unwrap();
        note.sign(key(0)).unwrap();
        note.sign(key(1)).unwrap();
        assert_eq!(reason(Chain::begin(&note.to_bytes())), Reason::WrongType, "{kind}");
        let mut chain = begun(&team(1));
        let second = String::from_utf8(sealed(&team(2), &[])).unwrap().replacen(KIND, kind, 1);
        let mut note = Note::parse(second.as_bytes()).unwrap();
        note.sign(key(0)).unwrap();
        note.sign(key(1)).unwrap();
        assert_eq!(reason(chain.extend(&note.to_bytes())), Reason::WrongType, "{kind}");
    }
    // T06: signed by all who must, and no document at all.
    for body in
        ["hello\n", "{\n  \"type\": \"sealift trust 1\"\n}\n", "{\n  \"type\": \"sealift trust 1\",\n"]
    {
        let mut note = Note::parse(format!("{body}\n").as_bytes()).unwrap();
        note.sign(key(0)).unwrap();
        note.sign(key(1)).unwrap();
        let found = reason(begun(&team(1)).extend(&note.to_bytes()));
        assert_eq!(
            found,
            if body == "hello\n" { Reason::WrongType } else { Reason::NoteMalformed },
            "{body}"
        );
    }
}

/// Names of roles go there and back, and say which are of channels.
#[test]
fn roles_have_names() {
    for role in Role::ALL {
        assert_eq!(Role::parse(role.name()), Some(role));
        assert_eq!(role.to_string(), role.name());
        assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{}\"", role.name()));
    }
    assert_eq!(Role::parse("Root"), None);
    assert_eq!(Role::ALL.map(Role::is_of_channels), [false, true, true, true, false]);
}

/// A version has one name of a file: four digits, so that names sort as versions do.
#[test]
fn versions_have_names_of_files() {
    for (version, name) in [(1, "0001.trust"), (42, "0042.trust"), (9999, "9999.trust")] {
        assert_eq!(file_name(version), name);
        assert_eq!(version_of(name), Some(version));
    }
    for name in [
        "",
        "1.trust",
        "0000.trust",
        "10000.trust",
        "00001.trust",
        "+001.trust",
        "-001.trust",
        "0001.TRUST",
        "0001.trust ",
        "0001",
        "000a.trust",
        ".trust",
        "a/0001.trust",
    ] {
        assert_eq!(version_of(name), None, "{name}");
    }
}
