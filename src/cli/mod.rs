//! People: arguments, settings, one file per command, output.
//!
//! [`main`] parses the arguments, reads the environment once ([`settings`]), runs one command and shows its
//! report or its failures. Only here is anything printed, and only here is an exit code made.

mod args;
mod commands;
mod serving;
mod settings;
mod ui;
mod volume_size;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

use self::{args::Args, settings::Settings, ui::Out};
use crate::base::failure::Failures;

/// Runs the program with `args` (the program name first) and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = args.into_iter().collect();
    if words.len() <= 1 {
        return ui::help(&mut command());
    }
    let args = match Args::try_parse_from(&words) {
        Ok(args) => args,
        Err(error) => return ui::usage(&error, &words),
    };
    let out = Out::new(args.global.output, args.global.quiet, args.global.verbose);
    let outcome =
        Settings::new(&args.global).and_then(|settings| commands::run(args.command, &settings, &out));
    let outcome = outcome.and_then(|code| out.delivered().map(|()| code).map_err(Failures::from));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failures) => {
            out.failures(&failures);
            ExitCode::from(failures.code())
        }
    }
}

/// The whole command line as clap knows it, for completions and the reference page.
pub fn command() -> clap::Command {
    Args::command()
}
