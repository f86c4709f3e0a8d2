//! Media types that we read or write (OCI image-spec "Media Types", Helm, cosign).

/// OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image config.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The empty JSON object, as config of artifacts.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Uncompressed OCI layer.
pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Gzip OCI layer.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Helm chart metadata (helm `pkg/registry`).
pub const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// Helm chart archive.
pub const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Helm provenance file.
pub const HELM_PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// Artifact type of a file that sealift carries.
pub const FILE_ARTIFACT: &str = "application/vnd.sealift.file.v1";
/// Content without a better type.
pub const OCTETS: &str = "application/octet-stream";

/// What a client accepts when it asks for a manifest.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Whether the type is an index or manifest list.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_LIST)
}

/// Whether the type is an index or image manifest: content that names other content.
pub fn is_manifest(media_type: &str) -> bool {
    is_index(media_type) || matches!(media_type, MANIFEST | DOCKER_MANIFEST)
}

/// Whether content of the type is compressed already, so that compressing it again only costs time.
pub fn is_compressed(media_type: &str) -> bool {
    ["gzip", "zstd", ".gz", ".tgz", ".zst", ".xz", ".zip"].iter().any(|end| media_type.ends_with(end))
}

/// The part before parameters, lower-case, as in a `Content-Type` header.
pub fn essence(header: &str) -> String {
    header.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}
