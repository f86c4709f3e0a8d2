//! One client: it owns some tags, and knows what each of them may lead to.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use sealift::{
    base::digest::{Algorithm, Digest, Hasher},
    oci::{Descriptor, media_type},
};
use serde_json::json;

use super::{LEASE, Tally};
use crate::support::wire::{Reply, Wire};

/// Repositories that all share.
const REPOSITORIES: u64 = 8;
/// Tags of each client.
const TAGS: usize = 4;
/// Layers that everybody has: they are pushed, mounted, deleted and collected all at once.
const COMMON_LAYERS: u64 = 24;

/// Numbers as if by chance; the same in each run (Marsaglia's xorshift).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes())
            .flatten()
            .take(usize::try_from(count).unwrap())
            .collect()
    }
}

/// What was pushed under a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    manifest: Digest,
    blobs: Vec<Descriptor>,
}

/// What a tag may lead to: one thing, unless an answer was cut off.
type May = Vec<Option<Image>>;

/// A push that was left in the middle.
#[derive(Debug)]
struct Left {
    location: String,
    bytes: Vec<u8>,
    acknowledged: usize,
}

pub(super) struct Client<'a> {
    number: u64,
    wire: Wire,
    tally: &'a Tally,
    begun: Instant,
    chance: Chance,
    tags: Vec<May>,
    left: Option<Left>,
    /// Manifests that no tag of this client leads to any more, if they are there at all.
    idle: Vec<Digest>,
    made: u64,
}

/// Why a step went no further.
enum Stop {
    /// The connection broke: what was asked for may have been done.
    Cut,
    /// The server would rather do it later, and has done nothing.
    Later,
    /// The lease of a blob was over.
    Late,
}

impl From<io::Error> for Stop {
    fn from(_broken: io::Error) -> Self {
        Self::Cut
    }
}

type Step<T> = Result<T, Stop>;

impl<'a> Client<'a> {
    pub(super) fn new(number: u64, address: SocketAddr, tally: &'a Tally, begun: Instant) -> Self {
        let (wire, chance) = (Wire::new(address), Chance::new(number + 100));
        let tags = vec![vec![None]; TAGS];
        Self { number, wire, tally, begun, chance, tags, left: None, idle: Vec::new(), made: 0 }
    }

    /// One thing or another, and a moment of rest.
    pub(super) fn step(&mut self) {
        let at = usize::try_from(self.chance.below(TAGS as u64)).unwrap();
        let done = match self.chance.below(100) {
            0..50 => self.pull(at),
            50..82 => self.push(at),
            82..90 => self.delete(at),
            90..95 => self.leave_or_resume(),
            _ => self.list(),
        };
        match done {
            Ok(()) => {}
            Err(Stop::Cut) => {
                count(&self.tally.cut);
                // The next server takes a moment.
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(Stop::Later) => {
                count(&self.tally.later);
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(Stop::Late) => count(&self.tally.late),
        }
        let rest = std::env::var("SEALIFT_SOAK_REST").map_or(40, |rest| rest.parse().unwrap());
        std::thread::sleep(Duration::from_millis(self.chance.below(rest * 2 + 1)));
    }

    /// Pulls everything once more, until each answer came.
    pub(super) fn check_all(&mut self) {
        for at in 0..TAGS {
            self.insist(|client| client.pull(at));
        }
    }

    /// Takes everything away, and gives up what was left in the middle.
    pub(super) fn delete_all(&mut self) {
        for at in 0..TAGS {
            let left = std::mem::replace(&mut self.tags[at], vec![None]);
            self.idle.extend(left.into_iter().flatten().map(|image| image.manifest));
        }
        self.insist(Self::tidy);
        self.check_all();
        if let Some(left) = self.left.take() {
            self.insist(|client| client.ask(("DELETE", &left.location), &[], b"", &[204, 404]).map(drop));
        }
    }

    fn insist(&mut self, mut act: impl FnMut(&mut Self) -> Step<()>) {
        for _ in 0..100 {
            if act(self).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no answer to the hundredth time");
    }

    fn pull(&mut self, at: usize) -> Step<()> {
        let (repository, tag) = (self.repository(), self.tag(at));
        let path = format!("/v2/{repository}/manifests/{tag}");
        let (reply, bytes) = self.fetch(&path, &[("Accept", media_type::MANIFEST)])?;
        self.expect(&reply, &[200, 404], &path)?;
        let found = (reply.status == 200).then(|| Digest::of(&bytes));
        let may = &self.tags[at];
        let is = may.iter().find(|image| image.as_ref().map(|image| &image.manifest) == found.as_ref());
        let Some(is) = is.cloned() else {
            panic!("{repository}:{tag} is {found:?} and may be {may:?}, after {:?}", self.begun.elapsed());
        };
        if let Some(image) = &is {
            assert_eq!(reply.header("docker-content-digest"), image.manifest.to_string());
            for blob in &image.blobs {
                self.pull_blob(&repository, blob)?;
            }
            count(&self.tally.pulls);
        }
        // What it may have been besides it is not; its manifest may lie there still.
        let others = self.tags[at].iter().flatten().filter(|one| is.as_ref() != Some(*one));
        self.idle.extend(others.map(|other| other.manifest.clone()));
        self.tags[at] = vec![is];
        self.tidy()
    }

    fn pull_blob(&mut self, repository: &str, blob: &Descriptor) -> Step<()> {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        let (mut hasher, mut size) = (Hasher::new(Algorithm::Sha256), 0);
        let reply = self.wire.ask(("GET", &path), &[], b"", |piece| {
            hasher.update(piece);
            size += piece.len() as u64;
        })?;
        self.expect(&reply, &[200], &path)?;
        assert_eq!((hasher.finish(), size), (blob.digest.clone(), blob.size), "wrong bytes in {path}");
        self.tally.bytes.fetch_add(size, Relaxed);
        Ok(())
    }

    fn push(&mut self, at: usize) -> Step<()> {
        let (repository, begun) = (self.repository(), Instant::now());
        let mut layers = Vec::new();
        for _ in 0..=self.chance.below(3) {
            let bytes = if self.chance.below(10) < 7 {
                let common = self.chance.below(COMMON_LAYERS);
                Chance::new(common).bytes(1 << (10 + common % 9))
            } else {
                let size = 1 + self.chance.below(64 << 10);
                self.chance.bytes(size)
            };
            layers.push(self.push_blob(&repository, &bytes, media_type::OCTETS)?);
        }
        self.made += 1;
        let config = json!({ "client": self.number, "made": self.made }).to_string();
        let config = self.push_blob(&repository, config.as_bytes(), media_type::CONFIG)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": config,
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let blobs = layers.into_iter().chain([config]).collect();
        let image = Image { manifest: Digest::of(&manifest), blobs };
        let before = self.tags[at].clone();
        let path = format!("/v2/{repository}/manifests/{}", self.tag(at));
        // From here on, until there is an answer, it may be either.
        self.tags[at].push(Some(image.clone()));
        let reply =
            self.wire.ask(("PUT", &path), &[("Content-Type", media_type::MANIFEST)], &manifest, |_| ())?;
        if reply.status != 201 {
            self.tags[at].clone_from(&before);
        }
        if reply.status == 404 && begun.elapsed() > Duration::from_secs(LEASE - 1) {
            return Err(Stop::Late);
        }
        self.expect(&reply, &[201], &path)?;
        count(&self.tally.pushes);
        // By that it was moved.
        self.idle.extend(before.into_iter().flatten().map(|old| old.manifest));
        self.tags[at] = vec![Some(image)];
        self.tidy()
    }

    /// In one of the ways in which clients do it.
    fn push_blob(&mut self, repository: &str, bytes: &[u8], media_type: &str) -> Step<Descriptor> {
        let blob = Descriptor::of(media_type, bytes);
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        let looks = self.chance.below(4) > 0;
        if looks && self.ask(("HEAD", &path), &[], b"", &[200, 404])?.status == 200 {
            return Ok(blob);
        }
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let session = match self.chance.below(4) {
            0 => {
                let all = format!("{uploads}?digest={}", blob.digest);
                self.ask(("POST", &all), &[], bytes, &[201])?;
                self.look(&path)?;
                return Ok(blob);
            }
            1 => {
                let from = Self::repository_of(self.number + 1 + self.chance.clone().below(7));
                let mount = format!("{uploads}?mount={}&from={from}", blob.digest);
                let reply = self.ask(("POST", &mount), &[], b"", &[201, 202])?;
                if reply.status == 201 {
                    count(&self.tally.mounts);
                    self.look(&path)?;
                    return Ok(blob);
                }
                reply
            }
            _ => self.ask(("POST", &uploads), &[], b"", &[202])?,
        };
        let mut location = session.header("location").to_owned();
        let cut = usize::try_from(self.chance.below(bytes.len() as u64 + 1)).unwrap();
        let (first, rest) = bytes.split_at(cut);
        if !first.is_empty() {
            let reply = self.ask(("PATCH", &location), &[], first, &[202])?;
            reply.header("location").clone_into(&mut location);
        }
        self.finish(&location, rest, &blob.digest)?;
        self.look(&path)?;
        Ok(blob)
    }

    fn finish(&mut self, location: &str, rest: &[u8], digest: &Digest) -> Step<()> {
        let separator = if location.contains('?') { '&' } else { '?' };
        self.ask(("PUT", &format!("{location}{separator}digest={digest}")), &[], rest, &[201]).map(drop)
    }

    /// What was acknowledged a moment ago is there.
    fn look(&mut self, path: &str) -> Step<()> {
        let begun = Instant::now();
        let status = self.ask(("HEAD", path), &[], b"", &[200, 404])?.status;
        let late = begun.elapsed() > Duration::from_secs(LEASE - 1);
        assert!(status == 200 || late, "{path} is gone, after {:?}", self.begun.elapsed());
        if status == 200 { Ok(()) } else { Err(Stop::Late) }
    }

    fn delete(&mut self, at: usize) -> Step<()> {
        let [Some(image)] = self.tags[at].as_slice() else { return self.pull(at) };
        let manifest = image.manifest.clone();
        self.tags[at].push(None);
        self.delete_manifest(&manifest)?;
        self.tags[at] = vec![None];
        count(&self.tally.deletes);
        Ok(())
    }

    /// Takes away what is idle.
    fn tidy(&mut self) -> Step<()> {
        while let Some(manifest) = self.idle.last().cloned() {
            self.delete_manifest(&manifest)?;
            self.idle.pop();
        }
        Ok(())
    }

    fn delete_manifest(&mut self, manifest: &Digest) -> Step<()> {
        let path = format!("/v2/{}/manifests/{manifest}", self.repository());
        self.ask(("DELETE", &path), &[], b"", &[202, 404]).map(drop)
    }

    /// Leaves a push in the middle, or goes on with one, perhaps with another server than the one that began it.
    fn leave_or_resume(&mut self) -> Step<()> {
        let repository = self.repository();
        let Some(left) = self.left.take() else {
            let size = 2 + self.chance.below(256 << 10);
            let bytes = self.chance.bytes(size);
            let begun = self.ask(("POST", &format!("/v2/{repository}/blobs/uploads/")), &[], b"", &[202])?;
            let location = begun.header("location").to_owned();
            let acknowledged = bytes.len() / 2;
            self.left = Some(Left { location: location.clone(), bytes: bytes.clone(), acknowledged: 0 });
            self.ask(("PATCH", &location), &[], &bytes[..acknowledged], &[202])?;
            self.left = Some(Left { location, bytes, acknowledged });
            return Ok(());
        };
        let asked = self.ask(("GET", &left.location), &[], b"", &[204]);
        let Ok(reply) = asked else {
            self.left = Some(left);
            return asked.map(drop);
        };
        let there: usize = reply.header("range").split('-').nth(1).unwrap().parse().unwrap();
        // Of none at all it says 0-0.
        let there = if there == 0 { 0 } else { there + 1 };
        assert!(there >= left.acknowledged, "{there} bytes are left of {}", left.acknowledged);
        let digest = Digest::of(&left.bytes);
        self.finish(&left.location, &left.bytes[there..], &digest)?;
        self.look(&format!("/v2/{repository}/blobs/{digest}"))?;
        count(&self.tally.resumed);
        Ok(())
    }

    /// The list has each tag that is surely there, and none that is surely not.
    fn list(&mut self) -> Step<()> {
        let path = format!("/v2/{}/tags/list", self.repository());
        let (reply, bytes) = self.fetch(&path, &[])?;
        self.expect(&reply, &[200, 404], &path)?;
        let listed: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let listed: Vec<&str> =
            listed["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str()).collect();
        for (at, may) in self.tags.iter().enumerate() {
            let is_there = listed.contains(&self.tag(at).as_str());
            let right = may.iter().any(|image| image.is_some() == is_there);
            assert!(right, "{path}: {} is listed: {is_there}; may be {may:?}", self.tag(at));
        }
        Ok(())
    }

    /// The answer with its whole body.
    fn fetch(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<(Reply, Vec<u8>)> {
        let mut bytes = Vec::new();
        let reply = self.wire.ask(("GET", path), headers, b"", |piece| bytes.extend_from_slice(piece))?;
        Ok((reply, bytes))
    }

    fn ask(
        &mut self,
        request: (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        expected: &[u16],
    ) -> Step<Reply> {
        let mut said = Vec::new();
        let reply = self.wire.ask(request, headers, body, |piece| said.extend_from_slice(piece))?;
        let what = [request.0, " ", request.1, ": ", &String::from_utf8_lossy(&said)].concat();
        self.expect(&reply, expected, &what)?;
        Ok(reply)
    }

    /// Only that, or that the server has no time now.
    fn expect(&self, reply: &Reply, expected: &[u16], what: &str) -> Step<()> {
        match reply.status {
            status if expected.contains(&status) => Ok(()),
            429 | 503 => Err(Stop::Later),
            status => panic!("client {}: {status}, after {:?}: {what}", self.number, self.begun.elapsed()),
        }
    }

    fn repository(&self) -> String {
        Self::repository_of(self.number)
    }

    fn repository_of(number: u64) -> String {
        format!("sandbox/soak/{}", number % REPOSITORIES)
    }

    fn tag(&self, at: usize) -> String {
        format!("c{}-{at}", self.number)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
