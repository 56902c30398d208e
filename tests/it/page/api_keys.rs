//! Keys for programs in the settings: how one is made, shown once, used, listed and revoked.

use serde_json::{Value, json};

use super::{
    account::{program_of, settings},
    labels::origin,
    looks::look,
};
use crate::support::{Client, Server, browser::Browser, list, text};

#[test]
fn a_key_is_made_by_keyboard_shown_once_and_revoked() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    settings(&tab);
    tab.wait_text("#no-api-keys", "You have no keys.");
    tab.fill("What it is for", "notes <b>on</b> my laptop");
    tab.press("Tab");
    tab.press(" "); // Not to list the models.
    tab.press("Tab");
    tab.press(" "); // Nor to complete.
    tab.press("Enter");
    tab.wait_for("#key-dialog");
    tab.wait_focus("Copy the key");
    let secret = tab.value("#new-key");
    assert!(secret.starts_with("bondhu_key_"), "{secret}");
    assert_eq!(tab.accessible("#new-key"), ("textbox".to_owned(), "Key".to_owned()));
    tab.axe();
    let js = "navigator.clipboard.writeText = async text => { window.taken = text }";
    tab.evaluate(js, &[]);
    tab.press("Enter");
    tab.wait_text("#key-dialog [role=status]", "Copied");
    assert_eq!(tab.evaluate("return window.taken", &[]), json!(secret));
    tab.press("Escape");
    tab.wait_gone("#key-dialog");
    tab.wait_focus("Keys for programs");
    assert_eq!(tab.value("#key-name"), "", "the form is ready for another");

    let row = tab.texts("#api-keys li").concat();
    for words in ["notes <b>on</b> my laptop", "read, write and delete conversations", "never used", "ends "] {
        assert!(row.contains(words), "{row}");
    }
    assert!(!row.contains("list the models"), "{row}");
    let shown = tab.evaluate("return document.documentElement.outerHTML", &[]);
    assert!(!shown.as_str().unwrap().contains(&secret) && !tab.kept().contains(&secret), "it is shown this once");

    let mut program = Client::with_token(server.address, &secret);
    let session = program.session();
    program.say(&session, "from my laptop");
    tab.reload();
    tab.wait_text("#api-keys li", "last used");
    let listed = program_of(&server, "amina").get("/api/v1/auth/keys").expect(200).json();
    let [key] = list(&listed["keys"]) else { panic!("{listed}") };
    assert_eq!(key["scopes"], json!(["conversations"]));

    tab.press_button("Revoke the key notes <b>on</b> my laptop");
    tab.wait_for("#confirm");
    tab.wait_focus("Cancel");
    tab.press("Enter");
    tab.wait_gone("#confirm");
    program.get("/api/v1/sessions").expect(200);
    tab.press_button("Revoke the key notes <b>on</b> my laptop");
    tab.wait_for("#confirm");
    tab.axe();
    tab.click("#confirm .danger");
    tab.wait_gone("#confirm");
    tab.wait_text("[role=status]", "The key is revoked.");
    tab.wait_text("#no-api-keys", "You have no keys.");
    tab.wait_focus("What it is for");
    program.get("/api/v1/sessions").expect(401);
    browser.is_clean(&["401 (Unauthorized)"]);
}

#[test]
fn a_key_for_nothing_or_without_a_name_is_asked_for_again() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    settings(&tab);
    tab.wait_text("#no-api-keys", "You have no keys.");
    tab.press_button("Make a key");
    tab.wait_focus("What it is for");
    tab.fill("What it is for", "nothing");
    for scope in ["models", "completions", "conversations"] {
        tab.click(&format!("#scope-{scope}"));
    }
    tab.press_button("Make a key");
    tab.wait_fault("Please choose at least one thing that it may do.", "list the models");
    tab.click("#scope-read");
    tab.press_button("Make a key");
    tab.wait_for("#key-dialog");
    tab.press("Escape");
    tab.wait_count("#api-keys li", 1);
    let mut amina = program_of(&server, "amina");
    let made = amina.get("/api/v1/auth/keys").expect(200).json();
    assert_eq!(made["keys"][0]["scopes"], json!(["read"]));
    for n in 1..50 {
        amina.post("/api/v1/auth/keys", &json!({"name": format!("key {n}"), "scopes": ["read"]})).expect(201);
    }
    tab.fill("What it is for", "one too many");
    tab.press_button("Make a key");
    tab.wait_fault("You have 50 API keys already", "Make a key");
    browser.is_clean(&["401 (Unauthorized)", "409 (Conflict)"]);
}

#[test]
fn a_new_password_empties_the_list_of_keys() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    let key = json!({"name": "notes", "scopes": ["read"]});
    let made: Value = program_of(&server, "amina").post("/api/v1/auth/keys", &key).expect(201).json();
    settings(&tab);
    tab.wait_count("#api-keys li", 1);
    tab.fill("Current password", crate::support::PASSWORD);
    tab.fill("New password", "quiet-meadow-brick-77");
    tab.press_button("Change password");
    tab.wait_count("#api-keys li", 0);
    tab.wait_text("#no-api-keys", "You have no keys.");
    Client::with_token(server.address, &text(&made["key"])).get("/api/v1/sessions").expect(401);
}

#[test]
fn the_keys_are_readable_in_every_window() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    let mut amina = program_of(&server, "amina");
    for name in ["notes", "a program whose name is so long that it can't stand in one line of any window on a phone"] {
        let scopes = ["models", "completions", "conversations", "read"];
        amina.post("/api/v1/auth/keys", &json!({"name": name, "scopes": scopes})).expect(201);
    }
    settings(&tab);
    tab.wait_count("#api-keys li", 2);
    tab.evaluate("document.getElementById('api_keys-title').scrollIntoView()", &[]);
    look(&tab, "api-keys");
    tab.evaluate("document.getElementById('key-form').scrollIntoView()", &[]);
    look(&tab, "api-keys-form");
    tab.fill("What it is for", "notes");
    tab.press_button("Make a key");
    tab.wait_for("#key-dialog");
    look(&tab, "api-key-made");
}
