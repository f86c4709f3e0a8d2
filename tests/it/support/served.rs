//! A registry on a socket, and what it answers.

use std::{collections::BTreeMap, net::SocketAddr};

use sealift::{
    registry::{Access, Log, Options, serve},
    store::Store,
};
use serde_json::Value;

/// A registry that ends with the test.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    /// Over plain HTTP.
    pub(crate) fn start(store: Store, access: Access, log: Log) -> Self {
        Self::with(store, Options::plain(SocketAddr::from(([127, 0, 0, 1], 0)), access, log))
    }

    pub(crate) fn with(store: Store, options: Options) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let tell = move |address| ready.send(address).unwrap();
            let shutdown = async { stopped.await.unwrap_or_default() };
            runtime.unwrap().block_on(serve(store, options, tell, shutdown)).unwrap();
        });
        Self { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// The head of a request, as it is written here; the connection ends with its answer.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&[name, ": ", value, "\r\n"].concat());
    }
    head + "\r\n"
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The answer as far as it came; `None` where not even its head did.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

/// One request over a connection of its own.
#[derive(Clone, Copy)]
pub(crate) struct Client(pub(crate) SocketAddr);

impl Client {
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_to_ask(method, path, headers, body).unwrap().expect("a response head")
    }

    /// Of a server that may end meanwhile: then there may be no answer, or a part of one.
    pub(crate) fn try_to_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Option<Answer>> {
        use std::io::{Read as _, Write as _};
        let mut socket = std::net::TcpStream::connect(self.0)?;
        socket.write_all(&request(method, path, headers, body.len(), body))?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes)?;
        Ok(Answer::parse(&bytes))
    }
}

/// A request that announces so many bytes and brings these.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    length: usize,
    body: &[u8],
) -> Vec<u8> {
    let length = length.to_string();
    [head(method, path, &[headers, &[("Content-Length", &length)]].concat()).as_bytes(), body].concat()
}

/// Who publishes in tests.
pub(crate) fn author() -> sealift::store::Author {
    sealift::store::Author { who: "test".into(), time: sealift::base::clock::Timestamp::now() }
}
