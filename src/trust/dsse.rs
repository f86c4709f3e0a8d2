//! DSSE envelopes: the signed form of statements that tools of others read too (DSSE "Protocol", "Envelope").
//!
//! One envelope is one line of JSON. What it carries is handed out only once its signatures hold.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Quorum, Rule, Signature, Signer, quorum};
use crate::base::failure::{Failure, Reason, Result};

/// The payload type of in-toto statements, the only one that we make.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// What is signed: type and payload with their lengths, so that no payload is taken for one of another type
/// (T05).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// An envelope. Whether any signature of it holds, it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<By>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct By {
    /// A hint (T08).
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Signs an in-toto statement.
    pub fn sign(statement: &[u8], signer: &dyn Signer) -> Result<Self> {
        let sig = STANDARD.encode(signer.sign(&pae(IN_TOTO, statement))?);
        let keyid = signer.public().key_id().to_owned();
        let (payload_type, payload) = (IN_TOTO.to_owned(), STANDARD.encode(statement));
        Ok(Self { payload_type, payload, signatures: vec![By { keyid, sig }] })
    }

    /// The envelope as one line, without a line feed.
    pub fn line(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Failure::internal)
    }

    /// Reads one line.
    ///
    /// # Errors
    /// [`Reason::ReceiptMalformed`] for every deviation from the one form that we print (T06, T07).
    pub fn parse(line: &str) -> Result<Self> {
        let envelope: Self = serde_json::from_str(line).map_err(malformed)?;
        if envelope.line()? != line {
            return Err(malformed("it is not in the one form that sealift prints"));
        }
        Ok(envelope)
    }

    /// The statement, if those of `rule` signed it.
    ///
    /// # Errors
    /// [`Reason::ReceiptMalformed`] for another payload type or what is no base64; those of [`quorum::met`].
    pub fn open(&self, rule: &Rule<'_>) -> Result<(Vec<u8>, Quorum)> {
        if self.payload_type != IN_TOTO {
            return Err(malformed(format!(
                "expected the payload type {IN_TOTO}, found {}",
                self.payload_type
            )));
        }
        let payload = STANDARD.decode(&self.payload).map_err(malformed)?;
        let signature = |by: &By| -> Result<Signature> {
            let bytes = STANDARD.decode(&by.sig).map_err(malformed)?;
            Ok(Signature { key_id: by.keyid.clone(), bytes })
        };
        let signatures = self.signatures.iter().map(signature).collect::<Result<Vec<_>>>()?;
        let quorum = quorum::met(&pae(IN_TOTO, &payload), &signatures, std::slice::from_ref(rule), &[])?;
        Ok((payload, quorum))
    }
}

fn malformed(message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::ReceiptMalformed, "signed statement", message)
        .hint("give the file as `sealift import` or `sealift receipt export` wrote it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{Algorithm, PrivateKey};

    /// The example of the DSSE specification.
    #[test]
    fn the_test_vector_of_the_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }

    fn rule(key: &PrivateKey) -> Rule<'_> {
        Rule { name: "importer".to_owned(), keys: vec![(key.public(), "site")], threshold: 1 }
    }

    #[test]
    fn a_statement_comes_out_only_when_it_is_signed() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
            let [key, other] = [(); 2].map(|()| PrivateKey::generate(algorithm).unwrap());
            let line = Envelope::sign(b"{}", &key).unwrap().line().unwrap();
            let envelope = Envelope::parse(&line).unwrap();
            let (payload, quorum) = envelope.open(&rule(&key)).unwrap();
            assert_eq!((payload.as_slice(), quorum.signers[0].holder.as_str()), (&b"{}"[..], "site"));
            assert_eq!(envelope.open(&rule(&other)).unwrap_err().reason, Reason::SignatureUntrusted);
            let mut changed = envelope.clone();
            changed.payload = STANDARD.encode(b"[]");
            assert_eq!(changed.open(&rule(&key)).unwrap_err().reason, Reason::SignatureInvalid);
            // T05: the same bytes under another type are another statement.
            let mut retyped = envelope.clone();
            retyped.payload_type = "text/plain".to_owned();
            assert_eq!(retyped.open(&rule(&key)).unwrap_err().reason, Reason::ReceiptMalformed);
            let mut unsigned = envelope;
            unsigned.signatures.clear();
            assert_eq!(unsigned.open(&rule(&key)).unwrap_err().reason, Reason::SignatureMissing);
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let good = Envelope::sign(b"{}", &key).unwrap().line().unwrap();
        for (from, to) in [
            ("{\"payloadType\"", "{ \"payloadType\""),
            ("}]}", "}],\"more\":1}"),
            ("}]}", "}],\"payload\":\"e30=\"}"),
            ("\"keyid\"", "\"keyId\""),
            ("}]}", "}]} "),
            ("payloadType", "payload\\u0054ype"),
        ] {
            let wrong = good.replacen(from, to, 1);
            assert_ne!(wrong, good);
            assert_eq!(Envelope::parse(&wrong).unwrap_err().reason, Reason::ReceiptMalformed, "{to}");
        }
    }
}
