//! Names what was done to a ledger whose chain is broken.
//!
//! Every record knows its number and the hash of the one before it, so the lines that are left still say how
//! they stood: a record whose hash its successor does not know was edited, one that two others do not know of
//! was inserted, a hash that no line has is that of a deleted one. What was done to several records at once has
//! several readings; the first record that does not fit is named in any case.

use std::collections::HashMap;

use super::{Event, Head, OffHost, Record};
use crate::base::{
    digest::Digest,
    failure::{Failure, Reason},
};

struct Lines<'a> {
    texts: Vec<&'a str>,
    hashes: Vec<Digest>,
    /// First place of every hash.
    places: HashMap<Digest, usize>,
    heads: &'a [OffHost],
    start: Digest,
}

/// Names what is wrong with line `at`, the first one that does not follow from the one before.
pub(super) fn name<L: AsRef<str>>(lines: &[L], at: usize, heads: &[OffHost]) -> Failure {
    let start = match Head::start() {
        Ok(head) => head.hash,
        Err(failure) => return failure,
    };
    let number = count(at + 1);
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    let hashes: Vec<Digest> = lines.iter().map(|line| Digest::of(line.as_bytes())).collect();
    let mut places = HashMap::with_capacity(lines.len());
    for (place, hash) in hashes.iter().enumerate() {
        places.entry(hash.clone()).or_insert(place);
    }
    let lines = Lines { texts: lines, hashes, places, heads, start };
    match lines.record(at) {
        Some(record) => lines.judge(at, &record),
        None => malformed(number),
    }
}

/// The failure for a line that is no record.
pub(super) fn malformed(number: u64) -> Failure {
    failure(Reason::LedgerMalformed, number, "the line is no record in the one form that sealift writes")
}

const HINT: &str = "compare it with a copy of the ledger, and ask who had access to the site's database";

impl Lines<'_> {
    fn judge(&self, at: usize, record: &Record) -> Failure {
        let number = count(at + 1);
        let before = self.hash_before(at);
        if record.previous == before {
            // Linked, but its number is wrong.
            // What a line says of itself may be any number.
            let next = self.record(at + 1).and_then(|next| next.number.checked_sub(1));
            if record.number > number && next == Some(record.number) {
                return deleted(number, record.number - 1);
            }
            return edited(number);
        }
        if let Some(copied) = self.places.get(&self.hash(at)).filter(|first| **first < at) {
            let message = format!("it is record {} once more", copied + 1);
            return inserted(number, &message);
        }
        // How many lines stand before the place where it says that it belongs.
        let belongs = if record.previous == self.start {
            Some(0)
        } else {
            self.places.get(&record.previous).map(|place| place + 1)
        };
        let successor = (at + 1..self.texts.len())
            .find(|later| self.record(*later).is_some_and(|later| later.previous == before));
        match (belongs, successor) {
            (Some(place), _) if place > at => reordered(number, place),
            (Some(_), Some(_)) => inserted(number, "the one before it is followed by another record"),
            (Some(place), None) => self.skips(at, record, place),
            (None, Some(later)) => {
                // Two that changed places and got each other's number, or one more than there was?
                let renumbered = self.record(later).is_some_and(|later| later.number == number + 1);
                if later == at + 1 && renumbered && self.is_linked(at + 3) {
                    return reordered(number, at);
                }
                inserted(number, "no other record knows it")
            }
            (None, None) => self.unknown(at, record),
        }
    }

    /// `record` follows a line before the one that it stands behind.
    fn skips(&self, at: usize, record: &Record, place: usize) -> Failure {
        let renumbered = record.number == count(at + 1) && !self.is_linked(at + 2);
        if record.number == count(place + 1) || self.is_vouched(at) || renumbered {
            return inserted(count(place + 1), "no other record knows it");
        }
        edited(count(at + 1))
    }

    /// `record` follows a line that is not there.
    fn unknown(&self, at: usize, record: &Record) -> Failure {
        let number = count(at + 1);
        let next = self.record(at + 1);
        if record.number > number {
            return match next {
                Some(next) if next.number == number + 1 => edited(number),
                _ => deleted(number, record.number - 1),
            };
        }
        if record.number < number || at == 0 {
            return edited(number);
        }
        if self.is_vouched(at) {
            return edited(number - 1);
        }
        if self.is_known(at.saturating_sub(1)) {
            return edited(number);
        }
        match (next, &record.event) {
            // Nothing after it holds together either: the numbers were made to fit over a gap.
            (Some(_), _) if at + 2 < self.texts.len() && !self.is_linked(at + 2) => deleted(number, number),
            (Some(_), _) => edited(number),
            // A checkpoint says twice what it follows.
            (None, Event::Checkpoint { hash, .. }) if *hash != record.previous => edited(number),
            (None, _) => edited(number - 1),
        }
    }

    fn record(&self, at: usize) -> Option<Record> {
        self.texts.get(at).and_then(|line| Record::parse(line).ok())
    }

    fn hash(&self, at: usize) -> Digest {
        self.hashes.get(at).unwrap_or(&self.start).clone()
    }

    /// Whether line `at` says that it follows the one with this hash. Only a line that holds it is read.
    fn follows(&self, at: usize, hash: &Digest) -> bool {
        self.texts.get(at).is_some_and(|line| line.contains(hash.hex()))
            && self.record(at).is_some_and(|record| record.previous == *hash)
    }

    fn hash_before(&self, at: usize) -> Digest {
        at.checked_sub(1).map_or_else(|| self.start.clone(), |before| self.hash(before))
    }

    /// Whether line `at` follows from the one before it.
    fn is_linked(&self, at: usize) -> bool {
        self.follows(at, &self.hash_before(at))
    }

    /// Whether something else knows line `at` as it is.
    fn is_vouched(&self, at: usize) -> bool {
        self.is_linked(at + 1) || self.is_known(at)
    }

    /// Whether a head from elsewhere knows line `at` as it is.
    fn is_known(&self, at: usize) -> bool {
        let hash = self.hash(at);
        self.heads.iter().any(|known| known.head.number == count(at + 1) && known.head.hash == hash)
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn failure(reason: Reason, number: u64, message: &str) -> Failure {
    Failure::new(reason, format!("record {number}"), message).hint(HINT)
}

fn edited(number: u64) -> Failure {
    failure(
        Reason::LedgerEdited,
        number,
        "it was changed: the record after it, or its own number, says otherwise",
    )
}

fn inserted(number: u64, why: &str) -> Failure {
    failure(Reason::LedgerInserted, number, &format!("it was put in: {why}"))
}

fn deleted(from: u64, to: u64) -> Failure {
    let what = if from == to { "it was".to_owned() } else { format!("records {from} to {to} were") };
    failure(Reason::LedgerDeleted, from, &format!("{what} taken out"))
}

fn reordered(number: u64, after: usize) -> Failure {
    let message =
        format!("another record stands in its place, which was written after the one in line {after}");
    failure(Reason::LedgerReordered, number, &message)
}
