//! What a site believes, whether its ledger is whole, and how old its own key is.

use std::path::Path;

use super::{Check, DAY, Finding, check};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Failures, Reason, Result},
        text::count,
    },
    ledger,
    report::site::SiteReport,
    site::{self, custody},
    store::Store,
};

/// A key that has signed for so many days is worth a thought.
const OLD_KEY: u64 = 2 * 365;

/// What was read of a home in one moment.
struct Known {
    report: SiteReport,
    alarms: Vec<Failure>,
    ledger: Result<ledger::Audit, Failures>,
}

/// Nothing for a home that has no database yet, and never had.
pub(super) fn examine(home: &Path, now: Timestamp) -> Vec<Check> {
    let name = home.display().to_string();
    let read = Store::read_only(home, |state| {
        let (report, alarms) = site::status(state, &name, now)?;
        let ledger = match site::importer_keys(home, state) {
            Ok(keys) => custody::require_ledger(home, Some(state))
                .map_err(Failures::from)
                .and_then(|()| custody::audit(state, &keys, &[])),
            Err(revoked) if revoked.reason == Reason::ImporterRevoked => Err(revoked.into()),
            Err(failure) => return Err(failure),
        };
        Ok(Known { report, alarms, ledger })
    });
    let known = match read {
        Ok(Some(known)) => known,
        Ok(None) => {
            let gone = custody::require_ledger(home, None).err();
            return gone.into_iter().map(|failure| check("ledger", home, failure)).collect();
        }
        // The check of permissions has named the file and what to do.
        Err(failure) if failure.reason == Reason::KeyPermissions => return Vec::new(),
        Err(failure) => return vec![check("trust", home, failure)],
    };
    let key = site::importer_path(home);
    let mut checks = vec![check("trust", home, trust(&known)), check("ledger", home, ledger(known.ledger))];
    if key.exists() {
        checks.push(check("key age", &key, age(&key, now)));
    }
    checks
}

fn trust(known: &Known) -> Finding {
    if let Some(alarm) = known.alarms.first() {
        let advice = alarm.hint.clone().unwrap_or_else(|| "see `sealift trust status`".to_owned());
        return Finding::warning(alarm.to_string(), advice);
    }
    match (&known.report.site, &known.report.trust) {
        (Some(name), Some(trust)) => Finding::Good(format!(
            "{name} believes trust version {}, {}",
            trust.version,
            count(known.report.channels.len(), "channel")
        )),
        _ => Finding::warning(
            "no trust document is pinned: nothing protects against older bundles",
            "pin one: `sealift trust init --site NAME --root FILE`",
        ),
    }
}

fn ledger(audit: Result<ledger::Audit, Failures>) -> Finding {
    match audit {
        Ok(audit) => Finding::Good(format!(
            "whole, {}",
            count(usize::try_from(audit.head.number).unwrap_or_default(), "record")
        )),
        Err(failures) => {
            let worst = failures.worst().map(|failure| Failure {
                reason: failure.reason,
                object: failure.object.clone(),
                message: failure.message.clone(),
                hint: failure.hint.clone(),
            });
            worst.unwrap_or_else(|| Failure::internal("a failure got lost")).into()
        }
    }
}

/// By the time of its file: nothing that was signed depends on it.
fn age(key: &Path, now: Timestamp) -> Finding {
    use std::os::unix::fs::MetadataExt as _;
    let made = key.metadata().ok().and_then(|file| u64::try_from(file.mtime()).ok());
    let days = now.seconds().saturating_sub(made.unwrap_or_else(|| now.seconds())) / DAY;
    let found =
        format!("{} old by the time of its file", count(usize::try_from(days).unwrap_or_default(), "day"));
    if days < OLD_KEY {
        return Finding::Good(found);
    }
    Finding::warning(
        found,
        "`sealift trust importer --replace` makes a new one, which the old one hands over to in the ledger; give its public half to those who check receipts",
    )
}
