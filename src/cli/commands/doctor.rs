//! `sealift doctor`

use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Failures},
    },
    cli::{args, settings::Settings, ui::Out},
    doctor::{self, Check, Finding, Options},
    report::{CheckLine, DoctorReport},
};

/// Shows every check; the exit code is that of the gravest problem. Problems are failures only where the report
/// does not come out.
pub(super) fn run(args: &args::Doctor, settings: &Settings, out: &Out) -> Result<u8, Failures> {
    let options = Options { home: &settings.home, media: args.media.as_deref(), now: Timestamp::now() };
    let checks = doctor::examine(&options);
    let lines: Vec<CheckLine> = checks.iter().map(line).collect();
    let state =
        ["problem", "warning"].into_iter().find(|state| lines.iter().any(|line| line.state == *state));
    out.report(&DoctorReport { schema: 1, state: state.unwrap_or("ok"), checks: lines });
    match Failures::check(checks.into_iter().filter_map(problem).collect()) {
        Ok(()) => Ok(0),
        Err(problems) => match out.delivered() {
            Ok(()) => Ok(problems.code()),
            Err(cut) => Err(problems.and(cut)),
        },
    }
}

fn problem(check: Check) -> Option<Failure> {
    match check.finding {
        Finding::Problem(failure) => Some(failure),
        Finding::Good(_) | Finding::Warning { .. } => None,
    }
}

fn line(check: &Check) -> CheckLine {
    let (state, found, advice, reason) = match &check.finding {
        Finding::Good(found) => ("ok", found.clone(), None, None),
        Finding::Warning { found, advice } => ("warning", found.clone(), Some(advice.clone()), None),
        Finding::Problem(failure) => {
            ("problem", failure.message.clone(), failure.hint.clone(), Some(failure.reason.text()))
        }
    };
    // A problem may name its object better: a key, a file.
    let object = match &check.finding {
        Finding::Problem(failure) => failure.object.clone(),
        Finding::Good(_) | Finding::Warning { .. } => check.object.clone(),
    };
    CheckLine { name: check.name, state, object, found, advice, reason }
}
