//! Plain files, as OCI artifacts.

use std::io::Read as _;

use super::Source;
use crate::{
    base::{
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        fs, redact, stream,
    },
    manifest::{FileSource, WantedFile},
    oci::{Descriptor, artifact, media_type},
    store::BlobWriter,
};

/// A file in the store, with the artifact that carries it.
#[derive(Debug, Clone)]
pub struct BroughtFile {
    /// The artifact's manifest.
    pub root: Descriptor,
    /// The content.
    pub content: Descriptor,
}

const MOVED: &str = "find out why it changed; then run `sealift lock --update` for it";

impl Source {
    /// Brings a file. `locked` is the content that the lock recorded: with it the store is asked first, and
    /// other bytes are refused.
    pub async fn file(&self, wanted: &WantedFile, locked: Option<&Descriptor>) -> Result<BroughtFile> {
        let expected = wanted.expected.as_ref().filter(|digest| digest.algorithm() == Algorithm::Sha256);
        let known = locked.map(|content| &content.digest).or(expected);
        let stored = match known {
            Some(digest) => {
                let (store, asked) = (self.store.clone(), digest.clone());
                let size = tokio::task::spawn_blocking(move || store.size_of(&asked));
                size.await.map_err(Failure::internal)??.map(|size| (digest.clone(), size))
            }
            None => None,
        };
        let (digest, size) = match stored {
            Some(stored) => stored,
            None => self.bring(wanted, known, locked.map(|content| content.size)).await?,
        };
        let content = Descriptor::new(&wanted.media_type, digest, size);
        // The store may wait for a database or a bucket, and for that no thread that drives sockets may.
        let (source, wanted, of) = (self.clone(), wanted.clone(), content.clone());
        let made = tokio::task::spawn_blocking(move || {
            source.check_expected(&wanted, &of)?;
            source.file_artifact(&wanted, &of)
        });
        Ok(BroughtFile { root: made.await.map_err(Failure::internal)??, content })
    }

    /// Makes the artifact that carries a file with this content, which need not be there yet. Its manifest is
    /// in the store afterwards.
    pub fn file_artifact(&self, wanted: &WantedFile, content: &Descriptor) -> Result<Descriptor> {
        let (manifest, root) =
            artifact::file_artifact(&wanted.name, &wanted.media_type, content, wanted.executable)?;
        self.store.put(&artifact::empty_config(), artifact::EMPTY_CONFIG)?;
        self.store.put(&root, &manifest)?;
        Ok(root)
    }

    async fn bring(
        &self,
        wanted: &WantedFile,
        known: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<(Digest, u64)> {
        let writer = match known {
            Some(digest) => self.writer(digest).await?,
            None => self.store.scratch(Algorithm::Sha256)?,
        };
        let (writer, object) = match &wanted.source {
            FileSource::Url(url) => {
                let brought = self.client.file(url, writer, size.unwrap_or(u64::MAX)).await;
                let brought = brought.map_err(|failure| match (failure.reason, wanted.expected.is_some()) {
                    // More bytes than the lock knows of: it is another file.
                    (Reason::UpstreamLimit, false) => failure.as_reason(Reason::UpstreamMoved).hint(MOVED),
                    _ => failure,
                });
                (brought?, redact::url(url))
            }
            FileSource::Path { path, written } => {
                let (path, progress) = (path.clone(), self.progress.clone());
                let copied =
                    tokio::task::spawn_blocking(move || copy(&path, writer, progress.as_ref())).await;
                (copied.map_err(Failure::internal)??, written.clone())
            }
        };
        let (digest, size) = (writer.digest(), writer.len());
        if let Some(known) = known.filter(|known| **known != digest) {
            let (reason, hint) = if wanted.expected.is_some() {
                (Reason::UpstreamDigest, "find out why the content changed before you write the new digest")
            } else {
                (Reason::UpstreamMoved, MOVED)
            };
            let message = format!("expected {known}, found {digest}");
            let failure = Failure::new(reason, object, message).hint(hint);
            // Bytes that are someone else's must not be resumed from.
            let mut writer = writer;
            return Err(writer.restart().err().unwrap_or(failure));
        }
        let content = Descriptor::new(media_type::OCTETS, digest.clone(), size);
        tokio::task::spawn_blocking(move || writer.commit(&content)).await.map_err(Failure::internal)??;
        Ok((digest, size))
    }

    /// Compares stored content with the digest that the manifest names, of any algorithm.
    pub fn check_expected(&self, wanted: &WantedFile, content: &Descriptor) -> Result<()> {
        let Some(expected) = &wanted.expected else { return Ok(()) };
        let found = if expected.algorithm() == content.digest.algorithm() {
            content.digest.clone()
        } else {
            let path = self.store.place_of(&content.digest);
            let mut reader =
                stream::Hashing::new(self.store.open_blob(&content.digest)?, expected.algorithm());
            std::io::copy(&mut reader, &mut std::io::sink())
                .map_err(|error| fs::failure(&path, "read", &error))?;
            reader.finish().0
        };
        if found == *expected {
            return Ok(());
        }
        let message = format!("expected {expected}, found {found}");
        Err(Failure::new(Reason::UpstreamDigest, &wanted.name, message)
            .hint("find out why the content changed before you write the new digest"))
    }
}

fn copy(
    path: &std::path::Path,
    mut writer: BlobWriter,
    progress: &dyn crate::base::progress::Progress,
) -> Result<BlobWriter> {
    let mut file = fs::open_user(path)?;
    writer.restart()?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer).map_err(|error| fs::failure(path, "read", &error))?;
        if count == 0 {
            return Ok(writer);
        }
        writer.write(buffer.get(..count).unwrap_or_default())?;
        progress.advance(count as u64);
    }
}
