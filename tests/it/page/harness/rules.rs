//! The rules of accessibility.

use super::failure;
use crate::support::{
    browser::{Browser, Media},
    site::{Page, Site},
};

/// As strict as the page's own policy will be.
const POLICY: &str = "content-security-policy: default-src 'none'; style-src 'self'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const GOOD: &str =
    "<!doctype html><html lang=en><title>Good</title><link rel=stylesheet href=style.css><main><h1>Good</h1>
    <label>Name <input autocomplete=name></label><button>Send</button></main>";

const STYLE: &str = "@media (prefers-color-scheme: dark) { body { background: #222; color: #333 } }
    button { display: block; width: 120px; height: 48px } .small { width: 9px; height: 9px; padding: 0 }
    .pale { color: #bbb; background: #fff }";

#[test]
fn each_broken_rule_is_named_with_its_place() {
    let site = Site::start(|path| match path {
        "/style.css" => Page::of("text/css", STYLE),
        _ => Page::html(GOOD).with(POLICY),
    });
    let browser = Browser::start();
    let tab = browser.open(&site.origin());
    tab.axe();
    for (rule, change) in [
        ("color-contrast (serious) at h1", "document.querySelector('h1').className = 'pale'"),
        (
            "label (critical) at input",
            "const input = document.querySelector('input'); input.parentNode.replaceWith(input)",
        ),
        ("button-name (critical) at button", "document.querySelector('button').textContent = ''"),
        (
            "target-size (serious) at ",
            "for (const n of '12') {
            const small = document.createElement('button');
            small.className = 'small';
            small.setAttribute('aria-label', n);
            small.style.display = 'inline-block';
            document.querySelector('main').append(small);
        }",
        ),
        ("html-has-lang (serious) at html", "document.documentElement.removeAttribute('lang')"),
        (
            "region (moderate) at p",
            "document.body.append(Object.assign(document.createElement('p'), {innerText: 'Lost'}))",
        ),
    ] {
        tab.reload();
        tab.evaluate(change, &[]);
        let said = failure(|| tab.axe());
        assert!(said.contains(rule) && said.contains(&site.origin()), "{rule}: {said}");
    }
    tab.reload();
    tab.axe();
    tab.media(Media { dark: true, ..Media::default() });
    assert!(failure(|| tab.axe()).contains("color-contrast"));
    browser.is_clean(&[]);
    assert_eq!(tab.evaluate("return typeof axe", &[]), "undefined", "the page's own scripts see nothing of it");
}
