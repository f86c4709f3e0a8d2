//! Error codes of the OCI distribution-spec ("Error Codes"), and those of our own: one table for client and server.

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
    BLOB_UPLOAD_INVALID "BLOB_UPLOAD_INVALID" 400 "blob upload invalid"
    BLOB_UPLOAD_UNKNOWN "BLOB_UPLOAD_UNKNOWN" 404 "blob upload unknown to registry"
    CHUNK_LENGTH "BLOB_UPLOAD_INVALID" 400 "the chunk is not as long as its Content-Range says"
    CHUNK_OUT_OF_ORDER "BLOB_UPLOAD_INVALID" 416 "the chunk does not begin where the upload ends"
    DENIED "DENIED" 403 "requested access to the resource is denied"
    DIGEST_INVALID "DIGEST_INVALID" 400 "provided digest is not valid"
    MANIFEST_INVALID "MANIFEST_INVALID" 400 "manifest invalid"
    MANIFEST_BLOB_UNKNOWN "MANIFEST_BLOB_UNKNOWN" 404 "manifest references a manifest or blob unknown to registry"
    MANIFEST_UNKNOWN "MANIFEST_UNKNOWN" 404 "manifest unknown to registry"
    NAME_INVALID "NAME_INVALID" 400 "invalid repository name"
    NAME_UNKNOWN "NAME_UNKNOWN" 404 "repository name not known to registry"
    TAG_INVALID "MANIFEST_UNKNOWN" 404 "no such tag can exist"
    ENDPOINT_UNKNOWN "UNSUPPORTED" 404 "no such endpoint"
    PAGINATION_INVALID "PAGINATION_NUMBER_INVALID" 400 "the page asked for is not valid"
    RANGE_INVALID "RANGE_INVALID" 416 "the range is outside of the blob"
    SIZE_INVALID "SIZE_INVALID" 400 "fewer bytes came than were announced"
    TOO_LARGE "SIZE_INVALID" 413 "larger than this registry takes"
    TOO_SLOW "SIZE_INVALID" 408 "the body comes too slowly"
    NO_SPACE "SIZE_INVALID" 507 "there is no room for it on the disk of this registry"
    UNAUTHORIZED "UNAUTHORIZED" 401 "authentication required"
    LOGINS_FULL "TOOMANYREQUESTS" 429 "too many failed logins"
    REQUESTS_FULL "TOOMANYREQUESTS" 429 "too many requests: come again later"
    TOKEN_REQUEST "UNSUPPORTED" 400 "no token can be given for what is asked"
    UPLOAD_BUSY "TOOMANYREQUESTS" 429 "another request is at this upload"
    UPLOADS_FULL "TOOMANYREQUESTS" 429 "too many uploads are under way"
    UNSUPPORTED "UNSUPPORTED" 405 "the operation is unsupported here"
    REQUEST_INVALID "REQUEST_INVALID" 400 "the request cannot be understood"
    MEDIA_TYPE "MEDIA_TYPE" 415 "the body has another type than this takes"
    UNRECORDED "UNAVAILABLE" 503 "what happens here cannot be recorded, so nothing is done"
    UNAVAILABLE "UNKNOWN" 503 "what holds the content or the rows of the registry does not answer: its log says why"
    INTERNAL "UNKNOWN" 500 "the registry failed: its log says why"
}
