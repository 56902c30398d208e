//! Hands: clicks and taps, keys and chords, the wheel, and an input method that composes words.

use std::time::{Duration, Instant};

use fantoccini::{
    actions::{InputSource, KeyAction, KeyActions, PointerAction, TouchActions, WheelAction, WheelActions},
    error::{CmdError, ErrorStatus},
    key::Key,
};
use serde_json::{Value, json};

use super::tab::{Tab, USABLE, element};

/// The key of an input method that takes what is typed: its code is the same for all.
const PROCESS_KEY: u64 = 229;

impl Tab {
    /// Clicks on an element once it can be seen and used, and nothing covers it.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        self.click_found(&format!("click on {css}"), USABLE, &[json!(css)]);
    }

    /// Clicks on the element that the script finds, which looks for it again where it goes away under the pointer.
    #[track_caller]
    pub(crate) fn click_found(&self, what: &str, js: &str, args: &[Value]) {
        let begun = Instant::now();
        loop {
            let found = self.wait(what, js, args);
            let clicked = self.driver.on(&self.window, async |client| element(client, &found).click().await);
            match clicked {
                Ok(()) => return,
                Err(error) if is_passing(&error) && begun.elapsed() < self.patience => self.frame(),
                Err(error) => self.fail(what, &error),
            }
        }
    }

    /// Touches the middle of an element with a finger.
    #[track_caller]
    pub(crate) fn tap(&self, css: &str) {
        let (x, y) = self.middle(css);
        let finger = TouchActions::new("finger".to_owned())
            .then(PointerAction::MoveTo { duration: None, x: x.into(), y: y.into() })
            .then(PointerAction::Down { button: 0 })
            .then(PointerAction::Up { button: 0 });
        self.does(&format!("tap {css}"), async |client| client.perform_actions(finger).await);
    }

    /// Turns the wheel above an element: pixels, downwards where they are positive.
    #[track_caller]
    pub(crate) fn wheel(&self, css: &str, down: i64) {
        let (x, y) = self.middle(css);
        let mut wheel = WheelActions::new("wheel".to_owned());
        let (duration, x, y) = (Some(Duration::ZERO), x.into(), y.into());
        wheel.push(WheelAction::Scroll { duration, x, y, delta_x: 0, delta_y: down });
        self.does(&format!("turn the wheel above {css}"), async |client| client.perform_actions(wheel).await);
    }

    /// Clicks into a field and types.
    #[track_caller]
    pub(crate) fn write(&self, css: &str, text: &str) {
        self.click(css);
        self.keys(text);
    }

    /// Puts this in the place of what stands in a field.
    #[track_caller]
    pub(crate) fn rewrite(&self, css: &str, text: &str) {
        self.click(css);
        self.press("Ctrl+A");
        self.press("Delete");
        self.keys(text);
    }

    /// Types into whatever has the focus: a key for each character, Enter for a line feed. What no keyboard has a key for,
    /// as emoji, is inserted as such.
    #[track_caller]
    pub(crate) fn keys(&self, text: &str) {
        let mut keyboard = keyboard();
        let mut is_empty = true;
        for char in text.chars() {
            if char.len_utf16() == 1 {
                let value = if char == '\n' { Key::Enter.into() } else { char };
                keyboard = keyboard.then(KeyAction::Down { value }).then(KeyAction::Up { value });
                is_empty = false;
                continue;
            }
            if !is_empty {
                self.does("type", async |client| client.perform_actions(keyboard).await);
            }
            (keyboard, is_empty) = (self::keyboard(), true);
            self.insert(char.encode_utf8(&mut [0; 4]));
        }
        if !is_empty {
            self.does("type", async |client| client.perform_actions(keyboard).await);
        }
    }

    /// Presses keys together: `Shift+Enter`, `Ctrl+K`, `Escape`, `Tab`, `?`.
    #[track_caller]
    pub(crate) fn press(&self, chord: &str) {
        let (held, last) = chord.rsplit_once('+').filter(|(held, _)| !held.is_empty()).unwrap_or(("", chord));
        let held: Vec<char> = held.split('+').filter(|name| !name.is_empty()).map(key).collect();
        let mut last = key(last);
        if !held.is_empty() {
            last = last.to_ascii_lowercase(); // What stands on the key: with Shift it would be another one.
        }
        let mut keyboard = keyboard();
        for &value in &held {
            keyboard = keyboard.then(KeyAction::Down { value });
        }
        keyboard = keyboard.then(KeyAction::Down { value: last }).then(KeyAction::Up { value: last });
        for &value in held.iter().rev() {
            keyboard = keyboard.then(KeyAction::Up { value });
        }
        self.does(&format!("press {chord}"), async |client| client.perform_actions(keyboard).await);
    }

    /// Inserts text without keys, as a paste or an emoji picker does.
    #[track_caller]
    pub(crate) fn insert(&self, text: &str) {
        self.cdp("Input.insertText", &json!({"text": text}));
    }

    /// Composes with an input method: the field shows this word, which is not yet part of its text.
    #[track_caller]
    pub(crate) fn compose(&self, word: &str) {
        self.process("Unidentified", "KeyA", PROCESS_KEY);
        let end = word.encode_utf16().count();
        self.cdp("Input.imeSetComposition", &json!({"text": word, "selectionStart": end, "selectionEnd": end}));
    }

    /// Presses Enter as one does to choose the word that is being composed: the page hears a key down in the middle of it.
    #[track_caller]
    pub(crate) fn compose_enter(&self) {
        self.process("Enter", "Enter", PROCESS_KEY);
    }

    /// Ends the composition with this word.
    #[track_caller]
    pub(crate) fn commit(&self, word: &str) {
        self.insert(word);
    }

    /// A key that goes to the input method; the page hears of it, but it enters nothing.
    fn process(&self, key: &str, code: &str, number: u64) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number});
            self.cdp("Input.dispatchKeyEvent", &event);
        }
    }

    /// The middle of an element, in pixels of the window, once it can be used and has been scrolled into sight.
    #[track_caller]
    fn middle(&self, css: &str) -> (i32, i32) {
        let found = self.wait(&format!("touch {css}"), USABLE, &[json!(css)]);
        let js = "arguments[0].scrollIntoView({block: 'nearest', behavior: 'instant'});
            const box = arguments[0].getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2].map(Math.round)";
        serde_json::from_value(self.evaluate(js, &[found])).unwrap()
    }
}

fn keyboard() -> KeyActions {
    KeyActions::new("keyboard".to_owned())
}

/// The key of a name, or of the one character on it.
#[track_caller]
fn key(name: &str) -> char {
    let named = match name {
        "Alt" => Key::Alt,
        "Backspace" => Key::Backspace,
        "Ctrl" => Key::Control,
        "Delete" => Key::Delete,
        "Down" => Key::Down,
        "End" => Key::End,
        "Enter" => Key::Enter,
        "Escape" => Key::Escape,
        "Home" => Key::Home,
        "Left" => Key::Left,
        "PageDown" => Key::PageDown,
        "PageUp" => Key::PageUp,
        "Right" => Key::Right,
        "Shift" => Key::Shift,
        "Tab" => Key::Tab,
        "Up" => Key::Up,
        _ => {
            let mut chars = name.chars();
            let (Some(char), None) = (chars.next(), chars.next()) else { panic!("no key {name:?}") };
            return char;
        }
    };
    named.into()
}

/// True of what may pass by itself: the page is being drawn anew, something moves over it.
fn is_passing(error: &CmdError) -> bool {
    matches!(error, CmdError::Standard(error) if error.error == ErrorStatus::ElementClickIntercepted)
        || error.is_element_not_interactable()
        || error.is_stale_element_reference()
        || error.is_no_such_element()
}
