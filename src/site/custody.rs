//! What a site wrote down: read without making or changing anything, and gone on with only where it is the site's
//! own.

use std::{ops::ControlFlow, path::Path};

use super::{Site, importer_path};
use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
    },
    ledger::{self, Audit, Auditor, Event, KeyAction, OffHost, Record},
    store::{Change, State, Store},
    trust::PublicKey,
};

/// Reads ledger and receipts of `home`, on a read-only disk too.
///
/// # Errors
/// Those of `work`; [`Reason::NotFound`] where there is no site, [`Reason::LedgerCut`] where there was one.
pub fn evidence<T>(home: &Path, work: impl Fn(&State<'_>) -> Result<T>) -> Result<T> {
    let read = Store::read_only(home, |state| {
        require_ledger(home, Some(state))?;
        work(state)
    });
    if let Some(found) = read? {
        return Ok(found);
    }
    require_ledger(home, None)?;
    Err(Failure::new(Reason::NotFound, home.display(), "there is no site here: the home has no ledger")
        .hint("check --home; the first import or `sealift trust init --site` makes one"))
}

/// Reads the lines of the ledger of `home` in their order, up to where it ends now: a site that writes all the time would be
/// read without end. Nothing is held while `take` is at one of them: whoever shows
/// them may wait for somebody for days, and meanwhile the site goes on and its database can be tidied up.
///
/// # Errors
/// Those of [`evidence`] and of `take`.
pub fn each_line(home: &Path, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let (mut next, mut end) = (Some(0), None);
    while let Some(from) = next {
        let (page, last) = evidence(home, |state| {
            let last = end.map_or_else(|| state.ledger_head().map(|head| head.number), Ok)?;
            Ok((state.ledger_page(from)?, last))
        })?;
        end = Some(last);
        next = page.next.filter(|next| *next <= last);
        page.lines.iter().filter(|(number, _)| *number <= last).try_for_each(|(_, line)| take(line))?;
    }
    Ok(())
}

/// Fails for a home without a ledger which must have had one. `state` is absent where nothing can be read.
///
/// # Errors
/// [`Reason::LedgerCut`], and those of the disk.
pub fn require_ledger(home: &Path, state: Option<&State<'_>>) -> Result<()> {
    let left = match state {
        Some(state) if state.ledger_head()?.number > 0 => return Ok(()),
        _ if importer_path(home).exists() => "the key that signs it is here",
        Some(state) if state.site()?.importer.is_some() => "the database names the key that signs it",
        Some(state) if state.last_receipt()?.is_some() => "there are receipts",
        None if !Store::is_at(home) && has_contents(home)? => "contents are here and the database is gone",
        _ => return Ok(()),
    };
    Err(cut(&home.display().to_string(), left))
}

fn has_contents(home: &Path) -> Result<bool> {
    fs::list(&home.join("blobs").join("sha256")).map(|names| !names.is_empty())
}

fn cut(object: &str, left: &str) -> Failure {
    Failure::new(Reason::LedgerCut, object, format!("no record is in the ledger, but {left}"))
        .hint(format!("{ASK}. Only where the very first command failed this is no loss: run it again"))
}

/// What to do where the ledger is not what the site wrote.
const ASK: &str = "keep this state, and ask who had access to the home; then move sealift.db away: a site begins again from its receipts, `sealift trust init --site NAME --receipt FILE`";

impl Site {
    /// Whether the home imported before its ledger began: the ledger says so, or, before its first record, what lies
    /// in the home does.
    pub(super) fn has_lost_past(&self, change: &Change<'_>) -> Result<bool> {
        let Some(first) = change.ledger(1, 1)?.pop() else {
            return Ok(self.known_importer()?.is_some() && has_contents(self.store.home())?);
        };
        Ok(matches!(Record::parse(&first)?.event, Event::Key { action: KeyAction::Found, .. }))
    }

    /// Fails unless the ledger ends with a checkpoint by the site's key, as each change leaves it: what others put
    /// after it must never come under the next one (R20).
    ///
    /// # Errors
    /// [`Reason::LedgerCheckpoint`], [`Reason::LedgerCut`]; those of the key file.
    pub(super) fn require_sealed(&self, change: &Change<'_>) -> Result<()> {
        let head = change.ledger_head()?;
        let before = change.site()?.importer;
        let Some(last) = change.ledger(head.number, 1)?.pop() else {
            let name = self.store.home().display().to_string();
            return before.map_or(Ok(()), |_| Err(cut(&name, "the database names the key that signs it")));
        };
        let wrong = |message: &str, hint: &str| {
            let object = format!("record {}", head.number);
            Err(Failure::new(Reason::LedgerCheckpoint, object, message).hint(hint))
        };
        let own = self.known_importer()?.map(|key| key.public().clone());
        let is_before = |key: &PublicKey| before.as_deref() == Some(key.key_id());
        let signer = match own {
            Some(own) if is_before(&own) => Some(own),
            own => {
                // Another key than the last one signs from now on: a new one, none from before.
                let mut named = named_keys(change)?;
                if own.is_some_and(|own| named.contains(&own)) {
                    return wrong(
                        "the ledger goes on with another key than the one of the home, which signed before it",
                        "if the key file was put back from a backup, put the newer one back, or move it away: the next command makes a new one. Else ask who had access to the home",
                    );
                }
                named.retain(is_before);
                named.pop()
            }
        };
        let record = Record::parse(&last).ok().filter(|record| record.number == head.number);
        if record.zip(signer).is_some_and(|(record, signer)| record.is_sealed_by(&signer)) {
            return Ok(());
        }
        let message = "it is the last one, and no checkpoint by the key of the site: something else wrote it, or cut the ledger; nothing is added to it";
        wrong(message, ASK)
    }
}

/// Every key that a ledger names with its public half.
fn named_keys(state: &State<'_>) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    state.each_record(1, |_number, line| {
        let record = if tells_of_key(line) { Record::parse(line).ok() } else { None };
        keys.extend(record.and_then(|record| record.named_key().transpose()).transpose()?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

/// Whether a line may tell of a key: few do, and not all of many need to be read whole.
pub(super) fn tells_of_key(line: &str) -> bool {
    line.contains("\"event\":\"key\"")
}

/// Proves the ledger of a home whole, line by line; see [`ledger::audit`].
///
/// # Errors
/// Those of [`ledger::audit`], and of the database.
pub fn audit(state: &State<'_>, keys: &[PublicKey], heads: &[OffHost]) -> Result<Audit, Failures> {
    audit_within(limits::LEDGER_BYTES, state, keys, heads)
}

/// A broken ledger is held whole only if it has no more than so many bytes.
fn audit_within(
    bytes: u64,
    state: &State<'_>,
    keys: &[PublicKey],
    heads: &[OffHost],
) -> Result<Audit, Failures> {
    let mut auditor = Auditor::new(keys, heads)?;
    let mut broken = None;
    state.each_record(0, |_number, line| {
        broken = auditor.see(line).err();
        Ok(if broken.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let Some(broken) = broken else { return auditor.end() };
    // What was done there, only all lines together tell. One that holds a line feed, which no program of ours writes,
    // falls apart and is found.
    let (mut lines, mut left) = (Vec::new(), Some(bytes));
    state.each_record(0, |_number, line| {
        left = left.and_then(|left| left.checked_sub(line.len() as u64));
        lines.push(line.to_owned());
        Ok(if left.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if left.is_none() {
        return Err(auditor.broken(broken).into());
    }
    let lines: Vec<&str> = lines.iter().flat_map(|line| line.split('\n')).collect();
    ledger::audit(&lines, keys, heads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::clock::Timestamp, rules::Rules};

    /// A broken ledger that is too large to be held is named by its first wrong record all the same.
    #[test]
    fn a_broken_ledger_is_read_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let store = Store::open(&home).unwrap();
        let site = Site::new(store, Timestamp::from_seconds(1_800_000_000).unwrap());
        for number in 0..3 {
            let grant = format!("to=['user:u{number}']\nrepositories=['a/*']\nmay=['pull']");
            let text = format!("schema = 1\n[[grant]]\n{grant}");
            site.set_rules(&Rules::parse(&text, Path::new("r")).unwrap(), "local").unwrap();
        }
        let file = rusqlite::Connection::open(home.join("sealift.db")).unwrap();
        file.execute_batch("DROP TRIGGER ledger_stays_as_it_is").unwrap();
        let found = |old: &str, new: &str, bytes: u64| {
            let replace = "UPDATE ledger SET line = replace(line, ?1, ?2) WHERE number = 4";
            assert_eq!(file.execute(replace, [old, new]).unwrap(), 1);
            let audited = evidence(&home, |state| Ok(audit_within(bytes, state, &[], &[]))).unwrap();
            file.execute(replace, [new, old]).unwrap();
            let failures = audited.unwrap_err();
            failures.list().iter().map(|one| (one.reason, one.object.clone())).collect::<Vec<_>>()
        };
        for bytes in [0, 1000, limits::LEDGER_BYTES] {
            // Which record was changed, only the next one tells.
            let record = if bytes == limits::LEDGER_BYTES { "record 4" } else { "record 5" };
            let edited = (Reason::LedgerEdited, record.to_owned());
            assert_eq!(found("\"local\"", "\"other\"", bytes), [edited], "{bytes}");
            // A member that this version does not know was not put in by somebody who should be asked.
            let unread = (Reason::LedgerMalformed, "record 4".to_owned());
            assert_eq!(found("\"event\"", "\"newer\":1,\"event\"", bytes), [unread], "{bytes}");
        }
    }
}
