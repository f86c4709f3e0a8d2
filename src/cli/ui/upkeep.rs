//! What is said of the upkeep of a home, for people.

use super::human::{Human, Page, name, short};
use crate::{
    base::text::{bytes, count},
    report::{
        backup::{BackupIndex, BackupReport, RestoreReport},
        upkeep::{PlanWritten, PruneReport, RepairReport, StoreReport},
    },
};

/// Lines of one kind that are shown; all of them are in JSON.
const SHOWN: usize = 20;

/// The first of many rows, and how many more there are.
fn first(page: &mut Page, rows: impl ExactSizeIterator<Item = Vec<String>>) {
    let more = rows.len().saturating_sub(SHOWN);
    page.table(&rows.take(SHOWN).collect::<Vec<_>>());
    if more > 0 {
        page.line(format!("  and {more} more; --output json shows all"));
    }
}

impl Human for StoreReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        let [manifests, contents] = [(self.manifests, "manifest"), (self.contents, "content")]
            .map(|(number, noun)| count(number, noun));
        let (tags, size) = (count(self.tags, "tag"), bytes(self.bytes));
        page.line(format!("{}: {manifests}, {tags}, {contents}, {size}", name(&self.home)));
        page.line(if self.hashed_bytes > 0 {
            format!("hashed: all of them, {}", bytes(self.hashed_bytes))
        } else {
            "hashed: manifests alone; --read-data hashes everything".to_owned()
        });
        if !self.wrong.is_empty() {
            page.line(format!("wrong: {}", count(self.wrong.len(), "content")));
        }
        first(
            &mut page,
            self.wrong.iter().map(|wrong| {
                let whose = wrong.tags.first().or(wrong.repositories.first());
                let more = wrong.tags.len().saturating_sub(1);
                let whose = whose.map_or_else(|| "nothing needs it".to_owned(), |whose| name(whose));
                let more = if more > 0 { format!(" and {}", count(more, "more tag")) } else { String::new() };
                vec![short(&wrong.digest), name(&wrong.found), whose + &more]
            }),
        );
        if !self.strange.is_empty() {
            page.line(format!("{} that sealift did not make:", count(self.strange.len(), "file")));
        }
        first(&mut page, self.strange.iter().map(|path| vec![name(path)]));
        if self.unneeded > 0 {
            let (number, size) = (count(self.unneeded, "content"), bytes(self.unneeded_bytes));
            page.line(format!(
                "nothing published needs: {number}, {size}; see `sealift prune --unreferenced`"
            ));
        }
        if self.expired_uploads > 0 {
            let number = count(self.expired_uploads, "upload");
            page.line(format!("left over: {number}; `sealift serve` removes them"));
        }
        if self.waiting > 0 {
            page.line(format!("the next collection looks at: {}", self.waiting));
        }
        page.line(self.state);
        page.0
    }
}

impl Human for RepairReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("removed: {}", count(self.removed.len(), "damaged content")));
        first(&mut page, self.removed.iter().map(|digest| vec![short(digest)]));
        page.line(format!("dropped, for they are not there and nothing lists them: {}", self.dropped));
        page.line(format!("given to the next collection to look at: {}", self.listed));
        if !self.store.wrong.is_empty() {
            page.line("only an import or a push of it mends what is wrong now:");
        }
        page.0 + &self.store.human()
    }
}

/// What the home itself did not have whole.
fn lacking(page: &mut Page, index: &BackupIndex) {
    if !index.lacking.is_empty() {
        let number = count(index.lacking.len(), "content");
        page.line(format!("lost or damaged in the home itself, and not in the backup: {number}"));
    }
    first(page, index.lacking.iter().map(|digest| vec![short(&digest.to_string())]));
}

impl Human for BackupReport {
    fn human(&self) -> String {
        let (mut page, index) = (Page::default(), &self.index);
        let (contents, size) = (count(to_usize(index.contents), "content"), bytes(index.bytes));
        page.line(format!("{}: {contents}, {size}, at {}", name(&self.path), index.created));
        page.line(format!(
            "copied: {}, {}; the others were there",
            count(to_usize(self.copied), "content"),
            bytes(self.copied_bytes)
        ));
        lacking(&mut page, index);
        page.line(format!("backup.json {}", self.digest));
        page.line(format!("ledger head {}", index.ledger));
        if !self.secrets.is_empty() {
            let secrets: Vec<String> = self.secrets.iter().map(|path| name(path)).collect();
            page.line(format!("secret keys are in it, not encrypted: {}", secrets.join(", ")));
            page.line("whoever reads them can sign as this site: keep it like the home itself");
        }
        page.line(self.state);
        page.0
    }
}

impl Human for RestoreReport {
    fn human(&self) -> String {
        let (mut page, index) = (Page::default(), &self.index);
        let (contents, size) = (count(to_usize(index.contents), "content"), bytes(index.bytes));
        page.line(format!("{}: {contents}, {size}, as at {}", name(&self.home), index.created));
        lacking(&mut page, index);
        page.line(format!(
            "what happened after that is not in it: accounts, tags and bundles are as they were; {DOCS}"
        ));
        page.line(format!("the ledger went on from record {}, and says so", index.ledger.number));
        page.line(format!("ledger head {}", self.ledger));
        page.line(self.state);
        page.0
    }
}

/// Where it stands what to do then.
const DOCS: &str = "see docs/home.md, \"After a restore\"";

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Human for PlanWritten {
    fn human(&self) -> String {
        let mut page = Page::default();
        let (manifests, contents) =
            (count(self.plan.manifests.len(), "manifest"), count(self.plan.contents.len(), "content"));
        page.line(format!("{manifests}, {contents}, {} would go", bytes(self.bytes)));
        let since = |since: &Option<String>| since.clone().unwrap_or_else(|| "-".to_owned());
        first(
            &mut page,
            self.plan.manifests.iter().map(|one| {
                vec![
                    name(&one.repository),
                    short(&one.digest.to_string()),
                    since(&one.since),
                    bytes(one.bytes),
                ]
            }),
        );
        first(
            &mut page,
            self.plan
                .contents
                .iter()
                .map(|one| vec![short(&one.digest.to_string()), since(&one.since), bytes(one.bytes)]),
        );
        let path = name(&self.path);
        page.line(format!("nothing was changed: review {path}, then `sealift prune --apply {path}`"));
        page.0
    }
}

impl Human for PruneReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("plan {}", self.plan));
        page.line(format!(
            "taken away: {} manifests; {} contents, {}, left the disk",
            self.manifests,
            self.contents,
            bytes(self.bytes)
        ));
        if self.gone > 0 {
            page.line(format!("gone before: {}", self.gone));
        }
        if self.held > 0 {
            page.line(format!("{} contents leave the disk later: a command holds the store", self.held));
        }
        if !self.left.is_empty() {
            page.line(format!("left out, for the plan is outdated: {}", self.left.len()));
        }
        first(
            &mut page,
            self.left.iter().map(|one| {
                vec![
                    one.repository.as_deref().map_or_else(String::new, name),
                    short(&one.digest),
                    name(&one.why),
                ]
            }),
        );
        page.0
    }
}
