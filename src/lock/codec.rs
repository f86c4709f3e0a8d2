//! The text of a lock: TOML, one fact a line, in a fixed order, so that a pull request shows what changed.
//!
//! Written by hand rather than by a TOML library: the bytes stay the same whatever library comes next.
//! Read strictly: what [`render`] would not write, but for layout and comments, is refused.

use std::{collections::BTreeSet, fmt, path::Path};

use serde::Deserialize;

use super::model::{Lock, LockedChart, LockedDependency, LockedFile, LockedImage, LockedReferrer};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    oci::{
        Descriptor, Platform, Reference, media_type,
        reference::{is_repository, is_tag},
    },
};

/// The version of the format.
const SCHEMA: u32 = 1;

const HEADER: &str = "\
# Written by `sealift lock`: what the manifest means, by digest. Commit it and review its changes;
# do not edit it. docs/lock.md explains every line.
";

/// The lock as text. The same lock gives the same bytes; lists come out sorted.
pub fn render(lock: &Lock) -> String {
    let lock = sorted(lock.clone());
    let mut out = Writer(HEADER.to_owned());
    out.number("schema", u64::from(SCHEMA));
    out.text("created", &lock.created);
    for image in &lock.images {
        out.table("images");
        out.head(&image.name, &image.wanted);
        out.list("also", &image.also);
        out.root(&image.root, image.total);
        out.list("platforms", &image.platforms);
        out.list("absent", &image.absent);
        for referrer in &image.referrers {
            out.table("images.referrers");
            out.text("subject", &referrer.subject);
            out.text("digest", &referrer.digest);
            out.text("media_type", &referrer.media_type);
            out.number("size", referrer.size);
            out.optional("artifact_type", referrer.artifact_type.as_ref());
            out.optional("tag", referrer.tag.as_ref());
        }
    }
    for chart in &lock.charts {
        out.table("charts");
        out.head(&chart.name, &chart.wanted);
        out.list("also", &chart.also);
        out.text("version", &chart.version);
        out.text("url", &chart.url);
        out.root(&chart.root, chart.total);
        out.text("archive", &chart.archive);
        out.optional("provenance", chart.provenance.as_ref());
        out.dependencies("charts.dependencies", &chart.dependencies);
    }
    for file in &lock.files {
        out.table("files");
        out.head(&file.name, &file.wanted);
        out.text("url", &file.url);
        out.root(&file.root, file.total);
        out.text("content", &file.content);
        out.line("expected", file.expected);
    }
    out.0
}

/// Lists by name; platforms, absent children, referrers and dependencies in their own order.
fn sorted(mut lock: Lock) -> Lock {
    lock.images.sort_by(|a, b| a.name.cmp(&b.name));
    lock.charts.sort_by(|a, b| a.name.cmp(&b.name));
    lock.files.sort_by(|a, b| a.name.cmp(&b.name));
    for image in &mut lock.images {
        image.also.sort();
        image.platforms.sort();
        image.absent.sort();
        image.referrers.sort();
    }
    for chart in &mut lock.charts {
        chart.also.sort();
        sort_dependencies(&mut chart.dependencies);
    }
    lock
}

fn sort_dependencies(list: &mut [LockedDependency]) {
    list.sort_by(|a, b| (&a.name, &a.version, &a.url).cmp(&(&b.name, &b.version, &b.url)));
    for one in list {
        sort_dependencies(&mut one.dependencies);
    }
}

/// The text so far.
struct Writer(String);

impl Writer {
    fn table(&mut self, name: &str) {
        self.0.push_str("\n[[");
        self.0.push_str(name);
        self.0.push_str("]]\n");
    }

    fn line(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push_str(key);
        self.0.push_str(" = ");
        self.0.push_str(&value.to_string());
        self.0.push('\n');
    }

    fn number(&mut self, key: &str, value: u64) {
        self.line(key, value);
    }

    fn text(&mut self, key: &str, value: &impl fmt::Display) {
        self.line(key, quoted(&value.to_string()));
    }

    fn optional(&mut self, key: &str, value: Option<&impl fmt::Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn head(&mut self, name: &str, wanted: &str) {
        self.text("name", &name);
        self.text("wanted", &wanted);
    }

    fn root(&mut self, root: &Descriptor, total: u64) {
        self.text("digest", &root.digest);
        self.text("media_type", &root.media_type);
        self.optional("artifact_type", root.artifact_type.as_ref());
        self.number("size", root.size);
        self.number("total", total);
    }

    fn dependencies(&mut self, table: &str, list: &[LockedDependency]) {
        for dependency in list {
            self.table(table);
            self.text("name", &dependency.name);
            self.text("version", &dependency.version);
            self.text("url", &dependency.url);
            self.text("archive", &dependency.archive);
            self.dependencies(&format!("{table}.dependencies"), &dependency.dependencies);
        }
    }

    /// One item a line; nothing for an empty list.
    fn list(&mut self, key: &str, items: &[impl fmt::Display]) {
        if items.is_empty() {
            return;
        }
        self.0.push_str(key);
        self.0.push_str(" = [\n");
        for item in items {
            self.0.push_str("    ");
            self.0.push_str(&quoted(&item.to_string()));
            self.0.push_str(",\n");
        }
        self.0.push_str("]\n");
    }
}

/// A TOML basic string. Letters of any script stay; what a reviewer could not see is escaped.
fn quoted(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric()) => out.push(c),
            c => {
                let _infallible = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// The only key that is read before the schema is known.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LockText {
    #[serde(rename = "schema")]
    _schema: u32,
    created: String,
    #[serde(default)]
    images: Vec<ImageText>,
    #[serde(default)]
    charts: Vec<ChartText>,
    #[serde(default)]
    files: Vec<FileText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageText {
    name: String,
    wanted: String,
    #[serde(default)]
    also: Vec<String>,
    digest: Digest,
    media_type: String,
    artifact_type: Option<String>,
    size: u64,
    total: u64,
    #[serde(default)]
    platforms: Vec<String>,
    #[serde(default)]
    absent: Vec<Digest>,
    #[serde(default)]
    referrers: Vec<ReferrerText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReferrerText {
    subject: Digest,
    digest: Digest,
    media_type: String,
    size: u64,
    artifact_type: Option<String>,
    tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChartText {
    name: String,
    wanted: String,
    #[serde(default)]
    also: Vec<String>,
    version: String,
    url: String,
    digest: Digest,
    media_type: String,
    artifact_type: Option<String>,
    size: u64,
    total: u64,
    archive: Digest,
    provenance: Option<Digest>,
    #[serde(default)]
    dependencies: Vec<DependencyText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DependencyText {
    name: String,
    version: String,
    url: String,
    archive: Digest,
    #[serde(default)]
    dependencies: Vec<DependencyText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    name: String,
    wanted: String,
    url: String,
    digest: Digest,
    media_type: String,
    artifact_type: Option<String>,
    size: u64,
    total: u64,
    content: Digest,
    expected: bool,
}

/// Reads the text of a lock that stands at `path`.
///
/// # Errors
/// `format-version` for another schema, `lock-malformed` for whatever `sealift lock` would not write.
pub fn parse(text: &str, path: &Path) -> Result<Lock> {
    let syntax = |error: &toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        malformed(format!("{}:{line}:{column}", path.display()), error.message())
    };
    let found: SchemaOnly = toml::from_str(text).map_err(|error| syntax(&error))?;
    if found.schema != SCHEMA {
        let message = format!("expected schema {SCHEMA}, found {}", found.schema);
        return Err(Failure::new(Reason::FormatVersion, path.display(), message)
            .hint("a newer sealift wrote it: use that one, or run `sealift lock` again"));
    }
    let written: LockText = toml::from_str(text).map_err(|error| syntax(&error))?;
    let lock = Lock {
        created: written.created,
        images: written.images.into_iter().map(ImageText::meant).collect(),
        charts: written.charts.into_iter().map(ChartText::meant).collect(),
        files: written.files.into_iter().map(FileText::meant).collect(),
    };
    check(&lock).map_err(|message| malformed(path.display(), message))?;
    Ok(sorted(lock))
}

fn malformed(object: impl fmt::Display, message: impl fmt::Display) -> Failure {
    Failure::new(Reason::LockMalformed, object, message)
        .hint("take it back from version control, or delete it and run `sealift lock`")
}

fn root(media_type: String, digest: Digest, size: u64, artifact_type: Option<String>) -> Descriptor {
    Descriptor { artifact_type, ..Descriptor::new(media_type, digest, size) }
}

impl ImageText {
    fn meant(self) -> LockedImage {
        LockedImage {
            name: self.name,
            wanted: self.wanted,
            also: self.also,
            root: root(self.media_type, self.digest, self.size, self.artifact_type),
            total: self.total,
            platforms: self.platforms,
            absent: self.absent,
            referrers: self.referrers.into_iter().map(ReferrerText::meant).collect(),
        }
    }
}

impl ReferrerText {
    fn meant(self) -> LockedReferrer {
        LockedReferrer {
            subject: self.subject,
            digest: self.digest,
            media_type: self.media_type,
            size: self.size,
            artifact_type: self.artifact_type,
            tag: self.tag,
        }
    }
}

impl ChartText {
    fn meant(self) -> LockedChart {
        LockedChart {
            name: self.name,
            wanted: self.wanted,
            also: self.also,
            version: self.version,
            url: self.url,
            root: root(self.media_type, self.digest, self.size, self.artifact_type),
            total: self.total,
            archive: self.archive,
            provenance: self.provenance,
            dependencies: self.dependencies.into_iter().map(DependencyText::meant).collect(),
        }
    }
}

impl DependencyText {
    fn meant(self) -> LockedDependency {
        LockedDependency {
            name: self.name,
            version: self.version,
            url: self.url,
            archive: self.archive,
            dependencies: self.dependencies.into_iter().map(Self::meant).collect(),
        }
    }
}

impl FileText {
    fn meant(self) -> LockedFile {
        LockedFile {
            name: self.name,
            wanted: self.wanted,
            url: self.url,
            root: root(self.media_type, self.digest, self.size, self.artifact_type),
            total: self.total,
            content: self.content,
            expected: self.expected,
        }
    }
}

/// What the types cannot say: names are names, each stands once, roots are manifests.
fn check(lock: &Lock) -> Result<(), String> {
    if Timestamp::parse(&lock.created).is_none() {
        return Err(format!("`created` is `{}`, expected a time such as 2026-11-21T00:00:00Z", lock.created));
    }
    let mut names = BTreeSet::new();
    let mut entry = |name: &str, root: &Descriptor, total: u64, well_named: bool| {
        if !well_named {
            return Err(format!("`{name}` is not the full name of what it stands for"));
        }
        if !names.insert(name.to_owned()) {
            return Err(format!("`{name}` stands twice"));
        }
        if !media_type::is_manifest(&root.media_type) {
            return Err(format!("`{name}` is a `{}`, expected a manifest or index", root.media_type));
        }
        if total < root.size {
            return Err(format!("`{name}` has a total of {total}, less than its manifest"));
        }
        Ok(())
    };
    for image in &lock.images {
        entry(&image.name, &image.root, image.total, is_full_reference(&image.name))?;
        for platform in &image.platforms {
            if Platform::parse(platform).is_none_or(|parsed| parsed.to_string() != *platform) {
                return Err(format!("`{}` has the platform `{platform}`, which is none", image.name));
            }
        }
        for referrer in &image.referrers {
            if !media_type::is_manifest(&referrer.media_type) {
                return Err(format!("`{}` has a referrer that is no manifest", image.name));
            }
            if referrer.tag.as_ref().is_some_and(|tag| !is_tag(tag)) {
                return Err(format!("`{}` has a referrer with a tag outside the grammar", image.name));
            }
        }
    }
    for chart in &lock.charts {
        entry(&chart.name, &chart.root, chart.total, is_full_reference(&chart.name))?;
    }
    for file in &lock.files {
        let well_named = file
            .name
            .rsplit_once(':')
            .is_some_and(|(name, tag)| name.starts_with("files/") && is_repository(name) && is_tag(tag));
        entry(&file.name, &file.root, file.total, well_named)?;
    }
    Ok(())
}

fn is_full_reference(name: &str) -> bool {
    Reference::parse(name).is_ok_and(|reference| {
        reference.to_string() == name && (reference.tag.is_some() || reference.digest.is_some())
    })
}
