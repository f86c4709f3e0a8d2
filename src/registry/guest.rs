//! A connection: what it speaks, who is at its other end, and that it keeps a least pace (threats X07).

use std::{
    any::Any,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::ready;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_rustls::{Accept, TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::{
    peer::{self, Peer},
    stay::Stay,
};
use crate::base::limits;

/// What a guest speaks through.
enum Line {
    Plain(TcpStream),
    /// The TLS handshake.
    Greeting(Box<Accept<TcpStream>>),
    Secure(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Gone,
}

/// A connection whose client takes what it is sent: [`limits::SLOWEST_BYTES`] while it is waited for. What the client
/// sends is waited for by who reads it: headers, and with them the handshake, by `serve.rs`; bodies by `body.rs`.
pub(super) struct Guest {
    line: Line,
    address: SocketAddr,
    secure: bool,
    shown: Arc<OnceLock<Vec<String>>>,
    pace: Pace,
    stay: Arc<Stay>,
    /// What it has as long as it is there.
    _has: Box<dyn Any + Send>,
}

/// How long is waited for what a client takes.
struct Pace {
    patience: Duration,
    until: Pin<Box<Sleep>>,
    waiting: bool,
    /// Bytes since it began to wait.
    moved: u64,
}

impl Pace {
    fn new(patience: Duration) -> Self {
        Self { patience, until: Box::pin(tokio::time::sleep(patience)), waiting: false, moved: 0 }
    }

    /// Passes on what came of a write of so many bytes.
    fn watch<T: Copy>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
        count: impl Fn(T) -> u64,
    ) -> Poll<io::Result<T>> {
        match &polled {
            Poll::Ready(Ok(moved)) => {
                self.moved = self.moved.saturating_add(count(*moved));
                self.waiting &= self.moved < limits::SLOWEST_BYTES;
                polled
            }
            Poll::Ready(Err(_)) => polled,
            Poll::Pending => {
                if !self.waiting {
                    (self.waiting, self.moved) = (true, 0);
                    self.until.as_mut().reset(Instant::now() + self.patience);
                }
                self.until.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

/// What one reads and writes through.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Guest {
    /// With `tls`, it has to greet by that.
    pub(super) fn new(
        socket: TcpStream,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        patience: Duration,
        (stay, has): (Arc<Stay>, Box<dyn Any + Send>),
    ) -> Self {
        let secure = tls.is_some();
        // Greeted when it is served, like every other word: nobody waits for it meanwhile.
        let line = match tls {
            None => Line::Plain(socket),
            Some(config) => Line::Greeting(Box::new(TlsAcceptor::from(config).accept(socket))),
        };
        Self { line, address, secure, shown: Arc::default(), pace: Pace::new(patience), stay, _has: has }
    }

    /// Who it is.
    pub(super) fn peer(&self) -> Peer {
        Peer { address: self.address, secure: self.secure, shown: Arc::clone(&self.shown) }
    }

    /// What it does there.
    pub(super) fn stay(&self) -> Arc<Stay> {
        Arc::clone(&self.stay)
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

    /// Writes something of so many bytes; while nothing comes of it, the time runs.
    fn writes<T: Copy>(
        &mut self,
        context: &mut Context<'_>,
        count: impl Fn(T) -> u64,
        act: impl FnOnce(Pin<&mut dyn Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = match self.stream(context) {
            Poll::Ready(Ok(stream)) => act(Pin::new(stream), context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.pace.watch(polled, context, count)
    }
}

/// Of a write.
fn bytes(count: usize) -> u64 {
    count as u64
}

/// Of what is done as a whole.
fn enough((): ()) -> u64 {
    limits::SLOWEST_BYTES
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // As if it had left by itself, once it has taken what it was sent.
        if self.stay.is_over(context) && !self.pace.waiting {
            return Poll::Ready(Ok(()));
        }
        Pin::new(ready!(self.stream(context))?).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes(context, bytes, |stream, context| stream.poll_write(context, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes(context, bytes, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.line {
            Line::Plain(socket) => socket.is_write_vectored(),
            // They become one record.
            _ => true,
        }
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes(context, enough, |stream, context| stream.poll_flush(context))
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.line {
            // Nothing was said that needs an end.
            Line::Greeting(_) | Line::Gone => Poll::Ready(Ok(())),
            _ => self.writes(context, enough, |stream, context| stream.poll_shutdown(context)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X07: nor who takes one byte now and then.
    #[test]
    fn who_takes_less_than_the_least_is_waited_for_only_so_long() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let patience = Duration::from_mins(1);
            let takes = |each: usize, every: Duration| async move {
                let (mut pace, mut moved) = (Pace::new(patience), 0_u64);
                for _ in 0..1000 {
                    let waited = std::future::poll_fn(|context| {
                        pace.watch(Poll::<io::Result<usize>>::Pending, context, bytes)
                    });
                    if let Ok(ended) = tokio::time::timeout(every, waited).await {
                        return (ended.unwrap_err().kind(), moved);
                    }
                    let wrote =
                        std::future::poll_fn(|context| pace.watch(Poll::Ready(Ok(each)), context, bytes));
                    moved += wrote.await.unwrap() as u64;
                }
                (io::ErrorKind::Other, moved)
            };
            let (ended, moved) = takes(1, Duration::from_secs(7)).await;
            assert_eq!((ended, moved), (io::ErrorKind::TimedOut, 8));
            let (ended, moved) = takes(1000, Duration::from_secs(10)).await;
            assert_eq!(
                (ended, moved),
                (io::ErrorKind::Other, 1_000_000),
                "slow, and slow enough is no fault"
            );
        });
    }
}
