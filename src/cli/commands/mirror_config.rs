//! `sealift mirror-config`

use std::path::Path;

use super::import;
use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs,
    },
    cli::{
        args::{self, MirrorConfig},
        settings::Settings,
        ui::Out,
    },
    mirrors::{Authority, File, Mirror, Runtime},
    oci::reference,
    remote,
    report::mirror::{MirrorFile, MirrorReport},
    store::Store,
};

pub(super) fn run(args: &MirrorConfig, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let (host, prefix) = import::registry("--registry", &args.registry)?;
    let authority = args.ca_file.as_deref().map(authority).transpose()?;
    let upstreams = if args.upstream.is_empty() { published(&settings.home)? } else { args.upstream.clone() };
    let mirror = Mirror::new(host, prefix, args.plain_http, authority, upstreams)?;
    let written = mirror.settings(match args.runtime {
        args::Runtime::Containerd => Runtime::Containerd,
        args::Runtime::Crio => Runtime::Crio,
        args::Runtime::K3s => Runtime::K3s,
        args::Runtime::Rke2 => Runtime::Rke2,
        args::Runtime::Openshift => Runtime::Openshift,
    });
    if let Some(folder) = &args.out {
        write(folder, &written.files)?;
    }
    out.report(&MirrorReport {
        schema: 1,
        registry: mirror.host().to_owned(),
        upstreams: mirror.upstreams().iter().cloned().collect(),
        folder: args.out.as_ref().map(|folder| folder.display().to_string()),
        files: written.files.into_iter().map(|File { path, text }| MirrorFile { path, text }).collect(),
        steps: written.steps.clone(),
    });
    for (at, step) in written.steps.iter().enumerate() {
        out.note(&format!("{}. {step}", at + 1));
    }
    Ok(())
}

/// Certificates that a client of TLS can use.
fn authority(path: &Path) -> Result<Authority> {
    let pem = remote::certificates(path)?;
    Authority::of(&pem).ok_or_else(|| {
        Failure::new(Reason::CaFile, path.display(), "holds no certificate between lines of its own")
            .hint("give a file with the certificate of the authority as `openssl x509 -in FILE` prints it")
    })
}

/// The upstream registries that the home publishes content of.
fn published(home: &Path) -> Result<Vec<String>> {
    let upstreams = Store::read_only(home, |state| {
        let mut upstreams = Vec::new();
        let mut last = String::new();
        while let Some(repository) = state.repository_after(&last)? {
            upstreams.extend(reference::upstream_registry(&repository));
            // What follows `/` in byte order: so none of the same registry comes again, however many there are.
            last = repository.split_once('/').map_or(repository.clone(), |(first, _)| format!("{first}0"));
        }
        Ok(upstreams)
    });
    let upstreams = upstreams?.unwrap_or_default();
    if upstreams.is_empty() {
        let found = "the home publishes nothing of an upstream registry";
        return Err(Failure::new(Reason::NotFound, home.display(), found)
            .hint("name them with --upstream, or give the home of the registry with --home"));
    }
    Ok(upstreams)
}

/// Each file whole or not at all, and none where one would have to be changed. Running again finishes what was begun.
fn write(folder: &Path, files: &[File]) -> Result<(), Failures> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    let mut in_the_way = Vec::new();
    for file in files {
        let path = folder.join(&file.path);
        match fs::read_limited(&path, file.text.len() as u64, Reason::OutputExists) {
            Ok(found) if found == file.text.as_bytes() => there.push(path),
            Err(failure) if failure.reason == Reason::NotFound => missing.push((path, &file.text)),
            Err(failure) if failure.reason != Reason::OutputExists => return Err(failure.into()),
            _other => in_the_way.push(
                Failure::new(Reason::OutputExists, path.display(), "there is another file of this name")
                    .hint("name another folder with -o, or compare and move this file away"),
            ),
        }
    }
    Failures::check(in_the_way)?;
    for path in there {
        fs::settle(&path)?;
    }
    for (path, text) in missing {
        fs::create_dir(path.parent().unwrap_or(folder), false)?;
        fs::write_new(&path, text.as_bytes(), 0o644)?;
    }
    Ok(())
}
