//! The door of the server: so many guests and no more, and not all of them from one address (threats X06).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{guest::Guest, metrics::Metrics, peer::network, tls::Tls};

/// Accepts while there are seats; further connections wait in the system's queue.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    seats: Arc<Seats>,
    /// How long a guest may keep the server waiting.
    pub(super) patience: Duration,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
}

impl Door {
    /// Of `seats`, three quarters may be taken from one address. With `tls`, guests speak that and nothing else.
    pub(super) fn new(
        listener: TcpListener,
        seats: usize,
        patience: Duration,
        tls: Option<Arc<Tls>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { listener, seats: Arc::new(Seats::new(seats)), patience, tls, metrics }
    }

    /// The next guest. Who has too many connections already finds this one closed.
    pub(super) async fn next(&mut self) -> Guest {
        loop {
            // Never closed, so there is always a permit in the end.
            let permit = Arc::clone(&self.seats.free).acquire_owned().await.ok();
            // Waits a while where the system gives no further ones.
            let (socket, address) = Listener::accept(&mut self.listener).await;
            let Some(seat) = Seats::take(&self.seats, address.ip(), permit) else {
                self.metrics.turned_away();
                continue;
            };
            // Small answers (manifests) must not wait for a full packet; a failure only costs speed.
            let _slower_at_worst = socket.set_nodelay(true);
            let tls = self.tls.as_ref().map(|tls| tls.config());
            let present = (seat, Presence::new(&self.metrics));
            return Guest::new(socket, address, tls, self.patience, Box::new(present));
        }
    }
}

/// Who sits where.
#[derive(Debug)]
struct Seats {
    free: Arc<Semaphore>,
    /// For those of one address.
    share: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// Free again when it is dropped.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    from: IpAddr,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Seats {
    fn new(count: usize) -> Self {
        let share = count.saturating_sub(count / 4).max(1);
        Self { free: Arc::new(Semaphore::new(count)), share, taken: Mutex::default() }
    }

    /// `None` where those of this address have their share.
    fn take(seats: &Arc<Self>, from: IpAddr, permit: Option<OwnedSemaphorePermit>) -> Option<Seat> {
        let from = network(from);
        let mut taken = seats.taken();
        let count = taken.get(&from).copied().unwrap_or_default();
        if count >= seats.share {
            return None;
        }
        taken.insert(from, count + 1);
        drop(taken);
        Some(Seat { seats: Arc::clone(seats), from, _permit: permit })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        match taken.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.from)),
        }
    }
}

/// Counts as a connection while it lives.
#[derive(Debug)]
struct Presence(Arc<Metrics>);

impl Presence {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connected();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{self, SocketAddr},
    };

    use super::*;

    /// One seat; who asks gets `hello`.
    fn open(runtime: &tokio::runtime::Runtime, tls: Option<Arc<Tls>>) -> SocketAddr {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(listener, 1, Duration::from_millis(300), tls, Arc::default());
        let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
        runtime.spawn(super::super::serve::attend(door, app, std::future::pending()));
        address
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    /// X06: whoever takes as many seats as there are for one address leaves some to the others.
    #[test]
    fn no_address_takes_all_seats() {
        let seats = Arc::new(Seats::new(8));
        let take = |from: &str| Seats::take(&seats, from.parse().unwrap(), None);
        let greedy: Vec<_> = (0..6).map(|_| take("192.0.2.1").unwrap()).collect();
        assert!(take("192.0.2.1").is_none() && take("::ffff:192.0.2.1").is_none());
        let _other = take("192.0.2.2").unwrap();
        drop(greedy);
        let mut of_one_network: Vec<_> =
            (0..6).map(|at| take(&format!("2001:db8::{at}:1")).unwrap()).collect();
        assert!(take("2001:db8::9:9").is_none());
        of_one_network.pop();
        assert!(take("2001:db8::9:9").is_some());
        drop(of_one_network);
        assert_eq!(seats.taken().len(), 1, "nothing is kept of who has left");
    }

    #[test]
    fn who_says_nothing_makes_room() {
        let runtime = runtime();
        let address = open(&runtime, None);
        let mut silent = net::TcpStream::connect(address).unwrap();
        let mut second = net::TcpStream::connect(address).unwrap();
        second.write_all(ASKED).unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
        assert!(silent.read(&mut [0]).map_or(true, |count| count == 0), "the silent one was put out");
    }

    /// X07: a byte now and then is no request.
    #[test]
    fn who_only_begins_to_ask_makes_room() {
        let runtime = runtime();
        let address = open(&runtime, None);
        let mut slow = net::TcpStream::connect(address).unwrap();
        let dripping = std::thread::spawn(move || {
            // Three seconds at most: ten times what is waited.
            for byte in ASKED.iter().cycle().take(30) {
                if slow.write_all(&[*byte]).is_err() {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            false
        });
        let mut second = net::TcpStream::connect(address).unwrap();
        second.write_all(ASKED).unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
        assert!(dripping.join().unwrap(), "the slow one was put out");
    }

    /// X06, X07: a handshake takes a seat and is waited for as long as anything else, whatever comes of it. Each of these
    /// takes the only seat, and has to leave it.
    #[test]
    fn who_does_not_get_through_the_handshake_makes_room() {
        use tokio_rustls::{TlsConnector, rustls};
        let home = tempfile::tempdir().unwrap();
        let names = crate::registry::Certificate::Own(vec!["localhost".into()]);
        let tls = Arc::new(Tls::open(home.path(), names, None).unwrap());
        let runtime = runtime();
        let address = open(&runtime, Some(tls));
        let _silent = net::TcpStream::connect(address).unwrap();
        let mut slow = net::TcpStream::connect(address).unwrap();
        slow.write_all(b"\x16\x03\x01\x02").unwrap();
        let mut plain = net::TcpStream::connect(address).unwrap();
        plain.write_all(ASKED).unwrap();
        let authority = crate::base::fs::read_user_text(&home.path().join("tls/ca.pem")).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        for one in crate::registry::tls::certificates(home.path(), authority.as_bytes()).unwrap() {
            roots.add(one).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let answer = runtime.block_on(async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let name = "localhost".try_into().unwrap();
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
            stream.write_all(ASKED).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        });
        assert!(answer.ends_with("hello"), "{answer}");
        let mut said = Vec::new();
        let _cut = plain.read_to_end(&mut said);
        assert!(!said.starts_with(b"HTTP"), "who speaks no TLS hears no HTTP");
    }
}
