//! What is said of tags, for people.

use super::human::{Human, Page, name, short};
use crate::report::tags::{RestoreReport, TagHistoryReport, TagsReport};

/// What stands for what was never written down.
const UNKNOWN: &str = "-";

/// A word, or that nobody knows it.
fn known(text: Option<&String>) -> String {
    text.map_or_else(|| UNKNOWN.to_owned(), |text| name(text))
}

impl Human for TagsReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(name(&self.repository));
        let rows = self.tags.iter().map(|line| {
            vec![name(&line.tag), short(&line.digest), known(line.since.as_ref()), known(line.who.as_ref())]
        });
        page.table(&rows.collect::<Vec<_>>());
        page.0
    }
}

impl Human for TagHistoryReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        page.line(format!("{}:{}", name(&self.repository), name(&self.tag)));
        let rows = self.moves.iter().map(|line| {
            let to = line.digest.as_ref().map_or_else(|| "taken away".to_owned(), |digest| short(digest));
            let gone = if line.digest.is_some() && !line.present { "the manifest is gone" } else { "" };
            vec![known(line.time.as_ref()), to, known(line.who.as_ref()), gone.to_owned()]
        });
        page.table(&rows.collect::<Vec<_>>());
        page.0
    }
}

impl Human for RestoreReport {
    fn human(&self) -> String {
        let before = self.before.as_ref().map_or_else(|| "nothing".to_owned(), |digest| short(digest));
        let (repository, tag) = (name(&self.repository), name(&self.tag));
        format!("{repository}:{tag} leads to {} again, and no longer to {before}\n", self.digest)
    }
}
