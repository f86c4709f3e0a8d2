//! Writes a bundle into an empty folder, straight from the store: one pass, nothing is read back, no
//! file is written twice.
//!
//! Phases: 1. put the contents in order and check that they are closed; 2. write the volumes; 3. write the
//! small files, `SHA256SUMS` last; 4. sign.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use super::{
    Contents,
    closure::{Graph, Reach},
    consistency, frame, header,
    index::{Blob, BundleIndex, Encoding, Member, Volume},
    layout::{self, Filling, OCI_LAYOUT, SMALLEST_VOLUME, Step},
    pipeline::{self, Block, HungUp, Pipeline, Pool},
    sums::{self, Sums, SumsHeader},
};
use crate::{
    base::{
        digest::{Digest, Hasher},
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
        progress::Progress,
        stream, text,
    },
    oci::{Descriptor, media_type},
    report,
    store::{BlobReader, Store},
    trust::Signer,
};

/// What a bundle will need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Files in `volumes/`, at most.
    pub volumes: usize,
    /// Bytes of all volumes, at most: compression only makes them fewer.
    pub bytes: u64,
    /// Bytes of the content.
    pub content: u64,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// Digest of `SHA256SUMS`: the identity of the bundle.
    pub sums_digest: Digest,
    /// `bundle.json`.
    pub index: BundleIndex,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Estimates what [`write()`] will need, from sizes alone.
///
/// # Errors
/// [`Reason::BadArgument`] for a volume limit below 1 MiB.
pub fn plan(contents: &Contents, volume_limit: Option<u64>) -> Result<Plan> {
    let filling = filling(volume_limit)?;
    let index = contents.index()?;
    let fixed = [OCI_LAYOUT.len() as u64, layout::layout_index(&index.artifacts).len() as u64];
    let blobs = layout::member_order(&index.blobs).into_iter().map(|blob| blob.size);
    let mut plan = Plan { volumes: 1, bytes: 0, content: 0 };
    let mut offset = 0;
    for size in fixed.into_iter().chain(blobs) {
        plan.content += size;
        let (mut left, mut begun) = (size, false);
        loop {
            match filling.step(offset, left, begun) {
                Step::Take(part) => {
                    offset += frame::bound(header::stream_length(part));
                    left -= part;
                    begun = true;
                    if left == 0 {
                        break;
                    }
                }
                Step::NextVolume => {
                    plan.bytes += offset + frame::piece_bound(header::END);
                    plan.volumes += 1;
                    offset = 0;
                }
            }
        }
    }
    plan.bytes += offset + frame::piece_bound(header::END);
    Ok(plan)
}

fn filling(limit: Option<u64>) -> Result<Filling> {
    if limit.is_some_and(|limit| limit < SMALLEST_VOLUME) {
        let message = format!("a volume must have at least {}", text::bytes(SMALLEST_VOLUME));
        return Err(Failure::new(Reason::BadArgument, "volume size", message));
    }
    Ok(Filling { limit })
}

/// Writes the bundle into `dir`, an empty folder, and signs it with every key. The same contents give the
/// same bytes for any number of `workers`.
///
/// # Errors
/// [`Reason::BadArgument`] for a limit that cannot be met; [`Reason::BlobMissing`],
/// [`Reason::BlobUnreferenced`] and the OCI reasons for contents that are not closed;
/// [`Reason::StoreDamaged`] for a stored blob that no longer matches; those of the disk.
pub fn write(
    dir: &Path,
    contents: &Contents,
    source: &Store,
    volume_limit: Option<u64>,
    workers: usize,
    keys: &[Box<dyn Signer>],
    progress: &dyn Progress,
) -> Result<Written, Failures> {
    let filling = filling(volume_limit)?;
    let mut index = contents.index()?;
    let mut read = |blob: &Blob| source.read_blob(&descriptor(blob));
    let reaches = Graph::read(&index.blobs, &mut read).check(&index.artifacts).map_err(|list| {
        Failures::check(list).err().unwrap_or_else(|| Failure::internal("no fault").into())
    })?;
    let chunks = write_volumes(dir, &mut index, source, filling, workers.max(1), progress)?;
    Ok(write_documents(dir, index, contents, &reaches, chunks, keys)?)
}

fn descriptor(blob: &Blob) -> Descriptor {
    Descriptor::new(blob.media_type.clone(), blob.digest.clone(), blob.size)
}

impl Contents {
    /// `bundle.json` without members and volumes, everything sorted and checked.
    fn index(&self) -> Result<BundleIndex> {
        let mut artifacts = self.artifacts.clone();
        for artifact in &mut artifacts {
            artifact.platforms.sort();
            artifact.platforms.dedup();
            artifact.absent.sort();
            artifact.absent.dedup();
            artifact.referrers.sort_by(|a, b| {
                (&a.root.digest, &a.subject, &a.tag).cmp(&(&b.root.digest, &b.subject, &b.tag))
            });
            artifact.referrers.dedup();
        }
        artifacts.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        let mut blobs: Vec<Blob> = self
            .blobs
            .iter()
            .map(|blob| Blob {
                digest: blob.digest.clone(),
                size: blob.size,
                media_type: blob.media_type.clone(),
                encoding: Encoding::Raw,
            })
            .collect();
        // The same content may be known by several types: a manifest type wins, then the first by name.
        blobs.sort_by(|a, b| {
            let rank = |blob: &Blob| !media_type::is_manifest(&blob.media_type);
            (&a.digest, rank(a), &a.media_type).cmp(&(&b.digest, rank(b), &b.media_type))
        });
        blobs.dedup_by(|later, first| later.digest == first.digest && later.size == first.size);
        let index = BundleIndex {
            schema: consistency::SCHEMA,
            name: self.name.clone(),
            version: self.version.clone(),
            channel: self.channel.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            created: self.created.to_string(),
            description: self.description.clone(),
            tool: concat!("sealift ", env!("CARGO_PKG_VERSION")).to_owned(),
            artifacts,
            blobs,
            members: Vec::new(),
            volumes: Vec::new(),
        };
        index.check_content()?;
        Ok(index)
    }
}

/// Fills in members and volumes; gives the digests of the volumes and the chunk list.
fn write_volumes(
    dir: &Path,
    index: &mut BundleIndex,
    source: &Store,
    filling: Filling,
    workers: usize,
    progress: &dyn Progress,
) -> Result<(Vec<Digest>, Vec<u8>)> {
    fs::create_dir(&dir.join(sums::VOLUMES), false)?;
    let total = index.blobs.iter().map(|blob| blob.size).sum();
    let layout = layout::layout_index(&index.artifacts);
    progress.start("sealing", total);
    let pool = Pool::default();
    let sealed = std::thread::scope(|scope| {
        let pipeline = Pipeline::start(scope, dir, filling.limit, workers, &pool);
        let mut writer = VolumeWriter::new(pipeline, &pool, filling);
        let filled = writer.fill(&layout, index, source, progress);
        match filled {
            Ok(()) => writer.finish(index),
            Err(failure) => Err(pipeline::own_failure(failure, writer.pipeline)),
        }
    })?;
    progress.finish();
    fs::sync_dir(&dir.join(sums::VOLUMES))?;
    let mut chunks = Vec::new();
    let mut digests = Vec::new();
    for (volume, sealed) in index.volumes.iter_mut().zip(sealed) {
        volume.size = sealed.size;
        chunks.extend(sealed.chunks);
        digests.push(sealed.digest);
    }
    Ok((digests, chunks))
}

/// A member whose frames are under way.
struct OpenMember {
    member: Member,
    /// Number of its first piece.
    first: u64,
}

/// Turns members into pieces and decides where volumes end.
struct VolumeWriter<'scope> {
    pipeline: Pipeline<'scope>,
    pool: &'scope Pool,
    filling: Filling,
    volume: usize,
    content: u64,
    contents: Vec<u64>,
    /// Bytes of the frames of this volume whose length is known, and the most that the others can have.
    known: u64,
    pending: u64,
    /// Length of each frame by piece; 0 while unknown.
    frames: Vec<u64>,
    /// The most that each frame can have.
    bounds: Vec<u64>,
    members: Vec<OpenMember>,
}

fn hung_up(_gone: HungUp) -> Failure {
    Failure::internal("a thread that writes volumes ended early")
}

impl<'scope> VolumeWriter<'scope> {
    fn new(pipeline: Pipeline<'scope>, pool: &'scope Pool, filling: Filling) -> Self {
        Self {
            pipeline,
            pool,
            filling,
            volume: 1,
            content: header::END,
            contents: Vec::new(),
            known: 0,
            pending: 0,
            frames: Vec::new(),
            bounds: Vec::new(),
            members: Vec::new(),
        }
    }

    fn fill(
        &mut self,
        layout: &[u8],
        index: &BundleIndex,
        source: &Store,
        progress: &dyn Progress,
    ) -> Result<()> {
        for (path, bytes) in [("oci-layout", OCI_LAYOUT), ("index.json", layout)] {
            if !self.filling.fits(self.known + self.pending, bytes.len() as u64) {
                let message = "a volume must be large enough for the list of artifacts";
                return Err(Failure::new(Reason::BadArgument, "volume size", message));
            }
            let mut rest = bytes;
            self.member(path.to_owned(), bytes.len() as u64, frame::LEVEL_PACKED, |block| {
                let count = rest.read(block).unwrap_or_default();
                Ok(count)
            })?;
        }
        for blob in layout::member_order(&index.blobs) {
            self.blob(blob, source, progress)?;
        }
        self.end_volume()
    }

    fn blob(&mut self, blob: &Blob, source: &Store, progress: &dyn Progress) -> Result<()> {
        let mut content = StoredBlob::open(blob, source)?;
        let level = content.level();
        let (mut left, mut part) = (blob.size, 0);
        loop {
            match self.step(left, part > 0)? {
                Step::NextVolume => self.next_volume()?,
                Step::Take(size) => {
                    let whole = part == 0 && size == left;
                    part += 1;
                    let path = layout::member_path(&blob.digest, (!whole).then_some(part));
                    self.member(path, size, level, |buffer| {
                        let count = content.read(buffer)?;
                        progress.advance(count as u64);
                        Ok(count)
                    })?;
                    left -= size;
                    if left == 0 {
                        return content.finish();
                    }
                }
            }
        }
    }

    /// What to do with the next content. Only when the most that frames under way can need makes a
    /// difference are they waited for, so the decision never depends on timing.
    fn step(&mut self, left: u64, begun: bool) -> Result<Step> {
        while let Some(known) = self.pipeline.poll() {
            self.learn(known);
        }
        if self.filling.fits(self.known + self.pending, left) {
            return Ok(Step::Take(left));
        }
        while let Some(known) = self.pipeline.wait().map_err(hung_up)? {
            self.learn(known);
        }
        Ok(self.filling.step(self.known, left, begun))
    }

    fn learn(&mut self, (piece, length): (u64, u64)) {
        let at = usize::try_from(piece).unwrap_or(usize::MAX);
        if let (Some(frame), Some(bound)) = (self.frames.get_mut(at), self.bounds.get(at)) {
            *frame = length;
            self.known += length;
            self.pending -= bound;
        }
    }

    /// Sends one member: header, `size` bytes that `fill` brings, padding.
    fn member(
        &mut self,
        path: String,
        size: u64,
        level: i32,
        mut fill: impl FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        let head = header::ustar(&path, size);
        let first = self.frames.len() as u64;
        let member = Member { path, size, volume: self.volume, offset: 0, frames: Vec::new() };
        self.members.push(OpenMember { member, first });
        let mut rest = header::stream_length(size);
        self.content += rest;
        let mut content = size;
        let mut head = head.as_slice();
        while rest > 0 {
            let length = rest.min(limits::FRAME_BYTES);
            let mut blocks = Vec::new();
            let mut left = length;
            while left > 0 {
                let mut block = self.pool.take(left);
                let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(block.bytes.len());
                while block.filled < wanted {
                    let free = block.bytes.get_mut(block.filled..wanted).unwrap_or_default();
                    let count = if !head.is_empty() {
                        head.read(free).unwrap_or_default()
                    } else if content > 0 {
                        let most = free.len().min(usize::try_from(content).unwrap_or(usize::MAX));
                        let count = fill(free.get_mut(..most).unwrap_or_default())?;
                        content = content.saturating_sub(count as u64);
                        count
                    } else {
                        free.fill(0);
                        free.len()
                    };
                    block.filled += count;
                }
                left -= wanted as u64;
                blocks.push(block);
            }
            self.send(level, length, blocks)?;
            rest -= length;
        }
        Ok(())
    }

    fn send(&mut self, level: i32, length: u64, blocks: Vec<Block>) -> Result<()> {
        let bound = frame::piece_bound(length);
        self.frames.push(0);
        self.bounds.push(bound);
        self.pending += bound;
        self.pipeline.send(self.volume, level, length, blocks).map_err(hung_up)?;
        Ok(())
    }

    /// The last frame of a volume: two zero blocks.
    fn end_volume(&mut self) -> Result<()> {
        let mut block = self.pool.take(header::END);
        block.bytes.fill(0);
        block.filled = usize::try_from(header::END).unwrap_or_default();
        self.send(frame::LEVEL_PACKED, header::END, vec![block])?;
        self.contents.push(self.content);
        Ok(())
    }

    fn next_volume(&mut self) -> Result<()> {
        if self.volume >= limits::VOLUMES {
            let message = "the content needs more than 9999 volumes";
            return Err(
                Failure::new(Reason::BadArgument, "volume size", message).hint("choose larger volumes")
            );
        }
        self.end_volume()?;
        while let Some(known) = self.pipeline.wait().map_err(hung_up)? {
            self.learn(known);
        }
        self.volume += 1;
        self.content = header::END;
        self.known = 0;
        Ok(())
    }

    /// Waits for the end and tells the index where everything lies.
    fn finish(mut self, index: &mut BundleIndex) -> Result<Vec<pipeline::Sealed>> {
        while let Ok(Some(known)) = self.pipeline.wait() {
            self.learn(known);
        }
        let sealed = self.pipeline.finish()?;
        let ends = self.members.iter().skip(1).map(|next| next.first).chain([self.frames.len() as u64]);
        let ends: Vec<u64> = ends.collect();
        let (mut volume, mut offset) = (0, 0);
        for (open, end) in self.members.into_iter().zip(ends) {
            let mut member = open.member;
            if member.volume != volume {
                (volume, offset) = (member.volume, 0);
            }
            // The frame that ends a volume follows its last member and belongs to none.
            let count =
                header::stream_length(member.size).div_ceil(limits::FRAME_BYTES).min(end - open.first);
            let range = usize::try_from(open.first).unwrap_or(usize::MAX)
                ..usize::try_from(open.first + count).unwrap_or(usize::MAX);
            member.offset = offset;
            member.frames = self.frames.get(range).unwrap_or_default().to_vec();
            offset += member.frames.iter().sum::<u64>();
            index.members.push(member);
        }
        index.volumes = (1..)
            .zip(self.contents)
            .map(|(number, content)| Volume { path: sums::volume_path(number), size: 0, content })
            .collect();
        Ok(sealed)
    }
}

/// A blob read from the store, hashed on the way.
struct StoredBlob<'a> {
    blob: &'a Blob,
    store: &'a Store,
    file: BlobReader,
    hasher: Hasher,
    /// The first bytes, read ahead to see what they are.
    start: Vec<u8>,
}

impl<'a> StoredBlob<'a> {
    fn open(blob: &'a Blob, store: &'a Store) -> Result<Self> {
        let mut file = store.open_blob(&blob.digest)?;
        let mut start = vec![0; 8];
        let count =
            stream::read_full(&mut file, &mut start).map_err(|error| cannot_read(store, blob, &error))?;
        start.truncate(count);
        let hasher = Hasher::new(blob.digest.algorithm());
        Ok(Self { blob, store, file, hasher, start })
    }

    fn level(&self) -> i32 {
        if media_type::is_compressed(&self.blob.media_type) || frame::is_compressed(&self.start) {
            frame::LEVEL_STORED
        } else {
            frame::LEVEL_PACKED
        }
    }

    /// Fills `buffer` at least in part.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = if self.start.is_empty() {
            stream::read_full(&mut self.file, buffer)
                .map_err(|error| cannot_read(self.store, self.blob, &error))?
        } else {
            let count = self.start.as_slice().read(buffer).unwrap_or_default();
            self.start.drain(..count);
            count
        };
        if count == 0 {
            return Err(self.store.damaged(&self.blob.digest));
        }
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Nothing may follow, and the digest must be right.
    fn finish(mut self) -> Result<()> {
        let mut more = [0];
        let count = stream::read_full(&mut self.file, &mut more)
            .map_err(|error| cannot_read(self.store, self.blob, &error))?;
        if count == 0 && self.start.is_empty() && self.hasher.finish() == self.blob.digest {
            return Ok(());
        }
        Err(self.store.damaged(&self.blob.digest))
    }
}

fn cannot_read(store: &Store, blob: &Blob, error: &std::io::Error) -> Failure {
    fs::failure(&store.place_of(&blob.digest), "read", error)
}

/// Everything but the volumes: the small files, their sums, the signatures.
fn write_documents(
    dir: &Path,
    index: BundleIndex,
    contents: &Contents,
    reaches: &[Reach],
    (volumes, chunks): (Vec<Digest>, Vec<u8>),
    keys: &[Box<dyn Signer>],
) -> Result<Written> {
    let rows =
        index.artifacts.iter().zip(reaches).map(|(artifact, reach)| super::inventory_row(artifact, reach));
    let inventory = report::inventory::csv(rows);
    let recipe = report::recipe::text(&index.name, &index.version);
    let fixed: [(&str, Vec<u8>); 4] = [
        (sums::RECIPE, recipe.into_bytes()),
        (sums::INDEX, index.to_text().into_bytes()),
        (sums::CHUNKS, chunks),
        (sums::INVENTORY, inventory.into_bytes()),
    ];
    let mut documents: BTreeMap<String, Vec<u8>> =
        fixed.into_iter().map(|(path, content)| (path.to_owned(), content)).collect();
    for (name, content) in &contents.evidence {
        documents.insert(format!("{}/{name}", sums::EVIDENCE), content.clone());
    }
    for (version, note) in &contents.trust {
        documents.insert(sums::trust_path(*version), note.clone());
    }
    for (folder, wanted) in
        [(sums::EVIDENCE, !contents.evidence.is_empty()), (sums::TRUST, !contents.trust.is_empty())]
    {
        if wanted {
            fs::create_dir(&dir.join(folder), false)?;
        }
    }
    let mut files = Vec::new();
    let mut bytes: u64 = index.volumes.iter().map(|volume| volume.size).sum();
    for (path, content) in &documents {
        fs::write_atomic(&dir.join(path), content, 0o644)?;
        files.push((path.clone(), Digest::of(content)));
        bytes += content.len() as u64;
    }
    files.extend(index.volumes.iter().map(|volume| volume.path.clone()).zip(volumes));
    let header = SumsHeader {
        name: index.name.clone(),
        version: index.version.clone(),
        channel: index.channel.clone(),
        epoch: index.epoch,
        sequence: index.sequence,
        created: contents.created,
        previous: contents.previous.clone(),
        site: contents.site.clone(),
        trust: contents.trust.keys().next_back().copied().unwrap_or(0),
        expires: contents.expires,
    };
    let sums = Sums { header, files }.to_text();
    if sums.len() as u64 > limits::SUMS_BYTES {
        return Err(Failure::internal("SHA256SUMS grew over 1 MiB"));
    }
    fs::write_atomic(&dir.join(sums::SUMS), sums.as_bytes(), 0o644)?;
    fs::create_dir(&dir.join(sums::SIGNATURES), false)?;
    for key in keys {
        let path = dir.join(sums::SIGNATURES).join(format!("{}.sig", key.public().key_id()));
        let signature = key.sign(sums.as_bytes())?;
        fs::write_atomic(&path, &signature, 0o644)?;
        bytes += signature.len() as u64;
    }
    fs::sync_dir(dir)?;
    Ok(Written { sums_digest: Digest::of(sums.as_bytes()), index, bytes: bytes + sums.len() as u64 })
}
