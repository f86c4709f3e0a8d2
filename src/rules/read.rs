//! From the text of the rules to [`Rules`]: every fault is noted, and reading goes on.

use std::{collections::BTreeSet, path::Path};

use toml::de::DeTable;

use super::{Grant, Holder, Immutable, Pattern, Quota, Right, Rules};
use crate::base::{
    failure::{Failure, Failures, Reason, Result},
    limits, text,
    written::{At, Faults, Place, Table as _, Wrong, read_table, table},
};

table! {
    /// Who may do what in the repositories of a registry.
    Document = "the rules" {
        /// Version of this format.
        required schema: At<u64>,
        /// What is granted to whom.
        optional grant: Vec<GrantTable>,
        /// Tags that never move and never go.
        optional immutable: Vec<ImmutableTable>,
        /// How much repositories may hold.
        optional quota: Vec<QuotaTable>,
    }
}

table! {
    /// What is granted to whom.
    GrantTable = "[[grant]]" {
        /// Accounts and groups.
        required to: Vec<At<String>>,
        /// Patterns of repositories.
        required repositories: Vec<At<String>>,
        /// Rights.
        required may: Vec<At<String>>,
    }
}

table! {
    /// Tags that never move and never go.
    ImmutableTable = "[[immutable]]" {
        /// Patterns of repositories.
        required repositories: Vec<At<String>>,
        /// Patterns of tags.
        required tags: Vec<At<String>>,
    }
}

table! {
    /// How much repositories may hold together.
    QuotaTable = "[[quota]]" {
        /// Patterns of repositories.
        required repositories: Vec<At<String>>,
        /// Size of their contents.
        required size: At<String>,
    }
}

/// Reads the rules that stand at `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<Rules, Failures> {
    if text.len() as u64 > limits::RULES_BYTES {
        let message =
            format!("the rules have {} bytes, at most {} are read", text.len(), limits::RULES_BYTES);
        return Err(Failure::new(Reason::RulesMalformed, path.display(), message)
            .hint("say the same with fewer patterns and groups")
            .into());
    }
    let mut faults = Faults::new(|_title, _key, _value| None);
    faults.begin(path, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let wrong = Wrong::syntax(error.message(), "docs/access.md");
        faults.add_syntax(error.span().unwrap_or(0..0), wrong);
    }
    let document: Document = read_table(table.get_ref(), 0..0, &mut faults);
    let mut reading = Reading { faults };
    let rules = match &document.schema {
        Some(schema) if schema.value != 1 => {
            let message = format!("schema {} is not known: this sealift reads schema 1", schema.value);
            reading
                .faults
                .only(schema.place, Wrong::value(message, "use a newer sealift, or write `schema = 1`"));
            None
        }
        _ => Some(reading.rules(&document, text)),
    };
    reading.faults.into_result(|_kind| Reason::RulesMalformed)?;
    rules.ok_or_else(|| Failure::internal("rules without faults cannot be read").into())
}

struct Reading {
    faults: Faults,
}

impl Reading {
    fn rules(&mut self, document: &Document, text: &str) -> Rules {
        let tables =
            [&document.grant.as_ref().map_or(0, Vec::len), &document.immutable.as_ref().map_or(0, Vec::len)];
        let quotas = document.quota.as_ref().map_or(0, Vec::len);
        if tables.into_iter().chain([&quotas]).any(|&count| count > limits::RULES) {
            let message = format!("there are more than {} rules of one kind", limits::RULES);
            self.faults
                .add(document.place(), Wrong::value(message, "say the same with fewer patterns and groups"));
        }
        let mut grants: Vec<Grant> = Vec::new();
        for table in document.grant.iter().flatten().take(limits::RULES) {
            let grant = self.grant(table);
            if grants.contains(&grant) && !grant.to.is_empty() {
                self.faults
                    .add(table.place(), Wrong::conflict("the same is granted twice", "remove one of them"));
            }
            grants.push(grant);
        }
        let immutable = document.immutable.iter().flatten().take(limits::RULES);
        let immutable: Vec<Immutable> = immutable.map(|table| self.immutable(table)).collect();
        let (mut quotas, mut keys) = (Vec::new(), BTreeSet::new());
        for table in document.quota.iter().flatten().take(limits::RULES) {
            let quota = self.quota(table);
            if !keys.insert(quota.key()) && !quota.repositories.is_empty() {
                let message = "these repositories have two quotas";
                self.faults.add(table.place(), Wrong::conflict(message, "keep the smaller one"));
            }
            quotas.push(quota);
        }
        let rules = Rules { text: text.to_owned(), grants, immutable, quotas };
        let said = rules.statements();
        if said > limits::RULE_STATEMENTS {
            let message = format!(
                "the rules say {said} things, each account or group, right and pattern of a list counted; at most {} are read",
                limits::RULE_STATEMENTS
            );
            self.faults
                .add(document.place(), Wrong::value(message, "say the same with fewer patterns and groups"));
        }
        rules
    }

    fn grant(&mut self, table: &GrantTable) -> Grant {
        let place = table.place();
        let grant = Grant {
            to: self.list(place, "to", table.to.as_deref(), Holder::read),
            repositories: self.list(place, "repositories", table.repositories.as_deref(), |input| {
                let pattern = Pattern::repositories(input)?;
                if pattern.is_sandbox() {
                    let message = "nothing is granted below sandbox/";
                    return Err(Wrong::value(
                        message,
                        "`serve --sandbox` opens it, to everybody; take another name",
                    ));
                }
                Ok(pattern)
            }),
            may: self.list(place, "may", table.may.as_deref(), Right::read),
        };
        if grant.to.contains(&Holder::Anyone) && grant.may.contains(&Right::Admin) {
            let hint = "name the accounts or groups that administer";
            self.faults.add(place, Wrong::conflict("who has not logged in cannot administer", hint));
        }
        grant
    }

    fn immutable(&mut self, table: &ImmutableTable) -> Immutable {
        let place = table.place();
        Immutable {
            repositories: self.list(
                place,
                "repositories",
                table.repositories.as_deref(),
                Pattern::repositories,
            ),
            tags: self.list(place, "tags", table.tags.as_deref(), Pattern::tags),
        }
    }

    fn quota(&mut self, table: &QuotaTable) -> Quota {
        let repositories =
            self.list(table.place(), "repositories", table.repositories.as_deref(), Pattern::repositories);
        let size = table.size.as_ref().and_then(|size| {
            let bytes = text::parse_bytes(&size.value);
            if bytes.is_none() {
                let message = format!("`{}` is no size", text::escaped(&size.value, 80));
                self.faults.add(
                    size.place,
                    Wrong::value(message, "write a whole number and a unit, such as 50 GiB"),
                );
            }
            bytes
        });
        Quota { repositories, size: size.unwrap_or_default() }
    }

    /// The entries of a list: at least one, none twice.
    fn list<T: PartialEq>(
        &mut self,
        table: Place,
        key: &str,
        written: Option<&[At<String>]>,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let Some(written) = written else { return Vec::new() };
        if written.is_empty() {
            let message = format!("`{key}` is empty: the rule says nothing");
            self.faults.add(table, Wrong::value(message, "fill the list, or remove the rule"));
        }
        if let Some(first) = written.get(limits::RULE_ENTRIES) {
            let message = format!("`{key}` has more than {} entries", limits::RULE_ENTRIES);
            self.faults.add(first.place, Wrong::value(message, "use a group, a pattern, or another rule"));
        }
        let mut list = Vec::new();
        for entry in written.iter().take(limits::RULE_ENTRIES) {
            match read(&entry.value) {
                Ok(value) if list.contains(&value) => {
                    let message = format!("`{}` stands twice in `{key}`", text::escaped(&entry.value, 300));
                    self.faults.add(entry.place, Wrong::conflict(message, "remove one of them"));
                }
                Ok(value) => list.push(value),
                Err(wrong) => self.faults.add(entry.place, wrong),
            }
        }
        list
    }
}
