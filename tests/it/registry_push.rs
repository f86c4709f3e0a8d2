//! What clients push into a sandbox: over a socket, one raw request at a time.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use sealift::{
    base::{
        digest::{Algorithm, Digest, Hasher},
        limits,
    },
    oci::{Descriptor, Document, media_type},
    registry::{Access, FaultLog, serve},
    store::{Publication, PublishedManifest, PublishedTag, Store},
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

    /// The same as a stream, of which the server is not told how long it is.
    fn stream(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.write_all(head(method, path, headers, "Transfer-Encoding: chunked").as_bytes()).unwrap();
        for piece in body.chunks(700) {
            socket.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            socket.write_all(piece).unwrap();
            socket.write_all(b"\r\n").unwrap();
        }
        socket.write_all(b"0\r\n\r\n").unwrap();
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

fn head(method: &str, path: &str, headers: &[(&str, &str)], length: &str) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}\r\n");
    for (name, value) in headers {
        head.push_str(&[name, ": ", value, "\r\n"].concat());
    }
    head + "\r\n"
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], length: usize, body: &[u8]) -> Vec<u8> {
    [head(method, path, headers, &format!("Content-Length: {length}")).as_bytes(), body].concat()
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
    Server::start(home.path(), Access::Sandbox)
}

fn image(config: &Descriptor, layers: &[&Descriptor]) -> Vec<u8> {
    let image =
        json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers });
    serde_json::to_vec(&image).unwrap()
}

/// Every file below the folders that content lies in, with what it holds.
fn files(home: &tempfile::TempDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![home.path().join("blobs"), home.path().join("staging")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
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
    store.publish(&Publication { manifests: vec![manifest], tags: vec![tag] }).unwrap();
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
    let server = Server::start(home.path(), Access::ReadOnly);
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
        // Out of order, twice, of another length, of another form: the push stays where it is and says so.
        for (range, status) in
            [("1001-3000", 416), ("0-999", 416), ("1000-2998", 400), ("bytes 1000-2999", 400), ("1000", 400)]
        {
            let streamed = server.stream("PATCH", &location, &[("Content-Range", range)], last);
            for answer in [server.ask("PATCH", &location, &[("Content-Range", range)], last), streamed] {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (status, "BLOB_UPLOAD_INVALID"),
                    "{range}"
                );
                assert_eq!((answer.header("range"), answer.header("location")), ("0-999", location.as_str()));
            }
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
    server.push(media_type::OCTETS, b"there before");
    let before = files(&home);
    assert_eq!(server.post(&format!("?digest={digest}"), b"hellO").code(), "DIGEST_INVALID");
    let location = server.post("", b"").header("location").to_owned();
    assert_eq!(files(&home).len(), before.len() + 1, "an upload has its file");
    let put = |query: &str, body: &[u8]| server.ask("PUT", &format!("{location}{query}"), &[], body);
    assert_eq!(put("", b"").code(), "DIGEST_INVALID");
    assert_eq!(put("?digest=md5:x", b"").code(), "DIGEST_INVALID");
    assert_eq!(put(&format!("?digest={digest}"), b"hellO").code(), "DIGEST_INVALID");
    assert_eq!(files(&home), before);
    for digest in [digest, Digest::of(b"hellO")] {
        assert_eq!(server.blob(&digest).status, 404);
    }
    assert_eq!(server.ask("GET", &location, &[], b"").code(), "BLOB_UPLOAD_UNKNOWN");
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

/// R25: whoever wins, bytes, digest and type are one client's; and what any of them was told to be there, is there.
#[test]
fn many_writers_of_one_tag_do_not_mix() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::CONFIG, b"{}");
    let path = |target: &str| format!("/v2/{REPOSITORY}/manifests/{target}");
    let manifests: Vec<(&str, Vec<u8>)> = (0..16)
        .map(|n| {
            let (media_type, list) = if n % 2 == 0 {
                (media_type::MANIFEST, json!({ "config": config, "layers": [] }))
            } else {
                (media_type::INDEX, json!({ "manifests": [] }))
            };
            let mut document = json!({ "schemaVersion": 2, "mediaType": media_type });
            document["annotations"] = json!({ "n": n.to_string() });
            document.as_object_mut().unwrap().extend(list.as_object().unwrap().clone());
            (media_type, serde_json::to_vec(&document).unwrap())
        })
        .collect();
    std::thread::scope(|scope| {
        for (media_type, bytes) in &manifests {
            let (server, path) = (&server, path("latest"));
            scope.spawn(move || {
                assert_eq!(server.ask("PUT", &path, &[("Content-Type", media_type)], bytes).status, 201);
            });
        }
    });
    let is_one = |target: &str| {
        let got = server.ask("GET", &path(target), &[], b"");
        let written = manifests.iter().find(|(_, bytes)| *bytes == got.body).expect("one of them");
        assert_eq!(got.header("content-type"), written.0);
        assert_eq!(got.header("docker-content-digest"), Digest::of(&written.1).to_string());
    };
    is_one("latest");
    manifests.iter().for_each(|(_, bytes)| is_one(&Digest::of(bytes).to_string()));
    // Who comes last, wins.
    let (media_type, bytes) = &manifests[3];
    assert_eq!(server.ask("PUT", &path("latest"), &[("Content-Type", media_type)], bytes).status, 201);
    assert_eq!(server.ask("GET", &path("latest"), &[], b"").body, *bytes);
}

/// What is listed and there, is there as it is listed: else no client could pull one by the other.
#[test]
fn a_manifest_that_lies_about_a_size_is_refused() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::CONFIG, b"{}");
    let bytes = image(&config, &[]);
    let child = Descriptor::of(media_type::MANIFEST, &bytes);
    assert_eq!(server.manifest("1", &bytes).status, 201);
    let liar = |true_one: &Descriptor| Descriptor { size: true_one.size + 1, ..true_one.clone() };
    let document = |media_type: &str, mut rest: Value| {
        rest["schemaVersion"] = json!(2);
        rest["mediaType"] = json!(media_type);
        let bytes = serde_json::to_vec(&rest).unwrap();
        let path = format!("/v2/{REPOSITORY}/manifests/2");
        server.ask("PUT", &path, &[("Content-Type", media_type)], &bytes)
    };
    let absent = Descriptor::of(media_type::MANIFEST, b"nowhere");
    for (media_type, wrong, right) in [
        (
            media_type::MANIFEST,
            json!({ "config": liar(&config), "layers": [] }),
            json!({ "config": config, "layers": [absent] }),
        ),
        (media_type::INDEX, json!({ "manifests": [liar(&child)] }), json!({ "manifests": [child, absent] })),
        (
            media_type::INDEX,
            json!({ "manifests": [], "subject": liar(&child) }),
            json!({ "manifests": [], "subject": absent }),
        ),
    ] {
        let answer = document(media_type, wrong.clone());
        assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_INVALID"), "{wrong}");
        assert_eq!(server.ask("GET", &format!("/v2/{REPOSITORY}/manifests/2"), &[], b"").status, 404);
        assert_eq!(document(media_type, right.clone()).status, 201, "{right}");
        assert_eq!(server.delete("manifests/2").status, 202);
    }
}

/// `ns` is how a mirror is asked: it leads no push anywhere. And a tag counts where the path names none.
#[test]
fn parameters_of_pulls_do_not_count_for_pushes() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::CONFIG, b"{}");
    let bytes = image(&config, &[]);
    let path = |query: &str| format!("/v2/team/app/manifests/1?{query}");
    let typed = [("Content-Type", media_type::MANIFEST)];
    assert_eq!(server.manifest("1?ns=docker.io", &bytes).code(), "DENIED");
    for method in ["PUT", "DELETE"] {
        let answer = server.ask(method, &path("ns=sandbox"), &typed, &bytes);
        assert_eq!((answer.status, answer.code().as_str()), (400, "NAME_INVALID"), "{method}");
    }
    assert_eq!(server.manifest("1?tag=2", &bytes).header("oci-tag"), "1");
    assert_eq!(server.ask("GET", &format!("/v2/{REPOSITORY}/manifests/2"), &[], b"").status, 404);
    assert_eq!(server.manifest(".x", &bytes).code(), "MANIFEST_INVALID");
}

/// A client that hears a refusal goes on over the same connection, whatever it still had to say.
#[test]
fn a_refusal_does_not_cut_the_connection() {
    let home = home();
    let server = sandbox(&home);
    let location = server.post("", b"").header("location").to_owned();
    let mut socket = TcpStream::connect(server.address).unwrap();
    let ask = |length: &str| format!("PATCH {location} HTTP/1.1\r\nHost: x\r\n{length}");
    let refused = ask("Content-Range: 7-10\r\nContent-Length: 4\r\n\r\nab");
    socket.write_all(refused.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    socket.write_all(b"cd").unwrap();
    let taken = ask("Connection: close\r\nContent-Length: 4\r\n\r\nabcd");
    socket.write_all(taken.as_bytes()).unwrap();
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["416", "202"]);
    // What is too much to wait for ends with the connection, and says so.
    let mut socket = TcpStream::connect(server.address).unwrap();
    let large = ask("Content-Range: 7-10\r\nContent-Length: 99999999\r\n\r\nab");
    socket.write_all(large.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _cut_or_told = socket.read_to_end(&mut answer);
    let answer = Answer::parse(&answer);
    assert_eq!((answer.status, answer.header("connection")), (416, "close"));
}

/// X07: uploads that nobody ends do not fill the home with files.
#[test]
fn so_many_uploads_are_under_way_and_no_more() {
    let home = home();
    let server = sandbox(&home);
    let staging = home.path().join("staging");
    for n in 1..limits::UPLOADS {
        std::os::unix::fs::symlink("nowhere", staging.join(format!("upload-{n}"))).unwrap();
    }
    let location = server.post("", b"").header("location").to_owned();
    let answer = server.post("", b"");
    assert_eq!((answer.status, answer.code().as_str()), (429, "TOOMANYREQUESTS"));
    assert_ne!(answer.header("retry-after"), "");
    // What is under way goes on, and makes room.
    assert_eq!(server.ask("PATCH", &location, &[], b"x").status, 202);
    assert_eq!(server.ask("DELETE", &location, &[], b"").status, 204);
    assert_eq!(server.post("", b"").status, 202);
}

/// Pushes do not take the last room from the site; the log of the server, which here ends the test, hears nothing.
#[test]
fn what_does_not_fit_is_not_written() {
    let home = home();
    let server = sandbox(&home);
    let location = server.post("", b"").header("location").to_owned();
    let before = files(&home);
    let monolithic = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", Digest::of(b"x"));
    for (method, path) in [("PATCH", location.as_str()), ("POST", monolithic.as_str())] {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.write_all(&request(method, path, &[], 1 << 60, &vec![b'x'; 512 << 10])).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let answer = Answer::parse(&answer);
        assert_eq!((answer.status, answer.code().as_str()), (507, "SIZE_INVALID"), "{method}");
        assert_eq!(files(&home), before, "{method}");
    }
    assert_eq!(server.ask("PATCH", &location, &[], b"x").status, 202);
}

/// Manifests are read into memory, so many at a time; who comes later waits for a seat.
#[test]
fn so_many_manifests_are_read_at_a_time() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::CONFIG, b"{}");
    let bytes = image(&config, &[]);
    let path = format!("/v2/{REPOSITORY}/manifests/1");
    let typed = [("Content-Type", media_type::MANIFEST)];
    let (first, rest) = bytes.split_at(10);
    let moment = Duration::from_millis(300);
    let mut slow: Vec<TcpStream> = (0..limits::MANIFESTS_AT_ONCE)
        .map(|_| {
            let mut socket = TcpStream::connect(server.address).unwrap();
            socket.write_all(&request("PUT", &path, &typed, bytes.len(), first)).unwrap();
            socket
        })
        .collect();
    std::thread::sleep(moment);
    let mut late = TcpStream::connect(server.address).unwrap();
    late.write_all(&request("PUT", &path, &typed, bytes.len(), &bytes)).unwrap();
    late.set_read_timeout(Some(moment)).unwrap();
    assert!(late.read(&mut [0; 1]).is_err(), "it waits");
    late.set_read_timeout(None).unwrap();
    for socket in &mut slow {
        socket.write_all(rest).unwrap();
    }
    for mut socket in slow.into_iter().chain([late]) {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(Answer::parse(&answer).status, 201);
    }
}
