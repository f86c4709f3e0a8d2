//! What was refused: kept in the ledger and as a receipt, so that nobody can try in silence.

use super::{Arrival, Site, accept::Contradiction, judge::remembered};
use crate::{
    base::{
        digest::Digest,
        failure::{Class, Failure, Failures, Reason, Result},
    },
    ledger::{Event, Text},
    store::{Change, HeldOverride, SignedReceipt},
    trust::{Effect, PrivateKey, sequence::Position},
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

/// What became of a channel that should freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freeze {
    /// It was frozen already.
    Before,
    /// It froze.
    Now,
    /// An override has said which of the two bundles is right.
    Settled,
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
            let arrival = refused.arrival.filter(|_| worst.reason == Reason::Equivocation);
            if let Some((arrival, chain)) = arrival.and_then(|arrival| Some((arrival, arrival.chain?))) {
                let (channel, here) = (&arrival.header.channel, arrival.position());
                // Looks once more, in the change: what contradicts must still do so.
                if let Some(known) = remembered(change, channel, chain)?.contradiction(&here) {
                    self.freeze(change, channel, known, &here)?;
                }
            }
            let place = refused.arrival.map(|arrival| (arrival.header.channel.as_str(), arrival.position()));
            let place = place.as_ref().map(|(channel, here)| (*channel, here));
            self.keep(change, importer, refused.action, (refused.sums, place), worst)
        })
    }

    /// Keeps that a document was refused. A beacon that contradicts what is known freezes its channel: with a
    /// receipt about the bundle that it names, for a site that loses its state must stay frozen by this too.
    /// Says whether that channel is frozen now.
    pub(super) fn refuse_document(
        &self,
        contradiction: Option<&Contradiction>,
        why: &Failure,
    ) -> Result<bool> {
        self.change(|change, importer| {
            let freeze = contradiction
                .map(|Contradiction { channel, known, told }| self.freeze(change, channel, known, told))
                .transpose()?;
            let about = match contradiction.filter(|_| freeze == Some(Freeze::Now)) {
                Some(Contradiction { channel, told, .. }) => {
                    (Some(&told.bundle), Some((channel.as_str(), told)))
                }
                None => (None, None),
            };
            self.keep(change, importer, "trust accept", about, why)?;
            Ok(freeze.is_some_and(|freeze| freeze != Freeze::Settled))
        })
    }

    /// The record of a refusal, and its receipt where it is known which bundle it is about.
    fn keep(
        &self,
        change: &Change<'_>,
        importer: &PrivateKey,
        action: &str,
        (bundle, place): (Option<&Digest>, Option<(&str, &Position)>),
        why: &Failure,
    ) -> Result<Option<SignedReceipt>> {
        let receipt =
            bundle.map(|bundle| self.failed_receipt(change, (bundle, place), why, importer)).transpose()?;
        receipt.as_ref().map_or(Ok(()), |receipt| change.add_receipt(receipt))?;
        let event = Event::Refusal {
            action: action.into(),
            bundle: bundle.cloned(),
            reason: why.reason.text().into(),
            code: why.reason.class().code(),
            object: Text::new(&why.object),
            message: Text::new(&why.message),
            receipt: receipt.as_ref().map(|receipt| receipt.digest.clone()),
        };
        change.append(self.now, &event)?;
        Ok(receipt)
    }

    /// Freezes a channel for two bundles of one place.
    fn freeze(
        &self,
        change: &Change<'_>,
        channel: &str,
        known: &Position,
        here: &Position,
    ) -> Result<Freeze> {
        if change.memory(channel)?.frozen.is_some() {
            return Ok(Freeze::Before);
        }
        // Once it is settled which one is right, showing the other again stops nobody.
        let settles = |order: &HeldOverride| order.effect == Effect::Equivocation && order.used_by.is_some();
        if change.overrides(channel, &known.bundle)?.iter().any(settles) {
            return Ok(Freeze::Settled);
        }
        let heard = self.clocks(&change.site()?).best();
        change.freeze(channel, (&known.bundle, &here.bundle), heard)?;
        let bundles = [known.bundle.clone(), here.bundle.clone()];
        let (epoch, sequence) = (here.epoch, here.sequence);
        let channel = channel.into();
        change.append(self.now, &Event::Frozen { channel, epoch, sequence, bundles }).map(|_head| Freeze::Now)
    }
}

/// Whether a reason is a judgement of what was brought, and not trouble of this machine or of a server.
pub(super) fn is_judgement(reason: Reason) -> bool {
    matches!(
        reason.class(),
        Class::Damaged | Class::Untrusted | Class::Stale | Class::Refused | Class::Policy
    )
}
