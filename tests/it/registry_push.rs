//! What clients push into a sandbox: over a socket, one raw request at a time.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
};

use sealift::{
    base::digest::{Algorithm, Digest, Hasher},
    oci::{Descriptor, media_type},
    registry::{Access, FaultLog, serve},
    store::Store,
};
use serde_json::{Value, json};

const REPOSITORY: &str = "sandbox/team/app";

/// A registry that ends with the test.
struct Server {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(home: &Path, access: Access) -> Self {
        let store = Store::open(home).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let log = FaultLog::new(|failure| panic!("{failure}"));
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let tell = move |address| ready.send(address).unwrap();
            let shutdown = async { stopped.await.unwrap_or_default() };
            runtime.unwrap().block_on(serve(store, listen, access, log, tell, shutdown)).unwrap();
        });
        Self { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.write_all(&request(method, path, headers, body.len(), body)).unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
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

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], length: usize, body: &[u8]) -> Vec<u8> {
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head.push_str(&[name, ": ", value, "\r\n"].concat());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a response head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn code(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        json["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn sandbox(home: &tempfile::TempDir) -> Server {
    Server::start(home.path(), Access { sandbox: true })
}

fn image(config: &Descriptor, layers: &[&Descriptor]) -> Vec<u8> {
    let image =
        json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers });
    serde_json::to_vec(&image).unwrap()
}

/// R13: where nothing is opened, nothing is written, by no way; and what was pushed is not served either.
#[test]
fn without_a_sandbox_nothing_is_written_or_seen() {
    let home = home();
    let digest = {
        let server = sandbox(&home);
        let config = server.push(media_type::CONFIG, b"{}");
        assert_eq!(server.manifest("1", &image(&config, &[])).status, 201);
        config.digest
    };
    let server = Server::start(home.path(), Access::default());
    for (method, path) in [
        ("POST", format!("{REPOSITORY}/blobs/uploads/")),
        ("PATCH", format!("{REPOSITORY}/blobs/uploads/{}", "0".repeat(32))),
        ("PUT", format!("{REPOSITORY}/manifests/1")),
        ("DELETE", format!("{REPOSITORY}/manifests/1")),
        ("DELETE", format!("{REPOSITORY}/blobs/{digest}")),
    ] {
        let answer = server.ask(method, &format!("/v2/{path}"), &[], b"");
        assert_eq!((answer.status, answer.code().as_str()), (405, "UNSUPPORTED"), "{method} {path}");
    }
    for path in ["manifests/1", "tags/list", &format!("blobs/{digest}")] {
        assert_eq!(
            server.ask("GET", &format!("/v2/{REPOSITORY}/{path}"), &[], b"").code(),
            "NAME_UNKNOWN",
            "{path}"
        );
    }
    let catalog = server.ask("GET", "/v2/_catalog", &[], b"").body;
    assert!(!String::from_utf8(catalog).unwrap().contains("sandbox"));
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

#[test]
fn a_blob_comes_in_every_way_of_the_specification() {
    let home = home();
    let server = sandbox(&home);
    let text = b"0123456789".repeat(300);
    let digest = Digest::of(&text);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&text);
    let long = hasher.finish();
    let (first, last) = text.split_at(1000);
    for digest in [&digest, &long] {
        let put = |location: &str, headers: &[(&str, &str)], body: &[u8]| {
            server.ask("PUT", &format!("{location}?digest={digest}"), headers, body)
        };
        let begin = || server.post("", b"").header("location").to_owned();
        let whole = |answer: Answer| {
            assert_eq!(answer.status, 201);
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
            assert_eq!(server.ask("GET", answer.header("location"), &[], b"").body, text);
            assert_eq!(server.delete(&format!("blobs/{digest}")).status, 202);
            assert_eq!(server.blob(digest).status, 404);
        };
        whole(server.post(&format!("?digest={digest}"), &text));
        whole(put(&begin(), &[], &text));
        let location = begin();
        assert_eq!(server.ask("PATCH", &location, &[], &text).header("range"), "0-2999");
        whole(put(&location, &[], b""));
        let location = begin();
        assert_eq!(server.ask("PATCH", &location, &[("Content-Range", "0-999")], first).status, 202);
        // Out of order, twice, of another length: the push stays where it is and says so.
        for range in ["1001-3000", "0-999", "1000-2998", "bytes 1000-2999"] {
            let answer = server.ask("PATCH", &location, &[("Content-Range", range)], last);
            assert!(answer.status == 416 || answer.status == 400, "{range}: {}", answer.status);
            assert_eq!(answer.header("range"), "0-999", "{range}");
        }
        let answer = server.ask("GET", &location, &[], b"");
        assert_eq!((answer.status, answer.header("range")), (204, "0-999"));
        whole(put(&location, &[("Content-Range", "1000-2999")], last));
    }
    let location = server.post("", b"").header("location").to_owned();
    assert_eq!(server.ask("DELETE", &location, &[], b"").status, 204);
    assert_eq!(server.ask("GET", &location, &[], b"").code(), "BLOB_UPLOAD_UNKNOWN");
}

/// R09: a push goes on after a restart, from what was acknowledged, and a request that broke never came.
#[test]
fn a_push_survives_a_restart_and_a_broken_request() {
    let home = home();
    let location = {
        let server = sandbox(&home);
        let location = server.post("", b"").header("location").to_owned();
        assert_eq!(server.ask("PATCH", &location, &[], b"hel").status, 202);
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.write_all(&request("PATCH", &location, &[], 100, b"l?????")).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _cut_or_told = socket.read_to_end(&mut answer);
        assert_eq!(server.ask("GET", &location, &[], b"").header("range"), "0-2");
        location
    };
    let server = sandbox(&home);
    // R10: an id is worth nothing elsewhere.
    let elsewhere = location.replace("team/app", "team/other");
    assert_eq!(server.ask("PATCH", &elsewhere, &[], b"lo").code(), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.ask("PATCH", &location, &[], b"lo").header("range"), "0-4");
    let digest = Digest::of(b"hello");
    assert_eq!(server.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").status, 201);
    assert_eq!(server.blob(&digest).body, b"hello");
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let home = home();
    let server = sandbox(&home);
    let digest = Digest::of(b"hello");
    assert_eq!(server.post(&format!("?digest={digest}"), b"hellO").code(), "DIGEST_INVALID");
    let location = server.post("", b"").header("location").to_owned();
    let put = |query: &str, body: &[u8]| server.ask("PUT", &format!("{location}{query}"), &[], body);
    assert_eq!(put("", b"").code(), "DIGEST_INVALID");
    assert_eq!(put("?digest=md5:x", b"").code(), "DIGEST_INVALID");
    assert_eq!(put(&format!("?digest={digest}"), b"hellO").code(), "DIGEST_INVALID");
    assert_eq!(server.blob(&digest).status, 404);
    let staging = std::fs::read_dir(home.path().join("staging")).unwrap();
    assert_eq!(staging.count(), 0);
}

/// R11: what another repository has is given only where it may be pulled, and never what is nowhere.
#[test]
fn blobs_are_mounted_from_where_they_are() {
    let home = home();
    let server = sandbox(&home);
    let blob = server.push(media_type::OCTETS, b"hello");
    let mount = |query: &str| {
        server.ask("POST", &format!("/v2/sandbox/other/blobs/uploads/?{query}"), &[], b"").status
    };
    let nowhere = Digest::of(b"nowhere");
    assert_eq!(mount(&format!("mount={nowhere}&from={REPOSITORY}")), 202);
    assert_eq!(mount(&format!("mount={nowhere}")), 202);
    assert_eq!(mount(&format!("mount={}&from=sandbox/none", blob.digest)), 202);
    let path = format!("/v2/sandbox/other/blobs/{}", blob.digest);
    assert_eq!(server.ask("GET", &path, &[], b"").status, 404);
    assert_eq!(mount(&format!("mount={}&from={REPOSITORY}", blob.digest)), 201);
    assert_eq!(server.ask("GET", &path, &[], b"").body, b"hello");
    assert_eq!(server.delete(&format!("blobs/{}", blob.digest)).status, 202);
    assert_eq!(server.ask("GET", &path, &[], b"").body, b"hello", "B2 (d)");
    // Anonymously, from wherever it is.
    assert_eq!(server.post(&format!("?mount={}", blob.digest), b"").status, 201);
}

#[test]
fn manifests_are_kept_as_they_come_and_hold_what_they_list() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::CONFIG, b"{}");
    let layer = server.push(media_type::LAYER_GZIP, b"layer");
    let bytes = image(&config, &[&layer]);
    let digest = Digest::of(&bytes);
    let answer = server.manifest("1", &bytes);
    assert_eq!((answer.status, answer.header("docker-content-digest")), (201, digest.to_string().as_str()));
    let got = server.ask("GET", answer.header("location"), &[], b"");
    assert_eq!((got.body, got.headers["content-type"].as_str()), (bytes.clone(), media_type::MANIFEST));
    assert_eq!(server.manifest(&format!("{digest}?tag=2&tag=3"), &bytes).header("oci-tag"), "2, 3");
    for (target, body, code) in [
        (Digest::of(b"x").to_string(), bytes.as_slice(), "DIGEST_INVALID"),
        ("1".to_owned(), b"{", "MANIFEST_INVALID"),
        ("1".to_owned(), b"{\"schemaVersion\":1}", "MANIFEST_INVALID"),
        (format!("{digest}?tag=.x"), bytes.as_slice(), "MANIFEST_INVALID"),
    ] {
        assert_eq!(server.manifest(&target, body).code(), code, "{target}");
    }
    let large = vec![b' '; (4 << 20) + 1];
    assert_eq!(server.manifest("1", &large).status, 413);
    // In use: by the manifest, by an index.
    let answer = server.delete(&format!("blobs/{}", layer.digest));
    assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"));
    let listed = Descriptor::of(media_type::MANIFEST, &bytes);
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [listed] });
    let index = serde_json::to_vec(&index).unwrap();
    let path = format!("/v2/{REPOSITORY}/manifests/all");
    assert_eq!(server.ask("PUT", &path, &[("Content-Type", media_type::INDEX)], &index).status, 201);
    assert_eq!(server.delete(&format!("manifests/{digest}")).status, 403);
    // A tag goes alone; a manifest goes with its tags.
    assert_eq!(server.delete("manifests/2").status, 202);
    assert_eq!(server.delete("manifests/2").code(), "MANIFEST_UNKNOWN");
    assert_eq!(server.delete(&format!("manifests/{}", Digest::of(&index))).status, 202);
    assert_eq!(server.delete(&format!("manifests/{digest}")).status, 202);
    let tags = server.ask("GET", &format!("/v2/{REPOSITORY}/tags/list"), &[], b"");
    assert_eq!(tags.status, 404, "nothing is left of the repository");
    assert_eq!(server.delete(&format!("blobs/{}", layer.digest)).status, 202);
    // B2 (f): the same digest again.
    server.push(media_type::LAYER_GZIP, b"layer");
    assert_eq!(server.manifest("1", &bytes).status, 201);
}

#[test]
fn a_referrer_is_listed_also_before_its_subject_is_there() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::EMPTY, b"{}");
    let subject = Descriptor::of(media_type::MANIFEST, b"not here yet");
    let referrer = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": "application/sbom",
        "config": config, "layers": [], "subject": subject, "annotations": { "a": "b" },
    });
    let bytes = serde_json::to_vec(&referrer).unwrap();
    let answer = server.manifest(&Digest::of(&bytes).to_string(), &bytes);
    assert_eq!(answer.header("oci-subject"), subject.digest.to_string());
    let list = |what: &str| -> Value {
        let path = format!("/v2/{REPOSITORY}/referrers/{}{what}", subject.digest);
        serde_json::from_slice(&server.ask("GET", &path, &[], b"").body).unwrap()
    };
    assert_eq!(list("")["manifests"][0]["annotations"]["a"], "b");
    assert_eq!(list("?artifactType=application/other")["manifests"], json!([]));
    assert_eq!(server.delete(&format!("manifests/{}", Digest::of(&bytes))).status, 202);
    assert_eq!(list("")["manifests"], json!([]));
}

/// R25: whoever wins, tag and manifest are one client's.
#[test]
fn many_writers_of_one_tag_do_not_mix() {
    let home = home();
    let server = sandbox(&home);
    let configs: Vec<Descriptor> =
        (0..16).map(|n| server.push(media_type::CONFIG, format!("{{\"n\":{n}}}").as_bytes())).collect();
    std::thread::scope(|scope| {
        for config in &configs {
            let server = &server;
            scope.spawn(move || assert_eq!(server.manifest("latest", &image(config, &[])).status, 201));
        }
    });
    let got = server.ask("GET", &format!("/v2/{REPOSITORY}/manifests/latest"), &[], b"");
    assert_eq!(got.header("docker-content-digest"), Digest::of(&got.body).to_string());
    assert!(configs.iter().any(|config| image(config, &[]) == got.body));
}
