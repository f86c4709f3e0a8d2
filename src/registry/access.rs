//! Who may do what, asked in one place before any endpoint answers.

use std::sync::Arc;

use serde_json::json;

use super::{api::Needs, caller::Caller, respond::Refusal};
use crate::{
    base::failure::Result as Done,
    oci::{error_code, reference::SANDBOX},
    rules::{Decision, Grant, Reach, Right, Rules, Subject},
    store::Store,
};

/// What is wrong with a token that holds and is not good for this (RFC 6750, 3.1).
const SCOPE: &str = "insufficient_scope";
/// Names that are looked at in one query, at least, where not all may be shown.
const LOOK: usize = 256;

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
            Verdict::NotByThisToken => Err(Refusal::unauthorized().by_token(SCOPE)),
            Verdict::No if caller.is_anonymous() && self.login => {
                let refusal = Refusal::unauthorized();
                Err(if caller.silent { refusal } else { refusal.by_token(SCOPE) })
            }
            Verdict::No if right == Right::Pull => Err(Refusal::of(error_code::NAME_UNKNOWN).decided()),
            // Nowhere on this server, and nobody to log in as: then it is no question of rights.
            Verdict::No if caller.is_anonymous() && !self.is_given_to_anybody(right) => {
                Err(Refusal::of(error_code::UNSUPPORTED).decided())
            }
            Verdict::No => Err(Refusal::of(error_code::DENIED).detail(json!({
                "action": right.name(),
                "repository": repository,
                "rule": "no [[grant]] of the rules allows it",
            }))),
        }
    }

    /// Fails unless `caller` may have this done over the admin API; in `repository`, where it is about one. As with all
    /// else, the answer is made without a look at what is there (threats R17).
    pub(super) fn check_api(
        &self,
        caller: &Caller,
        needs: Needs,
        repository: Option<&str>,
    ) -> Result<(), Refusal> {
        let granted = match (needs, repository) {
            (Needs::Nothing, _) => true,
            (Needs::Some, _) => !self.rules.reach(&caller.subject, Right::Admin).is_empty(),
            (Needs::All, _) => self.rules.everywhere(&caller.subject, Right::Admin),
            (Needs::Repository(rights), Some(name)) => {
                rights.iter().any(|&right| self.may(caller, right, name))
            }
            (Needs::Repository(_), None) => false,
        };
        if granted { Ok(()) } else { Err(Self::lacks(&needs.in_words())) }
    }

    /// The refusal for who lacks a right, for people.
    pub(super) fn lacks(right: &str) -> Refusal {
        Refusal::of(error_code::DENIED)
            .detail(format!("it takes {right}; no [[grant]] of the rules gives that"))
    }

    /// Whether anybody may bring anything.
    pub(super) fn takes_pushes(&self) -> bool {
        let brings = |grant: &Grant| grant.may.iter().any(|right| matches!(right, Right::Push | Right::Tag));
        self.access.sandbox || self.rules.grants().iter().any(brings)
    }

    /// Whether there is somebody to log in as.
    pub(super) fn has_login(&self) -> bool {
        self.login
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
        self.reached(caller, Right::Pull)
    }

    /// Where `caller` may do this.
    pub(super) fn reached<'a>(&'a self, caller: &'a Caller, right: Right) -> Shown<'a> {
        let sandbox = self.access.sandbox && right != Right::Admin;
        Shown { caller, right, sandbox, reach: self.rules.reach(&caller.subject, right) }
    }
}

/// The repositories in which somebody may do something: pull, mostly.
pub(super) struct Shown<'a> {
    caller: &'a Caller,
    right: Right,
    /// Whether those below `sandbox/` are among them.
    sandbox: bool,
    reach: Reach<'a>,
}

impl Shown<'_> {
    /// Whether this is one of them.
    pub(super) fn covers(&self, repository: &str) -> bool {
        let granted =
            if repository.starts_with(SANDBOX) { self.sandbox } else { self.reach.covers(repository) };
        granted && (self.caller.brings(self.right, "") || self.caller.brings(self.right, repository))
    }

    /// Whether there are none, whatever their names.
    pub(super) fn is_empty(&self) -> bool {
        self.reach.is_empty() && !self.sandbox
    }

    /// The first `size` of them after `last`, in byte order, of those that `find` finds: so many, after a name, from one
    /// name on up to another. Only where there may be such that are shown, names are looked at, and as many as it
    /// takes: a page is never short because of what is not shown.
    pub(super) fn page(
        &self,
        last: Option<&str>,
        size: usize,
        find: impl Fn(Option<&str>, usize, (&str, &str)) -> Done<Vec<String>>,
    ) -> Done<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for (from, to) in self.ranges() {
            let mut last = last.map(str::to_owned);
            while names.len() < size {
                let count = (size - names.len()).max(LOOK);
                let found = find(last.as_deref(), count, (&from, &to))?;
                let is_last = found.len() < count;
                last = found.last().cloned();
                names.extend(found.into_iter().filter(|name| self.covers(name)));
                if is_last {
                    break;
                }
            }
        }
        names.truncate(size);
        Ok(names)
    }

    /// Where they stand among all names, in byte order: each from its first name on, up to a name that none can have.
    fn ranges(&self) -> Vec<(String, String)> {
        // After every letter that a repository has.
        let end = |prefix: &str| format!("{prefix}~");
        let mut prefixes = self.reach.prefixes();
        if self.sandbox && !prefixes.iter().any(|prefix| SANDBOX.starts_with(prefix)) {
            prefixes.retain(|prefix| !prefix.starts_with(SANDBOX));
            prefixes.push(SANDBOX.to_owned());
            prefixes.sort_unstable();
        }
        let mut ranges = Vec::new();
        for prefix in prefixes {
            if !self.sandbox && SANDBOX.starts_with(&prefix) {
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
