//! `sealift.lock`: text and meaning agree, and differences are told.

use std::path::Path;

use proptest::prelude::*;
use sealift::{
    base::{digest::Digest, failure::Reason},
    lock::{self, ChangeKind, Lock, LockedChart, LockedDependency, LockedFile, LockedImage, LockedReferrer},
    manifest,
    oci::{Descriptor, media_type},
};

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

fn root(number: u8) -> Descriptor {
    Descriptor::new(media_type::MANIFEST, digest(number), 500)
}

fn image(name: &str, number: u8) -> LockedImage {
    LockedImage {
        name: name.into(),
        wanted: format!("{name} platforms=all referrers=all"),
        also: Vec::new(),
        root: root(number),
        total: 5000,
        platforms: vec!["linux/amd64".into()],
        absent: Vec::new(),
        referrers: Vec::new(),
    }
}

fn referrer(number: u8) -> LockedReferrer {
    LockedReferrer {
        subject: digest(1),
        digest: digest(number),
        media_type: media_type::MANIFEST.into(),
        size: 700,
        artifact_type: Some("application/spdx+json".into()),
        tag: None,
    }
}

fn chart(version: &str, number: u8) -> LockedChart {
    LockedChart {
        name: format!("charts.example.com/web:{version}"),
        wanted: "https://charts.example.com web version=^1".into(),
        also: Vec::new(),
        version: version.into(),
        url: format!("https://charts.example.com/web-{version}.tgz"),
        root: root(number),
        total: 9000,
        archive: digest(number + 100),
        provenance: None,
        dependencies: vec![LockedDependency {
            name: "common".into(),
            version: "2.0.0".into(),
            url: "https://charts.example.com/common-2.0.0.tgz".into(),
            archive: digest(7),
            dependencies: Vec::new(),
        }],
    }
}

fn file(number: u8) -> LockedFile {
    LockedFile {
        name: "files/tool:1.0".into(),
        wanted: "https://example.com/tool name=tool version=1.0 media_type=application/octet-stream".into(),
        url: "https://example.com/tool".into(),
        root: root(number),
        total: 2000,
        content: digest(number + 100),
        expected: false,
    }
}

fn example() -> Lock {
    Lock {
        created: "2026-11-21T00:00:00Z".into(),
        images: vec![LockedImage {
            absent: vec![digest(9)],
            referrers: vec![LockedReferrer { tag: Some("sha256-00.sig".into()), ..referrer(3) }],
            ..image("docker.io/library/nginx:1.27", 1)
        }],
        charts: vec![chart("1.0.0", 10)],
        files: vec![file(20)],
    }
}

fn parse(text: &str) -> Result<Lock, Reason> {
    lock::parse(text, Path::new("sealift.lock")).map_err(|failure| failure.reason)
}

#[test]
fn the_text_is_made_for_review() {
    let text = lock::render(&example());
    assert_eq!(parse(&text).unwrap(), example());
    let documented =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lock.md")).unwrap();
    assert!(documented.contains(&text), "docs/lock.md does not show this lock:\n{text}");
}

#[test]
fn order_in_memory_does_not_show() {
    let mut lock = example();
    lock.images.push(image("docker.io/library/alpine:3.20", 2));
    lock.images[0].platforms = vec!["linux/arm64".into(), "linux/amd64".into()];
    let mut other = lock.clone();
    other.images.reverse();
    other.images[1].platforms.reverse();
    assert_eq!(lock::render(&lock), lock::render(&other));
}

#[test]
fn what_sealift_would_not_write_is_refused() {
    let text = lock::render(&example());
    let edits: &[(&str, &str, Reason)] = &[
        ("schema = 1", "schema = 2", Reason::FormatVersion),
        ("schema = 1\n", "", Reason::LockMalformed),
        ("schema = 1", "schema = \"1\"", Reason::LockMalformed),
        ("total = 5000", "total = 5000\nextra = 1", Reason::LockMalformed),
        ("total = 5000\n", "", Reason::LockMalformed),
        ("total = 5000", "total = -1", Reason::LockMalformed),
        ("total = 5000", "total = 1", Reason::LockMalformed),
        ("total = 5000", "total = 5000\ntotal = 5000", Reason::LockMalformed),
        ("2026-11-21T00:00:00Z", "yesterday", Reason::LockMalformed),
        ("sha256:", "md5:", Reason::LockMalformed),
        ("docker.io/library/nginx:1.27\"", "nginx:1.27\"", Reason::LockMalformed),
        ("docker.io/library/nginx:1.27\"", "docker.io/library/nginx\"", Reason::LockMalformed),
        ("files/tool:1.0\"", "files/../tool:1.0\"", Reason::LockMalformed),
        ("charts.example.com/web:1.0.0\"", "docker.io/library/nginx:1.27\"", Reason::LockMalformed),
        ("linux/amd64", "linux", Reason::LockMalformed),
        ("sha256-00.sig", "../x", Reason::LockMalformed),
        (media_type::MANIFEST, "text/plain", Reason::LockMalformed),
        ("[[files]]", "[[file]]", Reason::LockMalformed),
        ("expected = false", "expected = ", Reason::LockMalformed),
    ];
    for (from, to, reason) in edits {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from} does not occur");
        assert_eq!(parse(&edited).unwrap_err(), *reason, "{from} -> {to}");
    }
    assert_eq!(parse("").unwrap_err(), Reason::LockMalformed);
}

#[test]
fn faults_have_a_place() {
    let text = lock::render(&example()).replace("total = 5000", "total = \"ü\"");
    let failure = lock::parse(&text, Path::new("a/sealift.lock")).unwrap_err();
    let line = text.lines().position(|line| line.starts_with("total")).unwrap() + 1;
    assert_eq!(failure.object, format!("a/sealift.lock:{line}:9"));
}

#[test]
fn differences_are_told_by_entry() {
    let old = example();
    assert_eq!(lock::diff(&old, &old), []);
    assert_eq!(lock::diff(&old, &Lock { created: "2027-01-01T00:00:00Z".into(), ..old.clone() }), []);

    let mut new = old.clone();
    new.images[0].root = root(2);
    new.images.push(image("quay.io/a/b:1", 4));
    new.charts = vec![chart("1.1.0", 11)];
    new.files.clear();
    let changes = lock::diff(&old, &new);
    let told: Vec<(ChangeKind, &str)> =
        changes.iter().map(|change| (change.kind, change.name.as_str())).collect();
    assert_eq!(
        told,
        [
            (ChangeKind::Changed, "docker.io/library/nginx:1.27"),
            (ChangeKind::Added, "quay.io/a/b:1"),
            (ChangeKind::Changed, "charts.example.com/web:1.1.0"),
            (ChangeKind::Removed, "files/tool:1.0"),
        ]
    );
    assert_eq!(
        changes[0].to_string(),
        format!("changed image docker.io/library/nginx:1.27: {} -> {}", digest(1), digest(2))
    );
    assert_eq!(
        changes[2].to_string(),
        format!("changed chart charts.example.com/web:1.1.0: 1.0.0 {} -> 1.1.0 {}", digest(10), digest(11))
    );
}

#[test]
fn a_new_signature_is_drift_too() {
    let old = example();
    let mut new = old.clone();
    new.images[0].referrers.push(referrer(5));
    let changes = lock::diff(&old, &new);
    assert_eq!(
        changes[0].to_string(),
        format!("changed image docker.io/library/nginx:1.27: +referrer {}", digest(5))
    );
}

#[test]
fn a_lock_answers_its_manifest_or_says_what_is_missing() {
    let text = "bundle = { name = \"x\", version = \"1\" }\nimages = [{ image = \"nginx:1.27\" }]\n\
                files = [{ url = \"https://example.com/other\" }]";
    let manifest = manifest::parse(text, Path::new("x"), &mut |_path| Ok(String::new())).unwrap();
    assert_eq!(
        lock::covers(&example(), &manifest),
        [
            "no longer wanted: chart charts.example.com/web:1.0.0",
            "not locked: file https://example.com/other name=other version=latest \
             media_type=application/octet-stream",
            "no longer wanted: file files/tool:1.0",
        ]
    );
    let lock = Lock {
        files: vec![LockedFile { wanted: manifest.files[0].wanted(), ..file(20) }],
        charts: Vec::new(),
        ..example()
    };
    assert_eq!(lock::covers(&lock, &manifest), Vec::<String>::new());

    // A request that is gone makes the lock another, even where a second one wants the same.
    let mut lock = lock;
    lock.images[0].also = vec!["docker.io/library/nginx {latest=1} platforms=all referrers=all".into()];
    assert_eq!(lock::covers(&lock, &manifest).len(), 1);
    let wanted = std::mem::replace(&mut lock.images[0].wanted, "a request that is gone".into());
    lock.images[0].also = vec![wanted];
    assert_eq!(lock::covers(&lock, &manifest).len(), 1);
}

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 8]>().prop_map(|bytes| Digest::of(&bytes))
}

fn any_root() -> impl Strategy<Value = (Descriptor, u64)> {
    let kinds = prop::sample::select(vec![media_type::INDEX, media_type::MANIFEST, media_type::DOCKER_LIST]);
    (kinds, any_digest(), 0..1u64 << 62, 0..1u64 << 62, prop::option::of(".*")).prop_map(
        |(kind, digest, size, more, artifact_type)| {
            (Descriptor { artifact_type, ..Descriptor::new(kind, digest, size) }, size + more)
        },
    )
}

fn any_referrer() -> impl Strategy<Value = LockedReferrer> {
    (
        any_digest(),
        any_digest(),
        0..1u64 << 62,
        prop::option::of(".*"),
        prop::option::of("[a-z0-9_][a-z.-]{0,9}"),
    )
        .prop_map(|(subject, digest, size, artifact_type, tag)| LockedReferrer {
            subject,
            digest,
            media_type: media_type::MANIFEST.into(),
            size,
            artifact_type,
            tag,
        })
}

prop_compose! {
    fn any_image()(
        name in "[a-z]{1,3}\\.io/[a-z]{1,9}:[a-z0-9]{1,9}",
        (wanted, mut also) in (".*", prop::collection::vec(".*", 0..3)),
        (root, total) in any_root(),
        mut platforms in prop::collection::vec("[a-z]{1,5}/[a-z]{6,8}(/v[0-9])?", 0..4),
        mut absent in prop::collection::vec(any_digest(), 0..4),
        mut referrers in prop::collection::vec(any_referrer(), 0..4),
    ) -> LockedImage {
        also.sort();
        platforms.sort();
        absent.sort();
        referrers.sort();
        LockedImage { name, wanted, also, root, total, platforms, absent, referrers }
    }
}

prop_compose! {
    fn any_chart()(
        (name, wanted, version, url) in ("[a-z]{1,3}\\.com/[a-z]{1,9}:[0-9]{1,9}", ".*", ".*", ".*"),
        (root, total) in any_root(),
        archive in any_digest(),
        provenance in prop::option::of(any_digest()),
        dependency in prop::option::of((".*", ".*", ".*", any_digest())),
    ) -> LockedChart {
        let dependencies = dependency
            .into_iter()
            .map(|(name, version, url, archive)| LockedDependency {
                name,
                version,
                url,
                archive,
                dependencies: Vec::new(),
            })
            .collect();
        let also = Vec::new();
        LockedChart { name, wanted, also, version, url, root, total, archive, provenance, dependencies }
    }
}

prop_compose! {
    fn any_file()(
        (name, wanted, url) in ("files/[a-z]{1,9}:[0-9]{1,9}", ".*", ".*"),
        (root, total) in any_root(),
        content in any_digest(),
        expected in any::<bool>(),
    ) -> LockedFile {
        LockedFile { name, wanted, url, root, total, content, expected }
    }
}

prop_compose! {
    fn any_lock()(
        seconds in 0u64..253_402_300_799,
        mut images in prop::collection::vec(any_image(), 0..4),
        mut charts in prop::collection::vec(any_chart(), 0..4),
        mut files in prop::collection::vec(any_file(), 0..4),
    ) -> Lock {
        images.sort_by(|a, b| a.name.cmp(&b.name));
        images.dedup_by(|a, b| a.name == b.name);
        charts.sort_by(|a, b| a.name.cmp(&b.name));
        charts.dedup_by(|a, b| a.name == b.name);
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.dedup_by(|a, b| a.name == b.name);
        let created = sealift::base::clock::Timestamp::from_seconds(seconds).unwrap().to_string();
        Lock { created, images, charts, files }
    }
}

proptest! {
    #[test]
    fn locks_go_to_text_and_back(lock in any_lock()) {
        let text = lock::render(&lock);
        prop_assert_eq!(parse(&text).unwrap(), lock);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,100}", at in 0usize..2000, insert in ".{0,2}") {
        let _refused = parse(&text);
        let whole = lock::render(&example());
        let damaged: String = whole.chars().take(at).chain(insert.chars()).chain(whole.chars().skip(at + 1)).collect();
        let _refused = parse(&damaged);
    }
}
