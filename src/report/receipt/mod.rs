//! The signed receipt of an import: that this site took, or refused, this bundle.
//!
//! A file of two lines of JSON, at most 4 KiB (threats H10). Each is a DSSE envelope with an in-toto statement
//! about the digest of the bundle's `SHA256SUMS`, signed by the importer key of the site: a SLSA verification
//! summary, which policy engines read, and our own statement with everything below. The first says nothing that
//! the second does not, so it is made from it, and compared when a receipt is read.
//!
//! Receipts hang together: each has the digest of the one before. They say where the ledger stood, so that
//! whoever has one can show that a ledger was cut or made anew; and where the channel stands, so that a site whose
//! state was lost begins again from there.

mod facts;

use serde::{Deserialize, Serialize};

pub use self::facts::{Facts, Outcome, Place, TrustState};
use crate::{
    base::{
        clock::Timestamp,
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        limits,
    },
    trust::{Rule, SignedBy, Signer, dsse::Envelope, sequence::Position},
};

/// Type of every statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Type of the verification summary.
pub const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
/// Type of our own statement.
pub const IMPORT_RECEIPT: &str = "https://sealift.dev/import-receipt/v1";

/// A receipt whose signatures hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    bytes: Vec<u8>,
    bundle: Digest,
    facts: Facts,
    signer: SignedBy,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement<P> {
    _type: String,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Sha256,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256 {
    sha256: String,
}

/// SLSA "Verification Summary Attestation" 1.0. Only ever written: what is read is compared with it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    verifier: Verifier,
    time_verified: Timestamp,
    resource_uri: String,
    policy: Policy,
    verification_result: &'static str,
    verified_levels: [&'static str; 1],
}

#[derive(Serialize)]
struct Verifier {
    id: String,
}

#[derive(Serialize)]
struct Policy {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Sha256>,
}

impl Receipt {
    /// Signs `facts` about the bundle whose `SHA256SUMS` has the digest `bundle`.
    ///
    /// # Errors
    /// [`Reason::Internal`] for facts that no import has; those of the signer.
    pub fn sign(bundle: &Digest, mut facts: Facts, signer: &dyn Signer) -> Result<Self> {
        facts.missing.truncate(facts::MISSING);
        facts.check().map_err(|message| Failure::internal(format!("a receipt cannot be made: {message}")))?;
        let key_id = signer.public().key_id();
        let mut statements = statements(bundle, &facts, key_id)?;
        while size(&statements) > limits::RECEIPT_BYTES && facts.missing.pop().is_some() {
            statements = self::statements(bundle, &facts, key_id)?;
        }
        let mut bytes = Vec::new();
        for statement in &statements {
            bytes.extend(Envelope::sign(statement.as_bytes(), signer)?.line()?.into_bytes());
            bytes.push(b'\n');
        }
        if bytes.len() > limits::RECEIPT_BYTES {
            return Err(Failure::internal(format!("a receipt of {} bytes", bytes.len())));
        }
        let (role, holder) = ("importer".to_owned(), key_id.to_owned());
        let signer = SignedBy { role, holder, key_id: key_id.to_owned() };
        Ok(Self { bytes, bundle: bundle.clone(), facts, signer })
    }

    /// Reads a receipt that one of the keys of `rule` signed: signatures first, then what they cover.
    ///
    /// # Errors
    /// Those of signatures; [`Reason::ReceiptMalformed`] for every other form, and for two statements that are
    /// not of one receipt.
    pub fn open(bytes: &[u8], rule: &Rule<'_>) -> Result<Self> {
        if bytes.len() > limits::RECEIPT_BYTES {
            return Err(malformed(format!("it is larger than {} bytes", limits::RECEIPT_BYTES)));
        }
        let text = std::str::from_utf8(bytes).map_err(malformed)?;
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        let (&[summary, receipt], true) = (lines.as_slice(), text.ends_with('\n')) else {
            return Err(malformed("expected two lines, each with a line feed at its end"));
        };
        let [summary, receipt] = [Envelope::parse(summary)?, Envelope::parse(receipt)?];
        let ((summary, by), (receipt, by_too)) = (summary.open(rule)?, receipt.open(rule)?);
        let ([signer], true) = (by.signers.as_slice(), by == by_too) else {
            return Err(malformed("its statements are not signed by one and the same key"));
        };
        let statement: Statement<Facts> = serde_json::from_slice(&receipt).map_err(malformed)?;
        let [Subject { digest: Sha256 { sha256 }, .. }] = &statement.subject;
        let bundle = Digest::from_hex(Algorithm::Sha256, sha256).map_err(malformed)?;
        let facts = statement.predicate;
        facts.check().map_err(malformed)?;
        // One reading: what we would have signed is what was signed. That also holds the verifier of the summary
        // to the key that signed it, and its subject, result and resource to those of our statement.
        if self::statements(&bundle, &facts, &signer.key_id)?.map(String::into_bytes) != [summary, receipt] {
            return Err(malformed("its two statements are not of one receipt, or not in the one form"));
        }
        let signer = signer.clone();
        Ok(Self { bytes: bytes.to_vec(), bundle, facts, signer })
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of the file: what the next receipt and the ledger call it by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// Digest of the `SHA256SUMS` of the bundle that it is about.
    pub fn bundle(&self) -> &Digest {
        &self.bundle
    }

    /// Where the channel stands after it.
    pub fn position(&self) -> Option<Position> {
        match (self.facts.result, self.facts.bundle) {
            (Outcome::Imported, Some(Place { epoch, sequence })) => {
                Some(Position { epoch, sequence, bundle: self.bundle.clone() })
            }
            _ => self.facts.prior.clone(),
        }
    }

    /// What it says.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Who signed it.
    pub fn signer(&self) -> &SignedBy {
        &self.signer
    }
}

/// Both statements, as they are signed.
fn statements(bundle: &Digest, facts: &Facts, key_id: &str) -> Result<[String; 2]> {
    let passed = facts.result == Outcome::Imported;
    let resource_uri = match (&facts.channel, facts.bundle) {
        (Some(channel), Some(place)) => format!("sealift:{channel}/{}/{}", place.epoch, place.sequence),
        _ => format!("sealift:{bundle}"),
    };
    let policy = facts.trust.as_ref().map_or_else(
        || Policy { uri: "sealift:keys".to_owned(), digest: None },
        |trust| Policy {
            uri: format!("sealift:trust/{}", trust.version),
            digest: Some(Sha256 { sha256: trust.digest.hex().to_owned() }),
        },
    );
    let summary = Summary {
        verifier: Verifier { id: format!("sealift:key/{key_id}") },
        time_verified: facts.time,
        resource_uri,
        policy,
        verification_result: if passed { "PASSED" } else { "FAILED" },
        verified_levels: [if passed { "SLSA_BUILD_LEVEL_UNEVALUATED" } else { "FAILED" }],
    };
    Ok([statement(bundle, SUMMARY, summary)?, statement(bundle, IMPORT_RECEIPT, facts)?])
}

fn statement(bundle: &Digest, kind: &str, predicate: impl Serialize) -> Result<String> {
    let digest = Sha256 { sha256: bundle.hex().to_owned() };
    serde_json::to_string(&Statement {
        _type: STATEMENT.to_owned(),
        subject: [Subject { name: "SHA256SUMS".to_owned(), digest }],
        predicate_type: kind.to_owned(),
        predicate,
    })
    .map_err(Failure::internal)
}

/// Bytes of the receipt with these statements, at most: whatever the key, a signature has 72 bytes or fewer.
fn size(statements: &[String; 2]) -> usize {
    let base64 = |bytes: usize| bytes.div_ceil(3) * 4;
    let frame =
        r#"{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[{"keyid":"","sig":""}]}"#;
    statements.iter().map(|text| frame.len() + 1 + 32 + base64(72) + base64(text.len())).sum()
}

fn malformed(message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::ReceiptMalformed, "receipt", message)
        .hint("give the file as `sealift import` or `sealift receipt export` wrote it")
}

#[cfg(test)]
mod tests;
