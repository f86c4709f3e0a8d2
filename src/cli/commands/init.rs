//! `sealift init`

use crate::{
    base::{
        failure::{Failure, Failures, Reason},
        fs, path,
    },
    cli::{args::Init, ui::Out},
    manifest,
    report::InitReport,
};

pub(super) fn run(args: &Init, out: &Out) -> Result<(), Failures> {
    let at = &args.manifest.path;
    if at.exists() {
        let failure = Failure::new(Reason::OutputExists, at.display(), "there is a manifest already");
        return Err(failure.hint("edit it, or name another with -f").into());
    }
    let folder = std::path::absolute(at)
        .ok()
        .and_then(|path| Some(path.parent()?.file_name()?.to_string_lossy().into_owned()));
    let name = args.name.clone().or_else(|| folder.map(|name| name.to_lowercase()));
    let name = name.filter(|name| path::is_media_name(name)).unwrap_or_else(|| "bundle".to_owned());
    if args.name.as_ref().is_some_and(|wanted| *wanted != name) {
        let failure = Failure::new(
            Reason::BadArgument,
            "--name",
            "a bundle name is lower-case letters, digits and . _ -",
        );
        return Err(failure.hint("for instance edge-platform").into());
    }
    fs::write_atomic(at, manifest::starter(&name).as_bytes(), 0o644)?;
    out.report(&InitReport { schema: 1, path: at.display().to_string() });
    Ok(())
}
