//! What the user asks for: `sealift.toml`, schema 1 (`docs/manifest.md`).
//!
//! 1. [`schema`] reads the text as written, keeping the place of every value.
//! 2. [`check`] turns it into the [`model`]: as meant, gathering every fault at once.

pub mod model;

pub use model::{
    ChartSource, FileSource, Head, ImageSource, LocalImage, LocalKind, Manifest, Referrers, RegistrySettings,
    TagFilter, WantedChart, WantedFile, WantedImage,
};
