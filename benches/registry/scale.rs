//! Many repositories: what a list costs when there are a hundred, and when there are ten thousand.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use sealift::{
    base::digest::Digest,
    oci::{Descriptor, media_type},
};
use serde_json::json;

use crate::wire::Wire;

const FEW: usize = 100;
const MANY: usize = 10_000;
/// Blobs of each; with its manifest ten contents.
const BLOBS: usize = 9;
const CLIENTS: usize = 64;

fn repository(number: usize) -> String {
    format!("sandbox/scale/r{number:05}")
}

/// Fills the registry, and prints rows for its lists.
pub(crate) fn run(address: SocketAddr) {
    println!("| repositories | contents | list | p50 | p99 |");
    println!("|---|---|---|---|---|");
    for (from, to) in [(0, FEW), (FEW, MANY)] {
        fill(address, from, to);
        let catalog = |number| format!("/v2/_catalog?n=100&last={}", repository(number));
        row(address, to, "catalog, 100 a page", catalog);
        row(address, to, "tags of one", |number| format!("/v2/{}/tags/list", repository(number)));
    }
}

fn row(address: SocketAddr, count: usize, what: &str, path: impl Fn(usize) -> String) {
    let mut wire = Wire::new(address);
    let mut each: Vec<Duration> = (0..500)
        .map(|at| {
            let begun = Instant::now();
            // In no order in which one would follow from the other.
            let reply = wire.ask(("GET", &path(at * 7919 % count)), &[], b"", |_| ()).unwrap();
            assert_eq!(reply.status, 200);
            begun.elapsed()
        })
        .collect();
    each.sort_unstable();
    let at = |percent: usize| each[each.len() * percent / 100].as_secs_f64() * 1e3;
    println!("| {count} | {} | {what} | {:.2} ms | {:.2} ms |", count * (BLOBS + 1), at(50), at(99));
}

fn fill(address: SocketAddr, from: usize, to: usize) {
    let next = AtomicUsize::new(from);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut wire = Wire::new(address);
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= to {
                        return;
                    }
                    push(&mut wire, &repository(number), number);
                }
            });
        }
    });
}

fn push(wire: &mut Wire, repository: &str, number: usize) {
    let blobs: Vec<Descriptor> = (0..BLOBS)
        .map(|at| {
            let bytes = format!("blob {at} of {number}").into_bytes();
            let blob = Descriptor::of(media_type::OCTETS, &bytes);
            let path = format!("/v2/{repository}/blobs/uploads/?digest={}", blob.digest);
            assert_eq!(wire.ask(("POST", &path), &[], &bytes, |_| ()).unwrap().status, 201);
            blob
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": blobs[0],
        "layers": blobs[1..],
    });
    let manifest = manifest.to_string().into_bytes();
    let path = format!("/v2/{repository}/manifests/v1");
    let reply =
        wire.ask(("PUT", &path), &[("Content-Type", media_type::MANIFEST)], &manifest, |_| ()).unwrap();
    assert_eq!(
        (reply.status, reply.header("docker-content-digest")),
        (201, Digest::of(&manifest).to_string().as_str())
    );
}
