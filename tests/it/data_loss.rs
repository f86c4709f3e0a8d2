//! The ways in which registries have lost data, as the trackers of other projects tell of them, each tried on ours.
//! Clients speak over a socket, and collections run between any two of their requests, at times that the test sets.

use sealift::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, limits::LEASE_SECONDS},
    oci::{Descriptor, media_type},
    registry::{Access, Log},
    store::{Collected, Store},
};
use serde_json::json;

use crate::support::{
    home::{Kept, home, kept, meddle},
    served::{Answer, Client, Served},
};

const A: &str = "sandbox/a";
const B: &str = "sandbox/b";

/// A registry, and a second hand on its store.
struct Scene {
    served: Served,
    store: Store,
    now: Timestamp,
    /// The last to go: what was done is told in the ledger until the server has ended.
    home: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let home = home();
        let store = Store::open(home.path()).unwrap();
        let served = Served::start(store.clone(), Access::sandbox(), Log::silent());
        Self { served, store, now: Timestamp::now(), home }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Client(self.served.address).ask(method, &format!("/v2/{path}"), headers, body)
    }

    fn push(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::of(media_type, bytes);
        let path = format!("{repository}/blobs/uploads/?digest={}", blob.digest);
        assert_eq!(self.ask("POST", &path, &[], bytes).status, 201);
        blob
    }

    fn put(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Answer {
        let path = format!("{repository}/manifests/{tag}");
        self.ask("PUT", &path, &[("Content-Type", media_type)], bytes)
    }

    fn delete(&self, repository: &str, what: &str) -> u16 {
        self.ask("DELETE", &format!("{repository}/{what}"), &[], b"").status
    }

    fn status(&self, method: &str, repository: &str, blob: &Digest) -> u16 {
        self.ask(method, &format!("{repository}/blobs/{blob}"), &[], b"").status
    }

    /// An image with one layer, of what `words` say.
    fn image(&self, repository: &str, tag: &str, words: &str) -> Image {
        let config = self.push(repository, media_type::CONFIG, format!("{{\"x\":\"{words}\"}}").as_bytes());
        let layer = self.push(repository, media_type::LAYER_GZIP, words.as_bytes());
        let bytes = image(&config, &layer);
        assert_eq!(self.put(repository, tag, media_type::MANIFEST, &bytes).status, 201);
        Image { root: Descriptor::of(media_type::MANIFEST, &bytes), bytes, config, layer }
    }

    /// Everything of it comes, byte for byte.
    fn is_whole(&self, repository: &str, image: &Image) -> bool {
        let manifest = self.ask("GET", &format!("{repository}/manifests/{}", image.root.digest), &[], b"");
        manifest.status == 200
            && manifest.body == image.bytes
            && [&image.config, &image.layer].iter().all(|blob| {
                let got = self.ask("GET", &format!("{repository}/blobs/{}", blob.digest), &[], b"");
                got.status == 200 && Digest::of(&got.body) == blob.digest
            })
    }

    /// A collection so many seconds from now. The server makes rounds of its own, as soon as something is deleted: while
    /// one of them is at it, others leave what it may remove to the next.
    fn collect(&self, seconds: u64) -> Collected {
        for _ in 0..100 {
            let collected = self.store.collect(self.after(seconds)).unwrap();
            if collected.held == 0 {
                return collected;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("another round never ends");
    }

    fn after(&self, seconds: u64) -> Timestamp {
        Timestamp::from_seconds(self.now.seconds() + seconds).unwrap()
    }

    fn stored(&self, blob: &Descriptor) -> bool {
        self.store.has(blob).unwrap()
    }

    /// Whether nothing of it is left on the disk. What the server collects on its own, as soon as something is deleted,
    /// makes no difference to that.
    fn is_gone(&self, image: &Image) -> bool {
        image.contents().iter().all(|blob| !self.stored(blob))
    }
}

struct Image {
    root: Descriptor,
    bytes: Vec<u8>,
    config: Descriptor,
    layer: Descriptor,
}

impl Image {
    fn contents(&self) -> [&Descriptor; 3] {
        [&self.config, &self.layer, &self.root]
    }
}

fn image(config: &Descriptor, layer: &Descriptor) -> Vec<u8> {
    let image =
        json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer] });
    serde_json::to_vec(&image).unwrap()
}

/// Longer than any lease that was given when the scene began.
const LATER: u64 = LEASE_SECONDS + 60;

/// (a), R05: A blob is uploaded, a collection comes before its manifest.
#[test]
fn a_collection_between_a_blob_and_its_manifest() {
    let scene = Scene::new();
    let config = scene.push(A, media_type::CONFIG, b"{}");
    let layer = scene.push(A, media_type::LAYER_GZIP, b"layer");
    scene.collect(LEASE_SECONDS - 60);
    let bytes = image(&config, &layer);
    assert_eq!(scene.put(A, "1", media_type::MANIFEST, &bytes).status, 201);
    scene.collect(LATER);
    let image = Image { root: Descriptor::of(media_type::MANIFEST, &bytes), bytes, config, layer };
    assert!(scene.is_whole(A, &image));
}

/// (b) A client is told that a blob is there and does not send it; a collection comes; it sends the manifest. Either
/// the blob is still there, or the manifest is refused by name of what is missing: never accepted without.
#[test]
fn b_collection_between_a_look_and_the_manifest() {
    let scene = Scene::new();
    let old = scene.image(A, "1", "one");
    let config = scene.push(A, media_type::CONFIG, b"{}");
    let bytes = image(&config, &old.layer);
    // The only manifest that needs the layer goes after the client has looked.
    assert_eq!(scene.status("HEAD", A, &old.layer.digest), 200);
    assert_eq!(scene.delete(A, &format!("manifests/{}", old.root.digest)), 202);
    scene.collect(LEASE_SECONDS / 2 - 60);
    assert_eq!(scene.put(A, "2", media_type::MANIFEST, &bytes).status, 201);
    scene.collect(LATER);
    let kept = Image { root: Descriptor::of(media_type::MANIFEST, &bytes), bytes, config, layer: old.layer };
    assert!(scene.is_whole(A, &kept));
}

/// (b) A lease is renewed by each look, and not cut short by a deletion of another manifest.
#[test]
fn b_each_look_renews_the_lease() {
    let scene = Scene::new();
    let layer = scene.push(A, media_type::LAYER_GZIP, b"layer");
    assert!(scene.store.lease(A, &layer.digest, scene.after(LEASE_SECONDS), LEASE_SECONDS).unwrap());
    scene.collect(LEASE_SECONDS + 60);
    assert_eq!(scene.status("GET", A, &layer.digest), 200);
    assert_eq!(scene.collect(2 * LEASE_SECONDS + 60).removed, 1);
    assert!(!scene.store.lease(A, &layer.digest, scene.after(9 * LEASE_SECONDS), LEASE_SECONDS).unwrap());
    assert_eq!(scene.status("HEAD", A, &layer.digest), 404);
}

/// (c), R07: No memory of what was there outlives it: the disk has the last word, and what is pushed again is there again.
#[test]
fn c_nothing_remembers_what_was_collected() {
    let scene = Scene::new();
    let image = scene.image(A, "1", "one");
    assert!(scene.is_whole(A, &image));
    assert_eq!(scene.delete(A, &format!("manifests/{}", image.root.digest)), 202);
    scene.collect(LATER);
    assert!(scene.is_gone(&image));
    for blob in image.contents() {
        assert_eq!(scene.status("HEAD", A, &blob.digest), 404);
    }
    assert!(scene.is_whole(A, &scene.image(A, "1", "one")));
    // A file that vanishes under the server (R07).
    kept(scene.home.path()).lose(&image.layer.digest);
    assert_eq!(scene.status("HEAD", A, &image.layer.digest), 404);
    scene.push(A, media_type::LAYER_GZIP, b"one");
    assert!(scene.is_whole(A, &image));
}

/// (d) Content is stored once, and belongs to each repository that has it alike: no first one whose loss is the others'.
#[test]
fn d_no_repository_keeps_the_original() {
    let scene = Scene::new();
    let first = scene.image(A, "1", "one");
    for blob in [&first.config, &first.layer] {
        let path = format!("{B}/blobs/uploads/?mount={}&from={A}", blob.digest);
        assert_eq!(scene.ask("POST", &path, &[], b"").status, 201);
    }
    assert_eq!(scene.put(B, "1", media_type::MANIFEST, &first.bytes).status, 201);
    assert_eq!(scene.delete(A, &format!("manifests/{}", first.root.digest)), 202);
    let collected = scene.collect(LATER);
    assert_eq!((collected.released, collected.removed), (2, 0));
    assert_eq!(scene.status("GET", A, &first.layer.digest), 404);
    assert!(scene.is_whole(B, &first));
    assert_eq!(scene.delete(B, &format!("manifests/{}", first.root.digest)), 202);
    scene.collect(LATER);
    assert!(scene.is_gone(&first));
}

/// (e), R06: What cannot be read never makes the living fewer: a manifest of which nobody knows what it lists stops it all.
#[test]
fn e_a_manifest_that_cannot_be_read_stops_the_collection() {
    let scene = Scene::new();
    let (kept, gone) = (scene.image(A, "1", "one"), scene.image(A, "2", "two"));
    assert_eq!(scene.delete(A, &format!("manifests/{}", gone.root.digest)), 202);
    // What it lists is known from when it was pushed: its bytes are not asked.
    self::kept(scene.home.path()).rot(&kept.root.digest, b"rot");
    scene.collect(LATER);
    assert!(scene.is_gone(&gone));
    assert_eq!(scene.status("GET", A, &kept.layer.digest), 200);
    // Published by a version that did not write it down, it has to be read, and cannot be.
    let gone = scene.image(A, "2", "two");
    assert_eq!(scene.delete(A, &format!("manifests/{}", gone.root.digest)), 202);
    // As a version left it that did not write down what manifests list.
    meddle(scene.home.path(), "DELETE FROM edges");
    let again = Store::open(scene.home.path()).unwrap();
    let far = scene.after(9 * LATER);
    // Whoever reads it first removes the copy: the server may have looked at it meanwhile.
    let found = again.collect(far).unwrap_err().reason;
    assert!(matches!(found, Reason::StoreDamaged | Reason::BlobMissing), "{found:?}");
    for blob in [&kept.config, &kept.layer, &gone.config, &gone.layer] {
        assert!(scene.stored(blob));
    }
    // Brought again it is read, and what it lists stays.
    assert_eq!(scene.put(A, "1", media_type::MANIFEST, &kept.bytes).status, 201);
    again.collect(far).unwrap();
    assert!(scene.is_gone(&gone) && scene.is_whole(A, &kept));
}

/// (f), R08: A manifest is deleted and pushed again under the same digest, with a collection anywhere in between.
#[test]
fn f_the_same_digest_again_after_a_deletion() {
    let scene = Scene::new();
    let image = scene.image(A, "1", "one");
    for seconds in [0, LATER] {
        assert_eq!(scene.delete(A, &format!("manifests/{}", image.root.digest)), 202);
        scene.collect(seconds);
        let again = scene.image(A, "1", "one");
        assert_eq!(again.root, image.root);
        scene.collect(seconds);
        assert!(scene.is_whole(A, &image), "{seconds}");
        scene.collect(seconds + LATER);
        assert!(scene.is_whole(A, &image), "{seconds}");
    }
}

/// (g) What an index lists is not reached by any tag, and stays.
#[test]
fn g_children_of_an_index_stay() {
    let scene = Scene::new();
    let image = scene.image(A, "1", "one");
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [image.root] });
    let index = serde_json::to_vec(&index).unwrap();
    assert_eq!(scene.put(A, "all", media_type::INDEX, &index).status, 201);
    assert_eq!(scene.delete(A, "manifests/1"), 202);
    scene.collect(LATER);
    assert!(scene.is_whole(A, &image));
    assert_eq!(scene.delete(A, &format!("manifests/{}", image.root.digest)), 403, "the index lists it");
    // Nor is what no tag reaches any more collected without being asked for.
    assert_eq!(scene.delete(A, "manifests/all"), 202);
    scene.collect(LATER);
    assert!(scene.is_whole(A, &image));
}

/// (h) Two tags, one digest; one of them goes.
#[test]
fn h_one_of_two_tags() {
    let scene = Scene::new();
    let image = scene.image(A, "1", "one");
    assert_eq!(scene.put(A, "2", media_type::MANIFEST, &image.bytes).status, 201);
    assert_eq!(scene.delete(A, "manifests/1"), 202);
    scene.collect(LATER);
    assert_eq!(scene.ask("GET", &format!("{A}/manifests/2"), &[], b"").body, image.bytes);
    assert!(scene.is_whole(A, &image));
}

/// (i) A part of the store that is not there, for a disk is not mounted or a bucket is another one, is not an empty one.
#[test]
fn i_a_folder_that_is_not_there_is_a_doubt() {
    let scene = Scene::new();
    let (kept, gone) = (scene.image(A, "1", "one"), scene.image(A, "2", "two"));
    assert_eq!(scene.delete(A, &format!("manifests/{}", gone.root.digest)), 202);
    // What the server's own round has to do, which ends before the place is another one.
    scene.collect(0);
    let place = self::kept(scene.home.path());
    let doubt = if matches!(place, Kept::Folder(_)) { Reason::NotFound } else { Reason::Bucket };
    place.elsewhere(|| {
        assert_eq!(scene.store.collect(scene.after(LATER)).unwrap_err().reason, doubt);
    });
    assert!(scene.is_whole(A, &kept));
    scene.collect(LATER);
    assert!(scene.is_gone(&gone) && scene.is_whole(A, &kept));
}

/// What a command of this machine found in the store stays as long as it runs, and what it publishes for good.
#[test]
fn whoever_holds_the_store_loses_nothing() {
    let scene = Scene::new();
    let image = scene.image(A, "1", "one");
    let held = Store::open(scene.home.path()).unwrap().hold().unwrap();
    assert_eq!(scene.delete(A, &format!("manifests/{}", image.root.digest)), 202);
    let collected = scene.store.collect(scene.after(LATER)).unwrap();
    assert_eq!((collected.released, collected.removed, collected.held), (2, 0, 3));
    assert!(image.contents().iter().all(|blob| scene.stored(blob)));
    assert_eq!(scene.status("GET", A, &image.layer.digest), 404, "no client sees it any more");
    drop(held);
    scene.collect(LATER);
    assert!(scene.is_gone(&image));
    assert_eq!(scene.store.leases().unwrap(), 0, "nothing is left to look at");
}
