//! The chain of trust documents: each version signed by those whom the one before trusts, and by those whom it
//! trusts itself.
//!
//! A chain begins with a document that was pinned: by its fingerprint, typed in from paper, or as a file that
//! came another way than the media (T33). From there it grows by one version at a time (T17), whoever brings the
//! next: a courier can hold back a version, never forge one.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    Document, Note, PublicKey, Quorum, Role, Signature,
    document::{self, KeyRecord, Scope},
    quorum::{self, Excluded, Rule},
};
use crate::base::{
    digest::{Algorithm, Digest},
    failure::{Failure, Reason, Result},
    limits,
};

/// Documents that hold, from the pinned one to the newest. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    first: Link,
    later: Vec<Link>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    note: Note,
    document: Document,
}

impl Chain {
    /// Begins with the document in `note`, which its own root holders must have signed. That it is the right
    /// one, the caller knows: from a file that came another way, or by [`pin`](Self::pin).
    ///
    /// # Errors
    /// Those of [`Note::parse`], [`Document::new`] and of too few signatures.
    pub fn begin(note: &[u8]) -> Result<Self> {
        let note = Note::parse(note)?;
        let document = Document::read(&note)?;
        let signed = |failure: Failure| failure.of(format!("trust version {}", document.version()));
        quorum::met(note.body(), &note.signatures(), &[document.root_rule()], &[]).map_err(signed)?;
        Ok(Self { first: Link { note, document }, later: Vec::new() })
    }

    /// Begins with the document in `note` if its fingerprint is the one that a [person typed](typed_fingerprint).
    ///
    /// # Errors
    /// [`Reason::TrustFingerprint`]; those of [`begin`](Self::begin).
    pub fn pin(note: &[u8], fingerprint: &Digest) -> Result<Self> {
        let found = Note::parse(note)?.fingerprint();
        if found != *fingerprint {
            let message = format!("expected the fingerprint {}, found {}", fingerprint.hex(), found.hex());
            return Err(Failure::new(Reason::TrustFingerprint, "trust document", message).hint(
                "compare all 64 digits with what the sender printed; if they differ, the media are not from the sender",
            ));
        }
        Self::begin(note)
    }

    /// The newest document.
    pub fn latest(&self) -> &Document {
        &self.last().document
    }

    fn last(&self) -> &Link {
        self.later.last().unwrap_or(&self.first)
    }

    /// The first, pinned document.
    pub fn pinned(&self) -> &Document {
        &self.first.document
    }

    /// Version of the newest document.
    pub fn version(&self) -> u64 {
        self.latest().version()
    }

    /// Version, fingerprint and file of every document, oldest first.
    pub fn notes(&self) -> impl Iterator<Item = (u64, &Note)> {
        self.links().map(|link| (link.document.version(), &link.note))
    }

    /// Every document, oldest first.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.links().map(|link| &link.document)
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The version that a trust document has by its own words, where that is older than the pinned one: nobody here
    /// can tell who signed it, and nothing depends on it.
    pub fn is_before(&self, note: &Note) -> Option<u64> {
        document::told_version(note).filter(|version| *version < self.pinned().version())
    }

    /// Adds the next version: signed by the root holders of the newest version before it is read, and by its own.
    ///
    /// # Errors
    /// Too few signatures by either (T17); [`Reason::TrustGap`] for another version than the next;
    /// [`Reason::TrustMalformed`] for what a next version may not do: take back a revocation or an epoch.
    pub fn extend(&mut self, note: &[u8]) -> Result<()> {
        let next = self.checked(note)?;
        self.later.push(next);
        Ok(())
    }

    fn checked(&self, note: &[u8]) -> Result<Link> {
        let expected = self.version() + 1;
        let object = |failure: Failure| failure.of(format!("trust version {expected}"));
        if self.links().count() >= limits::TRUST_VERSIONS {
            return Err(malformed(format!("there are more than {} versions", limits::TRUST_VERSIONS)));
        }
        let note = Note::parse(note).map_err(object)?;
        let by = |rule: Rule<'_>, excluded: &[Excluded<'_>]| {
            quorum::met(note.body(), &note.signatures(), &[rule], excluded).map_err(object)
        };
        let of_root = Scope { roles: &[Role::Root], channel: None, sequence: None };
        by(self.latest().root_rule(), &self.excluded(of_root))?;
        let document = Document::read(&note).map_err(object)?;
        by(document.root_rule(), &[])?;
        if document.version() != expected {
            let message = format!("expected version {expected}, found {}", document.version());
            return Err(Failure::new(Reason::TrustGap, "trust document", message)
                .hint("give the versions one after the other; ask the sender for the missing one"));
        }
        self.check_step(&document).map_err(object)?;
        Ok(Link { note, document })
    }

    /// The chain as it was when `version` was made: the documents before it. `None` before the first.
    pub fn before(&self, version: u64) -> Option<Self> {
        if version <= self.first.document.version() {
            return None;
        }
        let later = self.later.iter().filter(|link| link.document.version() < version).cloned().collect();
        Some(Self { first: self.first.clone(), later })
    }

    /// Whether a signature by `key` would count for bundle `sequence` of `channel`: asked before the bundle is
    /// made.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`]; [`Reason::KeyRole`], [`Reason::KeySequence`] or [`Reason::KeyRevoked`] for a
    /// key that would not.
    pub fn may_sign_bundle(&self, key: &PublicKey, channel: &str, sequence: u64) -> Result<()> {
        let rules = self.latest().bundle_rules(channel, sequence)?;
        let both = &[Role::Release, Role::Approver];
        let scope = Scope { roles: both, channel: Some(channel), sequence: Some(sequence) };
        may_sign(key, &rules, &self.excluded(scope), &format!("bundle {sequence} of {channel}"))
    }

    /// What may never be taken back, also not by way of a version that leaves a channel out.
    pub(super) fn check_step(&self, next: &Document) -> Result<()> {
        let (old, new) = (self.latest().text(), next.text());
        if let Some(lost) =
            old.revoked.iter().find(|revoked| new.revoked.iter().all(|other| other.id != revoked.id))
        {
            return Err(malformed(format!("the revocation of key {} is gone", lost.id)));
        }
        for (name, channel) in self.documents().flat_map(|document| &document.text().channels) {
            if let Some(later) = new.channels.get(name).filter(|later| later.epoch < channel.epoch) {
                let message =
                    format!("the epoch of {name} goes from {} back to {}", channel.epoch, later.epoch);
                return Err(malformed(message));
            }
        }
        Ok(())
    }

    /// The documents that media carry, if any, each signed by those whom the one before trusts. Nobody vouches for the
    /// first, so this is no ground to believe any of them.
    ///
    /// # Errors
    /// [`Reason::TrustMalformed`] for a document under the number of another; those of [`begin`](Self::begin)
    /// and [`extend`](Self::extend).
    pub fn of_media(carried: &[(u64, Vec<u8>)]) -> Result<Option<Self>> {
        let Some(((version, first), later)) = carried.split_first() else { return Ok(None) };
        let mut chain =
            Self::begin(first).map_err(|failure| failure.of(format!("trust version {version}")))?;
        if chain.version() != *version {
            return Err(malformed(format!(
                "the file of version {version} holds version {}",
                chain.version()
            )));
        }
        later.iter().try_for_each(|(_, bytes)| chain.extend(bytes))?;
        Ok(Some(chain))
    }

    /// This chain and what the media carry beyond it. `carried` are the files by version. Versions that we have
    /// must be the ones that we have; older ones are not looked at.
    ///
    /// # Errors
    /// [`Reason::TrustFork`] where the media carry another document of a version that we know;
    /// [`Reason::TrustGap`] where a version between ours and theirs is missing; those of
    /// [`extend`](Self::extend).
    pub fn with_carried(&self, carried: &[(u64, Vec<u8>)]) -> Result<Self> {
        let mut chain = self.clone();
        for (version, bytes) in carried {
            let object = |failure: Failure| failure.of(format!("trust version {version}"));
            let known = chain.links().find(|link| link.document.version() == *version);
            match (known, version.cmp(&(chain.version() + 1))) {
                (Some(known), _) => {
                    let found = Note::parse(bytes).map_err(object)?.fingerprint();
                    if found != known.note.fingerprint() {
                        let message = format!(
                            "this site knows version {version} as {}, the media carry {}",
                            known.note.fingerprint().hex(),
                            found.hex()
                        );
                        return Err(Failure::new(Reason::TrustFork, format!("trust version {version}"), message).hint(
                            "two documents of one version exist: somebody signed twice or deceives; ask the holders of the root keys by another way",
                        ));
                    }
                }
                (None, Ordering::Less) => {} // older than the pinned one
                (None, Ordering::Equal) => chain.extend(bytes)?,
                (None, Ordering::Greater) => {
                    let message = format!(
                        "this site knows versions up to {}, the media go on with {version}",
                        chain.version()
                    );
                    return Err(Failure::new(Reason::TrustGap, "trust", message).hint(
                        "ask the sender for the versions between, and give them with `sealift trust accept`",
                    ));
                }
            }
        }
        Ok(chain)
    }

    /// Whether anybody at all whom the newest document names signed `message`: asked before a text is parsed
    /// that says by which of them it should be.
    ///
    /// # Errors
    /// Those of [`quorum::met`].
    pub fn anybody(&self, message: &[u8], signatures: &[Signature]) -> Result<()> {
        let keys = self.latest().keys().map(|(record, key)| (key, record.holder.as_str())).collect();
        let rule = Rule { name: "anybody in the trust document".to_owned(), keys, threshold: 1 };
        quorum::met(message, signatures, &[rule], &self.gone()).map(|_quorum| ())
    }

    /// Checks the signatures of bundle `sequence` of `channel` by the newest document.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`]; those of [`quorum::met`].
    pub fn check_bundle(
        &self,
        message: &[u8],
        signatures: &[Signature],
        channel: &str,
        sequence: u64,
    ) -> Result<Quorum> {
        let rules = self.latest().bundle_rules(channel, sequence)?;
        let both = &[Role::Release, Role::Approver];
        let scope = Scope { roles: both, channel: Some(channel), sequence: Some(sequence) };
        quorum::met(message, signatures, &rules, &self.excluded(scope))
    }

    /// Keys that are known and do not count here, and why: no longer trusted, or for something else.
    pub(super) fn excluded(&self, scope: Scope<'_>) -> Vec<Excluded<'_>> {
        [self.gone(), self.latest().excluded(scope)].concat()
    }

    /// Keys that earlier documents trusted and the newest does not (T19).
    pub fn gone(&self) -> Vec<Excluded<'_>> {
        let latest = self.latest().text();
        let is_listed = |id: &str| latest.keys.binary_search_by(|key| key.id.as_str().cmp(id)).is_ok();
        let earlier = self.documents().flat_map(Document::keys).filter(|(record, _)| !is_listed(&record.id));
        let earlier: BTreeMap<&str, _> =
            earlier.map(|(record, key)| (record.id.as_str(), (record, key))).collect();
        let explain = |(record, key): (&KeyRecord, _)| {
            let revoked = latest.revoked.iter().find(|revoked| revoked.id == record.id);
            let why = revoked.map_or_else(
                || format!("which trust version {} no longer lists", latest.version),
                |revoked| format!("which trust version {} has revoked: {}", latest.version, revoked.reason),
            );
            Excluded { key, reason: Reason::KeyRevoked, why }
        };
        earlier.into_values().map(explain).collect()
    }

    /// Whether a key signed `note` that an earlier document trusted and the newest has revoked.
    pub fn has_revoked_signer(&self, note: &Note) -> bool {
        let revoked = &self.latest().text().revoked;
        let gone = self.gone().into_iter().map(|gone| gone.key);
        let mut stolen = gone.filter(|key| revoked.iter().any(|revoked| revoked.id == key.key_id()));
        let signatures = note.signatures();
        stolen.any(|key| {
            let by = signatures.iter().find(|signature| signature.key_id == key.key_id());
            by.is_some_and(|signature| key.verifies(note.body(), &signature.bytes))
        })
    }

    /// Fingerprint of the first document.
    pub fn fingerprint(&self) -> Digest {
        self.first.note.fingerprint()
    }
}

/// The fingerprint that a person typed: 64 hex digits, spaces and colons between them do not matter.
///
/// # Errors
/// [`Reason::BadArgument`] for anything else. What was found is not told: it is to be compared, not copied.
pub fn typed_fingerprint(text: &str) -> Result<Digest> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let digits = digits.to_ascii_lowercase();
    let digits = digits.strip_prefix("sha256").unwrap_or(&digits);
    Digest::from_hex(Algorithm::Sha256, digits).map_err(|_other| {
        let message =
            format!("expected all 64 hex digits of a fingerprint, found {}", digits.chars().count());
        Failure::new(Reason::BadArgument, "--fingerprint", message)
            .hint("type all that the sender gave you by another way than the media: fewer can be imitated")
    })
}

/// Whether a signature by `key` counts for one of `rules`; where not, `excluded` may know why.
pub(super) fn may_sign(
    key: &PublicKey,
    rules: &[Rule<'_>],
    excluded: &[Excluded<'_>],
    what: &str,
) -> Result<()> {
    if rules.iter().flat_map(|rule| &rule.keys).any(|(known, _)| *known == key) {
        return Ok(());
    }
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let needs = format!("{what} is signed by keys for {}", names.join(" and "));
    let id = key.key_id();
    let known = excluded.iter().find(|excluded| excluded.key == key);
    let (reason, message) = known.map_or_else(
        || (Reason::KeyRole, format!("{needs}; the trust document does not know this key")),
        |excluded| (excluded.reason, format!("{needs}; this is {id}, {}", excluded.why)),
    );
    Err(Failure::new(reason, format!("key {id}"), message).hint(match reason {
        Reason::KeySequence => "look at the sequence; the holders of the root keys can change the bounds of the key",
        Reason::KeyRevoked => "sign with a key that is trusted now: `sealift trust show` lists them",
        _ => "sign with another key, or have it added with `sealift trust add`: `sealift trust show` lists them",
    }))
}

fn malformed(message: String) -> Failure {
    Failure::new(Reason::TrustMalformed, "trust document", message)
        .hint("the holders of the root keys must make it again; do not use this one")
}
