//! `verify`: who must have signed an image. Keys and trusted roots are read here, so that what is wrong with
//! them has a place in the manifest.

use super::{
    check::Checker,
    schema::{MOST_KEYS, VerifyTable},
    value,
};
use crate::{
    base::{
        failure::Failure,
        text,
        written::{At, Table as _, Wrong},
    },
    cosign::{Keyless, Policy},
    trust::PublicKey,
};

impl Checker<'_> {
    /// Who must have signed.
    pub(super) fn verify(&mut self, table: &VerifyTable) -> Option<Policy> {
        let keyless = [&table.identity, &table.issuer, &table.trusted_root];
        match &table.keys {
            Some(keys) => {
                if let Some(other) = keyless.into_iter().flatten().next() {
                    let message = "`keys` and `identity` exclude each other";
                    let hint = "keep `keys`, or `identity` with `issuer` and `trusted_root`";
                    return self.wrong(other.place, Wrong::conflict(message, hint));
                }
                self.keys(table, keys)
            }
            None if keyless.iter().all(|value| value.is_none()) => self.missing(
                table.broken(),
                table.place(),
                "`verify` does not say who must have signed",
                "add `keys = [\"vendor.pub\"]`, or `identity` with `issuer` and `trusted_root`",
            ),
            None => self.keyless(table),
        }
    }

    fn keys(&mut self, table: &VerifyTable, written: &[At<String>]) -> Option<Policy> {
        if written.is_empty() || written.len() > MOST_KEYS {
            let message = format!("`keys` lists {}", text::count(written.len(), "key"));
            return self
                .wrong(table.place(), Wrong::value(message, format!("list 1 to {MOST_KEYS} key files")));
        }
        let mut keys: Vec<Option<PublicKey>> = Vec::new();
        for at in written {
            let pem = self.file_of(at);
            keys.push(pem.and_then(|pem| self.parsed(at, PublicKey::from_pem(&pem))));
        }
        let mut keys: Vec<PublicKey> = keys.into_iter().collect::<Option<_>>()?;
        keys.sort_by(|a, b| a.key_id().cmp(b.key_id()));
        keys.dedup();
        Some(Policy::Keys(keys))
    }

    fn keyless(&mut self, table: &VerifyTable) -> Option<Policy> {
        let named = [
            ("identity", &table.identity, "an email address or URI: who must have signed"),
            ("issuer", &table.issuer, "who vouches for the identity: anybody can run an issuer of his own"),
            ("trusted_root", &table.trusted_root, "the path of Sigstore's trusted_root.json"),
        ];
        for (name, value, what) in named {
            if value.is_none() {
                let message = format!("a keyless `verify` needs `{name}`");
                let _reported: Option<()> =
                    self.missing(table.broken(), table.place(), &message, &format!("add `{name}`: {what}"));
            }
        }
        let plain = |input: &str| {
            if (1..=2048).contains(&input.len()) && input.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Ok(input.to_owned());
            }
            let message = format!("`{}` is no identity or issuer", text::escaped(input, 200));
            Err(Wrong::value(message, "write it as the certificate has it, without spaces or patterns"))
        };
        let identity = self.read(table.identity.as_ref(), plain);
        let issuer = self.read(table.issuer.as_ref(), plain);
        let at = table.trusted_root.as_ref()?;
        let root = self.file_of(at)?;
        let hint = "take the trusted_root.json of the Sigstore that signed: `cosign trusted-root create`, or its TUF repository";
        // The root is judged even where nobody is named, so that all faults are listed at once.
        match Keyless::new(identity.as_deref().unwrap_or(""), issuer.as_deref().unwrap_or(""), &root) {
            Ok(keyless) => (identity.is_some() && issuer.is_some()).then_some(Policy::Keyless(keyless)),
            Err(why) => {
                let message = format!("`{}` is no trusted root: {why}", text::escaped(&at.value, 200));
                self.wrong(at.place, Wrong::value(message, hint))
            }
        }
    }

    /// The text of a file that the manifest names.
    fn file_of(&mut self, at: &At<String>) -> Option<String> {
        let folder = self.folder;
        let path = self.read(Some(at), |input| value::path(input, folder))?;
        let text = (self.read_file)(&path);
        self.parsed(at, text)
    }

    /// What a file holds, or the fault at the place that names it.
    fn parsed<T>(&mut self, at: &At<String>, result: Result<T, Failure>) -> Option<T> {
        result
            .map_err(|failure| {
                let hint =
                    failure.hint.clone().unwrap_or_else(|| "the path is relative to this file".to_owned());
                let message = format!("`{}`: {}", text::escaped(&at.value, 200), failure.message);
                self.faults.add(at.place, Wrong::value(message, hint));
            })
            .ok()
    }
}
