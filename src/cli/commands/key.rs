//! `sealift key`, and opening keys for the other commands: files, and keys on tokens.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs,
        redact::Secret,
        text,
    },
    cli::{
        args::{Key, KeyAlgorithm, KeyCommand, KeyGenerate, Passphrase},
        settings::Settings,
        ui::Out,
    },
    report::KeyReport,
    token,
    trust::{Algorithm, PrivateKey, PublicKey, Signer},
};

pub(super) fn run(args: &Key, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let public = match &args.command {
        KeyCommand::Generate(args) => generate(args, settings)?,
        KeyCommand::Public(args) => public_half(&args.key, &args.passphrase, settings)?,
    };
    out.report(&KeyReport { schema: 1, key_id: public.key_id().to_owned(), public_key: public.to_pem()? });
    match &args.command {
        KeyCommand::Generate(args) => {
            out.note(&format!("wrote {}; key id {}", args.out.display(), public.key_id()));
            out.note("save the public key above and hand it over by another way than the media");
        }
        KeyCommand::Public(_) => out.note(&format!("key id {}", public.key_id())),
    }
    Ok(())
}

/// The public half of a private key, or what a file with that half alone holds.
fn public_half(key: &Path, from: &Passphrase, settings: &Settings) -> Result<PublicKey> {
    if key.to_str().is_some_and(token::is_uri) {
        return signer(key, from, settings).map(|signer| signer.public().clone());
    }
    // Read once: it may be a pipe.
    let pem = read_pem(key)?;
    if pem.reveal().trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
        return PublicKey::from_pem(pem.reveal()).map_err(|failure| failure.of(key.display()));
    }
    unlocked(&pem, key, from, settings).map(|key| key.public().clone())
}

fn generate(args: &KeyGenerate, settings: &Settings) -> Result<PublicKey> {
    let taken = || {
        Failure::new(Reason::KeyExists, args.out.display(), "there is a file of this name")
            .hint("keys are never overwritten: choose another name")
    };
    if args.out.exists() {
        // Not after the passphrase was asked for.
        return Err(taken());
    }
    let passphrase = if args.no_passphrase {
        None
    } else {
        Some(passphrase(&args.passphrase, settings, &args.out.display().to_string(), true)?)
    };
    let key = PrivateKey::generate(match args.algorithm {
        KeyAlgorithm::Ed25519 => Algorithm::Ed25519,
        KeyAlgorithm::EcdsaP256 => Algorithm::EcdsaP256,
    })?;
    let pem = key.to_pem(passphrase.as_ref())?;
    fs::write_new(&args.out, pem.reveal().as_bytes(), 0o600).map_err(|failure| match failure.reason {
        Reason::OutputExists => taken(),
        _ => failure,
    })?;
    Ok(key.public().clone())
}

/// The private keys of `--key`, each unlocked.
pub(super) fn signers(
    keys: &[PathBuf],
    from: &Passphrase,
    settings: &Settings,
) -> Result<Vec<Box<dyn Signer>>> {
    keys.iter().map(|key| signer(key, from, settings)).collect()
}

/// The one way to a private key: `key` is a file, or a `pkcs11:` URI.
pub(super) fn signer(key: &Path, from: &Passphrase, settings: &Settings) -> Result<Box<dyn Signer>> {
    match key.to_str().filter(|text| token::is_uri(text)) {
        Some(uri) => {
            let uri = token::Uri::parse(uri)?;
            token::open(&uri, || pin(&uri, from, settings))
        }
        None => Ok(Box::new(private_key(key, from, settings)?)),
    }
}

/// The PIN of a token: from the file that the URI names, else from where passphrases come from.
fn pin(uri: &token::Uri, from: &Passphrase, settings: &Settings) -> Result<Secret> {
    match uri.pin_source() {
        Some(file) => {
            require_private(file, "a new PIN")?;
            first_line(file)
        }
        None => passphrase(from, settings, &uri.to_string(), false),
    }
}

/// The private key in `file`, for those who keep it.
pub(super) fn private_key(file: &Path, from: &Passphrase, settings: &Settings) -> Result<PrivateKey> {
    if file.to_str().is_some_and(token::is_uri) {
        let message = "a key on a token cannot be kept, and this one signs when nobody is there";
        return Err(Failure::new(Reason::BadArgument, file.display(), message)
            .hint("give a key file, or leave it out for a new one"));
    }
    unlocked(&read_pem(file)?, file, from, settings)
}

/// The private key that `file` holds as `pem`.
fn unlocked(pem: &Secret, file: &Path, from: &Passphrase, settings: &Settings) -> Result<PrivateKey> {
    if pem.reveal().contains("PRIVATE KEY-----") {
        require_private(file, "a new key")?;
    }
    let passphrase = if pem.reveal().contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        Some(passphrase(from, settings, &file.display().to_string(), false)?)
    } else {
        None
    };
    PrivateKey::from_pem(pem.reveal(), passphrase.as_ref()).map_err(|failure| failure.of(file.display()))
}

/// The text of a key file, of whichever half.
fn read_pem(file: &Path) -> Result<Secret> {
    fs::read_user_text(file).map(Secret::new).map_err(|failure| match failure.reason {
        Reason::BadArgument if failure.hint.is_none() => failure.hint(
            "give a key in PEM; openssl converts other forms: `openssl pkey -in FILE -out NEW`, with -pubin and -pubout for a public one",
        ),
        _ => failure,
    })
}

/// Refuses a file with a secret that others may read; `instead` is what to make once they may have read it.
pub(super) fn require_private(file: &Path, instead: &str) -> Result<()> {
    let mode = fs::mode(file)?;
    if mode & 0o077 != 0 {
        let message = format!("mode {mode:04o} lets others read it");
        let file = file.display().to_string();
        return Err(Failure::new(Reason::KeyPermissions, &file, message)
            .hint(format!("run `chmod 600 {file}`; if others may have read it, make {instead}")));
    }
    Ok(())
}

/// The passphrase of `key`: from the file, the variable, or a prompt on a terminal.
fn passphrase(from: &Passphrase, settings: &Settings, key: &str, is_new: bool) -> Result<Secret> {
    if let Some(file) = &from.passphrase_file {
        require_private(file, "a new passphrase, and change it")?;
        return first_line(file);
    }
    if let Some(secret) = &settings.passphrase {
        return Ok(secret.clone());
    }
    let wrong = |message: String| Failure::new(Reason::KeyPassphrase, key, message);
    if !std::io::stdin().is_terminal() {
        let no_passphrase =
            if is_new { ", or --no-passphrase for a key that is protected otherwise" } else { "" };
        return Err(wrong("it needs a passphrase or PIN and there is no terminal".to_owned())
            .hint(format!("give --passphrase-file FILE or SEALIFT_KEY_PASSPHRASE{no_passphrase}")));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Secret::new)
            .map_err(|error| wrong(format!("cannot read the passphrase: {error}")))
    };
    let what = if token::is_uri(key) { "PIN" } else { "Passphrase" };
    let first = ask(&format!("{what} for {}: ", text::escaped(key, 200)))?;
    if is_new && ask("The same again: ")? != first {
        return Err(wrong("the two passphrases differ".to_owned()).hint("try again"));
    }
    checked(first, key.to_owned())
}

/// The secret on the first line of a file.
pub(super) fn first_line(file: &Path) -> Result<Secret> {
    let text = Secret::new(fs::read_user_text(file)?);
    let line = text.reveal().lines().next().unwrap_or("");
    checked(Secret::new(line), file.display().to_string())
}

fn checked(secret: Secret, object: String) -> Result<Secret> {
    if secret.reveal().is_empty() {
        return Err(Failure::new(Reason::KeyPassphrase, object, "the passphrase is empty")
            .hint("choose one, or make a key with --no-passphrase"));
    }
    Ok(secret)
}

/// The public keys of `--key`. A private key given by mistake is named as such.
pub(super) fn public_keys(files: &[PathBuf]) -> Result<Vec<PublicKey>, Failures> {
    let mut keys = Vec::new();
    let mut failures = Vec::new();
    for file in files {
        match public_key(file) {
            Ok(key) => keys.push(key),
            Err(failure) => failures.push(failure),
        }
    }
    Failures::check(failures)?;
    Ok(keys)
}

/// The public key of a file.
pub(super) fn public_key(file: &Path) -> Result<PublicKey> {
    let key = read_pem(file).and_then(|pem| PublicKey::from_pem(pem.reveal()));
    key.map_err(|failure| failure.of(file.display()))
}
