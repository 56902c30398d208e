//! Screens, systems, languages, networks, pictures and counts.

use serde_json::{Value, json};

use crate::support::{
    browser::{Browser, Media, Tab},
    site::{Page, Site},
};

const PAGE: &str = "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>Page</title>
    <style>@media (prefers-color-scheme: dark) { body { background: black; } }</style><p>Page</p>";

fn site() -> Site {
    Site::start(|_| Page::html(PAGE))
}

fn matches(tab: &Tab, query: &str) -> Value {
    tab.evaluate("return matchMedia(arguments[0]).matches", &[json!(query)])
}

#[test]
fn a_page_sees_the_screen_and_the_system_that_are_set() {
    let (site, browser) = (site(), Browser::start());
    let tab = browser.open(&site.origin());
    for (width, height) in [(320, 568), (1440, 900), (3840, 2160)] {
        tab.viewport(width, height);
        assert_eq!(tab.evaluate("return [innerWidth, innerHeight]", &[]), json!([width, height]));
        assert_eq!(matches(&tab, "(pointer: fine)"), true);
    }
    tab.phone(320, 568);
    assert_eq!(tab.evaluate("return [innerWidth, navigator.maxTouchPoints > 0]", &[]), json!([320, true]));
    assert_eq!(matches(&tab, "(pointer: coarse)"), true);

    let queries = ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)", "(forced-colors: active)"];
    for [dark, still, forced_colors] in [[false; 3], [true; 3], [true, false, false], [false, true, false]] {
        tab.media(Media { dark, still, forced_colors });
        assert_eq!(queries.map(|query| matches(&tab, query)), [dark, still, forced_colors].map(Value::Bool));
    }
    tab.media(Media { dark: true, ..Media::default() });
    assert_eq!(tab.style("body", "background-color"), "rgb(0, 0, 0)");
    a_picture_is_named_by_its_width_and_theme(&tab);
}

fn a_picture_is_named_by_its_width_and_theme(tab: &Tab) {
    for (width, dark, name) in [(320, false, "harness-320-light.png"), (768, true, "harness-768-dark.png")] {
        tab.viewport(width, 400);
        tab.media(Media { dark, ..Media::default() });
        let path = tab.shot("harness");
        assert_eq!(path.file_name().unwrap(), name);
        let png = std::fs::read(&path).unwrap();
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((&png[1..4], number(16), number(20)), (&b"PNG"[..], width, 400));
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_browser_speaks_its_persons_language_in_their_zone() {
    let (site, browser) = (site(), Browser::speaking("bn-BD,bn,en"));
    let js = "return [navigator.languages, Intl.DateTimeFormat().resolvedOptions().locale, new Date(0).getHours()]";
    for _ in 0..2 {
        let tab = browser.tab();
        tab.zone("Asia/Dhaka");
        tab.goto(&site.origin());
        assert_eq!(tab.evaluate(js, &[]), json!([["bn-BD", "bn", "en"], "bn-BD", 6]));
        tab.zone("Pacific/Honolulu");
        tab.locale("de-DE");
        assert_eq!(tab.evaluate(js, &[])[2], 14);
        assert_eq!(tab.evaluate("return (0.5).toLocaleString()", &[]), "0,5");
        tab.locale("bn-BD");
    }
    let tab = Browser::start().open(&site.origin());
    assert_eq!(tab.evaluate(js, &[]).as_array().unwrap()[..2], [json!(["en-GB"]), json!("en-GB")]);
}

#[test]
fn what_a_page_keeps_and_what_holds_it_up_is_counted() {
    let (site, browser) = (site(), Browser::start());
    let tab = browser.open(&site.origin());
    let before = tab.counters();
    tab.evaluate(
        "window.kept = Array.from({length: 1000}, () => document.createElement('p'));
         window.heap = Array.from({length: 200000}, (_, n) => ({n}));
         kept.forEach(one => one.addEventListener('click', () => {}))",
        &[],
    );
    let kept = tab.counters();
    assert!(kept.nodes >= before.nodes + 1000 && kept.listeners >= before.listeners + 1000, "{before:?} {kept:?}");
    assert!(kept.heap_bytes > before.heap_bytes + 1_000_000, "{before:?} {kept:?}");
    tab.evaluate("kept = heap = null", &[]);
    let after = tab.counters();
    assert!(after.nodes < before.nodes + 100 && after.heap_bytes < before.heap_bytes + 1_000_000, "{after:?}");
    assert_eq!(after.documents, before.documents);

    let before = tab.long_tasks().len(); // None, unless the machine was busy with others.
    tab.evaluate("setTimeout(() => { const end = performance.now() + 80; while (performance.now() < end); })", &[]);
    tab.wait("have been busy", "return new Promise(resolve => setTimeout(() => resolve(true)))", &[]);
    assert!(tab.long_tasks()[before..].iter().any(|&task| task >= 80.0), "{:?}", tab.long_tasks());
    a_browser_notices_that_its_network_is_gone(&tab);
}

fn a_browser_notices_that_its_network_is_gone(tab: &Tab) {
    let fetch = "return fetch('/').then(() => navigator.onLine, () => navigator.onLine)";
    assert_eq!(tab.evaluate(fetch, &[]), true);
    tab.offline(true);
    assert_eq!(tab.evaluate(fetch, &[]), false);
    assert!(tab.try_reload().unwrap_err().contains("ERR_INTERNET_DISCONNECTED"));
    tab.offline(false);
    tab.reload();
    assert_eq!(tab.evaluate(fetch, &[]), true);
}
