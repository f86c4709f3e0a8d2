//! What new rules allow that old ones did not, and the other way round.

use std::fmt;

use super::{Holder, Pattern, Right, Rules};
use crate::base::text;

/// One thing that rules say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    /// Somebody may do something somewhere.
    May {
        /// Who.
        to: Holder,
        /// What.
        may: Right,
        /// Where.
        repositories: Pattern,
    },
    /// Tags stay.
    Immutable {
        /// Where.
        repositories: Pattern,
        /// Which.
        tags: Pattern,
    },
    /// Repositories hold no more than this together.
    Quota {
        /// Which.
        repositories: Vec<Pattern>,
        /// Bytes.
        size: u64,
    },
}

impl Statement {
    /// All that `rules` say, each once.
    fn of(rules: &Rules) -> Vec<Self> {
        let mut all = Vec::new();
        for grant in rules.grants() {
            for (to, may) in grant.to.iter().flat_map(|to| grant.may.iter().map(move |&may| (to, may))) {
                let at = grant.repositories.iter().cloned();
                all.extend(at.map(|repositories| Self::May { to: to.clone(), may, repositories }));
            }
        }
        for rule in rules.immutables() {
            for repositories in &rule.repositories {
                let (tags, at) = (rule.tags.iter().cloned(), repositories);
                all.extend(tags.map(|tags| Self::Immutable { repositories: at.clone(), tags }));
            }
        }
        let quotas = rules.quotas().iter();
        all.extend(
            quotas.map(|quota| Self::Quota { repositories: quota.repositories.clone(), size: quota.size }),
        );
        all.sort();
        all.dedup();
        all
    }

    /// Whether it says all that `other` says.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::May { to, may, repositories }, Self::May { to: whom, may: what, repositories: at }) => {
                may == what && to.covers(whom) && repositories.covers(at)
            }
            (Self::Immutable { repositories, tags }, Self::Immutable { repositories: at, tags: which }) => {
                repositories.covers(at) && tags.covers(which)
            }
            (one, other) => one == other,
        }
    }

    /// What `one` says that `other` does not say, no matter in how many words.
    fn only(one: &[Self], other: &[Self]) -> Vec<Self> {
        // Most of it stays as it is written, and both are sorted.
        let is_said =
            |said: &Self| other.binary_search(said).is_ok() || other.iter().any(|known| known.covers(said));
        one.iter().filter(|said| !is_said(said)).cloned().collect()
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::May { to, may, repositories } => write!(f, "{to} may {} {repositories}", may.name()),
            Self::Immutable { repositories, tags } => write!(f, "tags {tags} of {repositories} stay"),
            Self::Quota { repositories, size } => {
                let names: Vec<String> = repositories.iter().map(ToString::to_string).collect();
                write!(f, "{} hold at most {}", names.join(", "), text::bytes(*size))
            }
        }
    }
}

/// What changes when other rules come into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What holds that did not.
    pub added: Vec<Statement>,
    /// What held and does no longer.
    pub removed: Vec<Statement>,
}

impl Difference {
    /// From `old` to `new`.
    pub fn between(old: &Rules, new: &Rules) -> Self {
        let (old, new) = (Statement::of(old), Statement::of(new));
        Self { added: Statement::only(&new, &old), removed: Statement::only(&old, &new) }
    }
}
