//! One who takes too much leaves enough to the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift::{
    base::{clock::Timestamp, limits, redact::Secret},
    ledger::{Event, Record},
    registry::{Access, Log, Options, Rates},
    rules::Rules,
    site::{NewAccount, Site},
    store::{AccountKind, Store},
};

use crate::support::{
    home::home,
    served::{Answer, Client, Served},
};

const PASSWORD: &str = "correct horse battery staple";
const RULES: &str = "schema = 1
    [[grant]]
    to = ['user:kim', 'user:lee', 'anyone']
    repositories = ['apps/*']
    may = ['pull', 'push']
";

struct Scene {
    served: Option<Served>,
    client: Client,
    store: Store,
    _home: tempfile::TempDir,
}

impl Scene {
    /// With the accounts kim and lee.
    fn with(rates: Rates) -> Self {
        let home = home();
        let store = Store::open(home.path()).unwrap();
        let site = Site::new(store.clone(), Timestamp::now());
        site.set_rules(&Rules::parse(RULES, Path::new("r")).unwrap(), "local").unwrap();
        for name in ["kim", "lee"] {
            let (groups, certificates, kind) = (BTreeSet::new(), BTreeSet::new(), AccountKind::User);
            let (name, password) = (name.to_owned(), Some(Secret::new(PASSWORD)));
            site.add_account(NewAccount { name, kind, groups, certificates, password, expires: None })
                .unwrap();
        }
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let plain = Options::plain(listen, Access::default(), Log::silent());
        let served = Served::with(store.clone(), Options { rates, ..plain });
        Self { client: Client(served.address), served: Some(served), store, _home: home }
    }

    /// As somebody; nobody without a name.
    fn ask(&self, who: &str, method: &str, path: &str) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(format!("{who}:{PASSWORD}")));
        let headers = [("Authorization", basic.as_str())];
        self.client.ask(method, path, if who.is_empty() { &[] } else { &headers }, b"")
    }

    /// What the ledger says was refused with this code: by whom, and how much.
    fn refused(&mut self, code: &str) -> BTreeMap<String, u64> {
        drop(self.served.take());
        let lines = self.store.ledger(1, usize::MAX).unwrap();
        let events = lines.iter().map(|line| Record::parse(line).unwrap().event);
        let deeds = events.filter_map(|event| match event {
            Event::Registry(deed) => Some(deed),
            _ => None,
        });
        let mut refused = BTreeMap::new();
        for deed in deeds.filter(|deed| deed.refused.as_ref().is_some_and(|told| told.get() == code)) {
            *refused.entry(deed.who.get().to_owned()).or_insert(0) += deed.count.unwrap_or(1);
        }
        refused
    }
}

/// X16: whoever asks too much waits, whether with an account or without one, and nobody else does.
#[test]
fn who_asks_too_much_waits_and_others_do_not() {
    const BURST: u32 = 5;
    let mut scene = Scene::with(Rates { per_second: 1, burst: BURST });
    let paths = ["/v2/apps/a/tags/list", "/v2/", "/r/apps/a", "/v2/token?service=sealift"];
    let mut told = BTreeMap::new();
    for who in ["", "kim"] {
        let asked = paths.iter().cycle().take(40).map(|path| (path, scene.ask(who, "GET", path)));
        let asked: Vec<_> = asked.collect();
        // Who says nothing may be an account that does not say so yet.
        let challenged = asked.iter().filter(|(path, answer)| **path == paths[0] && answer.status == 401);
        let challenged: Vec<_> =
            challenged.map(|(_, answer)| answer.header("www-authenticate").to_owned()).collect();
        assert_eq!(!challenged.is_empty(), who.is_empty(), "{who}");
        assert!(
            challenged.iter().all(|one| one.contains("scope=\"repository:apps/a:pull\"")),
            "{challenged:?}"
        );
        let refused: Vec<_> = asked.into_iter().filter(|(_, answer)| answer.status == 429).collect();
        // One comes back each second: the test may take some.
        let least = if who.is_empty() { 10 } else { 20 };
        assert!(refused.len() > least, "{who}: {}", refused.len());
        told.insert(if who.is_empty() { "anyone" } else { "user:kim" }, refused.len() as u64);
        for (path, answer) in &refused {
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=2).contains(&seconds), "{path} {seconds}");
            if path.starts_with("/v2/") {
                assert_eq!(answer.code(), "TOOMANYREQUESTS", "{path}");
            } else {
                let page = String::from_utf8(answer.body.clone()).unwrap();
                assert!(page.contains("Too many requests"), "{page}");
            }
        }
        let pages = refused.iter().filter(|(path, _)| path.starts_with("/r/")).count();
        assert!(pages > 0 && pages < refused.len());
    }
    assert_eq!(scene.ask("lee", "GET", "/v2/").status, 200);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!((0..20).all(|_| scene.ask("", "GET", path).status == 200), "{path}");
    }
    let metrics = String::from_utf8(scene.ask("", "GET", "/metrics").body).unwrap();
    let line = metrics.lines().find(|line| line.starts_with("sealift_requests_over_rate_total ")).unwrap();
    let counted: usize = line.split_once(' ').unwrap().1.parse().unwrap();
    assert!((40..=80).contains(&counted), "{counted}");
    // All of them are counted; who is asked for a password was refused too.
    let refused = scene.refused("TOOMANYREQUESTS");
    assert_eq!(refused["user:kim"], told["user:kim"]);
    assert_eq!(refused.values().sum::<u64>(), counted as u64);
}

/// X14, X16: who empties the bucket of an address first guesses no password unseen; and the login of an account that asks too
/// much is told too.
#[test]
fn no_login_is_hidden_behind_too_many_requests() {
    let mut scene = Scene::with(Rates { per_second: 1, burst: 3 });
    while scene.ask("", "GET", "/v2/token?service=sealift").status != 429 {}
    let wrong = format!("Basic {}", STANDARD.encode("kim:wrong"));
    for (path, header) in
        [("/v2/", wrong.as_str()), ("/v2/token?service=sealift", &wrong), ("/v2/", "Bearer x")]
    {
        let answer = scene.client.ask("GET", path, &[("Authorization", header)], b"");
        assert_eq!(answer.status, 401, "{path} {header}");
        assert!(!answer.header("www-authenticate").is_empty(), "{path} {header}");
    }
    // Accounts get in from that address all the same, by the way that clients go.
    assert_eq!(scene.ask("", "GET", "/v2/apps/a/tags/list").status, 401);
    assert_eq!(scene.ask("lee", "GET", "/v2/token?service=sealift").status, 200);
    let failed = scene.refused("UNAUTHORIZED");
    assert_eq!(failed, BTreeMap::from([("user:kim".to_owned(), 2), ("unknown".to_owned(), 1)]));
}

/// X16: who begins as many pushes as one may leaves some to the others, and may go on when some of them are over.
#[test]
fn nobody_takes_all_pushes() {
    let scene = Scene::with(Rates::default());
    let begin = |who: &str, repository: &str| {
        let answer = scene.ask(who, "POST", &format!("/v2/apps/{repository}/blobs/uploads/"));
        (answer.status, answer.header("location").to_owned())
    };
    let (status, first) = begin("kim", "a");
    assert_eq!(status, 202);
    for number in 1..limits::UPLOADS_OF_ONE {
        let repository = if number % 2 == 0 { "a" } else { "b" };
        scene.store.begin_upload(&format!("apps/{repository}"), "user:kim").unwrap();
    }
    let full = scene.ask("kim", "POST", "/v2/apps/c/blobs/uploads/");
    assert_eq!((full.status, full.code().as_str()), (429, "TOOMANYREQUESTS"));
    assert!(!full.header("retry-after").is_empty());
    assert_eq!((begin("lee", "a").0, begin("", "a").0), (202, 202));
    assert_eq!(scene.ask("kim", "DELETE", &first).status, 204);
    assert_eq!((begin("kim", "a").0, begin("kim", "a").0), (202, 429));
}
