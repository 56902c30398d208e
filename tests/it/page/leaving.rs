//! Whoever signs out is gone: from what the browser keeps, from other windows, and from pages that one can go back to.

use serde_json::json;

use super::{account::settings, labels::origin};
use crate::support::{
    PASSWORD, Server,
    browser::{Browser, Tab},
    cut::Relay,
};

/// Waits until the browser keeps these words as what somebody has begun to write.
fn wait_draft(tab: &Tab, words: &str) {
    let js = "return Object.values(localStorage).includes(arguments[0])";
    tab.wait("the draft to be kept", js, &[json!(words)]);
}

fn wait_nothing_kept(tab: &Tab) {
    tab.wait("nothing to be kept", "return localStorage.length === 0", &[]);
}

fn sign_out(tab: &Tab) {
    settings(tab);
    tab.press_button("Sign out");
    tab.wait_entrance();
}

#[test]
fn who_signs_out_at_the_dashboard_leaves_nothing_behind_either() {
    let server = Server::start(&["limits.free.messages_per_minute=1"]);
    server.add_admin("root");
    server.user("amina");
    let browser = Browser::start();
    let tab = browser.tab();
    for (name, button) in [("root", "Sign out"), ("amina", "Sign in as somebody else")] {
        tab.goto(&origin(&server));
        tab.wait_entrance();
        tab.sign_in(name);
        tab.write("#text", "half a secret");
        wait_draft(&tab, "half a secret");
        tab.goto(&format!("{}/dashboard", origin(&server)));
        tab.press_button(button);
        tab.wait_for("#sign-in");
        wait_nothing_kept(&tab);
    }
    // What would be lost with it is asked about, as in the chat.
    tab.goto(&origin(&server));
    tab.wait_entrance();
    tab.sign_in("amina");
    tab.say("one");
    tab.wait_answered(1);
    tab.say("two");
    tab.wait_state("two", "refused");
    tab.goto(&format!("{}/dashboard", origin(&server)));
    tab.press_button("Sign in as somebody else");
    tab.wait_text("dialog", "1 message is not sent yet, and would be lost.");
    tab.press_button("Cancel");
    tab.wait_gone("dialog");
    assert!(tab.kept().contains("two"), "nothing has happened so far");
    tab.press_button("Sign in as somebody else");
    tab.wait_text("dialog", "would be lost");
    tab.press_button("Sign out");
    tab.wait_for("#sign-in");
    wait_nothing_kept(&tab);
}

/// Notes, when somebody comes back to this page as it was left, what they could read at once.
const WATCH_RETURN: &str = "addEventListener('pageshow', ({ persisted }) => {
    sessionStorage.setItem('back', persisted ? `kept: ${document.body.innerText}` : 'loaded');
});";

/// What somebody who came back could read at once.
fn read_at_once(tab: &Tab) -> String {
    let js = "return sessionStorage.getItem('back')";
    let read = tab.wait("the page to be shown again", js, &[]).as_str().unwrap().to_owned();
    assert!(read.starts_with("kept: "), "the browser has kept the page: {read}");
    read
}

#[test]
fn a_page_to_which_one_comes_back_shows_nothing_of_who_has_signed_out_meanwhile() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("my secret garden");
    tab.wait_answered(1);
    tab.evaluate(WATCH_RETURN, &[]);
    tab.goto(&format!("{}/docs", relay.origin()));
    let other = browser.open(&relay.origin());
    other.wait_for("#text");
    sign_out(&other);
    // Nobody can be asked who is signed in.
    relay.cut();
    tab.back();
    let js = "return !/garden|amina/.test(document.body.innerText)";
    tab.wait("nothing of hers to be shown", js, &[]);
    relay.mend();
    tab.goto(&relay.origin());
    tab.wait_entrance();
    let read = read_at_once(&tab);
    assert!(!read.contains("garden") && !read.contains("amina"), "{read}");
}

#[test]
fn a_page_to_which_one_comes_back_is_there_again_for_who_has_not_signed_out() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("my secret garden");
    tab.wait_answered(1);
    tab.evaluate(WATCH_RETURN, &[]);
    tab.write("#text", "half a thought");
    for is_cut in [false, true] {
        tab.goto(&format!("{}/docs", relay.origin()));
        if is_cut {
            relay.cut();
        }
        tab.back();
        read_at_once(&tab);
        let js = "return document.body.innerText.includes('my secret garden')";
        tab.wait("the conversation to be shown", js, &[]);
        tab.wait_focus("Message");
        assert_eq!(tab.value("#text"), "half a thought");
        relay.mend();
        tab.wait_answered(1);
    }
}

#[test]
fn other_windows_are_told_what_is_so_when_somebody_signs_out_or_is_gone() {
    const NOTHING: &str = "Your login has ended, and nothing that you wrote is kept here.";
    let server = Server::start(&[]);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&origin(&server), "amina");
    let second = browser.open(&origin(&server));
    for ends in [false, true] {
        second.wait_for("#text");
        second.write("#text", "half a secret");
        wait_draft(&first, "half a secret");
        settings(&first);
        if ends {
            first.press_button("Delete my account");
            first.wait_focus("Password");
            first.keys(PASSWORD);
            first.press_button("Delete my account");
        } else {
            first.press_button("Sign out");
        }
        first.wait_entrance();
        second.wait_entrance();
        second.wait_text(".note", NOTHING);
        wait_nothing_kept(&second);
        if !ends {
            first.sign_in("amina");
            second.sign_in("amina");
            assert_eq!(second.value("#text"), "");
        }
    }
}
