//! Every operation, method and role, against the whole application without a socket.

use std::{collections::BTreeSet, net::Ipv4Addr};

use axum::body::to_bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::{
    base::{digest::Digest, failure::Reason, redact::Secret},
    ledger::{Event, Record},
    registry::{
        Access,
        caller::Scope,
        tests::{Got, METHODS, ROLES, Scene, THERE},
    },
    rules::{Name, Right},
    site::NewAccount,
    store::AccountKind,
};

/// Beside those who have rights in `apps/**`: who administers everything, a robot that does, and both of them by a token,
/// which is for pulls, or for all that a token can be for.
const MORE: [&str; 4] = ["site", "robot", "token", "wide token"];

const EVERYWHERE: &str = "[[grant]]\nto=['group:site', 'robot:kim']\nrepositories=['**']\nmay=['admin']\n";

fn caller_of(role: &str) -> Caller {
    let mut caller = Caller::new(None, Ipv4Addr::LOCALHOST.into());
    if role == "anonymous" {
        return caller;
    }
    caller.silent = false;
    caller.proof = Some(Proof::Password);
    caller.subject.name = Some(Name::User("kim".into()));
    let group = if role.ends_with("token") { "site" } else { role };
    caller.subject.groups.insert(group.to_owned());
    match role {
        "robot" => {
            caller.subject =
                crate::rules::Subject { name: Some(Name::Robot("kim".into())), ..Default::default() }
        }
        "token" => {
            caller.proof = Some(Proof::Token);
            caller.scope = Some(vec![Scope { repository: THERE.into(), actions: vec![Right::Pull] }]);
        }
        "wide token" => caller.proof = Some(Proof::Token),
        _ => {}
    }
    caller
}

fn ask(scene: &Scene, role: &str, method: &str, path: &str, body: &str) -> Got {
    let request = axum::extract::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json; charset=utf-8")
        .header("content-length", body.len())
        .extension(caller_of(role))
        .body(body.to_owned().into())
        .unwrap();
    scene.runtime.block_on(async {
        let (parts, body) = serve(State(scene.registry.clone()), request).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Got { status: parts.status.as_u16(), headers: parts.headers, body }
    })
}

fn operations() -> impl Iterator<Item = &'static Operation> {
    ROOMS.into_iter().flat_map(|room| room.operations)
}

/// A request of it that is about what is not there, or says nothing.
fn example(operation: &Operation) -> String {
    let path = operation.path.replace("{name}", "nobody").replace("{group}", "ops");
    let query: Vec<String> = operation
        .query
        .iter()
        .filter(|one| one.required)
        .map(|one| format!("{}={}", one.name, if one.name == "tag" { "v1" } else { THERE }))
        .collect();
    format!("{ROOT}{path}?{}", query.join("&"))
}

/// Which of the roles may, written down once more.
fn may(id: &str, role: &str) -> bool {
    let all = ["site", "robot"].contains(&role);
    match id {
        "document" => true,
        "status"
        | "account-list"
        | "account-add"
        | "account-show"
        | "account-remove"
        | "account-secret"
        | "account-disable"
        | "account-enable"
        | "account-group-add"
        | "account-group-remove"
        | "rules-show"
        | "rules-set"
        | "rules-check"
        | "ledger-search"
        | "store-check"
        | "collect"
        | "prune-plan"
        | "prune-apply" => all,
        "repository-list" => all || role == "admin",
        "tag-list" | "tag-history" => {
            all || ["admin", "reader", "pusher", "tagger", "deleter"].contains(&role)
        }
        "tag-restore" => all || ["admin", "tagger"].contains(&role),
        other => panic!("{other} is new: say who may"),
    }
}

#[test]
fn every_operation_asks_for_its_right() {
    let scene = Scene::new(Access::sandbox(), true);
    scene.set(EVERYWHERE);
    let roles = || ROLES.iter().map(|(role, _)| *role).chain(MORE);
    let mut ids = BTreeSet::new();
    for operation in operations() {
        assert!(ids.insert(operation.id), "{} twice", operation.id);
        let path = example(operation);
        let known: Vec<&str> =
            operations().filter(|one| one.path == operation.path).map(|one| one.method).collect();
        for role in roles() {
            let nobody = role == "anonymous" || role.ends_with("token");
            for method in METHODS {
                let got = ask(&scene, role, method, &path, "");
                let at = format!("{role} {method} {path}: {} {}", got.status, got.json());
                assert_eq!(got.headers["cache-control"], "no-store", "{at}");
                let asked = if method == "HEAD" { "GET" } else { method };
                let Some(one) = operations().find(|one| one.path == operation.path && one.method == asked)
                else {
                    assert_eq!(got.status, if nobody { 401 } else { 405 }, "{at}");
                    let allow = got.headers.get("allow").map(|allow| allow.to_str().unwrap());
                    let allowed: Vec<&str> =
                        allow.unwrap_or_default().split(", ").filter(|one| *one != "HEAD").collect();
                    assert!(nobody || allowed == known, "{at} {allow:?}");
                    continue;
                };
                match got.status {
                    status if may(one.id, role) => assert!(![401, 403, 405, 500].contains(&status), "{at}"),
                    status if nobody => assert_eq!(status, 401, "{at}"),
                    status => {
                        assert_eq!((status, &got.json()["reason"]), (403, &json!("denied")), "{at}");
                    }
                }
            }
        }
    }
    // What there is not.
    for path in
        ["", "/", "/nothing", "/accounts/", "/accounts/a/b", "/status/", "//status", "/accounts/a/groups/"]
    {
        for role in roles() {
            let wanted = if role == "anonymous" || role.ends_with("token") { 401 } else { 404 };
            let got = ask(&scene, role, "GET", &format!("{ROOT}{path}"), "");
            assert_eq!(got.status, wanted, "{role} {path}");
        }
    }
}

/// What the ledger tells of the registry; nothing more is told after that.
fn told(scene: &Scene) -> Vec<Value> {
    scene.registry.records.close().unwrap();
    let lines = scene.registry.store.ledger(1, usize::MAX).unwrap();
    let events = lines.iter().map(|line| Record::parse(line).unwrap().event);
    events
        .filter_map(|event| match event {
            Event::Registry(deed) => Some(serde_json::to_value(deed).unwrap()),
            _ => None,
        })
        .collect()
}

/// Whoever was not let, is in the ledger: as whom, what for, and where.
#[test]
fn refusals_are_told() {
    let scene = Scene::new(Access::default(), true);
    scene.set(EVERYWHERE);
    for (role, method, path) in [
        ("anonymous", "GET", "/status"),
        ("reader", "PUT", "/rules"),
        ("reader", "POST", "/tags/restore?repository=apps/there&tag=v1"),
        // Not decided, but not there; and let in.
        ("reader", "GET", "/nothing"),
        ("site", "GET", "/status"),
    ] {
        ask(&scene, role, method, &format!("{ROOT}{path}"), "");
    }
    let told = told(&scene);
    let base = |who: &str, operation: &str, refused: &str| {
        json!({ "action": "admin", "who": who, "from": "127.0.0.1",
        "operation": operation, "refused": refused })
    };
    let with = |mut deed: Value, members: Value| {
        deed.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        deed
    };
    let kim = |operation: &str| with(base("user:kim", operation, "DENIED"), json!({ "by": "password" }));
    assert_eq!(
        told,
        [
            base("anyone", "status", "UNAUTHORIZED"),
            kim("rules-set"),
            with(kim("tag-restore"), json!({ "repository": THERE })),
        ]
    );
}

/// R17: what is there and what is not is refused alike.
#[test]
fn who_may_not_learns_nothing_of_what_is_there() {
    let scene = Scene::new(Access::default(), true);
    scene.set(EVERYWHERE);
    for path in ["/tags?repository=", "/tags/history?tag=v1&repository="] {
        let answer = |role: &str, repository: &str| {
            ask(&scene, role, "GET", &format!("{ROOT}{path}{repository}"), "").seen()
        };
        assert_eq!(answer("reader", "hidden/there"), answer("reader", "hidden/nonex"), "{path}");
        assert_eq!(answer("site", "hidden/there").0, 200, "{path}");
        assert_eq!(answer("site", "hidden/nonex").0, 404, "{path}");
    }
    // Who administers some repositories is shown those.
    let listed = |role: &str| {
        let report = ask(&scene, role, "GET", &format!("{ROOT}/repositories"), "").json();
        let lines = report["repositories"].as_array().unwrap().clone();
        lines.iter().map(|line| line["repository"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("admin"), [THERE, "apps/z"]);
    assert_eq!(listed("site"), [THERE, "apps/z", "hidden/there", "z/open"]);
}

/// Who may move tags brings none back that somebody took away.
#[test]
fn a_tag_that_is_gone_takes_more_than_the_right_to_move_it() {
    let scene = Scene::new(Access::default(), true);
    scene.set("[[grant]]\nto=['group:both']\nrepositories=['apps/**']\nmay=['tag', 'push']\n");
    let author = crate::store::Author::somebody();
    scene.registry.store.change(|change| change.delete_tag(THERE, "v1", &author)).unwrap();
    let path = format!("{ROOT}/tags/restore?repository={THERE}&tag=v1");
    assert_eq!(ask(&scene, "tagger", "POST", &path, "").status, 403);
    assert_eq!(ask(&scene, "both", "POST", &path, "").status, 200);
    // There again: where it led otherwise is not known.
    assert_eq!(ask(&scene, "tagger", "POST", &path, "").status, 404);
}

/// R19: what is taken from somebody while their body comes, they have no more when it is there.
#[test]
fn rights_are_asked_for_again_when_the_body_is_there() {
    for (what, status) in [("nothing", 201), ("the account", 401), ("the right", 403)] {
        let scene = Scene::new(Access::default(), true);
        scene.set(EVERYWHERE);
        let site = Site::new(scene.registry.store.clone(), Timestamp::now());
        let kim = site.add_account(NewAccount {
            name: "kim".into(),
            kind: AccountKind::User,
            groups: ["site".to_owned()].into(),
            certificates: BTreeSet::new(),
            password: Some(Secret::new("correct horse")),
            expires: None,
        });
        kim.unwrap();
        let basic = STANDARD.encode("kim:correct horse");
        let body = futures_util::stream::once(async move {
            match what {
                "the account" => drop(site.change_account("kim", |kim| kim.enabled = false).unwrap()),
                "the right" => drop(site.change_account("kim", |kim| kim.groups.clear()).unwrap()),
                _ => {}
            }
            Ok::<_, std::io::Error>(axum::body::Bytes::from_static(br#"{"name":"mole"}"#))
        });
        let request = axum::extract::Request::builder()
            .method("POST")
            .uri("/api/v1/accounts")
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/json")
            .extension(ConnectInfo(Peer::nobody()))
            .body(axum::body::Body::from_stream(body))
            .unwrap();
        let got = scene.runtime.block_on(serve(State(scene.registry.clone()), request));
        assert_eq!(got.status().as_u16(), status, "{what}");
        let made = scene.registry.store.accounts().unwrap().iter().any(|account| account.name == "mole");
        assert_eq!(made, status == 201, "{what}");
        let mut told = told(&scene);
        told.retain(|deed| deed["action"] == "admin");
        let refused: Vec<_> = told.iter().map(|deed| (&deed["who"], &deed["operation"])).collect();
        let wanted = (&json!("user:kim"), &json!("account-add"));
        assert_eq!(refused, if status == 201 { vec![] } else { vec![wanted] }, "{what}");
    }
}

/// What the rules keep is refused within the operation, and told with where.
#[test]
fn what_the_rules_keep_is_told() {
    let scene = Scene::new(Access::default(), true);
    let store = &scene.registry.store;
    let author = crate::store::Author::somebody();
    let other = Digest::of(&scene.other);
    store.change(|change| change.restore_tag(THERE, "v1", Some(&other), &author)).unwrap();
    scene.set(&format!("{EVERYWHERE}[[immutable]]\nrepositories=['apps/**']\ntags=['v*']\n"));
    let path = format!("{ROOT}/tags/restore?repository={THERE}&tag=v1");
    let got = ask(&scene, "site", "POST", &path, "");
    assert_eq!((got.status, &got.json()["reason"]), (403, &json!("tag-immutable")));
    let told = told(&scene);
    assert_eq!(
        told,
        [json!({ "action": "admin", "who": "user:kim", "from": "127.0.0.1", "by": "password",
            "operation": "tag-restore", "refused": "DENIED", "repository": THERE })]
    );
}

/// What cannot be done now is said to be so, and not what is wrong with which file.
#[test]
fn what_cannot_be_done_now_is_to_be_asked_again() {
    for reason in [Reason::LockHeld, Reason::DatabaseAway, Reason::Bucket] {
        let failure = Failure::new(reason, "/srv/home/state.db", "busy").hint("wait for /srv");
        let response = Problem::from(failure).into_response(|refusal| refusal);
        assert_eq!(response.status().as_u16(), 503, "{reason:?}");
        assert!(response.headers().contains_key("retry-after"), "{reason:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(to_bytes(response.into_body(), usize::MAX)).unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("srv") && text.contains(reason.text()), "{text}");
    }
}

/// What is asked is understood whole, or not at all.
#[test]
fn requests_are_read_strictly() {
    let scene = Scene::new(Access::default(), true);
    scene.set(EVERYWHERE);
    for (method, path, body, status, reason) in [
        ("GET", "/ledger?actoin=push", "", 400, "request-invalid"),
        ("GET", "/ledger?action=fly", "", 400, "request-invalid"),
        ("GET", "/ledger?limit=0", "", 400, "request-invalid"),
        ("GET", "/ledger?limit=1&limit=2", "", 400, "request-invalid"),
        ("GET", "/ledger?who=%00", "", 400, "request-invalid"),
        ("GET", "/ledger?event=acount", "", 400, "request-invalid"),
        ("GET", "/ledger?after=4294967296", "", 400, "request-invalid"),
        ("GET", "/openapi.json?x=1", "", 400, "request-invalid"),
        ("GET", "/tags", "", 400, "request-invalid"),
        ("GET", "/tags?repository=../x", "", 400, "request-invalid"),
        ("POST", "/accounts", "", 400, "request-invalid"),
        ("POST", "/accounts", "{", 400, "request-invalid"),
        ("POST", "/accounts", r#"["a"]"#, 400, "request-invalid"),
        ("POST", "/accounts/somebody/enable", r#"{"enabled":false}"#, 400, "request-invalid"),
        ("POST", "/store/collect", "[]", 400, "request-invalid"),
        ("POST", "/store/collect", "what", 400, "request-invalid"),
        ("POST", "/accounts", r#"{"name":"a"} {}"#, 400, "request-invalid"),
        ("POST", "/accounts", r#"{"name":"a","name":"b"}"#, 400, "request-invalid"),
        ("POST", "/accounts", r#"{"name":"a","admin":true}"#, 400, "request-invalid"),
        ("POST", "/accounts", r#"{"name":"a","kind":"root"}"#, 400, "request-invalid"),
        ("POST", "/accounts", r#"{"name":"A b"}"#, 422, "bad-argument"),
        ("POST", "/accounts", r#"{"name":"a","secret":"short"}"#, 422, "bad-argument"),
        ("POST", "/accounts", r#"{"name":"a","password":false}"#, 422, "bad-argument"),
        (
            "POST",
            "/accounts",
            r#"{"name":"a","password":false,"secret":"correct horse"}"#,
            422,
            "bad-argument",
        ),
        ("POST", "/accounts", r#"{"name":"a","expires":"soon"}"#, 422, "bad-argument"),
        ("POST", "/accounts", r#"{"name":"a","expires":"2001-01-01"}"#, 422, "bad-argument"),
        ("POST", "/accounts", r#"{"name":"somebody"}"#, 409, "account-exists"),
        ("PUT", "/accounts/somebody/groups/A", "", 422, "bad-argument"),
        ("DELETE", "/accounts/nobody", "", 404, "account-unknown"),
        ("PUT", "/rules", r#"{"text":"schema = 2"}"#, 422, "rules-malformed"),
        (
            "POST",
            "/prune/apply",
            r#"{"schema":2,"created":1,"manifests":[],"contents":[]}"#,
            422,
            "bad-argument",
        ),
        (
            "POST",
            "/prune/apply",
            r#"{"schema":1,"created":99999999999,"manifests":[],"contents":[]}"#,
            422,
            "bad-argument",
        ),
        ("POST", "/prune/plan", r#"{"repository":"a/**","unreferenced":true}"#, 422, "bad-argument"),
        ("POST", "/prune/plan", r#"{"repository":"**a"}"#, 422, "bad-argument"),
    ] {
        let got = ask(&scene, "site", method, &format!("{ROOT}{path}"), body);
        let problem = got.json();
        let at = format!("{method} {path} {body}: {problem}");
        assert_eq!((got.status, problem["reason"].as_str()), (status, Some(reason)), "{at}");
        assert_eq!(got.headers["content-type"], "application/problem+json", "{at}");
        assert_eq!(problem["type"], format!("urn:sealift:problem:{reason}"), "{at}");
        assert_eq!(problem["status"], status, "{at}");
        assert!(
            problem["detail"].is_string() && problem["title"].is_string() && problem["hint"].is_string(),
            "{at}"
        );
    }
    assert_eq!(scene.registry.store.accounts().unwrap().len(), 1, "nothing was done");
    let large = format!("{{\"text\":\"{}\"}}", "#".repeat(5 << 20));
    assert_eq!(ask(&scene, "site", "PUT", &format!("{ROOT}/rules"), &large).status, 413);
    let long = format!("{ROOT}/ledger?who={}", "x".repeat(limits::REQUEST_TARGET_BYTES));
    assert_eq!(ask(&scene, "site", "GET", &long, "").status, 400);
}

/// R32: what a page of another site can send without being asked is not taken.
#[test]
fn only_json_is_taken() {
    let scene = Scene::new(Access::default(), true);
    scene.set(EVERYWHERE);
    for (content_type, status) in [
        (Some("application/json"), 200),
        (Some("Application/JSON;charset=utf-8"), 200),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=application/json"), 415),
        (None, 415),
    ] {
        let mut request =
            axum::extract::Request::builder().method("POST").uri("/api/v1/accounts/somebody/enable");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.extension(caller_of("site")).body(axum::body::Body::empty()).unwrap();
        let got = scene.runtime.block_on(serve(State(scene.registry.clone()), request));
        assert_eq!(got.status().as_u16(), status, "{content_type:?}");
    }
}

/// Where what is done cannot be told, nothing is done.
#[test]
fn where_the_ledger_cannot_be_written_nothing_is_answered() {
    let scene = Scene::new(Access::default(), true);
    scene.set(EVERYWHERE);
    scene.registry.records.close().unwrap();
    let got = ask(&scene, "reader", "GET", &format!("{ROOT}/status"), "");
    assert_eq!((got.status, &got.json()["reason"]), (503, &json!("unavailable")));
    assert!(got.headers.contains_key("retry-after"));
}
