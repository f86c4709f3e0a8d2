//! Where a bundle stands in its channel: every rule at its bound and one past it.

use super::*;
use crate::{
    base::{
        clock::{Clocks, RELEASED, Timestamp},
        digest::Digest,
    },
    trust::{
        Effect,
        sequence::{Candidate, JUMP_LIMIT, Judgement, Memory, Policy, Position, Warning, judge},
    },
};

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// The bundle at a place; `name` tells two at one place apart.
pub(super) fn at(epoch: u64, sequence: u64, name: &str) -> Position {
    Position { epoch, sequence, bundle: Digest::of(format!("{epoch} {sequence} {name}").as_bytes()) }
}

/// A question and all that it depends on.
#[derive(Clone)]
pub(super) struct Case {
    position: Position,
    previous: Option<Digest>,
    for_site: Option<&'static str>,
    expires: Option<Timestamp>,
    pub(super) memory: Memory,
    site: Option<&'static str>,
    pub(super) epoch: Option<u64>,
    limit: u64,
    strict: bool,
    clocks: Clocks,
}

/// The site `plant-7` has bundle 42 of epoch 2 and judges bundle 43, which follows it.
pub(super) fn case() -> Case {
    Case {
        position: at(2, 43, ""),
        previous: Some(at(2, 42, "").bundle),
        for_site: None,
        expires: None,
        memory: Memory {
            last: Some(at(2, 42, "")),
            history: vec![at(2, 41, ""), at(2, 40, ""), at(1, 500, "")],
            beacon: None,
            frozen: None,
            at_least: None,
        },
        site: Some("plant-7"),
        epoch: Some(2),
        limit: 10,
        strict: false,
        clocks: Clocks { system: time("2026-12-01T00:00:00Z"), floor: RELEASED },
    }
}

impl Case {
    fn bent(bend: impl FnOnce(&mut Self)) -> Self {
        let mut case = case();
        bend(&mut case);
        case
    }

    pub(super) fn judged(&self, lifted: &[Effect]) -> Result<Judgement> {
        let candidate = Candidate {
            channel: "prod",
            position: self.position.clone(),
            previous: self.previous.as_ref(),
            site: self.for_site,
            expires: self.expires,
        };
        let policy =
            Policy { site: self.site, epoch: self.epoch, jump_limit: self.limit, strict_expiry: self.strict };
        judge(&candidate, &self.memory, &policy, self.clocks, lifted)
    }

    /// Stands at this place and names nobody before it.
    pub(super) fn stands(&mut self, position: Position) {
        (self.position, self.previous) = (position, None);
    }
}

type Bend = fn(&mut Case);

const FROZEN: fn() -> Option<(Digest, Digest)> = || Some((at(2, 42, "").bundle, at(2, 42, "other").bundle));

/// Every way to be refused: what is wrong, the reason, and the override that helps against it.
const REFUSED: &[(&str, Bend, Reason, Option<Effect>)] = &[
    ("T26 for another site", |case| case.for_site = Some("plant-8"), Reason::WrongSite, None),
    ("T26 for this site in capitals", |case| case.for_site = Some("Plant-7"), Reason::WrongSite, None),
    (
        "H01 for a site, and this home has no name",
        |case| (case.for_site, case.site) = (Some("plant-7"), None),
        Reason::WrongSite,
        None,
    ),
    (
        "T14 a frozen channel, the next bundle",
        |case| case.memory.frozen = FROZEN(),
        Reason::ChannelFrozen,
        Some(Effect::Equivocation),
    ),
    (
        "T14 a frozen channel, the bundle that was here first",
        |case| {
            case.memory.frozen = FROZEN();
            case.position = at(2, 42, "");
        },
        Reason::ChannelFrozen,
        Some(Effect::Equivocation),
    ),
    (
        "T14 a frozen channel, the other bundle",
        |case| {
            case.memory.frozen = FROZEN();
            case.stands(at(2, 42, "other"));
        },
        Reason::ChannelFrozen,
        Some(Effect::Equivocation),
    ),
    ("T15 an epoch below the trust document's", |case| case.stands(at(1, 501, "")), Reason::WrongEpoch, None),
    ("T15 an epoch above the trust document's", |case| case.stands(at(3, 1, "")), Reason::WrongEpoch, None),
    (
        "T15 an epoch below the last bundle's, with no trust document",
        |case| {
            case.epoch = None;
            case.stands(at(1, 501, ""));
        },
        Reason::WrongEpoch,
        None,
    ),
    (
        "T15 an epoch below the last bundle's, with a trust document that fell back",
        |case| {
            case.epoch = Some(1);
            case.stands(at(1, 501, ""));
        },
        Reason::WrongEpoch,
        None,
    ),
    ("T13 one back", |case| case.stands(at(2, 41, "")), Reason::Rollback, Some(Effect::Rollback)),
    (
        "T13 one back, and it names the one before it",
        |case| (case.position, case.previous) = (at(2, 41, ""), Some(at(2, 40, "").bundle)),
        Reason::Rollback,
        Some(Effect::Rollback),
    ),
    ("T13 all the way back", |case| case.stands(at(2, 0, "")), Reason::Rollback, Some(Effect::Rollback)),
    (
        "T14 the place of the last bundle",
        |case| case.stands(at(2, 42, "other")),
        Reason::Equivocation,
        Some(Effect::Equivocation),
    ),
    (
        "T14 a place that a beacon told of",
        |case| {
            case.memory.beacon = Some(at(2, 43, "other"));
        },
        Reason::Equivocation,
        Some(Effect::Equivocation),
    ),
    (
        "T14 a place of the history, at a site that went back",
        |case| {
            case.memory.last = Some(at(2, 39, ""));
            case.stands(at(2, 40, "other"));
        },
        Reason::Equivocation,
        Some(Effect::Equivocation),
    ),
    (
        "T15 one past the limit",
        |case| case.stands(at(2, 53, "")),
        Reason::SequenceJump,
        Some(Effect::SequenceJump),
    ),
    (
        "T15 the end of all numbers",
        |case| case.stands(at(2, u64::MAX, "")),
        Reason::SequenceJump,
        Some(Effect::SequenceJump),
    ),
    (
        "T15 the limit of a site that takes none but the next",
        |case| {
            case.limit = 1;
            case.stands(at(2, 44, ""));
        },
        Reason::SequenceJump,
        Some(Effect::SequenceJump),
    ),
    (
        "the next one, built on something else",
        |case| case.previous = Some(Digest::of(b"another")),
        Reason::PreviousMismatch,
        Some(Effect::PreviousMismatch),
    ),
    (
        "the next one, built on the one before the last",
        |case| case.previous = Some(at(2, 41, "").bundle),
        Reason::PreviousMismatch,
        Some(Effect::PreviousMismatch),
    ),
    (
        "after a gap, built on the one before the last",
        |case| (case.position, case.previous) = (at(2, 45, ""), Some(at(2, 40, "").bundle)),
        Reason::PreviousMismatch,
        Some(Effect::PreviousMismatch),
    ),
    (
        "past its time by the system's clock, at a strict site",
        |case| (case.strict, case.expires) = (true, Some(time("2026-11-30T23:59:59Z"))),
        Reason::Expired,
        Some(Effect::Expired),
    ),
    (
        "past its time by signed documents, at a strict site with its clock in 1970",
        |case| {
            (case.strict, case.expires) = (true, Some(time("2026-11-20T23:59:59Z")));
            case.clocks.system = time("1970-01-01T00:00:00Z");
        },
        Reason::Expired,
        Some(Effect::Expired),
    ),
    (
        "the last one again, past its time, at a strict site",
        |case| {
            case.position = at(2, 42, "");
            (case.strict, case.expires) = (true, Some(time("2026-11-30T23:59:59Z")));
        },
        Reason::Expired,
        Some(Effect::Expired),
    ),
];

/// T13, T14, T15, T26, H01: every refusal has its reason, and an override lifts exactly its own rule.
#[test]
fn every_rule_refuses_and_one_override_lifts_it() {
    for (name, bend, expected, helps) in REFUSED {
        let case = Case::bent(bend);
        let failure = case.judged(&[]).unwrap_err();
        assert_eq!(failure.reason, *expected, "{name}: {failure}");
        assert_eq!(failure.reason.class().code(), 6, "{name}");
        assert!(failure.hint.is_some(), "{name}");
        for effect in Effect::ALL {
            match case.judged(&[effect]) {
                Ok(judgement) => {
                    assert_eq!(Some(effect), *helps, "{name}: lifted by {effect:?}");
                    assert_eq!(judgement.lifted, [effect], "{name}");
                }
                Err(failure) => {
                    assert_ne!(Some(effect), *helps, "{name}: {failure}");
                    assert_eq!(failure.reason, *expected, "{name}");
                }
            }
        }
        let all = case.judged(&Effect::ALL).map(|judgement| judgement.lifted);
        assert_eq!(all.ok(), helps.map(|effect| vec![effect]), "{name}");
    }
}

/// What must be accepted, however near to a refusal, with what people are told.
#[test]
fn near_misses_are_accepted() {
    let gap = |from, to| Warning::Gap { from, to };
    let accepted: &[(&str, Bend, &[Warning])] = &[
        ("the next one", |_| (), &[]),
        ("the next one, which names nobody", |case| case.previous = None, &[]),
        ("for this site", |case| case.for_site = Some("plant-7"), &[]),
        ("at a home without a name", |case| case.site = None, &[]),
        ("the first of all", |case| case.memory = Memory::default(), &[]),
        (
            "the first of all, wherever it stands",
            |case| {
                case.memory = Memory::default();
                case.position = at(2, u64::MAX, "");
            },
            &[],
        ),
        (
            "the first of the next epoch",
            |case| {
                case.epoch = Some(3);
                case.position = at(3, 0, "");
            },
            &[],
        ),
        (
            "the first of the next epoch, with the number and the history of the last",
            |case| {
                case.epoch = Some(3);
                case.memory.beacon = Some(at(2, 90, ""));
                (case.position, case.previous) = (at(3, 42, "other"), Some(at(2, 40, "").bundle));
            },
            &[],
        ),
        (
            "another epoch, with no trust document",
            |case| {
                case.epoch = None;
                case.stands(at(3, 7, ""));
            },
            &[],
        ),
        ("at the limit", |case| case.stands(at(2, 52, "")), &[gap(42, 52)]),
        ("one left out", |case| case.stands(at(2, 44, "")), &[gap(42, 44)]),
        ("one left out, and built on the last", |case| case.position = at(2, 44, ""), &[]),
        (
            "after a gap, built on what is not known here",
            |case| (case.position, case.previous) = (at(2, 45, ""), Some(Digest::of(b"44"))),
            &[gap(42, 45)],
        ),
        (
            "built on a bundle of the same digest in another epoch",
            |case| (case.position, case.previous) = (at(2, 45, ""), Some(at(1, 500, "").bundle)),
            &[gap(42, 45)],
        ),
        ("the one that a beacon told of", |case| case.memory.beacon = Some(at(2, 43, "")), &[]),
        (
            "an older one than a beacon told of",
            |case| case.memory.beacon = Some(at(2, 44, "")),
            &[Warning::Behind { newest: 44 }],
        ),
        ("a beacon of another epoch", |case| case.memory.beacon = Some(at(1, 600, "")), &[]),
        (
            "the second of its last day",
            |case| (case.strict, case.expires) = (true, Some(case.clocks.system)),
            &[],
        ),
        (
            "at a strict site whose clock stands in 1970",
            |case| {
                (case.strict, case.expires) = (true, Some(RELEASED));
                case.clocks.system = time("1970-01-01T00:00:00Z");
            },
            &[Warning::ClockWrong {
                clock: "1970-01-01T00:00:00Z".to_owned(),
                floor: "2026-11-21T00:00:00Z".to_owned(),
            }],
        ),
    ];
    // `Warning` holds text, which a constant cannot: compared as they are printed.
    for (name, bend, warnings) in accepted {
        let judgement = Case::bent(bend).judged(&[]).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(judgement.warnings, *warnings, "{name}");
        assert!(!judgement.again && judgement.lifted.is_empty(), "{name}");
        // An override that nothing needs is not used up.
        assert!(Case::bent(bend).judged(&Effect::ALL).unwrap().lifted.is_empty(), "{name}");
    }
    let again = Case::bent(|case| case.position = at(2, 42, "")).judged(&[]).unwrap();
    assert!(again.again && again.warnings.is_empty());
    assert_eq!(JUMP_LIMIT, 1000);
}

/// The rules come in one order: with everything wrong at once, each that is mended shows the next.
#[test]
fn the_rules_have_an_order() {
    let mut case = Case::bent(|case| {
        case.for_site = Some("plant-8");
        case.memory.frozen = FROZEN();
        case.stands(at(1, 40, "other"));
        (case.strict, case.expires) = (true, Some(time("2026-11-22T00:00:00Z")));
    });
    let mends: [(Reason, Bend); 7] = [
        (Reason::WrongSite, |case| case.for_site = None),
        (Reason::ChannelFrozen, |case| case.memory.frozen = None),
        (Reason::WrongEpoch, |case| case.position = at(2, 40, "other")),
        (Reason::Equivocation, |case| case.position = at(2, 40, "")),
        (Reason::Rollback, |case| {
            (case.position, case.previous) = (at(2, 60, ""), Some(at(2, 40, "").bundle));
        }),
        (Reason::SequenceJump, |case| case.position = at(2, 50, "")),
        (Reason::PreviousMismatch, |case| case.previous = None),
    ];
    for (expected, mend) in mends {
        assert_eq!(reason(case.judged(&[])), expected);
        mend(&mut case);
    }
    assert_eq!(reason(case.judged(&[])), Reason::Expired);
    case.strict = false;
    let judgement = case.judged(&[]).unwrap();
    assert_eq!(judgement.warnings.len(), 2, "{judgement:?}");
}

/// An override for one rule does not open another: an older bundle in the place of a known one needs both.
#[test]
fn two_broken_rules_take_two_overrides() {
    let case = Case::bent(|case| case.stands(at(2, 40, "other")));
    assert_eq!(reason(case.judged(&[])), Reason::Equivocation);
    assert_eq!(reason(case.judged(&[Effect::Equivocation])), Reason::Rollback);
    assert_eq!(reason(case.judged(&[Effect::Rollback])), Reason::Equivocation);
    let both = [Effect::Rollback, Effect::Equivocation];
    assert_eq!(case.judged(&both).unwrap().lifted, [Effect::Equivocation, Effect::Rollback]);
    // A frozen channel and the bundle that froze it are one rule, lifted once.
    let case = Case::bent(|case| {
        case.memory.frozen = FROZEN();
        case.stands(at(2, 42, "other"));
    });
    assert_eq!(case.judged(&[Effect::Equivocation]).unwrap().lifted, [Effect::Equivocation]);
    // A jump that is allowed is still a gap.
    let far = Case::bent(|case| case.stands(at(2, 99, "")));
    let judgement = far.judged(&[Effect::SequenceJump]).unwrap();
    assert_eq!(judgement.warnings, [Warning::Gap { from: 42, to: 99 }]);
}

/// No verdict depends on the clock, but for sites that asked for it; the clock that spoke is named.
#[test]
fn clocks_change_what_is_said_and_not_what_is_done() {
    let clocks =
        ["1970-01-01T00:00:00Z", "2026-12-01T00:00:00Z", "2038-01-19T03:14:08Z", "2100-01-01T00:00:00Z"];
    for (name, bend, expected, _) in REFUSED.iter().filter(|(_, _, reason, _)| *reason != Reason::Expired) {
        for clock in clocks {
            let case = Case::bent(|case| {
                bend(case);
                case.clocks.system = time(clock);
            });
            assert_eq!(reason(case.judged(&[])), *expected, "{name} in {clock}");
        }
    }
    let told = |clock: &str, floor: &str, expires: &str| {
        let case = Case::bent(|case| {
            case.clocks = Clocks { system: time(clock), floor: time(floor) };
            case.expires = Some(time(expires));
        });
        case.judged(&[]).unwrap().warnings
    };
    let expired = |expires: &str, clock: &str| Warning::Expired {
        expires: expires.to_owned(),
        clock: clock.to_owned(),
    };
    let wrong =
        |clock: &str, floor: &str| Warning::ClockWrong { clock: clock.to_owned(), floor: floor.to_owned() };
    let (floor, soon, late) = ("2026-11-21T00:00:00Z", "2026-11-20T00:00:00Z", "2030-01-01T00:00:00Z");
    assert_eq!(told(clocks[0], floor, late), [wrong(clocks[0], floor)]);
    assert_eq!(told(clocks[0], floor, soon), [wrong(clocks[0], floor), expired(soon, "signed documents")]);
    assert_eq!(told(clocks[1], floor, late), []);
    assert_eq!(told(clocks[1], floor, soon), [expired(soon, "signed documents")]);
    assert_eq!(told(clocks[2], floor, late), [expired(late, "system clock")]);
    assert_eq!(told(clocks[3], floor, late), [expired(late, "system clock")]);
    // At its last second it is not past its time, by either clock; one later it is.
    assert_eq!(told(late, late, late), []);
    assert_eq!(told("2030-01-01T00:00:01Z", late, late), [expired(late, "system clock")]);
    assert_eq!(told(late, "2030-01-01T00:00:01Z", late)[1], expired(late, "signed documents"));
}

/// T13, T15, T16: a stream of bundles in any order. The sequence never goes down without an override, moves by
/// no more than the limit, and what was refused leaves the site as it was.
#[test]
fn no_stream_of_bundles_moves_a_site_back() {
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut case = case();
    for _ in 0..5000 {
        let last = case.memory.last.clone().unwrap();
        let name = if next(8) == 0 { "other" } else { "" };
        case.stands(at(last.epoch, last.sequence.saturating_add(next(30)).saturating_sub(15), name));
        let accepted = case.judged(&[]).is_ok();
        let known = case.memory.history.iter().chain(&case.memory.last);
        let clash = known.clone().any(|old| old.sequence == case.position.sequence && *old != case.position);
        let ahead = case.position.sequence.checked_sub(last.sequence);
        assert_eq!(accepted, ahead.is_some_and(|ahead| ahead <= case.limit) && !clash, "{:?}", case.position);
        if accepted && case.position != last {
            case.memory.history.insert(0, last);
            case.memory.last = Some(case.position.clone());
        }
    }
    assert!(case.memory.last.unwrap().sequence > 1000);
}
