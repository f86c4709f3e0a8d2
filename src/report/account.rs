//! What `account` says.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::clock::Timestamp;

/// One account.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AccountLine {
    /// Its name.
    pub name: String,
    /// `user` or `robot`.
    pub kind: &'static str,
    /// Its groups.
    pub groups: Vec<String>,
    /// Identities in client certificates that open it.
    pub certificates: Vec<String>,
    /// Whether a password opens it.
    pub password: bool,
    /// Whether it may be used, were it not for its time.
    pub enabled: bool,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Whether that is over.
    pub expired: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Result of `account list`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AccountsReport {
    /// 1.
    pub schema: u32,
    /// All of them, by name.
    pub accounts: Vec<AccountLine>,
}

/// Result of what changes one account.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AccountReport {
    /// 1.
    pub schema: u32,
    /// `added`, `changed` or `removed`.
    pub action: &'static str,
    /// Its name.
    pub name: String,
    /// As it is now; absent for one that is gone.
    pub account: Option<AccountLine>,
    /// Its password where a new one was made: shown here and never again.
    pub secret: Option<String>,
}

/// One account, as it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AccountShown {
    /// 1.
    pub schema: u32,
    /// The account.
    pub account: AccountLine,
}
