//! What administrators do at the dashboard.

use std::fs;

use serde_json::{Value, json};

use super::{QUICK, admin, board};
use crate::{
    jobs::{QUICK_RETRIES, enqueue},
    page::labels::origin,
    support::{Client, PASSWORD, Server, browser::Tab, comes_true, hooks::Hooks, text},
};

/// The status of a login with this password.
fn login(server: &Server, name: &str, password: &str) -> u16 {
    server.client().post("/api/v1/auth/login", &json!({"username": name, "password": password})).status
}

/// Opens the dialog of an account. What stands above may grow as the button is pressed, and move it away.
fn manage(tab: &Tab, name: &str) {
    comes_true("a dialog opens", || {
        tab.press_button(&format!("Manage {name}"));
        tab.frame();
        tab.count("#account-dialog") == 1
    });
    tab.wait_text("#account-dialog h2", name);
}

/// Waits for words that tell what was done, and that the keyboard is somewhere.
#[track_caller]
fn wait_told(tab: &Tab, section: &str, words: &str) {
    tab.wait_text(&format!("#{section} .note"), words);
    tab.has_focus();
}

fn account(client: &mut Client, name: &str) -> Value {
    client.get(&format!("/api/v1/admin/users?q={name}")).expect(200).json()["users"][0].clone()
}

#[test]
fn an_account_is_shut_and_opened_its_tier_changed_its_logins_ended_and_its_password_set() {
    let (server, _browser, tab) = board(&[]);
    let (mut amina, _) = server.user("amina");
    let mut client = admin(&server);
    tab.reload();
    manage(&tab, "amina");
    tab.press_button("Shut this account");
    tab.wait_text("#confirm", "amina will be signed out everywhere");
    tab.wait_focus("Cancel");
    tab.press_button("Shut it");
    wait_told(&tab, "accounts", "amina is shut.");
    tab.wait_text("#accounts .badge", "shut");
    assert_eq!((amina.get("/api/v1/auth/me").status, login(&server, "amina", PASSWORD)), (401, 401));
    manage(&tab, "amina");
    tab.press_button("Open this account");
    wait_told(&tab, "accounts", "amina is open again.");
    assert_eq!(login(&server, "amina", PASSWORD), 200);

    manage(&tab, "amina");
    tab.evaluate("document.getElementById('account-tier').value = 'premium'", &[]);
    tab.press_button("Save");
    wait_told(&tab, "accounts", "amina: role user, tier premium.");
    assert_eq!(account(&mut client, "amina")["tier"], "premium");

    manage(&tab, "amina");
    tab.press_button("End all logins");
    tab.press_button("End logins");
    wait_told(&tab, "accounts", "Every login of amina has ended.");
    assert_eq!(account(&mut client, "amina")["logins"], 0);

    manage(&tab, "amina");
    let password = tab.value("#new-password");
    assert!(password.len() >= 20, "{password}");
    tab.press_button("Set this password");
    wait_told(&tab, "accounts", "amina has a new password");
    assert_eq!((login(&server, "amina", PASSWORD), login(&server, "amina", &password)), (401, 200));

    // Nobody shuts themselves out.
    manage(&tab, "root");
    tab.wait_text("#account-dialog", "This is you");
    assert!(!tab.shows("#account-role:enabled") && !tab.text("#account-dialog").contains("Shut this account"));
}

#[test]
fn accounts_are_found_by_name_and_page_by_page_and_somebody_is_invited() {
    let (server, _browser, tab) = board(&["auth.registration=invite"]);
    for n in 0..23 {
        server.add_admin(&format!("person{n:02}"));
    }
    tab.reload();
    tab.wait_count("#accounts tbody tr", 20);
    tab.press_button("Next page");
    tab.wait_count("#accounts tbody tr", 4);
    tab.wait_text("#accounts tbody", "person22");
    tab.press_button("Previous page");
    tab.wait_count("#accounts tbody tr", 20);
    tab.write("#account-search", "PERSON1");
    tab.wait_count("#accounts tbody tr", 10);
    tab.rewrite("#account-search", "nobody");
    tab.wait_text("#accounts", "No account’s name begins so.");
    tab.press_button("Invite somebody");
    let code = tab.text("#invitation-code");
    let guest = json!({"username": "guest", "password": PASSWORD, "invitation": code});
    server.client().post("/api/v1/auth/register", &guest).expect(201);
}

#[test]
fn a_try_of_another_user_shows_up_among_the_security_events() {
    let (server, _browser, tab) = board(&[]);
    tab.wait_text("#security", "Nothing since the start.");
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let (mut rahim, _) = server.user("rahim");
    rahim.get(&format!("/api/v1/sessions/{session}")).expect(403);
    tab.wait_text("#security tbody", "/api/v1/sessions/{id}");
    let me = text(&rahim.get("/api/v1/auth/me").expect(200).json()["user"]["id"]);
    tab.press_button(&format!("Account {me}"));
    tab.wait_text("#account-dialog h2", "rahim");
}

#[test]
fn the_level_of_the_log_is_set_and_reading_the_configuration_again_names_its_faults() {
    let (server, _browser, tab) = board(&[]);
    let file = server.dir().path().join("bondhu.toml");
    tab.wait_text("#configuration tbody", "chat.message_chars_max");
    tab.write("#config-filter", "bondhu.toml");
    tab.wait_count("#configuration tbody tr", 2);
    assert!(tab.text("#configuration tbody").contains("auth.registration"));
    fs::write(&file, "[auth]\nregistration = \"closed\"\n[server]\nworkers = 7\n").unwrap();
    tab.press_button("Read again");
    tab.wait_text("#configuration .note", "Changed: auth.registration. At the next start: server.workers.");
    tab.wait_text("#configuration tbody", "\"closed\"");
    fs::write(&file, "[auth]\nregistration = \"perhaps\"\n").unwrap();
    tab.press_button("Read again");
    tab.wait_text("#configuration .note", "The configuration stays as it was.");
    let fault = tab.text("#configuration .note");
    assert!(fault.contains("auth.registration") && fault.contains("perhaps"), "{fault}");
    assert_eq!(admin(&server).get("/api/v1/about").expect(200).json()["registration"], "closed");

    tab.evaluate("document.getElementById('log-level').value = 'debug'", &[]);
    tab.press_button("Set");
    tab.wait_text("#configuration .note", "The log has lines from debug on.");
    assert_eq!(admin(&server).get("/api/v1/admin/log").expect(200).json()["level"], "debug");
}

#[test]
fn a_parked_job_is_tried_again_and_another_removed() {
    let hooks = Hooks::start(Some(302));
    let (mut server, _browser, tab) = board(&[]);
    server.stop();
    enqueue(&server.data, &hooks, 2);
    let server = server.restart(&[QUICK, QUICK_RETRIES]);
    tab.goto(&format!("{}/dashboard", origin(&server)));
    tab.wait_count("#jobs .badge.parked", 2);
    tab.wait_text("#jobs", "2 parked");
    tab.wait_text("#jobs tbody", "it was answered with 302 Found");
    hooks.answer(Some(201));
    tab.press_button("Try again webhook test 0");
    wait_told(&tab, "jobs", "webhook test 0 will run again.");
    tab.wait_text("#jobs .scroll tbody", "test 0");
    tab.press_button("Remove webhook test 1");
    tab.wait_text("#confirm", "webhook test 1 will not be done.");
    tab.press_button("Remove");
    wait_told(&tab, "jobs", "webhook test 1 was removed.");
    tab.wait_count("#jobs .badge.parked", 0);
    let parked = admin(&server).get("/api/v1/admin/jobs?state=parked").expect(200).json();
    assert_eq!(parked["jobs"], json!([]));
}

#[test]
fn a_server_without_a_call_shows_no_section_of_it() {
    let (_server, _browser, tab) = board(&[]);
    tab.wait_for("#job-lists");
    let missing = "const real = window.fetch;
        window.fetch = (path, ...rest) => /admin\\/(jobs|cache)/.test(path)
            ? Promise.resolve(new Response('{}', { status: 404, headers: { 'content-type': 'application/problem+json' } }))
            : real(path, ...rest);";
    tab.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({"source": missing}));
    tab.reload();
    tab.wait_text("#state", "Ready");
    tab.wait_text("#accounts tbody", "root");
    assert!(!tab.shows("#job-lists") && !tab.shows("#cache") && !tab.shows(".lost"));
}

#[test]
fn names_with_markup_run_nothing() {
    const MARKUP: &str = "<img src=x onerror=window.__pwned=1><b>bold</b>";
    let (server, browser, tab) = board(&[]);
    let made = json!({"username": "markup", "password": PASSWORD, "display_name": MARKUP});
    server.client().post("/api/v1/auth/register", &made).expect(201);
    tab.reload();
    tab.wait_text("#accounts tbody", MARKUP);
    manage(&tab, "markup");
    tab.wait_text("#account-dialog", MARKUP);
    tab.press("Escape");
    tab.write("#account-search", MARKUP);
    tab.wait_text("#accounts", "No account’s name begins so.");
    tab.write("#config-filter", MARKUP);
    tab.wait_text("#configuration", "No key has these letters.");
    assert_eq!(tab.evaluate("return window.__pwned ?? document.querySelectorAll('img, b').length", &[]), 0);
    browser.asked_only(&[&origin(&server)]);
}
