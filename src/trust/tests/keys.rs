//! Signatures at the edges of what is one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p256::ecdsa::Signature as Parts;

use super::*;
use crate::trust::PublicKey;

const TEXT: &[u8] = b"message";
/// The order of P-256 (FIPS 186-5, SP 800-186).
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// A whole number in DER, as short as it can be.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len() - 1);
    let mut content = number[zeros..].to_vec();
    if content[0] >= 0x80 {
        content.insert(0, 0);
    }
    [&[2, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
}

fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()], both.as_slice()].concat()
}

/// `a - b` of 32 bytes each.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let digits = a.iter().zip(b).rev().map(|(a, b)| {
        let digit = i16::from(*a) - i16::from(*b) - borrow;
        borrow = i16::from(digit < 0);
        u8::try_from(digit.rem_euclid(256)).unwrap()
    });
    let mut reversed: Vec<u8> = digits.collect();
    reversed.reverse();
    reversed
}

/// T11: r and s from 1 to n - 1, in strict DER; a high s is another form of the same signature and holds.
#[test]
fn ecdsa_signatures_have_one_range_and_one_encoding() {
    let public = key(1).public();
    let good = key(1).sign(TEXT);
    let parts = Parts::from_der(&good).unwrap().to_bytes();
    let (r, s) = parts.split_at(32);
    assert_eq!(der(r, s), good);
    let n = bytes(ORDER);
    let mirrored = minus(&n, s);
    assert!(public.verifies(TEXT, &good) && public.verifies(TEXT, &der(r, &mirrored)));
    let (zero, one) = (vec![0; 32], [&[0; 31][..], &[1]].concat());
    let beyond = minus(&[0xff; 32], &zero);
    for (name, r, s) in [
        ("r 0", &zero, &s.to_vec()),
        ("s 0", &r.to_vec(), &zero),
        ("both 0", &zero, &zero),
        ("r n", &n, &s.to_vec()),
        ("s n", &r.to_vec(), &n),
        ("both n", &n, &n),
        ("r beyond n", &beyond, &s.to_vec()),
        ("s beyond n", &r.to_vec(), &beyond),
        ("r 1", &one, &s.to_vec()),
        ("both 1", &one, &one),
        ("swapped", &s.to_vec(), &r.to_vec()),
    ] {
        assert!(!public.verifies(TEXT, &der(r, s)), "{name}");
    }
    // The same number, written otherwise.
    let (first, second) = (integer(r), integer(s));
    let length = |more: usize| u8::try_from(first.len() + second.len() + more).unwrap();
    let wide = [&[2, first[1] + 1, 0], &first[2..]].concat();
    for (name, wrong) in [
        ("bytes after it", [good.as_slice(), b"\0"].concat()),
        ("bytes inside it", [&[0x30, length(1)], &first[..], &second, b"\0"].concat()),
        ("a long length", [&[0x30, 0x81, length(0)], &first[..], &second].concat()),
        ("no length", [&[0x30, 0x80], &first[..], &second, b"\0\0"].concat()),
        ("a zero before", [&[0x30, length(1)], &wide[..], &second].concat()),
        ("a number missing", [&[0x30, u8::try_from(first.len()).unwrap()], &first[..]].concat()),
        ("a set", [&[0x31, length(0)], &first[..], &second].concat()),
        ("r and s as they are", parts.to_vec()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("nothing", Vec::new()),
        ("an empty sequence", vec![0x30, 0]),
        ("an endless length", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
    ] {
        assert!(!public.verifies(TEXT, &wrong), "{name}");
    }
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
