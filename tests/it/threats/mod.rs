//! `docs/threats.md`: every threat that the code names, and what shows the answer today.
//!
//! Attacks say their row in `expect.toml`, and tests that name a row count for it; others are listed here.

mod rows;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use self::rows::PARTS;
use crate::{architecture::walk, docs::pages, reference::page};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Codes of threats in a text.
fn codes(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| {
            word.len() == 3 && word.starts_with(|c| "FTJNRCXH".contains(c)) && word[1..].parse::<u8>().is_ok()
        })
        .map(str::to_owned)
        .collect()
}

/// Whether there is a test of this name, as `cargo test` prints it.
fn exists(test: &str) -> bool {
    let (modules, name) = test.rsplit_once("::").unwrap();
    let tests = format!("tests/it/{}", modules.replace("::", "/"));
    let unit = format!("src/{}", modules.trim_end_matches("::tests").replace("::", "/"));
    let unit_file = format!("src/{}", modules.replace("::", "/"));
    [tests, unit, unit_file].iter().any(|path| {
        [format!("{path}.rs"), format!("{path}/mod.rs")].iter().any(|file| {
            let code = fs::read_to_string(root().join(file)).unwrap_or_default();
            code.contains(&format!("fn {name}("))
        })
    })
}

/// Who names which threat: attack folders and test files by code.
fn shown_by() -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut attacks: Vec<_> =
        fs::read_dir(root().join("testdata/attacks")).unwrap().map(Result::unwrap).collect();
    attacks.sort_by_key(fs::DirEntry::file_name);
    for attack in attacks.iter().filter(|attack| attack.path().is_dir()) {
        for code in codes(&fs::read_to_string(attack.path().join("expect.toml")).unwrap()) {
            shown.entry(code).or_default().push(attack.file_name().into_string().unwrap());
        }
    }
    let tests = root().join("tests/it");
    let mut files: Vec<(String, String)> = Vec::new();
    walk(&tests, &mut |path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        if !name.starts_with("tests/it/attacks/") && !name.starts_with("tests/it/threats/") {
            files.push((name, fs::read_to_string(path).unwrap()));
        }
    });
    for script in fs::read_dir(root().join("tests/interop")).unwrap() {
        let path = script.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    for (name, text) in files {
        for code in codes(&text) {
            shown.entry(code).or_default().push(format!("`{name}`"));
        }
    }
    shown
}

#[test]
fn every_threat_is_listed_with_what_shows_its_answer() {
    let shown = shown_by();
    let mut text = String::from(
        "# Threats\n\n\
         What can be thrown at sealift: the codes that comments in `src/`, attacks in\n\
         [`testdata/attacks`](../testdata/attacks/README.md) and tests name, and what shows the answer today. Plain words are\n\
         folders of `testdata/attacks`; names with `::` are tests, as `cargo test` takes them. **Not shown** means that no test\n\
         shows it yet, whatever the code does. What is promised stands in [threat-model.md](threat-model.md).\n\n\
         Written by a test from the table in `tests/it/threats/rows/`.\n",
    );
    let mut listed = BTreeSet::new();
    for (title, rows) in PARTS {
        write!(text, "\n## {title}\n\n| | threat | shown by |\n|---|---|---|\n").unwrap();
        for (code, threat, tests) in *rows {
            assert!(listed.insert((*code).to_owned()), "{code} stands twice");
            for test in *tests {
                assert!(exists(test), "{code}: there is no test {test}");
            }
            let mut by = shown.get(*code).cloned().unwrap_or_default();
            by.extend(tests.iter().map(|test| format!("`{test}`")));
            let by = if by.is_empty() { "**not shown**".to_owned() } else { by.join(", ") };
            writeln!(text, "| {code} | {threat} | {by} |").unwrap();
        }
    }
    let mut named: BTreeSet<String> = shown.into_keys().collect();
    walk(&root().join("src"), &mut |path| {
        let comments = fs::read_to_string(path).unwrap();
        named.extend(comments.lines().filter(|line| line.contains("//")).flat_map(codes));
    });
    let unknown: Vec<&String> = named.difference(&listed).collect();
    assert!(unknown.is_empty(), "threats without a row in tests/it/threats/rows/: {unknown:?}");
    page("threats.md", &text);
}

#[test]
fn every_test_that_a_page_names_exists() {
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let (modules, name) = word.rsplit_once("::").unwrap_or_default();
            let is_name = |text: &str| {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b"_:".contains(&b))
            };
            if is_name(modules) && is_name(name) {
                assert!(exists(word), "{}: there is no test {word}", path.display());
            }
        }
    }
}
