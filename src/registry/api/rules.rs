//! Who may do what.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Needs, Operation, Replied, Reply, Room, table::shape};
use crate::{
    base::digest::Digest,
    report::rules::{RulesReport, RulesShown},
    rules::Rules,
    site::rules_report,
    store::InForce,
};

pub(super) const ROOM: Room = Room {
    name: "rules",
    route: "api-rules",
    about: "Who may do what with which repositories, and which tags never move: the same as `sealift rules`.",
    operations: &[
        Operation {
            id: "rules-show",
            method: "GET",
            path: "/rules",
            needs: Needs::All,
            summary: "The rules in force, as they were written",
            more: "",
            query: &[],
            body: None,
            answer: shape::<RulesShown>,
            problems: &[],
            run: show,
        },
        Operation {
            id: "rules-set",
            method: "PUT",
            path: "/rules",
            needs: Needs::All,
            summary: "Put rules into force, and show what that changes",
            more: "They hold from the next request on, for who sets them too.",
            query: &[],
            body: Some(shape::<Wanted>),
            answer: shape::<RulesReport>,
            problems: &[409, 422],
            run: set,
        },
        Operation {
            id: "rules-check",
            method: "POST",
            path: "/rules/check",
            needs: Needs::All,
            summary: "Check rules, and show what they would change; change nothing",
            more: "",
            query: &[],
            body: Some(shape::<Text>),
            answer: shape::<RulesReport>,
            problems: &[422],
            run: check,
        },
    ],
};

/// Rules to be set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRules")]
struct Wanted {
    /// The rules, in TOML.
    text: String,
    /// Digest of the rules that these are to replace: where others are in force by then, nothing is done.
    #[serde(default)]
    replaces: Option<Digest>,
}

/// Rules to be checked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RulesText")]
struct Text {
    /// The rules, in TOML.
    text: String,
}

/// How faults name the text, before line and column.
const PLACE: &str = "rules";

fn show(call: &Call) -> Replied {
    let InForce { version, rules, .. } = call.registry.store.rules()?;
    let (digest, text) = (rules.digest().to_string(), rules.text().to_owned());
    Reply::of(&RulesShown { schema: 1, version, digest, text })
}

fn set(call: &Call) -> Replied {
    let Wanted { text, replaces } = call.body()?;
    let rules = Rules::parse(&text, Path::new(PLACE))?;
    let (version, before) = call.site().replace_rules(&rules, &call.who(), replaces.as_ref())?;
    Reply::of(&rules_report(Some(version), &before.rules, &rules))
}

fn check(call: &Call) -> Replied {
    let Text { text } = call.body()?;
    let rules = Rules::parse(&text, Path::new(PLACE))?;
    Reply::of(&rules_report(None, &call.registry.store.rules()?.rules, &rules))
}
