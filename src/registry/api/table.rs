//! What an operation of the API is: how it is reached, what it takes, and what it gives.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::{Call, ROOMS, ROOT, Replied};
use crate::{base::limits, rules::Right};

/// Operations on one thing.
pub(in crate::registry) struct Room {
    /// What it is called.
    pub(in crate::registry) name: &'static str,
    /// What its requests are called where they are counted.
    pub(super) route: &'static str,
    /// What it is for.
    pub(in crate::registry) about: &'static str,
    /// In the order of the document.
    pub(in crate::registry) operations: &'static [Operation],
}

/// Something that can be asked for.
pub(in crate::registry) struct Operation {
    /// Its name, which is stable.
    pub(in crate::registry) id: &'static str,
    /// `GET` is also asked by `HEAD`.
    pub(in crate::registry) method: &'static str,
    /// Below [`ROOT`]; `{name}` is any one segment.
    pub(in crate::registry) path: &'static str,
    /// Who may.
    pub(in crate::registry) needs: Needs,
    /// What it does.
    pub(in crate::registry) summary: &'static str,
    /// What else is to be said.
    pub(super) more: &'static str,
    /// What the query may hold.
    pub(super) query: &'static [Parameter],
    /// What is sent.
    pub(super) body: Option<Shape>,
    /// What is answered.
    pub(super) answer: Shape,
    /// Why it may not be done, beside what every operation may answer.
    pub(super) problems: &'static [u16],
    /// Finds or does it.
    pub(super) run: fn(&Call) -> Replied,
}

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Needs {
    /// Everybody.
    Nothing,
    /// Who administers some repositories, whichever.
    Some,
    /// Who administers all of them.
    All,
    /// Who has one of these rights in the repository that the query names.
    Repository(&'static [Right]),
}

/// The schema of a document.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// That of a type.
pub(super) fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Something in a query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// It may stand there several times.
    pub(super) many: bool,
}

impl Parameter {
    pub(super) const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, about, kind, required: false, many: false }
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) const fn many(self) -> Self {
        Self { many: true, ..self }
    }
}

/// What may stand there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Repository,
    Tag,
    Digest,
    /// A day or a time.
    Date,
    Network,
    Flag,
    Number,
    /// 1 to [`limits::API_ENTRIES`].
    Size,
    /// One of these.
    Word(fn() -> Vec<&'static str>),
}

impl Kind {
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Repository => json!({ "type": "string", "maxLength": 255 }),
            Self::Tag => json!({ "type": "string", "maxLength": 128 }),
            Self::Digest => json!({ "type": "string", "pattern": "^sha(256|512):[0-9a-f]+$" }),
            Self::Date => json!({ "type": "string", "examples": ["2027-01-31", "2027-01-31T12:00:00Z"] }),
            Self::Network => {
                json!({ "type": "string", "examples": ["10.0.0.1", "10.1.0.0/16", "2001:db8::/32"] })
            }
            Self::Flag => json!({ "type": "boolean" }),
            Self::Number => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            Self::Size => {
                json!({ "type": "integer", "minimum": 1, "maximum": limits::API_ENTRIES, "default": DEFAULT_SIZE })
            }
            Self::Word(words) => json!({ "type": "string", "enum": words() }),
        }
    }
}

/// Entries of a page where nothing else is asked for.
pub(super) const DEFAULT_SIZE: usize = 100;

/// How many entries a page holds.
pub(super) const LIMIT: Parameter = Parameter::new("limit", Kind::Size, "Entries on a page, at most.");
/// Where a page of names begins.
pub(super) const AFTER: Parameter =
    Parameter::new("after", Kind::Text, "The last entry of the page before; Link names the next page.");
/// Which repository.
pub(super) const REPOSITORY: Parameter =
    Parameter::new("repository", Kind::Repository, "The repository, as the registry serves it.").required();
/// Which tag.
pub(super) const TAG: Parameter = Parameter::new("tag", Kind::Tag, "The tag.").required();

impl Operation {
    /// Whether something is sent with it. `POST` alone is what a form of another site can send: it always has a type.
    pub(super) fn takes_body(&self) -> bool {
        self.body.is_some() || self.method == "POST"
    }

    /// With which status it is answered.
    pub(super) fn status(&self) -> StatusCode {
        if self.id == super::accounts::ADD { StatusCode::CREATED } else { StatusCode::OK }
    }

    /// The places of its path.
    pub(super) fn places(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }
}

impl Needs {
    /// Who may, in words.
    pub(in crate::registry) fn in_words(self) -> String {
        match self {
            Self::Nothing => "nothing, not even a login".to_owned(),
            Self::Some => "`admin` in any repository".to_owned(),
            Self::All => "`admin` in `**`".to_owned(),
            Self::Repository(rights) => {
                let rights: Vec<String> = rights.iter().map(|right| format!("`{}`", right.name())).collect();
                format!("{} in the repository", rights.join(" or "))
            }
        }
    }
}

/// A path that there is.
pub(super) struct Found {
    pub(super) room: &'static Room,
    template: &'static str,
    pub(super) places: BTreeMap<&'static str, String>,
}

/// The path of a request, as one of the table.
pub(super) fn find(path: &str) -> Option<Found> {
    let segments: Vec<&str> = path.strip_prefix(ROOT)?.split('/').collect();
    for room in ROOMS {
        for operation in room.operations {
            if let Some(places) = matches(operation.path, &segments) {
                return Some(Found { room, template: operation.path, places });
            }
        }
    }
    None
}

/// What stands in the places of `template`, if `segments` are one of its paths. A segment is read as it is written: no
/// name that there can be needs percent-encoding.
fn matches(template: &'static str, segments: &[&str]) -> Option<BTreeMap<&'static str, String>> {
    let mut places = BTreeMap::new();
    let mut rest = segments.iter();
    for wanted in template.split('/') {
        let found = *rest.next()?;
        match wanted.strip_prefix('{').and_then(|place| place.strip_suffix('}')) {
            Some(place) if !found.is_empty() => drop(places.insert(place, found.to_owned())),
            None if wanted == found => {}
            _ => return None,
        }
    }
    rest.next().is_none().then_some(places)
}

impl Found {
    fn operations(&self) -> impl Iterator<Item = &'static Operation> {
        let template = self.template;
        self.room.operations.iter().filter(move |operation| operation.path == template)
    }

    /// What is asked for by this method.
    pub(super) fn operation(&self, method: &Method) -> Option<&'static Operation> {
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        self.operations().find(|operation| operation.method == method)
    }

    /// The methods that are understood there.
    pub(super) fn methods(&self) -> Vec<&'static str> {
        let head = |operation: &Operation| (operation.method == "GET").then_some("HEAD");
        self.operations()
            .flat_map(|operation| std::iter::once(operation.method).chain(head(operation)))
            .collect()
    }
}

/// The schema of any object.
pub(super) fn anything(_generator: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}
