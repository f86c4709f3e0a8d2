//! What is said of rules, for people.

use super::human::{Human, Page, name};
use crate::{
    base::text::{count, escaped},
    report::rules::{RulesReport, RulesShown},
};

impl Human for RulesShown {
    fn human(&self) -> String {
        // As it was written, so that it can be kept as a file and changed; but for what no terminal should see.
        let line = |line: &str| {
            let cells: Vec<String> = line.split('\t').map(|cell| escaped(cell, usize::MAX)).collect();
            cells.join("\t") + "\n"
        };
        self.text.lines().map(line).collect()
    }
}

impl Human for RulesReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        let is = match self.version {
            Some(version) => format!("rules {version} in force"),
            None => "rules are good".to_owned(),
        };
        page.line(format!(
            "{is}: {}, {} of immutable tags, {}",
            count(self.grants, "grant"),
            count(self.immutable, "rule"),
            count(self.quotas, "quota")
        ));
        if self.added.is_empty() && self.removed.is_empty() {
            page.line("nothing changes");
        }
        for (sign, lines) in [("+", &self.added), ("-", &self.removed)] {
            for line in lines {
                page.line(format!("  {sign} {}", name(line)));
            }
        }
        page.0
    }
}
