//! `sealift audit` and `sealift receipt`

use std::path::PathBuf;

use clap::Subcommand;

use crate::{
    base::digest::Digest,
    ledger::{Event, Network, RegistryAction},
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Audit {
    #[command(subcommand)]
    pub(in crate::cli) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Prove the ledger of a site whole, or name the record that was changed
    Ledger(AuditLedger),
    /// Find records in the ledger of the home: who did what, and was refused what, oldest first
    ///
    /// Nothing is proven by it: `audit ledger` does that.
    Search(AuditSearch),
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
pub(in crate::cli) struct AuditSearch {
    /// Done in the registry, or refused: push, pull, delete, restore, login, token, look, admin; several allowed
    #[arg(long, value_name = "ACTION", value_parser = action)]
    pub(in crate::cli) action: Vec<RegistryAction>,
    /// A kind of record: registry, import, refusal, rules, account, …; several allowed
    #[arg(long, value_name = "EVENT", value_parser = event)]
    pub(in crate::cli) event: Vec<String>,
    /// By this account, for instance user:kim or kim; anyone: without a login
    #[arg(long, value_name = "ACCOUNT")]
    pub(in crate::cli) who: Option<String>,
    /// From this address, or one of this network, for instance 10.1.0.0/16
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) from: Option<Network>,
    /// In this repository, as the registry of the site serves it
    #[arg(long, value_name = "REPOSITORY")]
    pub(in crate::cli) repository: Option<String>,
    /// Under this tag
    #[arg(long, value_name = "TAG")]
    pub(in crate::cli) tag: Option<String>,
    /// With this content; tags that came to lead to it, or away from it
    #[arg(long, value_name = "DIGEST")]
    pub(in crate::cli) digest: Option<Digest>,
    /// Not before this: a day (its first moment in UTC) or a time like 2027-01-31T12:00:00Z
    #[arg(long, value_name = "DATE")]
    pub(in crate::cli) since: Option<String>,
    /// Before this
    #[arg(long, value_name = "DATE")]
    pub(in crate::cli) until: Option<String>,
    /// Only what was refused
    #[arg(long)]
    pub(in crate::cli) refused: bool,
    /// Only what was done
    #[arg(long, conflicts_with = "refused")]
    pub(in crate::cli) done: bool,
}

fn action(text: &str) -> Result<RegistryAction, String> {
    let known = RegistryAction::ALL.iter().copied();
    known.clone().find(|action| action.name() == text).ok_or_else(|| {
        format!("expected one of {}", known.map(RegistryAction::name).collect::<Vec<_>>().join(", "))
    })
}

fn event(text: &str) -> Result<String, String> {
    let known = Event::NAMES;
    if known.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected one of {}", known.join(", ")))
    }
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
