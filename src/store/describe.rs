//! What people look for in images: platforms, labels, sizes. It stands in manifests and configs, and for the search of
//! the page in tables.
//!
//! Whatever publishes a manifest puts it on a list, and so did the step that made the tables for all that was there:
//! push, import and the home of an older version are one case. The list is worked off by [`Store::describe`], before
//! somebody looks and with every round of the collection, so that no push waits for it.

use std::{
    collections::BTreeMap,
    sync::TryLockError,
    time::{Duration, Instant},
};

use super::{
    Change, Store,
    metadata::{as_sql, descriptor_row},
    sql::{self, Connection, params},
};
use crate::{
    base::{
        failure::{Reason, Result},
        limits,
    },
    oci::{Config, Descriptor, Document},
};

/// Platforms of images, labels of images and artifacts, manifests that were not looked at yet; sizes of what manifests
/// list; and when and by whom each tag was moved last, so that nobody has to search its history for it.
pub(super) const SCHEMA: &str = "
    CREATE TABLE platforms (
        repository TEXT NOT NULL,
        digest     TEXT NOT NULL,
        platform   TEXT NOT NULL,
        PRIMARY KEY (repository, digest),
        FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE labels (
        repository TEXT NOT NULL,
        digest     TEXT NOT NULL,
        name       TEXT NOT NULL,
        value      TEXT NOT NULL,
        PRIMARY KEY (repository, digest, name),
        FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX labels_name ON labels (repository, name);
    CREATE TABLE undescribed (
        repository TEXT NOT NULL,
        digest     TEXT NOT NULL,
        PRIMARY KEY (repository, digest),
        FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    INSERT INTO undescribed SELECT repository, digest FROM manifests;
    ALTER TABLE blobs ADD COLUMN size INTEGER;
    ALTER TABLE tags ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tags ADD COLUMN mover TEXT NOT NULL DEFAULT '';
    UPDATE tags SET
        moved = coalesce((SELECT h.time FROM tag_history h WHERE h.repository = tags.repository AND h.tag = tags.tag
                          ORDER BY h.number DESC LIMIT 1), 0),
        mover = coalesce((SELECT h.who FROM tag_history h WHERE h.repository = tags.repository AND h.tag = tags.tag
                          ORDER BY h.number DESC LIMIT 1), '');
    CREATE INDEX tags_moved ON tags (repository, moved, tag);
    CREATE INDEX tags_digest ON tags (repository, digest);
";

/// Manifests that are looked at before what they say is written down.
const TOGETHER: usize = 50;

/// What one manifest says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Description {
    platform: Option<String>,
    labels: BTreeMap<String, String>,
    /// What it lists.
    blobs: Vec<Descriptor>,
}

impl Store {
    /// Looks at manifests that were not looked at yet, at most `limit`. How many are left, up to one more than the limit.
    pub fn describe(&self, limit: usize) -> Result<usize> {
        self.describe_within(limit, Duration::MAX)
    }

    /// The same, and looks at no further one once `patience` is over. One does the work at a time: whoever finds another at it
    /// waits for that, and does no more.
    pub fn describe_within(&self, limit: usize, patience: Duration) -> Result<usize> {
        let begun = Instant::now();
        let is_late = || begun.elapsed() >= patience;
        let turn = match self.inner.describing.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => {
                drop(self.inner.describing.lock());
                return self.undescribed(limit + 1);
            }
        };
        let mut left = limit;
        while left > 0 {
            let looked = self.describe_some(left.min(TOGETHER), is_late)?;
            left -= looked.min(left);
            if looked < TOGETHER || is_late() {
                break;
            }
        }
        drop(turn);
        self.undescribed(limit + 1)
    }

    /// How many manifests were not looked at yet, up to `most`.
    fn undescribed(&self, most: usize) -> Result<usize> {
        let left = "SELECT count(*) FROM (SELECT 1 FROM undescribed LIMIT ?1) AS due";
        let left = self.query(|database| {
            database.statement(left).query_row(params![as_sql(most)], |row| row.get::<i64>(0))
        });
        left.map(|left| usize::try_from(left).unwrap_or_default())
    }

    /// Looks at the next ones, at least at one, until there is no more time; how many that were.
    fn describe_some(&self, limit: usize, is_late: impl Fn() -> bool) -> Result<usize> {
        let due: Vec<(String, Descriptor)> = self.query(|database| {
            database
                .statement(
                    "SELECT m.media_type, m.digest, m.size, m.repository FROM undescribed u
                     JOIN manifests m ON m.repository = u.repository AND m.digest = u.digest LIMIT ?1",
                )
                .query_map(params![as_sql(limit)], |row| Ok((row.get(3)?, descriptor_row(row)?)))?
                .collect()
        })?;
        if due.is_empty() {
            return Ok(0);
        }
        let mut found = Vec::with_capacity(due.len());
        for (repository, manifest) in due {
            let description = match self.read_description(&repository, &manifest) {
                Ok(description) => description,
                // The disk has the last word: who is gone, or damaged, says nothing, and is not asked again. No manifest
                // keeps the others from being looked at.
                Err(failure) if is_of_one(failure.reason) => Description::default(),
                Err(failure) => return Err(failure),
            };
            found.push((repository, manifest, description));
            // Each may be slow to read; what was found is written down all the same.
            if is_late() {
                break;
            }
        }
        self.change(|change| {
            found.iter().try_for_each(|(repository, manifest, description)| {
                change.write_description(repository, manifest, description)
            })
        })?;
        Ok(found.len())
    }

    fn read_description(&self, repository: &str, manifest: &Descriptor) -> Result<Description> {
        let bytes = self.read_blob(manifest)?;
        // What a sandbox has need not be readable.
        let Ok(document) = Document::parse(&bytes, &manifest.media_type) else {
            return Ok(Description::default());
        };
        let mut description = Description::default();
        if let Document::Image(image) = &document {
            for listed in document.descriptors() {
                // What a manifest says of a size that nobody compared counts for nothing.
                if self.size_of(&listed.digest)? == Some(listed.size) {
                    description.blobs.push(listed.clone());
                }
            }
            if let Some(config) = self.read_config(repository, &image.config)? {
                description.platform = config.platform().map(|platform| platform.to_string());
                description.labels = config.labels();
            }
        }
        for (name, value) in document.annotations() {
            description.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        description.labels.retain(|name, value| is_searched(name, value));
        while description.labels.len() > limits::LABELS {
            description.labels.pop_last();
        }
        Ok(description)
    }

    /// The config of an image; `None` where there is none, it is none, or the repository has it not: whoever may push a
    /// manifest there need not be allowed to see what another one has (threats R11).
    pub fn read_config(&self, repository: &str, config: &Descriptor) -> Result<Option<Config>> {
        let is_small = config.size <= limits::OCI_MANIFEST_BYTES;
        if !Config::is_one(&config.media_type) || !is_small || !self.blob_in(repository, &config.digest)? {
            return Ok(None);
        }
        match self.read_blob(config) {
            Ok(bytes) => Ok(Config::parse(&bytes)),
            Err(failure) if is_of_one(failure.reason) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Whether this is about one content, and not about the disk or the bucket.
fn is_of_one(reason: Reason) -> bool {
    matches!(reason, Reason::BlobMissing | Reason::SizeMismatch | Reason::StoreDamaged)
}

/// Whether a label can be searched for: the databases hold no NUL, and no name of any length in an index.
fn is_searched(name: &str, value: &str) -> bool {
    !name.is_empty()
        && name.len() <= limits::LABEL_NAME_BYTES
        && value.len() <= limits::LABEL_BYTES
        && !name.contains('\0')
        && !value.contains('\0')
}

impl Change<'_> {
    /// Writes down what a manifest says, unless it is gone meanwhile, or another process has done so.
    fn write_description(&self, repository: &str, manifest: &Descriptor, found: &Description) -> Result<()> {
        let digest = manifest.digest.to_string();
        self.query(|database| {
            let done = "DELETE FROM undescribed WHERE repository = ?1 AND digest = ?2";
            if database.statement(done).execute(params![repository, digest])? == 0 {
                return Ok(());
            }
            for table in ["DELETE FROM platforms", "DELETE FROM labels"] {
                let sql = format!("{table} WHERE repository = ?1 AND digest = ?2");
                database.statement(&sql).execute(params![repository, digest])?;
            }
            if let Some(platform) = &found.platform {
                let insert = "INSERT INTO platforms (repository, digest, platform) VALUES (?1, ?2, ?3)";
                database.statement(insert).execute(params![repository, digest, platform])?;
            }
            for (name, value) in &found.labels {
                let insert = "INSERT INTO labels (repository, digest, name, value) VALUES (?1, ?2, ?3, ?4)";
                database.statement(insert).execute(params![repository, digest, name, value])?;
            }
            for blob in &found.blobs {
                let update = "UPDATE blobs SET size = ?3 WHERE repository = ?1 AND digest = ?2";
                let size = i64::try_from(blob.size).unwrap_or(i64::MAX);
                database.statement(update).execute(params![repository, blob.digest.to_string(), size])?;
            }
            Ok(())
        })
    }
}

/// A manifest is to be looked at.
pub(super) fn look_later(database: &Connection, repository: &str, digest: &str) -> sql::Result<()> {
    database
        .statement(
            "INSERT INTO undescribed (repository, digest) VALUES (?1, ?2)
             ON CONFLICT (repository, digest) DO NOTHING",
        )
        .execute(params![repository, digest])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        base::digest::Digest,
        oci::media_type,
        store::{Author, Publication, PublishedManifest},
    };

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("home")).unwrap();
        (folder, store)
    }

    fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::of(media_type, bytes);
        store.put(&blob, bytes).unwrap();
        blob
    }

    fn config(name: &str) -> Value {
        json!({ "os": "linux", "architecture": "arm64", "config": { "Labels": { "name": name } } })
    }

    /// Publishes an image with that config; the repository has it where that is so.
    fn image(store: &Store, repository: &str, config: &Descriptor, has: bool) -> Descriptor {
        let body = json!({ "schemaVersion": 2, "config": config, "layers": [], "annotations": { "of": repository } });
        let bytes = serde_json::to_vec(&body).unwrap();
        let root = put(store, media_type::MANIFEST, &bytes);
        let document = Document::parse(&bytes, media_type::MANIFEST).unwrap();
        let blobs = if has { vec![config.clone()] } else { vec![] };
        let manifests = vec![PublishedManifest::new(repository, root.clone(), &document, blobs, vec![])];
        store.publish(&Publication { manifests, tags: vec![] }, &Author::somebody()).unwrap();
        root
    }

    /// `name=value` of all labels of a repository, and its platforms.
    fn found(store: &Store, repository: &str) -> Vec<String> {
        let sql = "SELECT name || '=' || value FROM labels WHERE repository = ?1
                   UNION ALL SELECT platform FROM platforms WHERE repository = ?1 ORDER BY 1";
        store
            .query(|database| database.statement(sql).query_map([repository], |row| row.get(0))?.collect())
            .unwrap()
    }

    /// R11: who may push a manifest names in it whatever he likes.
    #[test]
    fn nothing_is_told_of_a_config_that_only_another_repository_has() {
        let (_folder, store) = store();
        let secret = put(&store, media_type::CONFIG, &serde_json::to_vec(&config("secret")).unwrap());
        image(&store, "b/own", &secret, true);
        image(&store, "a/thief", &secret, false);
        assert_eq!(store.describe(9).unwrap(), 0);
        assert_eq!(found(&store, "b/own"), ["linux/arm64", "name=secret", "of=b/own"]);
        assert_eq!(found(&store, "a/thief"), ["of=a/thief"]);
        assert!(store.read_config("a/thief", &secret).unwrap().is_none());
        assert!(store.read_config("b/own", &secret).unwrap().is_some());
    }

    /// Who finds another at it does not do the same once more, and nobody does more than there is time for.
    #[test]
    fn one_at_a_time_looks_and_only_for_so_long() {
        let (_folder, store) = store();
        let fine = put(&store, media_type::CONFIG, &serde_json::to_vec(&config("fine")).unwrap());
        let all = TOGETHER * 2 + 1;
        (0..all).for_each(|number| drop(image(&store, &format!("a/{number}"), &fine, true)));
        let turn = store.inner.describing.lock().unwrap();
        std::thread::scope(|scope| {
            let others = [(); 2].map(|()| scope.spawn(|| store.describe(9 * TOGETHER).unwrap()));
            std::thread::sleep(Duration::from_millis(200));
            assert!(others.iter().all(|other| !other.is_finished()));
            drop(turn);
            assert_eq!(others.map(|other| other.join().unwrap()), [all; 2]);
        });
        assert_eq!(store.describe_within(9 * TOGETHER, Duration::ZERO).unwrap(), 2 * TOGETHER);
        assert_eq!(store.describe(9 * TOGETHER).unwrap(), 0);
        assert_eq!(found(&store, "a/0").len(), 3);
    }

    #[test]
    fn one_that_cannot_be_read_keeps_no_other_from_being_described() {
        type Spoil = fn(&Store, &Digest);
        let gone: Spoil = |store, digest| std::fs::remove_file(store.place_of(digest)).unwrap();
        let cut: Spoil = |store, digest| {
            std::fs::OpenOptions::new().write(true).open(store.place_of(digest)).unwrap().set_len(1).unwrap();
        };
        let rotten: Spoil = |store, digest| {
            use std::os::unix::fs::FileExt as _;
            let file = std::fs::OpenOptions::new().write(true).open(store.place_of(digest)).unwrap();
            file.write_all_at(b"?", 0).unwrap();
        };
        let whole: Spoil = |_store, _digest| ();
        let good = serde_json::to_vec(&config("bad")).unwrap();
        let deep = "[".repeat(limits::JSON_DEPTH + 1).into_bytes();
        let labels = br#"{"os":"linux","architecture":"arm64","config":{"Labels":{"name":7}}}"#;
        for (what, config_bytes, manifest, spoil, left) in [
            ("its config is gone", &good[..], false, gone, &["of=a/bad"][..]),
            ("its config is cut", &good, false, cut, &["of=a/bad"]),
            ("its config is rotten", &good, false, rotten, &["of=a/bad"]),
            ("its config is no JSON", b"{", false, whole, &["of=a/bad"]),
            ("its config nests without end", &deep, false, whole, &["of=a/bad"]),
            ("its config is a list", b"[7]", false, whole, &["of=a/bad"]),
            ("its labels are numbers", labels, false, whole, &["of=a/bad"]),
            ("it is gone", &good, true, gone, &[]),
            ("it is cut", &good, true, cut, &[]),
            ("it is rotten", &good, true, rotten, &[]),
        ] {
            let (_folder, store) = store();
            let bad = put(&store, media_type::CONFIG, config_bytes);
            let root = image(&store, "a/bad", &bad, true);
            let fine = put(&store, media_type::CONFIG, &serde_json::to_vec(&config("fine")).unwrap());
            image(&store, "b/fine", &fine, true);
            spoil(&store, if manifest { &root.digest } else { &bad.digest });
            assert_eq!(store.describe(9).unwrap(), 0, "{what}");
            assert_eq!(found(&store, "b/fine"), ["linux/arm64", "name=fine", "of=b/fine"], "{what}");
            assert_eq!(found(&store, "a/bad"), left, "{what}");
        }
    }
}
