//! What an opened bundle tells: damage by bytes and by who suffers, what it carries, how far a check is.

use std::{fs, path::Path, sync::Mutex};

use sealift::{
    base::{
        digest::Digest,
        failure::{Failures, Reason},
        progress::{Progress, Silent},
    },
    bundle::ArtifactKind,
    cosign::{Evidence, ImageEvidence, Outcome},
    oci::{Descriptor, media_type},
    verify::{self, ArtifactReport, Report, VerifiedBundle},
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    attacks::judge,
    bundle::{key, known, noise},
    forge::{Files, Forge, Scene, lay_out, list, sign, stranger, with_sums},
};

const CHUNK: usize = 4 << 20;

/// A bundle in a temporary folder.
pub(crate) fn laid(forge: Forge) -> (TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    let made = forge.seal();
    lay_out(dir.path(), &made);
    (dir, made)
}

fn open(dir: &Path) -> VerifiedBundle {
    verify::open(dir, &known()).unwrap()
}

/// Reason, object and message of all failures.
pub(crate) fn told<T>(result: Result<T, Failures>) -> Vec<(Reason, String, String)> {
    let Err(failures) = result else { return Vec::new() };
    let tell = failures.list().iter();
    tell.map(|failure| (failure.reason, failure.object.clone(), failure.message.clone())).collect()
}

/// Everything in one volume.
fn in_one(mut forge: Forge) -> Forge {
    forge.entries.iter_mut().for_each(|entry| entry.volume = 1);
    forge.ends.truncate(1);
    forge
}

/// An image of small content and one whose layer, the last member of the only volume, begins in the first chunk,
/// fills the second and ends in the third.
fn large() -> Forge {
    let mut scene = Scene::empty();
    let (small, large) = (
        scene.blob(media_type::LAYER_TAR, &noise(6, 9000)),
        scene.blob(media_type::LAYER_TAR, &noise(5, 2 * CHUNK + 100_000)),
    );
    for (name, layer) in [("small", &small), ("large", &large)] {
        let root = scene.image(&[layer], &json!({}));
        scene.artifact(&format!("registry.example.com/{name}:1"), &root);
    }
    let forge = scene.forge();
    assert!(forge.entries.last().unwrap().size > CHUNK as u64);
    in_one(forge)
}

const VOLUME: &str = "volumes/0001.tar.zst";

#[test]
fn damage_is_told_by_bytes_and_by_who_suffers() {
    let (dir, made) = laid(large());
    let volume = &made[VOLUME];
    assert_eq!(volume.len().div_ceil(CHUNK), 3);
    let both = "registry.example.com/large:1, registry.example.com/small:1";
    let end = volume.len() - 1;
    let large = "registry.example.com/large:1";
    let cases = [
        (&[CHUNK + 5][..], "1 of 3", "4194304-8388607".to_owned(), large),
        // The chunks of one member are looked at to the end, also after the first that is damaged.
        (&[CHUNK - 1, 2 * CHUNK], "2 of 3", format!("0-4194303, 8388608-{end}"), both),
        // The end of the archive.
        (&[end], "1 of 3", format!("8388608-{end}"), large),
        (&[0, CHUNK, 2 * CHUNK], "3 of 3", format!("0-{end}"), both),
    ];
    for (flipped, count, bytes, names) in cases {
        let mut bent = volume.clone();
        for at in flipped {
            bent[*at] ^= 1;
        }
        fs::write(dir.path().join(VOLUME), bent).unwrap();
        let failures = judge(dir.path()).unwrap_err();
        let hint = failures.list()[0].hint.clone().unwrap();
        assert_eq!(hint.starts_with("nothing in this file is right"), flipped.len() == 3, "{hint}");
        let message = format!("{count} chunks differ from what was signed: bytes {bytes}; affected: {names}");
        assert_eq!(told::<()>(Err(failures)), [(Reason::ChunkDamaged, VOLUME.to_owned(), message)]);
    }
}

#[test]
fn files_of_another_size_are_told_before_they_are_read() {
    let (dir, made) = laid(large());
    let volume = &made[VOLUME];
    let both = "affected: registry.example.com/large:1, registry.example.com/small:1";
    for (length, reason) in [
        (CHUNK + 5, Reason::Truncated),
        (volume.len() - 1, Reason::Truncated),
        (volume.len() + 1, Reason::SizeMismatch),
    ] {
        let mut bent = volume.clone();
        bent.resize(length, 0);
        fs::write(dir.path().join(VOLUME), bent).unwrap();
        let message = format!("expected {} bytes, found {length}; {both}", volume.len());
        assert_eq!(told(verify::open(dir.path(), &known())), [(reason, VOLUME.to_owned(), message)]);
    }
}

/// R01: a file that is damaged and cut while it is read is told as both, and not once for every chunk that is gone.
#[test]
fn damage_is_told_beside_what_is_gone() {
    let (dir, made) = laid(large());
    let bundle = open(dir.path());
    let mut bent = made[VOLUME][..CHUNK + 5].to_vec();
    bent[CHUNK - 1] ^= 1;
    fs::write(dir.path().join(VOLUME), bent).unwrap();
    let reasons: Vec<(Reason, String)> = told(verify::check(&bundle, 2, &Silent))
        .into_iter()
        .map(|(reason, object, _)| (reason, object))
        .collect();
    // The layer, and the end of the archive.
    let expected = [Reason::ChunkDamaged, Reason::Truncated, Reason::Truncated];
    assert_eq!(reasons, expected.map(|reason| (reason, VOLUME.to_owned())));
}

/// Two volumes of the same size: only their bytes tell which is which.
#[test]
fn a_volume_in_the_place_of_another_is_told_by_its_bytes() {
    let mut scene = Scene::empty();
    let layers = [noise(3, CHUNK + 1000), noise(4, CHUNK + 1000)]
        .map(|bytes| scene.blob(media_type::LAYER_TAR, &bytes));
    let root = scene.image(&[&layers[0], &layers[1]], &json!({}));
    scene.artifact("registry.example.com/app:1", &root);
    let mut forge = scene.forge();
    // One layer in each of two volumes, all else before them.
    let large: Vec<usize> =
        (0..forge.entries.len()).filter(|at| forge.entries[*at].size > CHUNK as u64).collect();
    let mut moved: Vec<_> = forge.entries.drain(..).collect();
    for (at, entry) in moved.iter_mut().enumerate() {
        entry.volume = if at < large[1] { 1 } else { 2 };
    }
    forge.entries = moved;
    let (dir, made) = laid(forge);
    let (first, second) = (&made[VOLUME], &made["volumes/0002.tar.zst"]);
    fs::write(dir.path().join("volumes/0002.tar.zst"), first).unwrap();
    let wrong = told(verify::open(dir.path(), &known()));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!((wrong[0].0, wrong[0].1.as_str()), (Reason::VolumeOfOtherBundle, "volumes/0002.tar.zst"));
    let message = format!("the file is {VOLUME}, in the wrong place; affected: registry.example.com/app:1");
    assert_eq!(wrong[0].2, message);
    // Of the right size, and with the beginning of the other.
    let mut bent = second.clone();
    let length = bent.len().min(first.len());
    bent[..length].copy_from_slice(&first[..length]);
    fs::write(dir.path().join("volumes/0002.tar.zst"), &bent).unwrap();
    let failures = judge(dir.path()).unwrap_err();
    let hint = failures.list()[0].hint.clone().unwrap();
    assert_eq!(hint, "copy both files again, each under its own name");
    assert_eq!(
        told::<()>(Err(failures)),
        [(Reason::VolumeOfOtherBundle, "volumes/0002.tar.zst".to_owned(), message)]
    );
    // Damage of the first chunk alone makes no other volume of it, and damage further on neither.
    for at in [0, CHUNK] {
        let mut bent = second.clone();
        bent[at] ^= 1;
        fs::write(dir.path().join("volumes/0002.tar.zst"), &bent).unwrap();
        assert_eq!(told(judge(dir.path()))[0].0, Reason::ChunkDamaged);
    }
}

#[test]
fn many_who_suffer_are_counted() {
    let names = |count: usize| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        for number in 0..count {
            let root = scene.image(&[&layer], &json!({"annotations": {"number": number.to_string()}}));
            scene.artifact(&format!("registry.example.com/app:{number:02}"), &root);
        }
        let (dir, made) = laid(in_one(scene.forge()));
        let mut bent = made[VOLUME].clone();
        bent[0] ^= 1;
        fs::write(dir.path().join(VOLUME), bent).unwrap();
        told(judge(dir.path()))[0].2.split_once("affected: ").unwrap().1.to_owned()
    };
    let ten: Vec<String> = (0..10).map(|number| format!("registry.example.com/app:{number:02}")).collect();
    assert_eq!(names(10), ten.join(", "));
    assert_eq!(names(12), format!("{} and 2 more", ten.join(", ")));
}

#[test]
fn a_good_bundle_is_told_in_numbers() {
    let forge = Scene::good().forge();
    let (blobs, artifacts) = (forge.index.blobs.clone(), forge.index.artifacts.clone());
    let (dir, made) = laid(forge);
    let bundle = open(dir.path());
    let size = |digest: &Digest| blobs.iter().find(|blob| blob.digest == *digest).unwrap().size;
    let of = |parts: &[&Digest]| parts.iter().map(|digest| size(digest)).sum::<u64>();
    let config = Descriptor::of(media_type::CONFIG, b"{\"os\":\"linux\"}").digest;
    let (layer, other) = (Digest::of(b"a layer"), Digest::of(&[7; 700]));
    let (tool, app) = (&artifacts[0], &artifacts[1]);
    let referrer = &tool.referrers[0];
    let expected = Report {
        artifacts: vec![
            ArtifactReport {
                kind: ArtifactKind::Image,
                name: "docker.io/library/tool:2".to_owned(),
                bytes: of(&[
                    &tool.root.digest,
                    &referrer.subject,
                    &referrer.root.digest,
                    &config,
                    &layer,
                    &other,
                ]),
                blobs: 6,
                referrers: 1,
                absent: 1,
            },
            ArtifactReport {
                kind: ArtifactKind::Image,
                name: "registry.example.com/team/app:1.0".to_owned(),
                bytes: of(&[&app.root.digest, &config, &layer]),
                blobs: 3,
                referrers: 0,
                absent: 0,
            },
        ],
        blobs: 7,
        volumes: 2,
        content: blobs.iter().map(|blob| blob.size).sum(),
        stored: made
            .iter()
            .filter(|(path, _)| path.starts_with("volumes/"))
            .map(|(_, bytes)| bytes.len() as u64)
            .sum(),
    };
    assert_eq!(verify::check(&bundle, 2, &Silent).unwrap(), expected);
    assert_eq!(verify::check_documents(&bundle).unwrap(), expected);
    assert!(verify::check_edges(&bundle).is_ok());
}

/// Whoever streams the blobs himself has these two look at the rest, and each at nothing else.
#[test]
fn edges_and_documents_are_checked_by_themselves() {
    type Bend = fn() -> Forge;
    let cases: [(&str, Bend, Option<Reason>, Option<Reason>); 6] = [
        ("good", || Scene::good().forge(), None, None),
        (
            "oci-layout",
            || {
                let mut forge = Scene::good().forge();
                forge.entry(0).stream[520] ^= 1;
                forge
            },
            Some(Reason::LayoutMalformed),
            None,
        ),
        (
            "index.json",
            || {
                let mut forge = Scene::good().forge();
                forge.entry(1).stream[520] ^= 1;
                forge
            },
            Some(Reason::LayoutMalformed),
            None,
        ),
        (
            "the end of the first volume",
            || {
                let mut forge = Scene::good().forge();
                forge.ends[0] = crate::forge::pack(&[1; 1024]);
                forge
            },
            Some(Reason::TarMalformed),
            None,
        ),
        (
            "the end of the last volume",
            || {
                let mut forge = Scene::good().forge();
                forge.ends[1] = crate::forge::pack(&[0; 512]);
                forge
            },
            Some(Reason::TarEnd),
            None,
        ),
        (
            "content that nobody needs",
            || {
                let mut scene = Scene::good();
                scene.blob(media_type::LAYER_TAR, b"stowaway");
                scene.forge()
            },
            None,
            Some(Reason::BlobUnreferenced),
        ),
    ];
    for (name, make, edges, documents) in cases {
        let (dir, _made) = laid(make());
        let bundle = open(dir.path());
        let reason = |told: Vec<(Reason, String, String)>| told.first().map(|(reason, ..)| *reason);
        assert_eq!(reason(told(verify::check_edges(&bundle))), edges, "{name}");
        assert_eq!(reason(told(verify::check_documents(&bundle))), documents, "{name}");
    }
}

#[test]
fn what_it_carries_is_handed_out() {
    let mut scene = Scene::empty();
    let limit = 8 << 20;
    let (most, more) = (
        scene.blob(media_type::LAYER_TAR, &noise(3, limit)),
        scene.blob(media_type::LAYER_TAR, &noise(4, limit + 1)),
    );
    let root = scene.image(&[&most, &more], &json!({}));
    scene.artifact("registry.example.com/app:1", &root);
    let mut forge = scene.forge();
    list(&mut forge, "evidence/sbom.json", *b"{}\n");
    let mut made = forge.seal();
    let sums = made["SHA256SUMS"].clone();
    sign(&mut made, &stranger(), &stranger(), &sums);
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path(), &made);
    let bundle = open(dir.path());
    assert_eq!(bundle.dir(), dir.path());
    assert_eq!(bundle.header().name, "edge");
    assert_eq!(*bundle.sums_digest(), Digest::of(&sums));
    assert_eq!(bundle.ignored_signatures(), [stranger().public().key_id()]);
    assert!(bundle.chain().is_none());
    assert!(bundle.upstream_signatures().unwrap().is_none());
    assert_eq!(bundle.evidence("sbom.json").unwrap().unwrap(), b"{}\n");
    let beside: Vec<(&str, &Digest)> =
        bundle.beside().map(|(path, digest)| (path.as_str(), digest)).collect();
    assert_eq!(beside, [("evidence/sbom.json", &Digest::of(b"{}\n"))]);
    // Manifests come first among the members, but blobs are found by digest: each with its own type and size.
    assert_eq!(bundle.descriptor(&root.digest), Some(root));
    assert_eq!(bundle.descriptor(&most.digest).unwrap(), most);
    assert_eq!(bundle.descriptor(&Digest::of(b"nothing")), None);
    assert_eq!(bundle.read_blob(&most.digest).unwrap(), noise(3, limit));
    assert_eq!(bundle.read_blob(&more.digest).unwrap_err().reason, Reason::OciLimit);
    // Nobody vouches for a glance, and it tells the same.
    let glance = verify::glance(dir.path()).unwrap();
    let mut ids = [key().public().key_id().to_owned(), stranger().public().key_id().to_owned()];
    ids.sort();
    assert_eq!((glance.header, glance.index), (bundle.header().clone(), bundle.index().clone()));
    assert_eq!((glance.sums, &glance.sums_digest), (sums, bundle.sums_digest()));
    assert_eq!((glance.signatures, glance.upstream_signatures), (ids.to_vec(), None));
    assert_eq!(verify::identity(dir.path()).unwrap(), *bundle.sums_digest());
    assert!(verify::carried_trust(dir.path()).unwrap().is_empty());
}

type BendEvidence<'a> = &'a dyn Fn(&mut Vec<ImageEvidence>);

/// N15: evidence names exactly the images that travel with it, each once.
#[test]
fn evidence_about_other_images_is_refused() {
    let artifacts = Scene::good().forge().index.artifacts;
    let image = |name: &str, digest: &Digest| ImageEvidence {
        name: name.to_owned(),
        digest: digest.clone(),
        outcome: Outcome::Unsigned,
        signatures: 0,
        by: Vec::new(),
    };
    let right: Vec<_> =
        artifacts.iter().map(|artifact| image(&artifact.name, &artifact.root.digest)).collect();
    let bent = |bend: BendEvidence<'_>| {
        let mut images = right.clone();
        bend(&mut images);
        let mut forge = Scene::good().forge();
        list(&mut forge, "evidence/signatures.json", Evidence::new(images).to_json().unwrap());
        laid(forge)
    };
    let (dir, _made) = bent(&|_| ());
    assert_eq!(told(judge(dir.path())), []);
    let images = open(dir.path()).upstream_signatures().unwrap().unwrap().images;
    assert_eq!(images, right);
    assert_eq!(verify::glance(dir.path()).unwrap().upstream_signatures.unwrap().images, right);
    let (tool, digest) = ("docker.io/library/tool:2", right[0].digest.clone());
    let cases: [(BendEvidence<'_>, &str); 5] = [
        (&|images| images.truncate(1), "registry.example.com/team/app:1.0"),
        (&|images| images[0].name = "docker.io/library/other:2".to_owned(), "docker.io/library/other:2"),
        (&|images| images[0].digest = Digest::of(b"other"), tool),
        (&|images| images.push(image("quay.io/x:1", &digest)), "quay.io/x:1"),
        (&|images| images.push(images[0].clone()), "an image"),
    ];
    for (bend, told_of) in cases {
        let (dir, _made) = bent(bend);
        let message = format!("it is not about the images of the bundle: {told_of}");
        let expected = (Reason::EvidenceMalformed, "evidence/signatures.json".to_owned(), message);
        assert_eq!(told(judge(dir.path())), [expected]);
    }
}

/// What a step told of its advance.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    bytes: Mutex<u64>,
    /// Done when the volumes are hashed.
    before_hashing: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Progress for Told {
    fn start(&self, what: &str, total: u64) {
        self.lines.lock().unwrap().push(format!("{what} {total}"));
        if let Some(act) = self.before_hashing.as_ref().filter(|_| what == "hashing") {
            act();
        }
    }

    fn advance(&self, bytes: u64) {
        *self.bytes.lock().unwrap() += bytes;
    }

    fn finish(&self) {
        let bytes = std::mem::take(&mut *self.bytes.lock().unwrap());
        self.lines.lock().unwrap().push(format!("finished at {bytes}"));
    }

    fn note(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }
}

#[test]
fn the_advance_ends_where_it_was_said_to() {
    let (dir, made) = laid(large());
    let bundle = open(dir.path());
    let content: u64 = bundle.index().blobs.iter().map(|blob| blob.size).sum();
    let stored = made[VOLUME].len();
    for workers in [0, 2] {
        let told = Told::default();
        verify::check(&bundle, workers, &told).unwrap();
        let lines = [format!("verifying {content}"), format!("finished at {content}")];
        assert_eq!(*told.lines.lock().unwrap(), lines);
        let told = Told::default();
        let examined = verify::examine(dir.path(), workers, &told).unwrap();
        let more = [format!("hashing {stored}"), format!("finished at {stored}")];
        assert_eq!(*told.lines.lock().unwrap(), [lines, more].concat());
        assert_eq!(examined.sums(), made["SHA256SUMS"]);
        assert_eq!(examined.parsed().header, *bundle.header());
        assert_eq!(examined.index(), bundle.index());
        let ids: Vec<&str> = examined.signatures().iter().map(|file| file.key_id.as_str()).collect();
        assert_eq!(ids, [key().public().key_id()]);
    }
}

/// H07: what `sha256sum` would take and what sealift takes must be the same before anybody signs it.
#[test]
fn two_contents_of_a_volume_are_not_brought_to_signing() {
    let mut forge = Scene::good().forge();
    with_sums(&mut forge, |text| {
        // Each volume gets the digest of the other one.
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for line in &lines {
            if let Some((digest, path)) = line.split_once("  volumes/") {
                let other = if path.starts_with("0001") { "0002.tar.zst" } else { "0001.tar.zst" };
                let there = lines.iter().find(|line| line.ends_with(other)).unwrap();
                *text = text.replace(line, &format!("{}  volumes/{path}", &there[..digest.len()]));
            }
        }
    });
    let (dir, _made) = laid(forge);
    assert!(judge(dir.path()).is_ok());
    let both = told(verify::examine(dir.path(), 2, &Silent));
    let message = "SHA256SUMS and chunks.bin speak of different content of this volume".to_owned();
    assert_eq!(
        both,
        ["volumes/0001.tar.zst", "volumes/0002.tar.zst"].map(|path| (
            Reason::ChunkListMalformed,
            path.to_owned(),
            message.clone()
        ))
    );
}

/// R01: media that change between the two looks at a volume.
#[test]
fn what_changes_before_it_is_hashed_is_not_brought_to_signing() {
    let (dir, made) = laid(Scene::good().forge());
    let path = dir.path().join("volumes/0002.tar.zst");
    let mut bent = made["volumes/0002.tar.zst"].clone();
    bent[20] ^= 1;
    let told_of =
        Told { before_hashing: Some(Box::new(move || fs::write(&path, &bent).unwrap())), ..Told::default() };
    assert_eq!(
        told(verify::examine(dir.path(), 1, &told_of)),
        [(
            Reason::ChunkDamaged,
            "volumes/0002.tar.zst".to_owned(),
            "it changed while it was read".to_owned()
        )]
    );
}
