use serde_json::Value;

use super::*;

/// A registry with a port and TLS, in the place of two, one of them with a port as well.
fn secure() -> Mirror {
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\nAA==\n-----END CERTIFICATE-----\n";
    let upstreams = ["docker.io", "10.0.0.1:5601"].map(str::to_owned);
    Mirror::new("Reg.site:5000", "", false, Authority::of(pem), upstreams).unwrap()
}

/// A registry without TLS whose repositories stand below a prefix.
fn plain() -> Mirror {
    Mirror::new("reg.site", "mirror/all", true, None, ["docker.io".to_owned()]).unwrap()
}

fn files(mirror: &Mirror, runtime: Runtime) -> Vec<(String, String)> {
    mirror.settings(runtime).files.into_iter().map(|file| (file.path, file.text)).collect()
}

fn paths(mirror: &Mirror, runtime: Runtime) -> Vec<String> {
    files(mirror, runtime).into_iter().map(|(path, _)| path).collect()
}

fn is(path: &str, end: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == end)
}

/// What the file says, read as its runtime would.
fn read(mirror: &Mirror, runtime: Runtime, path: &str) -> Value {
    let (_, text) = files(mirror, runtime).into_iter().find(|(name, _)| name == path).unwrap();
    if is(path, "yaml") { serde_saphyr::from_str(&text).unwrap() } else { toml::from_str(&text).unwrap() }
}

#[test]
fn containerd_gets_a_folder_for_each_upstream() {
    let found = files(&secure(), Runtime::Containerd);
    let expected = r#"# Written by `sealift mirror-config`: hosts.toml for containerd.
# Images named 10.0.0.1:5601/... are pulled from reg.site:5000.
# /etc/containerd/certs.d/10.0.0.1_5601_/hosts.toml on every node; no restart.

# The last that is asked. Without it, that would be 10.0.0.1:5601.
server = "https://reg.site:5000/v2/10.0.0.1_5601"
capabilities = ["pull", "resolve"]
override_path = true
ca = "ca.pem"

# The first. containerd 1.6 reads no file without one.
[host."https://reg.site:5000/v2/10.0.0.1_5601"]
capabilities = ["pull", "resolve"]
override_path = true
ca = "ca.pem"
"#;
    assert_eq!(found[1], ("etc/containerd/certs.d/10.0.0.1_5601_/hosts.toml".into(), expected.into()));
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\nAA==\n-----END CERTIFICATE-----\n";
    assert_eq!(found[0], ("etc/containerd/certs.d/10.0.0.1_5601_/ca.pem".into(), pem.into()));
    assert_eq!(
        found[2..].iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["etc/containerd/certs.d/docker.io/ca.pem", "etc/containerd/certs.d/docker.io/hosts.toml"]
    );
    let url = "http://reg.site/v2/mirror/all/docker.io";
    let how = serde_json::json!({ "capabilities": ["pull", "resolve"], "override_path": true });
    let mut whole = how.clone();
    whole["server"] = url.into();
    whole["host"] = serde_json::json!({ url: how });
    assert_eq!(read(&plain(), Runtime::Containerd, "etc/containerd/certs.d/docker.io/hosts.toml"), whole);
}

#[test]
fn crio_and_podman_get_one_file() {
    let expected = r#"# Written by `sealift mirror-config`: registries for CRI-O, podman, skopeo and buildah.
# /etc/containers/registries.conf.d/50-sealift-mirror.conf on every node; `systemctl reload crio` afterwards.
# `blocked` is for upstream itself: mirrors are asked, and nobody after them.

[[registry]]
prefix = "10.0.0.1:5601"
location = "10.0.0.1:5601"
blocked = true

[[registry.mirror]]
location = "reg.site:5000/10.0.0.1_5601"

[[registry]]
prefix = "docker.io"
location = "docker.io"
blocked = true

[[registry.mirror]]
location = "reg.site:5000/docker.io"
"#;
    let path = "etc/containers/registries.conf.d/50-sealift-mirror.conf";
    let found = files(&secure(), Runtime::Crio);
    assert_eq!(found[1], (path.into(), expected.into()));
    assert_eq!(found[0].0, "etc/containers/certs.d/reg.site:5000/ca.crt");
    assert_eq!(
        read(&plain(), Runtime::Crio, path),
        serde_json::json!({ "registry": [{
            "prefix": "docker.io",
            "location": "docker.io",
            "blocked": true,
            "mirror": [{ "location": "reg.site/mirror/all/docker.io", "insecure": true }],
        }]})
    );
}

#[test]
fn k3s_and_rke2_get_registries_and_no_fallback() {
    let expected = r#"# Written by `sealift mirror-config`: registries for k3s.
# /etc/rancher/k3s/registries.yaml on every node; restart k3s afterwards.
mirrors:
  "10.0.0.1:5601":
    endpoint:
      - "https://reg.site:5000"
    rewrite:
      "^(.*)$": "10.0.0.1_5601/$1"
  "docker.io":
    endpoint:
      - "https://reg.site:5000"
    rewrite:
      "^(.*)$": "docker.io/$1"
configs:
  "reg.site:5000":
    tls:
      ca_file: "/etc/rancher/k3s/sealift-mirror-ca.pem"
"#;
    let found = files(&secure(), Runtime::K3s);
    assert_eq!(found[1], ("etc/rancher/k3s/registries.yaml".into(), expected.into()));
    assert_eq!(found[2].0, "etc/rancher/k3s/sealift-mirror-ca.pem");
    assert_eq!(
        paths(&plain(), Runtime::Rke2),
        ["etc/rancher/rke2/config.yaml.d/50-sealift-mirror.yaml", "etc/rancher/rke2/registries.yaml",]
    );
    assert_eq!(
        read(&plain(), Runtime::Rke2, "etc/rancher/rke2/config.yaml.d/50-sealift-mirror.yaml"),
        serde_json::json!({ "disable-default-registry-endpoint": true })
    );
    assert_eq!(
        read(&plain(), Runtime::Rke2, "etc/rancher/rke2/registries.yaml"),
        serde_json::json!({ "mirrors": { "docker.io": {
            "endpoint": ["http://reg.site"],
            "rewrite": { "^(.*)$": "mirror/all/docker.io/$1" },
        }}})
    );
}

#[test]
fn openshift_gets_resources_that_never_contact_the_source() {
    let expected = r#"# Written by `sealift mirror-config`: mirrors for OpenShift.
# Pulls by tag of what is named here go to reg.site:5000 and nowhere else.
# `oc apply -f` on the cluster; its operator changes the nodes and may reboot them.
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata:
  name: sealift-mirror
spec:
  imageTagMirrors:
    - source: "10.0.0.1:5601"
      mirrors:
        - "reg.site:5000/10.0.0.1_5601"
      mirrorSourcePolicy: NeverContactSource
    - source: "docker.io"
      mirrors:
        - "reg.site:5000/docker.io"
      mirrorSourcePolicy: NeverContactSource
"#;
    let found = files(&secure(), Runtime::Openshift);
    assert_eq!(found[1], ("openshift/image-tag-mirror-set.yaml".into(), expected.into()));
    assert_eq!(
        read(&plain(), Runtime::Openshift, "openshift/image-digest-mirror-set.yaml"),
        serde_json::json!({
            "apiVersion": "config.openshift.io/v1",
            "kind": "ImageDigestMirrorSet",
            "metadata": { "name": "sealift-mirror" },
            "spec": { "imageDigestMirrors": [{
                "source": "docker.io",
                "mirrors": ["reg.site/mirror/all/docker.io"],
                "mirrorSourcePolicy": "NeverContactSource",
            }]},
        })
    );
    assert_eq!(
        read(&secure(), Runtime::Openshift, "openshift/registry-ca.yaml"),
        serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "sealift-mirror-ca", "namespace": "openshift-config" },
            "data": { "reg.site..5000": "-----BEGIN CERTIFICATE-----\nMIIB\nAA==\n-----END CERTIFICATE-----\n" },
        })
    );
    // Without TLS the cluster has to be told, and without an authority it has none to name.
    let steps = plain().settings(Runtime::Openshift).steps;
    assert!(steps[0].contains(r#""insecureRegistries":["reg.site"]"#), "{steps:?}");
    assert!(!steps.iter().any(|step| step.contains("additionalTrustedCA")), "{steps:?}");
}

#[test]
fn every_file_says_what_it_is_and_can_be_read() {
    for mirror in [secure(), plain()] {
        for runtime in [Runtime::Containerd, Runtime::Crio, Runtime::K3s, Runtime::Rke2, Runtime::Openshift] {
            let settings = mirror.settings(runtime);
            assert!(settings.steps.len() > 1, "{runtime:?}");
            for File { path, text } in settings.files {
                if is(&path, "pem") || is(&path, "crt") {
                    continue;
                }
                assert!(text.starts_with("# Written by `sealift mirror-config`: "), "{path}");
                let whole = read(&mirror, runtime, &path);
                assert!(whole.as_object().is_some_and(|whole| !whole.is_empty()), "{path}");
            }
        }
    }
}

#[test]
fn upstreams_are_names_that_images_begin_with() {
    let of = |names: &[&str]| {
        Mirror::new("reg.site:5000", "", false, None, names.iter().map(|name| (*name).to_owned()))
            .map(|mirror| mirror.upstreams().iter().cloned().collect::<Vec<_>>())
            .map_err(|failure| failure.reason)
    };
    assert_eq!(
        of(&["Quay.io", "index.docker.io", "docker.io", "localhost", "a:1"]).unwrap(),
        ["a:1", "docker.io", "localhost", "quay.io"]
    );
    for wrong in [
        "",
        "nginx",
        "docker.io/library",
        "https://docker.io",
        "a.b:0",
        "*.docker.io",
        "a.b\"",
        "a.b\n",
        "-a.b",
        "REG.site:5000",
    ] {
        assert_eq!(of(&[wrong]), Err(Reason::BadArgument), "{wrong}");
    }
    assert_eq!(of(&[]), Err(Reason::BadArgument));
}
