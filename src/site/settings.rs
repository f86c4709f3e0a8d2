//! What people decide for a site.

use std::collections::BTreeMap;

use super::{Site, pinned};
use crate::{
    base::failure::{Failure, Reason, Result},
    ledger::{Event, Text},
    store::Settings,
};

impl Site {
    /// Changes settings, and gives those that hold from now on. `change` gets those of before.
    ///
    /// # Errors
    /// [`Reason::TrustMissing`] for a home without a name, [`Reason::BadArgument`] for a jump limit of 0.
    pub fn set(&self, decide: impl FnOnce(Settings) -> Settings) -> Result<Settings> {
        self.store.state(pinned)?;
        self.change(|change, _| {
            let old = change.site()?.settings;
            let new = decide(old.clone());
            if new.jump_limit == 0 {
                let message = "0 would refuse every bundle";
                return Err(Failure::new(Reason::BadArgument, "--jump-limit", message)
                    .hint("1 takes only the next bundle after the last"));
            }
            if new != old {
                change.set_settings(&new)?;
                change.append(self.now, &Event::Settings { changed: changed(&old, &new) })?;
            }
            Ok(new)
        })
    }
}

/// The settings that differ, with their new value.
fn changed(old: &Settings, new: &Settings) -> BTreeMap<Text, Text> {
    let expiry = |settings: &Settings| if settings.strict_expiry { "strict" } else { "advisory" }.to_owned();
    let rows = [
        ("expiry", expiry(old), expiry(new)),
        ("jump-limit", old.jump_limit.to_string(), new.jump_limit.to_string()),
        ("max-silence", old.max_silence.to_string(), new.max_silence.to_string()),
    ];
    let differs = rows.into_iter().filter(|(_, old, new)| old != new);
    differs.map(|(name, _, new)| (Text::new(name), Text::new(&new))).collect()
}
