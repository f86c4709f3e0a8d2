//! The files that make nodes pull from the site's registry under the original names, and nothing from upstream.
//!
//! A [`Mirror`] says which registry stands for which upstream ones; [`Mirror::settings`] writes it down as a [`Runtime`]
//! reads it, and tells where each file goes. All of them ask for `docker.io/library/debian` at
//! `REGISTRY/[PREFIX/]docker.io/library/debian`, where an import put it; so one layout serves every runtime and every
//! registry. Everything that enters the files is in the grammar of host names and repositories, or a PEM block, so that
//! nothing in it means anything to TOML or YAML.

mod authority;
mod containerd;
mod containers;
mod openshift;
mod rancher;

use std::collections::BTreeSet;

pub use authority::Authority;

use crate::{
    base::{
        failure::{Failure, Reason, Result},
        text,
    },
    oci::reference,
};

/// Whose files are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// containerd, as most Kubernetes distributions have it.
    Containerd,
    /// CRI-O, and everything that reads `registries.conf`: podman, skopeo, buildah.
    Crio,
    /// k3s, with its own containerd.
    K3s,
    /// RKE2, with its own containerd.
    Rke2,
    /// OpenShift, which configures CRI-O by resources of the cluster.
    Openshift,
}

/// A registry that stands for upstream ones.
#[derive(Debug, Clone)]
pub struct Mirror {
    host: String,
    prefix: String,
    plain_http: bool,
    authority: Option<Authority>,
    upstreams: BTreeSet<String>,
}

/// A file as a runtime reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it lies on a node, without the first slash; for a resource of a cluster, only its name.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// What makes a runtime use a [`Mirror`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The files, by path.
    pub files: Vec<File>,
    /// What to do with them, step by step.
    pub steps: Vec<String>,
}

impl Mirror {
    /// The registry `host[:port]` with repositories below `prefix` (may be empty), in the place of `upstreams`.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] for an upstream that no image name can begin with, for none at all, and for the registry
    /// itself: its own names would be looked for below its own name.
    pub fn new(
        host: &str,
        prefix: &str,
        plain_http: bool,
        authority: Option<Authority>,
        upstreams: impl IntoIterator<Item = String>,
    ) -> Result<Self> {
        let host = host.to_ascii_lowercase();
        let upstreams =
            upstreams.into_iter().map(|name| upstream(&name, &host)).collect::<Result<BTreeSet<_>>>()?;
        if upstreams.is_empty() {
            return Err(Failure::new(
                Reason::BadArgument,
                "upstream registries",
                "there is none that the registry could stand for",
            )
            .hint("name them: --upstream docker.io"));
        }
        Ok(Self { host, prefix: prefix.to_owned(), plain_http, authority, upstreams })
    }

    /// The registry, `host[:port]`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The upstream registries that it stands for.
    pub fn upstreams(&self) -> &BTreeSet<String> {
        &self.upstreams
    }

    /// The files for `runtime`.
    pub fn settings(&self, runtime: Runtime) -> Settings {
        let mut settings = match runtime {
            Runtime::Containerd => containerd::settings(self),
            Runtime::Crio => containers::settings(self),
            Runtime::K3s => rancher::settings(self, "k3s"),
            Runtime::Rke2 => rancher::settings(self, "rke2"),
            Runtime::Openshift => openshift::settings(self),
        };
        settings.files.sort_by(|a, b| a.path.cmp(&b.path));
        settings
    }

    fn scheme(&self) -> &'static str {
        if self.plain_http { "http" } else { "https" }
    }

    /// Below which repository the content of `upstream` stands.
    fn folder(&self, upstream: &str) -> String {
        let inside = reference::inside_registry(upstream);
        if self.prefix.is_empty() { inside } else { format!("{}/{inside}", self.prefix) }
    }

    /// The same with the registry before it, as one names an image.
    fn place(&self, upstream: &str) -> String {
        format!("{}/{}", self.host, self.folder(upstream))
    }
}

/// `name` as image names begin.
fn upstream(name: &str, host: &str) -> Result<String> {
    let wrong = |what: &str| Failure::new(Reason::BadArgument, text::escaped(name, 300), what);
    let lower = name.to_ascii_lowercase();
    if !reference::is_registry(&lower) || !reference::names_registry(&lower) {
        return Err(wrong("is no upstream registry")
            .hint("write it as image names begin, for instance docker.io or registry.example.com:5000"));
    }
    if lower == host {
        return Err(wrong("is the registry that is to stand for others").hint("give other names upstream"));
    }
    Ok(if lower == reference::DOCKER_ALIAS { "docker.io".to_owned() } else { lower })
}

/// The first line of every file, after the mark of a comment.
fn heading(what: &str) -> String {
    format!("Written by `sealift mirror-config`: {what}")
}

#[cfg(test)]
mod tests;
