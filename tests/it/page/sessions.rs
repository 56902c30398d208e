//! Conversations: their titles and addresses, the list of them, search over all, and what of a text is kept in the
//! browser.

use serde_json::{Value, json};

use super::{account::program_of, labels::origin, replies};
use crate::support::{
    PASSWORD, Server,
    browser::{Browser, Tab},
    stub::Stub,
};

const GONE: &str = "That conversation is not there any more.";

impl Tab {
    /// Begins a new conversation by this message; waits until it is answered.
    fn begin(&self, words: &str) {
        self.press_button("New conversation");
        self.wait_url("/");
        self.say(words);
        self.wait_answered(1);
    }

    /// Waits until the list has these titles in this order.
    fn wait_list(&self, titles: &[&str]) {
        let js = "return JSON.stringify([...document.querySelectorAll('#sessions .title')].map(one => one.innerText))
            === JSON.stringify(arguments[0])";
        self.wait(&format!("the list {titles:?}"), js, &[json!(titles)]);
    }

    /// Opens a conversation from the list.
    fn open_listed(&self, title: &str) {
        let js = "const all = [...document.querySelectorAll('#sessions a')];
            const found = all.find(one => one.querySelector('.title').innerText === arguments[0]);
            all.forEach(one => one.toggleAttribute('data-wanted', one === found));
            return found !== undefined";
        self.wait(&format!("{title:?} in the list"), js, &[json!(title)]);
        self.click("[data-wanted]");
        self.wait_text("#title", title);
    }
}

#[test]
fn a_conversation_has_an_address_a_title_and_its_place_in_the_list() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.wait_text("#sidebar", "Your conversations will be listed here.");
    assert!(tab.url().ends_with('/') && !tab.shows("#edit-session"));
    tab.say("Plans for the garden");
    tab.wait_answered(1);
    let garden = tab.url();
    let id = garden.strip_prefix(&format!("{}/s/", origin(&server))).unwrap();
    assert_eq!((id.len(), tab.text("#title").as_str()), (36, "Plans for the garden"));
    assert_eq!(tab.title(), "bondhu", "the browser keeps titles; they have no word of it");
    let long = "I would like to tell you of a long walk that I took along the river and then over the old bridge";
    let short = "I would like to tell you of a long walk that I took along…";
    tab.begin(long);
    assert_eq!(tab.text("#title"), short);
    tab.wait_list(&[short, "Plans for the garden"]);
    assert_eq!(tab.attribute("#sessions li:first-child a", "aria-current").as_deref(), Some("page"));
    tab.open_listed("Plans for the garden");
    assert_eq!(tab.url(), garden);
    tab.wait_answered(1);
    tab.wait_list(&[short, "Plans for the garden"]);
    tab.say("And for the balcony");
    tab.wait_list(&["Plans for the garden", short]);
    tab.wait_answered(2);
    assert_eq!(tab.text("#title"), "Plans for the garden", "the first message names it");
    tab.back();
    tab.wait_text("#title", short);
    tab.forward();
    tab.wait_text("#title", "Plans for the garden");
    tab.wait_answered(2);
    browser.is_clean(&["401 (Unauthorized)"]);
}

#[test]
fn what_one_tab_renames_or_deletes_the_other_follows() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&origin(&server), "amina");
    for title in ["Alpha", "Beta", "Gamma"] {
        first.begin(title);
    }
    let second = browser.open(&first.url());
    second.wait_answered(1);
    second.wait_list(&["Gamma", "Beta", "Alpha"]);

    first.click("#edit-session");
    first.fill("Title", "   ");
    first.press("Enter");
    first.wait_fault("title: ", "Title");
    first.fill("Title", "Gamma, later");
    first.press("Enter");
    first.wait_gone("dialog");
    first.wait_focus("Rename or delete “Gamma, later”");
    first.press_button("Rename or delete “Alpha”");
    first.fill("Title", "নতুন নাম");
    first.press_button("Rename");
    first.wait_gone("dialog");
    first.wait_focus("Rename or delete “নতুন নাম”");
    for tab in [&first, &second] {
        // What was named anew was changed last.
        tab.wait_list(&["নতুন নাম", "Gamma, later", "Beta"]);
        tab.wait_text("#title", "Gamma, later");
    }

    // From the list, while the other tab shows it.
    second.open_listed("Beta");
    first.press_button("Rename or delete “Beta”");
    first.press_button("Delete this conversation");
    first.wait_text("dialog", "“Beta” will be gone for good, on all of your devices.");
    first.press_button("Cancel");
    first.wait_gone("dialog");
    assert_eq!(second.text("#title"), "Beta");
    first.press_button("Rename or delete “Beta”");
    first.press_button("Delete this conversation");
    first.wait_text("dialog", "“Beta” will be gone for good");
    first.press_button("Delete this conversation");
    first.wait_gone("dialog");
    first.has_focus();
    second.wait_url("/");
    second.wait_text("#note", GONE);
    second.has_focus();
    for tab in [&first, &second] {
        tab.wait_list(&["নতুন নাম", "Gamma, later"]);
    }
    assert_eq!(first.text("#title"), "Gamma, later", "what is open stays open");

    // From the head of the one that is open.
    second.open_listed("Gamma, later");
    assert!(!second.text("#note").contains(GONE), "what was said is not said for ever");
    first.click("#edit-session");
    first.press_button("Delete this conversation");
    first.wait_text("dialog", "“Gamma, later” will be gone for good");
    first.press_button("Delete this conversation");
    first.wait_gone("dialog");
    first.wait_url("/");
    first.wait_focus("Message");
    second.wait_url("/");
    second.wait_text("#note", GONE);
    for tab in [&first, &second] {
        tab.wait_list(&["নতুন নাম"]);
        assert!(tab.shows(".welcome"));
    }
}

#[test]
fn an_address_opens_its_conversation_and_no_other() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.begin("Mine");
    let address = tab.url();
    tab.reload();
    tab.wait_answered(1);
    tab.wait_text("#title", "Mine");
    assert_eq!((tab.url(), tab.text("#title")), (address.clone(), "Mine".to_owned()));
    let other = browser.open(&address);
    other.wait_answered(1);
    assert_eq!(other.shown(), tab.shown());

    let (mut bela, _) = server.user("bela");
    let theirs = bela.session();
    bela.say(&theirs, "nobody else reads this");
    for id in [theirs.as_str(), "0191d1f0-0000-7000-8000-000000000000", "nothing", "%00", "a%2Fb"] {
        tab.goto(&address);
        tab.wait_answered(1);
        tab.goto(&format!("{}/s/{id}", origin(&server)));
        tab.wait_text("#note", GONE);
        tab.wait_url("/");
        tab.wait_for(".welcome");
        tab.wait_focus("Message");
        assert!(!tab.text("body").contains("nobody else"));
        // The way back leads to where one was, not to where nothing is.
        tab.back();
        tab.wait_answered(1);
        assert_eq!(tab.url(), address);
    }
}

/// True where the message that was found is marked, in sight, and has the keyboard.
fn wait_found(tab: &Tab, words: &str) {
    let js = "const [found, ...more] = document.querySelectorAll('article.found');
        const [box, log] = [found, document.getElementById('log')].map(one => one.getBoundingClientRect());
        return more.length === 0 && found === document.activeElement && box.top >= log.top && box.bottom <= log.bottom
            && found.querySelector('.text').innerText.includes(arguments[0])";
    tab.wait(&format!("{words:?} marked and in sight"), js, &[json!(words)]);
}

/// The numbers of the messages that are shown, once they have no gap: rows are drawn in parts.
fn numbers(tab: &Tab) -> Vec<u64> {
    let js = "const all = [...document.querySelectorAll('article[data-seq]')].map(one => Number(one.dataset.seq));
        return all.every((seq, place) => place === 0 || seq === all[place - 1] + 1) && all";
    serde_json::from_value(tab.wait("messages without a gap", js, &[])).unwrap()
}

#[test]
fn search_leads_to_a_message_however_long_ago_and_on_to_the_end() {
    const TURNS: u64 = 200;
    let stub = Stub::start();
    let server = replies::start(&stub, &[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    let mut amina = program_of(&server, "amina");
    let session = amina.session();
    for turn in 0..TURNS {
        let words = match turn {
            20 => "the violet lantern".to_owned(),
            25 => "উঠোনে নীল প্রজাপতি দেখলাম".to_owned(),
            _ => format!("turn {turn}"),
        };
        amina.say(&session, &words);
    }
    tab.say("today's words");
    tab.wait_answered(1);

    tab.press("Ctrl+K");
    tab.wait_focus("Search");
    tab.keys("VIOLET lan");
    tab.wait_text(".hits mark", "violet lan"); // What was typed so far may have been found before.
    tab.wait_text("#search-dialog [role=status]", "2 messages found");
    assert_eq!(tab.texts(".hits mark"), ["violet lan", "violet lan"]);
    tab.click(".hits li:last-child a");
    tab.wait_url(&format!("/s/{session}#41"));
    wait_found(&tab, "the violet lantern");
    assert!(tab.shows("#latest"), "the end is far away");
    let last = TURNS * 2;
    assert!(!numbers(&tab).contains(&last));
    for _ in 0..200 {
        if numbers(&tab).contains(&last) {
            break;
        }
        tab.wheel("#log", 2000);
        tab.frame();
    }
    let js = "const log = document.getElementById('log'); log.scrollBy(0, 1e6);
        return document.querySelector('#latest').hidden && log.scrollHeight - log.scrollTop - log.clientHeight < 64";
    tab.wait("be at the end", js, &[]);
    assert_eq!(numbers(&tab).last(), Some(&last));
    amina.say(&session, "live again");
    tab.wait_state("echo: live again", "complete");

    // Again from the same conversation, in letters that are composed; then back to the end with one step.
    tab.press("Ctrl+K");
    tab.wait_focus("Search");
    tab.keys("প্রজাপতি");
    tab.wait_text(".hits mark", "প্রজাপতি");
    tab.wait_text("#search-dialog [role=status]", "2 messages found");
    assert_eq!(tab.texts(".hits mark"), ["প্রজাপতি", "প্রজাপতি"]);
    // The keyboard goes to what was found, and back.
    let hit = "return [...document.querySelectorAll('.hits a')].indexOf(document.activeElement)";
    for (key, place) in [("Down", 0), ("Down", 1), ("Down", 1), ("Up", 0), ("Up", -1), ("Down", 0), ("Down", 1)] {
        tab.press(key);
        assert_eq!(tab.evaluate(hit, &[]), place, "{key}");
    }
    tab.press("Enter");
    tab.wait_url("#51");
    wait_found(&tab, "নীল প্রজাপতি");
    tab.press_button("Jump to latest");
    tab.wait_state("echo: live again", "complete");
    tab.has_focus();
    tab.wait_gone("#latest");
    tab.reload();
    wait_found(&tab, "নীল প্রজাপতি");
    tab.press("Ctrl+K");
    tab.wait_focus("Search");
    tab.keys("no such words");
    tab.wait_text("#search-dialog [role=status]", "0 messages found");
    assert_eq!(tab.count(".hits li"), 0);
}

#[test]
fn no_text_is_in_an_address_or_stays_in_the_browser() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    for words in ["a zebra at the crossing", "একটা জেব্রা"] {
        tab.begin(words);
        let js = "return Object.keys(localStorage).every(name => name === 'bondhu.user')";
        tab.wait("no text to be kept", js, &[]);
    }
    tab.click("#edit-session");
    let marked = "const one = document.activeElement; return one.value.slice(one.selectionStart, one.selectionEnd)";
    assert_eq!(tab.evaluate(marked, &[]), "একটা জেব্রা", "what is typed takes the place of the title");
    tab.fill("Title", "purple stripes");
    tab.press("Enter");
    tab.wait_text("#title", "purple stripes");
    tab.wait_gone("dialog"); // As long as it is there, the keyboard is its own.
    for words in ["zebra", "জেব্রা"] {
        tab.press("Ctrl+K");
        tab.wait_focus("Search");
        tab.keys(words);
        tab.wait_text(".hits", words);
        assert_eq!(tab.kept(), "{}");
        tab.click(".hits a");
        tab.wait_gone("dialog");
        wait_found(&tab, words);
    }
    assert_eq!(tab.kept(), "{}");
    let kept =
        "return Promise.all([indexedDB.databases(), caches.keys()]).then(all => [all, history.state, document.cookie])";
    assert_eq!(tab.evaluate(kept, &[]), json!([[[], []], null, ""]));
    let said = ["zebra", "crossing", "stripes", "জেব্রা", "%E0%A6%9C", "amina", PASSWORD];
    for request in browser.requests() {
        assert!(!said.iter().any(|words| request.url.contains(words)), "{request:?}");
    }
}

#[test]
fn each_conversation_keeps_its_draft_until_it_is_sent() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.begin("Alpha");
    let alpha = tab.url();
    tab.begin("Beta");
    let draft = || tab.value("#text");
    tab.write("#text", "for Beta");
    tab.open_listed("Alpha");
    assert_eq!(draft(), "");
    tab.write("#text", "for Alpha\u{1F642}");
    tab.press_button("New conversation");
    tab.wait_url("/");
    assert_eq!(draft(), "");
    tab.write("#text", "for a new one");
    tab.open_listed("Beta");
    assert_eq!(draft(), "for Beta");
    tab.goto(&alpha);
    tab.wait_answered(1);
    assert_eq!(draft(), "for Alpha🙂");
    tab.reload();
    tab.wait_answered(1);
    assert_eq!(draft(), "for Alpha🙂");
    tab.press("Enter");
    tab.wait_answered(2);
    tab.reload();
    tab.wait_answered(2);
    assert_eq!(draft(), "");
    tab.press_button("New conversation");
    tab.wait_url("/");
    assert_eq!(draft(), "for a new one");
    tab.press("Enter");
    tab.wait_answered(1);
    tab.press_button("New conversation");
    tab.wait_url("/");
    assert_eq!(draft(), "");
    tab.open_listed("Beta");
    assert_eq!(draft(), "for Beta");
    tab.rewrite("#text", "x");
    tab.press("Backspace");
    assert_eq!(tab.kept(), "{}", "an empty draft is none");
    tab.wait_answered(1);
    let shown: Vec<Value> =
        tab.shown().into_iter().filter(|shown| shown.role == "user").map(|one| json!(one.text)).collect();
    assert_eq!(shown, [json!("Beta")]);
}
