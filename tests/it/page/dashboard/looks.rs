//! How the dashboard looks, in each state.

use super::{QUICK, board};
use crate::{
    page::{labels::origin, looks::look},
    support::{
        PASSWORD, Server, at_once,
        browser::{Browser, Media, Tab},
    },
};

/// People talk, somebody errs, somebody oversteps.
fn busy(server: &Server) {
    at_once(6, |n| {
        let (mut client, _) = server.user(&format!("person{n}"));
        let session = client.session();
        for turn in 0..12 {
            client.say(&session, &format!("hello {turn}"));
            client.get(&format!("/api/v1/sessions/{session}/messages")).expect(200);
            client.get("/api/v1/nowhere").expect(404);
        }
    });
    let (mut one, _) = server.user("amina");
    let session = one.session();
    server.user("rahim").0.get(&format!("/api/v1/sessions/{session}")).expect(403);
}

/// Takes pictures of the whole page, which is longer than any window.
fn whole(tab: &Tab, name: &str) {
    for (dark, width) in [(false, 1440), (true, 1440), (false, 320), (true, 768)] {
        tab.media(Media { dark, still: true, ..Media::default() });
        tab.viewport(width, 900);
        let height = tab.evaluate("return document.documentElement.scrollHeight", &[]).as_u64().unwrap();
        tab.viewport(width, u32::try_from(height).unwrap());
        tab.frame();
        tab.shot(name);
    }
}

#[test]
fn the_dashboard_is_for_everyone() {
    let (server, _browser, tab) = board(&["alerts.cpu=0.0001% for 1s", "alerts.memory=90% for 1m"]);
    busy(&server);
    tab.press_button("10 min");
    tab.wait_text(".alerts", "cpu fires");
    tab.wait_text("#security tbody", "/api/v1/sessions/{id}");
    tab.reload();
    tab.wait_text("#accounts tbody", "rahim");
    tab.wait("see a line", "return document.querySelector('#chart-turns [data-column]')?.getAttribute('d')", &[]);
    whole(&tab, "dashboard-whole");
    look(&tab, "dashboard");
    tab.click("#rules summary");
    tab.evaluate("document.querySelector('#chart-cpu .plot').focus()", &[]);
    tab.press("End");
    look(&tab, "dashboard-read");
}

#[test]
fn its_dialogs_and_entrance_are_for_everyone() {
    let server = Server::start(&[QUICK]);
    let browser = Browser::start();
    let tab = browser.open(&format!("{}/dashboard", origin(&server)));
    tab.wait_for("#sign-in");
    look(&tab, "dashboard-entrance");
    server.user("amina");
    tab.fill("User name", "amina");
    tab.fill("Password", PASSWORD);
    tab.press_button("Sign in");
    tab.wait_text("h1", "Not for this account");
    look(&tab, "dashboard-refused");

    let (server, _browser, tab) = board(&[]);
    server.user("amina");
    tab.reload();
    tab.press_button("Manage amina");
    tab.wait_for("#account-dialog");
    look(&tab, "dashboard-account");
    tab.press_button("Shut this account");
    tab.wait_for("#confirm");
    look(&tab, "dashboard-shut");
    tab.press("Escape");
    tab.wait_gone("#confirm");
    tab.press_button("Invite somebody");
    tab.wait_for("#invitation-code");
    look(&tab, "dashboard-invitation");
    tab.press("Escape");
    drop(server);
    tab.wait_text(".lost", "The connection is lost");
    look(&tab, "dashboard-lost");
}
