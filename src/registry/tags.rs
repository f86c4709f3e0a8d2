//! Lists of tags and repositories, in byte order, page by page.

use super::{
    Registry, Request,
    respond::{self, Answer, Refusal},
};
use crate::{base::limits, oci::error_code};

impl Registry {
    pub(super) fn tags(&self, request: &Request, name: &str) -> Answer {
        let repository = request.query.repository(name);
        let page = Page::of(request);
        let tags = self.store.tags(&repository, page.last, page.probe())?;
        let tags = tags.ok_or_else(|| Refusal::of(error_code::NAME_UNKNOWN))?;
        let path = format!("/v2/{name}/tags/list");
        Ok(page.answer(tags, &path, request, |tags| serde_json::json!({ "name": name, "tags": tags })))
    }

    pub(super) fn catalog(&self, request: &Request) -> Answer {
        let page = Page::of(request);
        let shown = request.gate.shown(&request.caller);
        let repositories = shown.page(page.last, page.probe(), |last, count, within| {
            self.store.repositories(last, count, Some(within))
        })?;
        Ok(page.answer(
            repositories,
            "/v2/_catalog",
            request,
            |repositories| serde_json::json!({ "repositories": repositories }),
        ))
    }
}

/// One page of a list: `n` entries after `last` (distribution-spec, "Listing Tags").
struct Page<'a> {
    size: usize,
    last: Option<&'a str>,
}

impl<'a> Page<'a> {
    fn of(request: &'a Request) -> Self {
        let size = request.query.n.map_or(limits::LIST_ENTRIES, |n| n.min(limits::LIST_ENTRIES));
        Self { size, last: request.query.last.as_deref() }
    }

    /// One entry more than the page holds tells whether there is a next one; none is wanted for `n=0`.
    fn probe(&self) -> usize {
        if self.size == 0 { 0 } else { self.size + 1 }
    }

    fn answer(
        &self,
        mut entries: Vec<String>,
        path: &str,
        request: &Request,
        document: impl FnOnce(&[String]) -> serde_json::Value,
    ) -> axum::response::Response {
        let more = entries.len() > self.size;
        entries.truncate(self.size);
        let mut response = respond::json(&document(&entries));
        if let Some(last) = entries.last().filter(|_last| more) {
            respond::link_next(&mut response, path, self.size, last, &request.query);
        }
        response
    }
}
