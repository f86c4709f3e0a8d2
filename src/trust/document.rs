//! The trust document: who may do what, in one signed text. A newer version replaces an older one whole.
//!
//! ```json
//! {
//!   "type": "sealift trust 1",
//!   "version": 2,
//!   "root_threshold": 2,
//!   "channels": { "prod": { "epoch": 1, "release": 1, "approver": 1, "override": 2 } },
//!   "keys": [
//!     { "id": "…", "holder": "alice", "algorithm": "ed25519", "roles": ["release"], "channels": ["prod"],
//!       "from_sequence": 1, "to_sequence": 100, "public_key": "-----BEGIN PUBLIC KEY-----…" }
//!   ],
//!   "revoked": [ { "id": "…", "holder": "bob", "reason": "laptop stolen", "since_sequence": 17 } ]
//! }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    Algorithm, Note, PublicKey, is_key_id,
    note::is_line,
    quorum::{Excluded, Rule},
};
use crate::base::{
    failure::{Failure, Reason, Result},
    limits,
    path::is_media_name,
};

/// First member of every trust document.
pub const KIND: &str = "sealift trust 1";
/// The last version: the four digits of the files that carry them.
const LAST_VERSION: u64 = 9999;

/// Name of the file of a version, in folders and in bundles.
pub fn file_name(version: u64) -> String {
    format!("{version:04}.trust")
}

/// The version of a file by its name, which must be the one that we give.
pub fn version_of(name: &str) -> Option<u64> {
    let version = name.strip_suffix(".trust")?.parse().ok()?;
    ((1..=LAST_VERSION).contains(&version) && file_name(version) == name).then_some(version)
}

/// The version that a trust document has by its third line, before any signature holds: good for telling an older
/// one, and for nothing else.
pub(super) fn told_version(note: &Note) -> Option<u64> {
    note.kind().filter(|kind| *kind == KIND)?;
    let line = std::str::from_utf8(note.body()).ok()?.lines().nth(2)?;
    line.strip_prefix("  \"version\": ")?.strip_suffix(',')?.parse().ok()
}

/// What a key is for. A key has one role, so that one that is stolen opens one door only; but whoever approves
/// may sign overrides with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs trust documents and nothing else. Offline.
    Root,
    /// Signs bundles of a channel where they are built.
    Release,
    /// Signs the same bundles as another person.
    Approver,
    /// Signs documents that admit one bundle which a rule refuses.
    Override,
    /// Signs receipts and ledgers of a site.
    Importer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Root, Self::Release, Self::Approver, Self::Override, Self::Importer];

    /// As documents and commands name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Release => "release",
            Self::Approver => "approver",
            Self::Override => "override",
            Self::Importer => "importer",
        }
    }

    /// The role of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether the role is for channels; the others are for everything.
    pub fn is_of_channels(self) -> bool {
        matches!(self, Self::Release | Self::Approver | Self::Override)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text of a trust document, as written. [`Document::new`] checks what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    r#type: String,
    /// Counts up from 1.
    pub version: u64,
    /// Distinct holders of root keys that must sign the next version, and this one.
    pub root_threshold: usize,
    /// Channels by name.
    pub channels: BTreeMap<String, ChannelRules>,
    /// Keys, sorted by id.
    pub keys: Vec<KeyRecord>,
    /// Keys that must never be trusted again, sorted by id. The list only grows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Revocation>,
}

/// How many distinct holders a channel takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRules {
    /// Counts restarts of the sequence; bundles of other epochs are refused. Never goes down.
    pub epoch: u64,
    /// Holders of release keys, at least 1.
    pub release: usize,
    /// Holders of approver keys besides; absent where nobody approves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<usize>,
    /// Holders of override keys, at least 2; absent where nothing may be overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#override: Option<usize>,
}

/// A key and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Its id, which must be that of `public_key`.
    pub id: String,
    /// Who has it. Thresholds count holders.
    pub holder: String,
    /// `ed25519` or `ecdsa-p256`, which must be that of `public_key`.
    pub algorithm: String,
    /// One role, or `approver` and `override`.
    pub roles: BTreeSet<Role>,
    /// Channels, for the roles that are of channels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub channels: BTreeSet<String>,
    /// First sequence for which its signature counts; for the roles release and approver only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_sequence: Option<u64>,
    /// Last sequence for which its signature counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_sequence: Option<u64>,
    /// SPKI PEM.
    pub public_key: String,
}

/// What a signature is for: where other keys of the document do not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) roles: &'a [Role],
    pub(super) channel: Option<&'a str>,
    pub(super) sequence: Option<u64>,
}

/// A key that is trusted no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Its id.
    pub id: String,
    /// Who had it.
    pub holder: String,
    /// Why, for people.
    pub reason: String,
    /// Bundles from this sequence on that it signed are in doubt, also those imported already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_sequence: Option<u64>,
}

impl Text {
    /// A first version without keys.
    pub fn new(root_threshold: usize) -> Self {
        Self {
            r#type: KIND.to_owned(),
            version: 1,
            root_threshold,
            channels: BTreeMap::new(),
            keys: Vec::new(),
            revoked: Vec::new(),
        }
    }

    /// Adds a key at its place.
    ///
    /// # Errors
    /// [`Reason::TrustMalformed`] for a key that is there already.
    pub fn add(&mut self, record: KeyRecord) -> Result<()> {
        match self.keys.binary_search_by(|key| key.id.cmp(&record.id)) {
            Ok(_) => Err(malformed(format!("key {} is in it already", record.id))),
            Err(at) => {
                self.keys.insert(at, record);
                Ok(())
            }
        }
    }
}

/// A trust document whose text makes sense. Whether anybody signed it is [`super::Chain`]'s business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    text: Text,
    keys: Vec<PublicKey>,
}

impl Document {
    /// Checks what the text means.
    ///
    /// # Errors
    /// [`Reason::TrustMalformed`] for everything that could be read in two ways or opens a door: thresholds of
    /// nothing or of more holders than there are (T04), keys twice, of two roles, revoked, or not what they say;
    /// [`Reason::WeakKey`] and [`Reason::KeyFormat`] for the keys themselves (T10).
    pub fn new(text: Text) -> Result<Self> {
        let keys = text.keys.iter().map(key).collect::<Result<Vec<_>>>()?;
        let document = Self { text, keys };
        document.check()?;
        Ok(document)
    }

    /// Reads the body of a note; call it once its signatures hold.
    pub(super) fn read(note: &Note) -> Result<Self> {
        Self::new(note.read(KIND)?)
    }

    /// What it says.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.text.version
    }

    /// Who must sign trust documents.
    pub fn root_rule(&self) -> Rule<'_> {
        Rule {
            name: format!("root of version {}", self.version()),
            keys: self.holders(Role::Root, None, None),
            threshold: self.text.root_threshold,
        }
    }

    /// Who must sign the bundle `sequence` of `channel`: release, then approvers where the channel has them.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`].
    pub fn bundle_rules(&self, channel: &str, sequence: u64) -> Result<Vec<Rule<'_>>> {
        let rules = self.channel(channel)?;
        let rule = |role: Role, threshold: usize| Rule {
            name: role.name().to_owned(),
            keys: self.holders(role, Some(channel), Some(sequence)),
            threshold,
        };
        let approvers = rules.approver.map(|threshold| rule(Role::Approver, threshold));
        Ok([rule(Role::Release, rules.release)].into_iter().chain(approvers).collect())
    }

    /// Who must sign what admits a bundle of `channel` against a rule.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`], [`Reason::OverrideRefused`] where the channel has no overrides.
    pub fn override_rule(&self, channel: &str) -> Result<Rule<'_>> {
        let threshold = self.channel(channel)?.r#override.ok_or_else(|| {
            Failure::new(Reason::OverrideRefused, channel, "the channel has no overrides")
                .hint("the holders of the root keys can give it some with `sealift trust channel`")
        })?;
        let keys = self.holders(Role::Override, Some(channel), None);
        Ok(Rule { name: Role::Override.name().to_owned(), keys, threshold })
    }

    /// Who must sign a beacon of `channel`: whoever releases there.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`].
    pub fn beacon_rule(&self, channel: &str, sequence: u64) -> Result<Rule<'_>> {
        let mut rules = self.bundle_rules(channel, sequence)?;
        rules.truncate(1);
        rules.pop().ok_or_else(|| Failure::internal("a channel without a release rule"))
    }

    /// Whoever may sign receipts.
    pub fn importer_rule(&self) -> Rule<'_> {
        let keys = self.holders(Role::Importer, None, None);
        Rule { name: Role::Importer.name().to_owned(), keys, threshold: 1 }
    }

    /// The rules of a channel.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`].
    pub fn channel(&self, name: &str) -> Result<&ChannelRules> {
        self.text.channels.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.text.channels.keys().map(String::as_str).collect();
            let message = format!("trust version {} knows the channels {}", self.version(), known.join(", "));
            Failure::new(Reason::ChannelUnknown, name, message)
                .hint("the bundle is for another channel, or a newer trust document is missing")
        })
    }

    /// Every key with its record.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyRecord, &PublicKey)> {
        self.text.keys.iter().zip(&self.keys)
    }

    /// Keys that do not count where these roles do, each with the reason.
    pub(super) fn excluded(&self, scope: Scope<'_>) -> Vec<Excluded<'_>> {
        let explain = |(record, key): (&KeyRecord, _)| {
            let of_role = record.roles.iter().any(|role| scope.roles.contains(role))
                && scope.channel.is_none_or(|channel| record.channels.contains(channel));
            let outside = scope.sequence.filter(|sequence| !record.counts_for(*sequence));
            let (reason, why) = if of_role {
                let sequence = outside?;
                let from = record.from_sequence.unwrap_or(0);
                let to = record.to_sequence.map_or_else(|| "on".to_owned(), |to| format!("to {to}"));
                let why = format!("which counts for sequences from {from} {to}, not for {sequence}");
                (Reason::KeySequence, why)
            } else {
                let roles: Vec<&str> = record.roles.iter().map(|role| role.name()).collect();
                let channels: Vec<&str> = record.channels.iter().map(String::as_str).collect();
                let of =
                    if channels.is_empty() { String::new() } else { format!(" of {}", channels.join(", ")) };
                (Reason::KeyRole, format!("which is a key for {}{of}", roles.join(" and ")))
            };
            Some(Excluded { key, reason, why })
        };
        self.keys().filter_map(explain).collect()
    }

    /// Keys of a role with their holders.
    fn holders(&self, role: Role, channel: Option<&str>, sequence: Option<u64>) -> Vec<(&PublicKey, &str)> {
        self.keys()
            .filter(|(record, _)| record.roles.contains(&role))
            .filter(|(record, _)| channel.is_none_or(|channel| record.channels.contains(channel)))
            .filter(|(record, _)| sequence.is_none_or(|sequence| record.counts_for(sequence)))
            .map(|(record, key)| (key, record.holder.as_str()))
            .collect()
    }

    fn check(&self) -> Result<()> {
        let text = &self.text;
        if !(1..=LAST_VERSION).contains(&text.version) {
            return Err(malformed(format!("versions count from 1 to {LAST_VERSION}")));
        }
        if text.keys.len() > limits::TRUST_KEYS || text.revoked.len() > limits::TRUST_KEYS {
            return Err(malformed(format!("it has more than {} keys", limits::TRUST_KEYS)));
        }
        let ids = |list: Vec<&str>| list.windows(2).all(|two| matches!(two, [a, b] if a < b));
        if !ids(text.keys.iter().map(|key| key.id.as_str()).collect())
            || !ids(text.revoked.iter().map(|key| key.id.as_str()).collect())
        {
            return Err(malformed("keys must be sorted by id, each once"));
        }
        for revoked in &text.revoked {
            if text.keys.iter().any(|key| key.id == revoked.id) {
                return Err(malformed(format!("key {} is revoked and in use", revoked.id)));
            }
            if !is_key_id(&revoked.id) || !is_holder(&revoked.holder) || !is_line(&revoked.reason) {
                return Err(malformed(format!(
                    "the revocation of `{}` needs the id of a key, a holder, and as reason one line of 1 to 400 letters",
                    revoked.id
                )));
            }
        }
        enough("root", text.root_threshold, &self.holders(Role::Root, None, None))?;
        for (name, channel) in &text.channels {
            if !is_media_name(name) {
                return Err(malformed(format!("`{name}` is no name of a channel: 1 to 64 of a-z 0-9 . _ -")));
            }
            let holders = |role| self.holders(role, Some(name), None);
            enough(&format!("release of {name}"), channel.release, &holders(Role::Release))?;
            if let Some(threshold) = channel.approver {
                enough(&format!("approver of {name}"), threshold, &holders(Role::Approver))?;
                let both = [holders(Role::Release), holders(Role::Approver)].concat();
                let sum = channel.release.saturating_add(threshold);
                enough(&format!("release and approver of {name} together"), sum, &both)?;
            }
            if let Some(threshold) = channel.r#override {
                if threshold < 2 {
                    return Err(malformed(format!("an override of {name} takes at least 2 holders")));
                }
                enough(&format!("override of {name}"), threshold, &holders(Role::Override))?;
            }
        }
        text.keys.iter().try_for_each(|record| self.check_record(record))
    }

    fn check_record(&self, record: &KeyRecord) -> Result<()> {
        let wrong = |what: &str| Err(malformed(format!("key {}: {what}", record.id)));
        if !is_holder(&record.holder) {
            return wrong("a holder is 1 to 64 of a-z 0-9 . _ - @ +");
        }
        let roles: Vec<Role> = record.roles.iter().copied().collect();
        if !matches!(roles[..], [_] | [Role::Approver, Role::Override]) {
            return wrong("a key has one role; only approver and override go together");
        }
        let of_channels = roles.iter().any(|role| role.is_of_channels());
        if of_channels == record.channels.is_empty() {
            return wrong("the roles release, approver and override name channels, the others none");
        }
        if let Some(unknown) = record.channels.iter().find(|name| !self.text.channels.contains_key(*name)) {
            return wrong(&format!("there is no channel `{unknown}`"));
        }
        let (from, to) = (record.from_sequence.unwrap_or(0), record.to_sequence.unwrap_or(u64::MAX));
        if from > to {
            return wrong("from_sequence is after to_sequence");
        }
        let of_bundles = matches!(roles[..], [Role::Release | Role::Approver]);
        if !of_bundles && (record.from_sequence.is_some() || record.to_sequence.is_some()) {
            // An override names a digest and no sequence: a bound would look like one and hold nothing back.
            return wrong("only a key for release or approver alone is bound to sequences");
        }
        Ok(())
    }
}

impl KeyRecord {
    /// The record of a key, valid for every sequence.
    pub fn new(
        key: &PublicKey,
        holder: &str,
        roles: impl IntoIterator<Item = Role>,
        channels: impl IntoIterator<Item = String>,
    ) -> Result<Self> {
        Ok(Self {
            id: key.key_id().to_owned(),
            holder: holder.to_owned(),
            algorithm: key.algorithm().name().to_owned(),
            roles: roles.into_iter().collect(),
            channels: channels.into_iter().collect(),
            from_sequence: None,
            to_sequence: None,
            public_key: key.to_pem()?,
        })
    }

    /// Whether a signature for `sequence` counts; both ends do.
    fn counts_for(&self, sequence: u64) -> bool {
        self.from_sequence.is_none_or(|from| from <= sequence)
            && self.to_sequence.is_none_or(|to| sequence <= to)
    }
}

/// The key of a record, if it is what the record says (T08, T09).
fn key(record: &KeyRecord) -> Result<PublicKey> {
    let key = PublicKey::from_pem(&record.public_key)
        .map_err(|failure| failure.of(format!("key {}", record.id)))?;
    let says = Algorithm::parse(&record.algorithm);
    if says != Some(key.algorithm()) {
        return Err(malformed(format!(
            "key {}: its algorithm is {}, the document says {}",
            record.id,
            key.algorithm().name(),
            record.algorithm
        )));
    }
    if key.key_id() != record.id || key.to_pem()? != record.public_key {
        return Err(malformed(format!("key {}: its public key has the id {}", record.id, key.key_id())));
    }
    Ok(key)
}

/// T04: a threshold is at least one, and can be met.
fn enough(what: &str, threshold: usize, keys: &[(&PublicKey, &str)]) -> Result<()> {
    let holders: BTreeSet<&str> = keys.iter().map(|(_, holder)| *holder).collect();
    if threshold == 0 {
        return Err(malformed(format!("the threshold of {what} is 0; it must be at least 1")));
    }
    if threshold > holders.len() {
        return Err(malformed(format!(
            "the threshold of {what} is {threshold}, and {} different holders have keys for it",
            holders.len()
        )));
    }
    Ok(())
}

/// 1 to 64 of `a-z 0-9 . _ - @ +`: no two spellings of one person.
pub fn is_holder(text: &str) -> bool {
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-@+".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(byte)
}

fn malformed(message: impl fmt::Display) -> Failure {
    Failure::new(Reason::TrustMalformed, "trust document", message)
        .hint("the holders of the root keys must make it again; do not use this one")
}
