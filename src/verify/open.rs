//! From a folder to a [`VerifiedBundle`]: signature first, then everything small.

use std::path::Path;

use super::{VerifiedBundle, files};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
    },
    bundle::{
        BundleIndex, Reader, Sums, SumsHeader,
        sums::{CHUNKS, INDEX, INVENTORY, RECIPE, SUMS, evidence_path, trust_path},
    },
    cosign::Evidence,
    trust::{Authority, Chain, Quorum},
};

/// Opens the bundle in `dir` if those signed it whom `authority` names. Nothing is written anywhere.
///
/// 1. Newer trust documents on the media are taken into account, each signed by those whom the one before
///    trusts. 2. Somebody who is known must have signed `SHA256SUMS`; only then is it parsed. 3. The trust document
///    that it asks for must be known, and those must have signed who must, for its channel and sequence.
///    4. Everything else is compared with what was signed.
///
/// The volumes are looked at only as far as their sizes go; [`super::check()`] reads them, and every byte that
/// a [`VerifiedBundle`] hands out is compared with what was signed.
///
/// # Errors
/// In this order: `SHA256SUMS` missing or too large; [`Reason::NoKey`]; the reasons of signatures; its
/// grammar; the list of files; the small files; `bundle.json` against itself; sizes of volumes.
pub fn open(dir: &Path, authority: &Authority) -> Result<VerifiedBundle, Failures> {
    let bytes = files::read_sums(dir)?;
    if let Authority::Keys(keys) = authority
        && keys.is_empty()
    {
        authority.anybody(&[], &[]).map_err(|failure| failure.of(dir.display()))?;
    }
    let signatures = files::read_signatures(dir)?;
    let authority = match authority {
        Authority::Keys(_) => authority.clone(),
        Authority::Chain(_) => authority.updated(&files::read_trust(dir)?)?,
    };
    authority.anybody(&bytes, &signatures)?;
    let sums = Sums::parse(&bytes)?;
    if let Authority::Chain(chain) = &authority {
        new_enough(chain, &sums)?;
    }
    let quorum = authority.check_bundle(&bytes, &signatures, &sums.header.channel, sums.header.sequence)?;
    let (reader, _) = open_documents(dir, &sums)?;
    let Quorum { signers, ignored } = quorum;
    let chain = match authority {
        Authority::Keys(_) => None,
        Authority::Chain(chain) => Some(chain),
    };
    Ok(VerifiedBundle { reader, sums, sums_digest: Digest::of(&bytes), signers, ignored, chain })
}

/// T20: a bundle made after a change of trust is not judged by what held before it. Asked before the signatures
/// are counted, since those of new holders are unknown until then.
fn new_enough(chain: &Chain, sums: &Sums) -> Result<()> {
    if sums.header.trust <= chain.version() {
        return Ok(());
    }
    let message =
        format!("it asks for trust version {}, this site knows {}", sums.header.trust, chain.version());
    Err(Failure::new(Reason::TrustTooOld, SUMS, message)
        .hint("ask the sender for the newer trust documents, and give them with `sealift trust accept`"))
}

/// What a bundle says about itself. Nobody vouches for any of it.
#[derive(Debug)]
pub struct Glance {
    /// What the comment lines of `SHA256SUMS` say.
    pub header: SumsHeader,
    /// `bundle.json`.
    pub index: BundleIndex,
    /// `SHA256SUMS`, whose bytes signatures are over.
    pub sums: Vec<u8>,
    /// Digest of `SHA256SUMS`.
    pub sums_digest: Digest,
    /// Key ids that the signature files carry in their names. Whether any of them holds is not known.
    pub signatures: Vec<String>,
    /// What it says about the signatures of its images.
    pub upstream_signatures: Option<Evidence>,
}

/// Reads the metadata of the bundle in `dir` without checking who made it: fit to be shown, with the words
/// *not authenticated*, and for nothing else. As strict and bounded as [`open`], but volumes are not looked
/// at and may be missing.
///
/// # Errors
/// Those of [`open`] without those of signatures that do not hold, file list and volumes.
pub fn glance(dir: &Path) -> Result<Glance> {
    let bytes = files::read_sums(dir)?;
    let sums = Sums::parse(&bytes)?;
    let index = read_index(dir, &sums)?;
    let signatures = files::read_signatures(dir)?.into_iter().map(|file| file.key_id).collect();
    let upstream_signatures = upstream_signatures(dir, &sums)?;
    let sums_digest = Digest::of(&bytes);
    Ok(Glance { header: sums.header, index, sums: bytes, sums_digest, signatures, upstream_signatures })
}

/// Digest of the `SHA256SUMS` in `dir`, whoever made it: what a refusal is kept under.
///
/// # Errors
/// Those of reading it.
pub fn identity(dir: &Path) -> Result<Digest> {
    files::read_sums(dir).map(|bytes| Digest::of(&bytes))
}

/// The trust documents that lie in the bundle in `dir`, by version. Nobody vouches for any of them: compare a
/// fingerprint, or give them to a [`Chain`].
///
/// # Errors
/// Those of [`identity`] where `dir` is no bundle; [`Reason::FileSpecial`], [`Reason::FileExtra`], those of limits
/// and of the disk.
pub fn carried_trust(dir: &Path) -> Result<Vec<(u64, Vec<u8>)>> {
    files::read_sums(dir)?;
    files::read_trust(dir)
}

/// What the signatures of the bundle in `dir` lack by the newest trust document that it carries itself: help for those
/// who sign, before it travels, and no verdict. `None` where nothing lacks, or where it carries no document.
///
/// # Errors
/// Those of reading and parsing what is read.
pub fn lacking(dir: &Path) -> Result<Option<Failure>> {
    let Some(chain) = Chain::of_media(&carried_trust(dir)?)? else { return Ok(None) };
    let bytes = files::read_sums(dir)?;
    let header = Sums::parse(&bytes)?.header;
    let signatures = files::read_signatures(dir)?;
    Ok(chain.check_bundle(&bytes, &signatures, &header.channel, header.sequence).err().map(|lacking| {
        let message = format!("no site takes it yet: {}", lacking.message);
        Failure::new(lacking.reason, dir.display(), message)
            .hint("each of them signs with `sealift sign`; the bundle can travel when nothing lacks")
    }))
}

/// A file of `evidence/` by name; absent where the bundle has none of this name.
pub(super) fn evidence(dir: &Path, sums: &Sums, name: &str) -> Result<Option<Vec<u8>>> {
    let path = evidence_path(name);
    if sums.digest_of(&path).is_none() {
        return Ok(None);
    }
    read_listed(dir, sums, &path, limits::SIDE_FILE_BYTES).map(Some)
}

/// What the builder found out about the signatures of the images; absent where the bundle does not tell.
pub(super) fn upstream_signatures(dir: &Path, sums: &Sums) -> Result<Option<Evidence>> {
    evidence(dir, sums, Evidence::NAME)?.map(|bytes| Evidence::parse(&bytes)).transpose()
}

/// Everything after the signature, and the trust documents that it carries; what it gives is as authentic as `sums`.
pub(super) fn open_documents(dir: &Path, sums: &Sums) -> Result<(Reader, Option<Chain>), Failures> {
    files::check_list(dir, sums)?;
    let index = read_index(dir, sums);
    let chunks = read_listed(dir, sums, CHUNKS, limits::CHUNK_LIST_BYTES);
    let mut damaged = Vec::new();
    for name in [INVENTORY, RECIPE].into_iter().chain(sums.evidence()) {
        damaged.extend(read_listed(dir, sums, name, limits::SIDE_FILE_BYTES).err());
    }
    let mut trust = Vec::new();
    for version in sums.trust() {
        match read_listed(dir, sums, &trust_path(version), limits::SIDE_FILE_BYTES) {
            Ok(bytes) => trust.push((version, bytes)),
            Err(failure) => damaged.push(failure),
        }
    }
    // Also where single keys were given, and for versions older than the pinned one: what `verify` accepts,
    // no site refuses for its form.
    let chain = if damaged.is_empty() { Chain::of_media(&trust) } else { Ok(None) };
    let chain = chain.map_err(|failure| damaged.push(failure)).ok();
    let index = index.map_err(|failure| damaged.push(failure)).ok();
    let chunks = chunks.map_err(|failure| damaged.push(failure)).ok();
    Failures::check(damaged)?;
    let (Some(index), Some(chunks), Some(chain)) = (index, chunks, chain) else {
        return Err(Failure::internal("a failure got lost").into());
    };
    let reader = Reader::new(dir, index, chunks)?;
    Failures::check(super::damage::wrong_sizes(&reader)?)?;
    Ok((reader, chain))
}

fn read_index(dir: &Path, sums: &Sums) -> Result<BundleIndex> {
    let bytes = read_listed(dir, sums, INDEX, limits::BUNDLE_INDEX_BYTES)?;
    let index = BundleIndex::parse(&bytes)?;
    index.check_header(&sums.header, sums.volumes())?;
    Ok(index)
}

/// Reads a small file whole and compares it with its digest. The bytes read are the bytes used.
fn read_listed(dir: &Path, sums: &Sums, name: &str, limit: u64) -> Result<Vec<u8>> {
    let bytes =
        fs::read_limited(&dir.join(name), limit, Reason::FileDamaged).map_err(|failure| {
            match failure.reason {
                Reason::NotFound => failure.as_reason(Reason::FileMissing).of(name),
                _ => failure.of(name),
            }
        })?;
    if sums.digest_of(name) == Some(&Digest::of(&bytes)) {
        return Ok(bytes);
    }
    Err(Failure::new(Reason::FileDamaged, name, format!("the content differs from its digest in {SUMS}"))
        .hint("copy this file again"))
}
