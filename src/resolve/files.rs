//! One `[[files]]` entry.

use crate::{
    base::{failure::Result, redact},
    lock::LockedFile,
    manifest::{FileSource, WantedFile},
    source::Source,
};

/// Resolves a file: without an expected digest, what is seen now is recorded.
pub(super) async fn resolve(source: &Source, wanted: &WantedFile) -> Result<LockedFile> {
    let brought = source.file(wanted, None).await?;
    let url = match &wanted.source {
        FileSource::Url(url) => redact::url(url),
        FileSource::Path { written, .. } => written.clone(),
    };
    // The artifact's config is the two bytes `{}`.
    let total = brought.root.size + brought.content.size + 2;
    Ok(LockedFile {
        name: wanted.artifact_name(),
        wanted: wanted.wanted(),
        url,
        root: brought.root,
        total,
        content: brought.content.digest,
        expected: wanted.expected.is_some(),
    })
}
