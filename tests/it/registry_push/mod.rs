//! What clients push into a sandbox: over a socket, one raw request at a time.

mod blobs;
mod manifests;

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use sealift::{
    base::digest::Digest,
    oci::{Descriptor, Document, media_type},
    registry::{Access, Log},
    store::{Publication, PublishedManifest, PublishedTag, Store},
};
use serde_json::{Value, json};

use crate::support::{
    home::{home, kept},
    served::{Answer, Client, Served, author, head, request},
};

const REPOSITORY: &str = "sandbox/team/app";

/// A registry that fails the test by a fault.
struct Server(Served);

impl Server {
    fn start(home: &Path, access: Access) -> Self {
        let log = Log::of_faults(|failure| panic!("{failure}"));
        Self(Served::start(Store::open(home).unwrap(), access, log))
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Client(self.0.address).ask(method, path, headers, body)
    }

    /// The same as a stream, of which the server is not told how long it is.
    fn stream(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(self.0.address).unwrap();
        socket
            .write_all(
                head(method, path, &[headers, &[("Transfer-Encoding", "chunked")]].concat()).as_bytes(),
            )
            .unwrap();
        for piece in body.chunks(700) {
            socket.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            socket.write_all(piece).unwrap();
            socket.write_all(b"\r\n").unwrap();
        }
        socket.write_all(b"0\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        parsed(&bytes)
    }

    fn post(&self, query: &str, body: &[u8]) -> Answer {
        self.ask("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/{query}"), &[], body)
    }

    fn blob(&self, digest: &Digest) -> Answer {
        self.ask("GET", &format!("/v2/{REPOSITORY}/blobs/{digest}"), &[], b"")
    }

    fn delete(&self, what: &str) -> Answer {
        self.ask("DELETE", &format!("/v2/{REPOSITORY}/{what}"), &[], b"")
    }

    fn manifest(&self, target: &str, bytes: &[u8]) -> Answer {
        let path = format!("/v2/{REPOSITORY}/manifests/{target}");
        self.ask("PUT", &path, &[("Content-Type", media_type::MANIFEST)], bytes)
    }

    /// Pushes a blob in one request and tells its descriptor.
    fn push(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::of(media_type, bytes);
        assert_eq!(self.post(&format!("?digest={}", blob.digest), bytes).status, 201);
        blob
    }
}

/// The answer, whose head must have come.
fn parsed(bytes: &[u8]) -> Answer {
    Answer::parse(bytes).expect("a response head")
}

fn sandbox(home: &tempfile::TempDir) -> Server {
    Server::start(home.path(), Access::sandbox())
}

fn image(config: &Descriptor, layers: &[&Descriptor]) -> Vec<u8> {
    let image =
        json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers });
    serde_json::to_vec(&image).unwrap()
}

/// Every content, and every file that is staged, with what it holds.
fn files(home: &tempfile::TempDir) -> BTreeMap<String, Vec<u8>> {
    let mut files = kept(home.path()).all();
    for path in std::fs::read_dir(home.path().join("staging")).unwrap().map(|entry| entry.unwrap().path()) {
        files.insert(path.display().to_string(), std::fs::read(path).unwrap());
    }
    files
}

/// Publishes an image as an import does.
fn import(home: &tempfile::TempDir, repository: &str) -> Descriptor {
    let store = Store::open(home.path()).unwrap();
    let config = Descriptor::of(media_type::CONFIG, b"{\"imported\":true}");
    store.put(&config, b"{\"imported\":true}").unwrap();
    let bytes = image(&config, &[]);
    let root = Descriptor::of(media_type::MANIFEST, &bytes);
    store.put(&root, &bytes).unwrap();
    let document = Document::parse(&bytes, media_type::MANIFEST).unwrap();
    let manifest = PublishedManifest::new(repository, root.clone(), &document, vec![config], vec![]);
    let tag = PublishedTag { repository: repository.into(), tag: "1".into(), digest: root.digest.clone() };
    store.publish(&Publication { manifests: vec![manifest], tags: vec![tag] }, &author()).unwrap();
    root
}

/// R13: where nothing is opened, nothing is written, by no way; and what was pushed is not served either.
#[test]
fn without_a_sandbox_nothing_is_written_or_seen() {
    let home = home();
    let imported = import(&home, "docker.io/library/nginx");
    let (config, bytes) = {
        let server = sandbox(&home);
        let config = server.push(media_type::CONFIG, b"{}");
        let bytes = image(&config, &[]);
        assert_eq!(server.manifest("1", &bytes).status, 201);
        (config, bytes)
    };
    let before = files(&home);
    let server = Server::start(home.path(), Access::default());
    for repository in [REPOSITORY, "docker.io/library/nginx"] {
        for (method, path, allow) in [
            ("POST", "blobs/uploads/".to_owned(), ""),
            ("POST", format!("blobs/uploads/?digest={}", config.digest), ""),
            ("PATCH", format!("blobs/uploads/{}", "0".repeat(32)), ""),
            ("PUT", "manifests/1".to_owned(), "GET, HEAD"),
            ("DELETE", "manifests/1".to_owned(), "GET, HEAD"),
            ("DELETE", format!("manifests/{}", imported.digest), "GET, HEAD"),
            ("DELETE", format!("blobs/{}", config.digest), "GET, HEAD"),
        ] {
            let answer = server.ask(method, &format!("/v2/{repository}/{path}"), &[], b"{}");
            assert_eq!((answer.status, answer.code().as_str()), (405, "UNSUPPORTED"), "{method} {path}");
            // Of what is not shown, not even that it could be read.
            let shown = if repository == REPOSITORY { "" } else { allow };
            assert_eq!(answer.header("allow"), shown, "{method} {repository}/{path}");
        }
    }
    for path in ["manifests/1", "tags/list", &format!("blobs/{}", config.digest)] {
        let answer = server.ask("GET", &format!("/v2/{REPOSITORY}/{path}"), &[], b"");
        assert_eq!((answer.status, answer.code().as_str()), (404, "NAME_UNKNOWN"), "{path}");
    }
    // As of any repository that is not there.
    let path = format!("/v2/{REPOSITORY}/referrers/{}", config.digest);
    let answer = server.ask("GET", &path, &[], b"");
    let index: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &index["manifests"]), (200, &json!([])));
    let catalog: Value = serde_json::from_slice(&server.ask("GET", "/v2/_catalog", &[], b"").body).unwrap();
    assert_eq!(catalog["repositories"], json!(["docker.io/library/nginx"]));
    let pulled = server.ask("GET", "/v2/docker.io/library/nginx/manifests/1", &[], b"");
    assert_eq!(Digest::of(&pulled.body), imported.digest);
    drop(server);
    assert!(files(&home) == before, "files of the home have changed");
    let server = sandbox(&home);
    assert_eq!(server.ask("GET", &format!("/v2/{REPOSITORY}/manifests/1"), &[], b"").body, bytes);
    assert_eq!(server.blob(&config.digest).body, b"{}");
}

/// What was imported stays as it is, whoever asks.
#[test]
fn a_sandbox_ends_at_its_name() {
    let home = home();
    let server = sandbox(&home);
    let config = Digest::of(b"{}");
    for name in ["docker.io/library/nginx", "sandboxed/x", "a/sandbox/x", "sandbox"] {
        for (method, path) in [
            ("POST", "blobs/uploads/".to_owned()),
            ("PUT", "manifests/1".to_owned()),
            ("DELETE", "manifests/1".to_owned()),
            ("DELETE", format!("blobs/{config}")),
        ] {
            let answer = server.ask(method, &format!("/v2/{name}/{path}"), &[], b"");
            assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"), "{method} {name}/{path}");
        }
    }
    let answer = server.ask("POST", "/v2/docker.io/library/nginx/blobs/uploads/", &[], b"");
    let detail: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(detail["errors"][0]["detail"]["action"], "push");
}

/// Several servers of one home, over either database: what one acknowledges, the others have, and what they rely on
/// outlives any of them.
#[test]
fn what_one_server_takes_the_others_give() {
    let home = home();
    let [first, second, third] = [(); 3].map(|()| sandbox(&home));
    let config = first.push(media_type::CONFIG, b"{}");
    let layer = second.push(media_type::LAYER_GZIP, b"layer");
    let bytes = image(&config, &[&layer]);
    assert_eq!(third.manifest("1", &bytes).status, 201);
    drop(third);
    for server in [&first, &second] {
        let path = format!("/v2/{REPOSITORY}/manifests/1");
        assert_eq!(server.ask("GET", &path, &[], b"").body, bytes);
        assert_eq!(server.blob(&layer.digest).body, b"layer");
    }
    drop(first);
    assert_eq!(second.delete("manifests/1").status, 202);
    let late = sandbox(&home);
    assert_eq!(late.ask("GET", &format!("/v2/{REPOSITORY}/manifests/1"), &[], b"").status, 404);
    assert_eq!(late.blob(&config.digest).body, b"{}");
}
