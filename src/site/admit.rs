//! The one transaction of an import: judged again, published, and the channel moved.

use super::{
    Arrival, Site, Verdict,
    accept::learn,
    importer::{current_importer, still_counts},
    judge,
};
use crate::{
    base::{clock::Clocks, digest::Digest, failure::Result},
    ledger::{Event, KeyAction, OverrideAction, Text},
    report::{ImportReport, site::InDoubt},
    store::{Author, Change, Imported, Publication, SignedReceipt, Unfinished},
    trust::Chain,
};

/// What an import brought, complete where it goes to and not yet visible.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The bundle.
    pub arrival: Arrival<'a>,
    /// What becomes visible at home; nothing for an import into a registry.
    pub publication: Option<&'a Publication>,
    /// What is still to be brought afterwards, as people read it; [`Site::finished`] tells when it is.
    pub rest: Option<&'a str>,
    /// What is reported. The judgement is filled in, and what became doubtful by it.
    pub report: ImportReport,
}

/// An import that is done.
#[derive(Debug)]
pub struct Admitted {
    /// What is reported.
    pub report: ImportReport,
    /// The signed receipt.
    pub receipt: SignedReceipt,
    /// What was decided.
    pub verdict: Verdict,
}

impl Site {
    /// Judges a bundle before anything is written for it, and whether there is a key for its receipt.
    ///
    /// # Errors
    /// Those of [`judge()`]; `importer-revoked` where a trust document that the site knows, or that the bundle
    /// brings, has revoked the site's own key: no fault of the bundle.
    pub fn judge(&self, arrival: &Arrival<'_>) -> Result<Verdict> {
        self.store.state(|state| {
            let verdict = judge(state, arrival, Some(self.system))?;
            if let Some((chain, importer)) = arrival.chain.zip(current_importer(self.store.home(), state)?) {
                still_counts(chain, importer.public())?;
            }
            Ok(verdict)
        })
    }

    /// Makes an import true: everything visible, the place in the channel, what the media taught about trust,
    /// overrides used up, ledger and receipt, or nothing of it. The bundle is judged once more, by the state as
    /// it is then (threats R04).
    ///
    /// The very bundle that is here already is published again, which repairs what was lost, and leaves a receipt;
    /// its channel does not move.
    ///
    /// # Errors
    /// Those of [`Site::judge`] and [`Change::publish`], and of the database: then nothing happened.
    pub fn admit(&self, admission: &Admission<'_>) -> Result<Admitted> {
        let Admission { arrival, publication, .. } = admission;
        let mut report = admission.report.clone();
        self.change(|change, importer| {
            let verdict = judge(change, arrival, Some(self.system))?;
            let author = Author { who: format!("import {}", arrival.sums), time: self.now };
            publication.map_or(Ok(()), |publication| change.publish(publication, &author))?;
            if let Some(chain) = arrival.chain {
                still_counts(chain, importer.public())?;
                report.in_doubt = self.catch_up(change, chain)?;
            }
            report.site.clone_from(&verdict.site);
            report.trust_version = arrival.chain.map(Chain::version);
            report.again = verdict.judgement.again;
            report.warnings.clone_from(&verdict.judgement.warnings);
            let text = report.to_json()?;
            let receipt = self.passed_receipt(change, (admission, &verdict), (&report, &text), importer)?;
            change.add_receipt(&receipt)?;
            change.report(arrival.sums, &text)?;
            self.move_channel(change, arrival, &verdict, &receipt.digest)?;
            if let Some(work) = admission.rest.filter(|_| verdict.site.is_some()) {
                change.begin(&unfinished(arrival, work))?;
            }
            if let Some(key_id) = &report.sign_key {
                change.append(self.now, &signed_images(key_id))?;
            }
            change.append(self.now, &imported(arrival, &verdict, &report, &text, &receipt.digest))?;
            Ok(Admitted { report, receipt, verdict })
        })
    }

    /// Notes that what was left to be brought of an admitted bundle is there. Nothing that the ledger tells of.
    ///
    /// # Errors
    /// Those of the database.
    pub fn finished(&self, arrival: &Arrival<'_>, work: &str) -> Result<()> {
        self.store.change(|change| change.finish(&unfinished(arrival, work)))
    }

    /// Takes over what the media brought of the trust chain, and says which imports of before that puts in doubt:
    /// the newest document knows of all.
    fn catch_up(&self, change: &Change<'_>, chain: &Chain) -> Result<Vec<InDoubt>> {
        let known = change.trust()?.len();
        let mut news = chain.notes().skip(known).zip(chain.documents().skip(known));
        news.try_fold(Vec::new(), |_, ((_, note), document)| learn(change, self.now, note, document))
    }

    fn move_channel(
        &self,
        change: &Change<'_>,
        arrival: &Arrival<'_>,
        verdict: &Verdict,
        receipt: &Digest,
    ) -> Result<()> {
        let channel = &arrival.header.channel;
        let clocks = Clocks { system: self.system, floor: verdict.floor };
        for (id, effect) in &verdict.overrides {
            change.use_override(id, receipt)?;
            let (id, bundle) = (id.clone(), arrival.sums.clone());
            let event = Event::Override { id, bundle, effect: *effect, action: OverrideAction::Used };
            change.append(self.now, &event)?;
        }
        if verdict.site.is_none() {
            return Ok(());
        }
        change.raise_floor(clocks.raised(arrival.header.created))?;
        if verdict.judgement.again {
            return if verdict.judgement.lifted.is_empty() { Ok(()) } else { change.thaw(channel) };
        }
        let imported = Imported {
            channel: channel.clone(),
            position: arrival.position(),
            receipt: receipt.clone(),
            signers: arrival.signers.to_vec(),
        };
        change.advance(&imported, clocks.best())
    }
}

fn unfinished(arrival: &Arrival<'_>, work: &str) -> Unfinished {
    let (channel, bundle) = (arrival.header.channel.clone(), arrival.sums.clone());
    Unfinished { work: work.to_owned(), channel, bundle }
}

/// That the site's signatures were made for what is imported.
fn signed_images(key_id: &str) -> Event {
    Event::Key {
        key_id: key_id.into(),
        purpose: "image-signing".into(),
        action: KeyAction::Used,
        public_key: None,
        replaces: None,
    }
}

fn imported(
    arrival: &Arrival<'_>,
    verdict: &Verdict,
    report: &ImportReport,
    text: &str,
    receipt: &Digest,
) -> Event {
    let at = arrival.position();
    Event::Import {
        bundle: at.bundle,
        channel: Text::new(&arrival.header.channel),
        epoch: at.epoch,
        sequence: at.sequence,
        destination: Text::new(&report.destination),
        report: Digest::of(text.as_bytes()),
        receipt: Some(receipt.clone()),
        signers: arrival.signers.to_vec(),
        warnings: verdict.judgement.warnings.clone(),
        overrides: verdict.overrides.iter().map(|(id, _)| id.clone()).collect(),
    }
}
