//! Short signed documents to a site: beacons and overrides.

use serde::{Deserialize, Serialize};

use super::{Chain, Note, Quorum, Role, document::Scope, note::is_line, quorum, sequence::Position};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    limits,
    path::is_media_name,
};

/// First member of every beacon.
pub const BEACON: &str = "sealift beacon 1";
/// First member of every override.
pub const OVERRIDE: &str = "sealift override 1";

/// "The newest is N", by another way than the stick: a file, a pipe, a printed code. With its signatures at most
/// 2 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beacon {
    r#type: String,
    /// Channel.
    pub channel: String,
    /// The newest bundle of it.
    pub newest: Position,
    /// The newest trust document.
    pub trust: u64,
    /// When it was made, by its maker's clock.
    pub created: Timestamp,
}

/// A rule that an override lifts, named by the reason that it would refuse with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// An older bundle than the last may be imported.
    Rollback,
    /// This bundle is the right one of two with the same sequence; a frozen channel goes on with it.
    Equivocation,
    /// A bundle far ahead may be imported.
    SequenceJump,
    /// A bundle that follows another than the last may be imported.
    PreviousMismatch,
    /// A bundle past its time may be imported at a strict site.
    Expired,
}

impl Effect {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Rollback, Self::Equivocation, Self::SequenceJump, Self::PreviousMismatch, Self::Expired];

    /// As documents and commands name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Equivocation => "equivocation",
            Self::SequenceJump => "sequence-jump",
            Self::PreviousMismatch => "previous-mismatch",
            Self::Expired => "expired",
        }
    }

    /// The effect of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.name() == name)
    }
}

/// Admits exactly one bundle against exactly one rule, at one site, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    r#type: String,
    /// The site.
    pub site: String,
    /// Channel of the bundle.
    pub channel: String,
    /// Digest of its `SHA256SUMS`.
    pub bundle: Digest,
    /// The rule.
    pub effect: Effect,
    /// Why, for people and the ledger.
    pub reason: String,
    /// When it was made, by its maker's clock: makes two overrides of the same kind two documents.
    pub created: Timestamp,
}

impl Beacon {
    /// A beacon for the newest bundle of a channel.
    pub fn new(channel: &str, newest: Position, trust: u64, created: Timestamp) -> Self {
        Self { r#type: BEACON.to_owned(), channel: channel.to_owned(), newest, trust, created }
    }

    /// Reads a beacon: whoever releases in its channel must have signed it.
    ///
    /// # Errors
    /// [`Reason::NoteMalformed`] for a larger one, [`Reason::ChannelUnknown`], those of signatures.
    pub fn open(note: &Note, chain: &Chain) -> Result<(Self, Quorum)> {
        if note.to_bytes().len() as u64 > limits::BEACON_BYTES {
            let message = "it is larger than 2 KiB";
            return Err(
                Failure::new(Reason::NoteMalformed, "beacon", message).hint("ask the sender for another")
            );
        }
        chain.anybody(note.body(), &note.signatures())?;
        let beacon: Self = note.read(BEACON)?;
        let rule = chain.latest().beacon_rule(&beacon.channel, beacon.newest.sequence)?;
        let (channel, sequence) = (Some(beacon.channel.as_str()), Some(beacon.newest.sequence));
        let scope = Scope { roles: &[Role::Release], channel, sequence };
        let quorum = quorum::met(note.body(), &note.signatures(), &[rule], &chain.excluded(scope))?;
        Ok((beacon, quorum))
    }
}

impl Override {
    /// An override, not yet signed by anybody.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for a name of a site or a reason that cannot be.
    pub fn new(
        site: &str,
        channel: &str,
        bundle: Digest,
        effect: Effect,
        reason: &str,
        created: Timestamp,
    ) -> Result<Self> {
        let (site, channel, reason) = (site.to_owned(), channel.to_owned(), reason.to_owned());
        let document = Self { r#type: OVERRIDE.to_owned(), site, channel, bundle, effect, reason, created };
        document.check(Reason::BadArgument)?;
        Ok(document)
    }

    fn check(&self, reason: Reason) -> Result<()> {
        let bad = |what: &str, hint: &str| Err(Failure::new(reason, "override", what).hint(hint));
        if !is_media_name(&self.site) {
            return bad(
                "the site must be 1 to 64 of a-z 0-9 . _ -",
                "give the name that `sealift trust status` shows there",
            );
        }
        if !is_line(&self.reason) {
            return bad(
                "the reason must be one line of 1 to 400 letters",
                "say for the auditor why the rule is lifted",
            );
        }
        Ok(())
    }

    /// Reads an override: the holders of override keys of its channel must have signed it, at least two people.
    ///
    /// # Errors
    /// [`Reason::ChannelUnknown`], [`Reason::OverrideRefused`], those of signatures; [`Reason::NoteMalformed`]
    /// for one that we would not have made, whoever signed it.
    pub fn open(note: &Note, chain: &Chain) -> Result<(Self, Quorum)> {
        chain.anybody(note.body(), &note.signatures())?;
        let document: Self = note.read(OVERRIDE)?;
        document.check(Reason::NoteMalformed)?;
        let rule = chain.latest().override_rule(&document.channel)?;
        let scope =
            Scope { roles: &[Role::Override], channel: Some(document.channel.as_str()), sequence: None };
        let quorum = quorum::met(note.body(), &note.signatures(), &[rule], &chain.excluded(scope));
        // Somebody who is known signed it: whose business it is may be said before the rest is understood.
        let quorum = quorum.map_err(|mut failure| {
            failure.message = format!("for the site {}: {}", document.site, failure.message);
            failure
        })?;
        Ok((document, quorum))
    }
}
