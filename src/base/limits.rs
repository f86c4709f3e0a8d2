//! Every ceiling on what comes from outside, with the attack it answers (`docs/threat-model.md`).

/// Bytes of `SHA256SUMS`: stock `openssl` must be able to read it whole (threats T28).
pub const SUMS_BYTES: u64 = 1 << 20;
/// Signature files of a bundle (T12).
pub const SIGNATURES: usize = 64;
/// Bytes of one signature file (T12).
pub const SIGNATURE_BYTES: u64 = 16 << 10;
/// Bytes of `bundle.json` (J09): a quarter of a million blobs.
pub const BUNDLE_INDEX_BYTES: u64 = 64 << 20;
/// Bytes of `chunks.bin`: 16 TiB of volumes.
pub const CHUNK_LIST_BYTES: u64 = 128 << 20;
/// Bytes of the other small files of a bundle: inventory, recipe.
pub const SIDE_FILE_BYTES: u64 = 64 << 20;
/// Bytes of one chunk of a volume; the last may be shorter.
pub const CHUNK_BYTES: u64 = 4 << 20;
/// Most content bytes in one zstd frame.
pub const FRAME_BYTES: u64 = 16 << 20;
/// Largest zstd window a reader accepts, as a power of two (X02).
pub const ZSTD_WINDOW_LOG: u32 = 24;
/// Largest ustar member: eleven octal digits (F09).
pub const MEMBER_BYTES: u64 = (8 << 30) - 1;
/// Volumes of one bundle: the four digits of their names.
pub const VOLUMES: usize = 9999;
/// Bytes of an image manifest or index (J09; the OCI distribution-spec asks for 4 MiB).
pub const OCI_MANIFEST_BYTES: u64 = 4 << 20;
/// Nesting of image indexes (J07).
pub const INDEX_DEPTH: usize = 4;
/// Distinct manifests below one artifact (J08), referrers included.
pub const GRAPH_MANIFESTS: usize = 10_000;
/// Descriptors in one manifest or index (J09).
pub const DESCRIPTORS: usize = 10_000;
/// Bytes of an image config or other small JSON that is parsed.
pub const CONFIG_BYTES: u64 = 8 << 20;
/// Bytes of a chart repository's `index.yaml`.
pub const CHART_INDEX_BYTES: u64 = 128 << 20;
/// Bytes of one chart archive.
pub const CHART_BYTES: u64 = 64 << 20;
/// Bytes of a chart archive unpacked (J20: a bomb).
pub const CHART_UNPACKED_BYTES: u64 = 512 << 20;
/// Bytes of a token or error answer (N08).
pub const SMALL_ANSWER_BYTES: u64 = 1 << 20;
/// Bytes of one page of a tag or referrer list (N08).
pub const PAGE_BYTES: u64 = 4 << 20;
/// Pages of a list (N09).
pub const PAGES: usize = 1000;
/// Redirects followed for one request (N03).
pub const REDIRECTS: usize = 5;
/// Bytes of an upstream signature that is looked at: attestations, which may hold a whole SBOM, are larger.
pub const UPSTREAM_SIGNATURE_BYTES: u64 = 1 << 20;
/// Upstream signatures of one image that are looked at (T12).
pub const UPSTREAM_SIGNATURES: usize = 256;
/// Bytes of a manifest, lock or key file that a user hands in.
pub const USER_FILE_BYTES: u64 = 16 << 20;
/// Members of a chart or image archive (F: a million empty members).
pub const ARCHIVE_MEMBERS: usize = 100_000;
/// Bytes of one PAX or long-name header in such an archive.
pub const ARCHIVE_EXTENSION_BYTES: u64 = 64 << 10;
/// Bytes of `Chart.yaml`, `Chart.lock` and the like (J20; Helm itself stops at 5 MiB a file).
pub const CHART_FILE_BYTES: u64 = 1 << 20;
/// Charts put into one chart that lacks them, and how deep they need each other.
pub const CHART_DEPENDENCIES: usize = 256;
/// Nesting of those.
pub const CHART_DEPTH: usize = 8;
/// Nesting of included manifests.
pub const INCLUDE_DEPTH: usize = 8;
/// Files of one manifest, includes counted.
pub const INCLUDED_FILES: usize = 256;
/// Lines of its log that our registry keeps for who reads them slowly (X07); further ones are lost, and counted.
pub const LOG_LINES: usize = 4096;
/// Entries on one page of a list that our registry answers with: a page of the longest
/// names stays below [`PAGE_BYTES`].
pub const LIST_ENTRIES: usize = 10_000;
/// Descriptors on one page of a referrers list (J13); a page ends earlier when it reaches [`PAGE_BYTES`].
pub const REFERRERS_ENTRIES: usize = 1000;
/// Bytes of an HTTP path with its query that our registry looks at.
pub const REQUEST_TARGET_BYTES: usize = 2048;
/// Connections that our registry serves at once (X06); further ones wait.
pub const CONNECTIONS: usize = 512;
/// Bytes of all pages of one list together (N09).
pub const LIST_BYTES: u64 = 64 << 20;
/// Bytes that must arrive within one idle timeout while a body is read (N08: one byte a minute).
pub const SLOWEST_BYTES: u64 = 4 << 10;
/// Bytes of a `WWW-Authenticate` header that is read (N01).
pub const CHALLENGE_BYTES: usize = 8 << 10;
/// Bytes that a credential helper may print.
pub const HELPER_BYTES: u64 = 64 << 10;
/// Nesting of lists and objects in an OCI document (J07).
pub const JSON_DEPTH: usize = 64;
/// Bytes of a signed note: a trust document, beacon or override with its signatures (T12).
pub const NOTE_BYTES: u64 = 256 << 10;
/// Keys of one trust document, and revocations.
pub const TRUST_KEYS: usize = 256;
/// Versions of a trust document that a bundle carries, and that a site follows.
pub const TRUST_VERSIONS: usize = 256;
/// Files of evidence in one bundle.
pub const EVIDENCE_FILES: usize = 10_000;
/// Names that are looked at in one folder of a bundle: more than one can have, and few of a folder of millions.
pub const FOLDER_ENTRIES: usize = 20_000;
/// Bytes of a beacon: it must fit into one printed QR code.
pub const BEACON_BYTES: u64 = 2 << 10;
/// Bytes of a signed receipt: it must fit into printed QR codes (H10).
pub const RECEIPT_BYTES: usize = 4 << 10;
/// Bytes of one record of a ledger (R21).
pub const LEDGER_LINE_BYTES: usize = 32 << 10;
/// Bytes of a ledger that is read from a file: some hundred thousand records.
pub const LEDGER_BYTES: u64 = 256 << 20;
/// Tags that one push of a manifest may set (X03).
pub const TAGS_AT_ONCE: usize = 64;
/// Repositories that are asked for a blob which a push wants mounted from anywhere (X03).
pub const MOUNT_SOURCES: usize = 100;
/// Pushes of blobs that the registry keeps open between two requests; more are opened and hashed again (X06).
pub const OPEN_UPLOADS: usize = 64;
/// Seconds that such a push stays open; then only its file is kept.
pub const OPEN_UPLOAD_SECONDS: u64 = 300;
/// Pushes of blobs that may be under way in one home, each with its file (X07).
pub const UPLOADS: usize = 1024;
/// Of those, what one account may have, and all who have none together: the others push on (X16).
pub const UPLOADS_OF_ONE: usize = UPLOADS - UPLOADS / 4;
/// Bytes of disk that pushes leave free: the site on the same disk needs room for its ledger and database (R22).
pub const PUSH_MARGIN: u64 = 256 << 20;
/// Bytes that are sent to a bucket at once: of more, an upload has several parts. No object store takes less than 5 MiB.
pub const BUCKET_PART: u64 = 8 << 20;
/// Bytes in memory of all that is on its way up to a bucket (X03).
pub const BUCKET_MEMORY: u64 = 64 << 20;
/// Bytes of a body that our registry reads without asking how many it reads at a time (X07): most manifests are smaller,
/// and as many as there may be connections fit into memory.
pub const SMALL_BODY_BYTES: u64 = 64 << 10;
/// Larger ones that it reads at a time, each of up to [`OCI_MANIFEST_BYTES`] in memory (X03).
pub const LARGE_BODIES: usize = 16;
/// Bytes of a request that are read though it is answered already; after more the connection is closed.
pub const DRAINED_BYTES: u64 = 8 << 20;
/// Seconds after which a push of a blob that nobody went on with is forgotten (X07).
pub const UPLOAD_SECONDS: u64 = 24 * 3600;
/// Addresses and accounts whose failed logins are counted (X14); more, and those soonest forgiven are forgotten.
pub const THROTTLED: usize = 10_000;
/// Requests of one caller in a second, in the long run, unless something else is said (X16): no cluster asks for so much
/// all the time, and a server answers many times that.
pub const REQUESTS_PER_SECOND: u32 = 1000;
/// Requests of one caller at once (X16): more than a thousand machines behind one proxy, or with one account, that begin an
/// image of twenty layers, some thirty requests, in the same second.
pub const REQUESTS_AT_ONCE: u32 = 50_000;
/// Callers whose requests are counted (X16); more, and those who asked for least are forgotten.
pub const CALLERS: usize = 10_000;
/// Passwords that were right of late and are remembered (X14); more, and all are compared again.
pub const REMEMBERED_PASSWORDS: usize = 10_000;
/// Groups of an account: one record tells of all that an account is made with (R21).
pub const ACCOUNT_GROUPS: usize = 64;
/// Identities in certificates that open an account, for the same reason.
pub const ACCOUNT_CERTIFICATES: usize = 16;
/// Passwords that are compared at a time, each with 19 MiB of memory (X14).
pub const PASSWORDS_AT_ONCE: usize = 2;
/// Bytes of a request to the admin API: a plan of what to prune, or rules (X03).
pub const API_BODY_BYTES: u64 = 4 << 20;
/// Entries on one page of a list of the admin API, each of which may be looked up.
pub const API_ENTRIES: usize = 1000;
/// Records of the ledger that one request looks at (X03); the next page goes on from there.
pub const API_RECORDS: u64 = 100_000;
/// Scopes of one token: it must fit into a header (X03).
pub const TOKEN_SCOPES: usize = 32;
/// Bytes of a form that asks for a token (X03).
pub const TOKEN_FORM_BYTES: u64 = 16 << 10;
/// Bytes of a file of certificates, or of the settings of the registry.
pub const SETTINGS_BYTES: u64 = 1 << 20;
/// Seconds for which a repository keeps a blob that no manifest lists, since a client last brought it, had it mounted or
/// asked for it: the time that a push may take from there to its manifest (R05).
pub const LEASE_SECONDS: u64 = 3600;
/// Seconds between two rounds of the collection.
pub const COLLECTION_SECONDS: u64 = 60;
/// Moves of one tag that are remembered (X03).
pub const TAG_MOVES: usize = 1000;
/// Bytes of the rules of a registry: who may do what in which repositories (X09).
pub const RULES_BYTES: u64 = 256 << 10;
/// Tables of each kind in those rules, each asked for every request (X09).
pub const RULES: usize = 1000;
/// Things that those rules say, when each account, right and pattern of their lists is one: rules are compared with those
/// before, each thing with each (X09).
pub const RULE_STATEMENTS: usize = 10_000;
/// Entries of a list in one of those tables (X09).
pub const RULE_ENTRIES: usize = 256;
/// What clients did and were refused that waits for the ledger (R22); what finds no room is not done.
pub const RECORDS_WAITING: usize = 16_384;
/// Records that are written together at most, roughly: pushes wait for that.
pub const RECORDS_AT_ONCE: usize = 1000;
/// Records of refusals that one source causes in a minute (X15); further ones are told of together.
pub const REFUSALS_OF_ONE: usize = 60;
/// Sources of refusals that are told from each other in a minute (X15).
pub const REFUSED_SOURCES: usize = 1000;
/// Records of pulls without an account that one source causes in an hour (X15); further ones are told of together.
pub const PULLS_OF_ONE: usize = 10_000;
/// Of those, records in which it may pull the same again (X15); all of them together, half of the next.
pub const SAME_PULLS_OF_ONE: usize = 1000;
/// Records of such pulls in an hour by all together (X15), some 80 MB of ledger; and as many of what is pulled then, without by
/// whom.
pub const PULLS_OF_ALL: usize = 200_000;
/// Labels and annotations of one manifest that people can search for (X03).
pub const LABELS: usize = 256;
/// Bytes of the name of one that they can search for: it stands in an index of the database (X03).
pub const LABEL_NAME_BYTES: usize = 255;
/// Bytes of its value (X03).
pub const LABEL_BYTES: usize = 4 << 10;
/// Bytes of a platform that they can search for (X03).
pub const PLATFORM_BYTES: usize = 100;
/// Manifests that are looked at for that before a page is shown (X03); the rest has its turn with the collection.
pub const DESCRIBED_AT_ONCE: usize = 500;
/// For how long a page waits for that (X03).
pub const DESCRIBING: std::time::Duration = std::time::Duration::from_secs(1);
