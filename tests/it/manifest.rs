//! `sealift.toml`: what is accepted, and that every fault is listed at once with its place.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use sealift::{
    base::failure::{Failures, Reason},
    manifest::{self, ChartSource, FileSource, ImageSource, Manifest, Referrers},
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(dir: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder(dir))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{dir} is empty");
    paths
}

/// What the examples include is empty; the keys that they name are those of `testdata/cosign`.
#[expect(clippy::unnecessary_wraps, reason = "what reads a file may fail")]
fn beside(path: &Path) -> sealift::base::failure::Result<String> {
    let name = match path.extension().and_then(|end| end.to_str()) {
        Some("pub") => "vendor.pub",
        Some("json") => "keyless/trusted_root.json",
        _ => return Ok(String::new()),
    };
    Ok(fs::read_to_string(folder("testdata/cosign").join(name)).unwrap())
}

/// Parses `text` with `[bundle]` added.
fn parse(text: &str) -> Result<Manifest, Failures> {
    let text = format!("{text}\n[bundle]\nname = \"edge\"\nversion = \"1\"\n");
    manifest::parse(&text, Path::new("sealift.toml"), &mut beside)
}

fn reasons(text: &str) -> Vec<Reason> {
    parse(text).unwrap_err().list().iter().map(|failure| failure.reason).collect()
}

/// Rewrites `path` when `UPDATE_DOCS` is set; otherwise it must hold `text`.
fn compare(path: &Path, text: &str) {
    if std::env::var("UPDATE_DOCS").is_ok() {
        fs::write(path, text).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "{} differs; UPDATE_DOCS=1 rewrites it. Expected:\n{text}", path.display());
}

#[test]
fn good_manifests_and_examples_are_accepted_by_reader_and_schema() {
    let schema: serde_json::Value = serde_json::from_str(&manifest::json_schema()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for path in files("testdata/manifests/good").into_iter().chain(files("manifests")) {
        let text = fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        if !path.ends_with("manifests/monitoring.toml") {
            manifest::load(&path).unwrap_or_else(|failures| panic!("{failures:#?}"));
        }
    }
}

#[test]
fn bad_manifests_list_every_fault_with_its_place() {
    for path in files("testdata/manifests/bad") {
        let beside = format!("{}/", path.parent().unwrap().display());
        let found: Vec<String> = manifest::load(&path)
            .unwrap_err()
            .list()
            .iter()
            .map(|failure| {
                assert!(failure.hint.is_some(), "no hint: {failure}");
                assert!(!format!("{failure:?}").contains("s3"), "a secret shows: {failure:?}");
                let place = failure.object.strip_prefix(&beside).unwrap();
                let place = place
                    .strip_prefix(path.file_name().unwrap().to_str().unwrap())
                    .map_or(place, |rest| &rest[1..]);
                format!("{place} {}", failure.reason.text())
            })
            .collect();
        compare(&path.with_extension("findings"), &(found.join("\n") + "\n"));
    }
}

#[test]
fn the_schema_refuses_what_editors_can_know() {
    let schema: serde_json::Value = serde_json::from_str(&manifest::json_schema()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for name in ["unknown-keys", "wrong-types", "missing", "values", "credentials", "schema"] {
        let path = folder("testdata/manifests/bad").join(name).with_extension("toml");
        let text = fs::read_to_string(path).unwrap();
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        assert!(!schema.is_valid(&value), "{name}");
    }
}

#[test]
fn the_schema_in_docs_is_the_one_in_the_code() {
    compare(&folder("docs/sealift.schema.json"), &manifest::json_schema());
}

#[test]
fn every_key_is_documented_and_used_in_the_example() {
    fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = schema.get("properties").and_then(|value| value.as_object()) {
            found.extend(properties.keys().cloned());
        }
        for child in schema.as_object().into_iter().flat_map(|object| object.values()) {
            keys(child, found);
        }
    }
    let mut known = BTreeSet::new();
    keys(&serde_json::from_str(&manifest::json_schema()).unwrap(), &mut known);
    assert!(known.len() > 25, "{known:?}");
    let example = fs::read_to_string(folder("manifests/every-key.toml")).unwrap();
    let reference = fs::read_to_string(folder("docs/manifest.md")).unwrap();
    for key in known {
        assert!(
            example.contains(&format!("{key} =")) || example.contains(&format!("[{key}")),
            "{key} in the example"
        );
        assert!(
            reference.contains(&format!("`{key}`")) || reference.contains(&format!("[{key}")),
            "{key} in the reference"
        );
    }
}

#[test]
fn examples_in_the_reference_parse() {
    let text = fs::read_to_string(folder("docs/manifest.md")).unwrap();
    let mut count = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let whole = if block.contains("[bundle]") {
            manifest::parse(block, Path::new("docs/manifest.md"), &mut beside)
        } else {
            parse(block)
        };
        whole.unwrap_or_else(|failures| panic!("{block}\n{failures:#?}"));
        count += 1;
    }
    assert!(count > 8, "only {count} examples");
}

#[test]
fn the_starter_parses() {
    let text = manifest::starter("edge");
    let parsed = manifest::parse(&text, Path::new("sealift.toml"), &mut |_path| Ok(String::new())).unwrap();
    assert_eq!(parsed.head.name, "edge");
    assert_eq!(parsed.images.len(), 1);
    // What is commented out is right too.
    let (_bundle, entries) = text.split_once("[[images]]").unwrap();
    let all: Vec<&str> = entries
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ") || rest.starts_with('[')))
        .map(Option::unwrap_or_default)
        .collect();
    let parsed = parse(&all.join("\n")).unwrap();
    assert_eq!((parsed.images.len(), parsed.charts.len(), parsed.files.len()), (3, 1, 1));
}

#[test]
fn a_missing_manifest_tells_of_init() {
    let failures = manifest::load(Path::new("/nowhere/sealift.toml")).unwrap_err();
    assert_eq!(failures.list()[0].reason, Reason::ManifestNotFound);
    assert!(failures.list()[0].hint.as_ref().unwrap().contains("sealift init"));
    assert_eq!(failures.code(), 2);
}

#[test]
fn the_example_with_every_key_means_what_it_says() {
    let manifest = manifest::load(&folder("manifests/every-key.toml")).unwrap();
    assert_eq!(
        (manifest.head.channel.as_str(), manifest.head.epoch, manifest.head.sequence),
        ("prod", 1, 42)
    );
    let platforms = |at: usize| -> Vec<String> {
        manifest.images[at].platforms.iter().map(ToString::to_string).collect()
    };
    assert_eq!(platforms(0), Vec::<String>::new());
    assert_eq!(platforms(1), ["linux/amd64", "linux/arm64"]);
    assert_eq!(manifest.images[0].referrers, Referrers::None);
    let wanted: Vec<String> = manifest.images.iter().map(manifest::WantedImage::wanted).collect();
    assert_eq!(
        wanted[2],
        "oci:build/layout:app as registry.example.com/team/app:1.0 platforms=linux/amd64,linux/arm64 referrers=all"
    );
    // Keys by their ids, wherever their files lie.
    assert!(wanted[4].ends_with(" verify keys=9039a8cc1eff9ef201ec7b1cea9bbf86"), "{}", wanted[4]);
    assert!(wanted[5].ends_with(" issuer=https://token.actions.githubusercontent.com"), "{}", wanted[5]);
    let ImageSource::Local(local) = &manifest.images[2].source else { panic!("not local") };
    assert_eq!(local.path, folder("manifests/build/layout"));
    assert_eq!(local.selector.as_deref(), Some("app"));
    let ImageSource::Tags { filter, .. } = &manifest.images[1].source else { panic!("no tags") };
    assert_eq!(filter.exclude, ["*-rc*", "v1.11.0"]);
    assert_eq!(
        manifest.images[6].wanted().split(' ').next().unwrap(),
        "quay.io/prometheus/prometheus:v3.0.1"
    );
    let FileSource::Path { path, .. } = &manifest.files[1].source else { panic!("no path") };
    assert_eq!(*path, folder("manifests/scripts/install.sh"));
    assert_eq!(manifest.files[1].name, "install.sh");
    assert_eq!(
        manifest.registries["registry.example.com:5000"].ca_file,
        Some(folder("manifests/certs/company-ca.pem"))
    );
    assert_eq!(manifest.registries["127.0.0.1:5601"].plain_http, Some(true));
}

#[test]
fn a_bare_version_is_exact_and_a_range_is_a_range() {
    let chart = |version: &str| {
        let text = format!(
            "charts = [{{ repository = \"http://127.0.0.1:5603/Charts/\", name = \"web\", version = \"{version}\" }}]"
        );
        parse(&text).map(|manifest| manifest.charts[0].clone())
    };
    for (version, matching, other) in [
        ("1.0.0", "1.0.0", "1.0.1"),
        ("v1.16.2", "1.16.2", "1.17.0"),
        ("1.0.0-rc.1", "1.0.0-rc.1", "1.0.0"),
        ("1.0.0+build.5", "1.0.0+build.5", "1.1.0"),
        ("~1.2", "1.2.9", "1.3.0"),
        (">=1.2, <2", "1.9.0", "2.0.0"),
        ("1.x", "1.9.0", "2.0.0"),
    ] {
        let range = chart(version).unwrap().version;
        assert!(range.matches(&matching.parse().unwrap()), "{version} {matching}");
        assert!(!range.matches(&other.parse().unwrap()), "{version} {other}");
    }
    for ambiguous in ["1.2", "1", ">=1, 2", "^1 || ^2", ">=1 <2", "1.0 - 2.0", "latest", ""] {
        assert!(chart(ambiguous).is_err(), "{ambiguous} was accepted");
    }
    let chart = chart("1.0.0+build.5").unwrap();
    assert_eq!(chart.repository().unwrap().name(), "127.0.0.1:5603/charts/web");
    assert_eq!(sealift::oci::reference::version_tag(&chart.written_version), "1.0.0_build.5");
    assert_eq!(chart.exact_version().unwrap().to_string(), "1.0.0+build.5");
    assert!(matches!(chart.source, ChartSource::Repository(url) if url == "http://127.0.0.1:5603/Charts"));
}

#[test]
fn files_get_repository_names() {
    for (name, inside) in [
        ("kubectl", "files/kubectl:latest"),
        ("Miniconda3-latest-Linux-x86_64.sh", "files/miniconda3-latest-linux-x86_64.sh:latest"),
        ("a+b._c--d__e___f-", "files/a-b-c--d__e-f:latest"),
        ("_x", "files/x:latest"),
    ] {
        let manifest = parse(&format!("files = [{{ path = \"{name}\" }}]")).unwrap();
        assert_eq!(manifest.files[0].artifact_name(), inside);
        assert!(sealift::oci::reference::is_repository(&manifest.files[0].inside_repository()));
    }
}

#[test]
fn typing_errors_are_told_once_and_with_what_was_meant() {
    let failures = parse("[[images]]\nimgae = \"nginx:1\"\n").unwrap_err();
    let [only] = failures.list() else { panic!("{failures:?}") };
    assert_eq!(only.reason, Reason::ManifestUnknownKey);
    assert_eq!(only.hint.as_deref(), Some("did you mean `image`?"));
    assert_eq!(only.object, "sealift.toml:2:1");
    assert_eq!(reasons("files = [{ path = 5 }]"), [Reason::ManifestValue]);
}

#[test]
fn columns_count_characters() {
    let failures =
        parse("images = [{ image = \"nginx:1\", name = 'ü' }, { image = 'ö', }, { x = 1 }]").unwrap_err();
    let places: Vec<&str> = failures.list().iter().map(|failure| failure.object.as_str()).collect();
    assert_eq!(places, ["sealift.toml:1:39", "sealift.toml:1:56", "sealift.toml:1:64", "sealift.toml:1:66"]);
}

#[test]
fn includes_are_limited_in_depth_and_number() {
    let text = "include = [\"next.toml\"]\n[bundle]\nname = \"edge\"\nversion = \"1\"\n";
    let mut depth = 0;
    let failures = manifest::parse(text, Path::new("sealift.toml"), &mut |_path| {
        depth += 1;
        Ok(format!("include = [\"{depth}.toml\"]"))
    })
    .unwrap_err();
    assert_eq!(failures.list()[0].reason, Reason::ManifestInclude);
    assert_eq!(depth, sealift::base::limits::INCLUDE_DEPTH);

    let many: Vec<String> = (0..1000).map(|number| format!("\"{number}.toml\"")).collect();
    let mut read = 0;
    let failures = parse_with(&format!("include = [{}]", many.join(",")), &mut |_path| {
        read += 1;
        Ok(String::new())
    });
    assert_eq!(failures.unwrap_err().list()[0].reason, Reason::ManifestInclude);
    assert_eq!(read + 1, sealift::base::limits::INCLUDED_FILES);
}

fn parse_with(
    text: &str,
    read: &mut dyn FnMut(&Path) -> sealift::base::failure::Result<String>,
) -> Result<Manifest, Failures> {
    let text = format!("{text}\n[bundle]\nname = \"edge\"\nversion = \"1\"\n");
    manifest::parse(&text, Path::new("sealift.toml"), read)
}

#[test]
fn a_hostile_manifest_is_answered_quickly_and_briefly() {
    let faults = parse(&"[a\n".repeat(100_000)).unwrap_err();
    assert_eq!(faults.list().len(), 1000);
    let keys: Vec<String> = (0..100_000).map(|number| format!("k{number} = 1")).collect();
    assert_eq!(parse(&keys.join("\n")).unwrap_err().list().len(), 1000);
    assert!(parse(&format!("x = {}", "[".repeat(100_000))).is_err());
    assert!(parse(&format!("{} = 1", "x".repeat(1 << 20))).is_err());
    assert!(parse(&format!("images = [{{ image = '{}' }}]", "a/".repeat(1 << 20))).is_err());
    let failures = parse("\"\u{1b}[31m\u{202e}\" = 1").unwrap_err();
    assert!(!format!("{}", failures.list()[0]).contains(['\u{1b}', '\u{202e}']));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}", cut in 0usize..2000, insert in ".{0,3}") {
        let _refused = parse(&text);
        let example = fs::read_to_string(folder("manifests/every-key.toml")).unwrap();
        let at = example.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(0);
        let damaged = format!("{}{insert}{}", &example[..at], example[at..].chars().skip(1).collect::<String>());
        if let Err(failures) = manifest::parse(&damaged, Path::new("x"), &mut |_path| Ok(String::new())) {
            prop_assert!(failures.list().iter().all(|failure| failure.reason != Reason::Internal));
        }
    }
}
