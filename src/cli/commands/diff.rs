//! `sealift diff`

use crate::{
    base::failure::Failures,
    bundle,
    cli::{args, ui::Out},
    verify,
};

pub(super) fn run(args: &args::Diff, out: &Out) -> Result<(), Failures> {
    let from = verify::glance(&args.from)?;
    let to = verify::glance(&args.to)?;
    out.report(&bundle::diff(&from.index, &to.index));
    Ok(())
}
