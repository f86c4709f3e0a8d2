//! The program that is tried: started, watched, killed and started again, over the same home.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::support::served;

/// Mebibytes above which memory is no longer what a registry with 64 clients may need.
const MOST: u64 = 512;

/// One server after the other, at the same address.
pub(super) struct Server {
    program: PathBuf,
    home: PathBuf,
    config: PathBuf,
    address: SocketAddr,
    now: Mutex<Running>,
}

struct Running {
    process: Child,
    figures: Figures,
}

/// What was seen of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Figures {
    pub(super) kills: u64,
    /// Milliseconds from a start to the first answer, the longest.
    starts_within: u128,
    /// The most memory of each, in KiB.
    memory: Vec<u64>,
}

impl Server {
    pub(super) fn start(program: &Path, home: &Path, config: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let process = begin(program, home, config, address);
        let now = Mutex::new(Running { process, figures: Figures::default() });
        let server = Self { program: program.into(), home: home.into(), config: config.into(), address, now };
        server.wait();
        server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn figures(&self) -> Figures {
        self.now.lock().unwrap().figures.clone()
    }

    /// SIGKILL, and the next one.
    pub(super) fn kill_and_restart(&self) {
        let mut now = self.now.lock().unwrap();
        now.process.kill().unwrap();
        now.process.wait().unwrap();
        now.process = begin(&self.program, &self.home, &self.config, self.address);
        now.figures.kills += 1;
        drop(now);
        self.wait();
    }

    /// Looks at its memory.
    pub(super) fn watch(&self) {
        let mut now = self.now.lock().unwrap();
        assert!(now.process.try_wait().unwrap().is_none(), "the server ended by itself");
        let status = std::fs::read_to_string(format!("/proc/{}/status", now.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let found: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let lives = usize::try_from(now.figures.kills).unwrap();
        now.figures.memory.resize(lives + 1, 0);
        now.figures.memory[lives] = now.figures.memory[lives].max(found);
    }

    /// Waits until nothing lies in the home any more that is content; how long that took.
    pub(super) fn wait_until_empty(&self, most: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let left = contents(&self.home.join("blobs"));
            if left.is_empty() {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < most, "{} contents stay, among them {:?}", left.len(), left.first());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err()
            || served::Client(self.address).ask("GET", "/readyz", &[], b"").status != 200
        {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut now = self.now.lock().unwrap();
        now.figures.starts_within = now.figures.starts_within.max(begun.elapsed().as_millis());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone_already = now.process.kill();
        let _reaped = now.process.wait();
    }
}

impl Figures {
    /// What the later ones needed is what the earlier ones did: nothing that is kept in the home makes it grow.
    pub(super) fn memory_is_flat(&self) {
        let (early, late) = self.memory.split_at(self.memory.len() / 2);
        let most = |of: &[u64]| of.iter().max().copied().unwrap_or_default();
        assert!(most(late) < most(early) + most(early) / 10 + (16 << 10), "{self:?}");
        assert!(most(&self.memory) < MOST << 10, "{self:?}");
    }
}

fn begin(program: &Path, home: &Path, config: &Path, address: SocketAddr) -> Child {
    let mut command = Command::new(program);
    command.args(["serve", "--sandbox", "--listen", &address.to_string(), "--config"]).arg(config);
    command.arg("--home").arg(home).env("HOME", home.parent().unwrap()).stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn contents(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { contents(&path) } else { vec![path] })
        .filter(|path| path.file_name().is_some_and(|name| name.len() >= 64))
        .collect()
}
