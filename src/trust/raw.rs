//! Keys and signatures in the raw form that tokens give (PKCS#11 3.1, "Elliptic curve").

use ed25519_dalek::VerifyingKey as EdKey;
use p256::ecdsa::{Signature, VerifyingKey as EcKey};

use super::{Algorithm, PublicKey};
use crate::base::failure::{Failure, Reason, Result};

impl PublicKey {
    /// From the point of a key: 32 bytes for Ed25519 (RFC 8032), a SEC 1 point for P-256.
    ///
    /// # Errors
    /// [`Reason::KeyFormat`] for bytes that are no point of the curve, [`Reason::WeakKey`] as in
    /// [`PublicKey::from_pem`].
    pub fn from_point(algorithm: Algorithm, point: &[u8]) -> Result<Self> {
        let wrong = || {
            let message = format!("{} bytes that are no public key of {}", point.len(), algorithm.name());
            Failure::new(Reason::KeyFormat, "public key", message)
                .hint("sealift signs with Ed25519 and with ECDSA on the curve P-256 (prime256v1)")
        };
        match algorithm {
            Algorithm::Ed25519 => {
                let bytes = <&[u8; 32]>::try_from(point).map_err(|_length| wrong())?;
                Self::from_ed25519(EdKey::from_bytes(bytes).map_err(|_no_point| wrong())?)
            }
            Algorithm::EcdsaP256 => {
                Self::from_p256(EcKey::from_sec1_bytes(point).map_err(|_no_point| wrong())?)
            }
        }
    }
}

/// A raw ECDSA signature over P-256, r and s of 32 bytes each, in the DER that [`PublicKey::verifies`] takes.
/// `None` for another length and for r or s outside of 1..n (T11).
pub fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    Some(Signature::from_slice(raw).ok()?.to_der().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::PrivateKey;

    /// The group order of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];

    #[test]
    fn points_become_the_keys_that_they_are() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let der = key.public().to_der().unwrap();
            let length = if algorithm == Algorithm::Ed25519 { 32 } else { 65 };
            let point = &der[der.len() - length..];
            assert_eq!(&PublicKey::from_point(algorithm, point).unwrap(), key.public());
            for wrong in [&point[1..], &[point, b"\0"].concat(), &[], &vec![0xff; length]] {
                let failure = PublicKey::from_point(algorithm, wrong).unwrap_err();
                assert_eq!(failure.reason, Reason::KeyFormat, "{} {wrong:?}", algorithm.name());
            }
        }
        let mut identity = [0; 32];
        identity[0] = 1;
        let weak = PublicKey::from_point(Algorithm::Ed25519, &identity).unwrap_err();
        assert_eq!(weak.reason, Reason::WeakKey);
    }

    #[test]
    fn raw_signatures_become_der_of_one_form() {
        let raw = |r: &[u8; 32], s: &[u8; 32]| [r.as_slice(), s].concat();
        let (mut one, mut high) = ([0; 32], [0; 32]);
        one[31] = 1;
        high[0] = 0x80;
        // SEQUENCE of two INTEGERs, each as short as can be, with a zero byte only before a set sign bit.
        assert_eq!(ecdsa_der(&raw(&one, &one)).unwrap(), [0x30, 6, 2, 1, 1, 2, 1, 1]);
        let long = ecdsa_der(&raw(&one, &high)).unwrap();
        assert_eq!(long[..9], [0x30, 38, 2, 1, 1, 2, 33, 0, 0x80]);
        for wrong in [
            raw(&[0; 32], &one),
            raw(&one, &[0; 32]),
            raw(&ORDER, &one),
            raw(&one, &ORDER),
            raw(&[0xff; 32], &one),
            vec![1; 63],
            vec![1; 65],
            Vec::new(),
        ] {
            assert_eq!(ecdsa_der(&wrong), None, "{wrong:?}");
        }
    }
}
