//! Tags: what each leads to, what it led to before, and who moved it.

use super::{
    Change, PublishedTag, Store,
    metadata::as_sql,
    pushes::Deletion,
    sql::{self, Connection, OptionalExtension as _, params},
};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Reason, Result},
    limits,
};

/// Every move of every tag; one that was taken away led nowhere from then on. Of tags of before, it is known where they
/// lead and not since when.
pub(super) const SCHEMA: &str = "
    CREATE TABLE tag_history (
        repository TEXT NOT NULL,
        tag        TEXT NOT NULL,
        number     INTEGER NOT NULL,
        digest     TEXT,
        time       INTEGER NOT NULL,
        who        TEXT NOT NULL,
        PRIMARY KEY (repository, tag, number)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO tag_history SELECT repository, tag, 1, digest, 0, '' FROM tags;
";

/// Who changes what is published, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// An account of the registry, `anyone`, `import` with the bundle, or a command of this machine.
    pub who: String,
    /// By the clock of the site.
    pub time: Timestamp,
}

#[cfg(test)]
impl Author {
    /// Somebody, now.
    pub(crate) fn somebody() -> Self {
        Self { who: "somebody".to_owned(), time: Timestamp::now() }
    }
}

/// One move of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagMove {
    /// Where to; `None` where the tag was taken away.
    pub digest: Option<Digest>,
    /// When; `None` for one of before that was written down.
    pub time: Option<Timestamp>,
    /// Who did it; empty for one of before that was written down.
    pub who: String,
    /// Whether the repository still has the manifest, so that the tag can go back to it.
    pub present: bool,
}

impl Change<'_> {
    /// A tag leads there from now on.
    pub(super) fn set_tag(&self, tag: &PublishedTag, author: &Author) -> Result<()> {
        let PublishedTag { repository, tag, digest } = tag;
        if self.query(|database| current(database, repository, tag))?.as_deref() == Some(&digest.to_string())
        {
            return Ok(());
        }
        self.query(|database| {
            database
                .statement(
                    "INSERT INTO tags (repository, tag, digest, moved, mover) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (repository, tag) DO UPDATE
                     SET digest = excluded.digest, moved = excluded.moved, mover = excluded.mover",
                )
                .execute(params![repository, tag, digest.to_string(), as_sql_time(author), author.who])?;
            remember(database, (repository, tag), Some(digest), author)
        })
    }

    /// Takes a tag away; its manifest stays.
    pub fn delete_tag(&self, repository: &str, tag: &str, author: &Author) -> Result<Deletion> {
        self.may_drop_tag(repository, tag)?;
        let deleted = self.query(|database| {
            database
                .statement("DELETE FROM tags WHERE repository = ?1 AND tag = ?2")
                .execute(params![repository, tag])
        })?;
        if deleted == 0 {
            return Ok(Deletion::Unknown);
        }
        self.query(|database| remember(database, (repository, tag), None, author))?;
        Ok(Deletion::Done)
    }

    /// The tags that lead to a manifest.
    pub fn tags_of(&self, repository: &str, manifest: &Digest) -> Result<Vec<String>> {
        self.query(|database| {
            database
                .statement("SELECT tag FROM tags WHERE repository = ?1 AND digest = ?2 ORDER BY tag")
                .query_map(params![repository, manifest.to_string()], |row| row.get(0))?
                .collect()
        })
    }

    /// Leads a tag back: to `wanted`, or to where it led before it led to where it does. Gives the two digests, the one that it
    /// had (`None` where it was taken away) and the one that it has now.
    ///
    /// # Errors
    /// [`Reason::TagUnknown`] where nobody ever set the tag, or it never led anywhere else; [`Reason::BlobMissing`]
    /// where the repository has the manifest no longer.
    pub fn restore_tag(
        &self,
        repository: &str,
        tag: &str,
        wanted: Option<&Digest>,
        author: &Author,
    ) -> Result<(Option<Digest>, Digest)> {
        let name = format!("{repository}:{tag}");
        let moves = self.query(|database| history(database, repository, tag, limits::TAG_MOVES))?;
        let Some(last) = moves.first() else {
            return Err(Failure::new(Reason::TagUnknown, name, "nobody ever set this tag here")
                .hint("see what there is: `sealift tag list REPOSITORY`"));
        };
        let earlier = || {
            moves.iter().filter_map(|one| one.digest.as_ref()).find(|one| Some(*one) != last.digest.as_ref())
        };
        let Some(digest) = wanted.or_else(earlier) else {
            return Err(Failure::new(Reason::TagUnknown, name, "it never led anywhere else"));
        };
        if !self.has_manifest(repository, digest)? {
            let message = format!("the repository does not have {digest} any more");
            return Err(Failure::new(Reason::BlobMissing, name, message)
                .hint("choose another of `sealift tag history`, or import or push it again"));
        }
        let back =
            PublishedTag { repository: repository.to_owned(), tag: tag.to_owned(), digest: digest.clone() };
        self.may_move_tags(std::slice::from_ref(&back))?;
        self.set_tag(&back, author)?;
        Ok((last.digest.clone(), digest.clone()))
    }
}

impl Store {
    /// Tags of a repository in byte order, after `last`, at most `limit`; `None` for an unknown repository.
    pub fn tags(&self, repository: &str, last: Option<&str>, limit: usize) -> Result<Option<Vec<String>>> {
        self.query(|database| {
            let known = database
                .statement("SELECT 1 FROM manifests WHERE repository = ?1 LIMIT 1")
                .exists([repository])?;
            if !known {
                return Ok(None);
            }
            database
                .statement("SELECT tag FROM tags WHERE repository = ?1 AND tag > ?2 ORDER BY tag LIMIT ?3")
                .query_map(params![repository, last.unwrap_or(""), as_sql(limit)], |row| row.get(0))?
                .collect::<sql::Result<Vec<String>>>()
                .map(Some)
        })
    }

    /// The moves of a tag, the last one first, at most `limit`; empty for one that nobody ever set.
    pub fn tag_history(&self, repository: &str, tag: &str, limit: usize) -> Result<Vec<TagMove>> {
        self.query(|database| history(database, repository, tag, limit))
    }
}

fn current(database: &Connection, repository: &str, tag: &str) -> sql::Result<Option<String>> {
    database
        .statement("SELECT digest FROM tags WHERE repository = ?1 AND tag = ?2")
        .query_row(params![repository, tag], |row| row.get(0))
        .optional()
}

fn as_sql_time(author: &Author) -> i64 {
    author.time.seconds().cast_signed()
}

/// Writes a move down. Of a tag that moves all the time, the oldest are forgotten.
fn remember(
    database: &Connection,
    (repository, tag): (&str, &str),
    digest: Option<&Digest>,
    author: &Author,
) -> sql::Result<()> {
    let last: Option<i64> = database
        .statement("SELECT max(number) FROM tag_history WHERE repository = ?1 AND tag = ?2")
        .query_row(params![repository, tag], |row| row.get(0))?;
    let number = last.unwrap_or_default() + 1;
    database
        .statement(
            "INSERT INTO tag_history (repository, tag, number, digest, time, who) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .execute(params![
            repository,
            tag,
            number,
            digest.map(ToString::to_string),
            as_sql_time(author),
            author.who
        ])?;
    database
        .statement("DELETE FROM tag_history WHERE repository = ?1 AND tag = ?2 AND number <= ?3")
        .execute(params![repository, tag, number - as_sql(limits::TAG_MOVES)])
        .map(drop)
}

pub(super) fn history(
    database: &Connection,
    repository: &str,
    tag: &str,
    limit: usize,
) -> sql::Result<Vec<TagMove>> {
    database
        .statement(
            "SELECT h.digest, h.time, h.who, m.digest IS NOT NULL FROM tag_history h
             LEFT JOIN manifests m ON m.repository = h.repository AND m.digest = h.digest
             WHERE h.repository = ?1 AND h.tag = ?2 ORDER BY h.number DESC LIMIT ?3",
        )
        .query_map(params![repository, tag, as_sql(limit)], |row| {
            let digest: Option<String> = row.get(0)?;
            let time: i64 = row.get(1)?;
            Ok(TagMove {
                digest: digest.and_then(|digest| Digest::parse(&digest).ok()),
                time: u64::try_from(time).ok().filter(|&time| time > 0).and_then(Timestamp::from_seconds),
                who: row.get(2)?,
                present: row.get(3)?,
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oci::{Descriptor, Document, media_type},
        store::{Publication, PublishedManifest, Target},
    };

    const REPOSITORY: &str = "apps/shop";

    struct Scene {
        _dir: tempfile::TempDir,
        store: Store,
        time: u64,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("home")).unwrap();
            Self { _dir: dir, store, time: 1_800_000_000 }
        }

        fn author(&mut self, who: &str) -> Author {
            self.time += 60;
            Author { who: who.to_owned(), time: Timestamp::from_seconds(self.time).unwrap() }
        }

        /// Publishes an index that says `words`, under a tag.
        fn publish(&mut self, tag: &str, words: &str) -> Digest {
            let index =
                serde_json::json!({ "schemaVersion": 2, "manifests": [], "annotations": { "is": words } });
            let bytes = serde_json::to_vec(&index).unwrap();
            let root = Descriptor::of(media_type::INDEX, &bytes);
            self.store.put(&root, &bytes).unwrap();
            let document = Document::parse(&bytes, media_type::INDEX).unwrap();
            let manifest = PublishedManifest::new(REPOSITORY, root.clone(), &document, vec![], vec![]);
            let digest = root.digest;
            let tag = PublishedTag { repository: REPOSITORY.into(), tag: tag.into(), digest: digest.clone() };
            let author = self.author(words);
            self.store.publish(&Publication { manifests: vec![manifest], tags: vec![tag] }, &author).unwrap();
            digest
        }

        fn leads_to(&self, tag: &str) -> Option<Digest> {
            self.store.manifest(REPOSITORY, &Target::Tag(tag.into())).unwrap().map(|found| found.digest)
        }

        fn restore(&mut self, tag: &str, to: Option<&Digest>) -> Result<(Option<Digest>, Digest)> {
            let author = self.author("restore");
            self.store.change(|change| change.restore_tag(REPOSITORY, tag, to, &author))
        }

        fn who(&self, tag: &str) -> Vec<String> {
            let moves = self.store.tag_history(REPOSITORY, tag, 99).unwrap();
            assert!(moves.is_sorted_by_key(|one| std::cmp::Reverse(one.time)));
            moves.into_iter().map(|one| one.who).collect()
        }
    }

    #[test]
    fn every_move_is_remembered_and_can_be_undone() {
        let mut scene = Scene::new();
        let (one, two) = (scene.publish("latest", "one"), scene.publish("latest", "two"));
        scene.publish("latest", "two");
        assert_eq!(scene.who("latest"), ["two", "one"], "the same again is no move");
        assert_eq!(scene.restore("latest", None).unwrap(), (Some(two.clone()), one.clone()));
        assert_eq!(scene.leads_to("latest"), Some(one.clone()));
        // Once more is the other way round, for that is where it led before.
        assert_eq!(scene.restore("latest", None).unwrap(), (Some(one.clone()), two.clone()));
        assert_eq!(scene.restore("latest", Some(&one)).unwrap().1, one);
        let author = scene.author("kim");
        let deleted = scene.store.change(|change| change.delete_tag(REPOSITORY, "latest", &author));
        assert_eq!((deleted.unwrap(), scene.leads_to("latest")), (Deletion::Done, None));
        assert_eq!(scene.restore("latest", None).unwrap(), (None, one.clone()));
        assert_eq!(scene.leads_to("latest"), Some(one));
        assert_eq!(scene.who("latest").len(), 7);
    }

    #[test]
    fn what_is_gone_cannot_be_restored() {
        let mut scene = Scene::new();
        let one = scene.publish("latest", "one");
        let reason = |restored: Result<_>| restored.map(drop).unwrap_err().reason;
        assert_eq!(reason(scene.restore("latest", None)), Reason::TagUnknown);
        assert_eq!(reason(scene.restore("other", None)), Reason::TagUnknown);
        let author = scene.author("kim");
        let deleted = scene.store.change(|change| change.delete_manifest(REPOSITORY, &one, &author));
        assert_eq!(deleted.unwrap(), Deletion::Done);
        let moves = scene.store.tag_history(REPOSITORY, "latest", 9).unwrap();
        let seen: Vec<_> =
            moves.iter().map(|one| (one.digest.is_some(), one.who.as_str(), one.present)).collect();
        assert_eq!(seen, [(false, "kim", false), (true, "one", false)]);
        assert_eq!(reason(scene.restore("latest", None)), Reason::BlobMissing);
        assert_eq!(scene.leads_to("latest"), None);
    }

    #[test]
    fn a_tag_that_moves_all_the_time_forgets_its_oldest_moves() {
        let mut scene = Scene::new();
        let (one, two) = (scene.publish("latest", "one"), scene.publish("latest", "two"));
        let author = scene.author("ci");
        scene
            .store
            .change(|change| {
                for digest in [&one, &two].into_iter().cycle().take(limits::TAG_MOVES + 10) {
                    change.restore_tag(REPOSITORY, "latest", Some(digest), &author)?;
                }
                Ok(())
            })
            .unwrap();
        let moves = scene.store.tag_history(REPOSITORY, "latest", usize::MAX).unwrap();
        assert_eq!(moves.len(), limits::TAG_MOVES);
        assert_eq!(moves.last().unwrap().who, "ci");
    }
}
