//! SQL for both databases: SQLite in the home, PostgreSQL past one machine. The rest of the store writes statements that
//! both understand, and sees rows and values of this module only.
//!
//! What statements keep to: parameters are `?1`, `?2`; a conflict names its columns; types are `TEXT`, `INTEGER` (64 bits),
//! `BLOB`; text is compared byte by byte; a parameter that is only asked whether it is NULL is `CAST(?1 AS TEXT)`.

mod postgres;
mod sqlite;

use std::ops::ControlFlow;

pub(super) use self::{
    postgres::{Address, Guard, Mode, Postgres},
    sqlite::Sqlite,
};

/// A value of a column, or a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// Something that failed in a database.
#[derive(Debug)]
pub(super) enum Error {
    /// In SQLite.
    Sqlite(rusqlite::Error),
    /// In PostgreSQL, or on the way to it.
    Postgres(::postgres::Error),
    /// A row was asked for and there is none.
    NoRows,
    /// A value that no version of this program wrote there.
    Unreadable { column: usize, why: String },
}

impl Error {
    /// A value that no version of this program wrote there.
    pub(super) fn unreadable(column: usize, why: impl std::fmt::Display) -> Self {
        Self::Unreadable { column, why: why.to_string() }
    }

    /// What a server said, or what happened on the way to it: the error's own words leave that out.
    pub(super) fn describe(error: &::postgres::Error) -> String {
        match (error.as_db_error(), std::error::Error::source(error)) {
            (Some(said), _) => format!("{}: {}", said.severity(), said.message()),
            (None, Some(cause)) => format!("{error}: {cause}"),
            (None, None) => error.to_string(),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Postgres(error) => f.write_str(&Self::describe(error)),
            Self::NoRows => f.write_str("a row that must be there is not"),
            Self::Unreadable { column, why } => {
                write!(f, "the value in column {column} cannot be read: {why}")
            }
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

/// One row of a result.
#[derive(Debug)]
pub(super) struct Row(Vec<Value>);

impl Row {
    /// The value of a column, counted from 0.
    pub(super) fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let value = self.0.get(column).ok_or_else(|| Error::unreadable(column, "there is no such column"))?;
        T::from_value(value).ok_or_else(|| Error::unreadable(column, format_args!("it is {}", value.kind())))
    }

    /// Whether a column is empty.
    pub(super) fn is_null(&self, column: usize) -> bool {
        matches!(self.0.get(column), None | Some(Value::Null))
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Integer(_) => "a number",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }
}

/// What a column can be read as.
pub(super) trait FromValue: Sized {
    /// `None` for a value of another kind.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(number) = value { Some(*number) } else { None }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Blob(bytes) = value { Some(bytes.clone()) } else { None }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        if *value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// What can be a parameter.
pub(super) trait ToValue {
    fn to_value(&self) -> Value;
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> Value {
        Value::Integer(*self)
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Integer(i64::from(*self))
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value {
        Value::Blob(self.to_owned())
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Blob(self.clone())
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

/// The parameters of a statement.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::store::sql::ToValue::to_value(&$value)),*]
    };
}
pub(super) use params;

/// No parameters.
pub(super) const NONE: [Value; 0] = [];

/// A database, of either kind.
#[derive(Debug)]
pub(super) enum Connection {
    /// The file in the home.
    Sqlite(Sqlite),
    /// A server that several replicas share.
    Postgres(Postgres),
}

/// What defines tables.
#[derive(Debug)]
pub(super) enum Tables {
    /// Understood by both databases.
    Both(&'static str),
    /// In the words of each.
    Each { sqlite: &'static str, postgres: &'static str },
}

impl Connection {
    /// A statement, kept ready for the next time.
    pub(super) fn statement<'a>(&'a self, sql: &'a str) -> Statement<'a> {
        Statement { connection: self, sql }
    }

    /// Runs a statement. How many rows it changed.
    pub(super) fn execute<V: ToValue, const N: usize>(&self, sql: &str, values: [V; N]) -> Result<usize> {
        self.statement(sql).execute(values)
    }

    /// The first row of a result.
    pub(super) fn query_row<T, V: ToValue, const N: usize>(
        &self,
        sql: &str,
        values: [V; N],
        read: impl FnOnce(&Row) -> Result<T>,
    ) -> Result<T> {
        self.statement(sql).query_row(values, read)
    }

    /// Runs statements that have no parameters and no result.
    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        match self {
            Self::Sqlite(database) => database.execute_batch(sql),
            Self::Postgres(database) => database.execute_batch(sql),
        }
    }

    /// Makes tables.
    pub(super) fn define(&self, tables: &Tables) -> Result<()> {
        match (self, tables) {
            (_, Tables::Both(sql)) => self.execute_batch(sql),
            (Self::Sqlite(database), Tables::Each { sqlite, .. }) => database.execute_batch(sqlite),
            (Self::Postgres(database), Tables::Each { postgres, .. }) => database.execute_as_it_is(postgres),
        }
    }

    /// Version of the schema; 0 for a new database.
    pub(super) fn version(&self) -> Result<usize> {
        let version = match self {
            Self::Sqlite(_) => self.query_row("PRAGMA user_version", NONE, |row| row.get::<i64>(0))?,
            Self::Postgres(database) => database.version()?,
        };
        Ok(usize::try_from(version).unwrap_or(usize::MAX))
    }

    /// Writes down the version of the schema.
    pub(super) fn set_version(&self, version: usize) -> Result<()> {
        match self {
            Self::Sqlite(database) => database.execute_batch(&format!("PRAGMA user_version = {version}")),
            Self::Postgres(database) => {
                database.execute_as_it_is(&format!("UPDATE sealift_schema SET version = {version}"))
            }
        }
    }

    /// Whether it can be used no more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(database) => database.is_closed(),
        }
    }

    fn run(&self, sql: &str, values: &[Value]) -> Result<usize> {
        match self {
            Self::Sqlite(database) => database.run(sql, values),
            Self::Postgres(database) => database.run(sql, values),
        }
    }

    fn each(
        &self,
        sql: &str,
        values: &[Value],
        take: &mut dyn FnMut(&Row) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self {
            Self::Sqlite(database) => database.each(sql, values, take),
            Self::Postgres(database) => database.each(sql, values, take),
        }
    }
}

/// A transaction under way. Where it is dropped before it is committed, nothing happened.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    open: bool,
}

impl<'a> Transaction<'a> {
    /// What is read in it is of one moment.
    pub(super) fn to_read(connection: &'a Connection) -> Result<Self> {
        // Before it begins: what begins and then waits in vain has to be rolled back too.
        let transaction = Self { connection, open: true };
        match connection {
            Connection::Sqlite(database) => database.execute_batch("BEGIN DEFERRED")?,
            Connection::Postgres(database) => database.begin_reading()?,
        }
        Ok(transaction)
    }

    /// Nobody else changes anything meanwhile.
    pub(super) fn to_change(connection: &'a Connection) -> Result<Self> {
        let transaction = Self { connection, open: true };
        match connection {
            Connection::Sqlite(database) => database.execute_batch("BEGIN IMMEDIATE")?,
            Connection::Postgres(database) => database.begin_changing()?,
        }
        Ok(transaction)
    }

    /// One that was [left open](Self::leave_open).
    pub(super) fn left_open(connection: &'a Connection) -> Self {
        Self { connection, open: true }
    }

    /// Neither commits it nor rolls it back: somebody else goes on with it.
    pub(super) fn leave_open(mut self) {
        self.open = false;
    }

    /// Begins a part of it, which can be undone for itself.
    pub(super) fn part(&self) -> Result<Part<'_>> {
        self.connection.execute_batch("SAVEPOINT part")?;
        Ok(Part { transaction: self })
    }

    /// Makes it true.
    pub(super) fn commit(mut self) -> Result<()> {
        self.connection.execute_batch(match self.connection {
            Connection::Sqlite(_) => "COMMIT",
            // It commits what an error had ended without a word, and rolls it back; to read something fails.
            Connection::Postgres(_) => "SELECT 1; COMMIT",
        })?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            // Where that fails too, the connection is lost, and the transaction with it.
            let _rolled_back = self.connection.execute_batch("ROLLBACK");
        }
    }
}

/// A part of a transaction.
#[derive(Debug)]
pub(super) struct Part<'a> {
    transaction: &'a Transaction<'a>,
}

impl Part<'_> {
    /// It happens where the rest does.
    pub(super) fn keep(self) -> Result<()> {
        self.transaction.connection.execute_batch("RELEASE SAVEPOINT part")
    }

    /// It did not happen; what was done before it stays. Fails where the whole is gone.
    pub(super) fn undo(self) -> Result<()> {
        self.transaction.connection.execute_batch("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
    }
}

/// A statement of a database.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    connection: &'a Connection,
    sql: &'a str,
}

impl Statement<'_> {
    /// Runs it. How many rows it changed.
    pub(super) fn execute<V: ToValue, const N: usize>(&self, values: [V; N]) -> Result<usize> {
        self.connection.run(self.sql, &values.map(|value| value.to_value()))
    }

    /// Reads every row.
    pub(super) fn query_map<T, V: ToValue, const N: usize>(
        &self,
        values: [V; N],
        mut read: impl FnMut(&Row) -> Result<T>,
    ) -> Result<std::vec::IntoIter<Result<T>>> {
        let mut all = Vec::new();
        self.each(values, |row| {
            all.push(read(row));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all.into_iter())
    }

    /// Reads rows until the reader has enough: no more of them is held than one.
    pub(super) fn each<V: ToValue, const N: usize>(
        &self,
        values: [V; N],
        mut take: impl FnMut(&Row) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.connection.each(self.sql, &values.map(|value| value.to_value()), &mut take)
    }

    /// Reads the first row.
    pub(super) fn query_row<T, V: ToValue, const N: usize>(
        &self,
        values: [V; N],
        read: impl FnOnce(&Row) -> Result<T>,
    ) -> Result<T> {
        let (mut read, mut found) = (Some(read), None);
        self.each(values, |row| {
            found = read.take().map(|read| read(row));
            Ok(ControlFlow::Break(()))
        })?;
        found.unwrap_or(Err(Error::NoRows))
    }

    /// Whether there is a row.
    pub(super) fn exists<V: ToValue, const N: usize>(&self, values: [V; N]) -> Result<bool> {
        self.query_row(values, |_row| Ok(())).optional().map(|found| found.is_some())
    }
}

/// A row that need not be there.
pub(super) trait OptionalExtension<T> {
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
