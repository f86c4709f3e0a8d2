//! `HOME/store.toml`: where the rows of a home lie, and where its contents, when that is not in the home itself.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::{
    failure::{Failure, Reason, Result},
    fs,
    redact::Secret,
};

/// The file.
pub(super) const FILE: &str = "store.toml";

/// What it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// 1.
    schema: u32,
    /// Where the rows lie.
    pub(super) database: DatabaseSettings,
    /// Where contents lie; in the home where this is left out.
    pub(super) contents: Option<BucketSettings>,
}

/// A PostgreSQL server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatabaseSettings {
    /// As libpq takes it.
    pub(super) url: String,
    /// A file with the password on its first line.
    pub(super) password_file: Option<PathBuf>,
    /// Certificates that may have signed the server's; without it the way there is not encrypted.
    pub(super) ca_file: Option<PathBuf>,
}

/// A bucket of an S3-compatible object store.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BucketSettings {
    /// `https://HOST[:PORT]`.
    pub(super) endpoint: String,
    /// Its name.
    pub(super) bucket: String,
    /// What the names of all objects begin with.
    pub(super) prefix: Option<String>,
    /// As the object store calls it.
    pub(super) region: Option<String>,
    /// A file with the id of an access key on its first line, and the secret on its second.
    pub(super) credentials_file: Option<PathBuf>,
    /// Certificates that may have signed the server's; those of the system where this is left out.
    pub(super) ca_file: Option<PathBuf>,
    /// Whether the way there need not be encrypted.
    #[serde(default)]
    pub(super) plain_http: bool,
}

impl Settings {
    /// What the file of a home says; `None` where there is none.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for one that cannot be used.
    pub(super) fn of(home: &Path) -> Result<Option<Self>> {
        let path = home.join(FILE);
        let text = match fs::read_user_text(&path) {
            Ok(text) => text,
            Err(failure) if failure.reason == Reason::NotFound => return Ok(None),
            Err(failure) => return Err(failure),
        };
        Self::parse(&text).map(Some).map_err(|why| wrong(home, why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let is_there =
            |table: &str| toml::from_str::<toml::Table>(text).is_ok_and(|all| all.contains_key(table));
        if is_there("contents") && !is_there("database") {
            return Err("[contents] without [database]: a bucket is shared by machines that must agree on what lies \
                        there and what may go, which a database in this folder cannot tell the others; name a \
                        PostgreSQL server in [database]"
                .to_owned());
        }
        let settings: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("line {}: {}", before.matches('\n').count() + 1, error.message())
        })?;
        match settings.schema {
            1 => Ok(settings),
            other => Err(format!("schema is {other}, this sealift knows 1")),
        }
    }
}

/// The failure for a file that cannot be used.
pub(super) fn wrong(home: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::BadArgument, home.join(FILE).display(), why)
        .hint("see docs/operations.md, \"PostgreSQL\" and \"Several machines\"")
}

/// The lines of a file with a secret, which only its owner may read.
///
/// # Errors
/// [`Reason::KeyPermissions`] where others can.
pub(super) fn secret_lines(file: &Path) -> Result<Vec<Secret>> {
    if fs::mode(file)? & 0o077 != 0 {
        return Err(Failure::new(Reason::KeyPermissions, file.display(), "others can read the secret in it")
            .hint(format!("run `chmod 600 {}`", file.display())));
    }
    Ok(fs::read_user_text(file)?.lines().map(Secret::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str = "schema = 1\n[database]\nurl = \"postgres://db/x\"\n";

    #[test]
    fn what_cannot_be_used_is_told_with_its_line() {
        let bucket = "[contents]\nendpoint = \"https://s3\"\nbucket = \"b\"\n";
        assert!(Settings::parse(DATABASE).unwrap().contents.is_none());
        assert!(Settings::parse(&format!("{DATABASE}{bucket}")).unwrap().contents.is_some());
        for (text, part) in [
            (format!("{DATABASE}{bucket}colour = 1\n"), "line 7: unknown field `colour`"),
            (format!("{DATABASE}port = 1\n"), "line 4: unknown field `port`"),
            (format!("schema = 1\n{bucket}"), "[contents] without [database]"),
            (format!("{DATABASE}[contents]\nbucket = \"b\"\n"), "missing field `endpoint`"),
            (DATABASE.replace("= 1", "= 2"), "schema is 2"),
        ] {
            let why = Settings::parse(&text).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
