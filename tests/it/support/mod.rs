//! What several tests share.

pub(crate) mod sink;
//! What several test files need.

pub(crate) mod origin;
