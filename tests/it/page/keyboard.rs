//! The page without a mouse, with an input method, and for those who listen to it.

use serde_json::{Value, json};

use super::{labels::origin, replies};
use crate::support::{
    PASSWORD, Server,
    browser::{Browser, Tab},
    stub::Stub,
};

impl Tab {
    /// Goes on with Tab, or back with Shift+Tab, until what is called this has the keyboard.
    fn tab_to(&self, name: &str, chord: &str) {
        let js = "const one = document.activeElement;
            return (one.getAttribute('aria-label') ?? one.labels?.[0]?.innerText ?? one.innerText).trim()";
        for _ in 0..60 {
            self.press(chord);
            if self.evaluate(js, &[]) == name {
                return;
            }
        }
        panic!("{chord} never comes to {name:?}");
    }

    /// What is open closes with Escape, and the keyboard is back where it was.
    fn escape_to(&self, name: &str) {
        self.press("Escape");
        self.wait_gone("dialog");
        self.wait_focus(name);
    }

    /// Begins to note each sentence that is put where it is spoken; `spoken` gives them.
    fn listen(&self) {
        let js = "window.spoken = [];
            new MutationObserver(all => all.forEach(({addedNodes}) => addedNodes.forEach(one => {
                const region = (one.nodeType === 1 ? one : one.parentElement)?.closest('[aria-live=polite]');
                if (region) window.spoken.push(one.textContent);
            }))).observe(document.body, {childList: true, characterData: true, subtree: true});";
        self.evaluate(js, &[]);
    }

    /// What was spoken since.
    fn spoken(&self) -> Vec<String> {
        serde_json::from_value(self.evaluate("return window.spoken", &[])).unwrap()
    }

    /// Waits until a sentence with these words was spoken.
    fn wait_spoken(&self, words: &str) {
        let js = "return window.spoken.some(sentence => sentence.includes(arguments[0]))";
        self.wait(&format!("hear {words:?}"), js, &[json!(words)]);
    }

    /// Sends an event as a browser does that ends a composition before it tells of its Enter. True where it was taken.
    fn late_enter(&self) -> bool {
        let js = "const enter = new KeyboardEvent('keydown', {key: 'Enter', code: 'Enter', keyCode: 229, bubbles: true,
                cancelable: true});
            document.activeElement.dispatchEvent(enter);
            return [enter.isComposing, enter.keyCode, enter.defaultPrevented]";
        let heard = self.evaluate(js, &[]);
        assert_eq!((&heard[0], &heard[1]), (&json!(false), &json!(229)));
        heard[2] == true
    }
}

#[test]
fn ten_messages_are_written_without_a_mouse() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.open(&origin(&server));
    tab.wait_entrance();
    tab.tab_to("Create an account", "Tab");
    tab.press("Enter");
    tab.wait_focus("User name");
    tab.keys("amina");
    tab.tab_to("Password", "Tab");
    tab.keys("short");
    tab.tab_to("Create an account", "Tab");
    tab.press(" ");
    tab.wait_fault("12", "Password");
    tab.press("Ctrl+A");
    tab.keys(PASSWORD);
    tab.press("Enter");
    tab.wait_for(".welcome");
    tab.wait_focus("Message");
    for n in 1..=10 {
        tab.keys(&format!("message {n}"));
        if n == 3 {
            tab.press("Shift+Enter");
            tab.keys("on two lines");
            assert_eq!(tab.value("#text"), "message 3\non two lines");
        }
        if n == 4 {
            tab.press("Tab");
            tab.wait_focus("Send");
            tab.press(" ");
        } else {
            tab.press("Enter");
        }
        tab.wait_focus("Message");
        tab.wait_answered(n);
        tab.wait_focus("Message");
        assert_eq!(tab.value("#text"), "");
    }
    let shown = tab.shown();
    let own: Vec<&str> = shown.iter().filter(|one| one.role == "user").map(|one| one.text.as_str()).collect();
    assert_eq!((own.len(), own[2], own[9]), (10, "message 3\non two lines", "message 10"));
    the_last_message_comes_back_with_up(&tab);
    what_is_open_closes_with_escape(&tab);
    a_conversation_is_found_named_and_deleted(&tab);
    browser.is_clean(&["401 (Unauthorized)"]);
}

fn the_last_message_comes_back_with_up(tab: &Tab) {
    tab.press("Up");
    assert_eq!(tab.value("#text"), "message 10");
    tab.press("Up");
    assert_eq!(tab.value("#text"), "message 10", "in a text it moves the caret");
    for keys in ["/", "?"] {
        tab.press("End");
        tab.keys(keys);
        assert!(!tab.shows("dialog"), "in a text, {keys} is a character");
    }
    assert_eq!(tab.value("#text"), "message 10/?");
    tab.press("Ctrl+A");
    tab.press("Delete");
}

fn what_is_open_closes_with_escape(tab: &Tab) {
    for keys in ["/", "?"] {
        tab.keys(keys);
        assert_eq!((tab.value("#text").as_str(), tab.shows("dialog")), (keys, false), "a message may begin with it");
        tab.press("Backspace");
    }
    tab.press("Ctrl+K");
    tab.wait_focus("Search");
    tab.escape_to("Message");
    tab.tab_to("Get help now", "Shift+Tab");
    tab.press("/");
    tab.wait_focus("Search");
    tab.escape_to("Get help now");
    tab.press("?");
    tab.wait_text("dialog", "Shift + Enter");
    tab.escape_to("Get help now");
    tab.tab_to("Message", "Tab");
    tab.press("Ctrl+/");
    tab.wait_text("dialog", "Shift + Enter");
    let keys = tab.text("dialog");
    for words in ["Keyboard", "Send", "New line", "Stop the answer", "Ctrl + K", "Search", "New conversation"] {
        assert!(keys.contains(words), "{keys}");
    }
    assert!(tab.evaluate("return document.activeElement.closest('dialog') !== null", &[]) == true);
    tab.escape_to("Message");
    tab.tab_to("Get help now", "Shift+Tab");
    tab.press(" ");
    tab.wait_text("dialog", "please talk to people who can help now");
    // The keyboard stays in it.
    let inside = "return document.activeElement === document.body || document.activeElement.closest('dialog') !== null";
    for _ in 0..10 {
        tab.press("Tab");
        assert_eq!(tab.evaluate(inside, &[]), true);
    }
    tab.escape_to("Get help now");
    tab.tab_to("Skip to the message box", "Shift+Tab");
    assert!(tab.evaluate("return document.activeElement.getBoundingClientRect().left >= 0", &[]) == true, "it shows");
    tab.press("Enter");
    tab.wait_focus("Message");
}

fn a_conversation_is_found_named_and_deleted(tab: &Tab) {
    tab.press("Ctrl+K");
    tab.wait_focus("Search");
    tab.keys("message 3");
    tab.wait_text(".hits", "on two lines");
    tab.press("Tab");
    let js = "return document.activeElement.closest('.hits') !== null";
    tab.wait("be at what was found", js, &[]);
    tab.press("Enter");
    tab.wait_gone("dialog");
    tab.wait("be at the message", "return document.activeElement.matches('article.found')", &[]);
    tab.tab_to("Conversation", "Shift+Tab"); // The log itself.
    assert_eq!(tab.accessible(":focus").0, "log");
    tab.press("Home");
    tab.tab_to("Rename or delete “message 1”", "Shift+Tab");
    assert_eq!(tab.accessible(":focus").0, "button");
    tab.press("Enter");
    tab.wait_focus("Title");
    tab.press("Ctrl+A");
    tab.keys("Ten of them");
    tab.press("Enter");
    tab.wait_gone("dialog");
    tab.wait_focus("Rename or delete “Ten of them”");
    assert_eq!(tab.text("#title"), "Ten of them");
    tab.press("Enter");
    tab.wait_focus("Title");
    tab.tab_to("Delete this conversation", "Tab");
    tab.press("Enter");
    tab.wait_text("dialog", "“Ten of them” will be gone for good");
    tab.escape_to("Rename or delete “Ten of them”");
    tab.tab_to("Settings of amina", "Shift+Tab");
    tab.press("Enter");
    tab.wait_focus("Settings");
    tab.tab_to("Look", "Tab");
    tab.press("Down");
    tab.wait("the light look", "return document.documentElement.dataset.theme === 'light'", &[]);
    tab.tab_to("Sign out", "Tab");
    tab.press("Enter");
    tab.wait_entrance();
}

#[test]
fn a_composition_is_never_sent_in_the_middle() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.keys("এখন ");
    for word in ["আ", "আম", "আমি"] {
        tab.compose(word);
    }
    tab.compose_enter();
    tab.frame();
    assert_eq!((tab.count("article"), tab.value("#text")), (0, "এখন আমি".to_owned()));
    tab.commit("আমি");
    tab.frame();
    assert_eq!((tab.count("article"), tab.value("#text")), (0, "এখন আমি".to_owned()));
    assert!(!tab.late_enter());
    tab.frame();
    assert_eq!((tab.count("article"), tab.value("#text")), (0, "এখন আমি".to_owned()));
    tab.press("Enter");
    tab.wait_answered(1);
    assert_eq!((tab.shown()[0].text.as_str(), tab.value("#text").as_str()), ("এখন আমি", ""));
    // The keys of the page are the input method's too.
    tab.compose("?");
    tab.compose("/");
    tab.commit("");
    assert!(!tab.shows("dialog"));
    tab.keys("ভালো আছি\n");
    tab.wait_answered(2);
}

#[test]
fn escape_stops_a_reply_but_first_closes_what_is_open() {
    let stub = Stub::start();
    let server = replies::start(&stub, &[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("[[gate slow]] these words come one by one");
    stub.step("slow");
    tab.wait_growing("these");
    tab.press("Ctrl+/");
    tab.wait_for("dialog");
    tab.escape_to("Message");
    stub.step("slow");
    tab.wait_growing("these words");
    tab.keys("what comes next");
    tab.press("Escape");
    tab.wait_state("gate slow", "stopped");
    tab.wait_focus("Message");
    assert_eq!(tab.value("#text"), "what comes next");
    stub.release("slow");
}

#[test]
fn a_reply_is_spoken_once_when_it_is_whole() {
    let stub = Stub::start();
    let server = replies::start(&stub, &[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.listen();
    assert_eq!(tab.attribute("#log", "aria-live").as_deref(), Some("off"));
    tab.say("[[gate slow]] these words come one by one");
    tab.wait_spoken("Stored.");
    stub.step("slow");
    tab.wait_growing("these");
    tab.wait_spoken("bondhu is answering.");
    let busy = |busy: &str| {
        let js = "return document.getElementById('log').getAttribute('aria-busy') === arguments[0]";
        tab.wait(&format!("aria-busy to be {busy}"), js, &[json!(busy)]);
    };
    busy("true");
    stub.step("slow");
    tab.wait_growing("these words");
    assert_eq!(tab.spoken(), ["Stored.", "bondhu is answering."], "what grows is not read out");
    stub.release("slow");
    tab.wait_answered(1);
    busy("false");
    tab.wait_spoken("one by one");
    let all = ["Stored.", "bondhu is answering.", "bondhu says: these words come one by one"];
    assert_eq!(tab.spoken(), all);

    tab.say("[[gate long]] and these are stopped");
    stub.step("long");
    tab.wait_growing("and");
    tab.press("Escape");
    tab.wait_spoken("Stopped.");
    tab.wait_state("gate long", "stopped");
    stub.release("long");
    tab.say("[[status 400]] never");
    tab.wait_state("never", "failed");
    tab.wait_spoken("No reply could be made. You can try again.");
    let spoken = tab.spoken();
    let failed = spoken.iter().find(|sentence| sentence.starts_with("No reply")).unwrap();
    let reason = tab.text("[data-state=failed] .detail");
    assert!(reason.len() > 10 && failed.ends_with(&reason), "{spoken:?} {reason}");
    for sentence in ["Stored.", "Stopped.", "bondhu says: these words come one by one", failed] {
        let wanted = if sentence == "Stored." { 3 } else { 1 };
        assert_eq!(spoken.iter().filter(|one| *one == sentence).count(), wanted, "{sentence}: {spoken:?}");
    }

    // What was said before is not read out again to who comes later.
    tab.reload();
    tab.listen();
    tab.wait_state("never", "failed");
    tab.say("last words");
    tab.wait_spoken("bondhu says: echo: last words");
    assert_eq!(tab.spoken().iter().filter(|one| one.starts_with("bondhu says")).count(), 1, "{:?}", tab.spoken());
}

#[test]
fn a_refusal_is_spoken_with_its_reason() {
    let server = Server::start(&["limits.free.messages_per_minute=1"]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("one");
    tab.wait_answered(1);
    tab.listen();
    tab.say("two");
    tab.wait_state("two", "refused");
    tab.wait_spoken("Not sent. That was too much at once. Please wait ");
    assert_eq!(tab.spoken().len(), 1, "{:?}", tab.spoken());
}

/// What stands at the entrance: where, its role, its name.
const ENTRANCE: &[(&str, &str, &str)] = &[
    ("main", "main", ""),
    ("h1", "heading", "Sign in"),
    ("#username", "textbox", "User name"),
    ("#password", "textbox", "Password"),
    ("#sign-in button", "button", "Sign in"),
    ("#language", "combobox", "Language"),
];

/// What stands around a conversation.
const CHAT: &[(&str, &str, &str)] = &[
    (".skip", "link", "Skip to the message box"),
    ("#sidebar", "navigation", "Conversations"),
    ("#new-session", "link", "New conversation"),
    ("#open-search", "button", "Search"),
    ("#sessions", "list", ""),
    ("#sessions .menu", "button", "Rename or delete “Good morning”"),
    ("#open-settings", "link", "Settings of amina"),
    ("#main", "main", "Good morning"),
    ("#title", "heading", "Good morning"),
    ("#edit-session", "button", "Rename or delete “Good morning”"),
    ("#get-help", "button", "Get help now"),
    ("#connection", "status", ""),
    ("#log", "log", "Conversation"),
    (".action.copy", "button", "Copy"),
    (".action.again", "button", "Answer again"),
    ("#text", "textbox", "Message"),
    ("#send", "button", "Send"),
];

/// What stands in the settings.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("#language", "combobox", "Language"),
    ("#theme", "combobox", "Look"),
    ("#current", "textbox", "Current password"),
    ("#new", "textbox", "New password"),
    ("#logins", "list", "Where you are signed in"),
    ("#key-name", "textbox", "What it is for"),
    ("#scope-models", "checkbox", "list the models"),
    ("#key-days", "combobox", "How long it holds"),
    ("#key-form button", "button", "Make a key"),
    ("#export", "link", "Download everything"),
    ("#delete-account", "button", "Delete my account"),
    ("#sign-out", "button", "Sign out"),
];

/// Whatever can have the keyboard has a name and a role.
fn all_have_names(tab: &Tab) {
    let js = "const within = document.querySelector('dialog[open]') ?? document; // Beside a dialog all else is inert.
        const all = [...within.querySelectorAll('a, button, input, select, textarea, [tabindex]')]
            .filter(one => one.checkVisibility({visibilityProperty: true}));
        document.querySelectorAll('[data-n]').forEach(one => one.removeAttribute('data-n'));
        all.forEach((one, n) => one.setAttribute('data-n', n));
        return all.map(one => one.outerHTML.slice(0, 200));";
    let all: Vec<String> = serde_json::from_value(tab.evaluate(js, &[])).unwrap();
    assert!(!all.is_empty());
    for (n, html) in all.iter().enumerate() {
        let (role, name) = tab.accessible(&format!("[data-n='{n}']"));
        assert!(
            !["generic", "none", ""].contains(&role.as_str()) && !name.trim().is_empty(),
            "{role} {name:?}: {html}"
        );
    }
}

#[test]
fn every_control_says_what_it_is() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.open(&origin(&server));
    let have = |tab: &Tab, wanted: &[(&str, &str, &str)]| {
        for &(css, role, name) in wanted {
            assert_eq!(tab.accessible(css), (role.to_owned(), name.to_owned()), "{css}");
        }
        all_have_names(tab);
    };
    tab.wait_entrance();
    have(&tab, ENTRANCE);
    tab.register(&origin(&server), "amina");
    have(&tab, &[("#title", "heading", "bondhu"), (".welcome", "region", "Hello, amina. What is on your mind?")]);
    tab.say("Good morning");
    tab.wait_answered(1);
    have(&tab, CHAT);
    let (role, name) = tab.accessible("article");
    assert!(role == "article" && name.starts_with("You, "), "{role} {name}");
    let (role, name) = tab.accessible("#sessions a");
    assert!(role == "link" && name.starts_with("Good morning"), "{role} {name}");
    for (chord, name) in [("Ctrl+K", "Search"), ("Ctrl+/", "Keyboard")] {
        tab.press(chord);
        tab.wait_for("dialog");
        have(&tab, &[("dialog", "dialog", name)]);
        tab.escape_to("Message");
    }
    for (button, name) in [("Get help now", "Get help now"), ("Rename or delete “Good morning”", "Conversation")] {
        tab.press_button(button);
        tab.wait_for("dialog");
        have(&tab, &[("dialog", "dialog", name)]);
        tab.escape_to(button);
    }
    tab.click("#open-settings");
    tab.wait_count("#logins li", 1);
    have(&tab, SETTINGS);
    let none: Vec<Value> = Vec::new();
    assert_eq!(
        tab.evaluate("return [...document.querySelectorAll('img, svg, iframe')].map(one => one.outerHTML)", &[]),
        json!(none)
    );
}
