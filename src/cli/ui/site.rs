//! What is said of a site, for people.

use super::human::{Human, Page, name, short};
use crate::{
    base::text::count,
    report::site::{
        AcceptReport, Accepted, ChannelLine, InDoubt, PinReport, SettingsLine, SettingsReport, SiteReport,
    },
    trust::sequence::{Position, Warning},
};

/// A warning in words.
pub(in crate::cli) fn warning(warning: &Warning) -> String {
    match warning {
        Warning::Gap { from, to } => {
            format!("the last bundle here is sequence {from}, this is {to}: those between are not known here")
        }
        Warning::Expired { expires, clock } => format!("the bundle expired at {expires}, by the {clock}"),
        Warning::ClockWrong { clock, floor } => {
            format!(
                "the system clock says {clock}, signed documents prove that it is {floor} or later: set it"
            )
        }
        Warning::Behind { newest } => {
            format!("a beacon told of sequence {newest}, which is newer: ask where that bundle is")
        }
    }
}

pub(super) fn position(position: &Position) -> String {
    format!("epoch {} sequence {} {}", position.epoch, position.sequence, short(&position.bundle.to_string()))
}

/// An import that is in doubt.
pub(super) fn in_doubt(doubt: &InDoubt) -> String {
    let InDoubt { channel, position: at, key_id, holder } = doubt;
    let (channel, at, holder) = (name(channel), position(at), name(holder));
    format!("in doubt: {channel} {at}, signed by {holder} with the revoked key {key_id}")
}

fn settings(page: &mut Page, settings: &SettingsLine) {
    let silence = match settings.max_silence {
        0 => "never".to_owned(),
        days => format!("after {}", count(usize::try_from(days).unwrap_or(usize::MAX), "day")),
    };
    let (expiry, jump) = (settings.expiry, settings.jump_limit);
    page.line(format!("expiry {expiry}, silence alarm {silence}, at most {jump} ahead of the last bundle"));
}

fn channel(line: &ChannelLine) -> Vec<String> {
    let last = match (&line.last, &line.at_least) {
        (Some(last), _) => position(last),
        (None, Some(least)) => format!("nothing before epoch {} sequence {}", least.epoch, least.sequence),
        (None, None) => "nothing imported".to_owned(),
    };
    vec![name(&line.channel), last, format!("heard {}", line.heard)]
}

impl Human for SiteReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        match (&self.site, &self.trust) {
            (Some(site), Some(trust)) => {
                page.line(format!("{}: trust version {}", name(site), trust.version));
                page.line(format!("  fingerprint {}", trust.fingerprint));
                page.line(format!("  pinned      {}", trust.pinned));
            }
            _ => page.line(format!("{}: no trust document is pinned", name(&self.home))),
        }
        if let Some(importer) = &self.importer {
            page.line(format!("  receipts by {importer}"));
        }
        settings(&mut page, &self.settings);
        page.table(&self.channels.iter().map(channel).collect::<Vec<_>>());
        for doubt in &self.in_doubt {
            page.line(in_doubt(doubt));
        }
        page.line(format!("ledger: {}, head {}", count_u64(self.ledger_records, "record"), self.ledger_head));
        for alarm in &self.alarms {
            page.line(format!("alarm[{}]: {}: {}", alarm.reason, name(&alarm.object), alarm.message));
        }
        page.0
    }
}

impl Human for PinReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("{}: pinned trust version {}", name(&self.site), self.trust.version));
        page.line(format!("  fingerprint {}", self.trust.fingerprint));
        page.line(format!("  receipts by {}", self.importer));
        let at = |line: &crate::report::site::ChannelAt| vec![name(&line.channel), position(&line.position)];
        page.table(&self.channels.iter().map(at).collect::<Vec<_>>());
        if let Some(receipt) = &self.receipt {
            page.line(format!("goes on from receipt {}", short(receipt)));
        }
        page.0
    }
}

impl Human for AcceptReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        for accepted in &self.accepted {
            match accepted {
                Accepted::Trust { version, fingerprint, in_doubt } => {
                    page.line(format!("trust version {version}, fingerprint {fingerprint}"));
                    for doubt in in_doubt {
                        page.line(format!("  {}", self::in_doubt(doubt)));
                    }
                }
                Accepted::Beacon { channel, newest, behind, trust_missing } => {
                    let behind = if *behind { ", which is not here yet" } else { "" };
                    page.line(format!("beacon of {}: {}{behind}", name(channel), position(newest)));
                    if let Some(version) = trust_missing {
                        page.line(format!("  it knows trust version {version}: ask the sender for it"));
                    }
                }
                Accepted::Override { id, bundle, effect } => {
                    page.line(format!("override {} lifts {effect} for {}", short(id), short(bundle)));
                }
                Accepted::Older { version, pinned } => {
                    page.line(format!(
                        "trust version {version} is older than {pinned}, the pinned one: nothing to do"
                    ));
                }
                Accepted::Known { fingerprint } => {
                    page.line(format!("{} was here already", short(fingerprint)));
                }
            }
        }
        page.0
    }
}

impl Human for SettingsReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        settings(&mut page, &self.settings);
        page.0
    }
}

fn count_u64(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}
