//! What was typed. The doc comments are the help.

use std::path::PathBuf;

use super::volume_size;
use clap::{Parser, Subcommand, ValueEnum};

/// Carries container images, Helm charts and files across an air gap in signed, reproducible bundles.
///
/// Connected side: init, lock, build. Then carry the bundle folder. Disconnected side: verify, import, serve.
#[derive(Debug, Parser)]
#[command(name = "sealift", version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 2 usage, 3 environment, 4 damaged, 5 untrusted, 6 stale, 7 refused form, \
    8 policy, 9 upstream, 10 conflict, 1 our bug.\nTry it without network: sealift demo"
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Args)]
pub(super) struct Global {
    /// Folder where sealift keeps content and state [default: the platform's data folder]
    #[arg(long, global = true, value_name = "DIR", env = "SEALIFT_HOME", hide_env_values = true)]
    pub(super) home: Option<PathBuf>,
    /// How results are shown on standard output
    #[arg(long, global = true, value_enum, default_value = "human", value_name = "FORM")]
    pub(super) output: Form,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more
    #[arg(long, short, global = true)]
    pub(super) verbose: bool,
    /// Work on this many things at once, 1 to 64 [default: one per core]
    #[arg(long, short, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) jobs: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Text for people
    Human,
    /// One JSON document
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a manifest to start from
    Init(Init),
    /// Resolve the manifest to digests, written to sealift.lock
    Lock(Lock),
    /// Fetch what the lock names and seal it into a signed bundle
    Build(Build),
    /// Check a bundle: who signed it, and that every byte is what was signed
    Verify(Verify),
    /// Show what is inside a bundle, without checking it
    Inspect(Inspect),
    /// Show what one bundle has that another has not
    Diff(Diff),
    /// Verify a bundle and bring its content into the home store or a registry
    Import(Import),
    /// Serve the home store as a read-only OCI registry
    Serve(Serve),
    /// Make and show signing keys
    Key(Key),
    /// Show the whole way on embedded content, without network
    Demo(Demo),
    /// Print a completion script for a shell
    Completions(Completions),
}

#[derive(Debug, clap::Args)]
pub(super) struct ManifestArg {
    /// The manifest; the lock lies beside it
    #[arg(long = "file", short = 'f', value_name = "FILE", default_value = "sealift.toml")]
    pub(super) path: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    #[command(flatten)]
    pub(super) manifest: ManifestArg,
    /// Name of the bundle [default: the name of the folder]
    #[arg(long)]
    pub(super) name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Lock {
    #[command(flatten)]
    pub(super) manifest: ManifestArg,
    /// Change nothing; fail with code 10 and a list when upstream moved
    #[arg(long, conflicts_with = "update")]
    pub(super) check: bool,
    /// Resolve again what is locked already: everything, or names that contain NAME
    #[arg(long, value_name = "NAME", num_args = 0..)]
    pub(super) update: Option<Vec<String>>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Build {
    #[command(flatten)]
    pub(super) manifest: ManifestArg,
    /// Folder that gets the bundle folder NAME-VERSION
    #[arg(long = "out", short = 'o', value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,
    /// Private key to sign with; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(super) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) passphrase: Passphrase,
    /// Refuse when the lock is missing or does not match the manifest, instead of updating it
    #[arg(long)]
    pub(super) locked: bool,
    /// Most bytes of one volume file: a size such as 4GB or 700MiB, or fat32, kiosk, dvd
    #[arg(long, value_name = "SIZE", value_parser = volume_size::parse)]
    pub(super) volume_size: Option<u64>,
    /// Show items, sizes and volumes; fetch no layers and write no bundle
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Passphrase {
    /// File with the passphrase of the keys on its first line [or `SEALIFT_KEY_PASSPHRASE`, or a prompt]
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct PublicKeys {
    /// Public key that must have signed the bundle, from elsewhere than the media; several allowed
    #[arg(long, value_name = "FILE")]
    pub(super) key: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The bundle folder
    pub(super) bundle: PathBuf,
    #[command(flatten)]
    pub(super) keys: PublicKeys,
}

#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The bundle folder
    pub(super) bundle: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// The earlier bundle folder
    pub(super) from: PathBuf,
    /// The later bundle folder
    pub(super) to: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The bundle folder
    pub(super) bundle: PathBuf,
    #[command(flatten)]
    pub(super) keys: PublicKeys,
    /// Import into this registry instead of the home store
    #[arg(long, value_name = "HOST[/PREFIX]")]
    pub(super) to: Option<String>,
    /// Speak HTTP without TLS to the registry
    #[arg(long, requires = "to")]
    pub(super) plain_http: bool,
    /// Certificates in PEM to accept from the registry, besides the system's
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(super) ca_file: Option<PathBuf>,
    /// Only images for this platform (os/architecture); several allowed
    #[arg(long, value_name = "PLATFORM")]
    pub(super) platform: Vec<String>,
    /// Only artifacts whose name matches; * stands for any text; several allowed
    #[arg(long, value_name = "PATTERN")]
    pub(super) name: Vec<String>,
    /// Put names that begin with FROM under TO instead; the longest FROM wins; several allowed
    #[arg(long, value_name = "FROM=TO")]
    pub(super) map: Vec<String>,
    /// Also write the carried files into this folder
    #[arg(long, value_name = "DIR")]
    pub(super) files_to: Option<PathBuf>,
    /// Sign every image with this ECDSA P-256 key, so that cosign, podman and admission controllers can check it
    #[arg(long, value_name = "FILE")]
    pub(super) sign_key: Option<PathBuf>,
    #[command(flatten)]
    pub(super) passphrase: Passphrase,
    /// Show what would be done; change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also write the receipt to this file
    #[arg(long, value_name = "FILE")]
    pub(super) receipt: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    pub(super) listen: std::net::SocketAddr,
}

#[derive(Debug, clap::Args)]
pub(super) struct Key {
    #[command(subcommand)]
    pub(super) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key pair; the private key goes to FILE, the public key to standard output
    Generate(KeyGenerate),
    /// Print the public key of a private key file
    Public(KeyPublic),
}

#[derive(Debug, clap::Args)]
pub(super) struct KeyGenerate {
    /// Where the private key goes; never overwritten
    #[arg(long = "out", short = 'o', value_name = "FILE")]
    pub(super) out: PathBuf,
    /// How the key signs
    #[arg(long, value_enum, default_value = "ed25519")]
    pub(super) algorithm: KeyAlgorithm,
    /// Do not encrypt the private key
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(super) no_passphrase: bool,
    #[command(flatten)]
    pub(super) passphrase: Passphrase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyAlgorithm {
    /// Small and fast; openssl 3.0 and newer check it
    Ed25519,
    /// For smart cards, older openssl, and images that cosign and podman are to check
    EcdsaP256,
}

#[derive(Debug, clap::Args)]
pub(super) struct KeyPublic {
    /// The private key file
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) passphrase: Passphrase,
}

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Folder to work in; must be empty or missing [default: a new folder under the system's temporary one]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}
