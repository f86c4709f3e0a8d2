//! The one integration test binary. A line for each module; `no_test_file_is_forgotten` compares.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may fail loudly"
)]

mod access;
mod admin_api;
mod architecture;
mod attacks;
mod backup;
mod before_it_travels;
mod bundle;
mod cli;
mod connected;
mod crowds;
mod custody;
mod data_loss;
mod docs;
mod doctor;
mod folder;
mod forge;
mod guidance;
mod import;
mod layout;
mod lock;
mod login;
mod manifest;
mod mirror_config;
mod opened;
mod page;
mod pipeline;
mod records;
mod reference;
mod registry_api;
mod registry_push;
mod remote;
mod replicas;
mod sight;
mod sign;
mod site;
mod soak;
mod store_upkeep;
mod support;
mod tags;
mod tampering;
mod threats;
mod trust_documents;
mod trusted;
mod upstream_signatures;
