//! The lines of the ledger. They are only ever added, in the change that they tell of.

use super::{
    Change, State, Store,
    metadata::as_sql,
    sql::{self, OptionalExtension as _, params},
};
use crate::{
    base::{clock::Timestamp, failure::Result},
    ledger::{self, Event, Head},
    trust::Signer,
};

/// The triggers keep honest programs honest; against others there are the hashes and the signatures.
pub(super) const SCHEMA: &str = "
    CREATE TABLE ledger (
        number INTEGER PRIMARY KEY,
        line   TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER ledger_stays_as_it_is BEFORE UPDATE ON ledger
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER ledger_keeps_all BEFORE DELETE ON ledger
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
";

/// What checkpoints call a home without a name.
const UNNAMED: &str = "unnamed";

impl State<'_> {
    /// Where the ledger ends.
    pub fn ledger_head(&self) -> Result<Head> {
        let last = self.query(|database| {
            database
                .statement("SELECT number, line FROM ledger ORDER BY number DESC LIMIT 1")
                .query_row(sql::NONE, |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))
                .optional()
        })?;
        last.map_or_else(Head::start, |(number, line)| Ok(Head::of(number.cast_unsigned(), &line)))
    }

    /// Lines of the ledger without their line feeds, from record `from` (counted from 1), at most `limit`.
    pub fn ledger(&self, from: u64, limit: usize) -> Result<Vec<String>> {
        self.query(|database| {
            let lines =
                database.statement("SELECT line FROM ledger WHERE number >= ?1 ORDER BY number LIMIT ?2");
            lines.query_map(params![from.cast_signed(), as_sql(limit)], |row| row.get(0))?.collect()
        })
    }
}

impl Change<'_> {
    /// Adds a record, and gives the head that it makes.
    pub fn append(&self, time: Timestamp, event: &Event) -> Result<Head> {
        let (line, head) = ledger::append(&self.ledger_head()?, time, event)?;
        let insert = "INSERT INTO ledger (number, line) VALUES (?1, ?2)";
        let values = params![head.number.cast_signed(), line];
        self.query(|database| database.statement(insert).execute(values).map(drop))?;
        Ok(head)
    }

    /// Adds a record that signs all before it.
    pub fn checkpoint(&self, time: Timestamp, signer: &dyn Signer) -> Result<Head> {
        let name = self.site()?.name;
        let site = name.as_deref().unwrap_or(UNNAMED);
        self.append(time, &ledger::checkpoint(&self.ledger_head()?, site, signer)?)
    }
}

impl Store {
    /// Where the ledger ends.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    pub fn ledger_head(&self) -> Result<Head> {
        self.state(|state| state.ledger_head())
    }

    /// Lines of the ledger; see [`State::ledger`].
    pub fn ledger(&self, from: u64, limit: usize) -> Result<Vec<String>> {
        self.state(|state| state.ledger(from, limit))
    }
}
