//! The full pass over the volumes, in parallel, in constant memory.
//!
//! Members are cut into runs of about 32 MiB that threads take in turn; the parts of a split blob stay
//! together, since its digest goes over all of them. Each thread needs one chunk of 4 MiB, a zstd window
//! and a buffer; with the chunks shared between neighbours that is below `16 MiB + workers x 24 MiB`, for a
//! bundle of ours `16 MiB + workers x 8 MiB`.
//!
//! The digests of volumes in `SHA256SUMS` are not computed again: `chunks.bin` is signed as well and covers
//! the same bytes. They are there for `sha256sum`; who signs a bundle has them computed (examine.rs).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{VerifiedBundle, damage, open};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        limits,
        progress::{Progress, Silent},
        text,
    },
    bundle::{
        Artifact, ArtifactKind, Blob, Reader, Sums,
        closure::{Graph, Reach},
        layout,
    },
    cosign::Evidence,
};

/// Compressed bytes of the members that a thread takes at a time.
const RUN_BYTES: u64 = 32 << 20;

/// A good bundle, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it carries.
    pub artifacts: Vec<ArtifactReport>,
    /// Number of blobs.
    pub blobs: usize,
    /// Number of volumes.
    pub volumes: usize,
    /// Bytes of the content of all blobs.
    pub content: u64,
    /// Bytes of all volumes.
    pub stored: u64,
}

/// One artifact of a good bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactReport {
    /// What it is.
    pub kind: ArtifactKind,
    /// Full name.
    pub name: String,
    /// Bytes of everything that belongs to it.
    pub bytes: u64,
    /// Number of blobs.
    pub blobs: usize,
    /// Signatures, attestations, SBOMs.
    pub referrers: usize,
    /// Children of its index that are not carried.
    pub absent: usize,
}

/// Checks every byte of the volumes and then the documents, with `workers` threads.
///
/// # Errors
/// Everything that is wrong: one [`Reason::ChunkDamaged`] (or [`Reason::VolumeOfOtherBundle`]) a volume with
/// the ranges and the artifacts that suffer; the reasons of frames, tar headers and digests for each member;
/// those of [`check_documents`].
pub fn check(bundle: &VerifiedBundle, workers: usize, progress: &dyn Progress) -> Result<Report, Failures> {
    check_reader(&bundle.reader, &bundle.sums, workers, progress)
}

/// [`check`] without the word of anybody that what the reader holds was signed.
pub(super) fn check_reader(
    reader: &Reader,
    sums: &Sums,
    workers: usize,
    progress: &dyn Progress,
) -> Result<Report, Failures> {
    let pass = Pass { reader, progress, state: Mutex::default() };
    let runs = runs(reader);
    let next = AtomicUsize::new(0);
    progress.start("verifying", reader.index().blobs.iter().map(|blob| blob.size).sum());
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, runs.len().max(1)) {
            scope.spawn(|| {
                while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    pass.run(run);
                }
            });
        }
    });
    progress.finish();
    pass.outcome()?;
    documents(reader, sums)
}

/// Checks what stands in the volumes beside the blobs: `oci-layout`, `index.json`, and the end of each
/// volume. Whoever streams the blobs himself has then looked at everything that [`check`] looks at.
///
/// # Errors
/// As [`check`].
pub fn check_edges(bundle: &VerifiedBundle) -> Result<(), Failures> {
    let reader = &bundle.reader;
    let pass = Pass { reader, progress: &Silent, state: Mutex::default() };
    let fixed = (0..reader.index().members.len().min(2)).map(Item::Fixed);
    let ends = (1..=reader.index().volumes.len()).map(Item::End);
    pass.run(&fixed.chain(ends).collect::<Vec<_>>());
    pass.outcome()
}

/// Checks the documents alone, without the content: every manifest parses, everything it names is there or
/// listed as absent, nothing is unreferenced. Reads the manifests, which stand at the beginning of volume 1.
///
/// # Errors
/// [`Reason::BlobMissing`], [`Reason::BlobUnreferenced`], [`Reason::BundleIndexMismatch`] and the OCI
/// reasons, all that apply.
pub fn check_documents(bundle: &VerifiedBundle) -> Result<Report, Failures> {
    documents(&bundle.reader, &bundle.sums)
}

fn documents(reader: &Reader, sums: &Sums) -> Result<Report, Failures> {
    let index = reader.index();
    let mut read = |blob: &Blob| damage::read_manifest(reader, blob);
    let reaches = Graph::read(&index.blobs, &mut read).check(&index.artifacts);
    let reaches = match reaches {
        Ok(reaches) => reaches,
        Err(list) => {
            Failures::check(list)?;
            Vec::new()
        }
    };
    if let Some(evidence) = open::upstream_signatures(reader.dir(), sums)? {
        check_evidence(&evidence, &index.artifacts)?;
    }
    Ok(report(reader, &reaches))
}

/// Evidence about other images than those of the bundle would be read as if it were about these (N15).
fn check_evidence(evidence: &Evidence, artifacts: &[Artifact]) -> Result<()> {
    let images = artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Image);
    let carried: BTreeSet<(&str, &Digest)> =
        images.map(|image| (image.name.as_str(), &image.root.digest)).collect();
    let told: BTreeSet<(&str, &Digest)> =
        evidence.images.iter().map(|image| (image.name.as_str(), &image.digest)).collect();
    if carried == told && told.len() == evidence.images.len() {
        return Ok(());
    }
    let other = carried.symmetric_difference(&told).next().map_or("an image", |(name, _)| name);
    let message = format!("it is not about the images of the bundle: {}", text::escaped(other, 300));
    Err(Failure::new(Reason::EvidenceMalformed, "evidence/signatures.json", message)
        .hint("do not use the bundle; ask its sender to build it again"))
}

fn report(reader: &Reader, reaches: &[Reach]) -> Report {
    let index = reader.index();
    let artifacts = index.artifacts.iter().zip(reaches).map(|(artifact, reach)| ArtifactReport {
        kind: artifact.kind,
        name: artifact.name.clone(),
        bytes: reach.bytes,
        blobs: reach.blobs.len(),
        referrers: artifact.referrers.len(),
        absent: artifact.absent.len(),
    });
    Report {
        artifacts: artifacts.collect(),
        blobs: index.blobs.len(),
        volumes: index.volumes.len(),
        content: index.blobs.iter().map(|blob| blob.size).sum(),
        stored: index.volumes.iter().map(|volume| volume.size).sum(),
    }
}

/// What one thread does at a time, in the order of the volumes.
enum Item {
    /// `oci-layout` or `index.json`, by position of the member.
    Fixed(usize),
    /// A blob, by position of the blob.
    Blob(usize),
    /// The end of a volume, by number.
    End(usize),
}

/// Everything in the volumes, cut into runs.
fn runs(reader: &Reader) -> Vec<Vec<Item>> {
    let index = reader.index();
    let stored = |members: Range<usize>| -> u64 {
        index.members.get(members).unwrap_or_default().iter().flat_map(|member| &member.frames).sum()
    };
    let fixed = (0..index.members.len().min(2)).map(|at| (Item::Fixed(at), stored(at..at + 1)));
    let blobs = layout::member_order(&index.blobs)
        .into_iter()
        .filter_map(|blob| crate::bundle::position(&index.blobs, &blob.digest))
        .map(|at| (Item::Blob(at), stored(reader.members_of(at))));
    let ends = (1..=index.volumes.len()).map(|number| (Item::End(number), 0));
    let mut runs = Vec::new();
    let (mut run, mut bytes) = (Vec::new(), 0);
    for (item, size) in fixed.chain(blobs).chain(ends) {
        if bytes + size > RUN_BYTES {
            runs.push(std::mem::take(&mut run));
            bytes = 0;
        }
        run.push(item);
        bytes += size;
    }
    runs.push(run);
    runs
}

#[derive(Default)]
struct State {
    /// Damaged chunks of each volume.
    damaged: BTreeMap<usize, BTreeSet<u64>>,
    /// Other failures, by volume and offset.
    failures: BTreeMap<(usize, u64), Failure>,
}

struct Pass<'a> {
    reader: &'a Reader,
    progress: &'a dyn Progress,
    state: Mutex<State>,
}

impl Pass<'_> {
    /// Everything noted: damage by volume, then the rest in the order of the volumes.
    fn outcome(self) -> Result<(), Failures> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut failures = damage::failures(self.reader, &state.damaged);
        failures.extend(state.failures.into_values());
        Failures::check(failures)
    }

    fn run(&self, run: &[Item]) {
        for item in run {
            match item {
                Item::Fixed(at) => {
                    self.item(*at..at + 1, self.fixed(*at));
                }
                Item::Blob(at) => {
                    let members = self.reader.members_of(*at);
                    let outcome = self.reader.blob(*at, &mut |bytes| {
                        self.progress.advance(bytes.len() as u64);
                        Ok(())
                    });
                    self.item(members, outcome);
                }
                Item::End(number) => self.end(*number),
            }
        }
    }

    /// `oci-layout` and `index.json` have exactly one right content.
    fn fixed(&self, at: usize) -> Result<()> {
        let expected = match at {
            0 => layout::OCI_LAYOUT.to_vec(),
            _ => layout::layout_index(&self.reader.index().artifacts),
        };
        let mut rest = expected.as_slice();
        self.reader.member(at, &mut |bytes| {
            rest = rest.strip_prefix(bytes).ok_or_else(|| {
                let name = self.reader.index().members.get(at).map_or("", |member| &member.path);
                Failure::new(Reason::LayoutMalformed, name, "the content is not what bundle.json implies")
                    .hint("do not use the bundle; ask the sender")
            })?;
            Ok(())
        })
    }

    /// Notes the outcome for some members. Where a chunk is damaged, all chunks of the members are looked
    /// at, so that the whole damage is known after one pass.
    fn item(&self, members: Range<usize>, outcome: Result<()>) {
        let members = self.reader.index().members.get(members).unwrap_or_default();
        if let (Err(failure), Some(first)) = (outcome, members.first()) {
            if failure.reason == Reason::ChunkDamaged {
                for member in members {
                    let end = member.offset + member.frames.iter().sum::<u64>();
                    self.scan(member.volume, member.offset..end);
                }
            } else {
                self.note((first.volume, first.offset), failure);
            }
        }
    }

    fn end(&self, number: usize) {
        let Err(failure) = self.reader.end(number) else { return };
        let size = number
            .checked_sub(1)
            .and_then(|at| self.reader.index().volumes.get(at))
            .map_or(0, |volume| volume.size);
        if failure.reason == Reason::ChunkDamaged {
            self.scan(number, size.saturating_sub(1)..size);
        } else {
            self.note((number, size), failure);
        }
    }

    /// Hashes the chunks of a range and notes those that differ.
    fn scan(&self, volume: usize, range: Range<u64>) {
        let mut buffer = Vec::new();
        let chunks = range.start / limits::CHUNK_BYTES..range.end.div_ceil(limits::CHUNK_BYTES);
        for chunk in chunks {
            match self.reader.read_chunk(volume, chunk, &mut buffer) {
                Ok(found) if self.reader.chunk_hash(volume, chunk) == Some(found.bytes().as_slice()) => {}
                Ok(_) => {
                    self.lock().damaged.entry(volume).or_default().insert(chunk);
                }
                Err(failure) => self.note((volume, range.start), failure),
            }
        }
    }

    fn note(&self, place: (usize, u64), failure: Failure) {
        self.lock().failures.entry(place).or_insert(failure);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        bundle::{Encoding, Member, Volume},
        oci::media_type,
    };

    /// A reader of volumes that are not there, with a layer for each list of lengths of frames, and a manifest.
    fn reader(layers: &[&[u64]]) -> Reader {
        let mut blobs: Vec<Blob> = (0..=layers.len())
            .map(|at| Blob {
                digest: Digest::from_hex(crate::base::digest::Algorithm::Sha256, &format!("{at:064x}"))
                    .unwrap(),
                size: 1,
                media_type: media_type::LAYER_TAR.to_owned(),
                encoding: Encoding::Raw,
            })
            .collect();
        // The manifest stands last among the blobs and first among the members.
        blobs.last_mut().unwrap().media_type = media_type::MANIFEST.to_owned();
        let small: &[u64] = &[100];
        let frames = [small; 3].into_iter().chain(layers.iter().copied());
        let members = frames.map(|frames| Member {
            path: String::new(),
            size: 1,
            volume: 1,
            offset: 0,
            frames: frames.to_vec(),
        });
        let volumes = [1, 2].map(|number| Volume { path: number.to_string(), size: 0, content: 0 });
        let index = crate::bundle::BundleIndex {
            members: members.collect(),
            volumes: volumes.into(),
            blobs,
            ..crate::bundle::BundleIndex::empty()
        };
        Reader::new(Path::new(""), index, Vec::new()).unwrap()
    }

    /// Everything stands in one run, in the order of the volumes; a run is full at 32 MiB, and what is larger
    /// stands in one of its own.
    #[test]
    fn runs_are_filled_in_order() {
        const MIB: u64 = 1 << 20;
        let told = |layers: &[&[u64]]| -> Vec<String> {
            let runs = runs(&reader(layers));
            let name = |item: &Item| match item {
                Item::Fixed(at) => format!("fixed {at}"),
                Item::Blob(at) => format!("blob {at}"),
                Item::End(number) => format!("end {number}"),
            };
            runs.iter().map(|run| run.iter().map(name).collect::<Vec<_>>().join(", ")).collect()
        };
        assert_eq!(told(&[&[5]]), ["fixed 0, fixed 1, blob 1, blob 0, end 1, end 2"]);
        // Exactly full, and one byte over.
        let room = 32 * MIB - 300;
        assert_eq!(
            told(&[&[room - 7, 7], &[1]]),
            ["fixed 0, fixed 1, blob 2, blob 0", "blob 1, end 1, end 2"]
        );
        assert_eq!(
            told(&[&[room - 7, 8], &[32 * MIB - room - 1]]),
            ["fixed 0, fixed 1, blob 2", "blob 0, blob 1, end 1, end 2"]
        );
        assert_eq!(
            told(&[&[16 * MIB; 3], &[16 * MIB, 16 * MIB], &[1], &[2]]),
            ["fixed 0, fixed 1, blob 4", "blob 0", "blob 1", "blob 2, blob 3, end 1, end 2"]
        );
    }
}
