//! What is published: repositories, tags, manifests and their edges, in one SQLite file.

use std::{collections::HashSet, ops::ControlFlow};

use super::{
    Author, Change, State, Store,
    sql::{self, Connection, OptionalExtension as _, params},
};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
    },
    oci::{Descriptor, Document, media_type, reference::referrers_tag},
};

/// Repositories, tags, manifests and their edges, and what was reported of each import.
pub(super) const SCHEMA: &str = "
    CREATE TABLE manifests (
        repository    TEXT NOT NULL,
        digest        TEXT NOT NULL,
        media_type    TEXT NOT NULL,
        size          INTEGER NOT NULL,
        subject       TEXT,
        artifact_type TEXT,
        annotations   TEXT NOT NULL,
        PRIMARY KEY (repository, digest)
    ) STRICT;
    CREATE INDEX manifests_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
    CREATE TABLE tags (
        repository TEXT NOT NULL,
        tag        TEXT NOT NULL,
        digest     TEXT NOT NULL,
        PRIMARY KEY (repository, tag),
        FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest)
    ) STRICT;
    CREATE TABLE blobs (
        repository TEXT NOT NULL,
        digest     TEXT NOT NULL,
        PRIMARY KEY (repository, digest)
    ) STRICT;
    CREATE TABLE receipts (
        number  INTEGER PRIMARY KEY AUTOINCREMENT,
        bundle  TEXT NOT NULL,
        receipt TEXT NOT NULL
    ) STRICT;
";

/// What one import makes visible.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// Manifests with what they need.
    pub manifests: Vec<PublishedManifest>,
    /// Tags; an existing tag moves.
    pub tags: Vec<PublishedTag>,
}

/// A manifest in a repository.
#[derive(Debug, Clone)]
pub struct PublishedManifest {
    /// Repository inside the site.
    pub repository: String,
    /// Media type, digest, size.
    pub root: Descriptor,
    /// What it is about.
    pub subject: Option<Digest>,
    /// Its type in a referrers list.
    pub artifact_type: Option<String>,
    /// Its annotations, shown in a referrers list.
    pub annotations: crate::oci::descriptor::Annotations,
    /// Config and layers. Each must be in the store.
    pub blobs: Vec<Descriptor>,
    /// Child manifests that must be published in the same repository, in this publication or before.
    pub children: Vec<Digest>,
    /// What it lists and what need not be here: platforms that were left out, layers that lie elsewhere.
    pub absent: Vec<Digest>,
}

impl PublishedManifest {
    /// `document`, whose descriptor is `root`, in a repository that has these `blobs` and `children` of it. What is
    /// listed several times is kept once, but for a blob of several sizes: that is for the store to refuse.
    pub fn new(
        repository: &str,
        root: Descriptor,
        document: &Document,
        mut blobs: Vec<Descriptor>,
        mut children: Vec<Digest>,
    ) -> Self {
        let mut seen = HashSet::new();
        blobs.retain(|blob| seen.insert((blob.digest.clone(), blob.size)));
        let mut known: HashSet<Digest> = HashSet::new();
        children.retain(|child| known.insert(child.clone()));
        known.extend(blobs.iter().map(|blob| blob.digest.clone()));
        let listed = document.descriptors().into_iter().map(|listed| &listed.digest);
        Self {
            repository: repository.to_owned(),
            subject: document.subject().map(|subject| subject.digest.clone()),
            artifact_type: document.artifact_type().map(str::to_owned),
            annotations: document.annotations().clone(),
            absent: listed.filter(|&digest| known.insert(digest.clone())).cloned().collect(),
            blobs,
            children,
            root,
        }
    }
}

/// A tag in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTag {
    /// Repository inside the site.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What it points to.
    pub digest: Digest,
}

/// A manifest that names a subject.
#[derive(Debug, Clone)]
pub struct ReferrerRow {
    /// Media type, digest, size, artifact type and annotations, as a referrers list shows them.
    pub descriptor: Descriptor,
}

impl State<'_> {
    /// The first repository, in byte order, after `last`.
    pub fn repository_after(&self, last: &str) -> Result<Option<String>> {
        const NEXT: &str =
            "SELECT repository FROM manifests WHERE repository > ?1 ORDER BY repository LIMIT 1";
        self.query(|database| database.query_row(NEXT, [last], |row| row.get(0)).optional())
    }
}

impl Change<'_> {
    /// Publishes all of it, durably. Fails with [`Reason::BlobMissing`] when a manifest's closure is not whole.
    pub fn publish(&self, publication: &Publication, author: &Author) -> Result<()> {
        self.may_move_tags(&publication.tags)?;
        for manifest in &publication.manifests {
            let wanted: Vec<&Descriptor> = contents(manifest).collect();
            let digests: Vec<&Digest> = wanted.iter().map(|blob| &blob.digest).collect();
            self.require_unfenced(&digests)?;
            for (blob, found) in wanted.iter().zip(self.store.sizes_of(&digests)?) {
                if found != Some(blob.size) {
                    let message = format!("{} needs it, the store does not have it", manifest.root.digest);
                    return Err(Failure::new(Reason::BlobMissing, &blob.digest, message));
                }
            }
        }
        for manifest in &publication.manifests {
            let contents = contents(manifest).map(|content| (&content.digest, content.size));
            self.take_in(&manifest.repository, contents)?;
        }
        self.settle(publication)?;
        self.query(|database| {
            publication.manifests.iter().try_for_each(|manifest| insert_manifest(database, manifest))
        })?;
        if let Some(child) = self.query(|database| missing_child(database, publication))? {
            let message = "an index lists it, but it is neither present nor recorded as absent";
            return Err(Failure::new(Reason::BlobMissing, child, message));
        }
        publication.tags.iter().try_for_each(|tag| self.set_tag(tag, author))
    }

    /// Makes durable that the contents are there under their names. Whoever brought them may have been killed
    /// between the rename and the sync of the folder; what is published already is durable.
    fn settle(&self, publication: &Publication) -> Result<()> {
        let mut new = Vec::new();
        for manifest in &publication.manifests {
            for blob in contents(manifest) {
                if !self.query(|database| is_published(database, &manifest.repository, &blob.digest))? {
                    new.push(&blob.digest);
                }
            }
        }
        self.store.contents().settle(new)
    }

    /// Keeps what was reported of an import.
    pub fn report(&self, bundle: &Digest, report: &str) -> Result<()> {
        self.query(|database| {
            let insert = "INSERT INTO receipts (bundle, receipt) VALUES (?1, ?2)";
            database.execute(insert, params![bundle.hex(), report]).map(drop)
        })
    }
}

impl Store {
    /// Publishes all or nothing, and nothing else; see [`Change::publish`].
    pub fn publish(&self, publication: &Publication, author: &Author) -> Result<()> {
        self.change(|change| change.publish(publication, author))
    }

    /// The manifest that a tag or digest leads to in a repository.
    pub fn manifest(&self, repository: &str, target: &Target) -> Result<Option<Descriptor>> {
        let (sql, value) = match target {
            Target::Tag(tag) => (
                "SELECT m.media_type, m.digest, m.size FROM tags t JOIN manifests m USING (repository, digest)
                 WHERE t.repository = ?1 AND t.tag = ?2",
                tag.clone(),
            ),
            Target::Digest(digest) => (
                "SELECT media_type, digest, size FROM manifests WHERE repository = ?1 AND digest = ?2",
                digest.to_string(),
            ),
        };
        self.query(|database| {
            database.statement(sql).query_row(params![repository, value], descriptor_row).optional()
        })
    }

    /// Whether a repository publishes this blob (config, layer or manifest).
    pub fn blob_in(&self, repository: &str, digest: &Digest) -> Result<bool> {
        self.query(|database| is_published(database, repository, digest))
    }

    /// Repositories in byte order, after `last`, at most `limit`; of those from one name on up to another, which is left
    /// out, where two are given.
    pub fn repositories(
        &self,
        last: Option<&str>,
        limit: usize,
        within: Option<(&str, &str)>,
    ) -> Result<Vec<String>> {
        let last = last.unwrap_or("");
        // No letter of a name comes after this one.
        let (from, to) = within.unwrap_or(("", "~"));
        self.query(|database| {
            database
                .statement(
                    "SELECT DISTINCT repository FROM manifests
                     WHERE repository >= ?1 AND repository < ?2 AND repository <> ?3 ORDER BY repository LIMIT ?4",
                )
                .query_map(params![from.max(last), to, last, as_sql(limit)], |row| row.get(0))?
                .collect()
        })
    }

    /// Repositories that have a blob, in byte order, at most `limit`.
    pub fn repositories_with(&self, digest: &Digest, limit: usize) -> Result<Vec<String>> {
        self.query(|database| {
            database
                .statement(WITH_BLOB)
                .query_map(params![digest.to_string(), as_sql(limit)], |row| row.get(0))?
                .collect()
        })
    }

    /// Manifests of a repository whose subject is `subject`, ordered by digest: only those of one artifact
    /// type if asked, after `last`, at most `limit`. Clients of registries without this list keep it themselves, as an index
    /// under the fallback tag of the subject (distribution-spec, "Referrers Tag Schema"); what such an index in this
    /// repository lists counts too where it says nothing of a subject itself: the specification asks for the others
    /// ("Enabling the Referrers API"), and clients found these by the tag. However long their annotations are, what is held
    /// at once is about a page: from the second on, the one that goes beyond [`limits::PAGE_BYTES`] is the last. So whoever cuts pages
    /// there leaves at least that one for the next, and sees that there is more.
    pub fn referrers(
        &self,
        repository: &str,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<ReferrerRow>> {
        let last = last.map_or_else(String::new, ToString::to_string);
        self.query(|database| {
            let statement = database.statement(
                "SELECT media_type, digest, size, artifact_type, annotations FROM (
                   SELECT media_type, digest, size, artifact_type, annotations FROM manifests
                   WHERE repository = ?1 AND subject = ?2
                   UNION ALL
                   SELECT m.media_type, m.digest, m.size, m.artifact_type, m.annotations FROM tags t
                   JOIN manifests i ON i.repository = t.repository AND i.digest = t.digest
                   JOIN edges e ON e.repository = i.repository AND e.parent = i.digest
                   JOIN manifests m ON m.repository = e.repository AND m.digest = e.child
                   WHERE t.repository = ?1 AND t.tag = ?6 AND i.media_type IN (?7, ?8) AND m.subject IS NULL
                 ) AS found WHERE (CAST(?3 AS TEXT) IS NULL OR artifact_type = ?3) AND digest > ?4
                 ORDER BY digest LIMIT ?5",
            );
            let (subject, tag) = (subject.to_string(), referrers_tag(subject));
            let asked = params![
                repository,
                subject,
                artifact_type,
                last,
                as_sql(limit),
                tag,
                media_type::INDEX,
                media_type::DOCKER_LIST
            ];
            let (mut found, mut bytes) = (Vec::new(), 0);
            statement.each(asked, |row| {
                let mut descriptor = descriptor_row(row)?;
                descriptor.artifact_type = row.get(3)?;
                let annotations: String = row.get(4)?;
                // No more than what a list that shows it has, so that a page never ends after this.
                bytes += annotations.len() + descriptor.artifact_type.as_ref().map_or(0, String::len);
                descriptor.annotations = serde_json::from_str(&annotations).unwrap_or_default();
                found.push(ReferrerRow { descriptor });
                let is_full = found.len() > 1 && bytes as u64 > limits::PAGE_BYTES;
                Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            Ok(found)
        })
    }

    /// What was reported of every import, oldest first.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    pub fn reports(&self) -> Result<Vec<String>> {
        self.state(|state| state.reports())
    }
}

impl State<'_> {
    /// What was reported of every import, oldest first.
    pub fn reports(&self) -> Result<Vec<String>> {
        self.query(|database| {
            database
                .statement("SELECT receipt FROM receipts ORDER BY number")
                .query_map(sql::NONE, |row| row.get(0))?
                .collect()
        })
    }
}

const WITH_BLOB: &str = "SELECT repository FROM blobs WHERE digest = ?1 ORDER BY repository LIMIT ?2";

/// How a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By tag.
    Tag(String),
    /// By digest.
    Digest(Digest),
}

/// What a manifest needs in the store, itself included.
fn contents(manifest: &PublishedManifest) -> impl Iterator<Item = &Descriptor> {
    std::iter::once(&manifest.root).chain(&manifest.blobs)
}

pub(super) fn is_published(database: &Connection, repository: &str, digest: &Digest) -> sql::Result<bool> {
    database
        .statement(
            "SELECT 1 FROM blobs WHERE repository = ?1 AND digest = ?2
             UNION ALL SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2",
        )
        .exists(params![repository, digest.to_string()])
}

/// A child that an index of `publication` needs and that its repository does not have.
fn missing_child(database: &Connection, publication: &Publication) -> sql::Result<Option<Digest>> {
    for manifest in &publication.manifests {
        for child in &manifest.children {
            let known = database
                .statement("SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2")
                .exists(params![manifest.repository, child.to_string()])?;
            if !known {
                return Ok(Some(child.clone()));
            }
        }
    }
    Ok(None)
}

/// The same bytes under another type have that type from now on: who brings them is told that it holds, and what the
/// bytes list is the same under any type that they can have.
fn insert_manifest(database: &Connection, manifest: &PublishedManifest) -> sql::Result<()> {
    database
        .statement(
            "INSERT INTO manifests
             (repository, digest, media_type, size, subject, artifact_type, annotations)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type",
        )
        .execute(params![
            manifest.repository,
            manifest.root.digest.to_string(),
            manifest.root.media_type,
            i64::try_from(manifest.root.size).unwrap_or(i64::MAX),
            manifest.subject.as_ref().map(ToString::to_string),
            manifest.artifact_type,
            serde_json::to_string(&manifest.annotations).unwrap_or_else(|_unreachable| "{}".to_owned()),
        ])?;
    super::describe::look_later(database, &manifest.repository, &manifest.root.digest.to_string())?;
    let listed =
        manifest.blobs.iter().map(|blob| &blob.digest).chain(&manifest.children).chain(&manifest.absent);
    for child in listed {
        insert_edge(database, &manifest.repository, &manifest.root.digest, &child.to_string())?;
    }
    for blob in &manifest.blobs {
        database
            .statement(
                "INSERT INTO blobs (repository, digest) VALUES (?1, ?2)
                 ON CONFLICT (repository, digest) DO NOTHING",
            )
            .execute(params![manifest.repository, blob.digest.to_string()])?;
    }
    Ok(())
}

/// Writes down that a manifest lists `child`.
pub(super) fn insert_edge(
    database: &Connection,
    repository: &str,
    parent: &Digest,
    child: &str,
) -> sql::Result<()> {
    database
        .statement(
            "INSERT INTO edges (repository, parent, child) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, parent, child) DO NOTHING",
        )
        .execute(params![repository, parent.to_string(), child])
        .map(drop)
}

pub(super) fn descriptor_row(row: &sql::Row) -> sql::Result<Descriptor> {
    let digest: String = row.get(1)?;
    let digest = Digest::parse(&digest).map_err(|error| sql::Error::unreadable(1, error))?;
    let size: i64 = row.get(2)?;
    Ok(Descriptor::new(row.get::<String>(0)?, digest, u64::try_from(size).unwrap_or_default()))
}

pub(super) fn as_sql(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(store: &Store, tag: &str) -> Publication {
        let config = Descriptor::of("config", b"{}");
        let root = Descriptor::of(crate::oci::media_type::MANIFEST, b"manifest");
        store.put(&config, b"{}").unwrap();
        store.put(&root, b"manifest").unwrap();
        let digest = root.digest.clone();
        let manifest = PublishedManifest {
            repository: "docker.io/library/x".into(),
            root,
            subject: Some(Digest::of(b"subject")),
            artifact_type: Some("type".into()),
            annotations: [("k".to_owned(), "v".to_owned())].into(),
            blobs: vec![config],
            children: vec![],
            absent: vec![],
        };
        let tags = vec![PublishedTag { repository: manifest.repository.clone(), tag: tag.into(), digest }];
        Publication { manifests: vec![manifest], tags }
    }

    #[test]
    fn what_is_published_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for tag in ["b", "a", "a"] {
            store.publish(&publication(&store, tag), &Author::somebody()).unwrap();
        }
        let repository = "docker.io/library/x";
        assert_eq!(store.tags(repository, None, 9).unwrap().unwrap(), ["a", "b"]);
        assert_eq!(store.tags(repository, Some("a"), 9).unwrap().unwrap(), ["b"]);
        assert_eq!(store.tags("other", None, 9).unwrap(), None);
        assert_eq!(store.repositories(None, 9, None).unwrap(), [repository]);
        let found = store.manifest(repository, &Target::Tag("a".into())).unwrap().unwrap();
        assert_eq!(found.digest, Digest::of(b"manifest"));
        assert!(store.blob_in(repository, &Digest::of(b"{}")).unwrap());
        assert!(!store.blob_in("other", &Digest::of(b"{}")).unwrap());
        let referrers = store.referrers(repository, &Digest::of(b"subject"), None, None, 9).unwrap();
        assert_eq!(referrers[0].descriptor.annotations["k"], "v");
        let of_type =
            |name| store.referrers(repository, &Digest::of(b"subject"), Some(name), None, 9).unwrap().len();
        assert_eq!((of_type("type"), of_type("other")), (1, 0));
        let last = Some(&referrers[0].descriptor.digest);
        assert!(store.referrers(repository, &Digest::of(b"subject"), None, last, 9).unwrap().is_empty());
    }

    #[test]
    fn what_is_listed_twice_is_kept_once() {
        let blob = |size: u64| Descriptor::new("layer", Digest::of(b"blob"), size);
        let gone = Descriptor::new("layer", Digest::of(b"gone"), 4);
        let layers = [blob(4), gone.clone(), blob(4), gone.clone()];
        let body = serde_json::json!({ "schemaVersion": 2, "config": blob(4), "layers": layers });
        let bytes = serde_json::to_vec(&body).unwrap();
        let media_type = crate::oci::media_type::MANIFEST;
        let document = Document::parse(&bytes, media_type).unwrap();
        let child = Digest::of(b"child");
        // Of two sizes one is a lie, which publishing then finds.
        let blobs = vec![blob(4), blob(5), blob(4)];
        let children = vec![child.clone(), child.clone()];
        let root = Descriptor::of(media_type, &bytes);
        let manifest = PublishedManifest::new("x", root, &document, blobs, children);
        let sizes: Vec<u64> = manifest.blobs.iter().map(|blob| blob.size).collect();
        assert_eq!((sizes, manifest.children, manifest.absent), (vec![4, 5], vec![child], vec![gone.digest]));
    }

    #[test]
    fn the_same_bytes_have_the_type_they_were_brought_with_last() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut again = publication(&store, "a");
        store.publish(&again, &Author::somebody()).unwrap();
        again.manifests[0].root.media_type = crate::oci::media_type::DOCKER_MANIFEST.into();
        store.publish(&again, &Author::somebody()).unwrap();
        let found = store.manifest("docker.io/library/x", &Target::Tag("a".into())).unwrap();
        assert_eq!(found, Some(again.manifests[0].root.clone()));
    }

    /// J13: a page of referrers is cut by its bytes, and so is what is read for it.
    #[test]
    fn referrers_with_long_annotations_are_read_a_page_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut all = publication(&store, "a");
        let template = all.manifests.remove(0);
        let long = usize::try_from(limits::PAGE_BYTES).unwrap() / 2;
        for number in 0..5 {
            let bytes = format!("manifest {number}");
            let root = Descriptor::of(crate::oci::media_type::MANIFEST, bytes.as_bytes());
            store.put(&root, bytes.as_bytes()).unwrap();
            // The longest alone fills a page.
            let text = "x".repeat(if number == 0 { 2 * long } else { long });
            let annotations = [("k".to_owned(), text)].into();
            all.manifests.push(PublishedManifest { root, annotations, ..template.clone() });
        }
        let mut wanted: Vec<Digest> =
            all.manifests.iter().map(|manifest| manifest.root.digest.clone()).collect();
        wanted.sort_by_key(ToString::to_string);
        all.tags.clear();
        store.publish(&all, &Author::somebody()).unwrap();
        let read = |last: Option<&Digest>, limit| -> Vec<Digest> {
            let rows = store.referrers(&template.repository, &Digest::of(b"subject"), None, last, limit);
            rows.unwrap().into_iter().map(|row| row.descriptor.digest).collect()
        };
        let (mut seen, mut last) = (Vec::new(), None);
        loop {
            let mut rows = read(last.as_ref(), 9);
            assert!(rows.len() <= 2, "more than a page and the one after");
            if rows.len() == 2 {
                rows.truncate(1);
            } else {
                seen.extend(rows);
                break;
            }
            last = rows.last().cloned();
            seen.extend(rows);
        }
        assert_eq!(seen, wanted);
        assert_eq!(read(None, 1), wanted[..1]);
    }

    #[test]
    fn who_has_a_blob_is_looked_up_and_not_searched() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut all = publication(&store, "a");
        let template = all.manifests[0].clone();
        for name in ["c", "b", "a"] {
            all.manifests.push(PublishedManifest { repository: name.into(), ..template.clone() });
        }
        store.publish(&all, &Author::somebody()).unwrap();
        let digest = Digest::of(b"{}");
        assert_eq!(store.repositories_with(&digest, 2).unwrap(), ["a", "b"]);
        assert_eq!(store.repositories_with(&digest, 9).unwrap().len(), 4);
        let plan: String = store
            .query(|database| {
                let explain = format!("EXPLAIN QUERY PLAN {WITH_BLOB}");
                database.query_row(&explain, params![digest.to_string(), 9], |row| row.get(3))
            })
            .unwrap();
        assert!(plan.starts_with("SEARCH blobs USING COVERING INDEX blobs_digest"), "{plan}");
    }

    #[test]
    fn an_incomplete_closure_publishes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut blob_gone = publication(&store, "a");
        std::fs::remove_file(store.place_of(&blob_gone.manifests[0].blobs[0].digest)).unwrap();
        assert_eq!(store.publish(&blob_gone, &Author::somebody()).unwrap_err().reason, Reason::BlobMissing);
        store.put(&blob_gone.manifests[0].blobs[0], b"{}").unwrap();
        blob_gone.manifests[0].children.push(Digest::of(b"child"));
        assert_eq!(store.publish(&blob_gone, &Author::somebody()).unwrap_err().reason, Reason::BlobMissing);
        assert!(store.repositories(None, 9, None).unwrap().is_empty());
    }
}
