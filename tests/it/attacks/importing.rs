//! Every attack once more, at a site: nothing bad is published, nothing good is lost.

use std::path::Path;

use sealift::{
    base::{clock::Timestamp, failure::Failures, progress::Silent},
    import,
    site::Site,
    store::Store,
};

use super::{all, code};
use crate::{
    bundle::{files, key, root},
    forge::Files,
};

/// What a site shows and keeps: names, receipts, contents, and what is left under way.
fn site(store: &Store) -> (Vec<String>, Vec<String>, Files) {
    let mut kept = files(store.home());
    kept.retain(|path, _| !path.starts_with("sealift.db") && !path.starts_with("keys/"));
    (store.repositories(None, 99, None).unwrap(), store.reports().unwrap(), kept)
}

fn import(bundle: &Path, store: &Store) -> Result<(), Failures> {
    let options = import::Options {
        site: Site::new(store.clone(), Timestamp::from_seconds(0).unwrap()),
        destination: import::Destination::Home,
        platforms: Vec::new(),
        names: Vec::new(),
        mapping: import::Mapping::default(),
        files_to: None,
        sign_key: None,
        dry_run: false,
        workers: 2,
    };
    let keys = [key().public().clone()];
    import::from_media(bundle, &keys, &options, &Silent).map(drop).map_err(|refusal| refusal.failures)
}

#[test]
fn import_gives_the_verdict_of_verify() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for attack in all() {
        let bundle = root().join("testdata/attacks").join(attack.name).join("bundle");
        let store = Store::open(&dir.path().join(attack.name)).unwrap();
        let found = import(&bundle, &store).map_or_else(|failures| failures.code(), |()| 0);
        if found != code(attack) {
            wrong.push(format!("{}: verify gives {}, import {found}", attack.name, code(attack)));
        }
        let (shown, receipts, kept) = site(&store);
        if attack.reason.is_some() && !(shown.is_empty() && receipts.is_empty()) {
            wrong.push(format!("{}: something was published", attack.name));
        }
        if let Some(left) = kept.keys().find(|path| path.starts_with("staging")) {
            wrong.push(format!("{}: {left} was left", attack.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever a bundle says about content that a site has published: the site keeps every byte of it.
#[test]
fn no_attack_takes_anything_from_a_site() {
    let folder = root().join("testdata/attacks");
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    import(&folder.join("good/bundle"), &store).unwrap();
    let (shown, _, kept) = site(&store);
    for attack in all().filter(|attack| attack.reason.is_some()) {
        let receipts = store.reports().unwrap().len();
        let found = import(&folder.join(attack.name).join("bundle"), &store);
        // Content that the site has is not read again, so damage to it alone goes unnoticed.
        let found = found.map_or_else(|failures| failures.code(), |()| 0);
        assert!(found == code(attack) || found == 0, "{}: {found}", attack.name);
        let now = site(&store);
        assert_eq!(now.0, shown, "{}", attack.name);
        assert_eq!(now.1.len(), receipts + usize::from(found == 0), "{}", attack.name);
        for (path, bytes) in &kept {
            assert!(now.2.get(path) == Some(bytes), "{}: {path} is gone", attack.name);
        }
    }
}
