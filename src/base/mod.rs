//! Words that know nothing of our trade: digests, bounded streams, safe paths, the doors to disk and clock.

pub mod archive;
pub mod clock;
pub mod digest;
pub mod failure;
pub mod folder;
pub mod fs;
pub mod limits;
pub mod medium;
pub mod password;
pub mod path;
pub mod progress;
pub mod redact;
pub mod stream;
pub mod text;
pub(crate) mod written;
