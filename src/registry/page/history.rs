//! Where a tag led, and who moved it.

use askama::Template;

use super::{
    Frame, Look, page,
    words::{Moment, Name},
};
use crate::{
    oci::error_code,
    registry::respond::{Answer, Refusal},
    store::TagMove,
};

/// Moves that are shown.
const MOVES: usize = 200;

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    frame: Frame,
    name: String,
    tag: String,
    moves: Vec<Move>,
    /// Whether there are older ones.
    more: bool,
    /// Whether the tag is there now.
    is_there: bool,
}

/// One move, in words.
struct Move {
    time: Option<Moment>,
    who: String,
    /// Where it led before; none for the first move, and for one that came after the tag was taken away.
    from: Option<Name>,
    /// Where to; none where the tag was taken away.
    to: Option<Name>,
    /// Whether that is still here.
    is_there: bool,
}

impl Look<'_> {
    pub(super) fn history(self, name: &str, tag: &str) -> Answer {
        let mut moves = self.registry.store.tag_history(name, tag, MOVES + 1)?;
        if moves.is_empty() {
            return Err(Refusal::of(error_code::MANIFEST_UNKNOWN));
        }
        let before: Vec<Option<Name>> =
            moves.iter().skip(1).map(|one| one.digest.as_ref().map(Name::of)).chain([None]).collect();
        let more = moves.len() > MOVES;
        moves.truncate(MOVES);
        let told = |(one, from): (TagMove, Option<Name>)| Move {
            time: one.time.map(|time| Moment::of(time, self.frame.now)),
            who: self.frame.name_of(&one.who),
            from,
            to: one.digest.as_ref().map(Name::of),
            is_there: one.present,
        };
        let is_there = moves.first().is_some_and(|last| last.digest.is_some());
        let moves = moves.into_iter().zip(before).map(told).collect();
        page(&History {
            name: name.to_owned(),
            tag: tag.to_owned(),
            moves,
            more,
            is_there,
            frame: self.frame,
        })
    }
}
