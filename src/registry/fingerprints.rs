//! How a blob that leaves is verified: by its digest, and from then on by a fingerprint that was taken of the very bytes
//! which had matched it. BLAKE3 is several times as fast as SHA-256, and a blob that one node pulls is pulled by all.
//!
//! Fingerprints are kept in memory only: what lies on a disk vouches for nothing, so the first download after each start
//! is verified by the digest again.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::base::digest::{Digest, Hasher};

/// Smaller blobs are not worth a fingerprint.
const LEAST_BYTES: u64 = 64 << 10;
/// At most so many are kept, a few hundred bytes each.
const MOST: usize = 8192;

/// Fingerprints of blobs that matched their digests. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Fingerprints(Arc<Mutex<HashMap<Digest, Fingerprint>>>);

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprints").field("count", &self.all().len()).finish()
    }
}

#[derive(Clone, Copy)]
enum Fingerprint {
    /// Somebody takes it right now; others need not.
    Underway,
    Taken(blake3::Hash),
}

impl Fingerprints {
    fn all(&self) -> MutexGuard<'_, HashMap<Digest, Fingerprint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The check of a blob of so many bytes that is about to leave whole.
    pub(super) fn check(&self, digest: &Digest, size: u64) -> Check {
        let by_digest = || Hasher::new(digest.algorithm());
        let mut all = self.all();
        match all.get(digest) {
            Some(Fingerprint::Taken(expected)) => {
                Check::Again { expected: *expected, hasher: Box::default() }
            }
            Some(Fingerprint::Underway) => Check::ByDigest { digest: digest.clone(), hasher: by_digest() },
            None if size < LEAST_BYTES => Check::ByDigest { digest: digest.clone(), hasher: by_digest() },
            None => {
                if all.len() >= MOST {
                    all.clear();
                }
                all.insert(digest.clone(), Fingerprint::Underway);
                let taking = Taking { digest: digest.clone(), all: self.clone() };
                Check::First { hasher: by_digest(), fingerprint: Box::default(), taking }
            }
        }
    }
}

/// Whether the bytes that pass are what they have to be.
#[derive(Debug)]
pub(super) enum Check {
    /// By the digest alone.
    ByDigest { digest: Digest, hasher: Hasher },
    /// By the digest, taking the fingerprint of the same bytes.
    First { hasher: Hasher, fingerprint: Box<blake3::Hasher>, taking: Taking },
    /// By the fingerprint.
    Again { expected: blake3::Hash, hasher: Box<blake3::Hasher> },
}

impl Check {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::ByDigest { hasher, .. } => hasher.update(bytes),
            Self::First { hasher, fingerprint, .. } => {
                hasher.update(bytes);
                fingerprint.update(bytes);
            }
            Self::Again { hasher, .. } => {
                hasher.update(bytes);
            }
        }
    }

    /// Whether all that passed is the blob.
    pub(super) fn holds(self) -> bool {
        match self {
            Self::ByDigest { digest, hasher } => hasher.finish() == digest,
            Self::First { hasher, fingerprint, taking } => {
                let whole = hasher.finish() == taking.digest;
                if whole {
                    taking.done(fingerprint.finalize());
                }
                whole
            }
            Self::Again { expected, hasher } => hasher.finalize() == expected,
        }
    }
}

/// A fingerprint that is being taken. A download that is given up leaves it to the next.
#[derive(Debug)]
pub(super) struct Taking {
    digest: Digest,
    all: Fingerprints,
}

impl Taking {
    fn done(&self, fingerprint: blake3::Hash) {
        self.all.all().insert(self.digest.clone(), Fingerprint::Taken(fingerprint));
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        let mut all = self.all.all();
        if matches!(all.get(&self.digest), Some(Fingerprint::Underway)) {
            all.remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> (Digest, Vec<u8>, u64) {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        (Digest::of(&bytes), bytes.clone(), bytes.len() as u64)
    }

    fn pass(mut check: Check, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(70_000) {
            check.update(piece);
        }
        check.holds()
    }

    #[test]
    fn every_download_is_verified_and_from_the_second_on_by_the_fingerprint() {
        let (digest, bytes, size) = blob();
        let known = Fingerprints::default();
        let first = known.check(&digest, size);
        assert!(matches!(first, Check::First { .. }));
        // Who comes meanwhile does not take it too.
        assert!(matches!(known.check(&digest, size), Check::ByDigest { .. }));
        assert!(pass(first, &bytes));
        for at in [0, 350_000, bytes.len() - 1] {
            let mut rotten = bytes.clone();
            rotten[at] ^= 1;
            let again = known.check(&digest, size);
            assert!(matches!(again, Check::Again { .. }));
            assert!(!pass(again, &rotten), "byte {at}");
        }
        assert!(!pass(known.check(&digest, size), &bytes[1..]));
        assert!(pass(known.check(&digest, size), &bytes));
    }

    #[test]
    fn what_is_wrong_or_given_up_leaves_no_fingerprint() {
        let (digest, mut bytes, size) = blob();
        let known = Fingerprints::default();
        drop(known.check(&digest, size));
        assert!(matches!(known.check(&digest, size), Check::First { .. }));
        bytes[5] ^= 1;
        assert!(!pass(known.check(&digest, size), &bytes));
        assert!(matches!(known.check(&digest, size), Check::First { .. }));
        // Nor does what is small.
        assert!(matches!(known.check(&digest, LEAST_BYTES - 1), Check::ByDigest { .. }));
    }

    #[test]
    fn their_number_is_bounded() {
        let known = Fingerprints::default();
        for number in 0..=MOST {
            let bytes = number.to_be_bytes();
            assert!(pass(known.check(&Digest::of(&bytes), LEAST_BYTES), &bytes));
        }
        assert_eq!(known.all().len(), 1);
    }
}
