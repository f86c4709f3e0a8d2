//! The files of a manifest: the first one and what it includes, each read once.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use toml::de::DeTable;

use super::{
    check::{Checker, Draft},
    model::Manifest,
    schema::Document,
    secret,
};
use crate::base::{
    failure::{Failures, Reason, Result},
    limits,
    written::{At, Faults, Kind, Table as _, Wrong, read_table},
};

/// Reads the text of an included file.
pub(super) type ReadFile<'a> = &'a mut dyn FnMut(&Path) -> Result<String>;

/// Reads a manifest and everything that it includes.
pub(super) fn parse(text: &str, path: &Path, read_file: ReadFile<'_>) -> Result<Manifest, Failures> {
    let mut reading = Reading {
        read_file,
        faults: Faults::new(secret::unknown_key),
        draft: Draft::default(),
        seen: BTreeSet::from([plain(path)]),
        open: vec![plain(path)],
    };
    reading.file(text, path);
    reading.faults.into_result(reason)?;
    reading.draft.finish().ok_or_else(|| {
        Failures::from(crate::base::failure::Failure::internal("a manifest without faults has no [bundle]"))
    })
}

struct Reading<'a> {
    read_file: ReadFile<'a>,
    faults: Faults,
    draft: Draft,
    /// Every file read so far: one that two others include counts once.
    seen: BTreeSet<PathBuf>,
    /// The files between the first one and the one that is read.
    open: Vec<PathBuf>,
}

impl Reading<'_> {
    fn file(&mut self, text: &str, path: &Path) {
        self.faults.begin(path, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.faults.add_syntax(span, Wrong::syntax(error.message(), "docs/manifest.md"));
        }
        let document: Document = read_table(table.get_ref(), 0..0, &mut self.faults);
        if let Some(schema) = &document.schema
            && schema.value != 1
        {
            // Anything else that looks wrong may be right in that schema.
            let message = format!("schema {} is not known: this sealift reads schema 1", schema.value);
            self.faults
                .only(schema.place, Wrong::value(message, "use a newer sealift, or write `schema = 1`"));
            return;
        }
        let first = self.open.len() == 1;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut checker = Checker {
            folder,
            read_file: &mut *self.read_file,
            draft: &mut self.draft,
            faults: &mut self.faults,
        };
        match &document.bundle {
            Some(bundle) if first => checker.bundle(bundle),
            Some(bundle) => self.faults.add(
                bundle.place(),
                include("an included manifest holds [bundle]", "keep [bundle] in the first file only"),
            ),
            None if first && !document.broken() => {
                let hint =
                    "add [bundle] with `name` and `version`; `sealift init` writes a manifest to begin with";
                let place = self.faults.place(0);
                self.faults.add(place, Wrong::missing("the manifest has no [bundle]", hint));
            }
            None => {}
        }
        Checker { folder, read_file: &mut *self.read_file, draft: &mut self.draft, faults: &mut self.faults }
            .entries(&document);
        for path in document.include.iter().flatten() {
            self.include(path, folder);
        }
    }

    fn include(&mut self, written: &At<String>, folder: &Path) {
        let target = match super::value::path(&written.value, folder) {
            Ok(target) => target,
            Err(wrong) => return self.faults.add(written.place, wrong),
        };
        let identity = plain(&target);
        let wrong = if self.open.contains(&identity) {
            include("the files include each other in a circle", "remove one of the includes")
        } else if self.seen.contains(&identity) {
            return;
        } else if self.open.len() > limits::INCLUDE_DEPTH {
            let message = format!("includes are nested deeper than {}", limits::INCLUDE_DEPTH);
            include(&message, "include the file from one further up")
        } else if self.seen.len() >= limits::INCLUDED_FILES {
            let message = format!("the manifest has more than {} files", limits::INCLUDED_FILES);
            include(&message, "join some of them")
        } else {
            match (self.read_file)(&target) {
                Ok(text) => {
                    self.seen.insert(identity.clone());
                    self.open.push(identity);
                    let back = self.faults.current();
                    self.file(&text, &target);
                    self.faults.resume(back);
                    self.open.pop();
                    return;
                }
                Err(failure) => {
                    let hint = match (failure.reason, &failure.hint) {
                        (Reason::NotFound, _) | (_, None) => {
                            "the path is relative to the file that includes it"
                        }
                        (_, Some(hint)) => hint,
                    };
                    include(&failure.to_string(), hint)
                }
            }
        };
        self.faults.add(written.place, wrong);
    }
}

fn include(message: &str, hint: &str) -> Wrong {
    Wrong { kind: Kind::Include, message: message.to_owned(), hint: hint.to_owned() }
}

/// The reason of a fault of a manifest.
fn reason(kind: Kind) -> Reason {
    match kind {
        Kind::Syntax => Reason::ManifestSyntax,
        Kind::UnknownKey => Reason::ManifestUnknownKey,
        Kind::Value => Reason::ManifestValue,
        Kind::MissingKey => Reason::ManifestMissingKey,
        Kind::Conflict => Reason::ManifestConflict,
        Kind::Include => Reason::ManifestInclude,
        Kind::Secret => Reason::ManifestCredentials,
    }
}

/// `path` without `.` and, as far as the text tells, without `..`: enough to see that two includes mean one
/// file. A link that hides a circle ends at [`limits::INCLUDE_DEPTH`].
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some_and(|name| name != "..") => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
