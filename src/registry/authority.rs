//! A site's own certificates, where it is given none: an authority for those who pull to know, and below it the one
//! that the registry shows, made anew before it ends or when its names change.
//!
//! `HOME/tls/ca.pem` is for clients, `ca.key` stays. Everything of the authority but its key follows from that key.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use x509_cert::{
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::tls::{self, Pair};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    fs, limits,
};

/// The file that clients are given.
pub(super) const AUTHORITY: &str = "tls/ca.pem";
const KEY: &str = "tls/ca.key";
/// The certificate that is shown, with its key: one file, so that they never part.
const SERVER: &str = "tls/server.pem";

const DAY: u64 = 86_400;
/// Days of the authority.
const AUTHORITY_DAYS: u64 = 3652;
/// Days of what is shown.
const SERVER_DAYS: u64 = 365;
/// A new one is made so many days before it ends.
const RENEWED_DAYS: u64 = 60;

/// What the registry shows, for these names at the least: from the home, made where it is not there or no longer good.
/// Names that it had stay, so that two who serve one home with other names do not take it from each other.
pub(super) fn pair(home: &Path, names: &[String], now: Timestamp) -> Result<Pair> {
    fs::create_dir(&home.join("tls"), true)?;
    let path = home.join(SERVER);
    let kept = read(&path)?.and_then(|text| Pair::parse(&path, &text, &text).ok());
    let authority = read(&home.join(AUTHORITY))?;
    let mut names: BTreeSet<String> = names.iter().cloned().collect();
    if let (Some(pair), Some(authority)) = (kept, authority) {
        let authority = tls::certificates(&home.join(AUTHORITY), &authority)?;
        let (found, holds) = look(&pair, now).unwrap_or_default();
        if pair.chain.get(1) == authority.first() && holds && names.is_subset(&found) {
            return Ok(pair);
        }
        names.extend(found);
    }
    let text = make(home, &names, now)?;
    fs::write_atomic(&path, text.as_bytes(), 0o600)?;
    Pair::parse(&path, text.as_bytes(), text.as_bytes())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read_limited(path, limits::SETTINGS_BYTES, Reason::TlsFile) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(failure) if failure.reason == Reason::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The names that it is for, and whether it holds for a while.
fn look(pair: &Pair, now: Timestamp) -> Option<(BTreeSet<String>, bool)> {
    let certificate = x509_cert::Certificate::from_der(pair.chain.first()?).ok()?.tbs_certificate;
    let (_critical, names) = certificate.get::<SubjectAltName>().ok()??;
    let names = names.0.iter().filter_map(name_of).collect();
    let begins = certificate.validity.not_before.to_unix_duration().as_secs();
    let ends = certificate.validity.not_after.to_unix_duration().as_secs();
    let renewed = now.seconds().saturating_add(RENEWED_DAYS * DAY);
    Some((names, begins <= now.seconds() && renewed < ends))
}

fn name_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => {
            let four = <[u8; 4]>::try_from(bytes.as_bytes()).map(IpAddr::from);
            let address = four.or_else(|_six| <[u8; 16]>::try_from(bytes.as_bytes()).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// A new certificate with its chain and key, as PEM.
fn make(home: &Path, names: &BTreeSet<String>, now: Timestamp) -> Result<String> {
    let (parameters, key, authority) = authority(home, now)?;
    let server_key = KeyPair::generate().map_err(Failure::internal)?;
    let mut server = CertificateParams::default();
    server.distinguished_name = DistinguishedName::new();
    server.distinguished_name.push(DnType::CommonName, "sealift registry");
    server.subject_alt_names = names.iter().map(|name| as_name(name)).collect::<Result<_>>()?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.use_authority_key_identifier_extension = true;
    hold(&mut server, now, SERVER_DAYS)?;
    let issuer = Issuer::from_params(&parameters, &key);
    let made = server.signed_by(&server_key, &issuer).map_err(Failure::internal)?;
    Ok(format!("{}{authority}{}", made.pem(), server_key.serialize_pem()))
}

fn as_name(name: &str) -> Result<SanType> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    name.try_into().map(SanType::DnsName).map_err(|_why| {
        Failure::new(Reason::BadArgument, "tls.names", format!("`{name}` is no name of a host"))
            .hint("write names of hosts, and addresses")
    })
}

/// The authority: from the home, made where there is none.
fn authority(home: &Path, now: Timestamp) -> Result<(CertificateParams, KeyPair, String)> {
    let (key_path, path) = (home.join(KEY), home.join(AUTHORITY));
    let key = match read(&key_path)? {
        Some(pem) => {
            tls::require_private(&key_path)?;
            let pem = String::from_utf8_lossy(&pem);
            KeyPair::from_pem(&pem).map_err(|error| {
                Failure::new(Reason::TlsFile, key_path.display(), format!("it is no private key: {error}"))
                    .hint("put it back from a backup; or move tls/ away, then a new authority is made")
            })?
        }
        None if path.exists() => {
            return Err(Failure::new(Reason::TlsFile, key_path.display(), "the key of ca.pem is gone").hint(
                "put it back from a backup; or move tls/ away, then a new authority is made, which clients have to be given",
            ));
        }
        None => {
            let key = KeyPair::generate().map_err(Failure::internal)?;
            fs::write_new(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
            key
        }
    };
    let parameters = parameters(&key, now)?;
    let pem = if let Some(pem) = read(&path)? {
        String::from_utf8_lossy(&pem).into_owned()
    } else {
        let made = parameters.self_signed(&key).map_err(Failure::internal)?.pem();
        fs::write_atomic(&path, made.as_bytes(), 0o644)?;
        made
    };
    Ok((parameters, key, pem))
}

/// What the authority says of itself. Its name has the digest of its key, so that two sites' never pass for one.
fn parameters(key: &KeyPair, now: Timestamp) -> Result<CertificateParams> {
    let id = Digest::of(key.public_key_raw());
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let name = format!("sealift site {}", id.hex().get(..16).unwrap_or_default());
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    hold(&mut parameters, now, AUTHORITY_DAYS)?;
    Ok(parameters)
}

/// Has a certificate hold from yesterday, for clocks differ, for so many days.
fn hold(parameters: &mut CertificateParams, now: Timestamp, days: u64) -> Result<()> {
    let (year, month, day) = date(now, -1)?;
    parameters.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = date(now, days.cast_signed())?;
    parameters.not_after = date_time_ymd(year, month, day);
    Ok(())
}

/// Year, month and day, so many days after `now`.
fn date(now: Timestamp, days: i64) -> Result<(i32, u8, u8)> {
    let seconds = now.seconds().saturating_add_signed(days.saturating_mul(DAY.cast_signed()));
    let time = Timestamp::from_seconds(seconds).unwrap_or(now).to_string();
    let number = |from: usize, to: usize| time.get(from..to).and_then(|text| text.parse::<u16>().ok());
    let parts = || Some((number(0, 4)?, number(5, 7)?, number(8, 10)?));
    let (year, month, day) = parts().ok_or_else(|| Failure::internal("a time without a day"))?;
    let part = |number: u16| u8::try_from(number).map_err(Failure::internal);
    Ok((i32::from(year), part(month)?, part(day)?))
}
