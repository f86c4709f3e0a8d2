//! The page over a socket, of what clients push at the same time; over either database.

use sealift::{
    base::digest::Digest,
    oci::{Descriptor, media_type},
    registry::{Access, Log},
    store::Store,
};
use serde_json::{Value, json};

use crate::support::{
    home::home,
    served::{Answer, Client, Served},
};

struct Site {
    client: Client,
    _served: Served,
    _home: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let home = home();
        let log = Log::of_faults(|failure| panic!("{failure}"));
        let served = Served::start(Store::open(home.path()).unwrap(), Access::sandbox(), log);
        Self { client: Client(served.address), _served: served, _home: home }
    }

    fn blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::of(media_type, bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={}", blob.digest);
        assert_eq!(self.client.ask("POST", &path, &[], bytes).status, 201);
        blob
    }

    fn manifest(&self, repository: &str, target: &str, media_type: &str, body: &Value) -> Descriptor {
        let bytes = serde_json::to_vec(body).unwrap();
        let path = format!("/v2/{repository}/manifests/{target}");
        assert_eq!(self.client.ask("PUT", &path, &[("Content-Type", media_type)], &bytes).status, 201);
        Descriptor::of(media_type, &bytes)
    }

    /// An image with a config, of which it is told what stands there.
    fn image(&self, repository: &str, target: &str, config: &Value) -> Descriptor {
        let config = self.blob(repository, media_type::CONFIG, &serde_json::to_vec(config).unwrap());
        let layer = self.blob(repository, media_type::LAYER_GZIP, b"layer");
        let body = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        self.manifest(repository, target, media_type::MANIFEST, &body)
    }

    fn get(&self, path: &str) -> Answer {
        self.client.ask("GET", path, &[], b"")
    }

    fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
        String::from_utf8(answer.body).unwrap()
    }

    /// Names of repositories or tags on a list.
    fn names(&self, path: &str) -> Vec<String> {
        let page = self.page(path);
        let rows = page.split("role=\"rowheader\"").skip(1);
        rows.map(|row| row.split("href=\"/r/").nth(1).unwrap().split('"').next().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn what_was_pushed_is_found_at_once() {
    let site = Site::new();
    let config = |architecture: &str, label: &str| json!({ "os": "linux", "architecture": architecture, "config": { "Labels": { "env": label } } });
    let one = site.image("sandbox/shop", "amd", &config("amd64", "prod"));
    let mut two = site.image("sandbox/shop", "arm", &config("arm64", "prod"));
    two.platform = serde_json::from_value(json!({ "os": "linux", "architecture": "arm64" })).unwrap();
    let index = json!({ "schemaVersion": 2, "manifests": [one, two] });
    let index = site.manifest("sandbox/shop", "v1", media_type::INDEX, &index);
    site.image("sandbox/tool_x", "v1", &config("amd64", "test"));
    let (shop, tool) = ("sandbox/shop".to_owned(), "sandbox/tool_x".to_owned());
    for (query, found) in [
        ("", vec![shop.clone(), tool.clone()]),
        ("?name=OOL", vec![tool.clone()]),
        ("?name=_", vec![tool.clone()]),
        ("?name=%25", vec![]),
        ("?platform=arm64", vec![shop.clone()]),
        ("?platform=linux%2Famd64&label=env%3Dtest", vec![tool.clone()]),
        ("?label=env", vec![shop.clone(), tool.clone()]),
        ("?moved=within&days=1", vec![shop.clone(), tool.clone()]),
        ("?moved=before&days=1", vec![]),
        (&format!("?after={shop}"), vec![tool.clone()]),
    ] {
        assert_eq!(site.names(&format!("/{query}")), found, "{query}");
    }
    assert_eq!(site.names("/r/sandbox/shop?platform=linux/arm64"), ["sandbox/shop:v1", "sandbox/shop:arm"]);
    assert_eq!(site.names("/r/sandbox/shop?name=V1"), ["sandbox/shop:v1"]);
    let tree = site.page("/r/sandbox/shop:v1");
    for words in [
        &two.digest.to_string(),
        "linux/arm64",
        &format!("podman pull --tls-verify=false x/sandbox/shop@{}", index.digest),
    ] {
        assert!(tree.contains(words), "{words}");
    }
    assert!(site.page(&format!("/r/sandbox/shop@{}", one.digest)).contains("Listed by"));
    // The tag goes elsewhere.
    site.image("sandbox/shop", "v1", &config("s390x", "prod"));
    let history = site.page("/history/sandbox/shop:v1");
    assert_eq!(history.matches("<time ").count(), 2);
    assert!(history.contains(&format!("title=\"{}\"", index.digest)) && history.contains("anyone"));
    let deleted = site.client.ask("DELETE", "/v2/sandbox/shop/manifests/v1", &[], b"");
    assert_eq!((deleted.status, site.get("/r/sandbox/shop:v1").status), (202, 404));
    assert!(site.page("/history/sandbox/shop:v1").contains("taken away"));
}

/// X03: labels that no database holds, or far too many of them, are no matter for who pushes or looks.
#[test]
fn labels_that_cannot_be_searched_stop_nobody() {
    let site = Site::new();
    let many: serde_json::Map<String, Value> =
        (0..2000).map(|number| (format!("k{number}"), json!("v"))).collect();
    for (tag, labels) in [
        ("nul", json!({ "a\0": "b", "c": "d\0", "e": "f" })),
        ("long", json!({ "n".repeat(5000): "b", "c": "v".repeat(50_000), "e": "f" })),
        ("many", Value::Object(many)),
    ] {
        let config = json!({ "os": "linux", "architecture": "amd64", "config": { "Labels": labels } });
        site.image("sandbox/odd", tag, &config);
        assert!(site.page(&format!("/r/sandbox/odd:{tag}")).contains("linux/amd64"), "{tag}");
    }
    let mut found = site.names("/r/sandbox/odd?label=e%3Df");
    found.sort();
    assert_eq!(found, ["sandbox/odd:long", "sandbox/odd:nul"]);
    assert_eq!(site.names("/r/sandbox/odd?label=k0"), ["sandbox/odd:many"]);
}

#[test]
fn other_paths_are_as_they_were() {
    let site = Site::new();
    for path in ["/nothing", "/r", "/history", "/login/x", "/v1/", "/style.css/x"] {
        let answer = site.get(path);
        assert_eq!((answer.status, answer.code().as_str()), (404, "UNSUPPORTED"), "{path}");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'");
    }
    for (path, status) in
        [("/r/sandbox/none", 404), ("/r/Sandbox", 400), ("/history/a", 404), ("/r/a:.x", 404)]
    {
        let answer = site.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
    }
    let style =
        site.page("/").split("href=\"/style.css?").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let style = site.get(&format!("/style.css?{style}"));
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(
        Digest::of(&style.body) != Digest::of(b"") && style.header("cache-control").contains("immutable")
    );
    let head = site.client.ask("HEAD", "/", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    // Counted by few words.
    let metrics = String::from_utf8(site.get("/metrics").body).unwrap();
    for route in ["page-start", "page-repository", "page-style", "page", "other"] {
        assert!(metrics.contains(&format!("requests_total{{route=\"{route}\"")), "{route}: {metrics}");
    }
    assert!(!metrics.contains("Sandbox"));
}
