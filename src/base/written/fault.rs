//! Where a fault stands, and the list that gathers them all.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::DeValue;

use crate::base::{
    failure::{Failure, Failures, Reason},
    text,
};

/// Faults of one document beyond which no more are listed: nobody reads them.
const MOST_FAULTS: usize = 1000;

/// A place in one of the files of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Number of the file, in the order read.
    file: usize,
    /// Byte offset in its text.
    offset: usize,
}

/// A file of the document, as far as places need it.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
}

/// What kind of fault it is; the reader of a document knows the reason that it has for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The text is not TOML.
    Syntax,
    /// A key is not known.
    UnknownKey,
    /// A value of the wrong type or form.
    Value,
    /// A key that must be there.
    MissingKey,
    /// Two statements that exclude each other.
    Conflict,
    /// A file that the document names cannot be used.
    Include,
    /// Something secret stands, or is meant to stand, in the document.
    Secret,
}

/// What is wrong with a value, before its place is known.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Wrong {
    /// A value of the wrong form.
    pub(crate) fn value(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: Kind::Value, message: message.into(), hint: hint.into() }
    }

    /// Two statements that exclude each other.
    pub(crate) fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: Kind::Conflict, message: message.into(), hint: hint.into() }
    }

    /// A key that must be there.
    pub(crate) fn missing(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: Kind::MissingKey, message: message.into(), hint: hint.into() }
    }

    /// A text that is not TOML, in the words of the parser.
    pub(crate) fn syntax(message: &str, page: &str) -> Self {
        let hint = if message == "duplicate key" {
            "a key stands once in its table; entries of a list begin with double brackets, such as [[…]]"
                .to_owned()
        } else if message.contains("quoted") {
            "put text between quotes".to_owned()
        } else {
            format!("see https://toml.io for the syntax and {page} for examples")
        };
        Self { kind: Kind::Syntax, message: text::escaped(message, 300), hint }
    }
}

/// What a document has to say of a key that a table does not have, if more than the names of those that it has: by
/// the title of the table, the key and its value.
pub(crate) type Unknown = fn(&str, &str, &DeValue<'_>) -> Option<Wrong>;

/// Every fault of a document, over all of its files.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(super) unknown: Unknown,
    sources: Vec<Source>,
    /// Number of the file that is read.
    current: usize,
    list: Vec<(Place, Wrong)>,
    /// Places of the syntax errors.
    syntax: Vec<Place>,
}

impl Faults {
    /// None yet, of a document that has this to say of unknown keys.
    pub(crate) fn new(unknown: Unknown) -> Self {
        Self { unknown, sources: Vec::new(), current: 0, list: Vec::new(), syntax: Vec::new() }
    }

    /// Begins the next file; faults are its from now on.
    pub(crate) fn begin(&mut self, path: &Path, text: &str) {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.sources.push(Source { path: path.to_owned(), text: text.to_owned(), lines });
        self.current = self.sources.len() - 1;
    }

    /// Number of the file that is read, to [`Self::resume`] after an include.
    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// Goes back to a file begun earlier.
    pub(crate) fn resume(&mut self, file: usize) {
        self.current = file;
    }

    /// The place of `offset` in the file that is read.
    pub(crate) fn place(&self, offset: usize) -> Place {
        Place { file: self.current, offset }
    }

    /// Adds a syntax error; what is found later in the same file is doubted accordingly.
    pub(crate) fn add_syntax(&mut self, span: Range<usize>, wrong: Wrong) {
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
    pub(crate) fn add(&mut self, place: Place, wrong: Wrong) {
        if self.full() {
            return;
        }
        let after_syntax_error = self.syntax.iter().any(|error| error.file == place.file);
        let follows = after_syntax_error
            && (wrong.kind == Kind::MissingKey
                || self
                    .syntax
                    .iter()
                    .any(|error| error.file == place.file && self.line(*error) == self.line(place)));
        if !follows {
            self.push(place, wrong);
        }
    }

    /// Whether no more faults are listed.
    pub(crate) fn full(&self) -> bool {
        self.list.len() >= MOST_FAULTS
    }

    /// Replaces whatever was found in the file of `place`.
    pub(crate) fn only(&mut self, place: Place, wrong: Wrong) {
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
    pub(crate) fn show(&self, place: Place) -> String {
        self.sources.get(place.file).map_or_else(String::new, |source| source.show(place.offset))
    }

    /// All of them as failures, in the order of the text; `Ok` when there are none. The document has a reason for each
    /// kind.
    pub(crate) fn into_result(mut self, reason: impl Fn(Kind) -> Reason) -> Result<(), Failures> {
        self.list.sort_by_key(|(place, wrong)| (*place, wrong.kind));
        let list = std::mem::take(&mut self.list);
        let failures = list
            .into_iter()
            .map(|(place, wrong)| {
                Failure::new(reason(wrong.kind), self.show(place), wrong.message).hint(wrong.hint)
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
