//! The rules of the registry: who sets them is written down.

use super::Site;
use crate::{
    base::failure::Result,
    ledger::{Event, Text},
    rules::Rules,
    store::InForce,
};

impl Site {
    /// Puts `rules` into force, set `by` an account or a user of this machine, and gives their version and those of
    /// before. Rules that are in force already stay as they are.
    ///
    /// # Errors
    /// Those of [`State::rules`](crate::store::State::rules) and of the database: then nothing happened.
    pub fn set_rules(&self, rules: &Rules, by: &str) -> Result<(u64, InForce)> {
        self.change(|change, _| {
            let before = change.rules()?;
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
