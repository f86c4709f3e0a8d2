//! Reference pages that are made from the code: a test compares, `UPDATE_DOCS=1` rewrites.

use std::{fmt::Write as _, path::Path};

use sealift::base::failure::{Class, Reason};

/// Compares a page with what the code says.
pub(crate) fn page(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/{name} is not what the code says: run `UPDATE_DOCS=1 cargo test` and review"
    );
}

#[test]
fn exit_codes() {
    let classes = [
        (Class::Internal, "our bug", "reports it"),
        (Class::Usage, "usage: flag, manifest, configuration", "corrects it; nothing was touched"),
        (
            Class::Environment,
            "environment: disk full, permission, media pulled, lock held",
            "mends it and runs again",
        ),
        (Class::Damaged, "damaged or incomplete", "copies the named file again"),
        (Class::Untrusted, "untrusted: no, too few, invalid or revoked signatures", "asks the sender"),
        (Class::Stale, "stale: rollback, replay, gap, wrong channel or site", "looks at the sequence"),
        (
            Class::Refused,
            "refused form: malformed, ambiguous, over a limit, unknown version",
            "asks the sender",
        ),
        (Class::Policy, "policy: a gate, a tier, immutability, rights", "reads the named rule"),
        (
            Class::Upstream,
            "upstream: network, TLS, credentials, registry error",
            "runs again; what is done is kept",
        ),
        (Class::Conflict, "conflict, or an asked-for partial result", "reads the list"),
    ];
    let mut text = String::from(
        "# Exit codes and reasons\n\n\
         Every command ends with one of these codes. Each failure is one line with a stable, kebab-case reason;\n\
         `--output json` gives `{schema, code, failures: [{code, reason, object, message, hint}]}`: the code of the\n\
         command, and each failure with its own; on standard error there are lines where standard output takes nothing.\n\
         When several apply, the order is 1, 7, 5, 6, 4, 8, 2, 3, 9, 10. Treat an unknown code as a failure. Codes without\n\
         a list of reasons below are reserved: nothing ends with them yet.\n\n\
         Written by a test from the table in `src/base/failure.rs`.\n\n\
         | code | meaning | the operator |\n|---|---|---|\n| 0 | done, or checked and good | |\n",
    );
    for (class, meaning, operator) in classes {
        writeln!(text, "| {} | {meaning} | {operator} |", class.code()).unwrap();
    }
    for (class, meaning, _) in classes {
        let reasons: Vec<&Reason> = Reason::ALL.iter().filter(|reason| reason.class() == class).collect();
        if reasons.is_empty() {
            continue;
        }
        write!(text, "\n## {}: {meaning}\n\n| reason | meaning |\n|---|---|\n", class.code()).unwrap();
        for reason in reasons {
            writeln!(text, "| `{}` | {} |", reason.text(), reason.meaning()).unwrap();
        }
    }
    page("exit-codes.md", &text);
}

#[test]
fn command_line() {
    let mut command = sealift::cli::command().term_width(100);
    command.build();
    let mut text = String::from(
        "# Command line\n\nWritten by a test from the program's own `--help`. Exit codes: [exit-codes.md](exit-codes.md).\n",
    );
    section(&mut text, &mut command, "sealift");
    page("cli.md", &text);
}

fn section(text: &mut String, command: &mut clap::Command, name: &str) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()).unwrap();
    for inner in command.get_subcommands_mut() {
        if inner.get_name() != "help" {
            let name = format!("{name} {}", inner.get_name());
            section(text, inner, &name);
        }
    }
}
