//! A person and a program in the same conversation: each sees what the other says, as it is said.

use serde_json::json;

use super::{account::program_of, labels::origin};
use crate::support::{Server, browser::Browser, list, text};

#[test]
fn what_a_program_adds_shows_on_the_page_and_what_a_person_says_in_its_list() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("Hello");
    tab.wait_answered(1);
    let conversation = format!("conv_{}", tab.url().rsplit('/').next().unwrap().replace('-', ""));
    let mut program = program_of(&server, "amina");

    let items = format!("/v1/conversations/{conversation}/items");
    let added = json!([
        { "role": "developer", "content": "Be brief." },
        { "role": "user", "content": "This was said elsewhere." },
        { "role": "assistant", "content": "And **this** answered." },
        { "role": "assistant", "content": "And this, too." },
    ]);
    program.post(&items, &json!({ "items": added })).expect(200);
    tab.wait_state("And this, too.", "noted");
    let said = tab.states();
    let wanted =
        ["user:answered", "assistant:complete", "developer:noted", "user:noted", "assistant:noted", "assistant:noted"];
    assert_eq!(said, wanted);
    assert!(tab.text("#log").contains("Instructions") && tab.text("#log").contains("Added by a program"));

    let asked = json!({ "conversation": conversation, "input": "A program asks." });
    let response = program.post("/v1/responses", &asked).expect(200).json();
    tab.wait_state("A program asks.", "answered");
    let reply = text(&response["output"][0]["content"][0]["text"]);
    assert_eq!(tab.shown().last().unwrap().text, reply);

    tab.say("And a person.");
    tab.wait_state("And a person.", "answered");
    let listed = program.get(&format!("{items}?limit=100&order=asc")).expect(200).json();
    let texts: Vec<_> = list(&listed["data"]).iter().map(|item| text(&item["content"][0]["text"])).collect();
    assert_eq!((texts.len(), texts[0].as_str(), texts[8].as_str()), (10, "Hello", "And a person."));

    let elsewhere = text(&listed["data"][3]["id"]);
    program.delete(&format!("{items}/{elsewhere}")).expect(200);
    tab.wait_state("", "erased");
    for reloads in [false, true] {
        if reloads {
            tab.reload();
            tab.wait_state("And a person.", "answered");
        }
        assert_eq!(tab.states()[3], "user:erased", "read again: {reloads}");
        assert!(!tab.text("#log").contains("This was said elsewhere"));
    }
    tab.axe();
    tab.shot("programs");
    browser.is_clean(&["401 (Unauthorized)"]);
}

#[test]
fn a_very_long_text_of_a_program_shows_its_beginning_and_all_of_it_when_it_is_asked_for() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("Hello");
    tab.wait_answered(1);
    let conversation = format!("conv_{}", tab.url().rsplit('/').next().unwrap().replace('-', ""));
    let long = format!("It begins. {}It ends.", "word ".repeat(19_996));
    assert_eq!(long.len(), 99_999);
    let added = json!({ "items": [{ "role": "user", "content": long }, { "role": "user", "content": "Behind it." }] });
    program_of(&server, "amina").post(&format!("/v1/conversations/{conversation}/items"), &added).expect(200);
    tab.wait_state("Behind it.", "noted");
    let height = || {
        let height = "return document.querySelectorAll('.message .text')[2].getBoundingClientRect().height;";
        tab.evaluate(height, &[]).as_f64().unwrap()
    };
    for again in [false, true] {
        if again {
            tab.reload();
            tab.wait_state("Behind it.", "noted");
        }
        assert!(height() < 300.0, "{}", height());
        tab.press_button("Show all");
        assert!(height() > 5_000.0, "{}", height());
        assert_eq!(tab.shown()[2].text, long);
    }
    tab.axe();
    browser.is_clean(&["401 (Unauthorized)"]);
}
