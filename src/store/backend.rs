//! Where the rows of a home lie: in a file of the home, or in PostgreSQL, where `HOME/store.toml` says so.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
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
    /// How many may hold one more.
    free: Mutex<usize>,
    /// Told when there is one more.
    freed: Condvar,
}

/// Connections kept for locks.
const IDLE: usize = 16;
/// Connections that hold a lock, or wait for one, at once: pushes past these wait for one of them to end.
const LOCKS: usize = 64;
/// So long and no longer: whoever has one may wait for another.
const PATIENCE: Duration = Duration::from_secs(30);

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
        Ok(Self::Postgres(Arc::new(Shared::new(address, place))))
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
    fn new(address: Address, place: PathBuf) -> Self {
        Self { address, place, idle: Mutex::default(), free: Mutex::new(LOCKS), freed: Condvar::new() }
    }

    /// One more connection.
    pub(super) fn connect(&self) -> Result<Connection> {
        self.connected().map(Connection::Postgres)
    }

    fn connected(&self) -> Result<Postgres> {
        self.address.connect().map_err(|error| database::failure(&self.place, &error))
    }

    /// Takes a lock that all replicas know, and waits for it.
    pub(super) fn lock(self: &Arc<Self>, name: i32, mode: Mode) -> Result<Turn> {
        let seat = self.seat()?;
        let guard = self.idle()?.lock(name, mode).map_err(|error| database::failure(&self.place, &error))?;
        Ok(Turn { shared: Arc::clone(self), guard: Mutex::new(Some(guard)), _seat: seat })
    }

    /// Takes such a lock for itself alone; `None` while others have it.
    pub(super) fn try_lock(self: &Arc<Self>, name: i32) -> Result<Option<Turn>> {
        let seat = self.seat()?;
        let guard = self.idle()?.try_lock(name).map_err(|error| database::failure(&self.place, &error))?;
        Ok(guard.map(|guard| Turn { shared: Arc::clone(self), guard: Mutex::new(Some(guard)), _seat: seat }))
    }

    /// Leave to have one more connection for a lock.
    fn seat(self: &Arc<Self>) -> Result<Seat> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(free, PATIENCE, |free| *free == 0);
        let (mut free, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let message = format!("{LOCKS} connections hold locks, and none came free within {PATIENCE:?}");
            return Err(Failure::new(Reason::LockHeld, self.place.display(), message)
                .hint("wait for what is at work in this home, then try again"));
        }
        *free -= 1;
        Ok(Seat { shared: Arc::clone(self) })
    }

    fn idle(&self) -> Result<Postgres> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.filter(|idle| !idle.is_closed()).map_or_else(|| self.connected(), Ok)
    }
}

/// Leave to have a connection for a lock.
#[derive(Debug)]
struct Seat {
    shared: Arc<Shared>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        *self.shared.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.shared.freed.notify_one();
    }
}

/// A lock that all replicas know, while it is held.
#[derive(Debug)]
pub(super) struct Turn {
    shared: Arc<Shared>,
    /// One thread at a time speaks over its connection.
    guard: Mutex<Option<Guard>>,
    /// Given back after the connection.
    _seat: Seat,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Arc<Shared> {
        // Nobody listens there.
        let address = Address::new("postgres://127.0.0.1:1/none", None, None).unwrap();
        Arc::new(Shared::new(address, PathBuf::from("there")))
    }

    /// X06: however many push at once.
    #[test]
    fn connections_for_locks_have_a_bound() {
        let shared = shared();
        let mut seats: Vec<Seat> = (0..LOCKS).map(|_| shared.seat().unwrap()).collect();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let shared = &shared;
            scope.spawn(move || tell.send(shared.seat().map(drop)).unwrap());
            assert!(told.recv_timeout(Duration::from_millis(200)).is_err(), "it waits");
            seats.pop();
            told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
        });
        drop(seats);
        assert_eq!(*shared.free.lock().unwrap(), LOCKS);
    }

    #[test]
    fn a_server_that_is_not_there_is_away() {
        let shared = shared();
        assert_eq!(shared.connect().unwrap_err().reason, Reason::DatabaseAway);
        assert_eq!(shared.lock(1, Mode::Shared).unwrap_err().reason, Reason::DatabaseAway);
        assert_eq!(*shared.free.lock().unwrap(), LOCKS, "what failed holds nothing");
    }
}
