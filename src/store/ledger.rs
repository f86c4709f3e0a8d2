//! The lines of the ledger. They are only ever added, in the change that they tell of.

use std::ops::ControlFlow;

use super::{
    Change, State, Store,
    metadata::as_sql,
    sql::{self, OptionalExtension as _, Tables, ToValue as _, Value, params},
};
use crate::{
    base::{clock::Timestamp, failure::Result},
    ledger::{self, Event, Head},
    trust::Signer,
};

/// The records.
pub(super) const SCHEMA: &str = "
    CREATE TABLE ledger (
        number INTEGER PRIMARY KEY,
        line   TEXT NOT NULL
    ) STRICT;
";

/// They keep honest programs honest; against others there are the hashes and the signatures.
pub(super) const TRIGGERS: Tables = Tables::Each {
    sqlite: "
    CREATE TRIGGER ledger_stays_as_it_is BEFORE UPDATE ON ledger
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER ledger_keeps_all BEFORE DELETE ON ledger
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
",
    postgres: "
    CREATE FUNCTION ledger_stays() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the ledger is only added to'; END $$;
    CREATE TRIGGER ledger_stays_as_it_is BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
",
};

/// What checkpoints call a home without a name.
const UNNAMED: &str = "unnamed";

/// Values of the records that one statement adds: to another machine, the way takes the time.
const MANY: usize = 32;

/// Lines that are read at a time.
const PAGE: usize = 1000;

/// Some lines of the ledger.
#[derive(Debug, Default)]
pub struct LedgerPage {
    /// Each with its place.
    pub lines: Vec<(u64, String)>,
    /// From where it goes on; `None` after the last.
    pub next: Option<u64>,
}

/// A statement that adds so many records.
fn insert(rows: usize) -> String {
    let values: Vec<String> = (0..rows).map(|row| format!("(?{}, ?{})", row * 2 + 1, row * 2 + 2)).collect();
    format!("INSERT INTO ledger (number, line) VALUES {}", values.join(", "))
}

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

impl State<'_> {
    /// The next lines from record `from` on: few of them, for the ledger may be larger than memory.
    pub fn ledger_page(&self, from: u64) -> Result<LedgerPage> {
        const READ: &str = "SELECT number, line FROM ledger WHERE number >= ?1 ORDER BY number LIMIT ?2";
        let lines = self.query(|database| {
            let read = |row: &sql::Row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?));
            let lines =
                database.statement(READ).query_map(params![from.cast_signed(), as_sql(PAGE)], read)?;
            lines.collect::<sql::Result<Vec<_>>>()
        })?;
        // Not by counting: whoever changed the database may have left gaps.
        let next = lines.last().and_then(|(last, _)| last.checked_add(1)).map(i64::cast_unsigned);
        let lines = lines.into_iter().map(|(number, line)| (number.cast_unsigned(), line)).collect();
        Ok(LedgerPage { lines, next })
    }

    /// Reads the lines from record `from` on in their order, each with its place, few at a time, until the reader has
    /// enough: the ledger may be larger than memory.
    ///
    /// # Errors
    /// Those of `take` and of the database.
    pub fn each_record(
        &self,
        from: u64,
        mut take: impl FnMut(u64, &str) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut next = Some(from);
        while let Some(from) = next {
            let LedgerPage { lines, next: after } = self.ledger_page(from)?;
            next = after;
            for (number, line) in lines {
                if take(number, &line)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Change<'_> {
    /// Adds a record, and gives the head that it makes.
    pub fn append(&self, time: Timestamp, event: &Event) -> Result<Head> {
        self.append_all([(time, event.clone())])
    }

    /// Adds records, and gives the head that the last makes.
    pub fn append_all(&self, events: impl IntoIterator<Item = (Timestamp, Event)>) -> Result<Head> {
        let mut head = self.ledger_head()?;
        let mut values = Vec::new();
        for (time, event) in events {
            let (line, next) = ledger::append(&head, time, &event)?;
            head = next;
            values.extend([head.number.cast_signed().to_value(), line.to_value()]);
        }
        self.query(|database| {
            values.chunks(MANY).try_for_each(|rows| match <&[Value; MANY]>::try_from(rows) {
                Ok(rows) => database.statement(&insert(MANY / 2)).execute(rows.clone()).map(drop),
                Err(_fewer) => rows.chunks(2).try_for_each(|row| {
                    let row: [Value; 2] =
                        std::array::from_fn(|at| row.get(at).cloned().unwrap_or(Value::Null));
                    database.statement(&insert(1)).execute(row).map(drop)
                }),
            })
        })?;
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
