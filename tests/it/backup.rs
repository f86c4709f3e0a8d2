//! `sealift store backup` and `restore`: a home is copied while it is used, and made anew of the copy.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealift::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, limits::LEASE_SECONDS, progress::Silent},
    ledger::{self, OffHost},
    oci::{Descriptor, media_type},
    registry::{Access, Log},
    site::{NewAccount, Site},
    store::{AccountKind, Store},
    trust::PrivateKey,
};
use serde_json::{Value, json};

use crate::support::{
    sandbox::{Ran, Sandbox},
    served::{Client, Served},
};

const REPOSITORY: &str = "sandbox/a";

/// A home under `site`, and whoever pushes into it.
struct Scene {
    /// Ends before its folder goes.
    served: Option<Served>,
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self { served: None, sandbox: Sandbox::new() };
        scene.serve("site");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path(name)
    }

    fn store(&self, home: &str) -> Store {
        Store::open(&self.path(home)).unwrap()
    }

    fn serve(&mut self, home: &str) -> Client {
        drop(self.served.take());
        self.served = Some(Served::start(self.store(home), Access::sandbox(), Log::silent()));
        self.client()
    }

    fn client(&self) -> Client {
        Client(self.served.as_ref().unwrap().address)
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.sandbox.run(&[words, &["--output", "json"]].concat())
    }

    fn backup(&self) -> Value {
        self.run(&["store", "backup", "backup", "--home", "site"]).ok().json()
    }

    /// Restores into `home`, which must then be whole and have a ledger that holds.
    fn restore(&self, home: &str) -> Value {
        let said = self.run(&["store", "restore", "backup", "--home", home]).ok().json();
        self.run(&["store", "check", "--read-data", "--home", home]).ok();
        self.run(&["audit", "ledger", "--home", home]).ok();
        said
    }

    fn begin(&self, words: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
        self.sandbox.prepare(&mut command);
        command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// Pushes an image whose layer says `words`; its digest once that is acknowledged.
fn push(client: Client, words: &str, size: usize) -> Option<Digest> {
    let mut parts = Vec::new();
    let layer: Vec<u8> = words.bytes().cycle().take(size.max(words.len())).collect();
    for (media_type, bytes) in
        [(media_type::CONFIG, format!("{{\"x\":\"{words}\"}}").into_bytes()), (media_type::LAYER_GZIP, layer)]
    {
        let blob = Descriptor::of(media_type, &bytes);
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", blob.digest);
        (client.ask("POST", &path, &[], &bytes).status == 201).then_some(())?;
        parts.push(blob);
    }
    let body = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": parts[0], "layers": [parts[1]] });
    let body = serde_json::to_vec(&body).unwrap();
    let path = format!("/v2/{REPOSITORY}/manifests/{words}");
    let put = client.ask("PUT", &path, &[("Content-Type", media_type::MANIFEST)], &body);
    (put.status == 201).then(|| Digest::of(&body))
}

fn delete(client: Client, digest: &Digest) -> bool {
    client.ask("DELETE", &format!("/v2/{REPOSITORY}/manifests/{digest}"), &[], b"").status == 202
}

/// Whether an image comes with all of it, byte for byte.
fn pulls(client: Client, digest: &Digest) -> bool {
    let manifest = client.ask("GET", &format!("/v2/{REPOSITORY}/manifests/{digest}"), &[], b"");
    if manifest.status != 200 || Digest::of(&manifest.body) != *digest {
        return false;
    }
    let body = manifest.json();
    [&body["config"]["digest"], &body["layers"][0]["digest"]].into_iter().all(|blob| {
        let blob = blob.as_str().unwrap();
        let got = client.ask("GET", &format!("/v2/{REPOSITORY}/blobs/{blob}"), &[], b"");
        got.status == 200 && Digest::of(&got.body).to_string() == blob
    })
}

/// R05, R06: clients push and delete, collections take away what was deleted, and each backup is of one moment and whole.
#[test]
fn a_home_in_use_is_copied_whole() {
    let mut scene = Scene::new();
    let (client, store, over) = (scene.client(), scene.store("site"), AtomicBool::new(false));
    let standing: Mutex<BTreeSet<Digest>> = Mutex::default();
    for number in 0..5 {
        standing.lock().unwrap().insert(push(client, &format!("first-{number}"), 3000).unwrap());
    }
    std::thread::scope(|scope| {
        for number in 0..4 {
            let over = &over;
            scope.spawn(move || {
                let mut last = None;
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let pushed = push(client, &format!("image-{number}-{turn}"), 2000);
                    assert!(pushed.is_some(), "pushes go on meanwhile");
                    if let Some(last) = std::mem::replace(&mut last, pushed) {
                        assert!(delete(client, &last));
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut removed = 0;
            while !over.load(Ordering::Relaxed) {
                removed += store.collect(Timestamp::now()).unwrap().removed;
            }
            assert!(removed > 0, "between two backups what was deleted goes");
        });
        for turn in 0..4 {
            let must: BTreeSet<Digest> = standing.lock().unwrap().clone();
            let said = scene.backup();
            assert_eq!(said["state"], "whole");
            let home = format!("restored-{turn}");
            scene.restore(&home);
            let restored = scene.store(&home);
            assert!(must.iter().all(|digest| {
                restored.blob_in(REPOSITORY, digest).unwrap()
                    || restored
                        .manifest(REPOSITORY, &sealift::store::Target::Digest(digest.clone()))
                        .unwrap()
                        .is_some()
            }));
            standing.lock().unwrap().insert(push(client, &format!("later-{turn}"), 3000).unwrap());
        }
        over.store(true, Ordering::Relaxed);
    });
    drop(store);
    let said = scene.backup();
    scene.restore("last");
    let client = scene.serve("last");
    assert!(standing.lock().unwrap().iter().all(|digest| pulls(client, digest)));
    assert!(said["index"]["contents"].as_u64().unwrap() >= 9 * 3);
    // It goes on as a registry, and as a site that signs.
    assert!(push(client, "after", 10).is_some());
    drop(scene.served.take());
    scene.run(&["audit", "ledger", "--home", "last"]).ok();
}

/// Kills a command after ever longer times, until it comes to its end, and looks in between.
fn kill_until_done(scene: &Scene, words: &[&str], mut look: impl FnMut()) -> usize {
    let mut killed = 0;
    for step in 0.. {
        let mut process = scene.begin(words);
        let until = Instant::now() + Duration::from_millis(12 * step);
        while Instant::now() < until && process.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = process.try_wait().unwrap();
        if let Some(ended) = ended {
            assert!(ended.success());
            return killed;
        }
        process.kill().unwrap();
        killed += usize::from(!process.wait().unwrap().success());
        look();
    }
    killed
}

/// C01: killed at any moment, a backup is there or not, and so is a restored home.
#[test]
fn kills_lose_nothing() {
    let mut scene = Scene::new();
    let images: Vec<Digest> =
        (0..40).map(|number| push(scene.client(), &format!("image-{number}"), 20_000).unwrap()).collect();
    drop(scene.served.take());
    let backup = &["store", "backup", "backup", "--home", "site"];
    let finished = || scene.path("backup/backup.json").exists();
    let killed = kill_until_done(&scene, backup, || {
        if scene.path("backup").exists() && !finished() {
            let ran = scene.run(&["store", "restore", "backup", "--home", "none"]);
            ran.refused(4, "backup-unfinished");
            assert!(!scene.path("none").exists());
        }
    });
    assert!(killed > 2, "{killed}");
    // The next one goes wrong as often, and the one before holds.
    std::fs::remove_dir_all(scene.path("backup/blobs/sha256")).unwrap();
    assert!(scene.backup()["copied"].as_u64().unwrap() >= 120);
    let mut homes = 0;
    kill_until_done(&scene, backup, || {
        homes += 1;
        scene.restore(&format!("of-{homes}"));
    });
    let restore = &["store", "restore", "backup", "--home", "new"];
    let killed = kill_until_done(&scene, restore, || {
        if scene.path("new").exists() {
            scene.run(&["store", "check", "--read-data", "--home", "new"]).ok();
            std::fs::remove_dir_all(scene.path("new")).unwrap();
        }
    });
    assert!(killed > 2, "{killed}");
    scene.run(&["audit", "ledger", "--home", "new"]).ok();
    assert!(!scene.path(".new.restoring").exists());
    let client = scene.serve("new");
    assert!(images.iter().all(|image| pulls(client, image)));
}

#[test]
fn what_is_there_is_read_and_not_copied_again() {
    let mut scene = Scene::new();
    let one = push(scene.client(), "one", 5000).unwrap();
    let first = scene.backup();
    assert_eq!((&first["copied"], &first["index"]["contents"]), (&json!(3), &json!(3)));
    assert_eq!(first["secrets"], json!(["keys/importer.pem"]));
    for (path, mode) in
        [("backup", 0o700), ("backup/backup.json", 0o600), ("backup/state-1/sealift.db", 0o600)]
    {
        assert_eq!(std::fs::metadata(scene.path(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
    push(scene.client(), "two", 50).unwrap();
    let second = scene.backup();
    assert_eq!((&second["copied"], &second["index"]["contents"]), (&json!(3), &json!(6)));
    assert!(!scene.path("backup/state-1").exists() && scene.path("backup/state-2").exists());
    // A copy that rotted is brought anew, for it is read each time.
    let copy = blob(&scene.path("backup"), &one);
    std::fs::write(&copy, b"rotten").unwrap();
    let third = scene.backup();
    assert_eq!((&third["copied"], Digest::of(&std::fs::read(&copy).unwrap())), (&json!(1), one.clone()));
    // What the home no longer names goes with the backup of before.
    assert!(delete(scene.client(), &one));
    let past_leases = Timestamp::from_seconds(Timestamp::now().seconds() + 2 * LEASE_SECONDS).unwrap();
    scene.store("site").collect(past_leases).unwrap();
    let fourth = scene.backup();
    assert_eq!((&fourth["dropped"], &fourth["index"]["contents"]), (&json!(3), &json!(3)));
    assert!(!copy.exists());
    drop(scene.served.take());
    // What the home itself lost is there from the backup before.
    let two = scene.store("site").place_of(&digest_of_tag(&scene, "two"));
    std::fs::remove_file(&two).unwrap();
    assert_eq!((&scene.backup()["state"], two.exists()), (&json!("whole"), false));
    scene.restore("new");
}

fn digest_of_tag(scene: &Scene, tag: &str) -> Digest {
    let target = sealift::store::Target::Tag(tag.into());
    scene.store("site").manifest(REPOSITORY, &target).unwrap().unwrap().digest
}

fn blob(home: &Path, digest: &Digest) -> PathBuf {
    home.join("blobs").join(digest.algorithm().name()).join(&digest.hex()[..2]).join(digest.hex())
}

#[test]
fn what_the_home_lost_is_told_and_stays_told() {
    let mut scene = Scene::new();
    let lost = push(scene.client(), "lost", 50).unwrap();
    let kept = push(scene.client(), "kept", 50).unwrap();
    drop(scene.served.take());
    std::fs::write(scene.store("site").place_of(&lost), b"changed").unwrap();
    let ran = scene.run(&["store", "backup", "backup", "--home", "site"]);
    assert_eq!((ran.code, &ran.json()["reason"]), (4, &json!("store-damaged")));
    assert_eq!(ran.json()["index"]["lacking"], json!([lost]));
    let ran = scene.run(&["store", "restore", "backup", "--home", "new"]);
    assert_eq!((ran.code, &ran.json()["state"]), (4, &json!("lacking")));
    let check = scene.run(&["store", "check", "--read-data", "--home", "new"]);
    assert_eq!((check.code, &check.json()["wrong"][0]["digest"]), (4, &json!(lost)));
    assert!(pulls(scene.serve("new"), &kept));
}

/// What is done to a backup.
type Damage<'a> = &'a dyn Fn();

/// A restored home is there whole or not at all.
#[test]
fn a_damaged_backup_makes_no_home() {
    let mut scene = Scene::new();
    let image = push(scene.client(), "one", 50).unwrap();
    drop(scene.served.take());
    scene.backup();
    let index = scene.sandbox.read("backup/backup.json");
    let copy = blob(Path::new("backup"), &image).display().to_string();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&index).unwrap();
        change(&mut value);
        scene.sandbox.write("backup/backup.json", value.to_string());
    };
    let flip = |path: &str| {
        let mut bytes = std::fs::read(scene.path(path)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(scene.path(path), bytes).unwrap();
    };
    let cases: [(Damage<'_>, i32, &str); 11] = [
        (&|| flip(&copy), 4, "digest-mismatch"),
        (&|| std::fs::remove_file(scene.path(&copy)).unwrap(), 4, "blob-missing"),
        (&|| flip("backup/state-1/sealift.db"), 4, "digest-mismatch"),
        (&|| flip("backup/state-1/keys/importer.pem"), 4, "digest-mismatch"),
        (&|| std::fs::remove_dir_all(scene.path("backup/state-1/keys")).unwrap(), 3, "not-found"),
        (&|| std::fs::remove_file(scene.path("backup/backup.json")).unwrap(), 4, "backup-unfinished"),
        (
            &|| drop(scene.sandbox.write("backup/backup.json", &index[..index.len() / 2])),
            7,
            "backup-malformed",
        ),
        (&|| with(&|index| index["schema"] = json!(2)), 7, "format-version"),
        (&|| with(&|index| index["state"] = json!("../site")), 7, "backup-malformed"),
        (&|| with(&|index| index["files"][1]["path"] = json!("keys/../../out")), 7, "backup-malformed"),
        (&|| with(&|index| index["files"][1]["path"] = json!("store.toml")), 7, "backup-malformed"),
    ];
    for (number, (damage, code, reason)) in cases.into_iter().enumerate() {
        let whole = scene.path("whole");
        let _old = std::fs::remove_dir_all(&whole);
        assert!(
            Command::new("cp").arg("-a").args([&scene.path("backup"), &whole]).status().unwrap().success()
        );
        damage();
        let ran = scene.run(&["store", "restore", "backup", "--home", "new"]);
        assert_eq!(ran.json()["failures"][0]["reason"], reason, "{number}: {}", ran.stdout);
        ran.refused(code, reason);
        assert!(!scene.path("new").exists(), "{number}");
        std::fs::remove_dir_all(scene.path("backup")).unwrap();
        std::fs::rename(&whole, scene.path("backup")).unwrap();
    }
    scene.restore("new");
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let mut scene = Scene::new();
    push(scene.client(), "one", 50).unwrap();
    drop(scene.served.take());
    scene.backup();
    // A home, a folder of something else, the backup of another home; the last is the home from before a restore.
    scene.run(&["store", "restore", "backup", "--home", "site"]).refused(2, "output-exists");
    scene.sandbox.write("other/letter", b"dear");
    scene.run(&["store", "restore", "backup", "--home", "other"]).refused(2, "output-exists");
    scene.run(&["store", "backup", "other", "--home", "site"]).refused(2, "output-exists");
    scene.run(&["store", "backup", "site", "--home", "site"]).refused(2, "output-exists");
    std::fs::create_dir(scene.path("empty")).unwrap();
    scene.restore("empty");
    push(scene.serve("site"), "two", 50).unwrap();
    drop(scene.served.take());
    scene.backup();
    scene.run(&["store", "backup", "backup", "--home", "empty"]).refused(4, "ledger-fork");
    let before = scene.sandbox.read("backup/backup.json");
    scene.restore("again");
    assert_eq!(scene.sandbox.read("backup/backup.json"), before);
    scene.run(&["store", "backup", "nothing", "--home", "nowhere"]).refused(3, "not-found");
    scene.run(&["store", "restore", "nothing", "--home", "nowhere"]).refused(3, "not-found");
}

/// C19: a home that was put back says so in what it signs, before anything else, and whoever knows more of the ledger
/// finds out where the two part.
#[test]
fn a_restored_ledger_does_not_go_on_in_silence() {
    let mut scene = Scene::new();
    push(scene.client(), "one", 50).unwrap();
    drop(scene.served.take());
    let site = |home: &str| Site::new(scene.store(home), Timestamp::now());
    let account = |name: &str| NewAccount {
        kind: AccountKind::User,
        name: name.into(),
        groups: BTreeSet::new(),
        certificates: BTreeSet::from([format!("spiffe://x/{name}")]),
        password: None,
        expires: None,
    };
    site("site").add_account(account("ann")).unwrap();
    let said = scene.backup();
    let stood = said["index"]["ledger"]["number"].as_u64().unwrap();
    site("site").add_account(account("bob")).unwrap();
    let known = scene.store("site").ledger_head().unwrap();
    let restored = scene.restore("new");
    assert_eq!(restored["digest"], said["digest"]);
    let store = scene.store("new");
    assert_eq!(store.accounts().unwrap().len(), 1);
    let told: Vec<Value> =
        store.ledger(stood + 1, 9).unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((told.len(), &told[0]["action"], &told[0]["plan"]), (2, &json!("restore"), &said["digest"]));
    assert_eq!(told[1]["event"], "checkpoint");
    // The home that was copied tells of the backup.
    let line = scene.store("site").ledger(stood + 1, 1).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line[0]).unwrap()["plan"], said["digest"]);
    let pem = scene.sandbox.read("new/keys/importer.pem");
    let key = PrivateKey::from_pem(&pem, None).unwrap().public().clone();
    let audit = |head: &sealift::ledger::Head| {
        let known = OffHost { from: "a note".into(), head: head.clone(), receipt: None };
        ledger::audit(&store.ledger(1, usize::MAX).unwrap(), std::slice::from_ref(&key), &[known])
    };
    let found = audit(&known).unwrap_err();
    assert_eq!(found.list()[0].reason.text(), "ledger-cut");
    assert!(found.list()[0].hint.as_ref().unwrap().contains(&format!("record {} says", stood + 1)));
    // Once it is as long, they are two.
    for name in ["x", "y"] {
        site("new").add_account(account(name)).unwrap();
    }
    let found = audit(&known).unwrap_err();
    assert_eq!(found.list()[0].reason.text(), "ledger-fork");
    assert!(found.list()[0].hint.as_ref().unwrap().contains(&format!("record {} says", stood + 1)));
    let hash = said["index"]["ledger"]["hash"].as_str().unwrap();
    audit(&format!("{stood} {hash}").parse().unwrap()).unwrap();
}

/// Before there is a ledger, keys tell homes apart.
#[test]
fn the_backup_of_another_home_that_did_nothing_yet_stays() {
    let scene = Scene { served: None, sandbox: Sandbox::new() };
    let key = |home: &str, text: &str| {
        drop(scene.store(home));
        let keys = scene.path(home).join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::write(keys.join("other.pem"), text).unwrap();
    };
    key("site", "one");
    key("another", "two");
    // Made by hand as of a home whose ledger is empty: the command itself leaves a record.
    let store = scene.store("site");
    store.back_up(&scene.path("backup"), 1, Timestamp::now(), &Silent).unwrap();
    let again = |home: &str| scene.store(home).back_up(&scene.path("backup"), 1, Timestamp::now(), &Silent);
    assert_eq!(again("another").unwrap_err().reason, Reason::LedgerFork);
    again("site").unwrap();
}

#[test]
fn a_home_with_rows_elsewhere_is_refused() {
    let scene = Scene { served: None, sandbox: Sandbox::new() };
    scene.sandbox.write("site/store.toml", "schema = 1\n[database]\nurl = \"postgres://127.0.0.1:9/none\"\n");
    scene.run(&["store", "backup", "backup", "--home", "site"]).refused(2, "bad-argument");
    assert!(!scene.path("backup").exists());
}
