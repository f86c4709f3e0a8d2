//! What is done in the registry of a site, or refused there.

use serde::{Deserialize, Serialize};

use super::Text;
use crate::base::digest::Digest;

/// Who did what, or was not let.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deed {
    /// What.
    pub action: RegistryAction,
    /// With what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<Thing>,
    /// An account, `anyone` who did not log in, `unknown` who tried to in vain by a name that no account has, or `local`
    /// for a command of this machine.
    pub who: Text,
    /// How the account was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Proof>,
    /// From which address; none for a command of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Text>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Text>,
    /// Under which tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Text>,
    /// Which content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where the tag led before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Which operation of the admin API; only where that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Text>,
    /// Why it was refused; absent for what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Text>,
    /// How often the same happened from the time of the record on, within a second or so; absent for once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Deed {
    /// Somebody does something.
    pub fn new(action: RegistryAction, who: &str) -> Self {
        Self {
            action,
            what: None,
            who: Text::new(who),
            by: None,
            from: None,
            repository: None,
            tag: None,
            digest: None,
            before: None,
            operation: None,
            refused: None,
            count: None,
        }
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident $word:literal)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$meaning])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As records name it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// What is done in a registry.
    RegistryAction {
        /// A manifest or blob came, or a tag was set.
        Push "push"
        /// A manifest or blob was read.
        Pull "pull"
        /// A manifest, blob or tag was taken away.
        Delete "delete"
        /// A tag was led back to where it led before.
        Restore "restore"
        /// Somebody said who they are.
        Login "login"
        /// Somebody got a token.
        Token "token"
        /// Somebody wanted to know whether something is there, or what there is: only where that was refused.
        Look "look"
        /// Somebody wanted to administer the registry: only where that was refused. What was done has a record of its own.
        Admin "admin"
    }
}

words! {
    /// What it is done with.
    Thing {
        /// A manifest, by its tag where one is named.
        Manifest "manifest"
        /// A blob.
        Blob "blob"
        /// A tag and nothing else.
        Tag "tag"
    }
}

words! {
    /// How somebody proved who they are.
    Proof {
        /// By the password of the account.
        Password "password"
        /// By a token of this registry.
        Token "token"
        /// By the certificate of the connection.
        Certificate "certificate"
    }
}
