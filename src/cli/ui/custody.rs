//! Ledgers and receipts, for people.

use super::{
    human::{Human, Page, name, short},
    site::{position, warning},
};
use crate::{
    ledger::{Deed, Event, Record},
    report::custody::{AuditReport, FoundReport, ImporterReport, ReceiptReport},
};

impl Human for AuditReport {
    fn human(&self) -> String {
        let audit = &self.audit;
        let mut page = Page::default();
        page.line(format!("whole: the ledger of {}, {} records", name(&self.path), audit.head.number));
        if let (Some(first), Some(last)) = (audit.first, audit.last) {
            page.line(format!("  from {first} to {last} by the clock of the site"));
        }
        page.table(
            &audit
                .events
                .iter()
                .map(|(event, count)| vec![event.clone(), count.to_string()])
                .collect::<Vec<_>>(),
        );
        match (audit.sealed, self.trusted_keys) {
            (0, 0) => page.line("not signed by anybody known: give the public key of the site with --key"),
            (0, _) => page.line("no checkpoint signs it yet"),
            (sealed, _) => page.line(format!("signed up to record {sealed} by {}", audit.keys.join(", "))),
        }
        page.line(match audit.heads {
            0 => "compared with nothing from elsewhere: a cut tail would not show (--head)".to_owned(),
            heads => format!("goes on from {heads} known from elsewhere"),
        });
        page.line(format!("head {}", self.head_line));
        page.0
    }
}

impl Human for FoundReport {
    fn human(&self) -> String {
        let Record { number, time, event, .. } = &self.record;
        let what = match event {
            Event::Registry(deed) => deed_line(deed),
            Event::Refusal { action, reason, object, .. } => {
                let (action, reason) = (name(action.get()), name(reason.get()));
                format!("refusal of {action}: {reason}, {}", name(object.get()))
            }
            Event::Import { bundle, channel, epoch, sequence, .. } => {
                format!("import of {bundle}, {} {epoch}.{sequence}", name(channel.get()))
            }
            Event::Account { account, action, by, .. } => {
                let by = by.as_ref().map(|by| format!(" by {}", name(by.get()))).unwrap_or_default();
                format!("account {} {}{by}", name(account.get()), format!("{action:?}").to_lowercase())
            }
            Event::Rules { version, by, .. } => format!("rules {version} by {}", name(by.get())),
            other => other.name().to_owned(),
        };
        format!("{time} {number} {what}\n")
    }
}

/// Who did what, in the order in which one asks.
fn deed_line(deed: &Deed) -> String {
    let mut words = vec![name(deed.who.get()), deed.action.name().to_owned()];
    words.extend(deed.what.map(|what| what.name().to_owned()));
    words.extend(deed.operation.iter().map(|operation| name(operation.get())));
    if let Some(repository) = &deed.repository {
        let tag = deed.tag.as_ref().map(|tag| format!(":{}", name(tag.get()))).unwrap_or_default();
        words.push(format!("{}{tag}", name(repository.get())));
    }
    words.extend(deed.digest.iter().map(ToString::to_string));
    words.extend(deed.before.iter().map(|before| format!("before {before}")));
    words.extend(deed.from.iter().map(|from| format!("from {}", name(from.get()))));
    words.extend(deed.by.map(|by| format!("by {}", by.name())));
    words.extend(deed.refused.iter().map(|code| format!("refused {}", name(code.get()))));
    words.extend(deed.count.map(|count| format!("{count} times")));
    words.join(" ")
}

impl Human for ImporterReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("receipts and ledger by {}", self.key_id));
        page.line(match (&self.since, &self.replaces) {
            (None, _) => "  it has not signed yet".to_owned(),
            (Some(since), None) => format!("  since {since}"),
            (Some(since), Some(old)) => format!("  since {since}, in the place of {old}"),
        });
        page.line(self.public_key.trim_end());
        page.0
    }
}

impl Human for ReceiptReport {
    fn human(&self) -> String {
        let facts = &self.facts;
        let mut page = Page::default();
        let what = match (&facts.reason, self.imported) {
            (Some(reason), _) => format!("refused ({reason})"),
            (None, _) => "imported".to_owned(),
        };
        let site = facts.site.as_deref().unwrap_or("a site without a name");
        page.line(format!("{what} at {} on {} by its clock", name(site), facts.time));
        page.line(format!("  SHA256SUMS {}", self.sums));
        if let (Some(channel), Some(place)) = (&facts.channel, facts.bundle) {
            page.line(format!("  channel    {}, sequence {}.{}", name(channel), place.epoch, place.sequence));
        }
        let at = |at: Option<&_>| at.map_or_else(|| "nothing imported".to_owned(), position);
        page.line(format!("  before     {}", at(facts.prior.as_ref())));
        page.line(format!("  after      {}", at(self.position.as_ref())));
        if let Some([one, other]) = &facts.frozen {
            page.line(format!("  frozen by  {one}"));
            page.line(format!("             {other}"));
        }
        if let Some(trust) = &facts.trust {
            page.line(format!(
                "  trust      version {}, {}",
                trust.version,
                short(&trust.digest.to_string())
            ));
        }
        for id in &facts.overrides {
            page.line(format!("  override   {id}"));
        }
        if facts.missing_count > 0 {
            page.line(format!("  not there  {} that its artifacts name", facts.missing_count));
        }
        for fact in &facts.warnings {
            page.line(format!("  warning    {}", name(&warning(fact))));
        }
        page.line(format!("  ledger     {}", facts.ledger));
        page.line(format!("  signed by  {}", self.signer));
        page.line(format!("  receipt    {}", self.receipt));
        page.0
    }
}
