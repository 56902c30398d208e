//! Who sees the dashboard, and what it shows of what happens.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{QUICK, admin, board, enter};
use crate::{
    page::labels::origin,
    support::{
        PASSWORD, Server,
        browser::{Browser, Tab},
        comes_true,
        cut::Relay,
    },
};

/// Waits until the chart's line has a figure above nothing at some time.
fn wait_drawn(tab: &Tab, chart: &str, row: usize) {
    let js = "const max = document.querySelectorAll(`#chart-${arguments[0]} .legend tbody tr`)[arguments[1]].lastChild;
        return !['–', '0', '0/s', '0\\u00a0s'].includes(max.textContent) && max.textContent";
    tab.wait(&format!("{chart} to be drawn"), js, &[json!(chart), json!(row)]);
    let d = tab.attribute(&format!("#chart-{chart} [data-column]"), "d").unwrap();
    assert!(d.starts_with('M'), "{chart}: {d:?}");
}

#[test]
fn an_administrator_signs_in_and_sees_what_happens_as_it_does() {
    let (server, browser, tab) = board(&[]);
    tab.wait_focus("bondhu dashboard");
    assert!(tab.text("#version").starts_with("Version "));
    let (mut client, _) = server.user("amina");
    let session = client.session();
    for n in 0..5 {
        client.say(&session, &format!("hello {n}"));
    }
    wait_drawn(&tab, "requests", 0);
    tab.viewport(1200, 900);
    tab.frame();
    let broken = "return [...document.querySelectorAll('.named')].flatMap(one => {
            const text = one.lastChild;
            return [...text.data.matchAll(/\\S+/g)].filter(({ 0: word, index }) => {
                const range = document.createRange();
                range.setStart(text, index);
                range.setEnd(text, index + word.length);
                return range.getClientRects().length > 1;
            }).map(([word]) => word);
        })";
    assert_eq!(tab.evaluate(broken, &[]), json!([]), "no word is broken");
    wait_drawn(&tab, "turns", 0);
    wait_drawn(&tab, "latency", 1);
    wait_drawn(&tab, "memory", 0);
    let shows = |tile: &str, value: &str| {
        let js = "return [...document.querySelectorAll('#now .facts div')].some(one =>
            one.innerText.replace(/\\s+/g, ' ') === `${arguments[0]} ${arguments[1]}`)";
        tab.wait(&format!("{tile} to be {value}"), js, &[json!(tile), json!(value)]);
    };
    shows("Users", "2");
    shows("Sessions", "1");
    assert_eq!(tab.text("#state"), "Ready, no alert");
    // Who asked first was nobody, and not every server has these calls.
    browser.is_clean(&["auth/me", "admin/jobs", "admin/cache"]);
    browser.asked_only(&[&origin(&server)]);
}

#[test]
fn who_is_no_administrator_is_told_so_and_raises_no_alarm() {
    let server = Server::start(&[QUICK]);
    server.add_admin("root");
    server.user("amina");
    let browser = Browser::start();
    let tab = browser.tab();
    enter(&tab, &origin(&server), "amina");
    tab.wait_text("h1", "Not for this account");
    assert!(tab.text("main").contains("amina, who is no administrator"));
    assert_eq!(admin(&server).get("/api/v1/admin/security").expect(200).json()["events"], json!([]));
    assert_eq!(tab.attribute("main a", "href").as_deref(), Some("/"));
    tab.press_button("Sign in as somebody else");
    tab.wait_for("#sign-in");
    tab.fill("User name", "root");
    tab.fill("Password", "something else");
    tab.press_button("Sign in");
    tab.wait_fault("is wrong", "Password");
    tab.fill("Password", PASSWORD);
    tab.press_button("Sign in");
    tab.wait_text("#state", "Ready");
    // Their role can be taken back while they look.
    let mut other = admin(&server);
    server.add_admin("second");
    let me = other.get("/api/v1/auth/me").expect(200).json()["user"]["id"].as_str().unwrap().to_owned();
    let login = json!({"username": "second", "password": PASSWORD});
    let mut second = server.client();
    second.token = Some(second.post("/api/v1/auth/login", &login).expect(200).json()["token"].as_str().unwrap().into());
    second.json("PATCH", &format!("/api/v1/admin/users/{me}"), &[], &json!({"role": "user"})).expect(200);
    tab.wait_text("h1", "Not for this account");
}

#[test]
fn a_login_that_ends_shows_the_entrance_and_a_lost_connection_is_said_and_mended() {
    let (server, _browser, tab) = board(&[]);
    let relay = Relay::to(server.address);
    tab.goto(&format!("{}/dashboard", relay.origin()));
    tab.wait_text("#state", "Ready");
    relay.cut();
    tab.wait_text(".lost", "The connection is lost");
    relay.mend();
    tab.wait_gone(".lost");
    let mut other = admin(&server);
    let me = other.get("/api/v1/auth/me").expect(200).json()["user"]["id"].as_str().unwrap().to_owned();
    other.delete(&format!("/api/v1/admin/users/{me}/tokens")).expect(204);
    tab.wait_text(".note", "Your login has ended");
    tab.wait_focus("User name");
}

#[test]
fn a_range_is_chosen_and_kept_and_keys_and_pointers_read_values() {
    let (_server, _browser, tab) = board(&[]);
    wait_drawn(&tab, "memory", 0);
    let time = "#chart-memory thead th:nth-child(2)";
    assert_eq!(tab.text(time), "now");
    tab.evaluate("document.querySelector('#chart-memory .plot').focus()", &[]);
    assert_eq!(tab.accessible(":focus"), ("slider".into(), "Memory, at a time".into()));
    tab.press("End");
    tab.wait("read a time", "return document.querySelector(arguments[0]).innerText.includes(':')", &[json!(time)]);
    let said = || tab.attribute("#chart-memory .plot", "aria-valuetext").unwrap();
    assert!(said().contains("used ") && said().ends_with("iB"), "{}", said());
    // At once, for the newest value still changes.
    let both = "return [document.querySelector('#chart-memory .plot').getAttribute('aria-valuetext'),
        document.querySelector('#chart-memory tbody td').innerText]";
    let both = tab.evaluate(both, &[]);
    assert_eq!(both[1].as_str(), both[0].as_str().unwrap().split("used ").last(), "{both}");
    tab.press("Home");
    // A server that has just begun knows nothing of the time before.
    assert!(said().ends_with("used unknown"), "{}", said());
    assert_eq!(tab.text("#chart-memory tbody td"), "–");
    assert_eq!(tab.attribute("#chart-memory .plot", "aria-valuenow").as_deref(), Some("0"));
    assert_eq!(tab.text("#chart-cpu thead th:nth-child(2)"), tab.text(time), "all charts are read at one time");
    assert_eq!(tab.attribute("#chart-memory .mark", "visibility").as_deref(), Some("visible"));
    // A pointer that passes by changes nothing of what keys have chosen.
    let pass = "document.querySelector('#chart-cpu .plot').dispatchEvent(new PointerEvent('pointerleave'))";
    tab.evaluate(pass, &[]);
    assert_ne!(tab.text(time), "now");
    tab.press("Escape");
    tab.wait_text(time, "now");
    tab.press_button("24 h");
    tab.wait(
        "24 h to be pressed",
        "return document.querySelector('.ranges button:last-child').ariaPressed === 'true'",
        &[],
    );
    wait_drawn(&tab, "memory", 0);
    let at = "const box = document.querySelector('#chart-memory .plot').getBoundingClientRect();
        document.querySelector('#chart-memory .plot').dispatchEvent(new PointerEvent('pointermove',
            { clientX: box.right - 20, clientY: box.top + 20, bubbles: true }));
        return document.querySelector('#chart-memory thead th:nth-child(2)').innerText";
    assert!(tab.evaluate(at, &[]).as_str().unwrap().contains(':'));
    let leave = "document.querySelector('#chart-memory .plot').dispatchEvent(new PointerEvent('pointerleave'))";
    tab.evaluate(leave, &[]);
    tab.wait_text(time, "now");
    tab.reload();
    tab.wait(
        "24 h to be kept",
        "return document.querySelector('.ranges button:last-child').ariaPressed === 'true'",
        &[],
    );
}

#[test]
fn now_is_the_newest_figure_of_the_last_moment_and_none_where_that_has_none() {
    let (_server, _browser, tab) = board(&[]);
    let js = "const [step, values] = arguments;
        const script = document.querySelector('script[src$=\"dashboard.js\"]').src;
        return import(new URL('chart.js', script)).then(({ Chart }) => {
            const chart = new Chart({ id: 'made', title: 'Made', unit: 'count', lines: [['a', 'a']] }, () => {});
            document.body.append(chart.node);
            chart.measure();
            const points = values.length;
            chart.draw({ from: 0, to: points * step, start: 0, step, interval: 5000, points, columns: { a: values } });
            const told = chart.node.querySelector('tbody td').textContent;
            chart.node.remove();
            return told;
        });";
    let cases = [
        (10_000, json!([1, 2, 3]), "3"),
        (10_000, json!([1, 2, 3, null]), "3"),
        (10_000, json!([1, 2, null, null]), "–"),
        // Samples come every five seconds.
        (1000, json!([6, null, null, null, null, null]), "6"),
        (1000, json!([6, null, null, null, null, null, null]), "–"),
        (10_000, json!([null]), "–"),
    ];
    for (step, values, told) in cases {
        assert_eq!(tab.evaluate(js, &[json!(step), values.clone()]), told, "{values}, each {step} ms");
    }
}

#[test]
fn what_was_not_measured_is_a_gap() {
    let (mut server, _browser, tab) = board(&[]);
    wait_drawn(&tab, "memory", 0);
    server.stop();
    let stopped = Instant::now();
    comes_true("three points of the chart pass", || stopped.elapsed() > Duration::from_secs(3));
    let server = server.restart(&[QUICK]);
    tab.goto(&format!("{}/dashboard", origin(&server)));
    tab.wait_text("#state", "Ready");
    tab.press_button("10 min");
    let js =
        "return document.querySelector('#chart-memory [data-column]').getAttribute('d').split('M').length - 1 >= 2";
    tab.wait("a line with a gap", js, &[]);
    // Nobody was answered: there is no line at all.
    assert_eq!(tab.attribute("#chart-replies [data-column]", "d").as_deref(), Some(""));
    assert_eq!(tab.text("#chart-replies tbody td"), "–");
}

#[test]
fn a_page_that_nobody_looks_at_rests() {
    let (_server, browser, tab) = board(&[]);
    let set = |hidden: bool| {
        tab.evaluate(
            "const hidden = arguments[0];
            Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
            document.dispatchEvent(new Event('visibilitychange'));",
            &[json!(hidden)],
        );
    };
    set(true);
    let asked = || browser.requests().iter().filter(|request| request.url.ends_with("/monitor/now")).count();
    tab.wait("one second to pass", "return new Promise(done => setTimeout(() => done(true), 900))", &[]);
    let before = asked();
    tab.wait("two seconds to pass", "return new Promise(done => setTimeout(() => done(true), 2500))", &[]);
    assert_eq!(asked(), before, "a hidden page asks for nothing");
    set(false);
    comes_true("it looks again", || asked() > before);
}
