//! Every route, method and role against the whole application, without a socket: `caller.rs` takes the caller from
//! the test.

use std::{collections::BTreeSet, net::Ipv4Addr, path::Path};

use axum::body::to_bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    base::digest::Digest,
    oci::{Descriptor, Document, media_type},
    rules::{Name, Rules},
    store::{Account, AccountKind, Publication, PublishedManifest, PublishedTag},
};

/// Each role is a group that may do so much below `apps/`, and somebody in it.
pub(super) const ROLES: [(&str, &[Right]); 8] = [
    ("anonymous", &[]),
    ("stranger", &[]),
    ("reader", &[Right::Pull]),
    ("writer", &[Right::Push]),
    ("pusher", &[Right::Pull, Right::Push]),
    ("tagger", &[Right::Pull, Right::Tag]),
    ("deleter", &[Right::Pull, Right::Delete]),
    ("admin", &Right::ALL),
];

pub(super) const THERE: &str = "apps/there";
/// Pulled by nobody.
pub(super) const HIDDEN: &str = "hidden/there";

pub(super) struct Scene {
    pub(super) registry: Registry,
    config: Descriptor,
    pub(super) image: Vec<u8>,
    pub(super) other: Vec<u8>,
    pub(super) runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn detail(&self, key: &str) -> String {
        self.json()["errors"][0]["detail"][key].as_str().unwrap_or_default().to_owned()
    }

    /// All that a client can tell it from another answer by.
    pub(super) fn seen(&self) -> (u16, String, String) {
        (self.status, format!("{:?}", self.headers), String::from_utf8_lossy(&self.body).into_owned())
    }
}

impl Scene {
    /// Two repositories, each with two images that have one config, and a tag `v1` at the first.
    pub(super) fn new(access: Access, login: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("home")).unwrap();
        let config = Descriptor::of(media_type::CONFIG, b"{}");
        store.put(&config, b"{}").unwrap();
        let image = |text: &str| {
            let body = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [],
                "annotations": { "x": text } });
            serde_json::to_vec(&body).unwrap()
        };
        let (first, other) = (image("first"), image("other"));
        let mut publication = Publication::default();
        for repository in [THERE, HIDDEN, "apps/z", "z/open"] {
            for bytes in [&first, &other] {
                let root = Descriptor::of(media_type::MANIFEST, bytes);
                store.put(&root, bytes).unwrap();
                let document = Document::parse(bytes, media_type::MANIFEST).unwrap();
                let blobs = vec![config.clone()];
                publication.manifests.push(PublishedManifest::new(
                    repository,
                    root,
                    &document,
                    blobs,
                    vec![],
                ));
            }
            let (repository, digest) = (repository.to_owned(), Digest::of(&first));
            publication.tags.push(PublishedTag { repository, tag: "v1".into(), digest });
        }
        store.publish(&publication, &crate::store::Author::somebody()).unwrap();
        if login {
            let somebody = Account {
                name: "somebody".into(),
                kind: AccountKind::User,
                groups: BTreeSet::new(),
                certificates: BTreeSet::new(),
                hash: None,
                generation: String::new(),
                enabled: true,
                expires: None,
                created: crate::base::clock::Timestamp::now(),
            };
            store.change(|change| change.put_account(&somebody)).unwrap();
        }
        let registry = Registry::new(
            store.clone(),
            access,
            Collection::default(),
            Login::new(store, "here".into(), None).unwrap(),
            Log::of_faults(|failure| panic!("{failure}")),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scene = Self { registry, config, image: first, other, runtime, _folder: folder };
        scene.set("");
        scene
    }

    /// The rights of the roles, and more rules.
    pub(super) fn set(&self, more: &str) {
        let mut text = "schema = 1\n".to_owned();
        for (role, rights) in ROLES.iter().filter(|(_, rights)| !rights.is_empty()) {
            let may: Vec<String> = rights.iter().map(|right| format!("'{}'", right.name())).collect();
            let may = may.join(",");
            let grant = ["[[grant]]\nto=['group:", role, "']\nrepositories=['apps/**']\nmay=[", &may, "]\n"];
            text.push_str(&grant.concat());
        }
        let rules = Rules::parse(&(text + more), Path::new("r")).unwrap();
        self.registry.store.change(|change| change.set_rules(&rules)).unwrap();
    }

    pub(super) fn ask(&self, role: &str, method: &str, path: &str, body: &[u8]) -> Got {
        let mut caller = Caller::anonymous(Ipv4Addr::LOCALHOST.into());
        if role != "anonymous" {
            caller.silent = false;
            caller.subject.name = Some(Name::User("kim".into()));
            caller.subject.groups.insert(role.to_owned());
        }
        let request = axum::extract::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media_type::MANIFEST)
            .header("content-length", body.len())
            .extension(caller)
            .body(body.to_vec().into())
            .unwrap();
        self.runtime.block_on(async {
            let registry = State(self.registry.clone());
            let answer = if page::is_page(request.uri()) {
                page::show(registry, request).await
            } else {
                handle(registry, request).await
            };
            let (parts, body) = answer.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            Got { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    fn catalog(&self, role: &str, size: usize) -> Vec<String> {
        let (mut names, mut next) = (Vec::new(), format!("/v2/_catalog?n={size}"));
        loop {
            let got = self.ask(role, "GET", &next, b"");
            let page: Vec<String> = serde_json::from_value(got.json()["repositories"].clone()).unwrap();
            let link = got.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
            assert!(link.is_none() || page.len() == size, "a short page that is not the last");
            names.extend(page);
            let Some(link) = link else { return names };
            link[1..].split('>').next().unwrap().clone_into(&mut next);
        }
    }
}

/// Which of the endpoints it is. One more of them does not compile without a line here.
fn number(endpoint: &Endpoint) -> usize {
    match endpoint {
        Endpoint::Base => 0,
        Endpoint::Catalog => 1,
        Endpoint::Tags { .. } => 2,
        Endpoint::Referrers { .. } => 3,
        Endpoint::Manifest { .. } => 4,
        Endpoint::Blob { .. } => 5,
        Endpoint::Uploads { .. } => 6,
        Endpoint::Upload { .. } => 7,
    }
}
const ENDPOINTS: usize = 8;

pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A path of each endpoint in `repository`, with nothing that is there behind it.
fn paths(repository: &str) -> Vec<String> {
    let digest = Digest::of(b"not here");
    let mut paths = vec!["/v2/".to_owned(), "/v2/_catalog".to_owned()];
    paths.extend(
        ["tags/list", &format!("referrers/{digest}"), "manifests/none", &format!("manifests/{digest}")]
            .map(|end| format!("/v2/{repository}/{end}")),
    );
    paths.extend(
        [format!("blobs/{digest}"), "blobs/uploads/".to_owned(), format!("blobs/uploads/{}", "0".repeat(32))]
            .map(|end| format!("/v2/{repository}/{end}")),
    );
    paths
}

fn endpoint(path: &str) -> Endpoint {
    Endpoint::parse(&path.parse().unwrap(), &Method::GET).unwrap()
}

/// What it takes, written down once more: one of these rights, or a login where there are none. `None` for a method that
/// nothing understands.
fn takes(endpoint: usize, method: &str) -> Option<&'static [Right]> {
    Some(match (endpoint, method) {
        (0 | 1, "GET" | "HEAD") => &[],
        (2..=5, "GET" | "HEAD") => &[Right::Pull],
        (4, "PUT") => &[Right::Push, Right::Tag],
        (4 | 5, "DELETE") => &[Right::Delete],
        (6, "POST") | (7, "GET" | "PUT" | "PATCH" | "DELETE") => &[Right::Push],
        _ => return None,
    })
}

#[test]
fn every_route_asks_for_its_right() {
    let kinds: BTreeSet<usize> = paths(THERE).iter().map(|path| number(&endpoint(path))).collect();
    assert_eq!(kinds, (0..ENDPOINTS).collect());
    for login in [false, true] {
        let scene = Scene::new(Access::default(), login);
        for path in paths(THERE) {
            for method in METHODS {
                let kind = number(&endpoint(&path));
                let right = takes(kind, method);
                assert_eq!(endpoint(&path).methods().contains(&method), right.is_some(), "{method} {path}");
                for (role, may) in ROLES {
                    let anonymous = role == "anonymous";
                    let got = scene.ask(role, method, &path, b"");
                    let at = format!("{role} {method} {path} login {login}: {} {}", got.status, got.code());
                    let Some(takes) = right else {
                        assert_eq!(got.status, 405, "{at}");
                        continue;
                    };
                    let granted = match takes {
                        [] => !(anonymous && login),
                        takes => takes.iter().any(|right| may.contains(right)),
                    };
                    let pulls = takes == [Right::Pull];
                    match got.status {
                        // Whatever comes of it: it was not refused.
                        status if granted => assert!(![401, 403, 405].contains(&status), "{at}"),
                        status if anonymous && login => assert_eq!(status, 401, "{at}"),
                        // Always an index.
                        status if kind == 3 => assert_eq!(status, 200, "{at}"),
                        404 if pulls && method == "GET" => assert_eq!(got.code(), "NAME_UNKNOWN", "{at}"),
                        status if pulls => assert_eq!(status, 404, "{at}"),
                        // Nobody without a login has this right anywhere, and there is nothing to log in to.
                        status if anonymous => assert_eq!(status, 405, "{at}"),
                        status => {
                            assert_eq!((status, got.code().as_str()), (403, "DENIED"), "{at}");
                            assert_eq!(got.detail("repository"), THERE);
                            assert_eq!(got.detail("action"), takes[0].name());
                            assert!(!got.detail("rule").is_empty());
                        }
                    }
                }
            }
        }
    }
}

/// R17
#[test]
fn nobody_learns_whether_a_repository_exists_that_is_not_shown() {
    for (access, login) in [
        (Access::default(), false),
        (Access::default(), true),
        (Access::sandbox(), false),
        (Access::sandbox(), true),
    ] {
        let scene = Scene::new(access, login);
        let (there, none) = (paths(HIDDEN), paths("hidden/nonex"));
        for (path, other) in there.iter().zip(&none) {
            // The same with contents that are there.
            let known =
                path.replace("none", "v1").replace(Digest::of(b"not here").hex(), scene.config.digest.hex());
            for method in METHODS {
                for (role, _) in ROLES {
                    let answer = |path: &str| {
                        let (status, headers, body) = scene.ask(role, method, path, &scene.image).seen();
                        (status, headers, body.replace("hidden/nonex", HIDDEN))
                    };
                    let wanted = answer(other);
                    assert_eq!(answer(path), wanted, "{role} {method} {path}");
                    // An index of another subject is another, and nothing else is.
                    assert_eq!(answer(&known), wanted, "{role} {method} {known}");
                }
            }
        }
    }
}

/// R17
#[test]
fn the_catalog_shows_what_may_be_pulled_in_whole_pages() {
    let scene = Scene::new(Access::default(), true);
    scene.set("[[grant]]\nto=['anyone']\nrepositories=['z/*']\nmay=['pull']\n");
    for size in [1, 2, 10] {
        assert_eq!(scene.catalog("anonymous", size), ["z/open"]);
        assert_eq!(scene.catalog("stranger", size), ["z/open"]);
        assert_eq!(scene.catalog("writer", size), ["z/open"]);
        assert_eq!(scene.catalog("reader", size), [THERE, "apps/z", "z/open"]);
    }
    scene.set("");
    assert_eq!(scene.ask("anonymous", "GET", "/v2/_catalog", b"").status, 401);
    assert!(scene.catalog("stranger", 5).is_empty());
}

/// R17: of 10,000 names that are not shown, only those are looked at that could be.
#[test]
fn the_catalog_is_found_among_many_names() {
    let scene = Scene::new(Access::default(), false);
    scene.set("[[grant]]\nto=['group:stranger']\nrepositories=['*/r999', 'z/open']\nmay=['pull']\n");
    let manifest = {
        let document = Document::parse(&scene.image, media_type::MANIFEST).unwrap();
        let root = Descriptor::of(media_type::MANIFEST, &scene.image);
        PublishedManifest::new("x", root, &document, vec![scene.config.clone()], vec![])
    };
    let names = (0..10_000).map(|number| format!("bulk{}/r{number}", number % 3));
    let manifests = names.map(|repository| PublishedManifest { repository, ..manifest.clone() }).collect();
    scene
        .registry
        .store
        .publish(&Publication { manifests, tags: vec![] }, &crate::store::Author::somebody())
        .unwrap();
    let before = std::time::Instant::now();
    assert_eq!(scene.catalog("reader", 1), [THERE, "apps/z"]);
    assert!(before.elapsed().as_millis() < 1000, "{:?}", before.elapsed());
    // Where any name could be one, all are looked at, and the page is whole.
    assert_eq!(scene.catalog("stranger", 1), ["bulk0/r999", "z/open"]);
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
}

/// R19
#[test]
fn a_right_that_is_taken_away_is_gone_with_the_next_request() {
    let scene = Scene::new(Access::default(), false);
    let path = format!("/v2/{THERE}/manifests/v1");
    assert_eq!(scene.ask("reader", "GET", &path, b"").status, 200);
    // By another process.
    let other = Store::open(scene.registry.store.home()).unwrap();
    let rules = Rules::parse("schema = 1", Path::new("r")).unwrap();
    other.change(|change| change.set_rules(&rules)).unwrap();
    assert_eq!(scene.ask("reader", "GET", &path, b"").status, 404);
    scene.set("");
    assert_eq!(scene.ask("reader", "GET", &path, b"").status, 200);
}

/// R11
#[test]
fn a_blob_is_mounted_only_from_where_it_may_be_pulled() {
    let scene = Scene::new(Access::default(), false);
    let secret = Descriptor::of("x", b"secret");
    scene.registry.store.put(&secret, b"secret").unwrap();
    scene
        .registry
        .store
        .change(|change| change.add_blob(HIDDEN, &secret.digest, crate::base::clock::Timestamp::now()))
        .unwrap();
    let mount = |role: &str, from: &str, blob: &Descriptor| {
        scene
            .ask(role, "POST", &format!("/v2/apps/new/blobs/uploads/?mount={}{from}", blob.digest), b"")
            .status
    };
    for from in [format!("&from={HIDDEN}"), String::new()] {
        assert_eq!(mount("pusher", &from, &secret), 202);
        assert_eq!(mount("admin", &from, &secret), 202);
    }
    let pull = |repository: &str| {
        scene.ask("admin", "GET", &format!("/v2/{repository}/blobs/{}", secret.digest), b"").status
    };
    assert_eq!((pull("apps/new"), pull(HIDDEN)), (404, 404));
    // Who may not pull what it is taken from, gets nothing of it by mounting.
    assert_eq!(mount("writer", &format!("&from={THERE}"), &scene.config), 202);
    assert_eq!(mount("pusher", &format!("&from={THERE}"), &scene.config), 201);
}

/// R12
#[test]
fn who_may_only_push_moves_no_tag_and_who_may_only_tag_brings_nothing() {
    let scene = Scene::new(Access::default(), false);
    let new = String::from_utf8(scene.image.clone()).unwrap().replace("first", "newer").into_bytes();
    let (other, digest) = (Digest::of(&scene.other), Digest::of(&new));
    for (role, target, bytes, refused) in [
        ("pusher", "v1".to_owned(), &scene.other, Some("tag")),
        ("pusher", format!("{other}?tag=v1"), &scene.other, Some("tag")),
        ("pusher", format!("{digest}?tag=fresh&tag=v1"), &new, Some("tag")),
        ("pusher", "v1".to_owned(), &scene.image, None),
        ("tagger", "v1".to_owned(), &new, Some("push")),
        ("tagger", "v2".to_owned(), &scene.other, Some("push")),
        ("tagger", "v1".to_owned(), &scene.other, None),
        ("pusher", "v2".to_owned(), &new, None),
        ("admin", "v2".to_owned(), &scene.image, None),
    ] {
        let got = scene.ask(role, "PUT", &format!("/v2/{THERE}/manifests/{target}"), bytes);
        let wanted = if refused.is_some() { 403 } else { 201 };
        assert_eq!(got.status, wanted, "{role} {target} {}", String::from_utf8_lossy(&got.body));
        assert_eq!(got.detail("action"), refused.unwrap_or_default());
    }
    let tags = scene.registry.store.tags(THERE, None, 9).unwrap().unwrap();
    assert_eq!(tags, ["v1", "v2"], "what is refused leaves nothing");
}

/// R13
#[test]
fn where_nobody_may_delete_nothing_is_deleted_in_any_way() {
    let scene = Scene::new(Access::default(), false);
    scene.set("[[grant]]\nto=['anyone']\nrepositories=['z/**']\nmay=['pull','push']\n");
    let (digest, config) = (Digest::of(&scene.image), &scene.config.digest);
    for path in ["manifests/v1".to_owned(), format!("manifests/{digest}"), format!("blobs/{config}")] {
        let got = scene.ask("anonymous", "DELETE", &format!("/v2/z/open/{path}"), b"");
        assert_eq!(got.status, 405, "{path}");
        assert!(!got.headers["allow"].to_str().unwrap().contains("DELETE"));
        assert_eq!(scene.ask("stranger", "DELETE", &format!("/v2/z/open/{path}"), b"").status, 403);
    }
    // Nor is a tag lost to another manifest.
    assert_eq!(scene.ask("stranger", "PUT", "/v2/z/open/manifests/v1", &scene.other).status, 403);
    assert_eq!(scene.ask("anonymous", "GET", "/v2/z/open/manifests/v1", b"").body, scene.image);
}

/// R16
#[test]
fn an_immutable_tag_stays_whoever_asks() {
    let scene = Scene::new(Access::default(), false);
    scene.set("[[immutable]]\nrepositories=['apps/*']\ntags=['v*']\n");
    let digest = Digest::of(&scene.image);
    let cosign = format!("sha256-{}.sig", digest.hex());
    for (method, target, body, status) in [
        ("PUT", "v1", &scene.other, 403),
        ("DELETE", "v1", &vec![], 403),
        ("DELETE", &digest.to_string(), &vec![], 403),
        ("PUT", "v1", &scene.image, 201),
        ("PUT", "v2", &scene.other, 201),
        ("PUT", "v2", &scene.image, 403),
        ("PUT", &cosign, &scene.image, 201),
        ("PUT", &cosign, &scene.other, 201),
        ("DELETE", &cosign, &vec![], 202),
    ] {
        let got = scene.ask("admin", method, &format!("/v2/{THERE}/manifests/{target}"), body);
        assert_eq!(got.status, status, "{method} {target} {}", String::from_utf8_lossy(&got.body));
        if status == 403 {
            assert_eq!((got.code().as_str(), got.detail("reason").as_str()), ("DENIED", "tag-immutable"));
            assert!(got.detail("object").starts_with("apps/there:v"));
        }
    }
}

#[test]
fn what_goes_beyond_a_quota_is_refused_and_said() {
    let scene = Scene::new(Access::default(), false);
    scene.set("[[quota]]\nrepositories=['apps/**']\nsize='1 KiB'\n");
    let push = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        scene.ask("pusher", "POST", &format!("/v2/apps/new/blobs/uploads/?digest={digest}"), bytes)
    };
    assert_eq!(push(&[1; 300]).status, 201);
    let got = push(&[2; 900]);
    assert_eq!((got.status, got.code().as_str()), (403, "DENIED"));
    assert_eq!(
        (got.detail("reason").as_str(), got.detail("object").as_str()),
        ("quota-exceeded", "apps/new")
    );
    assert!(got.detail("rule").starts_with("[[quota]] 1 allows 1.0 KiB"));
}

#[test]
fn outside_of_a_sandbox_a_manifest_lists_only_what_is_there() {
    let scene = Scene::new(Access::sandbox(), false);
    let gone = Descriptor::of(media_type::LAYER_GZIP, b"gone");
    let image = |layer: &Descriptor| {
        let body = json!({ "schemaVersion": 2, "config": scene.config, "layers": [layer] });
        serde_json::to_vec(&body).unwrap()
    };
    let put = |repository: &str, bytes: &[u8]| {
        scene.ask("pusher", "PUT", &format!("/v2/{repository}/manifests/new"), bytes)
    };
    let refused = put(THERE, &image(&gone));
    assert_eq!((refused.status, refused.code().as_str()), (404, "MANIFEST_BLOB_UNKNOWN"));
    assert_eq!(put("sandbox/a", &image(&gone)).status, 201);
    let elsewhere = Descriptor { urls: vec!["https://example.com/layer".into()], ..gone };
    assert_eq!(put(THERE, &image(&elsewhere)).status, 201);
}
