//! Accounts: how one is made, entered, left, kept safe, taken along and ended.

use serde_json::{Value, json};

use super::labels::origin;
use crate::support::{
    Client, PASSWORD, Server,
    browser::{Browser, Tab},
    list, text,
};

/// Another password that every policy takes.
const OTHER: &str = "quiet-meadow-brick-77";

/// Where only a password was asked for.
const WRONG_PASSWORD: &str = "The password is not right.";

const WRONG: &str = "The user name or the password is wrong; please check both and try again.";

fn login(server: &Server, name: &str, password: &str) -> (u16, Value) {
    let answer = server.client().post("/api/v1/auth/login", &json!({"username": name, "password": password}));
    (answer.status, answer.json())
}

/// The same person, with a program of theirs.
pub(super) fn program_of(server: &Server, name: &str) -> Client {
    Client::with_token(server.address, &text(&login(server, name, PASSWORD).1["token"]))
}

pub(super) fn settings(tab: &Tab) {
    tab.click("#open-settings");
    tab.wait_url("/settings");
    tab.wait_focus("Settings");
}

#[test]
fn each_refusal_of_a_registration_is_said_where_it_can_be_mended() {
    let server = Server::start(&[]);
    server.user("bela");
    let browser = Browser::start();
    let tab = browser.open(&origin(&server));
    tab.wait_entrance();
    tab.press_button("Create an account");
    tab.wait_text("h1", "Create an account");
    tab.wait_focus("User name");
    tab.fill("User name", "bela");
    tab.fill("Name to show (optional)", "Amina R.");
    tab.fill("Password", PASSWORD);
    tab.press_button("Create an account");
    tab.wait_fault("Someone has this user name already; please choose another.", "User name");
    assert_eq!(tab.accessible(".fault").0, "alert");
    assert_eq!(tab.attribute("#username", "aria-invalid").as_deref(), Some("true"));
    assert_eq!((tab.value("#username"), tab.value("#password")), ("bela".to_owned(), PASSWORD.to_owned()));
    tab.fill("User name", "am ina");
    tab.press("Enter");
    tab.wait_fault("username: ", "User name");
    tab.fill("User name", "amina");
    // The browser counts a part of a character as one; the server does not.
    let refused = [
        ("short", "12"),
        ("🙂🙃😉😊🤗🤔", "password: must have at least 12 characters"),
        ("amar sonar bangla", "password: is too common; several words that do not belong together make a good one"),
        ("qwertyuiop12", "rows of keys"),
    ];
    for (password, words) in refused {
        tab.fill("Password", password);
        tab.press_button("Create an account");
        tab.wait_fault(words, "Password");
        assert_eq!((tab.value("#username"), tab.value("#password")), ("amina".to_owned(), password.to_owned()));
        assert_eq!(tab.attribute("#username", "aria-invalid").as_deref(), Some("false"));
    }
    assert_eq!(tab.value("#display_name"), "Amina R.");
    tab.fill("Password", PASSWORD);
    tab.press("Enter");
    tab.wait_text(".welcome", "Hello, Amina R.");
    tab.wait_focus("Message");
    assert!(!tab.kept().contains(PASSWORD));
    browser.is_clean(&["401 (Unauthorized)", "409 (Conflict)", "422 (Unprocessable"]);
}

#[test]
fn a_registration_whose_answer_was_lost_is_only_to_be_asked_for_again() {
    let server = Server::start(&[]);
    server.user("bela");
    let browser = Browser::start();
    let tab = browser.open(&origin(&server));
    let lose = "const real = window.fetch;
        let lost = false;
        window.fetch = async (path, options) => {
            const answer = await real(path, options);
            if (lost || !path.endsWith(arguments[0])) return answer;
            lost = true;
            throw new TypeError('lost');
        };";
    for (name, path, password) in
        [("amina", "/auth/register", PASSWORD), ("chandra", "/auth/login", PASSWORD), ("bela", "/auth/register", OTHER)]
    {
        tab.goto(&origin(&server));
        tab.wait_entrance();
        tab.evaluate(lose, &[json!(path)]);
        tab.press_button("Create an account");
        tab.wait_text("h1", "Create an account");
        tab.fill("User name", name);
        tab.fill("Password", password);
        tab.press_button("Create an account");
        tab.wait_fault("The server can’t be reached. Please try again in a moment.", "Create an account");
        tab.press_button("Create an account");
        if name == "bela" {
            tab.wait_fault("Someone has this user name already", "User name");
            break;
        }
        tab.wait_text(".welcome", name);
        settings(&tab);
        tab.press_button("Sign out");
        tab.wait_entrance();
    }
}

#[test]
fn a_wrong_password_is_said_and_the_right_one_lets_in() {
    let server = Server::start(&[]);
    server.user("amina");
    let browser = Browser::start();
    let tab = browser.open(&origin(&server));
    tab.wait_entrance();
    tab.press("Enter");
    assert_eq!(
        tab.accessible(":focus"),
        ("textbox".to_owned(), "User name".to_owned()),
        "what is missing is asked for"
    );
    for (name, password) in [("amina", OTHER), ("nobody", PASSWORD)] {
        tab.fill("User name", name);
        tab.fill("Password", password);
        tab.press_button("Sign in");
        tab.wait_fault(WRONG, "Password");
        assert_eq!(tab.value("#username"), name);
    }
    tab.sign_in("amina");
    tab.wait_focus("Message");
}

#[test]
fn who_signs_out_leaves_nothing_behind_in_any_tab() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let first = browser.tab();
    first.register(&origin(&server), "amina");
    first.say("my secret garden");
    first.wait_answered(1);
    let second = browser.open(&first.url());
    second.wait_answered(1);
    second.write("#text", "half a secret");
    first.press_button("New conversation");
    first.wait_url("/");
    first.write("#text", "another half");
    for words in ["half a secret", "another half"] {
        let js = "return Object.values(localStorage).includes(arguments[0])";
        first.wait("drafts to be kept while one is signed in", js, &[json!(words)]);
    }
    settings(&first);
    first.press_button("Sign out");
    first.wait_entrance();
    second.wait_entrance();
    for tab in [&first, &second] {
        tab.wait("nothing to be kept", "return localStorage.length === 0", &[]);
        assert_eq!((tab.title().as_str(), tab.kept().as_str()), ("bondhu", "{}"));
    }
    for _ in 0..2 {
        first.back();
        first.frame();
        first.wait_for("#sign-in");
        let shown = first.text("body");
        assert!(!shown.contains("garden") && !shown.contains("secret") && !shown.contains("amina"), "{shown}");
    }
    first.reload();
    first.wait_entrance();
    assert!(second.texts("input").iter().all(String::is_empty));
    second.sign_in("amina");
    assert_eq!(second.value("#text"), "");
}

#[test]
fn registration_is_as_the_server_has_it() {
    let closed = Server::start(&["auth.registration=closed"]);
    let browser = Browser::start();
    let tab = browser.open(&origin(&closed));
    tab.wait_text("main", "New accounts are made by the people who run this server.");
    assert!(!tab.text("main").contains("Create an account"));

    let invited = Server::start(&["auth.registration=invite"]);
    let code = invited.command(&["user", "invite"], "").ok();
    tab.goto(&origin(&invited));
    tab.press_button("Create an account");
    tab.fill("User name", "amina");
    tab.fill("Password", PASSWORD);
    tab.press_button("Create an account");
    tab.wait_focus("Invitation");
    tab.fill("Invitation", "bondhu_invite_none");
    tab.press_button("Create an account");
    let words = "Registration needs an invitation code that is still valid; please ask the operator for one.";
    tab.wait_fault(words, "Invitation");
    assert_eq!((tab.value("#username"), tab.value("#password")), ("amina".to_owned(), PASSWORD.to_owned()));
    tab.fill("Invitation", code.trim());
    tab.press_button("Create an account");
    tab.wait_for("#text");
}

#[test]
fn a_new_password_ends_every_other_login_at_once() {
    let server = Server::start(&[]);
    let (home, phone) = (Browser::start(), Browser::start());
    let (here, there) = (home.tab(), phone.tab());
    here.register(&origin(&server), "amina");
    there.goto(&origin(&server));
    there.sign_in("amina");
    settings(&here);
    here.wait_count("#logins li", 2);
    for (current, new, words, field) in [
        (OTHER, "violet-harbour-19", WRONG_PASSWORD, "Current password"),
        (PASSWORD, "amar sonar bangla", "new: is too common", "New password"),
        (PASSWORD, "short", "12", "New password"),
    ] {
        here.fill("Current password", current);
        here.fill("New password", new);
        here.press_button("Change password");
        here.wait_fault(words, field);
    }
    assert!(there.shows(".shell"), "nothing has happened so far");
    here.fill("Current password", PASSWORD);
    here.fill("New password", OTHER);
    here.press_button("Change password");
    here.wait_text("[role=status]", "Your password is changed. All other logins have ended.");
    let in_sight = "const one = [...document.querySelectorAll('[role=status]')].find(one => one.innerText);
        const { top, bottom } = one.getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight && one.closest('section').querySelector('form').id";
    assert_eq!(here.evaluate(in_sight, &[]), "password-form", "it is said where it was asked for");
    here.has_focus();
    there.wait_entrance();
    here.wait_count("#logins li", 1);
    assert_eq!((here.value("#current"), here.value("#new")), (String::new(), String::new()));
    assert_eq!((login(&server, "amina", PASSWORD).0, login(&server, "amina", OTHER).0), (401, 200));
    there.fill("User name", "amina");
    there.fill("Password", OTHER);
    there.press("Enter");
    there.wait_for("#text");
}

#[test]
fn a_login_elsewhere_is_listed_and_can_be_ended_from_here() {
    let server = Server::start(&[]);
    let (home, phone) = (Browser::start(), Browser::start());
    let (here, there) = (home.tab(), phone.tab());
    here.register(&origin(&server), "amina");
    there.goto(&origin(&server));
    there.sign_in("amina");
    settings(&here);
    here.wait_count("#logins li", 2);
    let logins = here.texts("#logins li");
    assert!(logins[0].contains("Chrome, Linux") && logins[0].contains("this one"), "{logins:?}");
    assert!(logins[1].contains("Chrome, Linux") && logins[1].contains("last used"), "{logins:?}");
    assert_eq!(here.count("#logins button"), 1, "this one ends by signing out");
    here.press_button("End the login Chrome, Linux");
    here.wait_count("#logins li", 1);
    here.wait_focus("Where you are signed in");
    there.wait_entrance();
    there.reload();
    there.wait_entrance();
    assert!(here.shows(".shell"));
}

#[test]
fn everything_can_be_taken_along_in_one_file() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    for (n, text) in ["a first thing", "আমার কথা 🙂", "<b>a third</b>\\n"].into_iter().enumerate() {
        tab.say(text);
        tab.wait_answered(n + 1);
    }
    tab.press_button("New conversation");
    tab.say("in another conversation");
    tab.wait_answered(1);
    let mut amina = program_of(&server, "amina");
    let sessions = amina.get("/api/v1/sessions").json();
    let mut said: Vec<String> = Vec::new();
    for session in list(&sessions["sessions"]) {
        let page = amina.page(&text(&session["id"]), "");
        said.extend(list(&page["messages"]).iter().map(|message| text(&message["content"])));
    }
    assert_eq!(said.len(), 8);
    settings(&tab);
    let js = "const link = [...document.querySelectorAll('a')].find(one => one.innerText === 'Download everything');
        return fetch(link.href).then(async answer => [link.download, answer.headers.get('content-disposition'),
            await answer.text()])";
    let [name, disposition, file]: [String; 3] = serde_json::from_value(tab.evaluate(js, &[])).unwrap();
    assert_eq!(name, "bondhu-amina.jsonl");
    assert!(disposition.starts_with("attachment"), "{disposition}");
    let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut exported: Vec<String> =
        lines.iter().filter_map(|line| line["content"].as_str()).map(str::to_owned).collect();
    exported.sort();
    said.sort();
    assert_eq!(exported, said, "{file}");
}

#[test]
fn an_account_is_deleted_by_its_password_and_is_gone() {
    let server = Server::start(&[]);
    let (home, phone) = (Browser::start(), Browser::start());
    let (here, there) = (home.tab(), phone.tab());
    here.register(&origin(&server), "amina");
    here.say("what nobody shall read");
    here.wait_answered(1);
    there.goto(&here.url());
    there.sign_in("amina");
    there.wait_answered(1);
    here.write("#text", "a draft");
    settings(&here);
    here.press_button("Delete my account");
    here.wait_focus("Password");
    here.keys(OTHER);
    here.press("Enter");
    here.wait_fault(WRONG_PASSWORD, "Password");
    here.press_button("Cancel");
    here.wait_gone("dialog");
    here.wait_focus("Delete my account");
    assert!(there.shows(".shell"), "nothing is gone so far");
    assert_eq!(login(&server, "amina", PASSWORD).0, 200);
    here.press("Enter");
    here.wait_focus("Password");
    here.keys(PASSWORD);
    here.press_button("Delete my account");
    here.wait_entrance();
    here.wait_text("main [role=status]", "Your account and everything in it is gone.");
    assert_eq!((here.url(), here.kept()), (format!("{}/", origin(&server)), "{}".to_owned()));
    there.wait_entrance();
    here.fill("User name", "amina");
    here.fill("Password", PASSWORD);
    here.press("Enter");
    here.wait_fault(WRONG, "Password");
}

#[test]
fn a_draft_outlives_a_login_that_ends_elsewhere() {
    let server = Server::start(&[]);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin(&server), "amina");
    tab.say("hello");
    tab.wait_answered(1);
    let address = tab.url();
    let mut amina = program_of(&server, "amina");
    let tokens = amina.get("/api/v1/auth/tokens").json();
    let other = list(&tokens["tokens"]).iter().find(|token| token["current"] == false).unwrap();
    tab.write("#text", "half a thought");
    amina.delete(&format!("/api/v1/auth/tokens/{}", text(&other["id"]))).expect(204);
    tab.wait_entrance();
    tab.wait_text(".note", "What you wrote is kept here until you sign in again.");
    tab.sign_in("amina");
    tab.wait_answered(1);
    assert_eq!((tab.url(), tab.value("#text")), (address, "half a thought".to_owned()));
    tab.keys(", and the other half\n");
    tab.wait_state("half a thought, and the other half", "answered");
    assert_eq!(tab.value("#text"), "");
}

#[test]
fn administrators_find_the_dashboard_in_their_settings_in_every_language() {
    let server = Server::start(&[]);
    server.add_admin("root");
    server.user("amina");
    let browser = Browser::start();
    let tab = browser.open(&origin(&server));
    tab.wait_entrance();
    tab.sign_in("root");
    settings(&tab);
    let choose = "const box = document.getElementById('language');
        box.value = arguments[0];
        box.dispatchEvent(new Event('change', {bubbles: true}))";
    for (tag, words) in [("bn", "ড্যাশবোর্ড খুলুন"), ("hi", "डैशबोर्ड खोलें"), ("en", "Open the dashboard")]
    {
        tab.evaluate(choose, &[json!(tag)]);
        tab.wait_text("#open-dashboard", words);
    }
    tab.click("#open-dashboard");
    tab.wait_text("#state", "Ready");
    assert_eq!(tab.url(), format!("{}/dashboard", origin(&server)));

    let other = Browser::start();
    let tab = other.open(&origin(&server));
    tab.wait_entrance();
    tab.sign_in("amina");
    settings(&tab);
    tab.wait_count("#logins li", 2);
    assert!(!tab.shows("#open-dashboard"), "she can do nothing there");
}
