//! That contents are those of this home: rows of one home over the contents of another would be taken for a loss, and what
//! the other needs for what nobody does.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path as Key};

use super::{
    Contents,
    bucket::{Bucket, NO_BUCKET, code, describe, failure},
};
use crate::{
    base::{
        digest,
        failure::{Failure, Reason, Result},
    },
    store::{
        Change, State, Store,
        settings::wrong,
        sql::{self, OptionalExtension as _, params},
    },
};

/// The object that says whose contents these are.
pub(super) const MARK: &str = "sealift-home";
/// What it begins with; the home's name for it follows.
const MARK_TEXT: &str = "contents of a sealift home: ";

impl Store {
    /// Fails unless the place of the contents is the one where they were from the first on.
    ///
    /// # Errors
    /// [`Reason::Bucket`] where it is not, or cannot be asked; [`Reason::BadArgument`] where `store.toml` says no longer, or
    /// not on this machine, that contents lie in a bucket.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the methods alone are not general enough")]
    pub(in crate::store) fn require_own_contents(&self) -> Result<()> {
        if !self.is_shared() {
            return Ok(());
        }
        let known = self.state(|state| state.bucket())?;
        match self.contents() {
            Contents::Folder(_) if known.is_some() => Err(wrong(
                self.home(),
                "[contents] is missing: the contents of this home lie in a bucket, which other machines name there",
            )),
            Contents::Folder(_) => Ok(()),
            Contents::Bucket(bucket) => {
                let bucket = Arc::clone(bucket);
                let taken = known.map_or_else(|| self.change(|change| change.take_bucket(&bucket)), Ok)?;
                let (id, place) = taken;
                // Only where it was taken, and only until something is published, it may be without its mark.
                bucket.belong_to(&id, place == bucket.place && self.state(|state| state.has_nothing())?)
            }
        }
    }
}

impl State<'_> {
    /// What the home calls itself in its bucket, and where that was taken.
    pub(in crate::store) fn bucket(&self) -> Result<Option<(String, String)>> {
        self.query(|database| {
            let sql = "SELECT id, place FROM bucket";
            database.query_row(sql, sql::NONE, |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
    }

    /// Whether no repository has anything.
    fn has_nothing(&self) -> Result<bool> {
        self.query(|database| {
            let any = "SELECT 1 FROM manifests UNION ALL SELECT 1 FROM blobs";
            database.statement(any).exists(sql::NONE).map(|any| !any)
        })
    }
}

impl Change<'_> {
    /// Makes a bucket the one of this home, which must have nothing yet. What the home calls itself there, and where.
    fn take_bucket(&self, bucket: &Bucket) -> Result<(String, String)> {
        // Another machine may have been first.
        if let Some(taken) = self.bucket()? {
            return Ok(taken);
        }
        let refuse = |found: &str, hint: &str| {
            Err(Failure::new(Reason::Bucket, self.store.home().display(), found).hint(hint))
        };
        if !self.has_nothing()? {
            return refuse(
                "the home has contents in its folder, and store.toml names a bucket",
                "take [contents] out of store.toml: there is no way yet to move contents from one to the other",
            );
        }
        if bucket.mark()?.is_some() {
            return refuse(
                "the bucket holds the contents of another home",
                "give each home a `prefix` of its own; if it is this home that was there, restore its database",
            );
        }
        bucket.try_out()?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::new(Reason::InputOutput, "the system's randomness", error))?;
        let id = digest::hex(&random);
        let insert = "INSERT INTO bucket (one, id, place) VALUES (1, ?1, ?2)";
        self.query(|database| database.statement(insert).execute(params![id, bucket.place]))?;
        Ok((id, bucket.place.clone()))
    }
}

impl Bucket {
    /// Fails unless this is the bucket of the home.
    pub(super) fn require_mark(&self) -> Result<()> {
        self.is_ours(self.mark()?)
    }

    pub(super) fn is_ours(&self, mark: Option<String>) -> Result<()> {
        let found = match mark {
            // A look at a home that was never opened does not know what it calls itself.
            Some(mark) if self.id.get().is_none_or(|id| *id == mark) => return Ok(()),
            Some(_) => "it holds the contents of another home",
            None => "it does not hold the contents of this home",
        };
        Err(Failure::new(Reason::Bucket, &self.place, found).hint(
            "check endpoint, bucket and prefix in store.toml; nothing of what is published counts as lost until then",
        ))
    }

    /// What the home that the bucket belongs to calls itself.
    pub(super) fn mark(&self) -> Result<Option<String>> {
        let (store, key) = (Arc::clone(&self.store), self.named(MARK));
        self.wait(async move { read(store.as_ref(), &key).await })?
            .map_err(|error| failure(&self.place, &error))
    }

    /// From now on the bucket is the one of the home that calls itself so.
    pub(super) fn belong_to(&self, id: &str, is_new: bool) -> Result<()> {
        let _known_before = self.id.set(id.to_owned());
        let mark = self.mark()?;
        if mark.is_none() && is_new {
            let (store, key) = (Arc::clone(&self.store), self.named(MARK));
            let text = format!("{MARK_TEXT}{id}\n");
            let put = self.wait(async move { store.put(&key, text.into()).await })?;
            put.map_err(|error| failure(&self.place, &error))?;
            return self.require_mark();
        }
        self.is_ours(mark)
    }

    /// Fails unless the bucket keeps what is put there, and lets go of it.
    pub(super) fn try_out(&self) -> Result<()> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::new(Reason::InputOutput, "the system's randomness", error))?;
        let (name, store) = (format!("sealift-probe-{}", digest::hex(&random)), Arc::clone(&self.store));
        let key = self.named(&name);
        let tried = self.wait(async move {
            let there = async || read(store.as_ref(), &key).await;
            // Where names may not be listed, what is not there is refused as if it were secret.
            if there().await?.is_some() {
                return Ok("it has an object of a name that nobody can know");
            }
            store.put(&key, format!("{MARK_TEXT}{name}\n").into()).await?;
            let kept = there().await?;
            store.delete(&key).await?;
            Ok(match (kept, there().await?) {
                (Some(kept), None) if kept == name => "",
                (Some(kept), None) if kept != name => "it gives back other bytes than were put there",
                (None, _) => "what was put there is not there",
                (_, Some(_)) | (Some(_), None) => "what was deleted is still there",
            })
        })?;
        match tried.map_err(|error: object_store::Error| failure(&self.place, &error))? {
            "" => Ok(()),
            wrong => Err(Failure::new(Reason::Bucket, &self.place, wrong).hint(
                "use an object store that shows at once what was put and deleted (S3, Ceph, MinIO, Garage, SeaweedFS)",
            )),
        }
    }
}

/// The name that a mark holds; `None` where there is no mark.
pub(super) async fn read(store: &dyn ObjectStore, key: &Key) -> object_store::Result<Option<String>> {
    let found = match store.get(key).await {
        // Of a bucket that is not there, that is to be told.
        Err(error @ object_store::Error::NotFound { .. }) => {
            return if code(&describe(&error)) == Some(NO_BUCKET) { Err(error) } else { Ok(None) };
        }
        found => found?,
    };
    // What is longer is none of ours.
    let bytes = if found.meta.size > 1024 { Bytes::new() } else { found.bytes().await? };
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end().strip_prefix(MARK_TEXT).unwrap_or_default().to_owned()))
}
