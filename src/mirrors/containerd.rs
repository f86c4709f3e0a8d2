//! `hosts.toml` of containerd (docs/hosts.md of containerd): one folder for each upstream registry.

use super::{File, Mirror, Settings, heading};

/// Where containerd is told to look, by the documents of all distributions.
const FOLDER: &str = "etc/containerd/certs.d";

pub(super) fn settings(mirror: &Mirror) -> Settings {
    let mut files = Vec::new();
    for upstream in &mirror.upstreams {
        let folder = format!("{FOLDER}/{}", folder_of(upstream));
        files.push(File { path: format!("{folder}/hosts.toml"), text: hosts(mirror, upstream) });
        if let Some(authority) = &mirror.authority {
            files.push(File { path: format!("{folder}/ca.pem"), text: authority.pem().to_owned() });
        }
    }
    let steps = vec![
        format!("copy {FOLDER} to /{FOLDER} on every node; it holds for the next pull, without a restart"),
        format!(
            "containerd must look there: in /etc/containerd/config.toml, config_path = \"/{FOLDER}\" under \
             [plugins.\"io.containerd.cri.v1.images\".registry] (containerd 2) or \
             [plugins.\"io.containerd.grpc.v1.cri\".registry] (containerd 1); after a change there, restart containerd"
        ),
        "the image of the sandbox (sandbox_image, or pinned_images.sandbox) is pulled the same way: carry it too".to_owned(),
        format!("ctr looks there only when told: ctr images pull --hosts-dir /{FOLDER} NAME"),
    ];
    Settings { files, steps }
}

/// The folder of a registry: no `:` in it, which not every file system takes.
fn folder_of(upstream: &str) -> String {
    match upstream.split_once(':') {
        Some((host, port)) => format!("{host}_{port}_"),
        None => upstream.to_owned(),
    }
}

/// containerd that cannot read this file asks upstream, so it holds only what all versions know.
fn hosts(mirror: &Mirror, upstream: &str) -> String {
    let url = format!("{}://{}/v2/{}", mirror.scheme(), mirror.host, mirror.folder(upstream));
    let ca = if mirror.authority.is_some() { "ca = \"ca.pem\"\n" } else { "" };
    let how = format!("capabilities = [\"pull\", \"resolve\"]\noverride_path = true\n{ca}");
    format!(
        "# {}\n\
         # Images named {upstream}/... are pulled from {}.\n\
         # /{FOLDER}/{}/hosts.toml on every node; no restart.\n\
         \n\
         # The last that is asked. Without it, that would be {upstream}.\n\
         server = \"{url}\"\n{how}\n\
         # The first. containerd 1.6 reads no file without one.\n\
         [host.\"{url}\"]\n{how}",
        heading("hosts.toml for containerd."),
        mirror.host,
        folder_of(upstream),
    )
}
