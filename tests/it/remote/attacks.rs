//! Every threat of the network that a client meets (`docs/threats.md`): exit code, reason, nothing stored.

use std::time::Duration;

use sealift::{
    base::{
        digest::Digest,
        failure::{Failure, Reason, Result},
    },
    manifest::RegistrySettings,
    oci::{Descriptor, media_type},
};

use super::{World, alice, content, manifest, manifest_answer, ranged};
use crate::support::origin::{Answer, Body, Origin, Seen};

/// What the client is asked to do.
#[derive(Debug, Clone, Copy)]
enum Act {
    Manifest,
    ByDigest,
    Blob,
    /// A blob of which half is there from an earlier run.
    RestOfBlob,
    Tags,
    Referrers,
    Document,
    File,
    Push,
}

type Script = fn(&Seen, &str) -> Answer;

/// Threat, what the server does (it also knows the name of a second server), what is asked, the reason.
#[rustfmt::skip]
const ATTACKS: &[(&str, Script, Act, Reason)] = &[
    ("N01 realm on another host", |_, sink| bearer(&format!("http://localhost:{}/token", port(sink))), Act::Manifest, Reason::AuthRealm),
    ("N01 realm on a strange host", |_, _| bearer("https://evil.example/token"), Act::Manifest, Reason::AuthRealm),
    ("N01 realm is a metadata service", |_, _| bearer("http://169.254.169.254/token"), Act::Manifest, Reason::AuthRealm),
    ("N01 realm is inside", |_, _| bearer("https://[::ffff:10.0.0.1]/token"), Act::Blob, Reason::AuthRealm),
    ("N01 realm is nowhere", |_, _| bearer("http://0.0.0.0/token"), Act::Tags, Reason::AuthRealm),
    ("N01 realm has a password", |_, sink| bearer(&format!("http://a:b@{sink}/token")), Act::Tags, Reason::AuthRealm),
    ("N01 realm is a file", |_, _| bearer("file:///etc/passwd"), Act::Document, Reason::AuthRealm),
    ("N01 realm is missing", |_, _| Answer::new(401, "").header("WWW-Authenticate", "Bearer service=x"), Act::Manifest, Reason::AuthRealm),
    ("N01 token server redirects", token_redirects, Act::Manifest, Reason::UpstreamRedirect),
    ("N02 upload goes to another port", |_, sink| upload_to(&format!("http://{sink}/upload")), Act::Push, Reason::UpstreamRedirect),
    ("N02 upload goes to another scheme", |seen, _| upload_to(&format!("https://{}/upload", seen.header("host").unwrap())), Act::Push, Reason::UpstreamRedirect),
    ("N02 upload goes inside", |_, _| upload_to("http://169.254.169.254/"), Act::Push, Reason::UpstreamRedirect),
    ("N02 upload is redirected", |_, sink| moved(&format!("http://{sink}/upload")), Act::Push, Reason::UpstreamRedirect),
    ("N02 upload goes nowhere", |_, _| Answer::new(202, ""), Act::Push, Reason::UpstreamMalformed),
    ("N03 redirects in a circle", |seen, _| moved(&seen.target), Act::Blob, Reason::UpstreamRedirect),
    ("N03 redirect into the metadata service", |_, _| moved("http://169.254.169.254/"), Act::File, Reason::UpstreamRedirect),
    ("N03 redirect to a file", |_, _| moved("file:///etc/passwd"), Act::Document, Reason::UpstreamRedirect),
    ("N03 redirect with a password", |_, sink| moved(&format!("http://a:b@{sink}/")), Act::File, Reason::UpstreamRedirect),
    ("N03 redirect to nowhere", |_, _| Answer::new(302, ""), Act::Blob, Reason::UpstreamRedirect),
    ("N03 login page elsewhere", |seen, sink| if seen.header("host") == Some(sink) { asks_basic() } else { moved(&format!("http://{sink}/")) }, Act::Blob, Reason::AuthFailed),
    ("N05 other bytes", |_, _| Answer::new(200, other(0)), Act::Blob, Reason::UpstreamDigest),
    ("N05 other bytes in chunks", |_, _| Answer::with(200, Body::Chunked(other(0))), Act::Blob, Reason::UpstreamDigest),
    ("N05 other manifest", |_, _| Answer::new(200, [manifest(), b" ".to_vec()].concat()), Act::ByDigest, Reason::UpstreamDigest),
    ("N05 fewer bytes", |_, _| Answer::new(200, &content()[1..]), Act::Blob, Reason::UpstreamDigest),
    ("N05 fewer bytes in chunks", |_, _| Answer::with(200, Body::Chunked(content()[1..].to_vec())), Act::Blob, Reason::UpstreamDigest),
    ("N05 more bytes", |_, _| Answer::new(200, [content(), vec![0]].concat()), Act::Blob, Reason::UpstreamDigest),
    ("N05 more bytes in chunks", |_, _| Answer::with(200, Body::Chunked([content(), vec![0]].concat())), Act::Blob, Reason::UpstreamDigest),
    ("N05 other bytes for the rest", |seen, _| ranged(seen, &other(399_999)), Act::RestOfBlob, Reason::UpstreamDigest),
    ("N05 wrong part, always", |_, _| Answer::new(206, "xy").header("Content-Range", "bytes 7-8/400000"), Act::RestOfBlob, Reason::UpstreamMalformed),
    ("N05 gzip on the wire", |_, _| Answer::new(200, content()).header("Content-Encoding", "gzip"), Act::Blob, Reason::UpstreamMalformed),
    ("N06 announced digest is not that of the bytes", |_, _| manifest_answer().header("Docker-Content-Digest", Digest::of(b"").to_string()), Act::Manifest, Reason::UpstreamDigest),
    ("N08 endless manifest", |_, _| Answer::with(200, Body::Endless), Act::Manifest, Reason::UpstreamLimit),
    ("N08 huge manifest", |_, _| Answer::with(200, Body::Huge), Act::Manifest, Reason::UpstreamLimit),
    ("N08 endless token", |seen, _| if seen.path() == "/token" { Answer::with(200, Body::Endless) } else { own_token(seen) }, Act::Manifest, Reason::UpstreamLimit),
    ("N08 huge token", |seen, _| if seen.path() == "/token" { Answer::with(200, Body::Huge) } else { own_token(seen) }, Act::Blob, Reason::UpstreamLimit),
    ("N08 endless blob", |_, _| Answer::with(200, Body::Endless), Act::Blob, Reason::UpstreamDigest),
    ("N08 endless document", |_, _| Answer::with(200, Body::Endless), Act::Document, Reason::UpstreamLimit),
    ("N08 endless file", |_, _| Answer::with(200, Body::Endless), Act::File, Reason::UpstreamLimit),
    ("N08 huge file", |_, _| Answer::with(200, Body::Huge), Act::File, Reason::UpstreamLimit),
    ("N08 endless error", |_, _| Answer::with(403, Body::Endless), Act::Document, Reason::HttpStatus),
    ("N08 endless tags", |_, _| Answer::with(200, Body::Endless), Act::Tags, Reason::UpstreamLimit),
    ("N08 says nothing", |_, _| Answer::silent(), Act::Manifest, Reason::UpstreamTimeout),
    ("N08 trickles a blob", |_, _| Answer::with(200, Body::Trickle(content(), Duration::from_millis(10))), Act::Blob, Reason::UpstreamTimeout),
    ("N08 trickles a manifest", |_, _| Answer::with(200, Body::Trickle(manifest(), Duration::from_millis(150))), Act::Manifest, Reason::UpstreamTimeout),
    ("N08 stops within a blob", |_, _| Answer::with(200, Body::Trickle(content(), Duration::from_mins(1))), Act::Blob, Reason::UpstreamTimeout),
    ("N09 pages in a circle", |_, _| page("</v2/team/app/tags/list?n=1000>; rel=\"next\""), Act::Tags, Reason::UpstreamMalformed),
    ("N09 pages without end", |seen, _| page(&format!("</v2/team/app/tags/list?last={}>; rel=\"next\"", seen.count)), Act::Tags, Reason::UpstreamLimit),
    ("N09 next page elsewhere", |_, sink| page(&format!("<http://{sink}/v2/team/app/tags/list?last=1>; rel=\"next\"")), Act::Tags, Reason::UpstreamRedirect),
    ("N09 referrers in a circle", |seen, _| no_referrers().header("Link", format!("<{}>; rel=\"next\"", seen.target)), Act::Referrers, Reason::UpstreamMalformed),
    ("N10 come back in years", |_, _| Answer::new(429, "").header("Retry-After", "1000000000"), Act::Blob, Reason::RateLimited),
    ("N10 come back in the year 9999", |_, _| Answer::new(503, "").header("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), Act::Manifest, Reason::RateLimited),
    ("N10 too many requests, always", |_, _| Answer::new(429, ""), Act::Tags, Reason::RateLimited),
    ("N10 at fault, always", |_, _| Answer::new(500, ""), Act::Manifest, Reason::HttpStatus),
    ("N10 at fault for a push", |_, _| Answer::new(502, ""), Act::Push, Reason::HttpStatus),
    ("N10 cut at once, always", |_, _| Answer::with(200, Body::Cut(content(), 0)), Act::Blob, Reason::Network),
    ("N10 cut manifest", |_, _| Answer::with(200, Body::Cut(manifest(), 9)), Act::Manifest, Reason::Network),
    ("N10 cut file", |_, _| Answer::with(200, Body::Cut(content(), 9)), Act::File, Reason::Network),
    ("N12 gzip manifest", |_, _| manifest_answer().header("Content-Encoding", "gzip"), Act::Manifest, Reason::UpstreamMalformed),
    ("N12 zstd index", |_, _| Answer::new(200, "x").header("Content-Encoding", "zstd"), Act::Document, Reason::UpstreamMalformed),
    ("N12 gzip file", |_, _| Answer::new(200, "x").header("Content-Encoding", "x-gzip"), Act::File, Reason::UpstreamMalformed),
    ("N12 gzip tags", |_, _| page("").header("Content-Encoding", "br"), Act::Tags, Reason::UpstreamMalformed),
    ("N15 referrers are no index", |_, _| Answer::new(200, "[]").header("Content-Type", media_type::INDEX), Act::Referrers, Reason::UpstreamMalformed),
    ("N15 fallback tag is an image", |seen, _| if seen.path().contains("/referrers/") { Answer::new(404, "") } else { manifest_answer() }, Act::Referrers, Reason::UpstreamMalformed),
    ("no registry but a web page", |_, _| Answer::new(200, "<html>").header("Content-Type", "text/html"), Act::Manifest, Reason::UpstreamMalformed),
    ("tags are no list", |_, _| Answer::new(200, "{\"tags\":7}"), Act::Tags, Reason::UpstreamMalformed),
    ("blob is not there", |_, _| Answer::new(404, ""), Act::Blob, Reason::UpstreamNotFound),
    ("repository is not there", |_, _| Answer::new(404, ""), Act::Tags, Reason::UpstreamNotFound),
    ("wrong password", |_, _| asks_basic(), Act::Manifest, Reason::AuthFailed),
    ("unknown kind of login", |_, _| Answer::new(401, "").header("WWW-Authenticate", "Negotiate"), Act::Manifest, Reason::AuthFailed),
    ("login without a question", |_, _| Answer::new(401, ""), Act::Blob, Reason::AuthFailed),
    ("token is refused", |seen, _| if seen.path() == "/token" { Answer::new(401, "") } else { own_token(seen) }, Act::Manifest, Reason::AuthFailed),
    ("token does not help", |seen, _| if seen.path() == "/token" { Answer::new(200, "{\"token\":\"t\"}") } else { own_token(seen) }, Act::Blob, Reason::AuthFailed),
    ("token is empty", |seen, _| if seen.path() == "/token" { Answer::new(200, "{}") } else { own_token(seen) }, Act::Blob, Reason::UpstreamMalformed),
    ("token splits the header", |seen, _| if seen.path() == "/token" { Answer::new(200, "{\"token\":\"a\\r\\nX: y\"}") } else { own_token(seen) }, Act::Blob, Reason::UpstreamMalformed),
    ("push is refused", |_, _| Answer::new(403, "{\"errors\":[{\"code\":\"DENIED\"}]}"), Act::Push, Reason::PushRefused),
    ("push ends in an error", |seen, _| if seen.method == "PUT" { Answer::new(400, "") } else { upload_to("/upload") }, Act::Push, Reason::PushRefused),
];

fn bearer(realm: &str) -> Answer {
    Answer::new(401, "").header("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"x\""))
}

fn own_token(seen: &Seen) -> Answer {
    bearer(&format!("http://{}/token", seen.header("host").unwrap()))
}

fn token_redirects(seen: &Seen, sink: &str) -> Answer {
    if seen.path() == "/token" { moved(&format!("http://{sink}/")) } else { own_token(seen) }
}

fn asks_basic() -> Answer {
    Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"")
}

fn moved(to: &str) -> Answer {
    Answer::new(307, "").header("Location", to)
}

fn upload_to(location: &str) -> Answer {
    Answer::new(202, "").header("Location", location)
}

fn page(link: &str) -> Answer {
    Answer::new(200, "{\"tags\":[\"a\"]}").header("Link", link)
}

fn no_referrers() -> Answer {
    Answer::new(200, r#"{"schemaVersion":2,"manifests":[]}"#).header("Content-Type", media_type::INDEX)
}

/// The content with one byte changed.
fn other(at: usize) -> Vec<u8> {
    let mut bytes = content();
    bytes[at] ^= 1;
    bytes
}

fn port(name: &str) -> &str {
    name.split(':').nth(1).unwrap()
}

async fn act(world: &World, act: Act) -> Result<()> {
    let reference = world.reference();
    match act {
        Act::Manifest => world.client.manifest(&reference).await.map(|_| ()),
        Act::ByDigest => {
            world.client.manifest(&reference.with_digest(&Digest::of(&manifest()))).await.map(|_| ())
        }
        Act::Blob => world.blob(&content()).await,
        Act::RestOfBlob => {
            let mut writer = world.store.writer(&Digest::of(&content())).unwrap();
            writer.write(&content()[..200_000]).unwrap();
            drop(writer);
            world.blob(&content()).await
        }
        Act::Tags => world.client.tags(&reference).await.map(|_| ()),
        Act::Referrers => world.client.referrers(&reference.with_digest(&Digest::of(b"x"))).await.map(|_| ()),
        Act::Document => world.client.document(&world.url("/index.yaml"), 100_000).await.map(|_| ()),
        Act::File => {
            let writer = world.store.scratch(Digest::of(b"").algorithm()).unwrap();
            world.client.file(&world.url("/tool"), writer, 1 << 20).await.map(|_| ())
        }
        Act::Push => {
            let blob = Descriptor::of(media_type::OCTETS, b"hello");
            let (sender, body) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move { sender.send(Ok("hello".into())).await });
            world.client.push_blob(&reference, &blob, body).await
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_has_its_reason_and_stores_nothing() {
    let mut attacks = tokio::task::JoinSet::new();
    for (name, script, act, reason) in ATTACKS {
        attacks.spawn(async move { (*name, attack(*script, *act, *reason).await, *reason) });
    }
    let mut wrong = Vec::new();
    while let Some(done) = attacks.join_next().await {
        let (name, outcome, reason) = done.unwrap();
        match outcome {
            Err(failure) if failure.reason == reason && reason.class().code() == 9 => {}
            other => wrong.push(format!("{name}: expected {}, found {other:?}", reason.text())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn attack(script: Script, what: Act, reason: Reason) -> Result<()> {
    let sink = Origin::start(move |seen| script(seen, seen.header("host").unwrap())).await;
    let name = sink.name();
    let world = World::with(
        move |seen| script(seen, &name),
        |registry, mut settings| {
            settings.credentials = alice(registry);
            if reason == Reason::UpstreamTimeout {
                settings.timeouts.header = Duration::from_millis(300);
                settings.timeouts.idle = Duration::from_millis(200);
            }
            settings
        },
    )
    .await;
    let outcome = act(&world, what).await;
    assert_eq!(world.stored(), 0, "something was stored");
    for seen in sink.seen() {
        assert_eq!(seen.header("authorization"), None, "credentials went elsewhere");
        assert_ne!(seen.path(), "/token", "a token was asked for elsewhere");
        assert_ne!(seen.path(), "/upload", "an upload went elsewhere");
    }
    outcome
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let world = World::new(|_| Answer::silent()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let failure = world.client.document(&format!("http://{gone}/x"), 10).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Network);
}

/// N04: a server is asked with TLS and speaks none. Certificates that are not accepted take the same way;
/// `tests/interop` shows them with a real TLS server.
#[tokio::test]
async fn tls_is_never_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, CERTIFICATE).unwrap();
    let world = World::with(
        |_| manifest_answer(),
        |registry, mut settings| {
            let secure = RegistrySettings { ca_file: Some(ca_file), ..RegistrySettings::default() };
            settings.registries.insert(registry.to_owned(), secure);
            settings
        },
    )
    .await;
    let failure = world.client.manifest(&world.reference()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::TlsFailure, "{failure}");
    assert_eq!(world.registry.seen().len(), 0);
}

#[tokio::test]
async fn plain_http_is_refused_before_anything_is_sent() {
    let world = World::new(|_| Answer::silent()).await;
    let failure = world.client.document("http://files.example/index.yaml", 10).await.unwrap_err();
    assert_eq!(failure.reason, Reason::PlainHttp);
}

/// N06: what HEAD says never becomes the digest of content.
#[tokio::test]
async fn the_digest_is_that_of_the_bytes() {
    let world = World::new(|seen| match seen.method.as_str() {
        "HEAD" => Answer::new(200, "12")
            .header("Content-Type", media_type::MANIFEST)
            .header("Docker-Content-Digest", Digest::of(b"A").to_string()),
        _ => manifest_answer(),
    })
    .await;
    let told = world.client.manifest_head(&world.reference()).await.unwrap().unwrap();
    assert_eq!(told.digest, Digest::of(b"A"));
    let got = world.client.manifest(&world.reference()).await.unwrap().unwrap();
    assert_eq!(got.descriptor.digest, Digest::of(&manifest()));
}

/// A server's words reach the terminal escaped and short.
#[tokio::test]
async fn words_of_a_server_are_tamed() {
    let world = World::new(|_| {
        let long = "x".repeat(5000);
        let body = format!("{{\"errors\":[{{\"code\":\"DENIED\",\"message\":\"\\u001b[2J{long}\"}}]}}");
        Answer::new(403, body)
    })
    .await;
    let failure: Failure = world.client.manifest(&world.reference()).await.unwrap_err();
    let shown = failure.to_string();
    assert!(shown.contains("DENIED") && !shown.contains('\u{1b}') && shown.len() < 1000, "{shown}");
}

/// Of no use to anyone: its key was thrown away.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBkTCCATagAwIBAgIUCtknDBCvuJ1YFibi7Pin+WaveXEwCgYIKoZIzj0EAwIw\n\
FDESMBAGA1UEAwwJd29ydGhsZXNzMCAXDTI2MTEyMTA5MzQxN1oYDzIxMjYxMDI4\n\
MDkzNDE3WjAUMRIwEAYDVQQDDAl3b3J0aGxlc3MwWTATBgcqhkjOPQIBBggqhkjO\n\
PQMBBwNCAAT8neyk5vu2csD/HNfcO7rviPpL18vCjCGj9dcM5EhbDCj1XHmF2+BI\n\
WJWeXp01zni25YBCpkCeuS9aUfqY0e8po2QwYjAdBgNVHQ4EFgQUM9v7mn7Lo7Mx\n\
g6zyv69HsgbZaYIwHwYDVR0jBBgwFoAUM9v7mn7Lo7Mxg6zyv69HsgbZaYIwDwYD\n\
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYC\n\
IQCn0bSsimlNrrMHe5mAwmpOOdsk6SVKQ7uEaF6zADZ7KQIhAK9xI91KmsmuyAKd\n\
xmovvtbLLzNk9XCAezc/ssd1euL+\n\
-----END CERTIFICATE-----\n";
