//! Tags: what they lead to, where they led, and that they are led back.

use super::Site;
use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        limits,
    },
    ledger::{Deed, Event, RegistryAction, Text, Thing},
    report::tags::{MoveLine, RestoreReport, TagHistoryReport, TagLine, TagsReport},
    store::{TagMove, Target},
};

impl Site {
    /// The tags of a repository after `last` in byte order, at most `limit`; and after which the next page begins, where
    /// there are more.
    ///
    /// # Errors
    /// [`Reason::TagUnknown`] where the home publishes nothing under this name.
    pub fn tags(
        &self,
        repository: &str,
        last: Option<&str>,
        limit: usize,
    ) -> Result<(TagsReport, Option<String>)> {
        let Some(mut page) = self.store.tags(repository, last, limit.saturating_add(1))? else {
            let message = "the home publishes nothing under this name";
            return Err(Failure::new(Reason::TagUnknown, repository, message)
                .hint("`sealift serve` lists the names at /v2/_catalog; the `:` of an upstream's port is a `_` there"));
        };
        let more = page.len() > limit;
        page.truncate(limit);
        // By what was there, and not by what is left of it below.
        let next = page.last().filter(|_last| more).cloned();
        let mut tags = Vec::with_capacity(page.len());
        for tag in page {
            // One that was taken away in between is left out.
            let Some(found) = self.store.manifest(repository, &Target::Tag(tag.clone()))? else { continue };
            let last = self.store.tag_history(repository, &tag, 1)?.into_iter().next().map(line);
            let (since, who) = last.map_or((None, None), |last| (last.time, last.who));
            tags.push(TagLine { tag, digest: found.digest.to_string(), since, who });
        }
        Ok((TagsReport { schema: 1, repository: repository.to_owned(), tags }, next))
    }

    /// Where a tag led, the last move first.
    ///
    /// # Errors
    /// [`Reason::TagUnknown`] where nobody ever set it.
    pub fn tag_history(&self, repository: &str, tag: &str) -> Result<TagHistoryReport> {
        let moves = self.store.tag_history(repository, tag, limits::TAG_MOVES)?;
        if moves.is_empty() {
            let message = "nobody ever set this tag here";
            return Err(Failure::new(Reason::TagUnknown, format!("{repository}:{tag}"), message)
                .hint(format!("see what there is: `sealift tag list {repository}`")));
        }
        let (repository, tag) = (repository.to_owned(), tag.to_owned());
        Ok(TagHistoryReport { schema: 1, repository, tag, moves: moves.into_iter().map(line).collect() })
    }

    /// Leads a tag back, to `wanted` or to where it led before, and keeps that in the ledger.
    ///
    /// # Errors
    /// Those of [`crate::store::Change::restore_tag`].
    pub fn restore_tag(&self, repository: &str, tag: &str, wanted: Option<&Digest>) -> Result<RestoreReport> {
        self.lead_back((repository, tag), wanted, |_found| Ok(()))
    }

    /// The same, if `check` lets it, which hears where the tag leads in the very moment of the change.
    ///
    /// # Errors
    /// Those of `check` too.
    pub fn lead_back(
        &self,
        (repository, tag): (&str, &str),
        wanted: Option<&Digest>,
        check: impl FnOnce(Option<&Digest>) -> Result<()>,
    ) -> Result<RestoreReport> {
        self.change(|change, _importer| {
            check(change.tag(repository, tag)?.as_ref())?;
            let author = self.actor.author(self.now);
            let (before, digest) = change.restore_tag(repository, tag, wanted, &author)?;
            let deed = Deed {
                what: Some(Thing::Tag),
                repository: Some(Text::new(repository)),
                tag: Some(Text::new(tag)),
                digest: Some(digest.clone()),
                before: before.clone(),
                ..self.actor.deed(RegistryAction::Restore)
            };
            change.append(self.now, &Event::Registry(deed))?;
            Ok(RestoreReport {
                schema: 1,
                repository: repository.to_owned(),
                tag: tag.to_owned(),
                before: before.map(|digest| digest.to_string()),
                digest: digest.to_string(),
            })
        })
    }
}

fn line(one: TagMove) -> MoveLine {
    MoveLine {
        time: one.time.map(|time| time.to_string()),
        who: (!one.who.is_empty()).then_some(one.who),
        digest: one.digest.map(|digest| digest.to_string()),
        present: one.present,
    }
}
