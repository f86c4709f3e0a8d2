//! Signatures at the edges of what is one.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::trust::PublicKey;

const TEXT: &[u8] = b"message";
fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// T10: Ed25519 with s below the order and without components of small order (RFC 8032, 5.1.7).
#[test]
fn ed25519_signatures_are_canonical() {
    let public = key(0).public();
    let good = key(0).sign(TEXT);
    assert!(public.verifies(TEXT, &good));
    // s + order: the same number for a lenient reader.
    let order = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    let larger = good[32..].iter().zip(&order).map(|(a, b)| {
        let sum = u16::from(*a) + u16::from(*b) + carry;
        carry = sum >> 8;
        u8::try_from(sum & 0xff).unwrap()
    });
    let larger: Vec<u8> = larger.collect();
    assert!(!public.verifies(TEXT, &[&good[..32], &larger].concat()));
    let identity = bytes("0100000000000000000000000000000000000000000000000000000000000000");
    assert!(!public.verifies(TEXT, &[identity.as_slice(), &[0; 32]].concat()));
    assert!(!public.verifies(TEXT, &[identity.as_slice(), &good[32..]].concat()));
    for wrong in [&[][..], &[0; 64], &good[1..], &good[..63], &[good.as_slice(), b"\0"].concat()] {
        assert!(!public.verifies(TEXT, wrong));
    }
}

/// T09: the key decides how a signature is read.
#[test]
fn a_signature_does_not_choose_its_algorithm() {
    for (signer, other) in [(0, 1), (1, 0), (0, 2), (1, 3)] {
        assert!(!key(other).public().verifies(TEXT, &key(signer).sign(TEXT)), "{signer} {other}");
    }
    assert_eq!(Algorithm::parse("none"), None);
    assert_eq!(Algorithm::parse("ed25519ph"), None);
    for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
        assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
    }
}

/// One key has one id, however it was written.
#[test]
fn a_key_has_one_id() {
    for n in 0..4 {
        let public = key(n).public();
        let pem = public.to_pem().unwrap();
        for other in [pem.replace('\n', "\r\n"), format!("\n{pem}\n"), pem.trim_end().to_owned()] {
            assert_eq!(PublicKey::from_pem(&other).unwrap(), *public);
        }
        assert_eq!(public.key_id(), &crate::base::digest::Digest::of(&public.to_der().unwrap()).hex()[..32]);
        assert_eq!(format!("{public:?}"), format!("PublicKey({}, {})", id(n), public.algorithm().name()));
    }
    // A point in its short form is the same key with the same id, and no record may write it so.
    let long = key(1).public().to_der().unwrap();
    let (x, y) = long[long.len() - 64..].split_at(32);
    let head = bytes("3039301306072a8648ce3d020106082a8648ce3d030107032200");
    let short = [head.as_slice(), &[2 + (y[31] & 1)], x].concat();
    let body = STANDARD.encode(short);
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &body[..64], &body[64..]);
    assert_eq!(PublicKey::from_pem(&pem).unwrap(), *key(1).public());
    let mut text = team(1);
    of(&mut text, 1).public_key = pem;
    assert_eq!(reason(Document::new(text)), Reason::TrustMalformed);
}
