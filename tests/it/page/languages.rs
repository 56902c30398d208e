//! The page in its languages: which one it speaks, how it tells days, and letters that run from right to left.

use serde_json::{Value, json};

use super::labels::origin;
use crate::support::{
    PASSWORD, Server,
    browser::{Browser, Tab},
};

/// What is checked of a language.
struct Language {
    /// What the browser asks for.
    asked: &'static str,
    tag: &'static str,
    /// What it calls itself.
    name: &'static str,
}

const LANGUAGES: [Language; 2] =
    [Language { asked: "bn-BD,bn", tag: "bn", name: "বাংলা" }, Language { asked: "hi-IN,hi", tag: "hi", name: "हिन्दी" }];

/// The words of a language, as the page has them.
fn words(tag: &str) -> Value {
    let path = format!("{}/src/web/page/words.{tag}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn lang(tab: &Tab) -> String {
    tab.attribute("html", "lang").unwrap()
}

#[test]
fn a_browser_is_answered_in_its_own_language() {
    for Language { asked, tag, name } in LANGUAGES {
        let server = Server::start(&[]);
        let browser = Browser::speaking(asked);
        let tab = browser.open(&origin(&server));
        let words = words(tag);
        let say = |key: &str| words[key].as_str().unwrap();
        tab.wait_focus(say("username"));
        assert_eq!(lang(&tab), tag);
        assert_eq!(tab.text("h1"), say("sign_in"));
        assert_eq!(tab.evaluate("return document.getElementById('language').selectedOptions[0].text", &[]), name);
        tab.press_button(say("no_account"));
        tab.wait_text("h1", say("create_account"));
        tab.fill(say("username"), "amina");
        tab.fill(say("password"), PASSWORD);
        tab.press_button(say("create_account"));
        tab.wait_focus(say("message"));
        assert!(tab.text(".welcome h2").contains("amina"));
        tab.say(say("begin_day"));
        tab.wait_answered(1);
        assert_eq!(tab.texts(".day"), [say("today")]);
        for (css, key) in [
            ("#send", "send"),
            ("#get-help", "get_help"),
            ("#new-session", "new_session"),
            (".state", "state_user_answered"),
        ] {
            assert_eq!(tab.text(css), say(key));
        }
        let shown = tab.text("body");
        let english: Vec<&str> =
            shown.split(|char: char| !char.is_ascii_alphabetic()).filter(|word| word.len() > 2).collect();
        assert_eq!(english, ["amina"], "{shown}");
        all_of_it_stays_in_its_language(&tab, tag);
        the_choice_of_a_person_wins(&tab, tag, &words);
        browser.is_clean(&["401 (Unauthorized)"]);
    }
}

/// Also what is opened says nothing in English but names of keys and of programs.
fn all_of_it_stays_in_its_language(tab: &Tab, tag: &str) {
    let known = ["amina", "Enter", "Shift", "Esc", "Ctrl", "Chrome", "Linux", "JSON", "Lines", "English"];
    let is_free = |tab: &Tab| {
        let shown = tab.text("dialog, .settings");
        let words = shown.split(|char: char| !char.is_ascii_alphabetic()).filter(|word| word.len() > 2);
        let english: Vec<&str> = words.filter(|word| !known.contains(word)).collect();
        assert!(english.is_empty(), "{tag}: {english:?} in {shown}");
    };
    for chord in ["Ctrl+/", "Ctrl+K"] {
        tab.press(chord);
        tab.wait_for("dialog");
        is_free(tab);
        tab.press("Escape");
        tab.wait_gone("dialog");
    }
    tab.click("#open-settings");
    tab.wait_count("#logins li", 1);
    is_free(tab);
}

fn the_choice_of_a_person_wins(tab: &Tab, tag: &str, words: &Value) {
    let choose = |tag: &str| {
        let js = "const box = document.getElementById('language');
            box.value = arguments[0];
            box.dispatchEvent(new Event('change', {bubbles: true}))";
        tab.evaluate(js, &[json!(tag)]);
    };
    choose("en");
    tab.wait_focus("Settings");
    assert_eq!(lang(tab), "en");
    tab.reload();
    tab.wait_focus("Settings");
    assert_eq!((lang(tab).as_str(), tab.value("#language").as_str()), ("en", "en"));
    choose("");
    tab.wait_focus(words["settings"].as_str().unwrap());
    tab.reload();
    tab.wait_focus(words["settings"].as_str().unwrap());
    assert_eq!((lang(tab).as_str(), tab.value("#language").as_str()), (tag, ""));
}

#[test]
fn the_entrance_has_a_choice_too_and_others_get_english() {
    let server = Server::start(&[]);
    let browser = Browser::speaking("fr-FR,fr,hi-IN,en");
    let tab = browser.open(&origin(&server));
    let (hindi, bengali) = (words("hi"), words("bn"));
    tab.wait_focus(hindi["username"].as_str().unwrap());
    assert_eq!(lang(&tab), "hi", "the first of those that there are");
    tab.press_button(hindi["no_account"].as_str().unwrap());
    tab.fill(hindi["display_name"].as_str().unwrap(), "अमीना");
    let js = "const box = document.getElementById('language');
        box.value = 'bn';
        box.dispatchEvent(new Event('change', {bubbles: true}))";
    tab.evaluate(js, &[]);
    tab.wait_focus(bengali["language"].as_str().unwrap());
    assert_eq!(lang(&tab), "bn");
    assert_eq!(tab.text("h1"), bengali["create_account"].as_str().unwrap(), "what one was about to do goes on");
    assert_eq!(tab.value("#display_name"), "अमीना");
    tab.reload();
    tab.wait_focus(bengali["username"].as_str().unwrap());
    let other = Browser::speaking("fr-FR,fr").open(&origin(&server));
    other.wait_entrance();
    assert_eq!(lang(&other), "en");
}

/// The heading of the only day of a conversation, read so many hours from now in this zone.
fn day_read(tab: &Tab, address: &str, hours: i64, zone: &str) -> String {
    let js = format!(
        "(() => {{ const True = Date; const ms = {hours} * 3600000;
            globalThis.Date = class Date extends True {{
                constructor(...given) {{ given.length === 0 ? super(True.now() + ms) : super(...given); }}
                static now() {{ return True.now() + ms; }}
            }}; }})()"
    );
    let clock = tab.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({"source": js}));
    tab.zone(zone);
    tab.goto(address);
    tab.wait_answered(1);
    tab.cdp("Page.removeScriptToEvaluateOnNewDocument", &json!({"identifier": clock["identifier"]}));
    let mut days = tab.texts(".day");
    assert_eq!(days.len(), 1, "{days:?}");
    days.remove(0)
}

/// A zone in which it is this hour where it is `utc` o'clock in Greenwich.
fn zone(utc: i64, hour: i64) -> String {
    let mut ahead = hour - utc;
    if ahead < -12 {
        ahead += 24;
    } else if ahead > 14 {
        ahead -= 24;
    }
    format!("Etc/GMT{}{}", if ahead > 0 { "-" } else { "+" }, ahead.abs()) // Their signs are the other way round.
}

#[test]
fn days_are_told_in_the_zone_and_language_of_who_reads() {
    let server = Server::start(&[]);
    let browser = Browser::speaking("bn-BD,bn");
    let tab = browser.tab();
    let words = words("bn");
    tab.goto(&origin(&server));
    tab.wait_for("#sign-in");
    server.user("amina");
    tab.fill(words["username"].as_str().unwrap(), "amina");
    tab.fill(words["password"].as_str().unwrap(), PASSWORD);
    tab.press("Enter");
    tab.wait_for("#text");
    tab.say("শুভ সকাল");
    tab.wait_answered(1);
    let at = tab.attribute("article time", "datetime").unwrap();
    let hour: i64 = at[11..13].parse().unwrap();
    let address = tab.url();
    let in_english = Browser::start().open(&address);
    in_english.sign_in("amina");
    in_english.wait_answered(1);
    // 12 hours later it is the same day for some, and the next for others.
    for (hour_there, key, english) in [(1, "today", "Today"), (20, "yesterday", "Yesterday")] {
        let zone = zone(hour, hour_there);
        for (tab, wanted) in [(&tab, words[key].as_str().unwrap()), (&in_english, english)] {
            assert_eq!(day_read(tab, &address, 12, &zone), wanted, "{zone}, written at {at}");
        }
    }
    let weekday = json!({"weekday": "long"});
    let date = json!({"day": "numeric", "month": "long", "year": "numeric"});
    for (hours, options) in [(3 * 24, &weekday), (6 * 24, &weekday), (400 * 24, &date)] {
        for (tab, locale) in [(&tab, "bn-BD"), (&in_english, "en-GB")] {
            let day = day_read(tab, &address, hours, "Asia/Dhaka");
            let js = "return new Date(arguments[0]).toLocaleDateString(arguments[1],
                {...arguments[2], timeZone: 'Asia/Dhaka'})";
            assert_eq!(tab.evaluate(js, &[json!(at), json!(locale), options.clone()]), day, "{hours} hours later");
        }
    }
    // A week ago is a date: its weekday would be today's.
    let heading = day_read(&in_english, &address, 7 * 24, "Asia/Dhaka");
    assert!(heading.starts_with(|first: char| first.is_ascii_digit()) && !heading.contains("day"), "{heading}");
    assert_eq!(in_english.accessible(".day"), ("heading".to_owned(), heading));
}

#[test]
fn letters_from_right_to_left_stand_as_they_are_read() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    let said = [
        ("مرحبا، كيف حالك اليوم؟", "rtl"),
        ("آج میرا دن بہت اچھا گزرا، لیکن meeting لمبی تھی۔", "rtl"),
        ("an English sentence, with مرحبا in it", "ltr"),
        ("পথটা অনেক লম্বা ছিল", "ltr"),
    ];
    for (n, (text, direction)) in said.into_iter().enumerate() {
        tab.keys(text);
        assert_eq!(tab.style("#text", "direction"), direction, "while it is written: {text}");
        tab.press("Enter");
        tab.wait_answered(n + 1);
    }
    tab.keys("لا شيء");
    for width in [320, 768, 1440] {
        tab.viewport(width, 700);
        let js = "return [...document.querySelectorAll('article[data-role=user] .text')].map(one => getComputedStyle(one).direction)";
        assert_eq!(tab.evaluate(js, &[]), json!(said.map(|(_, direction)| direction)));
        // Nothing is wider than the window, and own messages stay at their side.
        let js = "const wide = [...document.querySelectorAll('body, main, #log, .place, .head')]
                .filter(one => one.scrollWidth > one.clientWidth).map(one => one.className || one.tagName);
            const out = [...document.querySelectorAll('article, .text, #text, #send, #title, .head button')]
                .filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect())
                .filter(box => box.left < 0 || box.right > innerWidth);
            const sides = new Set([...document.querySelectorAll('article[data-role=user]')]
                .map(one => Math.round(one.getBoundingClientRect().right)));
            return [wide, out.length, sides.size, document.documentElement.scrollWidth <= innerWidth]";
        assert_eq!(tab.evaluate(js, &[]), json!([[], 0, 1, true]), "at {width} px");
    }
    tab.viewport(320, 700);
    tab.press_button("Conversations");
    tab.wait_for("#sessions a");
    assert_eq!(tab.style("#sessions .title", "direction"), "rtl", "a title is read as its message");
    assert_eq!(tab.evaluate("return document.documentElement.scrollWidth <= innerWidth", &[]), true);
}

#[test]
fn what_a_form_asks_for_is_said_in_the_language_of_the_page() {
    let server = Server::start(&[]);
    for tag in ["en", "bn", "hi"] {
        // What browsers say of fields is in their own language.
        let browser = Browser::speaking("en-GB");
        let tab = browser.open(&origin(&server));
        let words = words(tag);
        let say = |key: &str| words[key].as_str().unwrap_or_else(|| words[key]["other"].as_str().unwrap());
        let choose = "const box = document.getElementById('language');
            box.value = arguments[0];
            box.dispatchEvent(new Event('change', {bubbles: true}))";
        tab.wait_for("#language");
        tab.evaluate(choose, &[json!(tag)]);
        tab.wait_text("h1", say("sign_in"));
        tab.press_button(say("no_account"));
        tab.wait_text("h1", say("create_account"));
        tab.press_button(say("create_account"));
        tab.wait_fault(say("rule_missing"), say("username"));
        tab.fill(say("username"), "am ina");
        tab.fill(say("password"), "short");
        tab.press_button(say("create_account"));
        tab.wait_fault(say("rule_short").split("{n}").last().unwrap(), say("password"));
        tab.fill(say("password"), PASSWORD);
        tab.press_button(say("create_account"));
        // In English the server says it, and more exactly.
        let is_theirs = tag == "en";
        tab.wait_fault(if is_theirs { "username: " } else { say("invalid_username") }, say("username"));
        tab.fill(say("username"), &format!("amina-{tag}"));
        tab.fill(say("password"), "amar sonar bangla");
        tab.press_button(say("create_account"));
        tab.wait_fault(if is_theirs { "is too common" } else { say("invalid_password") }, say("password"));
        tab.fill(say("password"), PASSWORD);
        tab.press_button(say("create_account"));
        tab.wait_for("#text");
        tab.say("hello");
        tab.wait_answered(1);
        tab.click("#edit-session");
        tab.fill(say("title"), "");
        tab.press("Enter");
        tab.wait_fault(say("rule_missing"), say("title"));
    }
}
