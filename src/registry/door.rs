//! The door of the server: so many guests and no more, and none who only sits there (threats X06, X07).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

use super::metrics::Metrics;

/// Accepts while there are seats; further connections wait in the system's queue.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    patience: Duration,
    metrics: Arc<Metrics>,
}

impl Door {
    pub(super) fn new(
        listener: TcpListener,
        seats: usize,
        patience: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { listener, seats: Arc::new(Semaphore::new(seats)), patience, metrics }
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
        let counted = Presence::new(&self.metrics);
        (Guest { socket, timer, patience: self.patience, _seat: seat, _counted: counted }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection on which something must move, in either direction.
#[derive(Debug)]
pub(super) struct Guest {
    socket: TcpStream,
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

impl Guest {
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
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.watch(polled, context)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.watch(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net,
    };

    use super::*;

    #[test]
    fn who_says_nothing_makes_room() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(listener, 1, Duration::from_millis(100), Arc::default());
        let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
        runtime.spawn(async move { axum::serve(door, app).await });

        let mut silent = net::TcpStream::connect(address).unwrap();
        let mut second = net::TcpStream::connect(address).unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
        assert!(silent.read(&mut [0]).map_or(true, |count| count == 0), "the silent one was put out");
    }
}
