//! Makes bundles that sealift would never write, signed all the same with a worthless key.
//!
//! A [`Forge`] begins as a good bundle of two volumes and can be bent at every level: content, tar streams,
//! frames, volumes, `bundle.json`, `SHA256SUMS`, files. What lies above the bend is made to fit, so that the
//! defect under test is the only one.
use std::{collections::BTreeMap, fs, path::Path};

use sealift::{
    base::digest::Digest,
    bundle::{
        Artifact, ArtifactKind, Blob, BundleIndex, Encoding, Member, Referrer, Volume, frame, header, layout,
        sums::{Sums, SumsHeader, volume_path},
    },
    oci::{Descriptor, media_type},
    trust::PrivateKey,
};
use serde_json::{Value, json};

use crate::bundle::{key, root};

/// Content before it is packed.
pub(crate) struct Scene {
    pub(crate) blobs: Vec<(String, Vec<u8>)>,
    pub(crate) artifacts: Vec<Artifact>,
}

impl Scene {
    pub(crate) fn empty() -> Self {
        Self { blobs: Vec::new(), artifacts: Vec::new() }
    }

    /// An image; an index with one child carried and one absent; a referrer of that child.
    pub(crate) fn good() -> Self {
        let mut scene = Self::empty();
        let layer = scene.blob(media_type::LAYER_TAR, b"a layer");
        let app = scene.image(&[&layer], &json!({}));
        scene.artifact("registry.example.com/team/app:1.0", &app);
        let other = scene.blob(media_type::LAYER_TAR, &[7; 700]);
        let child = scene.image(&[&layer, &other], &json!({}));
        let absent = Descriptor::of(media_type::MANIFEST, b"not carried");
        let index = scene.document(media_type::INDEX, json!({"manifests": [child, absent]}));
        let signature = scene.image(&[&layer], &json!({"subject": child}));
        let artifact = scene.artifact("docker.io/library/tool:2", &index);
        artifact.absent = vec![absent.digest];
        artifact.referrers = vec![Referrer { root: signature, subject: child.digest, tag: None }];
        scene
    }

    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        if self.blobs.iter().all(|(_, known)| known != bytes) {
            self.blobs.push((media_type.to_owned(), bytes.to_vec()));
        }
        descriptor
    }

    pub(crate) fn document(&mut self, media_type: &str, mut json: Value) -> Descriptor {
        json["schemaVersion"] = json!(2);
        json["mediaType"] = json!(media_type);
        self.blob(media_type, json.to_string().as_bytes())
    }

    /// An image with a small config; `more` is merged into its manifest.
    pub(crate) fn image(&mut self, layers: &[&Descriptor], more: &Value) -> Descriptor {
        let config = self.blob(media_type::CONFIG, b"{\"os\":\"linux\"}");
        let mut json = json!({"config": config, "layers": layers});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.document(media_type::MANIFEST, json)
    }

    pub(crate) fn artifact(&mut self, name: &str, root: &Descriptor) -> &mut Artifact {
        self.artifacts.push(Artifact {
            kind: ArtifactKind::Image,
            name: name.to_owned(),
            source: name.to_owned(),
            root: root.clone(),
            platforms: Vec::new(),
            absent: Vec::new(),
            referrers: Vec::new(),
        });
        self.artifacts.last_mut().unwrap()
    }

    pub(crate) fn forge(mut self) -> Forge {
        self.artifacts.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        let mut blobs: Vec<Blob> = self
            .blobs
            .iter()
            .map(|(media_type, bytes)| Blob {
                digest: Digest::of(bytes),
                size: bytes.len() as u64,
                media_type: media_type.clone(),
                encoding: Encoding::Raw,
            })
            .collect();
        blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        let content = |digest: &Digest| &self.blobs.iter().find(|(_, b)| Digest::of(b) == *digest).unwrap().1;
        let mut entries = vec![
            Entry::new("oci-layout", layout::OCI_LAYOUT),
            Entry::new("index.json", &layout::layout_index(&self.artifacts)),
        ];
        entries.extend(
            layout::member_order(&blobs)
                .into_iter()
                .map(|blob| Entry::new(&blob.digest.layout_path(), content(&blob.digest))),
        );
        // The last two members stand in a volume of their own.
        let second = entries.len() - 2;
        entries.iter_mut().skip(second).for_each(|entry| entry.volume = 2);
        let index = BundleIndex {
            schema: 1,
            name: "edge".into(),
            version: "1".into(),
            channel: "prod".into(),
            epoch: 1,
            sequence: 42,
            created: "2026-11-21T00:00:00Z".into(),
            description: None,
            tool: "forge".into(),
            artifacts: self.artifacts,
            blobs,
            members: Vec::new(),
            volumes: Vec::new(),
        };
        let ends = vec![pack(&[0; 1024]), pack(&[0; 1024])];
        Forge {
            index,
            entries,
            ends,
            side: Files::new(),
            bend_index: Box::new(|_| {}),
            bend_json: Box::new(|_| {}),
            bend_chunks: Box::new(|_| {}),
            bend_sums: Box::new(|_| {}),
            bend_files: Box::new(|_| {}),
        }
    }
}

/// A member as listed and as it stands in the volume.
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) volume: usize,
    /// Header, content, padding.
    pub(crate) stream: Vec<u8>,
    /// What stands in the volume, where it is not the packed stream.
    pub(crate) frame: Option<Vec<u8>>,
}

impl Entry {
    pub(crate) fn new(path: &str, content: &[u8]) -> Self {
        let size = content.len() as u64;
        Self { path: path.to_owned(), size, volume: 1, stream: stream(path, content), frame: None }
    }

    /// Changes the header and makes its checksum right again.
    pub(crate) fn header(&mut self, bend: impl FnOnce(&mut [u8])) {
        bend(&mut self.stream[..512]);
        fix_checksum(&mut self.stream[..512]);
    }
}

/// Header, content and padding of a member.
pub(crate) fn stream(path: &str, content: &[u8]) -> Vec<u8> {
    let size = content.len() as u64;
    let mut stream = header::ustar(path, size).to_vec();
    stream.extend_from_slice(content);
    stream.resize(stream.len() + usize::try_from(header::padding(size)).unwrap(), 0);
    stream
}

/// Sets a field of a header, filled up with NULs.
pub(crate) fn set(header: &mut [u8], at: usize, length: usize, text: &[u8]) {
    header[at..at + length].fill(0);
    header[at..at + text.len()].copy_from_slice(text);
}

pub(crate) fn fix_checksum(header: &mut [u8]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// One frame as sealift writes it.
pub(crate) fn pack(stream: &[u8]) -> Vec<u8> {
    let mut compressor = frame::Compressor::new().unwrap();
    compressor.begin(frame::LEVEL_PACKED, stream.len() as u64).unwrap();
    let mut out = vec![0; usize::try_from(frame::piece_bound(stream.len() as u64)).unwrap()];
    let (taken, written) = compressor.push(stream, &mut out).unwrap();
    assert_eq!(taken, stream.len());
    let (more, done) = compressor.finish(&mut out[written..]).unwrap();
    assert!(done);
    out.truncate(written + more);
    out
}

/// The files of a bundle under way.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;
type Bend<T> = Box<dyn FnOnce(&mut T)>;

pub(crate) struct Forge {
    pub(crate) index: BundleIndex,
    pub(crate) entries: Vec<Entry>,
    /// The bytes after the last member of each volume.
    pub(crate) ends: Vec<Vec<u8>>,
    /// Further files, listed and signed: trust documents, evidence.
    pub(crate) side: Files,
    /// Changes to `bundle.json` once members and volumes are filled in.
    pub(crate) bend_index: Bend<BundleIndex>,
    /// Changes to its text.
    pub(crate) bend_json: Bend<String>,
    pub(crate) bend_chunks: Bend<Vec<u8>>,
    /// Changes to `SHA256SUMS` before it is signed.
    pub(crate) bend_sums: Bend<String>,
    /// Changes to the files, after everything is signed.
    pub(crate) bend_files: Bend<Files>,
}

impl Forge {
    /// The entry at this position, as something to bend.
    pub(crate) fn entry(&mut self, at: usize) -> &mut Entry {
        &mut self.entries[at]
    }

    /// All files of the bundle, signed with the first worthless key.
    pub(crate) fn seal(mut self) -> Files {
        let volumes = self.fill_index();
        (self.bend_index)(&mut self.index);
        let mut json = self.index.to_text();
        (self.bend_json)(&mut json);
        let mut chunks = Vec::new();
        for volume in &volumes {
            volume.chunks(4 << 20).for_each(|chunk| chunks.extend(Digest::of(chunk).bytes()));
        }
        (self.bend_chunks)(&mut chunks);
        let mut files = Files::new();
        files.insert("VERIFY.txt".into(), b"a recipe\n".to_vec());
        files.insert("bundle.json".into(), json.into_bytes());
        files.insert("chunks.bin".into(), chunks);
        files.insert("inventory.csv".into(), b"a table\n".to_vec());
        for (number, volume) in (1..).zip(volumes) {
            files.insert(volume_path(number), volume);
        }
        files.append(&mut self.side);
        let header = SumsHeader {
            name: "edge".into(),
            version: "1".into(),
            channel: "prod".into(),
            epoch: 1,
            sequence: 42,
            created: sealift::base::clock::Timestamp::parse("2026-11-21T00:00:00Z").unwrap(),
            previous: None,
            site: None,
            trust: 0,
            expires: None,
        };
        let listed = files.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect();
        let mut sums = Sums { header, files: listed }.to_text();
        (self.bend_sums)(&mut sums);
        sign(&mut files, &key(), &key(), sums.as_bytes());
        files.insert("SHA256SUMS".into(), sums.into_bytes());
        (self.bend_files)(&mut files);
        files
    }

    fn fill_index(&mut self) -> Vec<Vec<u8>> {
        let mut volumes = Vec::new();
        for (number, end) in (1..).zip(&self.ends) {
            let mut bytes = Vec::new();
            let mut content = 1024;
            for entry in self.entries.iter().filter(|entry| entry.volume == number) {
                let frame = entry.frame.clone().unwrap_or_else(|| pack(&entry.stream));
                self.index.members.push(Member {
                    path: entry.path.clone(),
                    size: entry.size,
                    volume: number,
                    offset: bytes.len() as u64,
                    frames: vec![frame.len() as u64],
                });
                content += header::stream_length(entry.size);
                bytes.extend(frame);
            }
            bytes.extend(end);
            self.index.volumes.push(Volume { path: volume_path(number), size: bytes.len() as u64, content });
            volumes.push(bytes);
        }
        volumes
    }
}

/// Adds a signature over `sums` by `key` under the name of `name`.
pub(crate) fn sign(files: &mut Files, key: &PrivateKey, name: &PrivateKey, sums: &[u8]) {
    let path = format!("signatures/{}.sig", name.public().key_id());
    files.insert(path, key.sign(sums));
}

/// A good key that nobody trusts.
pub(crate) fn stranger() -> PrivateKey {
    let pem = fs::read_to_string(root().join("testdata/keys/worthless-2.pem")).unwrap();
    PrivateKey::from_pem(&pem, None).unwrap()
}

/// Writes files below a folder.
pub(crate) fn lay_out(dir: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The position of the last member, a layer in volume 2.
pub(crate) fn last(forge: &Forge) -> usize {
    forge.entries.len() - 1
}

/// Puts another name into the header of the last member.
pub(crate) fn rename(forge: &mut Forge, name: &[u8]) {
    let at = last(forge);
    forge.entry(at).header(|header| set(header, 0, 100, name));
}

/// Gives the last member another type.
pub(crate) fn retype(forge: &mut Forge, kind: u8, link: &[u8]) {
    let at = last(forge);
    forge.entry(at).header(|header| {
        header[156] = kind;
        set(header, 157, 100, link);
    });
}

/// Puts a header of its own before the last member's.
pub(crate) fn extend(forge: &mut Forge, kind: u8, name: &str, content: &[u8]) {
    let at = last(forge);
    let mut extension = stream(name, content);
    extension[156] = kind;
    fix_checksum(&mut extension[..512]);
    extension.extend(&forge.entries[at].stream);
    // The index is honest about the stream; only the header that stands first is not the one listed.
    forge.entry(at).frame = Some(pack(&extension));
}

/// Replaces the frame of the last member by one made from it.
pub(crate) fn reframe(forge: &mut Forge, bend: impl FnOnce(&mut Vec<u8>)) {
    let at = last(forge);
    let mut frame = pack(&forge.entries[at].stream);
    bend(&mut frame);
    forge.entry(at).frame = Some(frame);
}

pub(crate) fn skippable(length: u32, content: &[u8]) -> Vec<u8> {
    [&0x184d_2a50u32.to_le_bytes()[..], &length.to_le_bytes()[..], content].concat()
}

/// Changes the text of `bundle.json`; the words must be there.
pub(crate) fn bend_json(forge: &mut Forge, from: &'static str, to: &'static str) {
    forge.bend_json = Box::new(move |text| {
        assert!(text.contains(from), "{from}");
        *text = text.replacen(from, to, 1);
    });
}

pub(crate) fn bend_sums(forge: &mut Forge, from: &'static str, to: &'static str) {
    forge.bend_sums = Box::new(move |text| {
        assert!(text.contains(from), "{from}");
        *text = text.replacen(from, to, 1);
    });
}

pub(crate) fn after(forge: &mut Forge, bend: impl FnOnce(&mut Files) + 'static) {
    forge.bend_files = Box::new(bend);
}

/// Bends the header of the last member.
pub(crate) fn bend_header(forge: &mut Forge, bend: impl FnOnce(&mut [u8])) {
    let at = last(forge);
    forge.entry(at).header(bend);
}

/// Gives the last member a name made from its own.
pub(crate) fn rename_to(forge: &mut Forge, name: impl FnOnce(&str) -> String) {
    let name = name(&forge.entries[last(forge)].path);
    rename(forge, name.as_bytes());
}

/// Puts other bytes into the place of the last member's frame.
pub(crate) fn put_frame(forge: &mut Forge, frame: Vec<u8>) {
    let at = last(forge);
    forge.entry(at).frame = Some(frame);
}

pub(crate) fn with_json(forge: &mut Forge, bend: impl FnOnce(&mut String) + 'static) {
    forge.bend_json = Box::new(bend);
}

pub(crate) fn with_sums(forge: &mut Forge, bend: impl FnOnce(&mut String) + 'static) {
    forge.bend_sums = Box::new(bend);
}

pub(crate) fn with_index<T>(forge: &mut Forge, bend: impl FnOnce(&mut BundleIndex) -> T + 'static) {
    forge.bend_index = Box::new(|index| drop(bend(index)));
}

pub(crate) fn bend_file<T>(forge: &mut Forge, path: &str, bend: impl FnOnce(&mut Vec<u8>) -> T + 'static) {
    let path = path.to_owned();
    after(forge, move |files| drop(bend(files.get_mut(&path).unwrap())));
}

pub(crate) fn remove(forge: &mut Forge, path: &str) {
    let path = path.to_owned();
    after(forge, move |files| drop(files.remove(&path)));
}

pub(crate) fn add(forge: &mut Forge, path: &str, bytes: Vec<u8>) {
    let path = path.to_owned();
    after(forge, move |files| drop(files.insert(path, bytes)));
}

/// Lists a file more, and carries it.
pub(crate) fn list(forge: &mut Forge, path: &str, bytes: impl Into<Vec<u8>>) {
    forge.side.insert(path.to_owned(), bytes.into());
}

pub(crate) fn signature_path() -> String {
    format!("signatures/{}.sig", key().public().key_id())
}
