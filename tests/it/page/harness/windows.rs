//! Windows, browsers, and their end.

use std::process::Command;

use serde_json::json;

use super::failure;
use crate::support::{
    browser::{Browser, processes_of},
    site::{Page, Site},
};

const COUNTER: &str = "<!doctype html><html lang=en><title>Counter</title><p id=count>0</p><script>
    addEventListener('storage', event => document.getElementById('count').textContent = event.newValue);
    </script>";

#[test]
fn windows_share_their_person_and_browsers_do_not() {
    let site = Site::start(|_| Page::html(COUNTER).with("set-cookie: who=amina; Path=/"));
    let browser = Browser::start();
    let (one, two) = (browser.open(&site.origin()), browser.open(&site.origin()));
    one.evaluate("localStorage.setItem('count', '1')", &[]);
    two.wait_text("#count", "1");
    for tab in [&one, &two] {
        let js =
            "return [document.visibilityState, document.hasFocus(), document.cookie, localStorage.getItem('count')]";
        assert_eq!(tab.evaluate(js, &[]), json!(["visible", true, "who=amina", "1"]));
    }
    one.close();
    two.evaluate("localStorage.setItem('count', '2')", &[]);
    assert_eq!(browser.open(&site.origin()).evaluate("return localStorage.getItem('count')", &[]), "2");

    let other = Browser::start();
    let tab = other.open(&site.origin());
    let group = other.group();
    assert!(other.processes().len() > 3, "{:?}", other.processes());
    drop(other);
    let kept = tab.evaluate("return localStorage.getItem('count')", &[]);
    assert_eq!(kept, json!(null), "a browser lives as long as its tabs");
    drop(tab);
    assert_eq!(processes_of(group), [0; 0]);
}

#[test]
fn nothing_is_left_of_a_browser_whatever_ended_it() {
    let mut group = 0;
    failure(|| {
        let browser = Browser::start();
        group = browser.group();
        browser.open("about:blank").wait("be", "(", &[])
    });
    assert!(group > 0 && processes_of(group).is_empty());

    let killed = Browser::start();
    let (tab, group) = (killed.open("about:blank"), killed.group());
    for process in killed.processes().into_iter().filter(|&process| process != group) {
        let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap();
    }
    failure(|| tab.evaluate("return 1", &[]));
    drop((killed, tab));
    assert_eq!(processes_of(group), [0; 0]);
}
