//! Several servers of one home: on one machine, where rows and contents lie in its folder, or on machines that share nothing
//! but a database and a bucket, as `support/home.rs` says.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift::{
    base::{clock::Timestamp, digest::Digest, failure::Reason, progress::Silent, redact::Secret},
    oci::{Descriptor, media_type},
    registry::{Access, Collection, Log, Options},
    rules::Rules,
    site::{NewAccount, Site},
    store::{
        AccountKind, Store,
        check::{self, check},
    },
};
use serde_json::json;

use crate::support::{
    home::{Kept, kept, machines},
    served::{Answer, Client, Served},
};

const REPOSITORY: &str = "apps/app";

/// No sandbox, in which a manifest may list what is not there.
const RULES: &str = "schema = 1\n[[grant]]\nto = [\"anyone\"]\nrepositories = [\"**\"]\n\
    may = [\"pull\", \"push\", \"delete\", \"tag\"]\n";

/// What so many machines have of a home that everybody may do anything with, each with the key that signs for it.
fn open_machines(count: usize) -> Vec<(Arc<tempfile::TempDir>, PathBuf)> {
    let machines = machines(count);
    let rules = Rules::parse(RULES, Path::new("rules")).unwrap();
    let store = Store::open(&machines[0].1).unwrap();
    Site::new(store, Timestamp::now()).set_rules(&rules, "test").unwrap();
    let (first, others) = machines.split_first().unwrap();
    for (_, home) in others.iter().filter(|(_, home)| *home != first.1) {
        std::fs::create_dir_all(home.join("keys")).unwrap();
        std::fs::copy(key(&first.1), key(home)).unwrap();
    }
    machines
}

fn key(home: &Path) -> PathBuf {
    home.join("keys/importer.pem")
}

/// A server of its own process.
struct Replica {
    process: Child,
    client: Client,
}

impl Replica {
    fn start(home: &Path) -> Self {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_sealift"));
        serve.args(["serve", "--plain-http", "--listen", "127.0.0.1:0", "--output", "json"]);
        serve.arg("--home").arg(home).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = serve.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let says: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address: SocketAddr = says["address"].as_str().unwrap().parse().unwrap();
        Self { process, client: Client(address) }
    }

    /// As the power does it.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// What was pushed.
#[derive(Clone)]
struct Image {
    root: Digest,
    manifest: Vec<u8>,
    blobs: Vec<(Descriptor, Vec<u8>)>,
}

impl Image {
    /// With a layer that all images have, and one of its own.
    fn new(words: &str, size: usize) -> Self {
        let config = format!("{{\"words\":\"{words}\"}}").into_bytes();
        let own: Vec<u8> = words.bytes().cycle().take(size.max(words.len())).collect();
        let blobs: Vec<_> = [
            (media_type::CONFIG, config),
            (media_type::LAYER_GZIP, b"shared".to_vec()),
            (media_type::LAYER_GZIP, own),
        ]
        .into_iter()
        .map(|(media_type, bytes)| (Descriptor::of(media_type, &bytes), bytes))
        .collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": blobs[0].0, "layers": [blobs[1].0, blobs[2].0] });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        Self { root: Digest::of(&manifest), manifest, blobs }
    }

    /// Whether all of it was acknowledged. Each part goes to another server where there are several.
    fn push(&self, tag: &str, servers: &[Client]) -> bool {
        let mut servers = servers.iter().cycle();
        let mut ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
            let server = servers.next().unwrap();
            let answer = server.try_to_ask(method, &format!("/v2/{REPOSITORY}/{path}"), headers, body);
            answer.ok().flatten()
        };
        for (blob, bytes) in &self.blobs {
            let there = ask("HEAD", &format!("blobs/{}", blob.digest), &[], b"");
            if there.is_some_and(|answer| answer.status == 200) {
                continue;
            }
            let path = format!("blobs/uploads/?digest={}", blob.digest);
            if ask("POST", &path, &[], bytes).is_none_or(|answer| answer.status != 201) {
                return false;
            }
        }
        let headers = [("Content-Type", media_type::MANIFEST)];
        let put = ask("PUT", &format!("manifests/{tag}"), &headers, &self.manifest);
        put.is_some_and(|answer| answer.status == 201)
    }

    /// Fails unless every byte of it comes.
    fn pull(&self, server: Client) {
        let get = |path: String| server.ask("GET", &format!("/v2/{REPOSITORY}/{path}"), &[], b"");
        let manifest = get(format!("manifests/{}", self.root));
        assert_eq!((manifest.status, &manifest.body), (200, &self.manifest), "{}", self.root);
        for (blob, bytes) in &self.blobs {
            let got = get(format!("blobs/{}", blob.digest));
            assert_eq!(got.status, 200, "{}: {}", blob.digest, String::from_utf8_lossy(&got.body));
            assert!(got.body == *bytes, "{} came with other bytes", blob.digest);
        }
    }

    fn delete(&self, server: Client) -> Option<Answer> {
        let path = format!("/v2/{REPOSITORY}/manifests/{}", self.root);
        server.try_to_ask("DELETE", &path, &[], b"").ok().flatten()
    }
}

/// Pushes, pulls and deletes through all of the servers at once, for so long. What was acknowledged and not deleted again.
fn trade(servers: &[Client], time: Duration, delete: bool) -> Vec<Image> {
    let (until, kept, number) = (Instant::now() + time, Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (kept, number) = (&kept, &number);
            scope.spawn(move || {
                while Instant::now() < until {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    let image = Image::new(&format!("image {number}"), 1 << (number % 20));
                    let order: Vec<Client> =
                        (0..servers.len()).map(|at| servers[(number + at) % servers.len()]).collect();
                    // Every second one goes to one server whole, as it does where clients stay with theirs.
                    let to = if number.is_multiple_of(2) { &order[..1] } else { &order[..] };
                    if image.push(&format!("v{number}"), to) {
                        kept.lock().unwrap().insert(number, image);
                    }
                    let old = kept
                        .lock()
                        .unwrap()
                        .range(..number)
                        .next_back()
                        .map(|(at, old)| (*at, Image::clone(old)));
                    let Some((at, old)) = old.filter(|_| delete && worker == 0) else { continue };
                    // Whether or not it says so, it may be deleted from now on.
                    kept.lock().unwrap().remove(&at);
                    let _answer = old.delete(order[order.len() - 1]);
                }
            });
        }
    });
    kept.into_inner().unwrap().into_values().collect()
}

/// B2: what was acknowledged is there whoever is asked for it, whatever becomes of the server that took it.
#[test]
fn what_one_takes_the_others_give_when_it_is_killed() {
    let machines = open_machines(3);
    let mut replicas: Vec<Replica> = machines.iter().map(|(_, home)| Replica::start(home)).collect();
    let servers: Vec<Client> = replicas.iter().map(|replica| replica.client).collect();
    // Of several parts, where contents go to a bucket.
    let large = Image::new("large", 20 << 20);
    assert!(large.push("large", &servers[..1]));
    large.pull(servers[1]);
    // It has taken this, and nobody has asked another for it yet.
    let last = Image::new("last", 100);
    let traded = std::thread::scope(|scope| {
        let trading = scope.spawn(|| trade(&servers, Duration::from_secs(6), true));
        std::thread::sleep(Duration::from_secs(2));
        assert!(last.push("last", &servers[..1]));
        replicas[0].kill();
        trading.join().unwrap()
    });
    assert!(traded.len() > 2, "hardly anything was pushed: {}", traded.len());
    for server in &servers[1..] {
        for image in [&large, &last].into_iter().chain(&traded) {
            image.pull(*server);
        }
    }
    // And it comes back to the same.
    replicas[0] = Replica::start(&machines[0].1);
    for image in [&large, &last].into_iter().chain(&traded) {
        image.pull(replicas[0].client);
    }
}

/// A registry in this process for each machine, with rounds of collection all the time, and leases as short as this.
fn serve_all(machines: &[(Arc<tempfile::TempDir>, PathBuf)], lease: u64) -> Vec<(Store, Served)> {
    let serve = |home: &PathBuf| {
        let store = Store::open(home).unwrap();
        let options = Options {
            collection: Collection::new(Duration::from_millis(100), lease),
            ..Options::plain(SocketAddr::from(([127, 0, 0, 1], 0)), Access::default(), Log::silent())
        };
        (store.clone(), Served::with(store, options))
    };
    machines.iter().map(|(_, home)| serve(home)).collect()
}

/// B2: rounds of collection on all of them at once take nothing that was acknowledged, and leave nothing behind.
#[test]
fn collections_of_all_servers_lose_nothing() {
    let machines = open_machines(3);
    let all = serve_all(&machines, 2);
    let servers: Vec<Client> = all.iter().map(|(_, served)| Client(served.address)).collect();
    let traded = trade(&servers, Duration::from_secs(6), true);
    assert!(traded.len() > 2, "hardly anything was pushed: {}", traded.len());
    for server in &servers {
        for image in &traded {
            image.pull(*server);
        }
    }
    let (store, _) = &all[0];
    let end = Instant::now() + Duration::from_mins(1);
    while store.leases().unwrap() > 0 {
        assert!(Instant::now() < end, "the rounds never end");
        std::thread::sleep(Duration::from_millis(100));
    }
    let home = &machines[1].1;
    let options = check::Options { home, read_data: true, workers: 2, now: Timestamp::now() };
    let checked = check(&options, &Silent).unwrap();
    assert!(checked.wrong.is_empty() && checked.strange.is_empty(), "{checked:?}");
    assert_eq!((checked.unneeded.0, checked.manifests), (0, traded.len()), "{checked:?}");
}

/// A push belongs to the machine where it began: at another one the client hears that it has to begin again.
#[test]
fn a_push_goes_on_where_it_began() {
    let machines = open_machines(2);
    let all = serve_all(&machines, 600);
    let [first, second] = [&all[0].1, &all[1].1].map(|served| Client(served.address));
    let begun = first.ask("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), &[], b"");
    let location = begun.header("location").to_owned();
    let separate = machines[0].1 != machines[1].1;
    let there = second.ask("PATCH", &location, &[], b"hello");
    let code = if separate { "BLOB_UPLOAD_UNKNOWN" } else { "TOOMANYREQUESTS" };
    assert_eq!(there.code(), code);
    assert_eq!(first.ask("PATCH", &location, &[], b"hello").status, 202);
    let digest = Digest::of(b"hello");
    assert_eq!(first.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").status, 201);
    let got = second.ask("GET", &format!("/v2/{REPOSITORY}/blobs/{digest}"), &[], b"");
    assert_eq!((got.status, got.body.as_slice()), (200, &b"hello"[..]));
}

/// Who one is, all of them know: an account made on one machine, and a token that another one issued.
#[test]
fn a_token_of_one_is_taken_by_the_others() {
    let machines = open_machines(3);
    let all = serve_all(&machines, 600);
    let account = NewAccount {
        name: "alice".into(),
        kind: AccountKind::Robot,
        groups: ["ops".to_owned()].into(),
        certificates: std::collections::BTreeSet::new(),
        password: Some(Secret::new("correct horse")),
        expires: None,
    };
    Site::new(all[0].0.clone(), Timestamp::now()).add_account(account).unwrap();
    let basic = format!("Basic {}", STANDARD.encode("alice:correct horse"));
    let servers: Vec<Client> = all.iter().map(|(_, served)| Client(served.address)).collect();
    let issued = servers[1].ask("GET", "/v2/token?service=sealift", &[("Authorization", &basic)], b"");
    let token = format!("Bearer {}", issued.json()["token"].as_str().unwrap());
    for server in &servers {
        assert_eq!(server.ask("GET", "/v2/", &[("Authorization", &token)], b"").status, 200);
        assert_eq!(server.ask("GET", "/v2/", &[("Authorization", "Bearer x.y.z")], b"").status, 401);
    }
}

/// One key signs the ledger of a home: a machine that does not have it makes none in its place.
#[test]
fn a_machine_without_the_key_signs_nothing() {
    let machines = open_machines(2);
    let keys = [0, 1].map(|at: usize| key(&machines[at].1));
    let second = || Site::new(Store::open(&machines[1].1).unwrap(), Timestamp::now());
    let again =
        || second().set_rules(&Rules::parse("schema = 1\n", Path::new("rules")).unwrap(), "test").map(drop);
    if keys[0] != keys[1] {
        std::fs::remove_file(&keys[1]).unwrap();
        assert_eq!(again().unwrap_err().reason, Reason::NotFound);
        // Nor does it serve: what clients do is told in the ledger.
        assert_eq!(second().require_signer().unwrap_err().reason, Reason::NotFound);
        std::fs::copy(&keys[0], &keys[1]).unwrap();
    }
    second().require_signer().unwrap();
    again().unwrap();
    let site = Site::new(Store::open(&machines[0].1).unwrap(), Timestamp::now());
    site.set_rules(&Rules::parse(RULES, Path::new("rules")).unwrap(), "test").unwrap();
}

/// A way to the object store that can be cut.
struct Way {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { address: listener.local_addr().unwrap(), cut: Arc::default(), open: Arc::default() };
        let (cut, open) = (Arc::clone(&way.cut), Arc::clone(&way.open));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let far = TcpStream::connect(server).unwrap();
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
                {
                    open.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let mut buffer = [0; 1 << 14];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _closed = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        way
    }

    fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
        for socket in self.open.lock().unwrap().drain(..) {
            let _closed = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// R31: what cannot be asked for is not said to be missing, and not taken for it: no answer says 404, and no collection
/// forgets anything. Once it can be, everything is there.
#[test]
fn a_bucket_that_does_not_answer_is_not_an_empty_one() {
    let machines = open_machines(1);
    let home = &machines[0].1;
    let Kept::Bucket { server, .. } = kept(home) else { return };
    let way = Way::to(server.0);
    let settings = std::fs::read_to_string(home.join("store.toml")).unwrap();
    let through = settings.replace(&server.0.to_string(), &way.address.to_string());
    std::fs::write(home.join("store.toml"), through).unwrap();
    let all = serve_all(&machines, 600);
    let (store, served) = &all[0];
    let client = Client(served.address);
    let image = Image::new("here", 100);
    assert!(image.push("v1", &[client]));
    let gone = Image::new("gone", 100);
    assert!(gone.push("v2", &[client]));
    let path = |what: &str, digest: &Digest| format!("/v2/{REPOSITORY}/{what}/{digest}");
    let begun = client.ask("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), &[], b"");
    let location = begun.header("location").to_owned();
    assert_eq!(client.ask("PATCH", &location, &[], b"hello").status, 202);

    way.cut(true);
    let hello = Digest::of(b"hello");
    for (method, path, body) in [
        ("GET", path("manifests", &image.root), &b""[..]),
        ("HEAD", path("manifests", &image.root), b""),
        ("GET", path("blobs", &image.blobs[0].0.digest), b""),
        ("PUT", format!("/v2/{REPOSITORY}/manifests/v3"), &image.manifest),
        ("PUT", format!("{location}?digest={hello}"), b""),
    ] {
        let answer = client.ask(method, &path, &[("Content-Type", media_type::MANIFEST)], body);
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{method} {path}");
    }
    let ready = client.ask("GET", "/readyz", &[], b"");
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!({ "contents": "bucket" })));
    assert_eq!(client.ask("GET", "/healthz", &[], b"").status, 200);
    // What needs rows alone goes on; what a collection would have to remove stays on its list.
    assert_eq!(gone.delete(client).unwrap().status, 202);
    let later = Timestamp::from_seconds(Timestamp::now().seconds() + 9999).unwrap();
    // As long as a collection of the server is at it, ours removes nothing.
    let until = Instant::now() + Duration::from_mins(2);
    let failed = loop {
        match store.collect(later) {
            Err(failure) => break failure.reason,
            Ok(done) => assert_eq!(done.removed, 0),
        }
        assert!(Instant::now() < until, "no collection asked the bucket");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(failed, Reason::Bucket);
    assert!(store.leases().unwrap() > 0);
    assert_eq!(Store::open(home).unwrap_err().reason, Reason::Bucket);

    way.cut(false);
    image.pull(client);
    assert_eq!(client.ask("PUT", &format!("{location}?digest={hello}"), &[], b"").status, 201);
    assert_eq!(client.ask("GET", "/readyz", &[], b"").status, 200);
}

/// R31: rows of one home over the contents of another would be taken for a loss, and the other's for what nobody needs.
#[test]
fn a_home_knows_its_own_bucket() {
    let [one, other] = [(); 2].map(|()| open_machines(1).remove(0));
    if !matches!(kept(&one.1), Kept::Bucket { .. }) {
        return;
    }
    let image = Image::new("here", 100);
    let all = serve_all(std::slice::from_ref(&one), 600);
    assert!(image.push("v1", &[Client(all[0].1.address)]));
    drop(all);
    drop(Store::open(&other.1).unwrap());
    let settings = |home: &Path| std::fs::read_to_string(home.join("store.toml")).unwrap();
    let (ours, theirs) = (settings(&one.1), settings(&other.1));
    let prefix = |text: &str| text.split_once("prefix = \"").unwrap().1.split('"').next().unwrap().to_owned();
    let opened = |text: &str| {
        std::fs::write(one.1.join("store.toml"), text).unwrap();
        Store::open(&one.1).map(drop).map_err(|failure| failure.reason)
    };
    assert_eq!(
        opened(&ours.replace(
            &format!("prefix = \"{}\"", prefix(&ours)),
            &format!("prefix = \"{}\"", prefix(&theirs))
        )),
        Err(Reason::Bucket),
        "of another home"
    );
    assert_eq!(opened(&ours.replace("prefix = \"", "prefix = \"x")), Err(Reason::Bucket), "of nobody");
    assert_eq!(opened(&ours.replace("\"contents\"", "\"nowhere\"")), Err(Reason::Bucket), "no such bucket");
    let rows_alone = ours.split("[contents]").next().unwrap();
    assert_eq!(opened(rows_alone), Err(Reason::BadArgument), "a machine that knows of no bucket");
    assert_eq!(opened(&ours), Ok(()));
    // A new home finds no place where another one is.
    let third = machines(1).remove(0);
    let text = settings(&third.1);
    let taken =
        text.replace(&format!("prefix = \"{}\"", prefix(&text)), &format!("prefix = \"{}\"", prefix(&ours)));
    std::fs::write(third.1.join("store.toml"), taken).unwrap();
    assert_eq!(Store::open(&third.1).unwrap_err().reason, Reason::Bucket);
}

/// What rotted in a bucket is found when it is read, and gives way to a whole copy.
#[test]
fn what_rots_is_found_and_replaced() {
    let machines = open_machines(2);
    let all = serve_all(&machines, 600);
    let [first, second] = [&all[0].1, &all[1].1].map(|served| Client(served.address));
    let image = Image::new("rots", 3 << 20);
    assert!(image.push("v1", &[first]));
    let (blob, bytes) = &image.blobs[2];
    let mut rotten = bytes.clone();
    *rotten.last_mut().unwrap() ^= 1;
    kept(&machines[0].1).rot(&blob.digest, &rotten);
    let path = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
    // A part is the client's to verify; the whole never ends well.
    let part = second.ask("GET", &path, &[("Range", "bytes=5-8")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &bytes[5..9]));
    let got = second.ask("GET", &path, &[], b"");
    assert!(got.body.len() < bytes.len(), "wrong bytes came as if they were right");
    let gone = first.ask("GET", &path, &[], b"");
    assert_eq!((gone.status, gone.code().as_str()), (404, "BLOB_UNKNOWN"));
    assert!(image.push("v1", &[second]));
    image.pull(first);
}
