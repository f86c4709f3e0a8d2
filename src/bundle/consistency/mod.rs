//! Whether `bundle.json` is well formed and agrees with itself. Everything here is arithmetic and grammar:
//! no other file is looked at.

use std::io::{self, Write};

use serde::Deserialize;

use super::{
    frame, header,
    index::{Artifact, Blob, BundleIndex, Encoding},
    layout::{self, OCI_LAYOUT},
    sums::{self, INDEX, SumsHeader},
};
use crate::{
    base::{
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        limits, path, text,
    },
    oci::{Descriptor, Platform, media_type, reference},
};

/// The version of `bundle.json` that this sealift writes and reads.
pub(super) const SCHEMA: u32 = 1;

impl BundleIndex {
    /// The canonical text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads the canonical text and checks everything that can be checked without another file.
    ///
    /// # Errors
    /// [`Reason::FormatVersion`], [`Reason::BundleIndexMalformed`] for JSON that is not in the one form,
    /// [`Reason::EncodingUnknown`], [`Reason::NameMalformed`], [`Reason::BundleIndexMismatch`] for
    /// contradictions.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Probe {
            schema: u32,
        }
        let malformed = |error: serde_json::Error| {
            Failure::new(Reason::BundleIndexMalformed, INDEX, error)
                .hint("do not use the bundle; ask the sender")
        };
        let probe: Probe = serde_json::from_slice(bytes).map_err(malformed)?;
        if probe.schema != SCHEMA {
            let message = format!("expected schema {SCHEMA}, found {}", probe.schema);
            return Err(Failure::new(Reason::FormatVersion, INDEX, message)
                .hint("use the sealift that made the bundle, or a newer one"));
        }
        let index: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        let mut same = Comparing { rest: bytes };
        let canonical = serde_json::to_writer_pretty(&mut same, &index).is_ok() && same.rest == b"\n";
        if !canonical {
            let message = "the text is not in the one form: order, spaces, escapes or doubled keys differ";
            return Err(Failure::new(Reason::BundleIndexMalformed, INDEX, message)
                .hint("do not use the bundle; ask the sender"));
        }
        index.check_content()?;
        index.check_members()?;
        Ok(index)
    }

    /// Compares with what `SHA256SUMS` says.
    pub fn check_header(&self, header: &SumsHeader, volumes: usize) -> Result<()> {
        let pairs = [
            ("name", self.name.clone(), header.name.clone()),
            ("version", self.version.clone(), header.version.clone()),
            ("channel", self.channel.clone(), header.channel.clone()),
            ("epoch", self.epoch.to_string(), header.epoch.to_string()),
            ("sequence", self.sequence.to_string(), header.sequence.to_string()),
            ("created", self.created.clone(), header.created.to_string()),
            ("number of volumes", self.volumes.len().to_string(), volumes.to_string()),
        ];
        for (what, here, there) in pairs {
            if here != there {
                return Err(mismatch(format!("{what} is `{here}` here and `{there}` in SHA256SUMS")));
            }
        }
        Ok(())
    }

    /// Artifacts and blobs: names, grammar, order.
    pub fn check_content(&self) -> Result<()> {
        for (what, name) in [("name", &self.name), ("version", &self.version), ("channel", &self.channel)] {
            if !path::is_media_name(name) {
                let message = format!("the {what} must be 1 to 64 of a-z 0-9 . _ -, found `{name}`");
                return Err(Failure::new(Reason::NameMalformed, INDEX, message));
            }
        }
        if crate::base::clock::Timestamp::parse(&self.created).is_none() {
            return Err(mismatch("created is not a time like 2026-11-21T00:00:00Z"));
        }
        sorted("artifacts", &self.artifacts, |artifact| (artifact.kind, &artifact.name))?;
        self.artifacts.iter().try_for_each(check_artifact)?;
        self.check_places()?;
        sorted("blobs", &self.blobs, |blob| &blob.digest)?;
        self.blobs.iter().try_for_each(check_blob)
    }

    /// Members and volumes: the order prescribed, and every byte of every volume accounted for. How many volumes
    /// there may be is said by `SHA256SUMS`.
    fn check_members(&self) -> Result<()> {
        let mut wanted = Wanted::new(self);
        let mut members = self.members.iter().peekable();
        for (number, volume) in (1..).zip(&self.volumes) {
            if volume.path != sums::volume_path(number) {
                return Err(mismatch(format!("volume {number} is called `{}`", volume.path)));
            }
            let (mut offset, mut content, mut is_empty) = (0, header::END, true);
            while let Some(member) = members.next_if(|member| member.volume == number) {
                wanted.check(&member.path, member.size)?;
                if member.offset != offset {
                    return Err(mismatch(format!(
                        "{} does not begin where the one before ends",
                        member.path
                    )));
                }
                offset = offset.saturating_add(check_frames(member)?);
                content += header::stream_length(member.size);
                is_empty = false;
            }
            if is_empty || volume.size <= offset || volume.content != content {
                let message = format!("members and size of {} do not fit together", volume.path);
                return Err(mismatch(message));
            }
        }
        if let Some(member) = members.next() {
            return Err(mismatch(format!("{} names volume {}", member.path, member.volume)));
        }
        wanted.end()
    }
}

/// Bytes of a member's frames, whose number and lengths must be possible.
fn check_frames(member: &super::Member) -> Result<u64> {
    let stream = header::stream_length(member.size);
    let pieces = stream.div_ceil(limits::FRAME_BYTES);
    let most = frame::piece_bound(stream.min(limits::FRAME_BYTES));
    let fine = member.frames.len() as u64 == pieces
        && member.frames.iter().all(|length| (1..=most).contains(length));
    if !fine {
        return Err(mismatch(format!("the frames of {} cannot hold {} bytes", member.path, member.size)));
    }
    Ok(member.frames.iter().sum())
}

/// The members that must come, one after the other.
struct Wanted<'a> {
    blobs: std::vec::IntoIter<&'a Blob>,
    fixed: std::vec::IntoIter<(&'static str, u64)>,
    /// The blob whose parts are coming, the bytes still missing, the number of the last part.
    split: Option<(&'a Blob, u64, usize)>,
}

impl<'a> Wanted<'a> {
    fn new(index: &'a BundleIndex) -> Self {
        let layout = layout::layout_index(&index.artifacts).len() as u64;
        Self {
            blobs: layout::member_order(&index.blobs).into_iter(),
            fixed: vec![("oci-layout", OCI_LAYOUT.len() as u64), ("index.json", layout)].into_iter(),
            split: None,
        }
    }

    fn check(&mut self, path: &str, size: u64) -> Result<()> {
        let unexpected = |expected: &str| {
            mismatch(format!(
                "expected the member {expected}, found {} of {size} bytes",
                text::escaped(path, 120)
            ))
        };
        if size > limits::MEMBER_BYTES {
            return Err(mismatch(format!("{path} is larger than a member may be")));
        }
        if let Some((name, length)) = self.fixed.next() {
            return if path == name && size == length { Ok(()) } else { Err(unexpected(name)) };
        }
        let (blob, left, part) = if let Some((blob, left, part)) = self.split.take() {
            (blob, left, part + 1)
        } else {
            let blob = self.blobs.next().ok_or_else(|| unexpected("to be the last"))?;
            if path == layout::member_path(&blob.digest, None) {
                return if size == blob.size { Ok(()) } else { Err(unexpected(path)) };
            }
            (blob, blob.size, 1)
        };
        let name = layout::member_path(&blob.digest, Some(part));
        let left = left.checked_sub(size).filter(|left| size > 0 && (part > 1 || *left > 0));
        match left {
            Some(left) if path == name && part <= 9999 => {
                self.split = (left > 0).then_some((blob, left, part));
                Ok(())
            }
            _ => Err(unexpected(&name)),
        }
    }

    fn end(mut self) -> Result<()> {
        let missing = self
            .fixed
            .next()
            .map(|(name, _)| name.to_owned())
            .or_else(|| self.split.map(|(blob, _, _)| blob.digest.to_string()))
            .or_else(|| self.blobs.next().map(|blob| blob.digest.to_string()));
        missing.map_or(Ok(()), |what| Err(mismatch(format!("there is no member, or not all, for {what}"))))
    }
}

fn mismatch(message: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::BundleIndexMismatch, INDEX, message).hint("do not use the bundle; ask the sender")
}

fn sorted<'a, T, K: Ord>(what: &str, list: &'a [T], key: impl Fn(&'a T) -> K) -> Result<()> {
    if list.is_sorted_by(|a, b| key(a) < key(b)) {
        Ok(())
    } else {
        Err(mismatch(format!("{what} are not sorted, or one stands twice")))
    }
}

fn check_blob(blob: &Blob) -> Result<()> {
    if let Encoding::Unknown(name) = &blob.encoding {
        let message = format!("{} has the encoding `{}`", blob.digest, text::escaped(name, 40));
        return Err(Failure::new(Reason::EncodingUnknown, INDEX, message)
            .hint("use the sealift that made the bundle, or a newer one"));
    }
    if blob.digest.algorithm() != Algorithm::Sha256 {
        let message = format!("{}: format 1 carries content by sha256 only", blob.digest);
        return Err(Failure::new(Reason::OciUnsupported, INDEX, message));
    }
    let manifest = media_type::is_manifest(&blob.media_type);
    if manifest && blob.size > limits::OCI_MANIFEST_BYTES {
        let message = format!("the manifest {} is larger than 4 MiB", blob.digest);
        return Err(Failure::new(Reason::OciLimit, INDEX, message));
    }
    Ok(())
}

fn check_artifact(artifact: &Artifact) -> Result<()> {
    let name = || format!("{INDEX}: {}", artifact.name);
    artifact.place()?;
    let platforms = artifact.platforms.iter();
    for platform in platforms {
        if Platform::parse(platform).is_none_or(|parsed| parsed.to_string() != *platform) {
            return Err(mismatch(format!("{}: `{platform}` is no platform", artifact.name)));
        }
    }
    sorted("platforms", &artifact.platforms, |platform| platform)?;
    sorted("absent digests", &artifact.absent, |digest| digest)?;
    sorted("referrers", &artifact.referrers, |referrer| {
        (&referrer.root.digest, &referrer.subject, &referrer.tag)
    })?;
    check_root(&artifact.root)?;
    for referrer in &artifact.referrers {
        check_root(&referrer.root)?;
        if let Some(tag) = referrer.tag.as_deref().filter(|tag| !reference::is_tag(tag)) {
            let message = format!("`{}` is no tag", text::escaped(tag, 140));
            return Err(Failure::new(Reason::NameMalformed, name(), message));
        }
    }
    Ok(())
}

/// A root is a bare descriptor of a manifest: type, digest, size, at most an artifact type.
fn check_root(root: &Descriptor) -> Result<()> {
    let mut bare = Descriptor::new(root.media_type.clone(), root.digest.clone(), root.size);
    bare.artifact_type.clone_from(&root.artifact_type);
    if *root == bare && media_type::is_manifest(&root.media_type) {
        return Ok(());
    }
    Err(mismatch(format!("the root {} is not the bare descriptor of a manifest", root.digest)))
}

/// The first blob with this digest in a list sorted by digest.
pub fn position(blobs: &[Blob], digest: &Digest) -> Option<usize> {
    blobs.binary_search_by(|blob| blob.digest.cmp(digest)).ok()
}

/// Accepts only what it holds already: compares two texts without a second copy.
struct Comparing<'a> {
    rest: &'a [u8],
}

impl Write for Comparing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest = self.rest.strip_prefix(bytes).ok_or_else(|| io::Error::other("differs"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
