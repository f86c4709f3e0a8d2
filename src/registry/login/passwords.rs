//! Comparing passwords: slow on purpose, so not for each request of a client, and never many at once
//! (threats X14).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::{super::peer::Peer, super::respond::Refusal, throttle::Throttle};
use crate::{
    base::{
        failure::{Failure, Result},
        limits,
        password::{self, NOBODY},
        redact::Secret,
    },
    oci::error_code,
    store::Account,
};

/// How long a password need not be compared again after it was right the last time.
const REMEMBERED: Duration = Duration::from_mins(5);

/// The passwords that were right of late, and who guesses.
pub(super) struct Passwords {
    /// Of this process alone: what is remembered is worth nothing elsewhere.
    key: Hmac<Sha256>,
    right: Mutex<HashMap<[u8; 32], Instant>>,
    throttle: Throttle,
    /// Each comparison takes 19 MiB.
    at_once: Arc<Semaphore>,
}

impl Passwords {
    pub(super) fn new() -> Result<Self> {
        let key = password::random()?;
        Ok(Self {
            key: Hmac::new_from_slice(key.reveal().as_bytes()).map_err(Failure::internal)?,
            right: Mutex::default(),
            throttle: Throttle::default(),
            at_once: Arc::new(Semaphore::new(limits::PASSWORDS_AT_ONCE)),
        })
    }

    /// Whether `password` opens `account`, and if so, whether it did not of late already. It takes as long where there is no account (threats R17).
    ///
    /// # Errors
    /// 429 for who failed too often; who was right of late is not held up by others who guess.
    pub(super) async fn open(
        &self,
        name: &str,
        account: Option<&Account>,
        password: Secret,
        address: IpAddr,
    ) -> Result<Option<bool>, Refusal> {
        let hash = account.and_then(|account| account.hash.clone());
        let known = hash.as_ref().map(|hash| self.digest(name, hash, &password));
        if known.is_some_and(|known| self.is_right(&known, Instant::now())) {
            return Ok(Some(false));
        }
        // Never closed, so there is always a permit in the end. It stays with the work, should the client go.
        let permit = Arc::clone(&self.at_once).acquire_owned().await.ok();
        // Of many that come at once with the right one, the first was enough: the others are no guesses.
        if known.is_some_and(|known| self.is_right(&known, Instant::now())) {
            return Ok(Some(false));
        }
        self.throttle.take(address, name, Instant::now()).map_err(|wait| {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            Refusal::later(error_code::LOGINS_FULL, seconds)
        })?;
        let is_right = super::super::blocking(move || {
            let _permit = permit;
            let hash = hash.unwrap_or_else(|| Secret::new(NOBODY));
            Ok(password::matches(&password, hash.reveal()))
        })
        .await?;
        let Some(known) = known.filter(|_known| is_right) else { return Ok(None) };
        self.throttle.give_back(address, name);
        self.remember(known, Instant::now());
        Ok(Some(true))
    }

    /// Whether an account was not known by certificate from this address of late.
    pub(super) fn is_new_certificate(&self, name: &str, peer: &Peer) -> bool {
        let parts = Secret::new(peer.identities().join("\n"));
        let known = self.digest(name, &Secret::new(peer.address.ip().to_string()), &parts);
        let is_new = !self.is_right(&known, Instant::now());
        if is_new {
            self.remember(known, Instant::now());
        }
        is_new
    }

    /// Names a password of an account. The hash that is kept is part of it: a new password makes a new name.
    fn digest(&self, name: &str, hash: &Secret, password: &Secret) -> [u8; 32] {
        let mut mac = self.key.clone();
        for part in [name, hash.reveal(), password.reveal()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn is_right(&self, known: &[u8; 32], now: Instant) -> bool {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        let until = right.get_mut(known).filter(|until| now < **until);
        until.map(|until| *until = now + REMEMBERED).is_some()
    }

    fn remember(&self, known: [u8; 32], now: Instant) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= limits::REMEMBERED_PASSWORDS {
            right.retain(|_known, until| now < *until);
        }
        if right.len() >= limits::REMEMBERED_PASSWORDS {
            right.clear();
        }
        right.insert(known, now + REMEMBERED);
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_remembered_for_a_while() {
        let passwords = Passwords::new().unwrap();
        let secret = |text: &str| Secret::new(text);
        let now = Instant::now();
        let known = passwords.digest("alice", &secret("hash"), &secret("password"));
        passwords.remember(known, now);
        assert!(passwords.is_right(&known, now));
        let later = now + REMEMBERED / 2;
        assert!(passwords.is_right(&known, later));
        assert!(passwords.is_right(&known, later + REMEMBERED / 2), "used again, remembered for longer");
        assert!(!passwords.is_right(&known, later + REMEMBERED * 2));
        for (name, hash, password) in [
            ("bob", "hash", "password"),
            ("alice", "new hash", "password"),
            ("alice", "hash", "Password"),
            ("alic", "ehash", "password"),
        ] {
            let other = passwords.digest(name, &secret(hash), &secret(password));
            assert!(!passwords.is_right(&other, now), "{name} {hash} {password}");
        }
        let elsewhere = Passwords::new().unwrap();
        assert_ne!(elsewhere.digest("alice", &secret("hash"), &secret("password")), known);
        for n in 0..=limits::REMEMBERED_PASSWORDS {
            passwords.remember(passwords.digest("x", &secret(&n.to_string()), &secret("")), now);
        }
        assert!(passwords.right.lock().unwrap().len() <= limits::REMEMBERED_PASSWORDS);
    }
}
