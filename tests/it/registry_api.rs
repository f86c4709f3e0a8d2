//! The registry as its clients see it: over a socket, one raw request at a time, so that paths and headers
//! arrive exactly as written here.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
};

use sealift::{
    base::{digest::Digest, failure::Reason},
    oci::{Descriptor, Document, media_type},
    registry::{Access, Log, Options, serve},
    store::{Publication, PublishedManifest, PublishedTag, Store},
};
use serde_json::json;

use crate::support::served::{Answer, Served, author, head};

const REPOSITORY: &str = "docker.io/library/nginx";

/// A registry with one repository: an index of two images (one absent), a layer, three referrers, tags.
struct Site {
    served: Served,
    store: Store,
    faults: Arc<Mutex<Vec<Reason>>>,
    layer: Vec<u8>,
    image: Vec<u8>,
    index: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("home")).unwrap();
        let layer: Vec<u8> = (0..700_001_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
        let (image, index) = publish(&store, &layer);
        let faults = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&faults);
        let log = Log::of_faults(move |failure| heard.lock().unwrap().push(failure.reason));
        let served = Served::start(store.clone(), Access::default(), log);
        Self { served, store, faults, layer, image, index, _folder: folder }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::parse(&self.bytes(method, path, headers)).expect("a response head")
    }

    /// The answer as far as it came: the server may cut the connection before the first byte of it has left.
    fn cut(&self, path: &str) -> Option<Answer> {
        Answer::parse(&self.bytes("GET", path, &[]))
    }

    fn bytes(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.served.address).unwrap();
        socket.write_all(head(method, path, headers).as_bytes()).unwrap();
        let mut bytes = Vec::new();
        // A connection that is cut shows as missing bytes.
        let _count_or_cut = socket.read_to_end(&mut bytes);
        bytes
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    fn layer_path(&self) -> String {
        format!("/v2/{REPOSITORY}/blobs/{}", Digest::of(&self.layer))
    }
}

/// Whether as many bytes came as were announced.
fn is_whole(answer: &Answer) -> bool {
    answer.header("content-length") == answer.body.len().to_string()
}

fn publish(store: &Store, layer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let put = |media_type: &str, bytes: &[u8]| {
        let blob = Descriptor::of(media_type, bytes);
        store.put(&blob, bytes).unwrap();
        blob
    };
    let config = put(media_type::CONFIG, b"{}");
    let layer = put(media_type::LAYER_GZIP, layer);
    let image = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer],
        "unknown": "kept",
    }))
    .unwrap();
    let image_root = put(media_type::MANIFEST, &image);
    let absent = Descriptor::of(media_type::MANIFEST, b"not here");
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": media_type::DOCKER_LIST, "manifests": [image_root, absent],
    }))
    .unwrap();
    let index_root = put(media_type::DOCKER_LIST, &index);
    let published = |repository: &str, root: &Descriptor, bytes: &[u8], blobs: &[&Descriptor]| {
        let document = Document::parse(bytes, &root.media_type).unwrap();
        let blobs = blobs.iter().map(|&blob| blob.clone()).collect();
        PublishedManifest::new(repository, root.clone(), &document, blobs, Vec::new())
    };
    let mut manifests = vec![
        published(REPOSITORY, &image_root, &image, &[&config, &layer]),
        published(REPOSITORY, &index_root, &index, &[]),
        published("quay.io_443/team/other", &image_root, &image, &[&config, &layer]),
    ];
    for (number, kind) in
        ["application/sbom+json", "application/signature", "application/signature"].into_iter().enumerate()
    {
        let referrer = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": kind, "config": config,
            "layers": [], "subject": image_root, "annotations": { "number": number.to_string() },
        });
        let bytes = serde_json::to_vec(&referrer).unwrap();
        let root = put(media_type::MANIFEST, &bytes);
        manifests.push(published(REPOSITORY, &root, &bytes, &[&config]));
    }
    let tag = |tag: &str| PublishedTag {
        repository: REPOSITORY.to_owned(),
        tag: tag.to_owned(),
        digest: index_root.digest.clone(),
    };
    let tags = ["1.27", "1.28", "latest", "1.26"].map(tag).to_vec();
    let publication = Publication { manifests, tags };
    store.publish(&publication, &author()).unwrap();
    (image, index)
}

#[test]
fn manifests_come_as_they_were_pushed() {
    let site = Site::start();
    let (index, image) = (Digest::of(&site.index), Digest::of(&site.image));
    for (target, bytes, digest, kind) in [
        ("1.27".to_owned(), &site.index, &index, media_type::DOCKER_LIST),
        (index.to_string(), &site.index, &index, media_type::DOCKER_LIST),
        (image.to_string(), &site.image, &image, media_type::MANIFEST),
    ] {
        let path = format!("/v2/{REPOSITORY}/manifests/{target}");
        let (got, head) = (site.get(&path), site.ask("HEAD", &path, &[]));
        assert_eq!((got.status, head.status), (200, 200), "{path}");
        assert_eq!(&got.body, bytes);
        assert!(head.body.is_empty());
        for answer in [&got, &head] {
            assert_eq!(answer.header("content-type"), kind);
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
            assert_eq!(answer.header("etag"), format!("\"{digest}\""));
            assert_eq!(answer.header("content-length"), bytes.len().to_string());
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        }
        let known = site.ask("GET", &path, &[("If-None-Match", &format!("\"{digest}\""))]);
        assert_eq!((known.status, known.body.len()), (304, 0));
    }
    assert_eq!(site.get("/v2/").status, 200);
}

#[test]
fn refusals_follow_the_specification() {
    let site = Site::start();
    let layer = Digest::of(&site.layer);
    let unknown = Digest::of(b"unknown");
    for (method, path, status, code) in [
        ("GET", "/v2/docker.io/library/nginx/manifests/none".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("GET", format!("/v2/{REPOSITORY}/manifests/{unknown}"), 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/docker.io/none/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/docker.io/none/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", format!("/v2/{REPOSITORY}/blobs/{unknown}"), 404, "BLOB_UNKNOWN"),
        ("GET", format!("/v2/docker.io/none/blobs/{layer}"), 404, "BLOB_UNKNOWN"),
        ("GET", format!("/v2/{REPOSITORY}/blobs/sha256:baddigest"), 400, "DIGEST_INVALID"),
        ("GET", format!("/v2/{REPOSITORY}/referrers/x"), 400, "DIGEST_INVALID"),
        ("GET", format!("/v2/docker.io%2flibrary%2fnginx/blobs/{layer}"), 400, "NAME_INVALID"),
        ("GET", format!("/v2/docker.io/../docker.io/library/nginx/blobs/{layer}"), 400, "NAME_INVALID"),
        ("GET", "/v2/a//b/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/Ä/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("GET", format!("/v2/{REPOSITORY}/tags/list?n=x"), 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v1/".to_owned(), 404, "UNSUPPORTED"),
        ("GET", "/v2/x".to_owned(), 404, "UNSUPPORTED"),
        ("POST", format!("/v2/{REPOSITORY}/blobs/uploads/"), 405, "UNSUPPORTED"),
        ("PUT", format!("/v2/{REPOSITORY}/manifests/1"), 405, "UNSUPPORTED"),
        ("DELETE", format!("/v2/{REPOSITORY}/manifests/1.27"), 405, "UNSUPPORTED"),
        ("PATCH", format!("/v2/{REPOSITORY}/blobs/uploads/1"), 405, "UNSUPPORTED"),
    ] {
        // Bytes outside ASCII never reach the router: the HTTP library answers 400 itself.
        let answer = site.ask(method, &path, &[]);
        assert_eq!(answer.status, status, "{method} {path}");
        if path.is_ascii() {
            assert_eq!(answer.code(), code, "{method} {path}");
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
    assert!(site.faults.lock().unwrap().is_empty());
}

#[test]
fn blobs_come_whole_or_in_ranges() {
    let site = Site::start();
    let (path, length) = (site.layer_path(), site.layer.len());
    let whole = site.get(&path);
    assert_eq!((whole.status, whole.header("content-type")), (200, "application/octet-stream"));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert!(whole.body == site.layer);
    let head = site.ask("HEAD", &path, &[("Range", "bytes=0-1")]);
    assert_eq!((head.status, head.header("content-length")), (200, length.to_string().as_str()));
    let last = length - 1;
    for (range, status, expected) in [
        ("bytes=500-1499", 206, 500..1500),
        ("bytes=500-", 206, 500..length),
        ("bytes=-500", 206, length - 500..length),
        ("bytes=699999-99999999", 206, 699_999..length),
        ("bytes=0-", 206, 0..length),
        ("bytes=500-0", 416, 0..0),
        ("bytes=700001-", 416, 0..0),
        ("bytes=0-1,4-5", 200, 0..length),
        ("furlongs=1-2", 200, 0..length),
    ] {
        let answer = site.ask("GET", &path, &[("Range", range)]);
        assert_eq!(answer.status, status, "{range}");
        assert!(is_whole(&answer), "{range}");
        match status {
            416 => assert_eq!(answer.header("content-range"), format!("bytes */{length}")),
            206 => {
                let (from, to) = (expected.start, expected.end - 1);
                assert_eq!(answer.header("content-range"), format!("bytes {from}-{to}/{length}"));
                assert!(answer.body == site.layer[expected], "{range}");
                assert!(to <= last);
            }
            _ => assert!(answer.body == site.layer, "{range}"),
        }
    }
    let etag = format!("\"{}\"", Digest::of(&site.layer));
    let same = site.ask("GET", &path, &[("Range", "bytes=0-0"), ("If-Range", &etag)]);
    let other = site.ask("GET", &path, &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")]);
    assert_eq!((same.status, other.status), (206, 200));
}

#[test]
fn a_blob_is_served_only_where_it_is_published() {
    let site = Site::start();
    let layer = Digest::of(&site.layer);
    assert_eq!(site.get(&format!("/v2/quay.io_443/team/other/blobs/{layer}")).status, 200);
    // In the store, but published nowhere.
    site.store.put(&Descriptor::of("x", b"private"), b"private").unwrap();
    let private = Digest::of(b"private");
    assert_eq!(site.get(&format!("/v2/{REPOSITORY}/blobs/{private}")).status, 404);
    // Mirrors of containerd name the upstream beside the path.
    let answer = site.get("/v2/library/nginx/manifests/1.27?ns=docker.io");
    assert_eq!((answer.status, answer.header("oci-namespace")), (200, "docker.io"));
    assert_eq!(site.get(&format!("/v2/team/other/blobs/{layer}?ns=quay.io:443")).status, 200);
    assert_eq!(site.get(&format!("/v2/team/other/blobs/{layer}?ns=docker.io")).status, 404);
    // Or beside a path that has it too, where their settings say so.
    assert_eq!(site.get(&format!("/v2/quay.io_443/team/other/blobs/{layer}?ns=quay.io:443")).status, 200);
    assert_eq!(site.get(&format!("/v2/quay.io_443/team/other/blobs/{layer}?ns=docker.io")).status, 404);
    assert_eq!(site.get("/v2/library/nginx/manifests/1.27?ns=../x").status, 400);
}

#[test]
fn lists_go_on_page_by_page() {
    let site = Site::start();
    let (mut path, mut seen, mut pages) = (format!("/v2/{REPOSITORY}/tags/list?n=3"), Vec::new(), 0);
    loop {
        let answer = site.get(&path);
        assert_eq!(answer.json()["name"], REPOSITORY);
        let tags = answer.json()["tags"].as_array().unwrap().clone();
        seen.extend(tags.into_iter().map(|tag| tag.as_str().unwrap().to_owned()));
        pages += 1;
        let link = answer.header("link").to_owned();
        let Some(next) = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")) else {
            break;
        };
        path = next.to_owned();
    }
    assert_eq!((seen.join(" ").as_str(), pages), ("1.26 1.27 1.28 latest", 2));
    for (query, tags, link) in [
        ("", json!(["1.26", "1.27", "1.28", "latest"]), ""),
        ("?n=0", json!([]), ""),
        ("?n=4", json!(["1.26", "1.27", "1.28", "latest"]), ""),
        ("?last=1.27a", json!(["1.28", "latest"]), ""),
        ("?last=zzz", json!([]), ""),
        ("?n=1", json!(["1.26"]), "</v2/docker.io/library/nginx/tags/list?n=1&last=1.26>; rel=\"next\""),
    ] {
        let answer = site.get(&format!("/v2/{REPOSITORY}/tags/list{query}"));
        assert_eq!((&answer.json()["tags"], answer.header("link")), (&tags, link), "{query}");
    }
    let first = site.get("/v2/_catalog?n=1");
    assert_eq!(first.json()["repositories"], json!([REPOSITORY]));
    assert_eq!(first.header("link"), format!("</v2/_catalog?n=1&last={REPOSITORY}>; rel=\"next\""));
    let second = site.get("/v2/_catalog?n=1&last=docker.io%2Flibrary%2Fnginx");
    assert_eq!(second.json()["repositories"], json!(["quay.io_443/team/other"]));
    assert_eq!(second.header("link"), "");
    let mirror = site.get("/v2/library/nginx/tags/list?n=1&ns=docker.io");
    assert!(mirror.header("link").ends_with("&ns=docker.io>; rel=\"next\""));
}

#[test]
fn referrers_are_always_a_valid_index() {
    let site = Site::start();
    let image = Digest::of(&site.image);
    let all = site.get(&format!("/v2/{REPOSITORY}/referrers/{image}"));
    assert_eq!((all.status, all.header("content-type")), (200, media_type::INDEX));
    let listed = all.json()["manifests"].as_array().unwrap().clone();
    assert_eq!((listed.len(), all.header("oci-filters-applied")), (3, ""));
    assert!(listed.iter().all(|one| one["annotations"]["number"].is_string()));
    for filter in ["application/sbom%2Bjson", "application/sbom+json"] {
        let path = format!("/v2/{REPOSITORY}/referrers/{image}?artifactType={filter}");
        let answer = site.get(&path);
        assert_eq!(answer.json()["manifests"].as_array().unwrap().len(), 1);
        assert_eq!(answer.json()["manifests"][0]["artifactType"], "application/sbom+json");
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
    }
    let first = site.get(&format!("/v2/{REPOSITORY}/referrers/{image}?n=2"));
    let next = first.header("link").split(['<', '>']).nth(1).unwrap();
    let second = site.get(next);
    let count = |answer: &Answer| answer.json()["manifests"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), second.header("link")), (2, 1, ""));
    for nothing in
        [format!("/v2/absent/referrers/{image}"), format!("/v2/{REPOSITORY}/referrers/{}", Digest::of(b"?"))]
    {
        let answer = site.get(&nothing);
        assert_eq!((answer.status, &answer.json()["manifests"]), (200, &json!([])));
        assert_eq!(answer.json()["schemaVersion"], 2);
    }
}

#[test]
fn rot_on_disk_never_leaves_as_a_complete_answer() {
    let site = Site::start();
    let (layer, image) = (Digest::of(&site.layer), Digest::of(&site.image));
    let mut rotten = site.layer.clone();
    rotten[350_000] ^= 1;
    for known in [false, true] {
        if known {
            // Also after it has left whole once.
            site.store.put(&Descriptor::of("x", &site.layer), &site.layer).unwrap();
            assert!(is_whole(&site.get(&site.layer_path())));
        }
        std::fs::write(site.store.place_of(&layer), &rotten).unwrap();
        let answer = site.cut(&site.layer_path());
        assert!(answer.is_none_or(|answer| !is_whole(&answer)), "wrong bytes were delivered whole");
    }
    // The bad copy is gone, so that the next import brings it again; until then the disk is right (R07).
    assert_eq!(site.ask("HEAD", &site.layer_path(), &[]).status, 404);
    site.store.put(&Descriptor::of("x", &site.layer), &site.layer).unwrap();
    assert!(is_whole(&site.get(&site.layer_path())));
    std::fs::write(site.store.place_of(&layer), &site.layer[..9]).unwrap();
    assert!(site.cut(&site.layer_path()).is_none_or(|answer| answer.body.is_empty()));

    // As after a crash of a file system that lost the content (C01): empty is not whole either.
    std::fs::write(site.store.place_of(&layer), b"").unwrap();
    assert_eq!(site.get(&site.layer_path()).status, 500);
    assert_eq!(site.get(&site.layer_path()).status, 404);

    std::fs::write(site.store.place_of(&image), b"{}").unwrap();
    let path = format!("/v2/{REPOSITORY}/manifests/{image}");
    assert_eq!(site.ask("HEAD", &path, &[]).status, 500);
    assert_eq!(site.get(&path).code(), "MANIFEST_UNKNOWN");
    let faults = site.faults.lock().unwrap().clone();
    assert_eq!(faults[..3], [Reason::StoreDamaged, Reason::StoreDamaged, Reason::BlobMissing]);
    assert!(faults.contains(&Reason::StoreDamaged));
}

#[test]
fn a_taken_address_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = Options::plain(taken.local_addr().unwrap(), Access::default(), Log::silent());
    let served = runtime.block_on(serve(store, options, |_address| {}, async {}));
    assert_eq!(served.unwrap_err().reason, Reason::AddressInUse);
}
