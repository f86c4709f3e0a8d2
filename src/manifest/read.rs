//! From TOML to the tables of [`super::schema`]: every value keeps its place, every key must be known.
//!
//! serde stops at its first error; here a fault is noted and reading goes on, so that all are listed at once.

use std::{collections::BTreeMap, ops::Range};

use schemars::JsonSchema;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::fault::{Faults, Place, Wrong};
use crate::base::{failure::Reason, text};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
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
pub(super) trait Read: Sized {
    /// Reads `value`.
    fn read(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Self>;
}

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// As written.
    pub(super) name: &'static str,
    /// Whether the table must have it.
    pub(super) required: bool,
}

/// A table with a fixed set of keys; implemented by the `table!` macro only.
pub(super) trait Table: Sized {
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
pub(super) struct Entries<'a, 'i> {
    table: &'a DeTable<'i>,
    faults: &'a mut Faults,
    place: Place,
    /// See [`Table::broken`].
    broken: bool,
}

impl Entries<'_, '_> {
    /// Place of the table itself.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// See [`Table::broken`]: as far as the keys have been taken.
    pub(super) fn broken(&self) -> bool {
        self.broken
    }

    /// Reads the value of `key`, if it is there and readable.
    pub(super) fn take<T: Read>(&mut self, key: &str) -> Option<T> {
        let read = T::read(self.table.get(key)?, self.faults);
        self.broken |= read.is_none();
        read
    }
}

/// Reads a table: unknown and missing keys are faults, a misspelt key is not missing besides.
pub(super) fn table<T: Table>(table: &DeTable<'_>, span: Range<usize>, faults: &mut Faults) -> T {
    let mut misspelt = Vec::new();
    for (key, value) in table {
        if faults.full() {
            break;
        }
        if !T::KEYS.iter().any(|known| known.name == key.get_ref().as_ref()) {
            let meant = closest::<T>(key.get_ref());
            misspelt.extend(meant);
            let place = faults.place(key.span().start);
            faults.add(place, unknown_key::<T>(key.get_ref(), value.get_ref(), meant));
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
            DeValue::Table(entries) => Some(table(entries, value.span(), faults)),
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
pub(super) struct Named<T>(pub(super) Vec<(At<String>, T)>);

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

/// Keys under which people look for a place to put credentials.
const SECRETS: &[&str] = &[
    "access_token",
    "api_key",
    "auth",
    "credential",
    "credentials",
    "identity_token",
    "identitytoken",
    "login",
    "passphrase",
    "password",
    "passwd",
    "secret",
    "token",
    "user",
    "username",
];

fn unknown_key<T: Table>(key: &str, value: &DeValue<'_>, meant: Option<&str>) -> Wrong {
    let shown = text::escaped(key, 80);
    if SECRETS.contains(&key.to_ascii_lowercase().as_str()) {
        return Wrong::secret(format!("{} has no key `{shown}`", T::TITLE));
    }
    let hint = if let Some(meant) = meant {
        format!("did you mean `{meant}`?")
    } else if T::TITLE.starts_with("[registries") && matches!(value, DeValue::Table(_)) {
        "a host with dots is one key only between quotes: [registries.\"registry.example.com\"]".to_owned()
    } else {
        format!("the keys of {} are {}", T::TITLE, names::<T>())
    };
    Wrong { reason: Reason::ManifestUnknownKey, message: format!("{} has no key `{shown}`", T::TITLE), hint }
}

/// Bytes of a key that may be a misspelt one: comparing takes time and memory by its length.
const LONGEST_MISSPELT: usize = 64;

/// The known key that `key` most likely stands for: at most a third of its letters off.
fn closest<T: Table>(key: &str) -> Option<&'static str> {
    if key.len() > LONGEST_MISSPELT {
        return None;
    }
    let key = key.to_lowercase().replace('-', "_");
    T::KEYS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known.name, &key), known.name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_distance, name)| name)
}

fn names<T: Table>() -> String {
    T::KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}
