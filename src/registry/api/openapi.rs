//! The `OpenAPI` document (3.1), made from the table.

use std::sync::LazyLock;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    Needs, Operation, Problem, ROOMS, ROOT, Replied, Reply, Room, problem,
    table::{AFTER, LIMIT, Parameter},
};
use crate::base::failure::Failure;

/// What every operation may answer, beside what it is for.
const PROBLEMS: [u16; 7] = [400, 401, 403, 429, 500, 503, 507];

static DOCUMENT: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
    let mut text = serde_json::to_vec_pretty(&made()).ok()?;
    text.push(b'\n');
    Some(text)
});

/// The document.
pub(super) fn document() -> Replied {
    let document =
        DOCUMENT.clone().ok_or_else(|| Failure::internal("the document of the API cannot be made"));
    Ok(Reply { document: document.map_err(Problem::from)?, headers: Vec::new() })
}

/// Where schemas stand.
fn generator(settings: SchemaSettings) -> SchemaGenerator {
    let place = |settings: &mut SchemaSettings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    };
    settings.with(place).into_generator()
}

fn made() -> Value {
    let mut sent = generator(SchemaSettings::draft2020_12().for_deserialize());
    let mut answered = generator(SchemaSettings::draft2020_12().for_serialize());
    let mut paths = Map::new();
    for room in ROOMS {
        for operation in room.operations {
            let told = told(room, operation, &mut sent, &mut answered);
            let path = paths.entry(operation.path).or_insert_with(|| json!({}));
            if let Some(path) = path.as_object_mut() {
                path.insert(operation.method.to_lowercase(), told);
            }
        }
    }
    let problem = answered.subschema_for::<problem::Document>();
    let mut schemas = sent.take_definitions(true);
    schemas.extend(answered.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sealift",
            "summary": "Administers a registry of sealift.",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": ROOT }],
        "security": [{ "password": [] }, { "certificate": [] }],
        "tags": ROOMS.map(|room| json!({ "name": room.name, "description": room.about })),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Name and password of an account.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A client certificate with an identity that opens an account.",
                },
            },
            "responses": {
                "Problem": {
                    "description": "Why it was not done.",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "schemas": schemas,
        },
    })
}

const ABOUT: &str = "What the commands of `sealift` do with a home, for who administers it from elsewhere: with the same \
    answers as their `--output json`, and the same records in the ledger. Every request comes with the password or the \
    certificate of an account, which has the right that the operation names by the rules of the registry; tokens are not \
    taken. Members may be added to answers; those that are there keep their names and what they mean.";

fn told(
    room: &Room,
    operation: &Operation,
    sent: &mut SchemaGenerator,
    answered: &mut SchemaGenerator,
) -> Value {
    let needs = format!("Takes {}.", operation.needs.in_words());
    let description = if operation.more.is_empty() { needs } else { format!("{} {needs}", operation.more) };
    let mut told = json!({
        "operationId": operation.id,
        "tags": [room.name],
        "summary": operation.summary,
        "description": description,
        "responses": responses(operation, answered),
    });
    let places = operation.places().map(|name| {
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": format!("The name of the {}.", if name == "name" { "account" } else { name }),
            "schema": { "type": "string", "pattern": "^[a-z0-9._-]{1,64}$" },
        })
    });
    let parameters: Vec<Value> = places.chain(operation.query.iter().map(parameter)).collect();
    let Some(members) = told.as_object_mut() else { return told };
    if !parameters.is_empty() {
        members.insert("parameters".into(), parameters.into());
    }
    if operation.needs == Needs::Nothing {
        members.insert("security".into(), json!([]));
    }
    if operation.takes_body() {
        let schema = operation.body.map(|shape| shape(sent));
        let nothing = json!({ "type": "object", "additionalProperties": false });
        let schema = schema.map_or(nothing, |schema| schema.as_value().clone());
        let content = json!({ "application/json": { "schema": schema } });
        members.insert("requestBody".into(), json!({ "required": true, "content": content }));
    }
    told
}

fn parameter(parameter: &Parameter) -> Value {
    let one = parameter.kind.schema();
    let schema = if parameter.many { json!({ "type": "array", "items": one }) } else { one };
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema,
    })
}

fn responses(operation: &Operation, answered: &mut SchemaGenerator) -> Value {
    let mut done = json!({
        "description": "Done.",
        "content": { "application/json": { "schema": (operation.answer)(answered) } },
    });
    if operation.query.iter().any(|one| [AFTER.name, LIMIT.name].contains(&one.name)) {
        let link = "Where the next page is, if there is one: rel=\"next\" (RFC 8288).";
        if let Some(done) = done.as_object_mut() {
            done.insert(
                "headers".into(),
                json!({ "Link": { "description": link, "schema": { "type": "string" } } }),
            );
        }
    }
    let mut responses = Map::new();
    responses.insert(operation.status().as_u16().to_string(), done);
    let body: &[u16] = if operation.takes_body() { &[408, 413, 415] } else { &[] };
    let common: &[u16] = if operation.needs == Needs::Nothing { &[] } else { &PROBLEMS };
    for status in common.iter().chain(body).chain(operation.problems) {
        responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    responses.into()
}
