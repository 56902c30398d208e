//! What a person goes by: the labels of fields, the faults that are told, what has the keyboard, what is kept.

use serde_json::json;

use crate::support::{Server, browser::Tab};

/// The address of a server, as a page shows it.
pub(crate) fn origin(server: &Server) -> String {
    format!("http://{}", server.address)
}

impl Tab {
    /// Writes into the field with this label, in the place of what stands there.
    #[track_caller]
    pub(crate) fn fill(&self, label: &str, text: &str) {
        let js = "const labels = [...document.querySelectorAll('label')].filter(one => one.checkVisibility());
            const found = labels.find(one => one.innerText.trim() === arguments[0])?.control;
            document.querySelectorAll('[data-filled]').forEach(one => one.removeAttribute('data-filled'));
            found?.setAttribute('data-filled', '');
            return found !== undefined;";
        self.wait(&format!("a field {label:?}"), js, &[json!(label)]);
        self.rewrite("[data-filled]", text);
    }

    /// Waits until a fault with these words is shown where it is spoken at once, and the keyboard is in this field.
    #[track_caller]
    pub(crate) fn wait_fault(&self, words: &str, field: &str) {
        let js = "return [...document.querySelectorAll('[role=alert]')]
            .some(one => one.checkVisibility() && one.innerText.includes(arguments[0]))";
        self.wait(&format!("an alert {words:?}"), js, &[json!(words)]);
        self.wait_focus(field);
    }

    /// Waits until what has the keyboard is called this.
    #[track_caller]
    pub(crate) fn wait_focus(&self, name: &str) {
        let js = "const one = document.activeElement;
            const by = id => document.getElementById(id)?.innerText;
            const name = one.getAttribute('aria-label') ?? by(one.getAttribute('aria-labelledby'))
                ?? one.labels?.[0]?.innerText ?? one.innerText;
            return one !== document.body && name.trim() === arguments[0]";
        self.wait(&format!("the keyboard at {name:?}"), js, &[json!(name)]);
        self.has_focus();
    }

    /// Fails where the keyboard is nowhere.
    #[track_caller]
    pub(crate) fn has_focus(&self) {
        self.wait("the keyboard somewhere", "return document.activeElement !== document.body", &[]);
    }

    /// Waits until nobody is signed in here.
    #[track_caller]
    pub(crate) fn wait_entrance(&self) {
        self.wait_for("#sign-in");
        self.wait_focus("User name");
        assert!(!self.shows(".shell"), "nothing of the account is shown");
    }

    /// All that the browser keeps for the page, as JSON, but the id of who is signed in.
    #[track_caller]
    pub(crate) fn kept(&self) -> String {
        let js = "const { ['bondhu.user']: user, ...kept } = { ...localStorage, ...sessionStorage };
            return JSON.stringify(kept)";
        self.evaluate(js, &[]).as_str().unwrap().to_owned()
    }
}
