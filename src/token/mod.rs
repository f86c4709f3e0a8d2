//! Keys that never leave their token: smart cards and other hardware behind a PKCS#11 module.
//!
//! - [`Uri`] says which key is meant (uri.rs),
//! - [`open`] finds it, logs in, and gives a [`Signer`].
//!
//! A token is asked for as little as possible: raw ECDSA over our own SHA-256 (some know no other), pure
//! Ed25519. It is not trusted further than a signature can be checked: each one is compared with the public
//! key before anybody gets it.
//!
//! The module is native code that runs in this process; it is loaded from the path that the user names, and
//! from nowhere else.

mod uri;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::AuthPin,
};
pub use uri::{Uri, is_uri};

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
        redact::Secret,
    },
    trust::{self, Algorithm, PublicKey, Signer},
};

/// Tokens or keys named in a failure before the rest is left out.
const NAMED: usize = 8;

/// Finds the key that `uri` names and logs in. `pin` is called once, and only if the token wants a PIN from
/// this program (a reader with keys of its own asks for it itself).
///
/// # Errors
/// [`Reason::TokenModule`], [`Reason::TokenNotFound`], [`Reason::TokenAmbiguous`], [`Reason::TokenPin`],
/// [`Reason::TokenPinLocked`], [`Reason::TokenKey`], [`Reason::TokenMechanism`], [`Reason::TokenFailed`], those of
/// [`PublicKey::from_point`], and whatever `pin` fails with.
pub fn open(uri: &Uri, pin: impl FnOnce() -> Result<Secret>) -> Result<Box<dyn Signer>> {
    let module = module(uri)?;
    let (slot, token) = slot(&module, uri)?;
    let failed = |error: Error| failed(uri, &error);
    let session = module.open_ro_session(slot).map_err(failed)?;
    log_in(&module, &session, slot, &token, uri, pin)?;
    let key = only(uri, "private key", &objects(&session, uri, ObjectClass::PRIVATE_KEY)?)?;
    let algorithm = algorithm(&session, key, uri)?;
    let wanted = match algorithm {
        Algorithm::Ed25519 => MechanismType::EDDSA,
        Algorithm::EcdsaP256 => MechanismType::ECDSA,
    };
    if !module.get_mechanism_list(slot).map_err(failed)?.contains(&wanted) {
        let message = format!("the token holds the key but cannot sign with {wanted}");
        return Err(Failure::new(Reason::TokenMechanism, uri, message)
            .hint("use a key of the other algorithm, or a token that knows this one"));
    }
    let public = public_key(&session, key, algorithm, uri)?;
    Ok(Box::new(TokenKey { uri: uri.clone(), session: Mutex::new(session), key, public }))
}

/// A key on a token, unlocked.
struct TokenKey {
    uri: Uri,
    session: Mutex<Session>,
    key: ObjectHandle,
    public: PublicKey,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({}, {:?})", self.uri, self.public)
    }
}

impl Signer for TokenKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = match self.public.algorithm() {
            Algorithm::Ed25519 => {
                let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
                session.sign(&pure, self.key, message)
            }
            Algorithm::EcdsaP256 => session
                .sign(&Mechanism::Ecdsa, self.key, &Digest::of(message).bytes())
                .map(|raw| trust::ecdsa_der(&raw).unwrap_or_default()),
        };
        let signature = signed.map_err(|error| match error {
            Error::Pkcs11(RvError::UserNotLoggedIn, _) => {
                let message = "the key wants the PIN before each signature (CKA_ALWAYS_AUTHENTICATE)";
                Failure::new(Reason::TokenMechanism, &self.uri, message)
                    .hint("use a key without this attribute; on PIV cards that is any but 9C")
            }
            error => failed(&self.uri, &error),
        })?;
        if self.public.verifies(message, &signature) {
            return Ok(signature);
        }
        let message = "the token's signature does not hold for the public key that it gave";
        Err(Failure::new(Reason::TokenFailed, &self.uri, message)
            .hint("check that the public key on the token belongs to the private one of the same id"))
    }
}

fn module(uri: &Uri) -> Result<Pkcs11> {
    let path = &uri.module;
    let wrong = |message: String| {
        Failure::new(Reason::TokenModule, path.display(), message).hint(
            "give the PKCS#11 library of the token's maker as module-path, for instance \
             /usr/lib/softhsm/libsofthsm2.so; a statically linked sealift can load none",
        )
    };
    if !path.is_file() {
        return Err(wrong("there is no such file".to_owned()));
    }
    let module = Pkcs11::new(path).map_err(|error| match error {
        Error::LibraryLoading(error) => wrong(format!("the library cannot be loaded: {}", chain(&error))),
        error => wrong(format!("it is no PKCS#11 module: {error}")),
    })?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Another key of the same command opened it before.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(wrong(format!("the module does not start: {error}"))
            .hint("check the module's own configuration, for instance SOFTHSM2_CONF, and its permissions")),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn failed(uri: &Uri, error: &Error) -> Failure {
    Failure::new(Reason::TokenFailed, uri, error).hint("check that the token is still there, then run again")
}

/// The one token that `uri` names.
fn slot(module: &Pkcs11, uri: &Uri) -> Result<(Slot, TokenInfo)> {
    let failed = |error: Error| failed(uri, &error);
    let mut found = Vec::new();
    let mut others = Vec::new();
    for slot in module.get_slots_with_token().map_err(failed)? {
        // A token may be pulled out between the two questions; it is then as if it had not been there.
        let Ok(token) = module.get_token_info(slot) else { continue };
        if !token.token_initialized() {
            continue;
        }
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        if is(&uri.token, token.label())
            && is(&uri.manufacturer, token.manufacturer_id())
            && is(&uri.model, token.model())
            && is(&uri.serial, token.serial_number())
        {
            found.push((slot, token));
        } else {
            others.push(format!("`{}` (serial {})", token.label(), token.serial_number()));
        }
    }
    if found.len() > 1 {
        let serials: Vec<&str> = found.iter().map(|(_, token)| token.serial_number()).take(NAMED).collect();
        let message = format!("several tokens match; their serials are {}", serials.join(", "));
        return Err(Failure::new(Reason::TokenAmbiguous, uri, message).hint("add serial=SERIAL to the URI"));
    }
    others.truncate(NAMED);
    let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    found.pop().ok_or_else(|| {
        Failure::new(Reason::TokenNotFound, uri, format!("no token matches; there are: {others}"))
            .hint("insert the token, or correct token= or serial= in the URI")
    })
}

fn log_in(
    module: &Pkcs11,
    session: &Session,
    slot: Slot,
    token: &TokenInfo,
    uri: &Uri,
    pin: impl FnOnce() -> Result<Secret>,
) -> Result<()> {
    if !token.login_required() {
        return Ok(());
    }
    let locked = || {
        Failure::new(Reason::TokenPinLocked, uri, "the token locked its PIN after too many wrong ones")
            .hint("unlock it with the PIN of its security officer, with the tool of its maker")
    };
    if token.user_pin_locked() {
        return Err(locked());
    }
    let pin = if token.protected_authentication_path() {
        None
    } else {
        Some(AuthPin::from(pin()?.reveal().to_owned()))
    };
    let wrong = |message: &str| {
        let hint = match module.get_token_info(slot) {
            Ok(now) if now.user_pin_locked() => return locked(),
            Ok(now) if now.user_pin_final_try() => "one more wrong PIN locks the token: look it up first",
            _ => "give the right one; a token locks itself after some wrong ones",
        };
        Failure::new(Reason::TokenPin, uri, message).hint(hint)
    };
    match session.login(UserType::User, pin.as_ref()) {
        // Logged in for another key of the same command.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(locked()),
        Err(Error::Pkcs11(RvError::PinIncorrect, _)) => Err(wrong("the PIN is wrong")),
        Err(Error::Pkcs11(RvError::PinLenRange | RvError::PinInvalid, _)) => {
            Err(wrong("the PIN is wrong: the token has none of this length or these characters"))
        }
        Err(Error::Pkcs11(RvError::PinExpired, _)) => {
            Err(Failure::new(Reason::TokenPin, uri, "the PIN has expired")
                .hint("set a new one with the tool of the token's maker"))
        }
        Err(Error::Pkcs11(RvError::UserPinNotInitialized, _)) => {
            Err(Failure::new(Reason::TokenPin, uri, "the token has no PIN yet")
                .hint("set one with the tool of the token's maker, for instance `pkcs11-tool --init-pin`"))
        }
        Err(error) => Err(failed(uri, &error)),
    }
}

/// Objects of a class with the label and id of `uri`.
fn objects(session: &Session, uri: &Uri, class: ObjectClass) -> Result<Vec<ObjectHandle>> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.clone().map(Attribute::Id));
    session.find_objects(&template).map_err(|error| failed(uri, &error))
}

/// The only one of several objects.
fn only(uri: &Uri, what: &str, found: &[ObjectHandle]) -> Result<ObjectHandle> {
    match found {
        [one] => Ok(*one),
        [] => Err(Failure::new(Reason::TokenKey, uri, format!("the token holds no {what} of this name"))
            .hint("list what it holds: `pkcs11-tool --module MODULE --login --list-objects`")),
        several => {
            let message = format!("the token holds {} {what}s of this name", several.len());
            Err(Failure::new(Reason::TokenAmbiguous, uri, message)
                .hint("say which by object= and id= together; each key needs an id of its own"))
        }
    }
}

fn algorithm(session: &Session, key: ObjectHandle, uri: &Uri) -> Result<Algorithm> {
    let attributes =
        session.get_attributes(key, &[AttributeType::KeyType]).map_err(|error| failed(uri, &error))?;
    match attributes.first() {
        Some(Attribute::KeyType(kind)) if *kind == KeyType::EC => Ok(Algorithm::EcdsaP256),
        Some(Attribute::KeyType(kind)) if *kind == KeyType::EC_EDWARDS => Ok(Algorithm::Ed25519),
        _ => Err(Failure::new(Reason::TokenKey, uri, "the key is of another kind than sealift signs with")
            .hint("make one of the kind EC:prime256v1 or EC:edwards25519")),
    }
}

/// The public half: of the private object where the token keeps it there, else of the public object with
/// the same id and label.
fn public_key(session: &Session, key: ObjectHandle, algorithm: Algorithm, uri: &Uri) -> Result<PublicKey> {
    let point = |object: ObjectHandle| -> Result<Option<PublicKey>> {
        let attributes =
            session.get_attributes(object, &[AttributeType::EcPoint]).map_err(|error| failed(uri, &error))?;
        let Some(Attribute::EcPoint(bytes)) = attributes.first() else { return Ok(None) };
        let point = inner_point(bytes);
        let key = PublicKey::from_point(algorithm, point).map_err(|failure| failure.of(uri))?;
        Ok(Some(key))
    };
    // Many modules list the attribute for private keys and give nothing, or something empty.
    if let Ok(Some(public)) = point(key) {
        return Ok(public);
    }
    let names = session
        .get_attributes(key, &[AttributeType::Id, AttributeType::Label])
        .map_err(|error| failed(uri, &error))?;
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
    template.extend(names);
    let found = session.find_objects(&template).map_err(|error| failed(uri, &error))?;
    let missing = || {
        Failure::new(Reason::TokenKey, uri, "the token holds the private key, but not its public half")
            .hint("write it there, with the same label and id: `pkcs11-tool --write-object PUBLIC.der --type pubkey`")
    };
    if found.is_empty() {
        return Err(missing());
    }
    point(only(uri, "public key", &found)?)?.ok_or_else(missing)
}

/// The bytes of a point. The standard wants them in a DER string (OCTET, or BIT for Edwards curves); tokens
/// that give them bare are many. The lengths leave no doubt: a point has 32 or 65 bytes.
fn inner_point(bytes: &[u8]) -> &[u8] {
    match bytes {
        [4, length, point @ ..] if point.len() == usize::from(*length) && bytes.len() != 65 => point,
        [3, length, 0, point @ ..] if point.len() + 1 == usize::from(*length) => point,
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_in_three_wrappings() {
        let (edwards, p256) = ([7; 32], [&[4][..], &[9; 64]].concat());
        let octets = |point: &[u8]| [&[4, u8::try_from(point.len()).unwrap()], point].concat();
        for point in [&edwards[..], &p256] {
            assert_eq!(inner_point(point), point);
            assert_eq!(inner_point(&octets(point)), point);
        }
        assert_eq!(inner_point(&[&[3, 33, 0], &edwards[..]].concat()), edwards);
        // Bare, and the second byte looks like a length.
        let bare = [&[4, 63][..], &[9; 63]].concat();
        assert_eq!(inner_point(&bare), bare);
        for odd in [&[][..], &[4], &[4, 33, 1], &[3, 2, 1, 1]] {
            assert_eq!(inner_point(odd), odd);
        }
    }

    #[test]
    fn a_module_that_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("module.so");
        crate::base::fs::write_atomic(&file, b"no library", 0o600).unwrap();
        for path in [file, dir.path().join("missing.so"), dir.path().to_owned()] {
            let uri = Uri::parse(&format!("pkcs11:token=t;object=k?module-path={}", path.display())).unwrap();
            let failure = open(&uri, || panic!("nobody asks for a PIN")).unwrap_err();
            assert_eq!(failure.reason, Reason::TokenModule);
            assert_eq!(failure.object, path.display().to_string());
        }
    }
}
