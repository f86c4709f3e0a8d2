//! Looks at a site and at a medium before they are needed, and says what to do.
//!
//! Each check gives what was found, and for what is not as it should be what to do next. Nothing is changed:
//! a home that is not there is not made, a database is read without its locks.

mod home;
mod media;
mod site;

use std::path::Path;

use crate::base::{
    clock::{self, Timestamp},
    failure::Failure,
    text,
};

/// What to look at.
#[derive(Debug)]
pub struct Options<'a> {
    /// The home folder.
    pub home: &'a Path,
    /// A folder on a medium that a bundle is to be built onto.
    pub media: Option<&'a Path>,
    /// What the clock of this machine says.
    pub now: Timestamp,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Check {
    /// What was checked: `disk`, `clock`, `permissions` and so on.
    pub name: &'static str,
    /// Where: a path, or the machine.
    pub object: String,
    /// What was found.
    pub finding: Finding,
}

/// The outcome of a check.
#[derive(Debug)]
pub enum Finding {
    /// As it should be.
    Good(String),
    /// Works, but somebody should look.
    Warning {
        /// What was found.
        found: String,
        /// What to do next.
        advice: String,
    },
    /// Does not work, or is not safe.
    Problem(Failure),
}

impl Finding {
    fn warning(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Warning { found: found.into(), advice: advice.into() }
    }
}

impl From<Failure> for Finding {
    fn from(failure: Failure) -> Self {
        Self::Problem(failure)
    }
}

/// Makes every check; the order is that of the documentation.
pub fn examine(options: &Options<'_>) -> Vec<Check> {
    let mut checks = home::examine(options.home, options.now);
    checks.extend(site::examine(options.home, options.now));
    if let Some(folder) = options.media {
        checks.extend(media::examine(folder));
    }
    checks
}

fn check(name: &'static str, object: &Path, finding: impl Into<Finding>) -> Check {
    Check { name, object: object.display().to_string(), finding: finding.into() }
}

/// A day, in which clocks of two machines may differ without harm.
const DAY: u64 = 86_400;

/// The clock decides nothing, but it dates receipts and judges expiry (C17).
fn clock(now: Timestamp, newest: u64) -> Finding {
    if now < clock::RELEASED {
        let found = format!("it says {now}, but this sealift was released on {}", clock::RELEASED);
        return Finding::warning(
            found,
            "set the clock: receipts are dated by it; no signature depends on it",
        );
    }
    match Timestamp::from_seconds(newest).filter(|newest| newest.seconds() > now.seconds() + DAY) {
        Some(newest) => Finding::warning(
            format!("it says {now}, but a file of the home is from {newest}"),
            "set the clock, or find out who wrote the file under another one",
        ),
        None => Finding::Good(format!("it says {now}")),
    }
}

fn free(bytes: u64) -> String {
    format!("{} are free", text::bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_told() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let released = clock::RELEASED.seconds();
        for (now, newest, good) in [
            (0, 0, false),
            (released - 1, 0, false),
            (released, 0, true),
            (released + DAY, released + 2 * DAY, true),
            (released + DAY, released + 2 * DAY + 1, false),
            (2_147_483_648, released, true),
            (4_102_444_800, released, true),
        ] {
            let found = clock(at(now), newest);
            assert_eq!(matches!(found, Finding::Good(_)), good, "{now} {newest}: {found:?}");
        }
    }
}
