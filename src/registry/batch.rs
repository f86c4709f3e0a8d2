//! Records that wait to be written together. The same that happens again is one record with a count, and who is refused
//! without end, or pulls without end and without an account, gets no more than a few of them (threats X15).

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{caller::ANYONE, peer::network};
use crate::{
    base::{clock::Timestamp, limits},
    ledger::{Deed, RegistryAction, Text},
};

/// For how long refusals of one source are counted.
const WINDOW: Duration = Duration::from_mins(1);

/// For how long pulls of one source without an account are.
const PULLS_WINDOW: Duration = Duration::from_hours(1);

/// What happened since the last records were written, in its order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<(Timestamp, Deed, u64)>,
    places: HashMap<Deed, usize>,
    taken: u64,
    refused: Refused,
    pulled: Pulled,
}

impl Batch {
    pub(super) fn add(&mut self, time: Timestamp, mut deed: Deed) {
        self.taken += 1;
        let times = deed.count.take().unwrap_or(1);
        let deed = if self.places.contains_key(&deed) {
            deed
        } else if deed.refused.is_some() {
            self.refused.admit(deed, Instant::now())
        } else if deed.action == RegistryAction::Pull && deed.who.get() == ANYONE {
            self.pulled.admit(deed, Instant::now())
        } else {
            deed
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

/// What those without an account have pulled within the window.
#[derive(Debug, Default)]
struct Pulled {
    since: Option<Instant>,
    /// How many records were whole, in all and by source.
    whole: usize,
    of: HashMap<IpAddr, usize>,
    /// How many of them told of the same again.
    again: usize,
    /// What was told whole, and by whom.
    known: HashSet<u64>,
    /// What was told without by whom.
    bare: HashSet<u64>,
    hasher: RandomState,
}

impl Pulled {
    /// As it is told. What an address pulls for the first time in an hour is told whole as long as there is any room, so
    /// that nobody hides one pull behind a thousand others; the same again only while it is little, and half of the room at
    /// most. Where there is no room for who it was, what was pulled is told all the same, once.
    fn admit(&mut self, deed: Deed, now: Instant) -> Deed {
        if self.since.is_none_or(|since| now.duration_since(since) >= PULLS_WINDOW) {
            let hasher = std::mem::take(&mut self.hasher);
            *self = Self { since: Some(now), hasher, ..Self::default() };
        }
        let Some(source) = deed.from.as_ref().and_then(|from| source(from.get())) else { return deed };
        // One machine has many addresses, and one source is told of as one.
        let object = (&deed.what, &deed.repository, &deed.tag, &deed.digest);
        let (what, bare) = (self.hasher.hash_one((source, object)), self.hasher.hash_one(object));
        let is_again = self.known.contains(&what);
        if is_again && self.again >= limits::PULLS_OF_ALL / 2 {
            return Deed { from: None, ..without_object(deed) };
        }
        if self.whole >= limits::PULLS_OF_ALL {
            let is_first = self.bare.len() < limits::PULLS_OF_ALL && self.bare.insert(bare);
            return Deed { from: None, ..if is_first { deed } else { without_object(deed) } };
        }
        let of = self.of.entry(source).or_default();
        if *of >= if is_again { limits::SAME_PULLS_OF_ONE } else { limits::PULLS_OF_ONE } {
            return Deed { from: Some(Text::new(&name(source))), ..without_object(deed) };
        }
        *of += 1;
        self.whole += 1;
        self.again += usize::from(is_again);
        self.known.insert(what);
        deed
    }
}

fn without_object(deed: Deed) -> Deed {
    Deed { what: None, repository: None, tag: None, digest: None, operation: None, ..deed }
}

fn source(address: &str) -> Option<IpAddr> {
    address.parse().ok().map(network)
}

/// How a source is called.
pub(super) fn name(source: IpAddr) -> String {
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

    /// X15: nor do pulls of somebody without an account; and none of them is hidden behind the others.
    #[test]
    fn a_flood_of_pulls_stays_small_and_hides_none() {
        let of = |from: &str, n: usize| Deed {
            who: ANYONE.into(),
            from: Some(from.into()),
            ..pull(&format!("r{n}"))
        };
        let mut batch = Batch::default();
        let (mut records, mut happened) = (0, 0);
        // The same hundred each second for a quarter of an hour, and in the middle of it something else.
        for second in 0..900 {
            (0..100).for_each(|n| batch.add(at(second), of("10.0.0.1", n)));
            if second == 500 {
                batch.add(at(second), of("10.0.0.1", 1000));
                batch.add(at(second), of("10.0.0.2", 1));
            }
            let written = batch.records();
            happened += written.iter().map(|(_, deed)| deed.count.unwrap_or(1)).sum::<u64>();
            records += written.len();
            if second == 500 {
                let again = Deed { repository: None, count: Some(100), ..of("10.0.0.1", 0) };
                let deeds: Vec<_> = written.into_iter().map(|(_, deed)| deed).collect();
                assert_eq!(deeds, [again, of("10.0.0.1", 1000), of("10.0.0.2", 1)]);
            }
            batch.clear();
        }
        assert_eq!(happened, 90_002);
        assert!(records <= limits::SAME_PULLS_OF_ONE + 900 + 2, "{records}");
        // Nor is more kept of one who never asks for the same.
        let mut pulled = Pulled::default();
        let now = Instant::now();
        let whole = |deed: Deed| deed.repository.is_some();
        let told = (0..limits::PULLS_OF_ONE * 2).filter(|n| whole(pulled.admit(of("10.0.0.1", *n), now)));
        assert_eq!(told.count(), limits::PULLS_OF_ONE);
        assert_eq!(pulled.known.len(), limits::PULLS_OF_ONE);
        // Of many who do so together.
        let six = |n: usize| format!("2001:db8:{:x}:{:x}::1", (n / 1000) >> 16, n / 1000);
        let mut told = [0; 2];
        for n in 0..limits::PULLS_OF_ALL * 3 {
            let deed = pulled.admit(of(&six(n), n), now);
            told[usize::from(deed.from.is_none())] += usize::from(deed.repository.is_some());
        }
        assert_eq!(told, [limits::PULLS_OF_ALL - limits::PULLS_OF_ONE, limits::PULLS_OF_ALL]);
        // Then it is told what was pulled, once, and by whom no more.
        pulled.bare.clear();
        for repository in [Some("r1"), None] {
            let more = pulled.admit(of("10.0.0.9", 1), now);
            let repository = repository.map(Into::into);
            assert_eq!((more.from, more.repository, more.who), (None, repository, ANYONE.into()));
        }
        assert_eq!(pulled.known.len(), limits::PULLS_OF_ALL);
        // An hour later all of it is told again.
        assert!(whole(pulled.admit(of("10.0.0.1", 0), now + PULLS_WINDOW)));
    }

    /// X15: many who pull the same again and again leave room for what is pulled for the first time; nor is one machine many
    /// by taking another address each time.
    #[test]
    fn the_same_again_takes_no_room_from_the_new() {
        let of = |from: String, n: usize| Deed {
            who: ANYONE.into(),
            from: Some(from.as_str().into()),
            ..pull(&format!("r{n}"))
        };
        let four = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()).to_string();
        let mut pulled = Pulled::default();
        let now = Instant::now();
        // Room for all that they pull again, were there no bound.
        for n in 0..limits::PULLS_OF_ALL {
            pulled.admit(of(four(n % 150), n / 150 % 2), now);
        }
        assert_eq!(pulled.again, limits::PULLS_OF_ALL / 2);
        let again = pulled.admit(of(four(1), 1), now);
        assert_eq!((again.from, again.repository), (None, None));
        assert_eq!(pulled.admit(of(four(1), 2), now), of(four(1), 2));

        let mut pulled = Pulled::default();
        let told = (0..limits::PULLS_OF_ONE)
            .filter(|n| pulled.admit(of(format!("2001:db8::{n:x}"), 1), now).repository.is_some());
        assert_eq!(told.count(), limits::SAME_PULLS_OF_ONE);
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
