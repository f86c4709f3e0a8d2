//! Reads content out of volumes. Every byte is compared with its chunk hash before anything looks at it.
//!
//! ```text
//! file --4 MiB--> chunk hash --> zstd header, zstd --> tar header, padding --> size and digest --> sink
//! ```
//!
//! Files are opened anew for each chunk: whatever happens to the media between two reads, bytes that were
//! not signed are found (threats T07, R01), and a thousand volumes need no thousand descriptors.

use std::{
    collections::VecDeque,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    BundleIndex, Member, Volume,
    frame::{self, Decompressor, Fault, HEADER_LIMIT},
    header::{self, Place},
    layout, sums,
};
use crate::base::{
    digest::{Algorithm, Digest, Hasher},
    failure::{Failure, Reason, Result},
    fs, limits,
};

/// Bytes of a SHA-256.
const HASH: u64 = 32;
/// Chunks kept for the next reader: enough for two workers and what lies across a border.
const CACHED_CHUNKS: usize = 3;
/// Bytes decompressed at a time: two blocks of zstd.
const OUT_BYTES: usize = 256 << 10;

/// Receives content piece by piece.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// The volumes of a bundle with the hashes that authenticate them. Shared by all threads.
pub struct Reader {
    dir: PathBuf,
    index: BundleIndex,
    hashes: Vec<u8>,
    /// Number of the first chunk of each volume.
    first_chunks: Vec<u64>,
    /// Members of each blob, by its position in the index.
    spans: Vec<Range<usize>>,
    chunks: Mutex<VecDeque<CachedChunk>>,
    openers: Mutex<Vec<Opener>>,
}

/// What opening a frame takes; used again for the next, when that one came to its end.
struct Opener {
    decompressor: Decompressor,
    out: Vec<u8>,
}

struct CachedChunk {
    number: u64,
    bytes: Arc<Vec<u8>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.dir.display())
    }
}

/// Chunks of a volume of `size` bytes.
pub fn chunk_count(size: u64) -> u64 {
    size.div_ceil(limits::CHUNK_BYTES)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    /// A reader of the volumes in `dir`. `index` is consistent and, like `hashes` (the content of
    /// `chunks.bin`), authentic.
    ///
    /// # Errors
    /// [`Reason::ChunkListMalformed`] when there are not exactly the hashes that the volumes need.
    pub fn new(dir: &Path, index: BundleIndex, hashes: Vec<u8>) -> Result<Self> {
        let mut first_chunks = Vec::with_capacity(index.volumes.len());
        let mut chunks = 0u64;
        for volume in &index.volumes {
            first_chunks.push(chunks);
            chunks = chunks.saturating_add(chunk_count(volume.size));
        }
        if hashes.len() as u64 != chunks.saturating_mul(HASH) {
            let message = format!("expected {chunks} hashes of {HASH} bytes, found {} bytes", hashes.len());
            return Err(Failure::new(Reason::ChunkListMalformed, sums::CHUNKS, message)
                .hint("do not use the bundle; ask the sender"));
        }
        Ok(Self {
            dir: dir.to_owned(),
            spans: spans(&index),
            index,
            hashes,
            first_chunks,
            chunks: Mutex::default(),
            openers: Mutex::default(),
        })
    }

    /// `bundle.json`.
    pub fn index(&self) -> &BundleIndex {
        &self.index
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Positions of a blob's members, by the position of the blob.
    pub fn members_of(&self, blob: usize) -> Range<usize> {
        self.spans.get(blob).cloned().unwrap_or_default()
    }

    /// The signed hash of chunk `number` (from 0) of `volume` (from 1).
    pub fn chunk_hash(&self, volume: usize, number: u64) -> Option<&[u8]> {
        let first = volume.checked_sub(1).and_then(|at| self.first_chunks.get(at))?;
        let at = usize::try_from((first + number) * HASH).ok()?;
        self.hashes.get(at..at.checked_add(32)?)
    }

    fn volume(&self, number: usize) -> Result<&Volume> {
        number
            .checked_sub(1)
            .and_then(|at| self.index.volumes.get(at))
            .ok_or_else(|| Failure::internal("a volume that does not exist was asked for"))
    }

    /// Chunk `number` (from 0) of `volume` (from 1), as the file holds it now.
    pub fn read_chunk(&self, volume: usize, number: u64, buffer: &mut Vec<u8>) -> Result<Digest> {
        let volume = self.volume(volume)?;
        let start = number * limits::CHUNK_BYTES;
        let length = volume.size.saturating_sub(start).min(limits::CHUNK_BYTES);
        buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
        let path = self.dir.join(&volume.path);
        let file = fs::open_plain(&path).map_err(|failure| match failure.reason {
            Reason::NotFound => failure.as_reason(Reason::VolumeMissing).of(&volume.path),
            _ => failure,
        })?;
        file.read_exact_at(buffer, start).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                Failure::new(Reason::Truncated, &volume.path, "the file ends before its listed size")
                    .hint("copy this file again")
            } else {
                fs::failure(&path, "read", &error)
            }
        })?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(buffer);
        Ok(hasher.finish())
    }

    /// Digest of the first `length` bytes of the file of `volume`, if they can be read. Tells whether a file stands
    /// in the place of another; what is wrong with it is told by those who read all of it.
    pub fn beginning(&self, volume: usize, length: u64, buffer: &mut Vec<u8>) -> Option<Digest> {
        let file = fs::open_plain(&self.dir.join(&self.volume(volume).ok()?.path)).ok()?;
        buffer.resize(usize::try_from(length).ok()?, 0);
        file.read_exact_at(buffer, 0).ok()?;
        Some(Digest::of(buffer))
    }

    /// An authentic chunk.
    fn chunk(&self, volume: usize, number: u64) -> Result<Arc<Vec<u8>>> {
        let first = volume.checked_sub(1).and_then(|at| self.first_chunks.get(at)).copied();
        let key = first.unwrap_or_default() + number;
        if let Some(cached) = lock(&self.chunks).iter().find(|cached| cached.number == key) {
            return Ok(cached.bytes.clone());
        }
        // The buffer of a chunk that nobody uses any more is used again.
        let mut oldest = None;
        {
            let mut chunks = lock(&self.chunks);
            if chunks.len() >= CACHED_CHUNKS {
                oldest = chunks.pop_front();
            }
        }
        let mut buffer = oldest.and_then(|oldest| Arc::into_inner(oldest.bytes)).unwrap_or_default();
        let found = self.read_chunk(volume, number, &mut buffer)?;
        if self.chunk_hash(volume, number) != Some(found.bytes().as_slice()) {
            let start = number * limits::CHUNK_BYTES;
            let message = format!(
                "chunk {number} (bytes {start} to {}) differs from what was signed",
                start + buffer.len() as u64
            );
            return Err(Failure::new(Reason::ChunkDamaged, &self.volume(volume)?.path, message)
                .hint("copy this file again"));
        }
        let bytes = Arc::new(buffer);
        lock(&self.chunks).push_back(CachedChunk { number: key, bytes: bytes.clone() });
        Ok(bytes)
    }

    /// Hands `range` of a volume to `sink`, chunk by chunk.
    fn authentic(&self, volume: usize, range: Range<u64>, sink: Sink<'_>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let number = at / limits::CHUNK_BYTES;
            let chunk = self.chunk(volume, number)?;
            let base = number * limits::CHUNK_BYTES;
            let end = range.end.min(base + chunk.len() as u64);
            let inside = usize::try_from(at - base).unwrap_or(usize::MAX)
                ..usize::try_from(end - base).unwrap_or(usize::MAX);
            let bytes = chunk.get(inside).filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
                Failure::new(Reason::BundleIndexMismatch, sums::INDEX, "a frame lies outside of its volume")
            })?;
            sink(bytes)?;
            at = end;
        }
        Ok(())
    }

    /// The first bytes of what stands in `range`, at most so many.
    fn peek(&self, volume: usize, range: &Range<u64>, most: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let end = range.end.min(range.start.saturating_add(most as u64));
        self.authentic(volume, range.start..end, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Opens the frame in `range` of a volume, which must hold exactly `expected` bytes and fill the range.
    /// `name` says where it is, for failures.
    fn frame(
        &self,
        volume: usize,
        range: Range<u64>,
        expected: u64,
        name: &str,
        sink: Sink<'_>,
    ) -> Result<()> {
        let object = self.volume(volume)?.path.clone();
        let refuse = |(reason, message): Fault| {
            Failure::new(reason, format!("{object}: {name}"), message)
                .hint("the bundle was not made by sealift as it should; do not use it, ask the sender")
        };
        frame::check_header(&self.peek(volume, &range, HEADER_LIMIT)?, expected).map_err(refuse)?;
        let mut opener = self.opener()?;
        let (mut produced, mut ended) = (0u64, false);
        self.authentic(volume, range, &mut |mut input| {
            loop {
                if ended {
                    return Err(refuse(after_frame(input)));
                }
                let step = opener.decompressor.step(input, &mut opener.out).map_err(refuse)?;
                input = input.get(step.taken..).unwrap_or_default();
                produced += step.written as u64;
                if produced > expected {
                    let message = format!("a frame holds more than the {expected} bytes declared");
                    return Err(refuse((Reason::ZstdExpansion, message)));
                }
                sink(opener.out.get(..step.written).unwrap_or_default())?;
                ended = step.ended;
                // Without input zstd may still hold output back; it is out when less than a buffer came.
                if input.is_empty() && (ended || step.written < OUT_BYTES) {
                    return Ok(());
                }
            }
        })?;
        if !ended || produced != expected {
            let message = format!("a frame does not end where bundle.json says, after {produced} bytes");
            return Err(refuse((Reason::ZstdFrame, message)));
        }
        lock(&self.openers).push(opener);
        Ok(())
    }

    fn opener(&self) -> Result<Opener> {
        let used = lock(&self.openers).pop();
        used.map_or_else(|| Ok(Opener { decompressor: Decompressor::new()?, out: vec![0; OUT_BYTES] }), Ok)
    }

    /// Hands the content of member `at` to `sink`, after checking its header; then checks its padding.
    pub fn member(&self, at: usize, sink: Sink<'_>) -> Result<()> {
        let member =
            self.index.members.get(at).ok_or_else(|| Failure::internal("a member is out of range"))?;
        let mut tar = TarStream::new(member, |path| self.place(path, at));
        let volume = &self.volume(member.volume)?.path;
        let mut offset = member.offset;
        let mut left = header::stream_length(member.size);
        for length in &member.frames {
            let piece = left.min(limits::FRAME_BYTES);
            self.frame(
                member.volume,
                offset..offset.saturating_add(*length),
                piece,
                &member.path,
                &mut |bytes| tar.push(bytes, volume, sink),
            )?;
            offset = offset.saturating_add(*length);
            left -= piece;
        }
        Ok(())
    }

    /// Where `path` stands, seen from member `here`.
    fn place(&self, path: &str, here: usize) -> Place {
        match self.index.members.iter().position(|member| member.path == path) {
            None => Place::Unlisted,
            Some(at) if at < here => Place::Earlier,
            Some(at) if at > here => Place::Later,
            Some(_) => Place::Here,
        }
    }

    /// Hands the blob at position `at` of the index to `sink`, joined if it was split. Size and digest are
    /// compared before the last piece is handed over: nobody ever gets a whole wrong blob.
    pub fn blob(&self, at: usize, sink: Sink<'_>) -> Result<()> {
        let blob = self.index.blobs.get(at).ok_or_else(|| Failure::internal("a blob is out of range"))?;
        let mut hasher = Some(Hasher::new(blob.digest.algorithm()));
        let mut count = 0u64;
        let finish = |hasher: Option<Hasher>| match hasher.map(Hasher::finish) {
            Some(found) if found == blob.digest => Ok(()),
            found => {
                let found = found.map_or_else(|| "more bytes".to_owned(), |digest| digest.to_string());
                Err(Failure::new(Reason::DigestMismatch, &blob.digest, format!("the content has {found}"))
                    .hint("the bundle was signed with wrong content; ask the sender"))
            }
        };
        for member in self.members_of(at) {
            self.member(member, &mut |bytes| {
                if let Some(hasher) = &mut hasher {
                    hasher.update(bytes);
                }
                count += bytes.len() as u64;
                if count == blob.size {
                    finish(hasher.take())?;
                }
                sink(bytes)
            })?;
        }
        if blob.size == 0 {
            finish(hasher.take())?;
        }
        if count == blob.size {
            return Ok(());
        }
        let message = format!("expected {} bytes, found {count}", blob.size);
        Err(Failure::new(Reason::SizeMismatch, &blob.digest, message))
    }

    /// Checks what follows the last member of a volume: one frame with two zero blocks, and nothing more.
    pub fn end(&self, number: usize) -> Result<()> {
        let volume = self.volume(number)?;
        // Members stand in the order of their volumes.
        let after = self.index.members.partition_point(|member| member.volume <= number);
        let last = after.checked_sub(1).and_then(|at| self.index.members.get(at));
        let start = last.map_or(0, |member| member.offset.saturating_add(member.frames.iter().sum()));
        let name = "end of the archive";
        let refuse = |fault| header::failure(&volume.path, name, fault);
        let head = self.peek(number, &(start..volume.size), HEADER_LIMIT)?;
        if let Err(fault) = frame::check_header(&head, header::END) {
            return Err(match fault.0 {
                Reason::ZstdExpansion => self.unexpected_member(number, start..volume.size, after)?,
                Reason::ZstdFrame => refuse((Reason::TarEnd, "found less than two zero blocks".to_owned())),
                _ => refuse(fault),
            });
        }
        let mut end = Vec::new();
        let outcome = self.frame(number, start..volume.size, header::END, name, &mut |bytes| {
            end.extend_from_slice(bytes);
            Ok(())
        });
        let first = end.get(..512).and_then(|block| <&[u8; 512]>::try_from(block).ok());
        if let Some(block) = first.filter(|block| block.iter().any(|byte| *byte != 0)) {
            return Err(refuse(header::fault(block, None, |path| self.place(path, after))));
        }
        outcome.map_err(|failure| match failure.reason {
            Reason::ZstdFrame => failure.as_reason(Reason::TarTrailing),
            _ => failure,
        })?;
        if end.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(refuse((Reason::TarEnd, "found only one zero block".to_owned())))
    }

    /// What the frame at the beginning of `range` holds, where the archive should end; `after` members stand before.
    fn unexpected_member(&self, volume: usize, range: Range<u64>, after: usize) -> Result<Failure> {
        let bytes = self.peek(volume, &range, OUT_BYTES)?;
        let mut block = [0; 512];
        // What cannot be opened leaves the block empty: it is no header either.
        let _opened = self.opener()?.decompressor.step(&bytes, &mut block);
        let (reason, found) = header::fault(&block, None, |path| self.place(path, after));
        let reason = match reason {
            Reason::TarMalformed | Reason::TarEnd => Reason::TarTrailing,
            other => other,
        };
        let path = &self.volume(volume)?.path;
        Ok(header::failure(path, "end of the archive", (reason, found)))
    }
}

/// The fault of bytes that follow a frame where none may.
fn after_frame(bytes: &[u8]) -> Fault {
    match frame::check_header(bytes.get(..HEADER_LIMIT).unwrap_or(bytes), u64::MAX) {
        Err(fault) if fault.0 == Reason::ZstdSkippable => fault,
        _ => (Reason::ZstdFrame, "there are bytes after the end of a frame".to_owned()),
    }
}

/// Members of each blob, by its position. The index is consistent.
fn spans(index: &BundleIndex) -> Vec<Range<usize>> {
    let mut spans = vec![0..0; index.blobs.len()];
    let mut at = index.members.len().min(2);
    for blob in layout::member_order(&index.blobs) {
        let start = at;
        let mut left = Some(blob.size);
        while let Some(rest) = left {
            let size = index.members.get(at).map_or(rest, |member| member.size);
            at += 1;
            left = rest.checked_sub(size).filter(|rest| *rest > 0);
        }
        if let Some(span) = super::position(&index.blobs, &blob.digest).and_then(|at| spans.get_mut(at)) {
            *span = start..at;
        }
    }
    spans
}

/// The tar stream of one member: header, content, padding.
struct TarStream<'a, P> {
    member: &'a Member,
    place: P,
    head: Vec<u8>,
    content: u64,
}

impl<'a, P: Fn(&str) -> Place> TarStream<'a, P> {
    fn new(member: &'a Member, place: P) -> Self {
        Self { member, place, head: Vec::with_capacity(512), content: member.size }
    }

    fn push(&mut self, bytes: &[u8], volume: &str, sink: Sink<'_>) -> Result<()> {
        let wanted = 512 - self.head.len();
        let (head, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
        if !head.is_empty() {
            self.head.extend_from_slice(head);
            if let Ok(found) = <&[u8; 512]>::try_from(self.head.as_slice()) {
                let member = self.member;
                if *found != header::ustar(&member.path, member.size) {
                    let fault = header::fault(found, Some((&member.path, member.size)), &self.place);
                    return Err(header::failure(volume, &member.path, fault));
                }
            }
        }
        let take = usize::try_from(self.content).unwrap_or(usize::MAX).min(rest.len());
        let (content, padding) = rest.split_at_checked(take).unwrap_or((rest, &[]));
        self.content -= content.len() as u64;
        if !content.is_empty() {
            sink(content)?;
        }
        if padding.iter().any(|byte| *byte != 0) {
            let fault = (Reason::TarTrailing, "the padding after the content is not zero".to_owned());
            return Err(header::failure(volume, &self.member.path, fault));
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files")]
mod tests {
    use super::*;

    const CHUNK: usize = 4 << 20;

    /// Two volumes of three chunks and a half each, and the bytes of both.
    fn volumes(dir: &Path) -> (Reader, [Vec<u8>; 2]) {
        let bytes = [1, 2].map(|seed: u8| -> Vec<u8> {
            (0..CHUNK * 7 / 2).map(|at| seed.wrapping_add((at / 1000).to_le_bytes()[0])).collect()
        });
        std::fs::create_dir(dir.join(sums::VOLUMES)).unwrap();
        let mut hashes = Vec::new();
        let mut volumes = Vec::new();
        for (number, bytes) in (1..).zip(&bytes) {
            let path = sums::volume_path(number);
            std::fs::write(dir.join(&path), bytes).unwrap();
            bytes.chunks(CHUNK).for_each(|chunk| hashes.extend(Digest::of(chunk).bytes()));
            volumes.push(Volume { path, size: bytes.len() as u64, content: 0 });
        }
        let index = BundleIndex { volumes, ..BundleIndex::empty() };
        (Reader::new(dir, index, hashes).unwrap(), bytes)
    }

    #[test]
    fn a_range_is_read_across_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let (reader, bytes) = volumes(dir.path());
        for (volume, bytes) in (1..).zip(&bytes) {
            for range in
                [0..10, 5..CHUNK, CHUNK - 1..CHUNK + 1, 7..3 * CHUNK + 9, 3 * CHUNK..bytes.len(), 9..9]
            {
                let wanted = range.start as u64..range.end as u64;
                let mut got = Vec::new();
                let mut sink = |part: &[u8]| {
                    got.extend_from_slice(part);
                    Ok(())
                };
                reader.authentic(volume, wanted.clone(), &mut sink).unwrap();
                assert!(got == bytes[range.clone()], "{range:?} of {volume}");
                let few = range.start..range.end.min(range.start + 18);
                assert!(reader.peek(volume, &wanted, 18).unwrap() == bytes[few]);
            }
            // A frame that bundle.json would have outside of the volume.
            let end = bytes.len() as u64;
            let failure = reader.authentic(volume, end - 1..end + 1, &mut |_| Ok(())).unwrap_err();
            assert_eq!(failure.reason, Reason::BundleIndexMismatch);
        }
    }

    /// The pass over the volumes takes constant memory: few chunks are kept, and those are not read again.
    #[test]
    fn the_last_chunks_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (reader, bytes) = volumes(dir.path());
        let kept = || lock(&reader.chunks).iter().map(|chunk| chunk.number).collect::<Vec<_>>();
        for (volume, number, expected) in [
            (1, 0, &[0][..]),
            (1, 1, &[0, 1]),
            (1, 0, &[0, 1]),
            (2, 0, &[0, 1, 4]),
            (2, 1, &[1, 4, 5]),
            (1, 3, &[4, 5, 3]),
            (2, 3, &[5, 3, 7]),
        ] {
            let chunk = reader.chunk(volume, number).unwrap();
            let start = usize::try_from(number).unwrap() * CHUNK;
            let bytes = &bytes[volume - 1];
            assert!(*chunk == bytes[start..bytes.len().min(start + CHUNK)], "{number} of {volume}");
            assert_eq!(kept(), expected);
        }
        std::fs::remove_dir_all(dir.path().join(sums::VOLUMES)).unwrap();
        assert!(reader.chunk(2, 3).is_ok());
        assert_eq!(reader.chunk(2, 2).unwrap_err().reason, Reason::VolumeMissing);
    }

    #[test]
    fn a_damaged_chunk_is_told_by_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (reader, mut bytes) = volumes(dir.path());
        bytes[1][3 * CHUNK] ^= 1;
        std::fs::write(dir.path().join(sums::volume_path(2)), &bytes[1]).unwrap();
        let failure = reader.chunk(2, 3).unwrap_err();
        assert_eq!((failure.reason, failure.object.as_str()), (Reason::ChunkDamaged, "volumes/0002.tar.zst"));
        assert_eq!(failure.message, "chunk 3 (bytes 12582912 to 14680064) differs from what was signed");
        assert!(reader.chunk(2, 2).is_ok());
    }
}
