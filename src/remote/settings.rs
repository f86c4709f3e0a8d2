//! How the client behaves.

use std::{collections::BTreeMap, time::Duration};

use super::Credentials;
use crate::manifest::RegistrySettings;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// By `host[:port]`, as in the manifest's `[registries]`.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Where user names, passwords and tokens come from.
    pub credentials: Credentials,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retries: Retries,
    /// Whether the system's proxy settings are obeyed. Loopback addresses are always asked directly.
    pub use_proxy: bool,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            registries: BTreeMap::new(),
            credentials: Credentials::default(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            use_proxy: true,
        }
    }
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For the first bytes of an answer.
    pub header: Duration,
    /// For more bytes of a body, in either direction; also the span in which a minimum must arrive.
    pub idle: Duration,
    /// For the answer after the last byte of an upload: the registry may be hashing or copying.
    pub finish: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            header: Duration::from_mins(1),
            idle: Duration::from_secs(30),
            finish: Duration::from_mins(10),
        }
    }
}

/// How often to try, and how long to pause between.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Attempts in all, the first included.
    pub tries: u32,
    /// The first pause; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause of our own choice.
    pub longest_pause: Duration,
    /// The longest pause that a server may ask for with `Retry-After`.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(8),
            longest_wait: Duration::from_mins(1),
        }
    }
}
