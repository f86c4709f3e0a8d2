//! The admin API over a socket: each answer is one that its own document allows, and what is done by it is what commands
//! do.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift::{
    base::digest::Digest,
    oci::{Descriptor, Document, media_type},
    registry::{Access, Log},
    store::{Publication, PublishedManifest, PublishedTag, Store},
};
use serde_json::{Value, json};

use crate::{
    reference::page,
    support::{
        sandbox::Sandbox,
        served::{Answer, Client, Served, author},
    },
};

const RULES: &str = "schema = 1
[[grant]]
to = [\"group:admins\"]
repositories = [\"**\"]
may = [\"admin\"]
[[grant]]
to = [\"authenticated\"]
repositories = [\"apps/**\"]
may = [\"pull\"]
";

/// A home with rules, two accounts and a few repositories, as commands made it.
struct Home {
    sandbox: Sandbox,
    root: String,
    kim: String,
}

impl Home {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("rules.toml", RULES);
        sandbox.run(&["rules", "set", "rules.toml"]).ok();
        let root = sandbox.run(&["account", "add", "root", "--group", "admins"]).ok().stdout;
        let kim = sandbox.run(&["account", "add", "kim"]).ok().stdout;
        let store = Store::open(&sandbox.path("home")).unwrap();
        for (repository, tag, text) in [
            ("apps/a", "1", "one"),
            ("apps/a", "1", "two"),
            ("apps/a", "2", "two"),
            ("apps/b", "1", "one"),
            ("hidden/c", "1", "one"),
        ] {
            publish(&store, repository, tag, &index(text));
        }
        Self { sandbox, root: root.trim().to_owned(), kim: kim.trim().to_owned() }
    }

    fn store(&self) -> Store {
        Store::open(&self.sandbox.path("home")).unwrap()
    }

    fn serve(&self) -> Api<'_> {
        let served =
            Served::start(self.store(), Access::default(), Log::of_faults(|failure| panic!("{failure}")));
        let client = Client(served.address);
        let document = client.ask("GET", "/api/v1/openapi.json", &[], b"");
        assert_eq!(document.status, 200);
        Api { home: self, document: document.json(), client, _served: served }
    }

    /// What the ledger tells, without what is new in each: times, hashes, keys and the making of the home.
    fn told(&self) -> Vec<Value> {
        let lines = self.store().ledger(1, usize::MAX).unwrap();
        let records = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told =
            records.filter(|record| !["checkpoint", "key"].contains(&record["event"].as_str().unwrap()));
        told.map(|mut record| {
            for name in ["number", "previous", "time"] {
                record.as_object_mut().unwrap().remove(name);
            }
            record
        })
        .collect()
    }
}

struct Api<'a> {
    home: &'a Home,
    document: Value,
    client: Client,
    _served: Served,
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

impl Api<'_> {
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(&basic("root", &self.home.root), method, path, body)
    }

    /// Asks, and holds the answer against the document.
    fn ask_as(&self, authorization: &str, method: &str, path: &str, body: &str) -> Answer {
        let length = body.len().to_string();
        let headers = [
            ("Authorization", authorization),
            ("Content-Type", "application/json"),
            ("Content-Length", length.as_str()),
        ];
        let answer = self.client.ask(method, &format!("/api/v1{path}"), &headers, body.as_bytes());
        self.must_be_as_documented(method, path, body, &answer);
        answer
    }

    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, &body.to_string());
        assert!([200, 201].contains(&answer.status), "{method} {path}: {}", answer.json());
        answer.json()
    }

    fn get(&self, path: &str) -> Value {
        self.done("GET", path, &Value::Null)
    }

    fn must_be_as_documented(&self, method: &str, path: &str, body: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (wanted, found) = (template.split('/'), path.split('/'));
            wanted.clone().count() == found.clone().count()
                && wanted.zip(found).all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let Some((_, operations)) = paths.iter().find(|(template, _)| fits(template)) else {
            assert!([401, 404].contains(&answer.status), "{method} {path} is not in the document");
            return;
        };
        let operation = &operations[method.to_lowercase()];
        if operation.is_null() {
            assert!([401, 405].contains(&answer.status), "{method} {path}");
            return;
        }
        let mut told = &operation["responses"][answer.status.to_string()];
        assert!(told.is_object(), "{method} {path}: {} is not in the document", answer.status);
        if let Some(name) = told["$ref"].as_str() {
            told = self.document.pointer(&name[1..]).unwrap();
        }
        let types = told["content"].as_object().unwrap();
        let schema = &types[answer.header("content-type")]["schema"];
        self.must_fit(schema, &answer.json(), &format!("{method} {path} {}", answer.status));
        let sent = &operation["requestBody"]["content"]["application/json"]["schema"];
        if answer.status < 300 && sent.is_object() {
            self.must_fit(sent, &serde_json::from_str(body).unwrap(), &format!("{method} {path}: {body}"));
        }
    }

    fn must_fit(&self, schema: &Value, document: &Value, at: &str) {
        let whole = json!({ "allOf": [schema], "components": self.document["components"] });
        let checked = jsonschema::validator_for(&whole).unwrap();
        let faults: Vec<String> = checked
            .iter_errors(document)
            .map(|fault| format!("{fault} at {}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{at}: {faults:?} in {document}");
    }
}

/// An index that lists nothing, and says this.
fn index(text: &str) -> Vec<u8> {
    serde_json::to_vec(&json!({ "schemaVersion": 2, "manifests": [], "annotations": { "is": text } }))
        .unwrap()
}

/// Gives `repository` an index under a tag.
fn publish(store: &Store, repository: &str, tag: &str, bytes: &[u8]) {
    let root = Descriptor::of(media_type::INDEX, bytes);
    store.put(&root, bytes).unwrap();
    let digest = root.digest.clone();
    let document = Document::parse(bytes, media_type::INDEX).unwrap();
    let manifest = PublishedManifest::new(repository, root, &document, vec![], vec![]);
    let tags = vec![PublishedTag { repository: repository.to_owned(), tag: tag.to_owned(), digest }];
    store.publish(&Publication { manifests: vec![manifest], tags }, &author()).unwrap();
}

/// The next page, where there is one.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.headers.get("link")?;
    let (url, relation) = link.split_once("; ").unwrap();
    assert_eq!(relation, "rel=\"next\"");
    Some(url.trim_start_matches("</api/v1").trim_end_matches('>').to_owned())
}

#[test]
fn the_document_is_the_one_of_the_documentation() {
    let home = Home::new();
    let api = home.serve();
    let document = api.client.ask("GET", "/api/v1/openapi.json", &[], b"");
    page("api.json", std::str::from_utf8(&document.body).unwrap());
    // Names of operations are for programs that are made from it.
    let paths = document.json()["paths"].as_object().unwrap().clone();
    assert!(paths.len() > 12);
}

#[test]
fn what_the_api_does_is_what_commands_do() {
    let (by_api, by_hand) = (Home::new(), Home::new());
    let (one, two) = (Digest::of(&index("one")), Digest::of(&index("two")));
    {
        let api = by_api.serve();
        let added = api.done(
            "POST",
            "/accounts",
            &json!({ "name": "ci", "kind": "robot", "groups": ["build"], "certificates": ["dns:ci"], "expires": "2099-01-31" }),
        );
        assert_eq!((&added["action"], added["secret"].as_str().unwrap().len()), (&json!("added"), 32));
        assert_eq!(
            api.done("POST", "/accounts/ci/secret", &json!({ "secret": "correct horse" }))["secret"],
            Value::Null
        );
        api.done("PUT", "/accounts/ci/groups/ops", &Value::Null);
        api.done("DELETE", "/accounts/ci/groups/build", &Value::Null);
        assert_eq!(api.done("POST", "/accounts/ci/disable", &json!({}))["account"]["enabled"], false);
        api.done("POST", "/accounts/ci/enable", &json!({}));
        assert_eq!(api.get("/accounts/ci")["account"]["groups"], json!(["ops"]));
        assert_eq!(api.done("DELETE", "/accounts/ci", &Value::Null)["account"], Value::Null);
        let restored = api.done("POST", "/tags/restore?repository=apps/a&tag=1", &json!({ "to": one }));
        assert_eq!((&restored["before"], &restored["digest"]), (&json!(two), &json!(one)));
        let plan = api.done("POST", "/prune/plan", &json!({ "untagged": true }));
        assert_eq!(api.done("POST", "/prune/apply", &plan["plan"])["plan"], plan["digest"]);
        let rules = api.get("/rules");
        let more = format!("{}# more\n", rules["text"].as_str().unwrap());
        let set = api.done("PUT", "/rules", &json!({ "text": more, "replaces": rules["digest"] }));
        assert_eq!(set["version"], 2);
        // Whoever read them before that has to look again.
        let late =
            api.ask("PUT", "/rules", &json!({ "text": RULES, "replaces": rules["digest"] }).to_string());
        assert_eq!((late.status, &late.json()["reason"]), (409, &json!("changed-meanwhile")));
    }
    let run = |arguments: &[&str]| by_hand.sandbox.run(arguments).ok().stdout;
    run(&[
        "account",
        "add",
        "ci",
        "--robot",
        "--group",
        "build",
        "--certificate-identity",
        "dns:ci",
        "--expires",
        "2099-01-31",
    ]);
    run(&["account", "secret", "ci"]);
    run(&["account", "group", "add", "ci", "ops"]);
    run(&["account", "group", "remove", "ci", "build"]);
    run(&["account", "disable", "ci"]);
    run(&["account", "enable", "ci"]);
    run(&["account", "remove", "ci"]);
    run(&["tag", "restore", "apps/a:1", "--to", &one.to_string()]);
    run(&["prune", "--untagged", "-o", "plan.json"]);
    run(&["prune", "--apply", "plan.json"]);
    by_hand.sandbox.write("rules.toml", format!("{RULES}# more\n"));
    run(&["rules", "set", "rules.toml"]);

    let (by_api, by_hand) = (by_api.told(), by_hand.told());
    let logins = |told: &[Value]| told.iter().filter(|record| record["action"] == "login").count();
    assert_eq!((logins(&by_api), logins(&by_hand)), (1, 0), "one password, which was right of late");
    let changes = |told: Vec<Value>, author: &[(&str, &str)]| {
        let mut told: Vec<Value> = told.into_iter().filter(|record| record["action"] != "login").collect();
        // The home was made by commands: rules and two accounts.
        for record in told.iter_mut().skip(3) {
            let members = record.as_object_mut().unwrap();
            let found: Vec<_> =
                author.iter().filter(|(name, value)| members.get(*name) == Some(&json!(value))).collect();
            assert!(author.is_empty() || !found.is_empty(), "{members:?}");
            for name in ["by", "who", "from", "plan"] {
                members.remove(name);
            }
        }
        told
    };
    let told = changes(by_api, &[("by", "user:root"), ("who", "user:root")]);
    assert_eq!(told, changes(by_hand, &[]));
    assert_eq!(told.len(), 3 + 7 + 3);
}

#[test]
fn who_asks_is_asked_who_they_are() {
    let home = Home::new();
    let api = home.serve();
    let (root, kim) = (basic("root", &home.root), basic("kim", &home.kim));
    let status = |authorization: &str, path: &str| api.ask_as(authorization, "GET", path, "").status;
    assert_eq!((status(&root, "/status"), status(&kim, "/status")), (200, 403));
    assert_eq!(
        (status(&kim, "/tags?repository=apps/a"), status(&kim, "/tags?repository=hidden/c")),
        (200, 403)
    );
    assert_eq!((status(&kim, "/nothing"), status(&root, "/nothing")), (404, 404));
    // A token is for what clients of registries do, whatever was asked for with it.
    let scope = "scope=registry:catalog:*&scope=repository:apps/a:*&scope=repository:**:admin";
    let token = api.client.ask(
        "GET",
        &format!("/v2/token?service=sealift&{scope}"),
        &[("Authorization", &root)],
        b"",
    );
    let token = format!("Bearer {}", token.json()["token"].as_str().unwrap());
    assert_eq!(api.client.ask("GET", "/v2/", &[("Authorization", &token)], b"").status, 200);
    for nobody in [&token, &basic("root", "wrong"), &basic("nobody", &home.root), "Bearer x", ""] {
        for path in ["/status", "/nothing", "/tags?repository=apps/a"] {
            let answer = api.ask_as(nobody, "GET", path, "");
            let challenge = r#"Basic realm="sealift", charset="UTF-8""#;
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, challenge),
                "{nobody} {path}"
            );
            assert_eq!(answer.json()["type"], "urn:sealift:problem:unauthorized");
        }
    }
    let nobody = api.client.ask("GET", "/api/v1/status", &[], b"");
    assert_eq!((nobody.status, nobody.header("cache-control")), (401, "no-store"));
    // R32: a browser with the password, for a page of another site.
    let headers =
        [("Authorization", root.as_str()), ("Origin", "http://evil.example"), ("Content-Length", "0")];
    let foreign = api.client.ask("DELETE", "/api/v1/accounts/kim", &headers, b"");
    assert_eq!((foreign.status, foreign.header("content-type")), (403, "application/problem+json"));
    // What is taken away is gone with the next request.
    api.done("POST", "/accounts/kim/disable", &json!({}));
    assert_eq!(status(&kim, "/tags?repository=apps/a"), 401);
    let metrics = String::from_utf8(api.client.ask("GET", "/metrics", &[], b"").body).unwrap();
    assert!(metrics.contains(r#"{route="api-accounts",method="POST",status="2xx"} 1"#));
    let routes: std::collections::BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.split_once("requests_total{route=\"")?.1.split('"').next())
        .collect();
    assert!(routes.contains("api") && !routes.iter().any(|route| route.contains("nothing")), "{routes:?}");
}

#[test]
fn lists_are_read_page_by_page() {
    let home = Home::new();
    let api = home.serve();
    let pages = |first: &str, list: &str| {
        let (mut entries, mut at) = (Vec::new(), Some(first.to_owned()));
        while let Some(path) = at {
            let answer = api.ask("GET", &path, "");
            entries.extend(answer.json()[list].as_array().unwrap().iter().cloned());
            at = next(&answer);
        }
        entries
    };
    for (path, list) in [
        ("/repositories?", "repositories"),
        ("/tags?repository=apps/a&", "tags"),
        ("/ledger?until=2020-01-01&", "records"),
        ("/ledger?event=account&event=rules&", "records"),
    ] {
        let whole = pages(path, list);
        assert_eq!(whole.is_empty(), path.contains("2020"), "{path}");
        for limit in [1, 2, 1000] {
            assert_eq!(pages(&format!("{path}limit={limit}"), list), whole, "{path} {limit}");
        }
    }
    let names: Vec<Value> = pages("/repositories?limit=1", "repositories")
        .iter()
        .map(|line| line["repository"].clone())
        .collect();
    assert_eq!(names, ["apps/a", "apps/b", "hidden/c"]);
    // The same as the command shows.
    let shown =
        |arguments: &[&str]| home.sandbox.run(&[&["--output", "json"], arguments].concat()).ok().json();
    assert_eq!(api.get("/tags?repository=apps/a"), shown(&["tag", "list", "apps/a"]));
    assert_eq!(api.get("/tags/history?repository=apps/a&tag=1"), shown(&["tag", "history", "apps/a:1"]));
    assert_eq!(api.get("/accounts"), shown(&["account", "list"]));
    assert_eq!(api.get("/rules"), shown(&["rules", "show"]));
    let (store, checked) = (api.get("/store"), shown(&["store", "check"]));
    assert_eq!(
        (&store["state"], &store["manifests"], &store["tags"]),
        (&json!("whole"), &checked["manifests"], &checked["tags"])
    );
    assert_eq!(api.get("/status")["settings"], shown(&["trust", "status"])["settings"]);
    assert_eq!(api.done("POST", "/store/collect", &json!({}))["removed"], 0);
    let checked = api.done("POST", "/rules/check", &json!({ "text": "schema = 1\n" }));
    assert_eq!((&checked["version"], checked["removed"].as_array().unwrap().len()), (&Value::Null, 2));
    // Several faults are all told.
    let faults =
        api.ask("POST", "/rules/check", &json!({ "text": "schema = 1\nx = 1\ny = 2\n" }).to_string());
    assert_eq!((faults.status, faults.json()["failures"].as_array().unwrap().len()), (422, 2));
}
