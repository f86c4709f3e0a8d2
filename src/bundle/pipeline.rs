//! The writing of volumes in parallel, in constant memory.
//!
//! ```text
//! caller --pieces--> workers (zstd) --frames--> file (in order, chunk hashes) --bytes--> hasher (SHA-256)
//! ```
//!
//! A piece is at most 16 MiB of tar stream and becomes one frame. While the caller fills one, only as many
//! are under way as there are workers (but two at least, so that one is written while the next is
//! compressed). A piece gives its blocks back while its frame grows, so that memory stays below
//! (max(`workers`, 2) + 1) x 18 MiB + `workers` x 6 MiB, whatever the content. Frames do not depend on who
//! makes them, so any number of workers gives the same bytes.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{Scope, ScopedJoinHandle},
};

use super::{frame::Compressor, sums};
use crate::base::{
    digest::{Algorithm, Digest, Hasher},
    failure::{Failure, Reason, Result},
    fs, limits,
};

/// Bytes of a block, the unit of buffers.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// A buffer and how much of it is filled.
#[derive(Debug)]
pub(super) struct Block {
    /// The buffer.
    pub(super) bytes: Vec<u8>,
    /// Bytes that count.
    pub(super) filled: usize,
}

impl Block {
    /// The bytes that count.
    pub(super) fn content(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// Room left.
    pub(super) fn free(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }
}

/// Buffers that go round.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// An empty block of at most [`BLOCK_BYTES`], at least `wanted` bytes if that is less.
    pub(super) fn take(&self, wanted: u64) -> Block {
        let wanted = usize::try_from(wanted).unwrap_or(BLOCK_BYTES);
        let spare = (wanted > BLOCK_BYTES / 16).then(|| self.lock().pop()).flatten();
        let length = if wanted > BLOCK_BYTES / 16 { BLOCK_BYTES } else { wanted };
        Block { bytes: spare.unwrap_or_else(|| vec![0; length]), filled: 0 }
    }

    /// Gives a block back.
    pub(super) fn give(&self, block: Block) {
        if block.bytes.len() == BLOCK_BYTES {
            self.lock().push(block.bytes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece on its way to a worker.
struct Piece {
    number: u64,
    volume: usize,
    level: i32,
    length: u64,
    blocks: Vec<Block>,
}

/// A frame on its way to the file.
struct Frame {
    number: u64,
    volume: usize,
    blocks: Vec<Block>,
}

impl Frame {
    fn length(&self) -> u64 {
        self.blocks.iter().map(|block| block.filled as u64).sum()
    }
}

/// Size and chunk hashes of a volume that is on disk.
type OnDisk = (u64, Vec<u8>);

/// What the hasher gets.
enum Bytes {
    Frame(Vec<Block>),
    EndOfVolume,
}

/// A volume that is written, synced and hashed.
#[derive(Debug)]
pub(super) struct Sealed {
    /// Bytes of the file.
    pub(super) size: u64,
    /// Digest of the file.
    pub(super) digest: Digest,
    /// Raw SHA-256 of every chunk.
    pub(super) chunks: Vec<u8>,
}

/// The other end hung up: it failed and says why when it is joined.
#[derive(Debug)]
pub(super) struct HungUp;

/// The near end of the pipe.
#[derive(Debug)]
pub(super) struct Pipeline<'scope> {
    pieces: Option<Sender<Piece>>,
    lengths: Receiver<(u64, u64)>,
    tokens: Receiver<()>,
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
    writer: ScopedJoinHandle<'scope, Result<Vec<OnDisk>>>,
    hasher: ScopedJoinHandle<'scope, Vec<Digest>>,
    sent: u64,
    known: u64,
}

impl<'scope> Pipeline<'scope> {
    /// Starts the threads; volumes go to `dir/volumes`, none larger than `limit`.
    pub(super) fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        dir: &'env Path,
        limit: Option<u64>,
        workers: usize,
        pool: &'env Pool,
    ) -> Self {
        let (pieces, queue) = channel::<Piece>();
        let queue = std::sync::Arc::new(Mutex::new(queue));
        let (frames, incoming) = channel::<Result<Frame>>();
        let (length, lengths) = channel();
        let (token, tokens) = channel();
        let (bytes, to_hash) = sync_channel(workers + 1);
        let threads = (0..workers)
            .map(|_| {
                let (queue, frames, length) = (queue.clone(), frames.clone(), length.clone());
                scope.spawn(move || work(&queue, &frames, &length, pool))
            })
            .collect();
        for _ in 0..workers.max(2) {
            let _own_channel = token.send(());
        }
        let writer = scope.spawn(move || write(dir, limit, &incoming, &bytes));
        let hasher = scope.spawn(move || hash(&to_hash, &token, pool));
        Self { pieces: Some(pieces), lengths, tokens, threads, writer, hasher, sent: 0, known: 0 }
    }

    /// Sends a piece; waits while too many are under way. Pieces come out in the order sent.
    pub(super) fn send(
        &mut self,
        volume: usize,
        level: i32,
        length: u64,
        blocks: Vec<Block>,
    ) -> Result<u64, HungUp> {
        self.tokens.recv().map_err(|_gone| HungUp)?;
        let number = self.sent;
        let piece = Piece { number, volume, level, length, blocks };
        let pieces = self.pieces.as_ref().ok_or(HungUp)?;
        pieces.send(piece).map_err(|_gone| HungUp)?;
        self.sent += 1;
        Ok(number)
    }

    /// The length of some frame that became known, if one did: the number of its piece and its bytes.
    pub(super) fn poll(&mut self) -> Option<(u64, u64)> {
        let known = self.lengths.try_recv().ok()?;
        self.known += 1;
        Some(known)
    }

    /// Waits for the length of some frame; `None` when all are known.
    pub(super) fn wait(&mut self) -> Result<Option<(u64, u64)>, HungUp> {
        if self.known == self.sent {
            return Ok(None);
        }
        let known = self.lengths.recv().map_err(|_gone| HungUp)?;
        self.known += 1;
        Ok(Some(known))
    }

    /// Ends the input and waits for everything to be on disk.
    ///
    /// # Errors
    /// The first failure of any thread: disk full, input/output, a volume over its limit.
    pub(super) fn finish(mut self) -> Result<Vec<Sealed>> {
        self.pieces = None;
        let crashed = |_panic| Failure::internal("a thread that writes volumes crashed");
        let written = self.writer.join().map_err(crashed)?;
        let digests = self.hasher.join().map_err(crashed)?;
        for thread in self.threads {
            thread.join().map_err(crashed)?;
        }
        let sealed = written?.into_iter().zip(digests);
        Ok(sealed.map(|((size, chunks), digest)| Sealed { size, digest, chunks }).collect())
    }
}

/// A worker: pieces to frames, until there are no more or the file is closed. A failure goes to the file,
/// which closes then: a frame that never comes would make the others wait for ever.
fn work(
    queue: &Mutex<Receiver<Piece>>,
    frames: &Sender<Result<Frame>>,
    lengths: &Sender<(u64, u64)>,
    pool: &Pool,
) {
    let mut compressor = match Compressor::new() {
        Ok(compressor) => compressor,
        Err(failure) => {
            let _file_may_be_closed = frames.send(Err(failure));
            return;
        }
    };
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(piece) = next else { return };
        let (number, volume) = (piece.number, piece.volume);
        let frame = compress(&mut compressor, piece, pool).map(|blocks| Frame { number, volume, blocks });
        let length = frame.as_ref().map_or(0, Frame::length);
        let failed = frame.is_err();
        // The length goes first: whoever waits for it must not miss it when the file closes.
        let hung_up = lengths.send((number, length)).is_err() || frames.send(frame).is_err();
        if failed || hung_up {
            return;
        }
    }
}

fn compress(compressor: &mut Compressor, piece: Piece, pool: &Pool) -> Result<Vec<Block>> {
    compressor.begin(piece.level, piece.length)?;
    let wanted = super::frame::piece_bound(piece.length);
    let mut frame = Vec::new();
    let mut out = pool.take(wanted);
    for block in piece.blocks {
        let mut rest = block.content();
        while !rest.is_empty() {
            let (taken, written) = compressor.push(rest, out.free())?;
            rest = rest.get(taken..).unwrap_or_default();
            out.filled += written;
            if out.free().is_empty() {
                frame.push(std::mem::replace(&mut out, pool.take(wanted)));
            }
        }
        pool.give(block);
    }
    loop {
        let (written, done) = compressor.finish(out.free())?;
        out.filled += written;
        if done {
            break;
        }
        if out.free().is_empty() {
            frame.push(std::mem::replace(&mut out, pool.take(wanted)));
        }
    }
    frame.push(out);
    Ok(frame)
}

/// The volume being written.
struct Current {
    number: usize,
    path: PathBuf,
    file: File,
    size: u64,
    chunk: Hasher,
    chunk_left: u64,
    chunks: Vec<u8>,
}

impl Current {
    fn create(dir: &Path, number: usize) -> Result<Self> {
        let path = dir.join(sums::volume_path(number));
        let file = fs::create_new(&path, 0o644)?;
        let chunk = Hasher::new(Algorithm::Sha256);
        Ok(Self { number, path, file, size: 0, chunk, chunk_left: limits::CHUNK_BYTES, chunks: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8], limit: Option<u64>) -> Result<()> {
        self.size += bytes.len() as u64;
        if limit.is_some_and(|limit| self.size > limit) {
            // Cannot happen: the filling reserves the most that zstd can need.
            return Err(Failure::internal("a volume grew over its limit"));
        }
        self.file.write_all(bytes).map_err(|error| fs::failure(&self.path, "write", &error))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let take = rest.len().min(usize::try_from(self.chunk_left).unwrap_or(usize::MAX));
            let (now, later) = rest.split_at_checked(take).unwrap_or((rest, &[]));
            self.chunk.update(now);
            self.chunk_left -= now.len() as u64;
            rest = later;
            if self.chunk_left == 0 {
                self.end_chunk();
            }
        }
        Ok(())
    }

    fn end_chunk(&mut self) {
        let done = std::mem::replace(&mut self.chunk, Hasher::new(Algorithm::Sha256));
        self.chunks.extend(done.finish().bytes());
        self.chunk_left = limits::CHUNK_BYTES;
    }

    fn finish(mut self) -> Result<OnDisk> {
        if self.chunk_left < limits::CHUNK_BYTES {
            self.end_chunk();
        }
        self.file.sync_all().map_err(|error| fs::failure(&self.path, "sync", &error))?;
        Ok((self.size, self.chunks))
    }
}

/// Puts frames in order and writes them.
fn write(
    dir: &Path,
    limit: Option<u64>,
    frames: &Receiver<Result<Frame>>,
    bytes: &SyncSender<Bytes>,
) -> Result<Vec<OnDisk>> {
    let mut volumes = Vec::new();
    let mut current: Option<Current> = None;
    let mut early = BTreeMap::new();
    let mut next = 0;
    for frame in frames {
        let frame = frame?;
        early.insert(frame.number, frame);
        while let Some(frame) = early.remove(&next) {
            next += 1;
            if current.as_ref().is_none_or(|volume| volume.number != frame.volume) {
                if let Some(done) = current.take() {
                    volumes.push(done.finish()?);
                    let _hasher_ends_last = bytes.send(Bytes::EndOfVolume);
                }
                current = Some(Current::create(dir, frame.volume)?);
            }
            if let Some(volume) = &mut current {
                for block in &frame.blocks {
                    volume.write(block.content(), limit)?;
                }
            }
            let _hasher_ends_last = bytes.send(Bytes::Frame(frame.blocks));
        }
    }
    if let Some(done) = current {
        volumes.push(done.finish()?);
        let _hasher_ends_last = bytes.send(Bytes::EndOfVolume);
    }
    Ok(volumes)
}

/// Hashes whole volumes, gives the blocks back and lets the next piece in.
fn hash(bytes: &Receiver<Bytes>, tokens: &Sender<()>, pool: &Pool) -> Vec<Digest> {
    let mut digests = Vec::new();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for item in bytes {
        match item {
            Bytes::Frame(blocks) => {
                for block in blocks {
                    hasher.update(block.content());
                    pool.give(block);
                }
                let _caller_may_be_done = tokens.send(());
            }
            Bytes::EndOfVolume => {
                let done = std::mem::replace(&mut hasher, Hasher::new(Algorithm::Sha256));
                digests.push(done.finish());
            }
        }
    }
    digests
}

/// What to report when a step failed because another thread did.
pub(super) fn own_failure(failure: Failure, pipeline: Pipeline<'_>) -> Failure {
    let hung_up = failure.reason == Reason::Internal;
    match pipeline.finish() {
        Err(cause) if hung_up => cause,
        _ => failure,
    }
}
