//! What must hold for what clients send, whatever that is: bodies, targets of requests, and the headers that say who
//! asks, from where and whom.

use hyper::{
    HeaderMap, Method, Uri,
    header::{HOST, HeaderName, HeaderValue, ORIGIN},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

pub(crate) use super::api::v1::fuzz::programs;
use super::{
    api::{auth, chat, messages, search, sessions},
    body, credentials,
    origin::{self, Origins, Site},
    problem::Problem,
    query::Query,
    routes::{Found, Routes},
    server::Peer,
};
use crate::{config::ServerConfig, id::Seq};

/// The first byte chooses the call, the others are its body.
pub(crate) fn bodies(input: &[u8]) {
    let Some((call, bytes)) = input.split_first() else { return };
    match call % 9 {
        0 => body::<auth::Registration>(bytes),
        1 => body::<auth::Credentials>(bytes),
        2 => body::<auth::PasswordChange>(bytes),
        3 => body::<auth::Confirmation>(bytes),
        4 => body::<chat::OldMessage>(bytes),
        5 => body::<messages::NewMessage>(bytes),
        6 => body::<sessions::NewSession>(bytes),
        7 => body::<sessions::Changes>(bytes),
        _ => body::<search::Sought>(bytes),
    }
}

pub(super) fn body<T: DeserializeOwned + PartialEq>(bytes: &[u8]) {
    let text = str::from_utf8(bytes).unwrap_or_default();
    let value = serde_json::from_str::<Value>(text).ok();
    match (body::decode::<T>(bytes), value) {
        (Ok(read), Some(value)) => {
            assert!(value.is_object(), "what is no object is taken for one");
            let again = serde_json::to_vec_pretty(&value).expect("a value can be written");
            // A number with many digits is read roughly, and not as what is written of it then.
            let is_same = serde_json::from_slice::<Value>(&again).is_ok_and(|again| again == value);
            let other = body::decode::<T>(&again);
            assert!(other.is_ok_and(|other| !is_same || other == read), "the same value in other bytes");
        }
        // What a call ignores may be what no value can hold, as a number without bounds.
        (Ok(_), None) => assert!(serde_json::from_str::<IgnoredAny>(text).is_ok(), "what is no JSON is taken for it"),
        (Err(problem), value) => {
            is_for_people(&problem);
            assert_eq!(problem.status(), if value.is_some() { 422 } else { 400 }, "{}", problem.detail());
            if let Some(value) = value {
                repeats_no_value(&value, problem.detail());
            }
        }
    }
}

/// A sentence, bounded, with nothing that a terminal would obey.
pub(super) fn is_for_people(problem: &Problem) {
    let detail = problem.detail();
    assert!(!detail.is_empty() && detail.chars().count() < 600, "{detail:?} is too long");
    assert!(!detail.contains(char::is_control), "{detail:?}");
}

/// Values may be secrets, so no answer has them; names of fields it may have, and words of its own that look like names.
pub(super) fn repeats_no_value(value: &Value, detail: &str) {
    match value {
        Value::String(text) => {
            let is_telling =
                text.len() > 8 && text.chars().any(|c| !c.is_ascii_lowercase() && ![' ', '_'].contains(&c));
            assert!(!is_telling || !detail.contains(text.as_str()), "{detail:?} repeats {text:?}");
        }
        Value::Array(items) => items.iter().for_each(|item| repeats_no_value(item, detail)),
        Value::Object(fields) => {
            // A field that is named may look like a value beside it.
            let values = fields.values().filter(|value| value.as_str().is_none_or(|text| !is_in_a_name(text, fields)));
            values.for_each(|value| repeats_no_value(value, detail));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_in_a_name(text: &str, fields: &serde_json::Map<String, Value>) -> bool {
    fields.keys().any(|name| name.escape_debug().to_string().contains(text))
}

/// A line with a method, and one with a target.
pub(crate) fn targets(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (method, target) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    if let Ok(raw) = str::from_utf8(target) {
        query(raw);
        path(&Method::from_bytes(method).unwrap_or(Method::GET), raw);
    }
    if let Ok(uri) = Uri::try_from(target) {
        path(&Method::GET, uri.path());
        query(uri.query().unwrap_or_default());
    }
}

fn path(method: &Method, path: &str) {
    let routes = Routes::new();
    let Found::Route(route) = routes.find(method, path) else { return };
    assert!(route.method == *method || (method == Method::HEAD && route.method == Method::GET));
    let (template, parts): (Vec<_>, Vec<_>) = (route.path.split('/').collect(), path.split('/').collect());
    assert_eq!(template.len(), parts.len(), "{path:?} is {}", route.path);
    for (template, part) in template.into_iter().zip(parts) {
        match template.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => {
                assert!(!part.is_empty() && route.segment(path, name) == Some(part), "{name} of {path:?}");
            }
            None => assert_eq!(template, part, "{path:?} is {}", route.path),
        }
    }
}

fn query(raw: &str) {
    let Ok(query) = Query::new(raw) else {
        assert!(raw.contains('%'), "only a percent sign makes what is not UTF-8");
        return;
    };
    for name in ["limit", "after", "q", ""] {
        let text = query.text(name);
        let number = query.number(name);
        if let Ok(Some(number)) = number {
            let digits = text.as_ref().ok().and_then(Option::as_deref).expect("a number is a text");
            assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
            assert_eq!(digits.trim_start_matches('0'), if number == 0 { String::new() } else { number.to_string() });
            assert_eq!(query.seq(name).ok(), Some(Some(Seq(number))));
        }
        match query.limit(50) {
            Ok(limit) => assert!((1..=200).contains(&limit), "limit is {limit}"),
            Err(problem) => assert_eq!(problem.status(), 422),
        }
        if let Err(problem) = text {
            assert_eq!(problem.status(), 422);
            continue;
        }
        // One more makes two where there is one, and is found where there is none.
        let more = format!("{raw}&{name}={}", percent(raw));
        let found = Query::new(&more).expect("each part is UTF-8").text(name).ok();
        let wanted = if text.is_ok_and(|text| text.is_none()) { Some(raw) } else { None };
        assert_eq!(found.as_ref().and_then(|found| found.as_deref()), wanted, "{name:?} of {more:?}");
    }
}

/// Every byte as a percent sign and two digits.
fn percent(text: &str) -> String {
    text.bytes().flat_map(|byte| ['%', digit(byte >> 4), digit(byte & 15)]).collect()
}

fn digit(number: u8) -> char {
    char::from_digit(number.into(), 16).expect("it has 4 bits")
}

/// The first byte says how the connection came in; the others are header lines.
pub(crate) fn headers(input: &[u8]) {
    let Some((how, lines)) = input.split_first() else { return };
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    who(&headers, how & 1 == 1);
    whence(&headers, how & 2 == 2);
}

fn who(headers: &HeaderMap, secure: bool) {
    let shown = match credentials::shown(headers, secure) {
        Ok(Some(shown)) => shown,
        Ok(None) => return,
        Err(problem) => {
            is_for_people(&problem);
            return assert!([400, 401].contains(&problem.status().as_u16()));
        }
    };
    assert!(!shown.token.is_empty(), "an empty token is none");
    assert_eq!(shown.by_cookie, !headers.contains_key("authorization"), "a bearer token goes before a cookie");
    let mut other = headers.clone();
    let name = if secure { "__Host-bondhu" } else { "bondhu" };
    let cookie = HeaderValue::try_from(format!("{name}={}x", shown.token)).expect("a token is visible");
    other.append("cookie", cookie);
    let two = credentials::shown(&other, secure).map(|shown| shown.map(|shown| shown.token));
    assert_eq!(two.expect_err("two tokens that differ are shown").status(), 400);
    if shown.by_cookie {
        let crossed = credentials::shown(headers, !secure);
        let other = crossed.ok().flatten().is_none_or(|crossed| crossed.by_cookie);
        assert!(other, "a cookie of the other kind is a bearer");
    }
}

fn whence(headers: &HeaderMap, behind_proxy: bool) {
    let (proxy, stranger) = ([192, 0, 2, 1].into(), [198, 51, 100, 9].into());
    let config = ServerConfig {
        cors_origins: vec!["https://app.example.org".to_owned()],
        trusted_proxies: vec![proxy],
        ..ServerConfig::default()
    };
    let origins = Origins::new(&config, [127, 0, 0, 1].into());
    let peer = Peer { address: if behind_proxy { proxy } else { stranger }, secure: false };
    let client = origins.client(peer, headers);
    assert!(behind_proxy || client == peer, "a stranger is believed");
    if let Some(listed) = origins.listed(headers) {
        assert!(listed.as_bytes().eq_ignore_ascii_case(b"https://app.example.org"), "{listed:?} is listed");
    }
    let host = match origins.host(&Uri::from_static("/"), headers) {
        Ok(host) => host,
        Err(problem) => return assert!([400, 421].contains(&problem.status().as_u16())),
    };
    assert_eq!(headers.get_all(HOST).iter().count(), 1);
    // Whoever points a name of theirs at this machine is not answered.
    let loopback = ["localhost", "127.0.0.1", "[::1]"];
    let rest = loopback.iter().find_map(|name| host.get(..name.len()).filter(|own| own.eq_ignore_ascii_case(name)));
    let port = &host[rest.expect("another name is answered").len()..];
    let digits = port.strip_prefix(':').unwrap_or("0");
    assert!((port.is_empty() || port.starts_with(':')) && digits.parse::<u16>().is_ok(), "{host:?} is a host");
    if origin::site(headers, host) == Site::Same && !headers.contains_key("sec-fetch-site") {
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).expect("no origin is this site's");
        let authority = origin.trim_start_matches("https://").trim_start_matches("http://");
        let named = |text: &str| {
            text.rsplit_once(':')
                .map_or(text, |(name, port)| if port.ends_with(']') { text } else { name })
                .to_ascii_lowercase()
        };
        assert_eq!(named(authority), named(host), "a page of another host counts as ours");
    }
}
