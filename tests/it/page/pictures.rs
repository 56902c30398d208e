//! The pictures of the README: run with `--ignored`, look at them in `target/page/`, and copy them to `src/web/pictures/`.

use std::{
    process::Command,
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::labels::origin;
use crate::support::{
    PASSWORD, Server, at_once,
    browser::{Browser, Media, Tab},
};

/// Writes `target/page/readme-NAME.png` with few colours: small, and as sharp as before.
fn picture(tab: &Tab, name: &str, (width, height): (u32, u32), dark: bool) {
    tab.media(Media { dark, still: true, ..Media::default() });
    tab.viewport(width, height);
    let shot = tab.shot("readme");
    let small = shot.with_file_name(format!("readme-{name}.png"));
    let made = Command::new("convert").arg(&shot).args(["+dither", "-colors", "64", "-strip"]).arg(&small).status();
    assert!(made.unwrap().success(), "ImageMagick makes it small");
}

#[test]
#[ignore = "makes the pictures of the README; needs ImageMagick"]
fn the_readme_is_shown_what_there_is() {
    let server = Server::start(&[]);
    let origin = format!("http://{}", server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin, "amina");
    picture(&tab, "first-visit", (768, 620), false);
    for text in ["I have an exam tomorrow and I am nervous.", "My mother says I should sleep more."] {
        tab.say(text);
    }
    tab.wait_answered(2);
    picture(&tab, "conversation", (1100, 640), false);
    picture(&tab, "phone", (360, 640), true);
    tab.viewport(768, 620);
    tab.press("Ctrl+K");
    tab.write("#search-text", "sleep");
    tab.wait_for(".hits li");
    picture(&tab, "search", (768, 620), true);
    tab.press("Escape");
    tab.wait_gone("#search-dialog");
    tab.press_button("Get help now");
    picture(&tab, "help", (360, 640), false);

    let bengali = Browser::speaking("bn-BD,bn");
    let tab = bengali.open(&origin);
    tab.wait_for("#sign-in");
    let sign_in = "const ask = (path, body) => fetch(path, { method: 'POST', body: JSON.stringify(body),
            headers: { 'Content-Type': 'application/json' } });
        return ask('/api/v1/auth/register', arguments[0]).then(() => ask('/api/v1/auth/login', arguments[1]))
            .then((answer) => answer.status);";
    let account = json!({"username": "rahim", "password": "river-stone-lamp-42", "display_name": "রহিম"});
    let login = json!({"username": "rahim", "password": "river-stone-lamp-42"});
    assert_eq!(tab.evaluate(sign_in, &[account, login]), 200);
    tab.reload();
    tab.wait_for("#text");
    tab.say("আজ আমার মন ভালো নেই");
    tab.wait_answered(1);
    picture(&tab, "bengali", (360, 640), false);
}

/// For so long there is load.
const LOAD: Duration = Duration::from_secs(270);

#[test]
#[ignore = "makes the picture of the dashboard, after four minutes of load; needs ImageMagick"]
fn the_readme_is_shown_the_dashboard_under_load() {
    let server =
        Server::start(&["monitor.interval_ms=1000", "alerts.cpu=1% for 10s", "limits.free.messages_per_minute=400"]);
    server.add_admin("root");
    let browser = Browser::start();
    let tab = browser.open(&format!("{}/dashboard", origin(&server)));
    tab.wait_for("#sign-in");
    tab.fill("User name", "root");
    tab.fill("Password", PASSWORD);
    tab.press_button("Sign in");
    tab.press_button("10 min");
    let begun = Instant::now();
    at_once(6, |n| {
        let (mut client, _) = server.user(&format!("person{n}"));
        let session = client.session();
        let path = format!("/api/v1/sessions/{session}/messages");
        let (_open, paused) = mpsc::channel::<()>();
        while begun.elapsed() < LOAD {
            // More and less, as a day has it.
            let wave = (begun.elapsed().as_secs_f64() / 20.0).sin().mul_add(0.45, 0.5);
            let _ = paused.recv_timeout(Duration::from_secs_f64(wave / 4.0)); // Nobody sends: it is the pause.
            client.post(&path, &json!({"content": "I slept badly, and the day was long."}));
            client.get(&format!("{path}?limit=20")).expect(200);
        }
    });
    picture(&tab, "dashboard", (1280, 1180), false);
}
