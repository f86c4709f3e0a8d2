//! Who may do what, asked in one place before any endpoint answers.

use serde_json::json;

use super::respond::Refusal;
use crate::oci::{error_code, reference::SANDBOX};

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
    /// All of them.
    pub(super) const ALL: &[Self] = &[Self::Pull, Self::Push, Self::Delete];

    /// As scopes of tokens call it too.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// What this server lets its clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Pull what was imported; nothing else is there.
    #[default]
    ReadOnly,
    /// And push, pull and delete below `sandbox/`, whoever asks: for trials and conformance runs. What lies there passed
    /// no signature, so a server without a sandbox does not even show it.
    Sandbox,
}

impl Access {
    /// Fails unless `action` may be done in `repository`, as the store calls it.
    pub(super) fn check(self, action: Action, repository: &str) -> Result<(), Refusal> {
        match (action, self) {
            (Action::Pull, _) if self.sees(repository) => Ok(()),
            (Action::Pull, _) => Err(Refusal::of(error_code::NAME_UNKNOWN)),
            // Nowhere on this server: then it is no question of rights.
            (_, Self::ReadOnly) => Err(Refusal::of(error_code::UNSUPPORTED)),
            (_, Self::Sandbox) if repository.starts_with(SANDBOX) => Ok(()),
            (_, Self::Sandbox) => Err(Refusal::of(error_code::DENIED).detail(json!({
                "action": action.name(),
                "repository": repository,
                "rule": "only repositories below sandbox/ take pushes and deletions",
            }))),
        }
    }

    /// Whether manifests of this repository may list what it does not have: nobody relies on a sandbox.
    pub(super) fn takes_sparse(self, repository: &str) -> bool {
        self == Self::Sandbox && repository.starts_with(SANDBOX)
    }

    /// Whether a repository is there at all for the clients of this server.
    pub(super) fn sees(self, repository: &str) -> bool {
        self == Self::Sandbox || !repository.starts_with(SANDBOX)
    }

    /// What the names of repositories begin with that are not shown.
    pub(super) fn hidden(self) -> Option<&'static str> {
        (self == Self::ReadOnly).then_some(SANDBOX)
    }
}
