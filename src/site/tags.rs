//! Tags that are led back to where they led before.

use super::Site;
use crate::{
    base::{digest::Digest, failure::Result},
    ledger::{Deed, Event, RegistryAction, Text, Thing},
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
            let deed = Deed {
                what: Some(Thing::Tag),
                repository: Some(Text::new(repository)),
                tag: Some(Text::new(tag)),
                digest: Some(digest.clone()),
                before: before.clone(),
                ..Deed::new(RegistryAction::Restore, LOCAL)
            };
            change.append(self.now, &Event::Registry(deed))?;
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
