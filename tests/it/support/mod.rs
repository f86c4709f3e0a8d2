//! What several test files need.

pub(crate) mod home;
pub(crate) mod origin;
pub(crate) mod sandbox;
pub(crate) mod served;
pub(crate) mod sink;
pub(crate) mod stand_ins;
pub(crate) mod upstream;
pub(crate) mod wire;
