//! A site's own signatures of what it imported, in both forms, so that every tool inside can ask for them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{bundle, simple};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    oci::{Descriptor, Document, ImageManifest, artifact, descriptor::Annotations, media_type},
    trust::{Algorithm, Signer},
};

/// What makes signatures: the key of a site.
#[derive(Debug, Clone, Copy)]
pub struct Signatures<'a> {
    signer: &'a dyn Signer,
}

/// A manifest that was made, with the content that it lists.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its descriptor.
    pub root: Descriptor,
    /// Its parsed form.
    pub document: Document,
    /// Everything that is new: the manifest, its config, its layers.
    pub contents: Vec<(Descriptor, Vec<u8>)>,
}

impl Made {
    fn new(manifest: ImageManifest, mut contents: Vec<(Descriptor, Vec<u8>)>) -> Result<Self> {
        let bytes = serde_json::to_vec(&manifest).map_err(Failure::internal)?;
        let root = Descriptor::of(media_type::MANIFEST, &bytes);
        contents.push((root.clone(), bytes));
        Ok(Self { root, document: Document::Image(Box::new(manifest)), contents })
    }
}

impl<'a> Signatures<'a> {
    /// # Errors
    /// [`Reason::BadArgument`] for a key that not every tool can check.
    pub fn new(signer: &'a dyn Signer) -> Result<Self> {
        if signer.public().algorithm() == Algorithm::EcdsaP256 {
            return Ok(Self { signer });
        }
        let message = "expected an ECDSA P-256 key, found Ed25519, which cosign does not check reliably";
        Err(Failure::new(Reason::BadArgument, "--sign-key", message)
            .hint("make one with `sealift key generate --algorithm ecdsa-p256 -o FILE`"))
    }

    /// Id of the key.
    pub fn key_id(&self) -> &str {
        self.signer.public().key_id()
    }

    /// The manifest for the tag [`super::tag`] of `subject`: the signatures of `before`, which came with it
    /// from upstream, and the site's behind them. `name` is the repository that the site gives the image.
    ///
    /// # Errors
    /// What the signer fails with.
    pub fn legacy(&self, subject: &Digest, name: &str, before: Option<&ImageManifest>) -> Result<Made> {
        let payload = simple::payload(subject, name);
        let mut layer = Descriptor::of(simple::LAYER, &payload);
        let signature = STANDARD.encode(self.signer.sign(&payload)?);
        layer.annotations.insert(simple::SIGNATURE.to_owned(), signature);
        let mut layers = before.map(|manifest| manifest.layers.clone()).unwrap_or_default();
        if !layers.contains(&layer) {
            layers.push(layer.clone());
        }
        let digests: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
        // As cosign writes it: an image without a platform whose layers are the payloads.
        let config = json!({
            "architecture": "", "os": "", "config": {},
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = serde_json::to_vec(&config).map_err(Failure::internal)?;
        let config = (Descriptor::of(media_type::CONFIG, &config), config);
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            artifact_type: None,
            config: config.0.clone(),
            layers,
            subject: None,
            annotations: before.map(|manifest| manifest.annotations.clone()).unwrap_or_default(),
        };
        Made::new(manifest, vec![config, (layer, payload)])
    }

    /// The referrer of `subject` that holds a Sigstore bundle.
    ///
    /// # Errors
    /// What the signer fails with.
    pub fn referrer(&self, subject: &Descriptor) -> Result<Made> {
        let bundle = bundle::make(&subject.digest, self.signer)?;
        let layer = Descriptor::of(bundle::MEDIA_TYPE, &bundle);
        let annotations = [
            ("dev.sigstore.bundle.content", "dsse-envelope"),
            ("dev.sigstore.bundle.predicateType", bundle::SIGNS),
        ];
        let annotations: Annotations =
            annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            artifact_type: Some(bundle::MEDIA_TYPE.to_owned()),
            config: artifact::empty_config(),
            layers: vec![layer.clone()],
            subject: Some(Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size)),
            annotations,
        };
        Made::new(
            manifest,
            vec![(artifact::empty_config(), artifact::EMPTY_CONFIG.to_vec()), (layer, bundle)],
        )
    }
}
