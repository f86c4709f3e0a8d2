//! `sealift key`

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::Passphrase;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Key {
    #[command(subcommand)]
    pub(in crate::cli) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Make a key pair; the private key goes to FILE, the public key to standard output
    Generate(KeyGenerate),
    /// Print a public key and its id
    Public(KeyPublic),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct KeyGenerate {
    /// Where the private key goes; never overwritten
    #[arg(long = "out", short = 'o', value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
    /// How the key signs
    #[arg(long, value_enum, default_value = "ed25519")]
    pub(in crate::cli) algorithm: KeyAlgorithm,
    /// Do not encrypt the private key
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(in crate::cli) no_passphrase: bool,
    #[command(flatten)]
    pub(in crate::cli) passphrase: Passphrase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum KeyAlgorithm {
    /// Small and fast; openssl 3.0 and newer check it
    Ed25519,
    /// For smart cards, older openssl, and images that cosign and podman are to check
    EcdsaP256,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct KeyPublic {
    /// The private key or its public half: a file, or `pkcs11:…` for one on a token
    pub(in crate::cli) key: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) passphrase: Passphrase,
}
