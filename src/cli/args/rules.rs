//! `sealift rules`

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rules {
    #[command(subcommand)]
    pub(in crate::cli) command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RulesCommand {
    /// Show the rules in force, as they were written
    Show,
    /// Check rules, and show what they would change; change nothing
    Check(RulesFile),
    /// Put rules into force, also for a registry that is serving, and show what that changes
    Set(RulesFile),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RulesFile {
    /// The rules, in TOML
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
}
