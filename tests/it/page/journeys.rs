//! What people do all day: write, look again, and look from elsewhere.

use crate::support::{Server, browser::Browser};

fn origin(server: &Server) -> String {
    format!("http://{}", server.address)
}

#[test]
fn p1_five_messages_are_all_there_after_a_refresh() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    assert!(tab.shows(".welcome"), "a first visit explains itself");
    for text in ["first", "second", "third", "fourth", "fifth"] {
        tab.say(text);
    }
    tab.wait_answered(5);
    let before = tab.shown();
    let said: Vec<_> = before.iter().filter(|shown| shown.role == "user").map(|shown| shown.text.as_str()).collect();
    assert_eq!(said, ["first", "second", "third", "fourth", "fifth"]);
    assert_eq!(before.len(), 10, "{before:#?}");
    tab.reload();
    tab.wait_answered(5);
    assert_eq!(tab.shown(), before);
    assert!(tab.url().contains("/s/"), "{}", tab.url());
    browser.is_clean(&["401 (Unauthorized)"]);
    browser.asked_only(&[&origin(&server)]);
}

#[test]
fn p3_what_one_tab_writes_the_other_shows_without_a_reload() {
    let server = Server::start(&[]);
    let (home, phone) = (Browser::start(), Browser::start());
    let first = home.tab();
    first.register(&origin(&server), "amina");
    first.say("hello from the first tab");
    first.wait_answered(1);
    let second = home.open(&first.url());
    let third = phone.open(&first.url());
    third.sign_in("amina");
    for tab in [&second, &third] {
        tab.wait_answered(1);
    }
    second.say("and from the second");
    third.wait_answered(2);
    third.say("and from the phone");
    for tab in [&first, &second, &third] {
        tab.wait_answered(3);
    }
    assert_eq!(first.shown(), second.shown());
    assert_eq!(first.shown(), third.shown());
}
