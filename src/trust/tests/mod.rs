//! The trust core against the cases that have gone wrong elsewhere: what the TUF specification (1.0, 5.3 to 5.7)
//! demands of a client, the groups root, threshold, keys, rotation and rollback of its conformance suite, and
//! the rows T03 to T34 of `docs/threats.md`, in our words and for our documents.

mod counting;
mod difference;
mod documents;
mod drafts;
mod edit;
mod keys;
mod memory;
mod orders;
mod removal;
mod rotation;
mod sequences;
mod signers;

use std::sync::LazyLock;

use super::{
    Algorithm, Chain, Document, Note, PrivateKey, Role, Signature,
    document::{ChannelRules, KeyRecord, Revocation, Text},
};
use crate::base::failure::{Reason, Result};

/// Keys by number, every second one P-256. Made once: key `n` is the same everywhere in a run.
static KEYS: LazyLock<Vec<PrivateKey>> = LazyLock::new(|| {
    let algorithm = |n: usize| if n.is_multiple_of(2) { Algorithm::Ed25519 } else { Algorithm::EcdsaP256 };
    (0..16).map(|n| PrivateKey::generate(algorithm(n)).unwrap()).collect()
});

fn key(n: usize) -> &'static PrivateKey {
    &KEYS[n]
}

fn id(n: usize) -> &'static str {
    key(n).public().key_id()
}

/// Key `n` in the hands of `hN`.
fn record(n: usize, role: Role) -> KeyRecord {
    held(n, &format!("h{n}"), &[role])
}

fn held(n: usize, holder: &str, roles: &[Role]) -> KeyRecord {
    let channels = roles.iter().any(|role| role.is_of_channels()).then(|| "prod".to_owned());
    KeyRecord::new(key(n).public(), holder, roles.iter().copied(), channels).unwrap()
}

/// A version with these root keys and no channel.
fn roots(version: u64, threshold: usize, keys: &[usize]) -> Text {
    let mut text = Text::new(threshold);
    text.version = version;
    for n in keys {
        text.add(record(*n, Role::Root)).unwrap();
    }
    text
}

/// A version as a team has it: root keys 0 to 2 (2 of 3), release 3 and 4, approver 5, approver and override 6
/// and 7, importer 8, for the channel `prod`.
fn team(version: u64) -> Text {
    let mut text = roots(version, 2, &[0, 1, 2]);
    let rules = ChannelRules { epoch: 1, release: 1, approver: Some(1), r#override: Some(2) };
    text.channels.insert("prod".to_owned(), rules);
    for record in [
        record(3, Role::Release),
        record(4, Role::Release),
        record(5, Role::Approver),
        held(6, "h6", &[Role::Approver, Role::Override]),
        held(7, "h7", &[Role::Approver, Role::Override]),
        record(8, Role::Importer),
    ] {
        text.add(record).unwrap();
    }
    text
}

/// The record of key `n` in a text, to bend it.
fn of(text: &mut Text, n: usize) -> &mut KeyRecord {
    text.keys.iter_mut().find(|record| record.id == id(n)).unwrap()
}

/// Takes key `n` out for good.
fn revoke(text: &mut Text, n: usize) {
    text.keys.retain(|record| record.id != id(n));
    let (id, holder, reason) = (id(n).to_owned(), format!("h{n}"), "laptop stolen".to_owned());
    text.revoked.push(Revocation { id, holder, reason, since_sequence: None });
    text.revoked.sort_by(|a, b| a.id.cmp(&b.id));
}

/// The file of a text with the signatures of these keys.
fn sealed(text: &Text, signers: &[usize]) -> Vec<u8> {
    let mut note = Note::new(text).unwrap();
    for n in signers {
        note.sign(key(*n)).unwrap();
    }
    note.to_bytes()
}

/// A chain that begins with `text`, signed by the keys 0 and 1.
fn begun(text: &Text) -> Chain {
    Chain::begin(&sealed(text, &[0, 1])).unwrap()
}

/// The signature of key `n`, under its own id.
fn by(n: usize, message: &[u8]) -> Signature {
    Signature { key_id: id(n).to_owned(), bytes: key(n).sign(message) }
}

fn reason<T: std::fmt::Debug>(result: Result<T>) -> Reason {
    result.unwrap_err().reason
}

/// The team's document is one that everybody accepts, so that what the tests bend is what is refused.
#[test]
fn the_team_is_in_order() {
    assert_eq!(Document::new(team(1)).unwrap().version(), 1);
    assert_eq!(begun(&team(7)).version(), 7);
}
