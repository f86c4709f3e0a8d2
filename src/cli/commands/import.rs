//! `sealift import`

use std::collections::BTreeMap;

use super::{key, trust};
use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs,
    },
    cli::{
        args,
        settings::Settings,
        ui::{self, Out},
    },
    import::{self, Destination, Mapping, Options},
    manifest::RegistrySettings,
    oci::{Platform, reference},
    remote::{Client, ClientSettings, Credentials},
    store::SignedReceipt,
};

pub(super) fn run(args: &args::Import, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let keys = key::public_keys(&args.keys.key)?;
    let platforms = args.platform.iter().map(|text| platform(text)).collect::<Result<_>>()?;
    let mapping = Mapping::parse(&args.map)?;
    // Not after an hour of work.
    args.receipt.as_deref().map_or(Ok(()), fs::require_output)?;
    let sign_key =
        args.sign_key.as_ref().map(|key| key::signer(key, &args.passphrase, settings)).transpose()?;
    let options = Options {
        site: trust::open_site(settings)?,
        destination: destination(args, settings, out)?,
        platforms,
        names: args.name.clone(),
        mapping,
        files_to: args.files_to.clone(),
        sign_key,
        dry_run: args.dry_run,
        workers: if args.to.is_some() { settings.transfers } else { settings.workers },
    };
    let progress = out.progress();
    let keep = |receipt: Option<&SignedReceipt>| match (&args.receipt, receipt) {
        (Some(path), Some(receipt)) => fs::write_output(path, receipt.text.as_bytes()),
        _ => Ok(()),
    };
    match import::from_media(&args.bundle, &keys, &options, progress.as_ref()) {
        Ok(done) => {
            for warning in &done.verdict.judgement.warnings {
                out.note(&format!("note: {}", ui::warning(warning)));
            }
            if done.verdict.site.is_none() {
                out.note(UNPINNED);
            }
            // The bundle is imported: whoever scripts this must not take it for undone. One document tells it.
            keep(done.receipt.as_ref()).map_err(|failure| {
                let message = format!("{}; the bundle is imported", failure.message);
                let hint = "`sealift receipt export` gives the receipt too";
                Failure { message, ..failure }.as_reason(Reason::InputOutput).hint(hint)
            })?;
            out.report(&done.report);
            Ok(())
        }
        Err(refusal) => {
            // The refusal is what matters: a receipt that cannot be written is told after it.
            let kept = keep(refusal.receipt.as_ref());
            Err(kept.err().into_iter().fold(refusal.failures, Failures::and))
        }
    }
}

/// What a home without a root of trust does not know.
const UNPINNED: &str = "note: the signature holds, but no trust document is pinned here: nothing protects against an \
    older bundle (`sealift trust init --site`)";

fn platform(text: &str) -> Result<Platform> {
    Platform::parse(text).ok_or_else(|| {
        Failure::new(Reason::BadArgument, "--platform", format!("`{text}` is no platform"))
            .hint("write os/architecture, for instance linux/amd64")
    })
}

/// `HOST[:PORT][/PREFIX]`, as given with `flag`.
pub(super) fn registry<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str)> {
    reference::registry_and_prefix(text.trim_end_matches('/')).ok_or_else(|| {
        let found = crate::base::text::escaped(text, 300);
        Failure::new(Reason::BadArgument, flag, format!("`{found}` is no registry"))
            .hint("write HOST[:PORT][/PREFIX], for instance registry.site.example:5000/mirror")
    })
}

fn destination(args: &args::Import, settings: &Settings, out: &Out) -> Result<Destination> {
    let Some(to) = &args.to else { return Ok(Destination::Home) };
    let (host, prefix) = registry("--to", to)?;
    let registry = RegistrySettings {
        plain_http: args.plain_http.then_some(true),
        ca_file: args.ca_file.clone(),
        ..RegistrySettings::default()
    };
    let client_settings = ClientSettings {
        registries: BTreeMap::from([(host.to_owned(), registry)]),
        credentials: Credentials::new(settings.credential_files.clone(), settings.registry_auth.clone()),
        // The disconnected side opens no connection but to the registry that it was told.
        use_proxy: false,
        ..ClientSettings::default()
    };
    let client = Client::new(client_settings, out.progress())?;
    Ok(Destination::Registry { client, host: host.to_owned(), prefix: prefix.to_owned() })
}
