//! The page of the admin API: what can be asked for, and who may.

use askama::Template;

use super::{
    super::{
        api::{ROOMS, ROOT, Room},
        respond::Answer,
    },
    Frame, page,
};

#[derive(Template)]
#[template(path = "api.html")]
struct Api {
    frame: Frame,
    root: &'static str,
    rooms: [&'static Room; ROOMS.len()],
}

/// The page. It holds nothing of the registry.
pub(super) fn show(frame: Frame) -> Answer {
    page(&Api { frame, root: ROOT, rooms: ROOMS })
}
