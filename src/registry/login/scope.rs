//! What a token is asked for, and what it then holds: `repository:NAME:ACTION[,ACTION]` (distribution, "Token Scope
//! Documentation").

use serde::{Deserialize, Serialize};

use super::super::access::Action;
use crate::{base::limits, oci::reference};

/// Actions in one repository, or something else that a client has a name for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
}

/// The type that this registry knows.
pub(super) const REPOSITORY: &str = "repository";
/// All actions.
const ALL: &str = "*";

impl Scope {
    /// Reads the scopes that a client asks for: any number in a text, with spaces between. Those of other types than
    /// repositories, and those of names that none can have, are left out; so are actions that nobody knows.
    /// `None` where there are more than a token holds.
    pub(super) fn parse_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Vec<Self>> {
        let mut scopes = Vec::new();
        for text in texts.into_iter().flat_map(str::split_ascii_whitespace) {
            if scopes.len() == limits::TOKEN_SCOPES {
                return None;
            }
            scopes.extend(Self::parse(text));
        }
        Some(scopes)
    }

    /// From the right: a name may hold the `:` of a port, an action may not.
    fn parse(text: &str) -> Option<Self> {
        let (rest, actions) = text.rsplit_once(':')?;
        let (kind, name) = rest.split_once(':')?;
        // `repository(plugin)` is a class of repositories, which makes no difference here.
        let kind = kind.split_once('(').map_or(kind, |(kind, _class)| kind);
        if kind != REPOSITORY || !reference::is_repository(name) {
            return None;
        }
        let mut known: Vec<String> = Vec::new();
        for action in actions.split(',') {
            let all = Action::ALL.iter().filter(|one| action == ALL || one.name() == action);
            known.extend(all.map(|one| one.name().to_owned()));
        }
        known.sort_unstable();
        known.dedup();
        Some(Self { kind: kind.to_owned(), name: name.to_owned(), actions: known })
    }

    /// What of it `holds` says is held. `None` where that is nothing.
    pub(super) fn held(mut self, holds: &dyn Fn(Action, &str) -> bool) -> Option<Self> {
        let name = &self.name;
        self.actions.retain(|action| Action::ALL.iter().any(|one| one.name() == action && holds(*one, name)));
        (!self.actions.is_empty()).then_some(self)
    }

    /// As a challenge asks for what a client needs to do `action`.
    pub(super) fn wanted(action: Action, repository: &str) -> String {
        let actions = match action {
            Action::Pull => "pull",
            // Whoever pushes looks first what is there.
            Action::Push => "pull,push",
            Action::Delete => "delete",
        };
        format!("{REPOSITORY}:{repository}:{actions}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String)> {
        Scope::parse(text).map(|scope| (scope.name, scope.actions.join(",")))
    }

    #[test]
    fn scopes_are_read_from_the_right() {
        for (text, name, actions) in [
            ("repository:a:pull", "a", "pull"),
            ("repository:a/b:push,pull", "a/b", "pull,push"),
            ("repository:a:pull,pull", "a", "pull"),
            ("repository:a:*", "a", "delete,pull,push"),
            ("repository:a:pull,fly,", "a", "pull"),
            ("repository:a:PULL", "a", ""),
            ("repository(plugin):a:pull", "a", "pull"),
        ] {
            assert_eq!(parsed(text), Some((name.to_owned(), actions.to_owned())), "{text}");
        }
        for other in [
            "",
            "repository",
            "repository:a",
            "registry:catalog:*",
            "repository::pull",
            "repository:A:pull",
            "repository:../a:pull",
            "repository:host:5000/a:pull",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
        let all =
            Scope::parse_all(["repository:a:pull repository:b:pull", "x", "repository:c:push"]).unwrap();
        assert_eq!(all.iter().map(|scope| scope.name.as_str()).collect::<String>(), "abc");
        let many = vec!["repository:a:pull"; limits::TOKEN_SCOPES + 1];
        assert_eq!(Scope::parse_all(many), None);
    }

    #[test]
    fn what_is_held_is_granted_and_no_more() {
        let ask = |text: &str, holds: &dyn Fn(Action, &str) -> bool| {
            Scope::parse(text).unwrap().held(holds).map(|scope| scope.actions.join(","))
        };
        let pulls = |action, name: &str| action == Action::Pull && name == "a";
        assert_eq!(ask("repository:a:pull,push", &pulls).as_deref(), Some("pull"));
        assert_eq!(ask("repository:a:*", &pulls).as_deref(), Some("pull"));
        assert_eq!(ask("repository:b:pull,push", &pulls), None);
        assert_eq!(ask("repository:a:fly", &|_, _| true), None);
    }
}
