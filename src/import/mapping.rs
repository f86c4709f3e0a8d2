//! Where content stands inside: original names, unless a table says otherwise.

use std::fmt;

use crate::{
    base::{
        failure::{Failure, Reason, Result},
        text,
    },
    bundle::{Artifact, Place},
    oci::reference,
    report::import::Renaming,
};

/// A table of changed prefixes: repositories below `from` stand below `to`. The longest `from` that fits
/// wins; what no entry fits keeps its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping(Vec<Renaming>);

impl Mapping {
    /// Parses entries `FROM=TO`. `FROM` is a prefix of original names, whole components (`docker.io/library`
    /// or `127.0.0.1:5000/team`); `TO` is one of new names, and empty drops the prefix.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self> {
        let mut table: Vec<Renaming> = Vec::new();
        for entry in entries {
            let renaming = parse_entry(entry.as_ref())?;
            if table.iter().any(|known| known.from == renaming.from) {
                return Err(wrong(entry.as_ref(), "the same prefix is mapped twice"));
            }
            table.push(renaming);
        }
        table.sort_by(|a, b| a.from.cmp(&b.from));
        Ok(Self(table))
    }

    /// The table, sorted by `from`.
    pub fn entries(&self) -> &[Renaming] {
        &self.0
    }

    /// The repository for content whose original one is `repository`.
    fn apply(&self, repository: &str) -> String {
        let fitting = self.0.iter().filter_map(|entry| {
            let rest = repository.strip_prefix(&entry.from)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((entry, rest))
        });
        match fitting.max_by_key(|(entry, _)| entry.from.len()) {
            Some((entry, rest)) => format!("{}{rest}", entry.to).trim_start_matches('/').to_owned(),
            None => repository.to_owned(),
        }
    }
}

fn wrong(entry: &str, what: &str) -> Failure {
    Failure::new(Reason::BadArgument, format!("mapping `{}`", text::escaped(entry, 300)), what)
        .hint("write it as FROM=TO, for instance docker.io/library=base")
}

fn parse_entry(entry: &str) -> Result<Renaming> {
    let (from, to) = entry.split_once('=').ok_or_else(|| wrong(entry, "there is no `=`"))?;
    let from = from.replacen(':', "_", 1);
    if !reference::is_repository(&from) {
        return Err(wrong(entry, "the part before `=` is no prefix of a repository"));
    }
    if !to.is_empty() && !reference::is_repository(to) {
        return Err(wrong(entry, "the part after `=` is no prefix of a repository"));
    }
    Ok(Renaming { from, to: to.to_owned() })
}

/// Where one artifact goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Repository at the destination.
    pub(super) repository: String,
    /// Tag, unless the artifact is known by digest only.
    pub(super) tag: Option<String>,
}

impl Target {
    /// The place of `artifact` below `prefix` (may be empty).
    pub(super) fn of(artifact: &Artifact, prefix: &str, mapping: &Mapping) -> Result<Self> {
        let Place { repository, tag } = artifact.place()?;
        let mapped = mapping.apply(&repository);
        let repository = if prefix.is_empty() { mapped } else { format!("{prefix}/{mapped}") };
        if !reference::is_repository(&repository) {
            let found =
                format!("its repository would be `{}`, which cannot be", text::escaped(&repository, 300));
            return Err(Failure::new(Reason::NameMalformed, &artifact.name, found)
                .hint("map it to another name: --map FROM=TO"));
        }
        Ok(Self { repository, tag })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bundle::ArtifactKind, oci::Descriptor};

    fn target(kind: ArtifactKind, name: &str, prefix: &str, table: &[&str]) -> Result<String> {
        let artifact = Artifact {
            kind,
            name: name.to_owned(),
            source: String::new(),
            root: Descriptor::of("x", b""),
            platforms: vec![],
            absent: vec![],
            referrers: vec![],
        };
        Target::of(&artifact, prefix, &Mapping::parse(table)?).map(|target| target.to_string())
    }

    #[test]
    fn original_names_are_kept_unless_mapped() {
        let table = &["docker.io=hub", "docker.io/library=base", "127.0.0.1:5601=", "files=tools/bin"];
        let exact = &["docker.io/library/nginx=web"];
        for (kind, name, prefix, table, expected) in [
            (
                ArtifactKind::Image,
                "docker.io/library/nginx:1.27",
                "",
                &[][..],
                "docker.io/library/nginx:1.27",
            ),
            (
                ArtifactKind::Image,
                "docker.io/library/nginx:1.27",
                "p/q",
                &[],
                "p/q/docker.io/library/nginx:1.27",
            ),
            (ArtifactKind::Image, "127.0.0.1:5601/team/app:1", "", &[], "127.0.0.1_5601/team/app:1"),
            (ArtifactKind::Image, "docker.io/library/nginx:1", "p", table, "p/base/nginx:1"),
            (ArtifactKind::Image, "docker.io/grafana/grafana:1", "", table, "hub/grafana/grafana:1"),
            (ArtifactKind::Chart, "127.0.0.1:5601/charts/web:1_x", "", table, "charts/web:1_x"),
            (ArtifactKind::Image, "docker.io/library/nginx:1", "", exact, "web:1"),
            (
                ArtifactKind::Image,
                "docker.io/library/nginx-extra:1",
                "",
                exact,
                "docker.io/library/nginx-extra:1",
            ),
            (ArtifactKind::File, "files/Tool+x:1.0_a", "", &[], "files/tool_x:1.0_a"),
            (ArtifactKind::File, "files/tool:1.0", "", table, "tools/bin/tool:1.0"),
        ] {
            assert_eq!(target(kind, name, prefix, table).unwrap(), expected);
        }
        let digest = format!("quay.io/a/b@{}", Descriptor::of("x", b"").digest);
        assert_eq!(target(ArtifactKind::Image, &digest, "", &[]).unwrap(), "quay.io/a/b");
    }

    #[test]
    fn wrong_tables_and_names_are_refused() {
        for wrong in ["docker.io", "=x", "A=b", "a=B", "a/=b", "a=b/", "a=../b", "a b=c"] {
            assert_eq!(Mapping::parse(&[wrong]).unwrap_err().reason, Reason::BadArgument, "{wrong}");
        }
        assert!(Mapping::parse(&["a=b", "a=c"]).is_err());
        for (name, table) in
            [("files/..:1", &[][..]), ("other/x:1", &[]), ("files/x:-", &[]), ("files/x:1", &["files/x="])]
        {
            assert_eq!(
                target(ArtifactKind::File, name, "", table).unwrap_err().reason,
                Reason::NameMalformed
            );
        }
    }
}
