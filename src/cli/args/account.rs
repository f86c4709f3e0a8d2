//! `sealift account`

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Account {
    #[command(subcommand)]
    pub(in crate::cli) command: AccountCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AccountCommand {
    /// Make an account; its password is made too, and shown once on standard output
    Add(AccountAdd),
    /// Show all accounts
    List,
    /// Give an account another password, made or of a file
    ///
    /// Tokens that were given for the one before are refused from the next request on.
    Secret(AccountSecret),
    /// Keep an account, and let nobody use it
    Disable(AccountName),
    /// Let it be used again
    Enable(AccountName),
    /// Take an account away
    Remove(AccountName),
    /// Put accounts into groups, and take them out
    #[command(subcommand)]
    Group(AccountGroup),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AccountAdd {
    /// Its name: 1 to 64 of a-z 0-9 . _ -
    pub(in crate::cli) name: String,
    /// For a program, not for a person
    #[arg(long)]
    pub(in crate::cli) robot: bool,
    /// Put it into this group; several allowed
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) group: Vec<String>,
    /// It ends then: a day (its first moment in UTC) or a time like 2027-01-31T12:00:00Z
    #[arg(long, value_name = "DATE")]
    pub(in crate::cli) expires: Option<String>,
    /// Open it to client certificates with this identity: spiffe://…, dns:NAME or cn:NAME; several allowed
    #[arg(long, value_name = "IDENTITY")]
    pub(in crate::cli) certificate_identity: Vec<String>,
    /// Give it no password: certificates alone open it
    #[arg(long, conflicts_with = "password_file", requires = "certificate_identity")]
    pub(in crate::cli) no_password: bool,
    #[command(flatten)]
    pub(in crate::cli) password: Password,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AccountSecret {
    /// Which one
    pub(in crate::cli) name: String,
    #[command(flatten)]
    pub(in crate::cli) password: Password,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Password {
    /// File with the password on its first line, at least 8 characters [default: one is made and shown once]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) password_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AccountName {
    /// Which one
    pub(in crate::cli) name: String,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AccountGroup {
    /// Put an account into a group
    Add(AccountInGroup),
    /// Take it out
    Remove(AccountInGroup),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AccountInGroup {
    /// Which account
    pub(in crate::cli) name: String,
    /// Which group
    pub(in crate::cli) group: String,
}
