//! Where a fault stands, and the list that gathers them all.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use crate::base::failure::{Failure, Failures, Reason};

/// Faults of one manifest beyond which no more are listed: nobody reads them.
const MOST_FAULTS: usize = 1000;

/// A place in one of the files of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Number of the file, in the order read.
    file: usize,
    /// Byte offset in its text.
    offset: usize,
}

/// A file of the manifest, as far as places need it.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
}

/// What is wrong with a value, before its place is known.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Wrong {
    /// A value of the wrong form.
    pub(super) fn value(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: Reason::ManifestValue, message: message.into(), hint: hint.into() }
    }

    /// Two statements that exclude each other.
    pub(super) fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: Reason::ManifestConflict, message: message.into(), hint: hint.into() }
    }

    /// A key that must be there.
    pub(super) fn missing(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: Reason::ManifestMissingKey, message: message.into(), hint: hint.into() }
    }

    /// Something secret stands, or is meant to stand, in the manifest.
    pub(super) fn secret(message: impl Into<String>) -> Self {
        Self {
            reason: Reason::ManifestCredentials,
            message: message.into(),
            hint: "remove it: credentials are read from Docker's and Podman's auth files (`docker login`, \
                   `podman login`), credential helpers and the variables SEALIFT_REGISTRY_AUTH…, never from \
                   the manifest"
                .into(),
        }
    }
}

/// Every fault of a manifest, over all of its files.
#[derive(Debug, Default)]
pub(super) struct Faults {
    sources: Vec<Source>,
    /// Number of the file that is read.
    current: usize,
    list: Vec<(Place, Wrong)>,
    /// Places of the syntax errors.
    syntax: Vec<Place>,
}

impl Faults {
    /// Begins the next file; faults are its from now on.
    pub(super) fn begin(&mut self, path: &Path, text: &str) {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.sources.push(Source { path: path.to_owned(), text: text.to_owned(), lines });
        self.current = self.sources.len() - 1;
    }

    /// Number of the file that is read, to [`Self::resume`] after an include.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Goes back to a file begun earlier.
    pub(super) fn resume(&mut self, file: usize) {
        self.current = file;
    }

    /// The place of `offset` in the file that is read.
    pub(super) fn place(&self, offset: usize) -> Place {
        Place { file: self.current, offset }
    }

    /// Adds a syntax error; what is found later in the same file is doubted accordingly.
    pub(super) fn add_syntax(&mut self, span: Range<usize>, wrong: Wrong) {
        let place = self.place(span.start);
        if self.syntax.len() < MOST_FAULTS {
            self.syntax.push(place);
        }
        self.push(place, wrong);
    }

    /// Adds a fault at `place`.
    ///
    /// After a syntax error the rest of the file is read as well as possible. What may only follow from the
    /// error is left out: missing keys, and anything on a line that could not be read.
    pub(super) fn add(&mut self, place: Place, wrong: Wrong) {
        if self.full() {
            return;
        }
        let after_syntax_error = self.syntax.iter().any(|error| error.file == place.file);
        let follows = after_syntax_error
            && (wrong.reason == Reason::ManifestMissingKey
                || self
                    .syntax
                    .iter()
                    .any(|error| error.file == place.file && self.line(*error) == self.line(place)));
        if !follows {
            self.push(place, wrong);
        }
    }

    /// Whether no more faults are listed.
    pub(super) fn full(&self) -> bool {
        self.list.len() >= MOST_FAULTS
    }

    /// Replaces whatever was found in the file of `place`.
    pub(super) fn only(&mut self, place: Place, wrong: Wrong) {
        self.list.retain(|(other, _)| other.file != place.file);
        self.push(place, wrong);
    }

    fn push(&mut self, place: Place, wrong: Wrong) {
        if !self.full() {
            self.list.push((place, wrong));
        }
    }

    /// Line of a place, from 0.
    fn line(&self, place: Place) -> usize {
        self.sources.get(place.file).map_or(0, |source| source.line(place.offset))
    }

    /// `path:line:column` of a place, counted from 1, columns in characters.
    pub(super) fn show(&self, place: Place) -> String {
        self.sources.get(place.file).map_or_else(String::new, |source| source.show(place.offset))
    }

    /// All of them as failures, in the order of the text; `Ok` when there are none.
    pub(super) fn into_result(mut self) -> Result<(), Failures> {
        self.list.sort_by_key(|(place, wrong)| (*place, wrong.reason));
        let list = std::mem::take(&mut self.list);
        let failures = list
            .into_iter()
            .map(|(place, wrong)| {
                Failure::new(wrong.reason, self.show(place), wrong.message).hint(wrong.hint)
            })
            .collect();
        Failures::check(failures)
    }
}

impl Source {
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    fn show(&self, offset: usize) -> String {
        let line = self.line(offset);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        format!("{}:{}:{}", self.path.display(), line + 1, before.chars().count() + 1)
    }
}
