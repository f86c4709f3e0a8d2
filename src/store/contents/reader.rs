//! A stored blob that is being read: a file, or what a bucket sends.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::bucket::{self, Bucket, Flow, Seen};
use crate::base::digest::Digest;

/// What is asked of a bucket's stream at a time.
const PIECE: usize = 256 << 10;

/// A stored blob that is being read.
#[derive(Debug)]
pub struct BlobReader {
    pub(super) how: How,
}

#[derive(Debug)]
pub(super) enum How {
    File(File),
    Object(Box<Object>),
}

impl BlobReader {
    /// Its size.
    pub fn size(&self) -> io::Result<u64> {
        match &self.how {
            How::File(file) => Ok(file.metadata()?.len()),
            How::Object(object) => Ok(object.seen.size),
        }
    }

    /// The next bytes, no more than `most`; none at the end. Of a bucket they are what came, not a copy.
    pub fn next_piece(&mut self, most: usize) -> io::Result<Bytes> {
        match &mut self.how {
            How::File(file) => {
                // Nothing is written twice, as it would be into zeroes.
                let mut piece = Vec::with_capacity(most);
                file.take(most as u64).read_to_end(&mut piece)?;
                Ok(piece.into())
            }
            How::Object(object) => object.next_piece(most),
        }
    }

    /// Goes on at `start`; no more than `len` bytes are read from there.
    pub fn go_to(&mut self, start: u64, len: u64) -> io::Result<()> {
        match &mut self.how {
            How::File(file) => io::Seek::seek(file, io::SeekFrom::Start(start)).map(drop),
            How::Object(object) => object.go_to(start, len),
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.how {
            How::File(file) => file.read(buffer),
            How::Object(object) => object.read(buffer),
        }
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.how {
            How::File(file) => Read::read_to_end(file, buffer),
            How::Object(object) => object.read_to_end(buffer),
        }
    }
}

/// An object that a bucket sends.
pub(super) struct Object {
    bucket: Arc<Bucket>,
    digest: Digest,
    pub(super) seen: Seen,
    /// `None` when it has ended, or failed.
    flow: Option<Flow>,
    ready: VecDeque<Bytes>,
    /// Bytes that are still to come.
    left: u64,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("digest", &self.digest)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Object {
    pub(super) fn new(bucket: Arc<Bucket>, digest: Digest, seen: Seen, flow: Flow) -> Self {
        let left = seen.size;
        Self { bucket, digest, seen, flow: Some(flow), ready: VecDeque::new(), left }
    }

    fn go_to(&mut self, start: u64, len: u64) -> io::Result<()> {
        if (start, len) == (0, self.seen.size) && self.left == len && self.ready.is_empty() {
            return Ok(());
        }
        (self.flow, self.left) = (None, len);
        self.ready.clear();
        if len > 0 {
            let opened = self.bucket.open(&self.digest, Some((&self.seen, start, len)));
            let (_seen, flow) = opened.map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
            self.flow = Some(flow);
        }
        Ok(())
    }

    fn next_piece(&mut self, most: usize) -> io::Result<Bytes> {
        if self.left == 0 || most == 0 {
            return Ok(Bytes::new());
        }
        while self.ready.front().is_none_or(Bytes::is_empty) {
            if self.ready.pop_front().is_none() {
                // What ends too soon is an answer that was cut, and no copy that is damaged.
                self.fill()?;
            }
        }
        let Some(front) = self.ready.front_mut() else { return Ok(Bytes::new()) };
        let count = front.len().min(most).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= count as u64;
        Ok(front.split_to(count))
    }

    /// Waits for about a piece more.
    fn fill(&mut self) -> io::Result<()> {
        let Some(mut flow) = self.flow.take() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let waited = self.bucket.wait(async move {
            let (mut got, mut bytes) = (VecDeque::new(), 0);
            while bytes < PIECE {
                match flow.next().await {
                    Some(Ok(next)) => {
                        bytes += next.len();
                        got.push_back(next);
                    }
                    Some(Err(error)) => return Err(error),
                    None => return Ok((got, None)),
                }
            }
            Ok((got, Some(flow)))
        });
        let place = || self.bucket.path(&self.digest).display().to_string();
        let (got, flow) = waited
            .map_err(io::Error::other)?
            .map_err(|error| io::Error::other(bucket::failure(&place(), &error)))?;
        (self.ready, self.flow) = (got, flow);
        Ok(())
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.next_piece(buffer.len())?;
        buffer.get_mut(..piece.len()).unwrap_or_default().copy_from_slice(&piece);
        Ok(piece.len())
    }
}
