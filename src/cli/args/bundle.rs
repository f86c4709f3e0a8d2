//! From the manifest to a bundle, and what is done with one.

use std::path::PathBuf;

use super::{BundleName, ManifestArg, Passphrase, PublicKeys};
use crate::cli::volume_size;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Lock {
    #[command(flatten)]
    pub(in crate::cli) manifest: ManifestArg,
    /// Change nothing; fail with code 10 and a list when upstream moved
    #[arg(long, conflicts_with = "update")]
    pub(in crate::cli) check: bool,
    /// Resolve again what is locked already: everything, or names that contain NAME
    #[arg(long, value_name = "NAME", num_args = 0..)]
    pub(in crate::cli) update: Option<Vec<String>>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Build {
    #[command(flatten)]
    pub(in crate::cli) manifest: ManifestArg,
    /// Folder that gets the bundle folder NAME-VERSION
    #[arg(long = "out", short = 'o', value_name = "DIR", default_value = ".")]
    pub(in crate::cli) out: PathBuf,
    /// Private key to sign with: a file, or `pkcs11:…` for one on a token; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) passphrase: Passphrase,
    /// Refuse when the lock is missing or does not match the manifest, instead of updating it
    #[arg(long)]
    pub(in crate::cli) locked: bool,
    /// Most bytes of one volume file: a size such as 4GB or 700MiB, or fat32, kiosk, dvd
    #[arg(long, value_name = "SIZE", value_parser = volume_size::parse)]
    pub(in crate::cli) volume_size: Option<u64>,
    /// The bundle before this one in its channel: its folder, or the digest of its SHA256SUMS
    #[arg(long, value_name = "DIR|sha256:HEX")]
    pub(in crate::cli) previous: Option<BundleName>,
    /// Show items, sizes and volumes; fetch no layers and write no bundle
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("act").args(["key", "export", "add"]).required(true).multiple(true))]
#[command(after_long_help = "On a machine that the bundle cannot reach:
  sealift sign BUNDLE --export FILE              check the bundle, write out what is to be signed
  sealift sign FILE --key KEY --digest HEX       there: sign that file, write KEY-ID.sig
  sealift sign BUNDLE --add KEY-ID.sig --public PUBLIC-KEY")]
pub(in crate::cli) struct Sign {
    /// The bundle folder, or the file that --export wrote
    #[arg(value_name = "BUNDLE|FILE")]
    pub(in crate::cli) what: PathBuf,
    /// Private key to sign with: a file, or `pkcs11:…` for one on a token; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) passphrase: Passphrase,
    /// The first 8 or more hex digits of the digest of `SHA256SUMS`: sign, if it is this one
    #[arg(long, value_name = "HEX", requires = "key")]
    pub(in crate::cli) digest: Option<String>,
    /// Folder that gets the signatures of an exported FILE [default: .]
    #[arg(long, short = 'o', value_name = "DIR", conflicts_with_all = ["export", "add"])]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Check the bundle and write its `SHA256SUMS` to FILE, to be signed on another machine
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "add"])]
    pub(in crate::cli) export: Option<PathBuf>,
    /// Put this signature, made on another machine, into the bundle
    #[arg(long, value_name = "SIGFILE", requires = "public", conflicts_with = "key")]
    pub(in crate::cli) add: Option<PathBuf>,
    /// The public key that the signature of --add must be by
    #[arg(long, value_name = "FILE", requires = "add")]
    pub(in crate::cli) public: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Verify {
    /// The bundle folder
    pub(in crate::cli) bundle: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) keys: PublicKeys,
    /// Trust document to believe, from elsewhere than the media [default: the one that the home has pinned]
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub(in crate::cli) trust: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Inspect {
    /// The bundle folder
    pub(in crate::cli) bundle: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Diff {
    /// The earlier bundle folder
    pub(in crate::cli) from: PathBuf,
    /// The later bundle folder
    pub(in crate::cli) to: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Import {
    /// The bundle folder
    pub(in crate::cli) bundle: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) keys: PublicKeys,
    /// Import into this registry instead of the home store
    #[arg(long, value_name = "HOST[/PREFIX]")]
    pub(in crate::cli) to: Option<String>,
    /// Speak HTTP without TLS to the registry
    #[arg(long, requires = "to")]
    pub(in crate::cli) plain_http: bool,
    /// Certificates in PEM to accept from the registry, besides the system's
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(in crate::cli) ca_file: Option<PathBuf>,
    /// Only images for this platform (os/architecture); several allowed
    #[arg(long, value_name = "PLATFORM")]
    pub(in crate::cli) platform: Vec<String>,
    /// Only artifacts whose name matches; * stands for any text; several allowed
    #[arg(long, value_name = "PATTERN")]
    pub(in crate::cli) name: Vec<String>,
    /// Put names that begin with FROM under TO instead; the longest FROM wins; several allowed
    #[arg(long, value_name = "FROM=TO")]
    pub(in crate::cli) map: Vec<String>,
    /// Also write the carried files into this folder
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) files_to: Option<PathBuf>,
    /// Sign every image with this ECDSA P-256 key, so that cosign, podman and admission controllers can check it
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) sign_key: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) passphrase: Passphrase,
    /// Show what would be done; change nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Also write the signed receipt to this file, also that of a refusal
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) receipt: Option<PathBuf>,
}
