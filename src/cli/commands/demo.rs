//! `sealift demo`: the whole way on embedded content, each command as a user would type it.
//!
//! The demo runs this very program as a child for every command, so what it shows is what happens.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use crate::{
    base::{
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
        progress::Silent,
    },
    cli::{args::Demo, settings::Settings, ui::Out},
    oci::{Graph, Reference, media_type},
    remote::{Client, ClientSettings},
    source::Source,
    store::Store,
};

/// What the demo carries: a two-platform image, as `skopeo copy … oci-archive:` would leave it, and a file.
const CONTENT: [(&str, &[u8]); 3] = [
    ("sealift.toml", include_bytes!("../../../testdata/demo/sealift.toml")),
    ("hello.oci.tar", include_bytes!("../../../testdata/demo/hello.oci.tar")),
    ("motd.txt", include_bytes!("../../../testdata/demo/motd.txt")),
];
const BUNDLE: &str = "media/demo-1.0";

pub(super) fn run(args: &Demo, settings: &Settings, out: &Out) -> Result<(), Failures> {
    let dir = folder(args, settings)?;
    let stage = Stage { dir, out };
    stage.say(&format!("This demo works in {} and needs no network.", stage.dir.display()));
    for (name, bytes) in CONTENT {
        fs::write_atomic(&stage.dir.join(name), bytes, 0o644)?;
    }

    stage.say("\n# The connected side: a manifest says what is wanted. Make a signing key, lock, build.");
    stage.show_file("sealift.toml")?;
    let public = stage.output("key generate -o release.key --no-passphrase", "> release.pub")?;
    fs::write_atomic(&stage.dir.join("release.pub"), public.as_bytes(), 0o644)?;
    stage.expect("lock --home connected", 0)?;
    stage.expect("build --locked --home connected --key release.key -o media", 0)?;

    stage.say("\n# The folder on the media travels. Anybody can look; the receiver checks with a key from elsewhere.");
    stage.expect(&format!("inspect {BUNDLE}"), 0)?;
    stage.expect(&format!("verify {BUNDLE} --key release.pub"), 0)?;

    stage.say("\n# Somebody changes one byte on the way.");
    stage.tamper()?;
    stage.expect("verify tampered --key release.pub", 4)?;

    stage.say("\n# The disconnected side: import and serve.");
    stage.expect(&format!("import {BUNDLE} --key release.pub --home inside"), 0)?;
    let (mut server, address) = stage.serve()?;
    let pulled = stage.pull(&address);
    // The demo started the server and ends it, whatever the pull gave.
    let _already_gone = server.kill().and_then(|()| server.wait());
    for (name, upstream, inside) in pulled? {
        stage.say(&format!("  {name}\n    locked {upstream}\n    pulled {inside}"));
        if upstream != inside {
            return Err(Failure::new(
                Reason::DigestMismatch,
                name,
                "what came out differs from what went in",
            )
            .into());
        }
    }
    stage.say("\nWhat came out is byte for byte what went in. The folder stays for you to look around:");
    stage.say(&format!("  {}", stage.dir.display()));
    Ok(())
}

/// The folder to work in: empty, ours.
fn folder(args: &Demo, settings: &Settings) -> Result<PathBuf> {
    let Some(dir) = &args.dir else {
        for number in 1..10_000 {
            let dir = settings.temporary.join(format!("sealift-demo-{number}"));
            if fs::create_fresh_dir(&dir)? {
                return Ok(dir);
            }
        }
        return Err(Failure::new(
            Reason::OutputExists,
            settings.temporary.display(),
            "it is full of earlier demos",
        )
        .hint("remove the folders sealift-demo-* there, or name a folder with --dir"));
    };
    fs::create_dir(dir, false)?;
    if !fs::is_empty_dir(dir)? {
        return Err(Failure::new(Reason::OutputExists, dir.display(), "the folder is not empty")
            .hint("name an empty or new folder"));
    }
    std::path::absolute(dir).map_err(|error| fs::failure(dir, "find", &error))
}

struct Stage<'a> {
    dir: PathBuf,
    out: &'a Out,
}

impl Stage<'_> {
    fn say(&self, line: &str) {
        self.out.data(&format!("{line}\n"));
    }

    fn show_file(&self, name: &str) -> Result<()> {
        self.say(&format!("$ cat {name}"));
        self.out.data(&fs::read_user_text(&self.dir.join(name))?);
        Ok(())
    }

    fn command(&self, line: &str, rest: &str) -> Result<Command> {
        self.say(format!("\n$ sealift {line} {rest}").trim_end());
        let program =
            std::env::current_exe().map_err(|error| fs::failure(Path::new("sealift"), "find", &error))?;
        let mut command = Command::new(program);
        command.args(line.split(' ')).current_dir(&self.dir).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a command in view and compares its exit code.
    fn expect(&self, line: &str, code: i32) -> Result<()> {
        let status = self
            .command(line, "")?
            .status()
            .map_err(|error| fs::failure(Path::new("sealift"), "start", &error))?;
        if status.code() == Some(code) {
            if code != 0 {
                self.say(&format!("(exit code {code}: refused, as it must be)"));
            }
            return Ok(());
        }
        Err(Failure::internal(format!(
            "`sealift {line}` ended with {status}, the demo expected exit code {code}"
        )))
    }

    /// Runs a command for its standard output.
    fn output(&self, line: &str, rest: &str) -> Result<String> {
        let ended = self.command(line, rest)?.stderr(Stdio::inherit()).output();
        let ended = ended.map_err(|error| fs::failure(Path::new("sealift"), "start", &error))?;
        if !ended.status.success() {
            return Err(Failure::internal(format!("`sealift {line}` ended with {}", ended.status)));
        }
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    /// Copies the bundle and flips one bit in the middle of its volume.
    fn tamper(&self) -> Result<()> {
        let (from, to) = (self.dir.join(BUNDLE), self.dir.join("tampered"));
        self.say(&format!(
            "\n$ cp -r {BUNDLE} tampered    # and one bit of tampered/volumes/0001.tar.zst is flipped"
        ));
        for entry in walkdir::WalkDir::new(&from) {
            let entry = entry.map_err(|error| fs::failure(&from, "list", &error.into()))?;
            let below = entry.path().strip_prefix(&from).map_err(Failure::internal)?;
            if entry.file_type().is_dir() {
                fs::create_dir(&to.join(below), false)?;
                continue;
            }
            let mut bytes = fs::read_limited(entry.path(), limits::USER_FILE_BYTES, Reason::Internal)?;
            if below == Path::new("volumes/0001.tar.zst") {
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            fs::write_atomic(&to.join(below), &bytes, 0o644)?;
        }
        Ok(())
    }

    /// Starts the server and waits for the line that says where.
    fn serve(&self) -> Result<(Child, String)> {
        let mut command = self.command("serve --home inside --listen 127.0.0.1:0 --plain-http", "&")?;
        let started = command.stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| fs::failure(Path::new("sealift"), "start", &error))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|error| fs::failure(Path::new("sealift"), "read", &error))?;
        }
        self.out.data(&line);
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        if let Some(address) = address {
            Ok((child, address.to_owned()))
        } else {
            let _already_gone = child.kill().and_then(|()| child.wait());
            Err(Failure::internal("`sealift serve` did not say where it listens"))
        }
    }

    /// Pulls everything back over HTTP, as containerd would, and returns name, locked and pulled digest.
    fn pull(&self, address: &str) -> Result<Vec<(String, String, String)>> {
        self.say(&format!("\n# Pull it back from http://{address}, every blob, and compare with the lock."));
        let project = super::connected::Project::open(&self.dir.join("sealift.toml"))
            .map_err(|_failures| Failure::internal("the demo's manifest is broken"))?;
        let lock = project.lock.ok_or_else(|| Failure::internal("the demo has no lock"))?;
        let locked: BTreeMap<&str, String> = lock
            .images
            .iter()
            .map(|image| (image.name.as_str(), image.root.digest.to_string()))
            .chain(lock.files.iter().map(|file| (file.name.as_str(), file.root.digest.to_string())))
            .collect();
        let client_settings = ClientSettings { use_proxy: false, ..ClientSettings::default() };
        let client = Client::new(client_settings, Arc::new(Silent))?;
        let source = Source::new(client, Store::open(&self.dir.join("pulled"))?, Arc::new(Silent))?;
        super::runtime()?.block_on(async {
            let mut pulled = Vec::new();
            for (name, upstream) in locked {
                let at = Reference::parse(&format!("{address}/{name}"))?;
                let root = source.root(&at).await?;
                source.tree(&at, &root, &|_, _| true).await?;
                let mut graph = Graph::default();
                graph.add(&root, &std::collections::BTreeSet::new(), &mut |at| source.store.read_blob(at))?;
                for blob in graph.blobs.values().filter(|blob| !media_type::is_manifest(&blob.media_type)) {
                    source.client.blob(&at, blob, source.store.writer(&blob.digest)?).await?;
                }
                pulled.push((name.to_owned(), upstream, root.digest.to_string()));
            }
            Ok(pulled)
        })
    }
}
