//! Reading, waiting, clicking, typing and composing.

use std::time::Duration;

use serde_json::json;

use super::failure;
use crate::support::{
    browser::{Browser, Tab},
    site::{Page, Site},
};

/// Writes down what the field hears.
const FIELD: &str = "<!doctype html><html lang=en><title>Field</title><label>Say <textarea id=say></textarea></label>
    <ol id=heard></ol><script>
    const say = document.getElementById('say');
    for (const name of ['keydown', 'compositionstart', 'compositionend', 'input']) {
        say.addEventListener(name, event => {
            const line = document.createElement('li');
            line.textContent = [name, event.key, event.isComposing, event.shiftKey, event.ctrlKey].join(' ');
            document.getElementById('heard').append(line);
        });
    }
    </script>";

/// A button that comes late, moves away and is covered at first; each click on it counts.
const BUTTON: &str = "<!doctype html><html lang=en><title>Button</title><body style='height: 4000px'>
    <div id=cover style='position: fixed; inset: 0; background: white'></div><p id=count data-kind=counter>0</p>
    <script>
    let count = 0;
    setTimeout(() => {
        const button = document.createElement('button');
        button.textContent = 'More';
        button.disabled = true;
        button.onclick = () => document.getElementById('count').textContent = ++count;
        button.style = 'margin-top: 2000px; color: rgb(1, 2, 3)';
        document.body.append(button);
        setTimeout(() => button.disabled = false, 60);
        setTimeout(() => document.getElementById('cover').remove(), 400);
    }, 60);
    </script>";

fn site() -> Site {
    Site::start(|path| match path {
        "/field" => Page::html(FIELD),
        "/button" => Page::html(BUTTON),
        _ => Page::html("<!doctype html><html lang=en><title>Start</title><a href=/button>On</a><p hidden>No</p>"),
    })
}

#[test]
fn a_click_waits_until_a_person_could_make_it() {
    let (site, browser) = (site(), Browser::start());
    let tab = browser.open(&site.origin());
    assert_eq!((tab.title(), tab.count("p"), tab.shows("p"), tab.shows("a")), ("Start".to_owned(), 1, false, true));
    tab.click("a");
    tab.wait_url("/button");
    tab.click("button");
    tab.wait_text("#count", "1");
    tab.tap("button");
    tab.wait_text("#count", "2");
    assert_eq!(tab.accessible("button"), ("button".to_owned(), "More".to_owned()));
    assert_eq!(tab.style("button", "color"), "rgb(1, 2, 3)");
    assert_eq!(tab.attribute("#count", "data-kind").as_deref(), Some("counter"));
    assert_eq!((tab.attribute("#count", "title"), tab.texts("p, button")), (None, vec!["2".into(), "More".into()]));

    let at = tab.property("html", "scrollTop").as_f64().unwrap();
    assert!(at > 0.0, "a click scrolls to what it is on");
    tab.wheel("body", -300);
    tab.wait("scroll up", "return document.documentElement.scrollTop < arguments[0]", &[json!(at)]);

    tab.reload();
    tab.wait_text("#count", "0");
    tab.back();
    tab.wait_url("/");
    tab.forward();
    tab.wait_url("/button");
    assert_eq!(tab.url(), format!("{}/button", site.origin()));
    assert_eq!(tab.evaluate("return Promise.resolve([arguments[0], 1])", &[json!("a")]), json!(["a", 1]));
    tab.evaluate("setTimeout(() => document.querySelector('button').remove(), 20)", &[]);
    tab.wait_gone("button");

    tab.evaluate("setTimeout(() => location.href = '/', 50)", &[]);
    tab.wait("be where it leads", "return document.title === 'Start'", &[]);
    tab.evaluate("document.title = 'old'; setTimeout(() => location.reload(), 50)", &[]);
    tab.wait("be loaded again", "return document.title === 'Start'", &[]);
    browser.is_clean(&[]);
}

#[test]
fn what_does_not_come_is_reported_with_what_there_is() {
    let (site, browser) = (site(), Browser::start());
    let tab = browser.open(&format!("{}/button", site.origin())).with_patience(Duration::from_millis(100));
    tab.evaluate("console.error('a line of the console')", &[]);
    let picture = "failed-page-harness-hands-what_does_not_come_is_reported_with_what_there_is.png";
    for said in [
        failure(|| tab.wait_for("#nothing")),
        failure(|| tab.wait("find #nothing", "return document.querySelector('#nothing').value", &[])),
        failure(|| tab.click("#nothing")),
        failure(|| tab.text("#nothing")),
        failure(|| tab.evaluate("return document.querySelector('#nothing').value", &[])),
        failure(|| tab.wait("#nothing", "return (", &[])),
        failure(|| tab.click("h1, #nothing")),
    ] {
        for wanted in ["#nothing", picture, "a line of the console"] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
    tab.goto(&format!("{}/button", site.origin()));
    let said = failure(|| tab.wait_count("p", 2));
    assert!(said.contains("find p 2 times") && said.contains("/button") && said.contains("the page says:\n    0"));
    let said = failure(|| tab.wait("have a script", "return (", &[]));
    assert!(said.contains("can't have a script: "), "it does not try again what can't become right: {said}");
    let said = failure(|| tab.wait("be null", "return document.querySelector('b').value", &[]));
    assert!(said.contains("TypeError"), "what the condition threw is told: {said}");
}

#[test]
fn keys_and_chords_reach_the_field_as_from_a_keyboard() {
    let (site, browser) = (site(), Browser::start());
    let tab = browser.open(&format!("{}/field", site.origin()));
    tab.press("Tab");
    assert_eq!(tab.accessible(":focus"), ("textbox".to_owned(), "Say".to_owned()));
    tab.keys("Aé");
    tab.press("Shift+Enter");
    tab.keys("আমি 🙂!");
    assert_eq!(tab.value("#say"), "Aé\nআমি 🙂!");
    let heard = tab.texts("#heard li");
    for line in ["keydown A false true false", "keydown Enter false true false", "keydown আ false false false"] {
        assert!(heard.iter().any(|heard| heard == line), "{line}: {heard:?}");
    }
    tab.press("Ctrl+K");
    tab.press("Escape");
    tab.press("?");
    let heard = tab.texts("#heard li");
    for line in ["keydown k false false true", "keydown Escape false false false", "keydown ? false true false"] {
        assert!(heard.iter().any(|heard| heard == line), "{line}: {heard:?}");
    }
    tab.rewrite("#say", "new\n");
    assert_eq!(tab.value("#say"), "new\n");
    tab.write("#say", "er");
    assert_eq!(tab.value("#say"), "new\ner");
    assert!(failure(|| tab.press("Hyper+x")).contains("Hyper"));
    a_composition_is_heard_as_one_and_enters_its_word_once(&tab);
}

fn a_composition_is_heard_as_one_and_enters_its_word_once(tab: &Tab) {
    tab.rewrite("#say", "x ");
    tab.evaluate("document.getElementById('heard').replaceChildren()", &[]);
    tab.compose("আ");
    tab.compose("আমি");
    assert_eq!(tab.value("#say"), "x আমি");
    tab.compose_enter();
    tab.commit("আমি");
    assert_eq!(tab.value("#say"), "x আমি");
    let heard = tab.texts("#heard li");
    assert_eq!(heard.first().map(String::as_str), Some("keydown Unidentified false false false"));
    for line in ["compositionstart", "keydown Unidentified true", "keydown Enter true", "compositionend"] {
        assert_eq!(heard.iter().filter(|heard| heard.starts_with(line)).count(), 1, "{line}: {heard:?}");
    }
    tab.press("Enter");
    assert_eq!(tab.texts("#heard li").iter().filter(|line| line.starts_with("keydown Enter false")).count(), 1);
}
