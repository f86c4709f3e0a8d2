//! What receipts of before tell a site that lost its state.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    iter,
};

use super::{Pin, importer::still_counts};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    report::Receipt,
    trust::{PublicKey, Rule, sequence::Position},
};

/// What receipts of before tell.
pub(super) struct Told {
    /// Each once, and after the one that it names as the one before.
    pub(super) receipts: Vec<Receipt>,
    /// Where each channel stood.
    pub(super) positions: BTreeMap<String, Position>,
    /// The two bundles that froze a channel.
    pub(super) frozen: BTreeMap<String, [Digest; 2]>,
}

impl Told {
    /// Reads the receipts, each signed by whoever signs for this site: `own` are keys of its home.
    pub(super) fn by(pin: &Pin<'_>, own: &[&PublicKey]) -> Result<Self> {
        let mut rule = pin.chain.latest().importer_rule();
        for key in &pin.receipt_keys {
            still_counts(&pin.chain, key).map_err(|failure| {
                let hint = "what it signed brings nothing back: give receipts that another key signed, or places (`--at-least CHANNEL=EPOCH.SEQUENCE`)";
                failure.of(format!("--receipt-key {}", key.key_id())).as_reason(Reason::KeyRevoked).hint(hint)
            })?;
        }
        let own = own.iter().copied().filter(|key| still_counts(&pin.chain, key).is_ok());
        rule.keys.extend(pin.receipt_keys.iter().chain(own).map(|key| (key, "this site")));
        let receipts = pin.receipts.iter().map(|bytes| open(pin, bytes, &rule)).collect::<Result<_>>()?;
        let receipts = in_order(receipts);
        let given: HashSet<Digest> = receipts.iter().map(Receipt::digest).collect();
        let is_missing = |digest: &Digest| !given.contains(digest);
        if receipts.iter().all(|receipt| receipt.facts().channel.is_none())
            && receipts.iter().any(|receipt| receipt.facts().previous.as_ref().is_some_and(is_missing))
        {
            let message = "they tell of bundles that were refused before their channel could be believed, and of no channel";
            return Err(Failure::new(Reason::BadArgument, "--receipt", message).hint(
                "give the receipts before and between them too, best all that are kept; or none of them, and the places \
                 that people remember (`--at-least CHANNEL=EPOCH.SEQUENCE`)",
            ));
        }
        Ok(Self { positions: positions(&receipts), frozen: frozen(&receipts), receipts })
    }
}

/// By the receipt that each names as the one before: a ledger that began anew counts from 1 again. Where receipts
/// between them are missing, by the floor of time, which never falls, and only then by the clock and the ledger.
fn in_order(mut receipts: Vec<Receipt>) -> Vec<Receipt> {
    receipts.sort_by_key(|receipt| {
        let facts = receipt.facts();
        (facts.floor, facts.time, facts.ledger.number)
    });
    let digests: Vec<Digest> = receipts.iter().map(Receipt::digest).collect();
    let mut waiting: HashMap<Digest, Receipt> = digests.iter().cloned().zip(receipts).collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    for digest in digests {
        let mut run = Vec::new();
        let mut next = Some(digest);
        while let Some(receipt) = next.take().and_then(|digest| waiting.remove(&digest)) {
            next.clone_from(&receipt.facts().previous);
            run.push(receipt);
        }
        ordered.extend(run.into_iter().rev());
    }
    ordered
}

/// The highest, not the last: whoever went back by an override needs another to do it once more.
fn positions(receipts: &[Receipt]) -> BTreeMap<String, Position> {
    let place = |position: &Position| (position.epoch, position.sequence);
    let mut positions = BTreeMap::<String, Position>::new();
    for receipt in receipts {
        let Some((channel, position)) = receipt.facts().channel.as_ref().zip(receipt.position()) else {
            continue;
        };
        if positions.get(channel).is_none_or(|known| place(known) <= place(&position)) {
            positions.insert(channel.clone(), position);
        }
    }
    positions
}

/// A channel stays frozen unless a receipt says otherwise that provably came later: one that hangs together with
/// the one that froze it. A guess at the order must not thaw it (threats T14).
fn frozen(receipts: &[Receipt]) -> BTreeMap<String, [Digest; 2]> {
    let known: HashMap<Digest, &Receipt> =
        receipts.iter().map(|receipt| (receipt.digest(), receipt)).collect();
    let before = |receipt: &&Receipt| known.get(receipt.facts().previous.as_ref()?).copied();
    let taken_back = |receipt: &Receipt| {
        let channel = receipt.facts().channel.as_ref()?;
        let earlier = iter::successors(before(&receipt), before);
        let same = |earlier: &&Receipt| earlier.facts().channel.as_ref() == Some(channel);
        earlier.filter(same).map(Receipt::digest).next()
    };
    let taken_back: HashSet<Digest> = receipts.iter().filter_map(taken_back).collect();
    let holds = |receipt: &&Receipt| !taken_back.contains(&receipt.digest());
    let pair = |receipt: &Receipt| receipt.facts().channel.clone().zip(receipt.facts().frozen.clone());
    receipts.iter().filter(holds).filter_map(pair).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::clock::Timestamp,
        ledger::Head,
        report::receipt::{Facts, Outcome, Place},
        trust::{Algorithm, PrivateKey},
    };

    fn digest(letter: char) -> Digest {
        Digest::parse(&format!("sha256:{}", String::from(letter).repeat(64))).unwrap()
    }

    fn pair() -> [Digest; 2] {
        [digest('a'), digest('b')]
    }

    /// Signs the receipt of an import, or of a refusal in a frozen channel, each in a ledger that just began.
    struct Site(PrivateKey);

    impl Site {
        fn says(&self, channel: &str, frozen: bool, previous: Option<&Receipt>) -> Receipt {
            let time = Timestamp::parse("2026-11-21T00:00:00Z").unwrap();
            let facts = Facts {
                site: None,
                time,
                floor: time,
                channel: Some(channel.to_owned()),
                bundle: Some(Place { epoch: 1, sequence: 1 }),
                prior: None,
                frozen: frozen.then(pair),
                trust: None,
                result: if frozen { Outcome::Refused } else { Outcome::Imported },
                reason: frozen.then(|| "channel-frozen".to_owned()),
                overrides: vec![],
                warnings: vec![],
                counts: None,
                report: None,
                missing_count: 0,
                missing: vec![],
                ledger: Head { number: 1, hash: digest('e') },
                previous: previous.map(Receipt::digest),
                tool: "0.1.0".to_owned(),
            };
            Receipt::sign(&digest('c'), facts, &self.0).unwrap()
        }
    }

    /// T14, C7: whatever the order in which they come, and also where a backup was put back and two receipts name
    /// the same one before them.
    #[test]
    fn only_a_later_receipt_thaws() {
        let site = Site(PrivateKey::generate(Algorithm::Ed25519).unwrap());
        let one = site.says("prod", false, None);
        let froze = site.says("prod", true, Some(&one));
        let other = site.says("dev", false, Some(&froze));
        let settled = site.says("prod", false, Some(&other));
        let again = site.says("prod", true, Some(&settled));
        let beside = site.says("prod", false, Some(&site.says("dev", false, Some(&one))));
        for (given, is_frozen) in [
            (vec![&one, &froze], true),
            (vec![&one, &froze, &other], true),
            (vec![&one, &froze, &other, &settled], false),
            (vec![&one, &froze, &other, &settled, &again], true),
            // The link between is not there.
            (vec![&froze, &settled], true),
            (vec![&one, &froze, &beside], true),
            (vec![&one, &froze, &other, &settled, &beside], false),
        ] {
            for turn in 0..given.len() {
                let mut turned: Vec<Receipt> = given.iter().map(|&receipt| receipt.clone()).collect();
                turned.rotate_left(turn);
                let backwards = turned.iter().rev().cloned().collect();
                for receipts in [turned, backwards] {
                    let ordered = in_order(receipts);
                    assert_eq!(ordered.len(), given.len());
                    let at = |digest: &Digest| ordered.iter().position(|one| one.digest() == *digest);
                    for (place, receipt) in ordered.iter().enumerate() {
                        let before = receipt.facts().previous.as_ref().and_then(at);
                        assert!(before.is_none_or(|before| before < place));
                    }
                    assert_eq!(frozen(&ordered).remove("prod"), is_frozen.then(pair));
                }
            }
        }
    }
}
