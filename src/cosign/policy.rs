//! Who must have signed an image, and whether they did.

use super::{Form, Keyless, bundle::Opened, evidence::Signed, simple};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        text,
    },
    oci::Descriptor,
    trust::PublicKey,
};

/// Who must have signed.
#[derive(Debug, Clone)]
pub enum Policy {
    /// One of these keys, never empty. A log is not asked for: behind a gap there is none.
    Keys(Vec<PublicKey>),
    /// An identity.
    Keyless(Keyless),
}

impl Policy {
    /// In one line, for a lock: who, never where the files with the keys lie.
    pub fn wanted(&self) -> String {
        match self {
            Self::Keys(keys) => {
                let ids: Vec<&str> = keys.iter().map(PublicKey::key_id).collect();
                format!("keys={}", ids.join(","))
            }
            Self::Keyless(keyless) => format!("identity={} issuer={}", keyless.identity, keyless.issuer),
        }
    }
}

/// What must be signed: a manifest or index and its digest.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    digest: &'a Digest,
    manifest: &'a [u8],
}

impl<'a> Subject<'a> {
    /// `manifest` must be the bytes of `root`.
    ///
    /// # Errors
    /// As [`Descriptor::check`].
    pub fn new(root: &'a Descriptor, manifest: &'a [u8]) -> Result<Self> {
        root.check(manifest)?;
        Ok(Self { digest: &root.digest, manifest })
    }
}

/// What may be a signature, as found upstream.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its form.
    pub form: Form,
    /// The manifest that lists it.
    pub manifest: Digest,
    /// The layer, with its annotations.
    pub layer: Descriptor,
    /// The content of the layer, checked against it.
    pub bytes: Vec<u8>,
}

/// Why an image is refused: a reason, and what was found.
pub type Refusal = Failure;

/// Judges what was found about `subject`; one good signature is enough, and bad ones beside it prove nothing.
/// Returns all good ones, sorted.
///
/// # Errors
/// [`Reason::UpstreamUnsigned`] when nothing was found, [`Reason::UpstreamSignature`] when nothing holds.
pub fn judge(policy: &Policy, subject: Subject<'_>, found: &[Found]) -> Result<Vec<Signed>, Refusal> {
    if found.is_empty() {
        let message = format!("expected a signature of {}, found none", policy.who());
        return Err(Failure::new(Reason::UpstreamUnsigned, subject.digest, message).hint(
            "ask its maintainers where the signatures are kept, or remove `verify` if the image is not signed",
        ));
    }
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for one in found {
        match policy.check(subject, one) {
            Ok(signed) => good.push(signed),
            Err(why) => bad.push(format!("{} signature of {}: {why}", one.form.name(), one.manifest.short())),
        }
    }
    if good.is_empty() {
        bad.sort();
        bad.dedup();
        let message = format!("no signature of {} holds: {}", policy.who(), bad.join("; "));
        return Err(Failure::new(Reason::UpstreamSignature, subject.digest, message).hint(
            "do not carry the image; check with its maintainers which key or identity signs it, and that you have theirs",
        ));
    }
    good.sort();
    good.dedup();
    Ok(good)
}

impl Policy {
    fn who(&self) -> String {
        match self {
            Self::Keys(keys) => {
                let ids: Vec<&str> = keys.iter().map(PublicKey::key_id).collect();
                format!("key {}", ids.join(" or "))
            }
            Self::Keyless(keyless) => {
                format!("{} ({})", text::escaped(&keyless.identity, 300), text::escaped(&keyless.issuer, 300))
            }
        }
    }

    /// The signature is checked first; only then are the same bytes parsed (T06, T07).
    fn check(&self, subject: Subject<'_>, found: &Found) -> Result<Signed, String> {
        let by_none = || "it is by another key, or was altered".to_owned();
        let (key, keyless) = match (found.form, self) {
            (Form::Legacy, Self::Keys(keys)) => {
                let signature = simple::signature(&found.layer)?;
                let key = keys.iter().find(|key| key.verifies(&found.bytes, &signature));
                let key = key.ok_or_else(by_none)?;
                simple::signs(&found.bytes, subject.digest)?;
                (Some(key), None)
            }
            (Form::Legacy, Self::Keyless(keyless)) => {
                keyless.verifies_simple(&found.layer, &found.bytes)?;
                simple::signs(&found.bytes, subject.digest)?;
                (None, Some(keyless))
            }
            (Form::Bundle, Self::Keys(keys)) => {
                let opened = Opened::parse(&found.bytes)?;
                if opened.is_keyless {
                    return Err("it is by an identity, and a key is asked for".to_owned());
                }
                let key = keys.iter().find(|key| opened.is_by(key, subject.manifest)).ok_or_else(by_none)?;
                opened.signs(subject.digest)?;
                (Some(key), None)
            }
            (Form::Bundle, Self::Keyless(keyless)) => {
                let opened = Opened::parse(&found.bytes)?;
                if !opened.is_keyless {
                    return Err("it is by a key, and an identity is asked for".to_owned());
                }
                keyless.verifies_bundle(&found.bytes, subject.digest)?;
                opened.signs(subject.digest)?;
                (None, Some(keyless))
            }
        };
        Ok(Signed {
            form: found.form,
            manifest: found.manifest.clone(),
            key: key.map(|key| key.key_id().to_owned()),
            identity: keyless.map(|keyless| keyless.identity.clone()),
            issuer: keyless.map(|keyless| keyless.issuer.clone()),
        })
    }
}
