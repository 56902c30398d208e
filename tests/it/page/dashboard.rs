//! The dashboard, in a real Chromium, as administrators use it.

mod acts;
mod looks;
mod watching;

use std::{fs, sync::Arc};

use serde_json::json;

use super::labels::origin;
use crate::support::{
    Client, PASSWORD, Server,
    browser::{Browser, Tab},
    text,
};

/// Samples come ten times a second.
const QUICK: &str = "monitor.interval_ms=100";

/// An administrator's token.
fn admin(server: &Server) -> Client {
    let mut client = server.client();
    let login =
        client.post("/api/v1/auth/login", &json!({"username": "root", "password": PASSWORD})).expect(200).json();
    client.token = Some(text(&login["token"]));
    client
}

/// The configuration's file, which every server here has.
const FILE: &str = "[auth]\nregistration = \"open\"\n[log]\nlevel = \"info\"\n";

/// A server with an administrator, and their dashboard.
fn board(settings: &[&str]) -> (Server, Browser, Tab) {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    fs::write(dir.path().join("bondhu.toml"), FILE).unwrap();
    let data = dir.path().join("data");
    let server = Server::start_in(dir, data, &[&[QUICK], settings].concat());
    server.add_admin("root");
    let browser = Browser::start();
    let tab = browser.tab();
    enter(&tab, &origin(&server), "root");
    tab.wait_for("#state");
    tab.wait_text("#state", "Ready");
    (server, browser, tab)
}

/// Goes to the dashboard and signs in there.
fn enter(tab: &Tab, origin: &str, name: &str) {
    tab.goto(&format!("{origin}/dashboard"));
    tab.wait_for("#sign-in");
    tab.fill("User name", name);
    tab.fill("Password", PASSWORD);
    tab.press_button("Sign in");
}
