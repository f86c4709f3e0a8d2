//! One record, and how the next is added.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{audit::broken, deed::Deed};
use crate::{
    base::{
        clock::Timestamp,
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        limits,
        text::is_plain,
    },
    trust::{Effect, PublicKey, SignedBy, sequence::Warning},
};

/// Where a ledger ends: number and hash of its last record. Written `NUMBER HASH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Records up to here.
    pub number: u64,
    /// SHA-256 of the last line without its line feed; zeros for an empty ledger.
    #[serde(with = "hex")]
    pub hash: Digest,
}

impl Head {
    /// The head of an empty ledger.
    pub fn start() -> Result<Self> {
        let hash = Digest::from_hex(Algorithm::Sha256, &"0".repeat(64)).map_err(Failure::internal)?;
        Ok(Self { number: 0, hash })
    }

    /// The head of a ledger whose record `number` is `line`.
    pub fn of(number: u64, line: &str) -> Self {
        Self { number, hash: Digest::of(line.as_bytes()) }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.hash.hex())
    }
}

impl std::str::FromStr for Head {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            // `audit ledger` prints a word before it; people keep the whole line.
            let text = text.trim();
            let text = text.strip_prefix("head").map_or(text, str::trim_start);
            let (number, hash) = text.split_once(' ')?;
            let head =
                Self { number: number.parse().ok()?, hash: Digest::from_hex(Algorithm::Sha256, hash).ok()? };
            (head.to_string() == text).then_some(head)
        };
        parse().ok_or_else(|| {
            Failure::new(Reason::BadArgument, "head of a ledger", "expected one line `NUMBER SHA256`")
                .hint("give a receipt, or the line that `sealift audit ledger` printed")
        })
    }
}

/// A hash as 64 hex digits, without the algorithm before it: stock tools print it so.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{Algorithm, Digest};

    pub(super) fn serialize<S: Serializer>(hash: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hash.hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::from_hex(Algorithm::Sha256, &text).map_err(D::Error::custom)
    }
}

/// Text that came from outside: at most 200 characters, the rest is cut.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(String);

/// Characters of a [`Text`].
const TEXT: usize = 200;

impl Text {
    /// `text`, as far as it goes.
    pub fn new(text: &str) -> Self {
        if text.chars().count() <= TEXT {
            return Self(text.to_owned());
        }
        Self(text.chars().take(TEXT - 1).chain(['…']).collect())
    }

    /// The text. It may hold anything: escape it before it is shown.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl TryFrom<String> for Text {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.chars().count() > TEXT {
            return Err("a text of more than 200 characters");
        }
        Ok(Self(text))
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A bundle was imported.
    Import {
        /// Digest of its `SHA256SUMS`.
        bundle: Digest,
        /// Channel.
        channel: Text,
        /// Epoch of the channel.
        epoch: u64,
        /// Place in the channel.
        sequence: u64,
        /// `home`, or the registry.
        destination: Text,
        /// Digest of the whole report.
        report: Digest,
        /// Digest of the signed receipt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Digest>,
        /// Whose signatures counted.
        signers: Vec<SignedBy>,
        /// What was no reason to refuse.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Warning>,
        /// Overrides that it took.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        overrides: Vec<Digest>,
    },
    /// Something was refused.
    Refusal {
        /// What was to be done: `import`, `trust accept`.
        action: Text,
        /// Digest of the bundle's `SHA256SUMS`, as far as it could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bundle: Option<Digest>,
        /// Stable reason.
        reason: Text,
        /// Exit code.
        code: u8,
        /// What it happened to.
        object: Text,
        /// What was expected and what was found.
        message: Text,
        /// Digest of the signed receipt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Digest>,
    },
    /// Another trust document holds from now on.
    Trust {
        /// Its version.
        version: u64,
        /// Its fingerprint.
        fingerprint: Digest,
        /// How it came to hold.
        action: TrustAction,
        /// Keys that it revokes and that signed bundles imported here: those are in doubt.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        in_doubt: Vec<Text>,
    },
    /// The state of the site was lost; it goes on from a receipt, and this ledger from another.
    Reseeded {
        /// Digest of the last receipt of before.
        receipt: Digest,
        /// Where the ledger of before stood when that was written.
        ledger: Head,
    },
    /// An override came, or was used up.
    Override {
        /// Its fingerprint.
        id: Digest,
        /// The bundle that it admits.
        bundle: Digest,
        /// The rule that it lifts.
        effect: Effect,
        /// Which of the two.
        action: OverrideAction,
    },
    /// A beacon told of the newest bundle.
    Beacon {
        /// Channel.
        channel: Text,
        /// Epoch.
        epoch: u64,
        /// Sequence of the newest.
        sequence: u64,
        /// Digest of its `SHA256SUMS`.
        bundle: Digest,
    },
    /// A channel froze: two bundles of one sequence were seen.
    Frozen {
        /// Channel.
        channel: Text,
        /// Epoch.
        epoch: u64,
        /// The sequence.
        sequence: u64,
        /// Both.
        bundles: [Digest; 2],
    },
    /// Settings of the site changed.
    Settings {
        /// Name and new value of those that did.
        changed: BTreeMap<Text, Text>,
    },
    /// Other rules of the registry came into force.
    Rules {
        /// Raised with each.
        version: u64,
        /// Digest of their text.
        digest: Digest,
        /// Digest of the text of before; absent for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Digest>,
        /// Who set them: an account, or a user of the machine.
        by: Text,
    },
    /// An account of the registry was made, changed or taken away.
    Account {
        /// Its name.
        account: Text,
        /// Which of these.
        action: AccountAction,
        /// Name and new value of what changed; of `group NAME` and `certificate IDENTITY`, whether it was `added` or
        /// `removed`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        changed: BTreeMap<Text, Text>,
        /// The account that had it done; absent for a command of this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Text>,
    },
    /// A key of the site was made or found, used for something else than this ledger and its receipts, or replaced.
    Key {
        /// Its id; of the new one, where one is replaced.
        key_id: Text,
        /// `importer`, `image-signing`.
        purpose: Text,
        /// Which of these.
        action: KeyAction,
        /// The public key in PEM, where it is new.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
        /// Id of the key that it replaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Text>,
    },
    /// Something was done in the registry of the site, or refused.
    Registry(Deed),
    /// An operator took away, mended, copied or put back something of the store.
    Upkeep {
        /// What was done.
        action: UpkeepAction,
        /// An account, or `local` for a command of this machine.
        who: Text,
        /// Digest of the plan that was carried out; of a backup and a restore, of what the backup says is in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<Digest>,
        /// Manifests that were taken away, copied or put back.
        manifests: u64,
        /// Contents that were taken off the disk, copied or put back; of a repair, also blobs that left a repository.
        contents: u64,
        /// Bytes of those that were taken off the disk, are in the backup, or were put back.
        bytes: u64,
    },
    /// The site signed the ledger up to the record before this one.
    Checkpoint {
        /// Name of the site.
        site: Text,
        /// Number of the record before.
        signed: u64,
        /// Its hash.
        #[serde(with = "hex")]
        hash: Digest,
        /// Which key signed.
        key_id: Text,
        /// The signature over [`super::signed_text`], base64.
        signature: String,
    },
}

/// How a trust document came to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustAction {
    /// The first: somebody pinned it.
    Pinned,
    /// It follows the one before.
    Accepted,
    /// The site's state was lost and begins again with it.
    Reseeded,
}

/// What became of an override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverrideAction {
    /// It waits for its bundle.
    Accepted,
    /// It is used up.
    Used,
}

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountAction {
    /// It was made.
    Created,
    /// It is something else from now on.
    Changed,
    /// It got another password, and nothing that was given for the one before holds any longer.
    Secret,
    /// It is gone.
    Removed,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAction {
    /// Made, or given, and used from now on.
    Created,
    /// Used from now on, in a home where contents and a key lay before there was a ledger: that of before is lost.
    Found,
    /// It signed something.
    Used,
    /// It takes the place of another from the next checkpoint on.
    Replaced,
}

/// What an operator does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpkeepAction {
    /// What a reviewed plan listed, and nothing needed, was taken away.
    Prune,
    /// Damaged copies were removed, and the database brought into line with the disk.
    Repair,
    /// A copy of the whole home was made.
    Backup,
    /// The home was made of such a copy: what this ledger told after the record before is lost.
    Restore,
}

/// A record with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1.
    pub number: u64,
    /// SHA-256 of the line before without its line feed; zeros for the first.
    #[serde(with = "hex")]
    pub previous: Digest,
    /// When, by the system clock.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

impl Record {
    /// Reads a line.
    ///
    /// # Errors
    /// [`Reason::LedgerMalformed`] for everything but the one form that we print: unknown, doubled and missing
    /// members, blanks, other escapes, over a limit.
    pub fn parse(line: &str) -> Result<Self> {
        let wrong = |message: String| {
            Failure::new(Reason::LedgerMalformed, "record", message).hint(
                "the line was damaged or written by something else; compare it with a copy of the ledger",
            )
        };
        if line.len() > limits::LEDGER_LINE_BYTES {
            return Err(wrong(format!("a line has more than {} bytes", limits::LEDGER_LINE_BYTES)));
        }
        let record: Self = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if record.line()? != line {
            return Err(wrong("it is not in the one form that sealift prints".to_owned()));
        }
        Ok(record)
    }

    /// The key that it names with its public half.
    ///
    /// # Errors
    /// [`Reason::LedgerCheckpoint`] where that is not the key whose id stands beside it.
    pub fn named_key(&self) -> Result<Option<PublicKey>> {
        let Event::Key { key_id, public_key: Some(pem), .. } = &self.event else { return Ok(None) };
        let key = PublicKey::from_pem(pem).ok().filter(|key| key_id.is(key.key_id()));
        key.map(Some).ok_or_else(|| {
            let message = format!("key {} is not the public key beside it", key_id.get());
            broken(self.number, message)
        })
    }

    /// The record as a line, without a line feed: only letters that are shown as themselves, the others as
    /// JSON escapes (R21).
    pub fn line(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(Failure::internal)?;
        // The JSON printer escapes control characters but this one; most records have nothing else.
        if text.is_ascii() && !text.contains('\u{7f}') {
            return Ok(text);
        }
        let mut line = String::with_capacity(text.len());
        for c in text.chars() {
            if is_plain(c) {
                line.push(c);
            } else {
                // Outside its strings, JSON as we print it is plain.
                let mut units = [0; 2];
                line.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        Ok(line)
    }
}

/// The line of the next record after `head`, and the head that it makes.
///
/// # Errors
/// [`Reason::Internal`] for an event that does not fit into a line.
pub fn append(head: &Head, time: Timestamp, event: &Event) -> Result<(String, Head)> {
    let number = head.number.saturating_add(1);
    let record = Record { number, previous: head.hash.clone(), time, event: event.clone() };
    let line = record.line()?;
    // What cannot be read back must not be acknowledged.
    Record::parse(&line)
        .map_err(|failure| Failure::internal(format!("a record cannot be kept: {failure}")))?;
    let head = Head::of(number, &line);
    Ok((line, head))
}
