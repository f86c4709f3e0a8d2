//! What the registry tells of itself: health, readiness, metrics, log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sealift::{
    base::{digest::Digest, failure::Reason},
    registry::{Access, Event, Log, Visit},
    store::Store,
};

use crate::support::{
    sandbox::Sandbox,
    served::{Answer, Served, head},
};

/// A registry with a sandbox, and what it told.
struct Site {
    served: Served,
    visits: Arc<Mutex<Vec<Visit>>>,
    faults: Arc<Mutex<Vec<Reason>>>,
    folder: tempfile::TempDir,
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).unwrap();
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", length.as_str())]].concat();
    socket.write_all(&[head(method, path, &headers).as_bytes(), body].concat()).unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes).expect("a response head")
}

/// Asks again until the answer is there: a request is over a moment after its last byte has come.
fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("home")).unwrap();
        let (visits, faults) = (Arc::<Mutex<Vec<Visit>>>::default(), Arc::<Mutex<Vec<Reason>>>::default());
        let (seen, heard) = (Arc::clone(&visits), Arc::clone(&faults));
        let log = Log::new(move |event| {
            match event {
                Event::Request(visit) => seen.lock().unwrap().push((*visit).clone()),
                Event::Fault(failure) => heard.lock().unwrap().push(failure.reason),
            }
            // As a log that never has room for HEAD.
            !matches!(event, Event::Request(visit) if visit.method == "HEAD")
        });
        Self { served: Served::start(store, Access::sandbox(), log), visits, faults, folder }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.served.address, method, path, headers, body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    fn page(&self) -> Page {
        let answer = self.get("/metrics");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/plain; version=0.0.4; charset=utf-8")
        );
        Page::parse(std::str::from_utf8(&answer.body).unwrap())
    }

    /// What was told of the requests with this path or reference, when there is anything.
    fn visit(&self, wanted: impl Fn(&Visit) -> bool) -> Visit {
        until(|| self.visits.lock().unwrap().iter().find(|visit| wanted(visit)).cloned())
    }
}

/// The page, by series: what stands before the value.
struct Page(BTreeMap<String, f64>);

impl Page {
    /// Reads the text format as strictly as it is written: each family with help and type before its samples, no series
    /// twice, names and labels in their grammar, buckets that add up.
    fn parse(text: &str) -> Self {
        let (mut series, mut families) = (BTreeMap::new(), BTreeMap::new());
        let mut lines = text.strip_suffix('\n').expect("a line feed at the end").lines().peekable();
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        while let Some(help) = lines.next() {
            let (family, help) = help.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {family} ")).unwrap();
            assert!(is_name(family) && !help.is_empty() && !help.contains('\\'), "{family}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            assert_eq!(families.insert(family.to_owned(), kind.to_owned()), None, "{family} stands twice");
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (name, value) = sample.rsplit_once(' ').unwrap();
                let value: f64 = value.parse().unwrap();
                let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
                for label in labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty()) {
                    let (name, value) = label.split_once("=\"").unwrap();
                    let value = value.strip_suffix('"').unwrap();
                    assert!(
                        is_name(name) && !value.is_empty() && !value.contains(['"', '\\', '\n']),
                        "{sample}"
                    );
                }
                let end = metric.strip_prefix(family).expect("a sample of its family");
                match kind {
                    "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&end), "{sample}"),
                    "counter" => {
                        assert!(end.is_empty() && family.ends_with("_total") && value >= 0.0, "{sample}");
                    }
                    _ => assert!(end.is_empty() && !family.ends_with("_total"), "{sample}"),
                }
                assert_eq!(series.insert(name.to_owned(), value), None, "{name} stands twice");
            }
        }
        let page = Self(series);
        for (name, count) in page.0.iter().filter(|(name, _)| name.contains("_duration_seconds_count")) {
            let of = name.replace("_count{", "_bucket{").replace('}', ",le=\"");
            let mut buckets: Vec<(f64, f64)> = page
                .0
                .iter()
                .filter_map(|(name, value)| {
                    Some((name.strip_prefix(&of)?.strip_suffix("\"}")?.parse().unwrap(), *value))
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.windows(2).all(|two| two[0].1 <= two[1].1), "{name}: {buckets:?}");
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{name}");
            assert_eq!(buckets.len(), 11, "{name}");
        }
        page
    }

    fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series} in {:?}", self.0.keys()))
    }

    fn series(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

#[test]
fn requests_are_counted_and_told_when_they_are_over() {
    let site = Site::start();
    let bytes = vec![7; 300_000];
    let digest = Digest::of(&bytes);
    let agent = [("User-Agent", "tests/1 \u{202e}")];
    let path = format!("/v2/sandbox/a/blobs/uploads/?digest={digest}");
    assert_eq!(site.ask("POST", &path, &agent, &bytes).status, 201);
    let blob = format!("/v2/sandbox/a/blobs/{digest}");
    assert_eq!(site.get(&blob).body, bytes);
    assert_eq!(site.ask("HEAD", &blob, &[], b"").status, 200);
    assert_eq!(site.get("/v2/library/x/manifests/1?ns=docker.io").status, 404);
    assert_eq!(site.get("/favicon.ico").status, 404);
    assert_eq!(site.ask("DELETE", "/v2/other/manifests/1", &[], b"").status, 403);

    let pushed = site.visit(|visit| visit.method == "POST");
    assert_eq!(
        (pushed.route, pushed.status, pushed.received, pushed.code),
        ("uploads", Some(201), 300_000, None)
    );
    assert_eq!(pushed.repository.as_deref(), Some("sandbox/a"));
    assert!(pushed.remote.is_some_and(|remote| remote.ip().is_loopback()));
    assert_eq!(pushed.agent.as_deref(), Some("tests/1 \u{202e}"), "as it came: whoever shows it, escapes it");
    let pulled = site.visit(|visit| visit.route == "blob" && visit.method == "GET");
    assert_eq!((pulled.status, pulled.sent, pulled.received), (Some(200), 300_000, 0));
    assert_eq!(pulled.reference, Some(digest.to_string()));
    assert_eq!(site.visit(|visit| visit.method == "HEAD").sent, 0);
    let unknown = site.visit(|visit| visit.route == "manifest" && visit.method == "GET");
    assert_eq!((unknown.code, unknown.is_refused()), (Some("NAME_UNKNOWN"), true));
    assert_eq!(
        (unknown.repository.as_deref(), unknown.reference.as_deref()),
        (Some("docker.io/library/x"), Some("1"))
    );
    let other = site.visit(|visit| visit.route == "other");
    assert_eq!(
        (other.path.as_deref(), other.repository, other.code),
        (Some("/favicon.ico"), None, Some("UNSUPPORTED"))
    );
    assert_eq!(site.visit(|visit| visit.code == Some("DENIED")).status, Some(403));

    let page = site.page();
    for (series, count) in [
        ("sealift_http_requests_total{route=\"uploads\",method=\"POST\",status=\"2xx\"}", "1"),
        ("sealift_http_requests_total{route=\"blob\",method=\"GET\",status=\"2xx\"}", "1"),
        ("sealift_http_requests_total{route=\"blob\",method=\"HEAD\",status=\"2xx\"}", "1"),
        ("sealift_http_requests_total{route=\"manifest\",method=\"GET\",status=\"4xx\"}", "1"),
        ("sealift_http_request_duration_seconds_count{route=\"blob\"}", "2"),
        ("sealift_http_refusals_total{code=\"DENIED\"}", "1"),
        ("sealift_http_refusals_total{code=\"NAME_UNKNOWN\"}", "1"),
        ("sealift_received_bytes_total", "300000"),
        ("sealift_connections_total", "7"),
        ("sealift_log_lost_total", "1"),
        ("sealift_uploads", "0"),
    ] {
        assert_eq!(page.value(series).to_string(), count, "{series}");
    }
    assert!(
        page.value("sealift_sent_bytes_total") > 300_000.0 && page.value("sealift_open_connections") >= 1.0
    );
    assert!(page.value("sealift_store_free_bytes") > 0.0);
    assert!(page.value("process_start_time_seconds") > 1.7e9);
    assert!(page.0.contains_key(concat!("sealift_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")));
    until(|| site.page().0.contains_key("sealift_store_blobs").then_some(()));
}

#[test]
fn every_metric_is_in_the_documentation_and_no_other() {
    let site = Site::start();
    assert_eq!(site.get("/v2/").status, 200);
    until(|| site.page().0.contains_key("sealift_store_blobs").then_some(()));
    let answer = site.get("/metrics");
    let page = std::str::from_utf8(&answer.body).unwrap();
    let there: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let documentation = include_str!("../../docs/operations.md");
    let told: BTreeSet<String> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(name, _)| name.starts_with("sealift_") || name.starts_with("process_"))
        .map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap()))
        .collect();
    assert_eq!(there, told.iter().map(String::as_str).collect());
}

/// A client that goes away is told of too, without a status where it had no answer yet.
#[test]
fn who_goes_away_is_counted() {
    let site = Site::start();
    let mut socket = TcpStream::connect(site.served.address).unwrap();
    let path = format!("/v2/sandbox/a/blobs/uploads/?digest={}", Digest::of(b"x"));
    let head = head("POST", &path, &[("Content-Length", "1000")]);
    socket.write_all(&[head.as_bytes(), &[0; 10]].concat()).unwrap();
    until(|| (site.page().value("sealift_received_bytes_total") >= 10.0).then_some(()));
    assert!(site.page().value("sealift_open_connections") >= 2.0);
    drop(socket);
    let gone = site.visit(|visit| visit.method == "POST");
    assert!(gone.received == 10 && gone.is_refused(), "{gone:?}");
    until(|| (site.page().value("sealift_open_connections") <= 1.0).then_some(()));
}

/// X08: 10,000 names, methods, agents and codes that nobody knows add no series to the page.
#[test]
fn unknown_names_do_not_grow_the_metrics() {
    let site = Site::start();
    let batch = |from: u32, to: u32| {
        let mut socket = TcpStream::connect(site.served.address).unwrap();
        let mut reader = socket.try_clone().unwrap();
        let all = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes).unwrap()
        });
        for n in from..to {
            let (method, path) = match n % 4 {
                0 => ("GET".to_owned(), format!("/v2/name{n}/manifests/tag{n}")),
                1 => ("GET".to_owned(), format!("/v2/library/x{n}/tags/list?ns=host{n}.example")),
                2 => ("GET".to_owned(), format!("/path{n}/%ff/\"{{}}")),
                _ => (format!("BREW{n}"), format!("/v2/name{n}/blobs/uploads/{n}")),
            };
            let close = if n + 1 == to { "Connection: close\r\n" } else { "" };
            let head = format!("{method} {path} HTTP/1.1\r\nHost: h{n}\r\nUser-Agent: a{n}\r\n{close}\r\n");
            socket.write_all(head.as_bytes()).unwrap();
        }
        let answers = String::from_utf8(all.join().unwrap()).unwrap();
        assert_eq!(
            answers.matches("HTTP/1.1 4").count(),
            (to - from) as usize,
            "each is answered, none is known"
        );
    };
    let total = |page: &Page| {
        page.0
            .iter()
            .filter(|(name, _)| name.starts_with("sealift_http_requests_total"))
            .map(|(_, n)| n)
            .sum::<f64>()
    };
    batch(0, 8);
    let before = until(|| Some(site.page()).filter(|page| total(page) >= 9.0));
    batch(8, 10_000);
    let after = until(|| Some(site.page()).filter(|page| total(page) >= 10_000.0));
    let measured_since = ["sealift_store_blobs", "sealift_store_blob_bytes"];
    let grown: Vec<&str> = after
        .series()
        .difference(&before.series())
        .filter(|name| !measured_since.contains(name))
        .copied()
        .collect();
    assert!(grown.is_empty(), "{grown:?}");
}

#[test]
fn health_and_readiness_say_what_is_wrong_to_everybody_and_why_to_the_log() {
    let site = Site::start();
    let alive = site.get("/healthz");
    assert_eq!((alive.status, alive.json()), (200, serde_json::json!({ "alive": true })));
    let ready = site.get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, serde_json::json!({ "ready": true, "reasons": {} })));
    assert_eq!(site.ask("HEAD", "/readyz", &[], b"").status, 200);
    assert_eq!(site.ask("POST", "/readyz", &[], b"").status, 405);

    let home = site.folder.path().join("home");
    fs::rename(home.join("blobs"), home.join("gone")).unwrap();
    fs::rename(home.join("staging"), home.join("gone too")).unwrap();
    assert_eq!(site.get("/readyz").status, 200, "so soon everybody hears what the last one heard");
    let ready = until(|| Some(site.get("/readyz")).filter(|ready| ready.status != 200));
    let reasons = serde_json::json!({ "contents": "not-found", "staging": "not-found" });
    assert_eq!(
        (ready.status, ready.json()),
        (503, serde_json::json!({ "ready": false, "reasons": reasons }))
    );
    assert_eq!(*site.faults.lock().unwrap(), [Reason::NotFound, Reason::NotFound]);
    assert_eq!(site.get("/healthz").status, 200, "a restart would not mend it");
    fs::rename(home.join("gone"), home.join("blobs")).unwrap();
    fs::rename(home.join("gone too"), home.join("staging")).unwrap();
    until(|| Some(site.get("/readyz")).filter(|ready| ready.status == 200));

    assert_eq!(site.ask("GET", "/metrics", &[("X-Forwarded-For", "127.0.0.1")], b"").code(), "DENIED");
}

/// What only pulls needs no room and no place to write.
#[test]
fn a_server_that_takes_nothing_is_ready_without_staging() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let served = Served::start(Store::open(&home).unwrap(), Access::default(), Log::silent());
    fs::remove_dir(home.join("staging")).unwrap();
    assert_eq!(ask(served.address, "GET", "/readyz", &[], b"").status, 200);
}

#[test]
fn serve_writes_a_line_of_json_for_each_event() {
    let sandbox = Sandbox::new();
    for (level, requests) in [(None, 1), (Some("--verbose"), 2), (Some("--quiet"), 0)] {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_sealift"));
        serve.args([
            "serve",
            "--plain-http",
            "--home",
            "home",
            "--listen",
            "127.0.0.1:0",
            "--log",
            "json",
            "--output",
            "json",
        ]);
        serve.args(level).stdout(Stdio::piped()).stderr(Stdio::piped());
        sandbox.prepare(&mut serve);
        let mut served = serve.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(served.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = address["address"].as_str().unwrap().parse().unwrap();
        assert_eq!(ask(address, "GET", "/v2/", &[], b"").status, 200);
        assert_eq!(ask(address, "GET", "/v2/x/manifests/1", &[("User-Agent", "a\tb")], b"").status, 404);
        assert!(Command::new("kill").arg(served.id().to_string()).status().unwrap().success());
        let ended = served.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "ended by the signal of service managers, in order");
        let lines: Vec<serde_json::Value> = String::from_utf8(ended.stderr)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).expect("nothing but JSON"))
            .collect();
        let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
        assert_eq!(of("request").len(), requests, "{level:?}: {lines:?}");
        let framed = usize::from(level != Some("--quiet"));
        assert_eq!((of("started").len(), of("stopped").len()), (framed, framed), "{level:?}");
        if let Some(refused) = of("request").last() {
            assert_eq!((&refused["status"], &refused["code"]), (&404.into(), &"NAME_UNKNOWN".into()));
            assert_eq!((&refused["repository"], &refused["reference"]), (&"x".into(), &"1".into()));
            assert_eq!(refused["agent"], "a\\u{9}b");
        }
    }
}
