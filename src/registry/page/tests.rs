//! Every page, method and role against the whole application, and pages of what hostile people pushed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::{
    oci::{Descriptor, Document, media_type},
    registry::{
        Access,
        tests::{Got, HIDDEN, METHODS, ROLES, Scene, THERE},
    },
    store::{Author, Publication, PublishedManifest, PublishedTag},
};

/// Which of the pages it is. One more of them does not compile without a line here.
fn number(view: &View) -> usize {
    match view {
        View::Start => 0,
        View::Login => 1,
        View::Style => 2,
        View::Repository { .. } => 3,
        View::Manifest { .. } => 4,
        View::History { .. } => 5,
        View::Api => 6,
    }
}
const PAGES: usize = 7;

/// A path of each page, and those that show something of `repository` with nothing that is there behind it.
fn paths(repository: &str) -> Vec<String> {
    let digest = Digest::of(b"not here");
    let shown = ["r/{}", "r/{}:none", "r/{}@DIGEST", "history/{}:none"];
    let shown = shown
        .map(|path| format!("/{}", path.replace("{}", repository).replace("DIGEST", &digest.to_string())));
    ["/", "/login", "/style.css", "/api/v1"].map(str::to_owned).into_iter().chain(shown).collect()
}

fn text(got: &Got) -> String {
    String::from_utf8(got.body.clone()).unwrap()
}

fn header<'a>(got: &'a Got, name: &str) -> &'a str {
    got.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[test]
fn every_page_asks_for_the_right_to_pull() {
    let view = |path: &String| View::parse(&path.parse().unwrap()).unwrap();
    let kinds: BTreeSet<usize> = paths(THERE).iter().map(|path| number(&view(path))).collect();
    assert_eq!(kinds, (0..PAGES).collect());
    for login in [false, true] {
        let scene = Scene::new(Access::default(), login);
        for path in paths(THERE) {
            for method in METHODS {
                for (role, may) in ROLES {
                    let got = scene.ask(role, method, &path, b"");
                    let anonymous = role == "anonymous";
                    let at = format!("{role} {method} {path} login {login}: {}", got.status);
                    assert_eq!(header(&got, "content-security-policy"), POLICY, "{at}");
                    assert_eq!(header(&got, "x-content-type-options"), "nosniff", "{at}");
                    assert_eq!(header(&got, "referrer-policy"), "no-referrer", "{at}");
                    let wanted = match (number(&view(&path)), method) {
                        (_, method) if !["GET", "HEAD"].contains(&method) => 405,
                        (1, _) if anonymous => 401,
                        (1, _) => 303,
                        (0 | 2 | 6, _) => 200,
                        (3, _) if may.contains(&Right::Pull) => 200,
                        _ if may.contains(&Right::Pull) || !(anonymous && login) => 404,
                        _ => 303,
                    };
                    assert_eq!(got.status, wanted, "{at}");
                    let challenge = header(&got, "www-authenticate");
                    assert_eq!(challenge.starts_with("Basic "), wanted == 401, "{at}");
                    if wanted == 303 && anonymous {
                        assert_eq!(
                            header(&got, "location"),
                            format!("/login?to={}", percent_encoded(&path)),
                            "{at}"
                        );
                    }
                    let kept = if wanted == 200 && path == "/style.css" { "public" } else { "no-store" };
                    assert!(header(&got, "cache-control").starts_with(kept), "{at}");
                }
            }
        }
    }
}

/// R17
#[test]
fn a_page_of_what_is_not_shown_is_that_of_what_is_not_there() {
    for login in [false, true] {
        let scene = Scene::new(Access::default(), login);
        for (path, other) in paths(HIDDEN).iter().zip(&paths("hidden/nonex")) {
            let known = path
                .replace("none", "v1")
                .replace(Digest::of(b"not here").hex(), Digest::of(&scene.image).hex());
            for (role, _) in ROLES {
                let answer = |path: &str| {
                    let (status, headers, body) = scene.ask(role, "GET", path, b"").seen();
                    // All that differs is what was asked for.
                    let same =
                        |text: String| text.replace(&percent_encoded(path), "PATH").replace("nonex", "there");
                    (status, same(headers), same(body))
                };
                assert_eq!(answer(path), answer(other), "{role} {path}");
                assert_eq!(answer(&known), answer(other), "{role} {known}");
            }
        }
    }
}

/// R17
#[test]
fn the_start_shows_what_may_be_pulled() {
    let scene = Scene::new(Access::default(), true);
    let names = |role: &str, query: &str| {
        let page = text(&scene.ask(role, "GET", &format!("/{query}"), b""));
        let links = page.split("href=\"/r/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        links.collect::<Vec<_>>()
    };
    assert_eq!(names("reader", ""), [THERE, "apps/z"]);
    assert_eq!(names("reader", "?name=z"), ["apps/z"]);
    assert_eq!(names("reader", &format!("?after={THERE}")), ["apps/z"]);
    assert!(names("reader", "?label=nothing").is_empty());
    assert!(names("stranger", "").is_empty());
    let anonymous = text(&scene.ask("anonymous", "GET", "/", b""));
    assert!(anonymous.contains("href=\"/login?to=/\"") && !anonymous.contains("href=\"/r/"));
    let reader = text(&scene.ask("reader", "GET", "/", b""));
    assert!(reader.contains("user:kim") && !reader.contains("/login"));
    assert_eq!(scene.ask("reader", "GET", "/?days=0", b"").status, 400);
    assert_eq!(scene.ask("reader", "GET", &format!("/r/{THERE}?after=x"), b"").status, 400);
}

#[test]
fn what_is_there_has_pages() {
    let scene = Scene::new(Access::default(), false);
    let digest = Digest::of(&scene.image);
    for (path, words) in [
        (
            format!("/r/{THERE}"),
            vec![format!("href=\"/r/{THERE}:v1\""), format!("href=\"/history/{THERE}:v1\"")],
        ),
        (
            format!("/r/{THERE}:v1"),
            vec![format!("podman pull REGISTRY/{THERE}@{digest}"), digest.to_string()],
        ),
        (format!("/r/{THERE}@{digest}"), vec![format!("href=\"/r/{THERE}:v1\""), "Config".to_owned()]),
        (format!("/history/{THERE}:v1"), vec!["somebody".to_owned(), "nowhere".to_owned()]),
    ] {
        let got = scene.ask("reader", "GET", &path, b"");
        assert_eq!(got.status, 200, "{path}");
        for words in words {
            assert!(text(&got).contains(&words), "{path} {words}: {}", text(&got));
        }
    }
    let blob = text(&scene.ask("reader", "GET", &format!("/r/{THERE}:v1"), b""));
    let blob = blob.split("href=\"/v2/").nth(2).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(scene.ask("reader", "GET", &format!("/v2/{blob}"), b"").status, 200);
}

/// J22: whatever was pushed is text on a page.
#[test]
fn hostile_content_is_text() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    const QUOTE: &str = "\"><img src=x onerror=alert(1)>";
    const LINK: &str = "javascript:alert(1)";
    let scene = Scene::new(Access::default(), false);
    let store = &scene.registry.store;
    let put = |media_type: &str, bytes: &[u8]| {
        let blob = Descriptor::of(media_type, bytes);
        store.put(&blob, bytes).unwrap();
        blob
    };
    let hostile = json!({ "os": QUOTE, "architecture": SCRIPT, "created": SCRIPT,
        "config": { "Labels": { SCRIPT: LINK, "url": LINK, "q": QUOTE } } });
    let config = put(media_type::CONFIG, &serde_json::to_vec(&hostile).unwrap());
    let mut layer = put(QUOTE, b"layer");
    layer.annotations = [("org.opencontainers.image.title".to_owned(), SCRIPT.to_owned())].into();
    layer.urls = vec![LINK.into()];
    let notes = json!({ "org.opencontainers.image.url": LINK, SCRIPT: QUOTE, "dir": "\u{202e}gnp.exe" });
    let publish = |media_type: &str, body: &Value, tag: &str, children: Vec<Digest>| {
        let bytes = serde_json::to_vec(body).unwrap();
        let root = put(media_type, &bytes);
        let document = Document::parse(&bytes, media_type).unwrap();
        let blobs =
            if children.is_empty() { vec![config.clone(), Descriptor::of(QUOTE, b"layer")] } else { vec![] };
        let manifest = PublishedManifest::new(THERE, root.clone(), &document, blobs, children);
        let tag = PublishedTag { repository: THERE.into(), tag: tag.into(), digest: root.digest.clone() };
        let author = Author { who: SCRIPT.into(), time: Timestamp::now() };
        store.publish(&Publication { manifests: vec![manifest], tags: vec![tag] }, &author).unwrap();
        root
    };
    let body = json!({ "schemaVersion": 2, "config": config, "layers": [layer], "annotations": notes });
    let image = publish(media_type::MANIFEST, &body, "evil", vec![]);
    let about = json!({ "schemaVersion": 2, "config": config, "layers": [layer], "annotations": notes,
        "artifactType": QUOTE, "subject": image });
    let referrer = publish(media_type::MANIFEST, &about, "about", vec![]);
    let mut child = image.clone();
    child.platform = serde_json::from_value(json!({ "os": SCRIPT, "architecture": QUOTE })).unwrap();
    let index = json!({ "schemaVersion": 2, "manifests": [child], "annotations": notes });
    let index = publish(media_type::INDEX, &index, "index", vec![image.digest.clone()]);
    let mut seen = 0;
    for path in [
        "/?name=%3Cscript%3Ealert(1)%3C/script%3E&label=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E"
            .to_owned(),
        format!("/r/{THERE}"),
        format!("/r/{THERE}:evil"),
        format!("/r/{THERE}@{}", referrer.digest),
        format!("/r/{THERE}@{}", index.digest),
        format!("/history/{THERE}:evil"),
    ] {
        let got = scene.ask("reader", "GET", &path, b"");
        assert_eq!(got.status, 200, "{path}");
        let page = text(&got);
        assert!(
            !page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}'),
            "{path}: {page}"
        );
        seen += page.matches("&#60;script").count();
        for attribute in ["href=\"", "src=\"", "action=\""] {
            for value in page.split(attribute).skip(1) {
                let ours = value.starts_with('/')
                    || value.starts_with("#main")
                    || value.starts_with("data:image/svg+xml,");
                assert!(ours && !value.starts_with("//"), "{path}: {}", value.split('"').next().unwrap());
            }
        }
    }
    assert!(seen > 10, "it is shown: {seen}");
}

/// R11: no page shows what a config says that only another repository has, nor finds anything by it.
#[test]
fn a_config_of_another_repository_is_on_no_page() {
    let scene = Scene::new(Access::default(), false);
    let store = &scene.registry.store;
    let put = |media_type: &str, bytes: &[u8]| {
        let blob = Descriptor::of(media_type, bytes);
        store.put(&blob, bytes).unwrap();
        blob
    };
    let secret = json!({ "os": "plan9", "architecture": "mips", "created": "1999-12-31T23:59:59Z",
        "config": { "Labels": { "codename": "nightingale" } } });
    let config = put(media_type::CONFIG, &serde_json::to_vec(&secret).unwrap());
    let body = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    let bytes = serde_json::to_vec(&body).unwrap();
    let root = put(media_type::MANIFEST, &bytes);
    let document = Document::parse(&bytes, media_type::MANIFEST).unwrap();
    let publish = |repository: &str, blobs: Vec<Descriptor>| {
        let manifest = PublishedManifest::new(repository, root.clone(), &document, blobs, vec![]);
        let tag =
            PublishedTag { repository: repository.into(), tag: "stolen".into(), digest: root.digest.clone() };
        let author = Author { who: "somebody".into(), time: Timestamp::now() };
        store.publish(&Publication { manifests: vec![manifest], tags: vec![tag] }, &author).unwrap();
    };
    publish(HIDDEN, vec![config.clone()]);
    publish(THERE, vec![]);
    let told = |page: &str| ["plan9", "nightingale", "1999"].iter().any(|word| page.contains(word));
    let pages = |repository: &str| {
        let digest = &root.digest;
        ["", ":stolen", &format!("@{digest}")].map(|target| format!("/r/{repository}{target}"))
    };
    for path in pages(THERE) {
        let got = scene.ask("reader", "GET", &path, b"");
        assert_eq!(got.status, 200, "{path}");
        assert!(!told(&text(&got)), "{path}");
    }
    for query in ["platform=plan9", "label=codename", "label=codename%3Dnightingale"] {
        let got = text(&scene.ask("reader", "GET", &format!("/?{query}"), b""));
        assert!(!got.contains(&format!("href=\"/r/{THERE}\"")), "{query}");
        let got = text(&scene.ask("reader", "GET", &format!("/r/{THERE}?{query}"), b""));
        assert!(!got.contains("stolen"), "{query}");
    }
    // The same where it has it: so that is what the pages above would show.
    publish("apps/own", vec![config.clone()]);
    let own = pages("apps/own").map(|path| text(&scene.ask("reader", "GET", &path, b"")));
    assert!(own.iter().all(|page| told(page)));
    let found = text(&scene.ask("reader", "GET", "/?label=codename%3Dnightingale", b""));
    assert!(found.contains("href=\"/r/apps/own\"") && !found.contains(&format!("href=\"/r/{THERE}\"")));
}
