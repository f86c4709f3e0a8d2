//! The rules of a registry: who may do what in which repositories, which tags never move, how much repositories hold.
//!
//! A TOML document (`docs/access.md`) that people review and `store` keeps. [`read`] turns its text into [`Rules`],
//! [`subject`] knows who asks and what for, [`pattern`] which names are meant, [`difference`] what a new text allows
//! that the one before did not. Pure: whoever asks brings subject, right and name.

mod difference;
mod pattern;
mod read;
mod subject;

use std::path::Path;

pub use difference::{Difference, Statement};
pub use pattern::Pattern;
pub use subject::{Holder, Name, Right, Subject, is_name};

use crate::{
    base::{digest::Digest, failure::Failures},
    oci::reference::is_referrers_tag,
};

/// The rules of a home that has set none: what was imported is there for everybody.
const DEFAULT: &str = "\
schema = 1

[[grant]]
to = [\"anyone\"]
repositories = [\"**\"]
may = [\"pull\"]
";

/// What is granted to whom. Nothing else is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// To whom: to each of them.
    pub to: Vec<Holder>,
    /// Where.
    pub repositories: Vec<Pattern>,
    /// What.
    pub may: Vec<Right>,
}

/// Tags that never move and never go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Immutable {
    /// Where.
    pub repositories: Vec<Pattern>,
    /// Which tags.
    pub tags: Vec<Pattern>,
}

/// How much repositories may hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Which.
    pub repositories: Vec<Pattern>,
    /// Bytes of their contents, each counted once.
    pub size: u64,
}

/// Whether something may be done, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The `[[grant]]` of this number, counted from 1, allows it.
    Granted(usize),
    /// None does.
    Denied,
}

/// The rules of a registry, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    text: String,
    grants: Vec<Grant>,
    immutable: Vec<Immutable>,
    quotas: Vec<Quota>,
}

impl Default for Rules {
    fn default() -> Self {
        let grant = Grant {
            to: vec![Holder::Anyone],
            repositories: vec![Pattern::everything()],
            may: vec![Right::Pull],
        };
        Self { text: DEFAULT.to_owned(), grants: vec![grant], immutable: Vec::new(), quotas: Vec::new() }
    }
}

impl Rules {
    /// Reads the text that stands at `path`.
    ///
    /// # Errors
    /// Every fault of it as `rules-malformed`; the object of each is `path:line:column`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Failures> {
        read::parse(text, path)
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names the text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// What is granted, in the order of the text.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Tags that stay, in the order of the text.
    pub fn immutables(&self) -> &[Immutable] {
        &self.immutable
    }

    /// Quotas, in the order of the text.
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas
    }

    /// How many single things they say, as [`Difference`] compares them.
    fn statements(&self) -> usize {
        let grants = self.grants.iter().map(|one| one.to.len() * one.repositories.len() * one.may.len());
        let immutable = self.immutable.iter().map(|one| one.repositories.len() * one.tags.len());
        grants.chain(immutable).sum::<usize>() + self.quotas.len()
    }

    /// Whether `subject` may do this in `repository`.
    pub fn decide(&self, subject: &Subject, right: Right, repository: &str) -> Decision {
        let name: Vec<&str> = repository.split('/').collect();
        let grants = self.grants.iter().enumerate().filter(|(_, grant)| grant.gives(subject, right));
        let mut allowing =
            grants.filter(|(_, grant)| grant.repositories.iter().any(|pattern| pattern.matches_split(&name)));
        allowing.next().map_or(Decision::Denied, |(at, _)| Decision::Granted(at + 1))
    }

    /// Whether `subject` may do this in all repositories, by a grant that says so: what is about no single one takes that.
    pub fn everywhere(&self, subject: &Subject, right: Right) -> bool {
        let everything = Pattern::everything();
        self.grants
            .iter()
            .any(|grant| grant.gives(subject, right) && grant.repositories.contains(&everything))
    }

    /// Where `subject` may do this.
    pub fn reach(&self, subject: &Subject, right: Right) -> Reach<'_> {
        let grants = self.grants.iter().filter(|grant| grant.gives(subject, right));
        Reach { patterns: grants.flat_map(|grant| &grant.repositories).collect() }
    }

    /// Quotas that count a repository, with their numbers, counted from 1.
    pub fn quotas_of(&self, repository: &str) -> impl Iterator<Item = (usize, &Quota)> {
        let quotas = self.quotas.iter().enumerate().filter(move |(_, quota)| quota.covers(repository));
        quotas.map(|(at, quota)| (at + 1, quota))
    }

    /// The number of the `[[immutable]]`, counted from 1, that keeps a tag where it is. Where signatures and other
    /// referrers are listed, a tag always moves: what they are about does not change with it.
    pub fn immutable(&self, repository: &str, tag: &str) -> Option<usize> {
        if is_referrers_tag(tag) {
            return None;
        }
        let name: Vec<&str> = repository.split('/').collect();
        let keeps = |rule: &Immutable| {
            rule.repositories.iter().any(|pattern| pattern.matches_split(&name))
                && rule.tags.iter().any(|pattern| pattern.matches(tag))
        };
        self.immutable.iter().position(keeps).map(|at| at + 1)
    }
}

impl Quota {
    /// Its patterns: no two quotas have the same.
    pub fn key(&self) -> String {
        let mut patterns: Vec<String> = self.repositories.iter().map(ToString::to_string).collect();
        patterns.sort_unstable();
        patterns.join(" ")
    }

    /// Whether it counts this repository.
    pub fn covers(&self, repository: &str) -> bool {
        let name: Vec<&str> = repository.split('/').collect();
        self.repositories.iter().any(|pattern| pattern.matches_split(&name))
    }
}

impl Grant {
    fn gives(&self, subject: &Subject, right: Right) -> bool {
        self.may.contains(&right) && self.to.iter().any(|holder| holder.means(subject))
    }
}

/// The repositories in which somebody may do something.
#[derive(Debug, Clone)]
pub struct Reach<'a> {
    patterns: Vec<&'a Pattern>,
}

impl Reach<'_> {
    /// Whether there are none, whatever their names.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether this is one of them.
    pub fn covers(&self, repository: &str) -> bool {
        let name: Vec<&str> = repository.split('/').collect();
        self.patterns.iter().any(|pattern| pattern.matches_split(&name))
    }

    /// What their names begin with, in byte order; none begins with another. So whoever lists them need not look at all
    /// that there are.
    pub fn prefixes(&self) -> Vec<String> {
        let mut prefixes: Vec<String> = self.patterns.iter().map(|pattern| pattern.prefix()).collect();
        prefixes.sort_unstable();
        prefixes.dedup_by(|later, kept| later.starts_with(kept.as_str()));
        prefixes
    }
}

#[cfg(test)]
mod tests;
