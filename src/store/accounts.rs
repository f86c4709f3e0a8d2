//! Who may log in to the registry, and the keys that sign what they get there.
//!
//! There is none until somebody makes one (threats R18). Passwords are kept as hashes only.

use std::{collections::BTreeSet, str::FromStr};

use super::{
    Change, State, Store,
    sql::{self, Connection, NONE, OptionalExtension as _, Row, params},
};
use crate::base::{
    clock::Timestamp,
    failure::{Failure, Result},
    redact::Secret,
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE accounts (
        name       TEXT PRIMARY KEY,
        kind       TEXT NOT NULL,
        groups     TEXT NOT NULL,
        hash       TEXT,
        generation TEXT NOT NULL,
        enabled    INTEGER NOT NULL,
        expires    INTEGER,
        created    INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE account_certificates (
        identity TEXT PRIMARY KEY,
        account  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX account_certificates_account ON account_certificates (account);
    CREATE TABLE token_keys (
        id      TEXT PRIMARY KEY,
        key     TEXT NOT NULL,
        created INTEGER NOT NULL
    ) STRICT;
";

/// Seconds for which one key signs tokens: a copy of the database makes none for longer.
const TOKEN_KEY_SECONDS: u64 = 24 * 3600;
/// Seconds for which it is still accepted after that: more than any token lives.
const TOKEN_KEY_GRACE: u64 = 3600;

/// What kind of somebody an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// A person.
    User,
    /// A program.
    Robot,
}

impl AccountKind {
    /// `user` or `robot`.
    pub fn text(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Robot => "robot",
        }
    }
}

impl FromStr for AccountKind {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "user" => Ok(Self::User),
            "robot" => Ok(Self::Robot),
            other => Err(Failure::internal(format!("no kind of account is called `{other}`"))),
        }
    }
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Whom it is for.
    pub kind: AccountKind,
    /// Groups that it is in.
    pub groups: BTreeSet<String>,
    /// Identities in client certificates that are this account's.
    pub certificates: BTreeSet<String>,
    /// The hash of its password (PHC string); `None` where certificates alone open it.
    pub hash: Option<Secret>,
    /// Another one with each password: what was given to who knew the one before holds no longer.
    pub generation: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
}

impl Account {
    /// Whether it may be used at `now`.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.enabled && self.expires.is_none_or(|expires| now < expires)
    }
}

/// A key that signs tokens. All who serve one database share it.
#[derive(Debug, Clone)]
pub struct TokenKey {
    /// What tokens call it.
    pub id: String,
    /// The key.
    pub key: Secret,
}

const ACCOUNT: &str =
    "SELECT name, kind, groups, hash, generation, enabled, expires, created FROM accounts WHERE name = ?1";

impl State<'_> {
    /// All accounts, by name.
    pub fn accounts(&self) -> Result<Vec<Account>> {
        let names: Vec<String> = self.query(|database| {
            let all = database.statement("SELECT name FROM accounts ORDER BY name");
            all.query_map(NONE, |row| row.get(0))?.collect()
        })?;
        names.iter().filter_map(|name| self.account(name).transpose()).collect()
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Result<Option<Account>> {
        self.query(|database| account(database, name))
    }

    /// The accounts that one of these identities of a certificate belongs to.
    pub fn accounts_of_certificate(&self, identities: &[String]) -> Result<BTreeSet<String>> {
        self.query(|database| {
            let one = database.statement("SELECT account FROM account_certificates WHERE identity = ?1");
            let mut found: BTreeSet<String> = BTreeSet::new();
            for identity in identities {
                found.extend(one.query_row(params![identity], |row| row.get(0)).optional()?);
            }
            Ok(found)
        })
    }

    /// Whether anybody can log in at all.
    pub fn has_accounts(&self) -> Result<bool> {
        self.query(|database| database.statement("SELECT 1 FROM accounts LIMIT 1").exists(NONE))
    }
}

impl Change<'_> {
    /// Keeps an account as it is given; one of the same name gives way.
    pub fn put_account(&self, account: &Account) -> Result<()> {
        let groups: Vec<&str> = account.groups.iter().map(String::as_str).collect();
        let groups = serde_json::to_string(&groups).map_err(Failure::internal)?;
        self.query(|database| {
            database.execute(
                "INSERT INTO accounts (name, kind, groups, hash, generation, enabled, expires, created)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (name) DO UPDATE SET kind = ?2, groups = ?3, hash = ?4, generation = ?5,
                    enabled = ?6, expires = ?7, created = ?8",
                params![
                    account.name,
                    account.kind.text(),
                    groups,
                    account.hash.as_ref().map(|hash| hash.reveal().to_owned()),
                    account.generation,
                    i64::from(account.enabled),
                    account.expires.map(as_sql),
                    as_sql(account.created)
                ],
            )?;
            database.execute("DELETE FROM account_certificates WHERE account = ?1", params![account.name])?;
            let insert =
                database.statement("INSERT INTO account_certificates (identity, account) VALUES (?1, ?2)");
            account
                .certificates
                .iter()
                .try_for_each(|identity| insert.execute(params![identity, account.name]).map(drop))
        })
    }

    /// Takes an account away. Whether there was one.
    pub fn remove_account(&self, name: &str) -> Result<bool> {
        self.query(|database| {
            database.execute("DELETE FROM account_certificates WHERE account = ?1", params![name])?;
            database.execute("DELETE FROM accounts WHERE name = ?1", params![name]).map(|count| count > 0)
        })
    }
}

impl Store {
    /// All accounts, by name.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    pub fn accounts(&self) -> Result<Vec<Account>> {
        self.state(|state| state.accounts())
    }

    /// Whether anybody can log in at all.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    pub fn has_accounts(&self) -> Result<bool> {
        self.state(|state| state.has_accounts())
    }

    /// The keys whose tokens hold at `now`, the one that signs new ones first; made where there is none for today.
    pub fn token_keys(&self, now: Timestamp) -> Result<Vec<TokenKey>> {
        let before = |seconds| as_sql_seconds(now.seconds().saturating_sub(seconds));
        let (fresh, held) = (before(TOKEN_KEY_SECONDS), before(TOKEN_KEY_SECONDS + TOKEN_KEY_GRACE));
        let (known, is_fresh) = self.query(|database| held_keys(database, held, fresh))?;
        if is_fresh {
            return Ok(known);
        }
        let (id, key) = (crate::base::password::random()?, crate::base::password::random()?);
        self.change(|change| {
            change.query(|database| {
                // Looks once more: another process may have made one.
                let (known, is_fresh) = held_keys(database, held, fresh)?;
                if is_fresh {
                    return Ok(known);
                }
                database.execute("DELETE FROM token_keys WHERE created < ?1", params![held])?;
                database.execute(
                    "INSERT INTO token_keys (id, key, created) VALUES (?1, ?2, ?3)",
                    params![id.reveal(), key.reveal(), as_sql(now)],
                )?;
                held_keys(database, held, fresh).map(|(known, _)| known)
            })
        })
    }
}

/// The keys made since `held`, newest first, and whether one of them was made since `fresh`.
fn held_keys(database: &Connection, held: i64, fresh: i64) -> sql::Result<(Vec<TokenKey>, bool)> {
    let all = database
        .statement("SELECT id, key, created FROM token_keys WHERE created >= ?1 ORDER BY created DESC");
    let rows: Vec<(TokenKey, i64)> = all
        .query_map(params![held], |row| {
            let key = row.get::<String>(1).map(Secret::new)?;
            Ok((TokenKey { id: row.get(0)?, key }, row.get(2)?))
        })?
        .collect::<sql::Result<_>>()?;
    let is_fresh = rows.iter().any(|(_, created)| *created >= fresh);
    Ok((rows.into_iter().map(|(key, _)| key).collect(), is_fresh))
}

fn account(database: &Connection, name: &str) -> sql::Result<Option<Account>> {
    let one = database.statement(ACCOUNT).query_row(params![name], account_row).optional()?;
    let Some(mut account) = one else { return Ok(None) };
    let certificates = database.statement("SELECT identity FROM account_certificates WHERE account = ?1");
    account.certificates =
        certificates.query_map(params![name], |row| row.get(0))?.collect::<sql::Result<_>>()?;
    Ok(Some(account))
}

fn account_row(row: &Row) -> sql::Result<Account> {
    let time = |seconds: i64| Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0));
    let kind = row.get::<String>(1)?.parse();
    let groups = serde_json::from_str(&row.get::<String>(2)?);
    Ok(Account {
        name: row.get(0)?,
        kind: kind.map_err(|failure: Failure| sql::Error::unreadable(1, failure))?,
        groups: groups.map_err(|error| sql::Error::unreadable(2, error))?,
        certificates: BTreeSet::new(),
        hash: row.get::<Option<String>>(3)?.map(Secret::new),
        generation: row.get(4)?,
        enabled: row.get(5)?,
        expires: row.get::<Option<i64>>(6)?.and_then(time),
        created: time(row.get(7)?).ok_or_else(|| sql::Error::unreadable(7, "it is no time"))?,
    })
}

fn as_sql(time: Timestamp) -> i64 {
    as_sql_seconds(time.seconds())
}

fn as_sql_seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        (dir, store)
    }

    fn alice() -> Account {
        Account {
            name: "alice".into(),
            kind: AccountKind::User,
            groups: ["a", "b"].map(str::to_owned).into(),
            certificates: ["spiffe://x/alice", "cn:alice"].map(str::to_owned).into(),
            hash: Some(Secret::new("hash")),
            generation: "1".into(),
            enabled: true,
            expires: Timestamp::from_seconds(2_000_000_000),
            created: Timestamp::from_seconds(1_800_000_000).unwrap(),
        }
    }

    #[test]
    fn accounts_come_back_as_they_were_kept() {
        let (_dir, store) = store();
        let has = || store.has_accounts().unwrap();
        assert!(!has(), "R18: nobody until somebody is made");
        let robot = Account {
            name: "ci".into(),
            kind: AccountKind::Robot,
            groups: BTreeSet::new(),
            certificates: BTreeSet::new(),
            hash: None,
            enabled: false,
            expires: None,
            ..alice()
        };
        store.change(|change| change.put_account(&alice()).and(change.put_account(&robot))).unwrap();
        assert!(has());
        assert_eq!(store.accounts().unwrap(), [alice(), robot.clone()]);
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            store
                .state(|state| state.accounts_of_certificate(&names))
                .unwrap()
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&["dns:x", "cn:alice"]), ["alice"]);
        assert_eq!(of(&["spiffe://x/alice", "cn:alice"]), ["alice"]);
        assert!(of(&["spiffe://x/bob"]).is_empty());
        let later = Account { certificates: ["cn:ann".to_owned()].into(), enabled: false, ..alice() };
        store.change(|change| change.put_account(&later)).unwrap();
        assert_eq!(store.state(|state| state.account("alice")).unwrap(), Some(later));
        assert!(of(&["spiffe://x/alice", "cn:alice"]).is_empty());
        // An identity is nobody's twice.
        let thief = Account { certificates: ["cn:ann".to_owned()].into(), ..robot };
        assert!(store.change(|change| change.put_account(&thief)).is_err());
        assert!(store.change(|change| change.remove_account("alice")).unwrap());
        assert!(!store.change(|change| change.remove_account("alice")).unwrap());
        assert!(of(&["cn:ann"]).is_empty());
        assert_eq!(store.state(|state| state.account("alice")).unwrap(), None);
    }

    #[test]
    fn an_account_ends_with_its_time() {
        let end = alice().expires.unwrap();
        let before = Timestamp::from_seconds(end.seconds() - 1).unwrap();
        assert!(alice().is_usable(before) && !alice().is_usable(end));
        assert!(!Account { enabled: false, ..alice() }.is_usable(before));
        assert!(Account { expires: None, ..alice() }.is_usable(end));
    }

    /// All who serve one database use the same key; it changes every day, and tokens outlive that.
    #[test]
    fn keys_of_tokens_are_shared_and_change() {
        let (dir, store) = store();
        let other = Store::open(&dir.path().join("home")).unwrap();
        let at = |seconds| Timestamp::from_seconds(1_800_000_000 + seconds).unwrap();
        let ids = |store: &Store, seconds| {
            store.token_keys(at(seconds)).unwrap().into_iter().map(|key| key.id).collect::<Vec<_>>()
        };
        let first = ids(&store, 0);
        assert_eq!((first.len(), &first), (1, &ids(&other, TOKEN_KEY_SECONDS)));
        let second = ids(&other, TOKEN_KEY_SECONDS + 1);
        assert_eq!((second.len(), &second[1]), (2, &first[0]));
        assert_eq!(ids(&store, TOKEN_KEY_SECONDS + TOKEN_KEY_GRACE + 1), second[..1]);
        assert_ne!(store.token_keys(at(0)).unwrap()[0].key.reveal(), "");
    }
}
