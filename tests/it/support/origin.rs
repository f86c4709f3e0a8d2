//! A server on loopback that answers as it is told: rightly, wrongly, too much, too slowly, not at all.
//!
//! It speaks HTTP/1.1 by hand, one request a connection, so that it can break every rule.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A request as received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body came whole.
    pub whole: bool,
    /// How many requests came before.
    pub count: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

/// How a body is sent.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// With its length.
    Whole(Vec<u8>),
    /// The length of all, but only so many bytes; then the connection is reset.
    Cut(Vec<u8>, usize),
    /// In chunks, without a length.
    Chunked(Vec<u8>),
    /// Chunks without end.
    Endless,
    /// A length that no disk holds, and then nothing.
    Huge,
    /// One byte after the other, with pauses.
    Trickle(Vec<u8>, Duration),
}

/// An answer as told.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// No answer at all: the connection stays open and silent.
    pub silent: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::with(status, Body::Whole(body.into()))
    }

    pub(crate) fn with(status: u16, body: Body) -> Self {
        Self { status, headers: Vec::new(), body, silent: false }
    }

    pub(crate) fn silent() -> Self {
        Self { silent: true, ..Self::new(200, "") }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    /// Starts a server that answers every request with what `script` says.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let origin = Self { address, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                tokio::spawn(async move {
                    // A client that goes away is part of the game.
                    let _gone = serve(stream, &seen, &*script).await;
                });
            }
        });
        origin
    }

    /// `host:port`.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, log: &Mutex<Vec<Seen>>, script: &Script) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        if head == [0x16] {
            // TLS, which is not spoken here: say so as web servers do, and not more.
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
            return stream.shutdown().await;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut seen = Seen { method, target, headers, body: Vec::new(), whole: true, count: 0 };
    let length: u64 = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    (&mut stream).take(length).read_to_end(&mut seen.body).await?;
    seen.whole = seen.body.len() as u64 == length;
    {
        let mut log = log.lock().unwrap();
        seen.count = log.len();
        log.push(seen.clone());
    }
    let answer = script(&seen);
    if answer.silent {
        tokio::time::sleep(Duration::from_mins(1)).await;
        return Ok(());
    }
    let stream = stream.get_mut();
    let mut text = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    match &answer.body {
        Body::Whole(bytes) | Body::Cut(bytes, _) | Body::Trickle(bytes, _) => {
            write!(text, "Content-Length: {}\r\n", bytes.len()).unwrap();
        }
        Body::Huge => text.push_str("Content-Length: 4611686018427387904\r\n"),
        Body::Chunked(_) | Body::Endless => text.push_str("Transfer-Encoding: chunked\r\n"),
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    if seen.method == "HEAD" {
        return stream.shutdown().await;
    }
    match answer.body {
        Body::Whole(bytes) => stream.write_all(&bytes).await?,
        Body::Cut(bytes, count) => {
            stream.write_all(&bytes[..count]).await?;
            stream.flush().await?;
        }
        Body::Chunked(bytes) => {
            for piece in bytes.chunks(1000) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                stream.write_all(piece).await?;
                stream.write_all(b"\r\n").await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
        }
        Body::Endless => loop {
            stream.write_all(b"4000\r\n").await?;
            stream.write_all(&[b' '; 0x4000]).await?;
            stream.write_all(b"\r\n").await?;
        },
        Body::Huge => tokio::time::sleep(Duration::from_mins(1)).await,
        Body::Trickle(bytes, pause) => {
            for byte in bytes {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
    }
    stream.shutdown().await
}
