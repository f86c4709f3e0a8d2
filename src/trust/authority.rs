//! Whom a reader of a bundle believes.

use super::{Chain, PublicKey, Quorum, Rule, Signature, quorum};
use crate::base::failure::{Failure, Reason, Result};

/// Whom a reader believes. Comes from the site or from the command line, never from the media.
#[derive(Debug, Clone)]
pub enum Authority {
    /// Keys that were given one by one; one of them must have signed.
    Keys(Vec<PublicKey>),
    /// A chain of trust documents with roles and thresholds.
    Chain(Chain),
}

impl Authority {
    /// The authority that the media may bring up to date: newer trust documents, each signed by those whom the
    /// one before trusts.
    ///
    /// # Errors
    /// Those of [`Chain::with_carried`].
    pub fn updated(&self, carried: &[(u64, Vec<u8>)]) -> Result<Self> {
        Ok(match self {
            Self::Keys(keys) => Self::Keys(keys.clone()),
            Self::Chain(chain) => Self::Chain(chain.with_carried(carried)?),
        })
    }

    /// Whether anybody who is known signed `message`. Until then it is not even parsed.
    ///
    /// # Errors
    /// [`Reason::NoKey`] where there is nobody to believe; those of [`quorum::met`].
    pub fn anybody(&self, message: &[u8], signatures: &[Signature]) -> Result<()> {
        match self {
            Self::Keys(keys) => one_of(keys, message, signatures).map(|_quorum| ()),
            Self::Chain(chain) => chain.anybody(message, signatures),
        }
    }

    /// Whether those signed who must, for bundle `sequence` of `channel`.
    ///
    /// # Errors
    /// [`Reason::NoKey`]; [`Reason::ChannelUnknown`]; those of [`quorum::met`].
    pub fn check_bundle(
        &self,
        message: &[u8],
        signatures: &[Signature],
        channel: &str,
        sequence: u64,
    ) -> Result<Quorum> {
        match self {
            Self::Keys(keys) => one_of(keys, message, signatures),
            Self::Chain(chain) => chain.check_bundle(message, signatures, channel, sequence),
        }
    }
}

/// One of the keys that were given must have signed; nobody knows more about them than their ids.
fn one_of(keys: &[PublicKey], message: &[u8], signatures: &[Signature]) -> Result<Quorum> {
    if keys.is_empty() {
        return Err(Failure::new(Reason::NoKey, "bundle", "there is nobody to believe: no key and no trust root")
            .hint("give the sender's public key with --key, or pin a trust document with `sealift trust init --site`; neither may come from the same media"));
    }
    let rule = Rule {
        name: "given key".to_owned(),
        keys: keys.iter().map(|key| (key, key.key_id())).collect(),
        threshold: 1,
    };
    quorum::met(message, signatures, &[rule], &[])
}
