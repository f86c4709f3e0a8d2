//! The lists: repositories, and the tags of one.

use askama::Template;

use super::{
    Frame, Look, page,
    view::{Filter, Moved},
    words::{Moment, Name, Size, grouped, kind},
};
use crate::{
    base::clock::Timestamp,
    oci::error_code,
    registry::respond::{Answer, Refusal},
    store::{Summary, TagRow},
};

/// Entries of a page.
const ENTRIES: usize = 50;

#[derive(Template)]
#[template(path = "start.html")]
struct Start {
    frame: Frame,
    filter: Form,
    rows: Vec<Repository>,
    next: Option<String>,
    /// Whether this is not the first page.
    first: Option<String>,
    undescribed: bool,
}

#[derive(Template)]
#[template(path = "repository.html")]
struct Tags {
    frame: Frame,
    filter: Form,
    repository: Repository,
    rows: Vec<Tag>,
    next: Option<String>,
    first: Option<String>,
    undescribed: bool,
}

/// The form above a list.
struct Form {
    action: String,
    /// What the name is of.
    what: &'static str,
    name: String,
    platform: String,
    label: String,
    within: bool,
    before: bool,
    days: u64,
    is_set: bool,
}

/// A repository in words.
struct Repository {
    name: String,
    /// The part of the name before the last `/`, with it; and the rest.
    parts: (String, String),
    tags: String,
    manifests: String,
    size: Size,
    moved: Option<Moment>,
    platforms: Vec<String>,
}

/// A tag in words.
struct Tag {
    name: String,
    kind: String,
    digest: Name,
    platforms: Vec<String>,
    size: Size,
    moved: Option<Moment>,
    mover: String,
}

impl Form {
    fn of(filter: &Filter, action: String, what: &'static str) -> Self {
        Self {
            action,
            what,
            name: filter.name.clone(),
            platform: filter.platform.clone(),
            label: filter.label.clone(),
            within: filter.moved == Moved::Within,
            before: filter.moved == Moved::Before,
            days: filter.days,
            is_set: filter.is_set(),
        }
    }
}

impl Repository {
    fn of(name: String, found: Summary, frame: &Frame) -> Self {
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", &name));
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Self {
            parts: (folder, last.to_owned()),
            tags: grouped(found.tags),
            manifests: grouped(found.manifests),
            size: Size::of(found.bytes),
            moved: found.moved.map(|time| Moment::of(time, frame.now)),
            platforms: found.platforms,
            name,
        }
    }
}

impl Tag {
    fn of(row: TagRow, frame: &Frame) -> Self {
        Self {
            kind: kind(&row.media_type, row.artifact_type.as_deref()),
            digest: Name::of(&row.digest),
            platforms: row.platforms,
            size: Size::of(row.bytes),
            moved: row.moved.map(|time| Moment::of(time, frame.now)),
            mover: frame.name_of(&row.mover),
            name: row.tag,
        }
    }
}

impl Look<'_> {
    /// The repositories that may be pulled.
    pub(super) fn start(self, undescribed: bool) -> Answer {
        let store = &self.registry.store;
        let wanted = self.filter.wanted(self.frame.now);
        let after = self.filter.after.as_deref();
        let mut names = self
            .gate
            .shown(&self.caller)
            .page(after, ENTRIES + 1, |last, count, within| store.browse(&wanted, last, within, count))?;
        let next = (names.len() > ENTRIES).then(|| names.get(ENTRIES - 1).cloned()).flatten();
        names.truncate(ENTRIES);
        let mut rows = Vec::new();
        for name in names {
            let found = store.summary(&name)?;
            rows.push(Repository::of(name, found, &self.frame));
        }
        page(&Start {
            filter: Form::of(&self.filter, "/".to_owned(), "Repository"),
            next: next.map(|last| format!("/{}", self.filter.query(Some(&last)))),
            first: after.map(|_after| format!("/{}", self.filter.query(None))),
            rows,
            undescribed: undescribed && self.filter.is_set(),
            frame: self.frame,
        })
    }

    /// A repository and its tags.
    pub(super) fn repository(self, name: &str, undescribed: bool) -> Answer {
        let store = &self.registry.store;
        let found = store.summary(name)?;
        if found.manifests == 0 {
            return Err(Refusal::of(error_code::NAME_UNKNOWN));
        }
        let wanted = self.filter.wanted(self.frame.now);
        let after = self.filter.after_tag()?;
        let mut tags = store.browse_tags(name, &wanted, after.as_ref(), ENTRIES + 1)?;
        let last = tags.get(ENTRIES - 1).filter(|_last| tags.len() > ENTRIES);
        let path = format!("/r/{name}");
        let next = last.map(|last| {
            let moved = last.moved.map_or(0, Timestamp::seconds);
            format!("{path}{}", self.filter.query(Some(&format!("{moved}:{}", last.tag))))
        });
        tags.truncate(ENTRIES);
        page(&Tags {
            filter: Form::of(&self.filter, path.clone(), "Tag"),
            repository: Repository::of(name.to_owned(), found, &self.frame),
            rows: tags.into_iter().map(|row| Tag::of(row, &self.frame)).collect(),
            next,
            first: after.map(|_after| format!("{path}{}", self.filter.query(None))),
            undescribed: undescribed && self.filter.is_set(),
            frame: self.frame,
        })
    }
}
