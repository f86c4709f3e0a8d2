//! What was refused: kept in the ledger and as a receipt, so that nobody can try in silence.

use super::{Arrival, Site};
use crate::{
    base::{
        digest::Digest,
        failure::{Class, Failures, Reason, Result},
    },
    ledger::{Event, Text},
    store::{Change, HeldOverride, SignedReceipt},
    trust::{Effect, sequence::Position},
};

/// Something that is refused.
#[derive(Debug)]
pub struct Refused<'a> {
    /// What was to be done: `import`.
    pub action: &'a str,
    /// Digest of the bundle's `SHA256SUMS`, as far as it could be read.
    pub sums: Option<&'a Digest>,
    /// The bundle, if its signatures hold: nothing else of it may be believed.
    pub arrival: Option<Arrival<'a>>,
    /// Why.
    pub failures: &'a Failures,
}

impl Site {
    /// Keeps what was refused for a reason of its own; trouble of this machine or of a server leaves nothing
    /// behind. Two bundles of one place freeze their channel here.
    ///
    /// # Errors
    /// Those of the database: then the caller tells both.
    pub fn refuse(&self, refused: &Refused<'_>) -> Result<Option<SignedReceipt>> {
        let Some(worst) = refused.failures.worst().filter(|worst| is_judgement(worst.reason)) else {
            return Ok(None);
        };
        self.change(|change, importer| {
            if let Some(arrival) = refused.arrival.filter(|_| worst.reason == Reason::Equivocation) {
                let (channel, here) = (&arrival.header.channel, arrival.position());
                // Looks once more, in the change: what contradicts must still do so.
                if let Some(known) = change.memory(channel)?.contradiction(&here) {
                    self.freeze(change, channel, known, &here)?;
                }
            }
            let receipt = self.failed_receipt(change, refused, worst, importer)?;
            receipt.as_ref().map_or(Ok(()), |receipt| change.add_receipt(receipt))?;
            let event = Event::Refusal {
                action: refused.action.into(),
                bundle: refused.sums.cloned(),
                reason: worst.reason.text().into(),
                code: refused.failures.code(),
                object: Text::new(&worst.object),
                message: Text::new(&worst.message),
                receipt: receipt.as_ref().map(|receipt| receipt.digest.clone()),
            };
            change.append(self.now, &event)?;
            Ok(receipt)
        })
    }

    /// Freezes a channel for two bundles of one place, and says whether it is frozen now.
    pub(super) fn freeze(
        &self,
        change: &Change<'_>,
        channel: &str,
        known: &Position,
        here: &Position,
    ) -> Result<bool> {
        if change.memory(channel)?.frozen.is_some() {
            return Ok(true);
        }
        // Once it is settled which one is right, showing the other again stops nobody.
        let settles = |order: &HeldOverride| order.effect == Effect::Equivocation && order.used_by.is_some();
        if change.overrides(channel, &known.bundle)?.iter().any(settles) {
            return Ok(false);
        }
        let heard = self.clocks(&change.site()?).best();
        change.freeze(channel, (&known.bundle, &here.bundle), heard)?;
        let bundles = [known.bundle.clone(), here.bundle.clone()];
        let (epoch, sequence) = (here.epoch, here.sequence);
        let channel = channel.into();
        change.append(self.now, &Event::Frozen { channel, epoch, sequence, bundles })?;
        Ok(true)
    }
}

/// Whether a reason is a judgement of what was brought, and not trouble of this machine or of a server.
fn is_judgement(reason: Reason) -> bool {
    matches!(
        reason.class(),
        Class::Damaged | Class::Untrusted | Class::Stale | Class::Refused | Class::Policy
    )
}
