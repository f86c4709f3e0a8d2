//! The names that charts and files get inside the gap. Images keep their reference.

use super::{
    model::{ChartSource, WantedChart, WantedFile},
    value,
};
use crate::oci::{
    Reference,
    reference::{is_registry, is_repository},
};

impl WantedChart {
    /// The repository of the chart, name included, without a tag. A classic repository
    /// `https://host:port/path` is named by its address, in lower case as repositories must be.
    /// `None` for an address that makes no repository name; a checked manifest has none.
    pub fn repository(&self) -> Option<Reference> {
        match &self.source {
            ChartSource::Oci(reference) => Some(reference.clone()),
            ChartSource::Repository(url) => {
                let url = value::http_url(url).ok()?;
                let path = url.path.trim_matches('/').to_ascii_lowercase();
                let repository =
                    if path.is_empty() { self.name.clone() } else { format!("{path}/{}", self.name) };
                (is_registry(url.host) && is_repository(&repository)).then(|| Reference {
                    registry: url.host.to_ascii_lowercase(),
                    repository,
                    tag: None,
                    digest: None,
                })
            }
        }
    }

    /// The version, when one is asked for and not a range; a leading `v` is not part of it.
    pub fn exact_version(&self) -> Option<semver::Version> {
        value::exact_version(&self.written_version)
    }
}

impl WantedFile {
    /// `files/<name>`, with the name brought into the grammar of repositories: lower case, every run of
    /// other characters than letters and digits a `-`, unless it is a single `.` or `_`. The file itself
    /// keeps its name: the artifact's layer has it as title.
    pub fn inside_repository(&self) -> String {
        let mut component = String::with_capacity(self.name.len());
        let mut separator = String::new();
        for c in self.name.to_ascii_lowercase().chars() {
            if c.is_ascii_alphanumeric() {
                match separator.as_str() {
                    "" => {}
                    "." | "_" | "__" => component.push_str(&separator),
                    dashes if dashes.bytes().all(|b| b == b'-') => component.push_str(dashes),
                    _ => component.push('-'),
                }
                separator.clear();
                component.push(c);
            } else if !component.is_empty() {
                separator.push(c);
            }
        }
        format!("files/{component}")
    }

    /// `files/<name>:<version>`: the name of the artifact that carries the file.
    pub fn artifact_name(&self) -> String {
        format!("{}:{}", self.inside_repository(), self.version)
    }
}
