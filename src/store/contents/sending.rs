//! The way of a file into a bucket: whole, or in parts of which a few are under way at once.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path as Key};
use tokio::{sync::Semaphore, task::JoinSet};

use super::bucket::{Bucket, Seen, failure};
use crate::base::{digest::Digest, failure::Result, fs, limits};

/// Parts of one upload under way at once.
const PARTS_AT_ONCE: usize = 3;
/// More parts no object may have.
const PARTS: u64 = 10_000;
/// What permits of memory are counted in.
pub(super) const UNIT: u64 = 1 << 10;

impl Bucket {
    /// Sends what lies in a file. Acknowledged, it is durable, and nobody sees less than the whole.
    pub(super) fn send(&self, file: &File, path: &Path, digest: &Digest) -> Result<Seen> {
        let cannot_read = |error: &std::io::Error| fs::failure(path, "read", error);
        let size = file.metadata().map_err(|error| cannot_read(&error))?.len();
        let file = Arc::new(file.try_clone().map_err(|error| cannot_read(&error))?);
        let (store, key, memory) = (Arc::clone(&self.store), self.key(digest), Arc::clone(&self.memory));
        let sent = self.wait(async move {
            if size <= limits::BUCKET_PART {
                let (_room, bytes) = piece(&memory, file, 0, size).await?;
                return store.put(&key, bytes.into()).await;
            }
            send_parts(store.as_ref(), &key, &memory, file, size).await
        })?;
        let sent = sent.map_err(|error| failure(&self.path(digest).display().to_string(), &error))?;
        Ok(Seen { size, tag: sent.e_tag, changed: None })
    }
}

/// A piece of a file, in memory that is accounted for as long as the first of the two is there.
async fn piece(
    memory: &Arc<Semaphore>,
    file: Arc<File>,
    start: u64,
    len: u64,
) -> object_store::Result<(tokio::sync::OwnedSemaphorePermit, Bytes)> {
    let cannot = |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic {
        store: "what was staged",
        source,
    };
    let units = u32::try_from(len.div_ceil(UNIT).min(limits::BUCKET_MEMORY / UNIT)).unwrap_or(u32::MAX);
    let room = Arc::clone(memory).acquire_many_owned(units).await.map_err(|closed| cannot(closed.into()))?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, start).map(|()| Bytes::from(bytes))
    });
    let bytes = read.await?.map_err(|error| cannot(error.into()))?;
    Ok((room, bytes))
}

/// Sends a large file part by part, a few at once.
async fn send_parts(
    store: &dyn ObjectStore,
    key: &Key,
    memory: &Arc<Semaphore>,
    file: Arc<File>,
    size: u64,
) -> object_store::Result<object_store::PutResult> {
    let part = limits::BUCKET_PART.max(size.div_ceil(PARTS));
    let mut upload = store.put_multipart(key).await?;
    let sent = async {
        // Each goes on by itself: one that waits for memory must not keep those back that have it. Dropped, all end.
        let mut under_way = JoinSet::new();
        let mut start = 0;
        while start < size {
            let len = part.min(size - start);
            let (room, bytes) = piece(memory, Arc::clone(&file), start, len).await?;
            let going = upload.put_part(bytes.into());
            under_way.spawn(async move {
                let sent = going.await;
                drop(room);
                sent
            });
            start += len;
            if under_way.len() >= PARTS_AT_ONCE
                && let Some(sent) = under_way.join_next().await
            {
                sent??;
            }
        }
        while let Some(sent) = under_way.join_next().await {
            sent??;
        }
        Ok(())
    };
    let sent = sent.await;
    if let Err(error) = sent {
        // What is left of it where this fails too, the rules of the bucket remove (docs/operations.md).
        let _best_effort = upload.abort().await;
        return Err(error);
    }
    upload.complete().await
}
