//! remote.
