//! The order of the house: who may use whom, and that the lists and maps of it are whole.
use std::{collections::BTreeSet, fs, path::Path};

use sealift::base::failure::Reason;

/// A module may use floors below its own, never its own floor or above, unless the pair stands in [`STAIRS`].
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["oci"],
    &["manifest", "lock", "trust", "report", "chart", "cosign", "ledger", "mirrors", "rules"],
    &["store"],
    &["remote", "bundle", "layout", "token", "trust_folder"],
    &["source", "site"],
    &["resolve", "fetch", "verify", "doctor"],
    &["build", "import", "sign"],
    &["registry"],
    &["cli"],
];
/// Who may use a module of the same floor, and why.
const STAIRS: &[(&str, &str, &str)] = &[
    ("lock", "manifest", "a lock answers the requests of a manifest"),
    ("cosign", "trust", "keys and who signs with them stand once"),
    ("manifest", "cosign", "`verify` names who must have signed an image"),
    ("manifest", "trust", "and by which keys"),
    ("lock", "cosign", "which referrers are signatures is cosign's matter"),
    ("report", "cosign", "a result shows what became of the signatures as the evidence has it"),
    ("report", "trust", "reports name who signed"),
    ("report", "ledger", "receipts say where the ledger stood"),
    ("ledger", "trust", "checkpoints are signed, and records tell of what trust decided"),
];

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|names| names.contains(&module))
        .unwrap_or_else(|| panic!("module `{module}` has no floor: add it to FLOORS"))
}

/// Every `crate::name` in `source`, braces of a grouped `use` included, comments left out.
fn used_modules(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let names: Vec<&str> = if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut start = 0;
            let mut items = Vec::new();
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if (c == ',' && depth == 1) || depth == 0 {
                    items.push(&group[start..at]);
                    start = at + 1;
                }
                if depth == 0 {
                    break;
                }
            }
            items
        } else {
            vec![rest]
        };
        for name in names {
            let name: String =
                name.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

pub(crate) fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, visit);
        } else if path.extension().is_some_and(|e| e == "rs") {
            visit(&path);
        }
    }
}

#[test]
fn modules_only_look_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    walk(&src, &mut |path| {
        let relative = path.strip_prefix(&src).unwrap();
        let Some(first) = relative.parent().and_then(|p| p.iter().next()) else {
            return; // lib.rs and main.rs stand outside the house
        };
        let first = first.to_str().unwrap();
        for used in used_modules(&fs::read_to_string(path).unwrap()) {
            let stairs = STAIRS.iter().any(|(from, to, _)| *from == first && *to == used);
            if used != first && !stairs && floor(&used) >= floor(first) {
                wrong.push(format!("{}: {first} -> {used}", relative.display()));
            }
        }
    });
    assert!(wrong.is_empty(), "imports that climb:\n{}", wrong.join("\n"));
}

/// The lines of the first block of `lib.rs` that follows `heading`, without comment marks.
fn block<'a>(map: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = map.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim);
    let mut lines = lines.skip_while(|line| *line != heading).skip_while(|line| *line != "```text").skip(1);
    lines.by_ref().take_while(|line| *line != "```").collect()
}

#[test]
fn the_map_shows_the_floors_as_they_are() {
    let map = read("src/lib.rs");
    let mut drawn: Vec<Vec<&str>> = Vec::new();
    for line in block(&map, "# The floors") {
        let (number, rest) = line.split_once(' ').unwrap();
        assert_eq!(number.parse::<usize>().unwrap(), FLOORS.len() - 1 - drawn.len(), "{line}");
        // Two spaces part names from each other only until three or more part them from the description.
        drawn.push(rest.split("   ").next().unwrap().split_whitespace().collect());
    }
    drawn.reverse();
    assert_eq!(drawn, FLOORS, "the floors drawn in src/lib.rs");
    let declared: BTreeSet<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert_eq!(declared, FLOORS.iter().flat_map(|floor| floor.iter().copied()).collect());
}

#[test]
fn contributing_shows_the_floors_as_they_are() {
    let page = read("CONTRIBUTING.md");
    for (number, floor) in FLOORS.iter().enumerate() {
        let drawn = format!("{number} {}", floor.join(" "));
        assert!(page.contains(&drawn), "CONTRIBUTING.md does not show `{drawn}`");
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    walk(&root, &mut |path| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap();
        let (name, parent) = match stem {
            "main" => return,
            "mod" => (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap()),
            _ => (stem, folder),
        };
        let list = if parent == root { parent.join("main.rs") } else { parent.join("mod.rs") };
        let declared = fs::read_to_string(&list).unwrap_or_default();
        assert!(
            declared.lines().any(|line| line.trim_start_matches("pub(crate) ") == format!("mod {name};")),
            "{} has no line `mod {name};` in {}",
            path.display(),
            list.display()
        );
    });
}

#[test]
fn every_reason_is_given_somewhere() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut code = String::new();
    walk(&src, &mut |path| {
        if !path.ends_with("base/failure.rs") {
            let text = fs::read_to_string(path).unwrap();
            code += text.split("#[cfg(test)]").next().unwrap();
        }
    });
    let given: BTreeSet<&str> = code
        .split("Reason::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap())
        .collect();
    let dead: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| format!("{reason:?}"))
        .filter(|name| name != "Internal" && !given.contains(name.as_str()))
        .collect();
    assert!(dead.is_empty(), "reasons that nothing gives: {dead:?}");
}

/// What the disconnected side does without being told a registry has no way to open a connection.
#[test]
fn what_works_offline_knows_no_client() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in [
        "base",
        "oci",
        "trust",
        "ledger",
        "report",
        "store",
        "bundle",
        "trust_folder",
        "site",
        "verify",
        "doctor",
        "registry",
    ] {
        walk(&src.join(module), &mut |path| {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for used in used_modules(code) {
                assert!(!["remote", "source"].contains(&used.as_str()), "{} uses {used}", path.display());
            }
            assert!(!code.contains("reqwest") && !code.contains("TcpStream::connect"), "{}", path.display());
        });
    }
}
