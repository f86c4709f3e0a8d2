//! All that the database says of repositories, at one moment: for who looks over the whole of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    State,
    sql::{self, Connection, Row, params},
};
use crate::base::{clock::Timestamp, digest::Digest, failure::Result};

/// The versions of the schema since which what manifests list is written down, and where tags led.
const EDGES_SINCE: usize = 4;
const HISTORY_SINCE: usize = 6;

/// What one repository has.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// Its manifests.
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    /// Its blobs.
    pub(super) blobs: BTreeSet<Digest>,
    /// What its manifests list, present or not.
    pub(super) edges: BTreeMap<Digest, Vec<Digest>>,
    /// Where its tags lead.
    pub(super) tags: BTreeMap<String, Digest>,
}

/// A manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    /// Its type.
    pub(super) media_type: String,
    /// Its size.
    pub(super) size: u64,
    /// What it is about.
    pub(super) subject: Option<Digest>,
}

impl Repository {
    /// Everything that `roots` lead to, themselves included: what they list, and what is about any of these.
    pub(super) fn reach(&self, roots: impl IntoIterator<Item = Digest>) -> BTreeSet<Digest> {
        let mut referrers: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for (digest, manifest) in &self.manifests {
            if let Some(subject) = &manifest.subject {
                referrers.entry(subject).or_default().push(digest);
            }
        }
        let (mut reached, mut next) = (BTreeSet::new(), roots.into_iter().collect::<Vec<_>>());
        while let Some(digest) = next.pop() {
            if reached.insert(digest.clone()) {
                next.extend(self.edges.get(&digest).into_iter().flatten().cloned());
                next.extend(referrers.get(&digest).into_iter().flatten().map(|&one| one.clone()));
            }
        }
        reached
    }

    /// The tags that lead to `digest`, by way of whatever lists it.
    pub(super) fn tags_over(&self, digest: &Digest) -> Vec<String> {
        let mut over = BTreeSet::from([digest]);
        loop {
            let before = over.len();
            for (parent, children) in &self.edges {
                if children.iter().any(|child| over.contains(child)) {
                    over.insert(parent);
                }
            }
            if over.len() == before {
                break;
            }
        }
        self.tags.iter().filter(|(_, leads)| over.contains(leads)).map(|(tag, _)| tag.clone()).collect()
    }
}

impl State<'_> {
    /// Every repository, or the one that is asked for.
    pub(super) fn inventory(&self, only: Option<&str>) -> Result<BTreeMap<String, Repository>> {
        let digest = super::site::digest;
        self.query(|database| {
            let has_edges = database.version()? >= EDGES_SINCE;
            let mut all: BTreeMap<String, Repository> = BTreeMap::new();
            let mut each = |sql: &str, take: &mut dyn FnMut(&mut Repository, &Row) -> sql::Result<()>| {
                let sql = format!("{sql} WHERE CAST(?1 AS TEXT) IS NULL OR repository = ?1");
                database.statement(&sql).each(params![only], |row| {
                    take(all.entry(row.get(0)?).or_default(), row)?;
                    Ok(std::ops::ControlFlow::Continue(()))
                })
            };
            each("SELECT repository, digest, media_type, size, subject FROM manifests", &mut |one, row| {
                let subject: Option<String> = row.get(4)?;
                let size: i64 = row.get(3)?;
                let manifest = Manifest {
                    media_type: row.get(2)?,
                    size: u64::try_from(size).unwrap_or_default(),
                    subject: subject.and_then(|subject| Digest::parse(&subject).ok()),
                };
                one.manifests.insert(digest(row, 1)?, manifest);
                Ok(())
            })?;
            each("SELECT repository, digest FROM blobs", &mut |one, row| {
                one.blobs.insert(digest(row, 1)?);
                Ok(())
            })?;
            each("SELECT repository, tag, digest FROM tags", &mut |one, row| {
                one.tags.insert(row.get(1)?, digest(row, 2)?);
                Ok(())
            })?;
            if has_edges {
                each("SELECT repository, parent, child FROM edges", &mut |one, row| {
                    one.edges.entry(digest(row, 1)?).or_default().push(digest(row, 2)?);
                    Ok(())
                })?;
            }
            Ok(all)
        })
    }

    /// When the last tag that led to a manifest of the repository left it, for those that one led to.
    pub(super) fn left(&self, repository: &str) -> Result<BTreeMap<Digest, Timestamp>> {
        let moves: Vec<(String, Option<String>, i64)> = self.query(|database| {
            database
                .statement(
                    "SELECT tag, digest, time FROM tag_history WHERE repository = ?1 ORDER BY tag, number",
                )
                .query_map(params![repository], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })?;
        let mut left: BTreeMap<Digest, Timestamp> = BTreeMap::new();
        for (one, next) in moves.iter().zip(moves.iter().skip(1)) {
            let time = u64::try_from(next.2).ok().and_then(Timestamp::from_seconds);
            let (true, Some(digest), Some(time)) = (one.0 == next.0, &one.1, time) else { continue };
            let Ok(digest) = Digest::parse(digest) else { continue };
            let latest = left.entry(digest).or_insert(time);
            *latest = time.max(*latest);
        }
        Ok(left)
    }

    /// Who led a tag where it leads; `None` where that was not written down.
    pub(super) fn author(&self, repository: &str, tag: &str) -> Result<Option<String>> {
        if self.query(Connection::version)? < HISTORY_SINCE {
            return Ok(None);
        }
        let moves = self.query(|database| super::tags::history(database, repository, tag, 1))?;
        Ok(moves.into_iter().next().map(|last| last.who).filter(|who| !who.is_empty()))
    }
}
