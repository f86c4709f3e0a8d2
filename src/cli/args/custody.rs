//! `sealift audit` and `sealift receipt`

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Audit {
    #[command(subcommand)]
    pub(in crate::cli) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Prove the ledger of a site whole, or name the record that was changed
    Ledger(AuditLedger),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AuditLedger {
    /// An exported ledger [default: the ledger of the home]
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Where the ledger stood once, kept off the site: a receipt, or a line `NUMBER HASH`; several allowed
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) head: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) keys: SiteKeys,
    /// Write the ledger of the home to FILE, or - for standard output, and check nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "head", "key"])]
    pub(in crate::cli) export: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SiteKeys {
    /// Public key of the site, which signs ledger and receipts; several allowed [default: those that the home
    /// knows]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Receipt {
    #[command(subcommand)]
    pub(in crate::cli) command: ReceiptCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ReceiptCommand {
    /// Check a receipt and show what it says
    Show(ReceiptShow),
    /// Write receipts of the home to files, as they were signed
    Export(ReceiptExport),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReceiptShow {
    /// A file, the digest of a receipt of the home, or latest
    #[arg(value_name = "RECEIPT", default_value = "latest")]
    pub(in crate::cli) receipt: String,
    #[command(flatten)]
    pub(in crate::cli) keys: SiteKeys,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReceiptExport {
    /// The digest of a receipt of the home, or latest
    #[arg(value_name = "RECEIPT", default_value = "latest", conflicts_with = "all")]
    pub(in crate::cli) receipt: String,
    /// All of them, each to a file in the folder of --out
    #[arg(long)]
    pub(in crate::cli) all: bool,
    /// The file; with --all the folder
    #[arg(long, short = 'o', value_name = "PATH")]
    pub(in crate::cli) out: PathBuf,
}
