//! What goes wrong around a page: somebody else signs in, the way is lost, the ground changes elsewhere, nothing can be kept.

use serde_json::json;

use super::{
    account::{program_of, settings},
    labels::origin,
    replies,
};
use crate::support::{
    Client, Server,
    browser::{Browser, Tab},
    cut::Relay,
    list,
    stub::Stub,
};

/// Notes, over a reload too, whether these words were ever in the page under this name.
const WATCH_NAME: &str = "const [name, words] = arguments;
    sessionStorage.setItem('mixed', 'no');
    new MutationObserver(() => {
        const isTheirs = document.getElementById('open-settings')?.textContent.includes(name);
        if (isTheirs && document.body.textContent.includes(words)) sessionStorage.setItem('mixed', 'yes');
    }).observe(document, { subtree: true, childList: true, characterData: true });";

/// The titles of all sessions of somebody.
fn titles(client: &mut Client) -> Vec<String> {
    let sessions = client.get("/api/v1/sessions").expect(200).json();
    list(&sessions["sessions"]).iter().map(|session| session["title"].as_str().unwrap_or_default().to_owned()).collect()
}

fn wait_name(tab: &Tab, name: &str) {
    tab.wait_text("#open-settings", &format!("Settings of {name}"));
}

#[test]
fn a_message_that_waits_is_never_sent_in_the_name_of_who_signs_in_next() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&relay.origin(), "amina");
    relay.cut();
    first.say("what amina alone may read");
    first.wait_state("what amina alone may read", "unconfirmed");

    // Cookies do not know ports: it is the same login.
    let second = browser.open(&origin(&server));
    wait_name(&second, "amina");
    settings(&second);
    second.press_button("Sign out");
    second.wait_entrance();
    second.register(&origin(&server), "bela");
    second.say("what bela alone may read");
    second.wait_answered(1);

    first.evaluate(WATCH_NAME, &[json!("amina"), json!("bela")]);
    relay.mend();
    wait_name(&first, "bela");
    first.wait_text("#sessions", "what bela alone may read");
    assert_eq!(first.evaluate("return sessionStorage.getItem('mixed')", &[]), "no");
    assert!(!first.text("body").contains("amina"), "nothing of amina's is shown");
    let mut bela = program_of(&server, "bela");
    assert_eq!(titles(&mut bela), ["what bela alone may read"]);
    let found = bela.get("/api/v1/chat/search?q=amina").expect(200).json();
    assert_eq!(found["total"], 0, "{found}");

    // It was kept for her, and is sent once she is back.
    settings(&first);
    first.press_button("Sign out");
    first.wait_entrance();
    first.sign_in("amina");
    first.wait_text("#sessions", "what amina alone may read");
    let mut amina = program_of(&server, "amina");
    assert_eq!(titles(&mut amina), ["what amina alone may read"]);
}

#[test]
fn a_reply_goes_on_from_its_first_word_for_who_was_in_another_conversation() {
    let stub = Stub::start();
    let server = replies::start(&stub, &[]);
    let (browser, other) = (Browser::start(), Browser::start());
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("[[gate left]] one two three four five six");
    stub.step("left");
    tab.wait_growing("one");
    let left = tab.url();
    let witness = other.open(&left);
    witness.sign_in("amina");
    tab.press_button("New conversation");
    tab.wait_url("/");
    stub.step("left");
    stub.step("left");
    witness.wait_growing("three");
    // The stream is one: what was told before this has been told here too.
    tab.say("meanwhile");
    tab.wait_answered(1);
    tab.back();
    tab.wait_url(&left);
    tab.wait_growing("three");
    let growing = |tab: &Tab| tab.shown().pop().unwrap();
    assert!(growing(&tab).text.starts_with("one two three"), "{:?}", growing(&tab));
    stub.step("left");
    tab.wait_growing("one two three four");
    stub.release("left");
    tab.wait_answered(1);
    assert_eq!(growing(&tab).text, "one two three four five six");
}

#[test]
fn who_signs_out_leaves_no_word_in_the_document_and_is_asked_where_one_is_unsent() {
    let stub = Stub::start();
    let server = replies::start(&stub, &[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("my secret garden");
    tab.wait_answered(1);
    let spoken = "return announcer.textContent.includes('secret')";
    tab.wait("the reply to be spoken", spoken, &[]);
    relay.hold();
    tab.say("a secret on its way");
    tab.wait_state("a secret on its way", "sending");
    tab.write("#text", "half a secret");
    settings(&tab);
    tab.press_button("Sign out");
    tab.wait_text("dialog", "1 message is not sent yet, and would be lost.");
    tab.press_button("Cancel");
    tab.wait_gone("dialog");
    assert!(tab.kept().contains("a secret on its way"), "nothing has happened so far");
    tab.press_button("Sign out");
    tab.wait_text("dialog", "would be lost");
    tab.press_button("Sign out");
    relay.mend();
    tab.wait_entrance();
    let document = tab.evaluate("return document.documentElement.innerHTML", &[]);
    assert!(!document.as_str().unwrap().contains("secret"), "{document}");
    assert_eq!(tab.kept(), "{}");
}

#[test]
fn a_turn_further_up_that_was_answered_anew_meanwhile_shows_both_replies() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    for (count, words) in ["first", "second"].into_iter().enumerate() {
        tab.say(words);
        tab.wait_answered(count + 1);
    }
    let session = tab.url().rsplit('/').next().unwrap().to_owned();
    relay.cut();
    let mut amina = program_of(&server, "amina");
    amina.post(&format!("/api/v1/sessions/{session}/messages/1/retry"), &json!({}));
    relay.mend();
    tab.wait_count("[data-role=assistant]", 3);
    let states = ["user:answered", "assistant:superseded", "user:answered", "assistant:complete", "assistant:complete"];
    assert_eq!(tab.states(), states);
}

#[test]
fn a_first_message_that_was_refused_is_kept_for_the_next_conversation_and_makes_it() {
    let mut server = Server::start(&["limits.free.messages_per_minute=1"]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    let mut amina = program_of(&server, "amina");
    let used = amina.session();
    amina.say(&used, "used up");
    tab.say("my first words");
    tab.wait_state("my first words", "refused");
    tab.press_button("Edit");
    assert_eq!(tab.value("#text"), "my first words");
    tab.goto(&format!("{}/s/{used}", relay.origin()));
    tab.wait_answered(1);
    tab.press_button("New conversation");
    tab.wait_url("/");
    tab.write("#text", "again my first words");
    tab.press("Enter");
    tab.wait_state("again my first words", "refused");
    tab.press_button("Edit");
    tab.click(&format!("#sessions a[href='/s/{used}']"));
    tab.wait_answered(1);
    tab.press_button("New conversation");
    tab.wait_url("/");
    assert!(tab.value("#text").contains("again my first words"), "{}", tab.value("#text"));
    server.stop();
    let server = server.restart(&[]);
    relay.point_at(server.address);
    tab.press("Enter");
    tab.wait_answered(1);
    tab.wait_text("#title", "again my first words");
}

#[test]
fn what_was_cleared_while_a_page_was_away_is_gone_when_it_is_back() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("to be forgotten");
    tab.wait_answered(1);
    relay.cut();
    let mut amina = program_of(&server, "amina");
    let session = tab.url().rsplit('/').next().unwrap().to_owned();
    amina.delete("/api/v1/chat/history").expect(204);
    amina.say(&session, "said afterwards");
    relay.mend();
    tab.wait_state("said afterwards", "answered");
    let said: Vec<_> = tab.shown().into_iter().map(|shown| (shown.seq, shown.role)).collect();
    assert_eq!(said, [(Some(3), "user".to_owned()), (Some(4), "assistant".to_owned())]);
}

#[test]
fn what_was_begun_in_a_conversation_that_is_deleted_elsewhere_is_in_the_next_box() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("hello");
    tab.wait_answered(1);
    tab.write("#text", "half a thought");
    let session = tab.url().rsplit('/').next().unwrap().to_owned();
    program_of(&server, "amina").delete(&format!("/api/v1/sessions/{session}")).expect(204);
    tab.wait_url("/");
    assert_eq!(tab.value("#text"), "half a thought");
    assert!(!tab.kept().contains(&session), "nothing of it stays: {}", tab.kept());
    tab.press("Enter");
    tab.wait_answered(1);
    assert_eq!(tab.text("#title"), "half a thought");
}

#[test]
fn who_looks_at_the_settings_comes_back_to_where_they_read() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    let mut amina = program_of(&server, "amina");
    let session = amina.session();
    for turn in 0..30 {
        amina.say(&session, &format!("turn {turn}"));
    }
    tab.goto(&format!("{}/s/{session}", origin(&server)));
    tab.wait_answered(30);
    tab.wheel("#log", -900);
    tab.wait_for("#latest");
    let stands = "return Math.round(document.getElementById('log').scrollTop)";
    let before = tab.evaluate(stands, &[]);
    settings(&tab);
    tab.back();
    tab.wait_for("#log");
    tab.frame();
    assert_eq!(tab.evaluate(stands, &[]), before);
}

/// Holds the answer to what is sent, until `lose()` says that there is none.
const HOLD_SENDS: &str = "const ask = window.fetch;
    window.fetch = (path, options) => String(path).endsWith('/messages')
        ? new Promise((_, fail) => { window.lose = () => fail(new TypeError('lost')); })
        : ask(path, options);";

#[test]
fn what_was_being_sent_to_a_conversation_that_is_deleted_does_not_come_back_to_the_browser() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("hello");
    tab.wait_answered(1);
    let session = tab.url().rsplit('/').next().unwrap().to_owned();
    tab.evaluate(HOLD_SENDS, &[]);
    tab.say("on its way");
    tab.wait_state("on its way", "sending");
    program_of(&server, "amina").delete(&format!("/api/v1/sessions/{session}")).expect(204);
    tab.wait_url("/");
    // The failure is taken in by what waits for it before the next task runs.
    tab.evaluate("lose(); return new Promise(done => setTimeout(done));", &[]);
    assert!(!tab.kept().contains(&session), "nothing of it stays: {}", tab.kept());
    assert_eq!(tab.value("#text"), "on its way", "nobody has said that it was stored");
}

#[test]
fn what_was_written_for_a_conversation_that_went_while_the_page_was_away_is_in_the_next_box() {
    const GONE: &str = "That conversation is not there any more. What you wrote for it is in the box of a new one.";
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    let mut amina = program_of(&server, "amina");
    let mut delete = || {
        let session = tab.url().rsplit('/').next().unwrap().to_owned();
        amina.delete(&format!("/api/v1/sessions/{session}")).expect(204);
        session
    };
    tab.say("hello");
    tab.wait_answered(1);
    relay.cut();
    tab.write("#text", "half a thought");
    let session = delete();
    relay.mend();
    tab.wait_url("/");
    tab.wait_text("#note", GONE);
    assert_eq!(tab.value("#text"), "half a thought");
    assert!(!tab.kept().contains(&session), "nothing of it stays: {}", tab.kept());

    tab.press("Enter");
    tab.wait_answered(1);
    relay.cut();
    for words in ["sent in vain", "and this behind it"] {
        tab.say(words);
        tab.wait_state(words, "unconfirmed");
    }
    tab.write("#text", "and half of more");
    let session = delete();
    relay.mend();
    tab.wait_url("/");
    tab.wait_text("#note", GONE);
    assert_eq!(tab.value("#text"), "sent in vain\nand this behind it\nand half of more");
    assert!(!tab.kept().contains(&session), "nothing of it stays: {}", tab.kept());

    // Nobody looks at it, and it is told all the same.
    tab.press("Enter");
    tab.wait_answered(1);
    relay.cut();
    tab.say("sent in vain again");
    tab.wait_state("sent in vain again", "unconfirmed");
    delete();
    tab.press_button("New conversation");
    tab.wait_url("/");
    relay.mend();
    tab.wait_text("#note", GONE);
    assert_eq!(tab.value("#text"), "sent in vain again");
    tab.press("Enter");
    tab.wait_answered(1);
}

/// Keeps a message that was refused before its session was made.
const REFUSED: &str = "const user = localStorage.getItem('bondhu.user');
    const entry = { key: 'a key', session: arguments[0], makes: true, title: 'my', content: 'my first words', after: 0,
        at: Date.now(), state: 'refused', detail: 'Not now.' };
    localStorage.setItem(`bondhu.unsent.${user}.a key`, JSON.stringify(entry));";

#[test]
fn a_first_message_that_was_refused_is_kept_for_the_next_conversation_after_a_reload_too() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    let session = "2b1f6d0c-5c1e-4d6a-9a55-0d8f4b0f7a11";
    tab.evaluate(REFUSED, &[json!(session)]);
    tab.goto(&format!("{}/s/{session}", origin(&server)));
    tab.wait_state("my first words", "refused");
    tab.press_button("New conversation");
    tab.wait_url("/");
    assert_eq!(tab.value("#text"), "my first words");
    assert!(!tab.kept().contains(session), "nothing leads there any more: {}", tab.kept());
    tab.press("Enter");
    tab.wait_answered(1);
}
