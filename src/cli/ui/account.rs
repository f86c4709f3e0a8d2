//! Accounts, for people.

use super::human::{Human, Page, name};
use crate::report::account::{AccountLine, AccountReport, AccountsReport};

fn row(account: &AccountLine) -> Vec<String> {
    let mut notes = Vec::new();
    if !account.groups.is_empty() {
        notes.push(format!("groups {}", account.groups.join(" ")));
    }
    notes.extend(account.certificates.iter().map(|identity| name(identity)));
    if !account.password {
        notes.push("no password".to_owned());
    }
    if !account.enabled {
        notes.push("disabled".to_owned());
    }
    notes.extend(account.expires.map(|expires| {
        if account.expired { format!("expired {expires}") } else { format!("until {expires}") }
    }));
    vec![account.name.clone(), account.kind.to_owned(), notes.join(", ")]
}

impl Human for AccountsReport {
    fn human(&self) -> String {
        let mut page = Page::default();
        if self.accounts.is_empty() {
            page.line("no accounts: `sealift account add NAME` makes one");
        }
        page.table(&self.accounts.iter().map(row).collect::<Vec<_>>());
        page.0
    }
}

impl Human for AccountReport {
    fn human(&self) -> String {
        // A secret stands alone on standard output, for whoever pipes it.
        if let Some(secret) = &self.secret {
            return format!("{secret}\n");
        }
        let mut page = Page::default();
        page.line(format!("{} account {}", self.action, self.name));
        page.table(&self.account.iter().map(row).collect::<Vec<_>>());
        page.0
    }
}
