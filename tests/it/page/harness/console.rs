//! What pages ask for, and what their consoles say.

use std::net::TcpListener;

use serde_json::json;

use super::failure;
use crate::support::{
    browser::{Browser, Line},
    comes_true,
    site::{Page, Site},
};

const POLICY: &str =
    "content-security-policy: default-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'";

const REPORTED: &str = "content-security-policy-report-only: img-src 'none'; report-uri /report";

/// The ways in which a page's script can ask an address for something.
const WAYS: [&str; 6] = [
    "document.body.append(Object.assign(new Image(), {src: arguments[0]}))",
    "navigator.sendBeacon(arguments[0])",
    "new EventSource(arguments[0])",
    "try { new WebSocket(arguments[0].replace('http', 'ws')) } catch {}",
    "document.head.append(Object.assign(document.createElement('link'), {rel: 'stylesheet', href: arguments[0]}))",
    "document.body.style.backgroundImage = `url(${arguments[0]})`",
];

fn site() -> Site {
    Site::start(|path| match path.split('?').next().unwrap() {
        "/missing" => Page::html("no").status(404),
        "/told" => Page::html("<!doctype html><title>Told</title><p>1</p>").with(REPORTED),
        "/strict" => Page::html("<!doctype html><title>Strict</title><button id=one>1</button>").with(POLICY),
        _ => Page::html("<!doctype html><title>Page</title><p>1</p>"),
    })
}

#[test]
fn every_request_of_a_page_is_known() {
    let (site, elsewhere, browser) = (site(), site(), Browser::start());
    let tab = browser.open(&site.origin());
    let both = "return Promise.all([fetch('/data?x', {method: 'POST', body: 'b'}), fetch('/missing')]).then(() => 1)";
    tab.evaluate(both, &[]);
    browser.asked_only(&[&site.origin()]);
    let requests = tab.requests();
    let of = |path: &str| {
        let found = requests.iter().find(|request| request.url == format!("{}{path}", site.origin()));
        found.unwrap_or_else(|| panic!("no {path}: {requests:#?}"))
    };
    let first = of("/");
    assert_eq!((first.kind.as_str(), first.method.as_str(), first.status), ("Document", "GET", Some(200)));
    assert!(first.bytes.unwrap() > 100 && !first.is_open() && !first.is_local(), "{first:?}");
    assert_eq!((of("/data?x").method.as_str(), of("/data?x").status), ("POST", Some(200)));
    assert_eq!(of("/missing").status, Some(404));
    assert!(site.asked().contains(&"POST /data?x".to_owned()), "{:?}", site.asked());

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    tab.evaluate("return fetch(arguments[0]).catch(() => 1)", &[json!(format!("http://{closed}/"))]);
    assert_eq!(tab.requests().last().unwrap().failure.as_deref(), Some("net::ERR_CONNECTION_REFUSED"));
    assert!(tab.try_goto(&format!("http://{closed}/")).unwrap_err().contains("ERR_CONNECTION_REFUSED"));
    assert!(failure(|| browser.asked_only(&[&site.origin()])).contains(&closed.to_string()));
    browser.asked_only(&[&site.origin(), &format!("http://{closed}")]);

    // Whatever the way; where a policy refuses it, the attempt is known too.
    for (page, is_strict) in [("/", false), ("/strict", true)] {
        for (n, js) in WAYS.into_iter().enumerate() {
            tab.goto(&format!("{}{page}", site.origin()));
            let path = format!("/{n}-{is_strict}");
            tab.evaluate(js, &[json!(format!("{}{path}", elsewhere.origin()))]);
            tab.frame();
            let is_known = tab.requests().iter().any(|request| request.url.ends_with(&path));
            let is_refused =
                browser.console().iter().any(|line| line.source == "security" && line.text.contains(&path));
            assert_eq!((is_known || is_refused, is_refused), (true, is_strict), "{js}");
            let came = || elsewhere.asked().iter().any(|asked| asked.ends_with(&path));
            if is_strict {
                assert!(!came(), "{js}");
            } else {
                comes_true(js, came); // Before the page is left, which would take it back.
            }
        }
    }
    assert_eq!(elsewhere.asked().len(), WAYS.len());
}

#[test]
fn a_console_is_clean_or_its_lines_are_named() {
    let (site, browser) = (site(), Browser::start());
    let tab = browser.open(&format!("{}/strict", site.origin()));
    // What the harness does is not subject to the page's policy, and leaves no line.
    tab.wait("see 1", "return document.body.innerText === '1'", &[]);
    tab.click("#one");
    tab.counters();
    browser.is_clean(&[]);
    tab.evaluate("console.log('fine'); console.warn('careful')", &[]);
    browser.is_clean(&[]);
    let mut expected = vec!["status of 404"];
    tab.evaluate("return fetch('/missing').then(() => 1)", &[]);
    assert!(failure(|| browser.is_clean(&[])).contains("/missing"));
    browser.is_clean(&expected);
    for (js, words) in [
        ("console.error('said by the page')", "said by the page"),
        ("setTimeout(() => { throw new Error('thrown'); })", "Uncaught Error: thrown"),
        ("setTimeout(() => Promise.reject(new Error('refused')))", "Uncaught (in promise) Error: refused"),
        ("document.body.append(Object.assign(document.createElement('script'), {src: 'x.js'}))", "TrustedScriptURL"),
        ("try { document.body.innerHTML = 'x' } catch {}", "TrustedHTML"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/'}))", "img-src"),
        ("document.body.setAttribute('onclick', 'x')", "TrustedScript"),
    ] {
        browser.is_clean(&expected);
        let is_caught = format!("try {{ {js} }} catch {{}}");
        tab.evaluate(&is_caught, &[]);
        tab.frame();
        let said = failure(|| browser.is_clean(&expected));
        assert!(said.contains(words), "{js}: {said}");
        expected.push(words);
    }
    tab.goto(&format!("{}/told", site.origin()));
    tab.evaluate("document.body.append(Object.assign(new Image(), {src: 'x.png'}))", &[]);
    tab.frame();
    let is_told = |line: &Line| line.is_bad() && line.text.contains("x.png");
    assert!(browser.console().iter().any(is_told), "what is only reported counts too: {:?}", browser.console());
    let Line { level, source, text } = browser.console().remove(0);
    assert_eq!((level.as_str(), source.as_str(), text.contains("fine")), ("INFO", "console-api", true));
}
