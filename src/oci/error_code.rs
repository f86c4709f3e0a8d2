//! Error codes of the OCI distribution-spec ("Error Codes"): one table for client and server.

/// Code, HTTP status, text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// As in `{"errors":[{"code":…}]}`.
    pub code: &'static str,
    /// The HTTP status it is sent with.
    pub status: u16,
    /// A sentence for people.
    pub message: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $message:literal)*) => {
        $(#[doc = $message] pub const $name: ErrorCode =
            ErrorCode { code: $code, status: $status, message: $message };)*
    };
}

codes! {
    BLOB_UNKNOWN "BLOB_UNKNOWN" 404 "blob unknown to registry"
    DIGEST_INVALID "DIGEST_INVALID" 400 "provided digest is not valid"
    MANIFEST_UNKNOWN "MANIFEST_UNKNOWN" 404 "manifest unknown to registry"
    NAME_INVALID "NAME_INVALID" 400 "invalid repository name"
    NAME_UNKNOWN "NAME_UNKNOWN" 404 "repository name not known to registry"
    TAG_INVALID "MANIFEST_UNKNOWN" 404 "no such tag can exist"
    ENDPOINT_UNKNOWN "UNSUPPORTED" 404 "no such endpoint"
    PAGINATION_INVALID "PAGINATION_NUMBER_INVALID" 400 "the page asked for is not valid"
    RANGE_INVALID "RANGE_INVALID" 416 "the range is outside of the blob"
    UNSUPPORTED "UNSUPPORTED" 405 "this registry is read-only"
    INTERNAL "UNKNOWN" 500 "the registry cannot read its store"
}
