//! Homes for tests: of SQLite, or of PostgreSQL where `SEALIFT_TEST_POSTGRES` names a server, as `postgres://USER@HOST:PORT`:
//! the same tests, over the other database.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder for a home that nobody has used, its rows in a new database.
pub(crate) fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    if let Ok(server) = std::env::var("SEALIFT_TEST_POSTGRES") {
        share(home.path(), &format!("{server}/{}", database(&server)));
    }
    home
}

/// The home keeps its rows there.
pub(crate) fn share(home: &Path, url: &str) {
    let text = format!("schema = 1\n[database]\nurl = \"{url}\"\n");
    std::fs::write(home.join("store.toml"), text).unwrap();
}

/// Makes a new database; its name.
fn database(server: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut client = postgres::Client::connect(&format!("{server}/postgres"), postgres::NoTls).unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    name
}

/// Runs a statement in the database of a home, behind the back of the program.
pub(crate) fn meddle(home: &Path, sql: &str) {
    match std::fs::read_to_string(home.join("store.toml")) {
        Ok(text) => {
            let url = text.split('"').nth(1).unwrap();
            postgres::Client::connect(url, postgres::NoTls).unwrap().batch_execute(sql).unwrap();
        }
        Err(_none) => {
            rusqlite::Connection::open(home.join("sealift.db")).unwrap().execute_batch(sql).unwrap();
        }
    }
}
