//! A conversation of thousands of messages: it opens at its end, is read to its beginning and back, and nothing jumps.

use serde_json::{Value, json};

use crate::support::{
    Client, Server, at_once,
    browser::{Browser, Tab},
    list,
    server::text,
};

/// Messages, replies counted; `BONDHU_TEST_MESSAGES` asks for more.
const MESSAGES: usize = 2000;
const SENDERS: usize = 20;
/// What the page shows at first: 50 turns.
const FIRST: usize = 100;
/// What the page shows at most, wherever its reader went.
const ROWS_MAX: u64 = 240;
/// Turns of the wheel in the measurement.
const TURNS: usize = 60;

/// What the scripts below share. A row is held by where it is; whatever moves it by more than 2 px moves the reader.
const HEAD: &str = "
    const log = document.getElementById('log');
    const rows = () => [...log.querySelectorAll('article.message')];
    const seqs = () => rows().map((row) => Number(row.dataset.seq));
    const isAtEnd = () => log.scrollHeight - log.clientHeight - log.scrollTop <= 2;
    const hold = () => {
        const middle = log.getBoundingClientRect().top + log.clientHeight / 2;
        const node = rows().find((row) => row.getBoundingClientRect().bottom > middle);
        window.__held = { node, top: node.getBoundingClientRect().top };
    };
    const moved = () => {
        const { node, top } = window.__held;
        return node.isConnected ? Math.abs(node.getBoundingClientRect().top - top) : Infinity;
    };
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));";

/// Scrolls by most of a screen in every frame, up (-1) or down (1), to where the sequence stands at the edge; a part of the
/// way at a time. Notes what is seen, and what is wrong with it.
const WALK: &str = "
    const [way, goal] = arguments;
    window.__walk ??= { seen: new Set(), most: 0, faults: [] };
    const { seen, faults } = window.__walk;
    const pause = performance.now() + 3000;
    while (performance.now() < pause) {
        await frame();
        const shown = seqs();
        window.__walk.most = Math.max(window.__walk.most, shown.length);
        shown.forEach((seq) => seen.add(seq));
        const gap = shown.findIndex((seq, place) => place > 0 && seq !== shown[place - 1] + 1);
        if (gap !== -1) faults.push(`${shown[gap]} stands behind ${shown[gap - 1]}`);
        if (window.__held && moved() > 2) faults.push(`${window.__held.node.dataset.seq} moved by ${moved()}`);
        const isThere = way < 0 ? shown[0] <= goal && (goal > 1 || log.scrollTop === 0) : shown.at(-1) >= goal && isAtEnd();
        if (isThere) return true;
        log.scrollTop += way * log.clientHeight * 0.9;
        hold();
    }
    return false;";

/// What was noted since the last time.
const NOTED: &str = "
    const { seen, most, faults } = window.__walk;
    window.__walk = undefined;
    window.__held = undefined;
    return { seen: [...seen].sort((a, b) => a - b), most, faults: faults.slice(0, 10) };";

/// Notes when the first rows are there, and when all of the first page are.
const CLOCK: &str = "
    window.__shown = {};
    new MutationObserver((_, observer) => {
        const count = document.querySelectorAll('article.message').length;
        if (count > 0) window.__shown.some ??= performance.now();
        if (count < 100) return;
        window.__shown.all = performance.now();
        observer.disconnect();
    }).observe(document, { subtree: true, childList: true });";

fn run(tab: &Tab, js: &str, arguments: &[Value]) -> Value {
    tab.evaluate(&format!("return (async function () {{ {HEAD} {js} }})(...arguments)"), arguments)
}

fn wait(tab: &Tab, what: &str, condition: &str, arguments: &[Value]) {
    tab.wait(what, &format!("{HEAD} return {condition};"), arguments);
}

/// A session with so many messages, sent by many at once.
fn converse(client: &mut Client, server: &Server, messages: usize) -> String {
    let session = client.session();
    let turns = messages / 2;
    let token = client.token.clone().unwrap();
    at_once(SENDERS, |sender| {
        let mut client = Client::with_token(server.address, &token);
        for turn in (sender..turns).step_by(SENDERS) {
            client.say(&session, &format!("turn {turn}: how was your day, and what did you make of it?"));
        }
    });
    session
}

fn walk(tab: &Tab, way: i64, goal: usize) {
    let mut before = Value::Null;
    while run(tab, WALK, &[json!(way), json!(goal)]) == false {
        let now = run(tab, "return [seqs()[0], log.scrollTop];", &[]);
        assert_ne!(now, before, "it goes on");
        before = now;
    }
}

/// Every message was shown, in its place, and nothing moved under the reader.
#[track_caller]
fn walked_well(tab: &Tab, messages: usize) {
    let noted = run(tab, NOTED, &[]);
    assert_eq!(noted["faults"], json!([]));
    let all: Vec<_> = (1..=messages).map(|seq| json!(seq)).collect();
    assert_eq!(list(&noted["seen"]), all);
    assert!(noted["most"].as_u64().unwrap() <= ROWS_MAX, "{} rows at once", noted["most"]);
}

#[track_caller]
fn stands_at_end(tab: &Tab, last: usize) {
    wait(tab, &format!("see {last} at the end"), "isAtEnd() && seqs().at(-1) === arguments[0]", &[json!(last)]);
    tab.wait_gone("#latest");
}

/// Says something from elsewhere, and waits until the tab has heard of it.
fn say_elsewhere(tab: &Tab, client: &mut Client, session: &str) {
    client.say(session, "and from elsewhere");
    let updated = client.get(&format!("/api/v1/sessions/{session}")).expect(200).json()["updated_at"].clone();
    let condition = "document.querySelector('#sessions [aria-current] time')?.dateTime === arguments[0]";
    wait(tab, "hear of it", condition, &[updated]);
    tab.frame();
}

/// Whoever reads further up is left alone by what is said, near the end as far from it; whoever is at the end sees it.
fn is_followed_only_at_the_end(tab: &Tab, client: &mut Client, session: &str, mut last: usize) {
    for goal in [last - 50, last - 400] {
        walk(tab, -1, goal);
        run(tab, "log.scrollTop -= 1000; await frame(); await frame(); hold();", &[]);
        say_elsewhere(tab, client, session);
        last += 2;
        assert!(run(tab, "return moved();", &[]).as_f64().unwrap() <= 2.0, "the reader was moved");
        tab.press_button("Jump to latest");
        stands_at_end(tab, last);
        say_elsewhere(tab, client, session);
        last += 2;
        stands_at_end(tab, last);
        run(tab, NOTED, &[]);
    }
}

/// Prints what it takes to open the conversation and to read in it.
fn measure(tab: &Tab, url: &str, messages: usize) {
    tab.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({"source": CLOCK}));
    for _ in 0..3 {
        tab.goto(url);
        tab.wait("see the newest turns", "return window.__shown.all", &[]);
        eprintln!("{messages} messages: shown after {} ms", tab.evaluate("return window.__shown", &[]));
    }
    let (before, opening) = (tab.counters(), tab.long_tasks());
    for _ in 0..TURNS {
        tab.wheel("#log", -600);
        tab.frame();
    }
    let (after, tasks) = (tab.counters(), tab.long_tasks());
    eprintln!("long tasks while opening: {opening:?}");
    eprintln!("long tasks in {TURNS} turns of the wheel: {:?}", &tasks[opening.len()..]);
    eprintln!("before: {before:?}\nafter:  {after:?}");
}

#[test]
fn a_conversation_of_thousands_is_read_to_its_beginning_and_back() {
    let messages = std::env::var("BONDHU_TEST_MESSAGES").map_or(MESSAGES, |messages| messages.parse().unwrap());
    let server = Server::start(&[]);
    let (mut client, _) = server.user("amina");
    let session = converse(&mut client, &server, messages);
    let url = format!("http://{}/s/{session}", server.address);
    let browser = Browser::start();
    let tab = browser.open(&url);
    tab.sign_in("amina");
    tab.wait_count("article.message", FIRST);
    let newest: Vec<_> = (messages - FIRST + 1..=messages).map(|seq| json!(seq)).collect();
    assert_eq!(run(&tab, "return seqs();", &[]), json!(newest));
    stands_at_end(&tab, messages);
    let over = run(&tab, "return document.scrollingElement.scrollHeight - innerHeight;", &[]);
    assert_eq!(over, 0, "only the log scrolls, not the window around it");
    let before = tab.counters();

    walk(&tab, -1, 1);
    walked_well(&tab, messages);
    walk(&tab, 1, messages);
    walked_well(&tab, messages);
    walk(&tab, -1, messages - 500);
    run(&tab, NOTED, &[]);
    tab.press_button("Jump to latest");
    stands_at_end(&tab, messages);
    tab.wait_count("article.message", FIRST);
    let after = tab.counters();
    assert!(after.nodes < before.nodes * 3 / 2, "{before:?}, then {after:?}");
    assert!(after.heap_bytes < before.heap_bytes * 2, "{before:?}, then {after:?}");

    let mut client = client.another_tab(&server); // The first connection was idle for too long.
    is_followed_only_at_the_end(&tab, &mut client, &session, messages);
    assert_eq!(text(&tab.property("#connection", "textContent")), "");
    measure(&tab, &url, messages);
    browser.is_clean(&["401 (Unauthorized)"]);
}
