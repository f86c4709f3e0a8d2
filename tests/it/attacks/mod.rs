//! Hostile and damaged bundles: one folder a defect under `testdata/attacks`, each with the code and reason
//! it must end with (rows of `docs/threats.md`). The bytes are made by the table below and
//! committed; `UPDATE_TESTDATA=1 cargo test attacks` makes them anew.
mod documents;
mod format;
mod importing;
mod trust;

use std::{collections::BTreeSet, fs, path::Path};

use sealift::{
    base::{
        failure::{Class, Failures, Reason},
        progress::Silent,
    },
    verify,
};

use crate::{
    bundle::{files, known, root},
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

/// The code that `verify` gives for an attack.
fn code(attack: &Attack) -> u8 {
    attack.reason.map_or(0, |reason| reason.class().code())
}
