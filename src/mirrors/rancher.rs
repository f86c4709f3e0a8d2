//! `registries.yaml` of k3s and RKE2 ("Private Registry Configuration" in the documents of both), from which they write
//! the files of their containerd.

use std::fmt::Write as _;

use super::{File, Mirror, Settings, heading};

/// For `product`, which is the name of the folder as well.
pub(super) fn settings(mirror: &Mirror, product: &str) -> Settings {
    let folder = format!("etc/rancher/{product}");
    let (registries, config) =
        (format!("{folder}/registries.yaml"), format!("{folder}/config.yaml.d/50-sealift-mirror.yaml"));
    let ca = format!("{folder}/sealift-mirror-ca.pem");
    let mut files = vec![
        File { path: registries.clone(), text: mirrors(mirror, product, &registries, &ca) },
        File { path: config.clone(), text: no_fallback(product, &config) },
    ];
    files.extend(
        mirror.authority.as_ref().map(|authority| File { path: ca, text: authority.pem().to_owned() }),
    );
    let steps = vec![
        format!("copy {folder} to /{folder} on every node, servers and agents"),
        format!(
            "restart {product} on each: systemctl restart {}, on agents {}",
            if product == "k3s" { "k3s" } else { "rke2-server" },
            if product == "k3s" { "k3s-agent" } else { "rke2-agent" },
        ),
        format!(
            "{config} takes {product} 1.26.13, 1.27.10, 1.28.6, 1.29.1 or newer; without it, upstream is asked where the \
             mirror has no answer, and the errors that one sees are upstream's"
        ),
        format!("one registries.yaml is all that {product} reads: merge it with one that is there"),
    ];
    Settings { files, steps }
}

fn mirrors(mirror: &Mirror, product: &str, path: &str, ca: &str) -> String {
    let mut text = format!(
        "# {}\n# /{path} on every node; restart {product} afterwards.\nmirrors:\n",
        heading(&format!("registries for {product}.")),
    );
    for upstream in &mirror.upstreams {
        let _infallible = write!(
            text,
            "  \"{upstream}\":\n    endpoint:\n      - \"{}://{}\"\n    rewrite:\n      \"^(.*)$\": \"{}/$1\"\n",
            mirror.scheme(),
            mirror.host,
            mirror.folder(upstream),
        );
    }
    if mirror.authority.is_some() {
        let _infallible =
            write!(text, "configs:\n  \"{}\":\n    tls:\n      ca_file: \"/{ca}\"\n", mirror.host);
    }
    text
}

fn no_fallback(product: &str, path: &str) -> String {
    format!(
        "# {}\n\
         # /{path} on every node, servers and agents; restart {product} afterwards.\n\
         # Of the registries that registries.yaml names, only the mirror is asked.\n\
         disable-default-registry-endpoint: true\n",
        heading(&format!("a setting of {product}.")),
    )
}
