//! `registries.conf` of CRI-O, podman, skopeo and buildah (containers-registries.conf(5)), as a file beside it.

use std::fmt::Write as _;

use super::{File, Mirror, Settings, heading};

const PATH: &str = "etc/containers/registries.conf.d/50-sealift-mirror.conf";

pub(super) fn settings(mirror: &Mirror) -> Settings {
    let mut files = vec![File { path: PATH.to_owned(), text: registries(mirror) }];
    let mut steps = vec![
        format!("copy {PATH} to /{PATH} on every node"),
        "CRI-O reads it after `systemctl reload crio` (or SIGHUP); podman, skopeo and buildah at every start"
            .to_owned(),
        "the image of the sandbox (pause_image in crio.conf) is pulled the same way: carry it too".to_owned(),
    ];
    if let Some(authority) = &mirror.authority {
        let path = format!("etc/containers/certs.d/{}/ca.crt", mirror.host);
        steps.insert(1, format!("copy {path} to /{path} on every node; no restart"));
        files.push(File { path, text: authority.pem().to_owned() });
    }
    Settings { files, steps }
}

fn registries(mirror: &Mirror) -> String {
    let mut text = format!(
        "# {}\n\
         # /{PATH} on every node; `systemctl reload crio` afterwards.\n\
         # `blocked` is for upstream itself: mirrors are asked, and nobody after them.\n",
        heading("registries for CRI-O, podman, skopeo and buildah."),
    );
    let insecure = if mirror.plain_http { "insecure = true\n" } else { "" };
    for upstream in &mirror.upstreams {
        let _infallible = write!(
            text,
            "\n[[registry]]\nprefix = \"{upstream}\"\nlocation = \"{upstream}\"\nblocked = true\n\
             \n[[registry.mirror]]\nlocation = \"{}\"\n{insecure}",
            mirror.place(upstream),
        );
    }
    text
}
