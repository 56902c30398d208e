//! Texts made to run, to load or to deceive: as what a user says, as titles, as names, and as what a model answers.
//!
//! They stand in `tests/fixtures/page/hostile.json`. A script of theirs that ran would set `window.__pwned`; what they
//! load is asked of a port that is not the server's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::replies;
use crate::support::{
    Client, PASSWORD, Server, at_once,
    browser::{Browser, Tab},
    each,
    server::text,
    stub::Stub,
};

/// A page of the log has a hundred messages, and the list of sessions fifty: so many texts are all shown at once.
const PART: usize = 45;

/// Whoever has these texts around them.
struct Person {
    name: String,
    display_name: String,
    /// The titles that the server took.
    titles: Vec<String>,
    /// The session in which all of it was said, and answered with itself.
    session: String,
    messages: Value,
}

/// What stands below the elements of a selector and does not belong there. The page draws with few elements and
/// attributes; whatever is none of them was made by a text.
const STRANGE: &str = "
    const ELEMENTS = new Set(['a', 'article', 'blockquote', 'br', 'button', 'code', 'del', 'div', 'em', 'footer', 'h1',
        'h2', 'header', 'hr', 'input', 'label', 'li', 'mark', 'ol', 'p', 'pre', 'span', 'strong', 'table', 'tbody',
        'td', 'th', 'thead', 'time', 'tr', 'ul']);
    const ATTRIBUTES = new Set(['align', 'autocomplete', 'class', 'datetime', 'dir', 'enterkeyhint', 'for', 'hidden', 'href',
        'id', 'maxlength', 'name', 'novalidate', 'placeholder', 'rel', 'required', 'role', 'scope', 'start', 'tabindex',
        'target', 'title', 'type', 'value']);
    const isOwn = (element) => ELEMENTS.has(element.localName)
        || (element.localName === 'form' && element.closest('dialog')
            && element.getAttributeNames().every((name) => name === 'novalidate'))
        || element.matches('dialog form[role=search]');
    const isKnown = ({ name }) => ATTRIBUTES.has(name) || /^(aria|data)-[a-z]+$/.test(name);
    const isSafe = (link) => {
        const url = new URL(link.href);
        if (!link.closest('.text')) return url.origin === location.origin && url.pathname.startsWith('/s/');
        const rel = [...link.relList];
        return ['http:', 'https:'].includes(url.protocol) && link.target === '_blank'
            && rel.includes('noopener') && rel.includes('noreferrer');
    };
    const strange = (css) => [...document.querySelectorAll(css)].flatMap((root) => [...root.querySelectorAll('*')])
        .filter((one) => !isOwn(one) || ![...one.attributes].every(isKnown) || (one.localName === 'a' && !isSafe(one)))
        .map((one) => one.cloneNode(false).outerHTML);
    const until = async (condition) => {
        while (!condition()) await new Promise((next) => { requestAnimationFrame(next); setTimeout(next, 50); });
    };";

/// Goes through the sessions of the list as one does with clicks. For each: its title in the head, its messages, its
/// menu, and the question before it is deleted.
const GO_THROUGH: &str = "
    const found = [];
    for (const row of document.querySelectorAll('#sessions li')) {
        const title = row.querySelector('.title').textContent;
        row.querySelector('a').click();
        await until(() => document.getElementById('title').textContent === title
            && document.querySelectorAll('article.message').length >= 2);
        if (!document.title.trim()) found.push(`no title for ${title}`);
        found.push(...strange('article.message'));
        row.querySelector('button').click();
        await until(() => document.getElementById('session-dialog'));
        found.push(...strange('#session-dialog'));
        document.querySelector('#session-dialog .danger').click();
        await until(() => document.getElementById('confirm') && !document.getElementById('session-dialog'));
        found.push(...strange('#confirm'));
        if (!document.getElementById('confirm').textContent.includes(title)) found.push(`not asked about ${title}`);
        document.querySelector('#confirm .close').click();
        await until(() => !document.querySelector('dialog'));
    }
    return [...found, ...strange('#sessions')];";

/// Notes, for every change of the log, what does not belong there, and what was seen of replies that were being made.
const WATCH: &str = "
    window.__watched = { strange: [], growing: {} };
    new MutationObserver(() => {
        window.__watched.strange.push(...strange('article.message'));
        for (const row of document.querySelectorAll('[data-role=assistant][data-state=answering]')) {
            const text = row.querySelector('.text').textContent;
            if (text !== '') window.__watched.growing[text] = true;
        }
    }).observe(document.getElementById('log'), { subtree: true, childList: true, characterData: true });";

fn families() -> BTreeMap<String, Vec<String>> {
    serde_json::from_str(include_str!("../../fixtures/page/hostile.json")).unwrap()
}

/// Makes the account of someone who is called one of these texts, says all of them, and calls sessions by them.
fn settle(server: &Server, name: String, texts: &[String]) -> Person {
    let mut client = server.client();
    let called = texts.iter().find(|text| text.chars().count() <= 100).unwrap();
    let mut account = json!({"username": name, "password": PASSWORD});
    let login = account.clone();
    account["display_name"] = json!(called);
    client.post("/api/v1/auth/register", &account).expect(201);
    let login = client.post("/api/v1/auth/login", &login).expect(200).json();
    client.token = Some(text(&login["token"]));
    let session = client.session();
    for text in texts {
        let told = client.say(&session, text);
        assert_eq!(told["message"]["content"], **text);
        assert_eq!(told["reply"]["content"], **text, "it is what the model says, too");
    }
    let titles = texts.iter().filter(|text| call(&mut client, text)).cloned().collect();
    let messages = client.page(&session, "?limit=200")["messages"].clone();
    Person { name, display_name: called.clone(), titles, session, messages }
}

/// Calls a session by the text, and says it there; false where the server takes no such title.
fn call(client: &mut Client, title: &str) -> bool {
    let made = client.post("/api/v1/sessions", &json!({"title": title}));
    if made.status == 422 {
        return false;
    }
    let session = text(&made.expect(201).json()["id"]);
    client.say(&session, title);
    true
}

/// Runs the body of a function that gives the list of what is strange, and wants that to be empty.
#[track_caller]
fn nothing_strange(tab: &Tab, js: &str) {
    let found = tab.evaluate(&format!("return (async () => {{ {STRANGE} {js} }})()"), &[]);
    assert_eq!(found, json!([]));
}

/// Comes to the page as this person.
fn enter(tab: &Tab, origin: &str, name: &str, path: &str) {
    let js = "return fetch('/api/v1/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: arguments[0], password: arguments[1] }) }).then(({ status }) => status)";
    if !tab.url().starts_with(origin) {
        tab.goto(origin);
    }
    assert_eq!(tab.evaluate(js, &[json!(name), json!(PASSWORD)]), 200);
    tab.goto(&format!("{origin}{path}"));
}

/// Every message has its row, and what a user said stands there as it was said.
fn reads_all(tab: &Tab, person: &Person) {
    tab.wait_count("article.message", person.messages.as_array().unwrap().len());
    let texts = tab.evaluate(
        "return [...document.querySelectorAll('article.message')].map((row) =>
            [Number(row.dataset.seq), row.dataset.role, row.querySelector('.text').textContent])",
        &[],
    );
    for (message, shown) in person.messages.as_array().unwrap().iter().zip(texts.as_array().unwrap()) {
        assert_eq!([&message["seq"], &message["role"]], [&shown[0], &shown[1]]);
        if message["role"] == "user" {
            assert_eq!(message["content"], shown[2]);
        }
        assert!(!text(&shown[2]).trim().is_empty(), "nothing is shown of {message}");
    }
    nothing_strange(tab, "return strange('article.message, .head, #sidebar .session-list')");
}

fn searches(tab: &Tab, words: &str) {
    tab.press_button("Search");
    tab.write("#search-text", words);
    tab.wait("find it", "return document.querySelector('.hits li mark') !== null", &[]);
    nothing_strange(tab, "return strange('#search-dialog')");
    tab.press_button("Close");
    tab.wait_gone("#search-dialog");
}

#[track_caller]
fn nothing_ran(tab: &Tab) {
    assert_eq!(tab.evaluate("return typeof window.__pwned", &[]), "undefined");
}

#[test]
fn nothing_that_is_said_or_answered_or_a_name_runs_or_loads() {
    let stub = Stub::start();
    stub.behave("mirror say");
    let server = replies::start(&stub, &["concurrency.min=32"]);
    let origin = format!("http://{}", server.address);
    let families = families();
    let parts: Vec<&[String]> = families.values().flat_map(|family| family.chunks(PART)).collect();
    let people = at_once(parts.len(), |n| settle(&server, format!("person-{n}"), parts[n]));
    let titles = families.values().flatten().filter(|text| text.chars().count() <= 200).count();
    assert_eq!(people.iter().map(|person| person.titles.len()).sum::<usize>(), titles);
    let browser = Browser::start();
    let tab = browser.tab();
    for person in &people {
        enter(&tab, &origin, &person.name, "/");
        tab.wait_for("#welcome-title");
        for place in ["#welcome-title", "#open-settings"] {
            let shown = text(&tab.property(place, "textContent"));
            assert!(shown.contains(&person.display_name), "{place}: {shown}");
            assert_eq!(tab.evaluate("return document.querySelector(arguments[0]).children.length", &[json!(place)]), 0);
        }
        tab.wait_count("#sessions li", person.titles.len() + 1);
        let js =
            "return [...document.querySelectorAll('#sessions .title')].map((title) => ({ title: title.textContent }))";
        let shown = tab.evaluate(js, &[]);
        assert!(person.titles.iter().all(|title| each(&shown, "title").contains(&&json!(title))), "{shown}");
        nothing_strange(&tab, "return strange('#sessions, .welcome')");
        nothing_ran(&tab);
        tab.goto(&format!("{origin}/s/{}", person.session));
        reads_all(&tab, person);
        nothing_strange(&tab, GO_THROUGH);
        searches(&tab, if person.titles.iter().any(|title| title.contains("pwned")) { "pwned" } else { "127" });
        nothing_ran(&tab);
    }
    browser.is_clean(&["401 (Unauthorized)"]);
    browser.asked_only(&[&origin]);
}

#[test]
fn nothing_runs_or_loads_while_a_reply_grows() {
    let stub = Stub::start();
    let server = replies::start(&stub, &[]);
    let origin = format!("http://{}", server.address);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let browser = Browser::start();
    let tab = browser.tab();
    enter(&tab, &origin, "amina", &format!("/s/{session}"));
    tab.wait_for("#text");
    tab.evaluate(&format!("{STRANGE} {WATCH}"), &[]);
    let families = families();
    let texts: Vec<&String> = families.values().flatten().step_by(9).collect();
    for (n, text) in texts.iter().enumerate() {
        client.say(&session, &format!("[[tokens 10 20]] {text}"));
        tab.wait_answered(n + 1);
    }
    let watched = tab.evaluate("return window.__watched", &[]);
    assert_eq!(watched["strange"], json!([]));
    let growing = watched["growing"].as_object().unwrap().len();
    assert!(growing > texts.len(), "replies were seen {growing} times while they grew");
    nothing_ran(&tab);
    browser.is_clean(&["401 (Unauthorized)"]);
    browser.asked_only(&[&origin]);
}
