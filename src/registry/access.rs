//! Who may do what, asked in one place before any endpoint answers.

use std::sync::Arc;

use serde_json::json;

use super::{caller::Caller, respond::Refusal};
use crate::{
    base::failure::Result as Done,
    oci::{error_code, reference::SANDBOX},
    rules::{Decision, Grant, Reach, Right, Rules, Subject},
    store::Store,
};

/// What a server opens beside what the rules of its home grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Pull, push, move tags and delete below `sandbox/`, whoever asks: for trials and conformance runs. What lies there
    /// passed no signature, so a server without a sandbox does not even show it.
    pub(super) sandbox: bool,
}

impl Access {
    /// With a sandbox.
    pub fn sandbox() -> Self {
        Self { sandbox: true }
    }

    /// What is taken from clients by the rules of this moment, in words for who starts the server.
    pub fn takes(self, store: &Store) -> Done<&'static str> {
        let pushes = self.now(store)?.takes_pushes();
        Ok(match (self.sandbox, pushes) {
            (true, _) => "sandbox/ is open to everybody",
            (false, true) => "pushes as the rules allow",
            (false, false) => "read-only",
        })
    }

    /// With the rules of this moment: others hold for the next request (threats R19).
    pub(super) fn now(self, store: &Store) -> Done<Gate> {
        Ok(Gate { access: self, rules: store.rules()?.rules, login: store.has_accounts()? })
    }
}

/// What holds for one request.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    access: Access,
    rules: Arc<Rules>,
    /// Whether there is an account that somebody who is refused could log in to.
    login: bool,
}

/// Whether somebody may do something.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    /// With another token.
    NotByThisToken,
    No,
}

impl Gate {
    fn decide(&self, caller: &Caller, right: Right, repository: &str) -> Verdict {
        let granted = if repository.starts_with(SANDBOX) {
            self.access.sandbox && right != Right::Admin
        } else {
            self.rules.decide(&caller.subject, right, repository) != Decision::Denied
        };
        match granted {
            true if caller.brings(right, repository) => Verdict::Yes,
            true => Verdict::NotByThisToken,
            false => Verdict::No,
        }
    }

    /// Whether `caller` may do this in `repository`, as the store calls it.
    pub(super) fn may(&self, caller: &Caller, right: Right, repository: &str) -> bool {
        self.decide(caller, right, repository) == Verdict::Yes
    }

    /// Fails unless `caller` may do this in `repository`. The answer is made without a look at what is there, so that it
    /// is the same for a repository that does not exist (threats R17).
    pub(super) fn check(&self, caller: &Caller, right: Right, repository: &str) -> Result<(), Refusal> {
        match self.decide(caller, right, repository) {
            Verdict::Yes => Ok(()),
            Verdict::NotByThisToken => Err(Refusal::unauthorized()),
            Verdict::No if caller.is_anonymous() && self.login => Err(Refusal::unauthorized()),
            Verdict::No if right == Right::Pull => Err(Refusal::of(error_code::NAME_UNKNOWN)),
            // Nowhere on this server, and nobody to log in as: then it is no question of rights.
            Verdict::No if caller.is_anonymous() && !self.is_given_to_anybody(right) => {
                Err(Refusal::of(error_code::UNSUPPORTED))
            }
            Verdict::No => Err(Refusal::of(error_code::DENIED).detail(json!({
                "action": right.name(),
                "repository": repository,
                "rule": "no [[grant]] of the rules allows it",
            }))),
        }
    }

    /// Whether anybody may bring anything.
    pub(super) fn takes_pushes(&self) -> bool {
        let brings = |grant: &Grant| grant.may.iter().any(|right| matches!(right, Right::Push | Right::Tag));
        self.access.sandbox || self.rules.grants().iter().any(brings)
    }

    fn is_given_to_anybody(&self, right: Right) -> bool {
        self.access.sandbox || !self.rules.reach(&Subject::anonymous(), right).is_empty()
    }

    /// Fails where somebody who has not logged in is to do that first.
    pub(super) fn check_greeting(&self, caller: &Caller) -> Result<(), Refusal> {
        if caller.silent && self.login { Err(Refusal::unauthorized()) } else { Ok(()) }
    }

    /// What `caller` finds in the catalog.
    pub(super) fn shown<'a>(&'a self, caller: &'a Caller) -> Shown<'a> {
        Shown { gate: self, caller, reach: self.rules.reach(&caller.subject, Right::Pull) }
    }
}

/// The repositories that somebody may pull.
pub(super) struct Shown<'a> {
    gate: &'a Gate,
    caller: &'a Caller,
    reach: Reach<'a>,
}

impl Shown<'_> {
    /// Whether this is one of them.
    pub(super) fn covers(&self, repository: &str) -> bool {
        let granted = if repository.starts_with(SANDBOX) {
            self.gate.access.sandbox
        } else {
            self.reach.covers(repository)
        };
        granted && (self.caller.brings(Right::Pull, "") || self.caller.brings(Right::Pull, repository))
    }

    /// Whether there are none, whatever their names.
    pub(super) fn is_empty(&self) -> bool {
        self.reach.is_empty() && !self.gate.access.sandbox
    }

    /// Where they stand among all names, in byte order: each from its first name on, up to a name that none can have.
    pub(super) fn ranges(&self) -> Vec<(String, String)> {
        // After every letter that a repository has.
        let end = |prefix: &str| format!("{prefix}~");
        let mut prefixes = self.reach.prefixes();
        if self.gate.access.sandbox && !prefixes.iter().any(|prefix| SANDBOX.starts_with(prefix)) {
            prefixes.retain(|prefix| !prefix.starts_with(SANDBOX));
            prefixes.push(SANDBOX.to_owned());
            prefixes.sort_unstable();
        }
        let mut ranges = Vec::new();
        for prefix in prefixes {
            if !self.gate.access.sandbox && SANDBOX.starts_with(&prefix) {
                ranges.push((prefix.clone(), SANDBOX.to_owned()));
                ranges.push((end(SANDBOX), end(&prefix)));
            } else {
                let end = end(&prefix);
                ranges.push((prefix, end));
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, path::Path};

    use super::*;
    use crate::{registry::caller::Scope, rules::Name};

    const RULES: &str = "schema = 1
        [[grant]]
        to = ['user:kim']
        repositories = ['apps/**', 's*/**']
        may = ['pull', 'push']
        [[grant]]
        to = ['anyone']
        repositories = ['open/**']
        may = ['pull']";

    fn gate(access: Access) -> Gate {
        Gate { access, rules: Arc::new(Rules::parse(RULES, Path::new("r")).unwrap()), login: true }
    }

    fn kim() -> Caller {
        let mut kim = nobody();
        kim.subject.name = Some(Name::User("kim".into()));
        kim
    }

    fn nobody() -> Caller {
        Caller::anonymous(Ipv4Addr::LOCALHOST.into())
    }

    /// R19: a token brings no right that its subject has lost, and no more than it was made for.
    #[test]
    fn a_token_narrows_and_never_widens() {
        let scope = |repository: &str, actions: &[Right]| Scope {
            repository: repository.to_owned(),
            actions: actions.to_vec(),
        };
        let gate = gate(Access::default());
        let narrowed = Caller {
            scope: Some(vec![scope("apps/a", &[Right::Pull]), scope("x", &[Right::Pull])]),
            ..kim()
        };
        for (right, repository, status) in [
            (Right::Pull, "apps/a", None),
            (Right::Push, "apps/a", Some(401)),
            (Right::Pull, "apps/b", Some(401)),
            (Right::Pull, "x", Some(404)),
            (Right::Delete, "apps/a", Some(403)),
        ] {
            let refused = gate.check(&narrowed, right, repository).err();
            assert_eq!(refused.map(|refusal| refusal.code().status), status, "{right:?} {repository}");
        }
        assert!(gate.shown(&narrowed).covers("apps/a") && !gate.shown(&narrowed).covers("apps/b"));
        let all = Caller { scope: Some(vec![scope("", &[Right::Pull])]), ..kim() };
        assert!(gate.shown(&all).covers("apps/b") && !gate.shown(&all).covers("other"));
        // Of a mirror, the client knows the name alone.
        let mirrored = Caller { scope: Some(vec![scope("library/a", &[Right::Pull])]), ..kim() };
        let mirrored = mirrored.through_mirror("library/a", "apps/library/a");
        assert!(gate.may(&mirrored, Right::Pull, "apps/library/a"));
        assert!(!gate.may(&mirrored, Right::Pull, "library/a"));
    }

    #[test]
    fn what_is_shown_stands_in_ranges() {
        let ranges = |access: Access, caller: &Caller| {
            let gate = gate(access);
            let ranges = gate.shown(caller).ranges();
            ranges.iter().map(|(from, to)| format!("{from} {to}")).collect::<Vec<_>>()
        };
        assert_eq!(ranges(Access::default(), &nobody()), ["open open~"]);
        assert_eq!(ranges(Access::sandbox(), &nobody()), ["open open~", "sandbox/ sandbox/~"]);
        let kim = kim();
        assert_eq!(
            ranges(Access::default(), &kim),
            ["apps apps~", "open open~", "s sandbox/", "sandbox/~ s~"]
        );
        assert_eq!(ranges(Access::sandbox(), &kim), ["apps apps~", "open open~", "s s~"]);
    }

    #[test]
    fn a_sandbox_is_for_everybody_or_for_nobody() {
        for right in Right::ALL {
            for caller in [nobody(), kim()] {
                let open = right != Right::Admin;
                assert_eq!(gate(Access::sandbox()).may(&caller, right, "sandbox/a"), open);
                assert!(!gate(Access::default()).may(&caller, right, "sandbox/a"), "{right:?}");
                assert!(!gate(Access::default()).shown(&caller).covers("sandbox/a"));
            }
        }
    }
}
