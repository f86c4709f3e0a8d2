//! `sealift store` and `sealift prune`

use std::path::PathBuf;

use clap::Subcommand;

use crate::rules::Pattern;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Store {
    #[command(subcommand)]
    pub(in crate::cli) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StoreCommand {
    /// Compare the database with the disk and say what is wrong; change nothing
    ///
    /// Exit code 4 where something that is published is damaged or missing. Others may use the home meanwhile.
    Check(StoreCheck),
    /// Hash everything, remove damaged copies, and bring the database into line with the disk
    ///
    /// What is removed or missing and still published comes back with the next import or push of it: what is shown
    /// says of which tags and bundles. Exit code 4 as long as something is missing.
    Repair,
    /// Copy the whole home into a folder, while it is used: rows of one moment, all they name, and the keys
    ///
    /// What an earlier backup of this home in the same folder has already is read and compared, and not copied again; that one
    /// holds until this one is whole. The importer key is in it, so keep it like the home itself. Exit code 4 where the home
    /// itself lost contents, which are named.
    Backup(StoreBackup),
    /// Make a home of a backup, after comparing every digest in it
    ///
    /// The home must be new or empty. Its ledger tells that it was restored: what the site did after the backup is in it no
    /// more.
    Restore(StoreRestore),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StoreBackup {
    /// Folder of the backup: new, empty, or with an earlier one of this home
    #[arg(value_name = "BACKUP")]
    pub(in crate::cli) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StoreRestore {
    /// Folder of the backup
    #[arg(value_name = "BACKUP")]
    pub(in crate::cli) backup: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StoreCheck {
    /// Hash everything, and not manifests alone
    #[arg(long)]
    pub(in crate::cli) read_data: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("does").required(true).args(["out", "apply"]))]
pub(in crate::cli) struct Prune {
    /// List manifests that no tag reaches [default, where --unreferenced is not given]
    #[arg(long)]
    pub(in crate::cli) untagged: bool,
    /// List also what imports brought by digest, without a tag: without this it stays, for it is pulled by digest
    #[arg(long)]
    pub(in crate::cli) imported: bool,
    /// List contents that nothing published needs, for instance what `lock` and `build` keep for the next time
    #[arg(long)]
    pub(in crate::cli) unreferenced: bool,
    /// List only what nobody needs since so many days
    #[arg(long, value_name = "DAYS", default_value = "0", hide_default_value = true)]
    pub(in crate::cli) older_than: u32,
    /// List only manifests of these repositories, for instance apps/**
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::parse, conflicts_with = "unreferenced")]
    pub(in crate::cli) repository: Option<Pattern>,
    /// Write the plan here
    #[arg(long = "out", short = 'o', value_name = "PLAN")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Do what this plan lists, each only if nothing needs it by now
    #[arg(
        long,
        value_name = "PLAN",
        conflicts_with_all = ["untagged", "imported", "unreferenced", "older_than", "repository"]
    )]
    pub(in crate::cli) apply: Option<PathBuf>,
}
