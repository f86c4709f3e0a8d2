//! Simple signing: a payload that names a digest, signed as it stands (cosign "Signature Specification",
//! `docs` of containers/image "atomic-signature").

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::dsse::short;
use crate::{base::digest::Digest, oci::Descriptor};

/// Media type of a payload.
pub const LAYER: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Annotation of its layer: the signature, in base64.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The certificate of a keyless signature, in PEM.
pub const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// What the transparency log promised, in JSON.
pub const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
/// `critical.type` of a payload.
const TYPE: &str = "cosign container image signature";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    critical: Critical,
    /// Free annotations of whoever signed: nothing is decided by them.
    optional: serde_json::Value,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    r#type: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// The payload for `subject`, byte for byte as cosign writes it. `name` is the repository, which cosign
/// ignores and `containers/image` compares.
pub fn payload(subject: &Digest, name: &str) -> Vec<u8> {
    let payload = Payload {
        critical: Critical {
            identity: Identity { docker_reference: name.to_owned() },
            image: Image { docker_manifest_digest: subject.to_string() },
            r#type: TYPE.to_owned(),
        },
        optional: serde_json::Value::Null,
    };
    serde_json::to_vec(&payload).unwrap_or_default()
}

/// The signature that a layer carries beside its payload.
///
/// # Errors
/// What is wrong, in words.
pub fn signature(layer: &Descriptor) -> Result<Vec<u8>, String> {
    let text = layer.annotations.get(SIGNATURE).ok_or("its layer has no signature")?;
    STANDARD.decode(text).map_err(|error| format!("its signature: {error}"))
}

/// Whether a payload that was verified signs `subject`.
///
/// # Errors
/// What is wrong, in words: no payload of an image signature, or one of something else.
pub fn signs(payload: &[u8], subject: &Digest) -> Result<(), String> {
    let payload: Payload =
        serde_json::from_slice(payload).map_err(|error| format!("its payload cannot be read: {error}"))?;
    let Critical { image, r#type, identity: _ } = payload.critical;
    if r#type != TYPE {
        return Err(format!("its payload is of the type {}", short(&r#type)));
    }
    if image.docker_manifest_digest != subject.to_string() {
        return Err(format!("it signs {}", short(&image.docker_manifest_digest)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_cosign() {
        let subject = Digest::of(b"image");
        let made = String::from_utf8(payload(&subject, "127.0.0.1:5000/team/app")).unwrap();
        let expected = r#"{"critical":{"identity":{"docker-reference":"127.0.0.1:5000/team/app"},"image":{"docker-manifest-digest":"DIGEST"},"type":"cosign container image signature"},"optional":null}"#;
        assert_eq!(made, expected.replace("DIGEST", &subject.to_string()));
        signs(made.as_bytes(), &subject).unwrap();
        signs(made.replace("null", r#"{"creator":"x","timestamp":1}"#).as_bytes(), &subject).unwrap();
        // T05, T06, N15: a validly signed payload of another type, of another digest, or unreadable.
        for (from, to) in [
            ("cosign container", "atomic container"),
            ("sha256:", "sha512:"),
            (r#""type":"#, r#""type":"x","type":"#),
            (r#""optional":null"#, r#""optional":null,"critical":{}"#),
            (r#""image":{"#, r#""image":{"Docker-manifest-digest":"","#),
            (r#","optional":null"#, ""),
            ("}", ""),
        ] {
            assert!(signs(made.replace(from, to).as_bytes(), &subject).is_err(), "{from} -> {to}");
        }
        assert!(signs(made.as_bytes(), &Digest::of(b"other")).is_err());
    }
}
