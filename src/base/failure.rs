//! The one shape of every failure: a stable reason, the object, what was found, what to do next.
//!
//! A [`Reason`] fixes the [`Class`] and so the exit code; `docs/exit-codes.md` lists them all and a test
//! compares. Tests assert code and reason, never prose.

use std::fmt;

/// What kind of trouble: decides the exit code and what the operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Exit 1: our bug.
    Internal,
    /// Exit 2: flag, manifest, configuration. Nothing was touched.
    Usage,
    /// Exit 3: disk full, permission, media pulled, lock held.
    Environment,
    /// Exit 4: bytes differ, are cut, or a file is missing.
    Damaged,
    /// Exit 5: no, too few, invalid or revoked signatures.
    Untrusted,
    /// Exit 6: rollback, replay, gap, wrong channel or site.
    Stale,
    /// Exit 7: malformed, ambiguous, over a limit, unknown version.
    Refused,
    /// Exit 8: a gate, a tier, immutability, rights.
    Policy,
    /// Exit 9: network, TLS, credentials, registry error.
    Upstream,
    /// Exit 10: conflict, or an asked-for partial result.
    Conflict,
}

impl Class {
    /// The exit code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Damaged => 4,
            Self::Untrusted => 5,
            Self::Stale => 6,
            Self::Refused => 7,
            Self::Policy => 8,
            Self::Upstream => 9,
            Self::Conflict => 10,
        }
    }

    /// Position in the order that decides when several apply: smaller wins (`docs/exit-codes.md`).
    fn rank(self) -> u8 {
        match self {
            Self::Internal => 0,
            Self::Refused => 1,
            Self::Untrusted => 2,
            Self::Stale => 3,
            Self::Damaged => 4,
            Self::Policy => 5,
            Self::Usage => 6,
            Self::Environment => 7,
            Self::Upstream => 8,
            Self::Conflict => 9,
        }
    }
}

macro_rules! reasons {
    ($($name:ident $text:literal $class:ident $meaning:literal)*) => {
        /// The stable, kebab-case name of what went wrong. Never renamed once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kebab-case name.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The class, and so the exit code.
            pub fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// One line for the documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

reasons! {
    Internal "internal" Internal "a bug in sealift; please report it"

    // 2 usage: arguments, manifest, lock
    BadArgument "bad-argument" Usage "a flag or argument has a value that cannot be used"
    ManifestSyntax "manifest-syntax" Usage "the manifest is not TOML"
    ManifestUnknownKey "manifest-unknown-key" Usage "a key of the manifest is not known"
    ManifestValue "manifest-value" Usage "a value of the manifest has the wrong type or form"
    ManifestMissingKey "manifest-missing-key" Usage "a key that the manifest must have is missing"
    ManifestConflict "manifest-conflict" Usage "two entries of the manifest contradict each other"
    ManifestInclude "manifest-include" Usage "an included manifest cannot be used"
    ManifestNotFound "manifest-not-found" Usage "there is no manifest at the path"
    LockMissing "lock-missing" Usage "a lock is needed and there is none"
    LockOutdated "lock-outdated" Usage "the lock does not match the manifest"
    LockMalformed "lock-malformed" Usage "the lock is not one that sealift writes"
    KeyFormat "key-format" Usage "a key file is no Ed25519 or ECDSA P-256 key in PEM (PKCS#8 or SPKI)"
    KeyPassphrase "key-passphrase" Usage "the passphrase of a key is missing or wrong"
    KeyPermissions "key-permissions" Usage "a private key, or a file with a passphrase or PIN, can be read by others"
    KeyExists "key-exists" Usage "the key file exists already and is not overwritten"
    TokenUri "token-uri" Usage "the pkcs11: URI of a key cannot be used"
    TokenAmbiguous "token-ambiguous" Usage "several tokens, or several keys of a token, have the given name"
    TokenKey "token-key" Usage "the token holds no usable key of the given name"
    TokenPin "token-pin" Usage "the PIN of a token is wrong, expired or not set"
    DigestUnconfirmed "digest-unconfirmed" Usage "a bundle was shown, and not signed: its digest was not given"
    DraftSigned "draft-signed" Usage "a trust document that somebody signed already is not changed any more"
    OutputExists "output-exists" Usage "the output exists already and is something else"
    FilterMatchesNothing "filter-matches-nothing" Usage "a name or platform filter selects nothing"
    ManifestCredentials "manifest-credentials" Usage "the manifest holds, or has a key for, credentials"
    PlainHttp "plain-http" Usage "an http address names a host that may only be spoken to with TLS"
    TagUnknown "tag-unknown" Usage "the home has no such repository or tag, or knows of no other place where it led"
    RulesMalformed "rules-malformed" Usage "the rules of a registry cannot be understood"
    CaFile "ca-file" Usage "a file of accepted certificates holds none that can be read"
    TlsFile "tls-file" Usage "a file with the registry's certificate, its key, or authorities of clients cannot be used"
    ConfigFile "config-file" Usage "the file with the settings of the registry cannot be used"
    AccountExists "account-exists" Usage "there is an account of this name, or with this identity in certificates"
    AccountUnknown "account-unknown" Usage "there is no account of this name"

    // 3 environment
    NotFound "not-found" Environment "a file or folder is not there"
    PermissionDenied "permission-denied" Environment "the system refuses access to a file"
    DiskFull "disk-full" Environment "there is not enough space"
    FileTooLarge "file-too-large" Environment "the file system cannot hold a file of this size"
    InputOutput "input-output" Environment "the system reports an input/output error"
    LockHeld "lock-held" Environment "another sealift process is at work on the same object"
    ChangedMeanwhile "changed-meanwhile" Environment "somebody else changed it since it was looked at"
    TokenModule "token-module" Environment "the PKCS#11 module of a token cannot be loaded"
    TokenNotFound "token-not-found" Environment "no token of the given name is there"
    TokenPinLocked "token-pin-locked" Environment "the token locked its PIN after too many wrong ones"
    TokenMechanism "token-mechanism" Environment "the token cannot sign in the way that is needed"
    TokenFailed "token-failed" Environment "the token or its module reports an error"
    Database "database" Environment "the site's database cannot be read or written"
    DatabaseAway "database-away" Environment "the server of a database does not answer"
    LedgerUnwritten "ledger-unwritten" Environment "what was to be done could not be told in the ledger, so it was not done"
    ImporterRevoked "importer-revoked" Environment "the trust document has revoked the site's own key, which signs its receipts and its ledger"
    Bucket "bucket" Environment "the bucket that holds the contents of the home cannot be reached or used"
    Permissions "permissions" Environment "others may read or change what only its owner should"
    AddressInUse "address-in-use" Environment "the address to listen on is taken"

    // 4 damaged
    DigestMismatch "digest-mismatch" Damaged "bytes differ from their digest"
    ChunkDamaged "chunk-damaged" Damaged "parts of a volume differ from what was signed"
    FileDamaged "file-damaged" Damaged "a file of the bundle differs from SHA256SUMS"
    FileMissing "file-missing" Damaged "a file that SHA256SUMS lists is missing"
    VolumeMissing "volume-missing" Damaged "a volume that SHA256SUMS lists is missing"
    VolumeOfOtherBundle "volume-of-other-bundle" Damaged "a volume is a whole volume, but of another place"
    Truncated "truncated" Damaged "data end before their declared length"
    BlobMissing "blob-missing" Damaged "a manifest names content that is not there"
    SizeMismatch "size-mismatch" Damaged "content has another size than declared"
    StoreDamaged "store-damaged" Damaged "stored content no longer matches its digest"
    LedgerMalformed "ledger-malformed" Damaged "a line of a ledger is no record in the one form"
    LedgerEdited "ledger-edited" Damaged "a record of a ledger was changed"
    LedgerInserted "ledger-inserted" Damaged "a record was put into a ledger where none was"
    LedgerDeleted "ledger-deleted" Damaged "records were taken out of a ledger"
    LedgerReordered "ledger-reordered" Damaged "records of a ledger stand in another order than written"
    LedgerCheckpoint "ledger-checkpoint" Damaged "a signed checkpoint of a ledger does not hold, or none stands after its last records: they were rewritten or put in"
    LedgerCut "ledger-cut" Damaged "a ledger ends before what is known of it elsewhere, or is gone from a home that has written one"
    LedgerFork "ledger-fork" Damaged "a ledger says something else than what is known of it elsewhere"
    BackupUnfinished "backup-unfinished" Damaged "a folder holds no finished backup of a home"
    DatabaseDamaged "database-damaged" Damaged "the site's database is damaged"

    // 5 untrusted
    NoKey "no-key" Untrusted "no public key was given to check against"
    SignatureMissing "signature-missing" Untrusted "the bundle carries no signature"
    SignatureUntrusted "signature-untrusted" Untrusted "no signature is by one of the given keys"
    SignatureInvalid "signature-invalid" Untrusted "a signature by a given key does not hold"
    SignaturesTooFew "signatures-too-few" Untrusted "fewer people signed than a role takes"
    KeyRevoked "key-revoked" Untrusted "the signature is by a key that is trusted no more"
    KeyRole "key-role" Untrusted "the signature is by a key that has another role or channel"
    KeySequence "key-sequence" Untrusted "the signature is by a key that does not count for this sequence"
    WrongType "wrong-type" Untrusted "a signed document is of another kind than the one asked for"
    TrustFingerprint "trust-fingerprint" Untrusted "a trust document is not the one whose fingerprint was given"
    TrustGap "trust-gap" Untrusted "a version of the trust document is missing"
    TrustFork "trust-fork" Untrusted "two trust documents of one version exist"
    TrustTooOld "trust-too-old" Untrusted "the bundle asks for a newer trust document than this site has"
    TrustMissing "trust-missing" Untrusted "this home has no pinned trust document"
    TrustPinned "trust-pinned" Untrusted "this site has a pinned trust document, which single keys do not replace"
    OverrideRefused "override-refused" Untrusted "an override is not one that may be used here"
    WeakKey "weak-key" Untrusted "a public key is of the kind that accepts any signature"
    UpstreamUnsigned "upstream-unsigned" Untrusted "an image that must be signed upstream carries no signature"
    UpstreamSignature "upstream-signature" Untrusted "no signature of an image is by who must have signed it"

    // 6 stale
    ChannelUnknown "channel-unknown" Stale "the bundle is for a channel that the trust document does not know"
    Rollback "rollback" Stale "the bundle is older than what this site has, or what this key signed"
    WrongEpoch "wrong-epoch" Stale "the bundle is of another epoch than the channel"
    Equivocation "equivocation" Stale "two bundles of one sequence with other content exist"
    ChannelFrozen "channel-frozen" Stale "the channel is frozen since two bundles of one sequence were seen"
    SequenceJump "sequence-jump" Stale "the bundle is too far ahead of what this site has"
    PreviousMismatch "previous-mismatch" Stale "the bundle follows another bundle than the one this site has"
    WrongSite "wrong-site" Stale "the bundle is for another site"
    Expired "expired" Stale "the bundle or document is past its time, and this site is strict about it"
    ChannelBehind "channel-behind" Stale "a beacon told of a newer bundle than this site has"
    ChannelSilent "channel-silent" Stale "nothing new of the channel came for longer than the site allows"
    ImportUnfinished "import-unfinished" Stale "a bundle is admitted here, and did not all come to where it was to go"
    TrustBehind "trust-behind" Stale "a beacon told of a newer trust document than this site has"
    InDoubt "in-doubt" Stale "a key that was revoked later signed a bundle which was imported here"
    ClockWrong "clock-wrong" Stale "a channel was heard of later than it is now: the clock is wrong, or was"
    BeaconStale "beacon-stale" Stale "the beacon is older than what this site knows"

    // 7 refused form: documents of trust
    ReceiptMalformed "receipt-malformed" Refused "a receipt does not follow its form, or its two statements contradict each other"
    BackupMalformed "backup-malformed" Refused "what a backup says of itself does not follow its form"
    NoteMalformed "note-malformed" Refused "a signed document does not follow its form"
    TrustMalformed "trust-malformed" Refused "a trust document contradicts itself or the one before"

    // 7 refused form: bundle
    SumsMalformed "sums-malformed" Refused "SHA256SUMS does not follow its grammar"
    SumsTooLarge "sums-too-large" Refused "SHA256SUMS is larger than 1 MiB"
    FormatVersion "format-version" Refused "a format version is not known to this sealift"
    FileExtra "file-extra" Refused "the bundle holds a file that is not listed"
    FileSpecial "file-special" Refused "a link, device or other special file stands where a plain file must"
    SignatureLimit "signature-limit" Refused "too many or too large signature files"
    BundleIndexMalformed "bundle-index-malformed" Refused "bundle.json does not follow its schema"
    BundleIndexMismatch "bundle-index-mismatch" Refused "bundle.json contradicts SHA256SUMS or itself"
    ChunkListMalformed "chunk-list-malformed" Refused "chunks.bin does not fit the volumes"
    EncodingUnknown "encoding-unknown" Refused "a blob has an encoding that this sealift cannot read"
    ZstdMalformed "zstd-malformed" Refused "a volume is not the zstd stream that the format allows"
    ZstdSkippable "zstd-skippable-frame" Refused "a volume holds a skippable frame"
    ZstdDictionary "zstd-dictionary" Refused "a frame asks for a dictionary"
    ZstdWindow "zstd-window" Refused "a frame asks for a larger window than allowed"
    ZstdFrame "zstd-frame" Refused "a frame does not end where bundle.json says"
    ZstdExpansion "zstd-expansion" Refused "a frame holds more than declared"
    TarMalformed "tar-malformed" Refused "a tar header is not the one the format prescribes"
    TarLink "tar-link" Refused "a volume holds a symbolic or hard link"
    TarDevice "tar-device" Refused "a volume holds a device, fifo or other special member"
    TarExtension "tar-extension" Refused "a volume holds a PAX, GNU or other extension header"
    TarPath "tar-path" Refused "a member has a path outside the grammar"
    TarDuplicate "tar-duplicate" Refused "a volume holds a member twice"
    TarOrder "tar-order" Refused "members stand in another order than listed"
    TarExtra "tar-extra" Refused "a volume holds a member that is not listed"
    TarMetadata "tar-metadata" Refused "a member has another mode, owner or time than the format prescribes"
    TarSize "tar-size" Refused "a member has another size than listed"
    TarTrailing "tar-trailing" Refused "there are bytes after the end of a volume"
    TarEnd "tar-end" Refused "a volume does not end with two zero blocks"
    EvidenceMalformed "evidence-malformed" Refused "a document below evidence/ does not follow its schema"
    BlobUnreferenced "blob-unreferenced" Refused "the bundle carries content that no artifact needs"

    // 7 refused form: OCI, JSON and others
    NameMalformed "name-malformed" Refused "a repository, tag or file name is outside the grammar"
    OciMalformed "oci-malformed" Refused "an OCI document does not follow the specification"
    OciAmbiguous "oci-ambiguous" Refused "an OCI document can be read in two ways"
    OciUnsupported "oci-unsupported" Refused "an OCI document is of a kind that is not carried"
    OciLimit "oci-limit" Refused "an OCI document or graph is over a limit"
    DescriptorData "descriptor-data" Refused "data embedded in a descriptor differ from its digest"
    LayoutMalformed "layout-malformed" Refused "an OCI layout or image archive is malformed"
    ChartMalformed "chart-malformed" Refused "a chart or chart index is malformed"

    // 8 policy
    TagImmutable "tag-immutable" Policy "a rule says that a tag never moves and never goes"
    QuotaExceeded "quota-exceeded" Policy "repositories would hold more than a rule allows"

    // 9 upstream
    Network "network" Upstream "a server cannot be reached or breaks the connection"
    TlsFailure "tls-failure" Upstream "the server's certificate is not accepted"
    HttpStatus "http-status" Upstream "a server answers with an error"
    UpstreamNotFound "upstream-not-found" Upstream "the server does not have what was asked for"
    AuthFailed "auth-failed" Upstream "the server refuses the credentials, or asks for some"
    AuthRealm "auth-realm" Upstream "the server wants credentials sent to another host"
    CredentialHelper "credential-helper" Upstream "a credential helper or credential file cannot be used"
    RateLimited "rate-limited" Upstream "the server asks to come back later than we are willing to wait"
    UpstreamTimeout "upstream-timeout" Upstream "the server is too slow or stopped sending"
    UpstreamLimit "upstream-limit" Upstream "the server sends more than allowed"
    UpstreamDigest "upstream-digest-mismatch" Upstream "the server sends other bytes than the digest names"
    UpstreamRedirect "upstream-redirect" Upstream "the server redirects to where we do not follow"
    UpstreamMalformed "upstream-malformed" Upstream "the server's answer cannot be understood"
    UpstreamMoved "upstream-moved" Upstream "what upstream serves is no longer what was locked"
    NoMatch "no-match" Upstream "upstream has nothing that matches the request"
    PushRefused "push-refused" Upstream "the destination registry refuses content"

    // 10 conflict
    Drift "drift" Conflict "upstream moved since the lock was written"
    PlanOutdated "plan-outdated" Conflict "what a plan names is needed, or was changed, since the plan was made"
}

/// Something failed. `Display` gives one line without the hint; the chain is printed once, by the CLI.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The stable reason.
    pub reason: Reason,
    /// What it happened to: a path, a reference, a member. Escaped when shown.
    pub object: String,
    /// What was expected and what was found, without the object.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Result of something that may fail.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure of `object`: `message` says what was expected and what was found.
    pub fn new(reason: Reason, object: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { reason, object: object.to_string(), message: message.to_string(), hint: None }
    }

    /// A bug of ours.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Reason::Internal, "sealift", message)
            .hint("this is a bug: please report it with the command line")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Names another object, when the caller knows it better.
    #[must_use]
    pub fn of(mut self, object: impl fmt::Display) -> Self {
        self.object = object.to_string();
        self
    }

    /// Turns the failure to another reason, when the caller knows the circumstance better.
    #[must_use]
    pub fn as_reason(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            super::text::escaped(&self.object, 400),
            super::text::escaped(&self.message, 2000)
        )
    }
}

impl std::error::Error for Failure {}

/// One or more failures, as a command ends with them. Never empty.
#[derive(Debug)]
pub struct Failures(Vec<Failure>);

impl Failures {
    /// `Ok` when nothing failed.
    pub fn check(list: Vec<Failure>) -> Result<(), Self> {
        if list.is_empty() { Ok(()) } else { Err(Self(list)) }
    }

    /// All of them, in the order found.
    pub fn list(&self) -> &[Failure] {
        &self.0
    }

    /// The exit code: the class that ranks first when several apply.
    pub fn code(&self) -> u8 {
        self.worst().map_or(1, |failure| failure.reason.class().code())
    }

    /// The first one of the class that decides.
    pub fn worst(&self) -> Option<&Failure> {
        self.0.iter().min_by_key(|failure| failure.reason.class().rank())
    }

    /// Each of them changed.
    #[must_use]
    pub fn map(self, change: impl FnMut(Failure) -> Failure) -> Self {
        Self(self.0.into_iter().map(change).collect())
    }

    /// With one more at the end, unless it says what is said already.
    #[must_use]
    pub fn and(mut self, failure: Failure) -> Self {
        let says =
            |known: &Failure| known.reason == failure.reason && known.to_string() == failure.to_string();
        if !self.0.iter().any(says) {
            self.0.push(failure);
        }
        self
    }
}

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Self(vec![failure])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_unique_and_kebab_case() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.text()), "{} twice", reason.text());
            assert!(reason.text().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        }
    }

    #[test]
    fn the_gravest_class_decides() {
        let failures = Failures(vec![
            Failure::new(Reason::DiskFull, "x", "y"),
            Failure::new(Reason::ChunkDamaged, "x", "y"),
            Failure::new(Reason::FileExtra, "x", "y"),
        ]);
        assert_eq!(failures.code(), 7);
    }
}
