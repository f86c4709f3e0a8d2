//! Signatures by an identity: a certificate of Fulcio tells who signed, a log and timestamps tell when. All of
//! it is checked offline against a trusted root that the user gives (Sigstore "Client Specification").
//!
//! The work is done by the crate `sigstore-verify`; here stands what it is asked, and how the legacy form is
//! brought to it. No check of it is left out: chain, certificate transparency, log, timestamps, identity,
//! issuer, and that the log's entry is of this very signature (threats T21, T22).

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::{
    VerificationPolicy, Verifier,
    trust_root::TrustedRoot,
    types::{Artifact, Bundle, Sha256Hash},
};

use super::simple;
use crate::{
    base::{
        digest::{Algorithm, Digest},
        text,
    },
    oci::Descriptor,
};

/// Who must have signed, and whom to believe about it.
#[derive(Clone)]
pub struct Keyless {
    /// The identity in the certificate: an email address or a URI, compared as it stands.
    pub identity: String,
    /// The issuer that vouched for it.
    pub issuer: String,
    verifier: Arc<Verifier>,
}

impl Keyless {
    /// `trusted_root` is the text of a Sigstore `trusted_root.json`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(identity: &str, issuer: &str, trusted_root: &str) -> Result<Self, String> {
        let said = |error: &dyn fmt::Display| text::escaped(&error.to_string(), 300);
        let root = TrustedRoot::from_json(trusted_root).map_err(|error| said(&error))?;
        if root.certificate_authorities.is_empty() {
            return Err("it names no certificate authority".to_owned());
        }
        let verifier = Verifier::new(&root).map_err(|error| said(&error))?;
        Ok(Self { identity: identity.to_owned(), issuer: issuer.to_owned(), verifier: Arc::new(verifier) })
    }

    /// Whether the bundle `bytes` holds a signature of the identity about `subject`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn verifies_bundle(&self, bytes: &[u8], subject: &Digest) -> Result<(), String> {
        if subject.algorithm() != Algorithm::Sha256 {
            return Err("keyless signatures are about SHA-256 digests only".to_owned());
        }
        let hash = Sha256Hash::from_hex(subject.hex()).map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let bundle = Bundle::from_json(text).map_err(|error| format!("its bundle: {error}"))?;
        self.verify(hash.into(), &bundle)
    }

    /// Whether the annotations of `layer` hold a signature of the identity over `payload`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn verifies_simple(&self, layer: &Descriptor, payload: &[u8]) -> Result<(), String> {
        let bundle = Bundle::from_json(&as_bundle(layer, payload)?.to_string())
            .map_err(|error| format!("its annotations: {error}"))?;
        self.verify(payload.into(), &bundle)
    }

    fn verify(&self, artifact: Artifact<'_>, bundle: &Bundle) -> Result<(), String> {
        let policy = VerificationPolicy::new(self.identity.as_str(), self.issuer.as_str());
        let verified = self.verifier.verify(artifact, bundle, &policy).map_err(|error| error.to_string())?;
        // Said once more where a new version of the crate would have to say it too.
        let whole = verified.certificate_verified()
            && verified.sct_verified()
            && verified.tlog_verified()
            && verified.identity_policy_checked();
        if whole { Ok(()) } else { Err("not everything about it was checked".to_owned()) }
    }
}

impl fmt::Debug for Keyless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyless({} by {})", self.identity, self.issuer)
    }
}

/// What the log answered, as cosign keeps it beside a legacy signature.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct LogAnswer {
    signed_entry_timestamp: String,
    payload: LogPayload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LogPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// Kind and version of a log entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryKind {
    api_version: String,
    kind: String,
}

/// A legacy signature as a bundle of version 0.1, the one that a promise of the log is enough for.
fn as_bundle(layer: &Descriptor, payload: &[u8]) -> Result<Value, String> {
    let annotation = |key: &str, what: &str| {
        layer
            .annotations
            .get(key)
            .ok_or_else(|| format!("its layer has no {what}, so nothing tells who signed when"))
    };
    let certificate = der_of(annotation(simple::CERTIFICATE, "certificate")?)?;
    let answer: LogAnswer = serde_json::from_str(annotation(simple::LOG_ENTRY, "log entry")?)
        .map_err(|error| format!("its log entry cannot be read: {error}"))?;
    let body = STANDARD.decode(&answer.payload.body).map_err(|error| format!("its log entry: {error}"))?;
    let EntryKind { api_version, kind } =
        serde_json::from_slice(&body).map_err(|error| format!("its log entry: {error}"))?;
    let log = Digest::from_hex(Algorithm::Sha256, &answer.payload.log_id)
        .map_err(|_error| "its log entry names no log".to_owned())?;
    Ok(json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {
            "x509CertificateChain": { "certificates": [{ "rawBytes": certificate }] },
            "tlogEntries": [{
                "logIndex": answer.payload.log_index.to_string(),
                "logId": { "keyId": STANDARD.encode(log.bytes()) },
                "kindVersion": { "kind": kind, "version": api_version },
                "integratedTime": answer.payload.integrated_time.to_string(),
                "inclusionPromise": { "signedEntryTimestamp": answer.signed_entry_timestamp },
                "canonicalizedBody": answer.payload.body,
            }],
        },
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(Digest::of(payload).bytes()) },
            "signature": STANDARD.encode(simple::signature(layer)?),
        },
    }))
}

/// The body of a PEM certificate, in base64.
fn der_of(pem: &str) -> Result<String, String> {
    let (label, der) = pkcs8::der::pem::decode_vec(pem.trim().as_bytes())
        .map_err(|error| format!("its certificate: {error}"))?;
    if label != "CERTIFICATE" {
        return Err("its certificate is none".to_owned());
    }
    Ok(STANDARD.encode(der))
}
