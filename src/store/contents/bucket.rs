//! Contents in a bucket of an S3-compatible object store, which several machines share: `PREFIX/blobs/sha256/ab/<hex>`, as
//! in the folder of a home. Its clients wait on threads, so each call is driven by a runtime of the bucket's own: whoever
//! calls may be on any thread, one that drives sockets included.
//!
//! What cannot be asked for is not known to be missing: that something is not there counts only while the mark of this home
//! is. A bucket that was emptied, or is another one, takes nothing from the home.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path as Key};
use tokio::{runtime::Runtime, sync::Semaphore};

use super::{
    Listing, Stored,
    own::{MARK, read},
    sending::UNIT,
};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    limits,
};

/// Requests of one caller under way at once.
pub(super) const AT_ONCE: usize = 16;
/// How long whoever asks whether the server can serve waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// A bucket.
#[derive(Debug)]
pub(in crate::store) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same, which sends each deletion once.
    deleting: Arc<dyn ObjectStore>,
    /// What all names of this home begin with; may be empty.
    prefix: Key,
    /// As messages name it.
    pub(super) place: String,
    runtime: Option<Runtime>,
    /// Memory for what is on its way up, in [`UNIT`]s.
    pub(super) memory: Arc<Semaphore>,
    /// What the home calls itself in the mark, once that is known.
    pub(super) id: OnceLock<String>,
}

/// A copy in the bucket: another one, or the same bytes put there another time, differs in one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Seen {
    pub(super) size: u64,
    pub(super) tag: Option<String>,
    /// Not known of what was just put there.
    pub(super) changed: Option<i64>,
}

impl Seen {
    fn of(object: &ObjectMeta) -> Self {
        Self { size: object.size, tag: object.e_tag.clone(), changed: Some(object.last_modified.timestamp()) }
    }

    fn is_same(&self, other: &Self) -> bool {
        let changed = self.changed.zip(other.changed).is_none_or(|(one, other)| one == other);
        // Some write it with quotes in one answer and without in another.
        let tag = |seen: &Self| seen.tag.as_deref().map(|tag| tag.trim_matches('"').to_owned());
        self.size == other.size && tag(self) == tag(other) && changed
    }
}

/// A stream of bytes that a server sends.
pub(super) type Flow = stream::BoxStream<'static, object_store::Result<Bytes>>;

impl Drop for Bucket {
    fn drop(&mut self) {
        // To wait for it is not allowed on threads that drive sockets, and nothing is under way that anybody waits for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bucket {
    /// `place` is what messages call it.
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: Key, place: String) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("bucket")
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Reason::InputOutput, "threads for the bucket", error))?;
        let units = usize::try_from(limits::BUCKET_MEMORY / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        let memory = Arc::new(Semaphore::new(units));
        let deleting = Arc::clone(&store);
        Ok(Self { store, deleting, prefix, place, runtime: Some(runtime), memory, id: OnceLock::new() })
    }

    /// With another way for deletions, one that sends each of them once.
    pub(super) fn deleting_by(mut self, deleting: Arc<dyn ObjectStore>) -> Self {
        self.deleting = deleting;
        self
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        PathBuf::from(format!("{}/{}", self.place, below(digest)))
    }

    pub(super) fn key(&self, digest: &Digest) -> Key {
        self.named(&below(digest))
    }

    pub(super) fn named(&self, name: &str) -> Key {
        self.prefix.parts().chain(Key::from(name).parts()).collect()
    }

    /// Drives `work` to its end, on whatever thread this is called.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let gone = || Failure::internal("what was asked of the bucket ended without an answer");
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let _nobody_waits = tell.send(work.await);
        });
        told.recv().map_err(|_ended| gone())
    }

    /// What `work` asks for; `None` where there is no such object, in this home's own bucket.
    fn ask<T: Send + 'static>(
        &self,
        object: &Path,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<Option<T>> {
        match self.wait(work)? {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => self.require_mark().map(|()| None),
            Err(error) => Err(failure(&object.display().to_string(), &error)),
        }
    }

    pub(super) fn look(&self, digest: &Digest) -> Result<Option<Stored>> {
        Ok(self.seen(digest)?.map(|(stored, _)| stored))
    }

    fn seen(&self, digest: &Digest) -> Result<Option<(Stored, Seen)>> {
        let (store, key) = (Arc::clone(&self.store), self.key(digest));
        let found = self.ask(&self.path(digest), async move { store.head(&key).await })?;
        Ok(found.map(|object| (Stored::of_object(&object), Seen::of(&object))))
    }

    pub(super) fn look_at_all(&self, digests: &[&Digest]) -> Result<Vec<Option<Stored>>> {
        let heads = digests.iter().map(|digest| {
            let (store, key) = (Arc::clone(&self.store), self.key(digest));
            async move { store.head(&key).await }.boxed()
        });
        let heads: Vec<_> = heads.collect();
        let found = self.wait(stream::iter(heads).buffered(AT_ONCE).collect::<Vec<_>>())?;
        let mut all = Vec::with_capacity(found.len());
        let mut is_missing = false;
        for (digest, found) in digests.iter().zip(found) {
            all.push(match found {
                Ok(object) => Some(Stored::of_object(&object)),
                Err(object_store::Error::NotFound { .. }) => {
                    is_missing = true;
                    None
                }
                Err(error) => return Err(failure(&self.path(digest).display().to_string(), &error)),
            });
        }
        if is_missing {
            self.require_mark()?;
        }
        Ok(all)
    }

    /// Opens one, or the part of it that is wanted, of the copy that was seen before.
    pub(super) fn open(
        &self,
        digest: &Digest,
        part: Option<(&Seen, u64, u64)>,
    ) -> Result<Option<(Seen, Flow)>> {
        let (store, key) = (Arc::clone(&self.store), self.key(digest));
        let mut options = GetOptions::default();
        if let Some((seen, start, len)) = part {
            options.range = Some(GetRange::Bounded(start..start.saturating_add(len)));
            options.if_match.clone_from(&seen.tag);
        }
        let found = self.ask(&self.path(digest), async move { store.get_opts(&key, options).await })?;
        Ok(found.map(|found| (Seen::of(&found.meta), found.into_stream())))
    }

    pub(super) fn stands(&self, copy: &Seen, digest: &Digest) -> Result<bool> {
        Ok(self.seen(digest)?.is_some_and(|(_, there)| there.is_same(copy)))
    }

    /// Deletes these. A failure of one says nothing of whether it is gone, or will be.
    pub(super) fn delete_each(&self, digests: &[&Digest]) -> Result<Vec<Result<()>>> {
        let deletions = digests.iter().map(|digest| {
            let (store, key) = (Arc::clone(&self.deleting), self.key(digest));
            async move { store.delete(&key).await }.boxed()
        });
        let deletions: Vec<_> = deletions.collect();
        let answers = self.wait(stream::iter(deletions).buffered(AT_ONCE).collect::<Vec<_>>())?;
        let answers = digests.iter().zip(answers).map(|(digest, answer)| match answer {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(&self.path(digest).display().to_string(), &error)),
        });
        Ok(answers.collect())
    }

    pub(super) fn list(&self) -> Result<Listing> {
        let folder = self.named("blobs");
        let mut found = Listing::default();
        for object in self.objects(&folder)? {
            let parts: Vec<_> = object.location.prefix_match(&folder).into_iter().flatten().collect();
            let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            match super::digest_of(&parts) {
                Some(digest) => drop(found.contents.insert(digest, Stored::of_object(&object))),
                None => found.strange.push(PathBuf::from(format!("{}/{}", self.place, parts.join("/")))),
            }
        }
        Ok(found)
    }

    pub(super) fn count(&self) -> Result<(u64, u64)> {
        let (store, folder) = (Arc::clone(&self.store), self.named("blobs"));
        let counted = self.wait(async move {
            let add =
                |(count, bytes), object: ObjectMeta| async move { Ok((count + 1, bytes + object.size)) };
            store.list(Some(&folder)).try_fold((0, 0), add).await
        })?;
        counted.map_err(|error| failure(&self.place, &error))
    }

    fn objects(&self, folder: &Key) -> Result<Vec<ObjectMeta>> {
        // Nothing below a bucket that is not this home's would read as nothing at all.
        self.require_mark()?;
        let (store, folder) = (Arc::clone(&self.store), folder.clone());
        let listed = self.wait(async move { store.list(Some(&folder)).try_collect().await })?;
        listed.map_err(|error| failure(&self.place, &error))
    }

    /// Fails unless the bucket answers, soon, and is this home's.
    pub(super) fn require_ready(&self) -> Result<()> {
        let (store, key) = (Arc::clone(&self.store), self.named(MARK));
        let asked =
            self.wait(async move { tokio::time::timeout(PATIENCE, read(store.as_ref(), &key)).await })?;
        match asked {
            Ok(found) => self.is_ours(found.map_err(|error| failure(&self.place, &error))?),
            Err(_elapsed) => {
                let found = format!("no answer within {} seconds", PATIENCE.as_secs());
                Err(Failure::new(Reason::Bucket, &self.place, found).hint(REACH))
            }
        }
    }
}

impl Stored {
    fn of_object(object: &ObjectMeta) -> Self {
        let since = u64::try_from(object.last_modified.timestamp()).ok().and_then(Timestamp::from_seconds);
        Self { size: object.size, since }
    }
}

/// Where a content lies below the prefix.
fn below(digest: &Digest) -> String {
    let shard = digest.hex().get(..2).unwrap_or("00");
    format!("blobs/{}/{shard}/{}", digest.algorithm().name(), digest.hex())
}

/// How it says that there is no bucket.
pub(super) const NO_BUCKET: &str = "NoSuchBucket";

pub(super) const REACH: &str = "check that the object store runs and is reached, and `endpoint` in store.toml; what is published is not lost";

/// What an object store said, or what happened on the way to it. None of it says what an object is.
pub(super) fn failure(object: &str, error: &object_store::Error) -> Failure {
    let text = describe(error);
    let code = code(&text);
    let (found, hint) = match (error, code) {
        (_, Some(NO_BUCKET)) => {
            ("there is no such bucket".to_owned(), "make it, or check `bucket` and `endpoint` in store.toml")
        }
        (_, Some(code @ ("InvalidAccessKeyId" | "SignatureDoesNotMatch"))) => (
            format!("it does not take the credentials: {code}"),
            "check the two lines of `credentials_file`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the clock",
        ),
        (
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. },
            code,
        ) => (
            format!("it refuses access: {}", code.unwrap_or("without a word")),
            "allow these credentials to get, put, delete and list objects of the bucket (s3:GetObject, s3:PutObject, \
             s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload)",
        ),
        (_, Some(code)) => (format!("it says {code}"), "look into the log of the object store; try again"),
        (_, None) => (text, REACH),
    };
    Failure::new(Reason::Bucket, object, found).hint(hint)
}

/// The word by which an object store names an error.
pub(super) fn code(said: &str) -> Option<&str> {
    said.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code)
}

/// The cause that tells what happened: what the server said, or the last one.
pub(super) fn describe(error: &object_store::Error) -> String {
    let mut words = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        words.push(next.to_string());
        cause = next.source();
    }
    if let Some(with_code) = words.iter().find(|words| words.contains("<Code>")) {
        return with_code.clone();
    }
    let last = words.pop().unwrap_or_default();
    last.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use object_store::memory::InMemory;

    use super::*;
    use crate::store::contents::{BlobReader, How, Object};

    /// A bucket of a new home, and what stands behind it.
    fn bucket() -> (Arc<Bucket>, Arc<InMemory>) {
        let store = Arc::new(InMemory::new());
        let bucket = another(&store);
        bucket.try_out().unwrap();
        bucket.belong_to("one", true).unwrap();
        (bucket, store)
    }

    fn another(store: &Arc<InMemory>) -> Arc<Bucket> {
        let place = "s3://bucket/site".to_owned();
        Arc::new(Bucket::new(Arc::clone(store) as _, Key::from("site"), place).unwrap())
    }

    fn send(bucket: &Bucket, bytes: &[u8]) -> (Digest, Seen) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let digest = Digest::of(bytes);
        let seen = bucket.send(&file, Path::new("staged"), &digest).unwrap();
        (digest, seen)
    }

    fn open(bucket: &Arc<Bucket>, digest: &Digest) -> BlobReader {
        let (seen, flow) = bucket.open(digest, None).unwrap().unwrap();
        BlobReader { how: How::Object(Box::new(Object::new(Arc::clone(bucket), digest.clone(), seen, flow))) }
    }

    #[test]
    fn what_is_sent_comes_back_whole_and_in_part() {
        let (bucket, _store) = bucket();
        // Of one part, of several, of nothing.
        for size in [5, 2 * limits::BUCKET_PART + 3, 0] {
            let bytes: Vec<u8> = (0..=250).cycle().take(usize::try_from(size).unwrap()).collect();
            let (digest, seen) = send(&bucket, &bytes);
            assert_eq!(bucket.look(&digest).unwrap().unwrap().size, size);
            assert!(bucket.stands(&seen, &digest).unwrap());
            let mut copy = open(&bucket, &digest);
            let mut back = Vec::new();
            copy.read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{size}");
            for (start, len) in [(1, 3), (0, bytes.len()), (bytes.len(), 0)] {
                let Some(part) = bytes.get(start..start + len) else { continue };
                let mut copy = open(&bucket, &digest);
                copy.go_to(start as u64, len as u64).unwrap();
                back.clear();
                copy.read_to_end(&mut back).unwrap();
                assert!(back == part, "{size} {start} {len}");
            }
        }
        assert_eq!(bucket.memory.available_permits() as u64 * UNIT, limits::BUCKET_MEMORY);
    }

    /// X03: memory is bounded for all together, and nobody waits for memory with memory that nobody empties.
    #[test]
    fn many_large_ones_are_sent_at_once() {
        let (bucket, _store) = bucket();
        let (told, hear) = std::sync::mpsc::channel();
        for number in 0..5_u8 {
            let (bucket, told) = (Arc::clone(&bucket), told.clone());
            std::thread::spawn(move || {
                let file = tempfile::tempfile().unwrap();
                file.set_len(4 * limits::BUCKET_PART).unwrap();
                let sent = bucket.send(&file, Path::new("staged"), &Digest::of(&[number])).unwrap();
                told.send(sent.size).unwrap();
            });
        }
        for _ in 0..5 {
            let sent = hear.recv_timeout(Duration::from_mins(1)).expect("they wait for each other");
            assert_eq!(sent, 4 * limits::BUCKET_PART);
        }
    }

    #[test]
    fn what_is_deleted_is_gone() {
        let (bucket, store) = bucket();
        let (one, other) = (send(&bucket, b"one").0, send(&bucket, b"other").0);
        let folder = bucket.named("blobs/strange");
        bucket.wait(async move { store.put(&folder, "x".into()).await }).unwrap().unwrap();
        let listed = bucket.list().unwrap();
        assert_eq!((listed.contents.len(), listed.strange.len()), (2, 1));
        assert_eq!(bucket.count().unwrap(), (3, 9));
        let removed = bucket.delete_each(&[&one, &Digest::of(b"never there")]).unwrap();
        assert!(removed.iter().all(Result::is_ok));
        assert!(bucket.look(&one).unwrap().is_none() && bucket.look(&other).unwrap().is_some());
    }

    /// R31: of a bucket that is emptied, or another one, nothing is known to be missing.
    #[test]
    fn without_its_mark_nothing_is_missing() {
        let (bucket, store) = bucket();
        let (digest, _seen) = send(&bucket, b"hello");
        let mark = bucket.named(MARK);
        for text in [None, Some("contents of a sealift home: other\n"), Some("nonsense")] {
            let (store, mark) = (Arc::clone(&store), mark.clone());
            bucket
                .wait(async move {
                    match text {
                        Some(text) => store.put(&mark, text.into()).await.map(drop),
                        None => store.delete(&mark).await,
                    }
                })
                .unwrap()
                .unwrap();
            // What is there is there.
            assert_eq!(bucket.look(&digest).unwrap().unwrap().size, 5);
            let gone = Digest::of(b"gone");
            let reasons = [
                bucket.look(&gone).map(drop),
                bucket.open(&gone, None).map(drop),
                bucket.look_at_all(&[&digest, &gone]).map(drop),
                bucket.list().map(drop),
                bucket.require_ready(),
                bucket.belong_to("one", false),
            ]
            .map(|found| found.unwrap_err().reason);
            assert_eq!(reasons, [Reason::Bucket; 6], "{text:?}");
        }
        assert_eq!(bucket.look(&digest).unwrap().unwrap().size, 5, "nothing was removed");
    }

    #[test]
    fn another_home_does_not_take_it() {
        let (bucket, store) = bucket();
        assert_eq!(bucket.mark().unwrap().unwrap(), "one");
        let again = another(&store);
        again.belong_to("one", false).unwrap();
        assert_eq!(another(&store).belong_to("two", true).unwrap_err().reason, Reason::Bucket);
    }

    /// R27: a copy is taken away only if it is still the one that was found bad.
    #[test]
    fn another_copy_is_told_from_the_one_that_was_read() {
        let (bucket, store) = bucket();
        let (digest, sent) = send(&bucket, b"hello");
        let read = bucket.open(&digest, None).unwrap().unwrap().0;
        assert!(bucket.stands(&read, &digest).unwrap());
        let key = bucket.key(&digest);
        bucket.wait(async move { store.put(&key, "hellO".into()).await }).unwrap().unwrap();
        assert!(!bucket.stands(&read, &digest).unwrap() && !bucket.stands(&sent, &digest).unwrap());
        // The same words about the same bytes, at another time.
        let later = Seen { changed: read.changed.map(|time| time + 1), ..read.clone() };
        assert!(!later.is_same(&read) && sent.is_same(&read));
    }

    /// On threads that drive sockets nobody may wait for a runtime: it would panic.
    #[test]
    fn it_may_be_asked_and_dropped_on_any_thread() {
        let (bucket, store) = bucket();
        let (digest, _seen) = send(&bucket, b"hello");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert_eq!(bucket.look(&digest).unwrap().unwrap().size, 5);
            drop(another(&store));
        });
    }
}
