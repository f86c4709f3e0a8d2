//! Making trust documents.

use crate::{
    base::failure::{Failure, Failures},
    cli::{args::TrustCommand, settings::Settings, ui::Out},
};

pub(super) fn run(command: TrustCommand, _settings: &Settings, _out: &Out) -> Result<(), Failures> {
    Err(Failure::internal(format!("not yet: {command:?}")).into())
}
