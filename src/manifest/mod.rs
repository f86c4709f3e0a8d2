//! What the user asks for: `sealift.toml`, schema 1 (`docs/manifest.md`).
//!
//! 1. [`mod@include`] reads the first file and those that it includes.
//! 2. [`written`](crate::base::written) turns each text into the tables of [`schema`]: as written, keeping the place of
//!    every value.
//! 3. [`check`] turns them into the [`model`]: as meant; [`value`] judges single values, [`signed`] who must
//!    have signed an image. What is [`secret`] has no place in it.
//!
//! No step stops at a fault: all are gathered, with file, line, column and a hint.

mod check;
mod include;
mod inside;
pub mod model;
mod schema;
mod secret;
mod signed;
mod value;

use std::path::Path;

pub use model::{
    ChartSource, FileSource, Head, ImageSource, LocalImage, LocalKind, Manifest, Referrers, RegistrySettings,
    TagFilter, WantedChart, WantedFile, WantedImage,
};
pub use schema::json_schema;

use crate::base::{
    failure::{Failures, Reason, Result},
    fs,
};

/// Reads the manifest at `path` with everything that it includes.
///
/// # Errors
/// `manifest-not-found`, or every fault of every file: `manifest-syntax`, `manifest-unknown-key`,
/// `manifest-value`, `manifest-missing-key`, `manifest-conflict`, `manifest-include`,
/// `manifest-credentials`. The object of each is `path:line:column`.
pub fn load(path: &Path) -> Result<Manifest, Failures> {
    let text = fs::read_user_text(path).map_err(|failure| match failure.reason {
        Reason::NotFound => failure
            .as_reason(Reason::ManifestNotFound)
            .hint("write one with `sealift init`, or name another with -f FILE"),
        // What is no text; a folder comes with a hint of its own.
        Reason::BadArgument if failure.hint.is_none() => {
            failure.as_reason(Reason::ManifestSyntax).hint("save it as text in UTF-8")
        }
        _ => failure,
    })?;
    parse(&text, path, &mut |included| fs::read_user_text(included))
}

/// Reads the manifest `text` that stands at `path`; `read_file` gives the text of included files. Touches no
/// disk itself.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: &str,
    path: &Path,
    read_file: &mut dyn FnMut(&Path) -> Result<String>,
) -> Result<Manifest, Failures> {
    include::parse(text, path, read_file)
}

/// The commented manifest that `sealift init` writes. `name` must be a
/// [media name](crate::base::path::is_media_name).
pub fn starter(name: &str) -> String {
    include_str!("starter.toml").replace("@NAME@", name)
}
