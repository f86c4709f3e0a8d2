//! What happened.

use std::ops::ControlFlow;

use super::{
    Call, Needs, Operation, Replied, Reply, Room,
    table::{AFTER, Kind, LIMIT, Parameter, shape},
};
use crate::{
    base::limits,
    ledger::{Event, Record, RegistryAction, Search},
    report::custody::RecordsReport,
};

pub(super) const ROOM: Room = Room {
    name: "ledger",
    route: "api-ledger",
    about: "What happened: the same as `sealift audit search`. Nothing is proven by it.",
    operations: &[Operation {
        id: "ledger-search",
        method: "GET",
        path: "/ledger",
        needs: Needs::All,
        summary: "Records of the ledger: who did what, and was refused what, oldest first",
        more: "What is not given makes no difference; a record has to fit all that is.",
        query: &[
            Parameter::new("after", Kind::Number, "Only records after the one of this number."),
            LIMIT,
            Parameter::new("action", Kind::Word(actions), "Done in the registry, or refused; one of these.")
                .many(),
            Parameter::new("event", Kind::Word(|| Event::NAMES.to_vec()), "A kind of record; one of these.")
                .many(),
            Parameter::new("who", Kind::Text, "By this account: user:kim, or kim; anyone: without a login."),
            Parameter::new("from", Kind::Network, "From this address, or an address of this network."),
            Parameter::new("repository", Kind::Repository, "In this repository."),
            Parameter::new("tag", Kind::Tag, "Under this tag."),
            Parameter::new("digest", Kind::Digest, "With this content."),
            Parameter::new(
                "since",
                Kind::Date,
                "Not before this: a day (its first moment in UTC) or a time.",
            ),
            Parameter::new("until", Kind::Date, "Before this."),
            Parameter::new("refused", Kind::Flag, "Only what was refused, or only what was done."),
        ],
        body: None,
        answer: shape::<RecordsReport>,
        problems: &[],
        run: search,
    }],
};

fn actions() -> Vec<&'static str> {
    RegistryAction::ALL.iter().map(|action| action.name()).collect()
}

fn search(call: &Call) -> Replied {
    let query = &call.query;
    let wanted = query.all("action");
    let search = Search {
        events: query.all("event").to_vec(),
        actions: RegistryAction::ALL
            .iter()
            .copied()
            .filter(|one| wanted.iter().any(|name| name == one.name()))
            .collect(),
        who: query.owned("who"),
        from: query.text("from").and_then(|from| from.parse().ok()),
        repository: query.owned("repository"),
        tag: query.owned("tag"),
        digest: query.digest("digest"),
        since: query.date("since"),
        until: query.date("until"),
        refused: query.flag("refused"),
    };
    let (after, limit) = (query.number(AFTER.name).unwrap_or_default(), query.limit());
    let report = call.registry.store.state(|state| {
        let (mut records, mut looked, mut last) = (Vec::new(), 0, after);
        state.each_record(after.saturating_add(1), |number, line| {
            (looked, last) = (looked + 1, number);
            if search.may_fit(line) {
                let record = Record::parse(line)?;
                if search.fits(&record) {
                    records.push(record);
                }
            }
            let is_full = records.len() >= limit || looked >= limits::API_RECORDS;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let next = (state.ledger_head()?.number > last).then_some(last);
        Ok(RecordsReport { schema: 1, records, next })
    })?;
    let next = report.next.map(|next| call.link_to_next(&next.to_string()));
    Ok(next.into_iter().fold(Reply::of(&report)?, Reply::header))
}
