//! What a receipt says, and what holds for every one.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{
    base::{clock::Timestamp, digest::Digest, path::is_media_name},
    ledger::Head,
    report::import::Counts,
    trust::{
        Effect,
        sequence::{Position, Warning},
    },
};

/// Most overrides that one import takes: all kinds, but a bundle is not both too old and too far ahead.
pub(super) const OVERRIDES: usize = Effect::ALL.len() - 1;
/// Most missing digests that a receipt names; the rest is counted.
pub(super) const MISSING: usize = 16;

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Name of the site, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// When, by the system clock.
    pub time: Timestamp,
    /// The least that the time can be, by signed documents.
    pub floor: Timestamp,
    /// Channel; absent where the bundle was refused before its channel could be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Where the bundle stands in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Place>,
    /// Where the channel stood here. Where it stands now, [`super::Receipt::position`] knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<Position>,
    /// The two bundles of one place that freeze the channel, after this. An import is one of no frozen channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<[Digest; 2]>,
    /// The trust document that decided; absent where single keys were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustState>,
    /// Whether the bundle was taken.
    pub result: Outcome,
    /// Stable reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Fingerprints of the overrides that an import took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Digest>,
    /// What was no reason to refuse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Digest of the whole report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Digest>,
    /// How many contents are not there that the bundle's artifacts name.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_count: u64,
    /// The first of them, as many as there is room for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Digest>,
    /// Where the ledger stood before the record of this.
    pub ledger: Head,
    /// Digest of the receipt before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Version of sealift.
    pub tool: String,
}

/// A place in a channel, without its bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Epoch of the channel.
    pub epoch: u64,
    /// Place in the epoch.
    pub sequence: u64,
}

/// A trust document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustState {
    /// Its version.
    pub version: u64,
    /// Its fingerprint.
    pub digest: Digest,
}

/// Whether a bundle was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was imported.
    Imported,
    /// It was refused.
    Refused,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Facts {
    /// What holds for every receipt, and keeps it within its size.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let names = [&self.site, &self.channel];
        let is_word = |text: &str, most: usize| {
            (1..=most).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
        };
        let imported = self.result == Outcome::Imported;
        if names.into_iter().flatten().any(|name| !is_media_name(name)) {
            return Err("the site or the channel has no name that there can be");
        }
        if !is_word(&self.tool, 20) || self.reason.as_deref().is_some_and(|reason| !is_word(reason, 40)) {
            return Err("the reason or the version is no word");
        }
        if imported == self.reason.is_some() {
            return Err("a refusal has a reason, an import has none");
        }
        if imported && (self.channel.is_none() || self.bundle.is_none()) {
            return Err("an import is one of a channel");
        }
        if self.frozen.is_some() && (imported || self.channel.is_none()) {
            return Err("no import leaves its channel frozen, and nothing freezes but a channel");
        }
        if self.frozen.as_ref().is_some_and(|[one, other]| one == other) {
            return Err("a channel is frozen by two bundles");
        }
        let done = self.counts.is_some() || self.report.is_some() || !self.overrides.is_empty();
        if !imported && done {
            return Err("what was refused has no report and takes no override");
        }
        if self.overrides.len() > OVERRIDES || self.missing.len() > MISSING {
            return Err("a list is too long");
        }
        let kinds: HashSet<_> = self.warnings.iter().map(std::mem::discriminant).collect();
        if kinds.len() < self.warnings.len() {
            return Err("a kind of warning stands twice");
        }
        let texts = |warning: &Warning| match warning {
            Warning::Gap { .. } | Warning::Behind { .. } => true,
            Warning::Expired { expires, clock } => expires.len() <= 20 && clock.len() <= 20,
            Warning::ClockWrong { clock, floor } => clock.len() <= 20 && floor.len() <= 20,
        };
        if !self.warnings.iter().all(texts) {
            return Err("a warning is too long");
        }
        if (self.missing.len() as u64) > self.missing_count {
            return Err("more is missing than is counted");
        }
        Ok(())
    }
}
