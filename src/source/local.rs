//! Images that lie on this machine.

use super::Source;
use crate::{
    base::failure::{Failure, Reason, Result},
    layout,
    manifest::LocalImage,
    oci::Descriptor,
};

impl Source {
    /// Brings a local image, with the signatures beside it; it must still be the one that the lock names.
    pub async fn local_image(&self, local: &LocalImage, locked: &Descriptor) -> Result<()> {
        let (path, store) = (local.clone(), self.store.clone());
        let brought = tokio::task::spawn_blocking(move || layout::bring(&path, &store))
            .await
            .map_err(Failure::internal)??;
        if brought.root.digest == locked.digest {
            return Ok(());
        }
        let message = format!("the lock names {}, it now holds {}", locked.digest, brought.root.digest);
        Err(Failure::new(Reason::UpstreamMoved, &local.written, message)
            .hint("run `sealift lock --update` for it when the new content is wanted"))
    }
}
