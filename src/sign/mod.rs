//! A second signature, by somebody else, perhaps elsewhere.
//!
//! 1. [`of_bundle`] reads the whole bundle, [`of_export`] the `SHA256SUMS` that came from one: a [`Statement`].
//! 2. [`Statement::against`] compares it with what each key signed last in the channel, and refuses what no
//!    key may sign twice.
//! 3. [`Statement::sign`] signs and remembers; nothing is handed out before it is remembered.
//!
//! Whoever cannot bring the bundle to the key takes the file of [`export`] there, and brings the signature
//! back with [`add`].

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        digest::Digest,
        failure::{Failure, Failures, Reason, Result},
        fs, limits,
        progress::Progress,
    },
    bundle::{self, BundleIndex, Sums, sums::SIGNATURES},
    report::{Alarm, DiffReport, LastSigned, SignKeyLine, SignReport},
    store::{Signed, Store},
    trust::{self, Chain, PublicKey, Signature, Signer},
    verify::{self, Examined},
};

/// Fails unless `digits` begin the `digest` of the bundle at `path`.
///
/// # Errors
/// [`Reason::BadArgument`] for what is no beginning of a digest, [`Reason::DigestMismatch`] for one of
/// another bundle.
pub fn confirm(path: &Path, digest: &Digest, digits: &str) -> Result<()> {
    let hex = digits.strip_prefix("sha256:").unwrap_or(digits).to_ascii_lowercase();
    if hex.len() < CONFIRMING_DIGITS || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = format!("expected {CONFIRMING_DIGITS} or more hex digits");
        return Err(Failure::new(Reason::BadArgument, "--digest", message)
            .hint("give the beginning of the digest that was shown, or that you were told"));
    }
    if digest.hex().starts_with(&hex) {
        return Ok(());
    }
    let message = format!("expected a digest that begins with {hex}, found {digest}");
    Err(Failure::new(Reason::DigestMismatch, path.display(), message)
        .hint("this is not the bundle that you looked at: do not sign it, and ask who put it here"))
}

/// Hex digits of the digest that confirm it, at least.
const CONFIRMING_DIGITS: usize = 8;

/// What a signature would say.
#[derive(Debug)]
pub struct Statement {
    path: PathBuf,
    bytes: Vec<u8>,
    sums: Sums,
    digest: Digest,
    /// What `bundle.json` lists; absent where only `SHA256SUMS` is here.
    contents: Option<BundleIndex>,
    signatures: Vec<Signature>,
    /// The trust documents that the bundle carries, if they are here.
    chain: Option<Chain>,
    /// The bundle is ours alone while it is signed.
    _lock: Option<File>,
}

/// What a bundle holds, after every byte of it was compared with its `SHA256SUMS`.
///
/// # Errors
/// Those of [`verify::examine`], and [`Reason::LockHeld`].
pub fn of_bundle(dir: &Path, workers: usize, progress: &dyn Progress) -> Result<Statement, Failures> {
    let lock = hold(dir)?;
    let examined = verify::examine(dir, workers, progress)?;
    Ok(Statement::new(dir, &examined, lock))
}

/// What an exported `SHA256SUMS` says. The bundle is elsewhere, and was checked there.
///
/// # Errors
/// [`Reason::SumsTooLarge`], those of [`Sums::parse`], those of the disk.
pub fn of_export(file: &Path) -> Result<Statement> {
    let bytes = fs::read_user_text(file)?.into_bytes();
    if bytes.len() as u64 > limits::SUMS_BYTES {
        return Err(Failure::new(Reason::SumsTooLarge, file.display(), "larger than 1 MiB")
            .hint("give the file that `sealift sign BUNDLE --export FILE` wrote"));
    }
    let sums = Sums::parse(&bytes).map_err(|failure| {
        failure.of(file.display()).hint("give the file that `sealift sign BUNDLE --export FILE` wrote")
    })?;
    Ok(Statement {
        path: file.to_owned(),
        digest: Digest::of(&bytes),
        bytes,
        sums,
        contents: None,
        signatures: Vec::new(),
        chain: None,
        _lock: None,
    })
}

impl Statement {
    fn new(dir: &Path, examined: &Examined, lock: File) -> Self {
        Self {
            path: dir.to_owned(),
            bytes: examined.sums().to_vec(),
            sums: examined.parsed().clone(),
            digest: Digest::of(examined.sums()),
            contents: Some(examined.index().clone()),
            signatures: examined.signatures().to_vec(),
            chain: examined.chain().cloned(),
            _lock: Some(lock),
        }
    }

    /// Digest of `SHA256SUMS`: what people compare.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Compares the statement with what each key signed last in this channel.
    ///
    /// # Errors
    /// [`Reason::Rollback`] and [`Reason::Equivocation`] for a key that signed a later place of the channel,
    /// or this one with other content. A signature that is there already is neither. Those of
    /// [`Chain::may_sign_bundle`] for a key whose signature would not count by the trust documents that the bundle
    /// carries.
    pub fn against(&self, store: &Store, keys: &[Box<dyn Signer>]) -> Result<Vec<Compared>, Failures> {
        let mut compared = Vec::new();
        let mut failures = Vec::new();
        for key in keys.iter().map(|key| key.public()) {
            let last = store.last_signed(key.key_id(), &self.sums.header.channel)?;
            let holds = self.holds(key);
            if !holds {
                let header = &self.sums.header;
                let counts = self
                    .chain
                    .as_ref()
                    .map(|chain| chain.may_sign_bundle(key, &header.channel, header.sequence));
                failures.extend(counts.and_then(Result::err));
                failures.extend(last.as_ref().and_then(|last| self.refusal(key, last)));
            }
            compared.push(Compared { last, holds });
        }
        Failures::check(failures)?;
        Ok(compared)
    }

    /// Why `key`, which signed `last`, may not sign this.
    fn refusal(&self, key: &PublicKey, last: &Signed) -> Option<Failure> {
        let header = &self.sums.header;
        let (place, reached) = ((header.epoch, header.sequence), (last.epoch, last.sequence));
        if last.sums == self.digest || place > reached {
            return None;
        }
        let object = format!("key {}", key.key_id());
        let place = format!("{}.{} of channel {}", header.epoch, header.sequence, header.channel);
        Some(if (header.epoch, header.sequence) == reached {
            let message = format!("it signed other content for sequence {place}: {}", last.sums);
            Failure::new(Reason::Equivocation, object, message)
                .hint("two bundles of one sequence freeze the channel at every site: raise the sequence and build again")
        } else {
            let message =
                format!("it signed sequence {}.{} already, and this is {place}", last.epoch, last.sequence);
            Failure::new(Reason::Rollback, object, message).hint(
                "sites refuse an older bundle: sign the newest one, or raise the sequence and build again",
            )
        })
    }

    /// Whether the bundle carries a signature by `key` that holds.
    fn holds(&self, key: &PublicKey) -> bool {
        let file = self.signatures.iter().find(|file| file.key_id == key.key_id());
        file.is_some_and(|file| key.verifies(&self.bytes, &file.bytes))
    }

    /// Signs with every key that has not signed yet and writes `<key-id>.sig` into the bundle, or into `out`
    /// for an exported file.
    ///
    /// What is signed is remembered first: a run that dies in between can only be repeated with the same
    /// content. A signature that holds is never written again.
    ///
    /// # Errors
    /// [`Reason::SignatureLimit`], [`Reason::LockHeld`] when the same key signs elsewhere in this moment, those
    /// of the keys and of the disk.
    pub fn sign(
        &self,
        keys: &[Box<dyn Signer>],
        compared: &[Compared],
        store: &Store,
        out: &Path,
    ) -> Result<SignReport> {
        let folder = if self.contents.is_some() { self.path.join(SIGNATURES) } else { out.to_owned() };
        let pending = || keys.iter().zip(compared).filter(|(_, compared)| !compared.holds);
        self.require_room(pending().map(|(key, _)| key.public().key_id()))?;
        let made = pending().map(|(key, _)| key.sign(&self.bytes)).collect::<Result<Vec<_>>>()?;
        let mut memory: Vec<_> =
            pending().map(|(key, compared)| (key.public().key_id(), compared.last.as_ref())).collect();
        // The same key given twice is one key.
        memory.sort_by_key(|(key_id, _)| *key_id);
        memory.dedup_by_key(|(key_id, _)| *key_id);
        let header = &self.sums.header;
        if !store.record_signed(&memory, &header.channel, &self.signed())? {
            let message = "one of the keys signed something else in this moment";
            return Err(Failure::new(Reason::LockHeld, store.home().display(), message)
                .hint("run the command again and look at what is shown"));
        }
        fs::create_dir(&folder, false)?;
        for ((key, _), signature) in pending().zip(&made) {
            let name = file_name(key.public().key_id());
            if self.contents.is_some() {
                // A reader of the bundle refuses what is not listed, also what a killed run left.
                fs::write_atomic_into(&self.path, &Path::new(SIGNATURES).join(name), signature, 0o644)?;
            } else {
                fs::write_atomic(&folder.join(name), signature, 0o644)?;
            }
        }
        // Those that were there may be of a run that was killed before it came to this.
        fs::sync_dir(&folder)?;
        let mut report = self.report(keys, compared);
        for line in &mut report.keys {
            if line.state == NOT_SIGNED {
                line.state = "signed";
            }
            line.path = Some(folder.join(file_name(&line.key_id)).display().to_string());
        }
        if self.contents.is_some() {
            report.alarms = lacking(&self.path)?;
        }
        Ok(report)
    }

    /// Remembers it for a key that signed it, or tells what contradicts it.
    fn remember(&self, store: &Store, key: &PublicKey) -> Result<Option<Failure>> {
        let channel = &self.sums.header.channel;
        loop {
            let last = store.last_signed(key.key_id(), channel)?;
            let contradiction = last.as_ref().and_then(|last| self.refusal(key, last));
            // Where the key signed something else in this moment, that is compared too.
            if contradiction.is_some()
                || store.record_signed(&[(key.key_id(), last.as_ref())], channel, &self.signed())?
            {
                return Ok(contradiction);
            }
        }
    }

    /// What is remembered of it.
    fn signed(&self) -> Signed {
        Signed {
            epoch: self.sums.header.epoch,
            sequence: self.sums.header.sequence,
            sums: self.digest.clone(),
            contents: self.contents.as_ref().map(listing),
        }
    }

    /// Fails when the signature files of `more` keys would be more than a bundle may have.
    fn require_room<'a>(&self, more: impl Iterator<Item = &'a str>) -> Result<()> {
        let new = more.filter(|id| self.signatures.iter().all(|file| file.key_id != *id)).count();
        require_room(&self.path, self.signatures.len() + new)
    }

    /// What is to be signed, for people to read.
    pub fn report(&self, keys: &[Box<dyn Signer>], compared: &[Compared]) -> SignReport {
        let mut report = blank(&self.path, &self.sums, &self.digest);
        report.checked = self.contents.is_some();
        if let Some(index) = &self.contents {
            report.artifacts = Some(index.artifacts.len());
            report.blobs = Some(index.blobs.len());
            report.bytes = Some(index.blobs.iter().map(|blob| blob.size).sum());
        }
        report.signatures = self.signatures.iter().map(|file| file.key_id.clone()).collect();
        report.keys = keys
            .iter()
            .zip(compared)
            .map(|(key, compared)| SignKeyLine {
                key_id: key.public().key_id().to_owned(),
                state: if compared.holds { "already-signed" } else { NOT_SIGNED },
                last: compared.last.as_ref().map(|last| LastSigned {
                    epoch: last.epoch,
                    sequence: last.sequence,
                    sums_digest: last.sums.to_string(),
                }),
                difference: self.difference(compared.last.as_ref()),
                path: None,
            })
            .collect();
        report
    }

    /// What is new against the bundle that a key signed last; everything, where it signed none.
    fn difference(&self, last: Option<&Signed>) -> Option<DiffReport> {
        let index = self.contents.as_ref()?;
        let before: BundleIndex = match last {
            Some(last) => serde_json::from_str(last.contents.as_ref()?).ok()?,
            None => BundleIndex { artifacts: Vec::new(), blobs: Vec::new(), ..bare(index) },
        };
        let mut difference = bundle::diff(&before, index);
        if last.is_none() {
            "nothing".clone_into(&mut difference.from);
        }
        Some(difference)
    }
}

const NOT_SIGNED: &str = "not-signed";

/// A statement beside what a key signed last.
#[derive(Debug)]
pub struct Compared {
    last: Option<Signed>,
    holds: bool,
}

impl Compared {
    /// Whether the bundle carries this key's signature already.
    pub fn is_signed(&self) -> bool {
        self.holds
    }
}

/// Remembers the bundle that was just built in `dir` for the `keys` that signed it, and tells which of them signed
/// something before that contradicts it. For these nothing is remembered: it may be that the other bundle never left.
///
/// # Errors
/// Those of [`verify::glance`] and of the disk.
pub fn remember(dir: &Path, store: &Store, keys: &[Box<dyn Signer>]) -> Result<Vec<Failure>> {
    let glance = verify::glance(dir)?;
    let statement = Statement {
        path: dir.to_owned(),
        sums: Sums::parse(&glance.sums)?,
        digest: glance.sums_digest,
        bytes: glance.sums,
        contents: Some(glance.index),
        signatures: Vec::new(),
        chain: None,
        _lock: None,
    };
    let contradictions = keys.iter().map(|key| statement.remember(store, key.public()));
    Ok(contradictions.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Reads the whole bundle and writes its `SHA256SUMS` to `file`: all that another machine needs for a signature.
///
/// # Errors
/// Those of [`of_bundle`]; [`Reason::OutputExists`] when `file` is there with other content.
pub fn export(
    dir: &Path,
    file: &Path,
    workers: usize,
    progress: &dyn Progress,
) -> Result<SignReport, Failures> {
    let statement = of_bundle(dir, workers, progress)?;
    if file.exists() && fs::read_user_text(file)?.into_bytes() != statement.bytes {
        return Err(Failure::new(
            Reason::OutputExists,
            file.display(),
            "there is something else of this name",
        )
        .hint("nothing is overwritten: choose another name, or move it away")
        .into());
    }
    fs::write_atomic(file, &statement.bytes, 0o644)?;
    let mut report = statement.report(&[], &[]);
    report.exported = Some(file.display().to_string());
    Ok(report)
}

/// Puts the signature in `file`, made elsewhere by `key`, into the bundle in `dir`.
///
/// # Errors
/// [`Reason::SignatureInvalid`] when it is not by this key over this bundle's `SHA256SUMS`,
/// [`Reason::SignatureLimit`], [`Reason::LockHeld`], those of [`verify::glance`] and of the disk.
pub fn add(dir: &Path, file: &Path, key: &PublicKey) -> Result<SignReport> {
    let _lock = hold(dir)?;
    let glance = verify::glance(dir)?;
    let sums = Sums::parse(&glance.sums)?;
    // Asked once before anything is written, for documents that cannot be read.
    lacking(dir)?;
    let signature = fs::read_limited(file, limits::SIGNATURE_BYTES, Reason::SignatureLimit)?;
    if !key.verifies(&glance.sums, &signature) {
        let message = format!("it is no signature by {} over this bundle", key.key_id());
        return Err(Failure::new(Reason::SignatureInvalid, file.display(), message).hint(format!(
            "check that it was made for {}, and that --public is the key that made it",
            glance.sums_digest
        )));
    }
    let place = dir.join(SIGNATURES).join(file_name(key.key_id()));
    let there = glance.signatures.iter().any(|id| id == key.key_id());
    let holds = there
        && fs::read_limited(&place, limits::SIGNATURE_BYTES, Reason::SignatureLimit)
            .is_ok_and(|found| key.verifies(&glance.sums, &found));
    if !holds {
        require_room(dir, glance.signatures.len() + usize::from(!there))?;
        fs::create_dir(&dir.join(SIGNATURES), false)?;
        let below = Path::new(SIGNATURES).join(file_name(key.key_id()));
        fs::write_atomic_into(dir, &below, &signature, 0o644)?;
    }
    fs::settle(&place)?;
    let mut report = blank(dir, &sums, &glance.sums_digest);
    report.signatures = glance.signatures;
    report.alarms = lacking(dir)?;
    report.keys = vec![SignKeyLine {
        key_id: key.key_id().to_owned(),
        state: if holds { "already-signed" } else { "added" },
        last: None,
        difference: None,
        path: Some(place.display().to_string()),
    }];
    Ok(report)
}

/// Whose signatures a site will still miss.
fn lacking(dir: &Path) -> Result<Vec<Alarm>> {
    Ok(verify::lacking(dir)?.iter().map(Alarm::from).collect())
}

fn file_name(key_id: &str) -> String {
    format!("{key_id}.sig")
}

/// Takes the bundle for this process alone, and clears away what a killed run left among the signatures.
fn hold(dir: &Path) -> Result<File> {
    let lock = fs::lock_dir(dir)?.ok_or_else(|| {
        Failure::new(Reason::LockHeld, dir.display(), "another sealift signs this bundle")
            .hint("wait for it, then run again")
    })?;
    fs::remove_temporaries(&dir.join(SIGNATURES), |name| {
        name.strip_suffix(".sig").is_some_and(trust::is_key_id)
    })?;
    Ok(lock)
}

fn require_room(dir: &Path, signatures: usize) -> Result<()> {
    if signatures <= limits::SIGNATURES {
        return Ok(());
    }
    let message = format!("the bundle would have more than {} signatures", limits::SIGNATURES);
    Err(Failure::new(Reason::SignatureLimit, dir.display(), message)
        .hint("no reader takes more; remove signatures that nobody needs"))
}

/// What a bundle is, without where its content lies: all that a comparison needs.
fn bare(index: &BundleIndex) -> BundleIndex {
    BundleIndex { members: Vec::new(), volumes: Vec::new(), ..index.clone() }
}

/// The same as text, to be remembered.
fn listing(index: &BundleIndex) -> String {
    bare(index).to_text()
}

fn blank(path: &Path, sums: &Sums, digest: &Digest) -> SignReport {
    let header = &sums.header;
    SignReport {
        schema: 1,
        path: path.display().to_string(),
        checked: false,
        name: header.name.clone(),
        version: header.version.clone(),
        channel: header.channel.clone(),
        epoch: header.epoch,
        sequence: header.sequence,
        created: header.created.to_string(),
        previous: header.previous.as_ref().map(ToString::to_string),
        site: header.site.clone(),
        trust: header.trust,
        expires: header.expires.map(|expires| expires.to_string()),
        sums_digest: digest.to_string(),
        artifacts: None,
        blobs: None,
        bytes: None,
        volumes: sums.volumes(),
        files: sums.files.iter().map(|(path, _)| path.clone()).collect(),
        signatures: Vec::new(),
        keys: Vec::new(),
        alarms: Vec::new(),
        exported: None,
    }
}
