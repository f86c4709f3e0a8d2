//! How many requests one caller may make: a bucket for each, which fills again at a steady pace (threats X16).
//!
//! A caller is the account, where one is known, else the address: many machines may share an account, and many clients the
//! address of a proxy, so a bucket is deep. What is counted is what looks something up: to tell a client that a
//! path is none costs no more than to tell it to wait, and whether the server lives and is ready is asked by who must know.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Registry, caller::Caller, login::Known, peer::network, records, respond::Refusal};
use crate::{
    base::limits,
    ledger::{Deed, RegistryAction, Text},
    oci::error_code,
};

/// How often the ledger hears of one caller that goes on.
const TOLD: Duration = Duration::from_mins(1);

/// How much one caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Requests each second, in the long run; 0 for no bound.
    pub per_second: u32,
    /// Requests at once, after a while of silence.
    pub burst: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { per_second: limits::REQUESTS_PER_SECOND, burst: limits::REQUESTS_AT_ONCE }
    }
}

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Payer {
    Account(String),
    Network(IpAddr),
}

/// What one caller has taken.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// When its bucket is full again.
    full: Instant,
    /// How many requests were refused that nobody was told of.
    untold: u64,
    /// When somebody was.
    told: Option<Instant>,
}

/// Too many.
#[derive(Debug, PartialEq, Eq)]
struct TooMany {
    /// Until the next.
    wait: Duration,
    /// How many were refused since that was told of last, where it is time to tell.
    tell: Option<u64>,
}

/// The buckets of all callers. Bounded: the fullest make room, so that nobody gets a new bucket in the place of an empty one
/// by coming as many others.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    rates: Rates,
    callers: Mutex<HashMap<Payer, Taken>>,
}

impl Buckets {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, callers: Mutex::default() }
    }

    fn take(&self, payer: Payer, now: Instant) -> Result<(), TooMany> {
        let Some(pace) = Duration::from_secs(1).checked_div(self.rates.per_second) else { return Ok(()) };
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= limits::CALLERS && !callers.contains_key(&payer) {
            make_room(&mut callers, now);
        }
        let taken = callers.entry(payer).or_insert(Taken { full: now, untold: 0, told: None });
        let full = now.max(taken.full) + pace;
        let wait = full.saturating_duration_since(now).saturating_sub(pace * self.rates.burst);
        if wait.is_zero() {
            taken.full = full;
            return Ok(());
        }
        taken.untold += 1;
        let due = taken.told.is_none_or(|told| now.duration_since(told) >= TOLD);
        let tell = due.then(|| std::mem::take(&mut taken.untold));
        taken.told = if due { Some(now) } else { taken.told };
        Err(TooMany { wait, tell })
    }
}

/// Forgets those whose bucket is full, and where that is not enough, the fuller half at once: one by one, each new
/// caller would cost a look at all.
fn make_room(callers: &mut HashMap<Payer, Taken>, now: Instant) {
    callers.retain(|_payer, taken| taken.full > now);
    if callers.len() > limits::CALLERS / 2 {
        let mut full: Vec<Instant> = callers.values().map(|taken| taken.full).collect();
        let middle = full.len() / 2;
        let (_, &mut middle, _) = full.select_nth_unstable(middle);
        callers.retain(|_payer, taken| taken.full > middle);
    }
}

impl Registry {
    /// Counts a request of somebody, known or not.
    ///
    /// # Errors
    /// Where they make too many.
    pub(super) fn pay(&self, known: Option<&Known>, address: IpAddr) -> Result<(), Refusal> {
        let payer = known
            .map_or_else(|| Payer::Network(network(address)), |known| Payer::Account(known.name.clone()));
        let Err(TooMany { wait, tell }) = self.buckets.take(payer, Instant::now()) else { return Ok(()) };
        self.metrics.over_rate();
        if tell.is_some() {
            let refused = Some(Text::new(error_code::REQUESTS_FULL.code));
            let caller = Caller::new(known.cloned(), address);
            self.records.keep(Deed { refused, count: tell, ..records::by(RegistryAction::Look, &caller) })?;
        }
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Err(Refusal::later(error_code::REQUESTS_FULL, seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Payer {
        Payer::Account(name.to_owned())
    }

    fn from(network: u32) -> Payer {
        Payer::Network(IpAddr::from(network.to_be_bytes()))
    }

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let buckets = Buckets::new(Rates { per_second: 4, burst: 8 });
        let now = Instant::now();
        let taken =
            |payer: &Payer, now| (0..100).take_while(|_| buckets.take(payer.clone(), now).is_ok()).count();
        assert_eq!(taken(&account("a"), now), 8);
        assert_eq!(buckets.take(account("a"), now).unwrap_err().wait, Duration::from_millis(250));
        assert_eq!((taken(&account("b"), now), taken(&from(1), now)), (8, 8), "each has its own");
        for (seconds, more) in [(1, 4), (2, 4), (3, 4), (5, 8), (60, 8)] {
            assert_eq!(taken(&account("a"), now + Duration::from_secs(seconds)), more, "{seconds}");
        }
        let open = Buckets::new(Rates { per_second: 0, burst: 1 });
        assert!((0..1000).all(|_| open.take(account("a"), now).is_ok()));
    }

    /// X16: what is refused is told of once a minute, and all of it is counted.
    #[test]
    fn who_goes_on_is_told_of_now_and_then() {
        let buckets = Buckets::new(Rates { per_second: 1, burst: 1 });
        let begun = Instant::now();
        let mut told = Vec::new();
        for tenth in 0..=1200 {
            let now = begun + Duration::from_millis(100) * tenth;
            if let Err(TooMany { tell: Some(count), .. }) = buckets.take(account("a"), now) {
                told.push((tenth, count));
            }
        }
        // Nine of ten.
        assert_eq!(told, [(1, 1), (601, 540)]);
    }

    /// X16: nobody is forgotten who has taken more than others, however many come.
    #[test]
    fn who_comes_as_many_gets_no_new_bucket() {
        let buckets = Buckets::new(Rates { per_second: 1, burst: 10 });
        let now = Instant::now();
        while buckets.take(account("greedy"), now).is_ok() {}
        for n in 0..u32::try_from(limits::CALLERS * 3).unwrap() {
            buckets.take(from(n), now).unwrap();
            if n % 1000 == 0 {
                assert!(buckets.take(account("greedy"), now).is_err(), "{n}");
            }
        }
        let known = || buckets.callers.lock().unwrap().len();
        assert!(known() <= limits::CALLERS, "{}", known());
        // What is full again goes first, and costs nobody anything.
        let later = now + Duration::from_secs(5);
        for n in 0..u32::try_from(limits::CALLERS).unwrap() {
            buckets.take(account(&n.to_string()), later).unwrap();
        }
        assert!((1..=5).all(|_| buckets.take(account("greedy"), later).is_ok()));
        assert!(buckets.take(account("greedy"), later).is_err());
    }
}
