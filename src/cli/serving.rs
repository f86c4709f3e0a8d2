//! How `serve` is to serve: its arguments, and the file of `--config`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::args::Serve;
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        fs, limits, path,
    },
    oci::reference,
    registry::{Certificate, Clients, Options, Pulls, Rates},
};

/// Where one listens who says nothing else.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// The file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    listen: Option<SocketAddr>,
    plain_http: bool,
    url: Option<String>,
    tls: WrittenTls,
    login: WrittenLogin,
    collection: WrittenCollection,
    records: WrittenRecords,
    rates: WrittenRates,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenTls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    names: Vec<String>,
    client_ca: Option<PathBuf>,
    client_certificates: Option<ClientCertificates>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClientCertificates {
    Optional,
    Required,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLogin {
    service: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenCollection {
    every_seconds: u64,
    lease_seconds: u64,
}

impl Default for WrittenCollection {
    fn default() -> Self {
        Self { every_seconds: limits::COLLECTION_SECONDS, lease_seconds: limits::LEASE_SECONDS }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRecords {
    pulls: WrittenPulls,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenPulls {
    #[default]
    All,
    Manifests,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRates {
    requests_per_second: u32,
    burst: u32,
}

impl Default for WrittenRates {
    fn default() -> Self {
        let Rates { per_second, burst } = Rates::default();
        Self { requests_per_second: per_second, burst }
    }
}

/// What `serve` does, as meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Serving {
    pub(super) listen: SocketAddr,
    /// `None` for plain HTTP.
    pub(super) tls: Option<(Certificate, Option<Clients>)>,
    pub(super) url: Option<String>,
    pub(super) service: String,
    /// Time between two rounds of the collection.
    pub(super) collect_every: Duration,
    /// How long a repository keeps a blob that no manifest lists.
    pub(super) lease_seconds: u64,
    pub(super) pulls: Pulls,
    pub(super) rates: Rates,
}

impl Serving {
    /// `host` is the name of this machine.
    pub(super) fn new(args: &Serve, host: &str) -> Result<Self> {
        let written = match &args.config {
            Some(file) => read(file, &text(file)?)?,
            None => Written::default(),
        };
        let wrong = |message: &str, hint: &str| {
            let object =
                args.config.as_ref().map_or_else(|| "serve".to_owned(), |file| file.display().to_string());
            Failure::new(Reason::ConfigFile, object, message).hint(hint)
        };
        let Written { listen, plain_http, url, tls, login, collection, records, rates } = written;
        let pulls = match records.pulls {
            WrittenPulls::All => Pulls::All,
            WrittenPulls::Manifests => Pulls::Manifests,
            WrittenPulls::None => Pulls::None,
        };
        let listen = args.listen.or(listen).unwrap_or(LISTEN);
        let service = login.service.unwrap_or_else(|| Options::SERVICE.to_owned());
        if !path::is_media_name(&service) {
            return Err(wrong("login.service is no plain name: 1 to 64 of a-z 0-9 . _ -", "leave it away"));
        }
        if url.as_deref().is_some_and(|url| !is_url(url)) {
            return Err(wrong("url is not https://HOST[:PORT], nor with http", "write it without a path"));
        }
        let WrittenCollection { every_seconds, lease_seconds } = collection;
        let day = 1..=86_400;
        if !day.contains(&every_seconds) || !day.contains(&lease_seconds) {
            return Err(wrong(
                "collection.every_seconds and lease_seconds are 1 to 86400",
                "leave them away",
            ));
        }
        let (per_second, burst) = (rates.requests_per_second, rates.burst);
        let million = 1..=1_000_000;
        if !million.contains(&burst) || (per_second > 0 && !million.contains(&per_second)) {
            return Err(wrong(
                "rates.requests_per_second is 0 (no bound) to 1000000, and burst 1 to 1000000",
                "leave them away",
            ));
        }
        let rates = Rates { per_second, burst };
        let collect_every = Duration::from_secs(every_seconds);
        let says_tls = tls.cert.is_some()
            || tls.client_ca.is_some()
            || tls.client_certificates.is_some()
            || !tls.names.is_empty();
        if plain_http && says_tls {
            return Err(wrong("plain_http and [tls] contradict each other", "take one of them away"));
        }
        let flags_say_tls = args.tls_cert.is_some() || !args.tls_name.is_empty();
        if args.plain_http || (plain_http && !flags_say_tls) {
            return Ok(Self { listen, tls: None, url, service, collect_every, lease_seconds, pulls, rates });
        }
        let given = match (args.tls_cert.clone().zip(args.tls_key.clone()), tls.cert, tls.key) {
            (Some(given), _, _) => Some(given),
            (None, Some(cert), Some(key)) if args.tls_name.is_empty() => Some((cert, key)),
            (None, Some(_), None) | (None, None, Some(_)) => {
                return Err(wrong("tls.cert and tls.key go together", "give both"));
            }
            (None, _, _) => None,
        };
        let certificate = match given {
            Some((certificate, key)) => Certificate::Files { certificate, key },
            None => Certificate::Own(names(listen, host, tls.names.iter().chain(&args.tls_name))),
        };
        let required = tls.client_certificates == Some(ClientCertificates::Required);
        if tls.client_ca.is_none() && tls.client_certificates.is_some() {
            return Err(wrong("tls.client_certificates needs tls.client_ca", "say whose certificates count"));
        }
        let clients = tls.client_ca.map(|authorities| Clients { authorities, required });
        let tls = Some((certificate, clients));
        Ok(Self { listen, tls, url, service, collect_every, lease_seconds, pulls, rates })
    }
}

fn text(file: &Path) -> Result<String> {
    let bytes = fs::read_limited(&resolved(file)?, limits::SETTINGS_BYTES, Reason::ConfigFile)?;
    String::from_utf8(bytes)
        .map_err(|_utf8| Failure::new(Reason::ConfigFile, file.display(), "is not UTF-8 text"))
}

/// A file that the user named may be a link.
fn resolved(file: &Path) -> Result<PathBuf> {
    file.canonicalize().map_err(|error| fs::failure(file, "open", &error))
}

/// Reads the file; paths in it are meant from its folder.
fn read(file: &Path, text: &str) -> Result<Written> {
    let mut written: Written = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let object = format!("{}:{line}", file.display());
        Failure::new(Reason::ConfigFile, object, error.message())
            .hint("docs/accounts.md shows every key of the file")
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let tls = &mut written.tls;
    for path in [&mut tls.cert, &mut tls.key, &mut tls.client_ca].into_iter().flatten() {
        *path = folder.join(&path);
    }
    Ok(written)
}

fn is_url(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(reference::is_registry)
}

/// The names that a certificate of the site's own is for: this machine, as far as it knows itself, and those given.
fn names<'a>(listen: SocketAddr, host: &str, given: impl Iterator<Item = &'a String>) -> Vec<String> {
    let ip = listen.ip();
    let everywhere =
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| ip.to_string());
    let here = if ip.is_unspecified() { Vec::new() } else { vec![ip.to_string()] };
    let host = Some(host.to_ascii_lowercase()).filter(|host| reference::is_registry(host));
    let mut names: Vec<String> = ["localhost".to_owned()]
        .into_iter()
        .chain(everywhere)
        .chain(here)
        .chain(host)
        .chain(given.cloned())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Args, Command};

    fn serving(flags: &[&str], file: Option<&str>) -> Result<Serving> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serve.toml");
        let mut words = vec!["sealift", "serve"];
        words.extend(flags);
        if let Some(text) = file {
            fs::write_atomic(&path, text.as_bytes(), 0o600).unwrap();
            words.extend(["--config", path.to_str().unwrap()]);
        }
        let Command::Serve(args) = Args::try_parse_from(words).unwrap().command else { panic!() };
        let mut serving = Serving::new(&args, "Host1");
        // Paths as the file has them.
        if let Ok(Serving { tls: Some((certificate, clients)), .. }) = &mut serving {
            let short = |path: &mut PathBuf| {
                *path = path.strip_prefix(dir.path()).map_or(path.clone(), Path::to_owned);
            };
            if let Certificate::Files { certificate, key } = certificate {
                [certificate, key].into_iter().for_each(short);
            }
            if let Some(clients) = clients {
                short(&mut clients.authorities);
            }
        }
        serving
    }

    fn own(names: &[&str]) -> Certificate {
        Certificate::Own(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn flags_count_before_the_file() {
        let tls = |certificate| Some((certificate, None));
        let files = |cert: &str, key: &str| Certificate::Files { certificate: cert.into(), key: key.into() };
        let file = Some("listen = \"0.0.0.0:443\"\n[tls]\ncert = \"c\"\nkey = \"k\"");
        let here = own(&["127.0.0.1", "::1", "host1", "localhost"]);
        for (flags, file, listen, expected) in [
            (&[][..], None, "127.0.0.1:5000", tls(here.clone())),
            (&["--plain-http"], None, "127.0.0.1:5000", None),
            (&[], Some("plain_http = true"), "127.0.0.1:5000", None),
            (&[], file, "0.0.0.0:443", tls(files("c", "k"))),
            (&["--listen", "[::1]:1"], file, "[::1]:1", tls(files("c", "k"))),
            (&["--plain-http"], file, "0.0.0.0:443", None),
            (&["--tls-cert", "a", "--tls-key", "b"], file, "0.0.0.0:443", tls(files("a", "b"))),
            (
                &["--tls-name", "r.example"],
                Some("plain_http = true"),
                "127.0.0.1:5000",
                tls(own(&["127.0.0.1", "::1", "host1", "localhost", "r.example"])),
            ),
            (
                &["--listen", "10.0.0.1:1", "--tls-name", "b"],
                Some("[tls]\nnames = [\"a\"]"),
                "10.0.0.1:1",
                tls(own(&["10.0.0.1", "127.0.0.1", "::1", "a", "b", "host1", "localhost"])),
            ),
        ] {
            let found = serving(flags, file).unwrap();
            assert_eq!(
                (found.listen.to_string().as_str(), found.tls),
                (listen, expected),
                "{flags:?} {file:?}"
            );
        }
    }

    #[test]
    fn clients_and_names_are_read() {
        let found = serving(
            &[],
            Some(
                "url = \"https://r.example:8443\"\n[tls]\nclient_ca = \"ca.pem\"\nclient_certificates = \"required\"\n\
                 [login]\nservice = \"berlin\"\n[collection]\nevery_seconds = 1\n\
                 [rates]\nrequests_per_second = 7",
            ),
        )
        .unwrap();
        assert_eq!(found.rates, Rates { per_second: 7, ..Rates::default() });
        let clients = Clients { authorities: "ca.pem".into(), required: true };
        assert_eq!(found.tls.unwrap().1, Some(clients));
        assert_eq!(
            (found.url.as_deref(), found.service.as_str()),
            (Some("https://r.example:8443"), "berlin")
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line) in [
            ("listen = \"0.0.0.0:1\"\nport = 1", ":2"),
            ("[tls]\ncrt = \"x\"", ":2"),
            ("\n\nlisten = \"nowhere\"", ":3"),
            ("listen = 1\nlisten = 2", ":2"),
            ("[tls]\nclient_certificates = \"maybe\"", ":2"),
            ("plain_http = true\n[tls]\nnames = [\"x\"]", ""),
            ("plain_http = true\n[tls]\nclient_certificates = \"required\"", ""),
            ("[collection]\nevery_seconds = 0", ""),
            ("[collection]\nlease_seconds = 86401", ""),
            ("[collection]\nevery = 1", ":2"),
            ("[rates]\nburst = 0", ""),
            ("[rates]\nrequests_per_second = 1000001", ""),
            ("[rates]\nper_minute = 1", ":2"),
            ("[tls]\ncert = \"x\"", ""),
            ("[tls]\nclient_certificates = \"optional\"", ""),
            ("url = \"https://a/b\"", ""),
            ("url = \"ftp://a\"", ""),
            ("[login]\nservice = \"a\\\"b\"", ""),
        ] {
            let failure = serving(&[], Some(text)).unwrap_err();
            assert_eq!(failure.reason, Reason::ConfigFile, "{text}: {failure}");
            assert!(failure.object.ends_with(&format!("serve.toml{line}")), "{text}: {failure}");
        }
    }
}
