//! Checkpoints: the site signs where its ledger stands.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Event, Head, Text};
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        path::is_media_name,
    },
    trust::{PublicKey, Rule, Signature, Signer, quorum},
};

/// What a checkpoint signs. Its first line says what it is, so that the signature is none for anything else
/// (threats T05).
pub fn signed_text(site: &str, head: &Head) -> String {
    format!("sealift ledger checkpoint 1\nsite={site}\nnumber={}\nhash={}\n", head.number, head.hash.hex())
}

/// The event that seals a ledger which ends with `head`. It must be the next record.
///
/// # Errors
/// [`Reason::BadArgument`] for a name that no site can have; those of the signer.
pub fn checkpoint(head: &Head, site: &str, signer: &dyn Signer) -> Result<Event> {
    if !is_media_name(site) {
        let message = "the name of the site must be 1 to 64 of a-z 0-9 . _ -";
        return Err(Failure::new(Reason::BadArgument, "ledger", message)
            .hint("give the site a name with `sealift trust init --site NAME`"));
    }
    let signature = signer.sign(signed_text(site, head).as_bytes())?;
    Ok(Event::Checkpoint {
        site: site.into(),
        signed: head.number,
        hash: head.hash.clone(),
        key_id: signer.public().key_id().into(),
        signature: STANDARD.encode(signature),
    })
}

/// Whether a checkpoint, taken apart, is signed by `key`.
pub(super) fn holds(site: &str, head: &Head, signature: &str, key: &PublicKey) -> bool {
    let Ok(bytes) = STANDARD.decode(signature) else { return false };
    let key_id = key.key_id();
    let rule = Rule { name: "importer".to_owned(), keys: vec![(key, key_id)], threshold: 1 };
    let signatures = [Signature { key_id: key_id.to_owned(), bytes }];
    is_media_name(site) && quorum::met(signed_text(site, head).as_bytes(), &signatures, &[rule], &[]).is_ok()
}

impl Text {
    /// For comparing with a key id.
    pub(super) fn is(&self, other: &str) -> bool {
        self.get() == other
    }
}
