//! `sealift tag`

use super::trust::open_site;
use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        limits,
    },
    cli::{
        args::{TagCommand, TagHistory, TagList, TagName, TagRestore},
        settings::Settings,
        ui::Out,
    },
    report::tags::{MoveLine, TagHistoryReport, TagLine, TagsReport},
    store::{Store, TagMove, Target},
};

pub(super) fn run(command: TagCommand, settings: &Settings, out: &Out) -> Result<(), Failures> {
    match command {
        TagCommand::List(args) => out.report(&list(&args, settings)?),
        TagCommand::History(args) => out.report(&history(&args, settings)?),
        TagCommand::Restore(args) => out.report(&restore(&args, settings)?),
    }
    Ok(())
}

fn list(args: &TagList, settings: &Settings) -> Result<TagsReport> {
    let store = existing(settings)?;
    let repository = &args.repository;
    let mut tags: Vec<TagLine> = Vec::new();
    loop {
        let last = tags.last().map(|line| line.tag.clone());
        let Some(page) = store.tags(repository, last.as_deref(), limits::LIST_ENTRIES)? else {
            let message = "the home publishes nothing under this name";
            return Err(Failure::new(Reason::TagUnknown, repository, message)
                .hint("`sealift serve` lists the names at /v2/_catalog; the `:` of an upstream's port is a `_` there"));
        };
        if page.is_empty() {
            return Ok(TagsReport { schema: 1, repository: repository.clone(), tags });
        }
        for tag in page {
            // One that was taken away in between is left out.
            let Some(found) = store.manifest(repository, &Target::Tag(tag.clone()))? else { continue };
            let last = store.tag_history(repository, &tag, 1)?.into_iter().next().map(line);
            let (since, who) = last.map_or((None, None), |last| (last.time, last.who));
            tags.push(TagLine { tag, digest: found.digest.to_string(), since, who });
        }
    }
}

fn history(args: &TagHistory, settings: &Settings) -> Result<TagHistoryReport> {
    let TagName { repository, tag } = args.tag.clone();
    let moves = existing(settings)?.tag_history(&repository, &tag, limits::TAG_MOVES)?;
    if moves.is_empty() {
        let name = format!("{repository}:{tag}");
        return Err(Failure::new(Reason::TagUnknown, name, "nobody ever set this tag here")
            .hint(format!("see what there is: `sealift tag list {repository}`")));
    }
    Ok(TagHistoryReport { schema: 1, repository, tag, moves: moves.into_iter().map(line).collect() })
}

fn restore(args: &TagRestore, settings: &Settings) -> Result<crate::report::tags::RestoreReport> {
    existing(settings)?;
    let TagName { repository, tag } = &args.tag;
    open_site(settings)?.restore_tag(repository, tag, args.to.as_ref())
}

/// The store of a home that is there: who asks what one holds does not make one.
pub(super) fn existing(settings: &Settings) -> Result<Store> {
    existing_home(settings)?;
    Store::open(&settings.home)
}

/// Fails where there is no home.
pub(super) fn existing_home(settings: &Settings) -> Result<()> {
    if Store::is_at(&settings.home) {
        return Ok(());
    }
    Err(Failure::new(Reason::NotFound, settings.home.display(), "there is no home here")
        .hint("check --home, or import a bundle first"))
}

fn line(one: TagMove) -> MoveLine {
    MoveLine {
        time: one.time.map(|time| time.to_string()),
        who: (!one.who.is_empty()).then_some(one.who),
        digest: one.digest.map(|digest| digest.to_string()),
        present: one.present,
    }
}
