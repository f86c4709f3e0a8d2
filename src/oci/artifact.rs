//! A file as an OCI artifact (OCI image-spec, "Guidelines for Artifact Usage"), which `oras pull` restores.
//!
//! ```json
//! {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
//!  "artifactType":"application/vnd.sealift.file.v1",
//!  "config":{"mediaType":"application/vnd.oci.empty.v1+json",…},
//!  "layers":[{"mediaType":"application/octet-stream",…,
//!    "annotations":{"dev.sealift.executable":"true","org.opencontainers.image.title":"tool"}}]}
//! ```

use super::{Descriptor, Document, ImageManifest, descriptor::Annotations, media_type};
use crate::base::{
    failure::{Failure, Reason, Result},
    path::is_file_name,
};

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

/// A file that an artifact carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedFile {
    /// Checked: one plain file name.
    pub name: String,
    /// The content.
    pub content: Descriptor,
    /// Whether to make it executable.
    pub executable: bool,
}

/// The file inside an artifact: its only layer, under its title. The name is from outside, so it is judged
/// before anybody can take it for a path (threats J21).
pub fn carried_file(document: &Document) -> Result<CarriedFile> {
    let wrong = |message: &str| Failure::new(Reason::NameMalformed, "file artifact", message);
    let Document::Image(image) = document else {
        return Err(wrong("a file travels as an artifact with one layer, this is an index"));
    };
    let [layer] = image.layers.as_slice() else {
        return Err(wrong("a file travels as an artifact with one layer"));
    };
    let name = layer.annotations.get(TITLE).filter(|name| is_file_name(name));
    let name = name.ok_or_else(|| wrong("the layer has no title that is safe as a file name"))?;
    let executable = layer.annotations.get(EXECUTABLE).is_some_and(|text| text == "true");
    Ok(CarriedFile { name: name.clone(), content: layer.clone(), executable })
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
        let carried = carried_file(&Document::parse(&manifest, media_type::MANIFEST).unwrap()).unwrap();
        assert_eq!((carried.name.as_str(), carried.executable), ("tool", true));
        assert_eq!(carried.content.digest, content.digest);
        let climbing = String::from_utf8(manifest).unwrap().replace("\"tool\"", "\"../tool\"");
        let climbing = Document::parse(climbing.as_bytes(), media_type::MANIFEST).unwrap();
        assert_eq!(carried_file(&climbing).unwrap_err().reason, Reason::NameMalformed);
        let (plain, _) = file_artifact("tool", "text/plain", &content, false).unwrap();
        assert!(!String::from_utf8(plain).unwrap().contains(EXECUTABLE));
    }
}
