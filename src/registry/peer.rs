//! Who is at the other end of a connection, as far as the connection itself shows it.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::{
    Certificate,
    der::{
        Decode as _,
        asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef},
        oid::db::rfc4519::CN,
    },
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Where it comes from; the last proxy, where there is one.
    pub(super) address: SocketAddr,
    /// Whether the connection is encrypted.
    pub(super) secure: bool,
    /// What its certificate says, once it has shown one that holds.
    pub(super) shown: Arc<OnceLock<Vec<String>>>,
}

impl Peer {
    /// Names by which accounts know the certificate; none where there is none.
    pub(super) fn identities(&self) -> &[String] {
        self.shown.get().map_or(&[], Vec::as_slice)
    }

    /// One that comes from nowhere.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { address, secure: false, shown: Arc::default() }
    }
}

/// The addresses that one machine gives itself as it likes count as one: 64 bits of IPv6 (RFC 4291, 2.5.4).
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// What a certificate says its owner is. One of SPIFFE says that and nothing else (X.509-SVID, 2: exactly one URI);
/// others say names of hosts, and a common name. Each with its kind before it, so that none passes for another.
pub(super) fn identities(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let names = certificate.tbs_certificate.get::<SubjectAltName>();
    let names = names.ok().flatten().map(|(_critical, names)| names.0).unwrap_or_default();
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        })
        .collect();
    if uris.iter().any(|uri| uri.starts_with("spiffe://")) {
        return match uris.as_slice() {
            [one] => vec![(*one).to_owned()],
            _ => Vec::new(),
        };
    }
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(format!("dns:{}", name.as_str().to_ascii_lowercase())),
        _ => None,
    });
    let subject = certificate.tbs_certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let common = subject.filter(|attribute| attribute.oid == CN).filter_map(|attribute| {
        let value = &attribute.value;
        let utf8 = Utf8StringRef::try_from(value).map(|text| text.as_str().to_owned());
        let printable = || PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned());
        let ascii = || Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned());
        let text = utf8.or_else(|_other| printable()).or_else(|_other| ascii()).ok()?;
        Some(format!("cn:{text}"))
    });
    hosts.chain(common).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn of(common: &str, names: Vec<SanType>) -> Vec<String> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, common);
        parameters.subject_alt_names = names;
        identities(parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn a_certificate_says_who_one_is() {
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
        assert_eq!(of("ci", vec![]), ["cn:ci"]);
        assert_eq!(of("ci", vec![dns("Build.Example")]), ["dns:build.example", "cn:ci"]);
        // SPIFFE alone counts, and only where it is the one URI.
        assert_eq!(of("admin", vec![uri("spiffe://x/ci"), dns("admin")]), ["spiffe://x/ci"]);
        assert!(of("admin", vec![uri("spiffe://x/ci"), uri("spiffe://x/admin")]).is_empty());
        assert!(of("admin", vec![uri("spiffe://x/ci"), uri("https://x")]).is_empty());
        assert_eq!(of("ci", vec![uri("https://x")]), ["cn:ci"]);
        // What is said as a name is no identity of another kind.
        assert_eq!(of("spiffe://x/admin", vec![]), ["cn:spiffe://x/admin"]);
        assert!(identities(&CertificateDer::from(b"no certificate".to_vec())).is_empty());
    }
}
