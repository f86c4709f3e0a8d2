//! What one version of a trust document changes, in words: what a person reads before signing it.

use std::collections::BTreeSet;

use super::document::{ChannelRules, KeyRecord, Revocation, Text};

/// What `new` changes against `old`, one line each. Everything that the texts can differ in is told.
pub fn difference(old: &Text, new: &Text) -> Vec<String> {
    let mut lines = Vec::new();
    if old.root_threshold != new.root_threshold {
        lines.push(format!("root holders needed: {} -> {}", old.root_threshold, new.root_threshold));
    }
    let names: BTreeSet<&String> = old.channels.keys().chain(new.channels.keys()).collect();
    for name in names {
        match (old.channels.get(name), new.channels.get(name)) {
            (None, Some(rules)) => lines.push(format!("channel {name} added: {}", told(rules))),
            (Some(_), None) => lines.push(format!("channel {name} removed")),
            (Some(old), Some(new)) => lines.extend(channel(name, old, new)),
            (None, None) => {}
        }
    }
    let find = |text: &'_ Text, id: &str| text.keys.iter().find(|key| key.id == id).cloned();
    for key in old.by_role() {
        if find(new, &key.id).is_none() && new.revoked.iter().all(|revoked| revoked.id != key.id) {
            lines.push(format!("key removed: {}", key.told()));
        }
    }
    for key in new.by_role() {
        match find(old, &key.id) {
            None => lines.push(format!("key added: {}", key.told())),
            Some(known) if known != *key => {
                lines.push(format!("key changed: {}, was {}", key.told(), known.told()));
            }
            Some(_) => {}
        }
    }
    for revoked in new.revoked_by_holder() {
        if old.revoked.contains(revoked) {
            continue;
        }
        let since = revoked
            .since_sequence
            .map_or_else(String::new, |since| format!("; in doubt since sequence {since}"));
        lines.push(format!("key revoked: {} of {}: {}{since}", revoked.id, revoked.holder, revoked.reason));
    }
    let gone = old.revoked.iter().filter(|known| new.revoked.iter().all(|revoked| revoked.id != known.id));
    lines.extend(gone.map(|known| format!("revocation taken back: {} of {}", known.id, known.holder)));
    lines
}

fn channel(name: &str, old: &ChannelRules, new: &ChannelRules) -> Vec<String> {
    let mut lines = Vec::new();
    if old.epoch != new.epoch {
        lines.push(format!(
            "channel {name} begins anew: epoch {} -> {}, bundles of others are refused",
            old.epoch, new.epoch
        ));
    }
    let counts = |rules: &ChannelRules| {
        [
            ("release", rules.release),
            ("approver", rules.approver.unwrap_or(0)),
            ("override", rules.r#override.unwrap_or(0)),
        ]
    };
    for ((role, old), (_, new)) in counts(old).into_iter().zip(counts(new)) {
        if old != new {
            lines.push(format!("{role} holders needed in {name}: {old} -> {new}"));
        }
    }
    lines
}

/// The rules of a channel in words.
fn told(rules: &ChannelRules) -> String {
    let optional = |role: &str, count: Option<usize>| match count {
        Some(count) => format!("{count} {role}"),
        None => format!("no {role}"),
    };
    format!(
        "epoch {}, {} release, {}, {}",
        rules.epoch,
        rules.release,
        optional("approver", rules.approver),
        optional("override", rules.r#override)
    )
}

impl Text {
    /// The keys as people look for them: by role, then by holder.
    pub fn by_role(&self) -> Vec<&KeyRecord> {
        let mut keys: Vec<&KeyRecord> = self.keys.iter().collect();
        keys.sort_by_key(|key| (key.roles.first(), &key.holder));
        keys
    }

    /// The revocations as people look for them.
    pub fn revoked_by_holder(&self) -> Vec<&Revocation> {
        let mut revoked: Vec<&Revocation> = self.revoked.iter().collect();
        revoked.sort_by_key(|revoked| (&revoked.holder, revoked.since_sequence));
        revoked
    }
}

impl KeyRecord {
    /// The key in words, with all that the document says about it.
    pub fn told(&self) -> String {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
        let channels: Vec<&str> = self.channels.iter().map(String::as_str).collect();
        let of = if channels.is_empty() { String::new() } else { format!(" of {}", channels.join(", ")) };
        let sequences = self.sequences().map_or_else(String::new, |bounds| format!(", sequences {bounds}"));
        format!("{} of {}, {}{of}{sequences}, {}", self.id, self.holder, roles.join(" and "), self.algorithm)
    }

    /// The sequences for which it counts, where they are bound: `from 10`, `to 100`, `10 to 100`.
    pub fn sequences(&self) -> Option<String> {
        match (self.from_sequence, self.to_sequence) {
            (None, None) => None,
            (Some(from), None) => Some(format!("from {from}")),
            (None, Some(to)) => Some(format!("to {to}")),
            (Some(from), Some(to)) => Some(format!("{from} to {to}")),
        }
    }
}
