//! Pushing: whole or not at all.

use bytes::Bytes;
use sealift::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    oci::{Descriptor, Document, media_type},
};
use tokio::sync::mpsc;

use super::{World, content, manifest};
use crate::support::origin::{Answer, Seen};

/// A registry that opens uploads at `/upload?state=1` and takes what comes.
fn takes(seen: &Seen) -> Answer {
    match (seen.method.as_str(), seen.path()) {
        ("POST", _) => Answer::new(202, "").header("Location", "/upload?state=1"),
        ("PUT", _) => Answer::new(201, ""),
        ("DELETE", _) => Answer::new(204, ""),
        _ => Answer::new(404, ""),
    }
}

fn body(pieces: Vec<Result<Bytes>>) -> mpsc::Receiver<Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in pieces {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    receiver
}

async fn push(world: &World, pieces: Vec<Result<Bytes>>) -> Result<()> {
    let blob = Descriptor::of(media_type::OCTETS, &content());
    world.client.push_blob(&world.reference(), &blob, body(pieces)).await
}

#[tokio::test]
async fn a_blob_is_pushed_in_one_put() {
    let world = World::new(takes).await;
    let pieces = content().chunks(70_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    push(&world, pieces).await.unwrap();
    let seen = world.registry.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].path(), "/v2/team/app/blobs/uploads/");
    let digest = Digest::of(&content()).to_string().replace(':', "%3A");
    assert_eq!(seen[1].target, format!("/upload?state=1&digest={digest}"));
    assert_eq!(seen[1].header("content-length"), Some("400000"));
    assert!(seen[1].whole && seen[1].body == content());
}

#[tokio::test]
async fn an_empty_blob_is_pushed() {
    let world = World::new(takes).await;
    let blob = Descriptor::of(media_type::OCTETS, b"");
    world.client.push_blob(&world.reference(), &blob, body(Vec::new())).await.unwrap();
    assert!(world.registry.seen()[1].whole);
}

/// Even when the fault comes after the last byte, the registry never gets all of them.
#[tokio::test]
async fn a_body_that_fails_is_never_completed() {
    let fault = || Err(Failure::new(Reason::ChunkDamaged, "volume", "bytes differ"));
    let all = || Ok(Bytes::from(content()));
    let half = || Ok(Bytes::copy_from_slice(&content()[..200_000]));
    for (name, pieces, reason) in [
        ("at once", vec![fault()], Reason::ChunkDamaged),
        ("within", vec![half(), fault()], Reason::ChunkDamaged),
        ("after the last byte", vec![all(), fault()], Reason::ChunkDamaged),
        ("too short", vec![half()], Reason::SizeMismatch),
        ("too long", vec![half(), all()], Reason::SizeMismatch),
        ("too long by a piece", vec![all(), half()], Reason::SizeMismatch),
    ] {
        let world = World::new(takes).await;
        assert_eq!(push(&world, pieces).await.unwrap_err().reason, reason, "{name}");
        let seen = world.registry.seen();
        assert!(seen.iter().all(|seen| seen.method != "PUT" || !seen.whole), "{name}");
        assert!(seen.iter().any(|seen| seen.method == "DELETE"), "{name}: the session stays open");
    }
}

#[tokio::test]
async fn what_is_there_is_not_pushed() {
    let world = World::new(|seen| match (seen.method.as_str(), seen.target.contains("from=team%2Fbase")) {
        ("HEAD", _) => Answer::new(200, content()),
        ("POST", true) => Answer::new(201, ""),
        ("POST", false) => Answer::new(202, "").header("Location", "/upload"),
        _ => Answer::new(204, ""),
    })
    .await;
    let (client, reference) = (&world.client, world.reference());
    let blob = Descriptor::of(media_type::OCTETS, &content());
    assert!(client.blob_exists(&reference, &blob).await.unwrap());
    let other_size = Descriptor { size: 7, ..blob.clone() };
    assert!(!client.blob_exists(&reference, &other_size).await.unwrap());
    assert!(client.mount(&reference, &blob, "team/base").await.unwrap());
    assert!(!client.mount(&reference, &blob, "team/none").await.unwrap());
    // The session opened in place of the mount is closed again.
    let last = world.registry.seen().pop().unwrap();
    assert_eq!((last.method.as_str(), last.path()), ("DELETE", "/upload"));
}

#[tokio::test]
async fn manifests_keep_their_bytes_and_type() {
    let world = World::new(|seen| {
        let subject = Digest::of(b"subject").to_string();
        if seen.path().ends_with("/1.0") {
            Answer::new(201, "").header("OCI-Subject", subject)
        } else {
            Answer::new(201, "").header("Docker-Content-Digest", Digest::of(b"other").to_string())
        }
    })
    .await;
    let bytes = Bytes::from(manifest());
    let at = world.reference();
    let pushed = world.client.push_manifest(&at, media_type::MANIFEST, bytes.clone()).await.unwrap();
    assert!(pushed.subject_accepted);
    let seen = world.registry.seen();
    assert_eq!(seen[0].body, manifest());
    assert_eq!(seen[0].header("content-type"), Some(media_type::MANIFEST));
    let changed = world.client.push_manifest(&at.with_tag("2"), media_type::MANIFEST, bytes).await;
    assert_eq!(changed.unwrap_err().reason, Reason::PushRefused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fallback_tag_gathers_every_referrer_once() {
    let stored = std::sync::Arc::new(std::sync::Mutex::new(None::<Vec<u8>>));
    let kept = std::sync::Arc::clone(&stored);
    let world = World::new(move |seen| {
        let mut kept = kept.lock().unwrap();
        match (seen.method.as_str(), kept.clone()) {
            ("PUT", _) => {
                *kept = Some(seen.body.clone());
                Answer::new(201, "")
            }
            (_, Some(index)) => Answer::new(200, index).header("Content-Type", media_type::INDEX),
            (_, None) => Answer::new(404, ""),
        }
    })
    .await;
    let subject = world.reference().with_digest(&Digest::of(b"subject"));
    let mut all = tokio::task::JoinSet::new();
    for number in 0..10_u8 {
        let (client, subject) = (world.client.clone(), subject.clone());
        let mut referrer = Descriptor::of(media_type::MANIFEST, &[number / 2]);
        referrer.artifact_type = Some("application/x".to_owned());
        all.spawn(async move { client.attach_referrer(&subject, &referrer).await });
    }
    for done in all.join_all().await {
        done.unwrap();
    }
    let index = stored.lock().unwrap().clone().unwrap();
    assert_eq!(Document::parse(&index, media_type::INDEX).unwrap().descriptors().len(), 5);
    let tag = format!("/v2/team/app/manifests/sha256-{}", Digest::of(b"subject").hex());
    assert!(world.registry.seen().iter().all(|seen| seen.path() == tag));
}
