//! A registry that takes pushes, in memory: small, but honest. It checks every digest, refuses manifests
//! whose content it does not have (`MANIFEST_BLOB_UNKNOWN`), mounts only what the source repository has, and
//! remembers the order of requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use sealift::{
    base::digest::Digest,
    oci::{Document, media_type},
};
use serde_json::json;

/// How the registry behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Has the referrers API of OCI 1.1 and answers `OCI-Subject`.
    pub(crate) referrers: bool,
    /// Takes its time to write a manifest, and meanwhile refuses an index above it, as CNCF distribution does on
    /// a disk: the manifest's file is empty for a moment.
    pub(crate) blinks: bool,
    /// Breaks down (answers 500 to everything) after so many blobs.
    pub(crate) breaks_after: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) manifests: BTreeMap<Digest, (String, Bytes)>,
    pub(crate) tags: BTreeMap<String, Digest>,
}

#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) repositories: BTreeMap<String, Repository>,
    blobs: BTreeMap<Digest, Bytes>,
    uploads: BTreeMap<usize, Vec<u8>>,
    /// Manifests that are being written.
    writing: Vec<Digest>,
    /// Whether tags are refused from now on.
    pub(crate) refuses_tags: bool,
    /// `PUT name/manifests/tag`, `POST name/mount/digest`, in the order they succeeded.
    pub(crate) log: Vec<String>,
}

#[derive(Clone)]
struct Shared {
    manner: Manner,
    content: Arc<Mutex<Content>>,
    next: Arc<AtomicUsize>,
    /// Blobs that are taken before the breakdown.
    left: Arc<AtomicUsize>,
}

/// A running registry; gone when dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    shared: Shared,
    _runtime: tokio::runtime::Runtime,
}

impl Sink {
    pub(crate) fn start(manner: Manner) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(AtomicUsize::new(manner.breaks_after.unwrap_or(usize::MAX)));
        let shared = Shared { manner, content: Arc::default(), next: Arc::default(), left };
        let app = axum::Router::new().fallback(handle).with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, shared, _runtime: runtime }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Looks inside.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Content) -> T) -> T {
        look(&mut self.shared.content.lock().unwrap())
    }

    /// The breakdown is over.
    pub(crate) fn mend(&self) {
        self.shared.left.store(usize::MAX, Ordering::SeqCst);
    }
}

type Answer = Result<Response, Refused>;

/// Status and code of an error.
struct Refused(u16, &'static str);

fn answer(status: u16, headers: &[(&str, String)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(body.into()).unwrap()
}

fn refuse(status: u16, code: &'static str) -> Refused {
    Refused(status, code)
}

impl Refused {
    fn into_response(self) -> Response {
        let body = json!({ "errors": [{ "code": self.1, "message": self.1 }] }).to_string();
        answer(self.0, &[("content-type", "application/json".into())], body)
    }
}

async fn handle(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else {
        return refuse(400, "SIZE_INVALID").into_response();
    };
    let query: BTreeMap<String, String> = parts
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.into(), value.replace("%3A", ":").replace("%2F", "/")))
        .collect();
    if shared.left.load(Ordering::SeqCst) == 0 {
        return refuse(500, "UNKNOWN").into_response();
    }
    let path = parts.uri.path().strip_prefix("/v2/").unwrap_or("").to_owned();
    let call = Call { shared: &shared, method: parts.method, headers: parts.headers, query, body };
    let written = (shared.manner.blinks && call.method == Method::PUT && path.contains("/manifests/"))
        .then(|| Digest::of(&call.body));
    if let Some(digest) = &written {
        if call.looks_at_what_is_written() {
            return refuse(400, "DIGEST_INVALID").into_response();
        }
        shared.content.lock().unwrap().writing.push(digest.clone());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let looked = call.looks_at_what_is_written();
        shared.content.lock().unwrap().writing.retain(|one| one != digest);
        if looked {
            return refuse(400, "DIGEST_INVALID").into_response();
        }
    }
    call.answer(&path).unwrap_or_else(Refused::into_response)
}

struct Call<'a> {
    shared: &'a Shared,
    method: Method,
    headers: HeaderMap,
    query: BTreeMap<String, String>,
    body: Bytes,
}

impl Call<'_> {
    fn looks_at_what_is_written(&self) -> bool {
        let Ok(document) = Document::parse(&self.body, media_type::INDEX) else { return false };
        let content = self.shared.content.lock().unwrap();
        document.descriptors().iter().any(|needed| content.writing.contains(&needed.digest))
    }

    fn answer(&self, path: &str) -> Answer {
        if path.is_empty() {
            return Ok(answer(200, &[], "{}"));
        }
        let mut content = self.shared.content.lock().unwrap();
        if let Some((name, id)) = path.split_once("/blobs/uploads/") {
            return self.upload(&mut content, name, id);
        }
        let (rest, last) = path.rsplit_once('/').ok_or_else(|| refuse(404, "NAME_UNKNOWN"))?;
        let (name, kind) = rest.rsplit_once('/').ok_or_else(|| refuse(404, "NAME_UNKNOWN"))?;
        match kind {
            "blobs" => self.blob(&content, name, last),
            "manifests" if self.method == Method::PUT && content.refuses_tags && !last.contains(':') => {
                Err(refuse(403, "DENIED"))
            }
            "manifests" if self.method == Method::PUT => self.put_manifest(&mut content, name, last),
            "manifests" => self.manifest(&content, name, last),
            "referrers" if self.shared.manner.referrers => Ok(referrers(&content, name, last)),
            _ => Err(refuse(404, "UNSUPPORTED")),
        }
    }

    fn upload(&self, content: &mut Content, name: &str, id: &str) -> Answer {
        let location = |id: usize| ("location", format!("/v2/{name}/blobs/uploads/{id}?state=x"));
        if self.method == Method::POST {
            if let (Some(mount), Some(from)) = (self.query.get("mount"), self.query.get("from")) {
                let digest = Digest::parse(mount).map_err(|_why| refuse(400, "DIGEST_INVALID"))?;
                if content.repositories.get(from).is_some_and(|from| from.blobs.contains(&digest)) {
                    content.log.push(format!("POST {name}/mount/{digest}"));
                    content.repositories.entry(name.into()).or_default().blobs.insert(digest.clone());
                    return Ok(answer(201, &[("location", format!("/v2/{name}/blobs/{digest}"))], ""));
                }
            }
            let id = self.shared.next.fetch_add(1, Ordering::SeqCst);
            content.uploads.insert(id, Vec::new());
            return Ok(answer(202, &[location(id), ("range", "0-0".into())], ""));
        }
        let unknown = || refuse(404, "BLOB_UPLOAD_UNKNOWN");
        let number: usize = id.parse().map_err(|_why| unknown())?;
        let bytes = content.uploads.get_mut(&number).ok_or_else(unknown)?;
        let start = self.headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        if start.is_some_and(|range| !range.starts_with(&format!("{}-", bytes.len()))) {
            return Err(refuse(416, "BLOB_UPLOAD_INVALID"));
        }
        bytes.extend_from_slice(&self.body);
        let range = ("range", format!("0-{}", bytes.len().saturating_sub(1)));
        if self.method == Method::PATCH {
            return Ok(answer(202, &[location(number), range], ""));
        }
        let wanted = self.query.get("digest").and_then(|text| Digest::parse(text).ok());
        let bytes = Bytes::from(content.uploads.remove(&number).unwrap_or_default());
        let digest = Digest::of(&bytes);
        if wanted.as_ref() != Some(&digest) {
            return Err(refuse(400, "DIGEST_INVALID"));
        }
        let one_less = |left: usize| left.checked_sub(1);
        let _counted = self.shared.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        content.log.push(format!("PUT {name}/blobs/{digest}"));
        content.blobs.insert(digest.clone(), bytes);
        content.repositories.entry(name.into()).or_default().blobs.insert(digest.clone());
        Ok(answer(201, &[("location", format!("/v2/{name}/blobs/{digest}"))], ""))
    }

    fn blob(&self, content: &Content, name: &str, digest: &str) -> Answer {
        let unknown = || refuse(404, "BLOB_UNKNOWN");
        let digest = Digest::parse(digest).map_err(|_why| refuse(400, "DIGEST_INVALID"))?;
        let repository = content.repositories.get(name).filter(|one| one.blobs.contains(&digest));
        let bytes = repository.and_then(|_| content.blobs.get(&digest)).ok_or_else(unknown)?;
        Ok(self.bytes(&digest, media_type::OCTETS, bytes))
    }

    fn bytes(&self, digest: &Digest, kind: &str, bytes: &Bytes) -> Response {
        let headers = [
            ("docker-content-digest", digest.to_string()),
            ("content-type", kind.to_owned()),
            ("content-length", bytes.len().to_string()),
        ];
        let body = if self.method == Method::HEAD { Body::empty() } else { Body::from(bytes.clone()) };
        answer(200, &headers, body)
    }

    fn manifest(&self, content: &Content, name: &str, target: &str) -> Answer {
        let unknown = || refuse(404, "MANIFEST_UNKNOWN");
        let repository = content.repositories.get(name).ok_or_else(unknown)?;
        let digest = match Digest::parse(target) {
            Ok(digest) => digest,
            Err(_) => repository.tags.get(target).cloned().ok_or_else(unknown)?,
        };
        let (kind, bytes) = repository.manifests.get(&digest).ok_or_else(unknown)?;
        Ok(self.bytes(&digest, kind, bytes))
    }

    fn put_manifest(&self, content: &mut Content, name: &str, target: &str) -> Answer {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let document = Document::parse(&self.body, kind).map_err(|_why| refuse(400, "MANIFEST_INVALID"))?;
        let digest = Digest::of(&self.body);
        if target.contains(':') && target != digest.to_string() {
            return Err(refuse(400, "DIGEST_INVALID"));
        }
        let repository = content.repositories.entry(name.into()).or_default();
        for needed in document.descriptors() {
            let there = if media_type::is_manifest(&needed.media_type) {
                repository.manifests.contains_key(&needed.digest)
            } else {
                repository.blobs.contains(&needed.digest)
            };
            if !there {
                return Err(refuse(404, "MANIFEST_BLOB_UNKNOWN"));
            }
        }
        repository.manifests.insert(digest.clone(), (kind.to_owned(), self.body.clone()));
        if !target.contains(':') {
            repository.tags.insert(target.to_owned(), digest.clone());
        }
        content.log.push(format!("PUT {name}/manifests/{target}"));
        let mut headers = vec![
            ("location", format!("/v2/{name}/manifests/{digest}")),
            ("docker-content-digest", digest.to_string()),
        ];
        if let (Some(subject), true) = (document.subject(), self.shared.manner.referrers) {
            headers.push(("oci-subject", subject.digest.to_string()));
        }
        Ok(answer(201, &headers, ""))
    }
}

fn referrers(content: &Content, name: &str, subject: &str) -> Response {
    let found: Vec<_> = content
        .repositories
        .get(name)
        .into_iter()
        .flat_map(|repository| &repository.manifests)
        .filter_map(|(digest, (kind, bytes))| {
            let document = Document::parse(bytes, kind).ok()?;
            let matches = document.subject()?.digest.to_string() == subject;
            let artifact_type = document.artifact_type();
            matches.then(|| {
                json!({ "mediaType": kind, "digest": digest, "size": bytes.len(),
                        "artifactType": artifact_type, "annotations": document.annotations() })
            })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": found });
    answer(200, &[("content-type", media_type::INDEX.to_owned())], index.to_string())
}
