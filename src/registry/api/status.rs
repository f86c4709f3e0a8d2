//! How the site is, and what this API is.

use super::{
    Call, Needs, Operation, Replied, Reply, Room, openapi,
    table::{self, shape},
};
use crate::{report::site::SiteReport, site};

pub(super) const ROOM: Room = Room {
    name: "status",
    route: "api-status",
    about: "How the site is, and what this API is.",
    operations: &[
        Operation {
            id: "status",
            method: "GET",
            path: "/status",
            needs: Needs::All,
            summary: "What the site knows, and what somebody should look at",
            more: "The same as `sealift trust status --output json`.",
            query: &[],
            body: None,
            answer: shape::<SiteReport>,
            problems: &[],
            run: status,
        },
        Operation {
            id: "document",
            method: "GET",
            path: "/openapi.json",
            needs: Needs::Nothing,
            summary: "This document",
            more: "It holds nothing of the registry, so everybody may read it.",
            query: &[],
            body: None,
            answer: table::anything,
            problems: &[],
            run: |_call| openapi::document(),
        },
    ],
};

fn status(call: &Call) -> Replied {
    let site = call.site();
    let home = site.store().home().display().to_string();
    let (report, _alarms) = site.store().state(|state| site::status(state, &home, site.now()))?;
    Reply::of(&report)
}
