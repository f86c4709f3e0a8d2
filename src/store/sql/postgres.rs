//! PostgreSQL under the store's SQL.
//!
//! Every replica changes the database in the turn of one lock, as SQLite has it of itself: so what a change reads stays so
//! until it is done, and the store's code need not know where it runs.

use std::{cell::RefCell, collections::HashMap, fmt, ops::ControlFlow, time::Duration};

use postgres::{
    Client, Config, NoTls, Statement,
    config::{Host, SslMode, TargetSessionAttrs},
    fallible_iterator::FallibleIterator as _,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use rustls::ClientConfig;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Error, Result, Row, Value};

/// What the locks of this program are called among those of a database: nobody else's are.
const LOCKS: i32 = 0x5ea_11f7;

/// How long a connection may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so much silence, either end asks whether the other is there.
const QUIET: Duration = Duration::from_secs(15);

/// Held by who changes the database. Names of other locks begin after it.
const CHANGE: i32 = 0;

/// How a database is reached.
#[derive(Debug, Clone)]
pub(in crate::store) struct Address {
    /// Its `Debug` form shows no password.
    config: Config,
    tls: Option<ClientConfig>,
}

impl Address {
    /// `url` as libpq takes it; without `tls` the way there is not encrypted.
    pub(in crate::store) fn new(
        url: &str,
        password: Option<&str>,
        tls: Option<ClientConfig>,
    ) -> Result<Self> {
        let mut config: Config = url.parse()?;
        config.application_name("sealift");
        config.connect_timeout(PATIENCE);
        // A server that copies another has neither its locks nor its last rows.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        // Who is gone without a word is gone: at this end, and at the other for the locks that it holds.
        config.keepalives_idle(QUIET).keepalives_interval(QUIET).keepalives_retries(3);
        config.tcp_user_timeout(PATIENCE);
        if let Some(password) = password {
            config.password(password);
        }
        if tls.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        Ok(Self { config, tls })
    }

    /// As messages name it: hosts and database, and no password.
    pub(in crate::store) fn place(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        format!("PostgreSQL {}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }

    /// Connects.
    pub(in crate::store) fn connect(&self) -> Result<Postgres> {
        let mut client = match &self.tls {
            Some(tls) => self.config.connect(MakeRustlsConnect::new(tls.clone()))?,
            None => self.config.connect(NoTls)?,
        };
        // What is acknowledged is on the disk, whatever the server's default is. And who waits for a turn waits for as long
        // as for a file of SQLite.
        client.batch_execute(
            "SET synchronous_commit = on; SET client_min_messages = warning; SET lock_timeout = '30s';
             SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 15; SET tcp_keepalives_count = 3;
             SET idle_in_transaction_session_timeout = '10min'",
        )?;
        Ok(Postgres(RefCell::new(Box::new(Inner { client: Some(client), ready: HashMap::new() }))))
    }
}

/// An open connection.
pub(in crate::store) struct Postgres(RefCell<Box<Inner>>);

struct Inner {
    /// Gone only while the connection ends.
    client: Option<Client>,
    ready: HashMap<String, Statement>,
}

impl Drop for Inner {
    /// To say goodbye waits for the server, which a thread that drives sockets may not.
    fn drop(&mut self) {
        let client = self.client.take();
        if tokio::runtime::Handle::try_current().is_ok() {
            let _unwaited = std::thread::spawn(move || drop(client));
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres")
    }
}

impl Inner {
    fn client(&mut self) -> Result<&mut Client> {
        self.client.as_mut().ok_or(Error::NoRows)
    }

    fn statement(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.ready.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client()?.prepare(&sql.replace('?', "$"))?;
        self.ready.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl Postgres {
    /// Whether the server is gone, or has closed the connection.
    pub(in crate::store) fn is_closed(&self) -> bool {
        self.0.borrow().client.as_ref().is_none_or(Client::is_closed)
    }

    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        Ok(self.0.borrow_mut().client()?.batch_execute(&dialect(sql))?)
    }

    /// Without a change of words.
    pub(super) fn execute_as_it_is(&self, sql: &str) -> Result<()> {
        Ok(self.0.borrow_mut().client()?.batch_execute(sql)?)
    }

    /// Version of the schema, 0 for a new database, which gets the table that says so.
    pub(super) fn version(&self) -> Result<i64> {
        let mut inner = self.0.borrow_mut();
        let client = inner.client()?;
        let known = client.query_one("SELECT to_regclass('sealift_schema') IS NOT NULL", &[])?;
        if !known.try_get::<_, bool>(0)? {
            return Ok(0);
        }
        Ok(client.query_one("SELECT version FROM sealift_schema", &[])?.try_get(0)?)
    }

    /// Makes the table that says which version the schema has, where there is none: in the turn of who changes, for two
    /// may come at once.
    pub(in crate::store) fn begin_schema(&self) -> Result<()> {
        let known = "SELECT to_regclass('sealift_schema') IS NOT NULL";
        if self.0.borrow_mut().client()?.query_one(known, &[])?.try_get(0)? {
            return Ok(());
        }
        self.execute_as_it_is(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOCKS}, {CHANGE});
             CREATE TABLE IF NOT EXISTS sealift_schema (one INT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL);
             INSERT INTO sealift_schema VALUES (1, 0) ON CONFLICT (one) DO NOTHING;
             COMMIT"
        ))
    }

    /// Takes a lock that all replicas know, for as long as the guard lives. There is no end to the patience of who waits.
    pub(in crate::store) fn lock(self, name: i32, mode: Mode) -> Result<Guard> {
        let shared = mode.suffix();
        self.execute_as_it_is(&format!(
            "SET lock_timeout = 0; SELECT pg_advisory_lock{shared}({LOCKS}, {name}); SET lock_timeout = '30s'"
        ))?;
        Ok(Guard { connection: Some(self), name, mode })
    }

    /// Takes such a lock for itself alone; `None` while others have it.
    pub(in crate::store) fn try_lock(self, name: i32) -> Result<Option<Guard>> {
        let sql = format!("SELECT pg_try_advisory_lock({LOCKS}, {name})");
        let taken: bool = self.0.borrow_mut().client()?.query_one(&sql, &[])?.try_get(0)?;
        Ok(taken.then_some(Guard { connection: Some(self), name, mode: Mode::Exclusive }))
    }

    pub(super) fn begin_reading(&self) -> Result<()> {
        Ok(self.0.borrow_mut().client()?.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?)
    }

    pub(super) fn begin_changing(&self) -> Result<()> {
        // Each statement sees what was true when the turn came, whatever the server takes for its default.
        let turn = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({LOCKS}, {CHANGE})"
        );
        Ok(self.0.borrow_mut().client()?.batch_execute(&turn)?)
    }

    pub(super) fn run(&self, sql: &str, values: &[Value]) -> Result<usize> {
        let mut inner = self.0.borrow_mut();
        let statement = inner.statement(sql)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let changed = inner.client()?.execute(&statement, &values)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(super) fn each(
        &self,
        sql: &str,
        values: &[Value],
        take: &mut dyn FnMut(&Row) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        // The connection is free again before the reader sees a row: it may ask further questions.
        let found = {
            let mut inner = self.0.borrow_mut();
            let statement = inner.statement(sql)?;
            let mut rows = inner.client()?.query_raw(&statement, values)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let values = (0..row.len()).map(|column| Ok(row.try_get(column)?)).collect::<Result<_>>()?;
                found.push(Row(values));
            }
            found
        };
        for row in &found {
            if take(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Mode {
    /// Together with others.
    Shared,
    /// Alone.
    Exclusive,
}

impl Mode {
    fn suffix(self) -> &'static str {
        match self {
            Self::Shared => "_shared",
            Self::Exclusive => "",
        }
    }
}

/// A lock that is held. It ends with the guard, or with the connection, however that ends.
#[derive(Debug)]
pub(in crate::store) struct Guard {
    connection: Option<Postgres>,
    name: i32,
    mode: Mode,
}

impl Guard {
    /// Lets go of it, and gives the connection back for other work. Where that fails, both end here.
    pub(in crate::store) fn release(mut self) -> Option<Postgres> {
        let connection = self.connection.take()?;
        let shared = self.mode.suffix();
        let sql = format!("SELECT pg_advisory_unlock{shared}({LOCKS}, {})", self.name);
        connection.execute_as_it_is(&sql).ok().map(|()| connection)
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// The definitions of tables, in the words of PostgreSQL. Text is compared byte by byte, as SQLite does it.
fn dialect(sql: &str) -> String {
    sql.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
        .replace(" TEXT", " TEXT COLLATE \"C\"")
        .replace("INTEGER", "BIGINT")
        .replace("BLOB", "BYTEA")
        .replace(") STRICT, WITHOUT ROWID;", ");")
        .replace(") STRICT;", ");")
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Self::Integer(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Blob(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(
        kind: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *kind {
            Type::BOOL => Self::Integer(bool::from_sql(kind, raw)?.into()),
            Type::INT4 => Self::Integer(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Self::Integer(i64::from_sql(kind, raw)?),
            Type::BYTEA => Self::Blob(Vec::from_sql(kind, raw)?),
            _ => Self::Text(String::from_sql(kind, raw)?),
        })
    }

    fn from_sql_null(_kind: &Type) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        [Type::BOOL, Type::INT4, Type::INT8, Type::TEXT, Type::VARCHAR, Type::BYTEA].contains(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::dialect;

    #[test]
    fn tables_are_defined_in_its_words() {
        let sql = "CREATE TABLE a (n INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT NOT NULL, b BLOB) STRICT;
            CREATE TABLE c (t TEXT) STRICT, WITHOUT ROWID;";
        let expected = "CREATE TABLE a (n BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, t TEXT COLLATE \"C\" NOT NULL, b BYTEA);
            CREATE TABLE c (t TEXT COLLATE \"C\");";
        assert_eq!(dialect(sql), expected);
    }
}
