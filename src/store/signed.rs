//! What each key signed last in each channel, so that its holder sees what is new and never signs twice for
//! one place in the channel.

use super::{
    Store,
    sql::{self, OptionalExtension as _, params},
};
use crate::base::{digest::Digest, failure::Result};

/// Epoch and sequence are texts: they may be larger than SQLite's integers.
pub(super) const SCHEMA: &str = "
    CREATE TABLE signed (
        key_id   TEXT NOT NULL,
        channel  TEXT NOT NULL,
        epoch    TEXT NOT NULL,
        sequence TEXT NOT NULL,
        sums     TEXT NOT NULL,
        contents TEXT,
        PRIMARY KEY (key_id, channel)
    ) STRICT;
";

/// A bundle that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Epoch of the channel.
    pub epoch: u64,
    /// Place in the channel.
    pub sequence: u64,
    /// Digest of `SHA256SUMS`.
    pub sums: Digest,
    /// What was in it, as the signing command wrote it; absent where only `SHA256SUMS` was there.
    pub contents: Option<String>,
}

impl Store {
    /// What a key signed last in a channel.
    pub fn last_signed(&self, key_id: &str, channel: &str) -> Result<Option<Signed>> {
        self.query(|database| {
            let sql = "SELECT epoch, sequence, sums, contents FROM signed WHERE key_id = ?1 AND channel = ?2";
            database.statement(sql).query_row(params![key_id, channel], signed_row).optional()
        })
    }

    /// Records what keys are about to sign in a channel: all or none. Each key comes with what it signed last
    /// as far as the caller knows; `false`, and nothing recorded, when another process was faster.
    pub fn record_signed(
        &self,
        keys: &[(&str, Option<&Signed>)],
        channel: &str,
        signed: &Signed,
    ) -> Result<bool> {
        self.change(|change| {
            change.query(|database| {
                for (key_id, last) in keys {
                    let found: Option<String> = database
                        .statement("SELECT sums FROM signed WHERE key_id = ?1 AND channel = ?2")
                        .query_row(params![key_id, channel], |row| row.get(0))
                        .optional()?;
                    if found != last.map(|last| last.sums.to_string()) {
                        return Ok(false);
                    }
                }
                for (key_id, last) in keys {
                    // Who signs the same again from SHA256SUMS alone still knows what was in it.
                    let known =
                        last.filter(|last| last.sums == signed.sums).and_then(|last| last.contents.as_ref());
                    database
                        .statement(
                            "INSERT OR REPLACE INTO signed (key_id, channel, epoch, sequence, sums, contents)
                             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        )
                        .execute(params![
                            key_id,
                            channel,
                            signed.epoch.to_string(),
                            signed.sequence.to_string(),
                            signed.sums.to_string(),
                            signed.contents.as_ref().or(known),
                        ])?;
                }
                Ok(true)
            })
        })
    }
}

fn signed_row(row: &sql::Row) -> sql::Result<Signed> {
    fn parsed<T: std::str::FromStr>(row: &sql::Row, column: usize) -> sql::Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        row.get::<String>(column)?.parse().map_err(|error| sql::Error::unreadable(column, error))
    }
    Ok(Signed {
        epoch: parsed(row, 0)?,
        sequence: parsed(row, 1)?,
        sums: parsed(row, 2)?,
        contents: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(sequence: u64, contents: Option<&str>) -> Signed {
        let sums = Digest::of(&sequence.to_be_bytes());
        Signed { epoch: 1, sequence, sums, contents: contents.map(str::to_owned) }
    }

    #[test]
    fn each_key_has_a_memory_of_its_own_for_each_channel() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (one, two) = (signed(1, Some("{}")), signed(u64::MAX, None));
        assert!(store.record_signed(&[("a", None), ("b", None)], "prod", &one).unwrap());
        assert!(store.record_signed(&[("a", Some(&one))], "prod", &two).unwrap());
        assert_eq!(store.last_signed("a", "prod").unwrap(), Some(two.clone()));
        assert_eq!(store.last_signed("b", "prod").unwrap(), Some(one.clone()));
        assert_eq!(store.last_signed("a", "dev").unwrap(), None);
        // The same again without its contents keeps them.
        let bare = Signed { contents: None, ..one.clone() };
        assert!(store.record_signed(&[("b", Some(&one))], "prod", &bare).unwrap());
        assert_eq!(store.last_signed("b", "prod").unwrap(), Some(one));
    }

    #[test]
    fn who_looked_too_early_records_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (one, two) = (signed(1, None), signed(2, None));
        assert!(store.record_signed(&[("a", None)], "prod", &one).unwrap());
        assert!(!store.record_signed(&[("b", None), ("a", None)], "prod", &two).unwrap());
        assert_eq!(store.last_signed("a", "prod").unwrap(), Some(one));
        assert_eq!(store.last_signed("b", "prod").unwrap(), None);
    }
}
