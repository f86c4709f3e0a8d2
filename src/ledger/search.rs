//! Which records tell of what somebody asks.

use super::{Event, Record, RegistryAction};
use crate::base::{clock::Timestamp, digest::Digest};

/// What is asked. What is not given makes no difference; a record has to fit all that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Kinds of records, as they name themselves; one of them.
    pub events: Vec<String>,
    /// Done in the registry, or refused: one of these.
    pub actions: Vec<RegistryAction>,
    /// By whom: `user:kim`, or the name alone.
    pub who: Option<String>,
    /// From which address.
    pub from: Option<String>,
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
        let texts = [&self.who, &self.from, &self.repository, &self.tag, &digest].into_iter().flatten();
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

    fn fits_deed(&self, event: &Event) -> bool {
        let Event::Registry(deed) = event else {
            let registry = [&self.who, &self.from, &self.repository, &self.tag];
            let refused = matches!(event, Event::Refusal { .. });
            return self.actions.is_empty()
                && registry.into_iter().all(Option::is_none)
                && self.refused.is_none_or(|wanted| wanted == refused);
        };
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| found == Some(wanted))
        };
        let text = |text: &Option<super::Text>| text.as_ref().map(|text| text.get().to_owned());
        let who = deed.who.get();
        let name = who.split_once(':').map_or(who, |(_kind, name)| name);
        let digest = |wanted: &Digest| [&deed.digest, &deed.before].contains(&&Some(wanted.clone()));
        (self.actions.is_empty() || self.actions.contains(&deed.action))
            && (same(&self.who, Some(who)) || same(&self.who, Some(name)))
            && same(&self.from, text(&deed.from).as_deref())
            && same(&self.repository, text(&deed.repository).as_deref())
            && same(&self.tag, text(&deed.tag).as_deref())
            && self.digest.as_ref().is_none_or(digest)
            && self.refused.is_none_or(|wanted| wanted == deed.refused.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{self, Deed, Head, Thing};

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + second).unwrap()
    }

    /// A pull, a push of a tag that moved, a refusal, a login, a beacon: at 0, 1, 2, 3, 4.
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
        let events = [a, push, refused, deed(RegistryAction::Login, "anyone")].map(Event::Registry);
        let mut head = Head::start().unwrap();
        let events = events.into_iter().chain([beacon]).zip(0..);
        let line = |(event, second): (Event, u64)| {
            let (line, next) = ledger::append(&head, at(second), &event).unwrap();
            head = next;
            line
        };
        events.map(line).collect()
    }

    #[test]
    fn what_is_asked_is_found_and_nothing_else() {
        let lines = lines();
        let some = |text: &str| Some(text.to_owned());
        let all = Search::default();
        for (search, found) in [
            (all.clone(), &[0, 1, 2, 3, 4][..]),
            (Search { actions: vec![RegistryAction::Pull], ..all.clone() }, &[0, 2]),
            (Search { events: vec!["beacon".into()], ..all.clone() }, &[4]),
            (Search { who: some("kim"), ..all.clone() }, &[0, 2]),
            (Search { who: some("user:kim"), refused: Some(false), ..all.clone() }, &[0]),
            (Search { who: some("robot:kim"), ..all.clone() }, &[]),
            (
                Search { from: some("10.0.0.1"), since: Some(at(1)), until: Some(at(3)), ..all.clone() },
                &[1, 2],
            ),
            (Search { from: some("10.0.0.10"), ..all.clone() }, &[]),
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
