//! Files for nodes, for people.

use super::human::{Human, Page, name};
use crate::{base::text, report::mirror::MirrorReport};

impl Human for MirrorReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        let Some(folder) = &self.folder else {
            for file in &self.files {
                page.line(format!("# --- {}", file.path));
                page.line(&file.text);
            }
            page.0.truncate(page.0.trim_end().len() + 1);
            return page.0;
        };
        page.line(format!(
            "{} stands for {}; {} in {}",
            self.registry,
            self.upstreams.join(", "),
            text::count(self.files.len(), "file"),
            name(folder)
        ));
        for file in &self.files {
            page.line(format!("  {}", file.path));
        }
        page.0
    }
}
