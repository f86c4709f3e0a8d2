//! Repositories and their tags.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Call, Needs, Operation, Replied, Reply, Room,
    table::{AFTER, LIMIT, REPOSITORY, TAG, shape},
};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason},
    },
    registry::access::Gate,
    report::tags::{RepositoriesReport, RepositoryLine, RestoreReport, TagHistoryReport, TagsReport},
    rules::Right,
};

pub(super) const ROOM: Room = Room {
    name: "tags",
    route: "api-tags",
    about: "Repositories and their tags: the same as `sealift tag`. Repositories come with what they hold.",
    operations: &[
        Operation {
            id: "repository-list",
            method: "GET",
            path: "/repositories",
            needs: Needs::Some,
            summary: "The repositories that the account administers",
            more: "",
            query: &[AFTER, LIMIT],
            body: None,
            answer: shape::<RepositoriesReport>,
            problems: &[],
            run: repositories,
        },
        Operation {
            id: "tag-list",
            method: "GET",
            path: "/tags",
            needs: Needs::Repository(&[Right::Pull, Right::Admin]),
            summary: "The tags of a repository",
            more: "",
            query: &[REPOSITORY, AFTER, LIMIT],
            body: None,
            answer: shape::<TagsReport>,
            problems: &[404],
            run: list,
        },
        Operation {
            id: "tag-history",
            method: "GET",
            path: "/tags/history",
            needs: Needs::Repository(&[Right::Pull, Right::Admin]),
            summary: "Where a tag led, when, and who moved it",
            more: "",
            query: &[REPOSITORY, TAG],
            body: None,
            answer: shape::<TagHistoryReport>,
            problems: &[404],
            run: history,
        },
        Operation {
            id: "tag-restore",
            method: "POST",
            path: "/tags/restore",
            needs: Needs::Repository(&[Right::Tag, Right::Admin]),
            summary: "Lead a tag back to where it led before",
            more: "Who has `tag` alone moves tags that are there: one that was taken away comes back by `push` or `admin`.",
            query: &[REPOSITORY, TAG],
            body: Some(shape::<Wanted>),
            answer: shape::<RestoreReport>,
            problems: &[404, 409],
            run: restore,
        },
    ],
};

/// Where a tag is to lead.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Restore")]
struct Wanted {
    /// Lead it here; without it, where it led before it led to where it does.
    #[serde(default)]
    to: Option<Digest>,
}

fn repositories(call: &Call) -> Replied {
    let (store, limit) = (&call.registry.store, call.query.limit());
    let shown = call.gate.reached(&call.caller, Right::Admin);
    let mut names = shown.page(call.query.text(AFTER.name), limit + 1, |last, count, within| {
        store.repositories(last, count, Some(within))
    })?;
    let more = names.len() > limit;
    names.truncate(limit);
    let mut repositories = Vec::with_capacity(names.len());
    for repository in names {
        let found = store.summary(&repository)?;
        repositories.push(RepositoryLine {
            repository,
            tags: found.tags,
            manifests: found.manifests,
            bytes: found.bytes,
            moved: found.moved,
        });
    }
    let last = repositories.last().filter(|_last| more).map(|last| call.link_to_next(&last.repository));
    let reply = Reply::of(&RepositoriesReport { schema: 1, repositories })?;
    Ok(last.into_iter().fold(reply, Reply::header))
}

fn list(call: &Call) -> Replied {
    let (report, next) = call.site().tags(name(call), call.query.text(AFTER.name), call.query.limit())?;
    let next = next.map(|last| call.link_to_next(&last));
    Ok(next.into_iter().fold(Reply::of(&report)?, Reply::header))
}

fn history(call: &Call) -> Replied {
    Reply::of(&call.site().tag_history(name(call), tag(call))?)
}

fn restore(call: &Call) -> Replied {
    let Wanted { to } = call.body()?;
    let (repository, tag) = (name(call), tag(call));
    let may = |right| call.gate.may(&call.caller, right, repository);
    let may_make = may(Right::Admin) || may(Right::Push);
    let mut lacks = None;
    let done = call.site().lead_back((repository, tag), to.as_ref(), |found| {
        if may_make || found.is_some() {
            return Ok(());
        }
        lacks = Some(Gate::lacks("`push` or `admin` in the repository, for the tag was taken away"));
        let message = "the tag was taken away";
        Err(Failure::new(Reason::TagUnknown, repository, message))
    });
    match lacks {
        Some(refusal) => Err(refusal.into()),
        None => Reply::of(&done?),
    }
}

fn name(call: &Call) -> &str {
    call.query.text(REPOSITORY.name).unwrap_or_default()
}

fn tag(call: &Call) -> &str {
    call.query.text(TAG.name).unwrap_or_default()
}
