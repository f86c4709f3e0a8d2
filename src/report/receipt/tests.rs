use super::{facts::OVERRIDES, *};
use crate::{
    ledger::Head,
    report::import::Counts,
    trust::{Algorithm as KeyAlgorithm, PrivateKey, sequence::Warning},
};

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
        assert_eq!(Receipt::sign(&digest('a'), wrong.clone(), &key).unwrap_err().reason, Reason::Internal);
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
