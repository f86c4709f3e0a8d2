//! `/api/v1`: what the commands of this machine do with a home by hand, for who administers it from elsewhere. By the same
//! functions of `site`, with the same answers as their `--output json`, and the same records in the ledger.
//!
//! - `table.rs` says what an [`Operation`] is. Each noun has its operations in a table beside what they do
//!   (`status.rs`, `accounts.rs`, `tags.rs`, `rules.rs`, `ledger.rs`, `upkeep.rs`);
//! - from [`ROOMS`] come all three: what is reached ([`table::find`]), who may ([`Gate::check_api`]), and the `OpenAPI` document
//!   (`openapi.rs`) with the page for people (`page/api.rs`). So they cannot say different things;
//! - `query.rs` reads what is asked, once; `problem.rs` says why it is not done (RFC 9457).
//!
//! A request is answered to an account alone, which has proven itself with this very request, by its password or its
//! certificate: a token is for what registries' clients do, and lies in files of many machines. Who has no account
//! learns nothing, not even which paths there are; but what the document says, everybody may read.

mod accounts;
mod ledger;
mod openapi;
mod problem;
mod query;
mod rules;
mod status;
mod table;
mod tags;
#[cfg(test)]
mod tests;
mod upkeep;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts},
    response::Response,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(super) use self::{
    problem::Problem,
    table::{Needs, Operation, Room},
};
use self::{
    query::Query,
    table::{AFTER, Found, REPOSITORY},
};
use super::{
    PATIENCE, Registry,
    access::Gate,
    blocking,
    body::Incoming,
    caller::{Caller, caller, caller_by_now},
    drained,
    log::Account,
    peer::Peer,
    records, respond,
    respond::{Refusal, percent_encoded},
};
use crate::{
    base::{clock::Timestamp, failure::Failure, limits},
    ledger::{Deed, Proof, RegistryAction, Text},
    oci::error_code,
    site::{Actor, Site},
};

/// Where it stands.
pub(super) const ROOT: &str = "/api/v1";

/// All that can be asked for.
pub(super) const ROOMS: [&Room; 6] =
    [&status::ROOM, &accounts::ROOM, &tags::ROOM, &rules::ROOM, &ledger::ROOM, &upkeep::ROOM];

/// A request that may be answered.
struct Call {
    registry: Registry,
    caller: Caller,
    gate: Gate,
    operation: &'static Operation,
    /// What stands in the places of its path.
    places: BTreeMap<&'static str, String>,
    query: Query,
    body: Vec<u8>,
}

/// What was found or done.
struct Reply {
    document: Vec<u8>,
    headers: Vec<(HeaderName, String)>,
}

type Replied = Result<Reply, Problem>;

/// The body of what takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Reply {
    fn of(document: &impl Serialize) -> Replied {
        let document = serde_json::to_vec(document).map_err(Failure::internal)?;
        Ok(Self { document, headers: Vec::new() })
    }

    fn header(mut self, header: (HeaderName, String)) -> Self {
        self.headers.push(header);
        self
    }
}

impl Call {
    /// The site, for who asks.
    fn site(&self) -> Site {
        let Caller { proof, address, .. } = &self.caller;
        let actor = Actor::account(self.who(), *proof, &address.to_canonical().to_string());
        Site::new(self.registry.store.clone(), Timestamp::now()).by(actor)
    }

    /// Who asks, as the rules and records name them.
    fn who(&self) -> String {
        self.caller.author().who
    }

    /// What stands in a place of the path.
    fn place(&self, name: &str) -> &str {
        self.places.get(name).map_or("", String::as_str)
    }

    /// What was sent; nothing is an object without members. What is not known, or stands twice, is refused.
    fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let bytes = if self.body.is_empty() { b"{}" } else { self.body.as_slice() };
        // Else a list of what the members are would be read as well.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::request("body", "it is no object"));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| Problem::request("body", format!("it is not what this takes: {error}")))
    }

    /// Where the next page of a list is, which begins after `last` (RFC 8288); relative, so that it holds behind a proxy.
    fn link_to_next(&self, last: &str) -> (HeaderName, String) {
        let mut url = format!("{ROOT}{}?{}={}", self.operation.path, AFTER.name, percent_encoded(last));
        for (name, value) in self.query.without(AFTER.name) {
            url = format!("{url}&{name}={}", percent_encoded(value));
        }
        (header::LINK, format!("<{url}>; rel=\"next\""))
    }
}

/// Whether a request is for the API, whatever it asks for.
pub(super) fn is_api(uri: &Uri) -> bool {
    uri.path().strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/'))
}

/// What a request is called where requests are counted.
pub(super) fn route(uri: &Uri) -> &'static str {
    table::find(uri.path()).map_or("api", |found| found.room.route)
}

/// Answers a request.
pub(super) async fn serve(State(registry): State<Registry>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body, &parts.headers, PATIENCE, Arc::clone(&registry.large));
    let log = registry.log.clone();
    let ask = registry.clone();
    let response = registry.serve_api(&parts, &mut body).await.unwrap_or_else(|problem| {
        if let Some(failure) = problem.cause() {
            log.fault(failure);
        }
        problem.into_response(|refusal| ask.login.ask_for_password(refusal))
    });
    finish(drained(response, body).await)
}

/// Headers of every answer. What somebody may see is not for whoever asks next.
pub(super) fn finish(response: Response) -> Response {
    let mut response = respond::finish(response);
    let headers: &mut HeaderMap = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl Registry {
    async fn serve_api(self, parts: &Parts, body: &mut Incoming) -> Result<Response, Problem> {
        let length = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
        if length > limits::REQUEST_TARGET_BYTES {
            return Err(Problem::request("address", "it is longer than this reads"));
        }
        let found = table::find(parts.uri.path());
        let operation = found.as_ref().and_then(|found| found.operation(&parts.method));
        if let Some(operation) = operation.filter(|operation| matches!(operation.needs, Needs::Nothing)) {
            Query::read(&parts.uri, operation)?;
            return Ok(answer(operation, openapi::document()?));
        }
        self.records.check()?;
        let caller = match caller(&self, parts).await {
            Ok(caller) => caller,
            Err(refusal) => {
                let peer = parts.extensions.get::<ConnectInfo<Peer>>();
                let Some(ConnectInfo(peer)) = peer else { return Err(refusal.into()) };
                let from = peer.address.ip();
                return Err(self
                    .told_of_stranger(from, Err(refusal))
                    .err()
                    .map_or_else(unknown, Problem::from));
            }
        };
        self.told_of_login(&caller)?;
        let account = Account(caller.author().who);
        let answered = self.answer_api(parts, body, caller, found, operation).await;
        match answered {
            Ok(mut response) => {
                response.extensions_mut().insert(account);
                Ok(response)
            }
            Err(problem) => Err(problem.of_account(account)),
        }
    }

    async fn answer_api(
        self,
        parts: &Parts,
        body: &mut Incoming,
        mut caller: Caller,
        found: Option<Found>,
        operation: Option<&'static Operation>,
    ) -> Result<Response, Problem> {
        require_login(&caller).map_err(|refusal| self.told_of_admin(&caller, operation, None, refusal))?;
        let Some(found) = found else { return Err(unknown()) };
        let Some(operation) = operation else {
            let refusal =
                Refusal::of(error_code::UNSUPPORTED).header(header::ALLOW, found.methods().join(", "));
            return Err(refusal.into());
        };
        let mut gate = self.gate().await?;
        let read = Query::read(&parts.uri, operation);
        let query = match (&read, operation.needs) {
            (Ok(query), _) => Some(query),
            // Nobody knows what it is about.
            (Err(_), Needs::Repository(_)) => return Err(read.err().unwrap_or_else(unknown)),
            // Who may not is told that first.
            (Err(_), _) => None,
        };
        let repository = query.and_then(|query| query.owned(REPOSITORY.name));
        let about = repository.as_deref();
        let told = |caller: &Caller, refusal| self.told_of_admin(caller, Some(operation), about, refusal);
        let checked = gate.check_api(&caller, operation.needs, about);
        checked.map_err(|refusal| told(&caller, refusal))?;
        let query = read?;
        let mut sent = Vec::new();
        if operation.takes_body() {
            require_json(&parts.headers)?;
            sent = body.whole(limits::API_BODY_BYTES).await?;
            // While it came, the account may have been disabled, or the right taken (threats R19).
            let again = caller_by_now(&self, parts).await;
            let again = again.and_then(|again| require_login(&again).map(|()| again));
            caller = again.map_err(|refusal| told(&caller, refusal))?;
            gate = self.gate().await?;
            let checked = gate.check_api(&caller, operation.needs, about);
            checked.map_err(|refusal| told(&caller, refusal))?;
        }
        let call = Call {
            registry: self.clone(),
            caller: caller.clone(),
            gate,
            operation,
            places: found.places,
            query,
            body: sent,
        };
        let run = move || {
            if operation.body.is_none() {
                let Nothing {} = call.body()?;
            }
            (operation.run)(&call)
        };
        let replied = blocking(move || Ok(run())).await?;
        let reply = replied.map_err(|problem| problem.told(|refusal| told(&caller, refusal)))?;
        Ok(answer(operation, reply))
    }

    /// Tells that somebody was not let; gives back why, or why that cannot be told.
    fn told_of_admin(
        &self,
        caller: &Caller,
        operation: Option<&'static Operation>,
        repository: Option<&str>,
        refusal: Refusal,
    ) -> Refusal {
        if !refusal.is_decision() {
            return refusal;
        }
        let deed = Deed {
            repository: repository.map(Text::new),
            operation: operation.map(|operation| Text::new(operation.id)),
            refused: Some(Text::new(refusal.code().code)),
            ..records::by(RegistryAction::Admin, caller)
        };
        self.records.keep(deed).err().unwrap_or(refusal)
    }
}

/// Fails for who has not proven with this very request to have an account.
fn require_login(caller: &Caller) -> Result<(), Refusal> {
    if caller.is_anonymous() || caller.proof == Some(Proof::Token) {
        return Err(Refusal::unauthorized());
    }
    Ok(())
}

fn unknown() -> Problem {
    Refusal::of(error_code::ENDPOINT_UNKNOWN).into()
}

fn answer(operation: &Operation, reply: Reply) -> Response {
    let mut response = respond::bytes_of("application/json", reply.document);
    *response.status_mut() = operation.status();
    for (name, value) in reply.headers {
        respond::set(response.headers_mut(), name, &value);
    }
    response
}

/// A page of another site can have a browser send forms and plain text without asking, and nothing else (threats R32).
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let one = types.next().filter(|_first| types.next().is_none()).and_then(|value| value.to_str().ok());
    let essence = one.and_then(|value| value.split(';').next()).map(str::trim);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Refusal::of(error_code::MEDIA_TYPE).detail("send it as application/json").into()),
    }
}
