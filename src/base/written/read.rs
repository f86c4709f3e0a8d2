//! From TOML to tables: every value keeps its place, every key must be known.
//!
//! serde stops at its first error; here a fault is noted and reading goes on, so that all are listed at once.

use std::{collections::BTreeMap, ops::Range};

use schemars::JsonSchema;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::{Faults, Kind, Place, Wrong};
use crate::base::text;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// What can be read from a TOML value. `None` means that a fault has been noted.
pub(crate) trait Read: Sized {
    /// Reads `value`.
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self>;
}

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// As written.
    pub(crate) name: &'static str,
    /// Whether the table must have it.
    pub(crate) required: bool,
}

/// A table with a fixed set of keys; implemented by the `table!` macro only.
pub(crate) trait Table: Sized {
    /// How the table is called in messages.
    const TITLE: &'static str;
    /// Its keys, in the order of the documentation.
    const KEYS: &'static [Key];
    /// Takes the keys out of `entries`.
    fn take(entries: &mut Entries<'_, '_>) -> Self;
    /// Where it stands.
    fn place(&self) -> Place;
    /// Whether a key of it was misspelt or a value unreadable, so that a key that seems missing may not be.
    fn broken(&self) -> bool;
}

/// The entries of one table while it is read.
#[derive(Debug)]
pub(crate) struct Entries<'a, 'i> {
    table: &'a DeTable<'i>,
    faults: &'a mut Faults,
    place: Place,
    /// See [`Table::broken`].
    broken: bool,
}

impl Entries<'_, '_> {
    /// Place of the table itself.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// See [`Table::broken`]: as far as the keys have been taken.
    pub(crate) fn broken(&self) -> bool {
        self.broken
    }

    /// Reads the value of `key`, if it is there and readable.
    pub(crate) fn take<T: Read>(&mut self, key: &str) -> Option<T> {
        let read = T::read(self.table.get(key)?, self.faults);
        self.broken |= read.is_none();
        read
    }
}

/// Reads a table: unknown and missing keys are faults, a misspelt key is not missing besides.
pub(crate) fn read_table<T: Table>(table: &DeTable<'_>, span: Range<usize>, faults: &mut Faults) -> T {
    let mut misspelt = Vec::new();
    for (key, value) in table {
        if faults.full() {
            break;
        }
        if !T::KEYS.iter().any(|known| known.name == key.get_ref().as_ref()) {
            let meant = closest::<T>(key.get_ref());
            misspelt.extend(meant);
            let place = faults.place(key.span().start);
            let special = (faults.unknown)(T::TITLE, key.get_ref(), value.get_ref());
            faults.add(place, special.unwrap_or_else(|| unknown_key::<T>(meant, key.get_ref())));
        }
    }
    let place = faults.place(span.start);
    for key in T::KEYS.iter().filter(|key| key.required) {
        if !table.contains_key(key.name) && !misspelt.contains(&key.name) {
            let message = format!("{} needs the key `{}`", T::TITLE, key.name);
            faults.add(place, Wrong::missing(message, format!("add a line `{} = …`", key.name)));
        }
    }
    T::take(&mut Entries { table, faults, place, broken: !misspelt.is_empty() })
}

impl<T: Table> Read for T {
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(read_table(entries, value.span(), faults)),
            DeValue::Array(_) => {
                let hint = format!("there is one {0}: write it with single brackets or braces", T::TITLE);
                wrong_type(value, "a table", hint, faults)
            }
            _ => {
                wrong_type(value, "a table", format!("the keys of {} are {}", T::TITLE, names::<T>()), faults)
            }
        }
    }
}

impl Read for At<String> {
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => {
                Some(Self { value: text.to_string(), place: faults.place(value.span().start) })
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                wrong_type(value, "text", "put it between quotes".into(), faults)
            }
            DeValue::Array(_) | DeValue::Table(_) => {
                wrong_type(value, "text", "write one text between quotes".into(), faults)
            }
        }
    }
}

impl Read for At<u64> {
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self> {
        let DeValue::Integer(integer) = value.get_ref() else {
            return wrong_type(value, "a whole number", "write it without quotes".into(), faults);
        };
        let place = faults.place(value.span().start);
        // Places in a sequence are compared by other tools too: stay where TOML and JSON agree on numbers.
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if i64::try_from(number).is_ok() => Some(Self { value: number, place }),
            _ => {
                let message = format!("{integer} is out of range");
                faults.add(place, Wrong::value(message, "write a number from 0 to 9223372036854775807"));
                None
            }
        }
    }
}

impl Read for At<bool> {
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(Self { value: *yes, place: faults.place(value.span().start) }),
            _ => wrong_type(value, "true or false", "write true or false without quotes".into(), faults),
        }
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(items) => Some(items.iter().filter_map(|item| T::read(item, faults)).collect()),
            DeValue::Table(_) => {
                wrong_type(value, "a list", "write the header with double brackets: [[…]]".into(), faults)
            }
            _ => wrong_type(value, "a list", "put it between brackets: [ … ]".into(), faults),
        }
    }
}

/// A table whose keys the user chooses.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(At<String>, T)>);

impl<T: Read> Read for Named<T> {
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            return wrong_type(value, "a table", "write [registries.\"host:port\"]".into(), faults);
        };
        let mut list = Vec::new();
        for (key, value) in table {
            let name = At { value: key.get_ref().to_string(), place: faults.place(key.span().start) };
            if let Some(value) = T::read(value, faults) {
                list.push((name, value));
            }
        }
        list.sort_by_key(|(name, _)| name.place);
        Some(Self(list))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

fn wrong_type<T>(
    value: &Spanned<DeValue<'_>>,
    expected: &str,
    hint: String,
    faults: &mut Faults,
) -> Option<T> {
    let found = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let place = faults.place(value.span().start);
    faults.add(place, Wrong::value(format!("expected {expected}, found {found}"), hint));
    None
}

fn unknown_key<T: Table>(meant: Option<&str>, key: &str) -> Wrong {
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the keys of {} are {}", T::TITLE, names::<T>()),
    };
    let message = format!("{} has no key `{}`", T::TITLE, text::escaped(key, 80));
    Wrong { kind: Kind::UnknownKey, message, hint }
}

/// Bytes of a word that may be a misspelt one: comparing takes time and memory by its length.
const LONGEST_MISSPELT: usize = 64;

/// The known key that `key` most likely stands for.
fn closest<T: Table>(key: &str) -> Option<&'static str> {
    closest_word(&key.to_lowercase().replace('-', "_"), T::KEYS.iter().map(|known| known.name))
}

/// The known word that `word` most likely stands for: at most a third of its letters off.
pub(crate) fn closest_word<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_MISSPELT {
        return None;
    }
    let distances = known.into_iter().map(|known| (strsim::damerau_levenshtein(known, word), known));
    let near = distances.filter(|(distance, known)| *distance <= (known.len() / 3).max(1));
    near.min().map(|(_distance, known)| known)
}

fn names<T: Table>() -> String {
    T::KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}
