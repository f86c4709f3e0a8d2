//! The whole way through the program itself: manifest → lock → bundle → verify → import → pull.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use crate::{bundle::files, support::sandbox::Sandbox};

/// A sandbox with a key, a lock and the bundle `media/demo-1.0`.
fn built() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    make_key(&sandbox, "release");
    sandbox.run(&["build", "--key", "release.key", "-o", "media"]).ok();
    sandbox
}

fn make_key(sandbox: &Sandbox, name: &str) {
    let file = format!("{name}.key");
    let public = sandbox.run(&["key", "generate", "-o", &file, "--no-passphrase"]).ok().stdout;
    sandbox.write(&format!("{name}.pub"), public);
}

struct Server(Child, String);

impl Server {
    fn start(sandbox: &Sandbox, home: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
        sandbox.prepare(&mut command);
        command
            .args(["serve", "--home", home, "--listen", "127.0.0.1:0", "--plain-http"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        Self(child, address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn what_goes_in_comes_out() {
    let sandbox = built();
    let verified =
        sandbox.run(&["--output", "json", "verify", "media/demo-1.0", "--key", "release.pub"]).ok().json();
    assert_eq!(verified["verdict"], "good");
    sandbox
        .run(&["import", "media/demo-1.0", "--key", "release.pub", "--home", "inside", "--files-to", "out"])
        .ok();
    assert_eq!(sandbox.read("out/motd.txt"), sandbox.read("motd.txt"));

    // Carry on from a second home that only ever saw the served content.
    let server = Server::start(&sandbox, "inside");
    let again = format!(
        "[bundle]\nname = \"again\"\nversion = \"1\"\n[[images]]\nimage = \"{0}/registry.example.com/demo/hello:1.0\"\n\
         [[images]]\nimage = \"{0}/files/motd.txt:latest\"\n",
        server.1
    );
    sandbox.write("again.toml", again);
    sandbox.run(&["lock", "-f", "again.toml", "--home", "second"]).ok();
    drop(server);
    let digests = |text: &str| -> Vec<String> {
        let lock: toml::Table = toml::from_str(text).unwrap();
        let mut digests: Vec<String> = Vec::new();
        for kind in ["images", "files"] {
            for entry in lock.get(kind).and_then(|list| list.as_array()).into_iter().flatten() {
                digests.push(entry["digest"].as_str().unwrap().to_owned());
            }
        }
        digests.sort();
        digests
    };
    assert_eq!(digests(&sandbox.read("again.lock")), digests(&sandbox.read("sealift.lock")));
}

#[test]
fn the_same_lock_gives_the_same_bytes() {
    let sandbox = built();
    let first = files(&sandbox.path("media/demo-1.0"));
    for (out, jobs, zone) in [("one", "1", "Asia/Tokyo"), ("eight", "8", "America/Lima")] {
        let home = format!("home-{out}");
        let arguments = ["build", "--locked", "--home", &home, "-j", jobs, "--key", "release.key", "-o", out];
        sandbox.run_with(&arguments, &[("TZ", zone)]).ok();
        assert!(files(&sandbox.path(&format!("{out}/demo-1.0"))) == first, "{out} differs");
    }
}

#[test]
fn a_second_build_finds_the_bundle_and_another_content_is_refused() {
    let sandbox = built();
    let before = files(&sandbox.path("media"));
    let again =
        sandbox.run(&["--output", "json", "build", "--key", "release.key", "-o", "media"]).ok().json();
    assert_eq!(again["unchanged"], true);
    make_key(&sandbox, "other");
    sandbox
        .run(&["--output", "json", "build", "--key", "other.key", "-o", "media"])
        .refused(2, "output-exists");
    sandbox.write("motd.txt", "something else\n");
    let manifest = sandbox.read("sealift.toml");
    let manifest: Vec<&str> = manifest.lines().filter(|line| !line.starts_with("sha256")).collect();
    sandbox.write("sealift.toml", manifest.join("\n"));
    sandbox
        .run(&["--output", "json", "build", "--key", "release.key", "-o", "media"])
        .refused(2, "output-exists");
    assert!(files(&sandbox.path("media")) == before, "the bundle was touched");
}

#[test]
fn nothing_is_trusted_without_the_right_key() {
    let sandbox = built();
    make_key(&sandbox, "other");
    let json = |rest: &[&str]| sandbox.run(&[&["--output", "json"], rest].concat());
    json(&["verify", "media/demo-1.0"]).refused(5, "no-key");
    json(&["import", "media/demo-1.0", "--home", "inside"]).refused(5, "no-key");
    json(&["verify", "media/demo-1.0", "--key", "other.pub"]).refused(5, "signature-untrusted");
    json(&["import", "media/demo-1.0", "--key", "other.pub", "--home", "inside"])
        .refused(5, "signature-untrusted");
    json(&["verify", "media/demo-1.0", "--key", "release.key"]).refused(2, "key-format");
    assert!(!sandbox.path("inside/blobs/sha256").exists(), "something was written");
    for signature in std::fs::read_dir(sandbox.path("media/demo-1.0/signatures")).unwrap() {
        std::fs::remove_file(signature.unwrap().path()).unwrap();
    }
    json(&["verify", "media/demo-1.0", "--key", "release.pub"]).refused(5, "signature-missing");
}

#[test]
fn a_local_image_of_which_the_store_lost_a_part_is_brought_again() {
    let sandbox = built();
    let bundle: serde_json::Value =
        serde_json::from_str(&sandbox.read("media/demo-1.0/bundle.json")).unwrap();
    let blobs = sandbox.path("home/blobs");
    for blob in bundle["blobs"].as_array().unwrap() {
        let hex = blob["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let path = blobs.join("sha256").join(&hex[..2]).join(hex);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let out = format!("without-{hex}");
        sandbox.run(&["build", "--locked", "--key", "release.key", "-o", &out]).ok();
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn a_flipped_bit_is_named_with_its_volume() {
    let sandbox = built();
    let volume = sandbox.path("media/demo-1.0/volumes/0001.tar.zst");
    let mut bytes = std::fs::read(&volume).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&volume, bytes).unwrap();
    let arguments = ["--output", "json", "verify", "media/demo-1.0", "--key", "release.pub"];
    let refused = sandbox.run(&arguments).refused(4, "chunk-damaged");
    assert!(refused.stdout.contains("0001.tar.zst"), "{}", refused.stdout);
    assert!(refused.stdout.contains("registry.example.com/demo/hello:1.0"), "{}", refused.stdout);
    sandbox
        .run(&["--output", "json", "import", "media/demo-1.0", "--key", "release.pub", "--home", "inside"])
        .refused(4, "chunk-damaged");
}

#[test]
fn locked_refuses_to_differ() {
    let sandbox = Sandbox::with_demo();
    make_key(&sandbox, "release");
    let build = ["--output", "json", "build", "--locked", "--key", "release.key", "-o", "media"];
    sandbox.run(&build).refused(2, "lock-missing");
    sandbox.run(&["lock"]).ok();
    sandbox.run(&["lock", "--check"]).ok();
    let manifest = sandbox.read("sealift.toml");
    sandbox.write(
        "sealift.toml",
        manifest.replace("path = \"motd.txt\"", "path = \"motd.txt\"\nexecutable = true"),
    );
    sandbox.run(&build).refused(2, "lock-outdated");
    sandbox.run(&["--output", "json", "lock", "--check"]).refused(10, "drift");
    sandbox.run(&["lock"]).ok();
    sandbox.run(&build).ok();
}

#[test]
fn dry_runs_touch_nothing() {
    let sandbox = Sandbox::with_demo();
    let plan = sandbox.run(&["--output", "json", "build", "--dry-run", "-o", "media"]).ok().json();
    assert_eq!(plan["items"].as_array().unwrap().len(), 2);
    assert!(!sandbox.path("media").exists());
    make_key(&sandbox, "release");
    sandbox.run(&["build", "--key", "release.key", "-o", "media"]).ok();
    let arguments = [
        "--output",
        "json",
        "import",
        "media/demo-1.0",
        "--key",
        "release.pub",
        "--home",
        "inside",
        "--dry-run",
    ];
    let receipt = sandbox.run(&arguments).ok().json();
    assert_eq!(receipt["dry_run"], true);
    assert!(!sandbox.path("inside/blobs/sha256").exists());
}

#[test]
fn keys_are_guarded() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = built();
    let json = |rest: &[&str]| sandbox.run(&[&["--output", "json"], rest].concat());
    json(&["key", "generate", "-o", "release.key", "--no-passphrase"]).refused(2, "key-exists");
    json(&["key", "generate", "-o", "new.key"]).refused(2, "key-passphrase");
    std::fs::set_permissions(sandbox.path("release.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
    json(&["key", "public", "release.key"]).refused(2, "key-permissions");
    let passphrase = sandbox.write("passphrase", "correct horse\n");
    std::fs::set_permissions(passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    let made = sandbox.run(&["key", "generate", "-o", "sealed.key", "--passphrase-file", "passphrase"]).ok();
    assert!(sandbox.read("sealed.key").contains("ENCRYPTED PRIVATE KEY"));
    let shown = sandbox
        .run_with(&["key", "public", "sealed.key"], &[("SEALIFT_KEY_PASSPHRASE", "correct horse")])
        .ok();
    assert_eq!(shown.stdout, made.stdout);
    sandbox
        .run_with(
            &["--output", "json", "key", "public", "sealed.key"],
            &[("SEALIFT_KEY_PASSPHRASE", "wrong")],
        )
        .refused(2, "key-passphrase");
}

#[test]
fn bundles_are_inspected_and_compared() {
    let sandbox = built();
    let shown = sandbox.run(&["--output", "json", "inspect", "media/demo-1.0"]).ok().json();
    assert_eq!(shown["verified"], false);
    assert_eq!(shown["artifacts"].as_array().unwrap().len(), 2);
    let manifest = sandbox.read("sealift.toml").replace("version = \"1.0\"", "version = \"1.1\"");
    sandbox.write("sealift.toml", manifest + "\n[[files]]\npath = \"sealift.lock\"\nname = \"the.lock\"\n");
    sandbox.run(&["build", "--key", "release.key", "-o", "media"]).ok();
    let diff = sandbox.run(&["--output", "json", "diff", "media/demo-1.0", "media/demo-1.1"]).ok().json();
    assert_eq!(diff["changes"][0]["change"], "added");
    assert_eq!((&diff["changes"][0]["name"], &diff["same"]), (&"files/the.lock:latest".into(), &2.into()));
}

#[test]
fn init_writes_once() {
    let sandbox = Sandbox::new();
    sandbox.run(&["init", "--name", "edge"]).ok();
    assert!(sandbox.read("sealift.toml").contains("name = \"edge\""));
    sandbox.run(&["--output", "json", "init"]).refused(2, "output-exists");
}

#[test]
fn the_demo_runs() {
    let sandbox = Sandbox::new();
    let told = sandbox.run(&["demo", "--dir", "demo"]).ok().stdout;
    assert!(told.contains("byte for byte"), "{told}");
}
