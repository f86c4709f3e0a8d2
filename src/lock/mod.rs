//! What was resolved: `sealift.lock`, made for review in a pull request (`docs/lock.md`).

pub mod model;

pub use model::{Lock, LockedChart, LockedDependency, LockedFile, LockedImage, LockedReferrer};
