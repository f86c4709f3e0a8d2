//! A copy of a home, made while others use it, and a home made of such a copy.
//!
//! ```text
//! BACKUP/
//!   backup.json                what is in it, with digests; written when all else is there and synced
//!   state-<n>/sealift.db       rows of one moment
//!   state-<n>/keys, tls        as they were at that moment
//!   blobs/sha256/ab/<hex>      contents, as in a home
//!   partial/                   contents under way
//! ```
//!
//! Rows first, contents after them: as long as it takes, the store is held, so that no collection takes away what the rows
//! name. Contents are copied and never linked: two names of one file rot together. The next backup into the same folder
//! reads what is there and copies what is not; the one before holds until `backup.json` says otherwise, in one step.
//!
//! A restored home comes to be beside its place and gets it whole, after every digest was compared and its ledger told
//! where it goes on from. Killed at any moment, there is either no home or that one.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Store,
    backend::Backend,
    check::{at_once, whole},
    contents::{Contents, Folder},
    database, examine,
};
use crate::{
    base::{
        clock::Timestamp,
        digest::{Algorithm, Digest},
        failure::{Failure, Reason, Result},
        fs, limits,
        progress::Progress,
        stream,
    },
    ledger::Head,
    report::backup::{BackupFile, BackupIndex},
};

/// Says what is in a backup.
const INDEX: &str = "backup.json";
/// What the folder of rows and files is called; its number follows.
const STATE: &str = "state-";
/// Contents under way.
const PARTIAL: &str = "partial";
/// Folders of a home with files that belong to its rows.
const FILES: [&str; 2] = ["keys", "tls"];
/// How often rows are copied anew, for a key was replaced at that moment.
const TRIES: usize = 5;

/// What became of a backup.
#[derive(Debug)]
pub struct BackedUp {
    /// What is in it.
    pub index: BackupIndex,
    /// Digest of the index.
    pub digest: Digest,
    /// Contents that came now, and their bytes.
    pub copied: (u64, u64),
    /// Contents that went, for the rows name them no more.
    pub dropped: u64,
}

/// A home that comes to be beside its place.
#[derive(Debug)]
pub struct Restoring {
    store: Store,
    /// What the backup says.
    pub index: BackupIndex,
    /// Digest of the index.
    pub digest: Digest,
    stage: PathBuf,
    home: PathBuf,
    _turns: [File; 2],
}

impl Store {
    /// Copies the home into the folder `out`: a new or empty one, or one with an earlier backup of it, which holds until
    /// this one is whole. Others use the home meanwhile; nothing leaves its disk until this is over.
    ///
    /// # Errors
    /// [`Reason::BadArgument`] where rows or contents lie elsewhere; [`Reason::OutputExists`] where something else is in
    /// the folder, [`Reason::LedgerFork`] where the backup of another home is; [`Reason::LockHeld`]; those of disk and
    /// database.
    pub fn back_up(
        &self,
        out: &Path,
        workers: usize,
        now: Timestamp,
        progress: &dyn Progress,
    ) -> Result<BackedUp> {
        require_local(self.home())?;
        require_ours(out)?;
        fs::create_dir(out, true)?;
        let _turn = turn(out)?;
        let before = read_index(out)?.map(|(index, _)| index);
        if let Some(before) = &before {
            self.require_goes_on(out, before)?;
        }
        sweep(out, before.as_ref())?;
        fs::create_dir(&out.join(PARTIAL), true)?;
        let _hold = self.hold()?;
        let state = format!("{STATE}{}", before.as_ref().map_or(1, |before| number(&before.state) + 1));
        let files = self.copy_state(&out.join(&state))?;
        let rows = out.join(&state);
        let (site, ledger) = Store::read_only(&rows, |state| Ok((state.site()?.name, state.ledger_head()?)))?
            .ok_or_else(|| Failure::internal("the copied rows cannot be read"))?;
        let published = examine::published(&rows)?.unwrap_or_default();
        let needed = digests(published.needed.keys())?;
        let to = Contents::Folder(Folder::of(out));
        let copies = Copies { from: self.contents(), to: &to, partial: out.join(PARTIAL) };
        let done = copies.all(&needed, workers, "copying", progress)?;
        let index = BackupIndex {
            schema: 1,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            created: now,
            site,
            ledger,
            state,
            files,
            manifests: published.manifests as u64,
            contents: (needed.len() - done.lacking.len()) as u64,
            bytes: done.bytes,
            lacking: done.lacking,
        };
        let text = serde_json::to_string_pretty(&index).map_err(Failure::internal)? + "\n";
        fs::write_atomic(&out.join(INDEX), text.as_bytes(), 0o600)?;
        sweep(out, Some(&index))?;
        let dropped = drop_others(&Folder::of(out), &needed)?;
        let digest = Digest::of(text.as_bytes());
        Ok(BackedUp { index, digest, copied: done.copied, dropped })
    }

    /// Fails unless the ledger goes on from where it stood in the backup that is there: that of another home, or of this one
    /// before an older state was put back, is not overwritten.
    fn require_goes_on(&self, out: &Path, before: &BackupIndex) -> Result<()> {
        let head = &before.ledger;
        let here = match self.ledger(head.number, 1)?.pop() {
            Some(line) => Head::of(head.number, &line),
            None => Head::start()?,
        };
        if head.number == 0 {
            return self.require_keys_of(out, before);
        }
        if here == *head {
            return Ok(());
        }
        let message = format!(
            "the backup in it stands at record {} of a ledger, and the ledger of this home does not go on from there",
            head.number
        );
        Err(Failure::new(Reason::LedgerFork, out.display(), message).hint(
            "it is of another home, or of this one before an older backup was restored: choose another folder, and keep that one",
        ))
    }

    /// The same where no ledger tells them apart: keys that are in the backup and not in this home are another home's.
    fn require_keys_of(&self, out: &Path, before: &BackupIndex) -> Result<()> {
        for file in before.files.iter().filter(|file| file.path.starts_with("keys/")) {
            let ours = fs::read_limited(
                &self.home().join(&file.path),
                limits::USER_FILE_BYTES,
                Reason::FileTooLarge,
            );
            if ours.is_ok_and(|ours| Digest::of(&ours) == file.digest) {
                continue;
            }
            let message = format!("the backup in it has another {} than this home", file.path);
            return Err(Failure::new(Reason::LedgerFork, out.display(), message)
                .hint("it is of another home: choose another folder, and keep that one"));
        }
        Ok(())
    }

    /// Copies rows and files into `folder`: the files as they were when the rows were.
    fn copy_state(&self, folder: &Path) -> Result<Vec<BackupFile>> {
        for _ in 0..TRIES {
            fs::remove_dir_all(folder)?;
            fs::create_dir(folder, true)?;
            let files = files(self.home())?;
            self.copy_rows(&folder.join(database::FILE))?;
            if files == self::files(self.home())? {
                return settle_state(folder, files);
            }
        }
        Err(Failure::new(Reason::LockHeld, self.home().display(), "its keys keep changing")
            .hint("run this again when whoever replaces them is done"))
    }
}

/// Makes a home of a backup, beside its place `home`, which must be empty or not there. What is there already of an attempt
/// that ended early is read, and not copied again.
///
/// # Errors
/// [`Reason::OutputExists`] where there is a home; [`Reason::BackupUnfinished`], [`Reason::BackupMalformed`] and
/// [`Reason::FormatVersion`]; [`Reason::DigestMismatch`] and [`Reason::BlobMissing`] for a backup that is damaged;
/// [`Reason::LockHeld`]; those of disk and database.
pub fn restore(home: &Path, backup: &Path, workers: usize, progress: &dyn Progress) -> Result<Restoring> {
    let name = home.file_name().map(|name| name.to_string_lossy().into_owned()).ok_or_else(|| {
        Failure::new(Reason::BadArgument, home.display(), "expected the name of a folder")
            .hint("name the home by its own name, in the folder that holds it")
    })?;
    require_free(home)?;
    let reading = turn(backup)?;
    let (index, digest) = read_index(backup)?.ok_or_else(|| {
        Failure::new(
            Reason::BackupUnfinished,
            backup.display(),
            "it holds no finished backup: backup.json is not there",
        )
        .hint("check the path; a backup that was interrupted goes on when `sealift store backup` runs again")
    })?;
    require_renamed(home)?;
    let stage = home.with_file_name(format!(".{name}.restoring"));
    fs::create_dir(&stage.join(PARTIAL), true)?;
    let writing = turn(&stage.join(PARTIAL))?;
    // Whoever had the turn before may just have given the home its place.
    require_free(home)?;
    // What an attempt that ended early brought counts twice: a little too much room is better than too little.
    fs::require_space(&stage, index.bytes, "the restored home")?;
    for left in fs::list(&stage)?.iter().filter(|left| !left.ends_with("blobs") && !left.ends_with(PARTIAL)) {
        if left.is_dir() { fs::remove_dir_all(left)? } else { fs::remove_file(left)? }
    }
    fs::empty_dir(&stage.join(PARTIAL))?;
    let files = backup.join(&index.state);
    let rows = stage.join("rows");
    for file in &index.files {
        let to = if file.path == database::FILE { rows.join(&file.path) } else { stage.join(&file.path) };
        copy_file(&files.join(&file.path), file, &to)?;
    }
    // Only now is it known that these are the rows which the backup was made of.
    let mut needed = digests(examine::published(&rows)?.unwrap_or_default().needed.keys())?;
    needed.retain(|digest| !index.lacking.contains(digest));
    let (from, to) = (Contents::Folder(Folder::of(backup)), Contents::Folder(Folder::of(&stage)));
    let copies = Copies { from: &from, to: &to, partial: stage.join(PARTIAL) };
    let done = copies.all(&needed, workers, "restoring", progress)?;
    if let Some(first) = done.lacking.first() {
        let found = from.look(first)?;
        let (reason, found) = match found {
            None => (Reason::BlobMissing, "the backup does not have it"),
            Some(_) => (Reason::DigestMismatch, "the copy in the backup does not match its digest"),
        };
        let message = format!("{found}, nor {} others", done.lacking.len() - 1);
        return Err(Failure::new(reason, first, message)
            .hint("restore from another backup; or, while the home lives, run `sealift store backup` into this folder again"));
    }
    drop_others(&Folder::of(&stage), &needed)?;
    fs::publish(&rows.join(database::FILE), &stage.join(database::FILE))?;
    fs::remove_dir_all(&rows)?;
    let store = Store::open(&stage)?;
    Ok(Restoring { store, index, digest, stage, home: home.to_owned(), _turns: [reading, writing] })
}

impl Restoring {
    /// The home, before it is in its place.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Gives it its place. Whoever has the store must have let go of it.
    ///
    /// # Errors
    /// [`Reason::OutputExists`] where something is there by now; those of the disk.
    pub fn finish(self) -> Result<(BackupIndex, Digest)> {
        let Self { store, index, digest, stage, home, _turns } = self;
        drop(store);
        require_free(&home)?;
        fs::publish(&stage, &home)?;
        // Not before that: it is the turn of this restore, and another one would begin.
        fs::remove_dir_all(&home.join(PARTIAL))?;
        fs::sync_dir(&home)?;
        Ok((index, digest))
    }
}

/// Contents on their way from one place to another.
struct Copies<'a> {
    from: &'a Contents,
    to: &'a Contents,
    partial: PathBuf,
}

/// What became of them.
struct Done {
    /// Those that came now, and their bytes.
    copied: (u64, u64),
    /// Bytes of all that are there now.
    bytes: u64,
    /// What the one place does not have whole, and the other did not have either.
    lacking: Vec<Digest>,
}

impl Copies<'_> {
    /// Brings all of these that are not there whole.
    fn all(&self, all: &[Digest], workers: usize, what: &str, progress: &dyn Progress) -> Result<Done> {
        let mut total = 0;
        for digest in all {
            total += self.from.look(digest)?.map_or(0, |stored| stored.size);
        }
        fs::remove_temporaries(&self.partial, |_| true)?;
        progress.start(what, total);
        let [count, copied, bytes] = [const { AtomicU64::new(0) }; 3];
        let outcome = at_once(all, workers, |digest| {
            // What cannot be read is brought anew.
            if whole(self.to, digest, |bytes| progress.advance(bytes)).ok().flatten() != Some(true) {
                let Some(size) = self.one(digest, progress)? else { return Ok(Some(digest.clone())) };
                count.fetch_add(1, Ordering::Relaxed);
                copied.fetch_add(size, Ordering::Relaxed);
            }
            let size = self.to.look(digest)?.map_or(0, |stored| stored.size);
            bytes.fetch_add(size, Ordering::Relaxed);
            Ok(None)
        });
        progress.finish();
        let mut lacking: Vec<Digest> = outcome?.into_iter().flatten().collect();
        lacking.sort();
        // Whoever brought what is there already may have been killed before its name was synced.
        self.to.settle(all.iter().filter(|digest| lacking.binary_search(digest).is_err()))?;
        Ok(Done { copied: (count.into_inner(), copied.into_inner()), bytes: bytes.into_inner(), lacking })
    }

    /// Brings one. Its size; `None` where there is no whole copy of it.
    fn one(&self, digest: &Digest, progress: &dyn Progress) -> Result<Option<u64>> {
        let source = match self.from.open(digest) {
            Ok(source) => source,
            Err(failure) if failure.reason == Reason::BlobMissing => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let staged = self.partial.join(format!("{}-{}", digest.algorithm().name(), digest.hex()));
        let mut file = fs::create_new(&staged, 0o600)?;
        let mut content = stream::Hashing::new(source, digest.algorithm());
        let copied = copy(&mut content, (&mut file, &staged), |bytes| progress.advance(bytes))?;
        let (found, size) = content.finish();
        // What a dying disk no longer gives is not there either; the rest is all the more wanted.
        if copied.is_err() || found != *digest {
            fs::remove_file(&staged)?;
            return Ok(None);
        }
        self.to.open_group(digest)?;
        let brought = self.to.bring(&staged, &file, digest)?;
        self.to.publish(&brought, &staged, &file, digest)?;
        Ok(Some(size))
    }
}

/// Copies all of it. What cannot be read is the inner error.
fn copy(
    from: &mut impl std::io::Read,
    (file, to): (&mut File, &Path),
    advance: impl Fn(u64),
) -> Result<std::io::Result<()>> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = match stream::read_full(from, &mut buffer) {
            Ok(count) => count,
            Err(error) => return Ok(Err(error)),
        };
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { return Ok(Ok(())) };
        file.write_all(read).map_err(|error| fs::failure(to, "write", &error))?;
        advance(count as u64);
    }
}

/// Copies a file of which the index says what it is.
fn copy_file(from: &Path, line: &BackupFile, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir(folder, true)?;
    }
    let source = fs::open_plain(from)?;
    let mut file = fs::create_new(to, line.mode)?;
    let mut content = stream::Hashing::new(stream::Capped::new(source, line.size), line.digest.algorithm());
    copy(&mut content, (&mut file, to), |_| ())?.map_err(|error| fs::failure(from, "read", &error))?;
    let (digest, size) = content.finish();
    if (size, &digest) != (line.size, &line.digest) {
        let message =
            format!("expected {} bytes of {}, found {size} bytes of {digest}", line.size, line.digest);
        return Err(Failure::new(Reason::DigestMismatch, from.display(), message)
            .hint("restore from another backup; or, while the home lives, run `sealift store backup` into this folder again"));
    }
    file.sync_all().map_err(|error| fs::failure(to, "sync", &error))?;
    fs::settle(to)
}

/// A file with its mode and bytes.
type Held = BTreeMap<String, (u32, Vec<u8>)>;

/// Keys and certificates of a home.
fn files(home: &Path) -> Result<Held> {
    let mut found = Held::new();
    for folder in FILES {
        for path in fs::list(&home.join(folder))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let bytes = match fs::read_limited(&path, limits::USER_FILE_BYTES, Reason::FileTooLarge) {
                // Renamed since the folder was listed: then it is read once more in any case.
                Err(failure) if failure.reason == Reason::NotFound => continue,
                bytes => bytes?,
            };
            match fs::mode(&path) {
                Err(failure) if failure.reason == Reason::NotFound => {}
                mode => drop(found.insert(format!("{folder}/{name}"), (mode?, bytes))),
            }
        }
    }
    Ok(found)
}

/// Writes the files beside the rows, syncs all of it, and says what it is.
fn settle_state(folder: &Path, files: Held) -> Result<Vec<BackupFile>> {
    let rows = folder.join(database::FILE);
    let file = fs::open_plain(&rows)?;
    file.sync_all().map_err(|error| fs::failure(&rows, "sync", &error))?;
    let mut content = stream::Hashing::new(file, Algorithm::Sha256);
    std::io::copy(&mut content, &mut std::io::sink()).map_err(|error| fs::failure(&rows, "read", &error))?;
    let (digest, size) = content.finish();
    let mut lines = vec![BackupFile { path: database::FILE.to_owned(), mode: 0o600, size, digest }];
    for (path, (mode, bytes)) in files {
        let to = folder.join(&path);
        if let Some(folder) = to.parent() {
            fs::create_dir(folder, true)?;
        }
        fs::write_atomic(&to, &bytes, mode)?;
        lines.push(BackupFile { path, mode, size: bytes.len() as u64, digest: Digest::of(&bytes) });
    }
    fs::sync_dir(folder)?;
    Ok(lines)
}

/// What a folder says is in it, and the digest of that; `None` where nobody finished a backup there.
fn read_index(backup: &Path) -> Result<Option<(BackupIndex, Digest)>> {
    let path = backup.join(INDEX);
    let bytes = match fs::read_limited(&path, limits::USER_FILE_BYTES, Reason::BackupMalformed) {
        Ok(bytes) => bytes,
        Err(failure) if failure.reason == Reason::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let wrong = |reason, why: String, hint: &str| Failure::new(reason, path.display(), why).hint(hint);
    let malformed = |why: String| {
        wrong(
            Reason::BackupMalformed,
            why,
            "it was damaged, or written by something else: use another backup",
        )
    };
    let schema = serde_json::from_slice::<serde_json::Value>(&bytes)
        .map_err(|error| malformed(error.to_string()))?
        .get("schema")
        .and_then(serde_json::Value::as_u64);
    if schema.is_some_and(|schema| schema != 1) {
        let why = format!("schema is {}, this sealift knows 1", schema.unwrap_or_default());
        return Err(wrong(
            Reason::FormatVersion,
            why,
            "use the sealift version that made it, or a newer one",
        ));
    }
    let index: BackupIndex = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let is_state = |name: &str| {
        let digits = name.strip_prefix(STATE).unwrap_or_default();
        !digits.is_empty() && digits.len() < 18 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_file = |path: &str| match path.split_once('/') {
        Some((folder, name)) => {
            FILES.contains(&folder) && !matches!(name, "" | "." | "..") && !name.contains('/')
        }
        None => path == database::FILE,
    };
    if !is_state(&index.state) {
        return Err(malformed(format!("state: `{}` is no name of a folder of a backup", index.state)));
    }
    if let Some(file) = index.files.iter().find(|file| !is_file(&file.path) || file.mode & !0o777 != 0) {
        return Err(malformed(format!("files: `{}` has no place in a home", file.path)));
    }
    Ok(Some((index, Digest::of(&bytes))))
}

/// Takes away what killed runs left, and the state of the backup that was before.
fn sweep(out: &Path, index: Option<&BackupIndex>) -> Result<()> {
    for path in fs::list(out)? {
        let is_other = |name: &str| name.starts_with(STATE) && index.is_none_or(|index| index.state != name);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_other(name) || name == PARTIAL {
            fs::remove_dir_all(&path)?;
        }
    }
    fs::remove_temporaries(out, |name| name == INDEX)
}

/// Takes away contents that these rows do not name. How many.
fn drop_others(folder: &Folder, needed: &[Digest]) -> Result<u64> {
    let others = digests(folder.list()?.contents.keys())?;
    let others: Vec<&Digest> = others.iter().filter(|digest| needed.binary_search(digest).is_err()).collect();
    folder.remove(&others).map(|removed| removed.len() as u64)
}

/// Sorted, as [`Digest`]s are.
fn digests<'a>(texts: impl Iterator<Item = &'a String>) -> Result<Vec<Digest>> {
    let parse = |text: &String| Digest::parse(text).map_err(Failure::internal);
    let mut digests = texts.map(parse).collect::<Result<Vec<_>>>()?;
    digests.sort();
    Ok(digests)
}

fn number(state: &str) -> u64 {
    state.strip_prefix(STATE).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// One at a time.
fn turn(folder: &Path) -> Result<File> {
    fs::lock_dir(folder)?.ok_or_else(|| {
        Failure::new(Reason::LockHeld, folder.display(), "another backup or restore is at work in it")
            .hint("wait for it, then run this again")
    })
}

/// Fails where something is in the folder that no backup put there.
fn require_ours(out: &Path) -> Result<()> {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        [INDEX, PARTIAL, "blobs"].contains(&name)
            || name.starts_with(STATE)
            || name.starts_with(&format!(".{INDEX}."))
    };
    match fs::list(out)?.iter().find(|path| !is_ours(path)) {
        Some(other) => {
            let message = format!("{} is in it, which belongs to no backup", other.display());
            Err(Failure::new(Reason::OutputExists, out.display(), message)
                .hint("name a new or empty folder, or one with a backup of this home"))
        }
        None => Ok(()),
    }
}

/// Fails where something lies at the place of the home.
fn require_free(home: &Path) -> Result<()> {
    if fs::list(home)?.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Reason::OutputExists, home.display(), "the folder is not empty").hint(
        "name a new home; or move this one away first, and keep it: what its ledger knows beyond the backup stands nowhere else",
    ))
}

/// Fails where what comes to be beside the home can never be renamed to it: a folder that is a disk of its own.
fn require_renamed(home: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev());
    let beside = home.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (device(home), device(beside)) {
        (Ok(own), Ok(around)) if own != around => Err(Failure::new(
            Reason::BadArgument,
            home.display(),
            "it is a disk of its own, and a restored home is renamed to its place",
        )
        .hint(format!("restore into a folder on that disk: `--home {}`", home.join("home").display()))),
        _ => Ok(()),
    }
}

/// Fails for a home whose rows lie in a database of its own.
///
/// # Errors
/// [`Reason::BadArgument`].
pub fn require_local(home: &Path) -> Result<()> {
    if matches!(Backend::of(home)?, Backend::Sqlite) {
        return Ok(());
    }
    Err(Failure::new(Reason::BadArgument, home.display(), "its rows lie in PostgreSQL, which copies them itself")
        .hint("use pg_dump for the rows, and the bucket's versions or a copy of blobs/ for contents: docs/operations.md, \"Backup of both\""))
}
