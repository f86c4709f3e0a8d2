//! The floors of the house. A module may use floors below its own, never its own floor or above,
//! unless the pair is written down in `STAIRS` with a reason.
use std::{collections::BTreeSet, fs, path::Path};

const FLOORS: &[&[&str]] = &[
    &["base"],
    &["oci"],
    &["manifest", "lock", "trust", "report", "chart"],
    &["store"],
    &["remote", "bundle", "layout"],
    &["source"],
    &["resolve", "fetch", "verify"],
    &["build", "import"],
    &["registry"],
    &["cli"],
];
const STAIRS: &[(&str, &str, &str)] = &[("lock", "manifest", "a lock answers the requests of a manifest")];

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

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
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
