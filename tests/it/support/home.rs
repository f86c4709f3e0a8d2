//! Homes for tests: the same tests, over other databases and other places for contents.
//!
//! Rows are in SQLite, or in PostgreSQL where `SEALIFT_TEST_POSTGRES` names a server, as `postgres://USER@HOST:PORT`. Contents are
//! in the folder of the home, or, where `SEALIFT_TEST_S3` names a server too, as `http://HOST:PORT`, in its bucket `contents`.

use std::{
    collections::BTreeMap,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use sealift::base::digest::Digest;

use super::served::{Answer, Client};

/// A folder for a home that nobody has used, its rows in a new database, its contents below a prefix of its own.
pub(crate) fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    if let Some(place) = place() {
        share(home.path(), &place);
    }
    home
}

/// What so many machines have of one home: a folder each where rows and contents are elsewhere, else the same one.
pub(crate) fn machines(count: usize) -> Vec<(std::sync::Arc<tempfile::TempDir>, PathBuf)> {
    let first = std::sync::Arc::new(home());
    let text = std::fs::read_to_string(first.path().join("store.toml")).unwrap_or_default();
    let mut all = vec![(first.clone(), first.path().to_owned())];
    while all.len() < count {
        let next = if text.contains("[contents]") { home_as(&text) } else { first.clone() };
        let path = next.path().to_owned();
        all.push((next, path));
    }
    all
}

fn home_as(settings: &str) -> std::sync::Arc<tempfile::TempDir> {
    let home = tempfile::tempdir().unwrap();
    share(home.path(), settings);
    std::sync::Arc::new(home)
}

/// The home keeps its rows and contents as these settings say.
pub(crate) fn share(home: &Path, settings: &str) {
    std::fs::write(home.join("store.toml"), settings).unwrap();
    let mut credentials = std::fs::OpenOptions::new();
    let file = credentials.write(true).create(true).truncate(true).mode(0o600).open(home.join("credentials"));
    std::io::Write::write_all(&mut file.unwrap(), b"test\nsecret\n").unwrap();
}

/// Settings with a new database, and a new prefix.
fn place() -> Option<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("SEALIFT_TEST_POSTGRES").ok()?;
    let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut client = postgres::Client::connect(&format!("{server}/postgres"), postgres::NoTls).unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    let mut settings = format!("schema = 1\n[database]\nurl = \"{server}/{name}\"\n");
    if let Ok(server) = std::env::var("SEALIFT_TEST_S3") {
        let bucket =
            format!("[contents]\nendpoint = \"{server}\"\nbucket = \"contents\"\nprefix = \"{name}\"\n");
        settings = settings + &bucket + "credentials_file = \"credentials\"\nplain_http = true\n";
    }
    Some(settings)
}

/// Runs a statement in the database of a home, behind the back of the program.
pub(crate) fn meddle(home: &Path, sql: &str) {
    match std::fs::read_to_string(home.join("store.toml")) {
        Ok(text) => {
            let url = text.split('"').nth(1).unwrap();
            postgres::Client::connect(url, postgres::NoTls).unwrap().batch_execute(sql).unwrap();
        }
        Err(_none) => {
            rusqlite::Connection::open(home.join("sealift.db")).unwrap().execute_batch(sql).unwrap();
        }
    }
}

/// The server of the tests wants to see who it is, and does not look closely.
const SIGNED: (&str, &str) = (
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
);

/// Where the contents of a home lie, behind the back of the program.
pub(crate) enum Kept {
    Folder(PathBuf),
    Bucket { server: Client, prefix: String },
}

/// Where those of this one do.
pub(crate) fn kept(home: &Path) -> Kept {
    let text = std::fs::read_to_string(home.join("store.toml")).unwrap_or_default();
    let said = |key: &str| Some(text.split_once(&format!("\n{key} = \""))?.1.split('"').next()?.to_owned());
    match said("prefix").zip(said("endpoint")) {
        Some((prefix, endpoint)) => {
            let server = Client(endpoint.strip_prefix("http://").unwrap().parse().unwrap());
            Kept::Bucket { server, prefix }
        }
        None => Kept::Folder(home.to_owned()),
    }
}

impl Kept {
    fn name(digest: &Digest) -> String {
        let hex = digest.hex();
        format!("blobs/{}/{}/{hex}", digest.algorithm().name(), &hex[..2])
    }

    fn ask(&self, method: &str, name: &str, body: &[u8]) -> Answer {
        let Kept::Bucket { server, prefix } = self else { panic!("it is a folder") };
        server.ask(method, &format!("/contents/{prefix}/{name}"), &[SIGNED], body)
    }

    /// Puts these bytes where a content lies.
    pub(crate) fn rot(&self, digest: &Digest, bytes: &[u8]) {
        match self {
            Kept::Folder(home) => std::fs::write(home.join(Self::name(digest)), bytes).unwrap(),
            Kept::Bucket { .. } => assert_eq!(self.ask("PUT", &Self::name(digest), bytes).status, 200),
        }
    }

    /// Takes one away.
    pub(crate) fn lose(&self, digest: &Digest) {
        match self {
            Kept::Folder(home) => std::fs::remove_file(home.join(Self::name(digest))).unwrap(),
            Kept::Bucket { .. } => assert_eq!(self.ask("DELETE", &Self::name(digest), b"").status, 204),
        }
    }

    /// Every content, with its bytes.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        match self {
            Kept::Folder(home) => {
                let mut folders = vec![home.join("blobs")];
                while let Some(folder) = folders.pop() {
                    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                        if path.is_dir() {
                            folders.push(path);
                        } else {
                            let name = path.strip_prefix(home).unwrap().display().to_string();
                            all.insert(name, std::fs::read(path).unwrap());
                        }
                    }
                }
            }
            Kept::Bucket { server, prefix } => {
                let path = format!("/contents?list-type=2&prefix={prefix}/blobs/");
                let listed = String::from_utf8(server.ask("GET", &path, &[SIGNED], b"").body).unwrap();
                assert!(!listed.contains("<IsTruncated>true"), "more than a page");
                for key in listed.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap()) {
                    let name = key.strip_prefix(&format!("{prefix}/")).unwrap().to_owned();
                    let bytes = self.ask("GET", &name, b"").body;
                    all.insert(name, bytes);
                }
            }
        }
        all
    }

    /// Does `work` while another place, with nothing in it or not there at all, stands where the contents were.
    pub(crate) fn elsewhere(&self, mut work: impl FnMut()) {
        match self {
            Kept::Folder(home) => {
                let (mounted, away) = (home.join("blobs"), home.join("away"));
                std::fs::rename(&mounted, &away).unwrap();
                work();
                std::fs::create_dir(&mounted).unwrap();
                work();
                std::fs::remove_dir(&mounted).unwrap();
                std::fs::rename(&away, &mounted).unwrap();
            }
            Kept::Bucket { .. } => {
                let all = self.all();
                let mark = self.ask("GET", "sealift-home", b"").body;
                let names: Vec<&str> = all.keys().map(String::as_str).chain(["sealift-home"]).collect();
                for name in names {
                    assert_eq!(self.ask("DELETE", name, b"").status, 204);
                }
                work();
                // That of another home.
                let other = [b"contents of a sealift home: ", &[b'0'; 32][..]].concat();
                assert_eq!(self.ask("PUT", "sealift-home", &other).status, 200);
                work();
                for (name, bytes) in all {
                    assert_eq!(self.ask("PUT", &name, &bytes).status, 200);
                }
                assert_eq!(self.ask("PUT", "sealift-home", &mark).status, 200);
            }
        }
    }
}
