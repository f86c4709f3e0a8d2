//! Who may do what, asked in one place before any endpoint answers.

use serde_json::json;

use super::{endpoint::Endpoint, respond::Refusal};
use crate::oci::error_code;

/// Repositories that a sandbox opens to everybody begin so.
const SANDBOX: &str = "sandbox/";

/// What a request wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Read anything of it.
    Pull,
    /// Bring blobs, manifests or tags.
    Push,
    /// Take any of them away.
    Delete,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// What this server lets its clients do. Without a sandbox: pull what was imported. With one: push and delete too, in
/// its repositories, whoever asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access {
    /// Whether repositories below `sandbox/` are there, for trials and conformance runs. What lies in them passed no
    /// signature, so without it they are not even seen.
    pub sandbox: bool,
}

impl Access {
    /// Fails unless `action` may be done in `repository`, as the store calls it.
    pub(super) fn check(self, action: Action, repository: &str, endpoint: &Endpoint) -> Result<(), Refusal> {
        match action {
            Action::Pull if self.sees(repository) => Ok(()),
            Action::Pull => Err(Refusal::of(error_code::NAME_UNKNOWN)),
            // Nowhere on this server: then it is no question of rights.
            _ if !self.sandbox => Err(Refusal::method(endpoint.read_methods())),
            _ if repository.starts_with(SANDBOX) => Ok(()),
            _ => Err(Refusal::of(error_code::DENIED).detail(json!({
                "action": action.name(),
                "repository": repository,
                "rule": "only repositories below sandbox/ take pushes and deletions",
            }))),
        }
    }

    /// Whether a repository is there at all for the clients of this server.
    pub(super) fn sees(self, repository: &str) -> bool {
        self.sandbox || !repository.starts_with(SANDBOX)
    }

    /// What the names of repositories begin with that are not shown.
    pub(super) fn hidden(self) -> Option<&'static str> {
        (!self.sandbox).then_some(SANDBOX)
    }
}
