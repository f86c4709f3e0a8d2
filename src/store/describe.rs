//! What people look for in images: platforms, labels, sizes. It stands in manifests and configs, and for the search of
//! the page in tables.
//!
//! Whatever publishes a manifest puts it on a list, and so did the step that made the tables for all that was there:
//! push, import and the home of an older version are one case. The list is worked off by [`Store::describe`], before
//! somebody looks and with every round of the collection, so that no push waits for it.

use std::collections::BTreeMap;

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
        }
        self.change(|change| {
            found.iter().try_for_each(|(repository, manifest, description)| {
                change.write_description(repository, manifest, description)
            })
        })?;
        self.query(|database| {
            let left = "SELECT count(*) FROM (SELECT 1 FROM undescribed LIMIT ?1) AS due";
            database.statement(left).query_row(params![as_sql(limit + 1)], |row| row.get::<i64>(0))
        })
        .map(|left| usize::try_from(left).unwrap_or_default())
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
