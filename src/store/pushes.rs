//! What clients of the registry change: a blob, a tag or a manifest at a time.
//!
//! A deletion takes rows away and never bytes: another push, an import or a build may have found them and rely on
//! them the next moment. What it leaves behind is put on the list of what a collection looks at (`leases.rs`).

use super::{
    Author, Change,
    sql::{OptionalExtension as _, params},
};
use crate::base::{
    clock::Timestamp,
    digest::Digest,
    failure::{Failure, Result},
};

/// What a manifest lists, present or not: while it stands, nothing of it can be taken away. And blobs by digest, for
/// a push that asks who has one.
pub(super) const SCHEMA: &str = "
    CREATE TABLE edges (
        repository TEXT NOT NULL,
        parent     TEXT NOT NULL,
        child      TEXT NOT NULL,
        PRIMARY KEY (repository, parent, child),
        FOREIGN KEY (repository, parent) REFERENCES manifests (repository, digest) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX edges_child ON edges (repository, child);
    CREATE INDEX blobs_digest ON blobs (digest, repository);
";

/// What became of a wish to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// The repository does not have it.
    Unknown,
    /// This manifest lists it.
    InUse(Digest),
}

impl Change<'_> {
    /// From now on the repository has this blob, and keeps it until `leased`, or as long as a manifest lists it.
    /// `false` where its bytes are not in the store: what a repository had may have rotted, and been removed.
    pub fn add_blob(&self, repository: &str, digest: &Digest, leased: Timestamp) -> Result<bool> {
        self.require_unfenced(&[digest])?;
        let Some(size) = self.store.size_of(digest)? else { return Ok(false) };
        self.take_in(repository, [(digest, size)])?;
        self.query(|database| {
            database
                .statement(
                    "INSERT INTO blobs (repository, digest) VALUES (?1, ?2)
                     ON CONFLICT (repository, digest) DO NOTHING",
                )
                .execute(params![repository, digest.to_string()])
        })?;
        self.lease(repository, digest, leased)?;
        Ok(true)
    }

    /// Whether the repository has this blob or manifest.
    pub fn has_in(&self, repository: &str, digest: &Digest) -> Result<bool> {
        self.query(|database| super::metadata::is_published(database, repository, digest))
    }

    /// Whether the repository has this manifest.
    pub fn has_manifest(&self, repository: &str, digest: &Digest) -> Result<bool> {
        self.query(|database| {
            database
                .statement("SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2")
                .exists(params![repository, digest.to_string()])
        })
    }

    /// Size of a stored blob; `None` when it is not there.
    pub fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        self.store.size_of(digest)
    }

    /// The same of several, asked together.
    pub fn sizes_of(&self, digests: &[&Digest]) -> Result<Vec<Option<u64>>> {
        self.store.sizes_of(digests)
    }

    /// Takes a manifest away with the tags that lead to it, unless an index lists it. What it lists itself stays until
    /// it is collected, and its referrers stay.
    pub fn delete_manifest(&self, repository: &str, digest: &Digest, author: &Author) -> Result<Deletion> {
        if let Some(parent) = self.parent_of(repository, digest)? {
            return Ok(Deletion::InUse(parent));
        }
        self.may_drop_tags_of(repository, digest)?;
        for tag in self.tags_of(repository, digest)? {
            self.delete_tag(repository, &tag, author)?;
        }
        let listed = self.blobs_of(repository, digest)?;
        let deleted =
            self.delete("DELETE FROM manifests WHERE repository = ?1 AND digest = ?2", repository, digest)?;
        if deleted == Deletion::Done {
            self.let_go(repository, digest)?;
            self.look_at(repository, digest)?;
            listed.iter().try_for_each(|blob| self.look_at(repository, blob).map(drop))?;
        }
        Ok(deleted)
    }

    /// What a manifest lists and its repository has as a blob.
    fn blobs_of(&self, repository: &str, manifest: &Digest) -> Result<Vec<Digest>> {
        let listed: Vec<String> = self.query(|database| {
            database
                .statement(
                    "SELECT b.digest FROM edges e JOIN blobs b ON b.repository = e.repository AND b.digest = e.child
                     WHERE e.repository = ?1 AND e.parent = ?2",
                )
                .query_map(params![repository, manifest.to_string()], |row| row.get(0))?
                .collect()
        })?;
        listed.iter().map(|digest| Digest::parse(digest).map_err(Failure::internal)).collect()
    }

    /// Takes a blob away, unless a manifest lists it. Other repositories keep theirs.
    pub fn delete_blob(&self, repository: &str, digest: &Digest) -> Result<Deletion> {
        if let Some(parent) = self.parent_of(repository, digest)? {
            return Ok(Deletion::InUse(parent));
        }
        let deleted =
            self.delete("DELETE FROM blobs WHERE repository = ?1 AND digest = ?2", repository, digest)?;
        if deleted == Deletion::Done {
            self.let_go(repository, digest)?;
            self.end_lease(repository, digest)?;
        }
        Ok(deleted)
    }

    fn delete(&self, sql: &str, repository: &str, digest: &Digest) -> Result<Deletion> {
        let deleted =
            self.query(|database| database.statement(sql).execute(params![repository, digest.to_string()]))?;
        Ok(if deleted == 0 { Deletion::Unknown } else { Deletion::Done })
    }

    /// A manifest that lists `digest`.
    fn parent_of(&self, repository: &str, digest: &Digest) -> Result<Option<Digest>> {
        let parent: Option<String> = self.query(|database| {
            database
                .statement("SELECT parent FROM edges WHERE repository = ?1 AND child = ?2 LIMIT 1")
                .query_row(params![repository, digest.to_string()], |row| row.get(0))
                .optional()
        })?;
        parent.map(|parent| Digest::parse(&parent).map_err(Failure::internal)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oci::{Descriptor, Document, media_type},
        store::{Publication, PublishedManifest, PublishedTag, Store, Target},
    };

    const A: &str = "sandbox/a";
    const B: &str = "sandbox/b";

    /// A home where two repositories have an image, and the first has an index of it and tags.
    struct Scene {
        _dir: tempfile::TempDir,
        store: Store,
        config: Descriptor,
        image: Descriptor,
        index: Descriptor,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("home")).unwrap();
            let put = |media_type: &str, bytes: &[u8]| {
                let blob = Descriptor::of(media_type, bytes);
                store.put(&blob, bytes).unwrap();
                blob
            };
            let config = put(media_type::CONFIG, b"{}");
            let document = |media_type: &str, json: serde_json::Value| {
                let bytes = serde_json::to_vec(&json).unwrap();
                (put(media_type, &bytes), Document::parse(&bytes, media_type).unwrap())
            };
            let body = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [] });
            let (image, parsed) = document(media_type::MANIFEST, body);
            let gone = Descriptor::of(media_type::MANIFEST, b"gone");
            let body = serde_json::json!({ "schemaVersion": 2, "manifests": [image, gone] });
            let (index, listing) = document(media_type::INDEX, body);
            let of = |repository| {
                PublishedManifest::new(repository, image.clone(), &parsed, vec![config.clone()], vec![])
            };
            let children = vec![image.digest.clone()];
            let listing = PublishedManifest::new(A, index.clone(), &listing, vec![], children);
            assert_eq!(listing.absent, std::slice::from_ref(&gone.digest));
            let tag = |tag: &str| PublishedTag {
                repository: A.into(),
                tag: tag.into(),
                digest: index.digest.clone(),
            };
            let tags = vec![tag("one"), tag("two")];
            store
                .publish(&Publication { manifests: vec![of(A), of(B), listing], tags }, &Author::somebody())
                .unwrap();
            Self { _dir: dir, store, config, image, index }
        }

        fn blob(&self, repository: &str, blob: &Descriptor) -> Deletion {
            self.store.change(|change| change.delete_blob(repository, &blob.digest)).unwrap()
        }

        fn manifest(&self, repository: &str, manifest: &Descriptor) -> Deletion {
            self.store
                .change(|change| change.delete_manifest(repository, &manifest.digest, &Author::somebody()))
                .unwrap()
        }

        fn tag(&self, tag: &str) -> Deletion {
            self.store.change(|change| change.delete_tag(A, tag, &Author::somebody())).unwrap()
        }
    }

    #[test]
    fn what_a_manifest_lists_stays_as_long_as_it_does() {
        let scene = Scene::new();
        assert_eq!(scene.blob(A, &scene.config), Deletion::InUse(scene.image.digest.clone()));
        assert_eq!(scene.manifest(A, &scene.image), Deletion::InUse(scene.index.digest.clone()));
        assert_eq!(scene.manifest(A, &scene.index), Deletion::Done);
        assert_eq!(scene.store.tags(A, None, 9).unwrap(), Some(vec![]));
        assert_eq!(scene.manifest(A, &scene.image), Deletion::Done);
        assert_eq!(scene.blob(A, &scene.config), Deletion::Done);
        assert_eq!(scene.blob(A, &scene.config), Deletion::Unknown);
        assert_eq!(scene.manifest(A, &scene.image), Deletion::Unknown);
    }

    /// Threats B2 (d), (h): what another repository or another tag holds is not touched, and no bytes ever are.
    #[test]
    fn a_deletion_takes_rows_of_its_repository_and_no_bytes() {
        let scene = Scene::new();
        assert_eq!((scene.tag("one"), scene.tag("one")), (Deletion::Done, Deletion::Unknown));
        let found = scene.store.manifest(A, &Target::Tag("two".into())).unwrap();
        assert_eq!(found.unwrap().digest, scene.index.digest);
        let published = |repository| {
            [&scene.config, &scene.image, &scene.index]
                .map(|content| scene.store.blob_in(repository, &content.digest).unwrap())
        };
        assert_eq!((published(A), published(B)), ([true, true, true], [true, true, false]));
        scene.manifest(A, &scene.index);
        scene.manifest(A, &scene.image);
        scene.blob(A, &scene.config);
        assert_eq!((published(A), published(B)), ([false; 3], [true, true, false]));
        scene.manifest(B, &scene.image);
        scene.blob(B, &scene.config);
        assert_eq!(published(B), [false; 3]);
        for content in [&scene.config, &scene.image, &scene.index] {
            assert!(scene.store.has(content).unwrap());
        }
    }

    #[test]
    fn only_what_the_store_has_is_added() {
        let scene = Scene::new();
        let add = |digest: &Digest| {
            scene.store.change(|change| change.add_blob(A, digest, Timestamp::now())).unwrap()
        };
        assert!(add(&scene.config.digest) && add(&scene.config.digest));
        assert!(!add(&Digest::of(b"nowhere")));
        assert!(!scene.store.blob_in(A, &Digest::of(b"nowhere")).unwrap());
    }
}
