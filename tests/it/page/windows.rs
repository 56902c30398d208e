//! One person with several windows: they share what the browser keeps, and lose or do nothing twice for it.

use serde_json::json;

use super::labels::origin;
use crate::support::{
    Server,
    browser::{Browser, Tab},
};

fn wait_box(tab: &Tab, text: &str) {
    tab.wait(
        &format!("{text:?} in the box"),
        "return document.getElementById('text').value === arguments[0]",
        &[json!(text)],
    );
}

#[test]
fn what_is_written_in_two_windows_is_lost_in_neither() {
    const LONG: &str = "a long thought that is not finished";
    let server = Server::start(&[]);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&origin(&server), "amina");
    first.say("hello");
    first.wait_answered(1);
    let second = browser.open(&first.url());
    second.wait_answered(1);
    first.write("#text", LONG);
    second.rewrite("#text", "short");
    second.press("Enter");
    second.wait_answered(2);
    first.wait_answered(2);
    assert_eq!(first.value("#text"), LONG);
    first.reload();
    first.wait_answered(2);
    wait_box(&first, LONG);
}

#[test]
fn what_is_sent_in_one_window_leaves_the_box_of_another() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&origin(&server), "amina");
    first.say("hello");
    first.wait_answered(1);
    first.write("#text", "to be sent once");
    let second = browser.open(&first.url());
    wait_box(&second, "to be sent once");
    first.press("Enter");
    first.wait_answered(2);
    wait_box(&second, "");
    second.reload();
    second.wait_answered(2);
    assert_eq!(second.value("#text"), "");

    // What is only deleted in one window was not sent: the other keeps it.
    first.write("#text", "not to be lost");
    second.reload();
    wait_box(&second, "not to be lost");
    first.rewrite("#text", "-");
    first.press("Backspace");
    wait_box(&first, "");
    let js = "return Object.values(localStorage).includes('not to be lost')";
    second.wait("the draft to be kept", js, &[]);
    assert_eq!(second.value("#text"), "not to be lost");
}
