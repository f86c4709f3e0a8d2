//! What was typed. The doc comments are the help.

mod account;
mod bundle;
mod custody;
mod key;
mod registry;
mod rules;
mod trust;
mod upkeep;

use std::{path::PathBuf, str::FromStr};

use clap::{Parser, Subcommand, ValueEnum};

pub(in crate::cli) use self::{
    account::{Account, AccountAdd, AccountCommand, AccountGroup, Password},
    bundle::{Build, Diff, Import, Inspect, Lock, Sign, Verify},
    custody::{
        Audit, AuditCommand, AuditLedger, AuditSearch, Receipt, ReceiptCommand, ReceiptExport, ReceiptShow,
        SiteKeys,
    },
    key::{Key, KeyAlgorithm, KeyCommand, KeyGenerate},
    registry::{Tag, TagCommand, TagHistory, TagList, TagName, TagRestore},
    rules::{Rules, RulesCommand},
    trust::{
        Expiry, OrderArgs, Trust, TrustAccept, TrustAdd, TrustBeacon, TrustChannel, TrustCommand,
        TrustExport, TrustFolder, TrustImporter, TrustInit, TrustOverride, TrustPin, TrustRemove,
        TrustRevoke, TrustRotate, TrustSettings, TrustShow, TrustSign, TrustStatus,
    },
    upkeep::{Prune, Store, StoreCommand},
};
use crate::base::digest::{Digest, DigestError};

/// Carries container images, Helm charts and files across an air gap in signed, reproducible bundles.
///
/// Connected side: init, lock, build, sign. Then carry the bundle folder. Disconnected side: verify, import, serve.
#[derive(Debug, Parser)]
#[command(name = "sealift", version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 2 usage, 3 environment, 4 damaged, 5 untrusted, 6 stale, 7 refused form, \
    8 policy, 9 upstream, 10 conflict, 1 our bug.\nTry it without network: sealift demo"
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(in crate::cli) global: Global,
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Global {
    /// Folder where sealift keeps content and state [default: the platform's data folder]
    #[arg(long, global = true, value_name = "DIR", env = "SEALIFT_HOME", hide_env_values = true)]
    pub(in crate::cli) home: Option<PathBuf>,
    /// How results are shown on standard output
    #[arg(long, global = true, value_enum, default_value = "human", value_name = "FORM")]
    pub(in crate::cli) output: Form,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(in crate::cli) quiet: bool,
    /// Say more
    #[arg(long, short, global = true)]
    pub(in crate::cli) verbose: bool,
    /// Work on this many things at once, 1 to 64 [default: one per core]
    #[arg(long, short, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(in crate::cli) jobs: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
    /// Text for people
    Human,
    /// One JSON document
    Json,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Write a manifest to start from
    Init(Init),
    /// Resolve the manifest to digests, written to sealift.lock
    Lock(Lock),
    /// Fetch what the lock names and seal it into a signed bundle
    Build(Build),
    /// Show what a bundle holds, check all of it, and add a signature
    ///
    /// Without --digest nothing is signed: read what is shown, then give the first digits of the digest to say
    /// that it is this bundle that you mean.
    Sign(Sign),
    /// Check a bundle: who signed it, and that every byte is what was signed
    Verify(Verify),
    /// Show what is inside a bundle, without checking it
    Inspect(Inspect),
    /// Show what one bundle has that another has not
    Diff(Diff),
    /// Verify a bundle and bring its content into the home store or a registry
    Import(Import),
    /// Serve the home store as an OCI registry
    Serve(Serve),
    /// Say who may log in to the registry that `serve` makes of the home
    Account(Account),
    /// Show the tags of the home, where they led before, and lead them back
    Tag(Tag),
    /// Compare what the home publishes with what lies on its disk, and mend it
    Store(Store),
    /// Take away what nobody needs: list it in a plan, review that, apply it
    ///
    /// Without --apply nothing is changed. Tags are never touched: what a tag leads to stays, with all that it lists and
    /// with its signatures.
    Prune(Prune),
    /// Write the files that make nodes pull from the site's registry under the original names
    ///
    /// Upstream is not asked any more: what the registry does not have, no node gets.
    MirrorConfig(MirrorConfig),
    /// Say who may do what with the repositories of the home, and which tags never move
    Rules(Rules),
    /// Make and show signing keys
    Key(Key),
    /// Say who may sign what: trust documents, and orders to a site
    Trust(Trust),
    /// Show and hand out what the site signed about its imports
    Receipt(Receipt),
    /// Prove what the site has kept, and search it
    Audit(Audit),
    /// Look at the home, this machine and a medium, and say what to do; change nothing
    Doctor(Doctor),
    /// Show the whole way on embedded content, without network
    Demo(Demo),
    /// Print a completion script for a shell
    Completions(Completions),
}

/// A bundle, named by its folder or by the digest of its `SHA256SUMS`.
#[derive(Debug, Clone)]
pub(in crate::cli) enum BundleName {
    Folder(PathBuf),
    Digest(Digest),
}

impl FromStr for BundleName {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if text.starts_with("sha256:") {
            text.parse().map(Self::Digest)
        } else {
            Ok(Self::Folder(text.into()))
        }
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ManifestArg {
    /// The manifest; the lock lies beside it
    #[arg(long = "file", short = 'f', value_name = "FILE", default_value = "sealift.toml")]
    pub(in crate::cli) path: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Passphrase {
    /// File with the passphrase or PIN of the keys on its first line [or `SEALIFT_KEY_PASSPHRASE`, or a prompt]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PublicKeys {
    /// Public key that must have signed the bundle, from elsewhere than the media; several allowed
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Init {
    #[command(flatten)]
    pub(in crate::cli) manifest: ManifestArg,
    /// Name of the bundle [default: the name of the folder]
    #[arg(long)]
    pub(in crate::cli) name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Serve {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR")]
    pub(in crate::cli) listen: Option<std::net::SocketAddr>,
    /// Speak HTTP without TLS: passwords can be read on the way
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_name"])]
    pub(in crate::cli) plain_http: bool,
    /// Show this certificate, with its chain [default: one of the site's own, made at the first start]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(in crate::cli) tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(in crate::cli) tls_key: Option<PathBuf>,
    /// Also make the site's own certificate for this host name or address; several allowed
    #[arg(long, value_name = "NAME", conflicts_with = "tls_cert")]
    pub(in crate::cli) tls_name: Vec<String>,
    /// File with these settings and more; what is given here counts before it
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Open the repositories below sandbox/ to pushes and deletions by everybody, for trials and conformance runs
    #[arg(long)]
    pub(in crate::cli) sandbox: bool,
    /// How events are told on standard error: faults, requests that were refused, start and stop; with --verbose
    /// every request, with --quiet faults only
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    pub(in crate::cli) log: LogForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogForm {
    /// A line of text for each
    Text,
    /// A line of JSON for each
    Json,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MirrorConfig {
    /// Who pulls on the nodes
    #[arg(long = "for", value_enum, value_name = "RUNTIME")]
    pub(in crate::cli) runtime: Runtime,
    /// The registry as the nodes reach it, with the prefix of its repositories if they were imported below one
    #[arg(long, value_name = "HOST[:PORT][/PREFIX]")]
    pub(in crate::cli) registry: String,
    /// An upstream registry that it stands for, for instance docker.io; several allowed
    /// [default: those that the home publishes content of]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(in crate::cli) upstream: Vec<String>,
    /// Certificate of the authority that vouches for the registry, in PEM form; goes to the nodes too
    #[arg(long, alias = "ca", value_name = "FILE", conflicts_with = "plain_http")]
    pub(in crate::cli) ca_file: Option<PathBuf>,
    /// The registry speaks HTTP without TLS
    #[arg(long)]
    pub(in crate::cli) plain_http: bool,
    /// Folder that gets the files, each where it lies on a node [default: print them]
    #[arg(long = "out", short = 'o', value_name = "DIR")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Runtime {
    /// containerd: a hosts.toml for each upstream
    Containerd,
    /// CRI-O, podman, skopeo and buildah: one file of registries.conf.d
    Crio,
    /// k3s: registries.yaml
    K3s,
    /// RKE2: registries.yaml
    Rke2,
    /// OpenShift: mirror sets for digests and tags
    Openshift,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Doctor {
    /// Also look at the folder where a medium is mounted
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) media: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Demo {
    /// Folder to work in; must be empty or missing [default: a new folder under the system's temporary one]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Completions {
    /// The shell
    pub(in crate::cli) shell: clap_complete::Shell,
}
