//! The rules of the registry: who sets them is written down.

use super::Site;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    ledger::{Event, Text},
    report::rules::RulesReport,
    rules::{Difference, Rules},
    store::InForce,
};

impl Site {
    /// Puts `rules` into force, set `by` an account or a user of this machine, and gives their version and those of
    /// before. Rules that are in force already stay as they are.
    ///
    /// # Errors
    /// Those of [`State::rules`](crate::store::State::rules) and of the database: then nothing happened.
    pub fn set_rules(&self, rules: &Rules, by: &str) -> Result<(u64, InForce)> {
        self.replace_rules(rules, by, None)
    }

    /// The same, if those of before are the ones whose text has this digest.
    ///
    /// # Errors
    /// [`Reason::ChangedMeanwhile`] where they are others, and those of [`set_rules`](Self::set_rules).
    pub fn replace_rules(&self, rules: &Rules, by: &str, wanted: Option<&Digest>) -> Result<(u64, InForce)> {
        self.change(|change, _| {
            let before = change.rules()?;
            let found = before.rules.digest();
            if wanted.is_some_and(|wanted| *wanted != found) {
                let message = format!("others are in force by now, with the digest {found}");
                return Err(Failure::new(Reason::ChangedMeanwhile, "rules", message)
                    .hint("read them, put what you want into them, and set those"));
            }
            if before.version > 0 && *before.rules == *rules {
                return Ok((before.version, before));
            }
            let version = change.set_rules(rules)?;
            let replaces = (before.version > 0).then(|| before.rules.digest());
            let event = Event::Rules { version, digest: rules.digest(), replaces, by: Text::new(by) };
            change.append(self.now, &event)?;
            Ok((version, before))
        })
    }
}

/// What changes with `rules` in the place of those of `before`; `version` is theirs where they are in force now.
pub fn rules_report(version: Option<u64>, before: &Rules, rules: &Rules) -> RulesReport {
    let difference = Difference::between(before, rules);
    let lines = |list: &[_]| list.iter().map(ToString::to_string).collect();
    RulesReport {
        schema: 1,
        version,
        digest: rules.digest().to_string(),
        grants: rules.grants().len(),
        immutable: rules.immutables().len(),
        quotas: rules.quotas().len(),
        added: lines(&difference.added),
        removed: lines(&difference.removed),
    }
}
