//! Results of `trust status` and of what else is done at a site.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::results::Alarm;
use crate::trust::sequence::Position;

/// Result of `trust status`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SiteReport {
    /// 1.
    pub schema: u32,
    /// The home.
    pub home: String,
    /// Name of the site; absent for a home that pins nothing.
    pub site: Option<String>,
    /// The trust document that holds.
    pub trust: Option<TrustLine>,
    /// Id of the key that signs receipts, once there is one.
    pub importer: Option<String>,
    /// What people decided.
    pub settings: SettingsLine,
    /// The least that the time can be, by signed documents.
    pub clock_floor: String,
    /// Channels that the site knows.
    pub channels: Vec<ChannelLine>,
    /// Imports that a revoked key signed.
    pub in_doubt: Vec<InDoubt>,
    /// Records in the ledger.
    pub ledger_records: u64,
    /// SHA-256 of the last one.
    pub ledger_head: String,
    /// What somebody should look at.
    pub alarms: Vec<Alarm>,
}

/// The trust document that holds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TrustLine {
    /// Its version.
    pub version: u64,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Fingerprint of the document that was pinned.
    pub pinned: String,
}

/// Settings of a site.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SettingsLine {
    /// `strict` or `advisory`.
    pub expiry: &'static str,
    /// Days without anything new after which a channel is in alarm; 0 for never.
    pub max_silence: u64,
    /// How far ahead of the last bundle the next may be.
    pub jump_limit: u64,
}

/// One channel.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ChannelLine {
    /// Name.
    pub channel: String,
    /// The last bundle imported.
    pub last: Option<Position>,
    /// Nothing before this is taken.
    pub at_least: Option<Place>,
    /// The newest bundle that a beacon told of.
    pub beacon: Option<Position>,
    /// When something new came last, or when the site learned of the channel.
    pub heard: String,
    /// Whether it is frozen, and by which two bundles.
    pub frozen: Option<[String; 2]>,
}

/// A place in a channel.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Place {
    /// Epoch.
    pub epoch: u64,
    /// Sequence.
    pub sequence: u64,
}

/// Result of `trust init --site`.
#[derive(Debug, Clone, Serialize)]
pub struct PinReport {
    /// 1.
    pub schema: u32,
    /// The name.
    pub site: String,
    /// The trust document that holds.
    pub trust: TrustLine,
    /// Id of the key that signs receipts.
    pub importer: String,
    /// Its public key in PEM, for the trust document and for auditors.
    pub importer_public_key: String,
    /// Where channels stand, from receipts.
    pub channels: Vec<ChannelAt>,
    /// Digest of the receipt that it goes on from.
    pub receipt: Option<String>,
}

/// Where a channel stands.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelAt {
    /// Name.
    pub channel: String,
    /// Place and digest.
    pub position: Position,
}

/// Result of `trust accept`.
#[derive(Debug, Clone, Serialize)]
pub struct AcceptReport {
    /// 1.
    pub schema: u32,
    /// What was taken, in the order given.
    pub accepted: Vec<Accepted>,
}

/// A document that a site took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Accepted {
    /// A trust document.
    Trust {
        /// Its version.
        version: u64,
        /// Its fingerprint.
        fingerprint: String,
        /// Imports of before that it puts in doubt.
        in_doubt: Vec<InDoubt>,
    },
    /// A beacon.
    Beacon {
        /// Its channel.
        channel: String,
        /// The newest bundle there.
        newest: Position,
        /// Whether the site does not have it yet.
        behind: bool,
        /// Version of the newest trust document, where the site does not know that.
        trust_missing: Option<u64>,
    },
    /// An override.
    Override {
        /// Its fingerprint.
        id: String,
        /// The bundle that it admits.
        bundle: String,
        /// The rule that it lifts.
        effect: &'static str,
    },
    /// A trust document of before the pinned one, which the site has no use for.
    Older {
        /// Its version, by its own words.
        version: u64,
        /// That of the pinned one.
        pinned: u64,
    },
    /// A document that the site had already.
    Known {
        /// Its fingerprint.
        fingerprint: String,
    },
}

/// An import of before that is in doubt: a revoked key signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InDoubt {
    /// Channel.
    pub channel: String,
    /// Place and digest.
    pub position: Position,
    /// The revoked key.
    pub key_id: String,
    /// Who had it.
    pub holder: String,
}

/// Result of `trust settings`.
#[derive(Debug, Clone, Serialize)]
pub struct SettingsReport {
    /// 1.
    pub schema: u32,
    /// The settings that hold from now on.
    pub settings: SettingsLine,
}
