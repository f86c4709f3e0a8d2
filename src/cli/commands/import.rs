//! `sealift import`

use std::{collections::BTreeMap, path::Path};

use super::key;
use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs,
    },
    cli::{args, settings::Settings, ui::Out},
    import::{self, Destination, Mapping, Options},
    manifest::RegistrySettings,
    oci::{Platform, reference},
    remote::{Client, ClientSettings, Credentials},
    store::Store,
    verify,
};

pub(super) fn run(args: &args::Import, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let authority = key::authority(&args.keys)?;
    let platforms = args.platform.iter().map(|text| platform(text)).collect::<Result<_>>()?;
    let mapping = Mapping::parse(&args.map)?;
    if let Some(folder) = args.receipt.as_ref().and_then(|path| path.parent()) {
        // Not after an hour of work.
        writable(folder)?;
    }
    let sign_key =
        args.sign_key.as_ref().map(|key| key::signer(key, &args.passphrase, settings)).transpose()?;
    let bundle = verify::open(&args.bundle, &authority)?;
    let options = Options {
        destination: destination(args, settings, out)?,
        platforms,
        names: args.name.clone(),
        mapping,
        files_to: args.files_to.clone(),
        sign_key,
        dry_run: args.dry_run,
        workers: if args.to.is_some() { settings.transfers } else { settings.workers },
        now: settings.now(),
    };
    let progress = out.progress();
    let receipt = import::run(&bundle, &options, progress.as_ref())?;
    if let Some(path) = &args.receipt {
        fs::write_atomic(path, receipt.to_json()?.as_bytes(), 0o644)?;
    }
    out.report(&receipt);
    Ok(())
}

/// Fails unless `folder` is there.
fn writable(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Failure::new(Reason::BadArgument, folder.display(), "expected a folder, found a file")
            .hint("choose another path for the receipt")),
        Err(error) => Err(fs::failure(folder, "write the receipt into", &error)),
    }
}

fn platform(text: &str) -> Result<Platform> {
    Platform::parse(text).ok_or_else(|| {
        Failure::new(Reason::BadArgument, "--platform", format!("`{text}` is no platform"))
            .hint("write os/architecture, for instance linux/amd64")
    })
}

fn destination(args: &args::Import, settings: &Settings, out: &Out) -> Result<Destination> {
    let Some(to) = &args.to else { return Ok(Destination::Home(Store::open(&settings.home)?)) };
    let (host, prefix) = to.trim_end_matches('/').split_once('/').unwrap_or((to.trim_end_matches('/'), ""));
    if !reference::is_registry(host) || !(prefix.is_empty() || reference::is_repository(prefix)) {
        return Err(Failure::new(Reason::BadArgument, "--to", format!("`{to}` is no registry"))
            .hint("write HOST[:PORT][/PREFIX], for instance registry.site.example:5000/mirror"));
    }
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
