//! What a first-time user meets: slips of the hand, wrong paths, keys of the wrong kind.

use crate::support::sandbox::Sandbox;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    let public = sandbox.run(&["key", "generate", "-o", "release.key", "--no-passphrase"]).ok().stdout;
    sandbox.write("release.pub", public);
    sandbox
}

#[test]
fn the_name_alone_shows_the_help() {
    let ran = Sandbox::new().run(&[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("Usage: sealift") && ran.stdout.is_empty(), "{}", ran.stderr);
}

#[test]
fn typing_errors_are_json_where_json_is_asked_for() {
    let sandbox = Sandbox::new();
    let meant = sandbox.run(&["--output", "json", "lokc"]).refused(2, "bad-argument").json();
    assert!(meant["failures"][0]["hint"].as_str().unwrap().contains("lock"), "{meant}");
    sandbox.run(&["lock", "--chek", "--output=json"]).refused(2, "bad-argument");
    let size = ["--output", "json", "build", "--volume-size", "floppy"];
    let found = sandbox.run(&size).refused(2, "bad-argument").json();
    assert!(found["failures"][0]["message"].as_str().unwrap().contains("floppy"), "{found}");
    let text = sandbox.run(&["lokc"]);
    assert!(text.stdout.is_empty() && text.stderr.contains("'lock'"), "{}", text.stderr);
}

#[test]
fn wrong_paths_are_named_with_what_to_do() {
    let sandbox = sandbox();
    sandbox.run(&["build", "--key", "release.key", "-o", "media"]).ok();
    for (arguments, code, reason, object) in [
        (&["lock", "-f", "."][..], 2, "bad-argument", "."),
        (&["lock", "-f", "none.toml"], 2, "manifest-not-found", "none.toml"),
        (&["key", "generate", "-o", "none/x.key", "--no-passphrase"], 3, "not-found", "none/x.key"),
        (&["build", "--key", "release.key", "-o", "motd.txt"], 2, "bad-argument", "motd.txt"),
        (&["build", "--key", "release.key", "-o", "motd.txt/x"], 2, "bad-argument", "motd.txt/x"),
        (&["build", "--key", "release.key", "--home", "motd.txt"], 2, "bad-argument", "motd.txt"),
        (&["verify", "media", "--key", "release.pub"], 4, "file-missing", "media"),
        (&["verify", "none", "--key", "release.pub"], 3, "not-found", "none"),
        (&["inspect", "media"], 4, "file-missing", "media"),
        (
            &["import", "media/demo-1.0", "--key", "release.pub", "--receipt", "none/x.json"],
            3,
            "not-found",
            "none/x.json",
        ),
    ] {
        let ran = sandbox.run(&[&["--output", "json"], arguments].concat()).refused(code, reason);
        let failure = &ran.json()["failures"][0];
        assert_eq!(failure["object"], object, "{arguments:?}");
        assert!(failure["hint"].is_string(), "{arguments:?}");
    }
}

#[test]
fn keys_of_the_wrong_kind_are_called_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = sandbox();
    std::fs::set_permissions(sandbox.path("release.pub"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let message = |arguments: &[&str]| {
        let ran = sandbox.run(&[&["--output", "json"], arguments].concat()).refused(2, "key-format");
        ran.json()["failures"][0]["message"].as_str().unwrap().to_owned()
    };
    assert!(message(&["build", "--key", "release.pub"]).contains("public"));
    assert!(message(&["build", "--key", "motd.txt"]).contains("BEGIN PRIVATE KEY"));
    assert!(message(&["verify", "x", "--key", "release.key"]).contains("private"));
    assert!(message(&["verify", "x", "--key", "motd.txt"]).contains("BEGIN PUBLIC KEY"));
}

/// What is cut on its way out must not look done; a reader that has seen enough may go.
#[test]
fn output_that_does_not_come_out_is_a_failure() {
    let sandbox = sandbox();
    for (words, code, reason) in [
        (&["key", "generate", "-o", "x.key", "--no-passphrase"][..], 3, "disk-full"),
        (&["key", "generate", "-o", "y.key", "--no-passphrase", "--output", "json"], 3, "disk-full"),
        (&["key", "public", "none.key", "--output", "json"], 3, "not-found"),
        (&["key", "publish", "--output", "json"], 2, "bad-argument"),
    ] {
        let ran = sandbox.run_unheard(words);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("error[{reason}]")), "{words:?}: {}", ran.stderr);
    }
    // Where JSON comes out, it is not said twice.
    let heard = sandbox.run(&["key", "public", "none.key", "--output", "json"]).refused(3, "not-found");
    assert!(heard.stderr.is_empty(), "{}", heard.stderr);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sealift"));
    sandbox.prepare(&mut command);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(command.args(["key", "public", "x.key"]).stdout(writer).status().unwrap().success());
}

/// The import must not be told to have failed by a receipt that cannot be written.
#[test]
fn a_place_that_takes_no_receipt_is_found_before_the_work() {
    let sandbox = sandbox();
    sandbox.write("folder/x", "");
    for place in ["folder", "nowhere/receipt", "receipt.jsonl/"] {
        let ran =
            sandbox.run(&["import", "media", "--key", "release.pub", "--receipt", place, "--output", "json"]);
        assert!(ran.code == 2 || ran.code == 3, "{place}: {}", ran.code);
        assert!(ran.stdout.contains(place.split('/').next().unwrap()), "{}", ran.stdout);
    }
}
