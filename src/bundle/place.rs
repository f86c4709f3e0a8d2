//! Where artifacts stand inside the gap, unless a mapping says otherwise.

use std::collections::BTreeMap;

use super::index::{Artifact, ArtifactKind, BundleIndex};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        path, text,
    },
    oci::{Reference, reference},
};

/// A repository, and a tag unless the artifact is known by digest only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In the grammar of the OCI distribution-spec.
    pub repository: String,
    /// Likewise.
    pub tag: Option<String>,
}

impl Artifact {
    /// Its original place, from its name: `docker.io/library/nginx:1.27`, `files/tool:2.0`.
    ///
    /// # Errors
    /// [`Reason::NameMalformed`] for a name that gives none, [`Reason::BundleIndexMismatch`] for one with
    /// the digest of something else.
    pub fn place(&self) -> Result<Place> {
        let wrong = |message: &str| {
            Failure::new(Reason::NameMalformed, text::escaped(&self.name, 300), message)
                .hint("give it another name where the bundle is built")
        };
        let place = if self.kind == ArtifactKind::File {
            file_place(&self.name).ok_or_else(|| wrong("the name of a file must be files/NAME:VERSION"))?
        } else {
            let parsed = Reference::parse(&self.name)?;
            if parsed.to_string() != self.name || (parsed.tag.is_none() && parsed.digest.is_none()) {
                return Err(wrong("the name of an artifact must be a full reference"));
            }
            if parsed.digest.as_ref().is_some_and(|digest| *digest != self.root.digest) {
                let message = format!("the name has another digest than its manifest, {}", self.root.digest);
                return Err(Failure::new(Reason::BundleIndexMismatch, &self.name, message));
            }
            Place { repository: parsed.inside_repository(), tag: parsed.tag }
        };
        if reference::is_repository(&place.repository) {
            return Ok(place);
        }
        Err(wrong("with its registry the name is longer than the 255 characters that a repository may have"))
    }
}

/// The place of `files/<name>:<version>`. A file name may hold capitals and any row of `+ . _ -`, a
/// repository not: what it cannot hold becomes `_` or `-`.
fn file_place(name: &str) -> Option<Place> {
    let (file, version) = name.strip_prefix("files/")?.split_once(':')?;
    if !path::is_file_name(file) || !reference::is_tag(version) {
        return None;
    }
    let mut repository = String::from("files/");
    let mut separator = String::new();
    for c in file.chars() {
        if !c.is_ascii_alphanumeric() {
            separator.push(if c == '+' { '_' } else { c });
            continue;
        }
        let kept = matches!(separator.as_str(), "." | "_" | "__") || separator.chars().all(|c| c == '-');
        if !repository.ends_with('/') {
            repository.push_str(if kept { &separator } else { "-" });
        }
        separator.clear();
        repository.push(c.to_ascii_lowercase());
    }
    Some(Place { repository, tag: Some(version.to_owned()) })
}

impl BundleIndex {
    /// Every tag must lead to one thing: no two artifacts, and no artifact and referrer, may want the same.
    pub(super) fn check_places(&self) -> Result<()> {
        let mut taken: BTreeMap<Place, (&Digest, &str)> = BTreeMap::new();
        for artifact in &self.artifacts {
            let place = artifact.place()?;
            let tagged = artifact.referrers.iter().filter_map(|referrer| {
                let tag = Some(referrer.tag.clone()?);
                Some((Place { tag, ..place.clone() }, &referrer.root.digest))
            });
            let own = place.tag.is_some().then(|| (place.clone(), &artifact.root.digest));
            for (place, digest) in own.into_iter().chain(tagged) {
                let tag = place.tag.clone().unwrap_or_default();
                let message = format!("{}:{tag} would lead to it and to", place.repository);
                let (known, owner) = *taken.entry(place).or_insert((digest, &artifact.name));
                if known != digest {
                    let message = format!("{message} something of {owner}");
                    return Err(Failure::new(Reason::BundleIndexMismatch, &artifact.name, message)
                        .hint("give them different names where the bundle is built"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Descriptor, media_type};

    #[test]
    fn every_file_name_gives_a_repository() {
        for (name, expected) in [
            ("tool", "tool"),
            ("Tool+x", "tool_x"),
            ("jdk-21+35.tar.gz", "jdk-21_35.tar.gz"),
            ("_config.yml", "config.yml"),
            ("a..b+-c--d_", "a-b-c--d"),
            ("c++", "c"),
        ] {
            let place = file_place(&format!("files/{name}:1.0")).unwrap();
            assert_eq!(place.repository, format!("files/{expected}"));
            assert!(reference::is_repository(&place.repository), "{name}");
        }
        for wrong in ["files/..:1", "files/x:-", "files/x", "other/x:1", "files/x:1+2"] {
            assert_eq!(file_place(wrong), None, "{wrong}");
        }
        assert!(!reference::is_repository(&file_place("files/+:1").unwrap().repository));
    }

    #[test]
    fn images_have_full_names_of_their_own_digest() {
        let (own, other) = (Digest::of(b"own"), Digest::of(b"other"));
        let root = Descriptor::new(media_type::MANIFEST, own.clone(), 3);
        let place = |name: &str| {
            Artifact {
                kind: ArtifactKind::Image,
                name: name.into(),
                root: root.clone(),
                platforms: vec![],
                absent: vec![],
                referrers: vec![],
                source: String::new(),
            }
            .place()
            .map_err(|failure| failure.reason)
        };
        for name in
            ["docker.io/library/x:1".to_owned(), format!("quay.io/x@{own}"), format!("quay.io/x:1@{own}")]
        {
            let found = place(&name).unwrap();
            assert_eq!(found.tag.is_some(), name.contains(":1"), "{name}");
        }
        // Neither tag nor digest, and a name that is short for another.
        for name in ["docker.io/library/x", "x:1"] {
            assert_eq!(place(name).unwrap_err(), Reason::NameMalformed, "{name}");
        }
        let name = format!("quay.io/x@{other}");
        assert_eq!(place(&name).unwrap_err(), Reason::BundleIndexMismatch);
    }
}
