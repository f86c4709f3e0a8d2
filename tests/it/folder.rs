//! What stands in the folder of a bundle: files and folders that are missing, too many, damaged or of another kind.

use std::{fs, path::Path};

use sealift::{base::failure::Reason, trust::Authority, verify};

use crate::{
    attacks::judge,
    bundle::known,
    forge::{Scene, add, bend_file, bend_sums, list, remove},
    opened::{laid, told},
};

#[test]
fn what_is_no_bundle_is_told_so() {
    let (dir, _made) = laid(Scene::good().forge());
    let first = |dir: &Path| {
        let failures = verify::open(dir, &known()).unwrap_err();
        let failure = &failures.list()[0];
        (failure.reason, failure.object.clone(), failure.message.clone())
    };
    let file = dir.path().join("bundle.json");
    let (reason, object, message) = first(&file);
    assert_eq!((reason, object), (Reason::NotFound, file.display().to_string()));
    assert_eq!(message, "expected the folder of a bundle, found something else");
    assert_eq!(first(&dir.path().join("nowhere")).0, Reason::NotFound);
    // What is no folder holds no trust documents that could be missing.
    assert!(verify::carried_trust(&file).is_err());
    let volumes = dir.path().join("volumes");
    let (reason, object, message) = first(&volumes);
    assert_eq!((reason, object), (Reason::FileMissing, volumes.display().to_string()));
    assert_eq!(message, "the folder holds no SHA256SUMS, which every bundle has");
    // The bundle itself may be named by a link; inside it none is followed.
    let link = dir.path().with_extension("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    assert!(verify::open(&link, &known()).is_ok());
    fs::remove_file(link).unwrap();
    fs::remove_file(dir.path().join("SHA256SUMS")).unwrap();
    fs::create_dir(dir.path().join("SHA256SUMS")).unwrap();
    let (reason, object, _) = first(dir.path());
    assert_eq!((reason, object.as_str()), (Reason::FileSpecial, "SHA256SUMS"));
    // Where there is no bundle, a key would not help.
    let without_keys = verify::open(dir.path(), &Authority::Keys(Vec::new())).unwrap_err();
    assert_eq!(without_keys.list()[0].reason, Reason::FileSpecial);
}

/// The list of a folder full of strange files has an end.
#[test]
fn many_strange_files_are_counted() {
    let extra = |count: usize| {
        let (dir, _made) = laid(Scene::good().forge());
        for number in 0..count {
            fs::write(dir.path().join(format!("volumes/extra-{number:03}")), b"").unwrap();
        }
        told(judge(dir.path()))
    };
    let message = "the bundle holds a file that is not listed in SHA256SUMS";
    let (all, some) = (extra(64), extra(70));
    assert_eq!((all.len(), some.len()), (64, 64));
    assert!(all.iter().all(|(reason, _, told)| *reason == Reason::FileExtra && told == message));
    assert_eq!(some[62].2, message);
    assert_eq!(some[63].2, format!("{message}, and so do 6 more"));
}

/// Everything that is wrong with the small files is told at once, and of whom.
#[test]
fn small_files_are_told_together() {
    let mut forge = Scene::good().forge();
    list(&mut forge, "evidence/sbom.json", *b"{}\n");
    let (dir, _made) = laid(forge);
    let small = ["inventory.csv", "VERIFY.txt", "evidence/sbom.json", "bundle.json", "chunks.bin"];
    for name in small {
        fs::write(dir.path().join(name), b"other").unwrap();
    }
    let message = "the content differs from its digest in SHA256SUMS";
    let expected = small.map(|name| (Reason::FileDamaged, name.to_owned(), message.to_owned()));
    assert_eq!(told(judge(dir.path())), expected);
    for name in ["bundle.json", "chunks.bin"] {
        let mut forge = Scene::good().forge();
        bend_file(&mut forge, name, Vec::clear);
        let (dir, _made) = laid(forge);
        assert_eq!(told(judge(dir.path())), [(Reason::FileDamaged, name.to_owned(), message.to_owned())]);
    }
}

/// What is missing is told by name and kind, beside what is too much.
#[test]
fn missing_files_are_told_by_name() {
    let mut forge = Scene::good().forge();
    add(&mut forge, "extra", Vec::new());
    let (dir, _made) = laid(forge);
    for name in ["inventory.csv", "volumes/0002.tar.zst"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let wrong: Vec<(Reason, String)> =
        told(judge(dir.path())).into_iter().map(|(reason, object, _)| (reason, object)).collect();
    let expected = [
        (Reason::FileExtra, "extra"),
        (Reason::FileMissing, "inventory.csv"),
        (Reason::VolumeMissing, "volumes/0002.tar.zst"),
    ];
    assert_eq!(wrong, expected.map(|(reason, path)| (reason, path.to_owned())));
    // A glance needs no volume, but it needs the index.
    assert!(verify::glance(dir.path()).is_ok());
    let mut forge = Scene::good().forge();
    remove(&mut forge, "bundle.json");
    let (dir, _made) = laid(forge);
    let failure = verify::glance(dir.path()).unwrap_err();
    assert_eq!((failure.reason, failure.object.as_str()), (Reason::FileMissing, "bundle.json"));
}

/// A folder in which the names of our folders stand for something else.
#[test]
fn our_folders_are_folders() {
    for folder in ["evidence", "trust", "signatures", "volumes"] {
        let (dir, _made) = laid(Scene::good().forge());
        let path = dir.path().join(folder);
        let _may_be_missing = fs::remove_dir_all(&path);
        fs::write(&path, b"").unwrap();
        let wrong = told(judge(dir.path()));
        assert_eq!((wrong[0].0, wrong[0].1.as_str()), (Reason::FileSpecial, folder));
    }
    // Empty ones that nothing stands in do no harm.
    let (dir, _made) = laid(Scene::good().forge());
    for folder in ["evidence", "trust"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    assert_eq!(told(judge(dir.path())), []);
    let mut forge = Scene::good().forge();
    bend_sums(&mut forge, "sequence=42", "sequence=43");
    let (dir, _made) = laid(forge);
    assert_eq!(told(verify::open(dir.path(), &known()))[0].0, Reason::BundleIndexMismatch);
}
