//! Everything of a bundle, for somebody who is about to sign it and brings no key to check it with.
//!
//! A signature says more than a check by `verify` needs: it also vouches for the digests of volumes that
//! `sha256sum` compares. Without the comparison here, a builder could list one content for stock tools and
//! another one, in `chunks.bin`, for sealift, and have both signed.

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{check, files, open};
use crate::{
    base::{
        digest::{Algorithm, Digest, Hasher},
        failure::{Failure, Failures, Reason},
        progress::Progress,
    },
    bundle::{BundleIndex, Reader, Sums, sums::CHUNKS, sums::SUMS, volume::chunk_count},
    trust::{Chain, Signature},
};

/// A bundle of which every byte is what its own `SHA256SUMS` says. Nobody vouches for `SHA256SUMS` itself, so
/// it gives out no content.
#[derive(Debug)]
pub struct Examined {
    sums: Vec<u8>,
    parsed: Sums,
    index: BundleIndex,
    signatures: Vec<Signature>,
    chain: Option<Chain>,
}

impl Examined {
    /// `SHA256SUMS`, the bytes that everything was compared with.
    pub fn sums(&self) -> &[u8] {
        &self.sums
    }

    /// The same, read.
    pub fn parsed(&self) -> &Sums {
        &self.parsed
    }

    /// `bundle.json`.
    pub fn index(&self) -> &BundleIndex {
        &self.index
    }

    /// The signature files, of which none was checked.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The trust documents that it carries, if any.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }
}

/// Reads all of the bundle in `dir`, as strictly as [`super::open()`] and [`super::check()`] together, but with
/// no key; and the volumes once more, to compare them with their digests in `SHA256SUMS`.
///
/// # Errors
/// Those of [`super::open()`] without those of signatures that do not hold, those of [`super::check()`], and
/// [`Reason::ChunkListMalformed`] where `chunks.bin` and `SHA256SUMS` speak of different volumes.
pub fn examine(dir: &Path, workers: usize, progress: &dyn Progress) -> Result<Examined, Failures> {
    let sums = files::read_sums(dir)?;
    let signatures = files::read_signatures(dir)?;
    let parsed = Sums::parse(&sums)?;
    let (reader, chain) = open::open_documents(dir, &parsed)?;
    check::check_reader(&reader, &parsed, workers, progress)?;
    check_volumes(&reader, &parsed, workers, progress)?;
    Ok(Examined { sums, parsed, index: reader.index().clone(), signatures, chain })
}

/// Compares every volume with its digest in `SHA256SUMS`, over the very bytes that its chunk hashes accept.
fn check_volumes(
    reader: &Reader,
    sums: &Sums,
    workers: usize,
    progress: &dyn Progress,
) -> Result<(), Failures> {
    let volumes = &reader.index().volumes;
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    progress.start("hashing", volumes.iter().map(|volume| volume.size).sum());
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, volumes.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(volume) = volumes.get(at) else { break };
                    let failure = match volume_digest(reader, at + 1, volume.size, progress) {
                        Ok(found) if sums.digest_of(&volume.path) == Some(&found) => continue,
                        Ok(_) => contradiction(&volume.path),
                        Err(failure) => failure,
                    };
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                }
            });
        }
    });
    progress.finish();
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by(|a, b| a.object.cmp(&b.object));
    Failures::check(failures)
}

fn volume_digest(
    reader: &Reader,
    number: usize,
    size: u64,
    progress: &dyn Progress,
) -> Result<Digest, Failure> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = Vec::new();
    for chunk in 0..chunk_count(size) {
        let found = reader.read_chunk(number, chunk, &mut buffer)?;
        if reader.chunk_hash(number, chunk) != Some(found.bytes().as_slice()) {
            let message = "it changed while it was read";
            return Err(Failure::new(Reason::ChunkDamaged, volume_name(reader, number), message)
                .hint("check the media, then run the command again"));
        }
        hasher.update(&buffer);
        progress.advance(buffer.len() as u64);
    }
    Ok(hasher.finish())
}

fn volume_name(reader: &Reader, number: usize) -> &str {
    let volume = number.checked_sub(1).and_then(|at| reader.index().volumes.get(at));
    volume.map_or("volume", |volume| &volume.path)
}

fn contradiction(path: &str) -> Failure {
    let message = format!("{SUMS} and {CHUNKS} speak of different content of this volume");
    Failure::new(Reason::ChunkListMalformed, path, message)
        .hint("do not sign it: stock tools and sealift would take in different things; ask who built it")
}
