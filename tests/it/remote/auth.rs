//! Who gets to see credentials, and how often a token is fetched.

use base64::Engine as _;
use sealift::base::failure::Reason;

use super::{World, alice, blob_path, content, manifest_answer};
use crate::support::origin::{Answer, Origin, Seen};

fn basic() -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("alice:s3cret"))
}

/// A registry with a token server of its own at `/token`.
fn with_tokens(seen: &Seen, token: &str, answer: Answer) -> Answer {
    if seen.path() == "/token" {
        return Answer::new(200, format!("{{\"token\":\"{token}\"}}"));
    }
    if seen.header("authorization") == Some(&format!("Bearer {token}")) {
        return answer;
    }
    let realm = format!("http://{}/token", seen.header("host").unwrap());
    Answer::new(401, "").header(
        "WWW-Authenticate",
        format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"repository:team/app:pull\""),
    )
}

#[tokio::test]
async fn basic_is_answered_once_asked_and_then_at_once() {
    let world = World::with(
        |seen| match seen.header("authorization") {
            Some(_) => manifest_answer(),
            None => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        },
        |registry, mut settings| {
            settings.credentials = alice(registry);
            settings
        },
    )
    .await;
    for _ in 0..2 {
        assert!(world.client.manifest(&world.reference()).await.unwrap().is_some());
    }
    let sent: Vec<Option<String>> =
        world.registry.seen().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [None, Some(basic()), Some(basic())]);
}

#[tokio::test]
async fn without_credentials_the_hint_tells_how_to_log_in() {
    let world = World::new(|_| Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"")).await;
    let failure = world.client.manifest(&world.reference()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::AuthFailed);
    let hint = failure.hint.unwrap();
    assert!(hint.contains("docker login") && hint.contains("SEALIFT_REGISTRY_AUTH"), "{hint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_serves_all_who_ask_for_the_same() {
    let world = World::with(
        |seen| with_tokens(seen, "abc", manifest_answer()),
        |registry, mut settings| {
            settings.credentials = alice(registry);
            settings
        },
    )
    .await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (client, reference) = (world.client.clone(), world.reference());
        all.spawn(async move { client.manifest(&reference).await.unwrap().unwrap() });
    }
    all.join_all().await;
    let seen = world.registry.seen();
    let tokens: Vec<&Seen> = seen.iter().filter(|seen| seen.path() == "/token").collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].header("authorization"), Some(basic().as_str()));
    assert!(tokens[0].target.contains("service=reg"), "{}", tokens[0].target);
    assert!(tokens[0].target.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{}", tokens[0].target);
    let others = seen.iter().filter(|seen| seen.path() != "/token");
    assert!(others.into_iter().all(|seen| seen.header("authorization") != Some(basic().as_str())));
}

#[tokio::test]
async fn a_token_that_no_longer_holds_is_fetched_anew() {
    let world = World::new(|seen| {
        let token = if seen.count < 3 { "old" } else { "new" };
        with_tokens(seen, token, manifest_answer())
    })
    .await;
    for _ in 0..2 {
        assert!(world.client.manifest(&world.reference()).await.unwrap().is_some());
    }
    let sent: Vec<String> = world
        .registry
        .seen()
        .iter()
        .filter_map(|seen| seen.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(sent, ["Bearer old", "Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn a_strange_token_server_gets_no_credentials_but_may_give_a_token() {
    let tokens = Origin::start(|_| Answer::new(200, "{\"access_token\":\"t\"}")).await;
    let realm = format!("http://localhost:{}/token", tokens.address.port());
    let world = World::new(move |seen| match seen.header("authorization") {
        Some("Bearer t") => manifest_answer(),
        _ => Answer::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")),
    })
    .await;
    assert!(world.client.manifest(&world.reference()).await.unwrap().is_some());
    assert_eq!(tokens.seen().len(), 1);
    assert_eq!(tokens.seen()[0].header("authorization"), None);
}

/// N03: the header is absent elsewhere, and stays absent when the way leads back.
#[tokio::test]
async fn redirects_lose_credentials_for_good() {
    let registry_name = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = std::sync::Arc::clone(&registry_name);
    let sink = Origin::start(move |_| {
        Answer::new(307, "").header("Location", format!("http://{}/back", known.get().unwrap()))
    })
    .await;
    let sink_name = sink.name();
    let world = World::with(
        move |seen| match (seen.path(), seen.header("authorization")) {
            ("/back", _) => Answer::new(200, content()),
            (_, Some(_)) => Answer::new(307, "").header("Location", format!("http://{sink_name}/there")),
            (_, None) => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        },
        |registry, mut settings| {
            settings.credentials = alice(registry);
            settings
        },
    )
    .await;
    registry_name.set(world.registry.name()).unwrap();
    world.blob(&content()).await.unwrap();
    assert!(world.has(&content()));
    let seen = world.registry.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(
        (seen[1].path(), seen[1].header("authorization")),
        (blob_path(&content()).as_str(), Some(basic().as_str()))
    );
    assert_eq!((seen[2].path(), seen[2].header("authorization")), ("/back", None));
    assert_eq!(sink.seen()[0].header("authorization"), None);
}
