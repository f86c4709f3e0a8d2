//! `sealift trust`

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand, ValueEnum};

use super::{BundleName, Passphrase};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Trust {
    #[command(subcommand)]
    pub(in crate::cli) command: TrustCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TrustCommand {
    /// Make the first trust document (--out), or pin one at a site (--site)
    Init(Box<TrustInit>),
    /// Add a key to the next trust document
    Add(TrustAdd),
    /// Take a key, or all keys of a holder, out of the next trust document
    Remove(TrustRemove),
    /// Put a new key in the place of an old one, for the same holder and roles
    Rotate(TrustRotate),
    /// Declare a key, or all keys of a holder, stolen or lost: never trusted again
    Revoke(TrustRevoke),
    /// Change thresholds, add a channel, or begin a channel anew
    Channel(TrustChannel),
    /// Show what a document says and sign it: a trust document, a beacon or an override
    Sign(TrustSign),
    /// Show trust documents: who may do what, who signed, who is missing
    Show(TrustShow),
    /// Copy the trust documents of a bundle, or of the home, into a folder
    Export(TrustExport),
    /// Make a document that admits one bundle against one rule at one site, once
    Override(TrustOverride),
    /// Make a document that tells sites which bundle of a channel is the newest
    Beacon(TrustBeacon),
    /// At a site: take newer trust documents, beacons and overrides
    Accept(TrustAccept),
    /// At a site: show whom it believes, where each channel stands, and what somebody should look at
    Status(TrustStatus),
    /// At a site: change what it decides for itself
    Settings(TrustSettings),
    /// At a site: show the key that signs its receipts and its ledger, or put a new one in its place
    Importer(TrustImporter),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("mode").args(["out", "site"]).required(true))]
pub(in crate::cli) struct TrustInit {
    /// Connected side: the folder that gets the first document; must be empty or missing
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Name of a channel; several allowed [default: default]
    #[arg(long, value_name = "NAME", conflicts_with = "site")]
    pub(in crate::cli) channel: Vec<String>,
    /// A key, what it is for, and who has it, for instance root:alice=alice.pub or prod:release:bob=bob.pub.
    /// Roles: root, release, approver, override, approver+override, importer
    #[arg(long, value_name = "[CHANNEL:]ROLE:HOLDER=FILE", conflicts_with = "site")]
    pub(in crate::cli) key: Vec<String>,
    /// How many different holders it takes, for instance root=2 or prod:release=1
    #[arg(long, value_name = "[CHANNEL:]ROLE=N", conflicts_with = "site")]
    pub(in crate::cli) threshold: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) pin: TrustPin,
}

/// The disconnected half of `trust init`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("pin").args(["root", "fingerprint"]).conflicts_with("out"))]
pub(in crate::cli) struct TrustPin {
    /// Disconnected side: the name that the home gets, the one that manifests name in `site`
    #[arg(long, value_name = "NAME", requires = "pin")]
    pub(in crate::cli) site: Option<String>,
    /// The trust document to pin, a file that came another way than the media
    #[arg(long, value_name = "FILE", requires = "site")]
    pub(in crate::cli) root: Option<PathBuf>,
    /// The fingerprint to pin, read from paper: 64 hex digits, spaces allowed
    #[arg(long, value_name = "HEX", requires_all = ["site", "media"])]
    pub(in crate::cli) fingerprint: Option<String>,
    /// The bundle that carries the document with this fingerprint
    #[arg(long, value_name = "BUNDLE", requires = "fingerprint")]
    pub(in crate::cli) media: Option<PathBuf>,
    /// A receipt of this site from before its state was lost; several allowed
    #[arg(long, value_name = "FILE", requires = "site")]
    pub(in crate::cli) receipt: Vec<PathBuf>,
    /// Public key that signed those receipts, where the trust document does not name it; several allowed
    #[arg(long, value_name = "FILE", requires = "receipt")]
    pub(in crate::cli) receipt_key: Vec<PathBuf>,
    /// Take no bundle of the channel before this one; several allowed
    #[arg(long, value_name = "CHANNEL=EPOCH.SEQUENCE", requires = "site")]
    pub(in crate::cli) at_least: Vec<String>,
    /// The private key that signs receipts [default: a new one]
    #[arg(long, value_name = "FILE", requires = "site")]
    pub(in crate::cli) importer_key: Option<PathBuf>,
    /// File with the passphrase of that key on its first line [or `SEALIFT_KEY_PASSPHRASE`, or a prompt]
    #[arg(long, value_name = "FILE", requires = "importer_key")]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustFolder {
    /// The folder of the trust documents
    #[arg(value_name = "DIR")]
    pub(in crate::cli) dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustAdd {
    #[command(flatten)]
    pub(in crate::cli) folder: TrustFolder,
    /// What the key is for: root, release, approver, override, approver+override or importer
    pub(in crate::cli) role: String,
    /// Who has the key
    pub(in crate::cli) holder: String,
    /// The public key
    #[arg(value_name = "FILE")]
    pub(in crate::cli) key: PathBuf,
    /// The channel that the key is for; several allowed [default: every channel]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) channel: Vec<String>,
    /// The first sequence that the key may sign
    #[arg(long, value_name = "SEQUENCE")]
    pub(in crate::cli) from: Option<u64>,
    /// The last sequence that the key may sign
    #[arg(long, value_name = "SEQUENCE")]
    pub(in crate::cli) to: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustRemove {
    #[command(flatten)]
    pub(in crate::cli) folder: TrustFolder,
    /// The key, by its id or the file of its public key, or the holder whose keys all go
    #[arg(value_name = "KEY-ID|FILE|HOLDER")]
    pub(in crate::cli) who: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustRotate {
    #[command(flatten)]
    pub(in crate::cli) folder: TrustFolder,
    /// The old key, by its id or the file of its public key, or its holder where that has one key
    #[arg(value_name = "KEY-ID|FILE|HOLDER")]
    pub(in crate::cli) old: String,
    /// The new public key
    #[arg(value_name = "FILE")]
    pub(in crate::cli) new: PathBuf,
    /// Also revoke the old key, and say what happened
    #[arg(long, value_name = "REASON")]
    pub(in crate::cli) revoke: Option<String>,
    /// Bundles from this sequence on that the old key signed are in doubt
    #[arg(long, value_name = "SEQUENCE", requires = "revoke")]
    pub(in crate::cli) since: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustRevoke {
    #[command(flatten)]
    pub(in crate::cli) folder: TrustFolder,
    /// The key, by its id or the file of its public key, or the holder whose keys are all revoked
    #[arg(value_name = "KEY-ID|FILE|HOLDER")]
    pub(in crate::cli) who: String,
    /// What happened, for people
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: String,
    /// Bundles from this sequence on that the key signed are in doubt
    #[arg(long, value_name = "SEQUENCE")]
    pub(in crate::cli) since: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustChannel {
    #[command(flatten)]
    pub(in crate::cli) folder: TrustFolder,
    /// The channel; one that is not there yet is added
    pub(in crate::cli) name: String,
    /// Begin the sequence of the channel anew: +1, or the number of the new epoch
    #[arg(long, value_name = "+1|N")]
    pub(in crate::cli) epoch: Option<String>,
    /// A key for the channel, and who has it; several allowed
    #[arg(long, value_name = "ROLE:HOLDER=FILE")]
    pub(in crate::cli) key: Vec<String>,
    /// How many different holders it takes, for instance release=1, or root=2; 0 asks for no approver, and
    /// allows no override
    #[arg(long, value_name = "ROLE=N")]
    pub(in crate::cli) threshold: Vec<String>,
}

/// Show what a document says and sign it: a trust document, a beacon or an override.
///
/// Without --fingerprint nothing is signed: read what is shown, then give the first digits of the fingerprint to
/// say that it is this document that you mean. The holders sign one after the other, or copies of the file at the
/// same time, which --add brings together.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").args(["key", "add"]).required(true).multiple(true))]
pub(in crate::cli) struct TrustSign {
    /// The document, or the folder whose unfinished trust document is meant
    #[arg(value_name = "FILE|DIR")]
    pub(in crate::cli) document: PathBuf,
    /// Private key to sign with
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) key: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) passphrase: Passphrase,
    /// The first 8 or more hex digits of the fingerprint: sign, if it is this document
    #[arg(long, value_name = "HEX", requires = "key")]
    pub(in crate::cli) fingerprint: Option<String>,
    /// Take the signatures of this copy over, which another holder signed; several allowed
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) add: Vec<PathBuf>,
    /// Folder of the trust documents that say who may sign [default: the folder of a trust document; `trust` for
    /// what is none]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) trust: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustShow {
    /// A folder of trust documents, a bundle, or one document [default: what the home pins]
    #[arg(value_name = "DIR|BUNDLE|FILE")]
    pub(in crate::cli) what: Option<PathBuf>,
    /// Folder of the trust documents that say who may sign [default: the folder of a trust document; `trust` for
    /// what is none]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) trust: Option<PathBuf>,
    /// Write a beacon as a QR code to this SVG file; `terminal` draws it here
    #[arg(long, value_name = "FILE", requires = "what")]
    pub(in crate::cli) qr: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustExport {
    /// The bundle [default: what the home pins]
    pub(in crate::cli) bundle: Option<PathBuf>,
    /// The folder that gets the documents; must be empty or missing
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(in crate::cli) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct OrderArgs {
    /// Folder of the trust documents that say who may sign
    #[arg(long, value_name = "DIR", default_value = "trust")]
    pub(in crate::cli) trust: PathBuf,
    /// Private key to sign with at once; others sign with `sealift trust sign`
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) key: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) passphrase: Passphrase,
    /// Where the document goes; - is standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustOverride {
    /// The one site that may use it
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) site: String,
    /// The one bundle: its folder, or the digest of its SHA256SUMS
    #[arg(long, value_name = "DIR|sha256:HEX")]
    pub(in crate::cli) bundle: BundleName,
    /// The channel of the bundle [default: what the folder of the bundle says]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) channel: Option<String>,
    /// The one rule that it lifts: rollback, equivocation, sequence-jump, previous-mismatch or expired
    #[arg(long)]
    pub(in crate::cli) effect: String,
    /// Why, for the auditor
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: String,
    #[command(flatten)]
    pub(in crate::cli) order: OrderArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustBeacon {
    /// The newest bundle of its channel
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) bundle: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) order: OrderArgs,
    /// Also write it as a QR code to this SVG file; `terminal` draws it here
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(in crate::cli) qr: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustAccept {
    /// The documents, taken in this order, all or none; - is standard input
    #[arg(value_name = "FILE|-", required = true)]
    pub(in crate::cli) documents: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustStatus {
    /// End with code 6 when there is something to look at, for monitoring
    #[arg(long)]
    pub(in crate::cli) check: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustSettings {
    /// What becomes of a bundle past its time: told of, or refused
    #[arg(long, value_enum)]
    pub(in crate::cli) expiry: Option<Expiry>,
    /// Days without a new bundle or beacon after which a channel is in alarm; 0 for never
    #[arg(long, value_name = "DAYS")]
    pub(in crate::cli) max_silence: Option<u64>,
    /// How far ahead of the last bundle the next may be
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) jump_limit: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustImporter {
    /// Put a new key in the place of the one that is there, which signs in the ledger that it hands over and is
    /// not kept
    #[arg(long)]
    pub(in crate::cli) replace: bool,
    /// The private key that signs from now on [default: a new one]
    #[arg(long, value_name = "FILE", requires = "replace")]
    pub(in crate::cli) importer_key: Option<PathBuf>,
    /// File with the passphrase of that key on its first line [or `SEALIFT_KEY_PASSPHRASE`, or a prompt]
    #[arg(long, value_name = "FILE", requires = "importer_key")]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Expiry {
    /// A bundle past its time is refused, by the later of the system's clock and what signed documents prove
    Strict,
    /// A bundle past its time is imported, with a warning
    Advisory,
}
