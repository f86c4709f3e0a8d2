//! Who has a site changed, as it is written down.

use crate::{
    base::clock::Timestamp,
    ledger::{Deed, Proof, RegistryAction, Text},
    store::Author,
};

/// Who does what a command of this machine does.
const LOCAL: &str = "local";

/// A command of this machine, or an account that asks a server for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    who: String,
    by: Option<Proof>,
    from: Option<Text>,
}

impl Default for Actor {
    /// A command of this machine.
    fn default() -> Self {
        Self { who: LOCAL.to_owned(), by: None, from: None }
    }
}

impl Actor {
    /// An account, as the rules name it, proven in this way, at an address.
    pub fn account(who: String, by: Option<Proof>, from: &str) -> Self {
        Self { who, by, from: Some(Text::new(from)) }
    }

    /// As records name it.
    pub(super) fn who(&self) -> Text {
        Text::new(&self.who)
    }

    /// As records name it that say nothing of commands of this machine.
    pub(super) fn of_registry(&self) -> Option<Text> {
        self.from.as_ref().map(|_address| self.who())
    }

    /// Who moves a tag, or takes one away, at this time.
    pub(super) fn author(&self, time: Timestamp) -> Author {
        Author { who: self.who.clone(), time }
    }

    /// Something that it does with what is published.
    pub(super) fn deed(&self, action: RegistryAction) -> Deed {
        Deed { by: self.by, from: self.from.clone(), ..Deed::new(action, &self.who) }
    }
}
