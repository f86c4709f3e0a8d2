//! What nobody needs any more, listed for people to review; and taken away as it was reviewed, after another look.
//!
//! A manifest is needed that a tag leads to; and so is what a needed one lists, and what is about a needed one: its
//! signatures and lists of parts. Nothing here moves a tag.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Author, Change, Deletion, State, Store,
    inventory::Repository,
    locks::Lock,
    sql::{self, Mode, params},
};
use crate::{
    base::{
        clock::Timestamp,
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    report::{
        ImportReport,
        upkeep::{LeftLine, Plan, PlannedContent, PlannedManifest},
    },
    rules::Pattern,
};

/// What to list.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Manifests that no tag reaches.
    pub untagged: bool,
    /// Of these also what imports brought by digest, without a tag.
    pub brought: bool,
    /// Contents that nothing published needs.
    pub unreferenced: bool,
    /// Only manifests of these repositories.
    pub repositories: Option<&'a Pattern>,
    /// Only what nobody needs since before this; of any age where there is none.
    pub before: Option<Timestamp>,
}

impl Wish<'_> {
    /// Whether it is left alone for its age; what is of unknown age is, where that matters.
    fn is_young(&self, since: Option<Timestamp>) -> bool {
        self.before.is_some_and(|before| since.is_none_or(|since| since >= before))
    }
}

/// What was taken away of what a plan lists.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Manifests.
    pub manifests: u64,
    /// Contents that left the disk.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was gone before.
    pub gone: u64,
    /// What was left out.
    pub left: Vec<LeftLine>,
}

impl Store {
    /// Lists what could go; nothing is changed.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect), for it has to know what every manifest lists.
    pub fn plan(&self, wish: &Wish<'_>, now: Timestamp) -> Result<Plan> {
        self.write_edges()?;
        let mut plan = Plan { schema: 1, created: now.seconds(), manifests: vec![], contents: vec![] };
        if wish.untagged {
            plan.manifests = self.untagged(wish)?;
        }
        if wish.unreferenced {
            plan.contents = self.unneeded(wish)?;
        }
        Ok(plan)
    }

    fn untagged(&self, wish: &Wish<'_>) -> Result<Vec<PlannedManifest>> {
        let (all, left, brought) = self.state(|state| {
            let all = state.inventory(None)?;
            let brought = if wish.brought { BTreeSet::new() } else { brought(state, 0)? };
            let mut left = BTreeMap::new();
            for name in all.keys().filter(|name| wish.repositories.is_none_or(|some| some.matches(name))) {
                left.insert(name.clone(), state.left(name)?);
            }
            Ok((all, left, brought))
        })?;
        let mut users = users(&all);
        let mut planned = Vec::new();
        for (name, left) in left {
            let Some(repository) = all.get(&name) else { continue };
            let mut since = BTreeMap::new();
            for digest in unreached(repository, brought.iter().cloned()) {
                since.insert(digest.clone(), left.get(digest).copied().max(self.arrived(digest)?));
            }
            // What is about something goes with it, and stays with it.
            let young = |(digest, since): &(&Digest, &Option<Timestamp>)| {
                wish.is_young(**since)
                    && repository.manifests.get(*digest).is_some_and(|manifest| {
                        manifest.subject.as_ref().is_none_or(|one| !repository.manifests.contains_key(one))
                    })
            };
            let young: Vec<Digest> = since.iter().filter(young).map(|(digest, _)| digest.clone()).collect();
            for digest in unreached(repository, young.into_iter().chain(brought.iter().cloned())) {
                planned.push(PlannedManifest {
                    bytes: self.freed(&mut users, repository, digest)?,
                    repository: name.clone(),
                    digest: digest.clone(),
                    subject: repository.manifests.get(digest).and_then(|manifest| manifest.subject.clone()),
                    since: since.get(digest).copied().flatten().map(|since| since.to_string()),
                });
            }
        }
        Ok(planned)
    }

    /// Bytes of what nobody uses any more when this manifest goes too.
    fn freed(
        &self,
        users: &mut HashMap<Digest, u64>,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<u64> {
        let mut bytes = 0;
        for content in listed(repository, digest) {
            let Some(count) = users.get_mut(content) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                bytes += self.size_of(content)?.unwrap_or_default();
            }
        }
        Ok(bytes)
    }

    /// When a content was stored.
    fn arrived(&self, digest: &Digest) -> Result<Option<Timestamp>> {
        Ok(self.contents().look(digest)?.and_then(|stored| stored.since))
    }

    fn unneeded(&self, wish: &Wish<'_>) -> Result<Vec<PlannedContent>> {
        let there = self.contents().list()?;
        // After the look at them: what is published since is needed.
        let needed: BTreeSet<String> = self.query(|database| {
            database
                .statement(&format!("{NEEDED} UNION SELECT digest FROM leases"))
                .query_map(sql::NONE, |row| row.get(0))?
                .collect()
        })?;
        let mut planned = Vec::new();
        for (digest, stored) in there.contents.into_iter().filter(|(digest, _)| !needed.contains(digest)) {
            let digest = Digest::parse(&digest).map_err(Failure::internal)?;
            if !wish.is_young(stored.since) {
                let since = stored.since.map(|since| since.to_string());
                planned.push(PlannedContent { digest, since, bytes: stored.size });
            }
        }
        Ok(planned)
    }

    /// Takes contents off the disk that a plan lists, those that nothing needs now. Each group is a step of its own;
    /// whatever ends this, the same plan goes on where it was.
    ///
    /// # Errors
    /// [`Reason::LockHeld`] while something relies on what is in the store; those of disk and database.
    pub fn prune_contents(&self, planned: &[PlannedContent], done: &mut Pruned) -> Result<()> {
        if planned.is_empty() {
            return Ok(());
        }
        let Some(_alone) = self.try_lock(Lock::Contents)? else {
            let message = "a lock, build, import or collection relies on what is in the store";
            return Err(Failure::new(Reason::LockHeld, self.home().display(), message)
                .hint("nothing was taken away: run this again when it is done"));
        };
        let mut groups: BTreeMap<_, Vec<&PlannedContent>> = BTreeMap::new();
        for one in planned {
            groups.entry(self.contents().group(&one.digest)).or_default().push(one);
        }
        for planned in groups.values() {
            let Some(first) = planned.first() else { continue };
            let _turn = match self.lock(Lock::Names(&first.digest), Mode::Exclusive) {
                Err(failure) if failure.reason == Reason::NotFound => {
                    // There is no such folder, and so nothing in it.
                    done.gone += planned.len() as u64;
                    continue;
                }
                turn => turn?,
            };
            for planned in planned.chunks(self.contents().together()) {
                // Asked before others wait for this; in the turn of the group nothing comes or goes.
                let digests: Vec<&Digest> = planned.iter().map(|one| &one.digest).collect();
                let sizes = self.sizes_of(&digests)?;
                let choose = |change: &Change<'_>| {
                    let mut free = Vec::new();
                    for (one, size) in planned.iter().zip(sizes) {
                        if change.is_free(one, size, done)? {
                            free.push(one.digest.clone());
                        }
                    }
                    Ok(free)
                };
                let removed = self.take_away(choose, |_, _| Ok(()))?;
                done.contents += removed.len() as u64;
                done.bytes += removed.iter().map(|one| one.size).sum::<u64>();
            }
        }
        Ok(())
    }
}

/// Every content that some repository has.
const NEEDED: &str = "SELECT digest FROM blobs UNION SELECT digest FROM manifests";

impl Change<'_> {
    /// Whether a content of a plan is there as it was, in this size, and nothing needs it.
    fn is_free(&self, one: &PlannedContent, size: Option<u64>, done: &mut Pruned) -> Result<bool> {
        let needed = self.query(|database| {
            let sql =
                "SELECT 1 FROM blobs WHERE digest = ?1 UNION ALL SELECT 1 FROM manifests WHERE digest = ?1
                       UNION ALL SELECT 1 FROM leases WHERE digest = ?1";
            database.statement(sql).exists(params![one.digest.to_string()])
        })?;
        let why = match size {
            None => {
                done.gone += 1;
                return Ok(false);
            }
            Some(_) if needed => "a repository has it now",
            Some(size) if size != one.bytes => "it has another size now",
            Some(_) => return Ok(true),
        };
        done.left.push(LeftLine { repository: None, digest: one.digest.to_string(), why: why.to_owned() });
        Ok(false)
    }

    /// Takes away the manifests of a plan that nothing needs in this change.
    ///
    /// # Errors
    /// Those of the database.
    pub fn prune_manifests(&self, plan: &Plan, author: &Author, done: &mut Pruned) -> Result<()> {
        let mut repositories: BTreeMap<&str, BTreeSet<&Digest>> = BTreeMap::new();
        for one in &plan.manifests {
            repositories.entry(&one.repository).or_default().insert(&one.digest);
        }
        let brought = brought(self, plan.created)?;
        for (name, planned) in repositories {
            let repository = self.inventory(Some(name))?.remove(name).unwrap_or_default();
            let (there, gone): (BTreeSet<_>, BTreeSet<_>) =
                planned.into_iter().partition(|digest| repository.manifests.contains_key(*digest));
            done.gone += gone.len() as u64;
            let left = self.left(name)?;
            let used = |digest: &Digest| {
                brought.contains(digest) || left.get(digest).is_some_and(|left| left.seconds() > plan.created)
            };
            let mut waiting: BTreeSet<&Digest> = BTreeSet::new();
            let free = free(&repository, &there, used);
            for digest in there {
                if free.contains(digest) {
                    waiting.insert(digest);
                } else {
                    let why = reason(&repository, digest);
                    done.left.push(LeftLine {
                        repository: Some(name.to_owned()),
                        digest: digest.to_string(),
                        why,
                    });
                }
            }
            // What lists others goes before them.
            while !waiting.is_empty() {
                let before = waiting.len();
                let mut listed = Vec::new();
                for digest in std::mem::take(&mut waiting) {
                    match self.delete_manifest(name, digest, author)? {
                        Deletion::Done => done.manifests += 1,
                        Deletion::Unknown => done.gone += 1,
                        Deletion::InUse(_) => listed.push(digest),
                    }
                }
                waiting.extend(listed);
                if waiting.len() == before {
                    return Err(Failure::internal(format!("manifests of {name} list each other")));
                }
            }
        }
        Ok(())
    }
}

/// What imports since then brought by digest, without a tag: whoever deploys it pulls it by digest.
fn brought(state: &State<'_>, since: u64) -> Result<BTreeSet<Digest>> {
    let mut brought = BTreeSet::new();
    for report in state.reports()? {
        let report: ImportReport = serde_json::from_str(&report).map_err(Failure::internal)?;
        if Timestamp::parse(&report.time).is_some_and(|time| time.seconds() < since) {
            continue;
        }
        brought.extend(
            report
                .artifacts
                .into_iter()
                .filter(|one| one.target.ends_with(&format!("@{}", one.digest)))
                .map(|one| one.digest),
        );
    }
    Ok(brought)
}

/// Manifests of a repository that no tag and none of these reaches.
fn unreached(repository: &Repository, kept: impl IntoIterator<Item = Digest>) -> BTreeSet<&Digest> {
    let reached = repository.reach(repository.tags.values().cloned().chain(kept));
    repository.manifests.keys().filter(|digest| !reached.contains(*digest)).collect()
}

/// Those of `planned` that nothing needs: no tag, none that came since the plan was made, none that lists or is about
/// one of these, and none that was used since.
fn free<'a>(
    repository: &'a Repository,
    planned: &BTreeSet<&'a Digest>,
    used: impl Fn(&Digest) -> bool,
) -> BTreeSet<&'a Digest> {
    let mut kept: BTreeSet<Digest> = BTreeSet::new();
    for digest in unreached(repository, []) {
        if planned.contains(digest) {
            if used(digest) {
                kept.insert(digest.clone());
            }
            continue;
        }
        // Whoever signs something needs it.
        let subject = repository.manifests.get(digest).and_then(|manifest| manifest.subject.clone());
        kept.extend(subject);
        kept.insert(digest.clone());
    }
    unreached(repository, kept)
}

/// Why a manifest of a plan stays.
fn reason(repository: &Repository, digest: &Digest) -> String {
    let tags = repository.tags_over(digest);
    if let Some(tag) = tags.first() {
        return format!("the tag {tag} leads to it");
    }
    let lists = repository.edges.iter().find(|(_, children)| children.contains(digest));
    if let Some((parent, _)) = lists {
        return format!("{parent} lists it");
    }
    let about = repository.manifests.iter().find(|(_, one)| one.subject.as_ref() == Some(digest));
    match about {
        Some((referrer, _)) => format!("{referrer} is about it"),
        None => "it was used since the plan was made, or is about what was".to_owned(),
    }
}

/// A manifest and what it lists.
fn listed<'a>(repository: &'a Repository, digest: &'a Digest) -> impl Iterator<Item = &'a Digest> {
    let children = repository.edges.get(digest).into_iter().flatten();
    std::iter::once(digest).chain(children.filter(|child| repository.blobs.contains(*child)))
}

/// How many manifests use each content.
fn users(all: &BTreeMap<String, Repository>) -> HashMap<Digest, u64> {
    let mut users = HashMap::new();
    for repository in all.values() {
        for manifest in repository.manifests.keys() {
            for content in listed(repository, manifest) {
                *users.entry(content.clone()).or_insert(0) += 1;
            }
        }
    }
    users
}
