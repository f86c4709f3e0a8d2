//! Deletions that a bucket may still carry out, kept apart from pushes of the same content.
//!
//! A request to delete an object may be lost, and it may be late: whoever sent it heard nothing for a minute and gave up, or was
//! killed, and the server, or something before it, carries it out afterwards. By then somebody may have pushed the same
//! content again and been told that it is there. Nothing in the request tells the two copies apart: they have the same name
//! and, being the same bytes, the same tag, so that `If-Match` helps nobody.
//!
//! So each deletion is written down before it is sent, in the transaction that found that nobody needs the content. The row goes when
//! the bucket has answered. As long as it stands, nobody is told that the content is there: whoever brings it, or publishes what
//! lists it, is refused ([`Reason::Bucket`], for clients 503), and comes again. A deletion without an answer ends with its
//! time: requests are signed with the time at which they were made, and object stores refuse what is older than fifteen
//! minutes (Garage takes it for a day, docs/operations.md). Each is sent once, for a second one that is answered says nothing of
//! the first, and soon after it was written down, or never. Whether the content is there is asked after that, never before: what was pushed meanwhile may be gone.
//!
//! In a folder a file is gone when the call returns, so there it takes no row.

use std::time::Duration;

use super::{Contents, Stored};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    store::{Change, State, Store, leases::as_sql, sql::params},
};

/// What may still be deleted, until when (seconds since 1970).
pub(in crate::store) const SCHEMA: &str = "
    CREATE TABLE removals (
        digest TEXT PRIMARY KEY,
        until  INTEGER NOT NULL
    ) STRICT;
";

/// How long a deletion without an answer may still be carried out: [`SOON`], fifteen minutes for which its signature is good,
/// a minute by which clocks may differ, and what it takes to carry it out.
const HORIZON: Duration = Duration::from_mins(20);
/// In what time after it was written down a deletion has to be sent. A machine that slept in between has no fence any more.
const SOON: Duration = Duration::from_mins(2);
/// How long what is over stays written down, for machines whose clock is late: others are not to forget it for them.
const KEPT: Duration = Duration::from_hours(24);

impl Store {
    /// Takes away contents of one group, in the turn of its lock: those that `choose` finds, which nobody needs. `settle` is told
    /// of those that are gone for good. While a bucket is asked, others change the database.
    ///
    /// # Errors
    /// [`Reason::Bucket`] where one of them may be gone or not: then the others are settled.
    pub(in crate::store) fn take_away(
        &self,
        choose: impl FnOnce(&Change<'_>) -> Result<Vec<Digest>>,
        settle: impl FnOnce(&Change<'_>, &[Digest]) -> Result<()>,
    ) -> Result<Vec<Stored>> {
        let bucket = match self.contents() {
            Contents::Bucket(bucket) => bucket,
            Contents::Folder(folder) => {
                return self.change(|change| {
                    let chosen = choose(change)?;
                    if chosen.is_empty() {
                        return Ok(Vec::new());
                    }
                    let removed = folder.remove(&chosen.iter().collect::<Vec<_>>())?;
                    // Not before they are gone for good: what a power cut brings back would lie there for ever.
                    settle(change, &chosen)?;
                    Ok(removed)
                });
            }
        };
        let chosen = self.change(|change| {
            let chosen = choose(change)?;
            change.fence(chosen)
        })?;
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let written = now();
        let all: Vec<&Digest> = chosen.iter().collect();
        let there = match bucket.look_at_all(&all) {
            Ok(there) => there,
            // Nothing was sent.
            Err(failure) => return self.change(|change| change.unfence(&chosen)).and(Err(failure)),
        };
        let (mut gone, mut removed, mut failed) = (Vec::new(), Vec::new(), None);
        let sent: Vec<&Digest> =
            chosen.iter().zip(&there).filter_map(|(digest, there)| there.map(|_| digest)).collect();
        if now() > written.saturating_add_unsigned(SOON.as_secs()) {
            return Err(Failure::new(
                Reason::Bucket,
                "deletions",
                "this machine slept before it could send them",
            )
            .hint("nothing is lost: a later collection comes back to them"));
        }
        let mut answers = bucket.delete_each(&sent)?.into_iter();
        for (digest, there) in chosen.iter().zip(there) {
            match there.map(|there| (there, answers.next())) {
                None => gone.push(digest.clone()),
                Some((there, Some(Ok(())))) => {
                    gone.push(digest.clone());
                    removed.push(there);
                }
                Some((_, answer)) => failed = answer.and_then(Result::err).or(failed),
            }
        }
        self.change(|change| {
            change.unfence(&gone)?;
            settle(change, &gone)
        })?;
        failed.map_or(Ok(removed), Err)
    }

    /// Takes one away that is known to be bad. Whether it was there.
    pub(in crate::store) fn take_away_bad(&self, digest: &Digest) -> Result<bool> {
        let removed = match self.contents() {
            Contents::Folder(folder) => folder.remove(&[digest]),
            Contents::Bucket(_) => self.take_away(|_| Ok(vec![digest.clone()]), |_, _| Ok(())),
        };
        Ok(!removed?.is_empty())
    }

    /// Fails for a content that the bucket may still delete. For who keeps it: from then on no further deletion is sent.
    pub(in crate::store) fn require_unfenced(&self, digest: &Digest) -> Result<()> {
        match self.contents() {
            Contents::Folder(_) => Ok(()),
            Contents::Bucket(_) => self.state(|state| state.require_unfenced(&[digest])),
        }
    }
}

impl State<'_> {
    /// Fails where the bucket may still delete one of these. To be asked before it is asked whether they are there.
    pub(in crate::store) fn require_unfenced(&self, digests: &[&Digest]) -> Result<()> {
        let standing: Vec<(String, i64)> = self.query(|database| {
            // Hardly ever more than a few.
            let sql = "SELECT digest, until FROM removals WHERE until > ?1";
            let rows =
                database.statement(sql).query_map(params![now()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        let found = digests.iter().find_map(|digest| {
            let text = digest.to_string();
            standing.iter().find(|(fenced, _)| *fenced == text).map(|(_, until)| (digest, *until))
        });
        let Some((digest, until)) = found else { return Ok(()) };
        let until = u64::try_from(until).ok().and_then(Timestamp::from_seconds);
        let until = until.map_or_else(|| "later".to_owned(), |until| until.to_string());
        let message = format!(
            "the bucket was told to delete it and has not answered: until {until} it may still do so"
        );
        Err(Failure::new(Reason::Bucket, digest, message)
            .hint("bring it again after that; look into the log of the object store why it did not answer"))
    }
}

impl Change<'_> {
    /// Writes down that these are about to be deleted; without those of which that is written already, for a second deletion
    /// that is answered says nothing of the first.
    fn fence(&self, chosen: Vec<Digest>) -> Result<Vec<Digest>> {
        let now = now();
        let until = now.saturating_add_unsigned(HORIZON.as_secs());
        self.query(|database| {
            let over = now.saturating_sub_unsigned(KEPT.as_secs());
            database.statement("DELETE FROM removals WHERE until <= ?1").execute(params![over])?;
            let mut fenced = Vec::new();
            for digest in chosen {
                let insert = "INSERT INTO removals (digest, until) VALUES (?1, ?2)
                     ON CONFLICT (digest) DO UPDATE SET until = excluded.until WHERE removals.until <= ?3";
                if database.statement(insert).execute(params![digest.to_string(), until, now])? > 0 {
                    fenced.push(digest);
                }
            }
            Ok(fenced)
        })
    }

    /// The bucket has answered.
    fn unfence(&self, digests: &[Digest]) -> Result<()> {
        self.query(|database| {
            digests.iter().try_for_each(|digest| {
                let delete = "DELETE FROM removals WHERE digest = ?1";
                database.statement(delete).execute(params![digest.to_string()]).map(drop)
            })
        })
    }
}

/// By the clock, and not by that of whoever collects: requests are told by it.
fn now() -> i64 {
    as_sql(Timestamp::now().seconds())
}

#[cfg(test)]
mod tests {
    use std::{
        fmt,
        path::Path,
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, Ordering},
        },
    };

    use futures_util::{
        StreamExt as _,
        future::BoxFuture,
        stream::{self, BoxStream},
    };
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
        ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory,
        path::Path as Key,
    };

    use super::*;
    use crate::{
        oci::Descriptor,
        store::{
            Inner,
            backend::Backend,
            change,
            contents::{Folder, bucket::Bucket},
            database, sql,
        },
    };

    type Answer<T> = object_store::Result<T>;

    /// A bucket that does not answer who deletes something, and does it later.
    #[derive(Debug, Default)]
    struct Late {
        there: InMemory,
        is_silent: AtomicBool,
        unanswered: Mutex<Vec<Key>>,
    }

    impl fmt::Display for Late {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("late")
        }
    }

    impl ObjectStore for Late {
        fn put_opts<'a: 'c, 'b: 'c, 'c>(
            &'a self,
            at: &'b Key,
            bytes: PutPayload,
            options: PutOptions,
        ) -> BoxFuture<'c, Answer<PutResult>> {
            self.there.put_opts(at, bytes, options)
        }

        fn put_multipart_opts<'a: 'c, 'b: 'c, 'c>(
            &'a self,
            at: &'b Key,
            options: PutMultipartOptions,
        ) -> BoxFuture<'c, Answer<Box<dyn MultipartUpload>>> {
            self.there.put_multipart_opts(at, options)
        }

        fn get_opts<'a: 'c, 'b: 'c, 'c>(
            &'a self,
            at: &'b Key,
            options: GetOptions,
        ) -> BoxFuture<'c, Answer<GetResult>> {
            self.there.get_opts(at, options)
        }

        fn delete_stream(&self, all: BoxStream<'static, Answer<Key>>) -> BoxStream<'static, Answer<Key>> {
            if !self.is_silent.load(Ordering::SeqCst) {
                return self.there.delete_stream(all);
            }
            let all: Vec<Answer<Key>> = futures_util::FutureExt::now_or_never(all.collect()).unwrap();
            self.unanswered.lock().unwrap().extend(all.into_iter().map(Result::unwrap));
            let error = object_store::Error::Generic { store: "late", source: "no answer".into() };
            stream::iter([Err(error)]).boxed()
        }

        fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Answer<ObjectMeta>> {
            self.there.list(prefix)
        }

        fn list_with_delimiter<'a: 'c, 'b: 'c, 'c>(
            &'a self,
            prefix: Option<&'b Key>,
        ) -> BoxFuture<'c, Answer<ListResult>> {
            self.there.list_with_delimiter(prefix)
        }

        fn copy_opts<'a: 'd, 'b: 'd, 'c: 'd, 'd>(
            &'a self,
            from: &'b Key,
            to: &'c Key,
            options: CopyOptions,
        ) -> BoxFuture<'d, Answer<()>> {
            self.there.copy_opts(from, to, options)
        }
    }

    /// A home whose contents lie there.
    fn store(home: &Path, late: &Arc<Late>) -> (Store, Arc<Bucket>) {
        drop(Store::open(home).unwrap());
        let place = "s3://bucket".to_owned();
        let bucket = Arc::new(Bucket::new(Arc::clone(late) as _, Key::from(""), place).unwrap());
        bucket.belong_to("one", true).unwrap();
        let inner = Inner {
            home: home.to_owned(),
            contents: Contents::Bucket(Arc::clone(&bucket)),
            backend: Backend::Sqlite,
            place: home.join(database::FILE),
            readers: Mutex::default(),
            desk: change::Desk::new(database::open(home).unwrap()),
            edges_known: AtomicBool::new(false),
            rules: Mutex::default(),
            describing: Mutex::default(),
        };
        // What stands for the lock on a group of contents, where rows lie in the home.
        Folder::of(home).open_group(&Digest::of(b"hello")).unwrap();
        (Store { inner: Arc::new(inner) }, bucket)
    }

    /// R34: a deletion that the bucket carries out when everybody has given it up takes nothing that was acknowledged.
    #[test]
    fn a_late_deletion_takes_no_later_push() {
        let dir = tempfile::tempdir().unwrap();
        let late = Arc::new(Late::default());
        let (store, bucket) = store(dir.path(), &late);
        let blob = Descriptor::of("x", b"hello");
        let due = || store.change(|change| change.look_at("", &blob.digest)).unwrap();
        let collect = || store.collect(Timestamp::now()).map(|done| done.removed);
        let reason = |done: Result<()>| done.map_err(|failure| failure.reason);
        let push = || reason(store.put(&blob, b"hello"));
        let add = || {
            let added = store.change(|change| change.add_blob("a", &blob.digest, Timestamp::now()));
            added.map_err(|failure| failure.reason)
        };
        push().unwrap();
        late.is_silent.store(true, Ordering::SeqCst);
        due();
        assert_eq!(collect().unwrap_err().reason, Reason::Bucket);
        // It is there, and may go at any moment.
        assert!(store.has(&blob).unwrap());
        assert_eq!((push(), add()), (Err(Reason::Bucket), Err(Reason::Bucket)));
        // A further one that is answered would not tell that the first is over.
        late.is_silent.store(false, Ordering::SeqCst);
        assert_eq!(collect().unwrap(), 0);
        assert_eq!(push(), Err(Reason::Bucket));
        for key in late.unanswered.lock().unwrap().drain(..) {
            let late = Arc::clone(&late);
            bucket.wait(async move { late.there.delete(&key).await }).unwrap().unwrap();
        }
        assert_eq!(push(), Err(Reason::Bucket));
        // Its time is over, and it is known what is there.
        let end = |database: &sql::Connection| database.execute("UPDATE removals SET until = 0", sql::NONE);
        store.change(|change| change.query(end)).unwrap();
        push().unwrap();
        assert_eq!(add(), Ok(true));
        assert!(store.has(&blob).unwrap());
    }

    #[test]
    fn what_is_answered_stands_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _bucket) = store(dir.path(), &Arc::default());
        let blob = Descriptor::of("x", b"hello");
        for _ in 0..2 {
            store.put(&blob, b"hello").unwrap();
            store.change(|change| change.look_at("", &blob.digest)).unwrap();
            assert_eq!(store.collect(Timestamp::now()).unwrap().removed, 1);
            assert!(!store.has(&blob).unwrap());
            assert_eq!(store.leases().unwrap(), 0);
        }
    }

    /// Whoever was killed in between may have sent it.
    #[test]
    fn what_was_about_to_be_deleted_counts_as_sent() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _bucket) = store(dir.path(), &Arc::default());
        let blob = Descriptor::of("x", b"hello");
        store.change(|change| change.fence(vec![blob.digest.clone()])).unwrap();
        assert_eq!(store.put(&blob, b"hello").unwrap_err().reason, Reason::Bucket);
    }
}
