//! `Chart.yaml`, and the JSON that `helm push` makes of it as the config of an OCI artifact.
//!
//! Helm's rules for reading are kept: what may be left empty, that blanks become spaces and characters that
//! cannot be printed vanish, and in which order the keys are written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{version, yaml};
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        text,
    },
    oci::{descriptor::Annotations, reference},
};

/// What a chart says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name; a valid last part of a repository.
    #[serde(deserialize_with = "yaml::text")]
    pub name: String,
    /// URL of the project.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub home: String,
    /// URLs of the sources.
    #[serde(deserialize_with = "yaml::texts", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Version, as written.
    #[serde(deserialize_with = "yaml::text")]
    pub version: String,
    /// A sentence for people.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to search for.
    #[serde(deserialize_with = "yaml::texts", skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Who keeps it.
    #[serde(deserialize_with = "yaml::or_default", skip_serializing_if = "Vec::is_empty")]
    pub maintainers: Vec<Maintainer>,
    /// URL of a picture.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub icon: String,
    /// `v1` or `v2`.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Path of a value that switches the chart on.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Tags that switch the chart on.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// Version of the application inside.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub app_version: String,
    /// Whether it should no longer be used.
    #[serde(deserialize_with = "yaml::or_default", skip_serializing_if = "is_false")]
    pub deprecated: bool,
    /// Free annotations.
    #[serde(deserialize_with = "yaml::map", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
    /// Range of Kubernetes versions.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// Charts that this one needs.
    #[serde(deserialize_with = "yaml::or_default", skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// `application` or `library`.
    #[serde(rename = "type", deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

/// Somebody who keeps a chart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintainer {
    /// Name.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Address.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Home page.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A chart that a chart needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Dependency {
    /// Name of the chart.
    #[serde(deserialize_with = "yaml::text")]
    pub name: String,
    /// Range in Helm's language ([`version::Range::helm`]), or one version in a lock.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// URL of its repository; `oci://…`, `file://…` and `@alias` are possible too.
    #[serde(deserialize_with = "yaml::text")]
    pub repository: String,
    /// Path of a value that switches it on.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Tags that switch it on.
    #[serde(deserialize_with = "yaml::texts", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Helm's own mark, not meant to be written.
    #[serde(deserialize_with = "yaml::or_default", skip_serializing_if = "is_false")]
    pub enabled: bool,
    /// Values taken over from it.
    #[serde(deserialize_with = "yaml::or_default", skip_serializing_if = "Vec::is_empty")]
    pub import_values: Vec<ImportValue>,
    /// Name that it goes by in this chart.
    #[serde(deserialize_with = "yaml::text", skip_serializing_if = "String::is_empty")]
    pub alias: String,
}

/// Values that a chart takes over from a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImportValue {
    /// A key below `exports`.
    Key(String),
    /// `child` and `parent` paths.
    Pair(BTreeMap<String, String>),
}

/// `requirements.yaml` of a v1 chart; `Chart.lock` and `requirements.lock`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Requirements {
    #[serde(default, deserialize_with = "yaml::or_default")]
    pub(super) dependencies: Vec<Dependency>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Metadata {
    /// Reads `Chart.yaml`, and `requirements.yaml` of a v1 chart if there is one. Name and version must be
    /// fit for a reference (threats J20, J21).
    pub fn parse(chart: &[u8], requirements: Option<&[u8]>) -> Result<Self> {
        let malformed = |message: String| {
            Failure::new(Reason::ChartMalformed, "Chart.yaml", message)
                .hint("tell the owner of the chart, or choose another version")
        };
        let mut metadata: Self = yaml::parse(chart, "it").map_err(malformed)?;
        if let Some(requirements) = requirements {
            let requirements: Requirements =
                yaml::parse(requirements, "requirements.yaml").map_err(malformed)?;
            if !requirements.dependencies.is_empty() {
                metadata.dependencies = requirements.dependencies;
            }
        }
        if metadata.api_version.is_empty() {
            "v1".clone_into(&mut metadata.api_version);
        }
        metadata.normalise();
        let name_fits = !metadata.name.contains('/') && reference::is_repository(&metadata.name);
        if !name_fits {
            let name = text::escaped(&metadata.name, 100);
            let what = format!("the name `{name}` is not lower-case letters, digits and . _ - between them");
            return Err(malformed(what));
        }
        let version_fits = version::parse(&metadata.version).is_some()
            && reference::is_tag(&reference::version_tag(&metadata.version));
        if !version_fits {
            let version = text::escaped(&metadata.version, 100);
            return Err(malformed(format!("`{version}` is no semantic version that fits a tag")));
        }
        if let Some(nameless) = metadata.dependencies.iter().position(|other| !is_plain_name(&other.name)) {
            let what = format!("the name of dependency {} cannot be a file name", nameless + 1);
            return Err(malformed(what));
        }
        Ok(metadata)
    }

    fn normalise(&mut self) {
        let Self { name, home, description, icon, condition, tags, app_version, kube_version, .. } = self;
        for text in [name, home, description, icon, condition, tags, app_version, kube_version] {
            *text = printable(text);
        }
        self.sources.iter_mut().chain(&mut self.keywords).for_each(|text| *text = printable(text));
        for somebody in &mut self.maintainers {
            for text in [&mut somebody.name, &mut somebody.email, &mut somebody.url] {
                *text = printable(text);
            }
        }
        for dependency in &mut self.dependencies {
            let Dependency { name, version, repository, condition, tags, .. } = dependency;
            for text in [name, version, repository, condition].into_iter().chain(tags) {
                *text = printable(text);
            }
        }
    }

    /// The config of the chart's OCI artifact: the bytes that `helm push` writes.
    pub fn config(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, GoStrings))
            .map_err(Failure::internal)?;
        Ok(bytes)
    }
}

/// Whether a name can be part of a file name in `charts/`.
fn is_plain_name(name: &str) -> bool {
    crate::base::path::is_file_name(name)
}

/// Blanks become spaces, what cannot be printed vanishes.
fn printable(text: &str) -> String {
    text.chars()
        .filter_map(|c| if c.is_whitespace() { Some(' ') } else { text::is_plain(c).then_some(c) })
        .collect()
}

/// Strings as Go's encoder writes them: fit to stand in HTML and JavaScript.
struct GoStrings;

impl serde_json::ser::Formatter for GoStrings {
    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        let mut start = 0;
        for (at, c) in fragment.char_indices() {
            if matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
                writer.write_all(fragment.get(start..at).unwrap_or_default().as_bytes())?;
                write!(writer, "\\u{:04x}", u32::from(c))?;
                start = at + c.len_utf8();
            }
        }
        writer.write_all(fragment.get(start..).unwrap_or_default().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_is_what_helm_writes() {
        let chart = "apiVersion: v2\nname: web\nversion: 1.2.3+b\ndescription: |\n  two\n  lines <&>\nappVersion: 1.10\n\
                     deprecated: \nkeywords: [x, ~]\nhome: ~\nunknown: {x: 1}\nannotations: {b: yes, a: \"1\", c: ~}\n\
                     dependencies:\n- name: db\n  version: ^1\n  import-values: [data, {parent: p, child: c}]\n";
        let metadata = Metadata::parse(chart.as_bytes(), None).unwrap();
        assert_eq!(
            String::from_utf8(metadata.config().unwrap()).unwrap(),
            r#"{"name":"web","version":"1.2.3+b","description":"two lines \u003c\u0026\u003e ","keywords":["x",""],"apiVersion":"v2","appVersion":"1.10","annotations":{"a":"1","b":"yes","c":""},"dependencies":[{"name":"db","version":"^1","repository":"","import-values":["data",{"child":"c","parent":"p"}]}]}"#
        );
    }

    #[test]
    fn names_and_versions_must_fit_a_reference() {
        for (name, version) in [
            (".", "1.0.0"),
            ("..", "1.0.0"),
            ("a/b", "1.0.0"),
            ("../../x", "1.0.0"),
            ("A", "1.0.0"),
            ("", "1.0.0"),
            ("a", ""),
            ("a", "1/../b"),
            ("a", "latest"),
        ] {
            let chart = format!("name: \"{name}\"\nversion: \"{version}\"\n");
            let failure = Metadata::parse(chart.as_bytes(), None).unwrap_err();
            assert_eq!(failure.reason, Reason::ChartMalformed, "{name} {version}");
        }
        let twice = b"name: a\nversion: 1.0.0\nname: b\n";
        assert_eq!(Metadata::parse(twice, None).unwrap_err().reason, Reason::ChartMalformed);
    }
}
