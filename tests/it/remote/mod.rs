//! The client against a server that misbehaves (`docs/threats.md`, Network), and against one that does not.

mod attacks;
mod auth;
mod pull;
mod push;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sealift::{
    base::{digest::Digest, progress::Silent, redact::Secret},
    oci::{Descriptor, Reference, media_type},
    remote::{Client, ClientSettings, Credentials, Retries, Timeouts},
    store::Store,
};

use crate::support::origin::{Answer, Origin, Seen};

/// Content that many tests ask for: longer than one piece of anything.
pub(crate) fn content() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// A small image manifest.
pub(crate) fn manifest() -> Vec<u8> {
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[]}}"#,
        media_type::MANIFEST,
        serde_json::to_string(&config).unwrap()
    )
    .into_bytes()
}

/// An answer with a manifest.
pub(crate) fn manifest_answer() -> Answer {
    Answer::new(200, manifest()).header("Content-Type", media_type::MANIFEST)
}

/// Settings whose pauses are short. The timeouts are not: machines that run tests are busy.
pub(crate) fn settings() -> ClientSettings {
    ClientSettings {
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            finish: Duration::from_secs(10),
        },
        retries: Retries {
            tries: 3,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(4),
            longest_wait: Duration::from_secs(2),
        },
        use_proxy: false,
        ..ClientSettings::default()
    }
}

/// alice's password for this server.
pub(crate) fn alice(origin: &str) -> Credentials {
    let pair = ("alice".to_owned(), Secret::new("s3cret"));
    Credentials::new(Vec::new(), BTreeMap::from([(origin.to_owned(), pair)]))
}

/// A client, a store that must stay empty unless told otherwise, and a server.
pub(crate) struct World {
    pub client: Client,
    pub store: Store,
    pub registry: Origin,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(script, |_name, settings| settings).await
    }

    pub(crate) async fn with(
        script: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        set: impl FnOnce(&str, ClientSettings) -> ClientSettings,
    ) -> Self {
        let registry = Origin::start(script).await;
        let client = Client::new(set(&registry.name(), settings()), Arc::new(Silent)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        Self { client, store, registry, _dir: dir }
    }

    /// `team/app:1.0` on the server.
    pub(crate) fn reference(&self) -> Reference {
        Reference::parse(&format!("{}/team/app:1.0", self.registry.name())).unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.registry.name())
    }

    /// Downloads the blob of `content`.
    pub(crate) async fn blob(&self, bytes: &[u8]) -> sealift::base::failure::Result<()> {
        let blob = Descriptor::of(media_type::LAYER_GZIP, bytes);
        let writer = self.store.writer(&blob.digest).unwrap();
        self.client.blob(&self.reference(), &blob, writer).await
    }

    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        self.store.has(&Descriptor::of("x", bytes)).unwrap()
    }

    /// Files among the store's blobs.
    pub(crate) fn stored(&self) -> usize {
        walkdir::WalkDir::new(self.store.home().join("blobs"))
            .into_iter()
            .filter(|entry| entry.as_ref().unwrap().file_type().is_file())
            .count()
    }
}

/// `/v2/team/app/blobs/<digest of bytes>`
pub(crate) fn blob_path(bytes: &[u8]) -> String {
    format!("/v2/team/app/blobs/{}", Digest::of(bytes))
}

/// Answers a request for `bytes` as a good server does, `Range` included.
pub(crate) fn ranged(seen: &Seen, bytes: &[u8]) -> Answer {
    let Some(start) = seen.header("range") else { return Answer::new(200, bytes) };
    let start: usize = start.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
    let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
    Answer::new(206, &bytes[start..]).header("Content-Range", range)
}
