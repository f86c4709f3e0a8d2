//! Where the rows of a home lie: in a file of the home, or in PostgreSQL, where `HOME/store.toml` says so.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    database,
    settings::{Settings, secret_lines, wrong},
    sql::{Address, Connection, Guard, Mode, Postgres},
};
use crate::base::{
    failure::{Failure, Reason, Result},
    fs,
    redact::Secret,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Where the rows lie.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    /// In a file of the home.
    Sqlite,
    /// In a database that several machines share.
    Postgres(Arc<Shared>),
}

/// A database that several machines share.
#[derive(Debug)]
pub(super) struct Shared {
    address: Address,
    /// As messages name it.
    place: PathBuf,
    /// Connections that held a lock and can hold another.
    idle: Mutex<Vec<Postgres>>,
}

/// Connections kept for locks.
const IDLE: usize = 16;

impl Backend {
    /// What the home says.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for a `store.toml` that cannot be used, [`Reason::KeyPermissions`] for a password that
    /// others can read.
    pub(super) fn of(home: &Path) -> Result<Self> {
        let Some(Settings { database, .. }) = Settings::of(home)? else { return Ok(Self::Sqlite) };
        let lines =
            database.password_file.as_deref().map(|file| secret_lines(&home.join(file))).transpose()?;
        let password = lines.map(|lines| lines.into_iter().next().unwrap_or_else(|| Secret::new("")));
        let tls = database.ca_file.as_deref().map(|file| tls(&home.join(file))).transpose()?;
        let address = Address::new(&database.url, password.as_ref().map(Secret::reveal), tls);
        let address = address.map_err(|error| wrong(home, format!("url: {error}")))?;
        let place = PathBuf::from(address.place());
        Ok(Self::Postgres(Arc::new(Shared { address, place, idle: Mutex::default() })))
    }

    /// As messages name it.
    pub(super) fn place(&self, home: &Path) -> PathBuf {
        match self {
            Self::Sqlite => home.join(database::FILE),
            Self::Postgres(shared) => shared.place.clone(),
        }
    }
}

impl Shared {
    /// One more connection.
    pub(super) fn connect(&self) -> Result<Connection> {
        self.connected().map(Connection::Postgres)
    }

    fn connected(&self) -> Result<Postgres> {
        self.address.connect().map_err(|error| database::failure(&self.place, &error))
    }

    /// Takes a lock that all replicas know, and waits for it.
    pub(super) fn lock(self: &Arc<Self>, name: i32, mode: Mode) -> Result<Turn> {
        let guard = self.idle()?.lock(name, mode).map_err(|error| database::failure(&self.place, &error))?;
        Ok(Turn { shared: Arc::clone(self), guard: Mutex::new(Some(guard)) })
    }

    /// Takes such a lock for itself alone; `None` while others have it.
    pub(super) fn try_lock(self: &Arc<Self>, name: i32) -> Result<Option<Turn>> {
        let guard = self.idle()?.try_lock(name).map_err(|error| database::failure(&self.place, &error))?;
        Ok(guard.map(|guard| Turn { shared: Arc::clone(self), guard: Mutex::new(Some(guard)) }))
    }

    fn idle(&self) -> Result<Postgres> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.filter(|idle| !idle.is_closed()).map_or_else(|| self.connected(), Ok)
    }
}

/// A lock that all replicas know, while it is held.
#[derive(Debug)]
pub(super) struct Turn {
    shared: Arc<Shared>,
    /// One thread at a time speaks over its connection.
    guard: Mutex<Option<Guard>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let guard = self.guard.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(connection) = guard.and_then(Guard::release) else { return };
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
}

/// TLS to a server whose certificate is signed by one of these.
fn tls(file: &Path) -> Result<ClientConfig> {
    let text = fs::read_user_text(file)?;
    let mut roots = RootCertStore::empty();
    let none =
        || Failure::new(Reason::CaFile, file.display(), "it holds no certificate in PEM that can be read");
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        roots.add(certificate.map_err(|_why| none())?).map_err(|_why| none())?;
    }
    if roots.is_empty() {
        return Err(none());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(Failure::internal)?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}
