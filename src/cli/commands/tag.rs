//! `sealift tag`

use super::trust::open_site;
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Failures, Reason, Result},
        limits,
    },
    cli::{
        args::{TagCommand, TagHistory, TagList, TagName, TagRestore},
        settings::Settings,
        ui::Out,
    },
    report::tags::{TagHistoryReport, TagLine, TagsReport},
    site::Site,
    store::Store,
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
    let site = Site::new(existing(settings)?, Timestamp::now());
    let (mut tags, mut last): (Vec<TagLine>, Option<String>) = (Vec::new(), None);
    loop {
        let (mut page, next) = site.tags(&args.repository, last.as_deref(), limits::LIST_ENTRIES)?;
        tags.append(&mut page.tags);
        if next.is_none() {
            return Ok(TagsReport { tags, ..page });
        }
        last = next;
    }
}

fn history(args: &TagHistory, settings: &Settings) -> Result<TagHistoryReport> {
    let TagName { repository, tag } = &args.tag;
    Site::new(existing(settings)?, Timestamp::now()).tag_history(repository, tag)
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
