//! The pages and their files: `/`, `/s/{id}`, `/settings`, `/dashboard`, `/docs`, `/openapi.json` and
//! `/assets/...`.

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
        HeaderValue, VARY,
    },
};

use crate::{
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    web::{self, File},
};

/// What the page may do: run our scripts and styles, talk to us, and nothing else. Text can't become a script: there is no
/// inline script, and no string is taken for markup (Trusted Types without a single policy).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
/// The page asks for none of these, so nothing that gets into it may.
const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()";
/// The addresses of files have the version in them.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// `GET /`, `/s/{id}`, `/settings`: the chat page. What it shows it learns from the API; its address is for the browser only.
pub(in crate::http) fn chat_page(request: &ApiRequest) -> ApiResponse {
    page(web::chat_page(), request)
}

/// `GET /dashboard`: the page of administrators. It shows nothing to whom the API gives nothing.
pub(in crate::http) fn dashboard(request: &ApiRequest) -> ApiResponse {
    page(web::dashboard(), request)
}

/// `GET /docs`: the page that shows the description of the API. It needs nothing but this server.
pub(in crate::http) fn docs(request: &ApiRequest) -> ApiResponse {
    page(web::docs(), request)
}

/// `GET /openapi.json`: the description of the API, as `src/http/openapi/` has it.
pub(in crate::http) fn description(request: &ApiRequest) -> ApiResponse {
    sent(web::description(), request.headers(), "no-cache")
}

fn page(document: &'static File, request: &ApiRequest) -> ApiResponse {
    let mut response = sent(document, request.headers(), "no-cache");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    response
}

/// `GET /assets/{version}/{name}`: a file of the page. 404 for another version's, which are gone.
pub(in crate::http) fn asset(request: &ApiRequest) -> Result<ApiResponse, Problem> {
    let named = request.segment("version").zip(request.segment("name"));
    let file = named.and_then(|(version, name)| web::file(version, name)).ok_or_else(|| Problem::no_such_path(""))?;
    Ok(sent(file, request.headers(), FOREVER))
}

fn sent(file: &'static File, asked: &HeaderMap, keep: &'static str) -> ApiResponse {
    let (form, encoding) = if takes_gzip(asked) { (&file.gzip, Some("gzip")) } else { (&file.plain, None) };
    let mut response = response::unless_known(asked, form.etag.as_bytes(), Bytes::from_static(form.bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers.insert(ETAG, HeaderValue::from_static(form.etag));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    let own = HeaderValue::from_static("same-origin");
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), own);
    response
}

/// True where `Accept-Encoding` has gzip, and does not refuse it (`q=0`).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(["gzip", "br, gzip", "GZIP;q=0.5", "deflate,gzip;q=1.0"].into_iter().all(takes));
        assert!(!["", "br", "gzip;q=0", "gzip; q=0.0", "x-gzip", "gzip;q=x"].into_iter().any(takes));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
