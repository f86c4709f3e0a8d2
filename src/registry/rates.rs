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

use super::{
    Registry, batch,
    caller::{ANYONE, Caller},
    log::Account,
    peer::network,
    records,
    respond::Refusal,
};
use crate::{
    base::limits,
    ledger::{Deed, RegistryAction, Text},
    oci::error_code,
};

/// How often the ledger hears of one caller that goes on.
pub(super) const TOLD: Duration = Duration::from_mins(1);

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
    /// As records name it.
    Account(String),
    Network(IpAddr),
}

impl Payer {
    fn new(caller: &Caller) -> Self {
        match &caller.subject.name {
            Some(name) => Self::Account(name.to_string()),
            None => Self::Network(network(caller.address)),
        }
    }

    /// What was refused of several requests of it; of an account, they may have come from anywhere.
    fn deed(&self, count: u64) -> Deed {
        let (who, from) = match self {
            Self::Account(name) => (name.as_str(), None),
            Self::Network(network) => (ANYONE, Some(Text::new(&batch::name(*network)))),
        };
        Deed { from, count: Some(count), ..refused(Deed::new(RegistryAction::Look, who)) }
    }
}

fn refused(deed: Deed) -> Deed {
    Deed { refused: Some(Text::new(error_code::REQUESTS_FULL.code)), ..deed }
}

/// The buckets of all callers. Bounded: the fullest make room, so that nobody gets a new bucket in the place of an empty one
/// by coming as many others.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    rates: Rates,
    /// When the bucket of each is full again.
    callers: Mutex<HashMap<Payer, Instant>>,
    /// Who was refused of late, and how often since that was told of.
    refused: Mutex<HashMap<Payer, u64>>,
}

impl Buckets {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, callers: Mutex::default(), refused: Mutex::default() }
    }

    /// Counts a request; where it is too much, how long it is until the next.
    fn take(&self, payer: &Payer, now: Instant) -> Result<(), Duration> {
        let Some(pace) = Duration::from_secs(1).checked_div(self.rates.per_second) else { return Ok(()) };
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= limits::CALLERS && !callers.contains_key(payer) {
            make_room(&mut callers, now);
        }
        let full = now.max(callers.get(payer).copied().unwrap_or(now)) + pace;
        let wait = full.saturating_duration_since(now).saturating_sub(pace * self.rates.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        match callers.get_mut(payer) {
            Some(known) => *known = full,
            None => drop(callers.insert(payer.clone(), full)),
        }
        Ok(())
    }

    /// Keeps in mind that somebody was refused so often, until [`untold`](Self::untold) is asked; `false` for who was not of
    /// late, and is to be told of at once.
    fn refuse(&self, payer: &Payer, times: u64) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(untold) = refused.get_mut(payer) {
            *untold = untold.saturating_add(times);
            return true;
        }
        // Of more, each is told of as it comes: the batch of records has its own bounds (threats X15).
        if refused.len() < limits::CALLERS {
            refused.insert(payer.clone(), times.saturating_sub(1));
        }
        false
    }

    /// What nobody was told of yet, and now is. Who was not refused since the last time is forgotten.
    fn untold(&self) -> Vec<(Payer, u64)> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_payer, untold| *untold > 0);
        refused.iter_mut().map(|(payer, untold)| (payer.clone(), std::mem::take(untold))).collect()
    }
}

/// Forgets those whose bucket is full, and where that is not enough, the fuller half at once: one by one, each new
/// caller would cost a look at all.
fn make_room(callers: &mut HashMap<Payer, Instant>, now: Instant) {
    callers.retain(|_payer, full| *full > now);
    if callers.len() > limits::CALLERS / 2 {
        let mut full: Vec<Instant> = callers.values().copied().collect();
        let middle = full.len() / 2;
        let (_, &mut middle, _) = full.select_nth_unstable(middle);
        callers.retain(|_payer, full| *full > middle);
    }
}

impl Registry {
    /// Counts a request of somebody, known or not.
    ///
    /// # Errors
    /// Where they make too many.
    pub(super) fn pay(&self, caller: &Caller) -> Result<(), Refusal> {
        let payer = Payer::new(caller);
        let Err(wait) = self.buckets.take(&payer, Instant::now()) else { return Ok(()) };
        self.metrics.over_rate();
        if !self.buckets.refuse(&payer, 1) {
            self.records.keep(refused(records::by(RegistryAction::Look, caller)))?;
        }
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Err(Refusal::later(error_code::REQUESTS_FULL, seconds).of_account(Account(caller.author().who)))
    }

    /// Counts a request of somebody whose login failed. That is told of and answered as what it is, however many they
    /// are: else whoever empties a bucket first guesses passwords unseen.
    pub(super) fn pay_for_failed(&self, address: IpAddr) {
        let _told_as_failed = self.buckets.take(&Payer::Network(network(address)), Instant::now());
    }

    /// Tells of requests that were refused since the last time.
    pub(super) fn tell_of_refused(&self) {
        for (payer, count) in self.buckets.untold() {
            if count > 0 && self.records.keep(payer.deed(count)).is_err() {
                self.buckets.refuse(&payer, count);
            }
        }
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
        let taken = |payer: &Payer, now| (0..100).take_while(|_| buckets.take(payer, now).is_ok()).count();
        assert_eq!(taken(&account("a"), now), 8);
        assert_eq!(buckets.take(&account("a"), now).unwrap_err(), Duration::from_millis(250));
        assert_eq!((taken(&account("b"), now), taken(&from(1), now)), (8, 8), "each has its own");
        for (seconds, more) in [(1, 4), (2, 4), (3, 4), (5, 8), (60, 8)] {
            assert_eq!(taken(&account("a"), now + Duration::from_secs(seconds)), more, "{seconds}");
        }
        let open = Buckets::new(Rates { per_second: 0, burst: 1 });
        assert!((0..1000).all(|_| open.take(&account("a"), now).is_ok()));
    }

    /// X16: what is refused is told of at once, then once in a while, and all of it is counted, whoever else comes and
    /// however soon the bucket is full again.
    #[test]
    fn who_goes_on_is_told_of_now_and_then() {
        let buckets = Buckets::default();
        assert!(!buckets.refuse(&account("a"), 1), "at once");
        assert!((0..540).all(|_| buckets.refuse(&account("a"), 1)));
        assert!(!buckets.refuse(&from(1), 1));
        let untold = || {
            let mut untold = buckets.untold();
            untold.retain(|(_, count)| *count > 0);
            untold
        };
        assert_eq!(untold(), [(account("a"), 540)]);
        assert!(untold().is_empty());
        assert!(!buckets.refuse(&account("a"), 1), "after a while without, at once again");
        // What could not be told is told the next time.
        buckets.refuse(&account("a"), 7);
        let untold_now = untold();
        assert_eq!(untold_now, [(account("a"), 7)]);
        buckets.refuse(&account("a"), 7);
        assert_eq!(untold(), untold_now);
        for n in 0..u32::try_from(limits::CALLERS + 10).unwrap() {
            buckets.refuse(&from(n), 1);
        }
        assert!(buckets.refused.lock().unwrap().len() <= limits::CALLERS);
        let deed = Payer::Network("2001:db8::".parse().unwrap()).deed(9);
        assert_eq!((deed.from, deed.count), (Some("2001:db8::/64".into()), Some(9)));
    }

    /// X16: nobody is forgotten who has taken more than others, however many come.
    #[test]
    fn who_comes_as_many_gets_no_new_bucket() {
        let buckets = Buckets::new(Rates { per_second: 1, burst: 10 });
        let now = Instant::now();
        while buckets.take(&account("greedy"), now).is_ok() {}
        for n in 0..u32::try_from(limits::CALLERS * 3).unwrap() {
            buckets.take(&from(n), now).unwrap();
            if n % 1000 == 0 {
                assert!(buckets.take(&account("greedy"), now).is_err(), "{n}");
            }
        }
        let known = || buckets.callers.lock().unwrap().len();
        assert!(known() <= limits::CALLERS, "{}", known());
        // What is full again goes first, and costs nobody anything.
        let later = now + Duration::from_secs(5);
        for n in 0..u32::try_from(limits::CALLERS).unwrap() {
            buckets.take(&account(&n.to_string()), later).unwrap();
        }
        assert!((1..=5).all(|_| buckets.take(&account("greedy"), later).is_ok()));
        assert!(buckets.take(&account("greedy"), later).is_err());
    }
}
