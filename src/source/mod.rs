//! Content from anywhere, brought into the store: what resolving and fetching share.
//!
//! Everything here asks the store first and the network second, and leaves in the store only bytes that
//! matched their digest. Charts of classic repositories and plain files become OCI artifacts here, so that
//! the steps after it know one kind of content.

mod charts;
mod files;
mod local;
mod signatures;
mod trees;

use std::sync::Arc;

pub use charts::{BroughtChart, ChartOrigin, Dependency, FetchedChart};
pub use files::BroughtFile;

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Result},
        progress::Progress,
    },
    remote::Client,
    store::{BlobWriter, Hold, Store},
};

/// The way to upstream and to the store. Clones share both.
#[derive(Clone)]
pub struct Source {
    /// The network.
    pub client: Client,
    /// Where content goes.
    pub store: Store,
    /// Who hears about it.
    pub progress: Arc<dyn Progress>,
    /// What is found in the store stays there, though nothing published needs it.
    _held: Arc<Hold>,
}

impl Source {
    /// Through `client` into `store`, which is held as long as this or a clone of it is there.
    pub fn new(client: Client, store: Store, progress: Arc<dyn Progress>) -> Result<Self> {
        let held = Arc::new(store.hold()?);
        Ok(Self { client, store, progress, _held: held })
    }

    /// A writer for the blob with this digest. What an earlier run left is hashed again first, which may take
    /// long: not on a thread that sockets wait for.
    pub async fn writer(&self, digest: &Digest) -> Result<BlobWriter> {
        let (store, digest) = (self.store.clone(), digest.clone());
        tokio::task::spawn_blocking(move || store.writer(&digest)).await.map_err(Failure::internal)?
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("store", &self.store).finish_non_exhaustive()
    }
}
