//! Output: data to stdout, talk to stderr. The only place that prints.

mod account;
mod custody;
mod human;
mod journal;
mod mirror;
mod progress;
pub(super) mod qr;
mod rules;
mod site;
mod tags;
mod trust;
mod upkeep;

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use serde::Serialize;

pub(super) use human::Human;
use journal::{Journal, Level};
pub(super) use site::warning;

use super::args::{Form, LogForm};
use crate::{
    base::{
        failure::{Failure, Failures, Reason},
        fs,
        progress::Progress,
        text,
    },
    report::Alarm,
};

/// What to do about output that was cut. Some commands refuse to do a thing twice, and some would do it again.
const CUT: &str = "what the command did is done, only its output is cut: give it room, and let a command tell it that \
    only shows, for instance `key public`, `trust importer` or `inspect`";

/// Where output goes and in which form.
#[derive(Debug)]
pub(super) struct Out {
    form: Form,
    quiet: bool,
    verbose: bool,
    /// Why not all of the data could be written.
    undelivered: OnceLock<std::io::Error>,
}

impl Out {
    pub(super) fn new(form: Form, quiet: bool, verbose: bool) -> Self {
        Self { form, quiet, verbose, undelivered: OnceLock::new() }
    }

    pub(super) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// A listener that draws a bar on a terminal and prints plain lines elsewhere.
    pub(super) fn progress(&self) -> Arc<dyn Progress> {
        if self.quiet {
            Arc::new(crate::base::progress::Silent)
        } else if std::io::stderr().is_terminal() {
            Arc::new(progress::Bar::new())
        } else {
            Arc::new(progress::Lines::new(self.verbose))
        }
    }

    /// The log of a server, as much as was asked for.
    pub(super) fn journal(&self, form: LogForm) -> Journal {
        let level = match (self.quiet, self.verbose) {
            (true, _) => Level::Quiet,
            (false, false) => Level::Normal,
            (false, true) => Level::Verbose,
        };
        Journal::start(form, level)
    }

    /// The result of a command.
    pub(super) fn report<R: Serialize + Human>(&self, report: &R) {
        match self.form {
            Form::Human => self.data(&report.human()),
            Form::Json => self.json(report),
        }
    }

    /// One of many results, as it comes: a line each.
    pub(super) fn each<R: Serialize + Human>(&self, report: &R) {
        match self.form {
            Form::Human => self.data(&report.human()),
            Form::Json => self.line(report),
        }
    }

    fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(json) => self.data(&format!("{json}\n")),
            Err(error) => self.talk(&format!("error: cannot write JSON: {error}")),
        }
    }

    /// A JSON document in one line, for who reads line by line.
    pub(super) fn line(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(json) => self.data(&format!("{json}\n")),
            Err(error) => self.talk(&format!("error: cannot write JSON: {error}")),
        }
    }

    /// Raw text on standard output. Whether it came out, [`delivered`](Self::delivered) tells at the end.
    pub(super) fn data(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            let _the_first_counts = self.undelivered.set(error);
        }
    }

    /// Fails where data did not come out whole. A reader that went away is no error.
    pub(super) fn delivered(&self) -> Result<(), Failure> {
        match self.undelivered.get() {
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                let failure = fs::failure(Path::new("standard output"), "write", error);
                Err(failure.hint(CUT))
            }
            _ => Ok(()),
        }
    }

    /// A line for people on standard error; not with `--quiet`.
    pub(super) fn note(&self, line: &str) {
        if !self.quiet {
            self.talk(line);
        }
    }

    /// What somebody should look at, though the command did what was asked.
    pub(super) fn alarms(&self, alarms: &[Alarm]) {
        for Alarm { reason, object, message, hint } in alarms {
            let (object, message) = (text::escaped(object, 400), text::escaped(message, 2000));
            self.talk(&format!("warning[{reason}]: {object}: {message}"));
            if let Some(hint) = hint {
                self.talk(&format!("  hint: {}", text::escaped(hint, 1000)));
            }
        }
    }

    #[expect(clippy::unused_self, reason = "printing goes through Out, so that one grep finds it all")]
    fn talk(&self, line: &str) {
        let _broken_pipe = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Every failure: a line each with its hint, or one JSON document on standard output. Where that does not come
    /// out, lines.
    pub(super) fn failures(&self, failures: &Failures) {
        if self.is_json() {
            let list: Vec<FailureJson<'_>> = failures.list().iter().map(FailureJson::new).collect();
            self.json(&FailuresJson { schema: 1, code: failures.code(), failures: list });
            if self.undelivered.get().is_none() {
                return;
            }
        }
        for failure in failures.list() {
            self.talk(&format!("error[{}]: {failure}", failure.reason.text()));
            if let Some(hint) = &failure.hint {
                self.talk(&format!("  hint: {}", text::escaped(hint, 1000)));
            }
        }
        if failures.list().len() > 1 {
            self.talk(&format!("{} found", text::count(failures.list().len(), "problem")));
        }
    }
}

#[derive(Serialize)]
struct FailuresJson<'a> {
    schema: u32,
    code: u8,
    failures: Vec<FailureJson<'a>>,
}

#[derive(Serialize)]
struct FailureJson<'a> {
    code: u8,
    reason: &'static str,
    object: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> FailureJson<'a> {
    fn new(failure: &'a Failure) -> Self {
        Self {
            code: failure.reason.class().code(),
            reason: failure.reason.text(),
            object: &failure.object,
            message: &failure.message,
            hint: failure.hint.as_deref(),
        }
    }
}

/// What clap says: help and version are data and fine, the rest is usage. `words` is the command line, which
/// could not be parsed.
pub(super) fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    if error.use_stderr() && asks_for_json(words) {
        let failure = usage_failure(&error.render().to_string());
        Out::new(Form::Json, false, false).failures(&failure.into());
        return ExitCode::from(2);
    }
    let _broken_pipe = error.print();
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// The help, for who typed nothing but the name.
pub(super) fn help(command: &mut clap::Command) -> ExitCode {
    let _broken_pipe = write!(std::io::stderr().lock(), "{}", command.render_long_help());
    ExitCode::from(2)
}

fn asks_for_json(words: &[OsString]) -> bool {
    let next = words.iter().skip(1);
    words.iter().zip(next).any(|(flag, value)| flag == "--output" && value == "json")
        || words.iter().any(|word| word == "--output=json")
}

/// The paragraphs of clap's text: what is wrong, tips, usage, a pointer to the help.
fn usage_failure(text: &str) -> Failure {
    let mut paragraphs = text.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let hint = paragraphs.find(|text| text.starts_with("tip:") || text.starts_with("Usage:"));
    let hint = hint.unwrap_or_else(|| "see `sealift --help`".to_owned());
    Failure::new(Reason::BadArgument, "command line", message).hint(hint.trim_start_matches("tip: "))
}
