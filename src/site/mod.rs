//! A site: what a home believes and remembers, and every change of that.
//!
//! - [`pin`](mod@pin) gives a home its name and its root of trust, also after its state was lost: told.rs reads
//!   what its receipts tell;
//! - [`judge`](mod@judge) says whether a bundle may be imported; [`Site::admit`] asks again in the transaction
//!   that publishes it, and moves the channel there and nowhere else (admit.rs);
//! - [`Site::refuse`] keeps what was refused (refuse.rs), [`Site::accept`] takes newer trust documents, beacons
//!   and overrides (accept.rs), [`Site::set`] what people decide (settings.rs), [`Site::set_rules`] the rules of its
//!   registry (rules.rs), [`Site::add_account`] and its like who may log in (accounts.rs);
//! - [`Site::restore_tag`] leads a tag back (tags.rs), [`Site::prune`] takes away what a plan lists,
//!   [`Site::repair`] mends the store, [`Site::back_up`] copies the home, [`restore`] makes one of such a copy (upkeep.rs);
//! - [`Site::record`] tells of what is done in its registry (record.rs);
//! - whoever it is for whom any of this is done, is an [`Actor`] (actor.rs);
//! - [`status`](mod@status) shows all of it, [`evidence`] reads what was written down (custody.rs);
//! - [`Site::replace_importer`] puts a new key in the place of the one that signs that (handover.rs).
//!
//! Each of these changes is one transaction that ends with a checkpoint of the ledger: where the ledger cannot be
//! written, nothing happens (threats R22). What only looks needs nothing but a [`State`], and writes nothing.

mod accept;
mod accounts;
mod actor;
mod admit;
pub mod custody;
pub mod handover;
mod importer;
pub mod judge;
pub mod pin;
mod receipt;
mod record;
mod refuse;
mod rules;
mod settings;
pub mod status;
mod tags;
mod told;
mod upkeep;

pub use accept::NotTaken;
pub use accounts::{NewAccount, account_line};
pub use actor::Actor;
pub use admit::{Admission, Admitted};
pub use custody::{each_line, evidence};
pub use handover::Importer;
pub use importer::{importer_keys, importer_path};
pub use judge::{Arrival, Verdict, judge};
pub use pin::{Pin, Pinned};
pub use refuse::Refused;
pub use rules::rules_report;
pub use status::status;
pub use upkeep::{Restored, days_before, plan_made, restore, store_report};

use crate::{
    base::{
        clock::{Clocks, Timestamp},
        failure::{Failure, Reason, Result},
    },
    store::{Change, SiteRow, State, Store},
    trust::{Chain, PrivateKey},
};

/// A home with the time at which something happens to it.
#[derive(Debug, Clone)]
pub struct Site {
    store: Store,
    now: Timestamp,
    system: Timestamp,
    actor: Actor,
}

impl Site {
    /// The site of a home. `now` is the time that records get, and what the system's clock says.
    pub fn new(store: Store, now: Timestamp) -> Self {
        Self { store, now, system: now, actor: Actor::default() }
    }

    /// With another clock than that of the records: they may get a fixed time, expiry may not.
    #[must_use]
    pub fn with_clock(self, system: Timestamp) -> Self {
        Self { system, ..self }
    }

    /// For somebody else than who runs commands on this machine.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// The home.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The time that records get.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whom it believes; `None` while no trust document is pinned.
    pub fn chain(&self) -> Result<Option<Chain>> {
        self.store.state(chain)
    }

    /// Its two clocks.
    fn clocks(&self, row: &SiteRow) -> Clocks {
        Clocks { system: self.system, floor: row.floor }
    }

    /// Silence of a channel begins on the day on which a trust document tells of it, not with its first bundle:
    /// that may be the one which is held back.
    fn listen(&self, change: &Change<'_>) -> Result<()> {
        let Some(chain) = chain(change)? else { return Ok(()) };
        let heard = self.clocks(&change.site()?).best();
        chain.latest().text().channels.keys().try_for_each(|channel| change.listen(channel, heard))
    }

    /// Changes the state and signs the ledger with the importer key, all or nothing.
    fn change<T>(&self, work: impl FnOnce(&Change<'_>, &PrivateKey) -> Result<T>) -> Result<T> {
        let done = self.store.change(|change| {
            self.require_own_ledger(change)?;
            let importer = self.importer(change)?;
            let done = work(change, &importer)?;
            self.listen(change)?;
            change.checkpoint(self.now, &importer)?;
            self.keep_importer(&importer, None)?;
            Ok(done)
        })?;
        self.place_importer();
        Ok(done)
    }
}

/// The chain of trust documents of a home, each checked once more; `None` while none is pinned.
///
/// # Errors
/// Those of [`Chain::extend`], for a database that somebody changed.
pub fn chain(state: &State<'_>) -> Result<Option<Chain>> {
    let notes = state.trust()?;
    let Some((first, later)) = notes.split_first() else { return Ok(None) };
    let mut chain = Chain::begin(first)?;
    later.iter().try_for_each(|note| chain.extend(note))?;
    Ok(Some(chain))
}

/// The chain of a home that must have one.
fn pinned(state: &State<'_>) -> Result<(String, Chain)> {
    state.site()?.name.zip(chain(state)?).ok_or_else(nothing_pinned)
}

/// The failure for a home that pins nothing.
pub fn nothing_pinned() -> Failure {
    Failure::new(Reason::TrustMissing, "site", "the home has no name and no pinned trust document")
        .hint("pin one: `sealift trust init --site NAME --root FILE`, the file by another way than the media")
}
