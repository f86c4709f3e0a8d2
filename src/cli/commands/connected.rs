//! What lock and build share: the manifest, the lock beside it, the way to upstream.

use std::path::{Path, PathBuf};

use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs,
    },
    cli::{settings::Settings, ui::Out},
    lock::{self, ChangeKind, Lock},
    manifest::{self, Manifest},
    remote::{Client, ClientSettings, Credentials},
    report::Change,
    source::Source,
    store::Store,
};

/// The manifest and the lock beside it.
pub(super) struct Project {
    pub(super) manifest: Manifest,
    pub(super) lock: Option<Lock>,
    pub(super) lock_path: PathBuf,
}

impl Project {
    pub(super) fn open(path: &Path) -> Result<Self, Failures> {
        let manifest = manifest::load(path)?;
        let lock_path = path.with_extension("lock");
        let lock = match fs::read_user_text(&lock_path) {
            Ok(text) => Some(lock::parse(&text, &lock_path)?),
            Err(failure) if failure.reason == Reason::NotFound => None,
            Err(failure) => return Err(failure.into()),
        };
        Ok(Self { manifest, lock, lock_path })
    }

    /// How the lock that is there fails to answer the manifest; empty when it fits.
    pub(super) fn outdated(&self) -> Vec<Failure> {
        let differences = self.lock.iter().flat_map(|lock| lock::covers(lock, &self.manifest));
        let failure = |difference: String| {
            Failure::new(Reason::LockOutdated, self.lock_path.display(), difference)
                .hint("run `sealift lock` and review the change")
        };
        differences.map(failure).collect()
    }

    /// Writes the lock when it differs from what is there; durable either way.
    pub(super) fn write(&self, lock: &Lock) -> Result<()> {
        if self.lock.as_ref() == Some(lock) {
            return fs::settle(&self.lock_path);
        }
        fs::write_atomic(&self.lock_path, lock::render(lock).as_bytes(), 0o644)
    }

    /// What `new` changes against the lock that is there.
    pub(super) fn changes(&self, new: &Lock) -> Vec<Change> {
        let none = Lock { created: String::new(), images: Vec::new(), charts: Vec::new(), files: Vec::new() };
        let changes = lock::diff(self.lock.as_ref().unwrap_or(&none), new);
        changes.into_iter().map(shown).collect()
    }
}

fn shown(change: lock::Change) -> Change {
    Change {
        change: match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
        },
        kind: change.what,
        name: change.name,
        from: change.from,
        to: change.to,
        details: change.details,
    }
}

/// The way to upstream and to the store, as flags, environment and manifest say.
pub(super) fn source(settings: &Settings, manifest: &Manifest, out: &Out) -> Result<Source> {
    let store = Store::open(&settings.home)?;
    if store.is_shared() {
        let message = "its rows lie in a database that servers share (store.toml)";
        return Err(Failure::new(Reason::BadArgument, settings.home.display(), message)
            .hint("use another --home to lock and build in: it is a cache, and publishes nothing"));
    }
    let credentials = Credentials::new(settings.credential_files.clone(), settings.registry_auth.clone());
    let client_settings =
        ClientSettings { registries: manifest.registries.clone(), credentials, ..ClientSettings::default() };
    let progress = out.progress();
    let client = Client::new(client_settings, progress.clone())?;
    Source::new(client, store, progress)
}
