//! DSSE envelopes around in-toto statements (DSSE "Protocol", in-toto "Statement v1").

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// What an envelope must say that it holds.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The statement types that are read; the first is written.
const STATEMENTS: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// Most subjects of a statement, as sigstore-go has it.
const SUBJECTS: usize = 1024;

/// What a signature of an envelope covers (DSSE "PAE"): the type too, so that no body is ever taken for
/// one of another type (threats T05).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// An envelope as written. A key that stands twice is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    sig: String,
    /// A hint of whoever wrote it; nothing is chosen by it (T08).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
}

/// An envelope taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The body, as the signature covers it.
    pub payload: Vec<u8>,
    /// What the signature covers: [`pae`].
    pub signed: Vec<u8>,
    /// The one signature.
    pub signature: Vec<u8>,
}

impl Envelope {
    /// An envelope with one signature over the [`pae`] of an in-toto statement.
    pub fn new(statement: &[u8], signature: &[u8]) -> Self {
        Self {
            payload: STANDARD.encode(statement),
            payload_type: IN_TOTO.to_owned(),
            signatures: vec![EnvelopeSignature { sig: STANDARD.encode(signature), keyid: None }],
        }
    }

    /// Takes it apart: an in-toto body with exactly one signature, as a Sigstore bundle has it.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn open(&self) -> Result<Opened, String> {
        if self.payload_type != IN_TOTO {
            return Err(format!("its payload is of the type {}, not {IN_TOTO}", short(&self.payload_type)));
        }
        let [signature] = self.signatures.as_slice() else {
            return Err(format!("its envelope has {} signatures, expected one", self.signatures.len()));
        };
        let payload = STANDARD.decode(&self.payload).map_err(|error| format!("its payload: {error}"))?;
        let signature = STANDARD.decode(&signature.sig).map_err(|error| format!("its signature: {error}"))?;
        Ok(Opened { signed: pae(&self.payload_type, &payload), payload, signature })
    }
}

/// An in-toto statement, as far as a signature needs it.
#[derive(Debug, Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Debug, Deserialize)]
struct Subject {
    #[serde(deserialize_with = "crate::oci::descriptor::unique_keys")]
    digest: crate::oci::descriptor::Annotations,
}

/// The predicate type of a statement about `subject`.
///
/// # Errors
/// What is wrong, in words: no statement, or one about something else.
pub fn statement_about(payload: &[u8], subject: &crate::base::digest::Digest) -> Result<String, String> {
    let statement: Statement =
        serde_json::from_slice(payload).map_err(|error| format!("its statement cannot be read: {error}"))?;
    if !STATEMENTS.contains(&statement.kind.as_str()) {
        return Err(format!("its statement is of the type {}", short(&statement.kind)));
    }
    if statement.subject.len() > SUBJECTS {
        return Err(format!("its statement has more than {SUBJECTS} subjects"));
    }
    let is_subject =
        |one: &Subject| one.digest.get(subject.algorithm().name()).is_some_and(|hex| hex == subject.hex());
    if !statement.subject.iter().any(is_subject) {
        return Err("its statement is about another digest".to_owned());
    }
    Ok(statement.predicate_type)
}

/// Text from outside, for a message.
pub(super) fn short(text: &str) -> String {
    format!("`{}`", crate::base::text::escaped(text, 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    #[test]
    fn the_vector_of_the_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }

    fn envelope(json: &str) -> Result<Opened, String> {
        serde_json::from_str::<Envelope>(json).map_err(|error| error.to_string())?.open()
    }

    #[test]
    fn an_envelope_holds_one_signature_over_one_type() {
        let whole = r#"{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAE=","keyid":"x"}]}"#;
        let opened = envelope(whole).unwrap();
        assert_eq!((opened.payload.as_slice(), opened.signature.as_slice()), (&b"{}"[..], &[0, 1][..]));
        assert_eq!(opened.signed, b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
        assert_eq!(
            envelope(&serde_json::to_string(&Envelope::new(b"{}", &[0, 1])).unwrap()).unwrap(),
            opened
        );
        // T05, T06: another type, none or two signatures, base64 that two readers may read differently.
        for (from, to) in [
            ("application/vnd.in-toto+json", "application/json"),
            (r#"{"sig":"AAE=","keyid":"x"}"#, ""),
            (r#"{"sig":"AAE=","keyid":"x"}"#, r#"{"sig":"AAE="},{"sig":"AAE="}"#),
            ("e30=", "e30"),
            ("e30=", "e31="),
            ("AAE=", "AAE=\\n"),
            (r#""payload":"e30=""#, r#""payload":"e30=","payload":"e30=""#),
            (r#""sig":"AAE=""#, r#""sig":"AAE=","sig":"AAE=""#),
        ] {
            assert!(envelope(&whole.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn a_statement_is_about_this_digest_or_none() {
        let digest = Digest::of(b"image");
        let about = |json: &str| statement_about(json.replace("DIGEST", digest.hex()).as_bytes(), &digest);
        let whole = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":"DIGEST"}}],"predicateType":"p","predicate":{}}"#;
        assert_eq!(about(whole).unwrap(), "p");
        assert_eq!(about(&whole.replace("Statement/v1", "Statement/v0.1")).unwrap(), "p");
        for (from, to) in [
            ("Statement/v1", "Statement/v2"),
            ("DIGEST", "0000"),
            ("sha256", "sha512"),
            ("sha256", "SHA256"),
            (r#"[{"name":"x","digest":{"sha256":"DIGEST"}}]"#, "[]"),
            (r#""sha256":"DIGEST""#, r#""sha256":"DIGEST","sha256":"DIGEST""#),
            (r#""predicateType":"p""#, r#""predicateType":"p","predicateType":"q""#),
            (r#""predicateType":"p","#, ""),
            (r#""predicate":{}}"#, r#""predicate":{}} {}"#),
        ] {
            assert!(about(&whole.replace(from, to)).is_err(), "{from} -> {to}");
        }
        let many = r#"{"digest":{"sha256":"DIGEST"}},"#.repeat(SUBJECTS);
        assert!(about(&whole.replace("[{\"name\"", &format!("[{many}{{\"name\""))).is_err());
    }
}
