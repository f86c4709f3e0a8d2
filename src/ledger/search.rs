//! Which records tell of what somebody asks.

use std::{net::IpAddr, str::FromStr};

use super::{Event, Record, RegistryAction};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason},
};

/// Addresses that begin with the same bits (RFC 4632, 3.1); one of them where all bits are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// The address as bits, the first of them highest, and how many a whole one has.
    fn bits_of(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(four) => (u128::from(four.to_bits()) << 96, 32),
            IpAddr::V6(six) => (six.to_bits(), 128),
        }
    }

    /// Whether an address is in both.
    fn meets(self, other: Self) -> bool {
        let ((own, length), (others, of_other)) = (Self::bits_of(self.address), Self::bits_of(other.address));
        let common = self.bits.min(other.bits);
        length == of_other && (common == 0 || (own ^ others) >> (128 - common) == 0)
    }

    /// The one address that it is, as records write it. Of IPv6, records may tell of a network instead.
    fn host(self) -> Option<String> {
        matches!((self.address, self.bits), (IpAddr::V4(_), 32)).then(|| self.address.to_string())
    }
}

impl FromStr for Network {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let read = || {
            let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
            let written: IpAddr = address.parse().ok()?;
            let (_, length) = Self::bits_of(written);
            let digits = |bits: &&str| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
            let bits = match bits {
                Some(bits) => Some(bits).filter(digits)?.parse().ok().filter(|bits| *bits <= length)?,
                None => length,
            };
            // IPv4 in the clothes of IPv6.
            let address = written.to_canonical();
            let worn = length - Self::bits_of(address).1;
            Some(Self { address, bits: bits.checked_sub(worn)? })
        };
        read().ok_or_else(|| {
            Failure::new(Reason::BadArgument, text, "is neither an address nor a network")
                .hint("for instance 10.1.2.3, 10.1.0.0/16, 2001:db8::1 or 2001:db8::/32")
        })
    }
}

/// What is asked. What is not given makes no difference; a record has to fit all that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Kinds of records, as they name themselves; one of them.
    pub events: Vec<String>,
    /// Done in the registry, or refused: one of these.
    pub actions: Vec<RegistryAction>,
    /// By whom: `user:kim`, or the name alone.
    pub who: Option<String>,
    /// From which address, or one of which.
    pub from: Option<Network>,
    /// In which repository.
    pub repository: Option<String>,
    /// Under which tag.
    pub tag: Option<String>,
    /// With what content, or a bundle of this digest, or whatever else bears it.
    pub digest: Option<Digest>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Refused, or done.
    pub refused: Option<bool>,
}

impl Search {
    /// Whether a line may be the one: a look at its text, so that few of many have to be read.
    pub fn may_fit(&self, line: &str) -> bool {
        let digest = self.digest.as_ref().map(ToString::to_string);
        // What no line holds otherwise than as it is written; the rest is found out by who reads it.
        let is_plain = |text: &&str| text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b));
        let host = self.from.and_then(Network::host);
        let texts = [&self.who, &host, &self.repository, &self.tag, &digest].into_iter().flatten();
        texts.map(String::as_str).filter(is_plain).all(|text| line.contains(text))
    }

    /// Whether it is one, given that its line [may be](Self::may_fit).
    pub fn fits(&self, record: &Record) -> bool {
        let Record { time, event, .. } = record;
        let in_time =
            self.since.is_none_or(|since| since <= *time) && self.until.is_none_or(|until| *time < until);
        let of_kind = self.events.is_empty() || self.events.iter().any(|name| name == event.name());
        in_time && of_kind && self.fits_deed(event)
    }

    fn is_by(&self, who: Option<&str>) -> bool {
        self.who.as_ref().is_none_or(|wanted| {
            who.is_some_and(|who| {
                who == wanted || who.split_once(':').is_some_and(|(_, name)| name == wanted)
            })
        })
    }

    fn fits_deed(&self, event: &Event) -> bool {
        let Event::Registry(deed) = event else {
            let refused = matches!(event, Event::Refusal { .. });
            return self.actions.is_empty()
                && self.is_by(event.who())
                && self.repository.is_none()
                && self.tag.is_none()
                && self.from.is_none()
                && self.refused.is_none_or(|wanted| wanted == refused);
        };
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| found == Some(wanted))
        };
        let text = |text: &Option<super::Text>| text.as_ref().map(|text| text.get().to_owned());
        let from = || deed.from.as_ref()?.get().parse().ok();
        let digest = |wanted: &Digest| [&deed.digest, &deed.before].contains(&&Some(wanted.clone()));
        (self.actions.is_empty() || self.actions.contains(&deed.action))
            && self.is_by(event.who())
            && self.from.is_none_or(|wanted| from().is_some_and(|found: Network| wanted.meets(found)))
            && same(&self.repository, text(&deed.repository).as_deref())
            && same(&self.tag, text(&deed.tag).as_deref())
            && self.digest.as_ref().is_none_or(digest)
            && self.refused.is_none_or(|wanted| wanted == deed.refused.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{self, AccountAction, Deed, Head, Thing, UpkeepAction};

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + second).unwrap()
    }

    /// A pull, a push of a tag that moved, a refusal, a login, a beacon, rules, two accounts, and a repair: at 0 to 8.
    fn lines() -> Vec<String> {
        let deed = |action, who: &str| Deed { from: Some("10.0.0.1".into()), ..Deed::new(action, who) };
        let a = Deed {
            what: Some(Thing::Manifest),
            repository: Some("apps/a".into()),
            tag: Some("1".into()),
            digest: Some(Digest::of(b"one")),
            ..deed(RegistryAction::Pull, "user:kim")
        };
        let push = Deed {
            before: Some(Digest::of(b"one")),
            digest: Some(Digest::of(b"two")),
            ..Deed { action: RegistryAction::Push, who: "robot:ci".into(), ..a.clone() }
        };
        let refused = Deed {
            refused: Some("DENIED".into()),
            repository: Some("apps/b".into()),
            count: Some(3),
            ..a.clone()
        };
        let beacon =
            Event::Beacon { channel: "prod".into(), epoch: 1, sequence: 2, bundle: Digest::of(b"one") };
        let rules =
            Event::Rules { version: 1, digest: Digest::of(b"r"), replaces: None, by: "user:root".into() };
        let account = |by: Option<&str>| Event::Account {
            account: "kim".into(),
            action: AccountAction::Removed,
            changed: std::collections::BTreeMap::new(),
            by: by.map(Into::into),
        };
        let repair = Event::Upkeep {
            action: UpkeepAction::Repair,
            who: "user:root".into(),
            plan: None,
            manifests: 0,
            contents: 0,
            bytes: 0,
        };
        let others = [beacon, rules, account(Some("user:root")), account(None), repair];
        let events = [a, push, refused, deed(RegistryAction::Login, "anyone")].map(Event::Registry);
        let mut head = Head::start().unwrap();
        let events = events.into_iter().chain(others).zip(0..);
        let line = |(event, second): (Event, u64)| {
            let (line, next) = ledger::append(&head, at(second), &event).unwrap();
            head = next;
            line
        };
        events.map(line).collect()
    }

    #[test]
    fn networks_hold_their_addresses() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        for (wanted, found, meets) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            // Bits behind the length say nothing.
            ("10.1.2.3/16", "10.1.9.9", true),
            ("10.1.2.2/31", "10.1.2.3", true),
            ("10.1.2.2/31", "10.1.2.4", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("::ffff:10.1.2.3", "10.1.2.3", true),
            ("::ffff:10.1.0.0/112", "10.1.2.3", true),
            ("::ffff:10.1.0.0/112", "10.2.2.3", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:db8:0:0::1", true),
            // What a record tells of a network together, may be about the address.
            ("2001:db8::1", "2001:db8::/64", true),
            ("2001:db8:0:1::1", "2001:db8::/64", false),
            ("2001:db8::/32", "2001:db8:7::/64", true),
        ] {
            assert_eq!(network(wanted).meets(network(found)), meets, "{wanted} {found}");
            assert_eq!(network(found).meets(network(wanted)), meets, "{found} {wanted}");
        }
        for wrong in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "2001:db8::/129",
            "kim",
            "::ffff:10.0.0.0/95",
            "10.0.0.0/-1",
        ] {
            assert_eq!(wrong.parse::<Network>().unwrap_err().reason, Reason::BadArgument, "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_is_found_and_nothing_else() {
        let lines = lines();
        let some = |text: &str| Some(text.to_owned());
        let from = |text: &str| Some(text.parse().unwrap());
        let all = Search::default();
        for (search, found) in [
            (all.clone(), &[0, 1, 2, 3, 4, 5, 6, 7, 8][..]),
            (Search { actions: vec![RegistryAction::Pull], ..all.clone() }, &[0, 2]),
            (Search { events: vec!["beacon".into()], ..all.clone() }, &[4]),
            (Search { who: some("kim"), ..all.clone() }, &[0, 2]),
            (Search { who: some("user:kim"), refused: Some(false), ..all.clone() }, &[0]),
            (Search { who: some("robot:kim"), ..all.clone() }, &[]),
            (Search { who: some("user:root"), ..all.clone() }, &[5, 6, 8]),
            (Search { who: some("root"), events: vec!["account".into()], ..all.clone() }, &[6]),
            (Search { who: some("root"), tag: some("1"), ..all.clone() }, &[]),
            (Search { who: some("user"), ..all.clone() }, &[]),
            (
                Search { from: from("10.0.0.1"), since: Some(at(1)), until: Some(at(3)), ..all.clone() },
                &[1, 2],
            ),
            (Search { from: from("10.0.0.10"), ..all.clone() }, &[]),
            (Search { from: from("10.0.0.0/24"), ..all.clone() }, &[0, 1, 2, 3]),
            (Search { from: from("::/0"), ..all.clone() }, &[]),
            (Search { repository: some("apps/a"), ..all.clone() }, &[0, 1]),
            (Search { repository: some("apps"), ..all.clone() }, &[]),
            (Search { tag: some("1"), refused: Some(true), ..all.clone() }, &[2]),
            (Search { digest: Some(Digest::of(b"one")), ..all.clone() }, &[0, 1, 2, 4]),
            (Search { digest: Some(Digest::of(b"two")), ..all.clone() }, &[1]),
            (Search { refused: Some(true), ..all.clone() }, &[2]),
            (Search { who: some("a\"b"), ..all }, &[]),
        ] {
            let fits = |line: &&String| search.may_fit(line) && search.fits(&Record::parse(line).unwrap());
            let hits: Vec<&String> = lines.iter().filter(fits).collect();
            let wanted: Vec<&String> = found.iter().map(|at| &lines[*at]).collect();
            assert_eq!(hits, wanted, "{search:?}");
        }
    }
}
