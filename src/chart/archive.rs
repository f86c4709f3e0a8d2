//! A chart's `.tgz`: one folder named like the chart, plain files only.
//!
//! ```text
//! web/Chart.yaml             what it is, and what it needs
//! web/requirements.yaml      what it needs, in charts of apiVersion v1
//! web/Chart.lock             exact versions of what it needs (v1: requirements.lock)
//! web/charts/db/Chart.yaml   a dependency that is there, as a folder
//! web/charts/db-1.0.0.tgz    a dependency that is there, as an archive
//! ```

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use flate2::read::MultiGzDecoder;

use super::{
    metadata::{Dependency, Metadata, Requirements},
    version::Range,
    yaml,
};
use crate::base::{
    archive::{self as foreign, Kind},
    failure::{Failure, Reason, Result},
    limits,
    stream::Capped,
    text,
};

/// A chart archive, read and found well-formed.
#[derive(Debug, Clone)]
pub struct Archive {
    /// What the chart says about itself.
    pub metadata: Metadata,
    /// Name and version of the charts inside it.
    pub vendored: Vec<(String, String)>,
    /// Paths below `charts/` that are taken, for [`super::complete()`].
    pub(super) charts: Vec<String>,
    /// Where the members end in the unpacked archive.
    pub(super) end: u64,
    locked: Vec<Dependency>,
}

/// A dependency that must be brought to make a chart whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingDependency {
    /// Name of the chart.
    pub name: String,
    /// Its repository: `http://…`, `https://…` or `oci://…` (without the chart's name).
    pub repository: String,
    /// The exact version that the chart's lock names, else the range as written.
    pub version: String,
}

impl MissingDependency {
    /// The versions that will do.
    pub fn range(&self) -> Result<Range> {
        Range::helm(&self.version)
    }
}

impl Archive {
    /// Reads a chart archive whole, so that all of it is checked (threats J20). Memory stays small; the
    /// content is only passed through.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let malformed = |message: &str| {
            Failure::new(Reason::ChartMalformed, "chart archive", message)
                .hint("check that the URL is that of a chart, or tell its owner")
        };
        if bytes.len() as u64 > limits::CHART_BYTES {
            return Err(malformed("it is larger than 64 MiB"));
        }
        let mut contents = Contents::default();
        let end = contents.read(bytes).map_err(|error| malformed(&error.to_string()))?;
        let chart = contents.files.get("Chart.yaml").ok_or_else(|| malformed("it holds no Chart.yaml"))?;
        let requirements = contents.files.get("requirements.yaml").map(Vec::as_slice);
        let metadata = Metadata::parse(chart, requirements)?;
        if contents.top != metadata.name {
            let top = text::escaped(&contents.top, 100);
            let name = &metadata.name;
            return Err(malformed(&format!("its folder is called `{top}`, the chart inside `{name}`")));
        }
        let lock = contents.files.get("Chart.lock").or_else(|| contents.files.get("requirements.lock"));
        let locked = match lock {
            Some(lock) => {
                yaml::parse::<Requirements>(lock, "Chart.lock")
                    .map_err(|message| malformed(&message))?
                    .dependencies
            }
            None => Vec::new(),
        };
        Ok(Self { metadata, vendored: contents.vendored, charts: contents.charts, end, locked })
    }

    /// Dependencies that the archive names but does not hold, with the version that its lock gives them.
    /// Like Helm, a dependency counts as held when a chart of its name is there.
    ///
    /// Those that no repository can give, because their source is a path or a name on the machine where the
    /// chart was made, are [`Reason::ChartMalformed`].
    pub fn missing_dependencies(&self) -> Result<Vec<MissingDependency>> {
        let mut missing: Vec<MissingDependency> = Vec::new();
        let mut locked: BTreeMap<&str, Vec<&Dependency>> = BTreeMap::new();
        for dependency in self.locked.iter().rev() {
            locked.entry(&dependency.name).or_default().push(dependency);
        }
        for wanted in &self.metadata.dependencies {
            // A chart may use one dependency twice under different aliases; the lock keeps their order.
            let lock = locked.get_mut(wanted.name.as_str()).and_then(Vec::pop);
            if self.vendored.iter().any(|(name, _)| *name == wanted.name) {
                continue;
            }
            let repository = wanted.repository.trim_end_matches('/');
            let reachable =
                ["https://", "http://", "oci://"].iter().any(|known| repository.starts_with(known));
            if !reachable {
                return Err(self.unreachable(wanted));
            }
            let version = lock.map_or(&wanted.version, |lock| &lock.version).trim().to_owned();
            let found =
                MissingDependency { name: wanted.name.clone(), repository: repository.to_owned(), version };
            found.range()?;
            if !missing.contains(&found) {
                missing.push(found);
            }
        }
        Ok(missing)
    }

    fn unreachable(&self, wanted: &Dependency) -> Failure {
        let repository = text::escaped(&wanted.repository, 200);
        let source = if repository.is_empty() {
            "names no repository".to_owned()
        } else {
            format!("comes from `{repository}`, which only the maker of the chart has")
        };
        let Metadata { name, version, .. } = &self.metadata;
        Failure::new(
            Reason::ChartMalformed,
            format!("chart {name} {version}"),
            format!("its dependency `{}` is not in the archive and {source}", wanted.name),
        )
        .hint("ask its owner for an archive made with `helm package --dependency-update`")
    }
}

/// What is kept while an archive passes by.
#[derive(Default)]
struct Contents {
    top: String,
    files: BTreeMap<String, Vec<u8>>,
    vendored: Vec<(String, String)>,
    charts: Vec<String>,
    /// Unpacked bytes of archives inside the archive.
    nested: u64,
}

impl Contents {
    fn read(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let unpacked = Capped::new(MultiGzDecoder::new(bytes), limits::CHART_UNPACKED_BYTES);
        let mut members = foreign::Archive::new(unpacked);
        while let Some(member) = members.next_member()? {
            match member.kind {
                Kind::File => self.file(&member.path, &mut members)?,
                Kind::Folder => {}
                Kind::Link(_) | Kind::HardLink(_) => return Err(invalid("it holds a link")),
            }
        }
        members.end().ok_or_else(|| invalid("it has no end"))
    }

    fn file(&mut self, path: &str, content: &mut impl Read) -> io::Result<()> {
        let (top, path) = path.split_once('/').ok_or_else(|| invalid("a file lies beside its folder"))?;
        if self.top.is_empty() {
            top.clone_into(&mut self.top);
        } else if self.top != top {
            return Err(invalid("it holds more than one folder"));
        }
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["Chart.yaml" | "requirements.yaml" | "Chart.lock" | "requirements.lock"] => {
                self.files.insert(path.to_owned(), small(content)?);
            }
            // Helm passes over these names.
            ["charts", hidden, ..] if hidden.starts_with(['_', '.']) => {}
            ["charts", name] => {
                self.charts.push((*name).to_owned());
                if name.strip_suffix(".tgz").is_some() {
                    self.archive(name, content)?;
                }
            }
            ["charts", _, "Chart.yaml"] => self.vendor(&small(content)?)?,
            _ => {}
        }
        Ok(())
    }

    /// Looks into an archive inside the archive, as far as its `Chart.yaml`.
    fn archive(&mut self, name: &str, content: &mut impl Read) -> io::Result<()> {
        let left = limits::CHART_UNPACKED_BYTES.saturating_sub(self.nested);
        let mut counted = Counted { inner: Capped::new(MultiGzDecoder::new(content), left), count: 0 };
        let mut members = foreign::Archive::new(&mut counted);
        let mut chart = None;
        while chart.is_none() {
            let Some(member) = members.next_member()? else { break };
            let is_chart = member.path.split_once('/').is_some_and(|(_, file)| file == "Chart.yaml");
            if is_chart && member.kind == Kind::File {
                chart = Some(small(&mut members)?);
            }
        }
        self.nested += counted.count;
        let chart = chart.ok_or_else(|| {
            invalid(&format!("`charts/{}` inside it is no chart", text::escaped(name, 100)))
        })?;
        self.vendor(&chart)
    }

    fn vendor(&mut self, chart: &[u8]) -> io::Result<()> {
        let metadata: Metadata = yaml::parse(chart, "Chart.yaml of a chart inside it")
            .map_err(|words| io::Error::new(io::ErrorKind::InvalidData, words))?;
        self.vendored.push((metadata.name, metadata.version));
        Ok(())
    }
}

/// Counts what passes.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

fn invalid(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

fn small(content: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Capped::new(content, limits::CHART_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;

    /// A `.tgz` of these files; `->` in a path makes a symbolic link.
    pub(in crate::chart) fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            if let Some((path, target)) = path.split_once("->") {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
                continue;
            }
            header.set_size(content.len() as u64);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        gzip(&builder.into_inner().unwrap())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(in crate::chart) fn chart(name: &str, version: &str, more: &str) -> Vec<u8> {
        let yaml = format!("apiVersion: v2\nname: {name}\nversion: {version}\n{more}");
        packed(&[
            (&format!("{name}/Chart.yaml"), yaml.as_bytes()),
            (&format!("{name}/values.yaml"), b"a: 1\n"),
        ])
    }

    const NEEDY: &[u8] = b"name: web\nversion: 1.0.0\ndependencies:\n\
        - {name: a, version: ^1, repository: \"https://example.com/charts/\"}\n\
        - {name: b, version: 2.x, repository: \"oci://example.com/charts\"}\n\
        - {name: c, version: 3.0.0, repository: \"file://../c\"}\n";

    #[test]
    fn what_is_vendored_is_not_missing() {
        let b = chart("b", "2.1.0", "");
        let files: &[(&str, &[u8])] = &[
            ("web/Chart.yaml", NEEDY),
            ("web/charts/c/Chart.yaml", b"name: c\nversion: 3.0.0"),
            ("web/charts/b-2.1.0.tgz", &b),
            ("web/charts/_hidden/Chart.yaml", b"name: a\nversion: 1.0.0"),
            ("web/charts/c/charts/a/Chart.yaml", b"name: a\nversion: 1.0.0"),
        ];
        let archive = Archive::read(&packed(files)).unwrap();
        assert_eq!(archive.vendored, [("c".into(), "3.0.0".into()), ("b".into(), "2.1.0".into())]);
        let missing = archive.missing_dependencies().unwrap();
        assert_eq!(missing.len(), 1);
        assert_eq!((missing[0].name.as_str(), missing[0].version.as_str()), ("a", "^1"));
        assert_eq!(missing[0].repository, "https://example.com/charts");

        let lock = b"dependencies:\n- {name: a, version: 1.4.2, repository: x}\n";
        let files = [files, &[("web/Chart.lock", lock.as_slice())]].concat();
        let missing = Archive::read(&packed(&files)).unwrap().missing_dependencies().unwrap();
        assert_eq!(missing[0].version, "1.4.2");
    }

    #[test]
    fn a_v1_chart_names_its_dependencies_elsewhere() {
        let files: &[(&str, &[u8])] = &[
            ("web/Chart.yaml", b"name: web\nversion: 1.0.0\n"),
            (
                "web/requirements.yaml",
                b"dependencies:\n- {name: a, version: ~1.2, repository: http://x.org}\n",
            ),
        ];
        let missing = Archive::read(&packed(files)).unwrap().missing_dependencies().unwrap();
        assert_eq!(missing[0].name, "a");
    }

    #[test]
    fn a_dependency_that_nobody_can_give_is_told() {
        for repository in ["file://../c", "", "@stable", "alias:stable"] {
            let more =
                format!("dependencies:\n- {{name: c, version: 1.0.0, repository: \"{repository}\"}}\n");
            let archive = Archive::read(&chart("web", "1.0.0", &more)).unwrap();
            assert_eq!(archive.missing_dependencies().unwrap_err().reason, Reason::ChartMalformed);
        }
    }

    #[test]
    fn traps_are_refused() {
        let plain: (&str, &[u8]) = ("web/Chart.yaml", b"name: web\nversion: 1.0.0\n");
        let bomb = gzip(&[vec![0; 512], vec![0; 700 << 10]].concat());
        let big = vec![b'#'; (1 << 20) + 1];
        for files in [
            vec![],
            vec![("Chart.yaml", plain.1)],
            vec![plain, ("other/x", b"")],
            vec![plain, ("web/../x", b"")],
            vec![plain, plain],
            vec![plain, ("web/Chart.lock->/etc/passwd", b"")],
            vec![plain, ("web/charts/x.tgz", b"no gzip")],
            vec![plain, ("web/charts/x.tgz", &bomb)],
            vec![("other/Chart.yaml", plain.1)],
            vec![("web/Chart.yaml", b"name: ..\nversion: 1.0.0\n")],
            vec![("web/Chart.yaml", &big)],
        ] {
            let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
            assert_eq!(
                Archive::read(&packed(&files)).unwrap_err().reason,
                Reason::ChartMalformed,
                "{names:?}"
            );
        }
        let whole = packed(&[plain]);
        for cut in 0..whole.len() {
            assert!(Archive::read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut flipped = whole.clone();
        let crc = whole.len() - 6;
        flipped[crc] ^= 1;
        assert_eq!(Archive::read(&flipped).unwrap_err().reason, Reason::ChartMalformed);
    }
}
