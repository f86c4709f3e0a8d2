//! Threats A3: OCI documents, JSON, names.

use sealift::{
    base::digest::Digest,
    bundle::{ArtifactKind, Referrer},
    oci::{Descriptor, artifact::TITLE, media_type, reference::referrers_tag},
};
use serde_json::json;

use super::{Attack, attacks};
use crate::forge::{Entry, Forge, Scene, bend_json, bend_sums, last, with_index, with_json};

/// A scene with one image whose manifest is this text.
fn manifest(text: &str) -> Forge {
    let mut scene = Scene::empty();
    scene.blob(media_type::LAYER_TAR, b"a layer");
    scene.blob(media_type::CONFIG, b"{}");
    let root = scene.blob(media_type::MANIFEST, text.as_bytes());
    scene.artifact("registry.example.com/app:1", &root);
    scene.forge()
}

/// The text of a good manifest over the content of [`manifest`].
fn good_manifest() -> String {
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    let layer = Descriptor::of(media_type::LAYER_TAR, b"a layer");
    json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]})
        .to_string()
}

/// The good manifest with a change, which must apply.
fn bent_manifest(from: &str, to: &str) -> Forge {
    let good = good_manifest();
    assert!(good.contains(from), "{from} in {good}");
    manifest(&good.replacen(from, to, 1))
}

/// A scene with one file of this title, in so many layers.
fn file(title: &str, layers: usize) -> Forge {
    let mut scene = Scene::empty();
    let config = scene.blob(media_type::EMPTY, b"{}");
    let mut layer = json!(scene.blob(media_type::OCTETS, b"a tool"));
    layer["annotations"] = json!({TITLE: title});
    let json =
        json!({"artifactType": media_type::FILE_ARTIFACT, "config": config, "layers": vec![layer; layers]});
    let root = scene.document(media_type::MANIFEST, json);
    scene.artifact("files/tool:1", &root).kind = ArtifactKind::File;
    scene.forge()
}

/// Indexes nested so deep, each listing the next one twice.
fn nested(levels: usize) -> Forge {
    let mut scene = Scene::empty();
    let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
    let mut root = scene.image(&[&layer], &json!({}));
    for _ in 0..levels {
        root = scene.document(media_type::INDEX, json!({"manifests": [root, root]}));
    }
    scene.artifact("registry.example.com/app:1", &root);
    scene.forge()
}

pub(super) const ATTACKS: &[Attack] = attacks! {
    // OCI and JSON
    "two-views" "F29" Accepted "a layer with a table of contents in an annotation: it is carried as bytes and never read"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"annotations\":{\"io.github.containers.zstd-chunked.manifest-checksum\":\"sha256:00\"},");
    "digest-path" "J01" BundleIndexMalformed "a digest is a path"
        |forge| with_json(&mut forge, |text| { let at = text.find("\"sha256:").unwrap() + 8; text.replace_range(at..at + 64, "../../../../etc/passwd"); });
    "both-shapes" "J03" OciAmbiguous "a manifest is image and index at once"
        |_forge| bent_manifest("\"layers\":", "\"manifests\":[],\"layers\":");
    "type-inside" "J03" OciAmbiguous "a manifest calls itself something else inside"
        |_forge| bent_manifest(media_type::MANIFEST, media_type::DOCKER_MANIFEST);
    "type-outside" "J03" OciAmbiguous "an index announces its child as another type"
        |_forge| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let mut child = scene.image(&[&layer], &json!({}));
        child.media_type = media_type::DOCKER_MANIFEST.into();
        let root = scene.document(media_type::INDEX, json!({"manifests": [child]}));
        scene.artifact("registry.example.com/app:1", &root);
        scene.forge()
    };
    "no-type-inside" "J03" Accepted "a manifest without mediaType is legal"
        |_forge| manifest(&good_manifest().replace(&format!(",\"mediaType\":\"{}\"", media_type::MANIFEST), ""));
    "duplicate-key" "J04" BundleIndexMalformed "a key of bundle.json stands twice"
        |forge| bend_json(&mut forge, "  \"epoch\": 1,\n", "  \"epoch\": 1,\n  \"epoch\": 1,\n");
    "escaped-key" "J04" BundleIndexMalformed "a key of bundle.json is written with an escape"
        |forge| bend_json(&mut forge, "\"epoch\"", "\"\\u0065poch\"");
    "duplicate-key-oci" "J04" OciAmbiguous "a key of a manifest stands twice"
        |_forge| bent_manifest("\"layers\":", "\"layers\":[],\"layers\":");
    "duplicate-digest-oci" "J04" OciAmbiguous "a descriptor has two digests, one with an escape in the key"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"\\u0064igest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",");
    "unknown-key" "J05" BundleIndexMalformed "a key of bundle.json is not known"
        |forge| bend_json(&mut forge, "  \"epoch\": 1,\n", "  \"epoch\": 1,\n  \"more\": 1,\n");
    "key-case" "J05" BundleIndexMalformed "a key of bundle.json has another case"
        |forge| bend_json(&mut forge, "\"epoch\"", "\"Epoch\"");
    "key-case-oci" "J05" Accepted "a manifest has a key that only looks like digest: it is ignored"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"Digest\":\"sha256:00\",");
    "number-negative" "J06" BundleIndexMalformed "the sequence is negative"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": -42");
    "number-fraction" "J06" BundleIndexMalformed "the sequence is 42.0"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": 42.0");
    "number-exponent" "J06" BundleIndexMalformed "the sequence is 42e0"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": 42e0");
    "number-large" "J06" BundleIndexMalformed "the sequence is 2^64"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": 18446744073709551616");
    "number-text" "J06" BundleIndexMalformed "the sequence is a text"
        |forge| bend_json(&mut forge, "\"sequence\": 42", "\"sequence\": \"42\"");
    "number-oci" "J06" OciMalformed "a size in a manifest is 7.0"
        |_forge| bent_manifest("\"size\":7", "\"size\":7.0");
    "depth-json" "J07" BundleIndexMalformed "200 nested lists in bundle.json"
        |forge| with_json(&mut forge, |text| *text = text.replacen("\"epoch\": 1", &format!("\"epoch\": {}{}", "[".repeat(200), "]".repeat(200)), 1));
    "depth-oci" "J07" OciMalformed "200 nested lists in a manifest"
        |_forge| bent_manifest("\"layers\":", &format!("\"x\":{}{},\"layers\":", "[".repeat(200), "]".repeat(200)));
    "depth-index" "J07" OciLimit "five nested indexes"
        |_forge| nested(5);
    "graph-doubling" "J08" Accepted "four nested indexes that each list the next twice take linear time"
        |_forge| nested(4);
    "manifest-large" "J09" OciLimit "a manifest of more than 4 MiB"
        |forge| with_index(&mut forge, |index| index.blobs.iter_mut().find(|blob| media_type::is_manifest(&blob.media_type)).unwrap().size = (4 << 20) + 1);
    "manifest-long" "J09" OciLimit "a manifest with 10001 layers"
        |_forge| {
        let layer = json!(Descriptor::of(media_type::LAYER_TAR, b"a layer")).to_string();
        bent_manifest("\"layers\":[", &format!("\"layers\":[{}", format!("{layer},").repeat(10_000)))
    };
    "size-lie" "J10" OciMalformed "a descriptor gives its layer another size"
        |_forge| bent_manifest("\"size\":7", "\"size\":8");
    "size-lie-index" "J10" BundleIndexMismatch "bundle.json gives a blob another size than its member"
        |forge| with_index(&mut forge, |index| index.blobs[0].size += 1);
    "size-lie-both" "J10" ZstdFrame "bundle.json gives blob and member a size that the frame does not have"
        |forge| {
        let at = last(&forge);
        let path = forge.entries[at].path.clone();
        forge.entry(at).size += 512;
        forge.bend_index = Box::new(move |index| { index.blobs.iter_mut().find(|blob| path.ends_with(blob.digest.hex())).unwrap().size += 512; });
    };
    "size-lie-everywhere" "J10" DigestMismatch "manifest, bundle.json and member agree on a size that the digest does not have"
        |_forge| {
        let mut forge = bent_manifest("\"size\":7", "\"size\":8");
        let path = Digest::of(b"a layer").layout_path();
        let entry = forge.entries.iter_mut().find(|entry| entry.path == path).unwrap();
        *entry = Entry { volume: entry.volume, ..Entry::new(&path, b"a layer!") };
        forge.index.blobs.iter_mut().find(|blob| path.ends_with(blob.digest.hex())).unwrap().size = 8;
        forge
    };
    "child-missing" "J11" BlobMissing "an index names a child that is neither there nor listed as absent"
        |forge| with_index(&mut forge, |index| index.artifacts[0].absent.clear());
    "absent-invented" "J11" BundleIndexMismatch "a digest is listed as absent that no index names"
        |forge| with_index(&mut forge, |index| index.artifacts[1].absent.push(Digest::of(b"nobody")));
    "layer-missing" "J11" BlobMissing "a manifest names a layer that is not there"
        |_forge| bent_manifest("\"layers\":[", &format!("\"layers\":[{},", json!(Descriptor::of(media_type::LAYER_TAR, b"gone"))));
    "layer-absent" "J11" BundleIndexMismatch "a layer is listed as absent: only children of an index may be"
        |_forge| {
        let gone = Descriptor::of(media_type::LAYER_TAR, b"gone");
        let mut forge = bent_manifest("\"layers\":[", &format!("\"layers\":[{},", json!(gone)));
        forge.index.artifacts[0].absent.push(gone.digest);
        forge
    };
    "foreign-layer" "J12" BlobMissing "a layer is to be had from a URL only"
        |_forge| {
        let mut gone = Descriptor::of(media_type::LAYER_TAR, b"gone");
        gone.urls = vec!["http://169.254.169.254/".into()];
        bent_manifest("\"layers\":[", &format!("\"layers\":[{},", json!(gone)))
    };
    "referrer-of-other" "J13" BundleIndexMismatch "a referrer is listed for another subject than it names"
        |forge| with_index(&mut forge, |index| index.artifacts[0].referrers[0].subject = index.artifacts[0].root.digest.clone());
    "referrer-of-nothing" "J13" BundleIndexMismatch "a referrer is about nothing in its artifact"
        |forge| with_index(&mut forge, |index| index.artifacts[0].referrers[0].subject = Digest::of(b"nothing"));
    "referrer-of-layer" "J13" BundleIndexMismatch "a referrer is about a layer: only manifests have referrers"
        |_forge| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let app = scene.image(&[&layer], &json!({}));
        let note = scene.image(&[&layer], &json!({"subject": layer}));
        let artifact = scene.artifact("registry.example.com/app:1", &app);
        artifact.referrers = vec![Referrer { root: note, subject: layer.digest, tag: None }];
        scene.forge()
    };
    "referrer-of-itself" "J13" BundleIndexMismatch "a referrer is about itself, by its tag"
        |_forge| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let app = scene.image(&[&layer], &json!({}));
        let note = scene.image(&[], &json!({}));
        let artifact = scene.artifact("registry.example.com/app:1", &app);
        let tag = Some(format!("{}.sig", referrers_tag(&note.digest)));
        artifact.referrers = vec![Referrer { subject: note.digest.clone(), root: note, tag }];
        scene.forge()
    };
    "absent-layer-of-index" "J11" Accepted "an index lists something that is no manifest, and it is absent"
        |_forge| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let app = scene.image(&[&layer], &json!({}));
        let gone = Descriptor::of("application/vnd.docker.distribution.manifest.v1+json", b"gone");
        let index = scene.document(media_type::INDEX, json!({"manifests": [app, gone]}));
        scene.artifact("registry.example.com/app:1", &index).absent = vec![gone.digest];
        scene.forge()
    };
    "descriptor-data" "J16" DescriptorData "data embedded in a descriptor differ from its digest"
        |_forge| bent_manifest("\"layers\":[{", "\"layers\":[{\"data\":\"YSBsYXllUg==\",");
    "name-climbs" "J17" NameMalformed "an artifact is called registry.example.com/../x:1"
        |forge| forge.index.artifacts[0].name = "docker.io/../x:1".into();
    "name-upper-case" "J17" NameMalformed "an artifact's name has capitals"
        |forge| forge.index.artifacts[0].name = "docker.io/library/Tool:2".into();
    "tag-long" "J17" NameMalformed "an artifact's tag has 129 letters"
        |forge| forge.index.artifacts[0].name = format!("docker.io/library/tool:{}", "x".repeat(129));
    "config-with-wishes" "J14" Accepted "a config asks for a user and labels that have hurt other tools: it is carried as bytes"
        |_forge| {
        let mut scene = Scene::empty();
        let wishes = json!({"os": "linux", "config": {"User": "4294967296", "Labels": {"containerd.io/restart.logpath": "binary:///bin/sh"}}});
        let config = scene.blob(media_type::CONFIG, wishes.to_string().as_bytes());
        let root = scene.document(media_type::MANIFEST, json!({"config": config, "layers": []}));
        scene.artifact("registry.example.com/app:1", &root);
        scene.forge()
    };
    "files-by-case" "J19" BundleIndexMismatch "two files whose names differ in case only would stand in one place"
        |_forge| {
        let mut scene = Scene::empty();
        let config = scene.blob(media_type::EMPTY, b"{}");
        for (name, content) in [("Tool", b"one"), ("tool", b"two")] {
            let mut layer = json!(scene.blob(media_type::OCTETS, content));
            layer["annotations"] = json!({TITLE: name});
            let root = scene.document(media_type::MANIFEST, json!({"config": config, "layers": [layer]}));
            scene.artifact(&format!("files/{name}:1"), &root).kind = ArtifactKind::File;
        }
        scene.forge()
    };
    "name-of-other-digest" "J17" BundleIndexMismatch "an artifact's name has the digest of something else"
        |forge| forge.index.artifacts[1].name = format!("registry.example.com/team/app:1.0@{}", Digest::of(b"other"));
    "name-too-long-inside" "J17" NameMalformed "an artifact's repository is too long once its registry stands before it"
        |forge| forge.index.artifacts[0].name = format!("docker.io/{}:2", "x".repeat(250));
    "two-for-one-tag" "J17" BundleIndexMismatch "an image and a chart would stand under one tag"
        |_forge| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let (app, chart) = (scene.image(&[&layer], &json!({})), scene.image(&[], &json!({})));
        scene.artifact("registry.example.com/app:1", &app);
        scene.artifact("registry.example.com/app:1", &chart).kind = ArtifactKind::Chart;
        scene.forge()
    };
    "referrer-takes-tag" "J13" BundleIndexMismatch "a referrer would stand under the tag of an image"
        |_forge| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let app = scene.image(&[&layer], &json!({}));
        let note = scene.image(&[&layer], &json!({"subject": app}));
        let artifact = scene.artifact("registry.example.com/app:1", &app);
        artifact.referrers = vec![Referrer { root: note, subject: app.digest, tag: Some("1".into()) }];
        scene.forge()
    };
    "file-title-climbs" "J21" NameMalformed "a file wants to be called ../../evil"
        |_forge| file("../../evil", 1);
    "file-of-two-layers" "J21" NameMalformed "a file has two layers"
        |_forge| file("tool", 2);
    "bundle-name-climbs" "J21" SumsMalformed "the bundle is called ../x"
        |forge| bend_sums(&mut forge, "name=edge", "name=../x");
};
