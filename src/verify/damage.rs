//! Damage of volumes, told by file and chunk, with the artifacts that suffer.

use std::{
    cell::OnceCell,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        fs, limits, text,
    },
    bundle::{Blob, Reader, closure::Graph, volume::chunk_count},
};

/// Artifacts named in a failure before the rest is only counted.
const NAMED: usize = 10;

/// Volumes whose file has another size than listed: cut, grown, or in the place of another one.
pub(super) fn wrong_sizes(reader: &Reader) -> Result<Vec<Failure>> {
    let mut failures = Vec::new();
    let suffering = Suffering::new(reader);
    for (number, volume) in (1..).zip(&reader.index().volumes) {
        let path = reader.dir().join(&volume.path);
        let file = fs::open_plain(&path)?;
        let length = file.metadata().map_err(|error| fs::failure(&path, "inspect", &error))?.len();
        let reason = match length.cmp(&volume.size) {
            Ordering::Equal => continue,
            Ordering::Less => Reason::Truncated,
            Ordering::Greater => Reason::SizeMismatch,
        };
        let failure = other_place(reader, number).unwrap_or_else(|| {
            let message = format!("expected {} bytes, found {length}", volume.size);
            Failure::new(reason, &volume.path, message).hint("copy this file again")
        });
        let everything: BTreeSet<u64> = (0..chunk_count(volume.size)).collect();
        failures.push(suffering.named(failure, number, &everything));
    }
    Ok(failures)
}

/// The failure for a volume that begins like another volume of this bundle (threats F24, F25).
fn other_place(reader: &Reader, number: usize) -> Option<Failure> {
    let volume = reader.index().volumes.get(number.checked_sub(1)?)?;
    // The file is read once for each length that a first chunk has: one, and some for short volumes.
    let mut begins: BTreeMap<u64, Option<Digest>> = BTreeMap::new();
    let mut buffer = Vec::new();
    let others = (1..).zip(&reader.index().volumes).filter(|(other, _)| *other != number);
    for (other, there) in others {
        let length = there.size.min(limits::CHUNK_BYTES);
        let begins = begins.entry(length).or_insert_with(|| reader.beginning(number, length, &mut buffer));
        let signed = reader.chunk_hash(other, 0)?;
        if begins.as_ref().is_some_and(|found| found.bytes() == signed) {
            let message = format!("the file is {}, in the wrong place", there.path);
            return Some(
                Failure::new(Reason::VolumeOfOtherBundle, &volume.path, message)
                    .hint("copy both files again, each under its own name"),
            );
        }
    }
    None
}

/// One failure a volume for its damaged chunks (numbers from 0).
pub(super) fn failures(reader: &Reader, damaged: &BTreeMap<usize, BTreeSet<u64>>) -> Vec<Failure> {
    let suffering = Suffering::new(reader);
    damaged
        .iter()
        .filter_map(|(number, chunks)| {
            let volume = reader.index().volumes.get(number.checked_sub(1)?)?;
            let swapped = chunks.contains(&0).then(|| other_place(reader, *number)).flatten();
            let failure = swapped.unwrap_or_else(|| chunk_failure(&volume.path, volume.size, chunks));
            Some(suffering.named(failure, *number, chunks))
        })
        .collect()
}

fn chunk_failure(path: &str, size: u64, chunks: &BTreeSet<u64>) -> Failure {
    let all = chunk_count(size);
    let message = format!(
        "{} of {} differ from what was signed: {}",
        chunks.len(),
        text::count(usize::try_from(all).unwrap_or(usize::MAX), "chunk"),
        ranges(chunks, size)
    );
    let hint = if chunks.len() as u64 == all && all > 1 {
        "nothing in this file is right: it may be of another bundle; copy it again"
    } else {
        "copy this file again"
    };
    Failure::new(Reason::ChunkDamaged, path, message).hint(hint)
}

/// Runs of chunks as byte ranges: `bytes 0-4194303, 12582912-12599999`.
fn ranges(chunks: &BTreeSet<u64>, size: u64) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for chunk in chunks {
        match runs.last_mut() {
            Some((_, end)) if *end == *chunk => *end += 1,
            _ => runs.push((*chunk, chunk + 1)),
        }
    }
    let more = runs.len().saturating_sub(NAMED);
    let mut words: Vec<String> = runs
        .iter()
        .take(NAMED)
        .map(|(from, to)| {
            let end = (to * limits::CHUNK_BYTES).min(size).saturating_sub(1);
            format!("{}-{end}", from * limits::CHUNK_BYTES)
        })
        .collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    format!("bytes {}", words.join(", "))
}

/// Knows which artifacts have content where, as far as the manifests can be read. They are read when the
/// first failure asks.
struct Suffering<'a> {
    reader: &'a Reader,
    graph: OnceCell<Graph<'a>>,
}

impl<'a> Suffering<'a> {
    fn new(reader: &'a Reader) -> Self {
        Self { reader, graph: OnceCell::new() }
    }

    /// Adds the names of the artifacts that have content in these chunks of a volume.
    fn named(&self, mut failure: Failure, volume: usize, chunks: &BTreeSet<u64>) -> Failure {
        let index = self.reader.index();
        let graph = self
            .graph
            .get_or_init(|| Graph::read(&index.blobs, &mut |blob: &Blob| read_manifest(self.reader, blob)));
        let blobs = self.blobs_in(volume, chunks);
        let names: Vec<&str> = index
            .artifacts
            .iter()
            .filter(|artifact| !graph.reach(artifact).blobs.is_disjoint(&blobs))
            .map(|artifact| artifact.name.as_str())
            .collect();
        if !names.is_empty() {
            let more = names.len().saturating_sub(NAMED);
            let shown: Vec<&str> = names.into_iter().take(NAMED).collect();
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            failure.message = format!("{}; affected: {}{rest}", failure.message, shown.join(", "));
        }
        failure
    }

    /// Positions of the blobs with bytes in these chunks of a volume.
    fn blobs_in(&self, volume: usize, chunks: &BTreeSet<u64>) -> BTreeSet<usize> {
        let index = self.reader.index();
        let touched = |at: usize| {
            index.members.get(at).is_some_and(|member| {
                let end = member.offset + member.frames.iter().sum::<u64>();
                let (first, last) =
                    (member.offset / limits::CHUNK_BYTES, end.saturating_sub(1) / limits::CHUNK_BYTES);
                member.volume == volume && chunks.range(first..=last).next().is_some()
            })
        };
        (0..index.blobs.len()).filter(|blob| self.reader.members_of(*blob).any(touched)).collect()
    }
}

/// A manifest, for [`Graph::read`].
pub(super) fn read_manifest(reader: &Reader, blob: &Blob) -> Result<Vec<u8>> {
    let at = crate::bundle::position(&reader.index().blobs, &blob.digest)
        .ok_or_else(|| Failure::internal("a blob is not in its own list"))?;
    let mut bytes = Vec::new();
    reader.blob(at, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_chunks_become_ranges() {
        let size = 5 * limits::CHUNK_BYTES - 7;
        let chunks: BTreeSet<u64> = [0, 1, 4].into();
        assert_eq!(ranges(&chunks, size), "bytes 0-8388607, 16777216-20971512");
        let failure = chunk_failure("v", size, &chunks);
        assert!(failure.message.starts_with("3 of 5 chunks differ"));
    }

    #[test]
    fn many_runs_are_counted() {
        let every_second =
            |count: u64| ranges(&(0..count).map(|n| 2 * n).collect(), 100 * limits::CHUNK_BYTES);
        let ten = every_second(10);
        assert_eq!(ten.matches('-').count(), 10);
        assert!(ten.ends_with("75497472-79691775"), "{ten}");
        assert_eq!(every_second(12), format!("{ten}, and 2 more"));
    }

    /// A file of which nothing is right may be another one; that says nothing of a file of one chunk.
    #[test]
    fn the_hint_follows_from_how_much_is_damaged() {
        let hint = |chunks: &[u64], size: u64| {
            let hint = chunk_failure("v", size, &chunks.iter().copied().collect()).hint.unwrap();
            hint.starts_with("nothing in this file is right")
        };
        let size = 3 * limits::CHUNK_BYTES;
        assert!(hint(&[0, 1, 2], size) && !hint(&[0, 1], size) && !hint(&[2], size));
        assert!(!hint(&[0], limits::CHUNK_BYTES) && hint(&[0, 1], limits::CHUNK_BYTES + 1));
    }
}
