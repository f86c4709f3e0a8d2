//! What the registry writes into the ledger of its site, and that it does nothing where it cannot (R10, R22, X15).

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, redact::Secret},
    ledger::{self, Deed, Event, Proof, Record, Text, Thing},
    oci::{Descriptor, media_type},
    registry::{Access, Log, Options, Pulls},
    rules::Rules,
    site::{NewAccount, Site, evidence, importer_keys},
    store::{AccountKind, Store},
};
use serde_json::json;

use crate::support::{
    home::{home, meddle},
    sandbox::Sandbox,
    served::{Answer, Client, Served, head},
};

const PASSWORD: &str = "correct horse";
const RULES: &str = "schema = 1
    [[grant]]
    to = ['user:kim', 'robot:ci']
    repositories = ['apps/**']
    may = ['pull', 'push', 'tag', 'delete']
    [[grant]]
    to = ['anyone']
    repositories = ['open/**']
    may = ['pull']
    [[immutable]]
    repositories = ['apps/*']
    tags = ['v*']
";

/// A registry of a home with the accounts kim and ci.
struct Scene {
    served: Option<Served>,
    address: SocketAddr,
    store: Store,
    home: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        Self::with(Pulls::All)
    }

    fn with(pulls: Pulls) -> Self {
        let home = home();
        let store = Store::open(home.path()).unwrap();
        let site = Site::new(store.clone(), Timestamp::now());
        site.set_rules(&Rules::parse(RULES, Path::new("r")).unwrap(), "local").unwrap();
        for (name, kind) in [("kim", AccountKind::User), ("ci", AccountKind::Robot)] {
            let (groups, certificates) = (BTreeSet::new(), BTreeSet::new());
            let (name, password) = (name.to_owned(), Some(Secret::new(PASSWORD)));
            site.add_account(NewAccount { name, kind, groups, certificates, password, expires: None })
                .unwrap();
        }
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let plain = Options::plain(listen, Access::sandbox(), Log::silent());
        let served = Served::with(store.clone(), Options { pulls, ..plain });
        Self { address: served.address, served: Some(served), store, home }
    }

    fn ask(&self, who: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(who));
        let mut headers = vec![("Content-Type", media_type::MANIFEST), ("User-Agent", "secret-agent")];
        if !who.is_empty() {
            headers.push(("Authorization", basic.as_str()));
        }
        Client(self.address).ask(method, path, &headers, body)
    }

    fn kim(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.ask(&format!("kim:{PASSWORD}"), method, path, body)
    }

    /// Pushes the blob of an image, and tells the image.
    fn image(&self, repository: &str, text: &str) -> Vec<u8> {
        let config = Descriptor::of(media_type::CONFIG, b"{}");
        let path = format!("/v2/{repository}/blobs/uploads/?digest={}", config.digest);
        assert_eq!(self.kim("POST", &path, b"{}").status, 201);
        let image = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [],
            "annotations": { "x": text } });
        serde_json::to_vec(&image).unwrap()
    }

    /// Ends the server, which writes what waits.
    fn stop(&mut self) {
        drop(self.served.take());
    }

    fn records(&self) -> Vec<Record> {
        let lines = self.store.ledger(1, usize::MAX).unwrap();
        lines.iter().map(|line| Record::parse(line).unwrap()).collect()
    }

    fn deeds(&self) -> Vec<Deed> {
        let events = self.records().into_iter().map(|record| record.event);
        let deed = |event| if let Event::Registry(deed) = event { Some(deed) } else { None };
        events.filter_map(deed).collect()
    }

    /// The ledger is whole, and signed by the site.
    fn audit(&self) {
        let (keys, lines) = evidence(self.home.path(), |state| {
            Ok((importer_keys(self.home.path(), state)?, state.ledger(0, usize::MAX)?))
        })
        .unwrap();
        ledger::audit(&lines, &keys, &[]).unwrap();
    }
}

/// In one line, digests by the names of what they are of.
fn line(deed: &Deed, names: &[(&Digest, &str)]) -> String {
    let digest = |digest: &Option<Digest>| {
        let name =
            |digest: &Digest| names.iter().find(|(known, _)| *known == digest).map_or("?", |(_, name)| name);
        digest.as_ref().map(name)
    };
    let words = [
        Some(deed.who.get()),
        deed.by.map(Proof::name),
        Some(deed.action.name()),
        deed.what.map(Thing::name),
        deed.repository.as_ref().map(Text::get),
        deed.tag.as_ref().map(Text::get),
        digest(&deed.digest),
        deed.before.as_ref().map(|_before| "before"),
        digest(&deed.before),
        deed.refused.as_ref().map(Text::get),
    ];
    let count = deed.count.map(|count| format!(" x{count}")).unwrap_or_default();
    words.into_iter().flatten().collect::<Vec<_>>().join(" ") + &count
}

#[test]
fn what_is_done_and_refused_is_told_with_who_and_from_where() {
    let mut scene = Scene::start();
    let (repository, empty) = ("apps/a", Digest::of(b"{}"));
    let manifests = format!("/v2/{repository}/manifests");
    let first = scene.image(repository, "first");
    assert_eq!(scene.kim("PUT", &format!("{manifests}/1"), &first).status, 201);
    let second = scene.image(repository, "second");
    let (one, two) = (Digest::of(&first), Digest::of(&second));
    assert_eq!(scene.kim("PUT", &format!("{manifests}/1"), &second).status, 201);
    assert_eq!(scene.kim("PUT", &format!("{manifests}/{one}?tag=2&tag=v1"), &first).status, 201);
    let mount = format!("/v2/apps/b/blobs/uploads/?mount={empty}&from=apps/a");
    assert_eq!(scene.kim("POST", &mount, b"").status, 201);
    // A look is no pull, and what is there already is not read.
    for (method, path) in [("HEAD", format!("{manifests}/1")), ("GET", format!("/v2/{repository}/tags/list"))]
    {
        assert_eq!(scene.kim(method, &path, b"").status, 200);
    }
    assert_eq!(scene.kim("GET", &format!("{manifests}/none"), b"").status, 404);
    assert_eq!(scene.kim("GET", &format!("{manifests}/1"), b"").body, second);
    for _ in 0..2 {
        assert_eq!(scene.kim("GET", &format!("/v2/{repository}/blobs/{empty}"), b"").body, b"{}");
    }
    assert_eq!(scene.kim("GET", "/v2/token?service=sealift", b"").status, 200);
    // Refusals: by rules, for want of a login, by a wrong password, by one that stands where the name belongs.
    assert_eq!(scene.kim("PUT", &format!("{manifests}/v1"), &second).status, 403);
    assert_eq!(scene.kim("DELETE", &format!("/v2/other/a/blobs/{empty}"), b"").status, 403);
    assert_eq!(scene.kim("GET", "/v2/other/a/manifests/1", b"").status, 404, "hidden");
    assert_eq!(scene.ask("", "GET", &format!("{manifests}/1"), b"").status, 401);
    assert_eq!(scene.ask("", "GET", "/v2/", b"").status, 401);
    assert_eq!(scene.ask("ci:hunter22hunter", "GET", &format!("{manifests}/1"), b"").status, 401);
    assert_eq!(scene.ask("hunter22hunter:ci", "GET", "/v2/token", b"").status, 401);
    assert_eq!(scene.kim("DELETE", &format!("{manifests}/2"), b"").status, 202);
    assert_eq!(scene.kim("DELETE", &format!("{manifests}/{two}"), b"").status, 202);
    scene.stop();
    scene.audit();

    let names = [(&one, "one"), (&two, "two"), (&empty, "empty")];
    let deeds = scene.deeds();
    assert!(deeds.iter().all(|deed| deed.from == Some("127.0.0.1".into())), "{deeds:?}");
    let lines: Vec<String> = deeds.iter().map(|deed| line(deed, &names)).collect();
    // Each of the two kinds in its order.
    let (changes, others): (Vec<&str>, Vec<&str>) = lines.iter().map(String::as_str).partition(|line| {
        ["push", "delete"].contains(&line.split(' ').nth(2).unwrap()) && !line.ends_with("DENIED")
    });
    assert_eq!(
        changes,
        [
            "user:kim password push blob apps/a empty",
            "user:kim password push manifest apps/a 1 one",
            "user:kim password push blob apps/a empty",
            "user:kim password push manifest apps/a 1 two before one",
            "user:kim password push manifest apps/a 2 one",
            "user:kim password push manifest apps/a v1 one",
            "user:kim password push blob apps/b empty",
            "user:kim password delete tag apps/a 2 before one",
            "user:kim password delete tag apps/a 1 before two",
            "user:kim password delete manifest apps/a two",
        ]
    );
    // What is the same within a second is one record, wherever the seconds end.
    let mut others: Vec<String> =
        others.iter().map(|line| line.split(" x").next().unwrap().to_owned()).collect();
    others.dedup();
    assert_eq!(
        others,
        [
            "user:kim password login",
            "user:kim password pull manifest apps/a 1 two",
            "user:kim password pull blob apps/a empty",
            "user:kim password token",
            "user:kim password push manifest apps/a v1 DENIED",
            "user:kim password delete blob other/a empty DENIED",
            "user:kim password pull manifest other/a 1 NAME_UNKNOWN",
            "anyone pull manifest apps/a 1 UNAUTHORIZED",
            "robot:ci login UNAUTHORIZED",
            "unknown login UNAUTHORIZED",
        ]
    );
    let whole = scene.store.ledger(1, usize::MAX).unwrap().join("\n");
    for secret in [PASSWORD, "hunter22hunter", "Basic", "Bearer", "service=sealift", "secret-agent"] {
        assert!(!whole.contains(secret), "{secret}");
    }
}

/// By the program, which finds it without a look at all records at once.
#[test]
fn who_pulled_what_is_one_command() {
    let mut scene = Scene::start();
    let image = scene.image("apps/a", "x");
    assert_eq!(scene.kim("PUT", "/v2/apps/a/manifests/1", &image).status, 201);
    let digest = Digest::of(&image).to_string();
    assert_eq!(scene.kim("GET", "/v2/apps/a/manifests/1", b"").status, 200);
    let ci = format!("ci:{PASSWORD}");
    assert_eq!(scene.ask(&ci, "GET", &format!("/v2/apps/a/manifests/{digest}"), b"").status, 200);
    assert_eq!(scene.ask(&ci, "GET", "/v2/other/manifests/1", b"").status, 404);
    scene.stop();
    let sandbox = Sandbox::new();
    let home = scene.home.path().to_str().unwrap();
    let search = |words: &[&str]| {
        let all = [&["--output", "json", "audit", "search", "--home", home], words].concat();
        let ran = sandbox.run(&all).ok();
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["record"].clone();
        let who =
            |record: serde_json::Value| format!("{} {}", record["action"], record["who"]).replace('"', "");
        ran.stdout.lines().map(read).map(who).collect::<Vec<_>>()
    };
    assert_eq!(
        search(&["--action", "pull", "--digest", &digest, "--since", "2026-01-01"]),
        ["pull user:kim", "pull robot:ci"]
    );
    assert_eq!(search(&["--digest", &digest, "--done"]), ["push user:kim", "pull user:kim", "pull robot:ci"]);
    assert_eq!(search(&["--action", "pull", "--until", "2026-01-01"]), [""; 0]);
    assert_eq!(search(&["--who", "ci", "--refused"]), ["pull robot:ci"]);
    assert_eq!(search(&["--action", "login"]), ["login user:kim", "login robot:ci"]);
    let text = sandbox
        .run(&["audit", "search", "--home", home, "--tag", "1", "--action", "pull", "--done"])
        .ok()
        .stdout;
    let end = format!(" user:kim pull manifest apps/a:1 {digest} from 127.0.0.1 by password\n");
    assert!(text.ends_with(&end) && text.lines().count() == 1, "{text}");
    sandbox
        .run(&["--output", "json", "audit", "search", "--home", home, "--since", "yesterday"])
        .refused(2, "bad-argument");
    sandbox.run(&["audit", "ledger", "--home", home]).ok();
}

/// What the database takes no record of.
fn refuse_records(home: &Path, refuse: bool) {
    let shared = home.join("store.toml").exists();
    meddle(
        home,
        match (shared, refuse) {
            (false, true) => "CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT raise(ABORT, 'no room'); END;",
            (false, false) => "DROP TRIGGER full;",
            (true, true) => {
                "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$;
                 CREATE TRIGGER no_room BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION no_room();"
            }
            (true, false) => "DROP TRIGGER no_room ON ledger;",
        },
    );
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// R22: what cannot be told is not done, and is done again once it can be told.
#[test]
fn where_the_ledger_cannot_be_written_nothing_is_done() {
    let mut scene = Scene::start();
    let image = scene.image("apps/a", "x");
    assert_eq!(scene.kim("PUT", "/v2/apps/a/manifests/1", &image).status, 201);
    until("the login is written", || scene.deeds().len() == 3);
    refuse_records(scene.home.path(), true);
    let before = scene.records();
    let blob = Digest::of(b"new");
    for (method, path, body) in [
        ("POST", format!("/v2/apps/a/blobs/uploads/?digest={blob}"), &b"new"[..]),
        ("PUT", "/v2/apps/a/manifests/2".to_owned(), &image),
        ("DELETE", "/v2/apps/a/manifests/1".to_owned(), b""),
        ("DELETE", format!("/v2/apps/a/manifests/{}", Digest::of(&image)), b""),
    ] {
        let refused = scene.kim(method, &path, body);
        assert_eq!((refused.status, refused.code().as_str()), (503, "UNAVAILABLE"), "{method} {path}");
    }
    assert_eq!(scene.store.tags("apps/a", None, 9).unwrap().unwrap(), ["1"]);
    assert!(!scene.store.blob_in("apps/a", &blob).unwrap());
    // The first pull is answered before anybody knows; then there are none.
    let pull = || scene.kim("GET", "/v2/apps/a/manifests/1", b"");
    assert_eq!(pull().status, 200);
    until("pulls are refused", || pull().status == 503);
    let (refused, ready) = (pull(), scene.ask("", "GET", "/readyz", b""));
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("UNAVAILABLE", "5"));
    assert_eq!(scene.ask("", "GET", "/v2/token", b"").status, 503);
    assert_eq!(
        (ready.status, ready.json()),
        (503, json!({ "ready": false, "reasons": { "records": "ledger-unwritten" } }))
    );
    let page = String::from_utf8(scene.ask("", "GET", "/metrics", b"").body).unwrap();
    let failures = page.lines().find_map(|line| line.strip_prefix("sealift_records_failures_total "));
    assert!(failures.unwrap().parse::<u64>().unwrap() >= 1, "{page}");
    assert_eq!(scene.records(), before);

    refuse_records(scene.home.path(), false);
    until("it goes on", || pull().status == 200);
    until("it is ready", || scene.ask("", "GET", "/readyz", b"").status == 200);
    assert_eq!(scene.kim("DELETE", "/v2/apps/a/manifests/1", b"").status, 202);
    scene.stop();
    scene.audit();
    // Every pull that was answered, those of before too.
    let pulls = scene.deeds().into_iter().filter(|deed| deed.action.name() == "pull");
    assert!(pulls.map(|deed| deed.count.unwrap_or(1)).sum::<u64>() >= 2);
}

/// A server that cannot write what waits when it ends says so.
#[test]
fn what_is_lost_at_the_end_is_told() {
    let scene = Scene::start();
    let store = scene.store.clone();
    let (faults, heard) = std::sync::mpsc::channel();
    let log = Log::of_faults(move |failure| faults.send(failure.reason).unwrap());
    let options = Options::plain(SocketAddr::from(([127, 0, 0, 1], 0)), Access::default(), log);
    let (ready, address) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let shutdown = async { stopped.await.unwrap_or_default() };
        runtime.block_on(sealift::registry::serve(
            store,
            options,
            move |at| ready.send(at).unwrap(),
            shutdown,
        ))
    });
    let address = address.recv().unwrap();
    refuse_records(scene.home.path(), true);
    let refused = Client(address).ask("GET", "/v2/apps/a/manifests/1", &[], b"");
    assert_eq!(refused.status, 401);
    drop(stop);
    assert_eq!(server.join().unwrap().unwrap_err().reason, Reason::LedgerUnwritten);
    assert_eq!(heard.recv().unwrap(), Reason::LedgerUnwritten);
}

/// X15: a thousand refusals make no more than a bounded number of records, and each is counted.
#[test]
fn a_flood_of_refusals_fills_no_disk() {
    let mut scene = Scene::start();
    let mut socket = TcpStream::connect(scene.address).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let answers = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    for n in 0..999 {
        let head = format!("GET /v2/apps/r{n}/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
    }
    socket.write_all(head("GET", "/v2/apps/last/manifests/1", &[]).as_bytes()).unwrap();
    assert_eq!(answers.join().unwrap().matches("HTTP/1.1 401").count(), 1000);
    scene.stop();
    let refused: Vec<Deed> = scene.deeds().into_iter().filter(|deed| deed.refused.is_some()).collect();
    assert_eq!(refused.iter().map(|deed| deed.count.unwrap_or(1)).sum::<u64>(), 1000);
    // Sixty in full, and then one for each second.
    assert!((61..=80).contains(&refused.len()), "{}", refused.len());
    scene.audit();
}

#[test]
fn a_site_may_leave_pulls_out() {
    for (pulls, wanted) in
        [(Pulls::All, &["manifest", "blob"][..]), (Pulls::Manifests, &["manifest"]), (Pulls::None, &[])]
    {
        let mut scene = Scene::with(pulls);
        let image = scene.image("apps/a", "x");
        assert_eq!(scene.kim("PUT", "/v2/apps/a/manifests/1", &image).status, 201);
        for path in ["manifests/1".to_owned(), format!("blobs/{}", Digest::of(b"{}"))] {
            assert_eq!(scene.kim("GET", &format!("/v2/apps/a/{path}"), b"").status, 200);
        }
        assert_eq!(scene.kim("GET", "/v2/other/manifests/1", b"").status, 404);
        scene.stop();
        let (refused, done): (Vec<Deed>, Vec<Deed>) =
            scene.deeds().into_iter().partition(|deed| deed.refused.is_some());
        let pulled = done.iter().filter(|deed| deed.action.name() == "pull");
        assert_eq!(pulled.map(|deed| deed.what.unwrap().name()).collect::<Vec<_>>(), wanted, "{pulls:?}");
        assert_eq!(refused.len(), 1, "what is refused is told in any case");
    }
}

/// R10: the push of a blob is for who began it.
#[test]
fn an_upload_of_another_is_unknown() {
    let mut scene = Scene::start();
    let kim = format!("kim:{PASSWORD}");
    let ci = format!("ci:{PASSWORD}");
    for (repository, owner, others) in
        [("apps/a", kim.as_str(), [ci.as_str(), "kim:wrong"]), ("sandbox/a", "", [kim.as_str(), ci.as_str()])]
    {
        let begun = scene.ask(owner, "POST", &format!("/v2/{repository}/blobs/uploads/"), b"");
        assert_eq!(begun.status, 202);
        let upload = begun.header("location").to_owned();
        let finish = format!("{upload}?digest={}", Digest::of(b"hello"));
        for other in others {
            for (method, path, body) in [
                ("GET", &upload, &b""[..]),
                ("PATCH", &upload, b"evil"),
                ("PUT", &finish, b"hello"),
                ("DELETE", &upload, b""),
            ] {
                let refused = scene.ask(other, method, path, body);
                let wanted = if other.ends_with("wrong") {
                    (401, "UNAUTHORIZED")
                } else {
                    (404, "BLOB_UPLOAD_UNKNOWN")
                };
                assert_eq!((refused.status, refused.code().as_str()), wanted, "{other} {method}");
            }
        }
        assert_eq!(scene.ask(owner, "GET", &upload, b"").header("range"), "0-0", "it is as it was");
        assert_eq!(scene.ask(owner, "PATCH", &upload, b"hel").status, 202);
        assert_eq!(scene.ask(owner, "PUT", &finish, b"lo").status, 201);
    }
    scene.stop();
    scene.audit();
}

/// Two servers of one home go on with one ledger.
#[test]
fn two_servers_write_one_ledger() {
    let mut scene = Scene::start();
    let image = scene.image("apps/a", "x");
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let other = Served::with(
        Store::open(scene.home.path()).unwrap(),
        Options::plain(listen, Access::default(), Log::silent()),
    );
    std::thread::scope(|scope| {
        for (at, address) in [scene.address, other.address].into_iter().enumerate() {
            let image = &image;
            scope.spawn(move || {
                let basic = format!("Basic {}", STANDARD.encode(format!("kim:{PASSWORD}")));
                let headers = [("Authorization", basic.as_str()), ("Content-Type", media_type::MANIFEST)];
                for n in 0..10 {
                    let path = format!("/v2/apps/a/manifests/t{at}-{n}");
                    assert_eq!(Client(address).ask("PUT", &path, &headers, image).status, 201);
                    assert_eq!(Client(address).ask("GET", &path, &headers, b"").status, 200);
                }
            });
        }
    });
    drop(other);
    scene.stop();
    scene.audit();
    let deeds = scene.deeds();
    let of = |action: &str| {
        let same = deeds.iter().filter(|deed| deed.action.name() == action && deed.tag.is_some());
        same.map(|deed| deed.count.unwrap_or(1)).sum::<u64>()
    };
    assert_eq!((of("push"), of("pull")), (20, 20));
}
