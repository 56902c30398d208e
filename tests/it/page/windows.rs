//! One person with several windows: they share what the browser keeps, and lose or do nothing twice for it.

use serde_json::json;

use super::labels::origin;
use crate::support::{
    Server,
    browser::{Browser, Tab},
    cut::Relay,
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

/// How many times a message was sent so far, stored or not.
fn sent(browser: &Browser) -> usize {
    let requests = browser.requests();
    requests.iter().filter(|request| request.method == "POST" && request.url.ends_with("/messages")).count()
}

#[test]
fn one_window_sends_a_message_and_another_where_that_one_is_gone() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&relay.origin(), "amina");
    first.say("hello");
    first.wait_answered(1);
    let others = [browser.open(&first.url()), browser.open(&first.url())];
    for other in &others {
        other.wait_answered(1);
    }
    let before = sent(&browser);
    first.say("once");
    for tab in others.iter().chain([&first]) {
        tab.wait_answered(2);
    }
    assert_eq!(sent(&browser), before + 1, "three windows, one request");

    relay.hold();
    first.say("left behind");
    for other in &others {
        other.wait_state("left behind", "sending");
    }
    first.close();
    relay.mend();
    for other in &others {
        other.wait_answered(3);
    }
    let said: Vec<_> =
        others[0].shown().into_iter().filter(|shown| shown.role == "user").map(|shown| shown.text).collect();
    assert_eq!(said, ["hello", "once", "left behind"]);
}

#[test]
fn a_message_that_is_refused_in_one_window_says_so_in_all() {
    let server = Server::start(&["limits.free.messages_per_minute=1"]);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&origin(&server), "amina");
    first.say("hello");
    first.wait_answered(1);
    let second = browser.open(&first.url());
    second.wait_answered(1);
    let before = sent(&browser);
    first.say("too much");
    for tab in [&first, &second] {
        tab.wait_state("too much", "refused");
        tab.wait_text("article.message", "That was too much at once.");
    }
    assert_eq!(sent(&browser), before + 1, "who is refused asks once");
    second.press_button("Discard");
    for tab in [&first, &second] {
        tab.wait_answered(1);
    }
}

#[test]
fn two_windows_send_where_browsers_have_no_locks() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    // As on a page that came over plain HTTP from another machine.
    tab.evaluate("Object.defineProperty(navigator, 'locks', { value: undefined })", &[]);
    tab.say("hello");
    tab.wait_answered(1);
    tab.say("again");
    tab.wait_answered(2);
}
