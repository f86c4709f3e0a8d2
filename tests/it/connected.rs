//! The connected side against an upstream: what is resolved, what is fetched, and what is not fetched again.

use sealift::oci::{Descriptor, media_type};
use serde_json::Value;

use crate::support::{
    sandbox::{Ran, Sandbox},
    sink::{Manner, Sink},
    upstream::Upstream,
};

const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An upstream, and a sandbox with a key.
struct World {
    upstream: Upstream,
    sandbox: Sandbox,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let public = sandbox.run(&["key", "generate", "-o", "release.key", "--no-passphrase"]).ok().stdout;
        sandbox.write("release.pub", public);
        Self { upstream: Upstream::start(), sandbox }
    }

    /// Writes the manifest `test` 1; `HOST` stands for the upstream.
    fn manifest(&self, entries: &str) {
        let text = format!("[bundle]\nname = \"test\"\nversion = \"1\"\n{entries}");
        self.sandbox.write("sealift.toml", text.replace("HOST", &self.upstream.host()));
    }

    fn json(&self, arguments: &[&str]) -> Ran {
        self.sandbox.run(&[&["--output", "json"], arguments].concat())
    }

    fn build(&self, more: &[&str]) -> Ran {
        self.build_to("media", more)
    }

    fn build_to(&self, out: &str, more: &[&str]) -> Ran {
        self.json(&[&["build", "--key", "release.key", "-o", out], more].concat())
    }

    fn lock(&self) -> toml::Table {
        toml::from_str(&self.sandbox.read("sealift.lock")).unwrap()
    }

    /// What the bundle lists.
    fn bundle(&self) -> Value {
        serde_json::from_str(&self.sandbox.read("media/test-1/bundle.json")).unwrap()
    }

    /// The digests of all blobs that the bundle carries.
    fn carried(&self) -> Vec<String> {
        let bundle = self.bundle();
        let blobs = bundle["blobs"].as_array().unwrap();
        blobs.iter().map(|blob| blob["digest"].as_str().unwrap().to_owned()).collect()
    }

    fn carries(&self, descriptor: &Descriptor) -> bool {
        self.carried().contains(&descriptor.digest.to_string())
    }
}

fn image(world: &World, tag: &str, layers: &[&str]) -> Descriptor {
    let mut content = world.upstream.content();
    let image = content.image("linux/amd64", layers);
    content.tag("team/app", tag, &image);
    image
}

fn digest(text: &str) -> String {
    sealift::base::digest::Digest::of(text.as_bytes()).to_string()
}

#[test]
fn a_narrowed_index_keeps_its_bytes_and_names_what_is_absent() {
    let world = World::new();
    let (amd, arm, index) = {
        let mut content = world.upstream.content();
        let amd = content.image("linux/amd64", &["shared", "amd"]);
        let arm = content.image("linux/arm64", &["shared", "arm"]);
        let index = content.index(&[amd.clone(), arm.clone()]);
        content.tag("team/app", "1", &index);
        (amd, arm, index)
    };
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\nplatforms = [\"linux/arm64\"]\n");
    world.build(&[]).ok();
    assert!(world.carries(&index) && world.carries(&arm) && !world.carries(&amd));
    let artifact = world.bundle()["artifacts"][0].clone();
    assert_eq!(artifact["absent"], serde_json::json!([amd.digest]));
    assert_eq!(artifact["platforms"], serde_json::json!(["linux/arm64"]));
    assert!(!world.upstream.blob_requests().contains(&digest("amd")));
    world.json(&["verify", "media/test-1", "--key", "release.pub"]).ok();

    // A registry that wants every child refuses such an index: the hint says why.
    let sink = Sink::start(Manner::default());
    let refused = world
        .json(&["import", "media/test-1", "--key", "release.pub", "--to", &sink.host()])
        .refused(9, "push-refused");
    assert!(refused.json()["failures"][0]["hint"].as_str().unwrap().contains("platforms"));

    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\nplatforms = [\"linux/s390x\"]\n");
    world.json(&["lock"]).refused(9, "no-match");
}

#[test]
fn referrers_and_cosign_tags_arrive() {
    for without_referrers in [false, true] {
        let world = World::new();
        let (sbom, signature, of_sbom, cosign) = {
            let mut content = world.upstream.content();
            content.without_referrers = without_referrers;
            let child = content.image("linux/amd64", &["layer"]);
            let index = content.index(std::slice::from_ref(&child));
            content.tag("team/app", "1", &index);
            let sbom = content.artifact(SBOM, Some(&child), "sbom");
            let signature = content.artifact(SIGNATURE, Some(&index), "signature");
            let of_sbom = content.artifact(SIGNATURE, Some(&sbom), "signature of the sbom");
            let cosign = content.artifact("application/vnd.dev.cosign.artifact.sig.v1+json", None, "cosign");
            let name = |about: &Descriptor| about.digest.to_string().replace(':', "-");
            content.tag("team/app", &format!("{}.sig", name(&index)), &cosign);
            if without_referrers {
                for (about, referrer) in [(&child, &sbom), (&index, &signature), (&sbom, &of_sbom)] {
                    let list = content.index(std::slice::from_ref(referrer));
                    content.tag("team/app", &name(about), &list);
                }
            }
            (sbom, signature, of_sbom, cosign)
        };
        world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n");
        world.build(&[]).ok();
        for (what, descriptor) in
            [("sbom", &sbom), ("signature", &signature), ("of sbom", &of_sbom), ("cosign", &cosign)]
        {
            assert!(world.carries(descriptor), "{what}, fallback {without_referrers}");
        }
        let receipt = world.json(&["import", "media/test-1", "--key", "release.pub", "--home", "in"]).ok();
        // The image's own and cosign's.
        assert_eq!(receipt.json()["counts"]["tags"], 2);

        world.manifest(&format!("[[images]]\nimage = \"HOST/team/app:1\"\nreferrers = [\"{SBOM}\"]\n"));
        world.build_to("typed", &[]).ok();
        let typed = world.sandbox.read("typed/test-1/bundle.json");
        assert!(typed.contains(&sbom.digest.to_string()) && !typed.contains(&signature.digest.to_string()));
        world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\nreferrers = \"none\"\n");
        world.build_to("bare", &[]).ok();
        assert!(!world.sandbox.read("bare/test-1/bundle.json").contains(&sbom.digest.to_string()));
    }
}

#[test]
fn a_tag_and_a_digest_must_agree() {
    let world = World::new();
    let first = image(&world, "1", &["one"]);
    world.manifest(&format!("[[images]]\nimage = \"HOST/team/app:1@{}\"\n", first.digest));
    world.json(&["lock"]).ok();
    image(&world, "1", &["two"]);
    world.json(&["lock", "--update"]).refused(9, "upstream-moved");
}

#[test]
fn a_tag_that_moved_is_drift_and_the_lock_still_builds() {
    let world = World::new();
    let first = image(&world, "1", &["one"]);
    image(&world, "2", &["other"]);
    let entries = "[[images]]\nimage = \"HOST/team/app:1\"\n[[images]]\nimage = \"HOST/team/app:2\"\n";
    world.manifest(entries);
    world.json(&["lock"]).ok();
    world.json(&["lock", "--check"]).ok();
    let before = world.sandbox.read("sealift.lock");
    let second = image(&world, "1", &["two"]);
    let drift = world.json(&["lock", "--check"]).refused(10, "drift").json();
    let failures = drift["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["object"], format!("{}/team/app:1", world.upstream.host()));
    let message = failures[0]["message"].as_str().unwrap();
    assert!(message.contains(&first.digest.to_string()) && message.contains(&second.digest.to_string()));
    assert_eq!(world.sandbox.read("sealift.lock"), before);
    // The lock holds: what it names is still there by digest.
    world.build(&["--locked"]).ok();
    assert!(world.carries(&first) && !world.carries(&second));
    world.json(&["lock", "--update", "team/app:2"]).ok();
    assert_eq!(world.sandbox.read("sealift.lock"), before);
    world.json(&["lock", "--update", "team/app:1"]).ok();
    assert!(world.sandbox.read("sealift.lock").contains(&second.digest.to_string()));
}

#[test]
fn a_new_referrer_is_drift_that_says_so() {
    let world = World::new();
    let subject = image(&world, "1", &["one"]);
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n");
    world.json(&["lock"]).ok();
    let sbom = world.upstream.content().artifact(SBOM, Some(&subject), "sbom");
    let drift = world.json(&["lock", "--check"]).refused(10, "drift");
    let message = drift.json()["failures"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&sbom.digest.to_string()), "{message}");
}

#[test]
fn an_image_that_two_requests_lead_to_is_locked_once_and_answers_both() {
    let world = World::new();
    image(&world, "1.0", &["one"]);
    image(&world, "1.1", &["two"]);
    let entries = "[[images]]\nimage = \"HOST/team/app:1.1\"\n\
                   [[images]]\nrepository = \"HOST/team/app\"\ntags = { semver = \"^1\" }\n";
    world.manifest(entries);
    world.json(&["lock"]).ok();
    assert_eq!(world.lock()["images"].as_array().unwrap().len(), 2);
    let before = world.sandbox.read("sealift.lock");
    world.build(&["--locked"]).ok();
    world.json(&["lock"]).ok();
    assert_eq!(world.sandbox.read("sealift.lock"), before);
    // One of the two requests goes away: the lock is another one, its content is not.
    world.manifest("[[images]]\nrepository = \"HOST/team/app\"\ntags = { semver = \"^1\" }\n");
    world.build(&["--locked"]).refused(2, "lock-outdated");
    world.json(&["lock"]).ok();
    world.build(&["--locked"]).ok();
}

#[test]
fn a_missing_layer_fails_the_build_and_a_second_run_fetches_only_the_rest() {
    let world = World::new();
    image(&world, "1", &["base", "one"]);
    image(&world, "2", &["base", "two"]);
    world.upstream.content().documents.insert("/files/tool".into(), b"tool".to_vec());
    world.manifest(
        "[[images]]\nimage = \"HOST/team/app:1\"\n[[images]]\nimage = \"HOST/team/app:2\"\n\
         [[files]]\nurl = \"http://HOST/files/tool\"\n",
    );
    world.json(&["lock"]).ok();
    std::fs::remove_dir_all(world.sandbox.path("home")).unwrap();
    {
        let mut content = world.upstream.content();
        content.lose("two");
        content.documents.clear();
    }
    world.upstream.forget();
    let failed = world.build(&["--locked"]).refused(9, "upstream-not-found").json();
    let objects: Vec<&str> =
        failed["failures"].as_array().unwrap().iter().map(|f| f["object"].as_str().unwrap()).collect();
    assert_eq!(objects.len(), 2, "{objects:?}");
    assert!(objects[0].contains("team/app:2") && objects[0].contains(&digest("two")), "{objects:?}");
    assert!(objects[1].contains("tool"), "{objects:?}");
    assert!(world.upstream.blob_requests().contains(&digest("one")), "the rest was not fetched");
    assert!(
        !world.sandbox.path("media").exists()
            || std::fs::read_dir(world.sandbox.path("media")).unwrap().count() == 0
    );

    {
        let mut content = world.upstream.content();
        content.blob(media_type::LAYER_TAR, b"two");
        content.documents.insert("/files/tool".into(), b"tool".to_vec());
    }
    world.upstream.forget();
    world.build(&["--locked"]).ok();
    let requests = world.upstream.requests();
    let mut expected =
        vec!["GET /files/tool".to_owned(), format!("GET /v2/team/app/blobs/{}", digest("two"))];
    expected.sort();
    let mut found = requests;
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_build_with_everything_in_the_store_opens_no_connection() {
    let world = World::new();
    let subject = image(&world, "1", &["base", "one"]);
    world.upstream.content().artifact(SBOM, Some(&subject), "sbom");
    world.upstream.content().documents.insert("/files/tool".into(), b"tool".to_vec());
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n[[files]]\nurl = \"http://HOST/files/tool\"\n");
    world.build(&[]).ok();
    world.upstream.forget();
    world.build_to("again", &[]).ok();
    world.build_to("locked", &["--locked"]).ok();
    assert_eq!(world.upstream.requests(), Vec::<String>::new());
}

#[test]
fn the_same_content_in_other_words_makes_the_lock_outdated() {
    let world = World::new();
    image(&world, "1", &["one"]);
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n");
    world.json(&["lock"]).ok();
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\nreferrers = \"none\"\n");
    world.json(&["lock", "--check"]).refused(2, "lock-outdated");
    world.json(&["lock"]).ok();
    let checked = world.json(&["lock", "--check"]).ok().json();
    assert_eq!(checked["changes"], serde_json::json!([]));
}

#[test]
fn what_keeps_a_bundle_from_its_place_is_told_before_anything_is_fetched() {
    let world = World::new();
    image(&world, "1", &["one"]);
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n");
    world.build_to("release.pub", &[]).refused(2, "bad-argument");
    assert_eq!(world.upstream.blob_requests().iter().filter(|blob| **blob == digest("one")).count(), 0);
    world.build(&[]).ok();
    image(&world, "1", &["two"]);
    world.json(&["lock", "--update"]).ok();
    world.build(&[]).refused(2, "output-exists");
    assert!(!world.upstream.blob_requests().contains(&digest("two")));
}

#[test]
fn a_bundle_that_stands_there_is_read_whole() {
    let world = World::new();
    image(&world, "1", &["one"]);
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n");
    world.build(&[]).ok();
    assert_eq!(world.build(&[]).ok().json()["unchanged"], true);
    let volume = world.sandbox.path("media/test-1/volumes/0001.tar.zst");
    let mut bytes = std::fs::read(&volume).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&volume, bytes).unwrap();
    world.build(&[]).refused(4, "chunk-damaged");
}

#[test]
fn a_dry_run_writes_nothing_beside_the_manifest() {
    let world = World::new();
    image(&world, "1", &["one"]);
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n");
    world.json(&["build", "--dry-run", "-o", "media"]).ok();
    assert!(!world.sandbox.path("sealift.lock").exists() && !world.sandbox.path("media").exists());
    assert!(!world.upstream.blob_requests().contains(&digest("one")));
}

/// A chart archive whose `Chart.yaml` has these further lines.
fn chart(name: &str, version: &str, more: &str) -> Vec<u8> {
    let yaml = format!("apiVersion: v2\nname: {name}\nversion: {version}\n{more}");
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    let mut header = tar::Header::new_ustar();
    header.set_size(yaml.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, format!("{name}/Chart.yaml"), yaml.as_bytes()).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

/// Name, version, and the name and range of what it needs.
type Chart<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>);

/// Serves these charts as the repository `/charts`.
fn serve_charts(world: &World, charts: &[Chart<'_>]) {
    use std::fmt::Write as _;
    let mut index = String::from("apiVersion: v1\nentries:\n");
    let mut content = world.upstream.content();
    for (name, version, needs) in charts {
        let needs = needs.map_or_else(String::new, |(other, range)| {
            let host = world.upstream.host();
            format!(
                "dependencies: [{{name: {other}, version: {range}, repository: \"http://{host}/charts\"}}]\n"
            )
        });
        let archive = format!("{name}-{version}.tgz");
        writeln!(index, "  {name}: [{{name: {name}, version: {version}, urls: [{archive}]}}]").unwrap();
        content.documents.insert(format!("/charts/{archive}"), chart(name, version, &needs));
    }
    content.documents.insert("/charts/index.yaml".into(), index.into_bytes());
}

const WEB: &str = "[[charts]]\nrepository = \"http://HOST/charts\"\nname = \"web\"\nversion = \"^1\"\n";

#[test]
fn a_chart_is_completed_all_the_way_down() {
    let world = World::new();
    serve_charts(
        &world,
        &[
            ("web", "1.0.0", Some(("db", "^1"))),
            ("db", "1.4.0", Some(("common", "~2.1"))),
            ("common", "2.1.3", None),
        ],
    );
    world.manifest(WEB);
    world.json(&["lock"]).ok();
    let indexes = world.upstream.requests().iter().filter(|line| line.ends_with("/index.yaml")).count();
    assert_eq!(indexes, 1, "the index is read once");
    let lock = world.lock();
    let locked = &lock["charts"][0]["dependencies"][0];
    assert_eq!(locked["version"].as_str(), Some("1.4.0"));
    assert_eq!(locked["dependencies"][0]["version"].as_str(), Some("2.1.3"));

    std::fs::remove_dir_all(world.sandbox.path("home")).unwrap();
    world.build(&["--locked"]).ok();
    let layer = {
        let root = lock["charts"][0]["digest"].as_str().unwrap();
        let read = |digest: &str| {
            let hex = digest.strip_prefix("sha256:").unwrap();
            std::fs::read(world.sandbox.path(&format!("home/blobs/sha256/{}/{hex}", &hex[..2]))).unwrap()
        };
        let manifest: Value = serde_json::from_slice(&read(root)).unwrap();
        read(manifest["layers"][0]["digest"].as_str().unwrap())
    };
    let inside = |archive: &[u8], wanted: &str| -> Vec<u8> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let mut found = archive.entries().unwrap().map(|entry| entry.unwrap());
        let mut entry = found.find(|entry| entry.path().unwrap().to_str() == Some(wanted)).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        bytes
    };
    let db = inside(&layer, "web/charts/db-1.4.0.tgz");
    let common = inside(&db, "db/charts/common-2.1.3.tgz");
    assert!(!inside(&common, "common/Chart.yaml").is_empty());
}

#[test]
fn charts_that_need_each_other_without_end_are_refused() {
    let world = World::new();
    serve_charts(&world, &[("web", "1.0.0", Some(("db", "^1"))), ("db", "1.0.0", Some(("web", "^1")))]);
    world.manifest(WEB);
    world.json(&["lock"]).refused(7, "chart-malformed");
}

#[test]
fn an_archive_that_is_another_chart_is_refused() {
    let world = World::new();
    serve_charts(&world, &[("web", "1.0.0", None)]);
    let other = chart("web", "1.1.0", "");
    world.upstream.content().documents.insert("/charts/web-1.0.0.tgz".into(), other);
    world.manifest(WEB);
    world.json(&["lock"]).refused(7, "chart-malformed");
}

#[test]
fn credentials_are_used_and_appear_nowhere() {
    const PASSWORD: &str = "canary-in-the-mine";
    // alice:canary-in-the-mine
    const ENCODED: &str = "YWxpY2U6Y2FuYXJ5LWluLXRoZS1taW5l";
    let world = World::new();
    image(&world, "1", &["one"]);
    world.upstream.content().authorization = Some(format!("Basic {ENCODED}"));
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n");
    let build = ["--output", "json", "-v", "build", "--key", "release.key", "-o", "media"];
    let with = |password: &str| {
        let login = format!("{}=alice:{password}", world.upstream.host());
        world.sandbox.run_with(&build, &[("SEALIFT_REGISTRY_AUTH", &login)])
    };
    world.build(&[]).refused(9, "auth-failed");
    let wrong = with("wrong-canary-in-the-mine").refused(9, "auth-failed");
    let right = with(PASSWORD).ok();
    for text in [&wrong.stdout, &wrong.stderr, &right.stdout, &right.stderr] {
        assert!(!text.contains(PASSWORD) && !text.contains(ENCODED), "{text}");
    }
    let mut files = 0;
    for entry in walkdir::WalkDir::new(world.sandbox.path(".")) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        for secret in [PASSWORD, ENCODED] {
            let leaked = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!leaked, "{} holds the password", entry.path().display());
        }
        files += 1;
    }
    assert!(files > 10, "only {files} files were searched");
}

#[test]
fn what_cannot_fit_is_not_begun() {
    let world = World::new();
    {
        let mut content = world.upstream.content();
        let image = content.image("linux/amd64", &["one"]);
        let huge = Descriptor { size: 1 << 60, ..content.blob(media_type::LAYER_TAR, b"huge") };
        let config = content.blob(media_type::CONFIG, b"{}");
        let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": config, "layers": [huge] });
        let huge = content.manifest(media_type::MANIFEST, &manifest);
        content.tag("team/app", "1", &image);
        content.tag("team/app", "2", &huge);
    }
    world.manifest("[[images]]\nimage = \"HOST/team/app:1\"\n[[images]]\nimage = \"HOST/team/app:2\"\n");
    world.build(&[]).refused(3, "disk-full");
    let layers = [digest("one"), digest("huge")];
    assert!(!world.upstream.blob_requests().iter().any(|blob| layers.contains(blob)));
    assert_eq!(std::fs::read_dir(world.sandbox.path("media")).unwrap().count(), 0);
}
