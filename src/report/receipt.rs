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

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::import::Counts;
use crate::{
    base::{
        clock::Timestamp,
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        limits,
        path::is_media_name,
    },
    ledger::Head,
    trust::{
        Effect, Rule, SignedBy, Signer,
        dsse::Envelope,
        sequence::{Position, Warning},
    },
};

/// Type of every statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Type of the verification summary.
pub const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
/// Type of our own statement.
pub const IMPORT_RECEIPT: &str = "https://sealift.dev/import-receipt/v1";
/// Most overrides that one import takes: all kinds, but a bundle is not both too old and too far ahead.
const OVERRIDES: usize = Effect::ALL.len() - 1;
/// Most missing digests that a receipt names; the rest is counted.
const MISSING: usize = 16;

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Name of the site, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// When, by the system clock.
    pub time: Timestamp,
    /// The least that the time can be, by signed documents.
    pub floor: Timestamp,
    /// Channel; absent where the bundle was refused before its channel could be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Where the bundle stands in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Place>,
    /// Where the channel stood here. Where it stands now, [`Receipt::position`] knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<Position>,
    /// The two bundles of one place that freeze the channel, after this. An import is one of no frozen channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<[Digest; 2]>,
    /// The trust document that decided; absent where single keys were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustState>,
    /// Whether the bundle was taken.
    pub result: Outcome,
    /// Stable reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Fingerprints of the overrides that an import took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Digest>,
    /// What was no reason to refuse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Digest of the whole report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Digest>,
    /// How many contents are not there that the bundle's artifacts name.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_count: u64,
    /// The first of them, as many as there is room for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Digest>,
    /// Where the ledger stood before the record of this.
    pub ledger: Head,
    /// Digest of the receipt before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Version of sealift.
    pub tool: String,
}

/// A place in a channel, without its bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Epoch of the channel.
    pub epoch: u64,
    /// Place in the epoch.
    pub sequence: u64,
}

/// A trust document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustState {
    /// Its version.
    pub version: u64,
    /// Its fingerprint.
    pub digest: Digest,
}

/// Whether a bundle was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was imported.
    Imported,
    /// It was refused.
    Refused,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

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
        facts.missing.truncate(MISSING);
        check(&facts).map_err(|message| Failure::internal(format!("a receipt cannot be made: {message}")))?;
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
        check(&facts).map_err(malformed)?;
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

/// What holds for every receipt, and keeps it within its size.
fn check(facts: &Facts) -> Result<(), &'static str> {
    let names = [&facts.site, &facts.channel];
    let is_word = |text: &str, most: usize| {
        (1..=most).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
    };
    let imported = facts.result == Outcome::Imported;
    if names.into_iter().flatten().any(|name| !is_media_name(name)) {
        return Err("the site or the channel has no name that there can be");
    }
    if !is_word(&facts.tool, 20) || facts.reason.as_deref().is_some_and(|reason| !is_word(reason, 40)) {
        return Err("the reason or the version is no word");
    }
    if imported == facts.reason.is_some() {
        return Err("a refusal has a reason, an import has none");
    }
    if imported && (facts.channel.is_none() || facts.bundle.is_none()) {
        return Err("an import is one of a channel");
    }
    if facts.frozen.is_some() && (imported || facts.channel.is_none()) {
        return Err("no import leaves its channel frozen, and nothing freezes but a channel");
    }
    if facts.frozen.as_ref().is_some_and(|[one, other]| one == other) {
        return Err("a channel is frozen by two bundles");
    }
    let done = facts.counts.is_some() || facts.report.is_some() || !facts.overrides.is_empty();
    if !imported && done {
        return Err("what was refused has no report and takes no override");
    }
    if facts.overrides.len() > OVERRIDES || facts.missing.len() > MISSING {
        return Err("a list is too long");
    }
    let kinds: HashSet<_> = facts.warnings.iter().map(std::mem::discriminant).collect();
    if kinds.len() < facts.warnings.len() {
        return Err("a kind of warning stands twice");
    }
    let texts = |warning: &Warning| match warning {
        Warning::Gap { .. } | Warning::Behind { .. } => true,
        Warning::Expired { expires, clock } => expires.len() <= 20 && clock.len() <= 20,
        Warning::ClockWrong { clock, floor } => clock.len() <= 20 && floor.len() <= 20,
    };
    if !facts.warnings.iter().all(texts) {
        return Err("a warning is too long");
    }
    if (facts.missing.len() as u64) > facts.missing_count {
        return Err("more is missing than is counted");
    }
    Ok(())
}

fn malformed(message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::ReceiptMalformed, "receipt", message)
        .hint("give the file as `sealift import` or `sealift receipt export` wrote it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{Algorithm as KeyAlgorithm, PrivateKey};

    fn rule(key: &PrivateKey) -> Rule<'_> {
        Rule { name: "importer".to_owned(), keys: vec![(key.public(), "berlin")], threshold: 1 }
    }

    fn digest(letter: char) -> Digest {
        Digest::parse(&format!("sha256:{}", String::from(letter).repeat(64))).unwrap()
    }

    fn position(sequence: u64) -> Position {
        Position { epoch: 1, sequence, bundle: digest('a') }
    }

    fn small() -> Facts {
        let time = Timestamp::parse("2026-11-21T00:00:00Z").unwrap();
        Facts {
            site: Some("berlin".to_owned()),
            time,
            floor: time,
            channel: Some("prod".to_owned()),
            bundle: Some(Place { epoch: 1, sequence: 42 }),
            prior: Some(position(41)),
            frozen: None,
            trust: Some(TrustState { version: 3, digest: digest('c') }),
            result: Outcome::Imported,
            reason: None,
            overrides: vec![],
            warnings: vec![],
            counts: Some(Counts::default()),
            report: Some(digest('d')),
            missing_count: 0,
            missing: vec![],
            ledger: Head { number: 7, hash: digest('e') },
            previous: None,
            tool: "0.1.0".to_owned(),
        }
    }

    /// Everything as long as it can be.
    fn large() -> Facts {
        let (most, name) = (u64::MAX, Some("x".repeat(64)));
        let position = Some(Position { epoch: most, sequence: most, bundle: digest('a') });
        let time = "9999-12-31T23:59:59Z".to_owned();
        Facts {
            site: name.clone(),
            channel: name,
            bundle: Some(Place { epoch: most, sequence: most }),
            prior: position,
            trust: Some(TrustState { version: most, digest: digest('c') }),
            overrides: vec![digest('f'); OVERRIDES],
            warnings: vec![
                Warning::ClockWrong { clock: time.clone(), floor: time.clone() },
                Warning::Expired { expires: time, clock: "signed documents".to_owned() },
                Warning::Gap { from: most, to: most },
                Warning::Behind { newest: most },
            ],
            counts: Some(Counts {
                artifacts: usize::MAX,
                manifests: usize::MAX,
                tags: usize::MAX,
                blobs_written: usize::MAX,
                blobs_skipped: usize::MAX,
                bytes_written: most,
                bytes_skipped: most,
            }),
            missing_count: most,
            missing: (0..10_000).map(|_| digest('0')).collect(),
            ledger: Head { number: most, hash: digest('e') },
            previous: Some(digest('b')),
            tool: "x".repeat(20),
            ..small()
        }
    }

    /// The same of a bundle that was refused, and froze its channel.
    fn refused(facts: Facts) -> Facts {
        Facts {
            result: Outcome::Refused,
            reason: Some("x".repeat(40)),
            overrides: vec![],
            counts: None,
            report: None,
            frozen: Some([digest('a'), digest('b')]),
            ..facts
        }
    }

    /// T14: what a channel is frozen by is a pair, on a receipt of that channel, and of no import.
    #[test]
    fn what_froze_a_channel_is_told_by_refusals_of_it() {
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let good = Receipt::sign(&digest('a'), refused(small()), &key).unwrap();
        let read = Receipt::open(good.bytes(), &rule(&key)).unwrap();
        assert_eq!(read.facts().frozen, Some([digest('a'), digest('b')]));
        let pair = Some([digest('a'), digest('b')]);
        for wrong in [
            Facts { frozen: pair, ..small() },
            Facts { channel: None, ..refused(small()) },
            Facts { frozen: Some([digest('a'), digest('a')]), ..refused(small()) },
        ] {
            assert_eq!(
                Receipt::sign(&digest('a'), wrong.clone(), &key).unwrap_err().reason,
                Reason::Internal
            );
            let sign = |statement: &str| Envelope::sign(statement.as_bytes(), &key).unwrap().line().unwrap();
            let [one, two] = statements(&digest('a'), &wrong, key.public().key_id()).unwrap();
            let bytes = [sign(&one), sign(&two), String::new()].join("\n");
            let reason = Receipt::open(bytes.as_bytes(), &rule(&key)).unwrap_err().reason;
            assert_eq!(reason, Reason::ReceiptMalformed);
        }
    }

    /// H10: never more than 4 KiB, whatever the key.
    #[test]
    fn the_largest_receipt_fits() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let mut bare = large();
            bare.missing.clear();
            let length = |facts| size(&statements(&digest('a'), facts, key.public().key_id()).unwrap());
            assert!(length(&bare) <= limits::RECEIPT_BYTES, "{} bytes", length(&bare));
            let receipt = Receipt::sign(&digest('a'), large(), &key).unwrap();
            assert!(receipt.bytes().len() <= limits::RECEIPT_BYTES);
            assert_eq!(receipt.facts().missing_count, u64::MAX);
            let refused = Receipt::sign(&digest('a'), Facts { missing: vec![], ..refused(large()) }, &key);
            assert!(refused.unwrap().bytes().len() <= limits::RECEIPT_BYTES);
            assert_eq!(Receipt::open(receipt.bytes(), &rule(&key)).unwrap().facts(), receipt.facts());
        }
        // Where there is room, what is missing is named.
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let facts = Facts { missing: vec![digest('9'); 3], missing_count: 3, ..small() };
        assert_eq!(Receipt::sign(&digest('a'), facts, &key).unwrap().facts().missing.len(), 3);
    }

    /// The rules for consumers of a verification summary: a pinned key, the same subject, verifier, resource and
    /// result as in our own statement, and nothing read before its signature holds.
    #[test]
    fn both_statements_are_of_one_receipt() {
        let [key, other] = [(); 2].map(|()| PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap());
        let reason = |bytes: &[u8]| Receipt::open(bytes, &rule(&key)).unwrap_err().reason;
        let good = Receipt::sign(&digest('a'), small(), &key).unwrap();
        let lines = |receipt: &Receipt| -> Vec<String> {
            std::str::from_utf8(receipt.bytes()).unwrap().lines().map(str::to_owned).collect()
        };
        let joined = |one: &str, other: &str| format!("{one}\n{other}\n").into_bytes();
        assert!(Receipt::open(good.bytes(), &rule(&key)).is_ok());
        assert_eq!(good.position(), Some(position(42)));
        // By a stranger, by two keys, and with the summary of another bundle, result, place or policy.
        let foreign = Receipt::sign(&digest('a'), small(), &other).unwrap();
        assert_eq!(reason(foreign.bytes()), Reason::SignatureUntrusted);
        assert_eq!(reason(&joined(&lines(&good)[0], &lines(&foreign)[1])), Reason::SignatureUntrusted);
        let both = Rule { keys: vec![(key.public(), "a"), (other.public(), "b")], ..rule(&key) };
        let mixed = joined(&lines(&foreign)[0], &lines(&good)[1]);
        assert_eq!(Receipt::open(&mixed, &both).unwrap_err().reason, Reason::ReceiptMalformed);
        let refused = Facts {
            result: Outcome::Refused,
            reason: Some("rollback".to_owned()),
            counts: None,
            report: None,
            ..small()
        };
        for (bundle, facts) in [
            (digest('b'), small()),
            (digest('a'), refused.clone()),
            (digest('a'), Facts { bundle: Some(Place { epoch: 1, sequence: 43 }), ..small() }),
            (digest('a'), Facts { channel: Some("test".to_owned()), ..small() }),
            (digest('a'), Facts { trust: None, ..small() }),
        ] {
            let near = Receipt::sign(&bundle, facts, &key).unwrap();
            assert!(Receipt::open(near.bytes(), &rule(&key)).is_ok());
            assert_eq!(reason(&joined(&lines(&near)[0], &lines(&good)[1])), Reason::ReceiptMalformed);
        }
        // A refusal leaves the channel where it was.
        let refused = Receipt::sign(&digest('a'), refused, &key).unwrap();
        assert_eq!(refused.position(), Some(position(41)));
        assert!(refused.facts().reason.is_some());
        // Validly signed, and yet not what we would have signed.
        let sign = |statement: &str| Envelope::sign(statement.as_bytes(), &key).unwrap().line().unwrap();
        let [summary, receipt] = statements(&digest('a'), &small(), key.public().key_id()).unwrap();
        assert!(Receipt::open(&joined(&sign(&summary), &sign(&receipt)), &rule(&key)).is_ok());
        for (from, to) in [
            ("PASSED", "FAILED"),
            ("SLSA_BUILD_LEVEL_UNEVALUATED", "SLSA_BUILD_LEVEL_3"),
            (SUMMARY, IMPORT_RECEIPT),
            (key.public().key_id(), other.public().key_id()),
        ] {
            let wrong = sign(&summary.replacen(from, to, 1));
            assert_eq!(reason(&joined(&wrong, &sign(&receipt))), Reason::ReceiptMalformed, "{to}");
        }
        for (from, to) in [
            ("\"site\"", "\"more\":1,\"site\""),
            ("\"site\"", "\"site\":\"paris\",\"site\""),
            ("\"berlin\"", "\"../berlin\""),
            ("\"imported\"", "\"refused\""),
            ("{\"_type\"", "{ \"_type\""),
        ] {
            let wrong = sign(&receipt.replacen(from, to, 1));
            assert_eq!(reason(&joined(&sign(&summary), &wrong)), Reason::ReceiptMalformed, "{to}");
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let good = Receipt::sign(&digest('a'), small(), &key).unwrap();
        let text = std::str::from_utf8(good.bytes()).unwrap();
        for wrong in [
            String::new(),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("\n{text}"),
            text.replace('\n', "\r\n"),
            text.lines().next().unwrap().to_owned() + "\n",
            text.repeat(2),
            format!("{}{text}", " ".repeat(4096)),
        ] {
            let reason = Receipt::open(wrong.as_bytes(), &rule(&key)).unwrap_err().reason;
            assert_eq!(reason, Reason::ReceiptMalformed, "{wrong:.60}");
        }
        // Any changed byte: another form, or no signature.
        for at in (0..text.len()).step_by(7) {
            let mut bytes = good.bytes().to_vec();
            bytes[at] ^= 1;
            assert!(Receipt::open(&bytes, &rule(&key)).is_err(), "byte {at}");
        }
    }
}
