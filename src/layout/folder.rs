//! `oci:DIR`: an OCI image layout in a folder.

use std::io::Read;

use super::{Found, choice, malformed, missing};
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        folder::Folder,
        fs, limits,
    },
    manifest::LocalImage,
    oci::{Descriptor, Graph},
    store::Store,
};

pub(super) fn bring(local: &LocalImage, store: &Store) -> Result<Found> {
    let folder = Folder::open(&local.path)?;
    let read = |name: &str| {
        folder.read(name, limits::OCI_MANIFEST_BYTES, Reason::LayoutMalformed).map_err(|failure| {
            if failure.reason == Reason::NotFound {
                malformed(local, format!("it holds no {name}, so it is no OCI image layout"))
            } else {
                failure
            }
        })
    };
    choice::check_version(local, &read("oci-layout")?)?;
    let choice = choice::choose(local, &read("index.json")?)?;
    super::found(choice, &mut |root| tree(local, &folder, root, store))
}

/// Copies a manifest and everything below it into the store.
fn tree(local: &LocalImage, folder: &Folder, root: &Descriptor, store: &Store) -> Result<Graph> {
    let mut graph = Graph::default();
    graph.add(root, &std::collections::BTreeSet::new(), &mut |manifest| {
        if manifest.size > limits::OCI_MANIFEST_BYTES {
            return Err(Failure::new(Reason::OciLimit, &manifest.digest, "a manifest is larger than 4 MiB"));
        }
        let path = manifest.digest.layout_path();
        let bytes = folder
            .read(&path, manifest.size, Reason::SizeMismatch)
            .map_err(|failure| absent(local, manifest, failure))?;
        store.put(manifest, &bytes)?;
        Ok(bytes)
    })?;
    for blob in graph.blobs.values() {
        copy(local, folder, blob, store)?;
    }
    Ok(graph)
}

fn absent(local: &LocalImage, blob: &Descriptor, failure: Failure) -> Failure {
    if failure.reason == Reason::NotFound { missing(local, blob) } else { failure }
}

/// Copies one blob into the store, hashing it on the way.
fn copy(local: &LocalImage, folder: &Folder, blob: &Descriptor, store: &Store) -> Result<()> {
    if store.size_of(&blob.digest)? == Some(blob.size) {
        return Ok(());
    }
    let below = blob.digest.layout_path();
    let path = folder.path_of(&below);
    let file = folder.open_file(&below).map_err(|failure| absent(local, blob, failure))?;
    let mut writer = store.writer(&blob.digest)?;
    writer.restart()?;
    // One byte more than declared is enough to know that the size is a lie (threats J10).
    let mut content = file.take(blob.size.saturating_add(1));
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = content.read(&mut buffer).map_err(|error| fs::failure(&path, "read", &error))?;
        if count == 0 {
            return writer.commit(blob);
        }
        writer.write(buffer.get(..count).unwrap_or_default())?;
    }
}
