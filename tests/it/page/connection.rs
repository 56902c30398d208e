//! The page while its server, or the way there, is away.

use serde_json::json;

use super::replies::start;
use crate::support::{
    Random, Server,
    browser::{Browser, Tab},
    comes_true,
    cut::Relay,
    stub::Stub,
};

/// What browsers log of requests that failed because nobody was there: the page says it in its own words.
const AWAY: [&str; 8] = [
    "401 (Unauthorized)",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_CONNECTION_CLOSED",
    "ERR_EMPTY_RESPONSE",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_SOCKET_NOT_CONNECTED",
    "ERR_INTERNET_DISCONNECTED",
];

/// Notes every word that the page's line on the connection ever had.
fn watch_connection(tab: &Tab) {
    let js = "window.saidOfConnection = [];
        const line = document.getElementById('connection');
        new MutationObserver(() => window.saidOfConnection.push([Math.round(performance.now()), line.textContent]))
            .observe(line, { childList: true, characterData: true, subtree: true });";
    tab.evaluate(js, &[]);
}

fn said_of_connection(tab: &Tab) -> Vec<String> {
    let said = tab.evaluate("return window.saidOfConnection.map(([, words]) => words).filter(Boolean);", &[]);
    said.as_array().unwrap().iter().map(|words| words.as_str().unwrap().to_owned()).collect()
}

#[test]
fn p5_a_refresh_at_any_moment_of_a_reply_shows_it_from_its_first_word_and_to_its_end() {
    const WORDS: usize = 40;
    let stub = Stub::start();
    let server = start(&stub, &[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&format!("http://{}", server.address), "amina");
    let mut random = Random::seeded("refresh");
    for round in 0..10 {
        let words: Vec<String> = (0..WORDS).map(|n| format!("word{n}")).collect();
        let gate = format!("refresh{round}");
        tab.say(&format!("[[gate {gate}]] {}", words.join(" ")));
        let before = random.below(WORDS - 1);
        for _ in 0..before {
            stub.step(&gate);
        }
        if before > 0 {
            tab.wait_growing("word0");
        } else {
            tab.wait_state(&gate, "stored");
        }
        tab.reload();
        stub.step(&gate);
        tab.wait_growing("word0");
        let growing = tab.shown().into_iter().find(|shown| shown.role == "assistant" && shown.state == "answering");
        assert!(growing.unwrap().text.starts_with("word0"), "round {round} after {before} words");
        stub.release(&gate);
        tab.wait_answered(round + 1);
        let last = tab.shown().pop().unwrap();
        assert_eq!(last.text, words.join(" "), "round {round} after {before} words");
    }
}

#[test]
fn p5_a_server_killed_in_the_middle_of_a_reply_comes_back_and_the_page_with_it() {
    let stub = Stub::start();
    let mut server = start(&stub, &[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("said before");
    tab.wait_answered(1);
    tab.say("[[gate killed]] one two three four five six");
    stub.step("killed");
    stub.step("killed");
    stub.step("killed");
    tab.wait_growing("one");
    server.kill();
    tab.wait(
        "the page to say that the connection is lost",
        "return connection.textContent.includes('reconnecting');",
        &[],
    );
    tab.say("said while nobody was there");
    tab.wait_state("said while nobody was there", "unconfirmed");
    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    let server = server.restart(&["reply.backend=openai", &base_url]);
    stub.release("killed");
    relay.point_at(server.address);
    tab.wait_answered(3);
    let shown = tab.shown();
    let texts: Vec<_> = shown.iter().map(|shown| shown.text.as_str()).collect();
    assert_eq!(texts.len(), 6, "{shown:#?}");
    assert_eq!(shown.iter().map(|shown| shown.seq.unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(texts.contains(&"one two three four five six"));
    tab.wait("the page to say no more of it", "return connection.textContent === '';", &[]);
    browser.is_clean(&AWAY);
}

#[test]
fn ten_seconds_offline_lose_nothing_and_are_said_once() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let (browser, other) = (Browser::start(), Browser::start());
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("said before");
    tab.wait_answered(1);
    let elsewhere = other.open(&tab.url().replace(&relay.origin(), &format!("http://{}", server.address)));
    elsewhere.sign_in("amina");
    elsewhere.wait_answered(1);
    watch_connection(&tab);
    let cut_at = tab.evaluate("return performance.now();", &[]).as_f64().unwrap();
    relay.cut();
    elsewhere.say("said elsewhere meanwhile");
    elsewhere.wait_answered(2);
    tab.say("said offline");
    tab.wait_state("said offline", "unconfirmed");
    tab.wait("ten seconds to pass", "return performance.now() - arguments[0] > 10000;", &[json!(cut_at)]);
    relay.mend();
    tab.wait_answered(3);
    elsewhere.wait_answered(3);
    assert_eq!(tab.shown(), elsewhere.shown());
    let said = said_of_connection(&tab);
    assert_eq!(said, ["The connection is lost; reconnecting…"], "it is said, and once");
    let said_at = tab.evaluate("return window.saidOfConnection[0][0];", &[]).as_f64().unwrap();
    assert!(said_at - cut_at > 1500.0, "a short loss is repaired in silence");
    browser.is_clean(&AWAY);
}

#[test]
fn a_connection_that_is_lost_for_a_moment_is_repaired_in_silence() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("said before");
    tab.wait_answered(1);
    watch_connection(&tab);
    for round in 2..5 {
        let cut_at = tab.evaluate("return performance.now();", &[]).as_f64().unwrap();
        relay.cut();
        relay.mend();
        tab.say("said right after it");
        tab.wait_answered(round);
        // Where a machine is so busy that it takes longer, it may be said.
        let js = "return window.saidOfConnection.filter(([at, words]) => words && at < arguments[0] + 1500)";
        assert_eq!(tab.evaluate(js, &[json!(cut_at)]), json!([]), "a short loss is repaired in silence");
        tab.evaluate("window.saidOfConnection = [];", &[]);
    }
}

#[test]
fn a_message_whose_acknowledgement_was_lost_is_stored_once() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&relay.origin(), "amina");
    tab.say("said before");
    tab.wait_answered(1);
    // What is sent now waits in the server's socket, and its answer finds nobody.
    server.signal("STOP");
    tab.say("is it there?");
    tab.wait_state("is it there?", "sending");
    relay.cut();
    tab.wait_state("is it there?", "unconfirmed");
    server.signal("CONT");
    relay.mend();
    tab.wait_answered(2);
    tab.reload();
    tab.wait_answered(2);
    let said: Vec<_> = tab.shown().into_iter().filter(|shown| shown.role == "user").map(|shown| shown.text).collect();
    assert_eq!(said, ["said before", "is it there?"]);
    let js = "return !Object.keys(localStorage).some(name => name.includes('unsent'))";
    tab.wait("what is acknowledged to be kept no longer", js, &[]);
}

/// Holds what makes a session until `pass()`.
const HOLD_SESSIONS: &str = "const ask = window.fetch;
    const held = new Promise((done) => { window.pass = done; });
    window.fetch = async (path, options) => {
        if (options?.method === 'POST' && path === '/api/v1/sessions') await held;
        return ask(path, options);
    };";

#[test]
fn nothing_is_read_of_a_conversation_that_is_still_to_be_made() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&format!("http://{}", server.address), "amina");
    tab.evaluate(HOLD_SESSIONS, &[]);
    tab.say("hello");
    tab.wait_state("hello", "sending");
    let streams = || {
        let requests = browser.requests();
        requests.iter().filter(|one| one.url.ends_with("/api/v1/events") && one.status == Some(200)).count()
    };
    let before = streams();
    tab.evaluate("dispatchEvent(new Event('offline')); dispatchEvent(new Event('online'))", &[]);
    comes_true("another stream is open", || streams() > before);
    tab.frame();
    tab.evaluate("pass()", &[]);
    tab.wait_answered(1);
    browser.is_clean(&["401 (Unauthorized)"]);
}
