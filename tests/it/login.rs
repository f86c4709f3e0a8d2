//! Accounts, tokens and TLS of the registry, over a socket.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift::{
    base::{clock::Timestamp, redact::Secret},
    registry::{Access, Certificate, Clients, Log, Options, Tls},
    site::{NewAccount, Site},
    store::{AccountKind, Store},
};
use serde_json::Value;

use crate::support::{
    sandbox::Sandbox,
    served::{Answer, Served, head},
};

const PASSWORD: &str = "correct horse";

struct Server {
    served: Served,
    site: Site,
    _home: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let log = Log::of_faults(|failure| panic!("{failure}"));
        let served = Served::start(store.clone(), Access::sandbox(), log);
        Self { served, site: Site::new(store, Timestamp::now()), _home: home }
    }

    fn with_account() -> Self {
        let server = Self::start();
        server.site.add_account(account("alice", &[])).unwrap();
        server
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut socket = TcpStream::connect(self.served.address).unwrap();
        let length = body.len().to_string();
        let head = head(method, path, &[headers, &[("Content-Length", &length)]].concat());
        socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes).expect("a response head")
    }

    fn get(&self, path: &str, authorization: &str) -> Answer {
        self.ask("GET", path, &[("Authorization", authorization)], "")
    }

    fn token(&self, query: &str, authorization: &str) -> String {
        let answer = self.get(&format!("/v2/token?service=sealift{query}"), authorization);
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    }
}

fn account(name: &str, certificates: &[&str]) -> NewAccount {
    NewAccount {
        name: name.into(),
        kind: AccountKind::Robot,
        groups: ["ops".to_owned()].into(),
        certificates: certificates.iter().map(|one| (*one).to_owned()).collect(),
        password: Some(Secret::new(PASSWORD)),
        expires: None,
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// R18: nobody can log in to a new registry, whatever name and password they try; with the first account clients are
/// asked who they are.
#[test]
fn a_new_registry_knows_nobody() {
    let server = Server::start();
    assert_eq!(server.ask("GET", "/v2/", &[], "").status, 200);
    for (name, password) in
        [("admin", "admin"), ("admin", "password"), ("sealift", "sealift"), ("root", ""), ("", "")]
    {
        assert_eq!(server.get("/v2/", &basic(name, password)).code(), "UNAUTHORIZED", "{name}");
    }
    server.site.add_account(account("alice", &[])).unwrap();
    let asked = server.ask("GET", "/v2/", &[], "");
    assert_eq!((asked.status, asked.code().as_str()), (401, "UNAUTHORIZED"));
    assert_eq!(asked.header("www-authenticate"), r#"Bearer realm="http://x/v2/token",service="sealift""#);
    // Who needs no account comes back as nobody, with a token for that.
    let nobody = server.ask("GET", "/v2/token?service=sealift&scope=repository:a:pull", &[], "");
    let nobody = format!("Bearer {}", nobody.json()["token"].as_str().unwrap());
    for authorization in
        [nobody.as_str(), &basic("alice", PASSWORD), &server.token("", &basic("alice", PASSWORD))]
    {
        assert_eq!(server.get("/v2/", authorization).status, 200, "{authorization}");
    }
    // Where somebody might do more, nobody is asked who they are.
    let push =
        server.ask("POST", "/v2/team/app/blobs/uploads/?mount=&from=x", &[("Authorization", &nobody)], "");
    assert_eq!(push.status, 400);
    let push = server.ask("POST", "/v2/team/app/blobs/uploads/", &[("Authorization", &nobody)], "");
    assert_eq!(push.status, 401);
    let challenge = r#",scope="repository:team/app:pull,push",error="insufficient_scope""#;
    assert!(push.header("www-authenticate").ends_with(challenge));
    let push = server.ask(
        "POST",
        "/v2/team/app/blobs/uploads/",
        &[("Authorization", &basic("alice", PASSWORD))],
        "",
    );
    assert_eq!(push.code(), "DENIED");
}

/// R17: an account that is not there, one without this password, and one that may not be used look the same.
#[test]
fn who_is_there_cannot_be_told_from_the_answer() {
    let server = Server::with_account();
    server.site.add_account(account("bob", &[])).unwrap();
    server.site.change_account("bob", |account| account.enabled = false).unwrap();
    let said = |name: &str, password: &str| {
        let answer = server.get("/v2/token?service=sealift", &basic(name, password));
        (answer.status, answer.header("www-authenticate").to_owned(), answer.body)
    };
    let nobody = said("nobody", PASSWORD);
    assert_eq!((nobody.0, nobody.1.as_str()), (401, r#"Basic realm="sealift", charset="UTF-8""#));
    for (name, password) in [("alice", "wrong password"), ("alice", ""), ("bob", PASSWORD), ("", PASSWORD)] {
        assert_eq!(said(name, password), nobody, "{name}");
    }
}

#[test]
fn tokens_are_given_for_what_is_asked_and_held() {
    let server = Server::with_account();
    let alice = basic("alice", PASSWORD);
    let scope =
        "&scope=repository:sandbox/a:pull,push&scope=repository:sandbox/b:pull%20repository:other:push";
    let token = server.token(scope, &alice);
    let claims: Value = serde_json::from_slice(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap(),
    )
    .unwrap();
    let access: Vec<String> = claims["access"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(
        access,
        [
            r#"{"actions":["pull","push"],"name":"sandbox/a","type":"repository"}"#,
            r#"{"actions":["pull"],"name":"sandbox/b","type":"repository"}"#,
        ]
    );
    assert_eq!((&claims["sub"], &claims["aud"]), (&"alice".into(), &"sealift".into()));
    let post = |path: &str| server.ask("POST", path, &[("Authorization", &token)], "");
    assert_eq!(post("/v2/sandbox/a/blobs/uploads/").status, 202);
    // A token goes no further than it was asked to; its owner may.
    let refused = post("/v2/sandbox/b/blobs/uploads/");
    assert_eq!((refused.status, refused.code().as_str()), (401, "UNAUTHORIZED"));
    let challenge = r#"scope="repository:sandbox/b:pull,push",error="insufficient_scope""#;
    assert!(refused.header("www-authenticate").ends_with(challenge));
    let digest = format!("sha256:{}", "0".repeat(64));
    let mount = post(&format!("/v2/sandbox/a/blobs/uploads/?mount={digest}&from=sandbox/c"));
    assert!(mount.header("www-authenticate").ends_with(
        r#"scope="repository:sandbox/a:pull,push repository:sandbox/c:pull",error="insufficient_scope""#
    ));
    assert_eq!(post(&format!("/v2/sandbox/a/blobs/uploads/?mount={digest}&from=sandbox/b")).status, 202);
    let refused =
        server.ask("DELETE", &format!("/v2/sandbox/a/blobs/{digest}"), &[("Authorization", &token)], "");
    assert_eq!(refused.status, 401);

    // OAuth2: the password in a form.
    let form = "grant_type=password&service=sealift&client_id=x&scope=repository%3Asandbox%2Fa%3Apull&username=alice&password=";
    let typed = [("Content-Type", "application/x-www-form-urlencoded")];
    let given = server.ask("POST", "/v2/token", &typed, &format!("{form}correct+horse"));
    let bearer = format!("Bearer {}", given.json()["access_token"].as_str().unwrap());
    assert_eq!(server.get("/v2/", &bearer).status, 200);
    for (form, status) in [
        (format!("{form}wrong"), 401),
        (form.replace("grant_type=password", "grant_type=refresh_token&refresh_token=x"), 401),
        (format!("{form}correct+horse").replace("=sealift", "=other"), 400),
        ("%".to_owned(), 401),
        ("x".repeat(20_000), 413),
    ] {
        assert_eq!(server.ask("POST", "/v2/token", &typed, &form).status, status, "{form:.80}");
    }
    let many = "&scope=repository:a:pull".repeat(33);
    for (path, status) in [("service=other", 400), (many.as_str(), 400)] {
        assert_eq!(server.get(&format!("/v2/token?{path}"), &alice).status, status);
    }
    assert_eq!(server.ask("DELETE", "/v2/token", &[], "").header("allow"), "GET, POST");
    assert_eq!(server.get("/v2/token?service=sealift", &token).status, 401, "a token renews nothing");
    // What is no token of ours is not taken for nobody's.
    for wrong in ["Bearer", "Bearer x", "Bearer a.b.c", "Basic x", "Digest x", ""] {
        let refused = server.get("/v2/", wrong);
        let is_token = wrong.starts_with("Bearer ");
        let said = refused.header("www-authenticate").ends_with(r#",error="invalid_token""#);
        assert_eq!((refused.status, said), (401, is_token), "{wrong}");
    }
    // A token is worth nothing where other keys sign, as at another site.
    let refused = Server::with_account().get("/v2/", &token);
    let challenge = r#"Bearer realm="http://x/v2/token",service="sealift",error="invalid_token""#;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, challenge));
}

/// X14: who guesses has to wait, and does not keep out whoever knows the password and is known to.
#[test]
fn who_guesses_passwords_has_to_wait() {
    let server = Server::with_account();
    let right = basic("alice", PASSWORD);
    assert_eq!(server.get("/v2/", &right).status, 200);
    let wrong: Vec<Answer> = (0..12).map(|n| server.get("/v2/", &basic("alice", &n.to_string()))).collect();
    let failed = wrong.iter().filter(|answer| answer.status == 401).count();
    assert!((10..12).contains(&failed), "{failed}");
    let last = wrong.last().unwrap();
    assert_eq!((last.status, last.code().as_str()), (429, "TOOMANYREQUESTS"));
    assert!((1..=7).contains(&last.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(server.get("/v2/", &right).status, 200);
}

fn client(authority: Option<&Path>) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().no_proxy();
    match authority {
        Some(file) => {
            let pem = std::fs::read(file).unwrap();
            builder.tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        }
        None => builder,
    }
}

fn secure(home: &Path, clients: Option<Clients>) -> Options {
    let certificate = Certificate::Own(vec!["127.0.0.1".into(), "localhost".into()]);
    let tls = Tls::open(home, certificate, clients).unwrap();
    let plain = Options::plain(SocketAddr::from(([127, 0, 0, 1], 0)), Access::sandbox(), Log::silent());
    Options { tls: Some(tls), ..plain }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_site_speaks_tls_with_a_certificate_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let site = Site::new(store.clone(), Timestamp::now());
    site.add_account(account("alice", &[])).unwrap();
    let served = Served::with(store, secure(home.path(), None));
    let authority = home.path().join("tls/ca.pem");
    let at = |host: &str| format!("https://{host}:{}/v2/", served.address.port());
    run(async {
        let ours = client(Some(&authority)).build().unwrap();
        for host in ["127.0.0.1", "localhost"] {
            let asked = ours.get(at(host)).send().await.unwrap();
            let realm = format!("Bearer realm=\"{}token\",service=\"sealift\"", at(host));
            assert_eq!(
                (asked.status().as_u16(), asked.headers()["www-authenticate"].to_str().unwrap()),
                (401, &*realm)
            );
            assert_eq!(asked.version(), reqwest::Version::HTTP_11);
            let known = ours.get(at(host)).basic_auth("alice", Some(PASSWORD)).send().await.unwrap();
            assert_eq!(known.status(), 200);
        }
        // Who does not know the authority does not believe it.
        assert!(client(None).build().unwrap().get(at("localhost")).send().await.unwrap_err().is_connect());
    });
    let mut plain = TcpStream::connect(served.address).unwrap();
    plain.write_all(head("GET", "/v2/", &[]).as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _cut = plain.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"));
}

/// An authority for clients, and what it gives.
struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self(rcgen::CertifiedIssuer::self_signed(parameters, key).unwrap())
    }

    /// Certificate and key of a client.
    fn client(&self, uri: &str) -> reqwest::Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        parameters.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        reqwest::Identity::from_pem(format!("{}{}", certificate.pem(), key.serialize_pem()).as_bytes())
            .unwrap()
    }
}

#[test]
fn certificates_of_clients_say_who_they_are() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let site = Site::new(store.clone(), Timestamp::now());
    site.add_account(NewAccount { password: None, ..account("ci", &["spiffe://berlin/ci"]) }).unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let authorities = home.path().join("clients.pem");
    std::fs::write(&authorities, ours.0.pem()).unwrap();
    for required in [false, true] {
        let clients = Clients { authorities: authorities.clone(), required };
        let served = Served::with(store.clone(), secure(home.path(), Some(clients)));
        let url = format!("https://localhost:{}/v2/", served.address.port());
        let get = |identity: Option<reqwest::Identity>| {
            let client = client(Some(&home.path().join("tls/ca.pem")));
            let client = identity.into_iter().fold(client, reqwest::ClientBuilder::identity).build().unwrap();
            run(client.get(&url).send()).ok().map(|answer| answer.status().as_u16())
        };
        let ci = || Some(ours.client("spiffe://berlin/ci"));
        assert_eq!(get(ci()), Some(200));
        // One that nobody has is good, and nobody's.
        assert_eq!(get(Some(ours.client("spiffe://berlin/other"))), Some(401));
        // One that does not hold ends the handshake, whatever it says; so does none where one is required.
        assert_eq!(get(Some(theirs.client("spiffe://berlin/ci"))), None);
        assert_eq!(get(None), if required { None } else { Some(401) });
        site.change_account("ci", |account| account.enabled = false).unwrap();
        assert_eq!(get(ci()), Some(401));
        site.change_account("ci", |account| account.enabled = true).unwrap();
    }
}

/// R18: the secret of an account is shown once, and nowhere else.
#[test]
fn accounts_are_made_on_the_command_line() {
    let sandbox = Sandbox::new();
    let json = |arguments: &[&str]| sandbox.run(&[&["--output", "json", "account"], arguments].concat());
    assert_eq!(json(&["list"]).ok().json()["accounts"], serde_json::json!([]));
    let made = json(&["add", "ci", "--robot", "--group", "build", "--expires", "2099-01-31"]).ok().json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(
        (secret.len(), &made["account"]["kind"], &made["account"]["groups"]),
        (32, &"robot".into(), &serde_json::json!(["build"]))
    );
    assert_eq!(made["account"]["expires"], "2099-01-31T00:00:00Z");
    let plain = sandbox.run(&["account", "secret", "ci"]).ok();
    assert!(plain.stdout.trim_end() != secret && plain.stdout.trim_end().len() == 32);
    sandbox.write("password", "correct horse\nmore\n");
    let allow = |mode| {
        std::fs::set_permissions(sandbox.path("password"), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(0o644);
    json(&["add", "alice", "--password-file", "password"]).refused(2, "key-permissions");
    allow(0o600);
    let alice =
        json(&["add", "alice", "--password-file", "password", "--certificate-identity", "spiffe://x/alice"])
            .ok()
            .json();
    assert_eq!((&alice["secret"], &alice["account"]["password"]), (&Value::Null, &true.into()));
    json(&["group", "add", "alice", "ops"]).ok();
    json(&["group", "add", "alice", "dev"]).ok();
    json(&["group", "remove", "alice", "ops"]).ok();
    json(&["disable", "ci"]).ok();
    let list = json(&["list"]).ok();
    let of = |at: usize| list.json()["accounts"][at].clone();
    assert_eq!(
        (&of(0)["name"], &of(0)["groups"], &of(0)["enabled"]),
        (&"alice".into(), &serde_json::json!(["dev"]), &true.into())
    );
    assert_eq!(
        (&of(1)["name"], &of(1)["enabled"], &of(1)["expired"]),
        (&"ci".into(), &false.into(), &false.into())
    );
    json(&["enable", "ci"]).ok();
    json(&["remove", "ci"]).ok();
    for (arguments, reason) in [
        (&["add", "alice"][..], "account-exists"),
        (&["add", "Bob"], "bad-argument"),
        (&["add", "bob", "--expires", "tomorrow"], "bad-argument"),
        (&["add", "bob", "--expires", "2001-01-01"], "bad-argument"),
        (&["add", "bob", "--no-password"], "bad-argument"),
        (&["secret", "ci"], "account-unknown"),
        (&["remove", "ci"], "account-unknown"),
        (&["group", "add", "ci", "ops"], "account-unknown"),
    ] {
        json(arguments).refused(2, reason);
    }
    // Every change is in the ledger, which stands sealed, and no secret is anywhere.
    let audit = sandbox.run(&["--output", "json", "audit", "ledger"]).ok().json();
    assert_eq!(audit["events"]["account"], 9);
    let mut seen = 0;
    for entry in std::fs::read_dir(sandbox.path("home")).unwrap().map(|entry| entry.unwrap().path()) {
        if let Ok(bytes) = std::fs::read(entry) {
            seen += 1;
            for secret in [secret.as_bytes(), plain.stdout.trim_end().as_bytes(), b"correct horse"] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret));
            }
        }
    }
    assert!(seen > 0);
}
