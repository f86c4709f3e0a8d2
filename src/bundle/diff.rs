//! What one bundle has that another has not.

use std::collections::{BTreeMap, BTreeSet};

use super::{Artifact, ArtifactKind, BundleIndex};
use crate::{
    base::digest::Digest,
    report::{Change, DiffReport},
};

/// Compares two bundles by digest: names tell what is the same thing, digests whether it is the same.
pub fn diff(from: &BundleIndex, to: &BundleIndex) -> DiffReport {
    let (before, after) = (by_name(from), by_name(to));
    let mut changes = Vec::new();
    let mut same = 0;
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        let kind_of_change = match (old, new) {
            (Some(old), Some(new)) if content(old) == content(new) => {
                same += 1;
                continue;
            }
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "removed",
            (None, _) => "added",
        };
        let digest = |artifact: Option<&&Artifact>| artifact.map(|artifact| artifact.root.digest.to_string());
        changes.push(Change {
            change: kind_of_change,
            kind: name.0.name(),
            name: name.1.to_owned(),
            from: digest(old),
            to: digest(new),
            details: Vec::new(),
        });
    }
    DiffReport {
        schema: 1,
        from: format!("{} {}", from.name, from.version),
        to: format!("{} {}", to.name, to.version),
        changes,
        same,
        bytes_added: only_in(to, from),
        bytes_removed: only_in(from, to),
    }
}

fn by_name(index: &BundleIndex) -> BTreeMap<(ArtifactKind, &str), &Artifact> {
    index.artifacts.iter().map(|artifact| ((artifact.kind, artifact.name.as_str()), artifact)).collect()
}

/// What makes an artifact another one: its manifest, the platforms left out, the referrers beside it.
fn content(artifact: &Artifact) -> (&Digest, &[Digest], Vec<&Digest>) {
    let referrers = artifact.referrers.iter().map(|referrer| &referrer.root.digest).collect();
    (&artifact.root.digest, &artifact.absent, referrers)
}

fn only_in(index: &BundleIndex, other: &BundleIndex) -> u64 {
    let known: BTreeSet<&Digest> = other.blobs.iter().map(|blob| &blob.digest).collect();
    index.blobs.iter().filter(|blob| !known.contains(&blob.digest)).map(|blob| blob.size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bundle::{Blob, Encoding},
        oci::Descriptor,
    };

    fn index(artifacts: &[(&str, &[u8])]) -> BundleIndex {
        let artifact = |(name, bytes): &(&str, &[u8])| Artifact {
            kind: ArtifactKind::Image,
            name: (*name).to_owned(),
            source: String::new(),
            root: Descriptor::of("x", bytes),
            platforms: Vec::new(),
            absent: Vec::new(),
            referrers: Vec::new(),
        };
        let blob = |(_, bytes): &(&str, &[u8])| Blob {
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            media_type: "x".to_owned(),
            encoding: Encoding::Raw,
        };
        BundleIndex {
            name: "n".to_owned(),
            version: "v".to_owned(),
            channel: "c".to_owned(),
            artifacts: artifacts.iter().map(artifact).collect(),
            blobs: artifacts.iter().map(blob).collect(),
            ..BundleIndex::empty()
        }
    }

    #[test]
    fn added_removed_changed_and_bytes() {
        let report = diff(
            &index(&[("a", b"1"), ("b", b"22"), ("c", b"333")]),
            &index(&[("a", b"1"), ("b", b"4444"), ("d", b"55555")]),
        );
        let seen: Vec<(&str, &str)> = report.changes.iter().map(|c| (c.change, c.name.as_str())).collect();
        assert_eq!(seen, [("changed", "b"), ("removed", "c"), ("added", "d")]);
        assert_eq!((report.same, report.bytes_added, report.bytes_removed), (1, 9, 5));
        assert_eq!((report.from.as_str(), report.to.as_str()), ("n v", "n v"));
        let digest = |bytes: &[u8]| Some(Digest::of(bytes).to_string());
        let digests: Vec<_> = report.changes.iter().map(|c| (c.from.clone(), c.to.clone())).collect();
        assert_eq!(
            digests,
            [(digest(b"22"), digest(b"4444")), (digest(b"333"), None), (None, digest(b"55555"))]
        );
    }

    /// The same manifest is another thing when other children of it are carried or something else is said of it.
    #[test]
    fn what_lies_beside_a_manifest_counts() {
        let good = index(&[("a", b"1")]);
        let told = |bend: fn(&mut Artifact)| {
            let mut other = index(&[("a", b"1")]);
            bend(&mut other.artifacts[0]);
            let report = diff(&good, &other);
            let changes = report.changes.iter().map(|c| format!("{} {} {}", c.change, c.kind, c.name));
            (changes.collect::<Vec<_>>(), report.same)
        };
        assert_eq!(told(|artifact| artifact.source = "elsewhere".into()), (vec![], 1));
        let changed = (vec!["changed image a".to_owned()], 0);
        assert_eq!(told(|artifact| artifact.absent.push(Digest::of(b"gone"))), changed);
        let referrer = |artifact: &mut Artifact| {
            let (root, subject) = (Descriptor::of("x", b"note"), Digest::of(b"1"));
            artifact.referrers.push(crate::bundle::Referrer { root, subject, tag: None });
        };
        assert_eq!(told(referrer), changed);
        for (kind, word) in [(ArtifactKind::Chart, "chart"), (ArtifactKind::File, "file")] {
            let mut other = index(&[("a", b"1")]);
            other.artifacts[0].kind = kind;
            let report = diff(&good, &other);
            let seen: Vec<_> = report.changes.iter().map(|c| (c.change, c.kind)).collect();
            assert_eq!(seen, [("removed", "image"), ("added", word)]);
        }
    }
}
