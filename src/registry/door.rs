//! The door of the server: so many guests and no more, and none who only sits there (threats X06, X07).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::serve::Listener;
use futures_util::ready;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

use super::{
    peer::{self, Peer},
    tls::Tls,
};

use super::metrics::Metrics;

/// Accepts while there are seats; further connections wait in the system's queue.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    patience: Duration,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
}

impl Door {
    /// With `tls`, guests speak that and nothing else.
    pub(super) fn new(
        listener: TcpListener,
        seats: usize,
        patience: Duration,
        tls: Option<Arc<Tls>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { listener, seats: Arc::new(Semaphore::new(seats)), patience, tls, metrics }
    }
}

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        // Never closed, so there is always a permit in the end.
        let seat = Arc::clone(&self.seats).acquire_owned().await.ok();
        let (socket, address) = Listener::accept(&mut self.listener).await;
        // Small answers (manifests) must not wait for a full packet; a failure only costs speed.
        let _slower_at_worst = socket.set_nodelay(true);
        let timer = Box::pin(tokio::time::sleep(self.patience));
        // Greeted when it is served, like every other word: nobody waits for it meanwhile.
        let line = match &self.tls {
            None => Line::Plain(socket),
            Some(tls) => Line::Greeting(Box::new(TlsAcceptor::from(tls.config()).accept(socket))),
        };
        let counted = Presence::new(&self.metrics);
        let guest = Guest {
            line,
            secure: self.tls.is_some(),
            shown: Arc::default(),
            timer,
            patience: self.patience,
            _seat: seat,
            _counted: counted,
        };
        (guest, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What a guest speaks through.
enum Line {
    Plain(TcpStream),
    /// The TLS handshake.
    Greeting(Box<Accept<TcpStream>>),
    Secure(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Gone,
}

/// A connection on which something must move, in either direction; a handshake is one move.
pub(super) struct Guest {
    line: Line,
    secure: bool,
    shown: Arc<OnceLock<Vec<String>>>,
    timer: Pin<Box<Sleep>>,
    patience: Duration,
    _seat: Option<OwnedSemaphorePermit>,
    _counted: Presence,
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

/// What one reads and writes through.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Guest {
    /// Who it is.
    pub(super) fn peer(&self, address: SocketAddr) -> Peer {
        Peer { address, secure: self.secure, shown: Arc::clone(&self.shown) }
    }

    /// The stream, once the handshake is done.
    fn stream(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut dyn Stream>> {
        if let Line::Greeting(accept) = &mut self.line {
            match ready!(Pin::new(accept).poll(context)) {
                Ok(stream) => {
                    let certificates = stream.get_ref().1.peer_certificates();
                    let shown = certificates.and_then(<[_]>::first).map(peer::identities);
                    let _once = self.shown.set(shown.unwrap_or_default());
                    self.line = Line::Secure(Box::new(stream));
                }
                Err(error) => {
                    self.line = Line::Gone;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match &mut self.line {
            Line::Plain(socket) => Ok(socket),
            Line::Secure(stream) => Ok(stream.as_mut()),
            Line::Greeting(_) | Line::Gone => Err(io::ErrorKind::NotConnected.into()),
        })
    }

    /// Does something with the stream; while nothing comes of it, the timer runs.
    fn with<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut dyn Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = match self.stream(context) {
            Poll::Ready(Ok(stream)) => act(Pin::new(stream), context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.watch(polled, context)
    }

    /// Passes on what the socket says; while it says nothing, the timer runs.
    fn watch<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let deadline = Instant::now() + self.patience;
            self.timer.as_mut().reset(deadline);
            return polled;
        }
        self.timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(context, |stream, context| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.line {
            Line::Plain(socket) => socket.is_write_vectored(),
            // They become one record.
            _ => true,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match self.stream(context) {
            Poll::Ready(Ok(stream)) => Pin::new(stream).poll_flush(context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        // That there is nothing to send is no sign of life.
        if polled.is_ready() { polled } else { self.watch(polled, context) }
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Line::Secure(_) => self.with(context, |stream, context| stream.poll_shutdown(context)),
            // Nothing was said that needs an end.
            Line::Greeting(_) | Line::Gone => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net,
    };

    use super::*;

    /// One seat; who asks gets `hello`.
    fn open(runtime: &tokio::runtime::Runtime, tls: Option<Arc<Tls>>) -> SocketAddr {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(listener, 1, Duration::from_millis(300), tls, Arc::default());
        let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
        runtime.spawn(async move { axum::serve(door, app).await });
        address
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

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
            let socket = TcpStream::connect(address).await.unwrap();
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
