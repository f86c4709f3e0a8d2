//! Giving a home its name and its root of trust, and its memory back when that was lost.

use std::collections::BTreeMap;

use super::{Site, receipt::signed};
use crate::{
    base::{
        clock::Clocks,
        digest::Digest,
        failure::{Failure, Reason, Result},
        path::is_media_name,
    },
    ledger::{Event, TrustAction},
    report::Receipt,
    store::Change,
    trust::{Chain, PrivateKey, PublicKey, Rule, sequence::Position},
};

/// What a site begins with.
#[derive(Debug)]
pub struct Pin<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whom it believes. The caller knows that it is the right one.
    pub chain: Chain,
    /// Receipts of this very site from before its state was lost.
    pub receipts: Vec<Vec<u8>>,
    /// Keys that may have signed them, beside those that the trust document names and the one of this home.
    pub receipt_keys: Vec<PublicKey>,
    /// Channels of which nothing before this epoch and sequence is taken.
    pub at_least: Vec<(String, u64, u64)>,
    /// The key that signs receipts from now on, if it is not to be a new one.
    pub importer: Option<PrivateKey>,
}

/// What a site begins with, for people.
#[derive(Debug)]
pub struct Pinned {
    /// The key that signs its receipts.
    pub importer: PublicKey,
    /// Where its channels stand.
    pub positions: BTreeMap<String, Position>,
    /// The receipt that it goes on from.
    pub receipt: Option<Digest>,
}

/// What receipts of before tell.
struct Told {
    /// Oldest first, by the ledger of before.
    receipts: Vec<Receipt>,
    positions: BTreeMap<String, Position>,
    frozen: BTreeMap<String, (Digest, Digest)>,
}

impl Site {
    /// Names a home and pins its root of trust, once. What was lost comes back from receipts that this site
    /// signed: where each channel stood, the chain of receipts, the head of the ledger, which a new ledger goes
    /// on from. A site without receipts takes the word of people for the least that it may import.
    ///
    /// # Errors
    /// [`Reason::TrustPinned`] where a document is pinned; [`Reason::BadArgument`] for a name that no site can
    /// have; [`Reason::WrongSite`] for receipts of another; those of signatures;
    /// [`Reason::TrustTooOld`] and [`Reason::TrustFork`] where a receipt knows more of the trust documents;
    /// [`Reason::ChannelUnknown`]; [`Reason::KeyExists`].
    pub fn pin(&self, mut pin: Pin<'_>) -> Result<Pinned> {
        if !is_media_name(pin.name) {
            let message = format!("`{}` is no name of a site: 1 to 64 of a-z 0-9 . _ -", pin.name);
            return Err(Failure::new(Reason::BadArgument, "--site", message).hint("choose a plain name"));
        }
        for (channel, epoch, _) in &pin.at_least {
            let known = pin.chain.latest().channel(channel)?.epoch;
            if *epoch > known {
                let message = format!("the trust document gives {channel} the epoch {known}, not {epoch}");
                return Err(Failure::new(Reason::BadArgument, "--at-least", message)
                    .hint("a newer trust document is missing, or the number is wrong"));
            }
        }
        if let Some(known) = self.store.state(|state| Ok(state.site()?.name))? {
            let message = format!("the home is the site {known} and has a pinned trust document");
            return Err(Failure::new(Reason::TrustPinned, "site", message)
                .hint("give newer trust documents with `sealift trust accept`; a site is pinned once"));
        }
        let own = match pin.importer.take() {
            Some(key) => Some(self.keep_importer(key)?),
            None => self.known_importer()?,
        };
        let told = told(&pin, own.as_ref())?;
        self.change(|change, importer| {
            change.name_site(pin.name)?;
            self.begin(change, &pin, &told)?;
            let heard = self.clocks(&change.site()?).best();
            for (channel, position) in &told.positions {
                change.place(channel, position, heard)?;
            }
            for (channel, (one, other)) in &told.frozen {
                change.freeze(channel, (one, other), heard)?;
            }
            for (channel, epoch, sequence) in &pin.at_least {
                change.at_least(channel, (*epoch, *sequence), heard)?;
            }
            let importer = importer.public().clone();
            let receipt = told.receipts.last().map(Receipt::digest);
            Ok(Pinned { importer, positions: told.positions, receipt })
        })
    }

    fn begin(&self, change: &Change<'_>, pin: &Pin<'_>, told: &Told) -> Result<()> {
        let last = told.receipts.last();
        if let Some(last) = last {
            let (receipt, ledger) = (last.digest(), last.facts().ledger.clone());
            change.append(self.now, &Event::Reseeded { receipt, ledger })?;
        }
        let mut floor = change.site()?.floor;
        for receipt in &told.receipts {
            change.add_receipt(&signed(receipt)?)?;
            floor = Clocks { system: self.system, floor }.raised(receipt.facts().floor);
        }
        change.raise_floor(floor)?;
        let action = if last.is_some() { TrustAction::Reseeded } else { TrustAction::Pinned };
        for (version, note) in pin.chain.notes() {
            change.add_trust(version, &note.to_bytes())?;
            let (fingerprint, in_doubt) = (note.fingerprint(), Vec::new());
            change.append(self.now, &Event::Trust { version, fingerprint, action, in_doubt })?;
        }
        Ok(())
    }
}

/// Reads the receipts, each signed by whoever signs for this site.
fn told(pin: &Pin<'_>, own: Option<&PrivateKey>) -> Result<Told> {
    let mut rule = pin.chain.latest().importer_rule();
    let given = pin.receipt_keys.iter().chain(own.map(PrivateKey::public));
    rule.keys.extend(given.map(|key| (key, "this site")));
    let mut receipts =
        pin.receipts.iter().map(|bytes| open(pin, bytes, &rule)).collect::<Result<Vec<_>>>()?;
    receipts.sort_by_key(|receipt| receipt.facts().ledger.number);
    receipts.dedup();
    let mut told = Told { receipts, positions: BTreeMap::new(), frozen: BTreeMap::new() };
    for receipt in &told.receipts {
        let facts = receipt.facts();
        let Some(channel) = &facts.channel else { continue };
        if facts.reason.as_deref() == Some(Reason::Equivocation.text()) {
            let known = facts.prior.as_ref().map_or_else(|| receipt.bundle(), |prior| &prior.bundle);
            told.frozen.insert(channel.clone(), (known.clone(), receipt.bundle().clone()));
        } else if facts.reason.is_none() {
            told.frozen.remove(channel);
        }
        // The highest, not the last: whoever went back by an override needs another to do it once more.
        let place = |position: &Position| (position.epoch, position.sequence);
        let newer = |position: &&Position| {
            told.positions.get(channel).is_none_or(|known| place(known) <= place(position))
        };
        if let Some(position) = receipt.position().as_ref().filter(newer) {
            told.positions.insert(channel.clone(), position.clone());
        }
    }
    Ok(told)
}

fn open(pin: &Pin<'_>, bytes: &[u8], rule: &Rule<'_>) -> Result<Receipt> {
    let receipt = Receipt::open(bytes, rule)?;
    let wrong = |reason: Reason, message: String, hint: &str| {
        Err(Failure::new(reason, format!("receipt {}", receipt.digest()), message).hint(hint))
    };
    let facts = receipt.facts();
    if facts.site.as_deref() != Some(pin.name) {
        let of = facts.site.as_deref().unwrap_or("a home without a name");
        let message = format!("it is of {of}, this is to be {}", pin.name);
        return wrong(Reason::WrongSite, message, "give receipts that this site signed, and its own name");
    }
    let Some(trust) = &facts.trust else { return Ok(receipt) };
    if trust.version > pin.chain.version() {
        let message =
            format!("it knows trust version {}, the one given is {}", trust.version, pin.chain.version());
        return wrong(Reason::TrustTooOld, message, "pin the newest trust document that the site had");
    }
    let same = pin.chain.notes().find(|(version, _)| *version == trust.version);
    if same.is_some_and(|(_, note)| note.fingerprint() != trust.digest) {
        let message = format!("it knows trust version {} as another document", trust.version);
        return wrong(Reason::TrustFork, message, "ask the root holders by another way which one is right");
    }
    Ok(receipt)
}
