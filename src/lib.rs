//! sealift carries software across an air gap.
//!
//! On the connected side a manifest is resolved to a lock, the content is fetched into a store and sealed
//! into a signed bundle. The bundle travels. On the disconnected side it is verified and imported.
//!
//! # The floors
//!
//! A module imports only from lower floors; `tests/it/architecture.rs` enforces it.
//!
//! ```text
//! 8 cli                       people: arguments, settings, one file per command, output
//! 7 registry                  the OCI server
//! 6 build  import             steps that make something others see: a bundle, published tags
//! 5 resolve  fetch  verify    steps of the way in
//! 4 remote  bundle  layout    things that cross a border: clients; the container that travels; images built here
//! 3 store                     things that lie on disk
//! 2 manifest  lock  trust  report  chart   documents and decisions: no file, no socket
//! 1 oci                       the words of the OCI specs, shared by client and server
//! 0 base                      digest, stream, limits, path, fs, clock, redact, failure, progress
//! ```
//!
//! # The way of the data
//!
//! ```text
//! sealift.toml --manifest--> Manifest --resolve(remote)--> Lock --fetch(remote)--> store
//!     --build(bundle::writer)--> bundle folder ==media==> verify(bundle::reader) --> VerifiedBundle
//!     --import--> store or registry --registry--> containerd, podman, skopeo, helm, oras
//! ```
//!
//! # Every file on disk, and who reads or writes it
//!
//! | file | module |
//! |---|---|
//! | `sealift.toml` | [`manifest`] reads |
//! | `sealift.lock` | [`lock`] reads and writes |
//! | `HOME/sealift.db` | [`store`]: tags, manifests, import receipts |
//! | `HOME/blobs/sha256/ab/<hex>` | [`store`]: content by digest |
//! | `HOME/staging/` | [`store`]: downloads under way |
//! | `BUNDLE/SHA256SUMS` | [`bundle`] writes, [`verify`] reads first |
//! | `BUNDLE/signatures/<key-id>.sig` | [`trust`] makes and checks |
//! | `BUNDLE/bundle.json`, `chunks.bin`, `volumes/` | [`bundle`] writes and reads; `docs/format.md` |
//! | `BUNDLE/inventory.csv`, `VERIFY.txt` | [`report`] makes |
//!
//! # Words
//!
//! *Manifest* alone is the user's file; the OCI ones are `ImageManifest` and `ImageIndex`. A *lock* is the
//! manifest resolved to digests. A *bundle* travels; a *store* stays. A *volume* is one payload file of a
//! bundle, a *member* one file inside it. A *site* is one disconnected installation, its *home* the folder
//! where it keeps everything. A *channel* is a named sequence of bundles. A *referrer* is an OCI artifact
//! with a `subject`. A *registry* is a server; the client of one is `remote`. A *verdict* is the outcome
//! of a check and no error; an error ([`base::failure::Failure`]) carries a stable reason and an exit code.

pub mod base;
pub mod build;
pub mod bundle;
pub mod chart;
#[doc(hidden)]
pub mod cli;
pub mod fetch;
pub mod import;
pub mod layout;
pub mod lock;
pub mod manifest;
pub mod oci;
pub mod registry;
pub mod remote;
pub mod report;
pub mod resolve;
pub mod source;
pub mod store;
pub mod trust;
pub mod verify;
