//! What a token is asked for, and what it then holds: `repository:NAME:ACTION[,ACTION]` (distribution, "Token Scope
//! Documentation").

use serde::{Deserialize, Serialize};

use crate::{base::limits, oci::reference, registry::caller, rules::Right};

/// What clients call the things that they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Action {
    /// Read anything.
    Pull,
    /// Bring blobs, manifests or tags.
    Push,
    /// Take any of them away.
    Delete,
}

impl Action {
    /// All of them.
    const ALL: &[Self] = &[Self::Pull, Self::Push, Self::Delete];

    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    /// What clients call what takes this right.
    pub(in crate::registry) fn of(right: Right) -> Self {
        match right {
            Right::Pull => Self::Pull,
            Right::Push | Right::Tag => Self::Push,
            Right::Delete | Right::Admin => Self::Delete,
        }
    }

    /// The rights of which one may take this word. Clients have none for the others.
    pub(in crate::registry) fn rights(self) -> &'static [Right] {
        match self {
            Self::Pull => &[Right::Pull],
            Self::Push => &[Right::Push, Right::Tag],
            Self::Delete => &[Right::Delete],
        }
    }
}

/// Actions in one repository, or something else that a client has a name for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
}

/// The type of repositories.
pub(super) const REPOSITORY: &str = "repository";
/// The type and name of the list of them.
const CATALOG: (&str, &str) = ("registry", "catalog");
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
        if (kind, name) == CATALOG {
            let all = actions.split(',').any(|action| action == ALL).then(|| ALL.to_owned());
            return all.map(|all| Self { kind: kind.to_owned(), name: name.to_owned(), actions: vec![all] });
        }
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

    /// What of it `holds` says is held. `None` where that is nothing. Everybody may ask for the list: it shows what one may
    /// pull.
    pub(super) fn held(mut self, holds: &dyn Fn(Action, &str) -> bool) -> Option<Self> {
        if self.kind != REPOSITORY {
            return Some(self);
        }
        let name = &self.name;
        // To pull is always held: a client of a mirror asks by the name that it knows, and says only later whose mirror it
        // means. What a token holds is no right yet.
        let held = |one: Action| one == Action::Pull || holds(one, name);
        self.actions.retain(|action| Action::ALL.iter().any(|one| one.name() == action && held(*one)));
        (!self.actions.is_empty()).then_some(self)
    }

    /// What a token that holds it is good for.
    pub(super) fn narrowed(&self) -> caller::Scope {
        if self.kind != REPOSITORY {
            return caller::Scope { repository: String::new(), actions: vec![Right::Pull] };
        }
        let actions = Action::ALL.iter().filter(|action| self.actions.iter().any(|one| one == action.name()));
        let actions = actions.flat_map(|action| action.rights()).copied().collect();
        caller::Scope { repository: self.name.clone(), actions }
    }

    /// As a challenge asks for what a client needs to do `action`; without a repository, to see the list of them.
    pub(super) fn wanted(action: Action, repository: &str) -> String {
        if repository.is_empty() {
            let (kind, name) = CATALOG;
            return format!("{kind}:{name}:{ALL}");
        }
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
            "registry:catalog:pull",
            "registry:other:*",
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
        // Where it may not pull it is refused when it does; and it may be the name of another registry's.
        assert_eq!(ask("repository:b:pull,push", &pulls).as_deref(), Some("pull"));
        assert_eq!(ask("repository:b:push", &pulls), None);
        assert_eq!(ask("repository:a:fly", &|_, _| true), None);
    }
}
