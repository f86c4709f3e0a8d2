//! Resources of `config.openshift.io/v1`: the Machine Config Operator makes `registries.conf` of every node from them.

use std::fmt::Write as _;

use super::{File, Mirror, Settings, heading};

/// The name of everything that is made.
const NAME: &str = "sealift-mirror";
const DIGESTS: &str = "openshift/image-digest-mirror-set.yaml";
const TAGS: &str = "openshift/image-tag-mirror-set.yaml";
const AUTHORITY: &str = "openshift/registry-ca.yaml";

pub(super) fn settings(mirror: &Mirror) -> Settings {
    let mut files = vec![
        File {
            path: DIGESTS.to_owned(),
            text: set(mirror, "ImageDigestMirrorSet", "imageDigestMirrors", "digest"),
        },
        File { path: TAGS.to_owned(), text: set(mirror, "ImageTagMirrorSet", "imageTagMirrors", "tag") },
    ];
    let mut steps = Vec::new();
    if let Some(authority) = &mirror.authority {
        files.push(File { path: AUTHORITY.to_owned(), text: config_map(&mirror.host, authority.pem()) });
        steps.push(format!("oc apply -f {AUTHORITY}"));
        steps.push(format!(
            "oc patch image.config.openshift.io/cluster --type=merge \
             -p '{{\"spec\":{{\"additionalTrustedCA\":{{\"name\":\"{NAME}-ca\"}}}}}}' (one ConfigMap holds all \
             authorities: where one is named there already, add the key of this one to it instead)"
        ));
    }
    if mirror.plain_http {
        steps.push(format!(
            "oc patch image.config.openshift.io/cluster --type=merge \
             -p '{{\"spec\":{{\"registrySources\":{{\"insecureRegistries\":[\"{}\"]}}}}}}' (the list is replaced: \
             name those that are in it already too)",
            mirror.host
        ));
    }
    steps.push(format!("oc apply -f {DIGESTS} -f {TAGS}"));
    steps.push(
        "the Machine Config Operator writes it to the nodes and may drain and reboot them, one after the other: watch \
         `oc get machineconfigpool`"
            .to_owned(),
    );
    Settings { files, steps }
}

fn set(mirror: &Mirror, kind: &str, list: &str, by: &str) -> String {
    let mut text = format!(
        "# {}\n\
         # Pulls by {by} of what is named here go to {} and nowhere else.\n\
         # `oc apply -f` on the cluster; its operator changes the nodes and may reboot them.\n\
         apiVersion: config.openshift.io/v1\nkind: {kind}\nmetadata:\n  name: {NAME}\nspec:\n  {list}:\n",
        heading("mirrors for OpenShift."),
        mirror.host,
    );
    for upstream in &mirror.upstreams {
        let _infallible = write!(
            text,
            "    - source: \"{upstream}\"\n      mirrors:\n        - \"{}\"\n      \
             mirrorSourcePolicy: NeverContactSource\n",
            mirror.place(upstream),
        );
    }
    text
}

/// The key is the registry, with `..` for the `:` of its port, which no key of a `ConfigMap` may have.
fn config_map(host: &str, pem: &str) -> String {
    let indented = format!("    {}\n", pem.trim_end().replace('\n', "\n    "));
    format!(
        "# {}\n\
         # `oc apply -f` on the cluster, and name it in image.config.openshift.io/cluster.\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {NAME}-ca\n  namespace: openshift-config\n\
         data:\n  \"{}\": |\n{indented}",
        heading("who vouches for the registry."),
        host.replace(':', ".."),
    )
}
