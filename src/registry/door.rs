//! The door of the server: so many guests and no more, and not all of them from one address (threats X06).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{guest::Guest, metrics::Metrics, peer::network, stay::Stay, tls::Tls};

/// How long a guest may do nothing though others find no seat: a request on its way takes less.
const HURRY: Duration = Duration::from_millis(250);

/// Connections that the system lets wait until they are accepted: it forgets further ones, whose clients then wait for
/// nobody.
const WAITING: u32 = 4096;

/// Listens where clients come.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is started again need not wait for the connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Accepts while there are seats. Where there are none, who does nothing has to leave for who comes; while all are
/// busy, further connections wait in the system's queue.
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
            // Waits a while where the system gives no further ones.
            let (socket, address) = Listener::accept(&mut self.listener).await;
            let stay = Stay::begin();
            let Some(mut seat) = Seats::take(&self.seats, address.ip(), &stay) else {
                self.metrics.turned_away();
                continue;
            };
            // Who waits here is not the one to leave.
            let waits = Stay::busy(&stay);
            seat.permit = Seats::free_one(&self.seats).await;
            drop(waits);
            // Small answers (manifests) must not wait for a full packet; a failure only costs speed.
            let _slower_at_worst = socket.set_nodelay(true);
            let tls = self.tls.as_ref().map(|tls| tls.config());
            let present = (seat, Presence::new(&self.metrics));
            return Guest::new(socket, address, tls, self.patience, (stay, Box::new(present)));
        }
    }
}

/// Who sits where.
#[derive(Debug)]
struct Seats {
    free: Arc<Semaphore>,
    /// For those of one address.
    share: usize,
    /// How long a guest may do nothing though others find no seat.
    hurry: Duration,
    taken: Mutex<HashMap<IpAddr, Vec<Arc<Stay>>>>,
}

/// Free again when it is dropped.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    from: IpAddr,
    stay: Arc<Stay>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Seats {
    fn new(count: usize) -> Self {
        let share = count.saturating_sub(count / 4).max(1);
        Self { free: Arc::new(Semaphore::new(count)), share, hurry: HURRY, taken: Mutex::default() }
    }

    /// Where those of this address have their share, who does nothing for longest has to leave; `None` where all of them are
    /// busy. One address may be that of a proxy which keeps connections for later.
    fn take(seats: &Arc<Self>, from: IpAddr, stay: &Arc<Stay>) -> Option<Seat> {
        let from = network(from);
        let mut taken = seats.taken();
        let of_one = taken.entry(from).or_default();
        if of_one.len() >= seats.share {
            let now = Instant::now();
            let idle = of_one.iter().enumerate().filter_map(|(at, stay)| Some((stay.idle(now)?, at)));
            let (_, longest) = idle.filter(|(idle, _)| *idle >= seats.hurry).max()?;
            of_one.swap_remove(longest).oust();
        }
        of_one.push(Arc::clone(stay));
        drop(taken);
        Some(Seat { seats: Arc::clone(seats), from, stay: Arc::clone(stay), permit: None })
    }

    /// Waits until there is a free seat, and sees to it.
    async fn free_one(seats: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = Arc::clone(&seats.free).try_acquire_owned() {
                return Some(permit);
            }
            seats.oust(Instant::now());
            // Never closed, so there is a permit in the end.
            let permit = Arc::clone(&seats.free).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(HURRY / 5, permit).await {
                return permit.ok();
            }
        }
    }

    /// Asks one to leave that does nothing: of the address that has most seats, who does so for longest.
    fn oust(&self, now: Instant) {
        let taken = self.taken();
        let idle = taken.values().flat_map(|of_one| of_one.iter().map(|stay| (of_one.len(), stay)));
        let idle = idle.filter_map(|(count, stay)| Some((count, stay.idle(now)?, stay)));
        let idle = idle.filter(|(_, idle, _)| *idle >= self.hurry);
        if let Some((_, _, stay)) = idle.max_by_key(|(count, idle, _)| (*count, *idle)) {
            stay.oust();
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<Arc<Stay>>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(of_one) = taken.get_mut(&self.from) {
            of_one.retain(|stay| !Arc::ptr_eq(stay, &self.stay));
            if of_one.is_empty() {
                taken.remove(&self.from);
            }
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
        net,
    };

    use super::*;
    use crate::base::limits;

    /// One seat, which nobody has to leave for others; who asks gets `hello`.
    fn open(runtime: &tokio::runtime::Runtime, tls: Option<Arc<Tls>>) -> SocketAddr {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let mut door = Door::new(listener, 1, Duration::from_millis(300), tls, Arc::default());
        door.seats = Arc::new(Seats { hurry: Duration::MAX, ..Seats::new(1) });
        let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
        runtime.spawn(super::super::serve::attend(door, app, std::future::pending()));
        address
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    /// A connection from another address of this machine: one address alone has no more than its share of the seats.
    fn connect(runtime: &tokio::runtime::Runtime, from: u8, to: SocketAddr) -> net::TcpStream {
        let socket = async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, from], 0).into()).unwrap();
            socket.connect(to).await.unwrap()
        };
        let socket = runtime.block_on(socket).into_std().unwrap();
        socket.set_nonblocking(false).unwrap();
        socket
    }

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    /// X06: whoever takes as many seats as there are for one address leaves some to the others.
    #[test]
    fn no_address_takes_all_seats() {
        let seats = Arc::new(Seats::new(8));
        let take = |from: &str| Seats::take(&seats, from.parse().unwrap(), &Stay::begin());
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

    /// X06: a proxy that keeps all its connections open gets a further one, as long as it does nothing with one of them.
    #[test]
    fn who_does_nothing_leaves_for_who_comes_from_the_same_address() {
        let seats = Arc::new(Seats { hurry: Duration::ZERO, ..Seats::new(4) });
        let sit = || {
            let stay = Stay::begin();
            Seats::take(&seats, "192.0.2.1".parse().unwrap(), &stay).map(|seat| (seat, stay))
        };
        let proxy: Vec<_> = (0..3).map(|_| sit().unwrap()).collect();
        let stays = |stay: &Stay| stay.idle(Instant::now()).is_some();
        let first = Stay::busy(&proxy[0].1);
        let fourth = sit().unwrap();
        let left: Vec<_> = proxy.iter().map(|(_, stay)| stays(stay)).collect();
        assert_eq!(left, [false, false, true], "one at work, and the longest idle has left");
        assert!(stays(&fourth.1));
        let busy = [Stay::busy(&proxy[2].1), Stay::busy(&fourth.1)];
        assert!(sit().is_none(), "all are at work");
        drop((first, busy));
        let soon = Arc::new(Seats { hurry: HURRY, ..Seats::new(1) });
        let take = || Seats::take(&soon, "192.0.2.1".parse().unwrap(), &Stay::begin());
        let _just_come = take().unwrap();
        assert!(take().is_none(), "nobody leaves so soon");
        assert_eq!(seats.taken().values().map(Vec::len).sum::<usize>(), 3);
        drop((proxy, fourth));
        assert!(seats.taken().is_empty(), "nothing is kept of who has left");
    }

    /// X06: as many connections as 10,000 from many addresses, which say nothing or begin to ask, keep nobody out, cost no
    /// more than the seats, and end after their time.
    #[test]
    fn ten_thousand_idle_connections_keep_nobody_out() {
        const PATIENCE: Duration = Duration::from_secs(2);
        let many = files_for(10_000);
        let scene = crate::registry::tests::Scene::new(crate::registry::Access::default(), false);
        scene.set("[[grant]]\nto=['anyone']\nrepositories=['z/*']\nmay=['pull']");
        let server =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = server.block_on(async { listen(([127, 0, 0, 1], 0).into()) }).unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::clone(&scene.registry.metrics);
        let mut door = Door::new(listener, limits::CONNECTIONS, PATIENCE, None, metrics);
        // So that the test does not take as long as that many connections may.
        let hurry = Duration::from_millis(20);
        door.seats = Arc::new(Seats { hurry, ..Seats::new(limits::CONNECTIONS) });
        let count = |name: &str| -> usize {
            let page = scene.registry.metrics.page(&super::super::metrics::Measured::default());
            page.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
        };
        let app = crate::registry::app(scene.registry.clone());
        server.spawn(super::super::serve::attend(door, app, std::future::pending()));
        runtime().block_on(async {
            let connect = |number: usize| async move {
                use tokio::io::AsyncWriteExt as _;
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                let from = [127, 0, 1, u8::try_from(number % 40).unwrap() + 1];
                socket.bind((from, 0).into()).unwrap();
                let mut stream = socket.connect(address).await.ok()?;
                if number.is_multiple_of(2) {
                    let _closed = stream.write_all(&ASKED[..9]).await;
                }
                Some(stream)
            };
            let mut idle = Vec::new();
            // No more at once than the system lets wait: it forgets others.
            for batch in (0..many).collect::<Vec<_>>().chunks(500) {
                let came = futures_util::future::join_all(batch.iter().map(|number| connect(*number))).await;
                idle.extend(came.into_iter().map(Option::unwrap));
                while count("sealift_connections_total ") < idle.len() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            let waits = Duration::from_secs(10);
            for path in ["/readyz", "/v2/z/open/manifests/v1", "/readyz"] {
                let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                let answer = async {
                    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await.map(|_| answer)
                };
                let answer = tokio::time::timeout(waits, answer).await.expect("not kept out").unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            }
            let open = count("sealift_open_connections ");
            assert!(open <= limits::CONNECTIONS, "{open}");
            let ended = idle.iter_mut().map(|stream| async {
                use tokio::io::AsyncReadExt as _;
                while stream.read(&mut [0; 512]).await.is_ok_and(|read| read > 0) {}
            });
            let ended = futures_util::future::join_all(ended);
            tokio::time::timeout(PATIENCE * 4, ended).await.expect("all of them were put out");
        });
    }

    /// Sees to it that this process may have so many files open and some more, as far as the machine lets it; how many it
    /// may.
    #[expect(clippy::print_stdout, reason = "a test that shows less than its name has to say so")]
    fn files_for(wanted: usize) -> usize {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        const MORE: u64 = 2000;
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(u64::MAX).min(wanted as u64 + MORE);
        if limit.current.is_some_and(|now| now < most) {
            let _as_it_was =
                setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
        }
        let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let may = usize::try_from(now.saturating_sub(MORE)).unwrap_or(usize::MAX).clamp(700, wanted);
        if may < wanted {
            println!("this machine lets a process open {now} files: {may} connections, not {wanted}");
        }
        may
    }

    /// Whoever finds no seat gets that of who does nothing, not of who waits for an answer; and of who has most.
    #[test]
    fn who_does_nothing_leaves_for_who_comes() {
        let seats = Arc::new(Seats::new(8));
        let sit = |from: &str| {
            let stay = Stay::begin();
            (Seats::take(&seats, from.parse().unwrap(), &stay).unwrap(), stay)
        };
        let alone = sit("192.0.2.9");
        let greedy: Vec<_> = (0..3).map(|_| sit("192.0.2.1")).collect();
        let answer = Stay::busy(&greedy[0].1);
        let idle = |stay: &Stay, now| stay.idle(now).is_some();
        let now = Instant::now();
        seats.oust(now);
        assert!(greedy.iter().skip(1).all(|(_, stay)| idle(stay, now)), "so soon, nobody");
        let later = now + HURRY;
        let left = || (0..3).filter(|at| idle(&greedy[*at].1, later)).collect::<Vec<_>>();
        seats.oust(later);
        assert_eq!(left(), [2], "who came first");
        seats.oust(later);
        assert_eq!((left(), idle(&alone.1, later)), (vec![], true), "the one at work stays");
        drop(answer);
        seats.oust(Instant::now() + HURRY);
        assert!(!idle(&greedy[0].1, later) && idle(&alone.1, later));
        seats.oust(later);
        assert!(!idle(&alone.1, later));
    }

    #[test]
    fn who_says_nothing_makes_room() {
        let runtime = runtime();
        let address = open(&runtime, None);
        let mut silent = connect(&runtime, 2, address);
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
        let mut slow = connect(&runtime, 2, address);
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
        let _silent = connect(&runtime, 2, address);
        let mut slow = connect(&runtime, 3, address);
        slow.write_all(b"\x16\x03\x01\x02").unwrap();
        let mut plain = connect(&runtime, 4, address);
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
