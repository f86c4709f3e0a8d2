//! The small words of `--key` and `--threshold`.

use std::{collections::BTreeSet, path::Path};

use super::public_key;
use crate::{
    base::failure::{Failure, Reason, Result},
    trust::edit::{Grant, Threshold, roles},
};

/// `[CHANNEL:]ROLE:HOLDER=FILE`.
pub(super) fn grant(text: &str) -> Result<Grant> {
    let wrong = || {
        bad("--key", text, "[CHANNEL:]ROLE:HOLDER=FILE")
            .hint("for instance root:alice=alice.pub or prod:release:bob=bob.pub")
    };
    let (whose, file) = text.split_once('=').ok_or_else(wrong)?;
    let (what, holder) = whose.rsplit_once(':').ok_or_else(wrong)?;
    let (channel, role) = scope(what);
    Ok(Grant {
        roles: roles(role)?,
        key: public_key(Path::new(file))?,
        holder: holder.to_owned(),
        channels: channel.map(str::to_owned).into_iter().collect(),
        from_sequence: None,
        to_sequence: None,
    })
}

/// `[CHANNEL:]ROLE=N`.
pub(super) fn threshold(text: &str) -> Result<Threshold> {
    let wrong = || bad("--threshold", text, "[CHANNEL:]ROLE=N").hint("for instance root=2 or prod:release=1");
    let (what, count) = text.split_once('=').ok_or_else(wrong)?;
    let (channel, role) = scope(what);
    let one: Vec<_> = roles(role)?.into_iter().collect();
    let ([role], Ok(holders)) = (one.as_slice(), count.parse()) else { return Err(wrong()) };
    Ok(Threshold { channel: channel.map(str::to_owned), role: *role, holders })
}

/// `+1` or the number of an epoch; `None` is the next.
pub(super) fn epoch(text: &str) -> Result<Option<u64>> {
    if text == "+1" {
        return Ok(None);
    }
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.map(Some).ok_or_else(|| bad("--epoch", text, "+1 or a number").hint("+1 begins the channel anew"))
}

/// The names of `--channel`, else the one that manifests have unless they say otherwise.
pub(super) fn channels(given: &[String]) -> BTreeSet<String> {
    if given.is_empty() { BTreeSet::from(["default".to_owned()]) } else { given.iter().cloned().collect() }
}

fn scope(what: &str) -> (Option<&str>, &str) {
    what.split_once(':').map_or((None, what), |(channel, role)| (Some(channel), role))
}

fn bad(flag: &str, found: &str, expected: &str) -> Failure {
    Failure::new(Reason::BadArgument, flag, format!("expected {expected}, found `{found}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Role;

    #[test]
    fn thresholds_and_epochs() {
        let of = |channel: Option<&str>, role, holders| Threshold {
            channel: channel.map(str::to_owned),
            role,
            holders,
        };
        assert_eq!(threshold("root=2").unwrap(), of(None, Role::Root, 2));
        assert_eq!(threshold("prod:release=1").unwrap(), of(Some("prod"), Role::Release, 1));
        for wrong in
            ["root", "root=", "root=-1", "root=x", "king=1", "approver+override=2", "a:b:root=1", "=1"]
        {
            assert_eq!(threshold(wrong).unwrap_err().reason, Reason::BadArgument, "{wrong}");
        }
        assert_eq!(epoch("+1").unwrap(), None);
        assert_eq!(epoch("7").unwrap(), Some(7));
        for wrong in ["", "+2", "-1", "x", "99999999999999999999"] {
            assert_eq!(epoch(wrong).unwrap_err().reason, Reason::BadArgument, "{wrong}");
        }
        for wrong in ["", "root:alice", "alice=f", "king:alice=f"] {
            assert_eq!(grant(wrong).unwrap_err().reason, Reason::BadArgument, "{wrong}");
        }
    }
}
