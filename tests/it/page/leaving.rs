//! Whoever signs out is gone from what the browser keeps.

use serde_json::json;

use super::labels::origin;
use crate::support::{
    Server,
    browser::{Browser, Tab},
};

/// Waits until the browser keeps these words as what somebody has begun to write.
fn wait_draft(tab: &Tab, words: &str) {
    let js = "return Object.values(localStorage).includes(arguments[0])";
    tab.wait("the draft to be kept", js, &[json!(words)]);
}

fn wait_nothing_kept(tab: &Tab) {
    tab.wait("nothing to be kept", "return localStorage.length === 0", &[]);
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
