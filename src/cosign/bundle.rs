//! Sigstore bundles (Sigstore "Bundle Format"): a signature with what is needed to check it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dsse::{self, Envelope, short};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Result},
    },
    oci::image::nesting,
    trust::{PublicKey, Signer},
};

/// The version that is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What `cosign sign` states about an image. Another predicate is an attestation: by the same key it may say
/// that the image failed its tests, and it signs nothing (T05).
pub const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";
/// Other versions that are read.
const READ: [&str; 4] = [
    MEDIA_TYPE,
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
];
/// Deepest nesting of a bundle or its statement.
const DEPTH: usize = crate::base::limits::JSON_DEPTH;

/// A bundle as written. A member that stands twice is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    media_type: String,
    verification_material: Material,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_signature: Option<MessageSignature>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<KeyHint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x509_certificate_chain: Option<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeyHint {
    #[serde(default)]
    hint: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: Option<MessageDigest>,
    signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

/// A bundle taken apart, not yet checked.
#[derive(Debug)]
pub struct Opened {
    /// Whether a certificate tells who signed, rather than a key.
    pub is_keyless: bool,
    signature: Vec<u8>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Statement { payload: Vec<u8>, signed: Vec<u8> },
    Message,
}

impl Opened {
    /// Reads a bundle.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if nesting(bytes) > DEPTH {
            return Err("its bundle nests too deep".to_owned());
        }
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| format!("its bundle cannot be read: {error}"))?;
        if !READ.contains(&written.media_type.as_str()) {
            return Err(format!("its bundle is of the unknown type {}", short(&written.media_type)));
        }
        let material = &written.verification_material;
        let has_certificate = material.certificate.is_some() || material.x509_certificate_chain.is_some();
        let is_keyless = match (&material.public_key, has_certificate) {
            (Some(_), false) => false,
            (None, true) => true,
            _ => return Err("its bundle must name either a key or a certificate".to_owned()),
        };
        match (written.dsse_envelope, written.message_signature) {
            (Some(envelope), None) => {
                let dsse::Opened { payload, signed, signature } = envelope.open()?;
                Ok(Self { is_keyless, signature, content: Content::Statement { payload, signed } })
            }
            (None, Some(message)) => {
                let signature =
                    STANDARD.decode(&message.signature).map_err(|error| format!("its signature: {error}"))?;
                Ok(Self { is_keyless, signature, content: Content::Message })
            }
            _ => Err("its bundle must hold either an envelope or a signature".to_owned()),
        }
    }

    /// Whether `key` made the signature: over the statement, or over `manifest` itself. The key's algorithm
    /// counts; what the bundle hints at is not looked at (T08, T09).
    pub fn is_by(&self, key: &PublicKey, manifest: &[u8]) -> bool {
        let signed = match &self.content {
            Content::Statement { signed, .. } => signed,
            Content::Message => manifest,
        };
        key.verifies(signed, &self.signature)
    }

    /// Whether what was verified signs `subject`.
    ///
    /// # Errors
    /// What is wrong, in words: another digest, or an attestation.
    pub fn signs(&self, subject: &Digest) -> Result<(), String> {
        match &self.content {
            // The signature is over the manifest itself, whose digest a [`super::Subject`] has compared.
            Content::Message => Ok(()),
            Content::Statement { payload, .. } => {
                if nesting(payload) > DEPTH {
                    return Err("its statement nests too deep".to_owned());
                }
                match dsse::statement_about(payload, subject)? {
                    predicate if predicate == SIGNS => Ok(()),
                    other => Err(format!("it is no signature but an attestation, {}", short(&other))),
                }
            }
        }
    }
}

/// The bundle in which `signer` signs `subject`.
///
/// # Errors
/// What the signer fails with.
pub fn make(subject: &Digest, signer: &dyn Signer) -> Result<Vec<u8>> {
    let digest = serde_json::json!({ subject.algorithm().name(): subject.hex() });
    // The order is fixed by hand: the same key and digest give the same bytes.
    let statement = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{digest}}}],"predicateType":"{SIGNS}","predicate":{{}}}}"#
    );
    let signature = signer.sign(&dsse::pae(dsse::IN_TOTO, statement.as_bytes()))?;
    let hint = STANDARD.encode(Digest::of(&signer.public().to_der()?).bytes());
    let bundle = Written {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material { public_key: Some(KeyHint { hint }), ..Material::default() },
        dsse_envelope: Some(Envelope::new(statement.as_bytes(), &signature)),
        message_signature: None,
    };
    serde_json::to_vec(&bundle).map_err(Failure::internal)
}
