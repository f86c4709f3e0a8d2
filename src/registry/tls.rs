//! TLS: what the registry shows and whom it believes, read again when the files change.
//!
//! TLS 1.2 and 1.3 by aws-lc-rs, and HTTP/1.1 above them: HTTP/2 is slower for what a registry does, for its windows
//! hold up large bodies.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::authority;
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    fs,
};

/// The certificate that a registry shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// Of files: the chain, and its key.
    Files {
        /// The certificate, and those that lead to an authority.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// The site's own, for these names and addresses.
    Own(Vec<String>),
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The authorities that they may be of.
    pub authorities: PathBuf,
    /// Whether every client must show one.
    pub required: bool,
}

/// What makes connections secure.
#[derive(Debug)]
pub struct Tls {
    home: PathBuf,
    certificate: Certificate,
    clients: Option<Clients>,
    state: RwLock<State>,
}

#[derive(Debug, Clone)]
struct State {
    config: Arc<ServerConfig>,
    /// The files as they were read.
    files: Vec<Vec<u8>>,
    fingerprint: String,
}

impl Tls {
    /// Reads the certificates; those of the site itself are made where there are none.
    ///
    /// # Errors
    /// [`Reason::TlsFile`] for files that hold something else; [`Reason::KeyPermissions`]; those of the disk.
    pub fn open(home: &Path, certificate: Certificate, clients: Option<Clients>) -> Result<Self> {
        let state = read(home, &certificate, clients.as_ref())?;
        Ok(Self { home: home.to_owned(), certificate, clients, state: RwLock::new(state) })
    }

    /// Reads the files again. Whether they hold something else now; where they hold nothing good, what was read before
    /// stays.
    pub(super) fn refresh(&self) -> Result<bool> {
        let new = read(&self.home, &self.certificate, self.clients.as_ref())?;
        if self.now(|state| state.files == new.files) {
            return Ok(false);
        }
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.now(|state| Arc::clone(&state.config))
    }

    /// SHA-256 of what clients are to know: the site's own authority, or else the certificate; as openssl prints it.
    pub fn fingerprint(&self) -> String {
        self.now(|state| state.fingerprint.clone())
    }

    /// The file with the site's own authority, if its certificate is shown.
    pub fn authority(&self) -> Option<PathBuf> {
        matches!(self.certificate, Certificate::Own(_)).then(|| self.home.join(authority::AUTHORITY))
    }

    fn now<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A certificate with its chain and key.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// What it was read from.
    text: Vec<u8>,
}

impl Pair {
    pub(super) fn parse(path: &Path, chain: &[u8], key: &[u8]) -> Result<Self> {
        let text = [chain, key].concat();
        let chain = certificates(path, chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            wrong(path, format!("it holds no private key in PEM: {error}"))
                .hint("give a key without a passphrase, as `openssl pkey` writes it")
        })?;
        Ok(Self { chain, key, text })
    }
}

/// The certificates of a file.
pub(super) fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = read.map_err(|error| wrong(path, format!("a certificate cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(path, "it holds no certificate in PEM".to_owned()));
    }
    Ok(chain)
}

fn read(home: &Path, certificate: &Certificate, clients: Option<&Clients>) -> Result<State> {
    let (pair, at) = match certificate {
        Certificate::Files { certificate, key } => {
            require_private(key)?;
            let (chain, text) = (fs::read_user_text(certificate)?, fs::read_user_text(key)?);
            certificates(certificate, chain.as_bytes())?;
            (Pair::parse(key, chain.as_bytes(), text.as_bytes())?, certificate.clone())
        }
        Certificate::Own(names) => {
            (authority::pair(home, names, Timestamp::now())?, home.join(authority::AUTHORITY))
        }
    };
    let known = match certificate {
        Certificate::Own(_) => pair.chain.get(1),
        Certificate::Files { .. } => pair.chain.first(),
    };
    let fingerprint = known.map(|known| fingerprint(known)).unwrap_or_default();
    let mut files = vec![pair.text];
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match clients {
        None => Arc::new(NoClientAuth),
        Some(Clients { authorities, required }) => {
            let text = fs::read_user_text(authorities)?;
            let mut roots = RootCertStore::empty();
            for one in certificates(authorities, text.as_bytes())? {
                roots.add(one).map_err(|error| wrong(authorities, error.to_string()))?;
            }
            files.push(text.into_bytes());
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let builder = if *required { builder } else { builder.allow_unauthenticated() };
            builder.build().map_err(|error| wrong(authorities, error.to_string()))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(Failure::internal)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pair.chain, pair.key)
        .map_err(|error| {
            wrong(&at, format!("certificate and key cannot be used: {error}"))
                .hint("give the key of this very certificate: Ed25519, ECDSA P-256 or P-384, or RSA")
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(State { config: Arc::new(config), files, fingerprint })
}

/// As `openssl x509 -noout -fingerprint -sha256` prints it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Digest::of(certificate).hex().to_ascii_uppercase();
    let pairs: Vec<&str> = (0..digest.len()).step_by(2).filter_map(|at| digest.get(at..at + 2)).collect();
    pairs.join(":")
}

/// Refuses a key that everybody on this machine can read. Its group may: that is how Debian shares such keys.
pub(super) fn require_private(path: &Path) -> Result<()> {
    let mode = fs::mode(path)?;
    if mode.trailing_zeros() >= 3 {
        return Ok(());
    }
    let message = format!("mode {mode:04o} lets everybody read it");
    Err(Failure::new(Reason::KeyPermissions, path.display(), message)
        .hint(format!("run `chmod o= {}`; if others may have read it, make a new one", path.display())))
}

fn wrong(path: &Path, message: String) -> Failure {
    Failure::new(Reason::TlsFile, path.display(), message).hint("give certificates and key in PEM")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(names: &[&str]) -> Certificate {
        Certificate::Own(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_site_makes_its_own_once() {
        let dir = tempfile::tempdir().unwrap();
        let open = |names| Tls::open(dir.path(), names, None).unwrap();
        let read = |name: &str| fs::read_user_text(&dir.path().join(name)).unwrap();
        let mode = |name: &str| dir.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        let first = open(names(&["localhost", "127.0.0.1", "::1"]));
        assert_eq!((mode("tls/ca.key"), mode("tls/server.pem"), mode("tls")), (0o600, 0o600, 0o700));
        let (authority, server) = (read("tls/ca.pem"), read("tls/server.pem"));
        let again = open(names(&["::1", "localhost", "127.0.0.1"]));
        assert_eq!((read("tls/server.pem"), again.fingerprint()), (server.clone(), first.fingerprint()));
        assert!(!first.refresh().unwrap());
        // Other names make another one, of the same authority.
        let other = open(names(&["registry.example"]));
        assert!(read("tls/server.pem") != server && read("tls/ca.pem") == authority);
        assert_eq!(other.fingerprint(), first.fingerprint());
        // Names that it had stay: two who serve one home do not take it from each other.
        let both = read("tls/server.pem");
        assert!(first.refresh().unwrap() && !first.refresh().unwrap());
        assert!(!other.refresh().unwrap() && read("tls/server.pem") == both);
        // What is gone is made again, the authority too as long as its key is there.
        std::fs::remove_file(dir.path().join("tls/server.pem")).unwrap();
        open(names(&["registry.example"]));
        std::fs::remove_file(dir.path().join("tls/ca.key")).unwrap();
        let failure = Tls::open(dir.path(), names(&["new.example"]), None).unwrap_err();
        assert_eq!(failure.reason, Reason::TlsFile);
        assert_eq!(Tls::open(dir.path(), names(&["a b"]), None).unwrap_err().reason, Reason::TlsFile);
    }

    #[test]
    fn it_is_renewed_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        let at = |days: u64| Timestamp::from_seconds(1_800_000_000 + days * 86_400).unwrap();
        let leaf = |days| authority::pair(dir.path(), &names, at(days)).unwrap().chain[0].clone();
        let first = leaf(0);
        assert_eq!(leaf(300), first);
        assert_ne!(leaf(310), first);
        assert_ne!(leaf(0), first, "one that does not hold yet is no good either");
    }

    #[test]
    fn files_are_read_again_and_bad_ones_are_not_taken() {
        let (dir, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let write = |path: &Path, text: &str| fs::write_atomic(path, text.as_bytes(), 0o640).unwrap();
        let put = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            write(&certificate, &made.cert.pem());
            write(&key, &made.signing_key.serialize_pem());
        };
        put("one.example");
        let files = Certificate::Files { certificate: certificate.clone(), key: key.clone() };
        let tls = Tls::open(one.path(), files.clone(), None).unwrap();
        let first = tls.fingerprint();
        assert!(!tls.refresh().unwrap() && tls.authority().is_none());
        put("two.example");
        assert!(tls.refresh().unwrap());
        let second = tls.fingerprint();
        assert_ne!(first, second);
        let good = fs::read_user_text(&certificate).unwrap();
        for bad in ["no certificate", "", &good[..good.len() / 2]] {
            write(&certificate, bad);
            assert_eq!(tls.refresh().unwrap_err().reason, Reason::TlsFile);
        }
        // A certificate of another key, as between two copies.
        let other = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
        write(&certificate, &other.cert.pem());
        assert_eq!(tls.refresh().unwrap_err().reason, Reason::TlsFile);
        assert_eq!(tls.fingerprint(), second);
        write(&certificate, &good);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Tls::open(one.path(), files, None).unwrap_err().reason, Reason::KeyPermissions);
    }
}
