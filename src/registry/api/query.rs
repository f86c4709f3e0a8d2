//! The query of a request, read by what its operation takes.

use std::collections::BTreeMap;

use axum::{extract, http::Uri};

use super::{
    Operation, Problem,
    table::{DEFAULT_SIZE, Kind, LIMIT, Parameter},
};
use crate::{
    base::{clock::Timestamp, digest::Digest, limits},
    oci::reference,
};

/// What it holds, each of the kind that it has to be.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<&'static str, Vec<String>>);

impl Query {
    /// What is not known is refused: a filter that is misspelt would show everything.
    pub(super) fn read(uri: &Uri, operation: &Operation) -> Result<Self, Problem> {
        let extract::Query(written) = extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Problem::request("query", error.body_text()))?;
        let mut query = Self::default();
        for (name, value) in written {
            let Some(parameter) = operation.query.iter().find(|one| one.name == name) else {
                let known: Vec<&str> = operation.query.iter().map(|one| one.name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::request(
                    &name,
                    format!("there is no such parameter here; there are: {known}"),
                ));
            };
            if value.contains('\0') || !fits(parameter.kind, &value) {
                return Err(Problem::request(&name, format!("expected {}", words(parameter.kind))));
            }
            let values = query.0.entry(parameter.name).or_default();
            if !values.is_empty() && !parameter.many {
                return Err(Problem::request(&name, "it is given twice"));
            }
            values.push(value);
        }
        let missing = |one: &&Parameter| one.required && !query.0.contains_key(one.name);
        match operation.query.iter().find(missing) {
            Some(one) => Err(Problem::request(one.name, "it is missing")),
            None => Ok(query),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn date(&self, name: &str) -> Option<Timestamp> {
        Timestamp::of_day(self.text(name)?)
    }

    pub(super) fn digest(&self, name: &str) -> Option<Digest> {
        Digest::parse(self.text(name)?).ok()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).map(|text| text == "true")
    }

    /// Entries of a page.
    pub(super) fn limit(&self) -> usize {
        self.text(LIMIT.name).and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SIZE)
    }

    /// All of it but one parameter, as it is written into the address of another page.
    pub(super) fn without(&self, name: &str) -> Vec<(&'static str, &str)> {
        let others = self.0.iter().filter(|(one, _)| **one != name);
        others.flat_map(|(one, values)| values.iter().map(|value| (*one, value.as_str()))).collect()
    }
}

fn fits(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Text => true,
        Kind::Repository => reference::is_repository(value),
        Kind::Tag => reference::is_tag(value),
        Kind::Digest => Digest::parse(value).is_ok(),
        Kind::Date => Timestamp::of_day(value).is_some(),
        Kind::Network => value.parse::<crate::ledger::Network>().is_ok(),
        Kind::Flag => matches!(value, "true" | "false"),
        Kind::Number => value.parse::<u32>().is_ok(),
        Kind::Size => value.parse().is_ok_and(|size: usize| (1..=limits::API_ENTRIES).contains(&size)),
        Kind::Word(words) => words().contains(&value),
    }
}

fn words(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".to_owned(),
        Kind::Repository => "the name of a repository".to_owned(),
        Kind::Tag => "a tag".to_owned(),
        Kind::Digest => "a digest, such as sha256: and 64 lower-case hex digits".to_owned(),
        Kind::Date => "a day such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z".to_owned(),
        Kind::Network => "an IP address or a network".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Number => "a whole number below 4294967296".to_owned(),
        Kind::Size => format!("a whole number from 1 to {}", limits::API_ENTRIES),
        Kind::Word(words) => format!("one of {}", words().join(", ")),
    }
}
