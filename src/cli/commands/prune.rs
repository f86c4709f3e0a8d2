//! `sealift prune`

use std::path::Path;

use super::{tag::existing, trust::open_site};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
    },
    cli::{args, settings::Settings, ui::Out},
    report::upkeep::{Plan, PlanWritten},
    site::{days_before, plan_made},
    store::prune::Wish,
};

pub(super) fn run(args: &args::Prune, settings: &Settings, out: &Out) -> Result<u8, Failures> {
    if let Some(path) = &args.apply {
        return apply(path, settings, out);
    }
    let Some(path) = &args.out else {
        return Err(Failure::new(Reason::BadArgument, "--out", "it says where the plan goes").into());
    };
    out.report(&list(args, path, settings)?);
    Ok(0)
}

fn list(args: &args::Prune, path: &Path, settings: &Settings) -> Result<PlanWritten> {
    let now = Timestamp::now();
    let wish = Wish {
        untagged: args.untagged || args.imported || !args.unreferenced,
        brought: args.imported,
        unreferenced: args.unreferenced,
        repositories: args.repository.as_ref(),
        before: days_before(now, args.older_than),
    };
    let plan = existing(settings)?.plan(&wish, now)?;
    let (text, digest) = plan_made(&plan)?;
    if text.len() as u64 > limits::USER_FILE_BYTES {
        let message = "the plan would be larger than 16 MiB";
        return Err(Failure::new(Reason::BadArgument, path.display(), message)
            .hint("list less at once: --repository, --older-than"));
    }
    fs::write_atomic(path, text.as_bytes(), 0o644)?;
    Ok(PlanWritten {
        schema: 1,
        path: path.display().to_string(),
        digest: digest.to_string(),
        bytes: plan.bytes(),
        plan,
    })
}

fn apply(path: &Path, settings: &Settings, out: &Out) -> Result<u8, Failures> {
    let text = fs::read_user_text(path)?;
    let wrong = |message: String| {
        Failure::new(Reason::BadArgument, path.display(), message)
            .hint("give a plan that `sealift prune -o` wrote; to leave something out, take its entry away")
    };
    let plan: Plan = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if plan.schema != 1 {
        return Err(wrong(format!("schema is {}, this sealift knows 1", plan.schema)).into());
    }
    existing(settings)?;
    let report = open_site(settings)?.prune(&plan, &Digest::of(text.as_bytes()))?;
    let code = if report.left.is_empty() { 0 } else { Reason::PlanOutdated.class().code() };
    out.report(&report);
    out.delivered()?;
    Ok(code)
}
