//! The page of the API's description, in a real Chromium: what it shows, how it is searched, and a try of a call.

use bondhu::http::routes::ROUTES;
use serde_json::json;

use super::{labels::origin, looks::look};
use crate::support::{
    Server,
    browser::{Browser, Tab},
};

fn open(server: &Server, browser: &Browser, hash: &str) -> Tab {
    let tab = browser.open(&format!("{}/docs{hash}", origin(server)));
    tab.wait_for("#calls .call");
    tab
}

/// The calls that are shown, by their ids.
fn shown(tab: &Tab) -> Vec<String> {
    let js = "return [...document.querySelectorAll('.call')].filter(one => one.checkVisibility()).map(one => one.id)";
    serde_json::from_value(tab.evaluate(js, &[])).unwrap()
}

#[test]
fn the_page_has_every_call_and_the_filter_finds_by_any_word() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = open(&server, &browser, "");
    assert_eq!(shown(&tab).len(), ROUTES.len());
    assert_eq!(tab.text("#count"), format!("{} calls", ROUTES.len()));
    tab.fill("Only calls with", "retry message");
    assert_eq!(shown(&tab), ["retry"]);
    assert_eq!(tab.text("#count"), format!("1 of {} calls", ROUTES.len()));
    assert_eq!(tab.texts(".docs nav li:not([hidden])"), ["Messages"], "areas without a call are not offered");
    tab.fill("Only calls with", "DELETE 404 administration");
    assert_eq!(shown(&tab), ["endLogins", "removeJob"]);
    tab.fill("Only calls with", "nothing has this word");
    assert!(shown(&tab).is_empty());
    browser.is_clean(&[]);
    browser.asked_only(&[&origin(&server)]);
}

#[test]
fn a_call_shows_what_it_takes_and_answers_and_a_line_that_a_shell_takes() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = open(&server, &browser, "#register");
    tab.wait_text("#register[open] .inner", "Anyone.");
    tab.wait_text("#register .fields", "1–64 characters");
    tab.wait_text("#register .refusals", "name-taken");
    let line = tab.text("#register [aria-label='A line for curl']");
    let ran =
        std::process::Command::new("sh").args(["-c", &format!("echo {}", &line["curl ".len()..])]).output().unwrap();
    let words = String::from_utf8(ran.stdout).unwrap();
    let body = r#"{"username":"amina","password":"seven green umbrellas""#;
    assert!(
        words.starts_with(&format!(
            "-X POST {}/api/v1/auth/register -H Content-Type: application/json",
            origin(&server)
        )),
        "{words}"
    );
    assert!(words.contains(body), "{words}");
    tab.goto(&format!("{}/docs#sessionEvents", origin(&server)));
    for words in ["state", "at least 0", "Last-Event-ID", "provisional until its"] {
        tab.wait_text("#sessionEvents .inner", words);
    }
    tab.wait_text("#sessionEvents [aria-label='A line for curl']", "curl -N");
    assert!(tab.text("#sessionEvents .inner").contains("Who shows a token"));
    browser.is_clean(&[]);
}

#[test]
fn calls_that_speak_as_openai_say_so() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = open(&server, &browser, "#v1Respond");
    for words in ["a cookie is not taken", "response.output_text.delta", "previous_response_not_found", "key_reused"] {
        tab.wait_text("#v1Respond[open] .inner", words);
    }
    tab.goto(&format!("{}/docs#v1Complete", origin(&server)));
    tab.wait_text("#v1Complete .answer", "\"chat.completion.chunk\"");
    browser.is_clean(&[]);
}

#[test]
fn a_try_asks_for_members_one_by_one() {
    let server = Server::start(&[]);
    let (mut client, _) = server.user("amina");
    for topic in ["rain", "snow"] {
        let messages = json!([{"role": "user", "content": topic}]);
        let asked = json!({"store": true, "metadata": {"topic": topic}, "messages": messages});
        client.post("/v1/chat/completions", &asked).expect(200);
    }
    let browser = Browser::start();
    let tab = open(&server, &browser, "#v1Completions");
    tab.wait_for("#v1Completions .try");
    tab.click("#v1Completions .try summary");
    tab.fill("Token for \"Try it\"", client.token.as_ref().unwrap());
    tab.fill("metadata (query, as key=value)", "topic=snow");
    tab.press_button("Send");
    tab.wait_text("#v1Completions .try [role=status]", "200");
    tab.wait_text("#v1Completions .try pre", "snow");
    assert!(!tab.text("#v1Completions .try pre").contains(r#""rain""#));
    browser.is_clean(&[]);
}

#[test]
fn a_try_shows_the_token_of_the_field_and_no_cookie() {
    let server = Server::start(&[]);
    let (client, id) = server.user("amina");
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "rahim");
    tab.goto(&format!("{}/docs#me", origin(&server)));
    tab.wait_for("#me .try");
    tab.click("#me .try summary");
    tab.press_button("Send");
    tab.wait_text("#me .try [role=status]", "401");
    tab.fill("Token for \"Try it\"", client.token.as_ref().unwrap());
    tab.press_button("Send");
    tab.wait_text("#me .try [role=status]", "200");
    tab.wait_text("#me .try pre", &id);
    // A stream ends with the page's patience, and shows what came.
    tab.evaluate("location.hash = 'events'", &[]);
    tab.wait_for("#events .try");
    tab.evaluate("document.querySelector('#me').open = false", &[]);
    tab.click("#events .try summary");
    tab.press_button("Send");
    tab.wait_text("#events .try [role=status]", "200");
    browser.is_clean(&["401"]);
}

#[test]
fn the_page_of_the_description_is_for_everyone() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = open(&server, &browser, "");
    look(&tab, "docs");
    tab.evaluate("location.hash = 'send'", &[]);
    tab.wait_for("#send .try");
    look(&tab, "docs-call");
    tab.click("#send .try summary");
    tab.evaluate("document.querySelector('#send .try').scrollIntoView()", &[]);
    tab.shot("docs-try");
    tab.axe();
    // By keyboard alone: from the filter to a call and into it.
    tab.evaluate("document.querySelector('#send').open = false; document.querySelector('#filter').focus()", &[]);
    tab.keys("about");
    tab.evaluate("document.querySelector('#about summary').focus()", &[]);
    tab.press("Enter");
    tab.wait_text("#about[open] .inner", "Anyone.");
    let focused = tab.evaluate("return document.activeElement.parentElement.id", &[]);
    assert_eq!(focused, json!("about"));
}
