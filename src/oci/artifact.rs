//! A file as an OCI artifact (OCI image-spec, "Guidelines for Artifact Usage"), which `oras pull` restores.
//!
//! ```json
//! {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
//!  "artifactType":"application/vnd.sealift.file.v1",
//!  "config":{"mediaType":"application/vnd.oci.empty.v1+json",…},
//!  "layers":[{"mediaType":"application/octet-stream",…,
//!    "annotations":{"dev.sealift.executable":"true","org.opencontainers.image.title":"tool"}}]}
//! ```

use super::{Descriptor, ImageManifest, descriptor::Annotations, media_type};
use crate::base::failure::{Failure, Result};

/// Content of the empty config; it must be stored like every other blob.
pub const EMPTY_CONFIG: &[u8] = b"{}";
/// Annotation of a layer: the file's name (OCI image-spec, "Pre-Defined Annotation Keys").
pub const TITLE: &str = "org.opencontainers.image.title";
/// Annotation of a layer: `true` if the file is made executable when written out.
pub const EXECUTABLE: &str = "dev.sealift.executable";

/// The descriptor of [`EMPTY_CONFIG`].
pub fn empty_config() -> Descriptor {
    Descriptor::of(media_type::EMPTY, EMPTY_CONFIG)
}

/// The manifest of a file with this content, and its descriptor. `name` is one that
/// [`crate::base::path::is_file_name`] accepts. The same file gives the same bytes.
pub fn file_artifact(
    name: &str,
    media_type: &str,
    content: &Descriptor,
    executable: bool,
) -> Result<(Vec<u8>, Descriptor)> {
    let mut layer = Descriptor::new(media_type, content.digest.clone(), content.size);
    layer.annotations.insert(TITLE.to_owned(), name.to_owned());
    if executable {
        layer.annotations.insert(EXECUTABLE.to_owned(), "true".to_owned());
    }
    let manifest = serde_json::to_vec(&ImageManifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: Some(media_type::FILE_ARTIFACT.to_owned()),
        config: empty_config(),
        layers: vec![layer],
        subject: None,
        annotations: Annotations::new(),
    })
    .map_err(Failure::internal)?;
    let root = Descriptor::of(media_type::MANIFEST, &manifest);
    Ok((manifest, root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_fixed() {
        let content = Descriptor::of(media_type::OCTETS, b"hello\n");
        let (manifest, root) = file_artifact("tool", "text/plain", &content, true).unwrap();
        assert_eq!(
            String::from_utf8(manifest.clone()).unwrap(),
            concat!(
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""artifactType":"application/vnd.sealift.file.v1","#,
                r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","#,
                r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"#,
                r#""layers":[{"mediaType":"text/plain","#,
                r#""digest":"sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03","size":6,"#,
                r#""annotations":{"dev.sealift.executable":"true","org.opencontainers.image.title":"tool"}}]}"#
            )
        );
        root.check(&manifest).unwrap();
        let (plain, _) = file_artifact("tool", "text/plain", &content, false).unwrap();
        assert!(!String::from_utf8(plain).unwrap().contains(EXECUTABLE));
    }
}
