//! Giving a home its name and its root of trust, and its memory back when that was lost.

use std::collections::BTreeMap;

use super::{Site, importer::still_counts, receipt::signed, told::Told};
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
    trust::{Algorithm, Chain, PrivateKey, PublicKey, sequence::Position},
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

impl Site {
    /// Names a home and pins its root of trust, once. What was lost comes back from receipts that this site
    /// signed: where each channel stood, the chain of receipts, the head of the ledger, which a new ledger goes
    /// on from. A site without receipts takes the word of people for the least that it may import.
    ///
    /// # Errors
    /// [`Reason::TrustPinned`] where a document is pinned; [`Reason::BadArgument`] for a name that no site can
    /// have; [`Reason::WrongSite`] for receipts of another; those of signatures;
    /// [`Reason::TrustTooOld`] and [`Reason::TrustFork`] where a receipt knows more of the trust documents;
    /// [`Reason::ChannelUnknown`]; [`Reason::ImporterRevoked`] and [`Reason::KeyRevoked`] for keys that the trust
    /// document has revoked;
    /// [`Reason::KeyExists`] for a given one where the home's own has signed its ledger;
    /// [`Reason::LedgerCheckpoint`] and [`Reason::LedgerCut`] for a home whose ledger is not as it left it.
    pub fn pin(&self, pin: &Pin<'_>) -> Result<Pinned> {
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
        let pinned = self.store.change(|change| {
            self.require_own_ledger(change)?;
            let known = self.known_importer()?;
            let own: Vec<&PublicKey> = known.iter().chain(&pin.importer).map(PrivateKey::public).collect();
            let importer = match pin.importer.as_ref().or(known.as_ref()) {
                Some(key) => key.clone(),
                None => PrivateKey::generate(Algorithm::Ed25519)?,
            };
            still_counts(&pin.chain, importer.public())?;
            let told = Told::by(pin, &own)?;
            if told.positions.is_empty() && pin.at_least.is_empty() {
                self.require_no_past(change)?;
            }
            let before = change.site()?.importer;
            self.name_importer(change, &importer)?;
            change.name_site(pin.name)?;
            self.begin(change, pin, &told)?;
            let heard = self.clocks(&change.site()?).best();
            for (channel, position) in &told.positions {
                change.place(channel, position, heard)?;
            }
            for (channel, [one, other]) in &told.frozen {
                change.freeze(channel, (one, other), heard)?;
            }
            for (channel, epoch, sequence) in &pin.at_least {
                change.at_least(channel, (*epoch, *sequence), heard)?;
            }
            self.listen(change)?;
            change.checkpoint(self.now, &importer)?;
            // Last, so that what is refused leaves no key behind.
            self.keep_importer(&importer, before.as_deref())?;
            let importer = importer.public().clone();
            let receipt = told.receipts.last().map(Receipt::digest);
            Ok(Pinned { importer, positions: told.positions, receipt })
        })?;
        self.place_importer();
        Ok(pinned)
    }

    /// Fails for a home that imported before, and whose database was lost: pinned as if it were new, it would take
    /// every bundle that it had already (threats C19).
    fn require_no_past(&self, change: &Change<'_>) -> Result<()> {
        if !self.has_lost_past(change)? {
            return Ok(());
        }
        let message = "it had contents and an importer key before its ledger began: its database was lost, and with it the order of its bundles";
        let home = self.store.home();
        Err(Failure::new(Reason::LedgerCut, home.display(), message).hint(
            "give the receipts that were kept (`--receipt`, the last of each channel at least), or the places that people \
             remember (`--at-least CHANNEL=EPOCH.SEQUENCE`); for a site that is new, name an empty home",
        ))
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
