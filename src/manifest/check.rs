//! From the manifest as written to the manifest as meant. A fault is noted and checking goes on.

use std::{collections::BTreeMap, path::Path};

use super::{
    model::{
        ChartSource, FileSource, Head, ImageSource, Manifest, Referrers, RegistrySettings, TagFilter,
        WantedChart, WantedFile, WantedImage,
    },
    schema::{
        BundleTable, ChartTable, DESCRIPTION_LETTERS, Document, FileTable, ImageTable, MOST_CONNECTIONS,
        MOST_REQUESTS, MOST_TAGS, ReferrersValue, RegistryTable, TagsTable,
    },
    value::{self, Checked},
};
use crate::{
    base::{
        digest::Algorithm,
        failure::Failure,
        redact, text,
        written::{At, Faults, Place, Table as _, Wrong},
    },
    oci::{
        Platform, media_type,
        reference::{is_repository, version_tag},
    },
};

/// A manifest while its files are read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    head: Option<Head>,
    /// `platforms` of `[bundle]`.
    platforms: Vec<Platform>,
    images: Vec<WantedImage>,
    charts: Vec<WantedChart>,
    files: Vec<WantedFile>,
    registries: BTreeMap<String, RegistrySettings>,
    /// Names inside the gap, and hosts, with the place that took them.
    taken: BTreeMap<String, Place>,
}

impl Draft {
    /// The finished manifest; `None` only where a fault has been noted.
    pub(super) fn finish(self) -> Option<Manifest> {
        let Self { head, images, charts, files, registries, .. } = self;
        Some(Manifest { head: head?, images, charts, files, registries })
    }
}

/// Checks one file and adds what it says to the draft.
pub(super) struct Checker<'a> {
    /// The folder of the file, which paths in it are relative to.
    pub(super) folder: &'a Path,
    /// Reads the keys that the file names.
    pub(super) read_file: &'a mut dyn FnMut(&Path) -> Result<String, Failure>,
    pub(super) draft: &'a mut Draft,
    pub(super) faults: &'a mut Faults,
}

impl Checker<'_> {
    /// `[bundle]`: of the first file only.
    pub(super) fn bundle(&mut self, table: &BundleTable) {
        if let Some(platforms) = &table.platforms {
            self.draft.platforms = self.platforms(platforms);
        }
        let name = self.read(table.name.as_ref(), value::media_name);
        let version = self.read(table.version.as_ref(), value::media_name);
        let channel = self.read(table.channel.as_ref(), value::media_name);
        let epoch = self.number(table.epoch.as_ref(), u64::MAX).unwrap_or(1);
        let sequence = self.number(table.sequence.as_ref(), u64::MAX).unwrap_or(1);
        let description = self.read(table.description.as_ref(), |input| {
            if input.chars().count() <= DESCRIPTION_LETTERS {
                return Ok(input.to_owned());
            }
            let message = format!("the description has more than {DESCRIPTION_LETTERS} letters");
            Err(Wrong::value(message, "keep it short; carry a longer text as a file"))
        });
        let site = self.read(table.site.as_ref(), value::site);
        let expires = self.read(table.expires.as_ref(), value::time);
        let folder = self.folder;
        let trust = self.read(table.trust.as_ref(), |input| value::path(input, folder));
        if let (Some(name), Some(version)) = (name, version) {
            let channel = channel.unwrap_or_else(|| "default".to_owned());
            self.draft.head =
                Some(Head { name, version, channel, epoch, sequence, description, site, expires, trust });
        }
    }

    /// Everything but `include` and `[bundle]`.
    pub(super) fn entries(&mut self, document: &Document) {
        for table in document.images.iter().flatten() {
            if let Some(image) = self.image(table) {
                self.draft.images.push(image);
            }
        }
        for table in document.charts.iter().flatten() {
            if let Some(chart) = self.chart(table) {
                self.draft.charts.push(chart);
            }
        }
        for table in document.files.iter().flatten() {
            if let Some(file) = self.file(table) {
                self.draft.files.push(file);
            }
        }
        for (key, table) in document.registries.iter().flat_map(|named| &named.0) {
            if let Some(host) = self.read(Some(key), value::host) {
                let settings = self.registry(table);
                self.take(format!("[registries.\"{host}\"]"), key.place, "join the two tables into one");
                self.draft.registries.insert(host, settings);
            }
        }
    }

    fn image(&mut self, table: &ImageTable) -> Option<WantedImage> {
        let platforms = match &table.platforms {
            Some(list) => self.platforms(list),
            None => self.draft.platforms.clone(),
        };
        let referrers = self.referrers(table.referrers.as_ref());
        let verify = match &table.verify {
            Some(verify) => Some(self.verify(verify)?),
            None => None,
        };
        let source = match (&table.image, &table.repository) {
            (Some(image), None) => self.one_image(image, table)?,
            (None, Some(repository)) => self.tags_of(repository, table)?,
            (Some(_), Some(repository)) => {
                let message = "`image` and `repository` exclude each other";
                let hint = "keep `image` for one image, or `repository` with `tags` for several";
                return self.wrong(repository.place, Wrong::conflict(message, hint));
            }
            (None, None) => {
                let hint = "add `image = \"registry/repository:tag\"`, or `repository` with `tags`";
                return self.missing(
                    table.broken(),
                    table.place(),
                    "an image needs `image` or `repository`",
                    hint,
                );
            }
        };
        Some(WantedImage { source, platforms, referrers, verify })
    }

    fn one_image(&mut self, image: &At<String>, table: &ImageTable) -> Option<ImageSource> {
        if let Some(tags) = &table.tags {
            let wrong =
                Wrong::conflict("`tags` select from a `repository`", "write `repository` for `image`");
            self.faults.add(tags.place(), wrong);
        }
        let Some(local) = value::local_image(&image.value, self.folder) else {
            if let Some(name) = &table.name {
                let message = "`name` is for images built on this machine";
                let hint = "remove it: an image of a registry keeps its own name";
                self.faults.add(name.place, Wrong::conflict(message, hint));
            }
            let reference = self.read(Some(image), value::pinned_reference)?;
            let end = reference.tag.clone().unwrap_or_else(|| reference.target());
            let hint = "list the image once, with all its platforms and referrers";
            self.take(format!("{}:{end}", reference.inside_repository()), image.place, hint);
            return Some(ImageSource::Reference(reference));
        };
        let name = self.read(table.name.as_ref(), value::tagged_name);
        if let (Some(name), Some(written)) = (&name, &table.name) {
            let inside = format!("{}:{}", name.inside_repository(), name.target());
            self.take(inside, written.place, "give one of them another `name`");
        }
        let mut local = local.map_err(|wrong| self.faults.add(image.place, wrong)).ok()?;
        if name.is_none() {
            let unnamed = format!("{} without a name", local.written);
            self.take(unnamed, image.place, "list the image once, with all its platforms and referrers");
        }
        local.name = name;
        Some(ImageSource::Local(local))
    }

    fn tags_of(&mut self, repository: &At<String>, table: &ImageTable) -> Option<ImageSource> {
        if let Some(name) = &table.name {
            let message = "`name` is for images built on this machine";
            let hint = "remove it: images of a registry keep their own names";
            self.faults.add(name.place, Wrong::conflict(message, hint));
        }
        let Some(tags) = &table.tags else {
            let _reported: Option<()> = self.missing(
                table.broken(),
                table.place(),
                "`repository` needs `tags` that say which images are wanted",
                "add for instance `tags = { semver = \">=1.2, <2\", latest = 3 }`, or write `image` for one image",
            );
            let _checked_too = self.read(Some(repository), value::repository);
            return None;
        };
        let filter = self.filter(tags);
        let repository_meant = self.read(Some(repository), value::repository)?;
        let hint = "list the repository once with these tags";
        self.take(format!("{} {{{filter}}}", repository_meant.inside_repository()), repository.place, hint);
        Some(ImageSource::Tags { repository: repository_meant, filter })
    }

    fn filter(&mut self, table: &TagsTable) -> TagFilter {
        if table.semver.is_none() && table.regex.is_none() && table.latest.is_none() {
            let hint = "add `semver`, `regex` or `latest`; for really every tag `regex = \".*\"`";
            let _reported: Option<()> =
                self.missing(table.broken(), table.place(), "`tags` selects without a condition", hint);
        }
        let mut exclude: Vec<String> = table
            .exclude
            .iter()
            .flatten()
            .filter_map(|pattern| self.read(Some(pattern), value::exclusion))
            .collect();
        exclude.sort();
        exclude.dedup();
        TagFilter {
            semver: self.read(table.semver.as_ref(), value::range),
            regex: self.read(table.regex.as_ref(), value::regex),
            latest: self
                .number(table.latest.as_ref(), MOST_TAGS)
                .and_then(|count| usize::try_from(count).ok()),
            exclude,
        }
    }

    fn chart(&mut self, table: &ChartTable) -> Option<WantedChart> {
        let name = self.read(table.name.as_ref(), |input| {
            if is_repository(input) && !input.contains('/') {
                return Ok(input.to_owned());
            }
            let message = format!("`{}` is no chart name", text::escaped(input, 200));
            Err(Wrong::value(message, "use lower-case letters and digits, with . _ - between them"))
        });
        let version = self.read(table.version.as_ref(), value::range);
        let written = table.repository.as_ref();
        let source = match (&name, written) {
            (Some(name), _) => self.read(written, |input| chart_source(input, name)),
            // The address is checked even so; only the name that it would make is not known.
            (None, _) => self.read(written, |input| chart_source(input, "name")).and(None),
        };
        let (name, version, source) = (name?, version?, source?);
        let written_version = table.version.as_ref()?.value.clone();
        let chart = WantedChart { source, name, version, written_version };
        let Some(repository) = chart.repository() else {
            let hint =
                "a chart is named by its repository's address: letters, digits and . _ - between slashes";
            return self.wrong(table.place(), Wrong::value("the address makes no repository name", hint));
        };
        let end = version_tag(&chart.written_version);
        let inside = format!("{}:{end}", repository.inside_repository());
        self.take(inside, table.place(), "list the chart once for each version");
        Some(chart)
    }

    fn file(&mut self, table: &FileTable) -> Option<WantedFile> {
        let expected = match (&table.sha256, &table.sha512) {
            (Some(_), Some(sha512)) => {
                let message = "`sha256` and `sha512` exclude each other";
                self.wrong(sha512.place, Wrong::conflict(message, "keep one of them"))
            }
            (sha256, None) => self.read(sha256.as_ref(), |input| value::hash(Algorithm::Sha256, input)),
            (None, sha512) => self.read(sha512.as_ref(), |input| value::hash(Algorithm::Sha512, input)),
        };
        let version = self.read(table.version.as_ref(), value::tag).unwrap_or_else(|| "latest".to_owned());
        let media_type = self
            .read(table.media_type.as_ref(), value::media_type)
            .unwrap_or_else(|| media_type::OCTETS.to_owned());
        let (written, source) = match (&table.url, &table.path) {
            (Some(url), None) => (
                url,
                self.read(Some(url), |input| value::http_url(input).map(|_| FileSource::Url(input.into()))),
            ),
            (None, Some(path)) => {
                let folder = self.folder;
                let source = self.read(Some(path), |input| {
                    let written = input.to_owned();
                    value::path(input, folder).map(|path| FileSource::Path { path, written })
                });
                (path, source)
            }
            (Some(_), Some(path)) => {
                let wrong = Wrong::conflict("`url` and `path` exclude each other", "keep one of them");
                return self.wrong(path.place, wrong);
            }
            (None, None) => {
                let hint = "add `url = \"https://…\"` or `path = \"…\"`";
                return self.missing(table.broken(), table.place(), "a file needs `url` or `path`", hint);
            }
        };
        let name = match &table.name {
            Some(name) => name.clone(),
            None => At { value: last_part(source.as_ref()?), place: written.place },
        };
        if name.value.is_empty() {
            let hint = "add `name = \"…\"`, the name that the file gets inside the gap";
            return self.missing(table.broken(), written.place, "the address ends without a file name", hint);
        }
        let name_place = name.place;
        let name = self.read(Some(&name), value::file_name);
        let executable = table.executable.as_ref().is_some_and(|at| at.value);
        let file = WantedFile { source: source?, name: name?, version, expected, executable, media_type };
        if !is_repository(&file.inside_repository()) {
            let wrong = Wrong::value("the name has no letter or digit", "write another `name`");
            return self.wrong(name_place, wrong);
        }
        let hint = "give one of them another `name` or `version`";
        self.take(file.artifact_name(), name_place, hint);
        Some(file)
    }

    fn registry(&mut self, table: &RegistryTable) -> RegistrySettings {
        let plain_http = table.plain_http.as_ref().map(|at| at.value);
        if let (Some(true), Some(ca_file)) = (plain_http, &table.ca_file) {
            let message = "`ca_file` has no use with `plain_http`";
            self.faults.add(ca_file.place, Wrong::conflict(message, "keep one of them"));
        }
        let folder = self.folder;
        let count = self.number(table.max_connections.as_ref(), MOST_CONNECTIONS);
        let requests = self.number(table.requests_per_second.as_ref(), MOST_REQUESTS);
        RegistrySettings {
            mirror: self.read(table.mirror.as_ref(), value::mirror),
            plain_http,
            ca_file: self.read(table.ca_file.as_ref(), |input| value::path(input, folder)),
            max_connections: count.and_then(|count| usize::try_from(count).ok()),
            requests_per_second: requests.and_then(|requests| u32::try_from(requests).ok()),
        }
    }

    /// Platforms, sorted and each once: their order means nothing.
    fn platforms(&mut self, list: &[At<String>]) -> Vec<Platform> {
        let mut platforms: Vec<Platform> =
            list.iter().filter_map(|platform| self.read(Some(platform), value::platform)).collect();
        platforms.sort();
        platforms.dedup();
        platforms
    }

    fn referrers(&mut self, value: Option<&ReferrersValue>) -> Referrers {
        match value {
            None => Referrers::All,
            Some(ReferrersValue::Word(word)) => match word.value.as_str() {
                "none" => Referrers::None,
                "all" => Referrers::All,
                other => {
                    let message = format!("`{}` is no choice of referrers", text::escaped(other, 200));
                    let hint = "write \"all\", \"none\" or a list of artifact types";
                    self.faults.add(word.place, Wrong::value(message, hint));
                    Referrers::All
                }
            },
            Some(ReferrersValue::Types(list)) if list.is_empty() => Referrers::None,
            Some(ReferrersValue::Types(list)) => {
                let mut types: Vec<String> =
                    list.iter().filter_map(|at| self.read(Some(at), value::media_type)).collect();
                types.sort();
                types.dedup();
                Referrers::Types(types)
            }
        }
    }

    /// A number from 1 to `most`.
    fn number(&mut self, at: Option<&At<u64>>, most: u64) -> Option<u64> {
        let at = at?;
        if (1..=most).contains(&at.value) {
            return Some(at.value);
        }
        let hint = if most == u64::MAX { "write 1 or more".to_owned() } else { format!("write 1 to {most}") };
        self.wrong(at.place, Wrong::value(format!("{} is out of range", at.value), hint))
    }

    /// Parses a value that is there.
    pub(super) fn read<T>(
        &mut self,
        at: Option<&At<String>>,
        parse: impl FnOnce(&str) -> Checked<T>,
    ) -> Option<T> {
        let at = at?;
        parse(&at.value).map_err(|wrong| self.faults.add(at.place, wrong)).ok()
    }

    /// Takes a name that only one entry may have.
    fn take(&mut self, name: String, place: Place, hint: &str) {
        match self.draft.taken.get(&name) {
            Some(first) => {
                let first = self.faults.show(*first);
                let message = format!("{name} stands at {first} already");
                self.faults.add(place, Wrong::conflict(message, hint));
            }
            None => {
                self.draft.taken.insert(name, place);
            }
        }
    }

    pub(super) fn wrong<T>(&mut self, place: Place, wrong: Wrong) -> Option<T> {
        self.faults.add(place, wrong);
        None
    }

    /// Something is missing, unless it is there and `broken`, which is a fault already.
    pub(super) fn missing<T>(&mut self, broken: bool, place: Place, message: &str, hint: &str) -> Option<T> {
        if !broken {
            self.faults.add(place, Wrong::missing(message, hint));
        }
        None
    }
}

/// The repository of a chart: a classic one by its URL, an OCI one with the chart's name at its end.
fn chart_source(input: &str, name: &str) -> Checked<ChartSource> {
    if let Some(path) = input.strip_prefix("oci://") {
        // Shorthand for Docker Hub is for images; an address names its host.
        let host = path.split('/').next().unwrap_or_default();
        if !host.contains(['.', ':', '@']) && host != "localhost" {
            let message = format!("`{}` does not name a host", text::escaped(input, 200));
            return Err(Wrong::value(
                message,
                "write oci://host/path, for instance oci://ghcr.io/team/charts",
            ));
        }
        return value::repository(&format!("{}/{name}", path.trim_end_matches('/'))).map(ChartSource::Oci);
    }
    let url = value::http_url(input)?;
    if url.query.is_some() {
        let message = format!("`{}` has a query", text::escaped(&redact::url(input), 200));
        return Err(Wrong::value(message, "write the address above index.yaml, without ?…"));
    }
    if url.path.ends_with("/index.yaml") {
        return Err(Wrong::value("the address is that of index.yaml", "leave out /index.yaml"));
    }
    Ok(ChartSource::Repository(input.trim_end_matches('/').to_owned()))
}

/// The last part of a URL's path or of a path: the name that a file has by itself.
fn last_part(source: &FileSource) -> String {
    match source {
        FileSource::Url(url) => {
            let path = value::http_url(url).map_or("", |url| url.path);
            path.rsplit('/').next().unwrap_or_default().to_owned()
        }
        FileSource::Path { path, .. } => {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
    }
}
