//! Secrets have no place in a manifest: what looks like one is refused, and not repeated.

use toml::de::DeValue;

use crate::base::{
    text,
    written::{Kind, Wrong},
};

/// Keys under which people look for a place to put credentials.
const SECRETS: &[&str] = &[
    "access_token",
    "api_key",
    "auth",
    "credential",
    "credentials",
    "identity_token",
    "identitytoken",
    "login",
    "passphrase",
    "password",
    "passwd",
    "secret",
    "token",
    "user",
    "username",
];

/// Something secret stands, or is meant to stand, in the manifest.
pub(super) fn wrong(message: impl Into<String>) -> Wrong {
    Wrong {
        kind: Kind::Secret,
        message: message.into(),
        hint: "remove it: credentials are read from Docker's and Podman's auth files (`docker login`, \
               `podman login`), credential helpers and the variables SEALIFT_REGISTRY_AUTH…, never from \
               the manifest"
            .into(),
    }
}

/// What is special about a key that the table `title` does not have.
pub(super) fn unknown_key(title: &str, key: &str, value: &DeValue<'_>) -> Option<Wrong> {
    let message = format!("{title} has no key `{}`", text::escaped(key, 80));
    if SECRETS.contains(&key.to_ascii_lowercase().as_str()) {
        return Some(wrong(message));
    }
    let split_host = title.starts_with("[registries") && matches!(value, DeValue::Table(_));
    split_host.then(|| Wrong {
        kind: Kind::UnknownKey,
        message,
        hint: "a host with dots is one key only between quotes: [registries.\"registry.example.com\"]"
            .to_owned(),
    })
}
