//! YAML as charts use it, under one set of limits: duplicate keys and alias bombs are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// Reads one document. `what` says in the message what could not be read.
///
/// The parser's own node budget would refuse a real repository index, so the budget follows from the size
/// of the text, which the caller has bounded. Aliases are worth little here and get little (threats J07).
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: bytes.len().saturating_add(100),
            max_nodes: bytes.len().saturating_add(100),
            max_total_scalar_bytes: bytes.len().saturating_mul(2).saturating_add(1000),
            max_aliases: 1000,
            max_anchors: 1000,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|error| format!("{what} cannot be read: {}", error.to_string().trim()))
}

/// A text that may be written without quotes or left empty.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A list of texts; the list and each text may be left empty.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Option::<Vec<Option<String>>>::deserialize(deserializer)?;
    Ok(list.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect())
}

/// A map of texts; the map and each text may be left empty.
pub(super) fn map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?;
    Ok(map.unwrap_or_default().into_iter().map(|(key, text)| (key, text.unwrap_or_default())).collect())
}

/// Anything that may be left empty.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
