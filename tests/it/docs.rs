//! Every command line of the documentation is run, in the order of its page, and prints what the page shows.
//!
//! A fence ```` ```console ```` holds a session: lines after `$ ` are commands, the lines below each are
//! what it prints. They run in `sh` in a fresh folder with the demo's content, and must succeed unless
//! the command ends with `# exit N`. Lines of progress are not shown. What is new in each run, ids of keys and, on a
//! page that signs trust documents, fingerprints and digests of what hangs on keys, has a stand-in that is the same in
//! every run (`stand_ins.rs`); digits after `--fingerprint` are those that the page shows. `UPDATE_DOCS=1` writes what is
//! printed today.
//!
//! Sessions that need other people's software are fenced ```` ```console interop ````; they run in
//! `tests/interop/90-docs.sh`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{sandbox::Sandbox, stand_ins::StandIns};

/// A command of a page and what the page says that it prints.
struct Step {
    command: String,
    code: i32,
    shown: Vec<String>,
    /// Line of the command, from 0.
    line: usize,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (line, text) in text.lines().enumerate() {
        if text.starts_with("```") {
            inside = text == "```console";
        } else if inside && let Some(command) = text.strip_prefix("$ ") {
            let code = command.split_once("# exit ").map_or(0, |(_, code)| code.trim().parse().unwrap());
            steps.push(Step { command: command.to_owned(), code, shown: Vec::new(), line });
        } else if inside {
            steps.last_mut().unwrap().shown.push(text.to_owned());
        }
    }
    steps
}

fn is_progress(line: &str) -> bool {
    let phases = [
        "fetching: ",
        "sealing: ",
        "verifying: ",
        "hashing: ",
        "importing: ",
        "writing files: ",
        "copying: ",
        "restoring: ",
    ];
    phases.iter().any(|phase| line.starts_with(phase))
}

/// Every Markdown page for users.
pub(crate) fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.extend(["README.md", "keys/README.md"].map(|page| root.join(page)));
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    pages.sort();
    pages
}

#[test]
fn every_documented_command_prints_what_is_shown() {
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut commands = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let sandbox = Sandbox::with_demo();
        let steps = steps(&text);
        let mut stand_ins = StandIns::of_page(&text);
        let mut printed: Vec<Vec<String>> = Vec::new();
        for step in &steps {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("exec 2>&1\n{}", stand_ins.typed(&step.command)));
            sandbox.prepare(&mut shell);
            let ended = shell.output().unwrap();
            let said = stand_ins.shown(&String::from_utf8(ended.stdout).unwrap());
            let at = format!("{}:{}: {}", page.display(), step.line + 1, step.command);
            assert_eq!(ended.status.code(), Some(step.code), "{at}\n{said}");
            let said: Vec<String> =
                said.lines().filter(|line| !is_progress(line)).map(str::to_owned).collect();
            assert!(
                update || said == step.shown,
                "{at}\nprints\n{}\nand not what the page shows: run `UPDATE_DOCS=1 cargo test` and review",
                said.join("\n")
            );
            printed.push(said);
            commands += 1;
        }
        if update {
            for (step, said) in steps.iter().zip(printed).rev() {
                lines.splice(step.line + 1..=step.line + step.shown.len(), said);
            }
            fs::write(&page, lines.join("\n") + "\n").unwrap();
        }
    }
    assert!(commands >= 5, "the documentation shows only {commands} commands");
}

#[test]
fn no_command_stands_where_nothing_runs_it() {
    for page in pages() {
        let mut fence = "";
        let text = fs::read_to_string(&page).unwrap();
        for (number, line) in text.lines().enumerate() {
            let at = format!("{}:{}", page.display(), number + 1);
            if let Some(kind) = line.strip_prefix("```") {
                assert!(
                    !["sh", "bash", "shell"].contains(&kind),
                    "{at}: fence it as console, so that it runs"
                );
                fence = kind;
            } else if !fence.is_empty() && !fence.starts_with("console") {
                assert!(!line.starts_with("$ ") && !line.starts_with("sealift "), "{at}: nothing runs this");
            }
        }
    }
}
