//! Changes to the text of a trust document, as people ask for them. What comes out is checked as a whole
//! afterwards, by [`super::Document::new`].

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Chain, PublicKey, Role,
    document::{ChannelRules, KeyRecord, Revocation, Text, is_holder},
    note::is_line,
};
use crate::base::{
    failure::{Failure, Reason, Result},
    path::is_media_name,
};

/// A key that somebody is to have.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The key.
    pub key: PublicKey,
    /// Who has it.
    pub holder: String,
    /// What it is for.
    pub roles: BTreeSet<Role>,
    /// For which channels; empty means every channel, where the roles are of channels.
    pub channels: BTreeSet<String>,
    /// First sequence for which it counts.
    pub from_sequence: Option<u64>,
    /// Last sequence for which it counts.
    pub to_sequence: Option<u64>,
}

/// How many holders something takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    /// The one channel that is meant; every channel when absent.
    pub channel: Option<String>,
    /// The role.
    pub role: Role,
    /// Distinct holders; 0 takes the role away where a channel can be without.
    pub holders: usize,
}

/// The roles of a name such as `root` or `approver+override`.
///
/// # Errors
/// [`Reason::BadArgument`].
pub fn roles(name: &str) -> Result<BTreeSet<Role>> {
    name.split('+').map(Role::parse).collect::<Option<_>>().ok_or_else(|| {
        bad(name, "it is no role")
            .hint("roles are root, release, approver, override, approver+override and importer")
    })
}

impl Text {
    /// A first version: the keys, then thresholds for all that has keys, then what `thresholds` say.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for what cannot be.
    pub fn first(channels: &BTreeSet<String>, grants: &[Grant], thresholds: &[Threshold]) -> Result<Self> {
        let mut text = Self::new(0);
        for channel in channels {
            text.open_channel(channel)?;
        }
        for grant in grants {
            text.grant(grant)?;
        }
        let roots = text.holders(Role::Root, None).len();
        if roots == 0 {
            return Err(bad("--key", "nobody has a root key")
                .hint("give at least one, better three: --key root:alice=alice.pub"));
        }
        text.root_threshold = if roots < 3 { roots } else { 2 };
        thresholds.iter().try_for_each(|threshold| text.set_threshold(threshold))?;
        Ok(text)
    }

    /// The same as the next version.
    #[must_use]
    pub fn next(&self) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next
    }

    /// Distinct holders of keys for a role, of one channel or at all.
    fn holders(&self, role: Role, channel: Option<&str>) -> BTreeSet<&str> {
        let has = |record: &&KeyRecord| {
            record.roles.contains(&role) && channel.is_none_or(|name| record.channels.contains(name))
        };
        self.keys.iter().filter(has).map(|record| record.holder.as_str()).collect()
    }

    /// Adds a channel that takes one release holder.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for a name that cannot be.
    pub fn open_channel(&mut self, name: &str) -> Result<()> {
        if !is_media_name(name) {
            return Err(bad(name, "a channel is 1 to 64 of a-z 0-9 . _ -").hint("for instance prod"));
        }
        let rules = ChannelRules { epoch: 1, release: 1, approver: None, r#override: None };
        self.channels.entry(name.to_owned()).or_insert(rules);
        Ok(())
    }

    /// Gives a key to somebody. A key that the same holder has for the same roles gets the channels besides.
    /// Channels that had nobody to approve or override ask for them from then on.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for what cannot be.
    pub fn grant(&mut self, grant: &Grant) -> Result<()> {
        if !is_holder(&grant.holder) {
            return Err(bad(&grant.holder, "a holder is 1 to 64 of a-z 0-9 . _ - @ +")
                .hint("for instance alice, or alice@example.com"));
        }
        if let Some(revoked) = self.revoked.iter().find(|revoked| revoked.id == grant.key.key_id()) {
            return Err(bad(&revoked.id, format!("the key was revoked: {}", revoked.reason))
                .hint("make a new key with `sealift key generate`"));
        }
        let of_channels = grant.roles.iter().any(|role| role.is_of_channels());
        let channels: BTreeSet<String> = match (of_channels, grant.channels.is_empty()) {
            (true, true) => self.channels.keys().cloned().collect(),
            (false, false) => {
                return Err(bad(&grant.holder, "keys for root and importer are for no channel")
                    .hint("leave the channel out"));
            }
            _ => grant.channels.clone(),
        };
        if let Some(unknown) = channels.iter().find(|name| !self.channels.contains_key(*name)) {
            return Err(self.no_channel(unknown));
        }
        let mut record =
            KeyRecord::new(&grant.key, &grant.holder, grant.roles.iter().copied(), channels.clone())?;
        record.from_sequence = grant.from_sequence;
        record.to_sequence = grant.to_sequence;
        match self.keys.iter_mut().find(|known| known.id == record.id) {
            None => self.add(record)?,
            Some(known) => {
                let same = (&known.holder, &known.roles) == (&record.holder, &record.roles);
                if !same || !of_channels {
                    let roles: Vec<&str> = known.roles.iter().map(|role| role.name()).collect();
                    let message =
                        format!("{} has this key already, for {}", known.holder, roles.join(" and "));
                    return Err(
                        bad(&record.id, message).hint("a key has one holder and one role: make another")
                    );
                }
                known.channels.extend(record.channels);
                known.from_sequence = record.from_sequence.or(known.from_sequence);
                known.to_sequence = record.to_sequence.or(known.to_sequence);
            }
        }
        for name in channels {
            let enough = self.holders(Role::Override, Some(&name)).len() >= 2;
            let Some(rules) = self.channels.get_mut(&name) else { continue };
            if grant.roles.contains(&Role::Approver) {
                rules.approver.get_or_insert(1);
            }
            if enough && grant.roles.contains(&Role::Override) {
                rules.r#override.get_or_insert(2);
            }
        }
        Ok(())
    }

    /// Sets how many holders something takes.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for what cannot be.
    pub fn set_threshold(&mut self, threshold: &Threshold) -> Result<()> {
        let Threshold { channel, role, holders } = threshold;
        if !role.is_of_channels() {
            if *role != Role::Root || channel.is_some() {
                return Err(bad(role, "it has no threshold, or none of a channel")
                    .hint("thresholds are root=N, release=N, approver=N and override=N"));
            }
            self.root_threshold = *holders;
            return Ok(());
        }
        if let Some(unknown) = channel.as_ref().filter(|name| !self.channels.contains_key(*name)) {
            return Err(self.no_channel(unknown));
        }
        let meant = |name: &String| channel.as_ref().is_none_or(|channel| channel == name);
        for (_, rules) in self.channels.iter_mut().filter(|(name, _)| meant(name)) {
            let optional = (*holders > 0).then_some(*holders);
            match role {
                Role::Approver => rules.approver = optional,
                Role::Override => rules.r#override = optional,
                _ => rules.release = *holders,
            }
        }
        Ok(())
    }

    /// The first threshold that asks for more people than have keys, brought down to those who do: what must come
    /// before the keys of somebody go. `None` where nothing is short of people, or where nobody would be left.
    pub fn lowered(&self) -> Option<Threshold> {
        let of_channels = self.channels.iter().flat_map(|(name, rules)| {
            let takes = [
                (Role::Release, Some(rules.release)),
                (Role::Approver, rules.approver),
                (Role::Override, rules.r#override),
            ];
            takes.map(|(role, threshold)| (Some(name.as_str()), role, threshold))
        });
        let mut all = std::iter::once((None, Role::Root, Some(self.root_threshold))).chain(of_channels);
        let (channel, role, found) = all.find_map(|(channel, role, threshold)| {
            let found = self.holders(role, channel).len();
            (found < threshold?).then_some((channel, role, found))
        })?;
        let holders = match (role, found) {
            (Role::Root | Role::Release, 0) => return None,
            // An override by one person is none.
            (Role::Override, _) if found < 2 => 0,
            _ => found,
        };
        Some(Threshold { channel: channel.map(str::to_owned), role, holders })
    }

    /// Begins the sequence of a channel anew, with `epoch` or the next.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for an epoch that is not higher.
    pub fn raise_epoch(&mut self, channel: &str, epoch: Option<u64>) -> Result<()> {
        let unknown = self.no_channel(channel);
        let rules = self.channels.get_mut(channel).ok_or(unknown)?;
        let epoch = epoch.or_else(|| rules.epoch.checked_add(1)).unwrap_or_default();
        if epoch <= rules.epoch {
            let message = format!("epoch {epoch} is not after {}", rules.epoch);
            return Err(bad(channel, message).hint("an epoch only rises: give +1"));
        }
        rules.epoch = epoch;
        Ok(())
    }

    /// Takes keys out: that of an id, or all of a holder.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] where there is none.
    pub fn remove(&mut self, who: &str) -> Result<Vec<KeyRecord>> {
        let is_meant = |record: &KeyRecord| record.id == who || record.holder == who;
        if !self.keys.iter().any(is_meant) {
            return Err(self.nobody(who));
        }
        Ok(self.keys.extract_if(.., |record| is_meant(record)).collect())
    }

    /// Puts a new key in the place of an old one, and gives the id of the old one.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] where there is no old one, or several.
    pub fn rotate(&mut self, old: &str, new: PublicKey) -> Result<String> {
        let removed = self.remove(old)?;
        let [record] = removed.as_slice() else {
            let ids: Vec<&str> = removed.iter().map(|record| record.id.as_str()).collect();
            let message = format!("{old} has {} keys: {}", ids.len(), ids.join(", "));
            return Err(bad(old, message).hint("name the key by its id"));
        };
        let (holder, roles, channels) =
            (record.holder.clone(), record.roles.clone(), record.channels.clone());
        let (from_sequence, to_sequence) = (record.from_sequence, record.to_sequence);
        self.grant(&Grant { key: new, holder, roles, channels, from_sequence, to_sequence })?;
        Ok(record.id.clone())
    }

    /// Declares keys to be trusted never again: that of an id, or all of a holder. `before` knows those that are
    /// in use no more.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] where there is none, or it is revoked already.
    pub fn revoke(
        &mut self,
        who: &str,
        reason: &str,
        since_sequence: Option<u64>,
        before: Option<&Chain>,
    ) -> Result<()> {
        if !is_line(reason) {
            return Err(bad("--reason", "expected one line of 1 to 400 letters").hint("say what happened"));
        }
        let earlier =
            before.into_iter().flat_map(Chain::documents).flat_map(|document| &document.text().keys);
        let is_meant = |record: &&KeyRecord| record.id == who || record.holder == who;
        let found: BTreeMap<String, String> = earlier
            .chain(&self.keys)
            .filter(is_meant)
            .filter(|record| self.revoked.iter().all(|revoked| revoked.id != record.id))
            .map(|record| (record.id.clone(), record.holder.clone()))
            .collect();
        if found.is_empty() {
            let is_done = self.revoked.iter().any(|revoked| revoked.id == who || revoked.holder == who);
            return Err(if is_done { bad(who, "it is revoked already") } else { self.nobody(who) });
        }
        self.keys.retain(|record| !found.contains_key(&record.id));
        let revocation = |(id, holder)| Revocation { id, holder, reason: reason.to_owned(), since_sequence };
        self.revoked.extend(found.into_iter().map(revocation));
        self.revoked.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(())
    }

    fn nobody(&self, who: &str) -> Failure {
        let mut known: Vec<&str> = self.keys.iter().map(|record| record.holder.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        bad(who, "no key has this id or this holder").hint(format!("holders are {}", known.join(", ")))
    }

    fn no_channel(&self, name: &str) -> Failure {
        let known: Vec<&str> = self.channels.keys().map(String::as_str).collect();
        bad(name, "there is no channel of this name").hint(format!("channels are {}", known.join(", ")))
    }
}

fn bad(object: impl std::fmt::Display, message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::BadArgument, object, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{Algorithm, Document, PrivateKey};

    /// What a text needs once some are gone: lowered so, it makes sense. `None` where another key must come.
    #[test]
    fn thresholds_come_down_to_those_who_are_left() {
        let mut full = Text::new(3);
        full.open_channel("prod").unwrap();
        let people = [
            ("r1", Role::Root),
            ("r2", Role::Root),
            ("r3", Role::Root),
            ("d1", Role::Release),
            ("d2", Role::Release),
            ("a1", Role::Approver),
            ("o1", Role::Override),
            ("o2", Role::Override),
            ("o3", Role::Override),
        ];
        for (name, role) in people {
            full.grant(&Grant {
                key: PrivateKey::generate(Algorithm::Ed25519).unwrap().public().clone(),
                holder: name.to_owned(),
                roles: [role].into(),
                channels: BTreeSet::new(),
                from_sequence: None,
                to_sequence: None,
            })
            .unwrap();
        }
        let of = |channel: Option<&str>, role, holders| Threshold {
            channel: channel.map(str::to_owned),
            role,
            holders,
        };
        full.set_threshold(&of(None, Role::Release, 2)).unwrap();
        full.set_threshold(&of(None, Role::Override, 3)).unwrap();
        assert_eq!(full.lowered(), None);
        for (gone, expected) in [
            (&["r1"][..], Some(of(None, Role::Root, 2))),
            (&["r1", "r2", "r3"], None),
            (&["d2"], Some(of(Some("prod"), Role::Release, 1))),
            (&["d1", "d2", "a1"], None),
            (&["a1"], Some(of(Some("prod"), Role::Approver, 0))),
            (&["o1"], Some(of(Some("prod"), Role::Override, 2))),
            (&["o1", "o2"], Some(of(Some("prod"), Role::Override, 0))),
        ] {
            let mut text = full.clone();
            for name in gone {
                text.remove(name).unwrap();
            }
            assert!(Document::new(text.clone()).is_err(), "{gone:?}");
            assert_eq!(text.lowered(), expected, "{gone:?}");
            if let Some(threshold) = &expected {
                text.set_threshold(threshold).unwrap();
                assert!(Document::new(text).is_ok(), "{gone:?}");
            }
        }
    }
}
