//! The name of a key on a token: an RFC 7512 URI, read strictly.
//!
//! ```text
//! pkcs11:token=release;object=2026?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin
//! ```
//!
//! A PIN never stands in it: whoever lists processes sees the command line (T31).

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::base::{
    digest,
    failure::{Failure, Reason, Result},
};

const SCHEME: &str = "pkcs11:";
/// Longest URI that is looked at.
const LONGEST: usize = 4096;

/// Where a key lies. Attributes that are not given match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uri {
    /// Label of the token.
    pub(super) token: Option<String>,
    /// Its maker.
    pub(super) manufacturer: Option<String>,
    /// Its model.
    pub(super) model: Option<String>,
    /// Its serial number.
    pub(super) serial: Option<String>,
    /// `CKA_LABEL` of the key.
    pub(super) object: Option<String>,
    /// `CKA_ID` of the key.
    pub(super) id: Option<Vec<u8>>,
    /// The library that speaks to the token.
    pub(super) module: PathBuf,
    /// File with the PIN on its first line.
    pin_source: Option<PathBuf>,
}

/// Whether a key is given by such a URI rather than by a file.
pub fn is_uri(text: &str) -> bool {
    text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

impl Uri {
    /// Reads a URI. Every attribute that is not known is refused: one that is passed over could have said
    /// which key is meant.
    ///
    /// # Errors
    /// [`Reason::TokenUri`].
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.get(SCHEME.len()..).filter(|_| is_uri(text) && text.len() <= LONGEST);
        let rest = rest.ok_or_else(|| wrong("expected at most 4096 characters that begin with pkcs11:"))?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut uri = Self::default();
        let (mut is_private, mut module) = (None, None);
        for attribute in path.split(';').filter(|_| !path.is_empty()) {
            let (name, value) = attribute_of(attribute, false)?;
            match name {
                "token" => once(name, &mut uri.token, text_of(name, value)?),
                "manufacturer" => once(name, &mut uri.manufacturer, text_of(name, value)?),
                "model" => once(name, &mut uri.model, text_of(name, value)?),
                "serial" => once(name, &mut uri.serial, text_of(name, value)?),
                "object" => once(name, &mut uri.object, text_of(name, value)?),
                "id" => once(name, &mut uri.id, value),
                "type" if value == b"private" => once(name, &mut is_private, ()),
                "type" => Err(wrong("expected the private key, type=private, or no type")),
                "slot-id" | "slot-manufacturer" | "slot-description" => Err(wrong(format!(
                    "{name} changes with every reader: name the token by token= or serial="
                ))),
                _ => Err(unknown(name)),
            }?;
        }
        for attribute in query.iter().flat_map(|query| query.split('&')) {
            let (name, value) = attribute_of(attribute, true)?;
            match name {
                "module-path" => once(name, &mut module, absolute(name, &text_of(name, value)?)?),
                "pin-source" => {
                    let source = text_of(name, value)?;
                    let path = source.strip_prefix("file:").unwrap_or(&source);
                    let path = path.strip_prefix("//").unwrap_or(path);
                    once(name, &mut uri.pin_source, absolute(name, path)?)
                }
                // Not even quoted: it is a secret.
                "pin-value" => Err(wrong("a PIN on the command line is seen by everybody on this machine")
                    .hint("put it into a file and give pin-source=file:/PATH, or let sealift ask")),
                "module-name" => Err(wrong("expected the file of the module, found its name")
                    .hint("give module-path=/PATH/MODULE.so; `p11-kit list-modules` shows it")),
                _ => Err(unknown(name)),
            }?;
        }
        if uri.token.is_none() && uri.serial.is_none() {
            return Err(wrong("it does not say which token: expected token= or serial="));
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(wrong("it does not say which key: expected object= or id="));
        }
        uri.module = module.ok_or_else(|| {
            wrong("it does not say which library speaks to the token")
                .hint("add ?module-path=/PATH/MODULE.so, for instance /usr/lib/softhsm/libsofthsm2.so")
        })?;
        Ok(uri)
    }

    /// The file that `pin-source` names.
    pub fn pin_source(&self) -> Option<&Path> {
        self.pin_source.as_deref()
    }
}

/// What messages call the key: the URI without its query.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("serial", &self.serial),
            ("object", &self.object),
        ];
        let mut parts: Vec<String> = texts
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")))
            .collect();
        parts.extend(self.id.as_ref().map(|id| format!("id={}", digest::hex(id))));
        write!(f, "{SCHEME}{}", parts.join(";"))
    }
}

fn wrong(message: impl fmt::Display) -> Failure {
    Failure::new(Reason::TokenUri, "pkcs11 URI", message)
        .hint("write pkcs11:token=TOKEN;object=KEY?module-path=/PATH/MODULE.so (RFC 7512)")
}

fn unknown(name: &str) -> Failure {
    wrong(format!("the attribute `{name}` is not known")).hint(
        "known are token, serial, manufacturer, model, object, id, type=private; after the ? module-path, pin-source",
    )
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<()> {
    if place.replace(value).is_some() {
        return Err(wrong(format!("{name} stands twice")));
    }
    Ok(())
}

fn absolute(name: &str, path: &str) -> Result<PathBuf> {
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(PathBuf::from(path));
    }
    Err(wrong(format!("{name} must be the whole path of a file, from / on")))
}

fn text_of(name: &str, value: Vec<u8>) -> Result<String> {
    let text = String::from_utf8(value).map_err(|_utf8| wrong(format!("{name} is not UTF-8 text")))?;
    if text.is_empty() {
        return Err(wrong(format!("{name} is empty")));
    }
    Ok(text)
}

/// Name and decoded value of one attribute.
fn attribute_of(attribute: &str, in_query: bool) -> Result<(&str, Vec<u8>)> {
    let (name, value) = attribute
        .split_once('=')
        .ok_or_else(|| wrong("expected NAME=VALUE between the separators `;`, `?` and `&`"))?;
    Ok((name, decoded(name, value, in_query)?))
}

/// Percent-decoding. Characters outside of RFC 7512, section 2.3, must be encoded.
fn decoded(name: &str, value: &str, in_query: bool) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let code = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                bytes.push(code.ok_or_else(|| wrong(format!("{name}: after % stand two hex digits")))?);
            }
            _ if byte.is_ascii_alphanumeric() || b"-._~:[]@!$'()*+,=".contains(&byte) => bytes.push(byte),
            b'&' if !in_query => bytes.push(byte),
            b'/' | b'?' | b'|' if in_query => bytes.push(byte),
            // A secret may be near: the value is not quoted.
            _ => {
                let message =
                    format!("{name} holds a character that must be written as % and two hex digits");
                return Err(wrong(message).hint("a space is %20, a slash before the ? is %2F"));
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "?module-path=/usr/lib/softhsm/libsofthsm2.so";

    #[test]
    fn what_is_meant_is_read() {
        let uri = Uri::parse(&format!("pkcs11:token=my%20token;object=a&b;id=%01%fF{MODULE}")).unwrap();
        assert_eq!(uri.token.as_deref(), Some("my token"));
        assert_eq!(uri.object.as_deref(), Some("a&b"));
        assert_eq!(uri.id.as_deref(), Some(&[1, 0xff][..]));
        assert_eq!(uri.module, Path::new("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!(uri.pin_source(), None);
        assert_eq!(uri.to_string(), "pkcs11:token=my token;object=a&b;id=01ff");
        // As p11tool prints it.
        let whole = "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=82c1;token=t;id=%01;object=k;type=private";
        for source in ["file:/run/my%20pin", "file:///run/my%20pin", "/run/my%20pin"] {
            let uri = Uri::parse(&format!("{whole}{MODULE}&pin-source={source}")).unwrap();
            assert_eq!(uri.pin_source(), Some(Path::new("/run/my pin")), "{source}");
            assert_eq!(uri.model.as_deref(), Some("SoftHSM v2"));
        }
        assert!(Uri::parse(&format!("PKCS11:serial=1;id=%01{MODULE}")).is_ok());
        assert!(is_uri("pkcs11:") && !is_uri("pkcs11") && !is_uri("release.key"));
    }

    #[test]
    fn everything_else_is_refused() {
        for wrong in [
            "pkcs11:",
            "pkcs11:token=t;object=k",
            &format!("pkcs11:{MODULE}"),
            &format!("pkcs11:token=t{MODULE}"),
            &format!("pkcs11:object=k{MODULE}"),
            &format!("pkcs11:token=t;token=u;object=k{MODULE}"),
            &format!("pkcs11:token=t;object=k;type=public{MODULE}"),
            &format!("pkcs11:token=t;object=k;slot-id=0{MODULE}"),
            &format!("pkcs11:token=t;object=k;x-vendor=1{MODULE}"),
            &format!("pkcs11:token=t;object=k;{MODULE}"),
            &format!("pkcs11:Token=t;object=k{MODULE}"),
            &format!("pkcs11:token=;object=k{MODULE}"),
            &format!("pkcs11:token=t t;object=k{MODULE}"),
            &format!("pkcs11:token=t/t;object=k{MODULE}"),
            &format!("pkcs11:token=%e4;object=k{MODULE}"),
            &format!("pkcs11:token=t;object=%4{MODULE}"),
            &format!("pkcs11:token=t;object=%+4{MODULE}"),
            &format!("pkcs11:token=t;object=kü{MODULE}"),
            &format!("pkcs11:token=t;object=k{MODULE}#x"),
            &format!("pkcs11:token=t;object=k{MODULE}&module-path=/x"),
            &format!("pkcs11:token=t;object=k{MODULE}&pin-source=pin"),
            &format!("pkcs11:token=t;object=k{MODULE}&pin-source=file:pin"),
            &format!("pkcs11:token=t;object=k{MODULE}&"),
            "pkcs11:token=t;object=k?module-path=libsofthsm2.so",
            "pkcs11:token=t;object=k?module-name=softhsm2",
            "pkcs11:token=t;object=k?module-path=/a%00b",
            &format!("pkcs11:token={};object=k{MODULE}", "t".repeat(LONGEST)),
        ] {
            let failure = Uri::parse(wrong).unwrap_err();
            assert_eq!(failure.reason, Reason::TokenUri, "{wrong}");
            assert!(failure.hint.is_some(), "{wrong}");
        }
    }

    /// T31: not even the refusal repeats a PIN.
    #[test]
    fn a_pin_in_the_uri_is_refused_and_never_repeated() {
        for uri in ["pin-value=canary-1234", "pin-value=canary 1234", "pin-value=canary&pin-value=canary"] {
            let failure = Uri::parse(&format!("pkcs11:token=t;object=k{MODULE}&{uri}")).unwrap_err();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
    }
}
