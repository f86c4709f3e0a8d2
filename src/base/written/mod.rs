//! TOML documents that people write: read whole, with every fault of them at its line and column.
//!
//! `table.rs` describes tables, `read.rs` reads a text into them, `fault.rs` gathers what is wrong. What the values mean
//! is for the reader of each document, and so is the reason of each kind of fault.

mod fault;
mod read;
mod table;

pub(crate) use fault::{Faults, Kind, Place, Wrong};
pub(crate) use read::{At, Entries, Key, Named, Read, Table, closest_word, read_table};
pub(crate) use table::{required_keys, table};
