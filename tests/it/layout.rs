//! Images that lie on this machine: folders and archives built here, good ones and traps.
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use sealift::{
    base::{
        digest::Digest,
        failure::{Reason, Result},
    },
    layout::{self, Brought},
    manifest::{LocalImage, LocalKind},
    oci::{Descriptor, Document, Reference, media_type},
    store::Store,
};

const NAME: &str = "org.opencontainers.image.ref.name";

/// Paths and contents.
type Files = Vec<(String, Vec<u8>)>;

struct Sandbox {
    dir: tempfile::TempDir,
    store: Store,
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn bring(&self, kind: LocalKind, path: &str, selector: Option<&str>) -> Result<Brought> {
        self.bring_as(kind, path, selector, Some("example.com/app:1"))
    }

    fn bring_as(
        &self,
        kind: LocalKind,
        path: &str,
        selector: Option<&str>,
        name: Option<&str>,
    ) -> Result<Brought> {
        let local = LocalImage {
            kind,
            path: self.path(path),
            selector: selector.map(str::to_owned),
            name: name.map(|name| Reference::parse(name).unwrap()),
            written: format!("{kind:?}:{path}"),
        };
        layout::bring(&local, &self.store)
    }

    fn assert_whole(&self, brought: &Brought) {
        for (manifest, _) in brought.graph.manifests.values() {
            self.store.read_blob(manifest).unwrap();
        }
        for blob in brought.graph.blobs.values() {
            self.store.read_blob(blob).unwrap();
        }
        assert!(brought.graph.manifests.contains_key(&brought.root.digest));
    }
}

/// Files of an OCI layout.
#[derive(Clone, Default)]
struct Layout {
    files: Files,
    entries: Vec<Descriptor>,
}

impl Layout {
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.files.push((descriptor.digest.layout_path(), bytes.to_vec()));
        descriptor
    }

    fn image(&mut self, text: &str) -> Descriptor {
        let config = self.blob(media_type::CONFIG, format!("{{\"c\":\"{text}\"}}").as_bytes());
        let layer = self.blob(media_type::LAYER_TAR, text.repeat(1000).as_bytes());
        self.manifest(&config, &layer)
    }

    fn manifest(&mut self, config: &Descriptor, layer: &Descriptor) -> Descriptor {
        let json = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        self.blob(media_type::MANIFEST, json.to_string().as_bytes())
    }

    fn index(&mut self, children: &[Descriptor]) -> Descriptor {
        let json = serde_json::json!({"schemaVersion": 2, "manifests": children});
        self.blob(media_type::INDEX, json.to_string().as_bytes())
    }

    fn tag(&mut self, mut image: Descriptor, key: &str, name: &str) {
        image.annotations.insert(key.to_owned(), name.to_owned());
        self.entries.push(image);
    }

    /// Two tagged images, one of them for two platforms.
    fn sample() -> Self {
        let mut layout = Self::default();
        let (a, b) = (layout.image("a"), layout.image("b"));
        let both = layout.index(&[a.clone(), b]);
        layout.tag(a, NAME, "1.0");
        layout.tag(both, NAME, "example.com/team/app:2.0");
        layout
    }

    fn all(&self) -> Files {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": self.entries}).to_string();
        let mut files = self.files.clone();
        files.dedup();
        files.sort();
        files.dedup();
        files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        files.push(("index.json".into(), index.into_bytes()));
        files
    }

    fn write(&self, sandbox: &Sandbox, dir: &str) {
        for (path, bytes) in self.all() {
            sandbox.write(&format!("{dir}/{path}"), &bytes);
        }
    }
}

enum Member<'a> {
    File(&'a str, &'a [u8]),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
}

fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(0);
        match member {
            Member::File(path, bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, *bytes).unwrap();
            }
            Member::Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            }
            Member::Hard(path, target) => {
                header.set_entry_type(tar::EntryType::Link);
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar(&files.iter().map(|(path, bytes)| Member::File(path, bytes)).collect::<Vec<_>>())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

#[test]
fn a_layout_folder_is_brought_whole() {
    let sandbox = Sandbox::new();
    let sample = Layout::sample();
    sample.write(&sandbox, "oci");
    let one = sandbox.bring(LocalKind::OciLayout, "oci", Some("1.0")).unwrap();
    assert_eq!(one.root.digest, sample.entries[0].digest);
    assert_eq!(one.graph.blobs.len(), 2);
    sandbox.assert_whole(&one);
    let both = sandbox.bring_as(LocalKind::OciLayout, "oci", Some("example.com/team/app:2.0"), None).unwrap();
    assert_eq!(both.name.to_string(), "example.com/team/app:2.0");
    assert_eq!(both.graph.manifests.len(), 3);
    sandbox.assert_whole(&both);
    let digest = sample.entries[1].digest.to_string();
    assert_eq!(sandbox.bring(LocalKind::OciLayout, "oci", Some(&digest)).unwrap().root, both.root);
}

#[test]
fn the_name_is_the_manifests_or_the_sources_own() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::default();
    let image = layout.image("a");
    layout.tag(image, NAME, "1.0");
    layout.write(&sandbox, "oci");
    let bring = |name| sandbox.bring_as(LocalKind::OciLayout, "oci", None, name);
    assert_eq!(bring(None).unwrap_err().reason, Reason::NameMalformed);
    assert_eq!(bring(Some("example.com/app")).unwrap().name.to_string(), "example.com/app:1.0");
    assert_eq!(bring(Some("example.com/app:x")).unwrap().name.to_string(), "example.com/app:x");
    let wrong = format!("example.com/app@{}", Digest::of(b"other"));
    assert_eq!(bring(Some(&wrong)).unwrap_err().reason, Reason::DigestMismatch);

    layout.entries[0]
        .annotations
        .insert("io.containerd.image.name".into(), "docker.io/library/app:1.0".into());
    layout.write(&sandbox, "oci");
    let named = sandbox.bring_as(LocalKind::OciLayout, "oci", Some("app:1.0"), None).unwrap();
    assert_eq!(named.name.to_string(), "docker.io/library/app:1.0");
}

#[test]
fn several_images_need_a_choice() {
    let sandbox = Sandbox::new();
    Layout::sample().write(&sandbox, "oci");
    sandbox.write("a.tar", &tar_of(&Layout::sample().all()));
    for (kind, path) in [(LocalKind::OciLayout, "oci"), (LocalKind::OciArchive, "a.tar")] {
        let failure = sandbox.bring(kind, path, None).unwrap_err();
        assert_eq!(failure.reason, Reason::LayoutMalformed);
        assert!(failure.hint.unwrap().contains("1.0, example.com/team/app:2.0"));
        assert_eq!(sandbox.bring(kind, path, Some("3.0")).unwrap_err().reason, Reason::LayoutMalformed);
    }
}

#[test]
fn links_and_special_files_in_a_layout_are_refused() {
    let hostile = Sandbox::new();
    let (blob, image) = {
        let mut layout = Layout::default();
        let image = layout.image("a");
        (layout.files[1].0.clone(), image.digest.layout_path())
    };
    for victim in ["index.json", "oci-layout", &blob, &image, "blobs/sha256", "blobs"] {
        for with_fifo in [false, true] {
            let sandbox = Sandbox::new();
            let mut layout = Layout::default();
            let image = layout.image("a");
            layout.tag(image, NAME, "1.0");
            layout.write(&sandbox, "oci");
            layout.write(&hostile, "oci");
            let path = sandbox.path("oci").join(victim);
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else {
                remove(&path);
            }
            if with_fifo {
                assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            } else {
                std::os::unix::fs::symlink(hostile.path("oci").join(victim), &path).unwrap();
            }
            let failure = sandbox.bring(LocalKind::OciLayout, "oci", None).unwrap_err();
            assert_eq!(failure.reason, Reason::FileSpecial, "{victim} fifo={with_fifo}");
        }
    }
}

#[test]
fn lies_about_size_digest_and_presence_are_told() {
    let mut base = Layout::default();
    let image = base.image("a");
    base.tag(image, NAME, "1.0");
    let layer = base.files[1].0.clone();

    let mut short = Layout::default();
    let config = short.blob(media_type::CONFIG, b"{}");
    let mut lying = short.blob(media_type::LAYER_TAR, b"layer");
    lying.size = 4;
    let manifest = short.manifest(&config, &lying);
    short.tag(manifest, NAME, "1.0");
    let mut long = short.clone();
    let vast = Descriptor { size: 1 << 62, ..lying };
    let manifest = long.manifest(&config, &vast);
    long.entries.clear();
    long.tag(manifest, NAME, "1.0");

    let change = |with: &dyn Fn(&mut Files)| {
        let mut files = base.all();
        with(&mut files);
        files
    };
    let cases = [
        (Reason::SizeMismatch, short.all()),
        (Reason::SizeMismatch, long.all()),
        (Reason::BlobMissing, change(&|files| files.retain(|(path, _)| *path != layer))),
        (
            Reason::DigestMismatch,
            change(&|files| files.iter_mut().find(|(path, _)| *path == layer).unwrap().1[0] ^= 1),
        ),
        (Reason::LayoutMalformed, change(&|files| files.retain(|(path, _)| path != "index.json"))),
        (Reason::LayoutMalformed, change(&|files| files.retain(|(path, _)| path != "oci-layout"))),
        (
            Reason::LayoutMalformed,
            change(&|files| {
                files.iter_mut().find(|(path, _)| path == "oci-layout").unwrap().1 =
                    br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec();
            }),
        ),
        (
            Reason::OciAmbiguous,
            change(&|files| {
                files.iter_mut().find(|(path, _)| path == "index.json").unwrap().1 =
                    br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_vec();
            }),
        ),
    ];
    for (number, (reason, files)) in cases.iter().enumerate() {
        let sandbox = Sandbox::new();
        for (path, bytes) in files {
            sandbox.write(&format!("oci/{path}"), bytes);
        }
        sandbox.write("a.tar", &tar_of(files));
        for (kind, path) in [(LocalKind::OciLayout, "oci"), (LocalKind::OciArchive, "a.tar")] {
            let failure = sandbox.bring(kind, path, None).unwrap_err();
            assert_eq!(failure.reason, *reason, "case {number} {path}: {failure}");
        }
    }
}

#[test]
fn an_archive_gives_what_the_folder_gives() {
    let sample = Layout::sample();
    let folder = Sandbox::new();
    sample.write(&folder, "oci");
    let expected = folder.bring(LocalKind::OciLayout, "oci", Some("example.com/team/app:2.0")).unwrap();
    let mut files = sample.all();
    let plain = tar_of(&files);
    files.reverse();
    for bytes in [plain.clone(), tar_of(&files), gzip(&plain)] {
        let sandbox = Sandbox::new();
        sandbox.write("a.tar", &bytes);
        for kind in [LocalKind::OciArchive, LocalKind::DockerArchive, LocalKind::OciArchive] {
            let brought = sandbox.bring(kind, "a.tar", Some("example.com/team/app:2.0")).unwrap();
            assert_eq!(brought.root, expected.root);
            sandbox.assert_whole(&brought);
        }
    }
}

/// A `docker save` archive of one image with two layers; `members` may add and replace.
struct Docker {
    config: Vec<u8>,
    layers: [Vec<u8>; 2],
}

impl Docker {
    fn new() -> Self {
        let layers = [b"first layer".repeat(100), b"second layer".repeat(100)];
        let ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = serde_json::json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}});
        Self { config: config.to_string().into_bytes(), layers }
    }

    fn manifest(layers: &[&str], tags: &str) -> Vec<u8> {
        format!(r#"[{{"Config":"c.json","RepoTags":{tags},"Layers":{}}}]"#, serde_json::json!(layers)).into()
    }
}

#[test]
fn docker_archives_become_images_with_the_same_layers() {
    let docker = Docker::new();
    let manifest = Docker::manifest(&["a/layer.tar", "b/layer.tar"], r#"["team/app:1.0"]"#);
    let packed = gzip(&docker.layers[1]);
    let shapes: [(&str, Vec<Member<'_>>); 4] = [
        (
            media_type::LAYER_TAR,
            vec![
                Member::File("a/layer.tar", &docker.layers[0]),
                Member::File("a/json", b"{}"),
                Member::File("b/layer.tar", &docker.layers[1]),
                Member::File("c.json", &docker.config),
                Member::File("manifest.json", &manifest),
                Member::File("repositories", b"{}"),
            ],
        ),
        (
            media_type::LAYER_TAR,
            vec![
                Member::File("manifest.json", &manifest),
                Member::File("c.json", &docker.config),
                Member::Link("a/layer.tar", "../x/./layer.tar"),
                Member::Link("x/layer.tar", "../first.tar"),
                Member::File("first.tar", &docker.layers[0]),
                Member::File("b/layer.tar", &docker.layers[1]),
            ],
        ),
        (
            media_type::LAYER_TAR,
            vec![
                Member::File("first.tar", &docker.layers[0]),
                Member::Hard("a/layer.tar", "first.tar"),
                Member::File("b/layer.tar", &docker.layers[1]),
                Member::File("c.json", &docker.config),
                Member::File("manifest.json", &manifest),
            ],
        ),
        (
            media_type::LAYER_GZIP,
            vec![
                Member::File("a/layer.tar", &docker.layers[0]),
                Member::File("b/layer.tar", &packed),
                Member::File("c.json", &docker.config),
                Member::File("manifest.json", &manifest),
            ],
        ),
    ];
    let mut roots = Vec::new();
    for (second, members) in shapes {
        let sandbox = Sandbox::new();
        sandbox.write("d.tar", &tar(&members));
        let brought = sandbox.bring_as(LocalKind::DockerArchive, "d.tar", None, None).unwrap();
        assert_eq!(brought.name.to_string(), "docker.io/team/app:1.0");
        sandbox.assert_whole(&brought);
        let Document::Image(image) = &brought.graph.manifests[&brought.root.digest].1 else { panic!() };
        assert_eq!(image.config, Descriptor::of(media_type::CONFIG, &docker.config));
        assert_eq!(image.layers[0], Descriptor::of(media_type::LAYER_TAR, &docker.layers[0]));
        assert_eq!(image.layers[1].media_type, second);
        roots.push(brought.root.digest);
        let oci = sandbox.bring(LocalKind::OciArchive, "d.tar", None).unwrap_err();
        assert!(matches!(oci.reason, Reason::LayoutMalformed | Reason::FileSpecial));
    }
    assert_eq!(roots[0], roots[1]);
    assert_eq!(roots[0], roots[2]);
}

#[test]
fn docker_archives_are_chosen_and_named_by_tag() {
    let docker = Docker::new();
    let layers = [Member::File("a", &docker.layers[0]), Member::File("b", &docker.layers[1])];
    let manifest = Docker::manifest(&["a", "b"], r#"["app:1", "registry.example.com/app:2"]"#);
    let [a, b] = layers;
    let sandbox = Sandbox::new();
    let members = [a, b, Member::File("c.json", &docker.config), Member::File("manifest.json", &manifest)];
    sandbox.write("d.tar", &tar(&members));
    let bring = |selector, name| sandbox.bring_as(LocalKind::DockerArchive, "d.tar", selector, name);
    assert_eq!(bring(None, None).unwrap_err().reason, Reason::NameMalformed);
    assert_eq!(bring(Some("app:1"), None).unwrap().name.to_string(), "docker.io/library/app:1");
    assert_eq!(bring(Some("app:3"), None).unwrap_err().reason, Reason::LayoutMalformed);
    assert_eq!(bring(None, Some("example.com/a")).unwrap().name.to_string(), "example.com/a:latest");
}

#[test]
fn docker_archives_that_lie_are_refused() {
    let docker = Docker::new();
    let good = Docker::manifest(&["a", "b"], "null");
    let (first, second) = (docker.layers[0].as_slice(), docker.layers[1].as_slice());
    let config = docker.config.as_slice();
    let case = |a: Member<'static>, manifest: &[u8]| {
        tar(&[
            Member::File("b", second),
            a,
            Member::File("c.json", config),
            Member::File("manifest.json", manifest),
        ])
    };
    let with_first = |manifest: &[u8]| {
        tar(&[
            Member::File("a", first),
            Member::File("b", second),
            Member::File("c.json", config),
            Member::File("manifest.json", manifest),
        ])
    };
    for (reason, bytes) in [
        (Reason::DigestMismatch, case(Member::File("a", b"other content"), &good)),
        (Reason::DigestMismatch, case(Member::Link("a", "b"), &good)),
        (Reason::LayoutMalformed, case(Member::Link("a", "../etc/passwd"), &good)),
        (Reason::LayoutMalformed, case(Member::Link("a", "/etc/passwd"), &good)),
        (Reason::LayoutMalformed, case(Member::Link("a", "a"), &good)),
        (Reason::LayoutMalformed, case(Member::Link("a", "none"), &good)),
        (Reason::LayoutMalformed, with_first(&Docker::manifest(&["a"], "null"))),
        (Reason::LayoutMalformed, with_first(&Docker::manifest(&["a", "../b"], "null"))),
        (Reason::LayoutMalformed, with_first(b"[]")),
        (Reason::LayoutMalformed, with_first(b"{")),
        (Reason::LayoutMalformed, with_first(br#"[{"Config":"c.json","Config":"b","Layers":[]}]"#)),
        (Reason::LayoutMalformed, tar(&[Member::File("a", first)])),
        (Reason::LayoutMalformed, with_first(&good)[..2000].to_vec()),
        (Reason::LayoutMalformed, b"no tar at all".repeat(100)),
        (Reason::LayoutMalformed, gzip(b"no tar inside")),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("d.tar", &bytes);
        let failure = sandbox.bring(LocalKind::DockerArchive, "d.tar", None).unwrap_err();
        assert_eq!(failure.reason, reason, "{failure}");
    }
}

#[test]
fn links_for_blobs_in_an_archive_are_refused() {
    let mut layout = Layout::default();
    let image = layout.image("a");
    layout.tag(image, NAME, "1.0");
    let files = layout.all();
    let hex_path = files[0].0.clone();
    let mut members = vec![Member::Link(&hex_path, "/etc/passwd")];
    members.extend(files[1..].iter().map(|(path, bytes)| Member::File(path, bytes)));
    let sandbox = Sandbox::new();
    sandbox.write("a.tar", &tar(&members));
    for kind in [LocalKind::OciArchive, LocalKind::DockerArchive] {
        assert_eq!(sandbox.bring(kind, "a.tar", None).unwrap_err().reason, Reason::FileSpecial);
    }
}
