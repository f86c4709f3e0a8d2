//! The key that signs receipts and the ledger: a file of the home, made when it is first needed.

use std::path::{Path, PathBuf};

use super::{Site, chain};
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        fs, limits,
    },
    ledger::{Event, KeyAction},
    store::{Change, State},
    trust::{Algorithm, Chain, PrivateKey, PublicKey},
};

/// The file of a home's own key.
pub fn importer_path(home: &Path) -> PathBuf {
    home.join("keys").join("importer.pem")
}

/// A new key until it takes its place (handover.rs).
pub(super) fn next_path(home: &Path) -> PathBuf {
    home.join("keys").join("importer.next.pem")
}

/// The key of `home` that signs the next change: where a replacement was killed, the one that the database names.
/// `None` before the first.
///
/// # Errors
/// [`Reason::KeyPermissions`] where others can read it, and those of the key files and the database.
pub(super) fn current_importer(home: &Path, state: &State<'_>) -> Result<Option<PrivateKey>> {
    let current = state.site()?.importer;
    let is_current = |key: &PrivateKey| current.as_deref() == Some(key.public().key_id());
    match known_importer(&next_path(home))?.filter(is_current) {
        Some(next) => Ok(Some(next)),
        None => known_importer(&importer_path(home)),
    }
}

/// Whose signatures below ledger and receipts of `home` can be believed: its own key, and those that the trust
/// document names for it.
///
/// # Errors
/// [`Reason::KeyPermissions`]; [`Reason::ImporterRevoked`] where the trust document has revoked the home's own key;
/// those of the key file and the database.
pub fn importer_keys(home: &Path, state: &State<'_>) -> Result<Vec<PublicKey>> {
    let own = current_importer(home, state)?;
    let mut keys: Vec<PublicKey> = own.iter().map(|key| key.public().clone()).collect();
    if let Some(chain) = chain(state)? {
        keys.iter().try_for_each(|key| still_counts(&chain, key))?;
        keys.extend(chain.latest().importer_rule().keys.iter().map(|(key, _)| (*key).clone()));
    }
    Ok(keys)
}

/// Whether a key may still sign for a site that believes `chain`, and is believed there.
///
/// # Errors
/// [`Reason::ImporterRevoked`].
pub(super) fn still_counts(chain: &Chain, key: &PublicKey) -> Result<()> {
    let latest = chain.latest();
    let Some(revoked) = latest.text().revoked.iter().find(|revoked| revoked.id == key.key_id()) else {
        return Ok(());
    };
    let message = format!("trust version {} has revoked it: {}", latest.version(), revoked.reason);
    Err(Failure::new(Reason::ImporterRevoked, format!("importer key {}", revoked.id), message).hint(
        "give the site a new one: `sealift trust importer --replace`; for a site that is not pinned yet, \
         `sealift trust init --importer-key FILE`",
    ))
}

/// The key in a file that is for its owner alone.
pub(super) fn known_importer(path: &Path) -> Result<Option<PrivateKey>> {
    let pem = match fs::read_limited(path, limits::USER_FILE_BYTES, Reason::KeyFormat) {
        Ok(pem) => pem,
        Err(failure) if failure.reason == Reason::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let mode = fs::mode(path)?;
    if mode & 0o077 != 0 {
        let message = format!("mode {mode:04o} lets others read it");
        return Err(Failure::new(Reason::KeyPermissions, path.display(), message).hint(format!(
            "run `chmod 600 {}`; if others may have read it, then also `sealift trust importer --replace`",
            path.display()
        )));
    }
    let key = PrivateKey::from_pem(&String::from_utf8_lossy(&pem), None);
    key.map(Some).map_err(|failure| failure.of(path.display()))
}

impl Site {
    fn importer_path(&self) -> PathBuf {
        importer_path(self.store.home())
    }

    /// The importer key that is there; `None` before the first.
    ///
    /// # Errors
    /// [`Reason::KeyPermissions`] where others can read it, and those of the file.
    pub(super) fn known_importer(&self) -> Result<Option<PrivateKey>> {
        known_importer(&self.importer_path())
    }

    /// The importer key, a new one where there is none, which is not written yet: [`Self::keep_importer`] does that
    /// at the end of the change.
    ///
    /// # Errors
    /// [`Reason::ImporterRevoked`] where the site knows that it counts no more.
    pub(super) fn importer(&self, change: &Change<'_>) -> Result<PrivateKey> {
        let key = if let Some(key) = self.known_importer()? {
            key
        } else {
            self.require_first(change)?;
            PrivateKey::generate(Algorithm::Ed25519)?
        };
        if let Some(chain) = chain(change)? {
            still_counts(&chain, key.public())?;
        }
        self.name_importer(change, &key)?;
        Ok(key)
    }

    /// Fails where machines share the home and another one of them has the key: a second one would take its place, and
    /// the first machine could sign no more.
    fn require_first(&self, change: &Change<'_>) -> Result<()> {
        let Some(id) = change.site()?.importer.filter(|_id| self.store.is_shared()) else { return Ok(()) };
        let message =
            format!("the key {id} signs receipts and ledger of this home, and is not on this machine");
        Err(Failure::new(Reason::NotFound, self.importer_path().display(), message)
            .hint("copy the file, mode 0600, from the machine that has it; docs/operations.md, \"Several machines\""))
    }

    /// Has the ledger tell of a key, before anything that it signs.
    pub(super) fn name_importer(&self, change: &Change<'_>, key: &PrivateKey) -> Result<()> {
        let id = key.public().key_id();
        let before = change.site()?.importer;
        if before.as_deref() == Some(id) {
            return Ok(());
        }
        let action = match before {
            Some(_) => KeyAction::Replaced,
            None if self.has_lost_past(change)? => KeyAction::Found,
            None => KeyAction::Created,
        };
        change.set_importer(id)?;
        let event = Event::Key {
            key_id: id.into(),
            purpose: "importer".into(),
            action,
            public_key: Some(key.public().to_pem()?),
            replaces: before.as_deref().map(Into::into),
        };
        change.append(self.now, &event).map(drop)
    }

    /// Keeps `key`, before the change that names it is true, where it takes its place after that (handover.rs): a
    /// change that fails leaves no key that looks as if it had signed something.
    ///
    /// # Errors
    /// [`Reason::KeyExists`] where another lies there that is `signed`, the id of the key that signed this ledger.
    pub(super) fn keep_importer(&self, key: &PrivateKey, signed: Option<&str>) -> Result<()> {
        match self.known_importer()? {
            Some(known) if known.public() == key.public() => Ok(()),
            Some(known) if signed == Some(known.public().key_id()) => {
                let path = self.importer_path();
                Err(Failure::new(Reason::KeyExists, path.display(), "the home has an importer key")
                    .hint("leave --importer-key away, and replace it later: `sealift trust importer --replace --importer-key FILE`"))
            }
            _ => write_next(self.store.home(), key),
        }
    }
}

/// Writes a key beside the one that is there.
pub(super) fn write_next(home: &Path, key: &PrivateKey) -> Result<()> {
    let path = next_path(home);
    if let Some(folder) = path.parent() {
        fs::create_dir(folder, true)?;
        fs::sync_dir(home)?;
    }
    fs::write_atomic(&path, key.to_pem(None)?.reveal().as_bytes(), 0o600)
}
