//! Bundles that change under the reader's hands: special files, wrong keys, media that differ at the second
//! look, and every single byte flipped or cut off.
use std::{fs, os::unix::fs::symlink, path::Path};

use sealift::{
    base::{
        digest::Digest,
        failure::{Failures, Reason},
    },
    oci::{Descriptor, media_type},
    trust::Authority,
    verify,
};

use crate::{
    attacks::judge,
    bundle::{key, known},
    forge::{Entry, Files, Forge, Scene, last, lay_out, pack, reframe, stranger, stream},
};

/// A good bundle in a temporary folder.
fn good() -> (tempfile::TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    let made = Scene::good().forge().seal();
    lay_out(dir.path(), &made);
    (dir, made)
}

fn reasons(result: Result<verify::Report, Failures>) -> Vec<Reason> {
    result.unwrap_err().list().iter().map(|failure| failure.reason).collect()
}

/// What cannot be committed: links, fifos, folders and files too large for a repository.
#[test]
fn special_files_are_refused_without_touching_them() {
    type Act = fn(&Path);
    let acts: [(&str, Act, Reason); 11] = [
        ("SHA256SUMS", |path| symlink("/etc/passwd", path).unwrap(), Reason::FileSpecial),
        ("bundle.json", |path| symlink("/etc/passwd", path).unwrap(), Reason::FileSpecial),
        ("volumes/0001.tar.zst", |path| symlink("/dev/zero", path).unwrap(), Reason::FileSpecial),
        ("volumes/0001.tar.zst", fifo, Reason::FileSpecial),
        ("chunks.bin", fifo, Reason::FileSpecial),
        ("SHA256SUMS", fifo, Reason::FileSpecial),
        ("VERIFY.txt", |path| fs::create_dir(path).unwrap(), Reason::FileSpecial),
        ("extra", |path| fs::create_dir(path).unwrap(), Reason::FileExtra),
        ("extra", |path| symlink("bundle.json", path).unwrap(), Reason::FileSpecial),
        ("SHA256SUMS", |path| fs::write(path, vec![b'#'; (1 << 20) + 1]).unwrap(), Reason::SumsTooLarge),
        ("volumes/deep", |path| fs::create_dir(path).unwrap(), Reason::FileExtra),
    ];
    for (name, act, reason) in acts {
        let (dir, _made) = good();
        let path = dir.path().join(name);
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        act(&path);
        assert_eq!(reasons(judge(dir.path())), [reason], "{name}");
    }
    for folder in ["volumes", "signatures"] {
        let (dir, _made) = good();
        let elsewhere = dir.path().with_extension("elsewhere");
        fs::rename(dir.path().join(folder), &elsewhere).unwrap();
        symlink(&elsewhere, dir.path().join(folder)).unwrap();
        assert_eq!(reasons(judge(dir.path()))[0], Reason::FileSpecial, "{folder}");
        fs::remove_dir_all(&elsewhere).unwrap();
    }
    let (dir, _made) = good();
    symlink("/etc/passwd", dir.path().join(format!("signatures/{}.sig", "0".repeat(32)))).unwrap();
    assert_eq!(reasons(judge(dir.path())), [Reason::FileSpecial]);
}

fn fifo(path: &Path) {
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o600.into(), 0).unwrap();
}

#[test]
fn without_the_right_key_nothing_is_opened() {
    let (dir, _made) = good();
    let reason = |keys: &[sealift::trust::PublicKey]| {
        verify::open(dir.path(), &Authority::Keys(keys.to_vec())).unwrap_err().list()[0].reason
    };
    assert_eq!(reason(&[]), Reason::NoKey);
    assert_eq!(reason(&[stranger().public().clone()]), Reason::SignatureUntrusted);
    assert!(
        verify::open(dir.path(), &Authority::Keys(vec![stranger().public().clone(), key().public().clone()]))
            .is_ok()
    );
    let nowhere = dir.path().join("nowhere");
    let failure = verify::open(&nowhere, &known()).unwrap_err();
    assert_eq!(failure.list()[0].reason, Reason::NotFound);
}

/// What stands in a frame or behind the last member, told to the word.
#[test]
fn faults_of_volumes_are_named() {
    type Bend = fn(&mut Forge);
    // What is found at the end of the second volume, of which the last member is a layer.
    fn end(forge: &mut Forge, volume: usize, path: &str, length: usize) {
        forge.ends[volume - 1] = pack(&stream(path, &vec![7; length]));
    }
    let cases: [(&str, Bend, Reason, &str); 14] = [
        (
            "a frame without its last byte",
            |forge| reframe(forge, |frame| frame.truncate(frame.len() - 1)),
            Reason::ZstdFrame,
            "a frame does not end where bundle.json says",
        ),
        (
            "bytes after a frame",
            |forge| reframe(forge, |frame| frame.extend(b"some more bytes that are no frame")),
            Reason::ZstdFrame,
            "there are bytes after the end of a frame",
        ),
        (
            "a byte after a frame",
            |forge| reframe(forge, |frame| frame.push(0)),
            Reason::ZstdFrame,
            "there are bytes after the end of a frame",
        ),
        (
            "the last member once more",
            |forge| {
                let path = forge.entries[last(forge)].path.clone();
                end(forge, 2, &path, 5);
            },
            Reason::TarDuplicate,
            "once more",
        ),
        (
            "the last member once more, larger",
            |forge| {
                let path = forge.entries[last(forge)].path.clone();
                end(forge, 2, &path, 5000);
            },
            Reason::TarDuplicate,
            "once more",
        ),
        (
            "the next member too early",
            |forge| {
                let path = forge.entries[last(forge) - 1].path.clone();
                end(forge, 1, &path, 5);
            },
            Reason::TarOrder,
            "before its place",
        ),
        (
            "the next member too early, larger",
            |forge| {
                let path = forge.entries[last(forge) - 1].path.clone();
                end(forge, 1, &path, 5000);
            },
            Reason::TarOrder,
            "before its place",
        ),
        (
            "the last member of a volume once more",
            |forge| {
                let path = forge.entries[last(forge) - 2].path.clone();
                end(forge, 1, &path, 5000);
            },
            Reason::TarDuplicate,
            "once more",
        ),
        (
            "an unlisted member",
            |forge| end(forge, 2, &Digest::of(b"x").layout_path(), 5),
            Reason::TarExtra,
            "found the unlisted member",
        ),
        (
            "an unlisted member, larger",
            |forge| end(forge, 2, &Digest::of(b"x").layout_path(), 200_000),
            Reason::TarExtra,
            "found the unlisted member",
        ),
        (
            "zeros without end",
            |forge| forge.ends[1] = pack(&[0; 5000]),
            Reason::TarTrailing,
            "found the end of the archive where a member must stand",
        ),
        (
            "a frame that says much and holds nothing",
            |forge| {
                let mut frame = pack(&[9; 5000]);
                let middle = frame.len() - 6;
                frame[middle] ^= 0xff;
                frame[9] |= 6;
                forge.ends[1] = frame;
            },
            Reason::TarTrailing,
            "found",
        ),
        (
            "half of the end",
            |forge| {
                let _half = forge.ends[1].split_off(10);
            },
            Reason::TarTrailing,
            "a frame does not end where bundle.json says",
        ),
        (
            "a letter in the second block",
            |forge| forge.ends[1] = pack(&[&[0; 700][..], b"x", &[0; 323]].concat()),
            Reason::TarEnd,
            "found only one zero block",
        ),
    ];
    for (name, bend, reason, message) in cases {
        let mut forge = Scene::good().forge();
        bend(&mut forge);
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path(), &forge.seal());
        let failures = judge(dir.path()).unwrap_err();
        let failure = &failures.list()[0];
        assert_eq!(failure.reason, reason, "{name}: {failure}");
        assert!(failure.message.contains(message), "{name}: {failure}");
        assert_eq!(failures.list().len(), 1, "{name}");
    }
}

/// Content without a byte has a digest as well.
#[test]
fn empty_content_is_compared_too() {
    let forge = |content: &[u8]| {
        let mut scene = Scene::empty();
        let layer = scene.blob(media_type::LAYER_TAR, content);
        let layer = Descriptor::new(layer.media_type, layer.digest, 0);
        let root = scene.image(&[&layer], &serde_json::json!({}));
        scene.artifact("registry.example.com/app:1", &root);
        let mut forge = scene.forge();
        let path = layer.digest.layout_path();
        let entry = forge.entries.iter_mut().find(|entry| entry.path == path).unwrap();
        *entry = Entry { volume: entry.volume, ..Entry::new(&path, b"") };
        forge.index.blobs.iter_mut().find(|blob| blob.digest == layer.digest).unwrap().size = 0;
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path(), &forge.seal());
        judge(dir.path())
    };
    assert!(forge(b"").is_ok());
    assert_eq!(reasons(forge(b"a layer")), [Reason::DigestMismatch]);
}

/// Media that change between opening and use (R01): what was not signed is never handed out.
#[test]
fn later_changes_are_found() {
    let (dir, made) = good();
    let bundle = verify::open(dir.path(), &known()).unwrap();
    let blob = bundle.index().blobs[0].digest.clone();
    for (name, bytes) in &made {
        let path = dir.path().join(name);
        let mut bent = bytes.clone();
        for byte in &mut bent {
            *byte ^= 1;
        }
        fs::write(&path, bent).unwrap();
    }
    let mut got = Vec::new();
    let mut sink = |bytes: &[u8]| {
        got.extend_from_slice(bytes);
        Ok(())
    };
    assert_eq!(bundle.stream_blob(&blob, &mut sink).unwrap_err().reason, Reason::ChunkDamaged);
    assert!(got.is_empty());
    for (name, _) in made.iter().filter(|(name, _)| name.starts_with("volumes")) {
        fs::write(dir.path().join(name), b"cut").unwrap();
    }
    assert_eq!(bundle.read_blob(&blob).unwrap_err().reason, Reason::Truncated);
    fs::remove_dir_all(dir.path().join("volumes")).unwrap();
    assert_eq!(bundle.read_blob(&blob).unwrap_err().reason, Reason::VolumeMissing);
}

/// Whether damage of a file may end with this code: 4 in general, 5 and 7 where it cannot be told from
/// hostility.
fn allowed(code: u8) -> bool {
    matches!(code, 4 | 5 | 7)
}

/// Runs `change` over every place of every file and judges each result, on all processors.
fn sweep(change: impl Fn(&[u8], usize) -> Option<Vec<u8>> + Sync) {
    let made = Scene::good().forge().seal();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let places: Vec<(&String, usize)> =
        made.iter().flat_map(|(name, bytes)| (0..bytes.len()).map(move |at| (name, at))).collect();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let dir = tempfile::tempdir().unwrap();
                lay_out(dir.path(), &made);
                while let Some((name, at)) =
                    places.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let Some(bent) = change(&made[*name], *at) else { continue };
                    fs::write(dir.path().join(name), bent).unwrap();
                    match judge(dir.path()) {
                        Ok(_) => panic!("{name} changed at {at} was accepted"),
                        Err(failures) => {
                            assert!(allowed(failures.code()), "{name} at {at}: {:?}", failures.list());
                        }
                    }
                    fs::write(dir.path().join(name), &made[*name]).unwrap();
                }
            });
        }
    });
}

#[test]
fn every_flipped_byte_is_found() {
    sweep(|bytes, at| {
        let mut bent = bytes.to_vec();
        bent[at] ^= 1 << (at % 8);
        Some(bent)
    });
}

#[test]
fn every_cut_is_found() {
    sweep(|bytes, at| bytes.get(..at).map(<[u8]>::to_vec));
}
