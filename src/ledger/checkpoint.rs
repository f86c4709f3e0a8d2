//! Checkpoints: the site signs where its ledger stands.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Event, Head, Record, Text};
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

impl Record {
    /// Where the ledger stood before it.
    pub(super) fn before(&self) -> Head {
        Head { number: self.number.saturating_sub(1), hash: self.previous.clone() }
    }

    /// Whether it is a checkpoint that holds where it stands, signed by `key`.
    pub fn is_sealed_by(&self, key: &PublicKey) -> bool {
        let Event::Checkpoint { site, signed, hash, key_id, signature } = &self.event else { return false };
        let Ok(bytes) = STANDARD.decode(signature) else { return false };
        let (head, name) = (self.before(), key.key_id());
        let rule = Rule { name: "importer".to_owned(), keys: vec![(key, name)], threshold: 1 };
        let signatures = [Signature { key_id: name.to_owned(), bytes }];
        let is_here =
            (*signed, hash) == (head.number, &head.hash) && key_id.is(name) && is_media_name(site.get());
        let text = signed_text(site.get(), &head);
        is_here && quorum::met(text.as_bytes(), &signatures, &[rule], &[]).is_ok()
    }
}

impl Text {
    /// For comparing with a key id.
    pub(super) fn is(&self, other: &str) -> bool {
        self.get() == other
    }
}
