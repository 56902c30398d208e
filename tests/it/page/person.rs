//! A person at the page: finds things by what they are called, and says what is to be seen.

use serde_json::json;

use crate::support::{PASSWORD, browser::Tab};

/// One message of the log, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Nothing while the server has not acknowledged it, and of a reply that is being made.
    pub(crate) seq: Option<u64>,
    /// `user` or `assistant`.
    pub(crate) role: String,
    /// As README has it; and `sending`, `unconfirmed`, `refused`, `stored`, `answering`.
    pub(crate) state: String,
    /// Its text as it is rendered.
    pub(crate) text: String,
}

const SHOWN: &str = "return [...document.querySelectorAll('article.message')].map(article => ({
    seq: article.dataset.seq ?? null, role: article.dataset.role, state: article.dataset.state,
    text: article.querySelector('.text').innerText }));";

impl Tab {
    /// Makes an account at `origin` and waits until its page is there.
    #[track_caller]
    pub(crate) fn register(&self, origin: &str, name: &str) {
        self.goto(&format!("{origin}/"));
        self.wait_for("#sign-in");
        self.press_button("Create an account");
        self.write("#register #username", name);
        self.write("#register #password", PASSWORD);
        self.press_button("Create an account");
        self.wait_for("#text");
    }

    /// Signs in at `origin`, to whatever address it shows.
    #[track_caller]
    pub(crate) fn sign_in(&self, name: &str) {
        self.wait_for("#sign-in");
        self.rewrite("#username", name);
        self.rewrite("#password", PASSWORD);
        self.press_button("Sign in");
        self.wait_for("#text");
    }

    /// Clicks on the last button or link of this name that can be seen: the newest is lowest.
    #[track_caller]
    pub(crate) fn press_button(&self, name: &str) {
        let find = "const all = [...document.querySelectorAll('button, a')].filter(element =>
                (element.getAttribute('aria-label') ?? element.innerText.trim()) === arguments[0]
                && element.checkVisibility() && !element.disabled);
            const inDialog = all.filter(element => element.closest('dialog[open]'));
            return (inDialog.length > 0 ? inDialog : all).at(-1);";
        self.click_found(&format!("a button {name:?}"), find, &[json!(name)]);
    }

    /// Types a message and sends it with Enter.
    #[track_caller]
    pub(crate) fn say(&self, text: &str) {
        self.write("#text", text);
        self.press("Enter");
    }

    /// The log as it is shown now.
    #[track_caller]
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let rows = self.evaluate(SHOWN, &[]);
        let field = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
        let shown = |row: &serde_json::Value| Shown {
            seq: row["seq"].as_str().map(|seq| seq.parse().unwrap()),
            role: field(row, "role"),
            state: field(row, "state"),
            text: field(row, "text"),
        };
        rows.as_array().unwrap().iter().map(shown).collect()
    }

    /// The log as `role:state` in its order, for what is told in one line.
    #[track_caller]
    pub(crate) fn states(&self) -> Vec<String> {
        self.shown().into_iter().map(|shown| format!("{}:{}", shown.role, shown.state)).collect()
    }

    /// Waits until so many of the user's messages have their reply, and nothing is on its way.
    #[track_caller]
    pub(crate) fn wait_answered(&self, count: usize) {
        let js = "const states = [...document.querySelectorAll('article.message')].map(article => article.dataset);
            const own = states.filter(({ role }) => role === 'user');
            return own.length === arguments[0] && own.every(({ state }) => state === 'answered')
                && !states.some(({ state }) => state === 'answering');";
        self.wait(&format!("{count} answered messages"), js, &[json!(count)]);
    }

    /// Waits until a message whose text has these words is in this state.
    #[track_caller]
    pub(crate) fn wait_state(&self, words: &str, state: &str) {
        let js = "return [...document.querySelectorAll('article.message')].some(article =>
            article.dataset.state === arguments[1] && article.querySelector('.text').innerText.includes(arguments[0]));";
        self.wait(&format!("{words:?} to be {state}"), js, &[json!(words), json!(state)]);
    }

    /// Waits until the reply that is being made shows these words.
    #[track_caller]
    pub(crate) fn wait_growing(&self, words: &str) {
        let js = "return [...document.querySelectorAll('[data-role=assistant][data-state=answering] .text')]
            .some(text => text.innerText.includes(arguments[0]));";
        self.wait(&format!("a growing reply with {words:?}"), js, &[json!(words)]);
    }
}
