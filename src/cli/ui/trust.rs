//! Trust documents, beacons and overrides as text for people.

use super::human::{Human, Page, name};
use crate::{
    report::{
        TrustReport,
        trust::{Says, SignedDocument},
    },
    trust::{Beacon, Override, Role, document::Text},
};

impl Human for TrustReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(name(&self.path));
        // The newest is told in full below.
        for version in self.versions.iter().rev().skip(1).rev() {
            page.line(format!("version {}  {}", version.version, grouped(&version.fingerprint)));
        }
        for document in &self.documents {
            page.document(document);
        }
        for note in &self.notes {
            page.line(name(note));
        }
        page.0
    }
}

impl Page {
    fn document(&mut self, document: &SignedDocument) {
        let state =
            if document.complete { "signed by all who must" } else { "not yet signed by all who must" };
        let what = match &document.says {
            Says::Trust(text) => format!("trust version {}", text.version),
            Says::Beacon(beacon) => format!("beacon of channel {}", name(&beacon.channel)),
            Says::Override(order) => format!("override for site {}", name(&order.site)),
        };
        self.line(format!("{what}: {state}"));
        let fingerprint = grouped(&document.fingerprint);
        let (first, second) = fingerprint.split_at(fingerprint.len() / 2);
        self.line(format!("  fingerprint  {}", first.trim()));
        self.line(format!("               {}", second.trim()));
        match &document.says {
            Says::Trust(text) => self.trust(text),
            Says::Beacon(beacon) => self.beacon(beacon),
            Says::Override(order) => self.exception(order),
        }
        if let Some(version) = document.since_version {
            self.line(format!("  changes since version {version}"));
            for change in &document.changes {
                self.line(format!("    {}", name(change)));
            }
            if document.changes.is_empty() {
                self.line("    nothing");
            }
        }
        if document.torn {
            self.line("  the version before is not here: what it changes, and whether those of it signed, is not known");
        }
        for (at, by) in document.signed.iter().enumerate() {
            self.line(format!("  {}  {by}", if at == 0 { "signed by  " } else { "           " }));
        }
        for missing in &document.missing {
            self.line(format!(
                "  missing      {} of {} ({})",
                missing.holders_needed,
                missing.holders.join(", "),
                missing.role
            ));
        }
        if !document.ignored_signatures.is_empty() {
            self.line(format!("  ignored      signatures {}", document.ignored_signatures.join(", ")));
        }
    }

    fn trust(&mut self, text: &Text) {
        let holders = |role: Role, channel: Option<&String>| -> String {
            let has = text.keys.iter().filter(|key| key.roles.contains(&role));
            let mut holders: Vec<&str> = has
                .filter(|key| channel.is_none_or(|channel| key.channels.contains(channel)))
                .map(|key| key.holder.as_str())
                .collect();
            holders.sort_unstable();
            holders.dedup();
            holders.join(", ")
        };
        let mut rows = vec![vec![
            "root".to_owned(),
            format!("{} of {}", text.root_threshold, holders(Role::Root, None)),
        ]];
        for (channel, rules) in &text.channels {
            rows.push(vec![format!("channel {channel}"), format!("epoch {}", rules.epoch)]);
            let row = |role: Role, count: usize| {
                vec![format!("  {role}"), format!("{count} of {}", holders(role, Some(channel)))]
            };
            rows.push(row(Role::Release, rules.release));
            rows.extend(rules.approver.map(|count| row(Role::Approver, count)));
            rows.extend(rules.r#override.map(|count| row(Role::Override, count)));
        }
        self.table(&rows);
        let rows: Vec<Vec<String>> = text
            .by_role()
            .into_iter()
            .map(|key| {
                let roles: Vec<&str> = key.roles.iter().map(|role| role.name()).collect();
                let channels: Vec<&str> = key.channels.iter().map(String::as_str).collect();
                let bounds = key.sequences().map_or_else(String::new, |bounds| format!("sequences {bounds}"));
                vec![
                    key.id.clone(),
                    key.holder.clone(),
                    roles.join("+"),
                    channels.join(","),
                    key.algorithm.clone(),
                    bounds,
                ]
            })
            .collect();
        self.table(&rows);
        for revoked in text.revoked_by_holder() {
            let since =
                revoked.since_sequence.map_or_else(String::new, |since| format!(", since sequence {since}"));
            let reason = name(&revoked.reason);
            self.line(format!(
                "  revoked      {} of {}{since}: {reason}",
                name(&revoked.id),
                name(&revoked.holder)
            ));
        }
    }

    fn beacon(&mut self, beacon: &Beacon) {
        let newest = &beacon.newest;
        self.line(format!("  newest       sequence {}.{}, {}", newest.epoch, newest.sequence, newest.bundle));
        self.line(format!("  trust        version {}", beacon.trust));
        self.line(format!("  made         {} by its maker's clock", beacon.created));
    }

    fn exception(&mut self, order: &Override) {
        self.line(format!("  channel      {}", name(&order.channel)));
        self.line(format!("  bundle       {}", order.bundle));
        self.line(format!("  lifts        {}, once", order.effect.name()));
        self.line(format!("  because      {}", name(&order.reason)));
        self.line(format!("  made         {} by its maker's clock", order.created));
    }
}

/// A fingerprint in groups of four digits, as people read it to each other.
fn grouped(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.chars().collect();
    digits.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
