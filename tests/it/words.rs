//! The words of the page, read as text: each language has all that the page says, and nothing that it never says.

use std::{collections::BTreeSet, fs, ops::RangeInclusive};

use serde_json::{Map, Value};

const PAGE: &str = "src/web/page";
/// The languages beside English, with the first and the last character of their script.
const LANGUAGES: [(&str, RangeInclusive<char>); 2] = [("bn", '\u{980}'..='\u{9FF}'), ("hi", '\u{900}'..='\u{97F}')];
/// The categories that `Intl.PluralRules` knows.
const PLURALS: [&str; 6] = ["zero", "one", "two", "few", "many", "other"];
/// The keys that the page puts together: how they begin, and how they may end.
const BUILT: [(&str, &[&str]); 7] = [
    ("action_", &["again", "copy", "drop", "edit", "resend", "retry", "unfold"]),
    ("invalid_", &["display_name", "password", "title", "username"]),
    (
        "problem_",
        &[
            "invalid",
            "name-taken",
            "not-owner",
            "rate-limited",
            "registration-closed",
            "too-many-failures",
            "too-many-keys",
            "unavailable",
            "wrong-credentials",
        ],
    ),
    ("scope_", &["completions", "conversations", "models", "read"]),
    ("spoken_", &["answering", "failed", "interrupted", "refused", "stopped", "stored", "unconfirmed"]),
    ("state_assistant_", &["answering", "stopped", "superseded"]),
    (
        "state_user_",
        &["answered", "answering", "failed", "interrupted", "refused", "sending", "stopped", "stored", "unconfirmed"],
    ),
];
/// The keys that stand in lists begin so.
const LISTED: [&str; 3] = ["begin_", "fact_", "key_"];
/// Functions that pass a key on: the name, and in which place the key stands.
const PASSED: [(&str, usize); 2] = [("section", 0), ("choice", 1)];
/// What keys from lists and passed keys are called where they are said.
const VARIABLES: [&str; 4] = ["key", "label", "title", "words"];

fn read(file: &str) -> String {
    fs::read_to_string(format!("{PAGE}/{file}")).unwrap()
}

fn words(tag: &str) -> Map<String, Value> {
    serde_json::from_str(&read(&format!("words.{tag}.json"))).unwrap()
}

/// The keys of a language as they stand in its file, one a line; JSON itself takes the last of two.
fn keys(tag: &str) -> Vec<String> {
    let text = read(&format!("words.{tag}.json"));
    text.lines().filter_map(|line| Some(line.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned())).collect()
}

/// The texts of a key, each with its plural category; without one where they do not depend on a number.
fn texts(value: &Value) -> Vec<(&str, &str)> {
    let Some(forms) = value.as_object() else { return vec![("", value.as_str().unwrap())] };
    forms.iter().map(|(form, text)| (form.as_str(), text.as_str().unwrap())).collect()
}

/// What stands in braces.
fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect()
}

/// All scripts of the page, one after the other, without the lines that are comments.
fn scripts() -> String {
    let files = fs::read_dir(PAGE).unwrap().map(|entry| entry.unwrap().path());
    let scripts = files.filter(|file| file.extension().is_some_and(|extension| extension == "js"));
    let scripts: String = scripts.map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_code = |line: &&str| !["//", "/*", "*"].iter().any(|start| line.trim_start().starts_with(start));
    scripts.split_inclusive('\n').filter(is_code).collect()
}

/// What is between the parentheses of each call of `function`, as far as the first that closes.
fn calls<'a>(scripts: &'a str, function: &str) -> Vec<&'a str> {
    let open = format!("{function}(");
    let calls = scripts.match_indices(&open).filter(|(at, _)| !scripts[..*at].ends_with(char::is_alphanumeric));
    let calls = calls.filter(|(at, _)| !scripts[..*at].ends_with("function "));
    calls.map(|(at, open)| scripts[at + open.len()..].split_once(')').unwrap().0).collect()
}

/// The whole text where it is in quotes.
fn unquoted(text: &str) -> Option<&str> {
    text.trim().strip_prefix('\'')?.strip_suffix('\'')
}

/// The keys that may come of what is handed to `say`: one, or one of two.
fn said(arguments: &str) -> Vec<&str> {
    let first = arguments.split(',').next().unwrap();
    let choices = first.split_once(" ? ").map_or(first, |(_, choices)| choices);
    choices.split(" : ").filter_map(unquoted).collect()
}

/// Every key that the scripts ask for.
fn wanted(scripts: &str) -> BTreeSet<String> {
    let mut wanted: BTreeSet<&str> = calls(scripts, "say").into_iter().flat_map(said).collect();
    for (function, place) in PASSED {
        wanted.extend(calls(scripts, function).iter().filter_map(|call| unquoted(call.split(',').nth(place)?)));
    }
    wanted.extend(scripts.split('\'').filter(|part| LISTED.iter().any(|start| part.starts_with(start))));
    let built = BUILT.iter().flat_map(|(start, ends)| ends.iter().map(move |end| format!("{start}{end}")));
    wanted.into_iter().map(str::to_owned).chain(built).collect()
}

#[test]
fn every_language_has_the_same_keys_in_the_same_order() {
    let english = keys("en");
    assert!(english.is_sorted() && english.windows(2).all(|two| two[0] != two[1]), "{english:?}");
    assert_eq!(english.len(), words("en").len());
    for (tag, _) in LANGUAGES {
        assert_eq!(keys(tag), english, "{tag}");
    }
}

#[test]
fn every_text_has_its_placeholders_and_a_form_for_any_number() {
    let english = words("en");
    for tag in ["en", "bn", "hi"] {
        for (key, value) in &words(tag) {
            let (original, place) = (&english[key], format!("{tag}, {key}"));
            assert_eq!(value.is_object(), original.is_object(), "{place}: its words depend on a number, or not");
            let (_, expected) = texts(original)[0];
            for (form, text) in texts(value) {
                assert!(!text.is_empty() && text.trim() == text, "{place}: {text:?}");
                assert!(form.is_empty() || PLURALS.contains(&form), "{place}: {form}");
                assert_eq!(placeholders(text), placeholders(expected), "{place}: {text}");
            }
            assert!(!value.is_object() || value["other"].is_string(), "{place}: has no form for any number");
        }
    }
}

#[test]
fn every_text_is_in_the_script_of_its_language() {
    for (tag, script) in LANGUAGES {
        for (key, value) in &words(tag) {
            for (_, text) in texts(value) {
                let is_translated = text.chars().any(|c| script.contains(&c) && c.is_alphanumeric());
                assert!(is_translated, "{tag}, {key}: {text}");
            }
        }
    }
}

#[test]
fn the_page_says_what_there_is_and_there_is_what_it_says() {
    let scripts = scripts();
    let (wanted, there) = (wanted(&scripts), keys("en").into_iter().collect::<BTreeSet<_>>());
    assert_eq!(wanted.difference(&there).collect::<Vec<_>>(), [""; 0], "these are said and not there");
    assert_eq!(there.difference(&wanted).collect::<Vec<_>>(), [""; 0], "these are there and never said");
}

#[test]
fn this_test_sees_every_key_that_the_page_puts_together_or_passes_on() {
    let scripts = scripts();
    for call in calls(&scripts, "say").into_iter().filter(|call| said(call).is_empty()) {
        let is_built = BUILT.iter().any(|(start, _)| call.starts_with(&format!("`{start}${{")));
        assert!(is_built || VARIABLES.contains(&call), "say({call}): which keys are these?");
    }
    for (start, _) in scripts.split('`').filter_map(|part| part.split_once("_${")) {
        let is_name = !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let is_known = BUILT.iter().any(|(known, _)| known.starts_with(&format!("{start}_")));
        assert!(is_known || !is_name, "`{start}_…`: which keys are these?");
    }
    // Kinds of problems are the server's words.
    let server = fs::read_to_string("src/http/problem.rs").unwrap();
    for (start, ends) in BUILT {
        for end in ends {
            let is_there = if start == "problem_" {
                server.contains(&format!("\"{end}\""))
            } else {
                scripts.contains(&format!("'{end}'"))
            };
            assert!(is_there, "nothing is '{end}'");
        }
    }
}

#[test]
fn the_page_offers_the_languages_that_there_are_and_loads_one() {
    let scripts = scripts();
    let offered = scripts.split_once("LANGUAGES = {").unwrap().1.split_once('}').unwrap().0;
    let offered: Vec<_> = offered.split(',').map(|language| language.split_once(':').unwrap().0.trim()).collect();
    assert_eq!(offered, ["en", "bn", "hi"]);
    assert_eq!(scripts.matches("`words.${").count(), 1, "the words are loaded in one place");
    assert!(!read("index.html").contains("words"), "no words are loaded before a language is chosen");
}
