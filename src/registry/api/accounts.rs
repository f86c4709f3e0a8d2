//! Who may log in.

use axum::http::header;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Needs, Operation, Problem, ROOT, Replied, Reply, Room, table::shape};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason},
        password,
        redact::Secret,
    },
    report::account::{AccountReport, AccountShown, AccountsReport},
    site::{NewAccount, Site, account_line},
    store::{Account, AccountKind},
};

/// What makes an account.
pub(super) const ADD: &str = "account-add";

pub(super) const ROOM: Room = Room {
    name: "accounts",
    route: "api-accounts",
    about: "Who may log in to the registry: the same as `sealift account`.",
    operations: &[
        Operation {
            id: "account-list",
            method: "GET",
            path: "/accounts",
            needs: Needs::All,
            summary: "All accounts",
            more: "",
            query: &[],
            body: None,
            answer: shape::<AccountsReport>,
            problems: &[],
            run: list,
        },
        Operation {
            id: ADD,
            method: "POST",
            path: "/accounts",
            needs: Needs::All,
            summary: "Make an account",
            more: "Its password is made too, where none is given, and stands in this answer and nowhere else.",
            query: &[],
            body: Some(shape::<Wanted>),
            answer: shape::<AccountReport>,
            problems: &[409, 422],
            run: add,
        },
        Operation {
            id: "account-show",
            method: "GET",
            path: "/accounts/{name}",
            needs: Needs::All,
            summary: "One account",
            more: "",
            query: &[],
            body: None,
            answer: shape::<AccountShown>,
            problems: &[404],
            run: show,
        },
        Operation {
            id: "account-remove",
            method: "DELETE",
            path: "/accounts/{name}",
            needs: Needs::All,
            summary: "Take an account away",
            more: "",
            query: &[],
            body: None,
            answer: shape::<AccountReport>,
            problems: &[404],
            run: remove,
        },
        Operation {
            id: "account-secret",
            method: "POST",
            path: "/accounts/{name}/secret",
            needs: Needs::All,
            summary: "Give an account another password, made or given",
            more: "Tokens that were given for the one before are refused from the next request on.",
            query: &[],
            body: Some(shape::<WantedSecret>),
            answer: shape::<AccountReport>,
            problems: &[404, 422],
            run: secret,
        },
        Operation {
            id: "account-disable",
            method: "POST",
            path: "/accounts/{name}/disable",
            needs: Needs::All,
            summary: "Keep an account, and let nobody use it",
            more: "",
            query: &[],
            body: None,
            answer: shape::<AccountReport>,
            problems: &[404, 409],
            run: |call| change(call, |account| account.enabled = false),
        },
        Operation {
            id: "account-enable",
            method: "POST",
            path: "/accounts/{name}/enable",
            needs: Needs::All,
            summary: "Let it be used again",
            more: "",
            query: &[],
            body: None,
            answer: shape::<AccountReport>,
            problems: &[404, 409],
            run: |call| change(call, |account| account.enabled = true),
        },
        Operation {
            id: "account-group-add",
            method: "PUT",
            path: "/accounts/{name}/groups/{group}",
            needs: Needs::All,
            summary: "Put an account into a group",
            more: "",
            query: &[],
            body: None,
            answer: shape::<AccountReport>,
            problems: &[404, 409, 422],
            run: |call| {
                change(call, |account| {
                    account.groups.insert(call.place("group").to_owned());
                })
            },
        },
        Operation {
            id: "account-group-remove",
            method: "DELETE",
            path: "/accounts/{name}/groups/{group}",
            needs: Needs::All,
            summary: "Take it out of a group",
            more: "",
            query: &[],
            body: None,
            answer: shape::<AccountReport>,
            problems: &[404, 409],
            run: |call| {
                change(call, |account| {
                    account.groups.remove(call.place("group"));
                })
            },
        },
    ],
};

/// An account to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewAccount")]
struct Wanted {
    /// Its name: 1 to 64 of `a-z 0-9 . _ -`.
    name: String,
    /// Whom it is for.
    #[serde(default)]
    kind: Kind,
    /// Its groups.
    #[serde(default)]
    groups: Vec<String>,
    /// Identities in client certificates that open it: `spiffe://…`, `dns:NAME` or `cn:NAME`.
    #[serde(default)]
    certificates: Vec<String>,
    /// Whether a password opens it, and not certificates alone.
    #[serde(default = "yes")]
    password: bool,
    /// That password, of at least 8 characters; without it, one is made.
    #[serde(default)]
    secret: Option<String>,
    /// When it ends: a day (its first moment in UTC) or a time.
    #[serde(default)]
    expires: Option<String>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Kind {
    #[default]
    User,
    Robot,
}

/// Another password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewSecret")]
struct WantedSecret {
    /// The password, of at least 8 characters; without it, one is made.
    #[serde(default)]
    secret: Option<String>,
}

fn yes() -> bool {
    true
}

fn list(call: &Call) -> Replied {
    let accounts = call.registry.store.accounts()?;
    let now = Timestamp::now();
    let accounts = accounts.iter().map(|account| account_line(account, now)).collect();
    Reply::of(&AccountsReport { schema: 1, accounts })
}

fn show(call: &Call) -> Replied {
    let name = call.place("name");
    let account = call.registry.store.state(|state| state.account(name))?;
    let account = account.ok_or_else(|| Site::no_account(name))?;
    Reply::of(&AccountShown { schema: 1, account: account_line(&account, Timestamp::now()) })
}

fn add(call: &Call) -> Replied {
    let wanted: Wanted = call.body()?;
    let wrong = |member: &str, found: &str| Failure::new(Reason::BadArgument, member, found);
    if !wanted.password && wanted.secret.is_some() {
        return Err(wrong("secret", "it is given, and no password is to open the account")
            .hint("leave one of the two out")
            .into());
    }
    if !wanted.password && wanted.certificates.is_empty() {
        return Err(wrong(
            "password",
            "without a password and without certificates nothing opens the account",
        )
        .hint("name certificates")
        .into());
    }
    let expires = wanted.expires.as_deref().map(|text| {
        Timestamp::of_day(text).ok_or_else(|| {
            wrong("expires", "it is neither a day nor a time")
                .hint("write 2027-01-31 or 2027-01-31T12:00:00Z")
        })
    });
    let (password, shown) = if wanted.password {
        read(wanted.secret).map(|(made, shown)| (Some(made), shown))?
    } else {
        (None, None)
    };
    let site = call.site();
    let account = site.add_account(NewAccount {
        name: wanted.name,
        kind: match wanted.kind {
            Kind::User => AccountKind::User,
            Kind::Robot => AccountKind::Robot,
        },
        groups: wanted.groups.into_iter().collect(),
        certificates: wanted.certificates.into_iter().collect(),
        password,
        expires: expires.transpose()?,
    })?;
    let location = format!("{ROOT}/accounts/{}", account.name);
    Ok(changed(&site, "added", &account, shown)?.header((header::LOCATION, location)))
}

fn secret(call: &Call) -> Replied {
    let WantedSecret { secret } = call.body()?;
    let (password, shown) = read(secret)?;
    let site = call.site();
    let account = site.set_password(call.place("name"), &password)?;
    changed(&site, "changed", &account, shown)
}

fn remove(call: &Call) -> Replied {
    let name = call.place("name").to_owned();
    call.site().remove_account(&name)?;
    Reply::of(&AccountReport { schema: 1, action: "removed", name, account: None, secret: None })
}

fn change(call: &Call, decide: impl FnOnce(&mut Account)) -> Replied {
    let site = call.site();
    let account = site.change_account(call.place("name"), decide)?;
    changed(&site, "changed", &account, None)
}

/// The password, and once more where it was made and has to be shown.
fn read(given: Option<String>) -> Result<(Secret, Option<String>), Problem> {
    if let Some(given) = given {
        return Ok((Secret::new(given), None));
    }
    let made = password::random()?;
    let shown = made.reveal().to_owned();
    Ok((made, Some(shown)))
}

fn changed(site: &Site, action: &'static str, account: &Account, secret: Option<String>) -> Replied {
    let (name, line) = (account.name.clone(), account_line(account, site.now()));
    Reply::of(&AccountReport { schema: 1, action, name, account: Some(line), secret })
}
