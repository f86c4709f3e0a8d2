//! The rules of the registry in force, and what they say of every change: of a tag that moves or goes.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

use super::{
    Change, PublishedTag, State, Store,
    database::damaged,
    sql::{self, Connection, OptionalExtension as _, params},
};
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    rules::Rules,
};

/// No row where none were ever set.
pub(super) const SCHEMA: &str = "
    CREATE TABLE rules (
        one     INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL,
        digest  TEXT NOT NULL,
        text    TEXT NOT NULL
    ) STRICT;
";
/// The version of the schema since which there is a table of them.
const SINCE: usize = 7;

/// The rules in force. Copies share them.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Raised whenever others come into force; 0 where none were ever set.
    pub version: u64,
    /// The rules.
    pub rules: Arc<Rules>,
    /// Digest of their text.
    digest: String,
}

impl Default for InForce {
    /// What holds where nobody has set any.
    fn default() -> Self {
        let rules = Rules::default();
        Self { version: 0, digest: rules.digest().to_string(), rules: Arc::new(rules) }
    }
}

impl State<'_> {
    /// The rules in force.
    ///
    /// # Errors
    /// [`Reason::RulesMalformed`] for a text of a newer sealift; nobody may do anything then.
    pub fn rules(&self) -> Result<InForce> {
        if self.query(Connection::version)? < SINCE {
            return Ok(InForce::default());
        }
        match self.query(text)? {
            Some((version, digest, text)) => parsed(version, digest, &text),
            None => Ok(InForce::default()),
        }
    }

    /// What a tag leads to.
    pub fn tag(&self, repository: &str, tag: &str) -> Result<Option<Digest>> {
        self.query(|database| {
            database
                .statement("SELECT digest FROM tags WHERE repository = ?1 AND tag = ?2")
                .query_row(params![repository, tag], |row| super::site::digest(row, 0))
                .optional()
        })
    }

    /// Fails where the rules keep `tag` at another digest than `wanted`.
    fn check_tag(&self, rules: &Rules, repository: &str, tag: &str, wanted: Option<&Digest>) -> Result<()> {
        let Some(rule) = rules.immutable(repository, tag) else { return Ok(()) };
        let Some(found) = self.tag(repository, tag)? else { return Ok(()) };
        let message = match wanted {
            Some(wanted) if *wanted == found => return Ok(()),
            Some(wanted) => format!("[[immutable]] {rule} keeps it at {found}; it was to lead to {wanted}"),
            None => format!("[[immutable]] {rule} keeps it at {found}; it was to go"),
        };
        Err(Failure::new(Reason::TagImmutable, format!("{repository}:{tag}"), message)
            .hint("give the content another tag, or change the rules: `sealift rules set FILE`"))
    }
}

impl Store {
    /// The rules in force. Asked again, they are read again only if others were set since, by whatever process.
    ///
    /// # Errors
    /// Those of [`State::rules`].
    pub fn rules(&self) -> Result<InForce> {
        let known = self.known_rules();
        let stands = self.query(number)?;
        self.renewed(known, stands, || self.query(text))
    }

    /// Which of these tags the rules keep elsewhere. A change asks again.
    pub fn held_tags(&self, tags: &[PublishedTag]) -> Result<Vec<Failure>> {
        let rules = self.rules()?.rules;
        self.state(|state| {
            let mut held = Vec::new();
            for PublishedTag { repository, tag, digest } in tags {
                match state.check_tag(&rules, repository, tag, Some(digest)) {
                    Err(failure) if failure.reason == Reason::TagImmutable => held.push(failure),
                    checked => checked?,
                }
            }
            Ok(held)
        })
    }

    fn known_rules(&self) -> Option<InForce> {
        self.inner.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `known`, if it is what `stands` in the database; else what `text` reads from there.
    fn renewed(
        &self,
        known: Option<InForce>,
        stands: Option<(i64, String)>,
        text: impl FnOnce() -> Result<Option<(i64, String, String)>>,
    ) -> Result<InForce> {
        let number = stands.as_ref().map_or(0, |(version, _)| version.cast_unsigned());
        if let Some(known) = known
            && known.version == number
            && stands.is_none_or(|(_, digest)| digest == known.digest)
        {
            return Ok(known);
        }
        let read = match text()? {
            Some((version, digest, text)) => parsed(version, digest, &text)?,
            None => InForce::default(),
        };
        *self.inner.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        Ok(read)
    }
}

impl Change<'_> {
    /// Puts other rules into force, and gives their version.
    pub fn set_rules(&self, rules: &Rules) -> Result<u64> {
        // Counting looks at all that the home has. Rules that this sealift cannot read may have had other quotas.
        let is_counted = self.held_rules().is_ok_and(|before| before.quotas() == rules.quotas());
        let version = self.query(number)?.map_or(0, |(version, _)| version) + 1;
        self.query(|database| {
            database.execute(
                "INSERT INTO rules (one, version, digest, text) VALUES (1, ?1, ?2, ?3)
                 ON CONFLICT (one) DO UPDATE SET version = excluded.version, digest = excluded.digest,
                     text = excluded.text",
                params![version, rules.digest().to_string(), rules.text()],
            )
        })?;
        if !is_counted {
            self.recount(rules)?;
        }
        Ok(version.cast_unsigned())
    }

    /// Fails unless each of these tags may lead where it says from now on: one that is new, or leads there already, may.
    ///
    /// # Errors
    /// [`Reason::TagImmutable`], of the first.
    pub(super) fn may_move_tags(&self, tags: &[PublishedTag]) -> Result<()> {
        let rules = self.held_rules()?;
        tags.iter().try_for_each(|PublishedTag { repository, tag, digest }| {
            self.check_tag(&rules, repository, tag, Some(digest))
        })
    }

    /// Fails unless a tag may be taken away.
    ///
    /// # Errors
    /// [`Reason::TagImmutable`].
    pub(super) fn may_drop_tag(&self, repository: &str, tag: &str) -> Result<()> {
        self.check_tag(&*self.held_rules()?, repository, tag, None)
    }

    /// Fails unless every tag that leads to a manifest may be taken away.
    ///
    /// # Errors
    /// [`Reason::TagImmutable`], of the first.
    pub(super) fn may_drop_tags_of(&self, repository: &str, digest: &Digest) -> Result<()> {
        let rules = self.held_rules()?;
        if rules.immutables().is_empty() {
            return Ok(());
        }
        let tags: Vec<String> = self.query(|database| {
            let tags =
                database.statement("SELECT tag FROM tags WHERE repository = ?1 AND digest = ?2 ORDER BY tag");
            tags.query_map(params![repository, digest.to_string()], |row| row.get(0))?.collect()
        })?;
        tags.iter().try_for_each(|tag| self.check_tag(&rules, repository, tag, None))
    }

    /// The rules of this very moment: nobody sets others while this change lasts.
    pub(super) fn held_rules(&self) -> Result<Arc<Rules>> {
        let stands = self.query(number)?;
        Ok(self.store.renewed(self.store.known_rules(), stands, || self.query(text))?.rules)
    }
}

fn number(database: &Connection) -> sql::Result<Option<(i64, String)>> {
    let row = database.statement("SELECT version, digest FROM rules");
    row.query_row(sql::NONE, |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn text(database: &Connection) -> sql::Result<Option<(i64, String, String)>> {
    let row = database.statement("SELECT version, digest, text FROM rules");
    row.query_row(sql::NONE, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
}

/// The rules of a row.
fn parsed(version: i64, digest: String, text: &str) -> Result<InForce> {
    let place = format!("rules {version} of this home");
    if Digest::of(text.as_bytes()).to_string() != digest {
        return Err(damaged(Path::new(&place), "the text of the rules is not the one that was set"));
    }
    let rules = Rules::parse(text, Path::new(&place)).map_err(|failures| {
        let why = failures.worst().map_or_else(String::new, ToString::to_string);
        Failure::new(Reason::RulesMalformed, &place, why).hint(
            "use the sealift version that set them, or a newer one, or set others: `sealift rules set FILE`",
        )
    })?;
    Ok(InForce { version: version.cast_unsigned(), digest, rules: Arc::new(rules) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Author;
    use crate::{
        oci::{Descriptor, media_type},
        store::{Deletion, Publication, PublishedManifest},
    };

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        (dir, store)
    }

    fn rules(tags: &str) -> Rules {
        let text = format!("schema = 1\n[[immutable]]\nrepositories = ['apps/**']\ntags = ['{tags}']\n");
        Rules::parse(&text, Path::new("r")).unwrap()
    }

    fn set(store: &Store, rules: &Rules) -> u64 {
        store.change(|change| change.set_rules(rules)).unwrap()
    }

    fn tag(store: &Store, tag: &str, content: &str) -> Result<Digest> {
        let root = Descriptor::of(media_type::MANIFEST, content.as_bytes());
        store.put(&root, content.as_bytes()).unwrap();
        let digest = root.digest.clone();
        let repository = "apps/a".to_owned();
        let manifest = PublishedManifest {
            repository: repository.clone(),
            root,
            subject: None,
            artifact_type: None,
            annotations: std::collections::BTreeMap::new(),
            blobs: vec![],
            children: vec![],
            absent: vec![],
        };
        let tags = vec![PublishedTag { repository, tag: tag.to_owned(), digest: digest.clone() }];
        store.publish(&Publication { manifests: vec![manifest], tags }, &Author::somebody())?;
        Ok(digest)
    }

    /// R19: another process sets them.
    #[test]
    fn new_rules_hold_for_the_next_who_asks() {
        let (_dir, store) = store();
        let other = Store::open(store.home()).unwrap();
        let unset = store.rules().unwrap();
        assert_eq!((unset.version, &*unset.rules), (0, &Rules::default()));
        for (number, tags) in [(1, "a"), (2, "b"), (3, "a")] {
            assert_eq!(set(&other, &rules(tags)), number);
            let found = store.rules().unwrap();
            assert_eq!((found.version, &*found.rules), (number, &rules(tags)));
            assert!(Arc::ptr_eq(&store.rules().unwrap().rules, &found.rules), "read once");
            assert_eq!(
                store.state(|state| Ok(state.rules()?.rules)).map(|it| it.text().to_owned()).unwrap(),
                rules(tags).text()
            );
        }
    }

    #[test]
    fn a_text_that_is_not_the_one_that_was_set_allows_nothing() {
        let (_dir, store) = store();
        set(&store, &rules("v*"));
        let edit = |statement: &str| {
            store.change(|change| change.query(|database| database.execute(statement, sql::NONE))).unwrap()
        };
        edit("UPDATE rules SET text = 'schema = 1', version = 2");
        assert_eq!(store.rules().unwrap_err().reason, Reason::DatabaseDamaged);
        let digest = Digest::of(b"schema = 2");
        edit(&format!("UPDATE rules SET text = 'schema = 2', digest = '{digest}'"));
        assert_eq!(store.rules().unwrap_err().reason, Reason::RulesMalformed);
        assert_eq!(tag(&store, "v1", "x").unwrap_err().reason, Reason::RulesMalformed);
    }

    /// R16
    #[test]
    fn an_immutable_tag_neither_moves_nor_goes() {
        let (_dir, store) = store();
        let (one, other) = (tag(&store, "v1", "one").unwrap(), tag(&store, "w", "other").unwrap());
        set(&store, &rules("v*"));
        let held = tag(&store, "v1", "two").unwrap_err();
        assert_eq!((held.reason, held.object.as_str()), (Reason::TagImmutable, "apps/a:v1"));
        let two = Digest::of(b"two").to_string();
        assert!(held.message.contains("[[immutable]] 1") && held.message.contains(&two), "{held}");
        assert!(held.message.contains(&one.to_string()), "{held}");
        // The same again, a new one, and one that no rule names.
        for (name, content) in [("v1", "one"), ("v2", "two"), ("w", "two"), ("w", "other")] {
            tag(&store, name, content).unwrap();
        }
        let drop = |name: &str| store.change(|change| change.delete_tag("apps/a", name, &Author::somebody()));
        let delete = |digest: &Digest| {
            store.change(|change| change.delete_manifest("apps/a", digest, &Author::somebody()))
        };
        assert_eq!(drop("v1").unwrap_err().reason, Reason::TagImmutable);
        assert_eq!(delete(&one).unwrap_err().reason, Reason::TagImmutable);
        assert_eq!(store.state(|state| state.tag("apps/a", "v1")).unwrap(), Some(one.clone()));
        assert_eq!((drop("v9").unwrap(), drop("w").unwrap()), (Deletion::Unknown, Deletion::Done));
        assert_eq!(delete(&other).unwrap(), Deletion::Done);
        set(&store, &rules("x*"));
        assert_eq!((drop("v1").unwrap(), delete(&one).unwrap()), (Deletion::Done, Deletion::Done));
    }

    #[test]
    fn all_tags_that_are_held_are_told() {
        let (_dir, store) = store();
        for name in ["v1", "v2", "w"] {
            tag(&store, name, name).unwrap();
        }
        set(&store, &rules("v*"));
        let wanted = |name: &str, content: &[u8]| PublishedTag {
            repository: "apps/a".to_owned(),
            tag: name.to_owned(),
            digest: Digest::of(content),
        };
        let tags = [wanted("v1", b"v1"), wanted("v2", b"x"), wanted("v3", b"x"), wanted("w", b"x")];
        let held = store.held_tags(&tags).unwrap();
        assert_eq!(held.iter().map(|held| held.object.as_str()).collect::<Vec<_>>(), ["apps/a:v2"]);
    }
}
