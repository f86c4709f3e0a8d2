//! What a site signs about an import, or about its refusal.

use super::{Admission, Site, Verdict, chain};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Result},
    },
    report::{
        ImportReport, Receipt,
        receipt::{Facts, Outcome, Place, TrustState},
    },
    store::{Change, SignedReceipt, State},
    trust::{Chain, PrivateKey, sequence::Position},
};

impl Site {
    /// The receipt of an import, in the change that makes it true.
    pub(super) fn passed_receipt(
        &self,
        change: &Change<'_>,
        (admission, verdict): (&Admission<'_>, &Verdict),
        (report, text): (&ImportReport, &str),
        importer: &PrivateKey,
    ) -> Result<SignedReceipt> {
        let arrival = &admission.arrival;
        let at = arrival.position();
        let missing: Vec<Digest> =
            report.artifacts.iter().flat_map(|artifact| artifact.absent.iter().cloned()).collect();
        let facts = Facts {
            channel: Some(arrival.header.channel.clone()),
            bundle: Some(Place { epoch: at.epoch, sequence: at.sequence }),
            prior: verdict.memory.last.clone(),
            trust: arrival.chain.and_then(trust_state),
            overrides: verdict.overrides.iter().map(|(id, _)| id.clone()).collect(),
            warnings: verdict.judgement.warnings.clone(),
            counts: Some(report.counts),
            report: Some(Digest::of(text.as_bytes())),
            missing_count: missing.len() as u64,
            missing,
            ..self.facts(change, Outcome::Imported)?
        };
        signed(&Receipt::sign(arrival.sums, facts, importer)?)
    }

    /// The receipt of a refusal; `place` is the channel of the bundle and where it stands there, as far as that
    /// can be believed.
    pub(super) fn failed_receipt(
        &self,
        change: &Change<'_>,
        (bundle, place): (&Digest, Option<(&str, &Position)>),
        why: &Failure,
        importer: &PrivateKey,
    ) -> Result<SignedReceipt> {
        let memory = place.map(|(channel, _)| change.memory(channel)).transpose()?.unwrap_or_default();
        let facts = Facts {
            channel: place.map(|(channel, _)| channel.to_owned()),
            bundle: place.map(|(_, here)| Place { epoch: here.epoch, sequence: here.sequence }),
            prior: memory.last,
            frozen: memory.frozen.map(|(one, other)| [one, other]),
            trust: chain(change)?.as_ref().and_then(trust_state),
            reason: Some(why.reason.text().to_owned()),
            ..self.facts(change, Outcome::Refused)?
        };
        signed(&Receipt::sign(bundle, facts, importer)?)
    }

    /// What every receipt says.
    fn facts(&self, state: &State<'_>, result: Outcome) -> Result<Facts> {
        let row = state.site()?;
        Ok(Facts {
            site: row.name,
            time: self.now,
            floor: row.floor,
            channel: None,
            bundle: None,
            prior: None,
            frozen: None,
            trust: None,
            result,
            reason: None,
            overrides: Vec::new(),
            warnings: Vec::new(),
            counts: None,
            report: None,
            missing_count: 0,
            missing: Vec::new(),
            ledger: state.ledger_head()?,
            previous: state.last_receipt()?,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

/// Version and fingerprint of the newest document.
fn trust_state(chain: &Chain) -> Option<TrustState> {
    let (version, note) = chain.notes().last()?;
    Some(TrustState { version, digest: note.fingerprint() })
}

/// A receipt as the store keeps it.
pub(super) fn signed(receipt: &Receipt) -> Result<SignedReceipt> {
    let text = String::from_utf8(receipt.bytes().to_vec()).map_err(Failure::internal)?;
    Ok(SignedReceipt { digest: receipt.digest(), bundle: receipt.bundle().clone(), text })
}
