//! Newer trust documents, beacons and overrides, handed to a site by another way than a bundle.

use super::{
    Site,
    judge::{believed_beacon, held_beacon, remembered},
    pinned,
    refuse::is_judgement,
};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason, Result},
    },
    ledger::{Event, OverrideAction, TrustAction},
    report::site::{Accepted, InDoubt},
    store::{Change, Imported},
    trust::{
        Beacon, Chain, Document, Note, Override, Quorum, document, order,
        sequence::{Position, TWO_BUNDLES},
    },
};

/// What to do about two bundles of one place that froze their channel.
const FROZEN: &str = "somebody signed two bundles of one sequence, and the channel is frozen until an override says which is right: tell the sender by another way, with both digests";

/// Two bundles of one place, both signed for. What of it was kept in the change is gone with the change.
pub(super) struct Contradiction {
    pub(super) channel: String,
    pub(super) known: Position,
    pub(super) told: Position,
}

/// Why documents were not taken.
#[derive(Debug)]
pub struct NotTaken {
    /// Which of them was refused, counted from 0; `None` where none is to blame.
    pub document: Option<usize>,
    /// Why.
    pub why: Failure,
    /// Why the refusal could not be kept, where it could not.
    pub unkept: Option<Box<Failure>>,
}

impl From<Failure> for NotTaken {
    fn from(why: Failure) -> Self {
        Self { document: None, why, unkept: None }
    }
}

impl Site {
    /// Takes documents, in this order, all or none. What each is, its first line says; who must have signed it,
    /// the trust documents that the site has by then. A refusal is kept, and two bundles of one place freeze their
    /// channel.
    ///
    /// # Errors
    /// [`Reason::TrustMissing`] where nothing is pinned; those of [`Chain::extend`], [`Beacon::open`],
    /// [`Override::open`]; [`Reason::WrongType`] for another kind; [`Reason::BeaconStale`];
    /// [`Reason::OverrideRefused`]; [`Reason::Equivocation`] for a beacon that names another bundle than the one
    /// that is known or that another one of them names.
    pub fn accept(&self, documents: &[Vec<u8>]) -> Result<Vec<Accepted>, NotTaken> {
        self.store.state(pinned)?;
        let (mut at, mut contradiction) = (None, None);
        let taken = self.change(|change, _| {
            let one = |(number, bytes): (usize, &Vec<u8>)| {
                self.accept_one(change, bytes, &mut contradiction).inspect_err(|_| at = Some(number))
            };
            documents.iter().enumerate().map(one).collect()
        });
        taken.map_err(|why| match at.filter(|_| is_judgement(why.reason)) {
            None => why.into(),
            document => match self.refuse_document(contradiction.as_ref(), &why) {
                Ok(true) => NotTaken { document, why: why.hint(FROZEN), unkept: None },
                Ok(false) => NotTaken { document, why, unkept: None },
                Err(failure) => NotTaken { document, why, unkept: Some(Box::new(failure)) },
            },
        })
    }

    fn accept_one(
        &self,
        change: &Change<'_>,
        bytes: &[u8],
        contradiction: &mut Option<Contradiction>,
    ) -> Result<Accepted> {
        let (site, mut chain) = pinned(change)?;
        let note = Note::parse(bytes)?;
        match note.kind() {
            Some(document::KIND) => self.accept_trust(change, &mut chain, &note),
            Some(order::BEACON) => self.accept_beacon(change, &chain, &note, contradiction),
            Some(order::OVERRIDE) => self.accept_override(change, &chain, &site, &note),
            other => {
                let found = other.unwrap_or("something else");
                let message = format!("expected a trust document, a beacon or an override, found `{found}`");
                Err(Failure::new(Reason::WrongType, "signed document", message)
                    .hint("give the file as it was handed out"))
            }
        }
    }

    fn accept_trust(&self, change: &Change<'_>, chain: &mut Chain, note: &Note) -> Result<Accepted> {
        let fingerprint = note.fingerprint();
        if chain.notes().any(|(_, known)| known.fingerprint() == fingerprint) {
            return Ok(Accepted::Known { fingerprint: fingerprint.hex().to_owned() });
        }
        chain.extend(&note.to_bytes())?;
        let in_doubt = learn(change, self.now, note, chain.latest())?;
        Ok(Accepted::Trust { version: chain.version(), fingerprint: fingerprint.hex().to_owned(), in_doubt })
    }

    fn accept_beacon(
        &self,
        change: &Change<'_>,
        chain: &Chain,
        note: &Note,
        contradiction: &mut Option<Contradiction>,
    ) -> Result<Accepted> {
        let (beacon, _) = Beacon::open(note, chain)?;
        let (channel, newest) = (&beacon.channel, &beacon.newest);
        let stale = |message: String| {
            Err(Failure::new(Reason::BeaconStale, format!("beacon of {channel}"), message)
                .hint("ask the sender for a newer one"))
        };
        let epoch = chain.latest().channel(channel)?.epoch;
        if newest.epoch != epoch {
            return stale(format!("expected epoch {epoch}, found {}", newest.epoch));
        }
        let memory = remembered(change, channel, chain)?;
        if let Some(known) = memory.contradiction(newest) {
            let message = format!(
                "sequence {} is known here as {}, the beacon says {}",
                newest.sequence, known.bundle, newest.bundle
            );
            *contradiction =
                Some(Contradiction { channel: channel.clone(), known: known.clone(), told: newest.clone() });
            return Err(
                Failure::new(Reason::Equivocation, format!("beacon of {channel}"), message).hint(TWO_BUNDLES)
            );
        }
        let believed = believed_beacon(change, channel, chain)?;
        if believed.as_ref() == Some(&beacon) {
            return Ok(Accepted::Known { fingerprint: note.fingerprint().hex().to_owned() });
        }
        let least = believed.map_or(0, |known| known.trust);
        if beacon.trust < least {
            let found = beacon.trust;
            return stale(format!(
                "it tells of trust version {found}, the site has one that tells of {least}"
            ));
        }
        if let Some(known) = held_beacon(change, channel, chain)?.filter(|known| known.newest.epoch == epoch)
            && (known.newest.sequence, known.created) >= (newest.sequence, beacon.created)
        {
            let (found, made) = (newest.sequence, beacon.created);
            let message = format!(
                "it tells of sequence {found} and was made at {made}; the site has one of sequence {} from {}",
                known.newest.sequence, known.created
            );
            return stale(message);
        }
        let clocks = self.clocks(&change.site()?);
        change.raise_floor(clocks.raised(beacon.created))?;
        change.set_beacon(&beacon, &note.to_bytes(), clocks.best())?;
        let event = Event::Beacon {
            channel: channel.as_str().into(),
            epoch,
            sequence: newest.sequence,
            bundle: newest.bundle.clone(),
        };
        change.append(self.now, &event)?;
        Ok(Accepted::Beacon {
            channel: channel.clone(),
            newest: newest.clone(),
            behind: memory.is_behind(newest),
            trust_missing: (beacon.trust > chain.version()).then_some(beacon.trust),
        })
    }

    fn accept_override(
        &self,
        change: &Change<'_>,
        chain: &Chain,
        site: &str,
        note: &Note,
    ) -> Result<Accepted> {
        let (order, Quorum { .. }) = Override::open(note, chain)?;
        let id = note.fingerprint();
        let refused = |message: String, hint: &str| {
            Err(Failure::new(Reason::OverrideRefused, format!("override {}", id.hex()), message).hint(hint))
        };
        if order.site != site {
            let message = format!("it is for the site {}, this site is {site}", order.site);
            return refused(message, "ask for one for this site");
        }
        let known = change.overrides(&order.channel, &order.bundle)?;
        match known.iter().find(|known| known.id == id).map(|known| known.used_by.is_some()) {
            Some(true) => return refused("it was used up already".to_owned(), "ask for a new one"),
            Some(false) => return Ok(Accepted::Known { fingerprint: id.hex().to_owned() }),
            None => {}
        }
        let clocks = self.clocks(&change.site()?);
        change.raise_floor(clocks.raised(order.created))?;
        change.add_override(&id, &note.to_bytes(), &order, self.now)?;
        let event = Event::Override {
            id: id.clone(),
            bundle: order.bundle.clone(),
            effect: order.effect,
            action: OverrideAction::Accepted,
        };
        change.append(self.now, &event)?;
        Ok(Accepted::Override {
            id: id.hex().to_owned(),
            bundle: order.bundle.to_string(),
            effect: order.effect.name(),
        })
    }
}

/// Keeps a trust document that follows the ones that are known, and finds the imports of before that it puts in
/// doubt.
pub(super) fn learn(
    change: &Change<'_>,
    now: Timestamp,
    note: &Note,
    document: &Document,
) -> Result<Vec<InDoubt>> {
    change.add_trust(document.version(), &note.to_bytes())?;
    let in_doubt = in_doubt(&change.imported()?, document);
    let mut keys: Vec<&str> = in_doubt.iter().map(|doubt| doubt.key_id.as_str()).collect();
    keys.dedup();
    let event = Event::Trust {
        version: document.version(),
        fingerprint: note.fingerprint(),
        action: TrustAction::Accepted,
        in_doubt: keys.into_iter().map(Into::into).collect(),
    };
    change.append(now, &event)?;
    Ok(in_doubt)
}

/// The imports that a document puts in doubt: those that a key signed which it revokes, from the sequence on that
/// it says. A revocation is never taken back, so the newest document knows of all.
pub(super) fn in_doubt(imported: &[Imported], document: &Document) -> Vec<InDoubt> {
    let mut in_doubt = Vec::new();
    for revoked in &document.text().revoked {
        let Some(since) = revoked.since_sequence else { continue };
        let signed = imported.iter().filter(|import| {
            import.position.sequence >= since && import.signers.iter().any(|by| by.key_id == revoked.id)
        });
        in_doubt.extend(signed.map(|import| InDoubt {
            channel: import.channel.clone(),
            position: import.position.clone(),
            key_id: revoked.id.clone(),
            holder: revoked.holder.clone(),
        }));
    }
    in_doubt
}
