//! Requests that a browser sends because a page of another site said so. Since people log in to the [page](super::page) with
//! a password or certificate that browsers then send along by themselves, such a request would be done in their name
//! (threats R32).

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::Response,
};
use serde_json::json;

use super::{Registry, api, page::is_page, respond, respond::Refusal};
use crate::oci::error_code;

/// The layer that refuses them. Clients of registries send none of the headers that tell.
pub(super) async fn refuse(State(registry): State<Registry>, request: Request, next: Next) -> Response {
    if !is_foreign(request.method(), request.uri(), request.headers(), registry.login.own_url()) {
        return next.run(request).await;
    }
    let rule = "a browser sent this for a page of another site";
    if api::is_api(request.uri()) {
        let problem = api::Problem::from(Refusal::of(error_code::DENIED).detail(rule));
        return api::finish(problem.into_response(|refusal| refusal));
    }
    respond::finish(Refusal::of(error_code::DENIED).detail(json!({ "rule": rule })).into_response())
}

/// Whether it comes from another site and would be answered with more than a page, to which links may lead from anywhere.
fn is_foreign(method: &Method, uri: &Uri, headers: &HeaderMap, url: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let looks = matches!(*method, Method::GET | Method::HEAD);
    if looks && is_page(uri) {
        return false;
    }
    // Fetch Metadata; `none` is what a person typed.
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    // Without TLS browsers do not send that.
    let host = |url: &str| url.split_once("://").map(|(_scheme, host)| host.to_ascii_lowercase());
    match text(header::ORIGIN.as_str()) {
        Some(origin) if !looks => {
            let origin = host(origin);
            let here = text(header::HOST.as_str()).map(str::to_ascii_lowercase);
            origin.is_none() || (origin != here && origin != url.and_then(host))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_site_asks_for_is_told_from_all_else() {
        let foreign = |method: Method, path: &str, headers: &[(&'static str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
            let uri: Uri = path.parse().unwrap();
            is_foreign(&method, &uri, &headers.collect(), Some("https://r.example"))
        };
        let uploads = "/v2/a/blobs/uploads/";
        for (method, path, headers, expected) in [
            // Clients of registries.
            (Method::POST, uploads, &[("host", "r.example")][..], false),
            (Method::GET, "/v2/a/manifests/1", &[], false),
            // The page itself, and links to it.
            (Method::GET, "/v2/a/manifests/1", &[("sec-fetch-site", "same-origin")], false),
            (Method::GET, "/v2/a/manifests/1", &[("sec-fetch-site", "none")], false),
            (Method::GET, "/r/a", &[("sec-fetch-site", "cross-site")], false),
            // Another site.
            (Method::GET, "/v2/a/manifests/1", &[("sec-fetch-site", "cross-site")], true),
            (Method::POST, uploads, &[("sec-fetch-site", "same-site")], true),
            (Method::POST, uploads, &[("host", "10.0.0.1"), ("origin", "http://evil.example")], true),
            (Method::POST, uploads, &[("host", "10.0.0.1"), ("origin", "null")], true),
            (Method::POST, "/r/a", &[("sec-fetch-site", "cross-site")], true),
            // Without TLS, and behind a proxy that has another name for it.
            (Method::POST, uploads, &[("host", "10.0.0.1"), ("origin", "http://10.0.0.1")], false),
            (Method::POST, uploads, &[("host", "10.0.0.1"), ("origin", "https://R.example")], false),
        ] {
            assert_eq!(foreign(method.clone(), path, headers), expected, "{method} {path} {headers:?}");
        }
    }
}
