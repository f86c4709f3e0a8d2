//! A client that keeps its connection, hashes nothing and forgives nothing: for many requests in a row.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A connection to a registry, made when it is needed.
pub(crate) struct Wire {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Reply {
    /// Empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

impl Wire {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Asks, and hands on what the body of the answer brings.
    ///
    /// # Errors
    /// Where the answer did not come whole: nobody knows then what has become of the request.
    pub(crate) fn ask(
        &mut self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        take: impl FnMut(&[u8]),
    ) -> io::Result<Reply> {
        self.send((method, path), headers, &[body], take)
    }

    /// The same with a body that lies in several places.
    pub(crate) fn send(
        &mut self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[&[u8]],
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Reply> {
        let (mut stream, used) = match self.stream.take() {
            Some(stream) => (stream, true),
            None => (self.connect()?, false),
        };
        let reply = match Self::exchange(&mut stream, (method, path), headers, body) {
            // The server had closed it before it heard of this request.
            Err(error) if used && error.kind() == io::ErrorKind::NotConnected => {
                stream = self.connect()?;
                Self::exchange(&mut stream, (method, path), headers, body)
            }
            replied => replied,
        }?;
        let empty = method == "HEAD" || matches!(reply.status, 204 | 304);
        if !empty {
            read_body(&mut stream, &reply, &mut take)?;
        }
        if reply.header("connection") != "close" {
            self.stream = Some(stream);
        }
        Ok(reply)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let socket = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        socket.set_nodelay(true)?;
        // Longer than any server thinks about one request.
        socket.set_read_timeout(Some(Duration::from_mins(1)))?;
        socket.set_write_timeout(Some(Duration::from_mins(1)))?;
        Ok(BufReader::with_capacity(64 << 10, socket))
    }

    fn exchange(
        stream: &mut BufReader<TcpStream>,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[&[u8]],
    ) -> io::Result<Reply> {
        let length: usize = body.iter().map(|part| part.len()).sum();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: registry.test\r\nContent-Length: {length}\r\n");
        for (name, value) in headers {
            request.push_str(&[name, ": ", value, "\r\n"].concat());
        }
        request.push_str("\r\n");
        let socket = stream.get_mut();
        let sent = std::iter::once(request.as_bytes())
            .chain(body.iter().copied())
            .try_for_each(|part| socket.write_all(part));
        let mut line = String::new();
        let heard = stream.read_line(&mut line);
        if heard.as_ref().map_or(true, |&count| count == 0) {
            // What was sent may still have been heard; only of an empty request it makes no difference.
            let idle = length == 0 && matches!(method, "GET" | "HEAD");
            let kind = if idle { io::ErrorKind::NotConnected } else { io::ErrorKind::ConnectionAborted };
            return Err(sent.err().map_or_else(|| kind.into(), |_broken| kind.into()));
        }
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Reply { status, headers })
    }
}

fn read_body(
    stream: &mut BufReader<TcpStream>,
    reply: &Reply,
    take: &mut impl FnMut(&[u8]),
) -> io::Result<()> {
    if reply.header("transfer-encoding") != "chunked" {
        let length = reply.header("content-length").parse().map_err(|_none| io::ErrorKind::InvalidData)?;
        return read_exactly(stream, length, take);
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(|_none| io::ErrorKind::InvalidData)?;
        read_exactly(stream, length, take)?;
        stream.read_line(&mut line)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn read_exactly(
    stream: &mut BufReader<TcpStream>,
    length: u64,
    take: &mut impl FnMut(&[u8]),
) -> io::Result<()> {
    let (mut left, mut buffer) = (length, vec![0; 64 << 10]);
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = stream.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(&buffer[..count]);
        left -= count as u64;
    }
    Ok(())
}
