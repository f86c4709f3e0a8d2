//! Every command line of the documentation is run, in the order of its page.
//!
//! A fence ```` ```console ```` holds a session: lines after `$ ` are commands, the lines below each are
//! what it prints. They run in `sh` in a fresh folder with the demo's content, and must succeed unless
//! the command ends with `# exit N`. Sessions that need other people's software are fenced
//! ```` ```console interop ```` and run in `tests/interop/`.

use std::{path::Path, process::Command};

use crate::support::sandbox::Sandbox;

struct Step {
    command: String,
    code: i32,
    line: usize,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            let code = command.split_once("# exit ").map_or(0, |(_, code)| code.trim().parse().unwrap());
            steps.push(Step { command: command.to_owned(), code, line: number + 1 });
        }
    }
    steps
}

#[test]
fn every_documented_command_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    let mut commands = 0;
    for page in pages {
        let sandbox = Sandbox::with_demo();
        for step in steps(&std::fs::read_to_string(&page).unwrap()) {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(&step.command);
            sandbox.prepare(&mut shell);
            let ended = shell.output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            let at = format!("{}:{}: {}", page.display(), step.line, step.command);
            assert_eq!(ended.status.code(), Some(step.code), "{at}\n{said}");
            commands += 1;
        }
    }
    assert!(commands >= 5, "the documentation shows only {commands} commands");
}
