//! `sealift trust`: the documents themselves (document.rs), and what is done with them.

mod document;

use crate::{
    base::failure::Failures,
    cli::{args::TrustCommand, settings::Settings, ui::Out},
};

pub(super) fn run(command: TrustCommand, settings: &Settings, out: &Out) -> Result<(), Failures> {
    document::run(command, settings, out)
}
