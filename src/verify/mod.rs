//! Decides whether a bundle may be trusted, and whether all of it is there and right.
//!
//! 1. [`mod@open`]: those must have signed `SHA256SUMS` whom the reader believes; only then is it parsed. Then the files of the
//!    folder must be exactly the listed ones, and the small ones must match their digests (open.rs, files.rs).
//! 2. [`mod@check`]: every byte of the volumes: chunk hashes, zstd frames, tar headers, digests and sizes, then
//!    the closure of all manifests (check.rs, damage.rs).
//!
//! [`open()`] is the only maker of a [`VerifiedBundle`], and a `VerifiedBundle` gives out authentic bytes
//! only, whatever happens to the media meanwhile. [`glance`] reads metadata without a key, to show them and
//! for nothing else; [`mod@examine`] reads everything without a key, for somebody who is about to sign it.

mod check;
mod damage;
mod examine;
mod files;
mod open;

use std::path::Path;

pub use check::{ArtifactReport, Report, check, check_documents, check_edges};
pub use examine::{Examined, examine};
pub use open::{Glance, carried_trust, glance, identity, lacking, open};

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
    },
    bundle::{BundleIndex, Reader, Sums, SumsHeader, position},
    cosign::Evidence,
    oci::Descriptor,
    trust::{Chain, SignedBy},
};

/// A bundle whose signature held. Whatever it hands out was signed; content is compared with its digest
/// before the last piece is handed over.
#[derive(Debug)]
pub struct VerifiedBundle {
    reader: Reader,
    sums: Sums,
    sums_digest: Digest,
    signers: Vec<SignedBy>,
    ignored: Vec<String>,
    chain: Option<Chain>,
}

impl VerifiedBundle {
    /// `bundle.json`.
    pub fn index(&self) -> &BundleIndex {
        self.reader.index()
    }

    /// What the comment lines of `SHA256SUMS` say.
    pub fn header(&self) -> &SumsHeader {
        &self.sums.header
    }

    /// Digest of `SHA256SUMS`: the identity of the bundle.
    pub fn sums_digest(&self) -> &Digest {
        &self.sums_digest
    }

    /// Whose signatures count, sorted. Never empty.
    pub fn signers(&self) -> &[SignedBy] {
        &self.signers
    }

    /// The chain of trust documents that it was judged by, with those that it brought. Absent where single keys
    /// were given.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// A file of `evidence/` by name; absent where the bundle has none of this name.
    ///
    /// # Errors
    /// [`Reason::FileDamaged`] and those of the disk, for media that changed since the bundle was opened.
    pub fn evidence(&self, name: &str) -> Result<Option<Vec<u8>>> {
        open::evidence(self.dir(), &self.sums, name)
    }

    /// What the builder found out about the signatures of the images; absent where the bundle does not tell.
    ///
    /// # Errors
    /// [`Reason::EvidenceMalformed`], [`Reason::FormatVersion`], and those of [`evidence`](Self::evidence).
    pub fn upstream_signatures(&self) -> Result<Option<Evidence>> {
        open::upstream_signatures(self.dir(), &self.sums)
    }

    /// Paths and digests of the evidence and the trust documents that it carries, sorted by path.
    pub fn beside(&self) -> impl Iterator<Item = (&String, &Digest)> {
        self.sums.beside()
    }

    /// Ids of signature files that prove nothing: by keys that are not pinned, or broken.
    pub fn ignored_signatures(&self) -> &[String] {
        &self.ignored
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.reader.dir()
    }

    /// Reads a small blob whole, a manifest or config for instance, up to 8 MiB.
    ///
    /// # Errors
    /// [`Reason::BlobMissing`], [`Reason::OciLimit`] for a larger one, and those of
    /// [`stream_blob`](Self::stream_blob).
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let at = self.find(digest)?;
        let size = self.index().blobs.get(at).map_or(0, |blob| blob.size);
        if size > limits::CONFIG_BYTES {
            return Err(Failure::new(Reason::OciLimit, digest, "larger than 8 MiB, and is to be read whole"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        self.reader.blob(at, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Hands a blob to `sink`, piece by piece, wherever it lies in the volumes. Only signed bytes are
    /// decoded, and size and digest are compared before the last piece: a receiver never gets a whole wrong
    /// blob. Callable from many threads at once.
    ///
    /// # Errors
    /// [`Reason::BlobMissing`], [`Reason::ChunkDamaged`], [`Reason::Truncated`], [`Reason::VolumeMissing`],
    /// those of frames, tar headers and digests, those of the disk, and whatever `sink` fails with.
    pub fn stream_blob(&self, digest: &Digest, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.reader.blob(self.find(digest)?, sink)
    }

    /// The descriptor of a blob, with the type that the bundle knows it by.
    pub fn descriptor(&self, digest: &Digest) -> Option<Descriptor> {
        let at = position(&self.index().blobs, digest)?;
        let blob = self.index().blobs.get(at)?;
        Some(Descriptor::new(blob.media_type.clone(), blob.digest.clone(), blob.size))
    }

    fn find(&self, digest: &Digest) -> Result<usize> {
        position(&self.index().blobs, digest)
            .ok_or_else(|| Failure::new(Reason::BlobMissing, digest, "the bundle does not carry it"))
    }
}
