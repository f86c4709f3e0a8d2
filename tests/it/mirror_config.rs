//! `sealift mirror-config`: whose names it takes from where, and what it writes over.

use std::fs;

use crate::support::sandbox::Sandbox;

/// A home into which the demo's image and file were imported.
fn site() -> Sandbox {
    let sandbox = Sandbox::with_demo();
    let public = sandbox.run(&["key", "generate", "-o", "release.key", "--no-passphrase"]).ok().stdout;
    sandbox.write("release.pub", public);
    sandbox.run(&["build", "--key", "release.key", "-o", "stick"]).ok();
    sandbox.run(&["import", "stick/demo-1.0", "--key", "release.pub", "--home", "site"]).ok();
    sandbox
}

const FOR_CONTAINERD: &[&str] =
    &["mirror-config", "--for", "containerd", "--registry", "reg.site:5000", "--output", "json"];

#[test]
fn upstreams_are_those_of_the_home_unless_named() {
    let sandbox = site();
    let run = |more: &[&str]| sandbox.run(&[FOR_CONTAINERD, more].concat());
    let shown = run(&["--home", "site"]).ok().json();
    assert_eq!(shown["upstreams"], serde_json::json!(["registry.example.com"]), "files/ is no upstream");
    assert_eq!(shown["files"][0]["path"], "etc/containerd/certs.d/registry.example.com/hosts.toml");
    assert!(
        shown["files"][0]["text"].as_str().unwrap().contains("https://reg.site:5000/v2/registry.example.com")
    );
    assert!(
        shown["steps"].as_array().is_some_and(|steps| !steps.is_empty()) && shown.get("folder").is_none()
    );

    let named = run(&["--upstream", "quay.io", "--upstream", "docker.io", "--home", "none"]).ok().json();
    assert_eq!(named["upstreams"], serde_json::json!(["docker.io", "quay.io"]));
    run(&["--home", "none"]).refused(3, "not-found");
    assert!(!sandbox.path("none").exists(), "a look makes no home");
}

#[test]
fn what_cannot_be_a_registry_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("no.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    for (more, code, reason) in [
        (&["--registry", "http://reg.site"][..], 2, "bad-argument"),
        (&["--registry", "reg.site/UPPER"], 2, "bad-argument"),
        (&["--registry", "reg.site", "--upstream", "nginx"], 2, "bad-argument"),
        (&["--registry", "reg.site", "--upstream", "reg.site"], 2, "bad-argument"),
        (&["--registry", "reg.site", "--plain-http", "--ca-file", "no.pem"], 2, "bad-argument"),
        (&["--registry", "reg.site", "--ca-file", "no.pem"], 2, "ca-file"),
        (&["--registry", "reg.site", "--ca-file", "none.pem"], 3, "not-found"),
    ] {
        let upstream: &[&str] = if more.contains(&"--upstream") { &[] } else { &["--upstream", "docker.io"] };
        sandbox
            .run(
                &[&["mirror-config", "--for", "crio", "-o", "out", "--output", "json"], more, upstream]
                    .concat(),
            )
            .refused(code, reason);
        assert!(!sandbox.path("out").exists(), "{more:?}");
    }
}

#[test]
fn files_lie_where_nodes_have_them_and_none_is_written_over() {
    let sandbox = Sandbox::new();
    let key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
    let certificate = include_str!("../../testdata/cosign/keyless/certificate.pem");
    sandbox.write("ca.pem", format!("{key}{certificate}"));
    let named = ["--upstream", "docker.io", "--upstream", "quay.io", "--ca-file", "ca.pem", "-o", "out"];
    let arguments = [FOR_CONTAINERD, &named].concat();
    let folder = "out/etc/containerd/certs.d";
    let written = sandbox.run(&arguments).ok().json();
    assert_eq!((&written["folder"], written["files"].as_array().unwrap().len()), (&"out".into(), 4));
    for file in written["files"].as_array().unwrap() {
        let path = format!("out/{}", file["path"].as_str().unwrap());
        assert_eq!(sandbox.read(&path), file["text"].as_str().unwrap());
    }
    assert_eq!(sandbox.read(&format!("{folder}/docker.io/ca.pem")).trim(), certificate.trim(), "and no key");

    // One that was not written yet is; one that says something else stops it before it writes any.
    let hosts = sandbox.read(&format!("{folder}/quay.io/hosts.toml"));
    fs::remove_file(sandbox.path(&format!("{folder}/quay.io/hosts.toml"))).unwrap();
    sandbox.run(&arguments).ok();
    assert_eq!(sandbox.read(&format!("{folder}/quay.io/hosts.toml")), hosts);
    fs::remove_file(sandbox.path(&format!("{folder}/docker.io/ca.pem"))).unwrap();
    for other in [format!("{hosts}\n"), hosts.replace("reg", "rig"), String::new()] {
        sandbox.write(&format!("{folder}/quay.io/hosts.toml"), &other);
        let refused = sandbox.run(&arguments).refused(2, "output-exists").json();
        assert_eq!(refused["failures"][0]["object"], format!("{folder}/quay.io/hosts.toml"));
        assert_eq!(sandbox.read(&format!("{folder}/quay.io/hosts.toml")), other);
        assert!(!sandbox.path(&format!("{folder}/docker.io/ca.pem")).exists());
    }
}
