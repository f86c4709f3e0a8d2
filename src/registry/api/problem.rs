//! Why something is not done (RFC 9457). The reason is that of the command line where there is one there, else the code by
//! which registries call it.

use axum::{http::header, response::Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Account, Refusal, respond};
use crate::{
    base::failure::{Failure, Failures, Reason},
    oci::error_code::{self, ErrorCode},
    report::Alarm,
};

/// What every type of problem begins with.
const TYPE: &str = "urn:sealift:problem:";

/// Why something is not done.
#[derive(Debug)]
pub(in crate::registry) struct Problem {
    why: Why,
    account: Option<Account>,
}

#[derive(Debug)]
enum Why {
    /// Not by this server, not now, or not for who asks.
    Refused(Refusal),
    /// It was tried.
    Failed(Failures),
}

/// A problem as it is sent (RFC 9457, 3.1), with members of our own.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document {
    /// `urn:sealift:problem:` and the reason.
    r#type: String,
    /// What such a problem is.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What was expected and what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The stable reason: one of docs/exit-codes.md, or the code of a registry in small letters.
    reason: String,
    /// What it happened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// All of them, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Alarm>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { why: Why::Refused(refusal), account: None }
    }
}

impl From<Failures> for Problem {
    fn from(failures: Failures) -> Self {
        Self { why: Why::Failed(failures.map(without_flags)), account: None }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Failures::from(failure).into()
    }
}

/// Commands name their flags; here they are members of the same name.
fn without_flags(failure: Failure) -> Failure {
    match failure.object.strip_prefix("--").map(str::to_owned) {
        Some(member) => failure.of(member),
        None => failure,
    }
}

impl Problem {
    /// A request that cannot be understood.
    pub(super) fn request(what: &str, found: impl std::fmt::Display) -> Self {
        Refusal::of(error_code::REQUEST_INVALID).detail(format!("{what}: {found}")).into()
    }

    /// Names the account that asked.
    pub(super) fn of_account(self, account: Account) -> Self {
        Self { account: Some(account), ..self }
    }

    /// Has a refusal told of; that of the rules too, which are asked again where something is done.
    pub(super) fn told(self, tell: impl FnOnce(Refusal) -> Refusal) -> Self {
        let why = match self.why {
            Why::Refused(refusal) => Why::Refused(tell(refusal)),
            Why::Failed(failures) if failures.worst().is_some_and(|worst| status(worst.reason) == 403) => {
                let told = tell(Refusal::of(error_code::DENIED));
                if told.code() == error_code::DENIED { Why::Failed(failures) } else { Why::Refused(told) }
            }
            failed @ Why::Failed(_) => failed,
        };
        Self { why, ..self }
    }

    /// What the log should hear.
    pub(super) fn cause(&self) -> Option<&Failure> {
        match &self.why {
            Why::Refused(refusal) => refusal.cause(),
            Why::Failed(failures) => failures.worst().filter(|failure| status(failure.reason) >= 500),
        }
    }

    /// The answer; `ask` adds how to log in.
    pub(in crate::registry) fn into_response(self, ask: impl FnOnce(Refusal) -> Refusal) -> Response {
        let Self { why, account } = self;
        let mut response = match why {
            Why::Refused(refusal) if refusal.code() == error_code::UNAUTHORIZED => refused(ask(refusal)),
            Why::Refused(refusal) => refused(refusal),
            Why::Failed(failures) => failed(&failures),
        };
        if let Some(account) = account {
            response.extensions_mut().insert(account);
        }
        response
    }
}

fn refused(refusal: Refusal) -> Response {
    let code = refusal.code();
    let document = Document {
        r#type: String::new(),
        title: code.message,
        status: code.status,
        detail: refusal.sentence().map(str::to_owned),
        reason: code.code.to_lowercase().replace('_', "-"),
        object: None,
        hint: hint(code).map(str::to_owned),
        failures: Vec::new(),
    };
    let as_registries_do = refusal.into_response();
    let mut response = sent(document, code);
    for name in [header::WWW_AUTHENTICATE, header::ALLOW, header::RETRY_AFTER] {
        if let Some(value) = as_registries_do.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// What to do about it.
fn hint(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        error_code::UNAUTHORIZED => {
            "send the name and password of an account with every request, or a certificate that opens one; tokens are not \
             taken here. `sealift account add` on the machine of the registry makes the first account"
        }
        error_code::DENIED => "ask who sets the rules of this registry for the right: docs/access.md",
        error_code::ENDPOINT_UNKNOWN => "/api/v1 shows what there is",
        error_code::REQUEST_INVALID | error_code::MEDIA_TYPE | error_code::UNSUPPORTED => {
            "/api/v1/openapi.json says what each operation takes"
        }
        error_code::TOO_LARGE => "ask for less at once",
        _ => return None,
    })
}

fn failed(failures: &Failures) -> Response {
    let Some(worst) = failures.worst() else {
        return refused(Refusal::of(error_code::INTERNAL));
    };
    let reason = worst.reason;
    let status = status(reason);
    // What is wrong with disk or database is for who runs the server.
    let is_ours = status >= 500;
    let is_for_now = matches!(reason, Reason::LockHeld | Reason::DatabaseAway | Reason::Bucket);
    let list: Vec<Alarm> = failures.list().iter().map(Alarm::from).collect();
    let document = Document {
        r#type: String::new(),
        title: reason.meaning(),
        status,
        detail: Some(if is_for_now {
            "it cannot be done now: ask again".to_owned()
        } else if is_ours {
            "the registry could not do it: its log says why".to_owned()
        } else {
            worst.message.clone()
        }),
        reason: reason.text().to_owned(),
        object: (!is_ours).then(|| worst.object.clone()),
        hint: worst.hint.clone().filter(|_hint| !is_ours),
        failures: if is_ours || list.len() == 1 { Vec::new() } else { list },
    };
    let mut response = sent(document, ErrorCode { code: reason.text(), status, message: reason.meaning() });
    if is_for_now {
        respond::set(response.headers_mut(), header::RETRY_AFTER, respond::RETRY_SECONDS);
    }
    response
}

/// How a failure is answered.
fn status(reason: Reason) -> u16 {
    match reason {
        Reason::AccountUnknown | Reason::TagUnknown => 404,
        Reason::AccountExists | Reason::BlobMissing | Reason::ChangedMeanwhile => 409,
        Reason::BadArgument | Reason::RulesMalformed => 422,
        Reason::TagImmutable | Reason::QuotaExceeded => 403,
        // What cannot be told is not done (threats R22); nor what cannot be asked for.
        Reason::LedgerUnwritten
        | Reason::LedgerCheckpoint
        | Reason::LedgerCut
        | Reason::ImporterRevoked
        | Reason::LockHeld
        | Reason::DatabaseAway
        | Reason::Bucket => 503,
        Reason::DiskFull => 507,
        _ => 500,
    }
}

fn sent(document: Document, code: ErrorCode) -> Response {
    let document = Document { r#type: format!("{TYPE}{}", document.reason), ..document };
    let text = serde_json::to_value(&document).unwrap_or(Value::Null).to_string();
    let mut response = respond::bytes_of("application/problem+json", text.into_bytes());
    *response.status_mut() = axum::http::StatusCode::from_u16(document.status)
        .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    // For who watches.
    response.extensions_mut().insert(code);
    response
}
