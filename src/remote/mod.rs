//! The client side of the network: registries, chart repositories, plain files.
//!
//! One request takes this way:
//!
//! 1. [`Client`] knows the words of the protocols: `images.rs` pulls, `push.rs` pushes, `files.rs` gets
//!    plain files. Each makes a `Call` (`http.rs`): method, URL, and for whom authorisation may be asked.
//! 2. `hosts.rs` finds the server: mirror, plain HTTP or TLS, certificates, connection and rate limits.
//! 3. `http.rs` sends the call once: authorisation, redirects, status. `auth.rs` answers challenges with
//!    what `credentials.rs` finds. `body.rs` reads answers, none without a ceiling and a clock.
//! 4. `retry.rs` decides whether and when to try again; `download.rs` then goes on where the bytes ended.
//!
//! What holds throughout (`docs/threats.md`, Network):
//! - Credentials go to the server they were configured for: never along a redirect to another origin, even
//!   when it leads back; never to an upload location elsewhere; to a token server only of the same site.
//! - No answer is trusted: the digest is of the bytes received, every body has a ceiling, a slow one ends,
//!   lists end, nothing is decompressed on the wire.
//! - TLS is always verified. Plain HTTP is spoken to loopback addresses and to hosts set to `plain_http`.

mod auth;
mod body;
mod challenge;
mod credentials;
mod download;
mod files;
mod hosts;
mod http;
mod images;
mod push;
mod retry;
mod settings;

use std::{fmt, sync::Arc};

pub use credentials::Credentials;
pub use hosts::certificates;
pub use images::FetchedManifest;
pub use push::Pushed;
pub use settings::{ClientSettings, Retries, Timeouts};

use crate::base::{failure::Result, progress::Progress};

/// A client of registries and file servers. Clones share connections, tokens and limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ClientSettings,
    progress: Arc<dyn Progress>,
    hosts: hosts::Hosts,
    auth: auth::Auth,
    /// Held while a fallback tag of referrers is read, changed and written back.
    attaching: tokio::sync::Mutex<()>,
}

impl Client {
    /// A client with these settings; nothing is opened yet. `progress` hears of bytes and retries.
    pub fn new(settings: ClientSettings, progress: Arc<dyn Progress>) -> Result<Self> {
        let hosts = hosts::Hosts::new(&settings)?;
        let auth = auth::Auth::new(settings.credentials.clone());
        let attaching = tokio::sync::Mutex::new(());
        Ok(Self { inner: Arc::new(Inner { settings, progress, hosts, auth, attaching }) })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}
