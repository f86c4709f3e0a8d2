//! Tags that are led back to where they led before.

use super::Site;
use crate::{
    base::{digest::Digest, failure::Result},
    ledger::{Event, RegistryAction, Text},
    report::tags::RestoreReport,
    store::Author,
};

/// Who does what a command of this machine does.
pub(super) const LOCAL: &str = "local";

impl Site {
    /// Leads a tag back, to `wanted` or to where it led before, and keeps that in the ledger.
    ///
    /// # Errors
    /// Those of [`crate::store::Change::restore_tag`].
    pub fn restore_tag(&self, repository: &str, tag: &str, wanted: Option<&Digest>) -> Result<RestoreReport> {
        self.change(|change, _importer| {
            let author = Author { who: LOCAL.to_owned(), time: self.now };
            let (before, digest) = change.restore_tag(repository, tag, wanted, &author)?;
            let event = Event::Registry {
                action: RegistryAction::Restore,
                who: Text::new(LOCAL),
                from: None,
                repository: Some(Text::new(repository)),
                tag: Some(Text::new(tag)),
                digest: Some(digest.clone()),
                before: before.clone(),
                refused: None,
            };
            change.append(self.now, &event)?;
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
