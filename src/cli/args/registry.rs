//! `sealift tag`

use std::str::FromStr;

use clap::Subcommand;

use crate::{base::digest::Digest, oci::reference};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Tag {
    #[command(subcommand)]
    pub(in crate::cli) command: TagCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TagCommand {
    /// List the tags of a repository of the home
    List(TagList),
    /// Show where a tag led, when, and who moved it
    History(TagHistory),
    /// Lead a tag back to where it led before
    Restore(TagRestore),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TagList {
    /// The repository as the registry of the site serves it, for instance docker.io/library/debian
    #[arg(value_name = "REPOSITORY")]
    pub(in crate::cli) repository: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TagHistory {
    /// The tag as the registry of the site serves it, for instance docker.io/library/debian:13
    #[arg(value_name = "REPOSITORY:TAG")]
    pub(in crate::cli) tag: TagName,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TagRestore {
    /// The tag as the registry of the site serves it, for instance docker.io/library/debian:13
    #[arg(value_name = "REPOSITORY:TAG")]
    pub(in crate::cli) tag: TagName,
    /// Lead it here [default: where it led before it led to where it does]
    #[arg(long, value_name = "DIGEST")]
    pub(in crate::cli) to: Option<Digest>,
}

/// A tag of a repository of the home.
#[derive(Debug, Clone)]
pub(in crate::cli) struct TagName {
    pub(in crate::cli) repository: String,
    pub(in crate::cli) tag: String,
}

impl FromStr for TagName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (repository, tag) = text.rsplit_once(':').ok_or("expected REPOSITORY:TAG")?;
        if !reference::is_repository(repository) || !reference::is_tag(tag) {
            return Err(
                "expected REPOSITORY:TAG, as `sealift tag list` shows them; the `:` of a port is a `_` there",
            );
        }
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }
}
