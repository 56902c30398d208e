//! How the page looks, everywhere: each screen and state on a phone, a tablet and a desk, light and dark. The rules of
//! accessibility judge each; pictures of all go to `target/page/`, for people to look at.

use serde_json::json;

use super::replies::start;
use crate::support::{
    Server,
    browser::{Browser, Media, Tab},
    cut::Relay,
    stub::Stub,
};

/// Width and height of the windows that are looked at.
const WINDOWS: [(u32, u32); 3] = [(320, 640), (768, 1024), (1440, 900)];

/// Judges the screen in all windows and themes, and takes its pictures.
#[track_caller]
pub(super) fn look(tab: &Tab, name: &str) {
    for dark in [false, true] {
        tab.media(Media { dark, still: true, ..Media::default() });
        for (width, height) in WINDOWS {
            tab.viewport(width, height);
            let wide = tab.evaluate("return document.documentElement.scrollWidth - innerWidth;", &[]);
            assert!(wide.as_i64().unwrap() <= 0, "{name} is {wide} pixels too wide at {width}");
            let tall = tab.evaluate(
                "return document.querySelector('.shell') ? document.documentElement.scrollHeight - innerHeight : 0;",
                &[],
            );
            assert!(tall.as_i64().unwrap() <= 0, "the frame is {tall} pixels higher than the window, at {name}");
            tab.shot(name);
            let violations = tab.axe_violations();
            assert!(violations.is_empty(), "{name} at {width}, dark: {dark}:\n  {}", violations.join("\n  "));
        }
    }
}

#[test]
fn the_entrance_is_for_everyone() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.open(&format!("http://{}/", server.address));
    tab.wait_for("#sign-in");
    look(&tab, "entrance");
    tab.write("#username", "amina");
    tab.write("#password", "a wrong password");
    tab.press("Enter");
    tab.wait_for(".fault");
    look(&tab, "entrance-refused");
    tab.press_button("Create an account");
    tab.wait_for("#register");
    look(&tab, "registration");
    tab.write("#username", "amina");
    tab.write("#password", "too short");
    tab.press("Enter");
    tab.wait_for(".fault");
    look(&tab, "registration-refused");
}

#[test]
fn a_conversation_is_for_everyone_in_every_state() {
    const STORY: &str = "**Once** upon a *time*, [a page](https://example.org/page) had `code` in it:\n\n```rust\nfn main() \
        { println!(\"a line that is much too long for any telephone that was ever made by anybody\"); }\n```\n\n\
        | one | two |\n| --- | --- |\n| three | four |\n\n> said somebody\n\n1. first\n2. second";
    let stub = Stub::start();
    let server = start(&stub, &["chat.message_chars_max=600"]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&format!("http://{}", server.address), "amina");
    look(&tab, "first-visit");
    tab.say("How was your day? Mine was long, and at its end it rained.");
    tab.wait_answered(1);
    tab.click("#text");
    tab.insert(&format!("[[gate story]] {STORY}"));
    tab.press("Enter");
    for _ in 0..8 {
        stub.step("story");
    }
    tab.wait_growing("Once");
    look(&tab, "answering");
    tab.press_button("Stop");
    tab.wait_state("Once", "stopped");
    look(&tab, "stopped");
    stub.release("story");
    tab.press_button("Try again");
    tab.wait_answered(2);
    look(&tab, "answered-again");
    tab.say("[[status 400]] this can't be answered");
    tab.wait_state("this can't", "failed");
    tab.insert(&"a text that is longer than what may be said at once, by far ".repeat(11));
    look(&tab, "failed-and-too-long");
}

#[test]
fn text_of_every_kind_stays_in_its_place() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&format!("http://{}", server.address), "amina");
    tab.say("আজ আমার মন ভালো নেই, কেন জানি না।");
    tab.say("आज मेरा मन उदास है।");
    tab.say("مرحبا، كيف حالك اليوم؟ كان يومي طويلا.");
    tab.say(&"averyverylongwordwithoutanyend".repeat(12));
    tab.wait_answered(4);
    look(&tab, "languages");
    let direction = tab.evaluate(
        "return [...document.querySelectorAll('[data-role=user] .text')].map(text => getComputedStyle(text).direction);",
        &[],
    );
    assert_eq!(direction, json!(["ltr", "ltr", "rtl", "ltr"]));
}

#[test]
fn every_dialog_is_for_everyone() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&format!("http://{}", server.address), "amina");
    tab.say("I lost my umbrella in the rain");
    tab.wait_answered(1);
    tab.press_button("Get help now");
    tab.wait_for("#help-dialog");
    look(&tab, "help");
    tab.press("Escape");
    tab.wait_gone("#help-dialog");
    tab.press("Ctrl+K");
    tab.write("#search-text", "umbrella");
    tab.wait_for(".hits li");
    look(&tab, "search");
    tab.press("Escape");
    tab.wait_gone("#search-dialog");
    tab.click("#edit-session");
    tab.wait_for("#session-dialog");
    look(&tab, "session");
    tab.press_button("Delete this conversation");
    tab.wait_for("#confirm");
    look(&tab, "delete-session");
    tab.press("Escape");
    tab.wait_gone("#confirm");
    tab.viewport(320, 640);
    tab.click("#toggle-sessions");
    tab.wait_for("#sidebar");
    tab.shot("sidebar");
    tab.axe();
    tab.press("Escape");
    tab.wait_gone("#sidebar");
    tab.viewport(1440, 900);
    tab.click("#open-settings");
    tab.wait_for("#logins li");
    look(&tab, "settings");
    tab.click("#show-keys");
    tab.wait_for("#keys-dialog");
    look(&tab, "keys");
    tab.press("Escape");
    tab.wait_gone("#keys-dialog");
    tab.click("#delete-account");
    tab.wait_for("#confirm");
    look(&tab, "delete-account");
}

#[test]
fn a_lost_connection_is_said_to_everyone() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("said before");
    tab.wait_answered(1);
    relay.cut();
    tab.say("said while nobody was there");
    tab.wait_state("said while nobody was there", "unconfirmed");
    tab.wait("the page to say so", "return connection.textContent !== '';", &[]);
    look(&tab, "connection-lost");
}
