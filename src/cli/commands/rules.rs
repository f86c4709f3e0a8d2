//! `sealift rules`

use std::path::Path;

use super::trust::open_site;
use crate::{
    base::{
        failure::{Failures, Result},
        fs,
    },
    cli::{args::RulesCommand, settings::Settings, ui::Out},
    report::rules::RulesShown,
    rules::Rules,
    site::rules_report,
    store::{InForce, Store},
};

pub(super) fn run(command: RulesCommand, settings: &Settings, out: &Out) -> Result<(), Failures> {
    match command {
        RulesCommand::Show => {
            let InForce { version, rules, .. } = in_force(settings)?;
            let (digest, text) = (rules.digest().to_string(), rules.text().to_owned());
            out.report(&RulesShown { schema: 1, version, digest, text });
        }
        RulesCommand::Check(args) => {
            let rules = read(&args.file)?;
            out.report(&rules_report(None, &in_force(settings)?.rules, &rules));
        }
        RulesCommand::Set(args) => {
            let rules = read(&args.file)?;
            let user = format!("uid:{}", rustix::process::getuid().as_raw());
            let (version, before) = open_site(settings)?.set_rules(&rules, &user)?;
            out.report(&rules_report(Some(version), &before.rules, &rules));
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Rules, Failures> {
    Rules::parse(&fs::read_user_text(file)?, file)
}

/// Those of the home, or what holds before there is one.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
fn in_force(settings: &Settings) -> Result<InForce> {
    let known = Store::read_only(&settings.home, |state| state.rules())?;
    Ok(known.unwrap_or_default())
}
