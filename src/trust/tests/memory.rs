//! What a site remembers of a channel, and what people told it after it lost its memory.

use super::{
    sequences::{Case, at, case},
    *,
};
use crate::trust::sequence::{Memory, Warning};

/// A bundle that a beacon tells of is news, or it is not.
#[test]
fn a_site_is_behind_what_is_newer() {
    let memory = case().memory;
    for (newest, expected) in [
        (at(2, 43, ""), true),
        (at(2, u64::MAX, ""), true),
        (at(3, 0, ""), true),
        (at(2, 42, ""), false),
        // another bundle in the same place is a contradiction, no news
        (at(2, 42, "other"), false),
        (at(2, 41, ""), false),
        (at(1, 500, ""), false),
    ] {
        assert_eq!(memory.is_behind(&newest), expected, "{newest:?}");
    }
    assert!(Memory::default().is_behind(&at(0, 0, "")));
}

/// A site that lost its memory was told where it stood: epoch 2, sequence 40.
fn told() -> Case {
    let mut case = case();
    case.memory = Memory { at_least: Some((2, 40)), ..Memory::default() };
    case
}

/// T13, T15: what people told a site holds like what it imported, as far as it goes.
#[test]
fn a_site_that_lost_its_memory_goes_on_from_where_it_was_told() {
    let gap = |to: u64| vec![Warning::Gap { from: 40, to }];
    let outcomes: [(u64, u64, std::result::Result<Vec<Warning>, Reason>); 9] = [
        (2, 0, Err(Reason::Rollback)),
        (2, 39, Err(Reason::Rollback)),
        (2, 40, Ok(vec![])),
        (2, 41, Ok(vec![])),
        (2, 42, Ok(gap(42))),
        (2, 50, Ok(gap(50))),
        (2, 51, Err(Reason::SequenceJump)),
        // An older epoch is older whatever the sequence is; in a newer one the sequence begins anew.
        (1, 900, Err(Reason::Rollback)),
        (3, 7, Ok(vec![])),
    ];
    for (epoch, sequence, expected) in outcomes {
        let mut case = told();
        case.epoch = None;
        case.stands(at(epoch, sequence, ""));
        let found = case.judged(&[]).map(|judgement| judgement.warnings).map_err(|failure| failure.reason);
        assert_eq!(found, expected, "{epoch} {sequence}");
    }
}

/// Of what was told and what was imported since, the newer counts.
#[test]
fn the_newer_of_told_and_imported_counts() {
    for (last, sequence, accepted) in
        [(30, 39, false), (30, 40, true), (30, 50, true), (30, 51, false), (45, 44, false), (45, 55, true)]
    {
        let mut case = told();
        case.memory.last = Some(at(2, last, ""));
        case.stands(at(2, sequence, ""));
        assert_eq!(case.judged(&[]).is_ok(), accepted, "{last} {sequence}");
    }
}
