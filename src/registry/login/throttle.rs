//! Who guesses passwords is slowed down (threats X14): every failure costs time, by address and by account.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{base::limits, registry::peer::network};

/// What one failure costs, and how long until it is forgotten.
const PACE: Duration = Duration::from_secs(6);
/// Failures at once from one address against one account.
const OF_BOTH: u32 = 10;
/// Failures at once against one account, wherever they come from: more, since others can cause them.
const ON_ACCOUNT: u32 = 30;
/// Failures at once from one address: most, so that a program with an old password does not keep out what else runs
/// there, or behind the same proxy.
const FROM_ADDRESS: u32 = 100;

/// Whose failures are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Both(IpAddr, String),
    Account(String),
    Address(IpAddr),
}

/// Failures of late: for each, when all of them are forgotten. Bounded, those soonest forgotten make room.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Whose, Instant>>);

impl Throttle {
    /// Counts a try as a failure until it is [given back](Self::give_back).
    ///
    /// # Errors
    /// How long to wait, where there were too many.
    pub(super) fn take(&self, address: IpAddr, account: &str, now: Instant) -> Result<(), Duration> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whose = whose(address, account);
        for (whose, most) in &whose {
            let wait = known.get(whose).map_or(Duration::ZERO, |until| {
                (until.saturating_duration_since(now) + PACE).saturating_sub(PACE * *most)
            });
            if wait > Duration::ZERO {
                return Err(wait);
            }
        }
        for (whose, _) in whose {
            make_room(&mut known, now);
            let until = known.entry(whose).or_insert(now);
            *until = now.max(*until) + PACE;
        }
        Ok(())
    }

    /// The try was none.
    pub(super) fn give_back(&self, address: IpAddr, account: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (whose, _) in whose(address, account) {
            if let Some(until) = known.get_mut(&whose) {
                *until = until.checked_sub(PACE).unwrap_or(*until);
            }
        }
    }
}

fn whose(address: IpAddr, account: &str) -> [(Whose, u32); 3] {
    let address = network(address);
    [
        (Whose::Both(address, account.to_owned()), OF_BOTH),
        (Whose::Account(account.to_owned()), ON_ACCOUNT),
        (Whose::Address(address), FROM_ADDRESS),
    ]
}

fn make_room(known: &mut HashMap<Whose, Instant>, now: Instant) {
    if known.len() < limits::THROTTLED {
        return;
    }
    known.retain(|_whose, until| *until > now);
    if known.len() >= limits::THROTTLED {
        let least = known.iter().min_by_key(|(_, until)| **until).map(|(whose, _)| whose.clone());
        least.and_then(|whose| known.remove(&whose));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn who_fails_often_waits_and_others_do_not() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..OF_BOTH {
            throttle.take(HERE, "alice", now).unwrap();
        }
        assert_eq!(throttle.take(HERE, "alice", now), Err(PACE));
        let other: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(throttle.take(other, "alice", now), Ok(()));
        assert_eq!(throttle.take(HERE, "bob", now), Ok(()));
        // One is forgiven after its time, and only one.
        let later = now + PACE;
        assert_eq!(throttle.take(HERE, "alice", later), Ok(()));
        assert_eq!(throttle.take(HERE, "alice", later), Err(PACE));
        // A try that was right costs nothing.
        throttle.give_back(HERE, "alice");
        assert_eq!(throttle.take(HERE, "alice", later), Ok(()));
    }

    #[test]
    fn many_addresses_and_many_names_do_not_help() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let from = |n: u8| IpAddr::from([10, 0, 0, n]);
        let taken = (0..=255).filter(|n| throttle.take(from(*n), "alice", now).is_ok()).count();
        assert_eq!(taken, ON_ACCOUNT as usize);
        // A network of IPv6 counts as one.
        let from = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        let taken = (0..40).filter(|n| throttle.take(from(*n), "bob", now).is_ok()).count();
        assert_eq!(taken, OF_BOTH as usize);
        let taken = (0..200).filter(|n| throttle.take(HERE, &format!("name-{n}"), now).is_ok()).count();
        assert_eq!(taken, FROM_ADDRESS as usize);
    }

    #[test]
    fn its_memory_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let guessed = u32::try_from(limits::THROTTLED / 3 + 50).unwrap();
        for n in 0..guessed {
            throttle.take(IpAddr::from(n.to_be_bytes()), &format!("account-{n}"), now).unwrap();
        }
        assert_eq!(throttle.0.lock().unwrap().len(), limits::THROTTLED);
    }
}
