//! What of a bundle is wanted: artifacts by name, children of indexes by platform.

use std::collections::BTreeSet;

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits, text,
    },
    bundle::Artifact,
    oci::{Descriptor, Document, Platform, media_type},
};

/// Whether `name` fits `pattern` whole: `*` stands for any text, slashes included, `?` for one character.
/// Linear but for one step back to the last `*`.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and how far into the name it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = name.get(n) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == c => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, reach)) = star else { return false };
                star = Some((at, reach + 1));
                p = at + 1;
                n = reach + 1;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&c| c == '*')
}

/// The artifacts whose name fits one of `patterns`, all without any; and the names of the others. A pattern
/// that fits nothing is a mistake, not a wish.
pub(super) fn by_name<'a>(
    artifacts: &'a [Artifact],
    patterns: &[String],
) -> Result<(Vec<&'a Artifact>, Vec<String>)> {
    for pattern in patterns {
        if !artifacts.iter().any(|artifact| fits(pattern, &artifact.name)) {
            let object = format!("name `{}`", text::escaped(pattern, 300));
            return Err(Failure::new(
                Reason::FilterMatchesNothing,
                object,
                "no artifact of the bundle fits it",
            )
            .hint("`sealift inspect` lists the names; `*` stands for any text, as in '*/nginx:*'"));
        }
    }
    let wanted =
        |artifact: &&Artifact| patterns.is_empty() || patterns.iter().any(|one| fits(one, &artifact.name));
    let (chosen, others): (Vec<&Artifact>, Vec<&Artifact>) = artifacts.iter().partition(wanted);
    Ok((chosen, others.into_iter().map(|artifact| artifact.name.clone()).collect()))
}

/// What a platform filter makes of one artifact.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Narrowed {
    /// It is made for other platforms.
    Unwanted,
    /// It is wanted without these children; empty when it is not bound to a platform, or whole.
    Without(BTreeSet<Digest>),
}

/// Narrows `artifact` to the platforms `wanted` (not empty). `used` collects which of them were met.
pub(super) fn by_platform(
    artifact: &Artifact,
    wanted: &[Platform],
    used: &mut BTreeSet<Platform>,
    read: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>,
) -> Result<Narrowed> {
    if !media_type::is_index(&artifact.root.media_type) {
        let made_for: Vec<Platform> =
            artifact.platforms.iter().filter_map(|platform| Platform::parse(platform)).collect();
        let met = made_for.iter().any(|platform| meets(platform, wanted, used));
        let unbound = made_for.is_empty();
        return Ok(if met || unbound { Narrowed::Without(BTreeSet::new()) } else { Narrowed::Unwanted });
    }
    let mut choice = Choice::default();
    choice.visit(artifact, &artifact.root, wanted, read, 0)?;
    let met = choice.made_for.iter().filter(|platform| meets(platform, wanted, used)).count() > 0;
    let absent: BTreeSet<Digest> = choice.seen.difference(&choice.kept).cloned().collect();
    Ok(if met || absent.is_empty() { Narrowed::Without(absent) } else { Narrowed::Unwanted })
}

/// Whether `platform` is wanted; remembers by which.
pub(super) fn meets(platform: &Platform, wanted: &[Platform], used: &mut BTreeSet<Platform>) -> bool {
    let met: Vec<&Platform> = wanted.iter().filter(|one| platform.satisfies(one)).collect();
    used.extend(met.iter().map(|&one| one.clone()));
    !met.is_empty()
}

/// The children of an index and of the indexes in it.
#[derive(Debug, Default)]
struct Choice {
    seen: BTreeSet<Digest>,
    kept: BTreeSet<Digest>,
    made_for: BTreeSet<Platform>,
}

impl Choice {
    fn visit(
        &mut self,
        artifact: &Artifact,
        index: &Descriptor,
        wanted: &[Platform],
        read: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>>,
        depth: usize,
    ) -> Result<()> {
        if depth > limits::INDEX_DEPTH {
            return Err(Failure::new(Reason::OciLimit, &index.digest, "indexes are nested more than 4 deep"));
        }
        let Document::Index(document) = Document::parse(&read(index)?, &index.media_type)? else {
            return Ok(());
        };
        let carried = |child: &&Descriptor| artifact.absent.binary_search(&child.digest).is_err();
        for child in document.manifests.iter().filter(carried) {
            self.seen.insert(child.digest.clone());
            self.made_for.extend(child.platform.clone());
            let is_new = document.keeps(child, wanted) && self.kept.insert(child.digest.clone());
            if is_new && media_type::is_index(&child.media_type) {
                self.visit(artifact, child, wanted, read, depth + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::ArtifactKind;
    use serde_json::json;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27", true),
            ("*/nginx:*", "docker.io/library/nginx:1.27", true),
            ("*nginx", "docker.io/library/nginx:1.27", false),
            ("*:1.2?", "docker.io/library/nginx:1.27", true),
            ("**", "", true),
            ("", "x", false),
            ("*a*a*a*a*a*b", &"a".repeat(5000), false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern}");
        }
    }

    fn artifact(root: Descriptor, platforms: &[&str]) -> Artifact {
        Artifact {
            kind: ArtifactKind::Image,
            name: "docker.io/library/x:1".into(),
            source: String::new(),
            root,
            platforms: platforms.iter().map(|&platform| platform.to_owned()).collect(),
            absent: vec![],
            referrers: vec![],
        }
    }

    #[test]
    fn attestations_stay_with_their_image() {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let child = |name: &str, os: &str, architecture: &str, about: Option<&str>| {
            let mut annotations = serde_json::Map::new();
            if let Some(about) = about {
                annotations.insert("vnd.docker.reference.digest".into(), digest(about).to_string().into());
            }
            json!({ "mediaType": media_type::MANIFEST, "digest": digest(name), "size": 1,
                    "platform": { "os": os, "architecture": architecture }, "annotations": annotations })
        };
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [
            child("amd", "linux", "amd64", None), child("arm", "linux", "arm64", None),
            child("amd-att", "unknown", "unknown", Some("amd")), child("arm-att", "unknown", "unknown", Some("arm")),
        ]})
        .to_string();
        let mut artifact = artifact(Descriptor::of(media_type::INDEX, index.as_bytes()), &[]);
        let narrow = |artifact: &Artifact, platform: &str| {
            let (wanted, mut used) = ([Platform::parse(platform).unwrap()], BTreeSet::new());
            let mut read = |_at: &Descriptor| Ok(index.clone().into_bytes());
            by_platform(artifact, &wanted, &mut used, &mut read).unwrap()
        };
        assert_eq!(
            narrow(&artifact, "linux/amd64"),
            Narrowed::Without([digest("arm"), digest("arm-att")].into())
        );
        assert_eq!(narrow(&artifact, "linux/s390x"), Narrowed::Unwanted);
        // What the bundle does not carry cannot be wanted of it.
        artifact.absent = vec![digest("arm")];
        assert_eq!(narrow(&artifact, "linux/arm64"), Narrowed::Unwanted);
    }

    #[test]
    fn single_manifests_go_by_what_the_bundle_says() {
        let wanted = [Platform::parse("linux/amd64").unwrap()];
        let narrow = |platforms: &[&str]| {
            let artifact = artifact(Descriptor::of(media_type::MANIFEST, b"m"), platforms);
            by_platform(&artifact, &wanted, &mut BTreeSet::new(), &mut |_at| Ok(vec![])).unwrap()
        };
        assert_eq!(narrow(&["linux/arm64"]), Narrowed::Unwanted);
        assert_eq!(narrow(&["linux/amd64"]), Narrowed::Without(BTreeSet::new()));
        assert_eq!(narrow(&[]), Narrowed::Without(BTreeSet::new()));
    }
}
