//! The folder of trust documents, `0001.trust`, `0002.trust` and so on: what holds, and the next version on its way
//! through the hands of those who must sign it.
//!
//! The manifest's `trust` names such a folder, a bundle carries one. Only the newest document may lack signatures:
//! a draft. Killed at any moment, a version is there whole or not at all.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        failure::{Failure, Reason, Result},
        fs, limits,
    },
    trust::{
        Chain, Draft, Subject,
        document::{Text, file_name, version_of},
    },
};

/// The documents of a folder. At least one.
#[derive(Debug)]
pub struct TrustFolder {
    dir: PathBuf,
    chain: Option<Chain>,
    draft: Option<Draft>,
    /// Held by whoever changes the folder, until this value is gone.
    _lock: Option<File>,
}

impl TrustFolder {
    /// Reads the folder `dir`.
    ///
    /// # Errors
    /// [`Reason::NotFound`] without documents; [`Reason::TrustGap`] where a version is missing; those of
    /// [`Chain::extend`] for a document that does not hold, unless it is the newest and merely lacks signatures.
    pub fn read(dir: &Path) -> Result<Self> {
        let versions = versions(dir)?;
        let Some((newest, earlier)) = versions.split_last() else {
            return Err(Failure::new(Reason::NotFound, dir.display(), "it holds no trust document")
                .hint("name the folder with 0001.trust; `sealift trust init --out DIR` makes one"));
        };
        let mut chain: Option<Chain> = None;
        for version in earlier {
            chain = Some(next(dir, chain, *version)?);
        }
        let (chain, draft) = match next(dir, chain.clone(), *newest) {
            Ok(chain) => (Some(chain), None),
            Err(failure) if lacks_signatures(&failure) => {
                let draft = Draft::read(&bytes(dir, *newest)?, chain.clone());
                (chain, Some(draft.map_err(|failure| failure.of(path(dir, *newest).display()))?))
            }
            Err(failure) => return Err(failure),
        };
        Ok(Self { dir: dir.to_owned(), chain, draft, _lock: None })
    }

    /// Reads the folder `dir` in order to change it: nobody else does meanwhile.
    ///
    /// # Errors
    /// [`Reason::LockHeld`]; those of [`read`](Self::read).
    pub fn change(dir: &Path) -> Result<Self> {
        let lock = hold(dir)?;
        Ok(Self { _lock: Some(lock), ..Self::read(dir)? })
    }

    /// Makes the folder `dir` with a first document that nobody has signed.
    ///
    /// # Errors
    /// [`Reason::OutputExists`] where there are documents; those of [`Draft::trust`].
    pub fn create(dir: &Path, text: &Text) -> Result<Self> {
        let draft = Draft::trust(None, text)?;
        fs::create_dir(dir, false)?;
        let lock = hold(dir)?;
        require_free(dir)?;
        let mut folder = Self { dir: dir.to_owned(), chain: None, draft: None, _lock: Some(lock) };
        folder.keep(draft)?;
        Ok(folder)
    }

    /// Copies a whole chain into the folder `dir`.
    ///
    /// # Errors
    /// [`Reason::OutputExists`] where there are documents.
    pub fn export(dir: &Path, chain: &Chain) -> Result<Self> {
        fs::create_dir(dir, false)?;
        let lock = hold(dir)?;
        require_free(dir)?;
        for (version, note) in chain.notes() {
            fs::write_atomic(&path(dir, version), &note.to_bytes(), 0o644)?;
        }
        Ok(Self { dir: dir.to_owned(), chain: Some(chain.clone()), draft: None, _lock: Some(lock) })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The documents that hold.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// The documents that hold, for who needs some.
    ///
    /// # Errors
    /// [`Reason::SignaturesTooFew`] while the first is not signed by all who must.
    pub fn require_chain(&self) -> Result<&Chain> {
        self.chain.as_ref().ok_or_else(|| {
            let message = "the first trust document is not signed by all who must";
            Failure::new(Reason::SignaturesTooFew, self.dir.display(), message)
                .hint("`sealift trust show` tells who is missing")
        })
    }

    /// The next version, while not all have signed it.
    pub fn draft(&self) -> Option<&Draft> {
        self.draft.as_ref()
    }

    /// The text of the next version: that of the draft, or of the newest document with the next number.
    ///
    /// # Errors
    /// [`Reason::DraftSigned`] when somebody signed the draft: what people read and signed does not change under
    /// their hands.
    pub fn next_text(&self) -> Result<Text> {
        match (&self.draft, &self.chain) {
            (Some(draft), _) if draft.is_signed() => {
                let version = self.chain.as_ref().map_or(1, |chain| chain.version() + 1);
                let file = path(&self.dir, version);
                let message = format!("somebody signed the draft of version {version} already");
                Err(Failure::new(Reason::DraftSigned, file.display(), message).hint(format!(
                    "have it signed by the others first; or remove {} and make the change anew",
                    file.display()
                )))
            }
            (Some(draft), _) => match draft.subject() {
                Subject::Trust(document) => Ok(document.text().clone()),
                _ => Err(Failure::internal("a folder with something else than trust documents")),
            },
            (None, Some(chain)) => Ok(chain.latest().text().next()),
            (None, None) => Err(Failure::internal("a folder without documents")),
        }
    }

    /// Writes `text` as the draft, in the place of one that nobody has signed.
    ///
    /// # Errors
    /// Those of [`Draft::trust`].
    pub fn propose(&mut self, text: &Text) -> Result<&Draft> {
        let draft = Draft::trust(self.chain.clone(), text)?;
        self.keep(draft)
    }

    /// Writes a draft at its place.
    fn keep(&mut self, draft: Draft) -> Result<&Draft> {
        let version = self.chain.as_ref().map_or(1, |chain| chain.version() + 1);
        fs::write_atomic(&path(&self.dir, version), &draft.note().to_bytes(), 0o644)?;
        Ok(self.draft.insert(draft))
    }

    /// The file of the newest document.
    pub fn newest(&self) -> PathBuf {
        let version = self.chain.as_ref().map_or(0, Chain::version) + u64::from(self.draft.is_some());
        path(&self.dir, version)
    }
}

/// Reads a signed document of any kind from `file`, with the trust documents that say who must sign it: those in
/// the folder `trust`; where that is not named, those beside a trust document, and those of `./trust` for another.
///
/// # Errors
/// Those of [`TrustFolder::read`] and [`Draft::read`].
pub fn document(file: &Path, trust: Option<&Path>) -> Result<Draft> {
    let bytes = fs::read_user_text(file).map_err(|failure| match failure.reason {
        Reason::BadArgument if failure.hint.is_none() => {
            failure.hint("name a trust document, a beacon or an override, as sealift wrote it")
        }
        _ => failure,
    });
    let bytes = bytes?.into_bytes();
    let of_file = |failure: Failure| failure.of(file.display());
    if !Draft::is_trust(&bytes) {
        let folder = TrustFolder::read(trust.unwrap_or(Path::new("trust")))?;
        return Draft::read(&bytes, Some(folder.require_chain()?.clone())).map_err(of_file);
    }
    let alone = Draft::read(&bytes, None).map_err(of_file)?;
    let chain = match (trust, alone.subject()) {
        (Some(dir), Subject::Trust(document)) => {
            TrustFolder::read(dir)?.chain.and_then(|chain| chain.before(document.version()))
        }
        _ => before(file)?,
    };
    Draft::read(&bytes, chain).map_err(of_file)
}

/// Changes the document in `file`: reads it as [`document()`] does, lets `change` have it and writes it back, while
/// nobody else does.
///
/// # Errors
/// [`Reason::LockHeld`]; those of [`document()`] and of `change`, after which the file is as it was.
pub fn change_document<T>(
    file: &Path,
    trust: Option<&Path>,
    change: impl FnOnce(&mut Draft) -> Result<T>,
) -> Result<(Draft, T)> {
    let _lock = hold(folder_of(file))?;
    let mut draft = document(file, trust)?;
    let before = draft.note().clone();
    let done = change(&mut draft)?;
    if *draft.note() != before {
        fs::write_atomic(file, &draft.note().to_bytes(), 0o644)?;
    }
    Ok((draft, done))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The documents before the one in `file`, as far as they lie beside it.
///
/// # Errors
/// Those of [`TrustFolder::read`] for documents that do not hold.
fn before(file: &Path) -> Result<Option<Chain>> {
    let name = file.file_name().and_then(|name| name.to_str()).and_then(version_of);
    let Some(version) = name else { return Ok(None) };
    let dir = folder_of(file);
    let mut chain = None;
    for earlier in versions_below(dir, version)? {
        chain = Some(next(dir, chain, earlier)?);
    }
    // What does not reach up to the document says nothing about it.
    Ok(chain.filter(|chain| chain.version() + 1 == version))
}

/// `chain` and the document of `version`.
fn next(dir: &Path, chain: Option<Chain>, version: u64) -> Result<Chain> {
    let bytes = bytes(dir, version)?;
    let chain = match chain {
        Some(mut chain) => chain.extend(&bytes).map(|()| chain),
        None => Chain::begin(&bytes),
    };
    let chain = chain.map_err(|failure| failure.of(path(dir, version).display()))?;
    if chain.version() != version {
        let message = format!("it is version {}", chain.version());
        return Err(Failure::new(Reason::TrustGap, path(dir, version).display(), message)
            .hint(format!("call it {}", file_name(chain.version()))));
    }
    Ok(chain)
}

fn lacks_signatures(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::SignatureMissing | Reason::SignaturesTooFew | Reason::SignatureUntrusted)
}

fn path(dir: &Path, version: u64) -> PathBuf {
    dir.join(file_name(version))
}

fn bytes(dir: &Path, version: u64) -> Result<Vec<u8>> {
    fs::read_limited(&path(dir, version), limits::NOTE_BYTES, Reason::NoteMalformed)
}

/// The versions in a folder, ascending, without a gap. Other files are none of our business, unless they are called
/// as if they were documents.
fn versions(dir: &Path) -> Result<Vec<u64>> {
    let versions = list(dir)?;
    let gap = versions.windows(2).find_map(|two| match two {
        [a, b] if a + 1 != *b => Some(a + 1),
        _ => None,
    });
    if let Some(missing) = gap {
        return Err(Failure::new(Reason::TrustGap, dir.display(), format!("version {missing} is missing"))
            .hint(format!("put {} into the folder", file_name(missing))));
    }
    if versions.len() > limits::TRUST_VERSIONS {
        let message = format!("it holds more than {} versions", limits::TRUST_VERSIONS);
        return Err(Failure::new(Reason::TrustMalformed, dir.display(), message)
            .hint("sites follow no longer chain; pin a newer document"));
    }
    Ok(versions)
}

/// Those of the folder below `version` that lead up to it without a gap.
fn versions_below(dir: &Path, version: u64) -> Result<Vec<u64>> {
    let mut found: Vec<u64> = list(dir)?.into_iter().filter(|other| *other < version).collect();
    let mut expected = version;
    let whole = found.iter().rev().take_while(|other| {
        expected -= 1;
        **other == expected
    });
    let whole = whole.count();
    Ok(found.split_off(found.len() - whole))
}

fn list(dir: &Path) -> Result<Vec<u64>> {
    let mut versions = Vec::new();
    for name in fs::names(dir)? {
        match version_of(&name) {
            Some(version) => versions.push(version),
            None if Path::new(&name).extension().is_some_and(|end| end == "trust") => {
                let message = "it is called as no trust document is";
                return Err(Failure::new(Reason::BadArgument, dir.join(&name).display(), message)
                    .hint("trust documents are 0001.trust, 0002.trust and so on; move other copies away"));
            }
            None => {}
        }
    }
    versions.sort_unstable();
    Ok(versions)
}

fn require_free(dir: &Path) -> Result<()> {
    if list(dir)?.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Reason::OutputExists, dir.display(), "there are trust documents already")
        .hint("change them with `sealift trust add`, `rotate` and so on, or name another folder"))
}

fn hold(dir: &Path) -> Result<File> {
    fs::lock_dir(dir)?.ok_or_else(|| {
        Failure::new(Reason::LockHeld, dir.display(), "another sealift changes the trust documents")
            .hint("wait for it")
    })
}
