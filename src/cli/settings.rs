//! What the environment says: read once, here and nowhere else.

use std::{collections::BTreeMap, path::PathBuf};

use super::args::Global;
use crate::base::{
    clock::Timestamp,
    failure::{Failure, Failures, Reason, Result},
    redact::Secret,
};
use crate::store;

/// Everything that is not on the command line.
#[derive(Debug)]
pub(super) struct Settings {
    /// The home folder.
    pub(super) home: PathBuf,
    /// Threads: `--jobs`, else one per core.
    pub(super) workers: usize,
    /// Blobs on their way at once: `--jobs`, else one per core and at least four, since most of the time is
    /// spent waiting.
    pub(super) transfers: usize,
    /// What this machine calls itself.
    pub(super) host: String,
    /// The system's folder for temporary files; only the demo uses it.
    pub(super) temporary: PathBuf,
    /// `SOURCE_DATE_EPOCH`.
    pub(super) source_date: Option<Timestamp>,
    /// `SEALIFT_KEY_PASSPHRASE`.
    pub(super) passphrase: Option<Secret>,
    /// Credential files, the first that knows a host wins.
    pub(super) credential_files: Vec<PathBuf>,
    /// `SEALIFT_REGISTRY_AUTH`: user and password by host.
    pub(super) registry_auth: BTreeMap<String, (String, Secret)>,
}

#[expect(clippy::disallowed_methods, reason = "the one door to the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Settings {
    pub(super) fn new(global: &Global) -> Result<Self, Failures> {
        let user_home = variable("HOME").map(PathBuf::from);
        let home = global.home.clone().or_else(|| default_home(user_home.as_ref()));
        let home = home.ok_or_else(|| {
            Failure::new(Reason::BadArgument, "--home", "neither --home nor HOME says where to keep content")
                .hint("give --home DIR")
        })?;
        if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            let token = variable("AWS_SESSION_TOKEN").map(Secret::new);
            store::use_credentials(store::Credentials { id, secret: Secret::new(secret), token });
        }
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self {
            home,
            workers: global.jobs.map_or(cores, usize::from),
            transfers: global.jobs.map_or(cores.max(4), usize::from),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            temporary: std::env::temp_dir(),
            source_date: source_date()?,
            passphrase: variable("SEALIFT_KEY_PASSPHRASE").map(Secret::new),
            credential_files: credential_files(user_home.as_ref()),
            registry_auth: registry_auth()?,
        })
    }

    /// The time that documents for others get: `SOURCE_DATE_EPOCH`, else now. What a site does and writes down goes
    /// by the clock alone.
    pub(super) fn now(&self) -> Timestamp {
        self.source_date.unwrap_or_else(Timestamp::now)
    }
}

/// The platform's data folder (XDG base directory specification; Application Support on macOS).
fn default_home(user_home: Option<&PathBuf>) -> Option<PathBuf> {
    if let Some(data) = variable("XDG_DATA_HOME") {
        return Some(PathBuf::from(data).join("sealift"));
    }
    let data = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    user_home.map(|home| home.join(data).join("sealift"))
}

fn source_date() -> Result<Option<Timestamp>> {
    let Some(text) = variable("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let stamp = text.parse().ok().and_then(Timestamp::from_seconds);
    stamp.map(Some).ok_or_else(|| {
        Failure::new(
            Reason::BadArgument,
            "SOURCE_DATE_EPOCH",
            format!("`{text}` is not a number of seconds since 1970"),
        )
        .hint("for instance SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)")
    })
}

/// Where Docker and Podman keep logins, in the order of containers-auth.json(5), Docker's last.
fn credential_files(user_home: Option<&PathBuf>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    files.extend(variable("SEALIFT_REGISTRY_AUTH_FILE").map(PathBuf::from));
    files.extend(variable("REGISTRY_AUTH_FILE").map(PathBuf::from));
    if let Some(docker) = variable("DOCKER_CONFIG") {
        files.push(PathBuf::from(docker).join("config.json"));
    }
    files.extend(variable("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("containers/auth.json")));
    if let Some(home) = user_home {
        let config = variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        files.push(config.join("containers/auth.json"));
        files.push(home.join(".docker/config.json"));
    }
    files
}

/// `SEALIFT_REGISTRY_AUTH`: `host[:port]=user:password`, several separated by white space.
fn registry_auth() -> Result<BTreeMap<String, (String, Secret)>> {
    let mut found = BTreeMap::new();
    for entry in variable("SEALIFT_REGISTRY_AUTH").unwrap_or_default().split_whitespace() {
        let parsed = entry.split_once('=').and_then(|(host, login)| Some((host, login.split_once(':')?)));
        let Some((host, (user, password))) =
            parsed.filter(|(host, _)| crate::oci::reference::is_registry(host))
        else {
            return Err(Failure::new(
                Reason::BadArgument,
                "SEALIFT_REGISTRY_AUTH",
                "expected host=user:password",
            )
            .hint("separate several with spaces"));
        };
        found.insert(host.to_ascii_lowercase(), (user.to_owned(), Secret::new(password)));
    }
    Ok(found)
}
