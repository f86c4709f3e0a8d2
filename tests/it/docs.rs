//! Every command line of the documentation is run, in the order of its page, and prints what the page shows.
//!
//! A fence ```` ```console ```` holds a session: lines after `$ ` are commands, the lines below each are
//! what it prints. They run in `sh` in a fresh folder with the demo's content, and must succeed unless
//! the command ends with `# exit N`. Lines of progress are not shown, and a key's id, new in each run,
//! may differ. So may, on a page that signs trust documents, fingerprints and digests of what hangs on keys; the
//! digits after `--fingerprint` stand for those that were printed last. `UPDATE_DOCS=1` writes what is printed
//! today.
//!
//! Sessions that need other people's software are fenced ```` ```console interop ````; they run in
//! `tests/interop/90-docs.sh`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::sandbox::Sandbox;

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

/// Words of 32 hex digits: ids of keys.
fn key_ids(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The line with this id in place of every other.
fn with_key_id(line: &str, id: &str) -> String {
    key_ids(line).fold(line.to_owned(), |line, other| line.replace(other, id))
}

/// The flag after which people type the digits that they were shown.
const FINGERPRINT: &str = "--fingerprint ";

/// The command with the first digits of the fingerprint that was printed last.
fn with_fingerprint(command: &str, printed: &[Vec<String>]) -> String {
    let Some((before, typed)) = command.split_once(FINGERPRINT) else { return command.to_owned() };
    let shown = printed.iter().flatten().rev().find_map(|line| line.trim().strip_prefix("fingerprint  "));
    let digits: String = shown.unwrap_or_default().split_whitespace().take(2).collect();
    let rest = typed.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    format!("{before}{FINGERPRINT}{digits}{rest}")
}

/// The line with a dot for every digit of a digest or fingerprint: 64 hex digits, 8 of them, or groups of 4.
fn without_digits(line: &str) -> String {
    let of_digits = |word: &str| {
        let hex = word.trim_start_matches("sha256:").trim_end_matches('`');
        [4, 8, 64].contains(&hex.len())
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let words =
        line.split(' ').map(|word| if of_digits(word) { ".".repeat(word.len()) } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether two lines say the same but for what is new in each run.
fn same(said: &[String], shown: &[String], hangs_on_keys: bool) -> bool {
    let plain = |line: &String| if hangs_on_keys { without_digits(line) } else { line.clone() };
    said.iter().map(plain).eq(shown.iter().map(plain))
}

fn is_progress(line: &str) -> bool {
    ["fetching: ", "sealing: ", "verifying: ", "hashing: ", "importing: ", "writing files: "]
        .iter()
        .any(|phase| line.starts_with(phase))
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
        let id = steps.iter().flat_map(|step| &step.shown).flat_map(|line| key_ids(line)).next();
        let id = id.unwrap_or("00000000000000000000000000000000").to_owned();
        let hangs_on_keys = text.contains(FINGERPRINT);
        let mut printed: Vec<Vec<String>> = Vec::new();
        let mut kept: Vec<Vec<String>> = Vec::new();
        for step in &steps {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("exec 2>&1\n{}", with_fingerprint(&step.command, &printed)));
            sandbox.prepare(&mut shell);
            let ended = shell.output().unwrap();
            let said = String::from_utf8(ended.stdout).unwrap();
            let at = format!("{}:{}: {}", page.display(), step.line + 1, step.command);
            assert_eq!(ended.status.code(), Some(step.code), "{at}\n{said}");
            let said: Vec<String> =
                said.lines().filter(|line| !is_progress(line)).map(|line| with_key_id(line, &id)).collect();
            assert!(
                update || same(&said, &step.shown, hangs_on_keys),
                "{at}\nprints\n{}\nand not what the page shows: run `UPDATE_DOCS=1 cargo test` and review",
                said.join("\n")
            );
            let is_same = same(&said, &step.shown, hangs_on_keys);
            kept.push(if is_same { step.shown.clone() } else { said.clone() });
            printed.push(said);
            commands += 1;
        }
        if update {
            for (step, kept) in steps.iter().zip(kept).rev() {
                lines.splice(step.line + 1..=step.line + step.shown.len(), kept);
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
