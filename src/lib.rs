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
//! 9 cli                                     people: arguments, settings, one file per command, output
//! 8 registry                                the OCI server
//! 7 build import sign                       steps that make something others see: a bundle, published tags
//! 6 resolve fetch verify doctor             steps of the way in; a look at all that they need
//! 5 source site                             content from anywhere; what a site believes and remembers
//! 4 remote bundle layout token trust_folder   things that cross a border: clients, the container, local images, keys
//! 3 store                                   things that lie on disk
//! 2 manifest lock trust report chart cosign ledger mirrors rules   documents and decisions: no file, no socket
//! 1 oci                                     the words of the OCI specifications, shared by client and server
//! 0 base                                    digest, stream, limits, path, fs, clock, redact, failure, progress
//! ```
//!
//! # The way of the data
//!
//! ```text
//! sealift.toml --manifest--> Manifest --resolve(source)--> Lock --fetch(source)--> store
//!     --build(bundle::write)--> bundle folder ==media==> verify(bundle::Reader) --> VerifiedBundle
//!     --import--> home store --registry--> containerd, podman, skopeo, helm, oras
//!     --import(remote)--> any other OCI registry
//! ```
//!
//! # Every file on disk, and who reads or writes it
//!
//! | file | module |
//! |---|---|
//! | `sealift.toml` and what it includes | [`manifest`] reads; `sealift init` writes one from `manifest/starter.toml` |
//! | `sealift.lock`, beside the manifest | [`lock`] is its text; [`cli`] reads and writes it |
//! | key files | [`trust`] is their text; [`cli`] reads and writes them |
//! | keys on tokens | [`token`] signs with them, through the module that the user names |
//! | `trust/NNNN.trust` | [`trust`] is their text; [`trust_folder`] reads and writes them |
//! | Docker's and Podman's credential files | [`remote`] reads |
//! | image layouts and archives, files of this machine | [`layout`] and [`source`] read |
//! | `HOME/sealift.db` | [`store`]: what is published and by which [`rules`], what the site knows, what each key signed last, ledger and receipts, accounts, what people look for in images |
//! | `HOME/store.toml` | [`store`]: names the PostgreSQL server that takes the place of `sealift.db`, and the bucket of `blobs/` |
//! | `HOME/keys/importer.pem` | [`site`]: the key that signs receipts and the ledger |
//! | `HOME/keys/importer.next.pem` | [`site`]: a new one until it takes its place |
//! | `HOME/keys/importer-<id>.pem` | [`site`]: one that lay there before another was given |
//! | `HOME/tls/ca.pem`, `ca.key`, `server.pem` | [`registry`]: a site's own authority and certificate |
//! | `HOME/blobs/sha256/ab/<hex>`, or `BUCKET/PREFIX/blobs/…` | [`store`]: content by digest |
//! | `BUCKET/PREFIX/sealift-home` | [`store`]: whose contents these are |
//! | `HOME/staging/` | [`store`]: content under way |
//! | `HOME/staging/upload-<id>-….part` | [`store`]: a push under way into the [`registry`] |
//! | `BACKUP/backup.json`, `state-N/`, `blobs/` | [`store`]: a copy of a home |
//! | `.HOME.restoring/` | [`store`]: a home that comes to be of a backup |
//! | `OUT/.NAME-VERSION.partial/` | [`build`]: a bundle under way, renamed to `OUT/NAME-VERSION/` |
//! | `BUNDLE/SHA256SUMS` | [`bundle`] writes; [`verify`] reads it first |
//! | `BUNDLE/signatures/<key-id>.sig` | [`trust`] makes and checks; [`bundle`] and [`sign`] write |
//! | `BUNDLE/bundle.json`, `chunks.bin`, `volumes/` | [`bundle`] writes and reads; `docs/format.md` |
//! | `BUNDLE/evidence/signatures.json` | [`cosign`] is its text; `docs/format.md` |
//! | `BUNDLE/inventory.csv`, `VERIFY.txt` | [`report`] makes |
//! | `mirror-config -o DIR` | [`mirrors`] is their text; [`cli`] writes them |
//! | the file of `serve --config`, certificates and keys that it names | [`cli`] and [`registry`] read |
//! | `--files-to DIR`, `--receipt FILE` | [`import`] and [`cli`] write |
//!
//! # Words
//!
//! *Manifest* alone is the user's file; the OCI ones are `ImageManifest` and `ImageIndex`. A *lock* is the
//! manifest resolved to digests. A *bundle* travels; a *store* stays. A *volume* is one payload file of a
//! bundle, a *member* one file inside it. A *site* is one disconnected installation, its *home* the folder
//! where it keeps everything. A *channel* is a named sequence of bundles. A *referrer* is an OCI artifact
//! with a `subject`. A *registry* is a server; the client of one is `remote`. A *verdict* is the outcome
//! of a check and no error; an error ([`base::failure::Failure`]) carries a stable reason and an exit code.
//! Codes such as *J07* in comments are rows of `docs/threats.md`.

pub mod base;
pub mod build;
pub mod bundle;
pub mod chart;
#[doc(hidden)]
pub mod cli;
pub mod cosign;
pub mod doctor;
pub mod fetch;
pub mod import;
pub mod layout;
pub mod ledger;
pub mod lock;
pub mod manifest;
pub mod mirrors;
pub mod oci;
pub mod registry;
pub mod remote;
pub mod report;
pub mod resolve;
pub mod rules;
pub mod sign;
pub mod site;
pub mod source;
pub mod store;
pub mod token;
pub mod trust;
pub mod trust_folder;
pub mod verify;
