//! How much repositories hold together, where a rule bounds it: a sum that is kept with every change, never counted for
//! a request.

use std::collections::HashMap;

use super::{
    Change,
    sql::{self, Connection, OptionalExtension as _, params},
};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        text,
    },
    rules::{Quota, Rules},
};

/// What the repositories of a quota hold, each content once; and its sum. A quota is known by its patterns.
pub(super) const SCHEMA: &str = "
    CREATE TABLE quotas (
        repositories TEXT PRIMARY KEY,
        bytes        INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE quota_contents (
        repositories TEXT NOT NULL,
        digest       TEXT NOT NULL,
        size         INTEGER NOT NULL,
        PRIMARY KEY (repositories, digest)
    ) STRICT;
";

impl Change<'_> {
    /// Counts contents that a repository is given in this change; what its quotas count already costs nothing.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`].
    pub(super) fn take_in<'a>(
        &self,
        repository: &str,
        contents: impl IntoIterator<Item = (&'a Digest, u64)>,
    ) -> Result<()> {
        let rules = self.held_rules()?;
        let mut quotas = rules.quotas_of(repository).peekable();
        if quotas.peek().is_none() {
            return Ok(());
        }
        let contents: Vec<(&Digest, u64)> = contents.into_iter().collect();
        for (number, quota) in quotas {
            let (more, sum) = self.query(|database| add(database, quota, contents.iter().copied()))?;
            if more > 0 && sum > quota.size {
                let [allowed, used, more] = [quota.size, sum.saturating_sub(more), more].map(text::bytes);
                let message =
                    format!("[[quota]] {number} allows {allowed}: {used} are used, {more} more were to come");
                return Err(Failure::new(Reason::QuotaExceeded, repository, message)
                    .hint("delete what is not needed there, or raise the quota: `sealift rules set FILE`"));
            }
        }
        Ok(())
    }

    /// No longer counts a content that a repository has lost in this change, unless another one of the quota has it.
    pub(super) fn let_go(&self, repository: &str, digest: &Digest) -> Result<()> {
        let rules = self.held_rules()?;
        for (_, quota) in rules.quotas_of(repository) {
            self.query(|database| {
                if holders(database, digest)?.iter().any(|holder| quota.covers(holder)) {
                    return Ok(());
                }
                let values = params![quota.key(), digest.to_string()];
                let size = "SELECT size FROM quota_contents WHERE repositories = ?1 AND digest = ?2";
                let size: Option<i64> =
                    database.statement(size).query_row(values.clone(), |row| row.get(0)).optional()?;
                let Some(size) = size else { return Ok(()) };
                let gone = "DELETE FROM quota_contents WHERE repositories = ?1 AND digest = ?2";
                database.statement(gone).execute(values)?;
                let less = "UPDATE quotas SET bytes = bytes - ?2 WHERE repositories = ?1";
                database.statement(less).execute(params![quota.key(), size]).map(drop)
            })?;
        }
        Ok(())
    }

    /// Counts anew, for other rules.
    pub(super) fn recount(&self, rules: &Rules) -> Result<()> {
        // What is missing now comes back in the size that it had.
        let known: HashMap<String, i64> = self.query(|database| {
            database
                .statement("SELECT digest, size FROM quota_contents")
                .query_map(sql::NONE, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        self.query(|database| database.execute_batch("DELETE FROM quota_contents; DELETE FROM quotas"))?;
        if rules.quotas().is_empty() {
            return Ok(());
        }
        let rows: Vec<(String, String)> = self.query(|database| {
            let rows = database.statement(
                "SELECT repository, digest FROM blobs UNION SELECT repository, digest FROM manifests ORDER BY 1, 2",
            );
            rows.query_map(sql::NONE, |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })?;
        for (repository, digest) in rows {
            let mut quotas = rules.quotas_of(&repository).peekable();
            if quotas.peek().is_none() {
                continue;
            }
            let known = known.get(&digest).map(|size| size.cast_unsigned());
            let digest = Digest::parse(&digest).map_err(Failure::internal)?;
            let size = self.size_of(&digest)?.or(known).unwrap_or_default();
            for (_, quota) in quotas {
                self.query(|database| add(database, quota, [(&digest, size)]))?;
            }
        }
        Ok(())
    }
}

/// Counts what is not counted yet: how much that is, and the sum.
fn add<'a>(
    database: &Connection,
    quota: &Quota,
    contents: impl IntoIterator<Item = (&'a Digest, u64)>,
) -> sql::Result<(u64, u64)> {
    let (key, mut more) = (quota.key(), 0_i64);
    for (digest, size) in contents {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let new = database
            .statement(
                "INSERT INTO quota_contents (repositories, digest, size) VALUES (?1, ?2, ?3)
                 ON CONFLICT (repositories, digest) DO NOTHING",
            )
            .execute(params![key, digest.to_string(), size])?;
        if new > 0 {
            more = more.saturating_add(size);
        }
    }
    database
        .statement(
            "INSERT INTO quotas (repositories, bytes) VALUES (?1, ?2)
             ON CONFLICT (repositories) DO UPDATE SET bytes = quotas.bytes + excluded.bytes",
        )
        .execute(params![key, more])?;
    let sum = "SELECT bytes FROM quotas WHERE repositories = ?1";
    let sum: i64 = database.statement(sum).query_row([key], |row| row.get(0))?;
    Ok((more.cast_unsigned(), u64::try_from(sum).unwrap_or_default()))
}

/// Repositories that have a content.
fn holders(database: &Connection, digest: &Digest) -> sql::Result<Vec<String>> {
    database
        .statement(
            "SELECT repository FROM blobs WHERE digest = ?1 UNION ALL SELECT repository FROM manifests WHERE digest = ?1",
        )
        .query_map([digest.to_string()], |row| row.get(0))?
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        oci::{Descriptor, media_type},
        store::{Publication, PublishedManifest, Store},
    };

    struct Scene {
        _dir: tempfile::TempDir,
        store: Store,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("home")).unwrap();
            Self { _dir: dir, store }
        }

        fn set(&self, size: &str) {
            let text = format!(
                "schema = 1\n[[quota]]\nrepositories = ['apps/**']\nsize = '{size}'\n[[quota]]\nrepositories = ['**']\nsize = '1 GiB'\n"
            );
            let rules = Rules::parse(&text, Path::new("r")).unwrap();
            self.store.change(|change| change.set_rules(&rules)).unwrap();
        }

        fn used(&self) -> [i64; 2] {
            let of = |key: &str| {
                let sum = "SELECT bytes FROM quotas WHERE repositories = ?1";
                self.store
                    .query(|database| database.query_row(sum, [key], |row| row.get(0)).optional())
                    .unwrap()
            };
            ["apps/**", "**"].map(|key| of(key).unwrap_or(0))
        }

        fn blob(&self, repository: &str, bytes: &[u8]) -> Result<Digest> {
            let blob = Descriptor::of("x", bytes);
            self.store.put(&blob, bytes).unwrap();
            self.store.change(|change| {
                change.add_blob(repository, &blob.digest, crate::base::clock::Timestamp::now())
            })?;
            Ok(blob.digest)
        }

        fn image(&self, repository: &str, text: &[u8], blobs: &[&[u8]]) -> Result<Digest> {
            let put = |bytes: &[u8]| {
                let blob = Descriptor::of(media_type::MANIFEST, bytes);
                self.store.put(&blob, bytes).unwrap();
                blob
            };
            let root = put(text);
            let digest = root.digest.clone();
            let manifest = PublishedManifest {
                repository: repository.to_owned(),
                root,
                subject: None,
                artifact_type: None,
                annotations: std::collections::BTreeMap::new(),
                blobs: blobs.iter().map(|bytes| put(bytes)).collect(),
                children: vec![],
                absent: vec![],
            };
            self.store.publish(
                &Publication { manifests: vec![manifest], tags: vec![] },
                &crate::store::Author::somebody(),
            )?;
            Ok(digest)
        }
    }

    #[test]
    fn every_content_counts_once_and_only_as_long_as_it_is_there() {
        let scene = Scene::new();
        scene.blob("apps/a", b"12345").unwrap();
        scene.set("1 KiB");
        assert_eq!(scene.used(), [5, 5], "what was there before");
        let digest = scene.blob("apps/b", b"12345").unwrap();
        scene.blob("other", b"12345").unwrap();
        scene.blob("other", b"123").unwrap();
        assert_eq!(scene.used(), [5, 8]);
        let image = scene.image("apps/a", b"manifest", &[b"12345", b"67"]).unwrap();
        scene.image("apps/b", b"manifest", &[]).unwrap();
        assert_eq!(scene.used(), [15, 18]);
        let delete = |repository: &str, manifest: bool, digest: &Digest| {
            let delete = |change: &Change<'_>| {
                if manifest {
                    change.delete_manifest(repository, digest, &crate::store::Author::somebody())
                } else {
                    change.delete_blob(repository, digest)
                }
            };
            scene.store.change(delete).unwrap();
            scene.used()
        };
        assert_eq!(delete("apps/b", true, &image), [15, 18], "another repository has it");
        assert_eq!(delete("apps/a", true, &image), [7, 10]);
        assert_eq!(delete("apps/a", false, &digest), [7, 10]);
        assert_eq!(delete("apps/b", false, &digest), [2, 10], "outside of the one quota, there is one more");
        assert_eq!(delete("other", false, &digest), [2, 5]);
        // Counted anew, it is the same.
        scene.set("2 KiB");
        assert_eq!(scene.used(), [2, 5]);
        // Under the same quotas there is nothing to count.
        let edit = "UPDATE quotas SET bytes = 9";
        let edited = |change: &Change<'_>| change.query(|database| database.execute(edit, sql::NONE));
        scene.store.change(edited).unwrap();
        scene.set("2 KiB");
        assert_eq!(scene.used(), [9, 9]);
        scene.set("1 KiB");
        assert_eq!(scene.used(), [2, 5]);
    }

    #[test]
    fn what_goes_beyond_a_quota_is_not_taken_and_leaves_no_trace() {
        let scene = Scene::new();
        scene.set("10");
        scene.blob("apps/a", b"123456").unwrap();
        let refused = scene.blob("apps/b", b"abcde").unwrap_err();
        assert_eq!((refused.reason, refused.object.as_str()), (Reason::QuotaExceeded, "apps/b"));
        assert!(refused.message.contains("[[quota]] 1 allows 10 B: 6 B are used, 5 B more"), "{refused}");
        assert_eq!(scene.image("apps/b", b"abc", &[b"de"]).unwrap_err().reason, Reason::QuotaExceeded);
        assert_eq!(scene.used(), [6, 6]);
        scene.blob("apps/b", b"abcd").unwrap();
        // What is counted already may come again, though nothing more fits.
        scene.blob("apps/c", b"123456").unwrap();
        scene.blob("elsewhere", b"abcde").unwrap();
        assert_eq!(scene.used(), [10, 15]);
    }
}
