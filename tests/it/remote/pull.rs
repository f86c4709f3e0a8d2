//! What must work in spite of everything: resume, retry, lists, mirrors, limits.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sealift::{
    base::{digest::Digest, failure::Reason, progress::Progress},
    manifest::RegistrySettings,
    oci::{Descriptor, Reference, media_type},
    remote::Client,
};

use super::{World, blob_path, content, manifest, manifest_answer, ranged, settings};
use crate::support::origin::{Answer, Body, Seen};

/// The `Range` of every request.
fn ranges(world: &World) -> Vec<Option<String>> {
    world.registry.seen().iter().map(|seen| seen.header("range").map(str::to_owned)).collect()
}

/// Half of the content lies in the store from an earlier run.
fn begin(world: &World, bytes: &[u8]) {
    let mut writer = world.store.writer(&Digest::of(&content())).unwrap();
    writer.write(bytes).unwrap();
}

#[tokio::test]
async fn a_cut_blob_goes_on_where_it_broke_off() {
    let world = World::new(|seen| match seen.count {
        0 => Answer::with(200, Body::Cut(content(), 150_000)),
        1 => Answer::new(500, ""),
        _ => ranged(seen, &content()),
    })
    .await;
    world.blob(&content()).await.unwrap();
    assert!(world.has(&content()));
    let ranges = ranges(&world);
    assert_eq!((ranges.len(), ranges[0].as_deref()), (3, None));
    assert!(ranges[1].is_some() && ranges[1] == ranges[2], "{ranges:?}");
}

#[tokio::test]
async fn an_earlier_run_is_gone_on_with() {
    let world = World::new(|seen| ranged(seen, &content())).await;
    begin(&world, &content()[..250_000]);
    world.blob(&content()).await.unwrap();
    assert!(world.has(&content()));
    assert_eq!(ranges(&world), [Some("bytes=250000-".to_owned())]);
}

#[tokio::test]
async fn a_whole_earlier_run_needs_no_request() {
    let world = World::new(|_| Answer::new(500, "")).await;
    begin(&world, &content());
    world.blob(&content()).await.unwrap();
    assert!(world.has(&content()) && ranges(&world).is_empty());
}

#[tokio::test]
async fn a_damaged_earlier_run_is_begun_anew() {
    let world = World::new(|seen| ranged(seen, &content())).await;
    begin(&world, &[7; 1000]);
    world.blob(&content()).await.unwrap();
    assert!(world.has(&content()));
    assert_eq!(ranges(&world), [Some("bytes=1000-".to_owned()), None]);
}

#[tokio::test]
async fn ranges_that_are_ignored_or_wrong_do_no_harm() {
    let wrong = |seen: &Seen| {
        Answer::new(206, &content()[5..])
            .header("Content-Range", "bytes 5-399999/400000")
            .header("X-Asked", seen.header("range").unwrap())
    };
    for (name, first, requests) in [
        (
            "ignored",
            Box::new(|_: &Seen| Answer::new(200, content())) as Box<dyn Fn(&Seen) -> Answer + Send + Sync>,
            1,
        ),
        ("wrong", Box::new(wrong), 2),
        ("refused", Box::new(|_: &Seen| Answer::new(416, "")), 2),
    ] {
        let world = World::new(move |seen| {
            if seen.header("range").is_some() { first(seen) } else { Answer::new(200, content()) }
        })
        .await;
        begin(&world, &content()[..250_000]);
        world.blob(&content()).await.unwrap();
        assert!(world.has(&content()), "{name}");
        assert_eq!(world.registry.seen().len(), requests, "{name}");
    }
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let world = World::new(|_| Answer::new(200, "")).await;
    world.blob(b"").await.unwrap();
    assert!(world.has(b""));
}

#[tokio::test]
async fn chunked_bodies_of_the_right_length_are_fine() {
    let world = World::new(|_| Answer::with(200, Body::Chunked(content()))).await;
    world.blob(&content()).await.unwrap();
    assert!(world.has(&content()));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let world = World::new(|seen| match seen.count {
        0 => Answer::new(429, "").header("Retry-After", "1"),
        _ => manifest_answer(),
    })
    .await;
    let begun = Instant::now();
    assert!(world.client.manifest(&world.reference()).await.unwrap().is_some());
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_file_is_joined_only_from_one_version() {
    for (name, tag, requests) in [("same", "\"a\"", 2), ("weak", "W/\"a\"", 2)] {
        let world = World::new(move |seen| {
            let answer = match seen.count {
                0 => Answer::with(200, Body::Cut(content(), 100_000)),
                _ => ranged(seen, &content()),
            };
            answer.header("ETag", tag)
        })
        .await;
        let writer = world.store.scratch(Digest::of(b"").algorithm()).unwrap();
        let writer = world.client.file(&world.url("/tool"), writer, 1 << 20).await.unwrap();
        assert_eq!(writer.digest(), Digest::of(&content()), "{name}");
        let seen = world.registry.seen();
        assert_eq!(seen.len(), requests);
        let strong = name == "same";
        assert_eq!(seen[1].header("range").is_some(), strong, "{name}");
        assert_eq!(seen[1].header("if-range"), strong.then_some(tag), "{name}");
    }
}

#[tokio::test]
async fn documents_are_small_and_may_be_missing() {
    let world = World::new(|seen| match seen.path() {
        "/index.yaml" => Answer::new(200, "entries: {}"),
        "/forbidden" => Answer::new(403, ""),
        "/private" => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        _ => Answer::new(404, ""),
    })
    .await;
    let get = |path: &str, limit| {
        let (client, url) = (world.client.clone(), world.url(path));
        async move { client.document(&url, limit).await }
    };
    assert_eq!(get("/index.yaml", 11).await.unwrap().unwrap(), "entries: {}");
    assert_eq!(get("/index.yaml", 10).await.unwrap_err().reason, Reason::UpstreamLimit);
    assert_eq!(get("/none", 10).await.unwrap(), None);
    assert_eq!(get("/forbidden", 10).await.unwrap_err().reason, Reason::HttpStatus);
    for path in ["/forbidden", "/private", "/none"] {
        assert_eq!(world.client.companion(&world.url(path), 10).await.unwrap(), None, "{path}");
    }
    let encoding: Vec<_> =
        world.registry.seen().iter().map(|seen| seen.header("accept-encoding").map(str::to_owned)).collect();
    assert!(encoding.iter().all(|value| value.as_deref() == Some("identity")), "{encoding:?}");
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_not_begun() {
    let world = World::new(|_| Answer::with(200, Body::Huge)).await;
    let writer = world.store.scratch(Digest::of(b"").algorithm()).unwrap();
    let failure = world.client.file(&world.url("/tool"), writer, u64::MAX).await.unwrap_err();
    assert_eq!(failure.reason, Reason::DiskFull);
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let world = World::new(|seen| match seen.target.as_str() {
        "/v2/team/app/tags/list?n=1000" => Answer::new(200, "{\"tags\":[\"b\",\"a\"]}")
            .header("Link", "</v2/team/app/tags/list?last=a&n=1000>; rel=\"next\""),
        "/v2/team/app/tags/list?last=a&n=1000" => Answer::new(200, "{\"tags\":[\"c\",\"\\u001b[2J\"]}"),
        _ => Answer::new(200, "{\"tags\":null}"),
    })
    .await;
    assert_eq!(world.client.tags(&world.reference()).await.unwrap(), ["b", "a", "c"]);
    let empty = Reference::parse(&format!("{}/empty", world.registry.name())).unwrap();
    assert!(world.client.tags(&empty).await.unwrap().is_empty());
}

#[tokio::test]
async fn referrers_come_from_the_api_or_the_tag() {
    let entry = Descriptor::of(media_type::MANIFEST, b"signature");
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, serde_json::to_string(&entry).unwrap());
    for api in [true, false] {
        let index = index.clone();
        let world = World::new(move |seen| {
            let here = if api { "/referrers/" } else { "/manifests/sha256-" };
            if seen.path().contains(here) {
                Answer::new(200, index.clone()).header("Content-Type", media_type::INDEX)
            } else {
                Answer::new(404, "{}")
            }
        })
        .await;
        let subject = world.reference().with_digest(&Digest::of(&manifest()));
        assert_eq!(world.client.referrers(&subject).await.unwrap(), std::slice::from_ref(&entry));
    }
}

#[tokio::test]
async fn a_manifest_may_be_missing_or_untyped() {
    let world = World::new(|seen| match seen.path() {
        "/v2/team/app/manifests/1.0" => Answer::new(200, manifest()),
        _ => Answer::new(404, ""),
    })
    .await;
    let got = world.client.manifest(&world.reference()).await.unwrap().unwrap();
    assert_eq!(got.descriptor, Descriptor::of(media_type::MANIFEST, &manifest()));
    assert_eq!(world.client.manifest(&world.reference().with_tag("2")).await.unwrap().map(|_| ()), None);
    assert_eq!(world.client.manifest_head(&world.reference().with_tag("2")).await.unwrap(), None);
    // A HEAD that says too little is made up for by the bytes.
    let told = world.client.manifest_head(&world.reference()).await.unwrap().unwrap();
    assert_eq!(told.digest, Digest::of(&manifest()));
}

#[tokio::test]
async fn a_mirror_is_asked_instead() {
    let world = World::new(|_| manifest_answer()).await;
    let mut settings = settings();
    let mirror = RegistrySettings {
        mirror: Some(format!("{}/hub", world.registry.name())),
        ..RegistrySettings::default()
    };
    settings.registries.insert("docker.io".to_owned(), mirror);
    let client = Client::new(settings, Arc::new(sealift::base::progress::Silent)).unwrap();
    assert!(client.manifest(&Reference::parse("nginx:1.27").unwrap()).await.unwrap().is_some());
    assert_eq!(world.registry.seen()[0].path(), "/v2/hub/library/nginx/manifests/1.27");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_not_pressed_harder_than_set() {
    let world = World::with(
        |seen| ranged(seen, &content()),
        |registry, mut settings| {
            let slow = RegistrySettings { requests_per_second: Some(20), ..RegistrySettings::default() };
            settings.registries.insert(registry.to_owned(), slow);
            settings
        },
    )
    .await;
    let begun = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (client, reference) = (world.client.clone(), world.reference());
        let blob = Descriptor::of("x", &content());
        let writer = world.store.scratch(blob.digest.algorithm()).unwrap();
        all.spawn(async move { client.blob(&reference, &blob, writer).await });
    }
    for done in all.join_all().await {
        done.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[derive(Default)]
struct Counting {
    bytes: AtomicU64,
    notes: Mutex<Vec<String>>,
}

impl Progress for Counting {
    fn start(&self, _what: &str, _total: u64) {}
    fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    fn finish(&self) {}
    fn note(&self, line: &str) {
        self.notes.lock().unwrap().push(line.to_owned());
    }
}

#[tokio::test]
async fn progress_counts_every_byte_once() {
    // No ranges: after the cut everything is sent again.
    let world = World::new(|seen| match seen.count {
        0 => Answer::with(200, Body::Cut(content(), 150_000)),
        _ => Answer::new(200, content()),
    })
    .await;
    begin(&world, &content()[..100_000]);
    let counting = Arc::new(Counting::default());
    let progress: Arc<dyn Progress> = Arc::<Counting>::clone(&counting);
    let client = Client::new(settings(), progress).unwrap();
    let blob = Descriptor::of("x", &content());
    let writer = world.store.writer(&blob.digest).unwrap();
    client.blob(&world.reference(), &blob, writer).await.unwrap();
    assert_eq!(counting.bytes.load(Ordering::Relaxed), 400_000);
    let notes = counting.notes.lock().unwrap();
    assert!(notes.len() == 1 && notes[0].contains(&blob_path(&content())), "{notes:?}");
}
