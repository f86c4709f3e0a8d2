//! Hostile and damaged bundles: one folder a defect under `testdata/attacks`, each with the code and reason
//! it must end with (rows of `docs/threats.md`). The bytes are made by the table below and
//! committed; `UPDATE_TESTDATA=1 cargo test attacks` makes them anew.
mod documents;
mod format;
mod trust;

use std::{collections::BTreeSet, fs, path::Path};

use sealift::{
    base::{
        clock::Timestamp,
        failure::{Class, Failures, Reason},
        progress::Silent,
    },
    import,
    site::Site,
    store::Store,
    verify,
};

use crate::{
    bundle::{files, key, known, root},
    forge::{Files, Forge, lay_out},
};

/// Opens and checks the bundle as `sealift verify` does.
pub(crate) fn judge(dir: &Path) -> Result<verify::Report, Failures> {
    let bundle = verify::open(dir, &known())?;
    verify::check(&bundle, 2, &Silent)
}

struct Attack {
    name: &'static str,
    /// Row of the threat catalogue.
    row: &'static str,
    /// `None`: it must be accepted.
    reason: Option<Reason>,
    about: &'static str,
    make: fn() -> Files,
}

/// A row of the table; the body bends a good forge.
macro_rules! attacks {
    ($($name:literal $row:literal $reason:ident $about:literal |$forge:ident| $bend:expr;)*) => {
        &[$($crate::attacks::Attack {
            name: $name,
            row: $row,
            reason: attacks!(@reason $reason),
            about: $about,
            make: || {
                #[allow(unused_mut, clippy::allow_attributes, reason = "not every row bends the forge")]
                let mut $forge = $crate::forge::Scene::good().forge();
                attacks!(@files $forge $bend)
            },
        },)*]
    };
    (@reason Accepted) => { None };
    (@reason $reason:ident) => { Some(sealift::base::failure::Reason::$reason) };
    (@files $forge:ident $bend:expr) => {{
        let made: Option<$crate::forge::Forge> = $crate::attacks::Bent::bent($bend);
        made.unwrap_or($forge).seal()
    }};
}

/// A row either bends the forge it was given or brings one of its own.
trait Bent {
    fn bent(self) -> Option<Forge>;
}

impl Bent for () {
    fn bent(self) -> Option<Forge> {
        None
    }
}

impl Bent for Forge {
    fn bent(self) -> Option<Forge> {
        Some(self)
    }
}

use attacks;

/// Every attack.
fn all() -> impl Iterator<Item = &'static Attack> {
    format::ATTACKS.iter().chain(trust::ATTACKS).chain(documents::ATTACKS)
}

#[test]
fn every_attack_ends_as_expected() {
    let update = std::env::var_os("UPDATE_TESTDATA").is_some();
    let folder = root().join("testdata/attacks");
    let mut wrong = Vec::new();
    if update {
        for old in fs::read_dir(&folder).unwrap().map(Result::unwrap).filter(|old| old.path().is_dir()) {
            fs::remove_dir_all(old.path()).unwrap();
        }
    }
    for attack in all() {
        let dir = folder.join(attack.name);
        let made = (attack.make)();
        let code = attack.reason.map_or(0, |reason| reason.class().code());
        let expect = format!(
            "# {}\nrow = \"{}\"\ncode = {code}\nreason = \"{}\"\n",
            attack.about,
            attack.row,
            attack.reason.map_or("", Reason::text)
        );
        let bundle = dir.join("bundle");
        if update {
            lay_out(&bundle, &made);
            fs::write(dir.join("expect.toml"), &expect).unwrap();
        }
        assert_eq!(
            fs::read_to_string(dir.join("expect.toml")).unwrap_or_default(),
            expect,
            "{}",
            attack.name
        );
        assert!(files(&bundle) == made, "{}: the committed bytes are not what the table makes", attack.name);
        let (found, reasons) = match judge(&bundle) {
            Ok(_) => (0, Vec::new()),
            Err(failures) => {
                (failures.code(), failures.list().iter().map(|failure| failure.reason).collect())
            }
        };
        if found != code || !attack.reason.is_none_or(|reason| reasons.contains(&reason)) {
            wrong.push(format!(
                "{}: expected {code} {:?}, found {found} {reasons:?}",
                attack.name, attack.reason
            ));
        }
        assert!(files(&bundle) == made, "{}: something was written", attack.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let folders: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<String> = all().map(|attack| attack.name.to_owned()).collect();
    assert_eq!(folders, names);
    assert_eq!(names.len(), all().count(), "two attacks have one name");
}

/// H07: nobody is brought to sign what nobody would take in. A signature alone may be missing or wrong.
#[test]
fn sign_refuses_what_verify_refuses() {
    let mut wrong = Vec::new();
    for attack in all() {
        let bundle = root().join("testdata/attacks").join(attack.name).join("bundle");
        let examined = verify::examine(&bundle, 2, &Silent);
        // Without its signatures a bundle may be good or worse than that.
        if attack.reason.is_some_and(|reason| reason.class() == Class::Untrusted) {
            continue;
        }
        let found = examined.map_or_else(|failures| failures.code(), |_| 0);
        if found != code(attack) {
            wrong.push(format!("{}: verify gives {}, sign {found}", attack.name, code(attack)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a site shows and keeps: names, receipts, contents, and what is left under way.
fn site(store: &Store) -> (Vec<String>, Vec<String>, Files) {
    let mut kept = files(store.home());
    kept.retain(|path, _| !path.starts_with("sealift.db") && !path.starts_with("keys/"));
    (store.repositories(None, 99).unwrap(), store.reports().unwrap(), kept)
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

/// The code that `verify` gives for an attack.
fn code(attack: &Attack) -> u8 {
    attack.reason.map_or(0, |reason| reason.class().code())
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
