//! Load on registries, side by side: see `registry.sh`, which starts them and calls this.
//!
//! ```text
//! cargo bench --bench registry -- NAME=HOST:PORT=PID …     load, side by side; with `manifests`, of these alone
//! cargo bench --bench registry -- scale HOST:PORT          many repositories in one of ours
//! ```
//!
//! Each workload runs on one registry after the other, so that all of them meet the same machine. Every byte that is pulled
//! is hashed here, on the same cores. Prints a Markdown table.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, rounded, and may fail loudly"
)]

mod scale;
#[path = "../../tests/it/support/wire.rs"]
mod wire;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sealift::{
    base::digest::{Algorithm, Digest, Hasher},
    oci::{Descriptor, media_type},
};
use serde_json::json;

use wire::Wire;

/// How many clients at a time.
const CLIENTS: [usize; 3] = [1, 10, 64];
/// How often each blob is pulled.
const NODES: usize = 4;
/// Sizes of blobs, and how many are pushed and pulled at least; each client has one at least.
const BLOBS: [(usize, usize); 3] = [(1 << 20, 128), (10 << 20, 24), (100 << 20, 4)];
const MANIFESTS: usize = 1000;
const REPOSITORY: &str = "sandbox/bench";

/// One of those that are compared.
struct Registry {
    name: String,
    address: SocketAddr,
    process: u32,
}

/// What one workload took on one of them.
struct Took {
    count: usize,
    bytes: usize,
    all: Duration,
    each: Vec<Duration>,
    /// The most memory that the server had meanwhile.
    memory: u64,
}

impl Registry {
    fn parse(word: &str) -> Self {
        let parts: Vec<&str> = word.split('=').collect();
        let [name, address, process] = parts[..] else { panic!("NAME=HOST:PORT=PID, not {word}") };
        Self { name: name.into(), address: address.parse().unwrap(), process: process.parse().unwrap() }
    }

    fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.process).into()
    }

    /// The most memory since the last time, in bytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes << 10
    }

    /// Runs `count` pieces of work, `clients` at a time.
    fn run(
        &self,
        clients: usize,
        count: usize,
        bytes: usize,
        work: impl Fn(&mut Wire, usize) + Sync,
    ) -> Took {
        // What was needed before does not count (proc(5), clear_refs).
        std::fs::write(self.proc("clear_refs"), "5").unwrap();
        let (next, each) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    let mut wire = Wire::new(self.address);
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= count {
                            return;
                        }
                        let begun = Instant::now();
                        work(&mut wire, number);
                        let took = begun.elapsed();
                        each.lock().unwrap().push(took);
                    }
                });
            }
        });
        let all = begun.elapsed();
        let mut each = each.into_inner().unwrap();
        each.sort_unstable();
        Took { count, bytes: count * bytes, all, each, memory: self.peak() }
    }
}

impl Took {
    fn at(&self, percent: usize) -> Duration {
        self.each[(self.each.len() * percent / 100).min(self.each.len() - 1)]
    }

    fn per_second(&self) -> f64 {
        self.count as f64 / self.all.as_secs_f64()
    }

    fn row(&self, work: &str, clients: usize, name: &str) -> String {
        let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        format!(
            "| {work} | {clients} | {name} | {:.0} | {:.0} MB/s | {} | {} | {:.0} MiB |",
            self.per_second(),
            self.bytes as f64 / 1e6 / self.all.as_secs_f64(),
            milliseconds(self.at(50)),
            milliseconds(self.at(99)),
            self.memory as f64 / f64::from(1 << 20),
        )
    }
}

/// A blob that differs from all others by its first bytes.
struct Blob<'a> {
    first: [u8; 16],
    rest: &'a [u8],
    digest: Digest,
}

impl<'a> Blob<'a> {
    fn new(number: usize, rest: &'a [u8]) -> Self {
        Self::of((number as u128 + ((rest.len() as u128) << 64)).to_be_bytes(), rest)
    }

    fn of(first: [u8; 16], rest: &'a [u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&first);
        hasher.update(rest);
        Self { first, rest, digest: hasher.finish() }
    }

    fn push(&self, wire: &mut Wire) {
        let uploads = format!("/v2/{REPOSITORY}/blobs/uploads/");
        let begun = wire.ask(("POST", &uploads), &[], b"", |_| ()).unwrap();
        assert_eq!(begun.status, 202);
        let location = begun.header("location");
        // Some say where with scheme and host.
        let location = location.find("/v2/").map_or(location, |at| &location[at..]);
        let separator = if location.contains('?') { '&' } else { '?' };
        let path = format!("{location}{separator}digest={}", self.digest);
        let types = [("Content-Type", "application/octet-stream")];
        let ended = wire.send(("PUT", &path), &types, &[&self.first, self.rest], |_| ()).unwrap();
        assert_eq!(ended.status, 201);
    }

    fn pull(&self, wire: &mut Wire) {
        pull(wire, &format!("/v2/{REPOSITORY}/blobs/{}", self.digest), &self.digest);
    }
}

fn pull(wire: &mut Wire, path: &str, digest: &Digest) {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let accepts = [("Accept", media_type::MANIFEST)];
    let reply = wire.ask(("GET", path), &accepts, b"", |piece| hasher.update(piece)).unwrap();
    assert_eq!((reply.status, hasher.finish()), (200, digest.clone()));
}

/// Runs one workload on one after the other, and prints a row for each.
fn compare(registries: &[Registry], work: &str, clients: usize, run: impl Fn(&Registry) -> Took) {
    for registry in registries {
        println!("{}", run(registry).row(work, clients, &registry.name));
    }
}

fn blobs(registries: &[Registry]) {
    let mut number = 0;
    for (size, least) in BLOBS {
        let rest = vec![0x5a; size - 16];
        for clients in CLIENTS {
            let count = least.max(clients);
            let blobs: Vec<Blob> = (0..count).map(|at| Blob::new(number + at, &rest)).collect();
            number += count;
            let megabytes = size >> 20;
            compare(registries, &format!("push {megabytes} MiB"), clients, |registry| {
                registry.run(clients, count, size, |wire, at| blobs[at].push(wire))
            });
            // What one node of a cluster pulls, others pull too.
            compare(registries, &format!("pull {megabytes} MiB"), clients, |registry| {
                registry.run(clients, NODES * count, size, |wire, at| blobs[at % count].pull(wire))
            });
        }
    }
}

fn manifests(registries: &[Registry]) {
    // Some read it.
    let config = Blob::of(*b"{}              ", b"");
    let layer = Blob::new(1, b"a layer");
    for registry in registries {
        let mut wire = Wire::new(registry.address);
        config.push(&mut wire);
        layer.push(&mut wire);
    }
    let descriptor = |blob: &Blob, media_type: &str| {
        Descriptor::new(media_type.to_owned(), blob.digest.clone(), (16 + blob.rest.len()) as u64)
    };
    for clients in CLIENTS {
        let manifests: Vec<(Digest, Vec<u8>)> = (0..MANIFESTS)
            .map(|number| {
                let manifest = json!({
                    "schemaVersion": 2,
                    "mediaType": media_type::MANIFEST,
                    "config": descriptor(&config, media_type::CONFIG),
                    "layers": [descriptor(&layer, "application/vnd.oci.image.layer.v1.tar")],
                    "annotations": { "number": format!("{clients} {number}") },
                });
                let bytes = manifest.to_string().into_bytes();
                (Digest::of(&bytes), bytes)
            })
            .collect();
        let size = manifests[0].1.len();
        compare(registries, "push manifests", clients, |registry| {
            registry.run(clients, MANIFESTS, size, |wire, at| {
                let path = format!("/v2/{REPOSITORY}/manifests/c{clients}-{at}");
                let types = [("Content-Type", media_type::MANIFEST)];
                let reply = wire.ask(("PUT", &path), &types, &manifests[at].1, |_| ()).unwrap();
                assert_eq!(reply.status, 201);
            })
        });
        compare(registries, "pull manifests", clients, |registry| {
            registry.run(clients, MANIFESTS, size, |wire, at| {
                let digest = &manifests[at].0;
                pull(wire, &format!("/v2/{REPOSITORY}/manifests/{digest}"), digest);
            })
        });
    }
}

fn main() {
    // What cargo adds is not for us.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let [mode, address] = words.as_slice()
        && mode == "scale"
    {
        return scale::run(address.parse().unwrap());
    }
    let registries: Vec<Registry> =
        words.iter().filter(|word| word.contains('=')).map(|word| Registry::parse(word)).collect();
    if registries.is_empty() {
        // As one of all targets, there is nobody to measure.
        return;
    }
    println!("| work | clients | registry | per second | rate | p50 | p99 | peak memory |");
    println!("|---|---|---|---|---|---|---|---|");
    if !words.iter().any(|word| word == "manifests") {
        blobs(&registries);
    }
    manifests(&registries);
}
