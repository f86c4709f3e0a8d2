//! A registry under load and under fire: clients push, pull, mount, delete and give up, collections run every second, and
//! the server is killed without a word, again and again. Each client knows what it was told, and believes nothing else.
//!
//! It runs for some seconds with all other tests. For longer, with the program to be tried:
//!
//! ```text
//! SEALIFT_SOAK_SECONDS=600 SEALIFT_SOAK_PROGRAM=target/release/sealift cargo test --test it -- soak --nocapture
//! ```

mod client;
mod server;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use self::{client::Client, server::Server};
use crate::support::{home::home, sandbox::Sandbox};

/// How many at a time.
const CLIENTS: u64 = 64;
/// Seconds that a repository keeps a blob which no manifest lists.
const LEASE: u64 = 10;

/// What happened, over all clients.
#[derive(Debug, Default)]
struct Tally {
    pushes: AtomicU64,
    pulls: AtomicU64,
    deletes: AtomicU64,
    mounts: AtomicU64,
    resumed: AtomicU64,
    /// Pushes whose blobs were collected, for the lease was over before the manifest came.
    late: AtomicU64,
    /// Answers that never came.
    cut: AtomicU64,
    /// Answers that said: later.
    later: AtomicU64,
    bytes: AtomicU64,
}

fn seconds() -> u64 {
    std::env::var("SEALIFT_SOAK_SECONDS").map_or(12, |seconds| seconds.parse().unwrap())
}

#[test]
fn nothing_is_lost_whatever_happens() {
    let program = std::env::var_os("SEALIFT_SOAK_PROGRAM").map_or_else(
        || env!("CARGO_BIN_EXE_sealift").into(),
        |path| PathBuf::from(path).canonicalize().unwrap(),
    );
    let (sandbox, home, seconds) = (Sandbox::new(), home(), seconds());
    let config = format!("plain_http = true\n[collection]\nevery_seconds = 1\nlease_seconds = {LEASE}\n");
    let server = Server::start(&program, home.path(), &sandbox.write("serve.toml", config));
    let (tally, over) = (Tally::default(), AtomicBool::new(false));
    let begun = Instant::now();
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| Client::new(number, server.address(), &tally, begun)).collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    client.step();
                }
            });
        }
        // Every 30 to 90 seconds, and at least twice.
        let mut chance = client::Chance::new(7);
        let pause = |chance: &mut client::Chance| match seconds {
            240.. => Duration::from_secs(30 + chance.below(61)),
            _ => Duration::from_millis(seconds * (200 + chance.below(200))),
        };
        let mut next = Instant::now() + pause(&mut chance);
        while begun.elapsed() < Duration::from_secs(seconds) {
            server.watch();
            if Instant::now() >= next {
                server.kill_and_restart();
                next = Instant::now() + pause(&mut chance);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        over.store(true, Relaxed);
    });
    // What was left open is settled, and then everything is taken away again.
    for client in &mut clients {
        client.check_all();
        client.delete_all();
    }
    let freed_in = server.wait_until_empty(Duration::from_secs(LEASE + 60));
    let figures = server.figures();
    #[expect(clippy::print_stdout, reason = "figures for who runs it by hand, and for the docs")]
    let () = println!("{tally:?}\n{figures:?}\nfreed in {:.1} s", freed_in.as_secs_f64());
    assert!(figures.kills >= 2, "{figures:?}");
    for (count, what) in [
        (&tally.pushes, "pushes"),
        (&tally.pulls, "pulls"),
        (&tally.deletes, "deletes"),
        (&tally.mounts, "mounts"),
    ] {
        assert!(count.load(Relaxed) > 0, "no {what}");
    }
    figures.memory_is_flat();
    drop(server);
    let mut check = std::process::Command::new(&program);
    check.args(["store", "check", "--read-data", "--home"]).arg(home.path());
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
