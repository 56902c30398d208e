//! Replies while they are made: how they grow, how they are stopped, how they fail, and how they are asked for again.

use crate::support::{Server, browser::Browser, stub::Stub};

/// A server whose replies the stub makes.
pub(crate) fn start(stub: &Stub, more: &[&str]) -> Server {
    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    // A reply that a gate holds is held for as long as a busy machine needs to look at it.
    let patient = ["reply.openai.token_timeout_ms=120000", "reply.openai.first_token_timeout_ms=120000"];
    Server::start(&[&["reply.backend=openai", &base_url], &patient[..], more].concat())
}

#[test]
fn p5_a_reply_that_is_stopped_keeps_its_text_and_can_be_asked_for_again() {
    let stub = Stub::start();
    let server = start(&stub, &[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&format!("http://{}", server.address), "amina");
    tab.say("[[gate slow]] these words come one by one");
    stub.step("slow");
    stub.step("slow");
    tab.wait_growing("these words");
    assert!(tab.shows("#stop") && !tab.shows("#send"), "Stop stands where Send did");
    tab.press_button("Stop");
    tab.wait_state("gate slow", "stopped");
    tab.wait_state("these words", "stopped");
    stub.wait_until(|stub| stub.closed_after().is_some());
    assert!(tab.shows("#send") && !tab.shows("#stop"));
    assert_eq!(tab.accessible(":focus").1, "Message", "the keyboard is back where it was");
    stub.release("slow");
    tab.press_button("Try again");
    tab.wait_answered(1);
    let states = tab.states();
    assert_eq!(states, ["user:answered", "assistant:superseded", "assistant:complete"]);
    tab.reload();
    tab.wait_answered(1);
    assert_eq!(tab.states(), states);
}

#[test]
fn p5_a_turn_that_failed_says_so_and_is_answered_by_a_retry() {
    let stub = Stub::start();
    let server = start(&stub, &[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&format!("http://{}", server.address), "amina");
    tab.say("[[once status 400]] now it works");
    tab.wait_state("now it works", "failed");
    assert!(tab.text("[data-state=failed]").contains("No reply could be made."));
    tab.reload();
    tab.wait_state("now it works", "failed");
    tab.press_button("Try again");
    tab.wait_answered(1);
    assert_eq!(tab.states(), ["user:answered", "assistant:complete"]);
}
