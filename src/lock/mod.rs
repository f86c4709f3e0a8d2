//! What was resolved: `sealift.lock`, made for review in a pull request (`docs/lock.md`).
//!
//! [`codec`] is its text, [`mod@diff`] what changed between two of them or since the manifest was edited.

mod codec;
mod diff;
pub mod model;

pub use codec::{parse, render};
pub use diff::{Change, ChangeKind, covers, diff};
pub use model::{Lock, LockedChart, LockedDependency, LockedFile, LockedImage, LockedReferrer};
