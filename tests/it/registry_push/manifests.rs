//! Manifests and tags: what they hold, and who wins.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use sealift::{
    base::{digest::Digest, limits},
    oci::{Descriptor, media_type},
};
use serde_json::{Value, json};

use super::{REPOSITORY, home, image, parsed, request, sandbox};

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

/// A client of a registry without the list keeps it itself, under the fallback tag, and pushes that here too.
#[test]
fn what_a_fallback_tag_lists_is_a_referrer() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::EMPTY, b"{}");
    let push = |target: Option<&str>, body: &Value| {
        let bytes = serde_json::to_vec(body).unwrap();
        let media_type = body["mediaType"].as_str().unwrap();
        let digest = Digest::of(&bytes).to_string();
        let path = format!("/v2/{REPOSITORY}/manifests/{}", target.unwrap_or(&digest));
        let answer = server.ask("PUT", &path, &[("Content-Type", media_type)], &bytes);
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        Descriptor::of(media_type, &bytes)
    };
    let image = |words: &str, subject: Option<&Descriptor>| {
        let mut body = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": "application/x",
            "config": config, "layers": [], "annotations": { "words": words } });
        if let Some(subject) = subject {
            body["subject"] = json!(subject);
        }
        push(None, &body)
    };
    let (subject, other) = (image("subject", None), image("other", None));
    let (silent, told) = (image("silent", None), image("told", Some(&subject)));
    let astray = image("astray", Some(&other));
    let gone = Descriptor::of(media_type::MANIFEST, b"gone");
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX,
        "manifests": [silent, told, astray, gone] });
    let listed = |of: &Descriptor, what: &str| -> Vec<String> {
        let path = format!("/v2/{REPOSITORY}/referrers/{}{what}", of.digest);
        let all = server.ask("GET", &path, &[], b"").json();
        all["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["digest"].as_str().unwrap().into())
            .collect()
    };
    let sorted = |of: &[&Descriptor]| {
        let mut all: Vec<String> = of.iter().map(|one| one.digest.to_string()).collect();
        all.sort();
        all
    };
    assert_eq!(listed(&subject, ""), sorted(&[&told]));
    let tag = format!("sha256-{}", subject.digest.hex());
    push(Some(&tag), &index);
    // Not what says itself that it is about something else, and what is not there; and each once.
    let both = sorted(&[&told, &silent]);
    assert_eq!(listed(&subject, ""), both);
    assert_eq!(listed(&other, ""), sorted(&[&astray]));
    assert_eq!(listed(&subject, "?artifactType=application/x"), both);
    assert_eq!(listed(&subject, "?artifactType=application/y"), [""; 0]);
    assert_eq!(listed(&subject, "?n=1"), both[..1]);
    assert_eq!(listed(&subject, &format!("?n=1&last={}", both[0])), both[1..]);
    let path = format!("/v2/{REPOSITORY}/referrers/{}", subject.digest);
    assert!(server.ask("GET", &path, &[], b"").json()["manifests"][0]["annotations"]["words"].is_string());
    // The tag moves, and goes: so does the list.
    push(Some(&tag), &json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [told] }));
    assert_eq!(listed(&subject, ""), sorted(&[&told]));
    push(Some(&tag), &index);
    assert_eq!(server.delete(&format!("manifests/{tag}")).status, 202);
    assert_eq!(listed(&subject, ""), sorted(&[&told]));
    push(Some(&format!("{tag}.sig")), &index);
    assert_eq!(listed(&subject, ""), sorted(&[&told]));
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
    for (_, bytes) in &manifests {
        is_one(&Digest::of(bytes).to_string());
    }
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

/// Large manifests are read into memory, so many at a time; who comes later with a large one waits for a seat, and who
/// comes with a small one does not.
#[test]
fn so_many_large_manifests_are_read_at_a_time() {
    let home = home();
    let server = sandbox(&home);
    let config = server.push(media_type::CONFIG, b"{}");
    let small = image(&config, &[]);
    let mut large: serde_json::Value = serde_json::from_slice(&small).unwrap();
    let seatless = usize::try_from(limits::SMALL_BODY_BYTES).unwrap();
    large["annotations"] = serde_json::json!({ "a": "x".repeat(seatless) });
    let bytes = large.to_string().into_bytes();
    let path = format!("/v2/{REPOSITORY}/manifests/1");
    let typed = [("Content-Type", media_type::MANIFEST)];
    let (first, rest) = bytes.split_at(seatless + 10);
    let moment = Duration::from_millis(300);
    let mut slow: Vec<TcpStream> = (0..limits::LARGE_BODIES)
        .map(|_| {
            let mut socket = TcpStream::connect(server.0.address).unwrap();
            socket.write_all(&request("PUT", &path, &typed, bytes.len(), first)).unwrap();
            socket
        })
        .collect();
    std::thread::sleep(moment);
    let mut late = TcpStream::connect(server.0.address).unwrap();
    late.write_all(&request("PUT", &path, &typed, bytes.len(), &bytes)).unwrap();
    late.set_read_timeout(Some(moment)).unwrap();
    assert!(late.read(&mut [0; 1]).is_err(), "it waits");
    assert_eq!(server.manifest("small", &small).status, 201);
    late.set_read_timeout(None).unwrap();
    for socket in &mut slow {
        socket.write_all(rest).unwrap();
    }
    for mut socket in slow.into_iter().chain([late]) {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(parsed(&answer).status, 201);
    }
}
