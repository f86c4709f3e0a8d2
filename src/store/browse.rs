//! What people look through: repositories and tags, page by page, those that they ask for.
//!
//! Every page costs what it shows, however many repositories there are: names are stepped through by the index, one step
//! a name, and sums are made for what is shown. What `describe.rs` did not look at yet is not found by what it says.

use super::{
    Store,
    metadata::as_sql,
    sql::{self, Connection, Row, params},
};
use crate::base::{clock::Timestamp, digest::Digest, failure::Result};

/// What is asked for; nothing asked for is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Part of a name.
    pub name: Option<String>,
    /// Parts of a platform that follow each other: `linux/arm64`, `arm64`, `windows`.
    pub platform: Option<String>,
    /// A label or annotation, with its value where that matters.
    pub label: Option<(String, Option<String>)>,
    /// Moved then or later.
    pub since: Option<Timestamp>,
    /// Not moved then or later.
    pub until: Option<Timestamp>,
}

/// A repository in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many tags it has.
    pub tags: u64,
    /// How many manifests.
    pub manifests: u64,
    /// Bytes of all that it has, each content once.
    pub bytes: u64,
    /// When a tag was moved last; `None` without tags, or where that was not written down.
    pub moved: Option<Timestamp>,
    /// Its platforms, at most so many that a line can hold them.
    pub platforms: Vec<String>,
}

/// A tag in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// The tag.
    pub tag: String,
    /// What it leads to.
    pub digest: Digest,
    /// The type of that.
    pub media_type: String,
    /// And of the artifact.
    pub artifact_type: Option<String>,
    /// When it was led there; `None` where that was not written down.
    pub moved: Option<Timestamp>,
    /// By whom; empty where that was not written down.
    pub mover: String,
    /// Bytes of that manifest and everything that it leads to.
    pub bytes: u64,
    /// The platforms of that.
    pub platforms: Vec<String>,
}

/// The last tag of a page of tags, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// When it was moved.
    pub moved: u64,
    /// Its name.
    pub tag: String,
}

/// Platforms of a repository that are shown in a list.
const PLATFORMS: usize = 12;

/// The next name is looked up, never searched: however many manifests a repository has, it is one step.
const NAMES: &str = "
    WITH RECURSIVE names (repository) AS (
        SELECT min(repository) FROM manifests WHERE repository >= ?1 AND repository < ?2 AND repository > ?3
        UNION ALL
        SELECT (SELECT min(m.repository) FROM manifests m WHERE m.repository > names.repository AND m.repository < ?2)
        FROM names WHERE names.repository IS NOT NULL
    )
    SELECT repository FROM names r WHERE r.repository IS NOT NULL
      AND (CAST(?4 AS TEXT) IS NULL OR r.repository LIKE ?4 ESCAPE '\\')
      AND (CAST(?5 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM platforms p
           WHERE p.repository = r.repository AND '/' || p.platform || '/' LIKE ?5 ESCAPE '\\'))
      AND (CAST(?6 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM labels l
           WHERE l.repository = r.repository AND l.name = ?6 AND (CAST(?7 AS TEXT) IS NULL OR l.value = ?7)))
      AND (CAST(?8 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM tags t
           WHERE t.repository = r.repository AND t.moved >= CAST(?8 AS BIGINT)))
      AND (CAST(?9 AS TEXT) IS NULL OR NOT EXISTS (SELECT 1 FROM tags t
           WHERE t.repository = r.repository AND t.moved >= CAST(?9 AS BIGINT)))
    LIMIT ?10";

/// Everything that a manifest leads to, itself included.
const REACH: &str = "
    WITH RECURSIVE reach (digest) AS (
        SELECT digest FROM manifests WHERE repository = ?1 AND digest = ?2
        UNION
        SELECT e.child FROM edges e JOIN reach ON e.parent = reach.digest WHERE e.repository = ?1
    )";

const TAGS: &str = "
    SELECT t.tag, t.digest, m.media_type, m.artifact_type, t.moved, t.mover FROM tags t
    JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
    WHERE t.repository = ?1 AND t.moved <= ?3 AND (t.moved < ?3 OR t.tag < ?2)
      AND (CAST(?4 AS TEXT) IS NULL OR lower(t.tag) LIKE ?4 ESCAPE '\\')
      AND (CAST(?5 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM platforms p WHERE p.repository = t.repository
           AND '/' || p.platform || '/' LIKE ?5 ESCAPE '\\'
           AND (p.digest = t.digest OR EXISTS (SELECT 1 FROM edges e
                WHERE e.repository = t.repository AND e.parent = t.digest AND e.child = p.digest))))
      AND (CAST(?6 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM labels l WHERE l.repository = t.repository
           AND l.name = ?6 AND (CAST(?7 AS TEXT) IS NULL OR l.value = ?7)
           AND (l.digest = t.digest OR EXISTS (SELECT 1 FROM edges e
                WHERE e.repository = t.repository AND e.parent = t.digest AND e.child = l.digest))))
      AND t.moved >= ?8 AND t.moved < ?9
      AND (CAST(?4 AS TEXT) IS NOT NULL OR length(t.tag) < 71 OR NOT (t.tag LIKE 'sha256-%' OR t.tag LIKE 'sha512-%'))
    ORDER BY t.moved DESC, t.tag DESC LIMIT ?10";

impl Store {
    /// Repositories in byte order, after `last`, of those from one name on up to another that are `wanted`; at most
    /// `limit`.
    pub fn browse(
        &self,
        wanted: &Wanted,
        last: Option<&str>,
        within: (&str, &str),
        limit: usize,
    ) -> Result<Vec<String>> {
        let [name, platform, label, value] = wanted.words();
        let seconds = |time: Option<Timestamp>| time.map(|time| time.seconds().to_string());
        let asked = params![
            within.0,
            within.1,
            last.unwrap_or_default(),
            name,
            platform,
            label,
            value,
            seconds(wanted.since),
            seconds(wanted.until),
            as_sql(limit)
        ];
        self.query(|database| database.statement(NAMES).query_map(asked, |row| row.get(0))?.collect())
    }

    /// What a repository has.
    pub fn summary(&self, repository: &str) -> Result<Summary> {
        self.query(|database| {
            let one = |sql: &str| database.statement(sql).query_row([repository], |row| row.get::<Option<i64>>(0));
            let count = |sql: &str| one(sql).map(|found| found.unwrap_or_default().cast_unsigned());
            let blobs = "SELECT CAST(sum(size) AS BIGINT) FROM blobs WHERE repository = ?1";
            let manifests = "SELECT CAST(sum(size) AS BIGINT) FROM manifests WHERE repository = ?1";
            Ok(Summary {
                tags: count("SELECT count(*) FROM tags WHERE repository = ?1")?,
                manifests: count("SELECT count(*) FROM manifests WHERE repository = ?1")?,
                bytes: count(blobs)?.saturating_add(count(manifests)?),
                moved: time(one("SELECT max(moved) FROM tags WHERE repository = ?1")?),
                platforms: database
                    .statement("SELECT DISTINCT platform FROM platforms WHERE repository = ?1 ORDER BY platform LIMIT ?2")
                    .query_map(params![repository, as_sql(PLATFORMS)], |row| row.get(0))?
                    .collect::<sql::Result<_>>()?,
            })
        })
    }

    /// Tags of a repository that are `wanted`, the one first that was moved last, after `after`; at most `limit`. Those
    /// that signatures and the like are kept at would stand beside every other: only a part of their name finds them.
    pub fn browse_tags(
        &self,
        repository: &str,
        wanted: &Wanted,
        after: Option<&After>,
        limit: usize,
    ) -> Result<Vec<TagRow>> {
        let [name, platform, label, value] = wanted.words();
        let seconds = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        let asked = params![
            repository,
            after.map_or("", |after| &after.tag),
            after.map_or(i64::MAX, |after| seconds(after.moved)),
            name,
            platform,
            label,
            value,
            wanted.since.map_or(0, |time| seconds(time.seconds())),
            wanted.until.map_or(i64::MAX, |time| seconds(time.seconds())),
            as_sql(limit)
        ];
        self.query(|database| {
            let mut rows =
                database.statement(TAGS).query_map(asked, tag_row)?.collect::<sql::Result<Vec<_>>>()?;
            for row in &mut rows {
                let leads = params![repository, row.digest.to_string()];
                row.bytes = reached_bytes(database, leads.clone())?;
                row.platforms = reached_platforms(database, leads)?;
            }
            Ok(rows)
        })
    }

    /// Bytes of a manifest of a repository and everything that it leads to, as far as it is here.
    pub fn bytes_under(&self, repository: &str, digest: &Digest) -> Result<u64> {
        self.query(|database| reached_bytes(database, params![repository, digest.to_string()]))
    }

    /// Tags that lead to a manifest, at most `limit`.
    pub fn tags_at(&self, repository: &str, digest: &Digest, limit: usize) -> Result<Vec<String>> {
        self.query(|database| {
            database
                .statement("SELECT tag FROM tags WHERE repository = ?1 AND digest = ?2 ORDER BY tag LIMIT ?3")
                .query_map(params![repository, digest.to_string(), as_sql(limit)], |row| row.get(0))?
                .collect()
        })
    }

    /// Manifests of a repository that list this content, at most `limit`.
    pub fn listed_by(&self, repository: &str, digest: &Digest, limit: usize) -> Result<Vec<Digest>> {
        self.query(|database| {
            database
                .statement(
                    "SELECT parent FROM edges WHERE repository = ?1 AND child = ?2 ORDER BY parent LIMIT ?3",
                )
                .query_map(params![repository, digest.to_string(), as_sql(limit)], |row| {
                    super::site::digest(row, 0)
                })?
                .collect()
        })
    }
}

impl Wanted {
    /// Whether everything is wanted.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// As the statements take them: two patterns, a name and a value.
    fn words(&self) -> [Option<String>; 4] {
        let name = self.name.as_deref().map(|name| format!("%{}%", literal(&name.to_lowercase())));
        let platform =
            self.platform.as_deref().map(|platform| format!("%/{}/%", literal(&platform.to_lowercase())));
        let (label, value) = self.label.clone().unzip();
        [name, platform, label, value.flatten()]
    }
}

/// Text that stands for itself in a pattern of `LIKE`.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn time(seconds: Option<i64>) -> Option<Timestamp> {
    let seconds = u64::try_from(seconds?).ok().filter(|&seconds| seconds > 0)?;
    Timestamp::from_seconds(seconds)
}

fn tag_row(row: &Row) -> sql::Result<TagRow> {
    Ok(TagRow {
        tag: row.get(0)?,
        digest: super::site::digest(row, 1)?,
        media_type: row.get(2)?,
        artifact_type: row.get(3)?,
        moved: time(Some(row.get(4)?)),
        mover: row.get(5)?,
        bytes: 0,
        platforms: Vec::new(),
    })
}

fn reached_bytes(database: &Connection, leads: [sql::Value; 2]) -> sql::Result<u64> {
    let sql = format!(
        "{REACH} SELECT CAST(sum(size) AS BIGINT) FROM (
            SELECT size FROM blobs JOIN reach USING (digest) WHERE repository = ?1
            UNION ALL SELECT size FROM manifests JOIN reach USING (digest) WHERE repository = ?1) AS found"
    );
    let found = database.statement(&sql).query_row(leads, |row| row.get::<Option<i64>>(0))?;
    Ok(found.unwrap_or_default().cast_unsigned())
}

fn reached_platforms(database: &Connection, leads: [sql::Value; 2]) -> sql::Result<Vec<String>> {
    let sql = format!(
        "{REACH} SELECT DISTINCT platform FROM platforms JOIN reach USING (digest) WHERE repository = ?1 ORDER BY platform"
    );
    database.statement(&sql).query_map(leads, |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        base::limits,
        oci::{Descriptor, Document, media_type},
        store::{Author, Publication, PublishedManifest, PublishedTag},
    };

    const DAY: u64 = 86_400;
    const NOW: u64 = 1_800_000_000;

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

        /// An image for a platform with a label and a layer of its own.
        fn image(&self, repository: &str, platform: &str, label: (&str, &str)) -> PublishedManifest {
            let mut parts = platform.split('/');
            let config = json!({ "os": parts.next(), "architecture": parts.next(), "variant": parts.next(),
                "config": { "Labels": { label.0: label.1 } } });
            let config = serde_json::to_vec(&config).unwrap();
            let layer = format!("{platform} layer").into_bytes();
            let put = |media_type: &str, bytes: &[u8]| {
                let blob = Descriptor::of(media_type, bytes);
                self.store.put(&blob, bytes).unwrap();
                blob
            };
            let blobs = vec![put(media_type::CONFIG, &config), put(media_type::LAYER_GZIP, &layer)];
            let body = json!({ "schemaVersion": 2, "config": blobs[0], "layers": [blobs[1]] });
            let bytes = serde_json::to_vec(&body).unwrap();
            let document = Document::parse(&bytes, media_type::MANIFEST).unwrap();
            PublishedManifest::new(repository, put(media_type::MANIFEST, &bytes), &document, blobs, vec![])
        }

        fn index(&self, repository: &str, images: &[PublishedManifest]) -> PublishedManifest {
            let listed: Vec<_> = images.iter().map(|image| image.root.clone()).collect();
            let body = json!({ "schemaVersion": 2, "manifests": listed, "annotations": { "team": "red" } });
            let bytes = serde_json::to_vec(&body).unwrap();
            let root = Descriptor::of(media_type::INDEX, &bytes);
            self.store.put(&root, &bytes).unwrap();
            let document = Document::parse(&bytes, media_type::INDEX).unwrap();
            let children = listed.into_iter().map(|image| image.digest).collect();
            PublishedManifest::new(repository, root, &document, vec![], children)
        }

        fn publish(&self, manifests: Vec<PublishedManifest>, tag: &str, days_ago: u64) {
            let last = manifests.last().unwrap();
            let tag = PublishedTag {
                repository: last.repository.clone(),
                tag: tag.into(),
                digest: last.root.digest.clone(),
            };
            let time = Timestamp::from_seconds(NOW - days_ago * DAY).unwrap();
            let author = Author { who: format!("user:{tag}", tag = tag.tag), time };
            self.store.publish(&Publication { manifests, tags: vec![tag] }, &author).unwrap();
        }

        /// `apps/shop` has a multi-platform index, `apps/old_1` an old image, `libs/tool` two tags.
        fn filled() -> Self {
            let scene = Self::new();
            let (one, two) = (
                scene.image("apps/shop", "linux/amd64", ("env", "prod")),
                scene.image("apps/shop", "linux/arm64/v8", ("env", "prod")),
            );
            let index = scene.index("apps/shop", &[one.clone(), two.clone()]);
            scene.publish(vec![one, two, index], "v1", 1);
            scene.publish(vec![scene.image("apps/old_1", "linux/arm/v7", ("env", "test"))], "v1", 100);
            scene.publish(vec![scene.image("libs/tool", "linux/amd64", ("a", "b"))], "v1", 40);
            scene.publish(vec![scene.image("libs/tool", "windows/amd64", ("a", "c"))], "v2", 5);
            assert_eq!(scene.store.describe(100).unwrap(), 0);
            scene
        }

        fn browse(&self, wanted: &Wanted) -> Vec<String> {
            self.store.browse(wanted, None, ("", "~"), 99).unwrap()
        }

        fn tags(&self, repository: &str, wanted: &Wanted) -> Vec<String> {
            let rows = self.store.browse_tags(repository, wanted, None, 99).unwrap();
            rows.into_iter().map(|row| row.tag).collect()
        }
    }

    fn days_ago(days: u64) -> Option<Timestamp> {
        Timestamp::from_seconds(NOW - days * DAY)
    }

    #[test]
    fn repositories_are_found_by_what_is_asked_for() {
        let scene = Scene::filled();
        let all = Wanted::default();
        let name = |name: &str| Wanted { name: Some(name.into()), ..Wanted::default() };
        let platform = |platform: &str| Wanted { platform: Some(platform.into()), ..Wanted::default() };
        let label = |name: &str, value: Option<&str>| Wanted {
            label: Some((name.into(), value.map(str::to_owned))),
            ..Wanted::default()
        };
        for (wanted, found) in [
            (&all, &["apps/old_1", "apps/shop", "libs/tool"][..]),
            (&name("Pp"), &["apps/old_1", "apps/shop"]),
            (&name("_"), &["apps/old_1"]),
            (&name("%"), &[]),
            (&name("\\"), &[]),
            (&platform("linux"), &["apps/old_1", "apps/shop", "libs/tool"]),
            (&platform("ARM64"), &["apps/shop"]),
            (&platform("linux/arm"), &["apps/old_1"]),
            (&platform("linux/arm64/v8"), &["apps/shop"]),
            (&platform("arm%"), &[]),
            (&platform("windows"), &["libs/tool"]),
            (&label("env", None), &["apps/old_1", "apps/shop"]),
            (&label("env", Some("prod")), &["apps/shop"]),
            (&label("env", Some("pro_")), &[]),
            (&label("team", Some("red")), &["apps/shop"]),
            (&Wanted { since: days_ago(10), ..Wanted::default() }, &["apps/shop", "libs/tool"]),
            (&Wanted { until: days_ago(10), ..Wanted::default() }, &["apps/old_1"]),
            (&Wanted { since: days_ago(10), ..name("tool") }, &["libs/tool"]),
        ] {
            assert_eq!(scene.browse(wanted), found, "{wanted:?}");
        }
        let page = |last| scene.store.browse(&all, Some(last), ("apps/", "apps/~"), 1).unwrap();
        assert_eq!(
            (page(""), page("apps/old_1")),
            (vec!["apps/old_1".to_owned()], vec!["apps/shop".to_owned()])
        );
        assert!(page("apps/shop").is_empty());
    }

    #[test]
    fn tags_are_found_newest_first_with_all_that_they_lead_to() {
        let scene = Scene::filled();
        let all = Wanted::default();
        let rows = scene.store.browse_tags("libs/tool", &all, None, 99).unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.tag.as_str(), row.mover.as_str(), row.moved)).collect();
        assert_eq!(seen, [("v2", "user:v2", days_ago(5)), ("v1", "user:v1", days_ago(40))]);
        assert_eq!(rows[0].platforms, ["windows/amd64"]);
        let after = After { moved: rows[0].moved.unwrap().seconds(), tag: "v2".into() };
        let next = scene.store.browse_tags("libs/tool", &all, Some(&after), 99).unwrap();
        assert_eq!(next.len(), 1);
        assert_eq!(next[0], rows[1]);
        for (wanted, found) in [
            (Wanted { name: Some("V2".into()), ..Wanted::default() }, &["v2"][..]),
            (Wanted { platform: Some("linux".into()), ..Wanted::default() }, &["v1"]),
            (Wanted { label: Some(("a".into(), Some("c".into()))), ..Wanted::default() }, &["v2"]),
            (Wanted { since: days_ago(10), ..Wanted::default() }, &["v2"]),
            (Wanted { until: days_ago(10), ..Wanted::default() }, &["v1"]),
        ] {
            assert_eq!(scene.tags("libs/tool", &wanted), found, "{wanted:?}");
        }
        // What an index lists counts for it, and so does the index itself.
        for (name, value) in [("env", "prod"), ("team", "red")] {
            let label = Some((name.to_owned(), Some(value.to_owned())));
            assert_eq!(scene.tags("apps/shop", &Wanted { label, ..Wanted::default() }), ["v1"]);
        }
        let index = &scene.store.browse_tags("apps/shop", &all, None, 9).unwrap()[0];
        assert_eq!(index.platforms, ["linux/amd64", "linux/arm64/v8"]);
        let summary = scene.store.summary("apps/shop").unwrap();
        assert_eq!((summary.tags, summary.manifests, summary.moved), (1, 3, days_ago(1)));
        // The same, for the tag leads to all that there is, each content once.
        assert_eq!((index.bytes, summary.platforms), (summary.bytes, index.platforms.clone()));
        let on_disk: u64 = scene.store.blobs().unwrap().1;
        let others = ["apps/old_1", "libs/tool"].map(|name| scene.store.summary(name).unwrap().bytes);
        // The layer of linux/amd64 is in two repositories.
        let shared = "linux/amd64 layer".len() as u64;
        assert_eq!(summary.bytes + others.iter().sum::<u64>(), on_disk + shared);
    }

    #[test]
    fn what_references_a_manifest_is_found() {
        let scene = Scene::filled();
        let index = scene.store.browse_tags("apps/shop", &Wanted::default(), None, 9).unwrap().remove(0);
        let image = scene.image("apps/shop", "linux/amd64", ("env", "prod")).root.digest;
        assert_eq!(
            scene.store.listed_by("apps/shop", &image, 9).unwrap(),
            std::slice::from_ref(&index.digest)
        );
        assert_eq!(scene.store.tags_at("apps/shop", &index.digest, 9).unwrap(), ["v1"]);
        assert!(scene.store.tags_at("apps/old_1", &index.digest, 9).unwrap().is_empty());
    }

    /// X03: neither names nor values that no database holds stop anybody, nor do hundreds of them.
    #[test]
    fn what_cannot_be_searched_for_is_left_out() {
        let scene = Scene::new();
        let long = "x".repeat(limits::LABEL_BYTES + 1);
        for (number, label) in
            [("a\0", "b"), ("a", "b\0"), (&long, "b"), ("a", &long), ("", "x")].iter().enumerate()
        {
            let repository = format!("x/{number}");
            scene.publish(vec![scene.image(&repository, "linux/amd64", *label)], "v1", 1);
        }
        assert_eq!(scene.store.describe(2).unwrap(), 3);
        assert_eq!(scene.store.describe(9).unwrap(), 0);
        assert_eq!(scene.browse(&Wanted { platform: Some("amd64".into()), ..Wanted::default() }).len(), 5);
        let any = scene
            .store
            .query(|database| database.statement("SELECT 1 FROM labels").exists(sql::NONE))
            .unwrap();
        assert!(!any);
    }

    /// A home of the version before: everything in it is found, once it was looked at.
    #[test]
    fn what_was_there_before_is_described_too() {
        let scene = Scene::filled();
        let rows = || scene.store.browse_tags("apps/shop", &Wanted::default(), None, 9).unwrap();
        let before = rows();
        let file = rusqlite::Connection::open(scene.store.home().join("sealift.db")).unwrap();
        file.execute_batch(
            "DROP TABLE platforms; DROP TABLE labels; DROP TABLE undescribed;
             DROP INDEX tags_moved; DROP INDEX tags_digest;
             ALTER TABLE blobs DROP COLUMN size; ALTER TABLE tags DROP COLUMN moved; ALTER TABLE tags DROP COLUMN mover;",
        )
        .unwrap();
        file.execute_batch(crate::store::describe::SCHEMA).unwrap();
        assert_eq!((rows()[0].moved, &rows()[0].mover), (before[0].moved, &before[0].mover));
        assert!(rows()[0].platforms.is_empty());
        assert_eq!(scene.store.describe(2).unwrap(), 3);
        assert_eq!(scene.store.describe(100).unwrap(), 0);
        assert_eq!(rows(), before);
    }

    #[test]
    fn what_is_gone_is_found_no_more() {
        let scene = Scene::filled();
        let image = scene.image("apps/old_1", "linux/arm/v7", ("env", "test"));
        let delete = |change: &crate::store::Change<'_>| {
            change.delete_manifest("apps/old_1", &image.root.digest, &Author::somebody())
        };
        scene.store.change(delete).unwrap();
        assert_eq!(scene.browse(&Wanted::default()), ["apps/shop", "libs/tool"]);
        let left = "SELECT 1 FROM platforms WHERE repository = ?1 UNION ALL SELECT 1 FROM labels WHERE repository = ?1";
        let left = scene.store.query(|database| database.statement(left).exists(["apps/old_1"])).unwrap();
        assert!(!left);
    }

    /// Pages are flat in the number of repositories, also where few of them are wanted.
    #[test]
    fn few_are_found_among_ten_thousand() {
        let scene = Scene::new();
        let image = scene.image("x", "linux/amd64", ("env", "prod"));
        let of = |number: u32| PublishedManifest { repository: format!("bulk/r{number}"), ..image.clone() };
        let author = Author { who: "x".into(), time: Timestamp::from_seconds(NOW).unwrap() };
        let manifests: Vec<_> = (0..10_000).map(of).collect();
        scene.store.publish(&Publication { manifests, tags: vec![] }, &author).unwrap();
        scene.publish(vec![scene.image("bulk/z", "linux/s390x", ("tier", "1"))], "v1", 1);
        while scene.store.describe(1000).unwrap() > 0 {}
        let before = std::time::Instant::now();
        for wanted in [
            Wanted { name: Some("/z".into()), ..Wanted::default() },
            Wanted { platform: Some("s390x".into()), ..Wanted::default() },
            Wanted { label: Some(("tier".into(), None)), ..Wanted::default() },
            Wanted { since: days_ago(5), ..Wanted::default() },
        ] {
            assert_eq!(scene.browse(&wanted), ["bulk/z"], "{wanted:?}");
        }
        assert_eq!(scene.store.browse(&Wanted::default(), Some("bulk/r5"), ("", "~"), 2).unwrap().len(), 2);
        assert!(before.elapsed().as_secs() < 2, "{:?}", before.elapsed());
    }
}
