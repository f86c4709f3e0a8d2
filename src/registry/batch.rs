//! Records that wait to be written together. The same that happens again is one record with a count, and who is refused
//! without end gets no more than a few of them (threats X15).

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::peer::network;
use crate::{
    base::{clock::Timestamp, limits},
    ledger::{Deed, Text},
};

/// For how long refusals of one source are counted.
const WINDOW: Duration = Duration::from_mins(1);

/// What happened since the last records were written, in its order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<(Timestamp, Deed, u64)>,
    places: HashMap<Deed, usize>,
    taken: u64,
    refused: Refused,
}

impl Batch {
    pub(super) fn add(&mut self, time: Timestamp, mut deed: Deed) {
        self.taken += 1;
        let times = deed.count.take().unwrap_or(1);
        let deed = if deed.refused.is_none() || self.places.contains_key(&deed) {
            deed
        } else {
            self.refused.admit(deed, Instant::now())
        };
        if let Some(again) = self.places.get(&deed).and_then(|place| self.records.get_mut(*place)) {
            again.2 += times;
            return;
        }
        self.places.insert(deed.clone(), self.records.len());
        self.records.push((time, deed, times));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether it is enough for one transaction, for which others wait.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= limits::RECORDS_AT_ONCE
    }

    /// How much happened.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// As they are written.
    pub(super) fn records(&self) -> Vec<(Timestamp, Deed)> {
        let counted = |count: u64| (count > 1).then_some(count);
        let records = self.records.iter();
        records.map(|(time, deed, count)| (*time, Deed { count: counted(*count), ..deed.clone() })).collect()
    }

    /// They are written.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.places.clear();
        self.taken = 0;
    }
}

/// How many records of refusals each source may still cause.
#[derive(Debug, Default)]
struct Refused {
    since: Option<Instant>,
    left: HashMap<IpAddr, usize>,
}

impl Refused {
    /// As it is told: whole; or, once there are many from there, without what it was about; or, once there are many such
    /// sources, without where it came from. What is left out makes it the same as others.
    fn admit(&mut self, deed: Deed, now: Instant) -> Deed {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (self.since, self.left) = (Some(now), HashMap::new());
        }
        let Some(source) = deed.from.as_ref().and_then(|from| source(from.get())) else { return deed };
        let known = self.left.len();
        let left = match self.left.get_mut(&source) {
            Some(left) => left,
            None if known >= limits::REFUSED_SOURCES => {
                return Deed { from: None, ..without_object(deed) };
            }
            None => self.left.entry(source).or_insert(limits::REFUSALS_OF_ONE),
        };
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                deed
            }
            None => Deed { from: Some(Text::new(&name(source))), ..without_object(deed) },
        }
    }
}

fn without_object(deed: Deed) -> Deed {
    Deed { what: None, repository: None, tag: None, digest: None, ..deed }
}

fn source(address: &str) -> Option<IpAddr> {
    address.parse().ok().map(network)
}

fn name(source: IpAddr) -> String {
    if source.is_ipv6() { format!("{source}/64") } else { source.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::RegistryAction;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + second).unwrap()
    }

    fn pull(repository: &str) -> Deed {
        Deed { repository: Some(repository.into()), ..Deed::new(RegistryAction::Pull, "user:kim") }
    }

    fn refused(from: &str, repository: &str) -> Deed {
        Deed { from: Some(from.into()), refused: Some("DENIED".into()), ..pull(repository) }
    }

    #[test]
    fn the_same_again_is_one_record_with_a_count() {
        let mut batch = Batch::default();
        for (second, deed) in
            [pull("a"), pull("b"), pull("a"), refused("10.0.0.1", "a"), pull("a")].into_iter().enumerate()
        {
            batch.add(at(second as u64), deed);
        }
        let counted = Deed { count: Some(3), ..pull("a") };
        assert_eq!(
            batch.records(),
            [(at(0), counted), (at(1), pull("b")), (at(3), refused("10.0.0.1", "a"))]
        );
        assert_eq!(batch.taken(), 5);
        batch.clear();
        batch.add(at(9), pull("a"));
        assert_eq!((batch.records(), batch.taken()), (vec![(at(9), pull("a"))], 1), "the next begins anew");
    }

    /// X15: whatever a source asks for, it makes a bounded number of records in a minute, and nothing is lost count of.
    #[test]
    fn a_flood_of_refusals_stays_small() {
        let mut batch = Batch::default();
        let (mut records, mut happened) = (0, 0);
        // A minute of it: what comes in one second is written together.
        for second in 0..60 {
            for n in 0..1000 {
                batch.add(at(second), refused("10.0.0.1", &format!("r{second}-{n}")));
                let six = format!("2001:db8::{:x}:{n:x}", second + 1);
                batch.add(at(second), refused(&six, &format!("r{second}-{n}")));
            }
            let written = batch.records();
            happened += written.iter().map(|(_, deed)| deed.count.unwrap_or(1)).sum::<u64>();
            records += written.len();
            if second == 59 {
                let from: Vec<_> =
                    written.iter().map(|(_, deed)| deed.from.as_ref().unwrap().get()).collect();
                assert_eq!(from, ["10.0.0.1", "2001:db8::/64"]);
                assert!(
                    written.iter().all(|(_, deed)| deed.repository.is_none() && deed.count == Some(1000))
                );
            }
            batch.clear();
        }
        assert_eq!(happened, 120_000);
        assert!(records <= 2 * (limits::REFUSALS_OF_ONE + 60), "{records}");
        // Others are told of in full, and so is this one once it was quiet.
        let quiet = Instant::now() + WINDOW;
        for (from, now) in [("10.0.0.2", Instant::now()), ("10.0.0.1", quiet)] {
            assert_eq!(batch.refused.admit(refused(from, "x"), now), refused(from, "x"));
        }
    }

    #[test]
    fn many_sources_are_one() {
        let mut refusals = Refused::default();
        let now = Instant::now();
        let from = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()).to_string();
        for n in 0..limits::REFUSED_SOURCES {
            assert!(refusals.admit(refused(&from(n), "x"), now).repository.is_some());
        }
        let more = refusals.admit(refused("192.0.2.1", "x"), now);
        assert_eq!((more.from, more.repository, more.refused), (None, None, Some("DENIED".into())));
        assert_eq!(refusals.left.len(), limits::REFUSED_SOURCES);
        // What was let through stays so when it is quiet, as do pulls, however many.
        let mut batch = Batch::default();
        (0..5000).for_each(|n| batch.add(at(0), pull(&format!("r{n}"))));
        assert_eq!(batch.records().len(), 5000);
    }
}
