//! Who wants what.

use std::{collections::BTreeSet, fmt};

use crate::base::{
    text,
    written::{Wrong, closest_word},
};

/// What somebody may do with repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Read anything of them.
    Pull,
    /// Bring blobs, new manifests and new tags.
    Push,
    /// Make an existing tag lead elsewhere.
    Tag,
    /// Take blobs, manifests and tags away.
    Delete,
    /// Administer them; on `**`, the registry.
    Admin,
}

impl Right {
    /// Every right, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Pull, Self::Push, Self::Tag, Self::Delete, Self::Admin];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Tag => "tag",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }

    pub(super) fn read(input: &str) -> Result<Self, Wrong> {
        let known = Self::ALL.into_iter().find(|right| right.name() == input);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            let hint = closest_word(&input.to_lowercase(), names).map_or_else(
                || format!("the rights are {}", names.join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            Wrong::value(format!("`{}` is no right", text::escaped(input, 80)), hint)
        })
    }
}

/// The name of an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// Of a person.
    User(String),
    /// Of a machine.
    Robot(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Robot(name) => write!(f, "robot:{name}"),
        }
    }
}

/// Whether `text` can be the name of a user, robot or group: 1 to 128 letters, digits and . _ - @ + with a letter or
/// digit first.
pub fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte))
}

/// Who asks: an account with its groups, or somebody without a login.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The account; `None` without login.
    pub name: Option<Name>,
    /// Groups that the account is in.
    pub groups: BTreeSet<String>,
}

impl Subject {
    /// Somebody without a login.
    pub fn anonymous() -> Self {
        Self::default()
    }
}

/// To whom something is granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Everybody, without login too.
    Anyone,
    /// Whoever has logged in.
    Authenticated,
    /// One account.
    Account(Name),
    /// All accounts of a group.
    Group(String),
}

impl Holder {
    pub(super) fn read(input: &str) -> Result<Self, Wrong> {
        let Some((kind, name)) = input.split_once(':') else {
            return match input {
                "anyone" => Ok(Self::Anyone),
                "authenticated" => Ok(Self::Authenticated),
                _ => Err(Self::unknown(input, closest_word(input, ["anyone", "authenticated"]))),
            };
        };
        if !is_name(name) {
            return Err(Wrong::value(
                format!("`{}` is no name of an account or group", text::escaped(name, 140)),
                "use 1 to 128 letters, digits and . _ - @ + with a letter or digit first",
            ));
        }
        match kind {
            "user" => Ok(Self::Account(Name::User(name.to_owned()))),
            "robot" => Ok(Self::Account(Name::Robot(name.to_owned()))),
            "group" => Ok(Self::Group(name.to_owned())),
            _ => {
                let meant =
                    closest_word(kind, ["user", "robot", "group"]).map(|kind| format!("{kind}:{name}"));
                Err(Self::unknown(input, meant.as_deref()))
            }
        }
    }

    fn unknown(input: &str, meant: Option<&str>) -> Wrong {
        let hint = meant.map_or_else(
            || "write user:NAME, robot:NAME, group:NAME, authenticated or anyone".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        Wrong::value(
            format!("`{}` is nobody that a right can be granted to", text::escaped(input, 140)),
            hint,
        )
    }

    /// Whether `subject` is meant.
    pub fn means(&self, subject: &Subject) -> bool {
        match self {
            Self::Anyone => true,
            Self::Authenticated => subject.name.is_some(),
            Self::Account(name) => subject.name.as_ref() == Some(name),
            Self::Group(group) => subject.name.is_some() && subject.groups.contains(group),
        }
    }

    /// Whether it means everybody whom `other` means.
    pub fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Anyone => true,
            Self::Authenticated => *other != Self::Anyone,
            Self::Account(_) | Self::Group(_) => self == other,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::Account(name) => write!(f, "{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}
