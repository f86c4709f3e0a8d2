//! Credentials: given outright, from Docker's and Podman's files, or from credential helpers.
//!
//! ```text
//! {"auths": {"host[:port][/path]": {"auth": base64("user:password"), "identitytoken": "…"}},
//!  "credHelpers": {"host": "NAME"}, "credsStore": "NAME"}
//! ```
//! `NAME` stands for the program `docker-credential-NAME`, which reads the host on its input and prints
//! `{"Username": …, "Secret": …}`. Podman's `auth.json` has the same form; its keys may go down to a
//! repository, and the most specific one wins.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::Engine as _;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::base::{
    failure::{Failure, Reason, Result},
    fs, limits,
    redact::Secret,
    text,
};

/// Names that Docker's tools use for the same registry.
const DOCKER_HUB: [&str; 5] =
    ["docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io", "docker.io/v1"];
/// The user name by which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// How long a helper may think, a prompt of its own included.
const HELPER_TIME: Duration = Duration::from_mins(1);

/// Where credentials come from. Nothing is read before a server asks; then each file and helper once.
#[derive(Clone, Default)]
pub struct Credentials {
    inner: Arc<Sources>,
}

#[derive(Default)]
struct Sources {
    explicit: BTreeMap<String, (String, Secret)>,
    files: Vec<(PathBuf, OnceLock<ConfigFile>)>,
    helpers: tokio::sync::Mutex<HashMap<(String, String), Option<Login>>>,
}

/// What proves who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Login {
    Password(String, Secret),
    IdentityToken(Secret),
}

impl Credentials {
    /// Credentials from `explicit` pairs by `host[:port]` first, then from these files in their order. A
    /// missing file is fine.
    pub fn new(config_files: Vec<PathBuf>, explicit: BTreeMap<String, (String, Secret)>) -> Self {
        let explicit = explicit.into_iter().map(|(host, pair)| (canonical(&host).to_owned(), pair)).collect();
        let files = config_files.into_iter().map(|path| (path, OnceLock::new())).collect();
        Self { inner: Arc::new(Sources { explicit, files, helpers: tokio::sync::Mutex::default() }) }
    }

    /// The login for a repository of the registry `host[:port]`; the repository may be empty.
    pub(super) async fn lookup(&self, registry: &str, repository: &str) -> Result<Option<Login>> {
        let registry = canonical(registry);
        if let Some((user, password)) = self.inner.explicit.get(registry) {
            return Ok(Some(Login::Password(user.clone(), password.clone())));
        }
        for (path, cell) in &self.inner.files {
            let file = if let Some(file) = cell.get() {
                file
            } else {
                let read = ConfigFile::read(path)?;
                cell.get_or_init(|| read)
            };
            let server = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
            if let Some(helper) = file.helper(registry)
                && let Some(login) = self.ask(helper, server).await?
            {
                return Ok(Some(login));
            }
            if let Some(login) = file.login(path, registry, repository)? {
                return Ok(Some(login));
            }
            if let Some(helper) = &file.creds_store
                && let Some(login) = self.ask(helper, server).await?
            {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    /// The helper's answer, asked for once: the lock is held while it runs, so that it prompts once.
    async fn ask(&self, helper: &str, server: &str) -> Result<Option<Login>> {
        let mut known = self.inner.helpers.lock().await;
        let key = (helper.to_owned(), server.to_owned());
        if let Some(login) = known.get(&key) {
            return Ok(login.clone());
        }
        let login = run_helper(helper, server).await?;
        known.insert(key, login.clone());
        Ok(login)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&String> = self.inner.explicit.keys().collect();
        let files: Vec<&PathBuf> = self.inner.files.iter().map(|(path, _)| path).collect();
        f.debug_struct("Credentials").field("hosts", &hosts).field("files", &files).finish()
    }
}

/// One name for each registry: `docker.io` for all that Docker's is called.
fn canonical(registry: &str) -> &str {
    if DOCKER_HUB.contains(&registry) { "docker.io" } else { registry }
}

fn wrong(object: impl fmt::Display, message: impl fmt::Display) -> Failure {
    Failure::new(Reason::CredentialHelper, object, message)
        .hint("correct the file (docker login writes it anew), or set SEALIFT_REGISTRY_AUTH")
}

#[derive(Default, Deserialize)]
struct ConfigFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    creds_store: Option<String>,
}

/// Secrets as they stand in the file. No `Debug`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl ConfigFile {
    fn read(path: &Path) -> Result<Self> {
        let json = match fs::read_user_text(path) {
            Err(failure) if failure.reason == Reason::NotFound => return Ok(Self::default()),
            other => other.map_err(|failure| failure.as_reason(Reason::CredentialHelper))?,
        };
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        // The words of serde could quote a secret: only the place is told.
        let mut file: Self = serde_json::from_str(&json).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            wrong(path.display(), format!("is no Docker or Podman credential file ({place})"))
        })?;
        file.creds_store = file.creds_store.filter(|name| !name.is_empty());
        Ok(file)
    }

    fn helper(&self, registry: &str) -> Option<&str> {
        let names = if registry == "docker.io" { &DOCKER_HUB[..] } else { &[] };
        std::iter::once(registry)
            .chain(names.iter().copied())
            .find_map(|name| self.cred_helpers.get(name))
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// The inline entry: of the repository, of the paths above it, of the registry.
    fn login(&self, path: &Path, registry: &str, repository: &str) -> Result<Option<Login>> {
        let mut names = Vec::new();
        let mut below = format!("{registry}/{repository}");
        while let Some((above, _)) = below.rsplit_once('/') {
            let above = above.to_owned();
            names.push(std::mem::replace(&mut below, above));
        }
        names.push(registry.to_owned());
        names.extend(["https://", "http://"].iter().flat_map(|scheme| {
            ["", "/", "/v1", "/v1/", "/v2", "/v2/"].map(|end| format!("{scheme}{registry}{end}"))
        }));
        if registry == "docker.io" {
            names.extend(DOCKER_HUB.map(str::to_owned));
        }
        names
            .iter()
            .find_map(|name| self.auths.get(name).and_then(|entry| entry.login(path, name).transpose()))
            .transpose()
    }
}

impl Entry {
    fn login(&self, path: &Path, name: &str) -> Result<Option<Login>> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Login::IdentityToken(Secret::new(&self.identitytoken))));
        }
        if !self.auth.is_empty() {
            let bytes = base64::engine::general_purpose::STANDARD.decode(self.auth.trim()).ok();
            let pair = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
                let name = text::escaped(name, 200);
                return Err(wrong(
                    path.display(),
                    format!("`auth` of `{name}` is not base64 of user:password"),
                ));
            };
            // Docker once padded passwords with NUL.
            let password = password.trim_end_matches('\0');
            return Ok(Some(Login::Password(user.to_owned(), Secret::new(password))));
        }
        Ok((!self.username.is_empty())
            .then(|| Login::Password(self.username.clone(), Secret::new(&self.password))))
    }
}

/// What a helper prints. No `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Runs `docker-credential-NAME get`; `None` when it knows nothing of the server.
async fn run_helper(name: &str, server: &str) -> Result<Option<Login>> {
    let program = format!("docker-credential-{}", text::escaped(name, 64));
    let clean = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !clean {
        return Err(wrong(program, "is not the name of a credential helper"));
    }
    let unusable = |error: std::io::Error| {
        Failure::new(Reason::CredentialHelper, &program, format!("cannot be run: {error}"))
            .hint("install it where PATH leads, or set SEALIFT_REGISTRY_AUTH")
    };
    let mut child = tokio::process::Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(unusable)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let talk = async {
        if let Some(mut input) = input {
            // A helper that fails early closes its input; what it prints says why.
            let _closed = input.write_all(format!("{server}\n").as_bytes()).await;
        }
        let mut printed = zeroize::Zeroizing::new(Vec::new());
        if let Some(output) = output {
            output.take(limits::HELPER_BYTES).read_to_end(&mut printed).await?;
        }
        Ok((printed, child.wait().await?))
    };
    let (printed, status) = tokio::time::timeout(HELPER_TIME, talk)
        .await
        .map_err(|_elapsed| wrong(&program, "does not answer"))?
        .map_err(unusable)?;
    if !status.success() {
        let words = String::from_utf8_lossy(&printed);
        let words = text::escaped(words.trim(), 200);
        if words.contains("credentials not found") {
            return Ok(None);
        }
        return Err(wrong(&program, format!("fails for {server} ({status}): {words}")));
    }
    let printed: Printed = serde_json::from_slice(&printed)
        .map_err(|_secret| wrong(&program, "does not print the JSON that helpers print"))?;
    let secret = Secret::new(printed.secret);
    Ok(match printed.username.as_str() {
        "" if secret.reveal().is_empty() => None,
        TOKEN_USER => Some(Login::IdentityToken(secret)),
        _ => Some(Login::Password(printed.username, secret)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lookup(credentials: &Credentials, registry: &str, repository: &str) -> Option<(String, String)> {
        match credentials.lookup(registry, repository).await.unwrap()? {
            Login::Password(user, password) => Some((user, password.reveal().to_owned())),
            Login::IdentityToken(token) => Some(("token".to_owned(), token.reveal().to_owned())),
        }
    }

    fn file(dir: &tempfile::TempDir, name: &str, json: &str) -> PathBuf {
        let path = dir.path().join(name);
        fs::write_atomic(&path, json.as_bytes(), 0o600).unwrap();
        path
    }

    #[tokio::test]
    async fn docker_and_podman_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        // alice:s3cret, bob:x:y
        let docker = file(
            &dir,
            "config.json",
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YWxpY2U6czNjcmV0"},"https://reg.corp/v2/":{"username":"carol","password":"p"},
                "empty.corp":{},"id.corp":{"auth":"YWxpY2U6czNjcmV0","identitytoken":"abc"}},"HttpHeaders":{"a":"b"}}"#,
        );
        let podman = file(
            &dir,
            "auth.json",
            r#"{"auths":{"quay.io":{"auth":"YWxpY2U6czNjcmV0"},"quay.io/team/app":{"auth":"Ym9iOng6eQ=="}}}"#,
        );
        let explicit = [("given.corp:5000".to_owned(), ("dave".to_owned(), Secret::new("d")))].into();
        let credentials = Credentials::new(vec![dir.path().join("missing"), docker, podman], explicit);
        for (registry, repository, expected) in [
            ("docker.io", "library/nginx", Some(("alice", "s3cret"))),
            ("reg.corp", "x", Some(("carol", "p"))),
            ("empty.corp", "x", None),
            ("id.corp", "x", Some(("token", "abc"))),
            ("quay.io", "team/app", Some(("bob", "x:y"))),
            ("quay.io", "team/app/deep", Some(("bob", "x:y"))),
            ("quay.io", "team/apple", Some(("alice", "s3cret"))),
            ("quay.io:443", "team/app", None),
            ("given.corp:5000", "", Some(("dave", "d"))),
            ("given.corp", "", None),
        ] {
            let found = lookup(&credentials, registry, repository).await;
            let found = found.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
            assert_eq!(found, expected, "{registry}/{repository}");
        }
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn faults_are_told_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        for (name, json) in [
            ("syntax", r#"{"auths":{"a.corp":{"auth":"hunter2"#),
            ("type", r#"{"auths":{"a.corp":"hunter2"}}"#),
            ("base64", r#"{"auths":{"a.corp":{"auth":"hunter2!"}}}"#),
            ("no-colon", r#"{"auths":{"a.corp":{"auth":"aHVudGVyMg=="}}}"#),
            ("helper-path", r#"{"credHelpers":{"a.corp":"../../bin/hunter"}}"#),
            ("helper-missing", r#"{"credsStore":"sealift-has-no-such-helper"}"#),
        ] {
            let credentials = Credentials::new(vec![file(&dir, name, json)], BTreeMap::new());
            let failure = credentials.lookup("a.corp", "x").await.unwrap_err();
            assert_eq!(failure.reason, Reason::CredentialHelper, "{name}");
            assert!(!failure.to_string().contains("hunter2"), "{name}: {failure}");
        }
    }
}
