//! Servers: where they are, how they are spoken to, how hard they may be pressed.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::Url;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::settings::{ClientSettings, Timeouts};
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        fs, redact, text,
    },
    manifest::RegistrySettings,
    oci::reference,
};

/// Connections to one host unless set otherwise.
const CONNECTIONS: usize = 8;
/// Where Docker's registry really is.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Scheme, host and port: what credentials belong to (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    pub(super) fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
        }
    }

    /// `host[:port]` as in settings and credential files: without the scheme's own port.
    pub(super) fn name(&self) -> String {
        let own = if self.scheme == "http" { 80 } else { 443 };
        if self.port == own { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.name())
    }
}

/// Whether the host can only be this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

/// The address that a host is, if it is no name. `[::ffff:10.0.0.1]` is seen as the IPv4 address it stands
/// for.
pub(super) fn address(host: &str) -> Option<std::net::IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<std::net::IpAddr>().ok().map(|address| address.to_canonical())
}

/// Where a registry is asked.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) origin: Origin,
    /// Path before each repository, of a mirror; empty or ending in `/`.
    prefix: String,
    /// The name that credentials are configured under.
    pub(super) account: String,
}

impl Endpoint {
    /// The repository's name on this server.
    pub(super) fn repository(&self, repository: &str) -> String {
        format!("{}{repository}", self.prefix)
    }

    /// `/v2/<repository>/<rest>`.
    pub(super) fn url(&self, repository: &str, rest: &str) -> Result<Url> {
        let text = format!("{}/v2/{}{repository}/{rest}", self.origin, self.prefix);
        parse_url(&text, &text)
    }
}

/// Parses an http or https URL without user and password.
pub(super) fn parse_url(text: &str, object: &str) -> Result<Url> {
    let wrong = |what: &str| {
        Failure::new(Reason::UpstreamMalformed, redact::url(object), what)
            .hint("expected an http or https address without user name and password")
    };
    let url = Url::parse(text).map_err(|error| wrong(&format!("no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("not an http or https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("the address holds a user name or password"));
    }
    Ok(url)
}

/// A server with its limits.
pub(super) struct Host {
    pub(super) http: reqwest::Client,
    permits: Arc<Semaphore>,
    /// Time between two requests, when limited.
    interval: Option<Duration>,
    /// When the next request may start.
    next: Mutex<Instant>,
}

impl Host {
    /// Waits for a connection and for the turn; the permit lasts as long as the answer is read.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(Failure::internal)?;
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval.unwrap_or_default();
            turn
        };
        tokio::time::sleep_until(turn).await;
        Ok(permit)
    }

    /// The server asked for a pause: no request starts before it is over.
    pub(super) fn pause(&self, pause: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(Instant::now() + pause);
    }
}

/// How connections of one kind are made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    tls: bool,
    ca_file: Option<PathBuf>,
    proxy: bool,
}

/// All servers met so far.
pub(super) struct Hosts {
    registries: BTreeMap<String, RegistrySettings>,
    timeouts: Timeouts,
    use_proxy: bool,
    known: Mutex<HashMap<Origin, Arc<Host>>>,
    clients: Mutex<HashMap<Kind, reqwest::Client>>,
}

impl Hosts {
    pub(super) fn new(settings: &ClientSettings) -> Result<Self> {
        let mut registries = settings.registries.clone();
        for (name, registry) in &settings.registries {
            let Some(mirror) = &registry.mirror else { continue };
            let host = mirror_parts(name, mirror)?.0;
            // What is set for the mirrored registry holds for the mirror, unless it has its own entry.
            let inherited = RegistrySettings { mirror: None, ..registry.clone() };
            registries.entry(host.to_owned()).or_insert(inherited);
        }
        Ok(Self {
            registries,
            timeouts: settings.timeouts,
            use_proxy: settings.use_proxy,
            known: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    fn settings(&self, origin: &Origin) -> Option<&RegistrySettings> {
        let hub = origin.host == DOCKER_HUB;
        self.registries.get(&origin.name()).or_else(|| self.registries.get("docker.io").filter(|_| hub))
    }

    /// Where the registry of a reference is asked: itself or its mirror.
    pub(super) fn endpoint(&self, registry: &str) -> Result<Endpoint> {
        let mirror = self.registries.get(registry).and_then(|settings| settings.mirror.as_deref());
        let (account, prefix) = match mirror {
            Some(mirror) => mirror_parts(registry, mirror)?,
            None => (registry, ""),
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let settings = self.registries.get(account);
        let bare = account.split(':').next().unwrap_or(account);
        let local = is_loopback(bare) && settings.is_none_or(|settings| settings.ca_file.is_none());
        let plain = settings.and_then(|settings| settings.plain_http).unwrap_or(local);
        let scheme = if plain { "http" } else { "https" };
        let host = if account == "docker.io" { DOCKER_HUB } else { account };
        let url = parse_url(&format!("{scheme}://{host}"), host)?;
        Ok(Endpoint { origin: Origin::of(&url), prefix, account: account.to_owned() })
    }

    /// Refuses plain HTTP to a host that is not set to it.
    pub(super) fn check_scheme(&self, url: &Url) -> Result<()> {
        let origin = Origin::of(url);
        let set = self.settings(&origin).and_then(|settings| settings.plain_http);
        if origin.scheme == "https" || set.unwrap_or_else(|| origin.is_loopback()) {
            return Ok(());
        }
        let message = "the address is http, so that nobody vouches for what is received";
        Err(Failure::new(Reason::PlainHttp, redact::url(url.as_str()), message).hint(format!(
            "use https, or set plain_http = true under [registries.\"{}\"] in the manifest",
            origin.name()
        )))
    }

    /// The server of an origin.
    pub(super) fn host(&self, origin: &Origin) -> Result<Arc<Host>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.get(origin) {
            return Ok(Arc::clone(host));
        }
        let settings = self.settings(origin);
        let tls = origin.scheme == "https";
        let kind = Kind {
            tls,
            ca_file: settings.and_then(|settings| settings.ca_file.clone()).filter(|_| tls),
            proxy: self.use_proxy && !origin.is_loopback(),
        };
        let connections = settings.and_then(|settings| settings.max_connections).unwrap_or(CONNECTIONS);
        let rate = settings.and_then(|settings| settings.requests_per_second);
        let host = Arc::new(Host {
            http: self.client(kind)?,
            permits: Arc::new(Semaphore::new(connections.clamp(1, 64))),
            interval: rate.map(|rate| Duration::from_secs(1) / rate.max(1)),
            next: Mutex::new(Instant::now()),
        });
        known.insert(origin.clone(), Arc::clone(&host));
        Ok(host)
    }

    fn client(&self, kind: Kind) -> Result<reqwest::Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .connect_timeout(self.timeouts.connect)
            .tls_version_min(reqwest::tls::Version::TLS_1_2);
        if !kind.proxy {
            builder = builder.no_proxy();
        }
        if let Some(path) = &kind.ca_file {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        } else if !kind.tls {
            // Plain HTTP needs no certificates: a machine without any can still speak it.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            let message = format!("TLS cannot be set up: {}", super::http::cause(&error));
            Failure::new(Reason::TlsFailure, "TLS", message)
                .hint("install the system's certificates (ca-certificates), or set ca_file for the registry")
        })?;
        clients.insert(kind, client.clone());
        Ok(client)
    }
}

/// `host[:port][/prefix]` taken apart.
fn mirror_parts<'a>(registry: &str, mirror: &'a str) -> Result<(&'a str, &'a str)> {
    reference::registry_and_prefix(mirror).ok_or_else(|| {
        let found = text::escaped(mirror, 200);
        Failure::new(Reason::ManifestValue, registry, format!("`{found}` cannot be a mirror"))
            .hint("write it as host[:port][/prefix]")
    })
}

/// The text of a file with certificates that a client can accept.
pub fn certificates(path: &Path) -> Result<String> {
    read_certificates(path)?;
    fs::read_user_text(path)
}

fn read_certificates(path: &Path) -> Result<Vec<reqwest::Certificate>> {
    let wrong = |what: String| {
        Failure::new(Reason::CaFile, path.display(), what).hint(
            "give a file with the certificate of the authority in PEM form (-----BEGIN CERTIFICATE-----)",
        )
    };
    let pem = fs::read_user_text(path)?;
    let list = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
        .map_err(|error| wrong(format!("cannot be read: {}", super::http::cause(&error))))?;
    if list.is_empty() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    // What stands between the lines of PEM is looked at only here.
    let tried = reqwest::Client::builder().no_proxy().tls_certs_only(list.clone()).build();
    tried.map_err(|error| wrong(format!("cannot be used: {}", super::http::cause(&error))))?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(registries: &[(&str, RegistrySettings)]) -> Hosts {
        let registries =
            registries.iter().map(|(name, settings)| ((*name).to_owned(), settings.clone())).collect();
        Hosts::new(&ClientSettings { registries, ..ClientSettings::default() }).unwrap()
    }

    fn at(hosts: &Hosts, registry: &str) -> String {
        hosts.endpoint(registry).unwrap().url("team/app", "tags/list").unwrap().to_string()
    }

    #[test]
    fn registries_are_found() {
        let mirror = |text: &str| RegistrySettings { mirror: Some(text.into()), ..Default::default() };
        let plain = RegistrySettings { plain_http: Some(true), ..Default::default() };
        let secure = RegistrySettings { ca_file: Some("ca.pem".into()), ..Default::default() };
        let never_plain = RegistrySettings { plain_http: Some(false), ..Default::default() };
        let hosts = hosts(&[
            ("quay.io", mirror("mirror.corp:5000/quay")),
            ("ghcr.io", RegistrySettings { plain_http: Some(true), ..mirror("inner.corp") }),
            ("plain.corp", plain),
            ("localhost:1", secure),
            ("localhost:2", never_plain),
        ]);
        for (registry, url) in [
            ("docker.io", "https://registry-1.docker.io/v2/team/app/tags/list"),
            ("quay.io", "https://mirror.corp:5000/v2/quay/team/app/tags/list"),
            ("ghcr.io", "http://inner.corp/v2/team/app/tags/list"),
            ("plain.corp", "http://plain.corp/v2/team/app/tags/list"),
            ("other.corp:80", "https://other.corp:80/v2/team/app/tags/list"),
            ("127.0.0.1:5601", "http://127.0.0.1:5601/v2/team/app/tags/list"),
            ("localhost", "http://localhost/v2/team/app/tags/list"),
            ("localhost:1", "https://localhost:1/v2/team/app/tags/list"),
            ("localhost:2", "https://localhost:2/v2/team/app/tags/list"),
            ("localhost.evil", "https://localhost.evil/v2/team/app/tags/list"),
        ] {
            assert_eq!(at(&hosts, registry), url);
        }
        assert_eq!(hosts.endpoint("quay.io").unwrap().account, "mirror.corp:5000");
    }

    #[test]
    fn a_file_without_certificates_is_a_fault_of_usage() {
        let no_certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(read_certificates(Path::new(no_certificates)).unwrap_err().reason, Reason::CaFile);
    }

    #[test]
    fn plain_http_is_only_for_whom_it_is_set() {
        let plain = RegistrySettings { plain_http: Some(true), ..Default::default() };
        let never_plain = RegistrySettings { plain_http: Some(false), ..Default::default() };
        let hosts = hosts(&[("files.corp:8080", plain), ("localhost:2", never_plain)]);
        for (url, fine) in [
            ("https://x.org/a", true),
            ("http://x.org/a", false),
            ("http://files.corp:8080/a", true),
            ("http://files.corp/a", false),
            ("http://127.0.0.1:1/a", true),
            ("http://[::1]/a", true),
            ("http://localhost:2/a", false),
            ("http://10.0.0.1/a", false),
        ] {
            assert_eq!(hosts.check_scheme(&parse_url(url, url).unwrap()).is_ok(), fine, "{url}");
        }
        for wrong in ["file:///etc/passwd", "https://u:p@x.org/", "https://u@x.org/", "x", "ftp://x.org/"] {
            assert!(parse_url(wrong, wrong).is_err(), "{wrong}");
        }
    }
}
