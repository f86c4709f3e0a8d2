//! `sealift sign`

use super::key;
use crate::{
    base::failure::{Failure, Failures, Reason},
    cli::{args, settings::Settings, ui::Out},
    sign,
    store::Store,
};

pub(super) fn run(args: &args::Sign, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let is_bundle = !args.what.is_file();
    if is_bundle && args.out.is_some() {
        let message = "the signatures of a bundle go into the bundle";
        return Err(Failure::new(Reason::BadArgument, "--out", message)
            .hint("leave it out; it is for the file that --export wrote")
            .into());
    }
    if let Some(file) = &args.export {
        let progress = out.progress();
        out.report(&sign::export(&args.what, file, settings.workers, progress.as_ref())?);
        return Ok(());
    }
    if let Some(file) = &args.add {
        for public in key::public_keys(args.public.as_slice())? {
            out.report(&sign::add(&args.what, file, &public)?);
        }
        return Ok(());
    }
    let keys = key::signers(&args.key, &args.passphrase, settings)?;
    let statement = if is_bundle {
        sign::of_bundle(&args.what, settings.workers, out.progress().as_ref())?
    } else {
        sign::of_export(&args.what)?
    };
    let store = Store::open(&settings.home)?;
    let compared = statement.against(&store, &keys)?;
    let is_done = compared.iter().all(sign::Compared::is_signed);
    match &args.digest {
        None if is_done => {
            out.report(&statement.report(&keys, &compared));
            Ok(())
        }
        Some(digits) => {
            statement.confirm(digits)?;
            let folder = args.out.clone().unwrap_or_else(|| ".".into());
            out.report(&statement.sign(&keys, &compared, &store, &folder)?);
            Ok(())
        }
        // Shown to people; a program that asks for JSON gets the one document that tells of the refusal.
        None => {
            if !out.is_json() {
                out.report(&statement.report(&keys, &compared));
            }
            Err(unconfirmed(args, &statement).into())
        }
    }
}

/// Nothing was signed; the hint is the command that does.
fn unconfirmed(args: &args::Sign, statement: &sign::Statement) -> Failure {
    let mut command = vec!["sealift sign".to_owned(), quoted(&args.what.display().to_string())];
    for key in &args.key {
        command.push(format!("--key {}", quoted(&key.display().to_string())));
    }
    if let Some(file) = &args.passphrase.passphrase_file {
        command.push(format!("--passphrase-file {}", quoted(&file.display().to_string())));
    }
    if let Some(folder) = &args.out {
        command.push(format!("--out {}", quoted(&folder.display().to_string())));
    }
    command.push(format!("--digest {}", statement.digest().hex().get(..8).unwrap_or_default()));
    let message = format!("nothing was signed yet: its digest is {}", statement.digest());
    Failure::new(Reason::DigestUnconfirmed, args.what.display(), message)
        .hint(format!("if this is what you want to sign: `{}`", command.join(" ")))
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:=,+@".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("stick/demo-1.0"), "stick/demo-1.0");
        assert_eq!(quoted("pkcs11:token=a;object=b?c"), "'pkcs11:token=a;object=b?c'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
