//! `sealift key`, and reading key files for the other commands.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs,
        redact::Secret,
    },
    cli::{
        args::{Key, KeyAlgorithm, KeyCommand, KeyGenerate, Passphrase, PublicKeys},
        settings::Settings,
        ui::Out,
    },
    report::KeyReport,
    trust::{Algorithm, Authority, PrivateKey, PublicKey, Signer},
};

pub(super) fn run(args: &Key, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let public = match &args.command {
        KeyCommand::Generate(args) => generate(args, settings)?,
        KeyCommand::Public(args) => private_key(&args.file, &args.passphrase, settings)?.public().clone(),
    };
    out.report(&KeyReport { schema: 1, key_id: public.key_id().to_owned(), public_key: public.to_pem()? });
    if let KeyCommand::Generate(args) = &args.command {
        out.note(&format!("wrote {}; key id {}", args.out.display(), public.key_id()));
        out.note("save the public key above and hand it over by another way than the media");
    }
    Ok(())
}

fn generate(args: &KeyGenerate, settings: &Settings) -> Result<PublicKey> {
    if args.out.exists() {
        return Err(Failure::new(Reason::KeyExists, args.out.display(), "there is a file of this name")
            .hint("keys are never overwritten: choose another name"));
    }
    let passphrase = if args.no_passphrase {
        None
    } else {
        Some(passphrase(&args.passphrase, settings, &args.out, true)?)
    };
    let key = PrivateKey::generate(match args.algorithm {
        KeyAlgorithm::Ed25519 => Algorithm::Ed25519,
        KeyAlgorithm::EcdsaP256 => Algorithm::EcdsaP256,
    })?;
    let pem = key.to_pem(passphrase.as_ref())?;
    fs::write_atomic(&args.out, pem.reveal().as_bytes(), 0o600)?;
    Ok(key.public().clone())
}

/// The private keys of `--key`, each read and unlocked.
pub(super) fn private_keys(
    files: &[PathBuf],
    from: &Passphrase,
    settings: &Settings,
) -> Result<Vec<Box<dyn Signer>>> {
    files.iter().map(|file| private_key(file, from, settings).map(|key| Box::new(key) as _)).collect()
}

fn private_key(file: &Path, from: &Passphrase, settings: &Settings) -> Result<PrivateKey> {
    let mode = fs::mode(file)?;
    let pem = Secret::new(fs::read_user_text(file)?);
    if mode & 0o077 != 0 && pem.reveal().contains("PRIVATE KEY-----") {
        let message = format!("mode {mode:04o} lets others read it");
        return Err(Failure::new(Reason::KeyPermissions, file.display(), message).hint(format!(
            "run `chmod 600 {}`; if others may have read it, make a new key",
            file.display()
        )));
    }
    let passphrase = if pem.reveal().contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        Some(passphrase(from, settings, file, false)?)
    } else {
        None
    };
    PrivateKey::from_pem(pem.reveal(), passphrase.as_ref()).map_err(|failure| failure.of(file.display()))
}

/// A passphrase: from the file, the variable, or a prompt on a terminal.
fn passphrase(from: &Passphrase, settings: &Settings, key: &Path, is_new: bool) -> Result<Secret> {
    if let Some(file) = &from.passphrase_file {
        let text = Secret::new(fs::read_user_text(file)?);
        let line = text.reveal().lines().next().unwrap_or("");
        return checked(Secret::new(line), file.display().to_string());
    }
    if let Some(secret) = &settings.passphrase {
        return Ok(secret.clone());
    }
    if !std::io::stdin().is_terminal() {
        let no_passphrase =
            if is_new { ", or --no-passphrase for a key that is protected otherwise" } else { "" };
        return Err(Failure::new(
            Reason::KeyPassphrase,
            key.display(),
            "it needs a passphrase and there is no terminal",
        )
        .hint(format!("give --passphrase-file FILE or SEALIFT_KEY_PASSPHRASE{no_passphrase}")));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map(Secret::new).map_err(|error| {
            Failure::new(Reason::KeyPassphrase, key.display(), format!("cannot read the passphrase: {error}"))
        })
    };
    let first = ask(&format!("Passphrase for {}: ", key.display()))?;
    if is_new && ask("The same again: ")? != first {
        return Err(Failure::new(Reason::KeyPassphrase, key.display(), "the two passphrases differ")
            .hint("try again"));
    }
    checked(first, key.display().to_string())
}

fn checked(secret: Secret, object: String) -> Result<Secret> {
    if secret.reveal().is_empty() {
        return Err(Failure::new(Reason::KeyPassphrase, object, "the passphrase is empty")
            .hint("choose one, or make a key with --no-passphrase"));
    }
    Ok(secret)
}

/// Whom a command believes.
pub(super) fn authority(given: &PublicKeys) -> Result<Authority, Failures> {
    public_keys(&given.key).map(Authority::Keys)
}

/// The public keys of `--key`. A private key given by mistake is named as such.
pub(super) fn public_keys(files: &[PathBuf]) -> Result<Vec<PublicKey>, Failures> {
    let mut keys = Vec::new();
    let mut failures = Vec::new();
    for file in files {
        match fs::read_user_text(file).and_then(|pem| PublicKey::from_pem(&pem)) {
            Ok(key) => keys.push(key),
            Err(failure) if failure.reason == Reason::NotFound => failures.push(failure),
            Err(failure) => failures.push(failure.of(file.display())),
        }
    }
    Failures::check(failures)?;
    Ok(keys)
}
