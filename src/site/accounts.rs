//! Who may log in to the registry of a site: every change is a record of its ledger, no look is.

use std::collections::{BTreeMap, BTreeSet};

use super::Site;
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Reason, Result},
        limits, password,
        path::is_media_name,
        redact::Secret,
        text::{escaped, is_plain},
    },
    ledger::{AccountAction, Event, Text},
    report::account::AccountLine,
    store::{Account, AccountKind},
};

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// Its name.
    pub name: String,
    /// Whom it is for.
    pub kind: AccountKind,
    /// Its groups.
    pub groups: BTreeSet<String>,
    /// Identities in client certificates that open it.
    pub certificates: BTreeSet<String>,
    /// Its password; `None` where certificates alone open it.
    pub password: Option<Secret>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

impl Site {
    /// Makes an account.
    ///
    /// # Errors
    /// [`Reason::AccountExists`] where there is one of this name, or one of its certificates is another account's;
    /// [`Reason::BadArgument`] for a name, group, identity, password or end that cannot be.
    pub fn add_account(&self, new: NewAccount) -> Result<Account> {
        require_name("account", &new.name)?;
        new.certificates.iter().try_for_each(|identity| require_identity(identity))?;
        require_few("--certificate-identity", new.certificates.len(), limits::ACCOUNT_CERTIFICATES)?;
        require_few("group", new.groups.len(), limits::ACCOUNT_GROUPS)?;
        if new.expires.is_some_and(|expires| expires <= self.system) {
            let message = "it would have ended already";
            return Err(Failure::new(Reason::BadArgument, "--expires", message).hint("give a later day"));
        }
        let account = Account {
            name: new.name,
            kind: new.kind,
            groups: new.groups,
            certificates: new.certificates,
            hash: new.password.as_ref().map(password::hash).transpose()?,
            generation: password::random()?.reveal().to_owned(),
            enabled: true,
            expires: new.expires,
            created: self.now,
        };
        account.groups.iter().try_for_each(|group| require_name("group", group))?;
        self.change(|change, _| {
            if change.account(&account.name)?.is_some() {
                return Err(taken(&account.name, "there is an account of this name"));
            }
            let identities: Vec<String> = account.certificates.iter().cloned().collect();
            if let Some(other) = change.accounts_of_certificate(&identities)?.first() {
                return Err(taken(&account.name, &format!("its certificate is that of the account {other}")));
            }
            change.put_account(&account)?;
            let mut made = changed(None, &account);
            made.insert("kind".into(), account.kind.text().into());
            change.append(self.now, &self.account_event(&account.name, AccountAction::Created, made))?;
            Ok(account.clone())
        })
    }

    /// Changes groups, certificates, and whether an account may be used. What is so already leaves no record.
    ///
    /// # Errors
    /// [`Reason::AccountUnknown`]; [`Reason::BadArgument`] for the name of a group that none can have.
    pub fn change_account(&self, name: &str, decide: impl FnOnce(&mut Account)) -> Result<Account> {
        let old = self.store.state(|state| state.account(name))?.ok_or_else(|| unknown(name))?;
        let mut new = old.clone();
        decide(&mut new);
        let added = new.groups.difference(&old.groups);
        added.into_iter().try_for_each(|group| require_name("group", group))?;
        if new == old {
            return Ok(old);
        }
        if new.groups.len() > old.groups.len() {
            require_few("group", new.groups.len(), limits::ACCOUNT_GROUPS)?;
        }
        self.change(|change, _| {
            // Looks once more: another may have changed something else of it meanwhile.
            if change.account(name)?.as_ref() != Some(&old) {
                let message = "somebody else changed it at the same time";
                return Err(Failure::new(Reason::ChangedMeanwhile, account_object(name), message)
                    .hint("run it again"));
            }
            change.put_account(&new)?;
            let changed = changed(Some(&old), &new);
            change.append(self.now, &self.account_event(name, AccountAction::Changed, changed))?;
            Ok(new)
        })
    }

    /// Gives an account another password.
    ///
    /// # Errors
    /// [`Reason::AccountUnknown`]; [`Reason::BadArgument`] for a password that is too short or too long.
    pub fn set_password(&self, name: &str, password: &Secret) -> Result<Account> {
        let hash = password::hash(password)?;
        let generation = password::random()?.reveal().to_owned();
        self.change(|change, _| {
            let old = change.account(name)?.ok_or_else(|| unknown(name))?;
            let new = Account { hash: Some(hash), generation, ..old };
            change.put_account(&new)?;
            change.append(self.now, &self.account_event(name, AccountAction::Secret, BTreeMap::new()))?;
            Ok(new)
        })
    }

    /// Takes an account away.
    ///
    /// # Errors
    /// [`Reason::AccountUnknown`].
    pub fn remove_account(&self, name: &str) -> Result<()> {
        // Before the change, which would begin a ledger.
        self.store.state(|state| state.account(name))?.ok_or_else(|| unknown(name))?;
        self.change(|change, _| {
            if !change.remove_account(name)? {
                return Err(unknown(name));
            }
            change
                .append(self.now, &self.account_event(name, AccountAction::Removed, BTreeMap::new()))
                .map(drop)
        })
    }

    /// The failure for a name that no account has.
    pub fn no_account(name: &str) -> Failure {
        unknown(name)
    }

    fn account_event(&self, name: &str, action: AccountAction, changed: BTreeMap<Text, Text>) -> Event {
        Event::Account { account: name.into(), action, changed, by: self.actor.of_registry() }
    }
}

/// What is otherwise than before. Each group and certificate stands for itself: a list of them would be cut, and not tell
/// which of them is new.
fn changed(old: Option<&Account>, new: &Account) -> BTreeMap<Text, Text> {
    let mut changed = BTreeMap::new();
    let mut compare = |what: &str, of: fn(&Account) -> &BTreeSet<String>| {
        let none = BTreeSet::new();
        let (old, new) = (old.map_or(&none, of), of(new));
        for (names, became) in [(new.difference(old), "added"), (old.difference(new), "removed")] {
            changed.extend(names.map(|name| (Text::new(&format!("{what} {name}")), Text::new(became))));
        }
    };
    compare("group", |account| &account.groups);
    compare("certificate", |account| &account.certificates);
    if old.and_then(|old| old.expires) != new.expires {
        let expires = new.expires.map_or_else(|| "never".to_owned(), |expires| expires.to_string());
        changed.insert("expires".into(), Text::new(&expires));
    }
    if old.is_none_or(|old| old.enabled != new.enabled) {
        changed.insert("enabled".into(), if new.enabled { "yes" } else { "no" }.into());
    }
    changed
}

/// As it is shown; at `now` it may be over.
pub fn account_line(account: &Account, now: Timestamp) -> AccountLine {
    AccountLine {
        name: account.name.clone(),
        kind: account.kind.text(),
        groups: account.groups.iter().cloned().collect(),
        certificates: account.certificates.iter().cloned().collect(),
        password: account.hash.is_some(),
        enabled: account.enabled,
        expires: account.expires,
        expired: account.expires.is_some_and(|expires| expires <= now),
        created: account.created,
    }
}

fn require_name(what: &str, name: &str) -> Result<()> {
    if is_media_name(name) {
        return Ok(());
    }
    let message = format!("`{name}` is no name of an {what}: 1 to 64 of a-z 0-9 . _ -");
    let message = message.replace("an group", "a group");
    Err(Failure::new(Reason::BadArgument, what, message).hint("choose a plain name"))
}

/// `spiffe://…`, `dns:NAME` or `cn:NAME`: which part of a certificate says it is part of what it says.
fn require_identity(identity: &str) -> Result<()> {
    let known = ["spiffe://", "dns:", "cn:"].iter().any(|kind| {
        identity.strip_prefix(kind).is_some_and(|rest| !rest.is_empty() && rest.chars().count() <= 160)
    });
    // A name of a person has spaces; nothing has what is not seen.
    if known && identity.trim() == identity && identity.chars().all(is_plain) {
        return Ok(());
    }
    let message = format!("`{}` is no identity of a certificate", escaped(identity, 200));
    Err(Failure::new(Reason::BadArgument, "--certificate-identity", message).hint(
        "write spiffe://DOMAIN/PATH, dns:NAME for a name that it holds, or cn:NAME for its subject's common name",
    ))
}

/// More of them than one record can tell of are refused.
fn require_few(what: &str, found: usize, most: usize) -> Result<()> {
    if found <= most {
        return Ok(());
    }
    let message = format!("an account can have {most} of them, and would have {found}");
    Err(Failure::new(Reason::BadArgument, what, message).hint("leave some of them out"))
}

fn account_object(name: &str) -> String {
    format!("account {name}")
}

fn taken(name: &str, message: &str) -> Failure {
    Failure::new(Reason::AccountExists, account_object(name), message)
        .hint("choose another name, or look at what is there: `sealift account list`")
}

fn unknown(name: &str) -> Failure {
    Failure::new(Reason::AccountUnknown, account_object(name), "there is none of this name")
        .hint("`sealift account list` shows all of them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Record, store::Store};

    fn site() -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let now = Timestamp::from_seconds(1_800_000_000).unwrap();
        (dir, Site::new(store, now))
    }

    fn new(name: &str) -> NewAccount {
        NewAccount {
            name: name.into(),
            kind: AccountKind::Robot,
            groups: ["build".to_owned()].into(),
            certificates: ["spiffe://x/ci".to_owned()].into(),
            password: Some(Secret::new("correct horse")),
            expires: None,
        }
    }

    /// What the ledger tells of accounts, as JSON without number, hash and time.
    fn told(site: &Site) -> Vec<String> {
        let lines = site.store().ledger(1, usize::MAX).unwrap();
        let events = lines.iter().map(|line| Record::parse(line).unwrap().event);
        events
            .filter(|event| matches!(event, Event::Account { .. }))
            .map(|event| {
                serde_json::to_string(&event).unwrap().replace(r#"{"event":"account","account":"#, "")
            })
            .collect()
    }

    #[test]
    fn every_change_is_told_and_no_password_is() {
        let (_dir, site) = site();
        let made = site.add_account(new("ci")).unwrap();
        assert!(password::matches(&Secret::new("correct horse"), made.hash.as_ref().unwrap().reveal()));
        let again = site.change_account("ci", |account| account.enabled = true).unwrap();
        assert_eq!(again, made);
        site.change_account("ci", |account| account.enabled = false).unwrap();
        site.change_account("ci", |account| assert!(account.groups.insert("ops".into()))).unwrap();
        site.change_account("ci", |account| assert!(account.groups.remove("build"))).unwrap();
        let renewed = site.set_password("ci", &Secret::new("battery staple")).unwrap();
        assert!(renewed.generation != made.generation && renewed.hash != made.hash);
        assert_eq!(renewed.groups.len(), 1);
        site.remove_account("ci").unwrap();
        assert_eq!(
            told(&site),
            [
                r#""ci","action":"created","changed":{"certificate spiffe://x/ci":"added","enabled":"yes","group build":"added","kind":"robot"}}"#,
                r#""ci","action":"changed","changed":{"enabled":"no"}}"#,
                r#""ci","action":"changed","changed":{"group ops":"added"}}"#,
                r#""ci","action":"changed","changed":{"group build":"removed"}}"#,
                r#""ci","action":"secret"}"#,
                r#""ci","action":"removed"}"#,
            ]
        );
    }

    /// R21: of an account with as much as one can have, a record tells all, and of each change what it was.
    #[test]
    fn no_change_is_cut_out_of_its_record() {
        let (_dir, site) = site();
        let groups =
            |range: std::ops::Range<usize>| range.map(|n| format!("{n:064}")).collect::<BTreeSet<_>>();
        let identity = |n: usize| format!("spiffe://{n:02}{}", "\u{10000}".repeat(158));
        let certificates: BTreeSet<String> = (0..limits::ACCOUNT_CERTIFICATES).map(identity).collect();
        let most = |name: &str| NewAccount {
            groups: groups(0..limits::ACCOUNT_GROUPS),
            certificates: certificates.clone(),
            ..new(name)
        };
        site.add_account(most("ci")).unwrap();
        site.change_account("ci", |account| assert!(account.groups.remove(&format!("{:064}", 9)))).unwrap();
        let told = told(&site);
        for name in groups(0..limits::ACCOUNT_GROUPS)
            .iter()
            .map(|name| format!("group {name}"))
            .chain(certificates.iter().map(|name| format!("certificate {name}")))
        {
            assert!(told[0].contains(&format!(r#""{name}":"added""#)), "{name}");
        }
        assert_eq!(
            told[1],
            format!(r#""ci","action":"changed","changed":{{"group {:064}":"removed"}}}}"#, 9)
        );
        let more = NewAccount {
            groups: groups(0..limits::ACCOUNT_GROUPS + 1),
            certificates: BTreeSet::new(),
            ..most("x")
        };
        assert_eq!(site.add_account(more).unwrap_err().reason, Reason::BadArgument);
        let add = |n: usize| {
            site.change_account("ci", |account| assert!(account.groups.insert(format!("more-{n}"))))
        };
        add(1).unwrap();
        assert_eq!(add(2).unwrap_err().reason, Reason::BadArgument);
    }

    #[test]
    fn what_cannot_be_leaves_nothing_behind() {
        let (_dir, site) = site();
        let before = |now: u64| Timestamp::from_seconds(1_800_000_000 - now);
        let refused = |new: NewAccount, reason: Reason| {
            let name = new.name.clone();
            assert_eq!(site.add_account(new).unwrap_err().reason, reason, "{name}");
        };
        for name in ["", "Alice", "a:b", "a b", "../x", &"a".repeat(65)] {
            refused(new(name), Reason::BadArgument);
        }
        refused(NewAccount { groups: ["A".to_owned()].into(), ..new("ci") }, Reason::BadArgument);
        for identity in [
            "alice",
            "spiffe://",
            "cn:",
            "uri:x",
            "cn:a\nb",
            "cn:a ",
            "cn:a\u{202e}b",
            &format!("cn:{}", "x".repeat(161)),
        ] {
            refused(
                NewAccount { certificates: [identity.to_owned()].into(), ..new("ci") },
                Reason::BadArgument,
            );
        }
        refused(NewAccount { password: Some(Secret::new("short")), ..new("ci") }, Reason::BadArgument);
        refused(NewAccount { expires: before(0), ..new("ci") }, Reason::BadArgument);
        let unknown = |done: Result<()>| assert_eq!(done.unwrap_err().reason, Reason::AccountUnknown);
        unknown(site.change_account("ci", |account| account.enabled = false).map(drop));
        unknown(site.set_password("ci", &Secret::new("battery staple")).map(drop));
        unknown(site.remove_account("ci"));
        assert_eq!(site.store().ledger_head().unwrap().number, 0, "nothing happened");
        site.add_account(new("ci")).unwrap();
        refused(NewAccount { certificates: BTreeSet::new(), ..new("ci") }, Reason::AccountExists);
        refused(new("other"), Reason::AccountExists);
        let bad = site.change_account("ci", |account| assert!(account.groups.insert("A".into())));
        assert_eq!(bad.unwrap_err().reason, Reason::BadArgument);
        assert_eq!(told(&site).len(), 1);
    }
}
