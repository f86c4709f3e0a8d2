//! The words of the OCI specifications, shared by client and server.

pub mod artifact;
pub mod config;
pub mod descriptor;
pub mod error_code;
pub mod graph;
pub mod image;
pub mod media_type;
pub mod platform;
pub mod reference;

pub use artifact::file_artifact;
pub use config::Config;
pub use descriptor::Descriptor;
pub use graph::Graph;
pub use image::{Document, ImageIndex, ImageManifest};
pub use platform::Platform;
pub use reference::Reference;
